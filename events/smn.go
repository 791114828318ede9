package events

import (
	"cmp"
	"encoding/json"
	"fmt"
	"time"

	"cbr-replicator/internal/jsonscan"
)

// smn is a topic of Simple Message Notification that the function is subscribed to
// (FunctionGraph user guide, "Using an SMN Trigger"; FunctionGraph developer guide,
// "Supported Event Sources").
var smn = trigger{
	samples: []string{"functiongraph/smn"},
	is:      func(f form) bool { return f.functionGraph && f.keys["record"] && f.huawei == smnSource },
	decode:  decodeGraph,
}

// smnSource is the event_source of SMN.
const smnSource = "smn"

func readSMN(payload []byte) ([]graphMessage, error) {
	var event struct {
		Record []struct {
			Source string `json:"event_source"`
			SMN    struct {
				MessageID  string          `json:"message_id"`
				TopicURN   string          `json:"topic_urn"`
				Timestamp  string          `json:"timestamp"` // SMN's own
				Message    json.RawMessage `json:"message"`
				Attributes json.RawMessage `json:"message_attributes"`
			} `json:"smn"`
		} `json:"record"`
	}
	if err := json.Unmarshal(payload, &event); err != nil {
		return nil, err
	}
	messages := make([]graphMessage, len(event.Record))
	for i := range event.Record {
		r := &event.Record[i]
		switch {
		case r.Source != smnSource:
			return nil, fmt.Errorf("record %d is not of smn but of %q", i, r.Source)
		case r.SMN.MessageID == "":
			return nil, fmt.Errorf("record %d has no message_id", i)
		}
		messages[i] = graphMessage{source: r.SMN.TopicURN, id: r.SMN.MessageID, body: textOf(r.SMN.Message), correlation: smnCorrelation(r.SMN.Attributes)}
		messages[i].since, _ = time.Parse(time.RFC3339, r.SMN.Timestamp) // zero for none
	}
	return messages, nil
}

// smnCorrelation looks for a correlation id. Attributes are null, a text or an object,
// whose values are texts or objects with a value.
func smnCorrelation(attributes json.RawMessage) string {
	var named struct {
		ID json.RawMessage `json:"correlation_id"`
	}
	var id struct{ Value string }
	// What has another form is no correlation id.
	_ = json.Unmarshal(attributes, &named)
	_ = json.Unmarshal(named.ID, &id)
	text, _ := jsonscan.Text(named.ID)
	return cmp.Or(text, id.Value)
}
