package events

import (
	"cmp"
	"encoding/json"
	"fmt"
	"strings"
	"time"
)

// dms is a broker, through FunctionGraph: Kafka, of Distributed Message Service or
// elsewhere, RocketMQ, or RabbitMQ (FunctionGraph user guide, "Using a Kafka Trigger"
// and those after it). An event is a batch of texts, without an id, a key, a
// partition or an offset. So a message is named by the invocation and its place, and
// what is handed back is the whole batch. There is no order.
var dms = trigger{
	samples: []string{"functiongraph/kafka", "functiongraph/rocketmq", "functiongraph/rabbitmq"},
	is:      func(f form) bool { return f.functionGraph && f.isDMS() },
	decode:  decodeGraph,
}

// isDMS reports whether an event is a broker's, by its trigger_type.
func (f form) isDMS() bool {
	switch f.triggerType {
	case "KAFKA", "ROCKETMQ", "RABBITMQ":
		return true
	}
	return false
}

// dmsRecord has the messages of one topic.
type dmsRecord struct {
	Instance string            `json:"instance_id"`
	Topic    string            `json:"topic_id"`
	Exchange string            `json:"exchange"` // RabbitMQ's, in place of a topic
	Messages []json.RawMessage `json:"messages"`
}

// readDMS reads an event in any of its forms: the instance and the topic are at the
// top, or in each record.
func readDMS(payload []byte) (messages []graphMessage, err error) {
	var event struct {
		Time    int64       `json:"event_time"` // seconds
		Records []dmsRecord `json:"records"`
	}
	var top dmsRecord
	if err = json.Unmarshal(payload, &event); err == nil {
		err = json.Unmarshal(payload, &top)
	}
	var since time.Time
	if event.Time > 0 {
		since = time.Unix(event.Time, 0)
	}
	for _, r := range append(event.Records, dmsRecord{Messages: top.Messages}) {
		instance, topic := cmp.Or(r.Instance, top.Instance), cmp.Or(r.Topic, r.Exchange, top.Topic, top.Exchange)
		for _, message := range r.Messages {
			messages = append(messages, graphMessage{source: strings.Trim(instance+"/"+topic, "/"), body: textOf(message), since: since})
		}
	}
	if len(messages) > maxRecords {
		err = fmt.Errorf("more than %d records", maxRecords)
	}
	return messages, err
}
