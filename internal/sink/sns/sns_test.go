package sns_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/url"
	"strconv"
	"strings"
	"syscall"
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
	"cbr-replicator/internal/sink/sns"
)

const topicARN = "arn:aws:sns:eu-central-1:123456789012:results"

// client has scripted answers: an error, or a result's XML. Without an answer it takes
// everything.
type client struct {
	calls   []url.Values
	answers []any
}

func (c *client) Query(_ context.Context, operation string, form awscall.Form) (awscall.XML, error) {
	values, err := url.ParseQuery(string(form))
	if err != nil {
		return "", err
	}
	values.Set("Action", operation)
	c.calls = append(c.calls, values)
	if n := len(c.calls); n <= len(c.answers) {
		switch a := c.answers[n-1].(type) {
		case error:
			return "", a
		case string:
			return awscall.XML(a), nil
		}
	}
	return successful(10), nil
}

// successful is the result of a call with so many messages.
func successful(n int) awscall.XML {
	var b strings.Builder
	for i := range n {
		b.WriteString("<member><MessageId>d1c4a5a5-9b57-5d3b-8f4e-c6d6c3a5b1f2</MessageId><Id>" + strconv.Itoa(i) + "</Id></member>")
	}
	return awscall.XML("<Failed/><Successful>" + b.String() + "</Successful>")
}

func messages(n int) []*result.Message {
	all := make([]*result.Message, n)
	for i := range all {
		id := strconv.Itoa(i)
		all[i] = &result.Message{
			ID: "id-" + id, Type: "type", Group: "group-" + id, Body: "body-" + id, Time: time.Now(),
			Attributes: []result.Attribute{{Name: "n", Value: id}, {Name: "status", Value: "accepted"}},
		}
	}
	return all
}

// publish publishes one event with at most four tries, and returns its error.
func publish(t *testing.T, c *client) error {
	t.Helper()
	policy := retry.Policy{Initial: time.Second, Max: time.Second, MaxAttempts: 4, MaxElapsed: time.Minute, Rand: func() float64 { return 0 }}
	outbox := sink.NewPublisher(&sns.Topic{ARN: topicARN, Client: c}, policy.Do, slog.New(slog.DiscardHandler), &redact.Redactor{}).Open(t.Context())
	defer outbox.Close()
	return outbox.Begin().Publish(result.New("id", "s", "c", "c", time.Now(), result.Route{}, result.Data{Status: kind.Refused}), result.Route{})
}

// TestEntries: an entry's attributes are of the type String. Only for a FIFO topic it has a
// group and a deduplication id.
func TestEntries(t *testing.T) {
	t.Parallel()
	for _, name := range []string{topicARN, topicARN + ".fifo"} {
		c := &client{}
		if errs := (&sns.Topic{ARN: name, Client: c}).Send(t.Context(), messages(2)); len(errs) != 2 || errors.Join(errs...) != nil {
			t.Errorf("%s: %v", name, errs)
		}
		want := url.Values{"Action": {"PublishBatch"}, "TopicArn": {name}}
		for i, n := range []string{"0", "1"} {
			entry := "PublishBatchRequestEntries.member." + strconv.Itoa(i+1) + "."
			for key, value := range map[string]string{
				"Id": n, "Message": "body-" + n,
				"MessageAttributes.entry.1.Name": "n", "MessageAttributes.entry.1.Value.DataType": "String", "MessageAttributes.entry.1.Value.StringValue": n,
				"MessageAttributes.entry.2.Name": "status", "MessageAttributes.entry.2.Value.DataType": "String", "MessageAttributes.entry.2.Value.StringValue": "accepted",
			} {
				want.Set(entry+key, value)
			}
			if name != topicARN {
				want.Set(entry+"MessageGroupId", "group-"+n)
				want.Set(entry+"MessageDeduplicationId", "id-"+n)
			}
		}
		if diff := cmp.Diff([]url.Values{want}, c.calls); diff != "" {
			t.Errorf("calls (-want +got):\n%s", diff)
		}
	}
}

// TestRefusedEntry: throttling may pass, also if SNS calls it the sender's fault.
func TestRefusedEntry(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		code        string
		senderFault bool
		passes      bool
	}{
		{"InternalError", false, true},
		{"Throttled", true, true},
		{"KMSThrottling", true, true},
		{"Throttled", false, true},
		{"InvalidParameter", true, false},
		{"AuthorizationError", true, false},
	} {
		synctest.Test(t, func(t *testing.T) {
			c := &client{answers: []any{"<Failed><member><Id>0</Id><Code>" + tt.code + "</Code><Message>no &lt;b&gt;</Message><SenderFault>" +
				strconv.FormatBool(tt.senderFault) + "</SenderFault></member></Failed><Successful/>"}}
			if err := publish(t, c); tt.passes != (err == nil) || tt.passes != (len(c.calls) == 2) ||
				!tt.passes && err.Error() != "PublishFailed the result topic did not take the result: "+tt.code+" no <b>" {
				t.Errorf("%s: %d calls, %v", tt.code, len(c.calls), err)
			}
		})
	}
}

// TestUnnamedEntry: an entry that the answer does not name may be published or not, and is
// retried. A name that was not sent is ignored.
func TestUnnamedEntry(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := &client{answers: []any{
			"",
			"<Failed><member><Id>-1</Id></member><member></member></Failed>" +
				"<Successful><member><Id>7</Id></member><member/><member><Id>x</Id></member></Successful>",
		}}
		if err := publish(t, c); err != nil || len(c.calls) != 3 {
			t.Errorf("%d calls, %v", len(c.calls), err)
		}
	})
}

// TestRefusedCall: errors that may pass are retried, and no others.
func TestRefusedCall(t *testing.T) {
	t.Parallel()
	answer := func(status int, code string) error { return &awscall.Error{Status: status, Code: code, Message: "m"} }
	for name, tt := range map[string]struct {
		err    error
		passes bool
	}{
		"Throttling":               {answer(400, "Throttling"), true},
		"Throttled":                {answer(400, "Throttled"), true},
		"ThrottledException":       {answer(400, "ThrottledException"), true},
		"ThrottlingException":      {answer(400, "ThrottlingException"), true},
		"RequestLimitExceeded":     {answer(400, "RequestLimitExceeded"), true},
		"TooManyRequestsException": {answer(400, "TooManyRequestsException"), true},
		"KMSThrottling":            {answer(400, "KMSThrottling"), true},
		"RequestTimeout":           {answer(400, "RequestTimeout"), true},
		"429":                      {answer(429, "New"), true},
		"500":                      {answer(500, "InternalError"), true},
		"503 without a code":       {answer(503, ""), true},
		"a reset":                  {&url.Error{Op: "Post", Err: &net.OpError{Op: "read", Err: syscall.ECONNRESET}}, true},
		"no connection":            {&url.Error{Op: "Post", Err: &net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}}, true},
		"a cut":                    {io.ErrUnexpectedEOF, true},
		"an answer of no sense":    {awscall.ErrUnread, true},
		"no time":                  {context.DeadlineExceeded, true},
		"no access":                {answer(403, "AuthorizationError"), false},
		"no topic":                 {answer(404, "NotFound"), false},
		"a parameter":              {answer(400, "InvalidParameter"), false},
		"no access to the key":     {answer(400, "KMSAccessDenied"), false},
		"too long":                 {answer(400, "BatchRequestTooLong"), false}, // there is one message in it
		"an unknown token":         {answer(403, "InvalidClientTokenId"), false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				c := &client{answers: []any{tt.err, tt.err}}
				err := publish(t, c)
				want := 1
				if tt.passes {
					want = 3
				}
				if len(c.calls) != want || tt.passes != (err == nil) || !tt.passes && !errors.Is(err, tt.err) {
					t.Errorf("%d calls, want %d; %v", len(c.calls), want, err)
				}
			})
		})
	}
}

func TestIsTopic(t *testing.T) {
	t.Parallel()
	for resource, want := range map[string]bool{
		"results": true, "results.fifo": true, "": false, "results:0b7a4f2e-a-subscription": false,
	} {
		if got := sns.IsTopic(arn.ARN{Service: sns.Service, Resource: resource}); got != want {
			t.Errorf("IsTopic(%q) = %v", resource, got)
		}
	}
}
