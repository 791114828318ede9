package cbrtest

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

const (
	vectorAccess = "AKEXAMPLE0000000000"
	vectorSecret = "SKEXAMPLE000000000000000000000000000000"
	vectorDate   = "20240102T030405Z"

	// What the official Go SDK sends, with cross_account_urn and without.
	vectorBody = `{"replicate":{"auto_trigger":false,"destination_project_id":"68589cac08274b82b4e254268a3862d8","destination_region":"region2",` +
		`"destination_vault_id":"0ca3eb86-8800-46da-9c37-9d657a825274","enable_acceleration":false,"vault_id":"3b5816b5-f29c-4172-9d9a-76c719a659ce"}}` + "\n"
	vectorBodyURN = `{"replicate":{"auto_trigger":false,"destination_project_id":"68589cac08274b82b4e254268a3862d8","destination_region":"region2",` +
		`"destination_vault_id":"0ca3eb86-8800-46da-9c37-9d657a825274","enable_acceleration":false,"vault_id":"3b5816b5-f29c-4172-9d9a-76c719a659ce",` +
		`"cross_account_urn":"EXAMPLE-URN"}}` + "\n"
)

// The signatures were made by huaweicloud-sdk-go-v3 v0.1.207: the first two by its signer alone, the third was read off the wire.
func TestSignatureVectors(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name                string
		method, query, body string
		header              map[string]string
		security            string
		signed, signature   string
	}{
		{
			name: "replicate", method: http.MethodPost, body: vectorBody,
			header:    map[string]string{"X-Sdk-Date": vectorDate},
			signed:    "host;x-project-id;x-sdk-date",
			signature: "4bf443881c05a12cd66df35fcb9a8cc3c9fb96ce280fb605f674259a4b451016",
		},
		{
			name: "lookup", method: http.MethodGet,
			query:     "?vault_id=3b5816b5-f29c-4172-9d9a-76c719a659ce&show_replication=true&offset=0&limit=1000&name=a+b%2Bc/d~%C3%A9%26%3D*",
			header:    map[string]string{"X-Sdk-Date": vectorDate, "X-Security-Token": "SECURITY-TOKEN"},
			security:  "SECURITY-TOKEN",
			signed:    "x-project-id;x-sdk-date;x-security-token",
			signature: "382117ad07c414b962e2c397fc40e7746c7d9ea83c2c23d1f3a1774c74cd3202",
		},
		{
			name: "replicate on the wire", method: http.MethodPost, body: vectorBodyURN,
			header: map[string]string{
				"X-Sdk-Date": "20261123T071232Z",
				"User-Agent": "huaweicloud-usdk-go/3.0; os/Debian_GNU/Linux#12_(bookworm)#amd64 go/go1.26.8; app/596ff4d1-b7e2-4391-96cd-150d278d57c3",
			},
			signed:    "user-agent;x-project-id;x-sdk-date",
			signature: "18dd5e503a1e2bbf845ed75d01f745bb9517efc53e1f804b4654a4b0bacdb46c",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			now, err := time.Parse(sdkDate, tt.header["X-Sdk-Date"])
			if err != nil {
				t.Fatal(err)
			}
			c := New(WithClock(func() time.Time { return now }))
			c.AddExample()
			c.AddKey(Key{Access: vectorAccess, Secret: vectorSecret, SecurityToken: tt.security})
			path := replicatePath
			if tt.method == http.MethodGet {
				path = backupsPath + tt.query
			}
			req := httptest.NewRequestWithContext(t.Context(), tt.method, path, strings.NewReader(tt.body))
			req.Host = "cbr.cn-north-4.myhuaweicloud.com"
			req.Header.Set("X-Project-Id", SourceProject)
			req.Header.Set("Authorization", "SDK-HMAC-SHA256 Access="+vectorAccess+", SignedHeaders="+tt.signed+", Signature="+tt.signature)
			for name, value := range tt.header {
				req.Header.Set(name, value)
			}
			w := httptest.NewRecorder()
			c.ServeHTTP(w, req)
			if bad := c.BadSignatures(vectorAccess); bad != 0 || strings.Contains(w.Body.String(), "APIGW") {
				t.Errorf("%d %s, %d bad signatures", w.Code, w.Body, bad)
			}
		})
	}
}

// signedRequest is a request of the documentation's example, signed with the functions that the vectors above test.
func signedRequest(t *testing.T, k Key, now time.Time, names ...string) *http.Request {
	t.Helper()
	const query = "?vault_id=" + SourceVault + "&show_replication=true"
	req := httptest.NewRequestWithContext(t.Context(), http.MethodGet, backupsPath+query, nil)
	req.Header.Set("X-Sdk-Date", now.UTC().Format(sdkDate))
	if k.SecurityToken != "" {
		req.Header.Set("X-Security-Token", k.SecurityToken)
	}
	signature := sign(k.Secret, req.Header.Get("X-Sdk-Date"), canonical(request{from: req, query: req.URL.Query()}, names))
	req.Header.Set("Authorization", "SDK-HMAC-SHA256 Access="+k.Access+", SignedHeaders="+strings.Join(names, ";")+", Signature="+signature)
	return req
}

// answerTo sends a request without a connection.
func (s example) answerTo(t *testing.T, req *http.Request) reply {
	t.Helper()
	w := httptest.NewRecorder()
	s.ServeHTTP(w, req)
	got := reply{status: w.Code, header: w.Header(), raw: w.Body.Bytes()}
	decode(t, got.raw, &got.body)
	conforms(t, schemaOf(req.Method, req.URL.Path, got), got.raw)
	return got
}

func TestSignatures(t *testing.T) {
	t.Parallel()
	const prefix = "Incorrect IAM authentication information: "
	key := Key{Access: "AK", Secret: "secret"}
	temporary := Key{Access: "TEMPORARY", Secret: "secret", SecurityToken: "right"}
	set := func(name, value string) func(*http.Request) {
		return func(req *http.Request) { req.Header.Set(name, value) }
	}
	type result struct {
		status     int
		code, text string
		bad        int // signatures
	}
	good := result{status: 200}
	refused := func(text string) result { return result{401, "APIGW.0301", prefix + text, 1} }
	uncounted := func(text string) result { return result{401, "APIGW.0301", prefix + text, 0} }
	invalid := refused("verify aksk signature fail")
	for _, tt := range []struct {
		name   string
		key    Key // zero: a good key
		skew   time.Duration
		names  []string // nil: "host" and "x-sdk-date"
		change func(*http.Request)
		want   result
	}{
		{name: "right", want: good},
		{name: "15 minutes ago", skew: -15*time.Minute + time.Second, want: good},
		{name: "in 15 minutes", skew: 15 * time.Minute, want: good},
		{name: "temporary", key: temporary, want: good},
		{
			name: "more than 15 minutes ago", skew: -15*time.Minute - time.Second,
			want: refused("calc aksk signature fail:signature expired, signature time:20261123T064459Z,server time:20261123T070000Z"),
		},
		{
			name: "in more than 15 minutes", skew: 15*time.Minute + 2*time.Second,
			want: refused("calc aksk signature fail:signature expired, signature time:20261123T071502Z,server time:20261123T070000Z"),
		},
		{name: "wrong secret", key: Key{Access: "AK", Secret: "wrong"}, want: invalid},
		{name: "unknown key", key: Key{Access: "UNKNOWN", Secret: "secret"}, want: refused("Get secretKey failed,ak:UNKNOWN,err:ak not exist")},
		{
			name: "for another project", key: Key{Access: "ELSEWHERE", Secret: "secret"},
			want: result{403, "APIGW.0302", "The IAM user is not authorized to access the API", 0},
		},
		{name: "another query", change: func(req *http.Request) { req.URL.RawQuery += "&limit=1" }, want: invalid},
		{name: "another host", change: func(req *http.Request) { req.Host = "elsewhere.invalid" }, want: invalid},
		{name: "no date", change: func(req *http.Request) { req.Header.Del("X-Sdk-Date") }, want: invalid},
		{name: "date not signed", names: []string{"host"}, want: invalid},
		{name: "headers out of order", names: []string{"x-sdk-date", "host"}, want: invalid},
		{name: "another scheme", change: set("Authorization", "AWS4-HMAC-SHA256 Credential=AK"), want: uncounted("verify aksk signature fail")},
		{name: "wrong security token", key: temporary, change: set("X-Security-Token", "wrong"), want: invalid},
		{name: "security token of a permanent key", change: set("X-Security-Token", "right"), want: invalid},
		{name: "a good token besides", key: Key{Access: "AK", Secret: "wrong"}, change: set("X-Auth-Token", Token), want: good},
		{name: "a bad token besides", change: set("X-Auth-Token", "unknown"), want: uncounted("decrypt token fail")},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s, now := newExample(t)
			s.AddKey(Key{Access: "AK", Secret: "secret", Projects: []string{SourceProject}})
			s.AddKey(Key{Access: "ELSEWHERE", Secret: "secret", Projects: []string{DestinationProject}})
			s.AddKey(temporary)
			if tt.key.Access == "" {
				tt.key = key
			}
			if tt.names == nil {
				tt.names = []string{"host", "x-sdk-date"}
			}
			req := signedRequest(t, tt.key, now.Now().Add(tt.skew), tt.names...)
			if tt.change != nil {
				tt.change(req)
			}
			got := s.answerTo(t, req)
			text, _ := got.body["error_msg"].(string)
			if got := (result{got.status, got.code(), text, s.BadSignatures(tt.key.Access)}); got != tt.want {
				t.Errorf("got %+v, want %+v", got, tt.want)
			}
		})
	}
}

// The body is signed too. This one goes over the wire.
func TestSignedBody(t *testing.T) {
	t.Parallel()
	s, now := newExample(t)
	s.AddKey(Key{Access: "AK", Secret: "secret"})
	sent := body(t, fields{"replicate": exampleFields(nil)})
	for _, tt := range []struct {
		signed string
		status int
	}{{sent + " ", 401}, {sent, 200}} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.URL+replicatePath, strings.NewReader(sent))
		if err != nil {
			t.Fatal(err)
		}
		date := now.Now().Format(sdkDate)
		req.Header.Set("X-Sdk-Date", date)
		signature := sign("secret", date, canonical(request{from: req, body: []byte(tt.signed)}, []string{"host", "x-sdk-date"}))
		req.Header.Set("Authorization", "SDK-HMAC-SHA256 Access=AK, SignedHeaders=host;x-sdk-date, Signature="+signature)
		resp, err := s.Client().Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if resp.StatusCode != tt.status {
			t.Errorf("%s, want %d", resp.Status, tt.status)
		}
	}
}

func TestKeyLock(t *testing.T) {
	t.Parallel()
	s, now := newExample(t)
	right, wrong := Key{Access: "AK", Secret: "secret"}, Key{Access: "AK", Secret: "wrong"}
	s.AddKey(right)
	try := func(k Key) string {
		text, _ := s.answerTo(t, signedRequest(t, k, now.Now(), "host", "x-sdk-date")).body["error_msg"].(string)
		_, why, _ := strings.Cut(text, ": ")
		return why
	}
	expect := func(k Key, times int, want string) {
		t.Helper()
		for range times {
			if got := try(k); got != want {
				t.Errorf("%s: %q, want %q", k.Secret, got, want)
			}
		}
	}
	const bad, locked = "verify aksk signature fail", "AK access failed to reach the limit,forbidden"
	expect(wrong, 5, bad)
	expect(right, 1, "")
	expect(wrong, 6, bad)
	expect(right, 1, locked)
	now.advance(5*time.Minute - 1)
	expect(wrong, 1, locked)
	now.advance(1)
	expect(wrong, 5, bad)
	expect(right, 1, "")
	expect(wrong, 6, bad)
	s.AddKey(right)
	expect(right, 1, "")
	s.RemoveKey("AK")
	expect(right, 1, "Get secretKey failed,ak:AK,err:ak not exist")
	if got := s.BadSignatures("AK"); got != 5+6+1+1+5+6+1 {
		t.Errorf("%d bad signatures", got)
	}
}
