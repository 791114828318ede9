package events

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/go-json-experiment/json/jsontext"

	"cbr-replicator/internal/jsonscan"
	"cbr-replicator/internal/kind"
)

// envelope is a form of message that carries another's body: what an SNS topic
// sends to a queue that is subscribed to it, say.
type envelope struct {
	name string
	is   func(shape) bool
	open func(message []byte) (letter, error)
}

// letter is what an envelope carries.
type letter struct {
	body        []byte
	correlation string // empty without one
	own         bool   // the envelope is a result event of ours
	event       []byte // that event
	// again: the request was sent before, nobody knows when.
	again bool
}

// maxEnvelopes is how many may be around a request, the trigger's not counted.
const maxEnvelopes = 4

// envelopes are in the order in which they are told apart.
var envelopes = []envelope{
	{
		name: "a trigger's event of Records",
		is:   func(s shape) bool { return s.keys["Records"] },
		open: openRecords,
	},
	{
		name: "an SNS notification",
		is:   func(s shape) bool { return s.keys["Type"] && s.keys["Message"] },
		open: openNotification,
	},
	{
		name: "a Lambda destination record",
		is:   func(s shape) bool { return s.keys["requestContext"] && s.keys["requestPayload"] },
		open: openDestinationRecord,
	},
	{name: "an EventBridge event", is: isBusEvent, open: openBusEvent},
	{name: "a CloudEvent", is: isCloudEvent, open: openCloudEvent},
}

// unwrap takes a body out of the envelopes that it is in. Beside an error it
// returns how far it came. The innermost correlation id counts.
func unwrap(body []byte, correlation string) (letter, *kind.Error) {
	in := letter{body: body, correlation: correlation}
	for n := 0; ; n++ {
		in.body = bare(in.body)
		s := shapeOf(in.body)
		i := slices.IndexFunc(envelopes, func(e envelope) bool { return e.is(s) })
		if i < 0 {
			return in, nil
		}
		if n == maxEnvelopes {
			return in, &kind.Error{Kind: kind.InvalidEvent, Message: fmt.Sprintf("$: expected a request in at most %d envelopes", maxEnvelopes)}
		}
		out, err := envelopes[i].open(in.body)
		if err == nil && s.twice != "" {
			err = givenTwice(s.twice)
		}
		if err != nil {
			return in, &kind.Error{Kind: kind.InvalidEvent, Message: "$: expected the form of " + envelopes[i].name + "; " + plain(err), Cause: err}
		}
		if out.own {
			out.event = in.body
			return out, &kind.Error{Kind: kind.InvalidEvent, Message: "$: expected a request, not a result"}
		}
		if !isCorrelationID(out.correlation) {
			out.correlation = in.correlation
		}
		out.again = out.again || in.again
		in = out
	}
}

// bare takes a body out of the JSON strings that it is the text of: some senders
// encode a message twice.
func bare(body []byte) []byte {
	for range maxEnvelopes {
		r := jsonscan.New(body)
		if r.Peek() != jsontext.KindString {
			break
		}
		var text []byte
		r.Bytes(&text)
		if r.End() != nil {
			break
		}
		body = text
	}
	return body
}

// openRecords: what a function could not do comes to its dead-letter queue as
// the event that it was called with, and to a destination within a record. Each
// of its records would be a delivery of its own, so that there must be one.
func openRecords(message []byte) (letter, error) {
	switch s := shapeOf(message); s.source {
	case "aws:sns":
		r, err := onlyRecord(message, (*snsRecord).read)
		return letter{body: r.message, correlation: r.correlation, again: true}, err
	case "aws:sqs":
		r, err := onlyRecord(message, (*sqsRecord).read)
		return letter{body: r.body, correlation: r.correlation, again: true}, err
	default:
		return letter{}, fmt.Errorf("a record of aws:sns or aws:sqs is expected, not of %q", s.source)
	}
}

func onlyRecord[T any](message []byte, read func(*T, *jsonscan.Reader)) (record T, err error) {
	records, err := readEvent(message, read)
	switch {
	case err != nil:
		return record, err
	case len(records) != 1:
		return record, fmt.Errorf("it has %d records, and exactly one is expected: send each as a message of its own", len(records))
	}
	return records[0], nil
}

// errConfirmation is the error of a message in which SNS asks the owner of an
// endpoint whether a subscription is to be. Its link is a secret of its own.
var errConfirmation = errors.New("the SubscribeURL in this message's body, which the dead-letter queue keeps, is for a person to open")

// openNotification: a subscription without raw message delivery (Amazon SNS
// developer guide, "Parsing Amazon SNS message formats").
func openNotification(message []byte) (letter, error) {
	var n notification
	r := jsonscan.New(message)
	n.read(r)
	if err := r.End(); err != nil {
		return letter{}, err
	}
	switch n.kind {
	case "Notification":
		return letter{body: n.message, correlation: n.correlation}, nil
	case "SubscriptionConfirmation":
		return letter{}, fmt.Errorf("it is a SubscriptionConfirmation: the topic sends nothing before it is confirmed; %w", errConfirmation)
	case "UnsubscribeConfirmation":
		return letter{}, fmt.Errorf("it is an UnsubscribeConfirmation: the topic sends nothing more unless it is subscribed to again; %w", errConfirmation)
	}
	return letter{}, errors.New("it has another Type")
}

func openBusEvent(message []byte) (letter, error) {
	var event busEvent
	err := json.Unmarshal(message, &event)
	return letter{body: event.Detail}, err
}

// openDestinationRecord: what a function could not do comes to a queue with the
// payload that it was called with (AWS Lambda developer guide, "Capturing
// records of Lambda asynchronous invocations"). The payload must be a request or
// an envelope.
func openDestinationRecord(message []byte) (letter, error) {
	var record struct {
		RequestContext struct {
			Condition string `json:"condition"`
		} `json:"requestContext"`
		RequestPayload json.RawMessage `json:"requestPayload"`
	}
	if err := json.Unmarshal(message, &record); err != nil {
		return letter{}, err
	}
	if record.RequestContext.Condition == "" {
		return letter{}, errors.New("it has no condition")
	}
	return letter{body: record.RequestPayload, again: true}, nil
}

func openCloudEvent(message []byte) (letter, error) {
	var event struct {
		Type          string          `json:"type"`
		CorrelationID string          `json:"correlationid"`
		Data          json.RawMessage `json:"data"`
		DataBase64    []byte          `json:"data_base64"`
	}
	if err := json.Unmarshal(message, &event); err != nil {
		return letter{}, err
	}
	l := letter{body: event.Data, correlation: event.CorrelationID, own: kind.IsResult(event.Type)}
	// Some senders write each member that they know of.
	if event.DataBase64 != nil && (event.Data == nil || bytes.Equal(event.Data, []byte("null"))) {
		l.body = event.DataBase64
	}
	return l, nil
}
