// Package redact is the one place that text from outside passes through before
// it enters an error, a result event, a header or a log line: field names,
// upstream messages, ids. What comes out is printable, bounded, and free of
// every credential in use.
//
// Cleaning matters beyond looks: aws-lambda-go puts the text of a returned
// error into an HTTP header, and one control character there ends the process.
package redact

import (
	"bytes"
	"encoding/json"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"unicode"
	"unicode/utf8"
)

// MaxText is the longest text that leaves [Redactor.Text], in bytes.
const MaxText = 2 << 10

// Mask stands where a credential stood.
const Mask = "[redacted]"

// Redactor cleans text and masks credentials. The zero value knows no
// credential but the signatures of requests, which it knows by their form. It is
// safe for concurrent use.
type Redactor struct {
	Veil
	mu      sync.RWMutex
	secrets []string // every spelling of every secret, longest first
}

// Hide adds a credential to those that are masked from now on. An empty one is
// ignored. Spellings that a server may echo (query- or path-escaped, inside a
// JSON string) are masked as well.
func (r *Redactor) Hide(secret string) {
	if secret == "" {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, s := range []string{
		secret,
		url.QueryEscape(secret),
		url.PathEscape(secret),
		strings.ReplaceAll(secret, "/", `\/`),
	} {
		if !slices.Contains(r.secrets, s) {
			r.secrets = append(r.secrets, s)
		}
	}
	slices.SortFunc(r.secrets, func(a, b string) int { return len(b) - len(a) })
}

// Text returns s with line breaks and tabs as spaces, other characters that do
// not print removed, every credential masked, and at most MaxText bytes long.
// It is idempotent.
func (r *Redactor) Text(s string) string {
	s = r.mask(printable(s))
	if len(s) <= MaxText {
		return s
	}
	const ellipsis = "..."
	cut := MaxText - len(ellipsis)
	for cut > 0 && !utf8.RuneStart(s[cut]) {
		cut--
	}
	return s[:cut] + ellipsis
}

// signature is that of a signed request (API Gateway developer guide): whoever
// has it with the rest of the request may send that again for 15 minutes.
var signature = regexp.MustCompile(`([Ss]ignature=)[0-9A-Fa-f]{64}`)

// Contains reports whether s holds a credential, in any spelling that is masked.
func (r *Redactor) Contains(s string) bool {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return slices.ContainsFunc(r.secrets, func(secret string) bool { return strings.Contains(s, secret) }) ||
		isSigned(s) && signature.MatchString(s)
}

func (r *Redactor) mask(s string) string {
	r.mu.RLock()
	defer r.mu.RUnlock()
	for _, secret := range r.secrets {
		s = strings.ReplaceAll(s, secret, Mask)
	}
	if !isSigned(s) {
		return s // as all but always
	}
	return signature.ReplaceAllString(s, "${1}"+Mask)
}

// isSigned reports whether s may hold a signature. The expression alone would
// try at each byte.
func isSigned(s string) bool { return strings.Contains(s, "ignature=") }

func printable(s string) string {
	if !strings.ContainsFunc(s, func(c rune) bool { return c < ' ' || c > '~' }) {
		return s // as all but always
	}
	return strings.Map(func(c rune) rune {
		switch {
		case c == '\n' || c == '\r' || c == '\t':
			return ' '
		case c == utf8.RuneError || !unicode.IsPrint(c):
			return -1
		}
		return c
	}, s)
}

// JSON returns raw, a JSON value, with every credential in it masked: raw
// itself where there is none.
func (r *Redactor) JSON(raw json.RawMessage) json.RawMessage {
	// An escape may spell any character of a credential in a way of its own.
	if !bytes.ContainsRune(raw, '\\') && !r.Contains(string(raw)) {
		return raw
	}
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.UseNumber()
	var value any
	if err := dec.Decode(&value); err != nil {
		return nil
	}
	masked, changed := r.walk(value)
	if !changed {
		return raw
	}
	out, err := json.Marshal(masked)
	if err != nil {
		return nil
	}
	return out
}

// walk masks the strings of a decoded JSON value, names included.
func (r *Redactor) walk(value any) (masked any, changed bool) {
	switch v := value.(type) {
	case string:
		m := r.mask(v)
		return m, m != v
	case []any:
		for i := range v {
			var c bool
			v[i], c = r.walk(v[i])
			changed = changed || c
		}
	case map[string]any:
		for name, inner := range v {
			inner, c := r.walk(inner)
			m := r.mask(name)
			if c || m != name {
				delete(v, name)
				v[m] = inner
				changed = true
			}
		}
	}
	return value, changed
}
