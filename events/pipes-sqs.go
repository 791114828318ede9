package events

import (
	"cbr-replicator/internal/delivery"
)

// pipesSQS is a queue through EventBridge Pipes, which hands a function the
// records bare and takes the same answer as Lambda's event source mapping
// (Amazon EventBridge user guide, "Partial batch failures"). To a pipe the
// answer to a direct batch would be an acknowledgement.
var pipesSQS = trigger{
	samples: []string{"pipes-sqs"},
	is:      func(s shape) bool { return s.isPipe() && s.source == "aws:sqs" },
	decode:  decodePipesSQS,
}

// isPipe: an array of records of one source, as EventBridge Pipes sends it
// whatever the source.
func (s shape) isPipe() bool { return s.array && s.records && !s.mixed }

func decodePipesSQS(d *Decoder, payload []byte, inv delivery.Invocation) (*Batch, error) {
	records, err := readArray(payload, (*sqsRecord).read)
	if err != nil {
		return nil, err
	}
	return d.queueBatch(records, inv)
}
