package events

import (
	"encoding/json"
	"errors"
	"strings"

	"cbr-replicator/internal/delivery"
)

// eventBridge is a rule of an event bus, and EventBridge Scheduler where a
// schedule has no input of its own (Amazon EventBridge user guide, "Events";
// EventBridge Scheduler user guide: its detail is a string of JSON). A target
// with an input or an input transformer sends only that: a direct call.
var eventBridge = trigger{
	samples: []string{"eventbridge"},
	is:      isBusEvent,
	decode:  decodeEventBridge,
}

func isBusEvent(f form) bool { return f.keys["detail-type"] }

// busEvent is an event of a bus, as a trigger's payload or as an envelope.
type busEvent struct {
	ID      string          `json:"id"`
	Account string          `json:"account"`
	Region  string          `json:"region"`
	Source  string          `json:"source"`
	Time    string          `json:"time"`
	Detail  json.RawMessage `json:"detail"`
}

func decodeEventBridge(d *Decoder, payload []byte, inv delivery.Invocation) (*Batch, error) {
	var event busEvent
	if err := json.Unmarshal(payload, &event); err != nil {
		return nil, err
	}
	if event.ID == "" {
		return nil, errors.New("no id")
	}
	// Only the last part may have a slash, so different events have different
	// sources. The ARNs in resources are not used: the sender may write anything.
	source := strings.Join([]string{event.Account, event.Region, event.Source}, "/")
	// All of the event is kept, since it is an envelope with more than the detail.
	del := asynchronous(inv, delivery.Delivery{Source: source, CausationID: event.ID, Carried: delivery.Carried{Text: payload}}, event.Time)
	del = d.deliver(event.Detail, del, "")
	return d.allOrNothing([]delivery.Delivery{del}), nil
}
