package retry

import (
	"sync"

	"cbr-replicator/internal/kind"
)

// The figures are those of the AWS SDKs' standard retry mode (AWS SDKs and
// Tools reference guide, "Retry behavior"; aws-sdk-go-v2, aws/retry, as of
// AWS_NEW_RETRIES_2026).
const (
	capacity     = 500
	retryCost    = 14
	throttleCost = 5
	// firstTry is what a success without a retry gives back.
	firstTry = 1
)

// Budget bounds the retries of a process. It is a bucket of 500 tokens. A retry
// after throttling takes 5, any other retry 14. A call that succeeds gives back
// what its last retry took, or 1 if it had none. With too few tokens nothing is
// retried, so that a service in trouble gets little more than the first try of
// each delivery. The deliveries wait in the queue instead.
//
// A nil *Budget sets no bound. It is safe for concurrent use.
type Budget struct {
	mu     sync.Mutex
	tokens int
}

// NewBudget returns a full budget.
func NewBudget() *Budget { return &Budget{tokens: capacity} }

func costOf(k kind.Kind) int {
	if k == kind.Throttled {
		return throttleCost
	}
	return retryCost
}

// take takes n tokens if there are as many, and reports whether there were.
func (b *Budget) take(n int) bool {
	if b == nil {
		return true
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if n > b.tokens {
		return false
	}
	b.tokens -= n
	return true
}

func (b *Budget) give(n int) {
	if b == nil {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.tokens = min(b.tokens+n, capacity)
}
