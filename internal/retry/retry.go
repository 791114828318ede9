// Package retry decides when a call is made again in place. The waiting is
// cenkalti/backoff/v4's; what that package does not know by itself is added
// here: the kind of an error, Retry-After, a bound on the waiting as a whole, a
// deadline that no sleep may outlast, and a budget that all calls share. When it
// gives up, the error of the last call survives.
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
	s := &schedule{Call: p.begin(), ctx: ctx}
	// The result of backoff.RetryNotify is not used: when ctx ends it is ctx's
	// error, and what upstream said would be lost.
	_ = backoff.RetryNotify(func() error {
		s.last = op(ctx)
		return s.last
	}, backoff.WithContext(s, ctx), notify)
	s.End(s.last)
	return s.last
}

// schedule is a Call as a backoff.BackOff.
type schedule struct {
	Call
	ctx  context.Context
	last error
}

// NextBackOff returns how long to wait after the last error, or backoff.Stop.
func (s *schedule) NextBackOff() time.Duration {
	if wait, again := s.Next(s.last, left(s.ctx)); again {
		return wait
	}
	return backoff.Stop
}

// Reset does nothing: a schedule serves one call.
func (s *schedule) Reset() {}

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
	policy      Policy
	exponential *backoff.ExponentialBackOff
	attempts    int
	waited      time.Duration
	renewed     bool
	refund      int // what the budget gets back if the next try succeeds
}

// Begin returns the Call for one that has not been tried yet.
func (p Policy) Begin() *Call {
	c := p.begin()
	return &c
}

func (p Policy) begin() Call { return Call{policy: p, refund: firstTry} }

// backOff is the wait before jitter. Most calls never need one.
func (c *Call) backOff() time.Duration {
	if c.exponential == nil {
		c.exponential = backoff.NewExponentialBackOff(
			backoff.WithInitialInterval(min(c.policy.Initial, c.policy.Max)),
			backoff.WithMaxInterval(c.policy.Max),
			backoff.WithMultiplier(2),
			// Jitter is drawn in Next: this library's is ± a factor.
			backoff.WithRandomizationFactor(0),
			backoff.WithMaxElapsedTime(0),
		)
	}
	return c.exponential.NextBackOff()
}

// Next says after each try, which ended with err, whether there is to be another
// and after which wait. left is the time there is for both.
func (c *Call) Next(err error, left time.Duration) (wait time.Duration, again bool) {
	c.attempts++
	if c.attempts >= c.policy.MaxAttempts {
		return 0, false
	}
	cost := 0
	switch e := kind.As(err); e.Of().Policy().Retry {
	case kind.Backoff:
		wait = time.Duration(c.policy.Rand() * float64(c.backOff()))
		wait = max(wait, e.RetryAfter)
		cost = costOf(e.Kind)
	case kind.FreshCredential:
		if !e.Renewed || c.renewed {
			return 0, false
		}
		// It costs nothing: there is one of these in a call, and it is no sign of
		// load, so that a short budget is no reason to do without.
		c.renewed = true
	default:
		return 0, false
	}
	if wait > c.policy.MaxElapsed-c.waited || !c.policy.mayTry(left-wait) {
		return 0, false
	}
	if cost > 0 {
		if !c.policy.Budget.take(cost) {
			return 0, false
		}
		c.refund = cost
	}
	c.waited += wait
	return wait, true
}

// End is told what the last try ended with, nil for a success: the budget gets
// its part.
func (c *Call) End(err error) {
	if !kind.As(err).Of().Policy().Redeliver {
		// A verdict, were it a refusal, comes from a service that is well.
		c.policy.Budget.give(c.refund)
	}
}

// mayTry reports whether a try may begin with so much time left.
func (p Policy) mayTry(left time.Duration) bool { return left > 0 && left >= p.MinTry }
