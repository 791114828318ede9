package events

import (
	"cbr-replicator/internal/delivery"
)

// pipesRabbitMQ and pipesActiveMQ are a broker's queue through EventBridge Pipes
// (Amazon EventBridge user guide, "Amazon MQ message broker as a source").
var (
	pipesRabbitMQ = trigger{
		samples: []string{"pipes-rabbitmq"},
		is:      func(f form) bool { return f.isPipe() && f.source == "aws:rmq" },
		decode:  decodePipesRabbitMQ,
	}
	pipesActiveMQ = trigger{
		samples: []string{"pipes-activemq"},
		is:      func(f form) bool { return f.isPipe() && isActiveMQ(f.source) },
		decode:  decodePipesActiveMQ,
	}
)

func decodePipesRabbitMQ(d *Decoder, payload []byte, inv delivery.Invocation) (*Batch, error) {
	messages, err := readArray(payload, (*rabbitMessage).read)
	if err != nil {
		return nil, err
	}
	return d.rabbitBatch(messages, inv)
}

func decodePipesActiveMQ(d *Decoder, payload []byte, _ delivery.Invocation) (*Batch, error) {
	messages, err := readArray(payload, (*activeMessage).read)
	if err != nil {
		return nil, err
	}
	return d.activeBatch(messages)
}
