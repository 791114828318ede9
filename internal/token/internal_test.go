package token

import (
	"net/http"
	"strings"
	"testing"
	"time"
)

// TestSignVector: the signature is that of Huawei's official SDK for Go
// (v0.1.207) for the same request.
func TestSignVector(t *testing.T) {
	t.Parallel()
	const body = `{"replicate":{"auto_trigger":false,"destination_project_id":"68589cac08274b82b4e254268a3862d8","destination_region":"region2",` +
		`"destination_vault_id":"0ca3eb86-8800-46da-9c37-9d657a825274","enable_acceleration":false,"vault_id":"3b5816b5-f29c-4172-9d9a-76c719a659ce"}}` + "\n"
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost,
		"https://cbr.cn-north-4.myhuaweicloud.com/v3/f841e01fd2b14e7fa41b6ae7aa6b0594/checkpoints/replicate", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("X-Project-Id", "f841e01fd2b14e7fa41b6ae7aa6b0594")
	req.Header.Set("Content-Type", "application/json;charset=UTF-8")
	err = sign(req, "AKEXAMPLE0000000000", "SKEXAMPLE000000000000000000000000000000", time.Date(2024, 1, 2, 3, 4, 5, 0, time.UTC))
	if err != nil {
		t.Fatal(err)
	}
	const want = "SDK-HMAC-SHA256 Access=AKEXAMPLE0000000000, SignedHeaders=host;x-project-id;x-sdk-date, " +
		"Signature=4bf443881c05a12cd66df35fcb9a8cc3c9fb96ce280fb605f674259a4b451016"
	if got := req.Header.Get("Authorization"); got != want {
		t.Errorf("Authorization: %s\nwant %s", got, want)
	}
}

// FuzzParse: no value of a secret makes parse panic, and what it takes names
// one source.
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

// TestLifeOf: the life of a token is what IAM's answer says of it by its own
// clock, a day at most, and a day where it says nothing of use.
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

// FuzzLife: whatever IAM says of a token's life, it is one.
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
