package deadline_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"cbr-replicator/internal/deadline"
)

func TestHalf(t *testing.T) {
	t.Parallel()
	if got := deadline.Half(t.Context(), time.Minute); got != time.Minute {
		t.Errorf("without a deadline: %v", got)
	}
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		for limit, want := range map[time.Duration]time.Duration{time.Second: time.Second, time.Minute: 5 * time.Second} {
			if got := deadline.Half(ctx, limit); got != want {
				t.Errorf("Half of 10 s with a limit of %v: %v, want %v", limit, got, want)
			}
		}
		time.Sleep(20 * time.Second)
		if got := deadline.Half(ctx, time.Second); got != -5*time.Second {
			t.Errorf("after the end: %v", got)
		}
	})
}
