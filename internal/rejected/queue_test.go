package rejected_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"cbr-replicator/internal/awscall"
	"cbr-replicator/internal/delivery"
	"cbr-replicator/internal/kind"
	"cbr-replicator/internal/queue"
	"cbr-replicator/internal/redact"
	"cbr-replicator/internal/rejected"
	"cbr-replicator/internal/result"
	"cbr-replicator/internal/retry"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const arn = "arn:aws:sqs:eu-central-1:123456789012:rejected"

// sent is a SendMessage as SQS reads it, by the names of the API reference.
type sent struct {
	QueueURL          string `json:"QueueUrl"`
	MessageBody       string
	MessageAttributes map[string]struct{ DataType, StringValue string }

	MessageGroupID         string `json:"MessageGroupId"`
	MessageDeduplicationID string `json:"MessageDeduplicationId"`
}

// attributes returns the values by their names.
func (s sent) attributes() map[string]string {
	all := map[string]string{}
	for name, a := range s.MessageAttributes {
		all[name] = a.StringValue
	}
	return all
}

// content returns the body without its encoding.
func (s sent) content(t testing.TB) string {
	t.Helper()
	if s.MessageAttributes["encoding"].StringValue == "" {
		return s.MessageBody
	}
	text, err := base64.StdEncoding.DecodeString(s.MessageBody)
	if err != nil {
		t.Errorf("%q: %v", s.MessageBody, err)
	}
	return string(text)
}

// script is an SQS whose first calls have the scripted errors, and nil is no error. It
// takes all further calls.
type script struct {
	faults []error
	empty  bool // answers without a message id

	mu    sync.Mutex
	calls int
	sent  []sent
}

func (s *script) Call(ctx context.Context, operation string, in, out any) error {
	if operation != "SendMessage" {
		return fmt.Errorf("no %s was expected", operation)
	}
	if _, ok := ctx.Deadline(); !ok {
		return errors.New("a call without an end")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls++
	if s.calls <= len(s.faults) && s.faults[s.calls-1] != nil {
		return s.faults[s.calls-1]
	}
	raw, err := json.Marshal(in)
	if err != nil {
		return err
	}
	var m sent
	if err := json.Unmarshal(raw, &m); err != nil || s.empty {
		return err
	}
	s.sent = append(s.sent, m)
	return json.Unmarshal([]byte(`{"MessageId":"m"}`), out)
}

// keeper returns a Queue with three tries, and its log.
func keeper(t testing.TB, sqs rejected.SQS, arn string) (*rejected.Queue, *bytes.Buffer) {
	t.Helper()
	name, err := queue.Parse(arn)
	if err != nil {
		t.Fatal(err)
	}
	policy := retry.Policy{Initial: time.Second, Max: time.Second, MaxAttempts: 3, MaxElapsed: time.Minute, Rand: func() float64 { return 0.5 }}
	log := &bytes.Buffer{}
	return &rejected.Queue{Name: name, SQS: sqs, Retry: policy.Do, Log: slog.New(slog.NewJSONHandler(log, nil)), Redact: &redact.Redactor{}}, log
}

// invalid is why a body is rejected.
var invalid = &kind.Error{Kind: kind.InvalidEvent}

// body returns a delivery with a body.
func body(content string) *delivery.Delivery {
	return &delivery.Delivery{
		Carried: delivery.Carried{Text: []byte(content)}, Source: "arn:aws:sqs:eu-central-1:123456789012:requests", CausationID: "cause", CorrelationID: "nightly",
	}
}

// TestOnTheWire: the call has the form of SQS's API.
func TestOnTheWire(t *testing.T) {
	t.Parallel()
	var target, region string
	var raw map[string]any
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		target, region = r.Header.Get("X-Amz-Target"), r.Header.Get("Authorization")
		if err := json.NewDecoder(r.Body).Decode(&raw); err != nil {
			t.Error(err)
		}
		_, _ = w.Write([]byte(`{"MD5OfMessageBody":"x","MessageId":"m"}`))
	}))
	defer server.Close()
	q, _ := keeper(t, &awscall.Client{
		Service: "sqs", Target: "AmazonSQS", Version: "1.0", Region: "eu-central-1", Endpoint: server.URL,
		Credentials: aws.Credentials{AccessKeyID: "id", SecretAccessKey: "key"}, HTTP: server.Client(),
	}, arn)
	if err := q.Keep(t.Context(), body("not json"), invalid); err != nil {
		t.Fatal(err)
	}
	text := func(value string) any { return map[string]any{"DataType": "String", "StringValue": value} }
	want := map[string]any{
		"QueueUrl":    "https://sqs.eu-central-1.amazonaws.com/123456789012/rejected",
		"MessageBody": "not json",
		"MessageAttributes": map[string]any{
			"kind": text("InvalidEvent"), "causation_id": text("cause"), "correlation_id": text("nightly"),
		},
	}
	if diff := cmp.Diff(want, raw); diff != "" || target != "AmazonSQS.SendMessage" || !strings.Contains(region, "/eu-central-1/sqs/") {
		t.Errorf("%s, signed %s, (-want +got):\n%s", target, region, diff)
	}
}

func TestFIFO(t *testing.T) {
	t.Parallel()
	sqs := &script{}
	q, _ := keeper(t, sqs, arn+".fifo")
	for range 2 {
		if err := q.Keep(t.Context(), body("not json"), invalid); err != nil {
			t.Fatal(err)
		}
	}
	id := result.ID(body("").Source, body("").CausationID, kind.Refused)
	if sqs.sent[0].MessageGroupID != id || sqs.sent[0].MessageDeduplicationID != id {
		t.Errorf("sent %+v, want the result's id as its group and deduplication id", sqs.sent[0])
	}
	if diff := cmp.Diff(sqs.sent[0], sqs.sent[1]); diff != "" {
		t.Errorf("the same delivery again (-first +second):\n%s", diff)
	}
}

func TestAttributesHaveValues(t *testing.T) {
	t.Parallel()
	sqs := &script{}
	q, _ := keeper(t, sqs, arn)
	if err := q.Keep(t.Context(), &delivery.Delivery{Carried: delivery.Carried{Text: []byte{0xff}}}, &kind.Error{Kind: kind.NotAllowed}); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]string{"kind": "NotAllowed", "encoding": "base64"}, sqs.sent[0].attributes()); diff != "" {
		t.Errorf("attributes (-want +got):\n%s", diff)
	}
}

// TestNothingToKeep: an empty body is not kept. SQS would refuse it.
func TestNothingToKeep(t *testing.T) {
	t.Parallel()
	sqs := &script{}
	q, _ := keeper(t, sqs, arn)
	none := (*rejected.Queue)(nil)
	if err := errors.Join(q.Keep(t.Context(), body(""), invalid), none.Keep(t.Context(), body("x"), invalid)); err != nil || sqs.calls > 0 {
		t.Errorf("%d calls, %v; want neither", sqs.calls, err)
	}
}

// TestFaults: each body is kept, or the error's kind says if the delivery must be handed
// back.
func TestFaults(t *testing.T) {
	t.Parallel()
	answer := func(status int, code string) error {
		return &awscall.Error{Status: status, Code: code, Message: "secret body"}
	}
	reset := errors.New("connection reset")
	for name, tt := range map[string]struct {
		faults []error
		empty  bool
		want   kind.Kind // None: kept
		calls  int
	}{
		"none":                     {calls: 1},
		"a reset":                  {faults: []error{reset}, calls: 2},
		"two resets":               {faults: []error{reset, reset}, calls: 3},
		"no connection":            {faults: []error{reset, reset, reset}, want: kind.Unavailable, calls: 3},
		"500, then 503":            {faults: []error{answer(500, "InternalFailure"), answer(503, "ServiceUnavailable")}, calls: 3},
		"throttled":                {faults: []error{answer(400, "RequestThrottled"), answer(400, "ThrottlingException"), answer(429, "")}, want: kind.Unavailable, calls: 3},
		"the key is throttled":     {faults: []error{answer(400, "KmsThrottled")}, calls: 2},
		"may not":                  {faults: []error{answer(403, "AccessDeniedException")}, want: kind.Misconfigured, calls: 1},
		"may not use the key":      {faults: []error{answer(400, "KmsAccessDenied")}, want: kind.Misconfigured, calls: 1},
		"no such queue":            {faults: []error{answer(400, "QueueDoesNotExist")}, want: kind.Misconfigured, calls: 1},
		"an expired key":           {faults: []error{answer(403, "ExpiredTokenException")}, want: kind.Misconfigured, calls: 1},
		"a page of somebody's":     {faults: []error{answer(403, "")}, want: kind.Misconfigured, calls: 1},
		"a page with 200":          {empty: true, want: kind.Unavailable, calls: 3},
		"too large for this queue": {faults: []error{answer(400, "InvalidParameterValueException")}, want: kind.Rejected, calls: 1},
		"too large, as it was":     {faults: []error{answer(400, "InvalidParameterValue")}, want: kind.Rejected, calls: 1},
		"no text":                  {faults: []error{answer(400, "InvalidMessageContents")}, want: kind.Rejected, calls: 1},
		"reset, then too large":    {faults: []error{reset, answer(400, "InvalidParameterValueException")}, want: kind.Rejected, calls: 2},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				sqs := &script{faults: tt.faults, empty: tt.empty}
				q, log := keeper(t, sqs, arn)
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				err := kind.As(q.Keep(ctx, body("secret body"), invalid))
				if err.Of() != tt.want || sqs.calls != tt.calls {
					t.Errorf("%d calls, %v; want %d, %q", sqs.calls, err, tt.calls, tt.want)
				}
				if kept := len(sqs.sent) == 1; kept != (tt.want == kind.None) {
					t.Errorf("%d messages and the error %v", len(sqs.sent), err)
				}
				if output := log.String() + fmt.Sprint(err); strings.Contains(output, "secret body") {
					t.Errorf("the body is in %s", output)
				}
			})
		})
	}
}

// TestTooLarge: a message's size includes its attributes. A message that is too large for
// SQS is not sent.
func TestTooLarge(t *testing.T) {
	t.Parallel()
	const limit = 1 << 20
	b := body("")
	room := limit
	for name, value := range map[string]string{"kind": string(invalid.Kind), "causation_id": b.CausationID, "correlation_id": b.CorrelationID} {
		room -= len(name) + len("String") + len(value)
	}
	for _, tt := range []struct {
		content []byte
		want    kind.Kind
	}{
		{bytes.Repeat([]byte("x"), room), kind.None},
		{bytes.Repeat([]byte("x"), room+1), kind.Rejected},
		{bytes.Repeat([]byte{0}, room*3/4), kind.Rejected}, // with its encoding
		{bytes.Repeat([]byte{0}, room*3/4-100), kind.None},
	} {
		sqs := &script{}
		q, _ := keeper(t, sqs, arn)
		b.Carried.Text = tt.content
		if err := kind.As(q.Keep(t.Context(), b, invalid)); err.Of() != tt.want || (sqs.calls == 1) != (tt.want == kind.None) {
			t.Errorf("%d bytes: %d calls, %v; want %q", len(tt.content), sqs.calls, err, tt.want)
		}
	}
}

// TestNoTimeLeft: nothing is sent, and the delivery is handed back.
func TestNoTimeLeft(t *testing.T) {
	t.Parallel()
	sqs := &script{}
	q, _ := keeper(t, sqs, arn)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := kind.As(q.Keep(ctx, body("not json"), invalid)); err.Of() != kind.OutOfTime || sqs.calls > 0 {
		t.Errorf("%d calls, %v; want none, OutOfTime", sqs.calls, err)
	}
}

// TestItsOwnQueue: a body from the queue itself would be kept again and again.
func TestItsOwnQueue(t *testing.T) {
	t.Parallel()
	sqs := &script{}
	q, _ := keeper(t, sqs, arn)
	b := body("not json")
	b.Source = arn
	if err := kind.As(q.Keep(t.Context(), b, invalid)); err.Of() != kind.Misconfigured || sqs.calls > 0 {
		t.Errorf("%d calls, %v; want none, Misconfigured", sqs.calls, err)
	}
}

// FuzzBody: a body is in the queue byte for byte, in characters that SQS accepts. It is
// encoded only if it is not such a text.
func FuzzBody(f *testing.F) {
	for _, seed := range []string{
		"not json", `{"replicate":{}}`, "\t\n\r ", "\x00", "\x1f", "\x7f\u0080", "\ufffd", "\ufffe", "\uffff", "\U0001fffe", "\xff", "\xed\xa0\x80", "ä𝄞", "bm90IGpzb24=",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, content []byte) {
		sqs := &script{}
		q, _ := keeper(t, sqs, arn)
		if err := q.Keep(t.Context(), body(string(content)), invalid); err != nil {
			t.Fatal(err)
		}
		if len(content) == 0 {
			return
		}
		m := sqs.sent[0]
		if got := m.content(t); got != string(content) {
			t.Errorf("the body is %q, want %q", got, content)
		}
		// The characters of XML 1.0, which SQS's reference names.
		isChar := func(c rune) bool {
			return c == 0x9 || c == 0xA || c == 0xD || c >= 0x20 && c <= 0xD7FF || c >= 0xE000 && c <= 0xFFFD || c >= 0x10000 && c <= 0x10FFFF
		}
		fits := string([]rune(string(content))) == string(content)
		for _, c := range string(content) {
			fits = fits && isChar(c)
		}
		if encoded := m.MessageAttributes["encoding"].StringValue == "base64"; encoded == fits {
			t.Errorf("%q is sent in base64: %t", content, encoded)
		}
	})
}
