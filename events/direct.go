package events

import (
	"cbr-replicator/internal/delivery"
)

// direct is a call with the request itself as the payload: `aws lambda invoke`,
// a Step Functions task. Records of a source that no trigger knows are no direct
// call: they would be rejected as a wrong request, and so acknowledged.
var direct = trigger{
	samples: []string{"direct"},
	is:      func(f form) bool { return !f.array && !f.keys["Records"] },
	decode:  decodeDirect,
	direct:  true,
}

func decodeDirect(d *Decoder, payload []byte, inv delivery.Invocation) (*Batch, error) {
	del := d.askedFor(payload, directDelivery(inv, 0))
	if del.Err != nil && isWarmUp(payload) {
		return &Batch{WarmUp: true, reply: func([]delivery.Outcome) ([]byte, error) { return marshal(nil) }}, nil
	}
	return &Batch{
		Deliveries: []delivery.Delivery{del},
		reply:      d.directReply,
	}, nil
}

// directReply is the answer to a caller of one request.
func (d *Decoder) directReply(outcomes []delivery.Outcome) ([]byte, error) {
	o := outcomes[0]
	if o.Err.Of().Policy().Answer {
		return answerOf(o, maxAnswer)
	}
	return nil, d.invokeError(o.Err.Kind, o.Err.Error())
}
