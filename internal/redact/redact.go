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
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"unicode/utf8"
)

// MaxText is the longest text that leaves [Redactor.Text], in bytes.
const MaxText = 2 << 10

// Mask stands where a credential stood.
const Mask = "[redacted]"

// Redactor cleans text and masks credentials. The zero value knows no
// credential but the signatures of requests, which it knows by their form. It is
// safe for concurrent use.
//
// A credential is masked in every spelling that its characters have in JSON,
// HTML, URLs and base64, and in these within each other; also where it is folded
// at line breaks or tabs or, from 16 characters on, at spaces. One of fewer than
// eight characters may be a word or a part of one. It is masked where it stands
// alone: with no letter, digit or underscore on either side, nor such a one
// behind a hyphen or a dot, as in "nightly-backup-1" or "backup.example.com".
type Redactor struct {
	Opaque
	mu      sync.Mutex // held by one who adds or takes away
	holders map[secret]int
	index   atomic.Pointer[index]
}

// Hide has a credential masked from now on, until forget is called: by each who
// hides the same one. A second call of the same forget does nothing. An empty
// credential is ignored.
func (r *Redactor) Hide(credential string) (forget func()) {
	secrets := secretsIn(credential)
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.holders == nil {
		r.holders = map[secret]int{}
	}
	for _, s := range secrets {
		if r.holders[s]++; r.holders[s] == 1 {
			r.index.Store(r.index.Load().with(&s))
		}
	}
	return sync.OnceFunc(func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		for _, s := range secrets {
			if r.holders[s]--; r.holders[s] == 0 {
				delete(r.holders, s)
				r.index.Store(r.index.Load().without(s))
			}
		}
	})
}

// IsShort reports whether a credential is not masked wherever it is, but only
// where it stands alone.
func IsShort(credential string) bool {
	return slices.ContainsFunc(secretsIn(credential), func(s secret) bool { return s.short })
}

// secretsIn returns what is searched for to find a credential: the parts of it
// around the mask, which is never a part of what is masked.
func secretsIn(credential string) (secrets []secret) {
	for part := range strings.SplitSeq(credential, Mask) {
		if s := newSecret(part); s.text != "" {
			secrets = append(secrets, s)
		}
	}
	return secrets
}

// Text returns s with line breaks and tabs as spaces, other characters that do
// not print removed, every credential masked, and at most MaxText bytes long.
// It is idempotent.
func (r *Redactor) Text(s string) string { return r.text(s, true) }

// ID is Text for a name that is to stay the same: a credential that is too short
// to be masked everywhere is not masked in it at all.
func (r *Redactor) ID(s string) string { return r.text(s, false) }

func (r *Redactor) text(s string, short bool) string {
	s = unbroken(r.mask(printable(s), short))
	// Where it is cut a credential may come to stand alone, or be of dots.
	for n := MaxText; len(s) > MaxText; n-- {
		s = r.mask(cut(s, n), short)
	}
	return s
}

// Message is Text for what we say around a text of somebody else's: the cause,
// what was being done, what there is to do. Where all of it is too long it is
// cut in its middle, which is theirs, and short enough for a kind and a code to
// be put before it.
func (r *Redactor) Message(s string) string {
	const most, end = MaxText - 128, MaxText / 3
	s = unbroken(r.mask(printable(s), true))
	for n := most; len(s) > most; n-- {
		last := len(s) - end
		for !utf8.RuneStart(s[last]) {
			last++
		}
		s = r.mask(cut(s, n-(len(s)-last))+s[last:], true)
	}
	return s
}

const ellipsis = "..."

// cut returns the first bytes of s, n of them with what says that there were
// more.
func cut(s string, n int) string {
	n -= len(ellipsis)
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n] + ellipsis
}

// signature is that of a signed request (API Gateway developer guide): whoever
// has it with the rest of the request may send that again for 15 minutes.
var signature = regexp.MustCompile(`([Ss]ignature=)[0-9A-Fa-f]{64}`)

// Contains reports whether s holds a credential, in any spelling that is masked.
func (r *Redactor) Contains(s string) bool {
	return len(r.index.Load().find(s, true, maxDepth)) > 0 || isSigned(s) && signature.MatchString(s)
}

func (r *Redactor) mask(s string, short bool) string {
	if found := r.index.Load().find(s, short, maxDepth); len(found) > 0 {
		var b strings.Builder
		end := 0
		for _, f := range found {
			b.WriteString(s[end:f.start])
			b.WriteString(Mask)
			end = f.end
		}
		b.WriteString(s[end:])
		s = b.String()
	}
	if !isSigned(s) {
		return s // as all but always
	}
	return signature.ReplaceAllString(s, "${1}"+Mask)
}

// isSigned reports whether s may hold a signature. The expression alone would
// try at each byte.
func isSigned(s string) bool { return strings.Contains(s, "ignature=") }

// printable returns s without what does not print, but for line breaks and tabs.
func printable(s string) string {
	if isPlainText(s) {
		return s
	}
	return strings.Map(func(c rune) rune {
		if !isSpace(c) && !isShown(c) {
			return -1
		}
		return c
	}, s)
}

// unbroken returns s with line breaks and tabs as spaces.
func unbroken(s string) string {
	if !strings.ContainsAny(s, "\n\r\t") {
		return s // as all but always
	}
	return strings.Map(func(c rune) rune {
		if isSpace(c) {
			return ' '
		}
		return c
	}, s)
}

func isPlainText(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' {
			return false
		}
	}
	return true // as all but always
}

// JSON returns raw, a JSON value, with every credential in its strings masked:
// raw itself where there is none. The names of members stay as they are if they
// look like CBR's own, such as "replication_record_id", and no short credential
// is masked in any.
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

// walk masks the strings of a decoded JSON value.
func (r *Redactor) walk(value any) (masked any, changed bool) {
	switch v := value.(type) {
	case string:
		m := r.mask(v, true)
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
			m := name
			if !isName(name) {
				m = r.mask(name, false)
			}
			if c || m != name {
				delete(v, name)
				v[m] = inner
				changed = true
			}
		}
	}
	return value, changed
}

// isName reports whether a member's name has the form of all of CBR's: words of
// small letters with underscores between them, 23 characters at most.
func isName(s string) bool {
	for i := range len(s) {
		if c := s[i]; (c < 'a' || 'z' < c) && c != '_' {
			return false
		}
	}
	return len(s) <= 32
}
