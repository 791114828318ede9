package sandbox

import (
	"bytes"
	"crypto/md5"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"time"
)

// SQSEvent is the payload with which Lambda's event source mapping invokes a function for messages of q (Lambda
// developer guide, "Using Lambda with Amazon SQS").
func SQSEvent(q *Queue, messages []Message) ([]byte, error) {
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
			EventSourceARN:    q.ARN(),
			AWSRegion:         Region,
		}
		if q.fifo() {
			r.Attributes["SequenceNumber"] = fmt.Sprintf("%020d", m.Sequence)
			r.Attributes["MessageGroupId"] = m.Group
			r.Attributes["MessageDeduplicationId"] = m.ID
		}
		for name, value := range m.Attributes {
			r.MessageAttributes[name] = attribute{StringValue: value, StringListValues: []string{}, BinaryListValues: [][]byte{}, DataType: "String"}
		}
		records[i] = r
	}
	payload, err := json.Marshal(map[string]any{"Records": records})
	if err != nil {
		return nil, fmt.Errorf("building the SQS event: %w", err)
	}
	return payload, nil
}

// Settle does with a batch what the event source mapping does after the function's answer when ReportBatchItemFailures
// is on: it deletes what succeeded, leaves alone what did not, and returns the ids of the latter in the batch's order. An
// error, a broken answer, an item with a wrong key, an empty or an unknown id fail the whole batch; no list or an empty one
// deletes it (Lambda developer guide, "Handling errors for an SQS event source").
//
// What failed is visible again when its visibility timeout has run out, as in AWS, or after delay if that is sooner: nobody
// wants to wait for a timeout of minutes. The delay gives way to a visibility that the function itself has chosen,
// unless the queue is impatient. What was received again meanwhile is neither deleted nor delayed: its receipt is no longer
// the newest.
func Settle(q *Queue, messages []Message, response Response, delay time.Duration) (failed []string) {
	reported := reportedFailures(messages, response)
	done, back := map[string]bool{}, map[string]bool{}
	for _, m := range messages {
		if reported[m.ID] {
			failed = append(failed, m.ID)
			back[m.Receipt] = true
		} else {
			done[m.Receipt] = true
		}
	}
	q.settle(done, back, delay)
	return failed
}

// reportedFailures returns the ids of the messages that an answer fails.
func reportedFailures(messages []Message, response Response) map[string]bool {
	all := map[string]bool{}
	for _, m := range messages {
		all[m.ID] = true
	}
	if response.Error != nil {
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
