package awscall_test

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/google/go-cmp/cmp"

	"cbr-replicator/internal/awscall"
)

func newClient(t *testing.T, handler http.HandlerFunc) *awscall.Client {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	return &awscall.Client{
		Service: "sqs", Target: "AmazonSQS", Version: "1.0", Region: "eu-central-1", Endpoint: server.URL,
		Credentials: aws.Credentials{AccessKeyID: "AKID", SecretAccessKey: "secret-key", SessionToken: "session"},
		HTTP:        server.Client(), UserAgent: "cbr-replicator/test",
	}
}

// TestCall: the request has the form that the protocol and the signature require.
func TestCall(t *testing.T) {
	t.Parallel()
	c := newClient(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		got := []string{r.Method, r.URL.Path, r.Header.Get("X-Amz-Target"), r.Header.Get("Content-Type"), r.Header.Get("X-Amz-Security-Token"), r.UserAgent(), string(body)}
		want := []string{"POST", "/", "AmazonSQS.SendMessage", "application/x-amz-json-1.0", "session", "cbr-replicator/test", `{"MessageBody":"x"}`}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("request (-want +got):\n%s", diff)
		}
		authorization := r.Header.Get("Authorization")
		if !strings.HasPrefix(authorization, "AWS4-HMAC-SHA256 Credential=AKID/") || !strings.Contains(authorization, "/eu-central-1/sqs/aws4_request") {
			t.Errorf("Authorization: %s", authorization)
		}
		_, _ = io.WriteString(w, `{"MessageId":"m"}`)
	})
	var out struct {
		MessageID string `json:"MessageId"`
	}
	if err := c.Call(t.Context(), "SendMessage", map[string]string{"MessageBody": "x"}, &out); err != nil || out.MessageID != "m" {
		t.Errorf("out = %+v, %v", out, err)
	}
}

func TestCallFails(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, body string
		status     int
		want       awscall.Error
		text       string
		passes     bool
	}{
		{"plain", `{"__type":"AccessDeniedException","Message":"no"}`, 400, awscall.Error{Status: 400, Code: "AccessDeniedException", Message: "no"}, "AccessDeniedException: no", false},
		{"namespace", `{"__type":"com.amazonaws.sqs#QueueDoesNotExist:http://x/","message":"gone"}`, 400, awscall.Error{Status: 400, Code: "QueueDoesNotExist", Message: "gone"}, "QueueDoesNotExist: gone", false},
		{"throttled", `{"__type":"com.amazonaws.sqs#RequestThrottled"}`, 400, awscall.Error{Status: 400, Code: "RequestThrottled"}, "RequestThrottled", true},
		{"over a limit", `{"__type":"RequestLimitExceeded"}`, 400, awscall.Error{Status: 400, Code: "RequestLimitExceeded"}, "RequestLimitExceeded", true},
		{"a throttled key", `{"__type":"KMS.ThrottlingException"}`, 400, awscall.Error{Status: 400, Code: "KMS.ThrottlingException"}, "KMS.ThrottlingException", true},
		{"no JSON", `<html>`, 503, awscall.Error{Status: 503}, "Service Unavailable", true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			c := newClient(t, func(w http.ResponseWriter, _ *http.Request) {
				w.WriteHeader(tt.status)
				_, _ = io.WriteString(w, tt.body)
			})
			err := c.Call(t.Context(), "X", struct{}{}, new(any))
			answer, ok := errors.AsType[*awscall.Error](err)
			if !ok || *answer != tt.want || err.Error() != tt.text || answer.Passes() != tt.passes {
				t.Errorf("error = %#v, %v", answer, err)
			}
		})
	}
	// An answer that cannot be read is not quoted, since it may hold a secret.
	c := newClient(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, `"hunter22`) })
	if err := c.Call(t.Context(), "X", struct{}{}, new(any)); err == nil || strings.Contains(err.Error(), "hunter") {
		t.Errorf("error = %v", err)
	}
	c.Endpoint = "http://127.0.0.1:1"
	if err := c.Call(t.Context(), "X", struct{}{}, new(any)); err == nil || strings.Contains(err.Error(), "secret-key") {
		t.Errorf("error = %v", err)
	}
	for region, want := range map[string]string{"eu-central-1": "amazonaws.com", "us-gov-west-1": "amazonaws.com", "cn-north-1": "amazonaws.com.cn", "eusc-de-east-1": "amazonaws.eu"} {
		if got := awscall.DNSSuffix(region); got != want {
			t.Errorf("DNSSuffix(%s) = %s", region, got)
		}
	}
}

// TestAnswerUnder200: such an answer ends the call with any HTTP client. The body of a
// "101 Switching Protocols" is the connection, and no context ends reading that.
func TestAnswerUnder200(t *testing.T) {
	t.Parallel()
	c := newClient(t, func(w http.ResponseWriter, _ *http.Request) {
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer func() { _ = conn.Close() }()
		_, _ = io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n")
		_, _ = io.Copy(io.Discard, conn) // until the other end closes it
	})
	err := c.Call(t.Context(), "X", struct{}{}, new(any))
	if _, ok := errors.AsType[*awscall.Error](err); err == nil || ok || !strings.Contains(err.Error(), "101") {
		t.Errorf("error = %v", err)
	}
}

// TestCallBoundsItsAnswer: the client's limit bounds an answer. The error of an answer of
// success that is lost differs from the one of an error.
func TestCallBoundsItsAnswer(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		status   int // 0: 200
		size     int
		limit    int64
		declared int // Content-Length; 0: the size
		unread   bool
	}{
		"1 MiB":                 {size: 1 << 20},
		"over 1 MiB":            {size: 1<<20 + 1, unread: true},
		"the client's own":      {size: 1<<20 + 1, limit: 2 << 20},
		"over the client's own": {size: 2<<20 + 1, limit: 2 << 20, unread: true},
		"cut":                   {size: 100, declared: 200, unread: true},
		"an error of any size":  {status: 400, size: 3 << 20, limit: 2 << 20},
		"an error that is cut":  {status: 400, size: 100, declared: 200},
		"less than its limit":   {size: 100, limit: 2 << 20},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if tt.status == 0 {
				tt.status = http.StatusOK
			}
			c := newClient(t, func(w http.ResponseWriter, _ *http.Request) {
				if tt.declared > 0 {
					w.Header().Set("Content-Length", strconv.Itoa(tt.declared))
				}
				w.WriteHeader(tt.status)
				_, _ = io.WriteString(w, `"`+strings.Repeat("x", tt.size-2)+`"`)
			})
			c.MaxAnswer = tt.limit
			var out string
			err := c.Call(t.Context(), "X", struct{}{}, &out)
			ok := tt.status == http.StatusOK && !tt.unread
			if (err == nil) != ok || errors.Is(err, awscall.ErrUnread) != tt.unread || ok && len(out) != tt.size-2 {
				t.Errorf("%d bytes, %.100v", len(out), err)
			}
		})
	}
}
