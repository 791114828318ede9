package redact_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"html"
	"net/url"
	"slices"
	"strings"
	"testing"
	"unicode"

	"pgregory.net/rapid"

	"cbr-replicator/internal/redact"
)

// encoders are the encodings that a credential may have when it is shown.
var encoders = map[string]func(t *rapid.T, s string) string{
	"JSON": func(_ *rapid.T, s string) string {
		b, _ := json.Marshal(s)
		return string(b[1 : len(b)-1])
	},
	"JSON without HTML": func(_ *rapid.T, s string) string {
		var b bytes.Buffer
		e := json.NewEncoder(&b)
		e.SetEscapeHTML(false)
		_ = e.Encode(s)
		return strings.TrimSpace(b.String())[1 : b.Len()-2]
	},
	"JSON of PHP": func(_ *rapid.T, s string) string {
		b, _ := json.Marshal(s)
		return strings.ReplaceAll(string(b[1:len(b)-1]), "/", `\/`)
	},
	"Go": func(_ *rapid.T, s string) string {
		q := fmt.Sprintf("%+q", s)
		return q[1 : len(q)-1]
	},
	"HTML":     func(_ *rapid.T, s string) string { return html.EscapeString(s) },
	"query":    func(_ *rapid.T, s string) string { return url.QueryEscape(s) },
	"path":     func(_ *rapid.T, s string) string { return url.PathEscape(s) },
	"userinfo": func(_ *rapid.T, s string) string { return strings.TrimPrefix(url.UserPassword("", s).String(), ":") },
	"character by character": func(t *rapid.T, s string) string {
		var b strings.Builder
		for _, c := range s {
			spelled := []string{string(c), fmt.Sprintf(`\u%04x`, c), fmt.Sprintf(`\u%04X`, c), fmt.Sprintf("&#%d;", c), fmt.Sprintf("&#x%x;", c), fmt.Sprintf("&#X%04X;", c)}
			if c < unicode.MaxASCII {
				spelled = append(spelled, fmt.Sprintf("%%%02x", c), fmt.Sprintf("%%%02X", c), fmt.Sprintf(`\x%02x`, c))
			}
			if c > 0xffff {
				spelled = spelled[3:]
			}
			b.WriteString(rapid.SampledFrom(spelled).Draw(t, "spelled"))
		}
		return b.String()
	},
	"base64": func(t *rapid.T, s string) string {
		e := rapid.SampledFrom([]*base64.Encoding{base64.StdEncoding, base64.URLEncoding, base64.RawStdEncoding, base64.RawURLEncoding}).Draw(t, "alphabet")
		return e.EncodeToString([]byte(rapid.SampledFrom([]string{"", "u", "u:", "me:"}).Draw(t, "before") + s + rapid.SampledFrom([]string{"", "}", "\"}"}).Draw(t, "after")))
	},
	"folded": func(t *rapid.T, s string) string {
		at, with := rapid.IntRange(1, 76).Draw(t, "column"), rapid.SampledFrom([]string{"\n", "\r\n", "\n  ", "\t"}).Draw(t, "fold")
		var b strings.Builder
		for i, c := range []rune(s) {
			if i > 0 && i%at == 0 {
				b.WriteString(with)
			}
			b.WriteRune(c)
		}
		return b.String()
	},
}

// secretText draws a credential with characters that encoders change and that they write.
func secretText(t *rapid.T) string {
	parts := rapid.SliceOfN(rapid.OneOf(
		rapid.StringMatching(`[ -~]{1,8}`), rapid.StringMatching(`[A-Za-z0-9]{1,12}`), rapid.SampledFrom([]string{"ü", "日", "𝄞"}),
		rapid.SampledFrom([]string{`\`, `\\`, `%`, `%25`, `%2f`, `&`, `&amp;`, `\u0026`, `\n`, `"`, `<`, `>`, `/`, `+`, `=`, " "}),
	), 3, 12).Draw(t, "secret")
	s := strings.TrimSpace(strings.Join(parts, ""))
	if len([]rune(s)) < 8 || strings.Contains(s, redact.Mask) {
		t.Skip("too short, or the mask")
	}
	return s
}

// TestNoSpellingLeaks: of a credential that was encoded up to three times, nothing is
// left, except for bits in characters of base64 that it shares with its neighbours.
func TestNoSpellingLeaks(t *testing.T) {
	t.Parallel()
	var names []string
	for name := range encoders {
		names = append(names, name)
	}
	rapid.Check(t, func(t *rapid.T) {
		secret := secretText(t)
		var r redact.Redactor
		r.Hide(rapid.StringMatching(`[A-Za-z0-9]{8,20}`).Draw(t, "another"))
		r.Hide(secret)
		shown := secret
		through := rapid.SliceOfN(rapid.SampledFrom(names), 1, 3).Draw(t, "encoders")
		for _, name := range through {
			shown = encoders[name](t, shown)
		}
		got := r.Text("~ " + shown + " ~")
		before, rest, ok := strings.Cut(got, redact.Mask)
		beside := 0
		if slices.Contains(through, "base64") {
			beside = 260 // four characters, spelled twice
		}
		if got == redact.Mask && strings.Count(shown, `\`) > 60 {
			return // too costly: a backslash that was escaped three times is eight backslashes
		}
		if !ok || !strings.HasPrefix(before, "~ ") || !strings.HasSuffix(rest, " ~") || len(before)+len(rest) > 4+beside {
			t.Fatalf("%q is shown as %q", shown, got)
		}
		if !r.Contains(shown) || r.Contains(got) {
			t.Fatal("Contains is wrong")
		}
		if again := r.Text(got); again != got {
			t.Fatalf("not idempotent: %q, then %q", got, again)
		}
	})
}
