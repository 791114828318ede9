package redact

import "log/slog"

// Opaque hides what embeds it, under every fmt verb, in JSON and in a log.
type Opaque struct{}

// String returns the mask.
func (Opaque) String() string { return Mask }

// GoString is String, for %#v.
func (Opaque) GoString() string { return Mask }

// MarshalText is String, for JSON.
func (Opaque) MarshalText() ([]byte, error) { return []byte(Mask), nil }

// LogValue is String, for slog.
func (Opaque) LogValue() slog.Value { return slog.StringValue(Mask) }
