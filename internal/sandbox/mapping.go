package sandbox

import (
	"bytes"
	"context"
	"crypto/md5"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"time"
)

// BatchSize is how many messages a batch has at most: the template's, and SQS's own limit for a receive.
const BatchSize = 10

// Source is a queue that a [Mapping] polls: a [Queue], or one elsewhere.
type Source interface {
	// ARN ends in .fifo for a FIFO queue.
	ARN() string
	// Receive takes up to limit messages that are visible.
	Receive(limit int) []Message
	// Finish ends the delivery of messages. It deletes those with the receipts done. Those with the receipts handedBack are
	// visible again when their visibility timeout ends, or after delay if that is earlier and the queue can do it.
	Finish(done, handedBack []string, delay time.Duration)
}

// Mapping is Lambda's event source mapping of a queue, with ReportBatchItemFailures. It receives batches, invokes the function
// with each, and deletes the messages that the answer does not report. Safe for concurrent use if its fields are.
type Mapping struct {
	Queue Source
	// Invoke hands a payload to the function and returns its answer, as [Function.Invoke] does.
	Invoke func(ctx context.Context, payload []byte) (Response, error)
	// Delay is how long a message that was handed back stays invisible at the most, so that nobody waits for a visibility
	// timeout of minutes. A visibility that the function has chosen itself counts instead, unless the queue is impatient.
	Delay time.Duration
}

// Drain delivers batches until no message is visible.
func (m *Mapping) Drain(ctx context.Context) error {
	for {
		batch := m.Queue.Receive(BatchSize)
		if len(batch) == 0 {
			return nil
		}
		if _, err := m.Deliver(ctx, batch); err != nil {
			return err
		}
	}
}

// Deliver invokes the function with messages that were received. It deletes those that succeeded, and returns the others,
// which are handed back, in the batch's order. An error, a broken answer, an item with a wrong key, an empty or an unknown id
// hand back the batch; no list or an empty one deletes it (Lambda developer guide, "Handling errors for an SQS event
// source"). A message that was redelivered meanwhile is neither deleted nor delayed: its receipt is no longer the newest.
//
// The error is Invoke's. No message of the batch has then succeeded.
func (m *Mapping) Deliver(ctx context.Context, batch []Message) (failed []Message, err error) {
	response, err := m.Invoke(ctx, SQSEvent(m.Queue.ARN(), batch))
	reported := reportedFailures(batch, response, err)
	var done, handedBack []string
	for _, message := range batch {
		if reported[message.ID] {
			failed = append(failed, message)
			handedBack = append(handedBack, message.Receipt)
		} else {
			done = append(done, message.Receipt)
		}
	}
	m.Queue.Finish(done, handedBack, m.Delay)
	return failed, err
}

// SQSEvent is the payload with which Lambda's event source mapping invokes a function for messages of a queue (Lambda
// developer guide, "Using Lambda with Amazon SQS").
func SQSEvent(queueARN string, messages []Message) []byte {
	type attribute struct {
		StringValue      string   `json:"stringValue"`
		StringListValues []string `json:"stringListValues"`
		BinaryListValues [][]byte `json:"binaryListValues"`
		DataType         string   `json:"dataType"`
	}
	type record struct {
		MessageID         string               `json:"messageId"`
		ReceiptHandle     string               `json:"receiptHandle"`
		Body              string               `json:"body"`
		Attributes        map[string]string    `json:"attributes"`
		MessageAttributes map[string]attribute `json:"messageAttributes"`
		MD5OfBody         string               `json:"md5OfBody"`
		EventSource       string               `json:"eventSource"`
		EventSourceARN    string               `json:"eventSourceARN"`
		AWSRegion         string               `json:"awsRegion"`
	}
	records := make([]record, len(messages))
	for i, m := range messages {
		sum := md5.Sum([]byte(m.Body)) // SQS's own check of the body, no secret
		r := record{
			MessageID:     m.ID,
			ReceiptHandle: m.Receipt,
			Body:          m.Body,
			Attributes: map[string]string{
				"ApproximateReceiveCount":          fmt.Sprint(m.ReceiveCount),
				"SentTimestamp":                    millis(m.Sent),
				"SenderId":                         "AIDAIENQZJOLO23YVJ4VO",
				"ApproximateFirstReceiveTimestamp": millis(m.FirstReceive),
			},
			MessageAttributes: map[string]attribute{},
			MD5OfBody:         hex.EncodeToString(sum[:]),
			EventSource:       "aws:sqs",
			EventSourceARN:    queueARN,
			AWSRegion:         Region,
		}
		if isFIFO(queueARN) {
			r.Attributes["SequenceNumber"] = fmt.Sprintf("%020d", m.Sequence)
			r.Attributes["MessageGroupId"] = m.Group
			r.Attributes["MessageDeduplicationId"] = m.ID
		}
		for name, value := range m.Attributes {
			r.MessageAttributes[name] = attribute{StringValue: value, StringListValues: []string{}, BinaryListValues: [][]byte{}, DataType: "String"}
		}
		records[i] = r
	}
	payload, _ := json.Marshal(map[string]any{"Records": records}) // strings always marshal
	return payload
}

// reportedFailures returns the ids of the messages that an answer hands back.
func reportedFailures(messages []Message, response Response, err error) map[string]bool {
	all := map[string]bool{}
	for _, m := range messages {
		all[m.ID] = true
	}
	if err != nil || response.Error != nil {
		return all
	}
	if len(bytes.TrimSpace(response.Payload)) == 0 {
		return nil
	}
	var answer map[string]json.RawMessage // a struct would take the key in any letter case
	if json.Unmarshal(response.Payload, &answer) != nil {
		return all
	}
	list, ok := answer["batchItemFailures"]
	if !ok {
		return nil
	}
	var items []map[string]string
	if json.Unmarshal(list, &items) != nil {
		return all
	}
	failures := map[string]bool{}
	for _, item := range items {
		id := item["itemIdentifier"]
		if !all[id] {
			return all
		}
		failures[id] = true
	}
	return failures
}
