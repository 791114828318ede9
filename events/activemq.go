package events

import (
	"encoding/json"
	"errors"
	"fmt"
)

// activeMQ is a queue of Amazon MQ for ActiveMQ (AWS Lambda developer guide,
// "Using Lambda with Amazon MQ").
var activeMQ = trigger{
	samples: []string{"activemq"},
	is:      func(s shape) bool { return s.keys["messages"] && s.source == "aws:mq" },
	decode:  decodeActiveMQ,
}

func decodeActiveMQ(d *Decoder, payload []byte, _ Invocation) (*Batch, error) {
	var event struct {
		ARN      string `json:"eventSourceArn"`
		Messages []struct {
			MessageID     string `json:"messageID"`
			CorrelationID string `json:"correlationId"`
			Timestamp     int64  `json:"timestamp"` // milliseconds
			Data          string `json:"data"`
		} `json:"messages"`
	}
	if err := json.Unmarshal(payload, &event); err != nil {
		return nil, err
	}
	if len(event.Messages) == 0 {
		return nil, errors.New("no messages")
	}
	deliveries := make([]Delivery, len(event.Messages))
	for i, m := range event.Messages {
		if m.MessageID == "" {
			return nil, fmt.Errorf("message %d has no messageID", i)
		}
		deliveries[i] = d.deliverBase64([]byte(m.Data), Delivery{
			Source: event.ARN, CausationID: m.MessageID, Again: true, Since: ofMillis(m.Timestamp),
		}, m.CorrelationID)
	}
	return d.brokerBatch(deliveries), nil
}
