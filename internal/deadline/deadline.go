// Package deadline says how much of the time that is left one call may take.
package deadline

import (
	"context"
	"time"
)

// Half returns limit, or half of the time until ctx ends if that is less. So a call
// that fails leaves time for a retry, or for reporting its outcome. It is negative
// once ctx has ended.
func Half(ctx context.Context, limit time.Duration) time.Duration {
	if at, ok := ctx.Deadline(); ok {
		return min(limit, time.Until(at)/2)
	}
	return limit
}
