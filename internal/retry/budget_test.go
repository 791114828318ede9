package retry_test

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"cbr-replicator/internal/kind"
	"cbr-replicator/internal/retry"
)

// budgeted is a policy whose retries only its budget bounds.
func budgeted(b *retry.Budget) retry.Policy {
	return retry.Policy{MaxAttempts: 1 << 20, MaxElapsed: time.Hour, Rand: func() float64 { return 0 }, Budget: b}
}

// retries calls Do with an op that ends with one kind after the other and then
// always with the last. It returns how often op was retried.
func retries(p retry.Policy, ends ...kind.Kind) int {
	calls := 0
	_ = p.Do(context.Background(), func(context.Context) error {
		k := ends[min(calls, len(ends)-1)]
		calls++
		if k == kind.None {
			return nil
		}
		return &kind.Error{Kind: k, Renewed: true}
	}, nil)
	return calls - 1
}

func TestBudget(t *testing.T) {
	t.Parallel()
	const (
		ok, refusal, busy = kind.None, kind.Rejected, kind.InProgress
		throttled, down   = kind.Throttled, kind.Unavailable
	)
	for _, tt := range []struct {
		name  string
		calls [][]kind.Kind
		want  int // retries of the last call
	}{
		{"500 tokens at 14", [][]kind.Kind{{down}}, 35},
		{"500 tokens at 5", [][]kind.Kind{{throttled}}, 100},
		{"empty", [][]kind.Kind{{throttled}, {throttled}}, 0},
		{"too little for the dear, enough for the cheap", [][]kind.Kind{{down}, {down}}, 0},
		{"10 are left", [][]kind.Kind{{down}, {throttled}}, 2},
		{"5 first tries give a throttle's", [][]kind.Kind{{throttled}, {ok}, {ok}, {ok}, {ok}, {ok}, {throttled}}, 1},
		{"4 do not", [][]kind.Kind{{throttled}, {ok}, {ok}, {ok}, {ok}, {throttled}}, 0},
		{"a refusal is an answer", [][]kind.Kind{{throttled}, {refusal}, {refusal}, {refusal}, {refusal}, {refusal}, {throttled}}, 1},
		{"a busy vault is none", [][]kind.Kind{{throttled}, {busy}, {busy}, {busy}, {busy}, {busy}, {throttled}}, 0},
		{"never more than 500", [][]kind.Kind{{ok}, {ok}, {ok}, {ok}, {ok}, {throttled}}, 100},
		{"a retry that succeeds is free in the end", [][]kind.Kind{{down, ok}, {throttled, ok}, {down}}, 35},
		{"the one before it is not", [][]kind.Kind{{throttled, throttled, ok}, {throttled}}, 99},
		{"what the last cost comes back", [][]kind.Kind{{down, throttled, ok}, {throttled}}, 97},
		{"a fresh credential costs nothing", [][]kind.Kind{{throttled}, {kind.Unauthorized, ok}}, 1},
		{"and brings what a first try does", [][]kind.Kind{{throttled}, {ok}, {ok}, {ok}, {ok}, {kind.Unauthorized, ok}, {throttled}}, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			p := budgeted(retry.NewBudget())
			got := 0
			for _, ends := range tt.calls {
				got = retries(p, ends...)
			}
			if got != tt.want {
				t.Errorf("%d retries of the last call, want %d", got, tt.want)
			}
		})
	}
}

// TestBudgetPromise: however calls end, their retries are those that a bucket of 0
// to 500 tokens pays for.
func TestBudgetPromise(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		p := budgeted(retry.NewBudget())
		p.MaxAttempts = rapid.IntRange(1, 40).Draw(rt, "attempts")
		end := rapid.SampledFrom([]kind.Kind{
			kind.Throttled, kind.Throttled, kind.Unavailable, kind.Unavailable,
			kind.None, kind.Unauthorized, kind.Rejected, kind.InProgress,
		})
		tokens, spent, given := 500, 0, 0
		for _, ends := range rapid.SliceOfN(rapid.SliceOfN(end, 1, 12), 1, 60).Draw(rt, "calls") {
			want, refund, fresh := 0, 1, true
			for retry := true; retry; want++ {
				cost := 0
				switch k := ends[min(want, len(ends)-1)]; k {
				case kind.Throttled:
					cost = 5
				case kind.Unavailable:
					cost = 14
				case kind.Unauthorized:
					retry, fresh = fresh, false
				default:
					retry = false
					if k != kind.InProgress {
						given += min(refund, 500-tokens)
						tokens = min(tokens+refund, 500)
					}
				}
				if retry = retry && want+1 < p.MaxAttempts && cost <= tokens; retry && cost > 0 {
					tokens -= cost
					spent += cost
					refund = cost
				}
			}
			if got := retries(p, ends...); got != want-1 {
				rt.Fatalf("%d retries of %q, want %d with %d tokens after them", got, ends, want-1, tokens)
			}
		}
		if tokens < 0 || spent > 500+given {
			rt.Fatalf("%d tokens were spent, %d given back, %d left", spent, given, tokens)
		}
	})
}

// TestBudgetEndsAStorm: while CBR is down, the retries of 1,000 deliveries are
// together what the budget pays for. Without a budget each makes all its tries.
func TestBudgetEndsAStorm(t *testing.T) {
	t.Parallel()
	const deliveries = 1000
	for _, tt := range []struct {
		name   string
		budget *retry.Budget
		want   int
	}{
		{"a budget for all", retry.NewBudget(), deliveries + 500/14},
		{"none", nil, deliveries * policy().MaxAttempts},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				p := policy()
				p.Budget = tt.budget
				var calls, passed atomic.Int64
				var all sync.WaitGroup
				began := time.Now()
				for range deliveries {
					all.Go(func() {
						err := p.Do(t.Context(), func(context.Context) error {
							calls.Add(1)
							return &kind.Error{Kind: kind.Unavailable, HTTPStatus: 503}
						}, nil)
						if kind.As(err).Of() == kind.Unavailable && time.Since(began) == 0 {
							passed.Add(1)
						}
					})
				}
				all.Wait()
				if got := int(calls.Load()); got != tt.want {
					t.Errorf("%d calls, want %d", got, tt.want)
				}
				if got := int(passed.Load()); tt.budget != nil && got < deliveries-500/14 {
					t.Errorf("%d deliveries ended at once with CBR's error, want at least %d", got, deliveries-500/14)
				}
			})
		})
	}
}
