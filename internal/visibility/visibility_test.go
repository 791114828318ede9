package visibility_test

import (
	"fmt"
	"math"
	"testing"
	"time"

	"pgregory.net/rapid"

	"cbr-replicator/internal/kind"
	"cbr-replicator/internal/visibility"
)

func ExampleDelay() {
	for receives := 1; receives <= 6; receives++ {
		fmt.Println(
			visibility.Delay(kind.Unavailable, receives, 0, 0.5),
			visibility.Delay(kind.InProgress, receives, 0, 0.5))
	}
	// Output:
	// 27s 15m0s
	// 54s 1h0m0s
	// 1m48s 3h0m0s
	// 3m36s 6h0m0s
	// 7m12s 11h0m0s
	// 13m30s 11h0m0s
}

func TestDelay(t *testing.T) {
	t.Parallel()
	almost := 1 - 1.0/(1<<53) // the greatest number that Float64 returns
	for _, tt := range []struct {
		kind       kind.Kind
		receives   int
		retryAfter time.Duration
		rand       float64
		want       time.Duration
	}{
		{kind.Throttled, 1, 0, 0, 30 * time.Second},
		{kind.Throttled, 1, 0, almost, 24*time.Second + 1},
		{kind.Throttled, 5, 0, 0, 8 * time.Minute},
		{kind.Throttled, 6, 0, 0, 15 * time.Minute},
		{kind.Throttled, 6, 0, almost, 12*time.Minute + 1},
		{kind.Throttled, math.MaxInt, 0, 0, 15 * time.Minute},
		{kind.Throttled, 0, 0, 0, 30 * time.Second},
		{kind.Throttled, math.MinInt, 0, 0, 30 * time.Second},
		{kind.Throttled, 1, 2 * time.Minute, 0, 2 * time.Minute},
		{kind.Throttled, 4, 2 * time.Minute, 0, 4 * time.Minute},
		{kind.Throttled, 1, 24 * time.Hour, 0, 11*time.Hour + 45*time.Minute},
		{kind.Unavailable, 2, 0, 0, time.Minute},
		{kind.Unauthorized, 2, 0, 0, time.Minute},
		{kind.Misconfigured, 2, 0, 0, time.Minute},
		{kind.Internal, 1, 0, almost, time.Minute},
		{kind.Internal, 3, 0, 0, 2 * time.Minute},
		{kind.PublishFailed, 1, 0, almost, time.Minute},
		{kind.PublishFailed, 2, 0, almost, time.Minute},
		{kind.PublishFailed, 9, 0, 0, 15 * time.Minute},
		{"Nonsense", 2, 0, 0, time.Minute},

		{kind.Unknown, 1, 0, almost, time.Minute},
		{kind.Unknown, 9, 0, 0, time.Minute},
		{kind.Unknown, 1, 2 * time.Minute, 0, 2 * time.Minute},

		{kind.InProgress, 0, 0, 0, 15 * time.Minute},
		{kind.InProgress, 1, 0, almost, 15 * time.Minute},
		{kind.InProgress, 2, 0, 0, time.Hour},
		{kind.InProgress, 3, 0, 0, 3 * time.Hour},
		{kind.InProgress, 4, 0, 0, 6 * time.Hour},
		{kind.InProgress, 5, 0, 0, 11 * time.Hour},
		{kind.InProgress, math.MaxInt, 0, 0, 11 * time.Hour},

		{kind.OutOfTime, 9, 0, 0, 0},
		{kind.Blocked, 9, time.Hour, 0, 0},
	} {
		if got := visibility.Delay(tt.kind, tt.receives, tt.retryAfter, tt.rand); got != tt.want {
			t.Errorf("Delay(%s, %d, %v, %v) = %v, want %v", tt.kind, tt.receives, tt.retryAfter, tt.rand, got, tt.want)
		}
	}
}

// TestDelayPromises holds Delay to its documentation, for any arguments.
func TestDelayPromises(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		k := rapid.SampledFrom([]kind.Kind{
			kind.InProgress, kind.Misconfigured, kind.Unauthorized, kind.Throttled, kind.Unavailable, kind.Unknown,
			kind.OutOfTime, kind.Blocked, kind.PublishFailed, kind.Internal, "Nonsense",
		}).Draw(rt, "kind")
		receives := rapid.OneOf(rapid.IntRange(0, 12), rapid.IntRange(math.MinInt, math.MaxInt-1)).Draw(rt, "receives")
		asked := time.Duration(rapid.OneOf(
			rapid.Just[int64](0),
			rapid.Int64Range(0, int64(20*time.Hour)),
			rapid.Int64Range(0, math.MaxInt64),
		).Draw(rt, "retry after"))
		rand := rapid.Float64Range(0, 1-1.0/(1<<53)).Draw(rt, "rand")

		got := visibility.Delay(k, receives, asked, rand)
		if got < 0 || got > visibility.Longest {
			rt.Fatalf("Delay = %v, want 0 to %v", got, visibility.Longest)
		}
		if k == kind.OutOfTime || k == kind.Blocked {
			if got != 0 {
				rt.Fatalf("Delay = %v, want none", got)
			}
			return
		}
		if got < min(asked, visibility.Longest) {
			rt.Fatalf("Delay = %v, less than the %v that were asked for", got, asked)
		}
		if next := visibility.Delay(k, receives+1, asked, rand); next < got {
			rt.Fatalf("Delay falls from %v to %v with another receive", got, next)
		}
		full := visibility.Delay(k, receives, 0, 0)
		if asked == 0 && (got < full/5*4 || got > full) {
			rt.Fatalf("Delay = %v, want four fifths to all of %v", got, full)
		}
		if got > max(full, asked) {
			rt.Fatalf("Delay = %v, longer than both %v and what was asked for, %v", got, full, asked)
		}
	})
}
