package token

import (
	"log/slog"

	"cbr-replicator/internal/redact"
)

// veil hides what embeds it, under every fmt verb, in JSON and in a log.
type veil struct{}

// String returns the mask.
func (veil) String() string { return redact.Mask }

// GoString is String, for %#v.
func (veil) GoString() string { return redact.Mask }

// MarshalText is String, for JSON.
func (veil) MarshalText() ([]byte, error) { return []byte(redact.Mask), nil }

// LogValue is String, for slog.
func (veil) LogValue() slog.Value { return slog.StringValue(redact.Mask) }
