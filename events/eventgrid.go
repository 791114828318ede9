package events

import (
	"encoding/json"
	"errors"

	"cbr-replicator/internal/delivery"
)

// eventGrid is a subscription of EventGrid, which sends a bare CloudEvent whose
// data is the request (EventGrid user guide, "Events"). EventGrid adds ttl to it;
// without that it is taken for a direct call with a CloudEvent.
var eventGrid = trigger{
	samples: []string{"functiongraph/eventgrid"},
	is:      func(f form) bool { return f.functionGraph && isCloudEvent(f) && f.keys["ttl"] },
	decode:  decodeEventGrid,
}

func decodeEventGrid(d *Decoder, payload []byte, inv delivery.Invocation) (*Batch, error) {
	var event struct {
		ID     string `json:"id"`
		Source string `json:"source"`
		Time   string `json:"time"`
	}
	if err := json.Unmarshal(payload, &event); err != nil {
		return nil, err
	}
	if event.ID == "" {
		return nil, errors.New("no id")
	}
	del := asynchronous(inv, delivery.Delivery{
		Source: event.Source, CausationID: event.ID, Final: true, Last: true, Carried: delivery.Carried{Text: payload},
	}, event.Time)
	return &Batch{Deliveries: []delivery.Delivery{d.deliver(payload, del, "")}, reply: d.directReply}, nil
}
