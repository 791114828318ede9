package events

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"cbr-replicator/internal/delivery"
	"cbr-replicator/internal/jsonscan"
	"cbr-replicator/internal/kind"
)

// sqs is a queue, standard or FIFO, through Lambda's event source mapping with
// ReportBatchItemFailures (AWS Lambda developer guide, "Using Lambda with
// Amazon SQS").
var sqs = trigger{
	samples: []string{"sqs", "sqs-fifo"},
	is:      func(f form) bool { return f.keys["Records"] && f.source == "aws:sqs" },
	decode:  decodeSQS,
}

type sqsRecord struct {
	messageID, receipt, arn string
	source                  []byte
	body                    []byte // in quotes
	receives, firstReceive  []byte // attributes
	group                   string // an attribute
	correlation             string // a message attribute
}

func decodeSQS(d *Decoder, payload []byte, inv delivery.Invocation) (*Batch, error) {
	records, err := readEvent(payload, (*sqsRecord).read)
	if err != nil {
		return nil, err
	}
	return d.queueBatch(records, inv)
}

func (rec *sqsRecord) read(r *jsonscan.Reader) {
	for name := range r.Members {
		switch string(name) {
		case "messageId":
			r.Text(&rec.messageID)
		case "receiptHandle":
			r.Text(&rec.receipt)
		case "body":
			r.Quoted(&rec.body)
		case "eventSource":
			r.Bytes(&rec.source)
		case "eventSourceARN":
			r.Text(&rec.arn)
		case "attributes":
			rec.readAttributes(r)
		case "messageAttributes":
			rec.readMessageAttributes(r)
		}
	}
}

func (rec *sqsRecord) readAttributes(r *jsonscan.Reader) {
	for name := range r.Members {
		switch string(name) {
		case "ApproximateReceiveCount":
			r.Bytes(&rec.receives)
		case "ApproximateFirstReceiveTimestamp":
			r.Bytes(&rec.firstReceive)
		case "MessageGroupId":
			r.Text(&rec.group)
		}
	}
}

func (rec *sqsRecord) readMessageAttributes(r *jsonscan.Reader) {
	for name := range r.Members {
		if string(name) != "correlation_id" {
			continue
		}
		for name := range r.Members {
			if string(name) == "stringValue" {
				r.Text(&rec.correlation)
			}
		}
	}
}

// queueBatch makes the batch of SQS records, from a mapping or a pipe.
func (d *Decoder) queueBatch(records []sqsRecord, inv delivery.Invocation) (*Batch, error) {
	if len(records) == 0 {
		return nil, errors.New("Records is empty")
	}
	b := &Batch{Deliveries: make([]delivery.Delivery, len(records))}
	seen := make(map[string]bool, len(records))
	for i, r := range records {
		switch {
		case string(r.source) != "aws:sqs":
			return nil, fmt.Errorf("record %d is not of aws:sqs but of %q", i, r.source)
		case r.messageID == "":
			// Without it the message could not be handed back by itself.
			return nil, fmt.Errorf("record %d has no messageId", i)
		}
		del := delivery.Delivery{Source: r.arn, CausationID: r.messageID, Carried: delivery.Carried{Text: r.body, Quoted: true}}
		del.Queue = delivery.Queue{ARN: r.arn, ReceiptHandle: r.receipt}
		del.Queue.Receives, _ = strconv.Atoi(string(r.receives))
		del.Last = del.Queue.Receives >= d.MaxReceiveCount
		// A standard queue may deliver a message twice at once.
		del.Redelivered = del.Queue.Receives > 1 || seen[r.messageID]
		if first, err := strconv.ParseInt(string(r.firstReceive), 10, 64); err == nil {
			del.Since = ofMillis(first)
		} else if seen[r.messageID] {
			del.Since = inv.Began // the first of the two is of this batch
		}
		seen[r.messageID] = true
		// Groups of a standard queue are for fairness, not for order.
		if strings.HasSuffix(r.arn, ".fifo") {
			del.Group = r.group
		}
		if d.FollowQueueARN != "" && r.arn == d.FollowQueueARN {
			b.Deliveries[i] = d.tracked(del, r.correlation)
			continue
		}
		b.Deliveries[i] = d.deliver(del.Body(), del, r.correlation)
		if err := b.Deliveries[i].Err; err != nil && errors.Is(err, errConfirmation) {
			// Its link is nowhere else. Handed back, it becomes a dead letter.
			err.Kind = kind.Misconfigured
		}
	}
	b.reply = func(outcomes []delivery.Outcome) ([]byte, error) {
		// A standard queue may deliver a message twice in a batch. It is reported
		// once, and not at all if one of the two deliveries is acknowledged.
		skip := make(map[string]bool, len(records))
		for i, o := range outcomes {
			if !o.HandedBack() {
				skip[records[i].messageID] = true
			}
		}
		// Never null: Lambda takes null for success.
		failures := []batchItemFailure{}
		for i := range outcomes {
			if id := records[i].messageID; !skip[id] {
				skip[id] = true
				failures = append(failures, batchItemFailure{id})
			}
		}
		return marshal(struct {
			Failures []batchItemFailure `json:"batchItemFailures"`
		}{failures})
	}
	return b, nil
}

type batchItemFailure struct {
	ID string `json:"itemIdentifier"`
}
