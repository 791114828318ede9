package eventbridge_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws/arn"
	"github.com/google/go-cmp/cmp"

	"cbr-replicator/internal/awscall"
	"cbr-replicator/internal/kind"
	"cbr-replicator/internal/redact"
	"cbr-replicator/internal/result"
	"cbr-replicator/internal/retry"
	"cbr-replicator/internal/sink"
	"cbr-replicator/internal/sink/eventbridge"
)

const busARN = "arn:aws:events:eu-central-1:123456789012:event-bus/results"

// client has scripted answers. Without an answer it takes everything.
type client struct {
	calls   []string
	answers []any // an error, or an answer's JSON
}

func (c *client) Call(_ context.Context, operation string, in, out any) error {
	body, err := json.Marshal(in)
	if err != nil {
		return err
	}
	c.calls = append(c.calls, operation+" "+string(body))
	answer := `{"FailedEntryCount":0,"Entries":[` + strings.Repeat(`,{"EventId":"e"}`, strings.Count(string(body), "EventBusName"))[1:] + `]}`
	if n := len(c.calls); n <= len(c.answers) {
		switch a := c.answers[n-1].(type) {
		case error:
			return a
		case string:
			answer = a
		}
	}
	return json.Unmarshal([]byte(answer), out)
}

func publish(t *testing.T, c *client) error {
	t.Helper()
	policy := retry.Policy{Initial: time.Second, Max: time.Second, MaxAttempts: 4, MaxElapsed: time.Minute, Rand: func() float64 { return 0 }}
	outbox := sink.NewPublisher(&eventbridge.Bus{ARN: busARN, Client: c}, policy.Do, slog.New(slog.DiscardHandler), &redact.Redactor{}).Open(t.Context())
	defer outbox.Close()
	return outbox.Begin().Publish(result.New("id", "s", "c", "c", time.Now(), result.Route{}, result.Data{Status: kind.Refused}), result.Route{})
}

// TestEntries: the form of an entry, and its size.
func TestEntries(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 11, 23, 8, 0, 0, 120_456_789, time.FixedZone("CET", 3600))
	bus := &eventbridge.Bus{ARN: busARN}
	c := &client{}
	bus.Client = c
	m := &result.Message{ID: "i", Type: "cbr.checkpoint.replication.accepted.v1", Time: at, Group: "g", Body: `{"a":"ä"}`, Attributes: []result.Attribute{{Name: "n", Value: "v"}}}
	if errs := bus.Send(t.Context(), []*result.Message{m}); len(errs) != 1 || errs[0] != nil {
		t.Error(errs)
	}
	want := []string{`PutEvents {"Entries":[{"Time":1795417200.12,"Source":"cbr-replicator","DetailType":"cbr.checkpoint.replication.accepted.v1",` +
		`"Detail":"{\"a\":\"ä\"}","EventBusName":"` + busARN + `"}]}`}
	if diff := cmp.Diff(want, c.calls); diff != "" {
		t.Errorf("calls (-want +got):\n%s", diff)
	}
	// 14 for the time, and the bytes of source, type and detail.
	if got, want := bus.Size(m), 14+14+38+10; got != want {
		t.Errorf("size %d, want %d", got, want)
	}
}

// TestAnswers: errors that may pass are retried, and no others.
func TestAnswers(t *testing.T) {
	t.Parallel()
	entry := func(code string) string {
		return fmt.Sprintf(`{"FailedEntryCount":1,"Entries":[{"ErrorCode":%q,"ErrorMessage":"no"}]}`, code)
	}
	call := func(status int, code, text string) error {
		return &awscall.Error{Status: status, Code: code, Message: text}
	}
	for name, tt := range map[string]struct {
		answer any
		passes bool
		text   string // where it does not
	}{
		"a throttled entry":                 {entry("ThrottlingException"), true, ""},
		"an entry of the service's fault":   {entry("InternalFailure"), true, ""},
		"the same by another name":          {entry("InternalException"), true, ""},
		"no word of the entry":              {`{"FailedEntryCount":0,"Entries":[]}`, true, ""},
		"no word of what became of it":      {`{"Entries":[{}]}`, true, ""},
		"no entries":                        {`{}`, true, ""},
		"more entries than asked for":       {`{"Entries":[{"EventId":"e"},{"ErrorCode":"MalformedDetail"}]}`, true, ""},
		"a malformed detail":                {entry("MalformedDetail"), false, "MalformedDetail no"},
		"a source that is not allowed":      {entry("NotAuthorizedForSourceException"), false, "NotAuthorizedForSourceException no"},
		"a detail type that is not allowed": {entry("NotAuthorizedForDetailTypeException"), false, "NotAuthorizedForDetailTypeException no"},
		"an entry without access":           {entry("AccessDeniedException"), false, "AccessDeniedException no"},
		"an invalid argument":               {entry("InvalidArgument"), false, "InvalidArgument no"},
		"a throttled call":                  {call(400, "ThrottlingException", "Rate exceeded"), true, ""},
		"429":                               {call(429, "New", ""), true, ""},
		"the service's fault":               {call(500, "InternalException", ""), true, ""},
		"503":                               {call(503, "", ""), true, ""},
		"no answer":                         {errors.New("PutEvents: connection reset"), true, ""},
		"no time":                           {context.DeadlineExceeded, true, ""},
		"a call without access":             {call(400, "AccessDeniedException", "no"), false, "AccessDeniedException: no"},
		"an expired credential":             {call(400, "ExpiredTokenException", "old"), false, "ExpiredTokenException: old"},
		"too large": {
			call(400, "ValidationException", "Total size of the entries in the request is over the limit."), false,
			"ValidationException: Total size of the entries in the request is over the limit.",
		},
		"too large, without a word": {call(413, "", ""), false, "Request Entity Too Large"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				c := &client{answers: []any{tt.answer, tt.answer}}
				err := publish(t, c)
				want := 1
				if tt.passes && name != "more entries than asked for" {
					want = 3
				}
				if len(c.calls) != want || tt.passes != (err == nil) ||
					!tt.passes && err.Error() != "PublishFailed the result event bus did not take the result: "+tt.text {
					t.Errorf("%d calls, want %d; %v", len(c.calls), want, err)
				}
			})
		})
	}
}

// TestTooLarge: a call that is too large is divided, with either answer.
func TestTooLarge(t *testing.T) {
	t.Parallel()
	for _, answer := range []*awscall.Error{
		{Status: 400, Code: "ValidationException", Message: "Total size of the entries in the request is over the limit."},
		{Status: 413},
	} {
		bus := &eventbridge.Bus{ARN: busARN, Client: &client{answers: []any{answer}}}
		errs := bus.Send(t.Context(), []*result.Message{{}, {}})
		if want := sink.TooLarge(answer); len(errs) != 2 || fmt.Sprintf("%#v", errs[0]) != fmt.Sprintf("%#v", want) {
			t.Errorf("%v: %#v", answer, errs)
		}
	}
}

func TestIsBus(t *testing.T) {
	t.Parallel()
	for resource, want := range map[string]bool{
		"event-bus/results": true, "event-bus/default": true, "event-bus/a.b/c-d_e": true,
		"": false, "results": false, "event-bus/": false, "event-bus/a:b": false, "rule/results": false,
	} {
		if got := eventbridge.IsBus(arn.ARN{Service: eventbridge.Service, Resource: resource}); got != want {
			t.Errorf("IsBus(%q) = %v", resource, got)
		}
	}
}
