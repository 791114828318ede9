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
	// Settle deletes the messages with the receipts done, and lets those with the receipts back be visible again: when their
	// visibility timeout has run out, or after delay if the queue can do that and it is sooner.
	Settle(done, back []string, delay time.Duration)
}

// Mapping is Lambda's event source mapping of a queue, with ReportBatchItemFailures: it receives batches, invokes the
// function with each and does with its messages what the answer says. Safe for concurrent use if its fields are.
type Mapping struct {
	Queue Source
	// Invoke hands a payload to the function and returns its answer, as [Function.Invoke] does.
	Invoke func(ctx context.Context, payload []byte) (Response, error)
	// Delay is how long a message that was handed back stays invisible at the most: nobody wants to wait for a visibility
	// timeout of minutes. It gives way to a visibility that the function itself has chosen, unless the queue is impatient.
	Delay time.Duration
}

// Drain takes batches through the function until no message is visible.
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

// Deliver takes messages that were received through the function. It deletes what succeeded, leaves alone what did not, and
// returns the latter in the batch's order. An error, a broken answer, an item with a wrong key, an empty or an unknown id
// fail the whole batch; no list or an empty one deletes it (Lambda developer guide, "Handling errors for an SQS event
// source"). What was received again meanwhile is neither deleted nor delayed: its receipt is no longer the newest.
//
// Its own error is Invoke's, with which nothing of the batch has succeeded.
func (m *Mapping) Deliver(ctx context.Context, batch []Message) (failed []Message, err error) {
	response, err := m.Invoke(ctx, SQSEvent(m.Queue.ARN(), batch))
	reported := reportedFailures(batch, response, err)
	var done, back []string
	for _, message := range batch {
		if reported[message.ID] {
			failed = append(failed, message)
			back = append(back, message.Receipt)
		} else {
			done = append(done, message.Receipt)
		}
	}
	m.Queue.Settle(done, back, m.Delay)
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

// reportedFailures returns the ids of the messages that an answer fails.
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
