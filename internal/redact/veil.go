package redact

import "log/slog"

// Veil hides what embeds it, under every fmt verb, in JSON and in a log.
type Veil struct{}

// String returns the mask.
func (Veil) String() string { return Mask }

// GoString is String, for %#v.
func (Veil) GoString() string { return Mask }

// MarshalText is String, for JSON.
func (Veil) MarshalText() ([]byte, error) { return []byte(Mask), nil }

// LogValue is String, for slog.
func (Veil) LogValue() slog.Value { return slog.StringValue(Mask) }
