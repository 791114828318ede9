package delivery

import (
	"context"
	"log/slog"
	"time"

	"cbr-replicator/internal/kind"
)

// LogRetry returns a function that logs each retry of a call for the delivery, with
// the error and the wait before it. attempts counts the calls that replicate so far,
// nil if there are none.
func (d *Delivery) LogRetry(ctx context.Context, log *slog.Logger, attempts *int) func(error, time.Duration) {
	return func(err error, wait time.Duration) {
		why, calls := kind.As(err), 0
		if attempts != nil {
			calls = *attempts
		}
		to := log
		if id := d.Request.Replicate.BackupID; id != "" {
			to = log.With("backup_id", id)
		}
		to.InfoContext(ctx, "retrying", "kind", why.Kind, "code", why.Code, "error", why.Message, "attempts", calls,
			"wait_ms", wait.Milliseconds(), "vault_id", d.Request.Replicate.VaultID, "causation_id", d.CausationID)
	}
}
