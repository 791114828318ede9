package events

import (
	"encoding/json"
	"errors"
	"fmt"
)

// sns is a topic that the function is subscribed to (AWS Lambda developer
// guide, "Invoking Lambda functions with Amazon SNS notifications").
var sns = trigger{
	samples: []string{"sns"},
	is:      func(s shape) bool { return s.keys["Records"] && s.source == "aws:sns" },
	decode:  decodeSNS,
}

// notification is an SNS message, whatever brought it.
type notification struct {
	Type       string `json:"Type"`
	MessageID  string `json:"MessageId"`
	TopicARN   string `json:"TopicArn"`
	Message    string `json:"Message"`
	Timestamp  string `json:"Timestamp"`
	Attributes struct {
		CorrelationID struct {
			Value string `json:"Value"`
		} `json:"correlation_id"`
	} `json:"MessageAttributes"`
}

func decodeSNS(d *Decoder, payload []byte, inv Invocation) (*Batch, error) {
	var event struct {
		Records []struct {
			EventSource string       `json:"EventSource"`
			SNS         notification `json:"Sns"`
		} `json:"Records"`
	}
	if err := json.Unmarshal(payload, &event); err != nil {
		return nil, err
	}
	if len(event.Records) == 0 {
		return nil, errors.New("no records")
	}
	deliveries := make([]Delivery, len(event.Records))
	for i, r := range event.Records {
		switch {
		case r.EventSource != "aws:sns":
			return nil, fmt.Errorf("record %d is not of aws:sns but of %q", i, r.EventSource)
		case r.SNS.MessageID == "":
			return nil, fmt.Errorf("record %d has no MessageId", i)
		}
		del := Delivery{Source: r.SNS.TopicARN, CausationID: r.SNS.MessageID, body: []byte(r.SNS.Message)}
		del = inv.asynchronous(del, r.SNS.Timestamp)
		deliveries[i] = d.deliver(del.body, del, r.SNS.Attributes.CorrelationID.Value)
	}
	return d.wholeBatch(deliveries), nil
}
