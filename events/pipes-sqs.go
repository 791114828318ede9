package events

import "cbr-replicator/internal/onepass"

// pipesSQS is a queue through EventBridge Pipes, which hands a function the
// records bare and takes the same answer as Lambda's event source mapping
// (Amazon EventBridge user guide, "Partial batch failures"). To a pipe the
// answer to a direct batch would be an acknowledgement.
var pipesSQS = trigger{
	samples: []string{"pipes-sqs"},
	is:      func(s shape) bool { return s.array && s.source == "aws:sqs" },
	decode:  decodePipesSQS,
}

func decodePipesSQS(d *Decoder, payload []byte, _ Invocation) (*Batch, error) {
	r := onepass.New(payload)
	records := readRecords(r)
	if err := r.End(); err != nil {
		return nil, err
	}
	return d.queueBatch(records)
}
