package events

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

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
	// again: the request was sent before, nobody knows when.
	again bool
}

// maxEnvelopes is how many may be around a request, the trigger's not counted.
const maxEnvelopes = 4

// envelopes are in the order in which they are told apart.
var envelopes = []envelope{
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
		s := shapeOf(in.body)
		i := slices.IndexFunc(envelopes, func(e envelope) bool { return e.is(s) })
		if i < 0 {
			return in, nil
		}
		if n == maxEnvelopes {
			return in, &kind.Error{Kind: kind.InvalidEvent, Message: fmt.Sprintf("$: expected a request in at most %d envelopes", maxEnvelopes)}
		}
		out, err := envelopes[i].open(in.body)
		if err != nil {
			return in, &kind.Error{Kind: kind.InvalidEvent, Message: "$: expected the form of " + envelopes[i].name + "; " + plain(err), Cause: err}
		}
		if out.own {
			return out, &kind.Error{Kind: kind.InvalidEvent, Message: "$: expected a request, not a result"}
		}
		if !isCorrelationID(out.correlation) {
			out.correlation = in.correlation
		}
		out.again = out.again || in.again
		in = out
	}
}

// openNotification: a subscription without raw message delivery (Amazon SNS
// developer guide, "Parsing Amazon SNS message formats").
func openNotification(message []byte) (letter, error) {
	var event notification
	if err := json.Unmarshal(message, &event); err != nil {
		return letter{}, err
	}
	if event.Type != "Notification" {
		return letter{}, errors.New("it has another Type")
	}
	return letter{body: []byte(event.Message), correlation: event.Attributes.CorrelationID.Value}, nil
}

func openBusEvent(message []byte) (letter, error) {
	var event busEvent
	err := json.Unmarshal(message, &event)
	return letter{body: content(event.Detail)}, err
}

// openDestinationRecord: what a function could not do comes to a queue with the
// payload that it was called with (AWS Lambda developer guide, "Capturing
// records of Lambda asynchronous invocations"). The payload must be a request or
// an envelope; a trigger's event of Records is neither, since each of them would
// be a delivery of its own.
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
	return letter{body: content(record.RequestPayload), again: true}, nil
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
	l := letter{
		body:        event.DataBase64,
		correlation: event.CorrelationID,
		own:         strings.HasPrefix(event.Type, kind.EventTypePrefix),
	}
	if event.Data != nil {
		l.body = content(event.Data)
	}
	return l, nil
}
