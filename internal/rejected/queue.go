// Package rejected keeps the bodies of rejected requests that came without a caller
// to answer: from a queue, a broker or an asynchronous trigger. Such a body is not a
// valid request, or asks for what is not allowed. The operator's queue keeps it
// until the sender or the allow-lists are corrected. So a sender that adds one
// field does not lose its requests.
package rejected

import (
	"cmp"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"cbr-replicator/internal/awscall"
	"cbr-replicator/internal/deadline"
	"cbr-replicator/internal/delivery"
	"cbr-replicator/internal/kind"
	"cbr-replicator/internal/queue"
	"cbr-replicator/internal/redact"
	"cbr-replicator/internal/result"
)

// SQS makes a call to SQS, and no other; awscall.Client does.
type SQS interface {
	Call(ctx context.Context, operation string, in, out any) error
}

// Queue is where bodies are kept. All fields are required. It is safe for
// concurrent use. A nil Queue keeps nothing.
type Queue struct {
	Name queue.Name
	// SQS is a client for the queue's region.
	SQS SQS
	// Retry retries op while its error may pass, and calls notify before each wait; see
	// retry.Policy.
	Retry  func(ctx context.Context, op func(context.Context) error, notify func(err error, wait time.Duration)) error
	Log    *slog.Logger
	Redact *redact.Redactor
}

const (
	// maxMessage is SQS's limit for a message with its attributes, in bytes (SQS
	// developer guide, "Amazon SQS message quotas"). A queue's own may be lower.
	maxMessage = 1 << 20
	// timeout bounds one try, which gets at most half of the time that is left.
	timeout = 5 * time.Second
)

// message is SendMessage's input (SQS API reference, "SendMessage").
type message struct {
	QueueURL               string `json:"QueueUrl"`
	MessageBody            string
	MessageAttributes      map[string]attribute
	MessageGroupID         string `json:"MessageGroupId,omitempty"`
	MessageDeduplicationID string `json:"MessageDeduplicationId,omitempty"`
}

type attribute struct{ DataType, StringValue string }

// Keep keeps the body of a delivery that was rejected because of why. It returns
// nil once the queue has the body. A redelivery may keep it twice. An empty body is
// not kept.
//
// Any error is a *kind.Error that shows nothing of the body. If the policy of its
// kind is to redeliver, the delivery must be handed back, or the body is lost: SQS
// cannot be reached, or an operator must correct something. Otherwise SQS will
// never take the body.
func (q *Queue) Keep(ctx context.Context, d *delivery.Delivery, why *kind.Error) error {
	body := d.Body()
	switch {
	case q == nil || len(body) == 0:
		return nil
	case d.Source == q.Name.ARN():
		// It would repeat for ever, each time as a new message.
		return q.failed(kind.Misconfigured, "it is the queue that the delivery came from")
	}
	m, err := q.message(d, body, why)
	if err != nil {
		return err
	}
	return q.Retry(ctx, func(ctx context.Context) error {
		return q.send(ctx, m)
	}, func(err error, wait time.Duration) {
		why := kind.As(err)
		q.Log.InfoContext(ctx, "retrying", "kind", why.Kind, "error", why.Message, "causation_id", d.CausationID, "wait_ms", wait.Milliseconds())
	})
}

func (q *Queue) message(d *delivery.Delivery, body []byte, why *kind.Error) (*message, error) {
	text, encoding := encode(body)
	correlation := d.CorrelationID
	if correlation == d.CausationID {
		correlation = "" // nobody gave one
	}
	m := &message{QueueURL: q.Name.URL(), MessageBody: text, MessageAttributes: map[string]attribute{}}
	size := len(text)
	for _, a := range [...]struct{ name, value string }{
		{"kind", string(why.Kind)},
		{"causation_id", d.CausationID},
		{"correlation_id", correlation},
		{"encoding", encoding},
	} {
		// SQS takes no attribute without a value.
		if a.value != "" {
			m.MessageAttributes[a.name] = attribute{"String", a.value}
			size += len(a.name) + len("String") + len(a.value)
		}
	}
	if size > maxMessage {
		return nil, q.failed(kind.Rejected, fmt.Sprintf("it takes no message of more than %d bytes, and this one has %d", maxMessage, size))
	}
	if q.Name.FIFO() {
		// Bodies have no order. As a group of its own, none waits for another.
		id := result.ID(d.Source, d.CausationID, why.Kind.Policy().Status)
		m.MessageGroupID, m.MessageDeduplicationID = id, id
	}
	return m, nil
}

// encode returns the text to send and the name of its encoding. That is "base64" if SQS
// would not keep content as it is, see [queue.IsText], otherwise empty.
func encode(content []byte) (text, encoding string) {
	if !queue.IsText(content) {
		return base64.StdEncoding.EncodeToString(content), "base64"
	}
	return string(content), ""
}

// send makes one call.
func (q *Queue) send(ctx context.Context, m *message) error {
	ctx, cancel := context.WithTimeout(ctx, deadline.Half(ctx, timeout))
	defer cancel()
	var out struct {
		ID string `json:"MessageId"`
	}
	err := q.SQS.Call(ctx, "SendMessage", m, &out)
	answer, isAnswer := errors.AsType[*awscall.Error](err)
	switch {
	case err == nil && out.ID != "":
		return nil
	case err == nil:
		return q.failed(kind.Unavailable, "what answers is not SQS")
	case !isAnswer:
		return q.failed(kind.Unavailable, err.Error())
	}
	// Without the message, which may repeat what was sent.
	why := cmp.Or(answer.Code, http.StatusText(answer.Status))
	switch {
	case answer.Passes():
		return q.failed(kind.Unavailable, why)
	case isOfMessage(answer.Code):
		return q.failed(kind.Rejected, why)
	}
	// For example, it may not send, or there is no such queue.
	return q.failed(kind.Misconfigured, why)
}

// isOfMessage reports whether a code means that SQS will not take this message,
// rather than no message: a body larger than the queue's limit is an
// InvalidParameterValueException.
func isOfMessage(code string) bool {
	switch strings.TrimSuffix(code, "Exception") {
	case "InvalidMessageContents", "InvalidParameterValue":
		return true
	}
	return false
}

func (q *Queue) failed(k kind.Kind, why string) error {
	return &kind.Error{Kind: k, Message: q.Redact.Text("the queue of REJECTED_QUEUE_ARN did not take the body: " + why)}
}
