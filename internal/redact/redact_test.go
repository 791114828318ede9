package redact_test

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"pgregory.net/rapid"

	"cbr-replicator/internal/redact"
)

func ExampleRedactor_Text() {
	var r redact.Redactor
	r.Hide("MIIDbQYJ/oZI")
	fmt.Println(r.Text("decrypt token fail:\nMIIDbQYJ/oZI\x7f"))
	// Output: decrypt token fail: [redacted]
}

func TestTextMasksEverySpelling(t *testing.T) {
	t.Parallel()
	const secret = "MII+abc/def=="
	var r redact.Redactor
	r.Hide(secret)
	r.Hide("")
	for _, in := range []string{
		"x " + secret + " y",
		"x " + secret + secret,
		"x MII%2Babc%2Fdef%3D%3D y",
		`x MII+abc\/def== y`,
		"x MII+\x00abc/\x7fdef== y",
	} {
		got := r.Text(in)
		if strings.Contains(got, "abc") || !strings.Contains(got, redact.Mask) {
			t.Errorf("Text(%q) = %q, want the secret masked", in, got)
		}
	}
	if r.Contains("MII") || !r.Contains("-"+secret+"-") {
		t.Error("Contains is wrong")
	}
}

func TestTextMasksSignatures(t *testing.T) {
	t.Parallel()
	var r redact.Redactor
	const head = "SDK-HMAC-SHA256 Access=AK, SignedHeaders=host;x-sdk-date, Signature="
	value := strings.Repeat("4bf44388", 8)
	if got := r.Text("verify aksk signature fail: " + head + value); got != "verify aksk signature fail: "+head+redact.Mask {
		t.Errorf("Text = %q", got)
	}
	if got := string(r.JSON([]byte(`{"echo":"` + head + value + `"}`))); strings.Contains(got, value) {
		t.Errorf("JSON = %s", got)
	}
}

// TestTextIsSafe is the promise that all other packages rely on: any text comes out safe
// for an HTTP header, and without a credential.
func TestTextIsSafe(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		secret := rapid.StringMatching(`[A-Za-z0-9+/=_-]{8,40}`).Draw(t, "secret")
		var r redact.Redactor
		r.Hide(secret)
		parts := rapid.SliceOf(rapid.OneOf(rapid.String(), rapid.Just(secret), rapid.StringN(0, -1, 4096))).Draw(t, "parts")
		in := strings.Join(parts, "")
		got := r.Text(in)
		if len(got) > redact.MaxText {
			t.Fatalf("%d bytes", len(got))
		}
		if !utf8.ValidString(got) || strings.ContainsFunc(got, func(c rune) bool { return !unicode.IsPrint(c) }) {
			t.Fatalf("not printable: %q", got)
		}
		if strings.Contains(got, secret) {
			t.Fatalf("%q holds the secret %q", got, secret)
		}
		if again := r.Text(got); again != got {
			t.Fatalf("not idempotent: %q, then %q", got, again)
		}
	})
}

// TestShortSecretIsMaskedAlone: a credential under eight characters may be a word. It is
// masked where it stands alone. An id or a name that contains it does not change.
func TestShortSecretIsMaskedAlone(t *testing.T) {
	t.Parallel()
	var r redact.Redactor
	for secret, everywhere := range map[string]bool{"backup": false, "test": false, "p&w": false, "1234567": false, "12345678": true, "": true} {
		r.Hide(secret)
		if got := redact.IsShort(secret); got == everywhere {
			t.Errorf("IsShort(%q) = %t, want %t", secret, got, !everywhere)
		}
	}
	for in, want := range map[string]string{
		"test":                             "[redacted]",
		"password=test.":                   "password=[redacted].",
		`"test"`:                           `"[redacted]"`,
		"http://me:test@proxy.example.com": "http://me:[redacted]@proxy.example.com",
		"the backup, test/backup":          "the [redacted], [redacted]/[redacted]",
		`{\"backup\":\"p\u0026w\"}`:        `{\"[redacted]\":\"[redacted]\"}`,
		"p&amp;w p%26w":                    "[redacted] [redacted]",
		"a%20test%20b":                     "a%20[redacted]%20b",
		`a\ntest\nb`:                       `a\n[redacted]\nb`,
		"1234567 12345678 x12345678x":      "[redacted] [redacted] x[redacted]x",

		"backups, a_backup, tests1":        "",
		"nightly-backup-1":                 "",
		"backup.example.com, vault.backup": "",
		"test-invoke-request":              "",
		"te st":                            "",
		"testé étest":                      "",
		"1234567-0000, 0.1234567":          "",
		"x12345670":                        "",
		"0ca3eb86-8800-46da-9c37-9d657a825274 p w p;": "",
	} {
		if want == "" {
			want = in
		}
		if got := r.Text(in); got != want {
			t.Errorf("Text(%q) = %q, want %q", in, got, want)
		}
	}
	for _, id := range []string{"test", "backup", "nightly-backup-1", "p&w"} {
		if got := r.ID(id); got != id {
			t.Errorf("ID(%q) = %q", id, got)
		}
	}
	if got := r.ID("a-12345678\x00-b"); got != "a-[redacted]-b" {
		t.Errorf("ID = %q", got)
	}
}

// TestJSONKeepsNames: CBR's names of members stay, even if a credential is equal to one. A
// name that is not CBR's is masked like any other text.
func TestJSONKeepsNames(t *testing.T) {
	t.Parallel()
	var r redact.Redactor
	for _, secret := range []string{"backup", "vault_id", "replication_record_id"} {
		r.Hide(secret)
	}
	const raw = `{"backups":[{"backup":"a","replication_record_id":"b\u002f"}],"vault_id":1}`
	if got := string(r.JSON([]byte(raw))); got != raw {
		t.Errorf("JSON = %s", got)
	}
	if got := string(r.JSON([]byte(`{"vault_id":["backup","x\u002freplication_record\u005fid"]}`))); got != `{"vault_id":["[redacted]","x/[redacted]"]}` {
		t.Errorf("JSON = %s", got)
	}
}

// TestTextIsIdempotent, with credentials of every length beside each other, beside the
// mask, at the cut and with escapes.
func TestTextIsIdempotent(t *testing.T) {
	t.Parallel()
	words := rapid.SampledFrom([]string{
		"test", "testing1", "redac", "redacted", "te", "t", ".", "...", "-", " ", "\n", "\x00", `\n`, `\`, "%", "25", "%74", "&amp;", "&", "x", "dGVzdGluZzE=", redact.Mask,
	})
	text := func(t *rapid.T, name string, n int) string {
		return strings.Join(rapid.SliceOfN(words, 1, n).Draw(t, name), "")
	}
	rapid.Check(t, func(t *rapid.T) {
		var r redact.Redactor
		for range rapid.IntRange(1, 4).Draw(t, "secrets") {
			r.Hide(text(t, "secret", 5))
		}
		in := text(t, "text", 20)
		if rapid.Bool().Draw(t, "long") {
			in = strings.Repeat("x", redact.MaxText-rapid.IntRange(0, 40).Draw(t, "before the cut")) + in
		}
		got := r.Text(in)
		if again := r.Text(got); again != got || len(got) > redact.MaxText {
			t.Fatalf("%q, then %q", got, again)
		}
		if id := r.ID(in); r.ID(id) != id {
			t.Fatalf("%q, then %q", id, r.ID(id))
		}
	})
}

// TestTextWithoutSecretsStays: text that is not a credential is not masked, not even
// beside one.
func TestTextWithoutSecretsStays(t *testing.T) {
	t.Parallel()
	word := rapid.OneOf(rapid.StringMatching(`[ -~]{0,12}`), rapid.StringMatching(`[A-Za-z0-9+/_-]{0,60}={0,2}`),
		rapid.SampledFrom([]string{`\u0026`, `\n`, "%2F", "&amp;", "&#38;", "0ca3eb86-8800-46da-9c37-9d657a825274"}))
	rapid.Check(t, func(t *rapid.T) {
		var r redact.Redactor
		for range rapid.IntRange(1, 30).Draw(t, "secrets") {
			r.Hide(rapid.StringMatching(`MII[A-Za-z0-9+/]{20,60}`).Draw(t, "secret"))
		}
		secret := rapid.StringMatching(`[A-Za-z0-9][!-~]{20,60}[A-Za-z0-9]{2}`).Draw(t, "the secret")
		r.Hide(secret)
		text := strings.Join(rapid.SliceOfN(word, 0, 20).Draw(t, "text"), "")
		if got := r.Text(text); got != text {
			t.Fatalf("Text(%q) = %q", text, got)
		}
		if got := r.Text(text + " " + secret + " " + text); got != text+" "+redact.Mask+" "+text {
			t.Fatalf("%q shows as %q", text, got)
		}
	})
}

// TestMessageKeepsItsEnds: another's text in the middle is cut, and our text before and
// after it stays.
func TestMessageKeepsItsEnds(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var r redact.Redactor
		r.Hide("a-proxy-password")
		r.Hide("short")
		before, after := "the lookup failed: ", "; put a new one there"
		theirs := strings.Join(rapid.SliceOfN(rapid.SampledFrom([]string{"é", "short ", strings.Repeat("x", 500), "a-proxy-password", "\n", " "}), 0, 40).Draw(t, "text"), "")
		got := r.Message(before + theirs + after)
		if !strings.HasPrefix(got, before) || !strings.HasSuffix(got, after) || len(got) > redact.MaxText || !utf8.ValidString(got) {
			t.Fatalf("%d bytes: %q", len(got), got)
		}
		if r.Contains(got) || r.Text(got) != got || r.Message(got) != got {
			t.Fatalf("%q holds a credential, or would change", got)
		}
		if all := r.Text(before + theirs + after); len(all) < redact.MaxText-128 && got != all {
			t.Fatalf("%q is cut", got)
		}
	})
}

// TestTooManyEscapes: a text that was made to be costly is masked without a search.
func TestTooManyEscapes(t *testing.T) {
	t.Parallel()
	var r redact.Redactor
	r.Hide("a-proxy-password")
	for _, in := range []string{strings.Repeat(`\`, 1<<20), strings.Repeat("%25", 1<<20)} {
		if got := r.Text(in); got != redact.Mask {
			t.Errorf("Text = %.40q", got)
		}
	}
}

// TestNameAndPasswordInBasic: the name stays, except for the characters of base64 that it
// shares with the password.
func TestNameAndPasswordInBasic(t *testing.T) {
	t.Parallel()
	var r redact.Redactor
	r.Hide("a-proxy-password")
	for name, want := range map[string]string{"": "Og", "m": "bT", "me": "bWU6", "the": "dGhlOg"} {
		header := "Proxy-Authorization: Basic " + base64.StdEncoding.EncodeToString([]byte(name+":a-proxy-password"))
		got := r.Text(header)
		start, _, ok := strings.Cut(got, redact.Mask)
		if start = strings.TrimPrefix(start, "Proxy-Authorization: Basic "); !ok || !strings.HasPrefix(want, start) {
			t.Errorf("%s is shown as %s", header, got)
		}
	}
}

// TestTextCutsLate: of a credential across the cut, the first half must not stay.
func TestTextCutsLate(t *testing.T) {
	t.Parallel()
	secret := strings.Repeat("S", 64)
	var r redact.Redactor
	r.Hide(secret)
	got := r.Text(strings.Repeat("x", redact.MaxText-32) + secret)
	if strings.Contains(got, "S") {
		t.Errorf("half a credential is left: …%q", got[len(got)-40:])
	}
}

func FuzzText(f *testing.F) {
	f.Add("a\x7fb\r\n", "secret")
	f.Fuzz(func(t *testing.T, in, secret string) {
		var r redact.Redactor
		r.Hide(secret)
		h := http.Header{}
		h.Set("X", r.Text(in))
		if err := h.Write(discard{}); err != nil {
			t.Fatal(err)
		}
	})
}

type discard struct{}

func (discard) Write(p []byte) (int, error) { return len(p), nil }
