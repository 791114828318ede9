package token

import (
	"net/http"
	"testing"
	"time"
)

// FuzzParse: no value of a secret makes parse panic, and what it accepts has exactly one
// source.
func FuzzParse(f *testing.F) {
	for _, value := range []string{
		"", "MIIDbQ", " MIIDbQ\n", `{"token":"MIIDbQ"}`, `{"token":7}`, `{`, `{}`, `{"HW_ACCESS_KEY":"a"}`, "a b",
		`{"HW_ACCESS_KEY":"a","HW_SECRET_KEY":"s","HW_SECURITY_TOKEN":"t"}`, `{"HW_USER_NAME":"u","HW_USER_PASSWORD":"p","HW_DOMAIN_NAME":"d"}`,
	} {
		f.Add(value)
	}
	f.Fuzz(func(t *testing.T, value string) {
		fields, err := parse(value)
		if err == nil && len(fields.Check()) > 0 {
			t.Errorf("%q passed with %v", value, fields.Check())
		}
	})
}

// TestLifeOf: the life of a token is the one in IAM's answer, by IAM's own clock, and at
// most a day. It is a day if the answer has none that can be used.
func TestLifeOf(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 23, 2, 0, 0, 0, time.UTC)
	for _, tt := range []struct {
		expires, date string
		want          time.Duration
	}{
		{"2026-11-23T12:00:00.000000Z", "Mon, 23 Nov 2026 02:00:00 GMT", 10 * time.Hour},
		{"2026-11-23T12:00:00.000000Z", "Mon, 23 Nov 2026 07:00:00 GMT", 5 * time.Hour},
		{"2026-11-23T12:00:00.000000Z", "Sun, 22 Nov 2026 21:00:00 GMT", 15 * time.Hour},
		{" 2026-11-23T12:00:00+01:00 ", "Mon, 23 Nov 2026 07:00:00 GMT", 4 * time.Hour},
		{"2026-11-23T12:00:00.000000Z", "", 10 * time.Hour},
		{"2026-11-23T12:00:00.000000Z", "today", 10 * time.Hour},
		{"2026-11-30T12:00:00.000000Z", "Mon, 23 Nov 2026 02:00:00 GMT", 24 * time.Hour},
		{"2026-11-23T12:00:00.000000Z", "Mon, 23 Nov 2026 12:00:00 GMT", 24 * time.Hour},
		{"2026-11-23T12:00:00.000000Z", "Mon, 23 Nov 2026 12:00:01 GMT", 24 * time.Hour},
		{"tomorrow", "Mon, 23 Nov 2026 02:00:00 GMT", 24 * time.Hour},
		{"", "Mon, 23 Nov 2026 02:00:00 GMT", 24 * time.Hour},
	} {
		if got := lifeOf([]byte(`{"token":{"expires_at":"`+tt.expires+`"}}`), http.Header{"Date": {tt.date}}, now); got != tt.want {
			t.Errorf("until %s, at %s: %v, want %v", tt.expires, tt.date, got, tt.want)
		}
	}
}

// FuzzLife: with any answer of IAM, the life is more than zero and at most a day.
func FuzzLife(f *testing.F) {
	f.Add(`{"token":{"expires_at":"2026-11-24T09:05:22.701000Z"}}`, "Mon, 23 Nov 2026 09:05:22 GMT")
	f.Add(`{"token":{"expires_at":"2020-01-04T09:05:22Z"}}`, "")
	f.Add(`{"token":`, "x")
	f.Fuzz(func(t *testing.T, body, date string) {
		if life := lifeOf([]byte(body), http.Header{"Date": {date}}, time.Now()); life <= 0 {
			t.Errorf("a life of %s", life)
		}
	})
}
