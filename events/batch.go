package events

import (
	"cmp"
	"fmt"
	"time"

	"cbr-replicator/internal/delivery"
	"cbr-replicator/internal/kind"
)

// allOrNothing makes the batch of a trigger that takes back all deliveries or
// none: an asynchronous invocation (SNS, EventBridge), a stream or a broker
// (Kafka, Amazon MQ). A Lambda error hands the batch back. Then deliveries that
// had ended are redelivered, too. Their results have the same event ids if the
// trigger names its deliveries, so that consumers can drop duplicates.
func (d *Decoder) allOrNothing(deliveries []delivery.Delivery) *Batch {
	return &Batch{
		Deliveries: deliveries,
		reply:      d.nullReply,
	}
}

// nullReply is null, or the error if any delivery is handed back.
func (d *Decoder) nullReply(outcomes []delivery.Outcome) ([]byte, error) {
	var first *kind.Error
	handedBack := 0
	for _, o := range outcomes {
		if o.HandedBack() {
			first = cmp.Or(first, o.PublishErr, o.Err)
			handedBack++
		}
	}
	if first == nil {
		return marshal(nil)
	}
	return nil, d.invokeError(first.Kind, fmt.Sprintf("%d of %d deliveries handed back, the first as %v", handedBack, len(outcomes), first))
}

// brokerBatch makes the batch of a stream or a broker: Lambda redelivers it at
// once (AWS Lambda developer guide, the page of each source). An asynchronous
// invocation is redelivered after a minute.
func (d *Decoder) brokerBatch(deliveries []delivery.Delivery) *Batch {
	b := d.allOrNothing(deliveries)
	b.AtOnce = true
	return b
}

// firstDeliveryAge is the age up to which the event of an asynchronous invocation
// is certainly not redelivered: Lambda waits a minute before a redelivery (Lambda
// developer guide, "How Lambda handles errors and retries with asynchronous
// invocation").
const firstDeliveryAge = time.Minute

// asynchronous completes a delivery of an asynchronous invocation. made is the
// time of its event. It shows whether this may be a redelivery.
func asynchronous(inv delivery.Invocation, del delivery.Delivery, made string) delivery.Delivery {
	at, err := time.Parse(time.RFC3339, made)
	del.Redelivered = err != nil || inv.Began.Sub(at) > firstDeliveryAge
	if err == nil {
		del.Since, del.Claimed = at, true
	}
	return del
}

// ofMillis returns the time of a Unix time in milliseconds. Without one it is zero.
func ofMillis(ms int64) time.Time {
	if ms <= 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms)
}

// invokeError makes a Lambda error whose errorType is the kind. Step Functions
// matches the errorType. Of another Go error it would be the name of its type.
func (d *Decoder) invokeError(k kind.Kind, text string) error {
	return delivery.Failure{Type: "CBR." + string(k), Message: d.Redact.Text(text)}
}
