package redact

import "log/slog"

// Opaque hides the struct that embeds it: every fmt verb, JSON and a log show the mask.
type Opaque struct{}

// String returns the mask.
func (Opaque) String() string { return Mask }

// GoString is String, for %#v.
func (Opaque) GoString() string { return Mask }

// MarshalText is String, for JSON.
func (Opaque) MarshalText() ([]byte, error) { return []byte(Mask), nil }

// LogValue is String, for slog.
func (Opaque) LogValue() slog.Value { return slog.StringValue(Mask) }
