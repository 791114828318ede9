// Package deadline divides the time that is left.
package deadline

import (
	"context"
	"time"
)

// Half returns limit, or half of what is left of ctx if that is less: a call
// that may fail must leave time for another, or for telling what became of it.
// It is negative once ctx has ended.
func Half(ctx context.Context, limit time.Duration) time.Duration {
	if at, ok := ctx.Deadline(); ok {
		return min(limit, time.Until(at)/2)
	}
	return limit
}
