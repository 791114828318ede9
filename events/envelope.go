package events

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/go-json-experiment/json/jsontext"

	"cbr-replicator/internal/delivery"
	"cbr-replicator/internal/jsonscan"
	"cbr-replicator/internal/kind"
)

// envelope is a form of message that has a request in it, such as the message
// that an SNS topic sends to a subscribed queue.
type envelope struct {
	name string
	is   func(form) bool
	open func(message []byte) (content, error)
}

// content is what an envelope has in it.
type content struct {
	body        []byte
	correlation string // empty without one
	own         bool   // the envelope is a result event of ours
	event       []byte // that event
	// redelivered: the request was delivered before, at an unknown time.
	redelivered bool
}

// maxEnvelopes is how many envelopes may be around a request, not counting the
// trigger's event.
const maxEnvelopes = 4

// envelopes are in the order in which their forms are tried.
var envelopes = []envelope{
	{
		name: "a trigger's event of Records",
		is:   func(f form) bool { return f.keys["Records"] },
		open: openRecords,
	},
	{
		name: "an SNS notification",
		is:   func(f form) bool { return f.keys["Type"] && f.keys["Message"] },
		open: openNotification,
	},
	{
		name: "a Lambda destination record",
		is:   func(f form) bool { return f.keys["requestContext"] && f.keys["requestPayload"] },
		open: openDestinationRecord,
	},
	{
		name: "a destination record of FunctionGraph",
		is:   isAsyncDestination,
		open: openAsyncDestination,
	},
	{
		name: "an event of FunctionGraph",
		is:   func(f form) bool { return f.huawei == smnSource || f.triggerType != "" },
		open: openFunctionGraph,
	},
	{name: "an EventBridge event", is: isBusEvent, open: openBusEvent},
	{name: "a CloudEvent", is: isCloudEvent, open: openCloudEvent},
}

// unwrap takes a body out of its envelopes. With an error it returns what it had
// reached. Of several correlation ids the innermost counts.
func unwrap(body []byte, correlation string) (content, *kind.Error) {
	in := content{body: body, correlation: correlation}
	for n := 0; ; n++ {
		in.body = unquote(in.body)
		f := detect(in.body)
		i := slices.IndexFunc(envelopes, func(e envelope) bool { return e.is(f) })
		if i < 0 {
			return in, nil
		}
		if n == maxEnvelopes {
			return in, &kind.Error{Kind: kind.InvalidEvent, Message: fmt.Sprintf("$: expected a request in at most %d envelopes", maxEnvelopes)}
		}
		out, err := envelopes[i].open(in.body)
		if err == nil && f.twice != "" {
			err = givenTwice(f.twice)
		}
		if err != nil {
			return in, &kind.Error{Kind: kind.InvalidEvent, Message: "$: expected the form of " + envelopes[i].name + "; " + plain(err), Cause: err}
		}
		if out.own {
			out.event = in.body
			return out, &kind.Error{Kind: kind.InvalidEvent, Message: "$: expected a request, not a result"}
		}
		if !delivery.IsCorrelationID(out.correlation) {
			out.correlation = in.correlation
		}
		out.redelivered = out.redelivered || in.redelivered
		in = out
	}
}

// unquote returns the text of a body that is a JSON string. Some senders encode a
// message twice, so that this text may be a JSON string, too.
func unquote(body []byte) []byte {
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

// openRecords opens the event of another invocation. A dead-letter queue gets the
// event that the function failed to handle, and a destination gets it in a record.
// The event must have one record, since a delivery has one request.
func openRecords(message []byte) (content, error) {
	switch f := detect(message); f.source {
	case "aws:sns":
		r, err := onlyRecord(message, (*snsRecord).read)
		return content{body: r.message, correlation: r.correlation, redelivered: true}, err
	case "aws:sqs":
		r, err := onlyRecord(message, (*sqsRecord).read)
		return content{body: r.body, correlation: r.correlation, redelivered: true}, err
	default:
		return content{}, fmt.Errorf("a record of aws:sns or aws:sqs is expected, not of %q", f.source)
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

// errConfirmation is the error of a message in which SNS asks for confirmation of
// a subscription. Its link is a secret, so that no message repeats it.
var errConfirmation = errors.New("the SubscribeURL in this message's body, which the dead-letter queue keeps, is for a person to open")

// openNotification opens the message of a subscription without raw message
// delivery (Amazon SNS developer guide, "Parsing Amazon SNS message formats").
func openNotification(message []byte) (content, error) {
	var n notification
	r := jsonscan.New(message)
	n.read(r)
	if err := r.End(); err != nil {
		return content{}, err
	}
	switch n.kind {
	case "Notification":
		return content{body: n.message, correlation: n.correlation}, nil
	case "SubscriptionConfirmation":
		return content{}, fmt.Errorf("it is a SubscriptionConfirmation: the topic sends nothing before it is confirmed; %w", errConfirmation)
	case "UnsubscribeConfirmation":
		return content{}, fmt.Errorf("it is an UnsubscribeConfirmation: the topic sends nothing more unless it is subscribed to again; %w", errConfirmation)
	}
	return content{}, errors.New("it has another Type")
}

func openBusEvent(message []byte) (content, error) {
	var event busEvent
	err := json.Unmarshal(message, &event)
	return content{body: event.Detail}, err
}

// openDestinationRecord opens the record that a destination gets of an
// asynchronous invocation (AWS Lambda developer guide, "Capturing records of
// Lambda asynchronous invocations"). It has the payload of the invocation, which
// must be a request or an envelope.
func openDestinationRecord(message []byte) (content, error) {
	var record struct {
		RequestContext struct {
			Condition string `json:"condition"`
		} `json:"requestContext"`
		RequestPayload json.RawMessage `json:"requestPayload"`
	}
	if err := json.Unmarshal(message, &record); err != nil {
		return content{}, err
	}
	if record.RequestContext.Condition == "" {
		return content{}, errors.New("it has no condition")
	}
	return content{body: record.RequestPayload, redelivered: true}, nil
}

func openCloudEvent(message []byte) (content, error) {
	var event struct {
		Type          string          `json:"type"`
		CorrelationID string          `json:"correlationid"`
		Data          json.RawMessage `json:"data"`
		DataBase64    []byte          `json:"data_base64"`
	}
	if err := json.Unmarshal(message, &event); err != nil {
		return content{}, err
	}
	c := content{body: event.Data, correlation: event.CorrelationID, own: kind.IsResult(event.Type)}
	// Some senders write both members, and null into the one they do not use.
	if event.DataBase64 != nil && (event.Data == nil || bytes.Equal(event.Data, []byte("null"))) {
		c.body = event.DataBase64
	}
	return c, nil
}
