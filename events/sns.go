package events

import (
	"errors"
	"fmt"

	"cbr-replicator/internal/delivery"
	"cbr-replicator/internal/jsonscan"
)

// sns is a topic that the function is subscribed to (AWS Lambda developer
// guide, "Invoking Lambda functions with Amazon SNS notifications").
var sns = trigger{
	samples: []string{"sns"},
	is:      func(f form) bool { return f.keys["Records"] && f.source == "aws:sns" },
	decode:  decodeSNS,
}

type snsRecord struct {
	source string
	notification
}

// notification is an SNS message, in a trigger's payload or as an envelope.
type notification struct {
	kind, messageID, topicARN string
	message                   []byte
	timestamp                 string
	correlation               string // a message attribute
}

func decodeSNS(d *Decoder, payload []byte, inv delivery.Invocation) (*Batch, error) {
	records, err := readEvent(payload, (*snsRecord).read)
	if err != nil {
		return nil, err
	}
	if len(records) == 0 {
		return nil, errors.New("Records is empty")
	}
	deliveries := make([]delivery.Delivery, len(records))
	for i := range records {
		r := &records[i]
		switch {
		case r.source != "aws:sns":
			return nil, fmt.Errorf("record %d is not of aws:sns but of %q", i, r.source)
		case r.messageID == "":
			return nil, fmt.Errorf("record %d has no MessageId", i)
		}
		del := asynchronous(inv, delivery.Delivery{Source: r.topicARN, CausationID: r.messageID, Carried: delivery.Carried{Text: r.message}}, r.timestamp)
		deliveries[i] = d.deliver(r.message, del, r.correlation)
	}
	return d.allOrNothing(deliveries), nil
}

func (rec *snsRecord) read(r *jsonscan.Reader) {
	for name := range r.Members {
		switch string(name) {
		case "EventSource":
			r.Text(&rec.source)
		case "Sns":
			rec.notification.read(r)
		}
	}
}

func (n *notification) read(r *jsonscan.Reader) {
	for name := range r.Members {
		switch string(name) {
		case "Type":
			r.Text(&n.kind)
		case "MessageId":
			r.Text(&n.messageID)
		case "TopicArn":
			r.Text(&n.topicARN)
		case "Message":
			r.Bytes(&n.message)
		case "Timestamp":
			r.Text(&n.timestamp)
		case "MessageAttributes":
			n.readAttributes(r)
		}
	}
}

func (n *notification) readAttributes(r *jsonscan.Reader) {
	for name := range r.Members {
		if string(name) != "correlation_id" {
			continue
		}
		for name := range r.Members {
			if string(name) == "Value" {
				r.Text(&n.correlation)
			}
		}
	}
}
