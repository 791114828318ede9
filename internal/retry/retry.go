// Package retry decides when a call is made again in place. What is asked of it
// is cenkalti/backoff/v4's: its exponential intervals, its bound on retries, its
// waiting until a context ends, its Permanent errors. One BackOff decorates them
// with what that package does not know by itself: the kind of an error,
// Retry-After, a bound on the waiting as a whole, a deadline that no sleep may
// outlast, and a budget that all calls share.
//
// Two things of the library's are not used. Full jitter would be its
// RandomizationFactor 1 on halved intervals, but it draws from math/rand's own
// source: a test could not hold a wait to the nanosecond, nor a simulation be
// run again from its seed. And the result of its Retry is ctx's error when ctx
// ends, so that what upstream said would be lost: the error of the last call
// survives here.
package retry

import (
	"context"
	"math"
	"time"

	"github.com/cenkalti/backoff/v4"

	"cbr-replicator/internal/kind"
)

// Policy says how often and how long. It holds no state but its budget's: one
// value serves any number of calls at once, if its Rand is safe for concurrent
// use.
type Policy struct {
	// Initial and Max bound the waits: before try i+1 it is a random part of
	// min(Initial·2^(i-1), Max), "full jitter".
	Initial, Max time.Duration
	// MaxAttempts counts the first try too.
	MaxAttempts int
	// MaxElapsed bounds all waits of one call together. A longer Retry-After
	// is not waited for at all: a queue waits more cheaply.
	MaxElapsed time.Duration
	// MinTry is how much of ctx must be left for a try to begin: one that is
	// cut off leaves an uncertain outcome where there was a certain one.
	MinTry time.Duration
	// Rand returns a number in [0, 1), as math/rand/v2's Float64 does.
	Rand func() float64
	// Budget, if not nil, bounds the retries of all calls that share it: with
	// none left in it, an error is final at once.
	Budget *Budget
}

// Do calls op until it succeeds, fails for good, or may not be called again
// before ctx ends, and returns op's last error; an OutOfTime if there was no
// time for even one try. Before each wait it calls notify, which may be nil,
// with the error and the wait's length.
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

// left returns how much of ctx there is.
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

// Call decides for one call, without a clock: for those that keep time
// themselves, as a simulation does. All others have [Policy.Do]. Not safe for
// concurrent use.
type Call struct {
	schedule schedule
	backOff  backoff.BackOff // schedule, as often as MaxAttempts allows
}

// Begin returns the Call for one that has not been tried yet.
func (p Policy) Begin() *Call {
	c := &Call{schedule: schedule{policy: p, refund: firstTry}}
	c.backOff = backoff.WithMaxRetries(&c.schedule, uint64(max(p.MaxAttempts-1, 0)))
	return c
}

// Next says after each try, which ended with err, whether there is to be another
// and after which wait. left is the time there is for both.
func (c *Call) Next(err error, left time.Duration) (wait time.Duration, again bool) {
	if !c.schedule.inPlace(err, left) {
		return 0, false
	}
	if wait = c.backOff.NextBackOff(); wait == backoff.Stop {
		return 0, false
	}
	return wait, true
}

// End is told what the last try ended with, nil for a success: the budget gets
// its part.
func (c *Call) End(err error) {
	if !kind.As(err).Of().Policy().Redeliver {
		// A verdict, were it a refusal, comes from a service that is well.
		c.schedule.policy.Budget.give(c.schedule.refund)
	}
}

// schedule is the waits of one call: those of an exponential BackOff, decorated.
type schedule struct {
	policy      Policy
	exponential backoff.BackOff // nil before the first wait: most calls need none
	waited      time.Duration
	renewed     bool
	refund      int // what the budget gets back if the next try succeeds

	// What the last try ended with, and the time that was left then.
	last error
	left time.Duration
}

// inPlace is told how each try ended, and reports whether an error of its kind
// is one to try again for.
func (s *schedule) inPlace(err error, left time.Duration) bool {
	s.last, s.left = err, left
	switch e := kind.As(err); e.Of().Policy().Retry {
	case kind.Backoff:
		return true
	case kind.FreshCredential:
		again := e.Renewed && !s.renewed
		s.renewed = true
		return again
	}
	return false
}

// NextBackOff returns how long to wait after the last try, or backoff.Stop.
func (s *schedule) NextBackOff() time.Duration {
	// A fresh credential is waited for not at all, and costs nothing: there is one
	// of these in a call, and it is no sign of load, so that a short budget is no
	// reason to do without.
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

// mayTry reports whether a try may begin with so much time left.
func (p Policy) mayTry(left time.Duration) bool { return left > 0 && left >= p.MinTry }
