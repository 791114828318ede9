package events

import (
	"encoding/json"
	"errors"
	"strconv"
	"strings"
	"time"
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

func decodeRabbitMQ(d *Decoder, payload []byte, inv Invocation) (*Batch, error) {
	type message struct {
		Properties struct {
			MessageID     string `json:"messageId"`
			CorrelationID string `json:"correlationId"`
			Timestamp     string `json:"timestamp"`
		} `json:"basicProperties"`
		Data string `json:"data"`
	}
	var event struct {
		ARN    string          `json:"eventSourceArn"`
		Queues json.RawMessage `json:"rmqMessagesByQueue"`
	}
	if err := json.Unmarshal(payload, &event); err != nil {
		return nil, err
	}
	var deliveries []Delivery
	err := byName(event.Queues, "messages", func(queue string, messages []message) error {
		for _, m := range messages {
			// Publishers' ids are unique in a queue at best.
			del := Delivery{Source: event.ARN + "/" + queue, CausationID: m.Properties.MessageID, Again: true}
			// As Lambda writes it, in UTC; zero for what has another form or none.
			// Newer Javas have a narrow space before AM and PM.
			del.Since, _ = time.Parse("Jan 2, 2006, 3:04:05 PM", strings.ReplaceAll(m.Properties.Timestamp, "\u202f", " "))
			if del.CausationID == "" {
				del.CausationID = inv.RequestID + "/" + strconv.Itoa(len(deliveries))
			}
			deliveries = append(deliveries, d.deliverBase64([]byte(m.Data), del, m.Properties.CorrelationID))
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if len(deliveries) == 0 {
		return nil, errors.New("no messages")
	}
	return d.brokerBatch(deliveries), nil
}
