package events

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// sqs is a queue, standard or FIFO, through Lambda's event source mapping with
// ReportBatchItemFailures (AWS Lambda developer guide, "Using Lambda with
// Amazon SQS").
var sqs = trigger{
	samples: []string{"sqs", "sqs-fifo"},
	is:      func(s shape) bool { return s.keys["Records"] && s.source == "aws:sqs" },
	decode:  decodeSQS,
}

type sqsRecord struct {
	MessageID   string `json:"messageId"`
	Receipt     string `json:"receiptHandle"`
	Body        string `json:"body"`
	EventSource string `json:"eventSource"`
	ARN         string `json:"eventSourceARN"`
	Attributes  struct {
		ReceiveCount string `json:"ApproximateReceiveCount"`
		FirstReceive string `json:"ApproximateFirstReceiveTimestamp"`
		GroupID      string `json:"MessageGroupId"`
	} `json:"attributes"`
	MessageAttributes struct {
		CorrelationID struct {
			Value string `json:"stringValue"`
		} `json:"correlation_id"`
	} `json:"messageAttributes"`
}

func decodeSQS(d *Decoder, payload []byte, _ Invocation) (*Batch, error) {
	var event struct {
		Records []sqsRecord `json:"Records"`
	}
	if err := json.Unmarshal(payload, &event); err != nil {
		return nil, err
	}
	return d.queueBatch(event.Records)
}

// queueBatch is a batch of SQS records, however they came.
func (d *Decoder) queueBatch(records []sqsRecord) (*Batch, error) {
	if len(records) == 0 {
		return nil, errors.New("no records")
	}
	b := &Batch{Deliveries: make([]Delivery, len(records))}
	seen := map[string]bool{}
	for i, r := range records {
		switch {
		case r.EventSource != "aws:sqs":
			return nil, fmt.Errorf("record %d is not of aws:sqs but of %q", i, r.EventSource)
		case r.MessageID == "":
			// Without it the message could not be handed back by itself.
			return nil, fmt.Errorf("record %d has no messageId", i)
		}
		del := Delivery{Source: r.ARN, CausationID: r.MessageID, Receipt: r.Receipt}
		del.Receives, _ = strconv.Atoi(r.Attributes.ReceiveCount)
		// A standard queue may deliver a message twice at once.
		del.Again = del.Receives > 1 || seen[r.MessageID]
		seen[r.MessageID] = true
		if first, err := strconv.ParseInt(r.Attributes.FirstReceive, 10, 64); err == nil {
			del.Since = ofMillis(first)
		}
		// A standard queue has groups too, for fairness, not for order.
		if strings.HasSuffix(r.ARN, ".fifo") {
			del.Group = r.Attributes.GroupID
		}
		b.Deliveries[i] = d.deliver([]byte(r.Body), del, r.MessageAttributes.CorrelationID.Value)
	}
	b.reply = func(outcomes []Outcome) ([]byte, error) {
		// A standard queue may deliver a message twice at once: it is reported
		// once, and not at all if one of the two has come to its end.
		settled := map[string]bool{}
		for i, o := range outcomes {
			if !o.Redeliver() {
				settled[records[i].MessageID] = true
			}
		}
		// Never null: Lambda takes that for success.
		failures := []batchItemFailure{}
		for i := range outcomes {
			if id := records[i].MessageID; !settled[id] {
				settled[id] = true
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
