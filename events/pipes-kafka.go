package events

import (
	"cbr-replicator/internal/delivery"
)

// pipesKafka is a topic through EventBridge Pipes. If a pipe gets an error, it
// redelivers all of the batch (Amazon EventBridge user guide, "Amazon Managed
// Streaming for Apache Kafka topic as a source").
var pipesKafka = trigger{
	samples: []string{"pipes-kafka"},
	is:      func(f form) bool { return f.isPipe() && isKafka(f.source) },
	decode:  decodePipesKafka,
}

func decodePipesKafka(d *Decoder, payload []byte, _ delivery.Invocation) (*Batch, error) {
	records, err := readArray(payload, (*kafkaRecord).read)
	if err != nil {
		return nil, err
	}
	return d.kafkaBatch(records)
}
