package events

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
)

// kafka is a topic of Amazon MSK or of a cluster of one's own (AWS Lambda
// developer guide, "Using Lambda with Amazon MSK" and "Using Lambda with
// self-managed Apache Kafka"; aws-lambda-go spells the latter's source as no
// page does).
//
// A partition is in order: once a delivery is handed back, the rest of its
// partition is not sent. A record that can never work is acknowledged, so that
// it does not block its partition for ever. But Lambda takes a batch as done or
// not: if one record goes back, all come again, of every partition, and those
// that were acknowledged are sent again, with results of the same event ids.
var kafka = trigger{
	samples: []string{"kafka"},
	is: func(s shape) bool {
		return s.keys["records"] && slices.Contains([]string{"aws:kafka", "SelfManagedKafka", "aws:SelfManagedKafka"}, s.source)
	},
	decode: decodeKafka,
}

type kafkaRecord struct {
	Topic     string `json:"topic"`
	Partition int64  `json:"partition"`
	Offset    int64  `json:"offset"`
	Timestamp int64  `json:"timestamp"` // milliseconds
	// Value is in base64, null for a tombstone.
	Value string `json:"value"`
	// Headers are of any value: those of others are not looked at.
	Headers []map[string]json.RawMessage `json:"headers"`
}

func decodeKafka(d *Decoder, payload []byte, _ Invocation) (*Batch, error) {
	var event struct {
		ARN     string          `json:"eventSourceArn"`
		Servers string          `json:"bootstrapServers"`
		Records json.RawMessage `json:"records"`
	}
	if err := json.Unmarshal(payload, &event); err != nil {
		return nil, err
	}
	var deliveries []Delivery
	err := byName(event.Records, "records", func(name string, records []kafkaRecord) error {
		for i, r := range records {
			if r.Topic == "" {
				return fmt.Errorf("record %d of %q has no topic", i, name)
			}
			partition := fmt.Sprintf("%s/%d", r.Topic, r.Partition)
			deliveries = append(deliveries, d.deliverBase64([]byte(r.Value), Delivery{
				Source:      cmp.Or(event.ARN, event.Servers),
				CausationID: fmt.Sprintf("%s/%d", partition, r.Offset),
				Group:       partition,
				Again:       true,
				Since:       ofMillis(r.Timestamp),
			}, r.correlation()))
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if len(deliveries) == 0 {
		return nil, errors.New("no records")
	}
	return d.brokerBatch(deliveries), nil
}

// correlation returns the last header of that name, which is the one that
// counts in Kafka. Its bytes come as numbers, signed ones.
func (r kafkaRecord) correlation() string {
	var id string
	for _, header := range r.Headers {
		var numbers []int16
		if json.Unmarshal(header["correlation_id"], &numbers) != nil {
			continue
		}
		text := make([]byte, len(numbers))
		for i, n := range numbers {
			text[i] = byte(n)
		}
		id = string(text)
	}
	return id
}
