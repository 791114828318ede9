// Package redact cleans all text from outside before it is in an error, a result event, a
// header or a log line: field names, messages of services, ids. The text that it returns
// is printable and bounded, and holds none of the credentials in use.
//
// Control characters must not stay: aws-lambda-go puts the text of a returned error into
// an HTTP header, and one control character there ends the process.
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

// Redactor cleans text and masks credentials. The zero value masks only the signatures of
// requests, which it knows by their form. It is safe for concurrent use.
//
// A credential is masked in every encoding of JSON, HTML, URLs and base64, and in these
// within each other. It is also masked if it is folded at line breaks or tabs or, from 16
// characters on, at spaces. A credential of fewer than eight characters may be a word or
// a part of one. So it is masked only where it stands alone: not beside a letter, a digit
// or an underscore, and not joined to one by a hyphen or a dot, as in "nightly-backup-1"
// or "backup.example.com".
type Redactor struct {
	Opaque
	mu      sync.Mutex // held while a credential is added or removed
	holders map[secret]int
	index   atomic.Pointer[index]
}

// Hide masks a credential from now on, until forget is called. If several callers hide
// the same one, it is masked until each has called its forget. A second call of the same
// forget does nothing. An empty credential is ignored.
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

// IsShort reports whether a credential is masked only where it stands alone.
func IsShort(credential string) bool {
	return slices.ContainsFunc(secretsIn(credential), func(s secret) bool { return s.short })
}

// secretsIn returns the parts of a credential that are searched for. If it contains the
// mask, these are the parts around it: the mask itself is never masked.
func secretsIn(credential string) (secrets []secret) {
	for part := range strings.SplitSeq(credential, Mask) {
		if s := newSecret(part); s.text != "" {
			secrets = append(secrets, s)
		}
	}
	return secrets
}

// Text returns s cleaned: line breaks and tabs are spaces, other characters that do not
// print are removed, every credential is masked, and it is at most MaxText bytes long. It
// is idempotent.
func (r *Redactor) Text(s string) string { return r.text(s, true) }

// ID is Text for a name, which should not change: a short credential (see [IsShort]) is
// not masked in it.
func (r *Redactor) ID(s string) string { return r.text(s, false) }

func (r *Redactor) text(s string, short bool) string {
	s = unbroken(r.mask(printable(s), short))
	// After a cut a short credential may stand alone, and one of dots may be the ellipsis.
	for n := MaxText; len(s) > MaxText; n-- {
		s = r.mask(cut(s, n), short)
	}
	return s
}

// Message is Text for a message of ours around another's text. If it is too long, its
// middle is cut, which is the other's text. Our beginning and our advice at the end stay.
// It leaves room for a kind and a code before it.
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

// cut returns the beginning of s and an ellipsis, n bytes together.
func cut(s string, n int) string {
	n -= len(ellipsis)
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n] + ellipsis
}

// signature is a request's signature (API Gateway developer guide). Whoever has it and
// the rest of the request can repeat the request for 15 minutes.
var signature = regexp.MustCompile(`([Ss]ignature=)[0-9A-Fa-f]{64}`)

// Contains reports whether s holds a credential, in any encoding that is masked.
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
		return s // almost always
	}
	return signature.ReplaceAllString(s, "${1}"+Mask)
}

// isSigned reports whether s may hold a signature. It is faster than the regular
// expression, which tries at each byte.
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
		return s // almost always
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
	return true // almost always
}

// JSON returns raw, a JSON value, with every credential in its strings masked, or raw
// itself if there is none. Names of members that look like CBR's own, such as
// "replication_record_id", stay as they are. In other names all but short credentials
// are masked.
func (r *Redactor) JSON(raw json.RawMessage) json.RawMessage {
	// A credential may be written with escapes.
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

// isName reports whether a member's name has the form of CBR's names: small letters and
// underscores. The longest of CBR's has 23 characters.
func isName(s string) bool {
	for i := range len(s) {
		if c := s[i]; (c < 'a' || 'z' < c) && c != '_' {
			return false
		}
	}
	return len(s) <= 32
}
