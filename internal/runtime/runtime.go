// Package runtime receives payloads from a cloud and returns the function's
// answers. Each cloud has a file. The function starts the runtime of the cloud that
// it is in.
package runtime

import (
	"context"
	"log/slog"

	"cbr-replicator/internal/delivery"
	"cbr-replicator/internal/metrics"
	"cbr-replicator/internal/redact"
)

// Handler handles one payload. Its error may be a [delivery.Failure].
type Handler interface {
	Handle(ctx context.Context, inv delivery.Invocation, payload []byte) ([]byte, error)
}

// Runtime is the runtime of one cloud.
type Runtime interface {
	// Serve has h handle payloads until the process ends or ctx does. Credentials
	// that come with a payload are masked by hidden while it is handled.
	Serve(ctx context.Context, h Handler, hidden *redact.Redactor)
	// LogHandler writes the log as the cloud reads it.
	LogHandler() slog.Handler
	// Metrics is the form in which the cloud reads metrics.
	Metrics() metrics.Format
}
