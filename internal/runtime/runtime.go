// Package runtime is how a cloud hands payloads to the function and takes its
// answers: one file for each. The function starts the one whose environment it
// is in.
package runtime

import (
	"context"
	"log/slog"

	"cbr-replicator/internal/delivery"
	"cbr-replicator/internal/metrics"
)

// Handler handles one payload. Its error may be a [delivery.Failure].
type Handler interface {
	Handle(ctx context.Context, inv delivery.Invocation, payload []byte) ([]byte, error)
}

// Runtime is one cloud's.
type Runtime interface {
	// Serve has h handle payloads until the process ends or ctx does.
	Serve(ctx context.Context, h Handler)
	// LogHandler writes the log as the cloud reads it.
	LogHandler() slog.Handler
	// Metrics is the form in which the cloud reads metrics.
	Metrics() metrics.Format
}
