// Package events is what comes in: the payloads of the triggers, told apart by
// their form, as deliveries of requests; and each trigger's own reply.
//
// Each trigger is one file, NAME.go, with one sample, NAME.json, that tests,
// docs, the sandbox and `sam local invoke -e` share, and one line in the list
// of triggers below.
package events

import (
	"cmp"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"time"

	"cbr-replicator/internal/cbr"
	"cbr-replicator/internal/kind"
	"cbr-replicator/internal/onepass"
	"cbr-replicator/internal/redact"
)

// Decoder turns payloads into deliveries. It is safe for concurrent use.
type Decoder struct {
	// Defaults are filled in where a request names nothing.
	Defaults Defaults
	// Redact cleans all text from outside that is passed on. It is required.
	Redact *redact.Redactor
	// HTTPTimeout is how long after a request's arrival API Gateway must have
	// its answer.
	HTTPTimeout time.Duration
}

// Invocation is what Lambda says of the call itself.
type Invocation struct {
	RequestID   string
	FunctionARN string
	// Began is when the handler was called.
	Began time.Time
}

// Batch is a decoded payload.
type Batch struct {
	// Deliveries are in the order of the payload. There may be none: a health
	// check asks for nothing.
	Deliveries []Delivery
	// Deadline is the trigger's own, zero without one.
	Deadline time.Time
	// AtOnce: what goes back comes again at once, since nothing waits on its way.
	AtOnce bool
	reply  func([]Outcome) ([]byte, error)
}

// Reply returns the answer in the trigger's dialect, or the error that is the
// answer: then Lambda's. outcomes are those of Deliveries, in their order; that
// one is missing is such an error, since it must not pass for success.
func (b *Batch) Reply(outcomes []Outcome) ([]byte, error) {
	if len(outcomes) != len(b.Deliveries) {
		return nil, fmt.Errorf("%d outcomes of %d deliveries", len(outcomes), len(b.Deliveries))
	}
	return b.reply(outcomes)
}

// Delivery is one request as a trigger delivered it.
type Delivery struct {
	// Source and CausationID name the delivery: the queue's ARN and the
	// message's id, say. The same delivery made again has the same.
	Source      string
	CausationID string
	// CorrelationID is the caller's own name for it, else CausationID.
	CorrelationID string
	// Group is the FIFO group, whose deliveries are handled in order, else empty.
	Group string
	// Receives is the receive count, zero where the trigger has none.
	Receives int
	// Receipt is the receipt handle of a queue's message, else empty.
	Receipt string
	// Again: the request may have been sent before, by an earlier delivery.
	Again bool
	// Since is when the trigger had the delivery first: nothing was sent for it
	// before. Zero where the trigger does not say.
	Since time.Time
	// Claimed: Since is the producer's word, who may write there what he likes.
	// One that is old need not mean that the delivery is a second one.
	Claimed bool
	// Final: the trigger never delivers again by itself; the caller is told.
	Final bool
	// Request is valid if Err is nil; else it holds the correlation id alone,
	// if that is good.
	Request Request
	// Err is what is wrong with the request: an InvalidEvent, or Misconfigured
	// for what a queue must not lose although no request is in it.
	Err *kind.Error
	// Skip: a result event of ours has come in again. It is to be acknowledged
	// and logged, its outcome is the zero one, and it is never published: that
	// would go round for ever. Err is set as well.
	Skip bool

	// body is what the trigger carried, as a JSON string if quoted: a part of the
	// payload where it can be, for a batch may have thousands.
	body   []byte
	quoted bool
}

// Body returns what the trigger carried the request in, as it came: the body of
// a queue's message, an SNS message, an event of EventBridge whole, a broker's
// value or data out of its base64. As the body of a message in a queue that the
// function reads it is the same request again, but for a correlation id that was
// beside it. It is nil for a caller that learns the outcome, see Final.
func (d *Delivery) Body() []byte {
	switch {
	case d.Final:
		return nil
	case d.quoted:
		return onepass.Unquote(d.body)
	}
	return d.body
}

// Outcome is how a delivery ended.
type Outcome struct {
	// Err is nil for an accepted replication.
	Err *kind.Error
	// PublishErr says why the topic did not take the result, nil if it did or
	// if there was none.
	PublishErr *kind.Error
	// Answer is CBR's, as far as there was one.
	Answer cbr.Answer
	// Result is what a direct caller is told, nil if there is nothing to tell.
	Result Result
}

// Result is what came of a delivery, for a direct caller.
type Result interface {
	// Within returns its JSON, an object that is not empty, in at most limit
	// bytes.
	Within(limit int) ([]byte, error)
}

// Redeliver reports whether the delivery goes back to its source.
func (o Outcome) Redeliver() bool {
	return o.PublishErr != nil || (o.Err != nil && o.Err.Kind.Policy().Redeliver)
}

// trigger is one way in.
type trigger struct {
	// samples are the names of its samples, without the ending.
	samples []string
	is      func(shape) bool
	decode  func(*Decoder, []byte, Invocation) (*Batch, error)
	// direct: what is wrong with the payload is the request's own affair.
	direct bool
}

// triggers are in the order in which they are told apart; the last takes what
// is no event of AWS.
var triggers = []trigger{
	pipesSQS,
	pipesKafka,
	pipesRabbitMQ,
	pipesActiveMQ,
	directBatch,
	sqs,
	sns,
	kafka,
	rabbitMQ,
	activeMQ,
	apigwHTTP,
	apigwREST,
	alb,
	eventBridge,
	cloudEvent,
	direct,
}

// Decode reads a payload. An error is Lambda's, so that nothing is acknowledged
// that was not understood: a request that is wrong in itself is no error, but a
// delivery that says so.
func (d *Decoder) Decode(payload []byte, inv Invocation) (*Batch, error) {
	s := shapeOf(payload)
	for _, t := range triggers {
		if !t.is(s) {
			continue
		}
		b, err := t.decode(d, payload, inv)
		if s.twice != "" && !t.direct {
			err = givenTwice(s.twice)
		}
		if err != nil {
			return nil, &kind.Error{Kind: kind.InvalidEvent, Message: d.Redact.Text(fmt.Sprintf("a payload of the form of %s: %s", t.samples[0], plain(err))), Cause: err}
		}
		return b, nil
	}
	return nil, &kind.Error{Kind: kind.InvalidEvent, Message: d.Redact.Text(fmt.Sprintf("no trigger has a payload of this form (%s)", s.sources()))}
}

// deliver completes a delivery whose request is in body, in envelopes maybe.
func (d *Decoder) deliver(body []byte, del Delivery, correlation string) Delivery {
	del.Request, del.Err = d.parse(body)
	if del.Err == nil {
		return d.correlate(del, correlation) // no envelope has the form of a request
	}
	in, err := unwrap(body, correlation)
	if err == nil {
		del.Request, err = d.parse(in.body)
	} else {
		err.Message = d.Redact.Text(err.Message)
	}
	del.Err = err
	if in.again {
		del.Again, del.Since = true, time.Time{}
	}
	del.Skip = in.own || err != nil && holdsResult(in.body)
	return d.correlate(del, in.correlation)
}

// deliverBase64 completes a delivery whose request is in text, in base64.
func (d *Decoder) deliverBase64(text []byte, del Delivery, correlation string) Delivery {
	body, err := base64.StdEncoding.AppendDecode(nil, text)
	if err != nil {
		del.body = text
		del.Err = &kind.Error{Kind: kind.InvalidEvent, Message: "$: expected base64"}
		return d.correlate(del, correlation)
	}
	del.body = body
	return d.deliver(body, del, correlation)
}

// correlate picks the name a caller knows the delivery by: the body's own,
// else the envelope's, else the delivery's. One of an envelope that is not of
// the form is ignored: it may be there for others.
func (d *Decoder) correlate(del Delivery, envelope string) Delivery {
	if !isCorrelationID(envelope) {
		envelope = ""
	}
	del.CausationID = d.Redact.Text(del.CausationID)
	del.CorrelationID = cmp.Or(del.Request.CorrelationID, d.Redact.Text(envelope), del.CausationID)
	return del
}

// plain is err's text without what it says of Go.
func plain(err error) string {
	e, ok := errors.AsType[*json.UnmarshalTypeError](err)
	if !ok {
		return err.Error()
	}
	want := "a number"
	switch e.Type.Kind() {
	case reflect.String:
		want = "a string"
	case reflect.Bool:
		want = "true or false"
	case reflect.Struct, reflect.Map:
		want = "an object"
	case reflect.Slice:
		want = "an array"
	}
	return strings.Replace(err.Error(), e.Error(), fmt.Sprintf("%s: expected %s", cmp.Or(e.Field, "$"), want), 1)
}

func marshal(reply any) ([]byte, error) {
	out, err := json.Marshal(reply)
	if err != nil {
		return nil, fmt.Errorf("encode the reply: %w", err)
	}
	return out, nil
}
