package redact_test

import (
	"strings"
	"sync"
	"testing"

	"pgregory.net/rapid"

	"cbr-replicator/internal/redact"
)

// TestForget: a credential is masked as long as a caller hides it.
func TestForget(t *testing.T) {
	t.Parallel()
	const text = "a: first-secret b: second-secret pw"
	var r redact.Redactor
	is := func(want string) {
		t.Helper()
		if got := r.Text(text); got != want {
			t.Errorf("Text = %q, want %q", got, want)
		}
		if got := r.Contains(text); got != (want != text) {
			t.Errorf("Contains = %t of %q", got, want)
		}
	}
	one, other := r.Hide("first-secret"), r.Hide("first-secret")
	second, short, none := r.Hide("second-secret"), r.Hide("pw"), r.Hide("")
	is("a: [redacted] b: [redacted] [redacted]")
	one()
	one() // counts once
	none()
	is("a: [redacted] b: [redacted] [redacted]")
	other()
	is("a: first-secret b: [redacted] [redacted]")
	short()
	is("a: first-secret b: [redacted] pw")
	second()
	is(text)
	r.Hide("second-secret")
	is("a: first-secret b: [redacted] pw")
}

// TestForgetOnesOwn: two credentials with the same text, but of different lengths as they
// were given, so that only one is short, are two.
func TestForgetOnesOwn(t *testing.T) {
	t.Parallel()
	var r redact.Redactor
	short := r.Hide("pa55 wd")
	long := r.Hide("pa55  wd")
	short()
	if got := r.Text("xpa55 wdx"); got != "x[redacted]x" {
		t.Errorf("Text = %q after the short one was forgotten", got)
	}
	long()
	if got := r.Text("xpa55 wdx pa55 wd"); strings.Contains(got, redact.Mask) {
		t.Errorf("Text = %q after both were", got)
	}
}

// TestForgetPromise: in any order of hiding and forgetting, exactly the hidden credentials
// are masked.
func TestForgetPromise(t *testing.T) {
	t.Parallel()
	secrets := []string{"0-a-secret", "1-a-secret", "2-a-secret", "3", "a-secret"}
	rapid.Check(t, func(t *rapid.T) {
		var r redact.Redactor
		held := map[string]int{}
		forgets := map[string][]func(){}
		for range rapid.IntRange(1, 40).Draw(t, "steps") {
			s := rapid.SampledFrom(secrets).Draw(t, "secret")
			if n := len(forgets[s]); n > 0 && rapid.Bool().Draw(t, "forget") {
				forgets[s][n-1]()
				forgets[s] = forgets[s][:n-1]
				held[s]--
			} else {
				forgets[s] = append(forgets[s], r.Hide(s))
				held[s]++
			}
			for _, s := range secrets {
				want := held[s] > 0 || s != "3" && held["a-secret"] > 0
				if got := r.Contains(s); got != want {
					t.Fatalf("%q is masked: %t, while %d hold it", s, got, held[s])
				}
			}
		}
	})
}

// TestForgetMeanwhile: a credential that is hidden all the time is always masked, while
// others are hidden and forgotten.
func TestForgetMeanwhile(t *testing.T) {
	t.Parallel()
	var r redact.Redactor
	r.Hide("held-all-the-time")
	var all sync.WaitGroup
	for _, s := range []string{"one-that-goes", "held-all-the-time"} {
		all.Go(func() {
			for range 200 {
				r.Hide(s)()
			}
		})
		all.Go(func() {
			for range 200 {
				if got := r.Text("x held-all-the-time"); got != "x [redacted]" {
					t.Errorf("Text = %q", got)
				}
			}
		})
	}
	all.Wait()
	if r.Contains("one-that-goes") || !r.Contains("held-all-the-time") {
		t.Error("it is not what is held that is masked")
	}
}
