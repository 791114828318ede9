package events

import (
	"cbr-replicator/internal/delivery"
)

// pipesSQS is a queue through EventBridge Pipes. A pipe sends the records as an
// array and takes the same answer as Lambda's event source mapping (Amazon
// EventBridge user guide, "Partial batch failures"). It would take the answer to
// a direct batch for an acknowledgement.
var pipesSQS = trigger{
	samples: []string{"pipes-sqs"},
	is:      func(f form) bool { return f.isPipe() && f.source == "aws:sqs" },
	decode:  decodePipesSQS,
}

// isPipe reports whether the payload is an array of records of one source, as
// EventBridge Pipes sends it for any source.
func (f form) isPipe() bool { return f.array && f.records && !f.mixed }

func decodePipesSQS(d *Decoder, payload []byte, inv delivery.Invocation) (*Batch, error) {
	records, err := readArray(payload, (*sqsRecord).read)
	if err != nil {
		return nil, err
	}
	return d.queueBatch(records, inv)
}
