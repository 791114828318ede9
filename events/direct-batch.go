package events

import (
	"fmt"
	"strconv"

	"cbr-replicator/internal/delivery"
	"cbr-replicator/internal/jsonscan"
)

// directBatch is a direct call with an array of requests. An array with a record
// of some source in it is none: its sender would take the answer for an
// acknowledgement.
var directBatch = trigger{
	samples: []string{"direct-batch"},
	is:      func(f form) bool { return f.array && !f.records },
	decode:  decodeDirectBatch,
}

// maxDirectBatch is how many requests a direct call may have.
const maxDirectBatch = 1000

func decodeDirectBatch(d *Decoder, payload []byte, inv delivery.Invocation) (*Batch, error) {
	var requests [][]byte
	n := 0
	r := jsonscan.New(payload)
	for range r.Elements {
		if n++; n <= maxDirectBatch {
			requests = append(requests, r.Value())
		}
	}
	if err := r.End(); err != nil {
		return nil, err
	}
	if n < 1 || n > maxDirectBatch {
		return nil, fmt.Errorf("%d requests, expected 1 to %d", n, maxDirectBatch)
	}
	b := &Batch{Deliveries: make([]delivery.Delivery, len(requests))}
	for i, request := range requests {
		b.Deliveries[i] = d.askedFor(request, directDelivery(inv, i))
	}
	b.reply = replies
	return b, nil
}

// directDelivery returns the delivery of the request at index of a direct call.
// Its causation id is the same if Lambda repeats the call, which then has the same
// request id.
func directDelivery(inv delivery.Invocation, index int) delivery.Delivery {
	return delivery.Delivery{
		Source:      inv.FunctionARN,
		CausationID: inv.RequestID + "/" + strconv.Itoa(index),
		Final:       true,
		Last:        true,
	}
}
