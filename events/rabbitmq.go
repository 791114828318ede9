package events

import (
	"errors"
	"strconv"
	"strings"
	"time"

	"cbr-replicator/internal/delivery"
	"cbr-replicator/internal/jsonscan"
)

// rabbitMQ is a queue of Amazon MQ for RabbitMQ (AWS Lambda developer guide,
// "Using Lambda with Amazon MQ"). A message has an id only if its publisher gave
// it one. Without it, a redelivered message has another causation id, and its
// result has another event id.
var rabbitMQ = trigger{
	samples: []string{"rabbitmq"},
	is:      func(f form) bool { return f.keys["rmqMessagesByQueue"] },
	decode:  decodeRabbitMQ,
}

type rabbitMessage struct {
	arn, queue                 string
	id, correlation, timestamp string
	data                       []byte
}

func decodeRabbitMQ(d *Decoder, payload []byte, inv delivery.Invocation) (*Batch, error) {
	var arn string
	var messages []rabbitMessage
	r := jsonscan.New(payload)
	for name := range r.Members {
		switch string(name) {
		case "eventSourceArn":
			r.Text(&arn)
		case "rmqMessagesByQueue":
			for name := range r.Members {
				queue, from := string(name), len(messages)
				var err error
				if messages, err = readList(r, messages, (*rabbitMessage).read); err != nil {
					return nil, err
				}
				for i := range messages[from:] {
					messages[from+i].queue = queue
				}
			}
		}
	}
	if err := r.End(); err != nil {
		return nil, err
	}
	for i := range messages {
		messages[i].arn = arn
	}
	return d.rabbitBatch(messages, inv)
}

func (m *rabbitMessage) read(r *jsonscan.Reader) {
	for name := range r.Members {
		switch string(name) {
		case "eventSourceArn":
			r.Text(&m.arn)
		case "eventSourceKey":
			r.Text(&m.queue)
		case "basicProperties":
			m.readProperties(r)
		case "data":
			r.Bytes(&m.data)
		}
	}
}

func (m *rabbitMessage) readProperties(r *jsonscan.Reader) {
	for name := range r.Members {
		switch string(name) {
		case "messageId":
			r.Text(&m.id)
		case "correlationId":
			r.Text(&m.correlation)
		case "timestamp":
			r.Text(&m.timestamp)
		}
	}
}

// rabbitBatch makes the batch of RabbitMQ's messages, from a mapping or a pipe.
func (d *Decoder) rabbitBatch(messages []rabbitMessage, inv delivery.Invocation) (*Batch, error) {
	if len(messages) == 0 {
		return nil, errors.New("no messages")
	}
	deliveries := make([]delivery.Delivery, len(messages))
	for i := range messages {
		m := &messages[i]
		// A publisher's id is unique only within its queue, so Source names the queue.
		del := delivery.Delivery{Source: m.arn + "/" + m.queue, CausationID: m.id, Redelivered: true}
		// Lambda writes the time so, in UTC. It stays zero without a time or in
		// another form. Newer Javas write a narrow space before AM and PM.
		del.Since, _ = time.Parse("Jan 2, 2006, 3:04:05 PM", strings.ReplaceAll(m.timestamp, "\u202f", " "))
		if del.CausationID == "" {
			del.CausationID = inv.RequestID + "/" + strconv.Itoa(i)
		}
		deliveries[i] = d.deliverBase64(m.data, del, m.correlation)
	}
	return d.brokerBatch(deliveries), nil
}
