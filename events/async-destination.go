package events

import (
	"encoding/json"
	"errors"

	"cbr-replicator/internal/delivery"
)

// asyncDestination is the record of an asynchronous invocation that FunctionGraph
// gave up, sent to the function (FunctionGraph user guide, "Configuring
// Asynchronous Invocation"; the form is that of a recorded one). It is named by the
// request that it is about.
var asyncDestination = trigger{
	samples: []string{"functiongraph/destination"},
	is:      func(f form) bool { return f.functionGraph && isAsyncDestination(f) },
	decode:  decodeAsyncDestination,
}

func isAsyncDestination(f form) bool { return f.keys["request_context"] && f.keys["request_payload"] }

type destinationRecord struct {
	Context struct {
		RequestID string `json:"request_id"`
		URN       string `json:"function_urn"`
		Condition string `json:"condition"`
	} `json:"request_context"`
	Payload json.RawMessage `json:"request_payload"` // a string
}

func readDestinationRecord(message []byte) (record destinationRecord, err error) {
	err = json.Unmarshal(message, &record)
	if err == nil && record.Context.Condition == "" {
		err = errors.New("it has no condition")
	}
	return record, err
}

func decodeAsyncDestination(d *Decoder, payload []byte, inv delivery.Invocation) (*Batch, error) {
	record, err := readDestinationRecord(payload)
	switch {
	case err != nil:
		return nil, err
	case record.Context.RequestID == "":
		return nil, errors.New("no request_id")
	}
	del := d.deliver(payload, delivery.Delivery{
		Source: record.Context.URN, CausationID: record.Context.RequestID, Final: true, Last: true, Carried: delivery.Carried{Text: payload},
	}, "")
	undated(&del, inv.Began)
	return &Batch{Deliveries: []delivery.Delivery{del}, reply: d.directReply}, nil
}

func openAsyncDestination(message []byte) (content, error) {
	record, err := readDestinationRecord(message)
	return content{body: record.Payload, redelivered: true}, err
}
