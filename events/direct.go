package events

import (
	"cbr-replicator/internal/delivery"
)

// direct is a call with the request itself as the payload: `aws lambda invoke`,
// a Step Functions task. Records of a source that no trigger knows are none:
// nobody is to take them for a request that is wrong, and acknowledged.
var direct = trigger{
	samples: []string{"direct"},
	is:      func(s shape) bool { return !s.array && !s.keys["Records"] },
	decode:  decodeDirect,
	direct:  true,
}

func decodeDirect(d *Decoder, payload []byte, inv delivery.Invocation) (*Batch, error) {
	return &Batch{
		Deliveries: []delivery.Delivery{d.askedFor(payload, directDelivery(inv, 0))},
		reply: func(outcomes []delivery.Outcome) ([]byte, error) {
			o := outcomes[0]
			if o.Err.Of().Policy().Answer {
				return answerOf(o, maxAnswer)
			}
			return nil, d.invokeError(o.Err.Kind, o.Err.Error())
		},
	}, nil
}
