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

	"cbr-replicator/internal/delivery"
	"cbr-replicator/internal/kind"
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
	// MaxReceiveCount is the receive count with which a queue gives up.
	MaxReceiveCount int
	// KafkaItemFailures: every event source mapping of Kafka takes batch item
	// failures. A mapping without ReportBatchItemFailures would take the answer for
	// success, whatever is in it, and the records that are handed back would be lost.
	// The payload does not say which it is.
	KafkaItemFailures bool
}

// Batch is a decoded payload.
type Batch struct {
	// Deliveries are in the order of the payload. There may be none: a health
	// check asks for nothing.
	Deliveries []delivery.Delivery
	// Deadline is the trigger's own, zero without one.
	Deadline time.Time
	// AtOnce: what goes back comes again at once, since nothing waits on its way.
	AtOnce bool
	// WarmUp: it was called to be kept warm, and asks for nothing.
	WarmUp bool
	reply  func([]delivery.Outcome) ([]byte, error)
}

// Reply returns the answer in the trigger's dialect, or the error that is the
// answer: then Lambda's. outcomes are those of Deliveries, in their order; that
// one is missing is such an error, since it must not pass for success.
func (b *Batch) Reply(outcomes []delivery.Outcome) ([]byte, error) {
	if len(outcomes) != len(b.Deliveries) {
		return nil, fmt.Errorf("%d outcomes of %d deliveries", len(outcomes), len(b.Deliveries))
	}
	return b.reply(outcomes)
}

// trigger is one way in.
type trigger struct {
	// samples are the names of its samples, without the ending.
	samples []string
	is      func(shape) bool
	decode  func(*Decoder, []byte, delivery.Invocation) (*Batch, error)
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
func (d *Decoder) Decode(payload []byte, inv delivery.Invocation) (*Batch, error) {
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
func (d *Decoder) deliver(body []byte, del delivery.Delivery, correlation string) delivery.Delivery {
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
		del.Redelivered, del.Since = true, time.Time{}
	}
	del.Own = in.own || err != nil && holdsResult(in.body)
	return d.correlate(del, in.correlation)
}

// deliverBase64 completes a delivery whose request is in text, in base64.
func (d *Decoder) deliverBase64(text []byte, del delivery.Delivery, correlation string) delivery.Delivery {
	body, err := base64.StdEncoding.AppendDecode(nil, text)
	if err != nil {
		del.Carried.Text = text
		del.Err = &kind.Error{Kind: kind.InvalidEvent, Message: "$: expected base64"}
		return d.correlate(del, correlation)
	}
	del.Carried.Text = body
	return d.deliver(body, del, correlation)
}

// correlate picks the name a caller knows the delivery by: the body's own,
// else the envelope's, else the delivery's. One of an envelope that is not of
// the form is ignored: it may be there for others.
func (d *Decoder) correlate(del delivery.Delivery, envelope string) delivery.Delivery {
	if !isCorrelationID(envelope) {
		envelope = ""
	}
	del.CausationID = d.Redact.ID(del.CausationID)
	del.CorrelationID = cmp.Or(del.Request.CorrelationID, d.Redact.ID(envelope), del.CausationID)
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
