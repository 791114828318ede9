// Package visibility lets the queue do the waiting: a delivery that goes back to
// SQS stays out of sight for as long as its end asks for, instead of the queue's
// own visibility timeout, the same for all. Nothing hangs on it but time: a
// message whose visibility could not be changed comes back after that timeout.
package visibility

import (
	"time"

	"cbr-replicator/internal/kind"
)

const (
	// Longest is the longest delay. SQS counts 12 hours from the receive (SQS
	// developer guide, "Amazon SQS visibility timeout") and refuses a change that
	// goes beyond; 15 minutes, the most that an invocation takes (AWS Lambda
	// developer guide, "Lambda quotas"), may have passed since.
	Longest = 12*time.Hour - 15*time.Minute

	growsFrom = 30 * time.Second
	growsTo   = 15 * time.Minute
	forEffect = time.Minute
)

// Delay returns how long a delivery that ended with k stays out of sight, from 0
// to Longest: not less than retryAfter, which CBR asked for, and for a kind that
// waits longer each time, as long as receives, the delivery's receive count, has
// it. Of what grows by doubling the last fifth is left to chance, so that what
// failed together does not come back together, and no more than that, so that
// ten deliveries outlast an outage of an hour: rand is a number in [0, 1). A
// delivery without a receive count has its first.
func Delay(k kind.Kind, receives int, retryAfter time.Duration, rand float64) time.Duration {
	before := max(receives, 1) - 1
	var wait time.Duration
	switch k.Policy().Wait {
	case kind.AtOnce:
		return 0
	case kind.Growing:
		wait = growing(before, rand)
	case kind.GrowingForEffect:
		wait = max(growing(before, rand), forEffect)
	case kind.ForEffect:
		wait = forEffect
	case kind.ForCopy:
		steps := [...]time.Duration{15 * time.Minute, time.Hour, 3 * time.Hour, 6 * time.Hour, 11 * time.Hour}
		wait = steps[min(before, len(steps)-1)]
	}
	return min(max(wait, retryAfter), Longest)
}

// growing is the wait after so many receives before.
func growing(before int, rand float64) time.Duration {
	wait := min(growsFrom<<min(before, 5), growsTo)
	return wait - time.Duration(rand*float64(wait/5))
}
