//go:build integration

package integration

import (
	"encoding/json"
	"slices"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	sqstypes "github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"cbr-replicator/internal/sandbox"
)

// invocationTimeout is the function's time-out in these tests.
const invocationTimeout = 20 * time.Second

// mapping does what Lambda's event source mapping does with a queue when
// ReportBatchItemFailures is on (Lambda developer guide, "Using Lambda with Amazon
// SQS").
type mapping struct {
	*account
	queue    queue
	function *sandbox.Function
	// impatient brings a delivery that was handed back into sight at once: the
	// function lets it wait for half a minute and longer.
	impatient bool
}

// poll takes a batch through the function, if there is one within a second.
func (m *mapping) poll(t *testing.T) {
	t.Helper()
	messages := m.receive(t, m.queue, 1)
	if len(messages) == 0 {
		return
	}
	payload, err := json.Marshal(m.event(messages))
	if err != nil {
		t.Fatal(err)
	}
	response, err := m.function.Invoke(t.Context(), payload, invocationTimeout)
	if err != nil {
		t.Fatal(err)
	}
	if response.Error != nil {
		t.Fatalf("the function failed: %v", response.Error)
	}
	var answer events.SQSEventResponse
	if err := json.Unmarshal(response.Payload, &answer); err != nil {
		t.Fatalf("answer %s: %v", response.Payload, err)
	}
	for _, message := range messages {
		if !slices.Contains(answer.BatchItemFailures, events.SQSBatchItemFailure{ItemIdentifier: *message.MessageId}) {
			m.delete(t, m.queue, message)
		} else if m.impatient {
			m.show(t, message)
		}
	}
}

func (m *mapping) show(t *testing.T, message sqstypes.Message) {
	t.Helper()
	_, err := m.sqs.ChangeMessageVisibility(t.Context(), &sqs.ChangeMessageVisibilityInput{QueueUrl: &m.queue.url, ReceiptHandle: message.ReceiptHandle})
	if err != nil {
		t.Fatal(err)
	}
}

// event is the payload for messages.
func (m *mapping) event(messages []sqstypes.Message) events.SQSEvent {
	var event events.SQSEvent
	for _, message := range messages {
		record := events.SQSMessage{
			MessageId:         *message.MessageId,
			ReceiptHandle:     *message.ReceiptHandle,
			Body:              *message.Body,
			Md5OfBody:         *message.MD5OfBody,
			Attributes:        message.Attributes,
			MessageAttributes: map[string]events.SQSMessageAttribute{},
			EventSource:       "aws:sqs",
			EventSourceARN:    m.queue.arn,
			AWSRegion:         sandbox.Region,
		}
		for name, a := range message.MessageAttributes {
			record.MessageAttributes[name] = events.SQSMessageAttribute{
				StringValue: a.StringValue, BinaryValue: a.BinaryValue, DataType: *a.DataType,
				StringListValues: []string{}, BinaryListValues: [][]byte{},
			}
		}
		event.Records = append(event.Records, record)
	}
	return event
}
