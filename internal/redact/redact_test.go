package redact_test

import (
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

// TestTextIsSafe is the promise the rest relies on: whatever comes in, what
// goes out may stand in an HTTP header and holds no credential.
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

// TestTextCutsLate: a credential across the cut must not leave its first half.
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
