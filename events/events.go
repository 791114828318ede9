// Package events turns payloads into deliveries of requests, and outcomes into
// the trigger's reply. It recognizes a trigger by the payload's form.
//
// Each trigger has a file, NAME.go, a line in the list of triggers below, and a
// sample, NAME.json. Tests, docs, the sandbox and `sam local invoke -e` share the
// samples.
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
	// Defaults are for the fields that a request does not give.
	Defaults Defaults
	// Now is the clock that requests are held against, time.Now if nil.
	Now func() time.Time
	// Redact cleans all text from outside that is passed on. It is required.
	Redact *redact.Redactor
	// HTTPTimeout is the time from a request's arrival at API Gateway to its
	// answer, at most.
	HTTPTimeout time.Duration
	// FollowQueueARN is the queue from which accepted events are followed, empty
	// without one.
	FollowQueueARN string
	// FunctionGraph: the payloads are FunctionGraph's.
	FunctionGraph bool
	// StartOnEvents are the ids of Cloud Eye's events that ask for the request of the
	// defaults.
	StartOnEvents []string
	// MaxReceiveCount is the receive count of the last delivery of another queue.
	MaxReceiveCount int
	// KafkaItemFailures: every event source mapping of Kafka has
	// ReportBatchItemFailures. One without it would take any answer for success, and
	// the records that are handed back would be lost. A payload does not show it.
	KafkaItemFailures bool
}

// Batch is a decoded payload.
type Batch struct {
	// Deliveries are in the order of the payload. A health check has none.
	Deliveries []delivery.Delivery
	// Deadline is the trigger's own, zero without one.
	Deadline time.Time
	// AtOnce: the source redelivers at once what is handed back.
	AtOnce bool
	// OneByOne: only the deliveries that are handed back are redelivered, not those
	// that were acknowledged.
	OneByOne bool
	// WarmUp: the call only keeps the function warm. It has no deliveries.
	WarmUp bool
	reply  func([]delivery.Outcome) ([]byte, error)
}

// Reply returns the trigger's answer, or the error that is its answer, a Lambda
// error. outcomes are those of Deliveries, in their order. If one is missing, the
// answer is an error too, so that no delivery is acknowledged by mistake.
func (b *Batch) Reply(outcomes []delivery.Outcome) ([]byte, error) {
	if len(outcomes) != len(b.Deliveries) {
		return nil, fmt.Errorf("%d outcomes of %d deliveries", len(outcomes), len(b.Deliveries))
	}
	return b.reply(outcomes)
}

// trigger is one form of payload.
type trigger struct {
	// samples are the names of its samples, without the ending.
	samples []string
	is      func(form) bool
	decode  func(*Decoder, []byte, delivery.Invocation) (*Batch, error)
	// direct: the payload is the request. If a name in it is given twice, the
	// request is wrong, not the payload.
	direct bool
}

// triggers are in the order in which their forms are tried. The last one takes
// all that is not an event of a cloud.
var triggers = []trigger{
	pipesSQS,
	pipesKafka,
	pipesRabbitMQ,
	pipesActiveMQ,
	directBatch,
	apig,
	smn,
	timer,
	dms,
	asyncDestination,
	eventGrid,
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

// Decode reads a payload. Its error becomes a Lambda error, so that a payload
// that was not understood is not acknowledged. A wrong request is no such error:
// it is a delivery with an Err.
func (d *Decoder) Decode(payload []byte, inv delivery.Invocation) (*Batch, error) {
	f := detect(payload)
	f.functionGraph = d.FunctionGraph
	if name := f.refused(); name != "" {
		return nil, &kind.Error{Kind: kind.InvalidEvent, Message: d.Redact.Text("an event of " + name + ", which asks for nothing here")}
	}
	for _, t := range triggers {
		if !t.is(f) {
			continue
		}
		b, err := t.decode(d, payload, inv)
		if f.twice != "" && !t.direct {
			err = givenTwice(f.twice)
		}
		if err != nil {
			return nil, &kind.Error{Kind: kind.InvalidEvent, Message: d.Redact.Text(fmt.Sprintf("a payload of the form of %s: %s", t.samples[0], plain(err))), Cause: err}
		}
		if inv.Async {
			d.makeAsync(b, inv)
		}
		return b, nil
	}
	return nil, &kind.Error{Kind: kind.InvalidEvent, Message: d.Redact.Text(fmt.Sprintf("no trigger has a payload of this form (%s)", f.sources()))}
}

// deliver completes a delivery. Its request is in body, maybe in envelopes.
func (d *Decoder) deliver(body []byte, del delivery.Delivery, correlation string) delivery.Delivery {
	del.Request, del.Err = d.parse(body)
	if del.Err == nil {
		return d.correlate(del, correlation) // an envelope never parses as a request
	}
	in, err := unwrap(body, correlation)
	if err == nil {
		del.Request, err = d.parse(d.started(in.body))
	} else {
		err.Message = d.Redact.Text(err.Message)
	}
	del.Err = err
	if in.redelivered {
		del.Redelivered, del.Since = true, time.Time{}
	}
	del.Own = in.own || err != nil && holdsResult(in.body)
	return d.correlate(del, in.correlation)
}

// deliverBase64 completes a delivery. Its request is in text, in base64.
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

// correlate sets the correlation id: the body's own, else the envelope's, else
// the causation id. An envelope's id of another form is ignored: it may be meant
// for another program.
func (d *Decoder) correlate(del delivery.Delivery, envelope string) delivery.Delivery {
	if !delivery.IsCorrelationID(envelope) {
		envelope = ""
	}
	del.CausationID = d.Redact.ID(del.CausationID)
	del.CorrelationID = cmp.Or(del.Request.CorrelationID, d.Redact.ID(envelope), del.CausationID)
	return del
}

// plain returns err's text without the names of Go types.
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
