package events

import (
	"cbr-replicator/internal/delivery"
)

// pipesKafka is a topic through EventBridge Pipes, which delivers a batch again
// as a whole if it gets an error (Amazon EventBridge user guide, "Amazon Managed
// Streaming for Apache Kafka topic as a source").
var pipesKafka = trigger{
	samples: []string{"pipes-kafka"},
	is:      func(s shape) bool { return s.isPipe() && isKafka(s.source) },
	decode:  decodePipesKafka,
}

func decodePipesKafka(d *Decoder, payload []byte, _ delivery.Invocation) (*Batch, error) {
	records, err := readArray(payload, (*kafkaRecord).read)
	if err != nil {
		return nil, err
	}
	return d.kafkaBatch(records)
}
