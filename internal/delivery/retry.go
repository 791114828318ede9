package delivery

import (
	"context"
	"log/slog"
	"time"

	"cbr-replicator/internal/kind"
)

// LogRetry returns a function that logs each retry of a call for the delivery, with
// the error and the wait before it. attempts, if not nil, counts the calls so far.
func (d *Delivery) LogRetry(ctx context.Context, log *slog.Logger, attempts *int) func(error, time.Duration) {
	return func(err error, wait time.Duration) {
		why := kind.As(err)
		args := []any{
			"kind", why.Kind, "code", why.Code, "error", why.Message, "wait_ms", wait.Milliseconds(),
			"vault_id", d.Request.Replicate.VaultID, "causation_id", d.CausationID,
		}
		if id := d.Request.Replicate.BackupID; id != "" {
			args = append(args, "backup_id", id)
		}
		if attempts != nil {
			args = append(args, "attempts", *attempts)
		}
		log.InfoContext(ctx, "retrying", args...)
	}
}
