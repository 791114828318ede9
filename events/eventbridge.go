package events

import (
	"encoding/json"
	"errors"
	"strings"

	"cbr-replicator/internal/delivery"
)

// eventBridge is a rule of an event bus, and EventBridge Scheduler where a
// schedule has no input of its own (Amazon EventBridge user guide, "Events";
// EventBridge Scheduler user guide, whose detail is a string of JSON). A target
// with an input or an input transformer sends that alone: a direct call.
var eventBridge = trigger{
	samples: []string{"eventbridge"},
	is:      isBusEvent,
	decode:  decodeEventBridge,
}

func isBusEvent(s shape) bool { return s.keys["detail-type"] }

// busEvent is an event of a bus, whatever brought it.
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
	// Each part but the last has a form without a slash. The ARNs in resources
	// would tell no more: who puts an event writes there what he likes.
	source := strings.Join([]string{event.Account, event.Region, event.Source}, "/")
	// The whole event is kept: it is an envelope, and says more than the detail.
	del := asynchronous(inv, delivery.Delivery{Source: source, CausationID: event.ID, Carried: delivery.Carried{Text: payload}}, event.Time)
	del = d.deliver(event.Detail, del, "")
	return d.wholeBatch([]delivery.Delivery{del}), nil
}
