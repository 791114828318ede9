package events

import (
	"cmp"
	"fmt"

	"github.com/aws/aws-lambda-go/lambda/messages"

	"cbr-replicator/internal/kind"
)

// wholeBatch is the batch of a trigger that takes back all of it or nothing:
// an asynchronous invocation (SNS, EventBridge) and a stream or broker (Kafka,
// Amazon MQ). A Lambda error hands it back. The deliveries that were
// acknowledged then come again, too; their results have the same event ids
// where the trigger names its deliveries, so that consumers can drop doubles.
func (d *Decoder) wholeBatch(deliveries []Delivery) *Batch {
	return &Batch{
		Deliveries: deliveries,
		reply: func(outcomes []Outcome) ([]byte, error) {
			var first *kind.Error
			back := 0
			for _, o := range outcomes {
				if o.Redeliver() {
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

// invokeError is a Lambda error. Step Functions matches its errorType, which
// for any other Go error would be the type's name.
func (d *Decoder) invokeError(k kind.Kind, text string) error {
	return messages.InvokeResponse_Error{Type: "CBR." + string(k), Message: d.Redact.Text(text)}
}
