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
// "Using Lambda with Amazon MQ"). A message has an id only if its publisher
// gave it one. Without it, the same message delivered again has another name,
// and its result another event id.
var rabbitMQ = trigger{
	samples: []string{"rabbitmq"},
	is:      func(s shape) bool { return s.keys["rmqMessagesByQueue"] },
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

// rabbitBatch is a batch of RabbitMQ's messages, however they came.
func (d *Decoder) rabbitBatch(messages []rabbitMessage, inv delivery.Invocation) (*Batch, error) {
	if len(messages) == 0 {
		return nil, errors.New("no messages")
	}
	deliveries := make([]delivery.Delivery, len(messages))
	for i := range messages {
		m := &messages[i]
		// Publishers' ids are unique in a queue at best.
		del := delivery.Delivery{Source: m.arn + "/" + m.queue, CausationID: m.id, Redelivered: true}
		// As Lambda writes it, in UTC; zero for what has another form or none.
		// Newer Javas have a narrow space before AM and PM.
		del.Since, _ = time.Parse("Jan 2, 2006, 3:04:05 PM", strings.ReplaceAll(m.timestamp, "\u202f", " "))
		if del.CausationID == "" {
			del.CausationID = inv.RequestID + "/" + strconv.Itoa(i)
		}
		deliveries[i] = d.deliverBase64(m.data, del, m.correlation)
	}
	return d.brokerBatch(deliveries), nil
}
