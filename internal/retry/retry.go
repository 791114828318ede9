// Package retry decides when a call is retried in place. It uses
// cenkalti/backoff/v4 for exponential intervals, the bound on retries, the wait
// that ends with a context, and Permanent errors. Its own BackOff adds what that
// package does not have: the kind of an error, Retry-After, a bound on all waits
// together, a deadline that no wait may go beyond, and a budget that all calls
// share.
//
// It does not use two parts of the library. First, full jitter: a
// RandomizationFactor of 1 on halved intervals would do it, but it draws from
// math/rand's own source. Then no test could check a wait to the nanosecond, and
// no simulation could be repeated from its seed. Second, the result of Retry: when
// ctx ends it is ctx's error. Here it is the error of the last call.
package retry

import (
	"context"
	"math"
	"time"

	"github.com/cenkalti/backoff/v4"

	"cbr-replicator/internal/kind"
)

// Policy is how often a call is retried and how long it waits. Its only state is
// its budget, so that any number of calls may use it at once, if its Rand is safe
// for concurrent use.
type Policy struct {
	// Initial and Max bound each wait. Before try i+1 it is a random part of
	// min(Initial·2^(i-1), Max), "full jitter".
	Initial, Max time.Duration
	// MaxAttempts counts the first try too.
	MaxAttempts int
	// MaxElapsed bounds all waits of one call together. If Retry-After is longer,
	// the call is not retried: waiting in a queue costs less.
	MaxElapsed time.Duration
	// MinTry is how much time must be left of ctx for a try to begin. The outcome
	// of a try that is cut off would be unknown.
	MinTry time.Duration
	// Rand returns a number in [0, 1), as math/rand/v2's Float64 does.
	Rand func() float64
	// Budget, if not nil, bounds the retries of all calls that share it. When it
	// is used up, no call is retried.
	Budget *Budget
}

// Do calls op until it succeeds, fails for good, or may not be retried before ctx
// ends. It returns op's last error, or an OutOfTime if there was no time for one
// try. Before each wait it calls notify, which may be nil, with the error and the
// wait's length.
func (p Policy) Do(ctx context.Context, op func(context.Context) error, notify func(err error, wait time.Duration)) error {
	if !p.mayTry(left(ctx)) {
		return &kind.Error{Kind: kind.OutOfTime, Message: "too little of the invocation is left to begin"}
	}
	call := p.Begin()
	_ = backoff.RetryNotify(func() error {
		err := op(ctx)
		if !call.schedule.inPlace(err, left(ctx)) {
			return backoff.Permanent(err)
		}
		return err
	}, backoff.WithContext(call.backOff, ctx), notify)
	call.End(call.schedule.last)
	return call.schedule.last
}

// left returns the time until ctx ends.
func left(ctx context.Context) time.Duration {
	deadline, ok := ctx.Deadline()
	switch {
	case ctx.Err() != nil:
		return 0
	case !ok:
		return math.MaxInt64
	}
	return time.Until(deadline)
}

// Call decides about one call without a clock. It is for callers that keep the time
// themselves, such as a simulation. All others use [Policy.Do]. It is not safe for
// concurrent use.
type Call struct {
	schedule schedule
	backOff  backoff.BackOff // schedule, bounded by MaxAttempts
}

// Begin returns a Call that has not been tried yet.
func (p Policy) Begin() *Call {
	c := &Call{schedule: schedule{policy: p, refund: firstTry}}
	c.backOff = backoff.WithMaxRetries(&c.schedule, uint64(max(p.MaxAttempts-1, 0)))
	return c
}

// Next is called after each failed try, with its error. It returns whether to retry,
// and after which wait. left is the time for both.
func (c *Call) Next(err error, left time.Duration) (wait time.Duration, retry bool) {
	if !c.schedule.inPlace(err, left) {
		return 0, false
	}
	if wait = c.backOff.NextBackOff(); wait == backoff.Stop {
		return 0, false
	}
	return wait, true
}

// End is called with the error of the last try, nil for a success. If the service
// has answered, the budget gets its refund.
func (c *Call) End(err error) {
	if !kind.As(err).Of().Policy().Redeliver {
		// Even a refusal shows that the service works.
		c.schedule.policy.Budget.give(c.schedule.refund)
	}
}

// schedule is the waits of one call: a BackOff around an exponential one.
type schedule struct {
	policy      Policy
	exponential backoff.BackOff // nil before the first wait: most calls need none
	waited      time.Duration
	renewed     bool
	refund      int // what the budget gets if the next try succeeds

	// The error of the last try, and the time that was left after it.
	last error
	left time.Duration
}

// inPlace is called with the error of each try. It reports whether an error of that
// kind is retried in place.
func (s *schedule) inPlace(err error, left time.Duration) bool {
	s.last, s.left = err, left
	switch e := kind.As(err); e.Of().Policy().Retry {
	case kind.Backoff:
		return true
	case kind.FreshCredential:
		first := !s.renewed
		s.renewed = true
		return e.Renewed && first
	}
	return false
}

// NextBackOff returns how long to wait after the last try, or backoff.Stop.
func (s *schedule) NextBackOff() time.Duration {
	// A retry with a fresh credential has no wait and costs nothing: a call has at
	// most one, and it is no sign of load.
	var wait time.Duration
	cost := 0
	if e := kind.As(s.last); e.Of().Policy().Retry == kind.Backoff {
		wait = max(time.Duration(s.policy.Rand()*float64(s.interval())), e.RetryAfter)
		cost = costOf(e.Kind)
	}
	if wait > s.policy.MaxElapsed-s.waited || !s.policy.mayTry(s.left-wait) {
		return backoff.Stop
	}
	if cost > 0 {
		if !s.policy.Budget.take(cost) {
			return backoff.Stop
		}
		s.refund = cost
	}
	s.waited += wait
	return wait
}

// interval is the wait before jitter.
func (s *schedule) interval() time.Duration {
	if s.exponential == nil {
		s.exponential = backoff.NewExponentialBackOff(
			backoff.WithInitialInterval(min(s.policy.Initial, s.policy.Max)),
			backoff.WithMaxInterval(s.policy.Max),
			backoff.WithMultiplier(2),
			backoff.WithRandomizationFactor(0),
			backoff.WithMaxElapsedTime(0),
		)
	}
	return s.exponential.NextBackOff()
}

// Reset does nothing: a schedule serves one call.
func (s *schedule) Reset() {}

// mayTry reports whether a try may begin when this much time is left.
func (p Policy) mayTry(left time.Duration) bool { return left > 0 && left >= p.MinTry }
