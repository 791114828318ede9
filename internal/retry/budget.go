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
	// firstTry is what a success without a retry gives.
	firstTry = 1
)

// Budget bounds the retries that a process adds to a fault. It is a bucket of
// 500 tokens: a retry after throttling takes 5, any other 14; a call that ends
// well gives back what its last retry took, one that needed none gives 1. With
// too few left nothing is tried again, so that a service in trouble sees little
// more than each delivery's first try, and waiting is done by the queue.
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

// take reports whether there were as many tokens, and takes them.
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
