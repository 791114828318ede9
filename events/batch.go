package events

import (
	"cmp"
	"fmt"
	"time"

	"cbr-replicator/internal/delivery"
	"cbr-replicator/internal/kind"
)

// wholeBatch is the batch of a trigger that takes back all of it or nothing:
// an asynchronous invocation (SNS, EventBridge) and a stream or broker (Kafka,
// Amazon MQ). A Lambda error hands it back. The deliveries that were
// acknowledged then come again, too; their results have the same event ids
// where the trigger names its deliveries, so that consumers can drop doubles.
func (d *Decoder) wholeBatch(deliveries []delivery.Delivery) *Batch {
	return &Batch{
		Deliveries: deliveries,
		reply: func(outcomes []delivery.Outcome) ([]byte, error) {
			var first *kind.Error
			back := 0
			for _, o := range outcomes {
				if o.HandedBack() {
					first = cmp.Or(first, o.PublishErr, o.Err)
					back++
				}
			}
			if first == nil {
				return marshal(nil)
			}
			return nil, d.invokeError(first.Kind, fmt.Sprintf("%d of %d deliveries go back, the first as %v", back, len(outcomes), first))
		},
	}
}

// brokerBatch is a wholeBatch of a stream or broker: Lambda tries it again at
// once (AWS Lambda developer guide, on each), while an asynchronous invocation
// waits for a minute.
func (d *Decoder) brokerBatch(deliveries []delivery.Delivery) *Batch {
	b := d.wholeBatch(deliveries)
	b.AtOnce = true
	return b
}

// firstTryAge is how old the event of an asynchronous invocation may be without
// being one that is tried again: Lambda waits a minute before that (Lambda
// developer guide, "How Lambda handles errors and retries with asynchronous
// invocation").
const firstTryAge = time.Minute

// asynchronous says of a delivery whose event was made at a time whether it may
// have been tried before.
func asynchronous(inv delivery.Invocation, del delivery.Delivery, made string) delivery.Delivery {
	at, err := time.Parse(time.RFC3339, made)
	del.Redelivered = err != nil || inv.Began.Sub(at) > firstTryAge
	if err == nil {
		del.Since, del.Claimed = at, true
	}
	return del
}

// ofMillis is the time of a Unix time in milliseconds, zero for none.
func ofMillis(ms int64) time.Time {
	if ms <= 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms)
}

// invokeError is a Lambda error. Step Functions matches its errorType, which
// for any other Go error would be the type's name.
func (d *Decoder) invokeError(k kind.Kind, text string) error {
	return delivery.Failure{Type: "CBR." + string(k), Message: d.Redact.Text(text)}
}
