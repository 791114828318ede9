// Package visibility sets the visibility timeout of each message that is handed
// back to SQS: how long depends on the kind of its outcome. If a change fails, only
// time is lost: the message is redelivered after the queue's own timeout.
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
// to Longest. It is at least retryAfter, which CBR asked for. For some kinds it grows
// with receives, the receive count, which is 1 if there is none. Of a wait that
// grows, up to a fifth is random, so that messages that failed together are not
// redelivered together. It is no more, so that ten deliveries outlast an outage of
// an hour. rand is a number in [0, 1).
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

// growing returns the wait of a message that had so many receives before this one.
func growing(before int, rand float64) time.Duration {
	wait := min(growsFrom<<min(before, 5), growsTo)
	return wait - time.Duration(rand*float64(wait/5))
}
