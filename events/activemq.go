package events

import (
	"errors"
	"fmt"

	"cbr-replicator/internal/delivery"
	"cbr-replicator/internal/jsonscan"
)

// activeMQ is a queue of Amazon MQ for ActiveMQ (AWS Lambda developer guide,
// "Using Lambda with Amazon MQ").
var activeMQ = trigger{
	samples: []string{"activemq"},
	is:      func(f form) bool { return f.keys["messages"] && isActiveMQ(f.source) },
	decode:  decodeActiveMQ,
}

// isActiveMQ reports whether source is ActiveMQ's: aws:mq in the developer guide
// of Lambda, aws:amq in the guides of Amazon MQ and of EventBridge Pipes.
func isActiveMQ(source string) bool { return source == "aws:mq" || source == "aws:amq" }

type activeMessage struct {
	arn             string
	id, correlation string
	timestamp       int64 // milliseconds
	data            []byte
}

func decodeActiveMQ(d *Decoder, payload []byte, _ delivery.Invocation) (*Batch, error) {
	var arn string
	var messages []activeMessage
	r := jsonscan.New(payload)
	for name := range r.Members {
		switch string(name) {
		case "eventSourceArn":
			r.Text(&arn)
		case "messages":
			var err error
			if messages, err = readList(r, messages, (*activeMessage).read); err != nil {
				return nil, err
			}
		}
	}
	if err := r.End(); err != nil {
		return nil, err
	}
	for i := range messages {
		messages[i].arn = arn
	}
	return d.activeBatch(messages)
}

func (m *activeMessage) read(r *jsonscan.Reader) {
	for name := range r.Members {
		switch string(name) {
		case "eventSourceArn":
			r.Text(&m.arn)
		case "messageID":
			r.Text(&m.id)
		case "correlationId":
			r.Text(&m.correlation)
		case "timestamp":
			r.Int(&m.timestamp)
		case "data":
			r.Bytes(&m.data)
		}
	}
}

// activeBatch makes the batch of ActiveMQ's messages, from a mapping or a pipe.
func (d *Decoder) activeBatch(messages []activeMessage) (*Batch, error) {
	if len(messages) == 0 {
		return nil, errors.New("no messages")
	}
	deliveries := make([]delivery.Delivery, len(messages))
	for i := range messages {
		m := &messages[i]
		if m.id == "" {
			return nil, fmt.Errorf("message %d has no messageID", i)
		}
		deliveries[i] = d.deliverBase64(m.data, delivery.Delivery{
			Source: m.arn, CausationID: m.id, Redelivered: true, Since: ofMillis(m.timestamp),
		}, m.correlation)
	}
	return d.brokerBatch(deliveries), nil
}
