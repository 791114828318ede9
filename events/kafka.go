package events

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"cbr-replicator/internal/delivery"
	"cbr-replicator/internal/jsonscan"
	"cbr-replicator/internal/kind"
)

// kafka is a topic of Amazon MSK or of a self-managed cluster (AWS Lambda
// developer guide, "Using Lambda with Amazon MSK" and "Using Lambda with
// self-managed Apache Kafka"). aws-lambda-go has a third spelling of the source.
//
// A partition is in order: once a delivery is handed back, the rest of its
// partition is not sent. A record that can never work is acknowledged, so that it
// does not block its partition for ever. By default Lambda takes a batch as done or
// not done: if one record is handed back, all records of all partitions are
// redelivered. Their results have the same event ids. With
// [Decoder.KafkaItemFailures] only those are redelivered that were handed back.
var kafka = trigger{
	samples: []string{"kafka"},
	is:      func(f form) bool { return f.keys["records"] && isKafka(f.source) },
	decode:  decodeKafka,
}

func isKafka(source string) bool {
	return slices.Contains([]string{"aws:kafka", "SelfManagedKafka", "aws:SelfManagedKafka"}, source)
}

type kafkaRecord struct {
	// arn and servers name the source. In a pipe they are in each record.
	arn, servers string
	// key is what the record is listed under: topic-partition.
	key, topic                   string
	partition, offset, timestamp int64 // milliseconds
	numbered                     bool  // it has an offset
	value                        []byte
	correlation                  string
	headers                      int
}

// maxHeaders is how many headers a record may have. Kafka itself has no limit
// but that of the record.
const maxHeaders = 1000

func decodeKafka(d *Decoder, payload []byte, _ delivery.Invocation) (*Batch, error) {
	var arn, servers string
	var records []kafkaRecord
	r := jsonscan.New(payload)
	for name := range r.Members {
		switch string(name) {
		case "eventSourceArn":
			r.Text(&arn)
		case "bootstrapServers":
			r.Text(&servers)
		case "records":
			for name := range r.Members {
				key, from := string(name), len(records)
				var err error
				if records, err = readList(r, records, (*kafkaRecord).read); err != nil {
					return nil, err
				}
				for i := range records[from:] {
					records[from+i].key = key
				}
			}
		}
	}
	if err := r.End(); err != nil {
		return nil, err
	}
	for i := range records {
		records[i].arn, records[i].servers = arn, servers
	}
	b, err := d.kafkaBatch(records)
	if err == nil && d.KafkaItemFailures {
		b.OneByOne, b.reply = true, kafkaReply(records)
	}
	return b, err
}

// kafkaReply names the records that are handed back, for an event source mapping with
// ReportBatchItemFailures: an object for each, with the key under which it is listed
// (AWS Lambda developer guide, "Configuring error handling controls for Kafka event
// sources"). They are always the last ones of a partition, since nothing behind one
// of them is sent. So it does not matter whether Lambda redelivers only these, or all
// from the first of them on.
func kafkaReply(records []kafkaRecord) func([]delivery.Outcome) ([]byte, error) {
	type item struct {
		Partition string `json:"partition"`
		Offset    int64  `json:"offset"`
	}
	type failure struct {
		Item item `json:"itemIdentifier"`
	}
	return func(outcomes []delivery.Outcome) ([]byte, error) {
		// Never null: Lambda takes null for success.
		failures := []failure{}
		for i, o := range outcomes {
			if o.HandedBack() {
				failures = append(failures, failure{item{records[i].key, records[i].offset}})
			}
		}
		return marshal(struct {
			Failures []failure `json:"batchItemFailures"`
		}{failures})
	}
}

func (rec *kafkaRecord) read(r *jsonscan.Reader) {
	for name := range r.Members {
		switch string(name) {
		case "eventSourceArn":
			r.Text(&rec.arn)
		case "bootstrapServers":
			r.Text(&rec.servers)
		case "eventSourceKey":
			r.Text(&rec.key)
		case "topic":
			r.Text(&rec.topic)
		case "partition":
			r.Int(&rec.partition)
		case "offset":
			r.Int(&rec.offset)
			rec.numbered = true
		case "timestamp":
			r.Int(&rec.timestamp)
		case "value":
			r.Bytes(&rec.value) // in base64, null for a tombstone
		case "headers":
			rec.readHeaders(r)
		}
	}
}

// readHeaders reads the header correlation_id. If there are several, the last one
// counts, as in Kafka. Other headers are ignored, whatever their value.
func (rec *kafkaRecord) readHeaders(r *jsonscan.Reader) {
	for range r.Elements {
		rec.headers++
		if r.Peek() != jsontext.KindBeginObject {
			continue
		}
		for name := range r.Members {
			if string(name) == "correlation_id" {
				rec.readCorrelation(r)
			}
		}
	}
}

// readCorrelation reads a header's value: an array of bytes, as signed numbers.
// It keeps one byte more than a correlation id may have, to show that it is too
// long.
func (rec *kafkaRecord) readCorrelation(r *jsonscan.Reader) {
	switch r.Peek() {
	case jsontext.KindNull:
		rec.correlation = ""
		return
	case jsontext.KindBeginArray:
	default:
		return
	}
	text, good := make([]byte, 0, delivery.MaxCorrelationID+1), true
	for range r.Elements {
		n, err := strconv.ParseInt(string(r.Value()), 10, 16)
		good = good && err == nil
		if len(text) < cap(text) {
			text = append(text, byte(n))
		}
	}
	if good {
		rec.correlation = string(text)
	}
}

// kafkaBatch makes the batch of records, from a mapping or a pipe.
func (d *Decoder) kafkaBatch(records []kafkaRecord) (*Batch, error) {
	if len(records) == 0 {
		return nil, errors.New("records is empty")
	}
	deliveries := make([]delivery.Delivery, len(records))
	for i := range records {
		r := &records[i]
		topic := cmp.Or(r.topic, strings.TrimSuffix(r.key, fmt.Sprintf("-%d", r.partition)))
		switch {
		case topic == "":
			return nil, fmt.Errorf("record %d has no topic", i)
		case !r.numbered:
			return nil, fmt.Errorf("record %d has no offset", i)
		}
		partition := fmt.Sprintf("%s/%d", topic, r.partition)
		del := d.deliverBase64(r.value, delivery.Delivery{
			Source:      cmp.Or(r.arn, r.servers),
			CausationID: fmt.Sprintf("%s/%d", partition, r.offset),
			Group:       partition,
			Redelivered: true,
			Since:       ofMillis(r.timestamp),
		}, r.correlation)
		if r.headers > maxHeaders && !del.Own {
			del.Request = delivery.Request{CorrelationID: del.Request.CorrelationID}
			del.Err = &kind.Error{Kind: kind.InvalidEvent, Message: fmt.Sprintf("headers: expected at most %d", maxHeaders)}
		}
		deliveries[i] = del
	}
	return d.brokerBatch(deliveries), nil
}
