package retry_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"cbr-replicator/internal/kind"
	"cbr-replicator/internal/retry"
)

func ExamplePolicy_Do() {
	policy := retry.Policy{
		Initial:     500 * time.Millisecond,
		Max:         20 * time.Second,
		MaxAttempts: 6,
		MaxElapsed:  20 * time.Second,
		Rand:        func() float64 { return 0 }, // otherwise math/rand/v2's Float64
	}
	answers := []error{
		&kind.Error{Kind: kind.Throttled, Code: "APIG.0308", Message: "over ratelimit"},
		&kind.Error{Kind: kind.Unavailable, Message: "no connection to CBR"},
		&kind.Error{Kind: kind.InProgress, Code: "BackupService.6130", Message: "The vault is being replicated."},
	}
	err := policy.Do(context.Background(), func(context.Context) error {
		answer := answers[0]
		answers = answers[1:]
		return answer
	}, func(err error, _ time.Duration) {
		fmt.Println("retrying:", err)
	})
	fmt.Println("given up:", err)
	// Output:
	// retrying: Throttled APIG.0308 over ratelimit
	// retrying: Unavailable no connection to CBR
	// given up: InProgress BackupService.6130 The vault is being replicated.
}

// call is one call of op: when it began, counted from the first, and what it
// returned.
type call struct {
	began time.Duration
	err   error
}

// step is what op does when it is called.
type step struct {
	takes time.Duration
	err   error // nil: success
}

// run calls Do with an op that takes one step after the other and then always the
// last, in the time of a bubble. t fails if a wait was not as long as notify was
// told.
func run(t *testing.T, p retry.Policy, ctx context.Context, steps ...step) (calls []call, waits []time.Duration, err error) {
	t.Helper()
	start := time.Now()
	var ended time.Time
	err = p.Do(ctx, func(ctx context.Context) error {
		now := steps[0]
		steps = steps[min(1, len(steps)-1):]
		if len(waits) > 0 && time.Since(ended) != waits[len(waits)-1] {
			t.Errorf("slept %v, announced %v", time.Since(ended), waits[len(waits)-1])
		}
		calls = append(calls, call{time.Since(start), now.err})
		select {
		case <-time.After(now.takes):
		case <-ctx.Done():
		}
		ended = time.Now()
		return now.err
	}, func(_ error, wait time.Duration) { waits = append(waits, wait) })
	if len(calls) > 0 && !errors.Is(err, calls[len(calls)-1].err) {
		t.Errorf("Do = %v, want the last call's %v", err, calls[len(calls)-1].err)
	}
	return calls, waits, err
}

func fails(k kind.Kind) step { return step{err: &kind.Error{Kind: k}} }

func asks(wait time.Duration) step {
	return step{err: &kind.Error{Kind: kind.Throttled, RetryAfter: wait}}
}

// policy is the configuration's default.
func policy() retry.Policy {
	return retry.Policy{
		Initial:     500 * time.Millisecond,
		Max:         20 * time.Second,
		MaxAttempts: 6,
		MaxElapsed:  20 * time.Second,
		MinTry:      time.Second,
		Rand:        func() float64 { return 0.5 },
	}
}

// TestSchedule: with full jitter a wait is a part of min(Initial·2^i, Max), from
// nothing to just less than all of it.
func TestSchedule(t *testing.T) {
	t.Parallel()
	caps := []time.Duration{
		500 * time.Millisecond, time.Second, 2 * time.Second, 4 * time.Second, 8 * time.Second,
		16 * time.Second, 20 * time.Second, 20 * time.Second,
	}
	for _, part := range []float64{0, 0.5, math.Nextafter(1, 0)} {
		t.Run(fmt.Sprint(part), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				p := policy()
				p.MaxAttempts, p.MaxElapsed = len(caps)+1, time.Hour
				p.Rand = func() float64 { return part }
				var want []time.Duration
				for _, c := range caps {
					want = append(want, time.Duration(part*float64(c)))
				}
				_, waits, _ := run(t, p, t.Context(), fails(kind.Unavailable))
				if diff := cmp.Diff(want, waits); diff != "" {
					t.Errorf("waits (-want +got):\n%s", diff)
				}
				if part > 0.5 && waits[0] < caps[0]-time.Nanosecond {
					t.Errorf("first wait = %v, want just less than %v", waits[0], caps[0])
				}
			})
		})
	}
}

func TestDo(t *testing.T) {
	t.Parallel()
	refused := func(renewed bool) step {
		return step{err: &kind.Error{Kind: kind.Unauthorized, Renewed: renewed}}
	}
	late := func(s step, takes time.Duration) step { s.takes = takes; return s }
	const none = time.Duration(0)
	for _, tt := range []struct {
		name  string
		left  time.Duration // of ctx; 0: no deadline
		steps []step
		want  kind.Kind
		waits []time.Duration
	}{
		{"success", none, []step{{}}, kind.None, nil},
		{"success after two", none, []step{fails(kind.Throttled), fails(kind.Unavailable), {}}, kind.None, []time.Duration{250e6, 500e6}},
		{"all attempts", none, []step{fails(kind.Unavailable)}, kind.Unavailable, []time.Duration{250e6, 500e6, 1e9, 2e9, 4e9}},
		{"the last error counts", none, []step{fails(kind.Throttled), fails(kind.Rejected)}, kind.Rejected, []time.Duration{250e6}},

		{"an uncertain outcome, never", none, []step{fails(kind.Unknown), {}}, kind.Unknown, nil},
		{"a busy vault, never", none, []step{fails(kind.InProgress), {}}, kind.InProgress, nil},
		{"an error of no kind, never", none, []step{{err: errors.New("a bug")}, {}}, kind.Internal, nil},

		{"a fresh credential at once", none, []step{refused(true), {}}, kind.None, []time.Duration{0}},
		{"a fresh credential once", none, []step{refused(true), refused(true), {}}, kind.Unauthorized, []time.Duration{0}},
		{"no fresh credential", none, []step{refused(false), {}}, kind.Unauthorized, nil},
		{"a fresh credential between others", none, []step{fails(kind.Throttled), refused(true), fails(kind.Throttled), refused(true)}, kind.Unauthorized, []time.Duration{250e6, 0, 500e6}},
		{"a fresh credential too late", 10 * time.Second, []step{late(refused(true), 9500*time.Millisecond), {}}, kind.Unauthorized, nil},

		{"Retry-After is longer", none, []step{asks(3 * time.Second), {}}, kind.None, []time.Duration{3e9}},
		{"Retry-After is shorter", none, []step{asks(time.Millisecond), {}}, kind.None, []time.Duration{250e6}},
		{"Retry-After takes all that may be waited", none, []step{asks(20 * time.Second), {}}, kind.None, []time.Duration{20e9}},
		{"Retry-After takes more", none, []step{asks(20*time.Second + 1), {}}, kind.Throttled, nil},
		{"Retry-After takes more together", none, []step{asks(15 * time.Second), asks(6 * time.Second), {}}, kind.Throttled, []time.Duration{15e9}},
		{"Retry-After beyond all bounds", none, []step{asks(time.Second), asks(math.MaxInt64), {}}, kind.Throttled, []time.Duration{1e9}},
		{"Retry-After leaves just enough", 10 * time.Second, []step{asks(9 * time.Second), {}}, kind.None, []time.Duration{9e9}},
		{"Retry-After leaves too little", 10 * time.Second, []step{asks(9*time.Second + 1), {}}, kind.Throttled, nil},

		{"tries use up the time", 10 * time.Second, []step{late(fails(kind.Unavailable), 4*time.Second)}, kind.Unavailable, []time.Duration{250e6, 500e6}},
		{"ctx ends in a try", 10 * time.Second, []step{late(fails(kind.Unavailable), time.Minute)}, kind.Unavailable, nil},
		{"just enough left to begin", time.Second, []step{{}}, kind.None, nil},
		{"too little left to begin", time.Second - 1, []step{{}}, kind.OutOfTime, nil},
		{"nothing left", -time.Second, []step{{}}, kind.OutOfTime, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				ctx := t.Context()
				if tt.left != 0 {
					var cancel func()
					ctx, cancel = context.WithTimeout(ctx, tt.left)
					defer cancel()
				}
				calls, waits, err := run(t, policy(), ctx, tt.steps...)
				if got := kind.As(err).Of(); got != tt.want {
					t.Errorf("Do = %v, want %q", err, tt.want)
				}
				if diff := cmp.Diff(tt.waits, waits); diff != "" {
					t.Errorf("waits (-want +got):\n%s", diff)
				}
				want := len(tt.waits) + 1
				if tt.want == kind.OutOfTime {
					want = 0
				}
				if len(calls) != want {
					t.Errorf("%d calls, want %d", len(calls), want)
				}
			})
		})
	}
}

// TestCancelled: a ctx without a deadline may end during a wait.
func TestCancelled(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(5*time.Second, cancel)
		began := time.Now()
		calls, _, err := run(t, policy(), ctx, asks(20*time.Second))
		if e := kind.As(err); e.Of() != kind.Throttled || len(calls) != 1 || time.Since(began) != 5*time.Second {
			t.Errorf("Do = %v after %v and %d calls, want the last call's error when ctx ends", err, time.Since(began), len(calls))
		}
		calls, _, err = run(t, retry.Policy{MaxAttempts: 1}, ctx, step{})
		if e := kind.As(err); e.Of() != kind.OutOfTime || len(calls) != 0 {
			t.Errorf("Do = %v after %d calls, want no call with a ctx that is done", err, len(calls))
		}
	})
}

// TestNoWaitToTheVeryEnd: even if MinTry is zero, as for publishing, a wait must
// leave time for a try.
func TestNoWaitToTheVeryEnd(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		p := policy()
		p.MinTry = 0
		if _, waits, err := run(t, p, ctx, asks(10*time.Second)); len(waits) > 0 {
			t.Errorf("waits = %v, then %v; want none", waits, err)
		}
	})
}

// TestPromises holds Do to its documentation, for any policy and any answers.
func TestPromises(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		span := func(name string, upTo time.Duration) time.Duration {
			return time.Duration(rapid.Int64Range(0, int64(upTo)).Draw(rt, name))
		}
		part := rapid.Float64Range(0, 1).Draw(rt, "part")
		p := retry.Policy{
			Initial:     span("initial", 5*time.Second),
			Max:         span("max", 30*time.Second),
			MaxAttempts: rapid.IntRange(1, 8).Draw(rt, "attempts"),
			MaxElapsed:  span("elapsed", time.Minute),
			MinTry:      span("min try", 5*time.Second),
			Rand:        func() float64 { return part },
		}
		left := span("left", 2*time.Minute)
		kinds := rapid.SampledFrom([]kind.Kind{kind.Throttled, kind.Throttled, kind.Unavailable, kind.Unavailable, kind.Unauthorized, kind.Unknown})
		steps := []step{}
		for range 8 {
			steps = append(steps, step{span("takes", 10*time.Second), &kind.Error{
				Kind:       kinds.Draw(rt, "kind"),
				RetryAfter: rapid.SampledFrom([]time.Duration{0, 0, time.Millisecond, span("retry after", 40*time.Second)}).Draw(rt, "asked"),
				Renewed:    true,
			}})
		}

		var calls []call
		var waits []time.Duration
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), left)
			defer cancel()
			calls, waits, _ = run(t, p, ctx, steps...)
		})

		if len(calls) > p.MaxAttempts || len(calls) > 0 && len(waits) != len(calls)-1 {
			rt.Fatalf("%d calls with %d waits", len(calls), len(waits))
		}
		var waited, now time.Duration
		renewed, grown := false, min(p.Initial, p.Max)
		for i, c := range calls {
			if now > left-p.MinTry || now >= left || c.began != now {
				rt.Fatalf("call %d began at %v of %v, want %v", i, c.began, left, now)
			}
			now = min(now+steps[i].takes, left)
			// What must follow from this error, by the documentation.
			e := kind.As(c.err)
			wait, retry := time.Duration(0), i+1 < p.MaxAttempts
			switch e.Kind.Policy().Retry {
			case kind.Backoff:
				wait = max(time.Duration(part*float64(grown)), e.RetryAfter)
				grown = min(2*grown, p.Max)
			case kind.FreshCredential:
				retry = retry && !renewed
				renewed = true
			default:
				retry = false
			}
			retry = retry && waited+wait <= p.MaxElapsed && now+wait <= left-p.MinTry && now+wait < left
			if retry != (i+1 < len(calls)) {
				rt.Fatalf("after call %d, %v at %v with %v to wait: retried %t, want %t", i, e, now, wait, !retry, retry)
			}
			if retry && waits[i] != wait {
				rt.Fatalf("wait %d = %v, want %v", i, waits[i], wait)
			}
			waited += wait
			now += wait
		}
	})
}
