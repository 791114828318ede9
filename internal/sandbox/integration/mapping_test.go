//go:build integration

package integration

import (
	"strconv"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs"
	sqstypes "github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"cbr-replicator/internal/sandbox"
)

// invocationTimeout is the function's time-out in these tests.
const invocationTimeout = 20 * time.Second

// source is a queue of moto's, as an event source mapping polls it.
type source struct {
	*account
	t     *testing.T
	queue queue
	// impatient makes a message that was handed back visible at once: the function
	// lets it wait for half a minute and longer.
	impatient bool
}

// ARN is the queue's.
func (s *source) ARN() string { return s.queue.arn }

// Receive waits for a second. What it gets has attributes of type String alone.
func (s *source) Receive(int) []sandbox.Message {
	var messages []sandbox.Message
	for _, m := range s.receive(s.t, s.queue, 1) {
		number := func(name sqstypes.MessageSystemAttributeName) int64 {
			n, err := strconv.ParseInt(m.Attributes[string(name)], 10, 64)
			if err != nil {
				s.t.Errorf("message %s: %v", *m.MessageId, err)
			}
			return n
		}
		attributes := map[string]string{}
		for name, a := range m.MessageAttributes {
			attributes[name] = *a.StringValue
		}
		messages = append(messages, sandbox.Message{
			ID: *m.MessageId, Receipt: *m.ReceiptHandle, Body: *m.Body, Attributes: attributes,
			Sent:         time.UnixMilli(number(sqstypes.MessageSystemAttributeNameSentTimestamp)),
			FirstReceive: time.UnixMilli(number(sqstypes.MessageSystemAttributeNameApproximateFirstReceiveTimestamp)),
			ReceiveCount: int(number(sqstypes.MessageSystemAttributeNameApproximateReceiveCount)),
		})
	}
	return messages
}

// Finish deletes what is done. What is handed back is visible at once if the
// queue is impatient.
func (s *source) Finish(done, handedBack []string, _ time.Duration) {
	for _, receipt := range done {
		s.delete(s.t, s.queue, receipt)
	}
	if !s.impatient {
		return
	}
	for _, receipt := range handedBack {
		if _, err := s.sqs.ChangeMessageVisibility(s.t.Context(), &sqs.ChangeMessageVisibilityInput{QueueUrl: &s.queue.url, ReceiptHandle: &receipt}); err != nil {
			s.t.Fatal(err)
		}
	}
}
