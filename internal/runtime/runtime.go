// Package runtime receives payloads from a cloud and returns the function's
// answers. Each cloud has a file. The function starts the runtime of the cloud that
// it is in.
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

// Runtime is the runtime of one cloud.
type Runtime interface {
	// Serve has h handle payloads until the process ends or ctx does.
	Serve(ctx context.Context, h Handler)
	// LogHandler writes the log as the cloud reads it.
	LogHandler() slog.Handler
	// Metrics is the form in which the cloud reads metrics.
	Metrics() metrics.Format
}
