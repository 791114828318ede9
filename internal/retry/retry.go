// Package retry decides when a call is made again in place. The waiting is
// cenkalti/backoff/v4's; what that package does not know by itself is added
// here: the kind of an error, Retry-After, a bound on the waiting as a whole, a
// deadline that no sleep may outlast, and a budget that all calls share. When it
// gives up, the error of the last call survives.
package retry

import (
	"context"
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
	if !p.mayTry(ctx, 0) {
		return &kind.Error{Kind: kind.OutOfTime, Message: "too little of the invocation is left to begin"}
	}
	s := &schedule{
		policy: p,
		ctx:    ctx,
		refund: firstTry,
		exponential: backoff.NewExponentialBackOff(
			backoff.WithInitialInterval(min(p.Initial, p.Max)),
			backoff.WithMaxInterval(p.Max),
			backoff.WithMultiplier(2),
			// Jitter is drawn in NextBackOff: this library's is ± a factor.
			backoff.WithRandomizationFactor(0),
			backoff.WithMaxElapsedTime(0),
		),
	}
	// The result of backoff.RetryNotify is not used: when ctx ends it is ctx's
	// error, and what upstream said would be lost.
	_ = backoff.RetryNotify(func() error {
		s.attempts++
		s.last = op(ctx)
		return s.last
	}, backoff.WithContext(s, ctx), notify)
	if !kind.As(s.last).Of().Policy().Redeliver {
		// A verdict, were it a refusal, comes from a service that is well.
		p.Budget.give(s.refund)
	}
	return s.last
}

// schedule is the backoff.BackOff of one call. Not safe for concurrent use.
type schedule struct {
	policy      Policy
	ctx         context.Context
	exponential *backoff.ExponentialBackOff
	attempts    int
	waited      time.Duration
	renewed     bool
	refund      int // what the budget gets back if the next try succeeds
	last        error
}

// NextBackOff returns how long to wait after the last error, or backoff.Stop.
func (s *schedule) NextBackOff() time.Duration {
	e := kind.As(s.last)
	if s.attempts >= s.policy.MaxAttempts {
		return backoff.Stop
	}
	var (
		wait time.Duration
		cost int
	)
	switch e.Kind.Policy().Retry {
	case kind.Backoff:
		wait = time.Duration(s.policy.Rand() * float64(s.exponential.NextBackOff()))
		wait = max(wait, e.RetryAfter)
		cost = costOf(e.Kind)
	case kind.FreshCredential:
		if !e.Renewed || s.renewed {
			return backoff.Stop
		}
		// It costs nothing: there is one of these in a call, and it is no sign of
		// load, so that a short budget is no reason to do without.
		s.renewed = true
	default:
		return backoff.Stop
	}
	if wait > s.policy.MaxElapsed-s.waited || !s.policy.mayTry(s.ctx, wait) {
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

// Reset is called by backoff.RetryNotify before the first try.
func (s *schedule) Reset() { s.exponential.Reset() }

// mayTry reports whether, after a wait, enough of ctx is left for a try.
func (p Policy) mayTry(ctx context.Context, wait time.Duration) bool {
	if ctx.Err() != nil {
		return false
	}
	deadline, ok := ctx.Deadline()
	left := time.Until(deadline) - wait
	return !ok || left > 0 && left >= p.MinTry
}
