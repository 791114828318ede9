package sandbox

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

const requestsURL = "https://sqs.eu-central-1.amazonaws.com/123456789012/requests"

func newSQS(t *testing.T, queues ...*Queue) *SQS {
	t.Helper()
	return started(t, func() (*SQS, error) { return NewSQS(queues...) })
}

func newSQSClient(t *testing.T, s *SQS, region string) *sqs.Client {
	t.Helper()
	return sqs.NewFromConfig(clientConfig(t, s.URL(), region))
}

// hide makes entries with the ids 0, 1, … that hide these messages for an hour.
func hide(messages ...Message) []types.ChangeMessageVisibilityBatchRequestEntry {
	entries := make([]types.ChangeMessageVisibilityBatchRequestEntry, len(messages))
	for i, m := range messages {
		entries[i] = types.ChangeMessageVisibilityBatchRequestEntry{
			Id: aws.String(fmt.Sprint(i)), ReceiptHandle: aws.String(m.Receipt), VisibilityTimeout: 3600,
		}
	}
	return entries
}

func changeBatch(t *testing.T, s *SQS, url string, entries ...types.ChangeMessageVisibilityBatchRequestEntry) (*sqs.ChangeMessageVisibilityBatchOutput, error) {
	t.Helper()
	return newSQSClient(t, s, Region).ChangeMessageVisibilityBatch(t.Context(), &sqs.ChangeMessageVisibilityBatchInput{
		QueueUrl: aws.String(url), Entries: entries,
	})
}

// TestChangeMessageVisibilityBatch: each entry has its own outcome.
func TestChangeMessageVisibilityBatch(t *testing.T) {
	t.Parallel()
	c := newClock()
	q := c.queue("requests")
	s := newSQS(t, NewQueue(QueueConfig{Name: "others", Now: c.Now}), q)
	send(q, "", "late", "a", "b", "c", "gone")
	late := q.Receive(1)[0]
	c.advance(visibility)
	messages := receive(t, q, "late", "a", "b", "c", "gone")
	q.Delete(messages[4].Receipt)

	entries := hide(late, messages[1], messages[2], messages[3], messages[4], Message{Receipt: "AQEBwJnKyrHigUMZj6rYigCgxlaS3SLy0a"})
	entries[1].VisibilityTimeout = 0
	entries[3].VisibilityTimeout = 43201
	out, err := changeBatch(t, s, requestsURL, entries...)
	if err != nil {
		t.Fatal(err)
	}
	var successful []string
	for _, r := range out.Successful {
		successful = append(successful, *r.Id)
	}
	if diff := cmp.Diff([]string{"1", "2"}, successful); diff != "" {
		t.Errorf("successful (-want +got):\n%s", diff)
	}
	want := []types.BatchResultErrorEntry{
		{Id: aws.String("0"), Code: aws.String("InvalidParameterValue"), SenderFault: true},
		{Id: aws.String("3"), Code: aws.String("InvalidParameterValue"), SenderFault: true},
		{Id: aws.String("4"), Code: aws.String("InvalidParameterValue"), SenderFault: true},
		{Id: aws.String("5"), Code: aws.String("ReceiptHandleIsInvalid"), SenderFault: true},
	}
	if diff := cmp.Diff(want, out.Failed, cmpopts.IgnoreUnexported(types.BatchResultErrorEntry{}), cmpopts.IgnoreFields(types.BatchResultErrorEntry{}, "Message")); diff != "" {
		t.Errorf("failed (-want +got):\n%s", diff)
	}
	receive(t, q, "a")
	c.advance(visibility)
	receive(t, q, "late", "a", "c")

	out, err = changeBatch(t, s, "/123456789012/requests", hide(messages[2])...)
	if err != nil || len(out.Successful) != 1 {
		t.Errorf("by the path alone: %+v, %v", out, err)
	}
	c.advance(time.Hour)
	out, err = changeBatch(t, s, requestsURL, hide(messages[2])...)
	if err != nil || len(out.Failed) != 1 || *out.Failed[0].Code != "MessageNotInflight" {
		t.Errorf("once it is visible: %+v, %v", out, err)
	}
	if s.Calls() != 3 {
		t.Errorf("%d calls", s.Calls())
	}
}

// TestSQSRefusals: the calls that SQS refuses, and the errors of AWS's client.
func TestSQSRefusals(t *testing.T) {
	t.Parallel()
	named := func(ids ...string) []types.ChangeMessageVisibilityBatchRequestEntry {
		entries := hide(make([]Message, len(ids))...)
		for i, id := range ids {
			entries[i].Id = aws.String(id)
		}
		return entries
	}
	const prefix = "AWS.SimpleQueueService."
	tests := []struct {
		name, url string
		entries   []types.ChangeMessageVisibilityBatchRequestEntry
		status    int
		code      string
		is        func(error) bool
	}{
		{"another queue", requestsURL + "x", named("a"), 400, prefix + "NonExistentQueue", as[*types.QueueDoesNotExist]},
		{"another account", "/210987654321/requests", named("a"), 404, "InvalidAddress", as[*types.InvalidAddress]},
		{"another region", strings.Replace(requestsURL, Region, "eu-west-1", 1), named("a"), 404, "InvalidAddress", as[*types.InvalidAddress]},
		{"another host", "https://example.com/123456789012/requests", named("a"), 404, "InvalidAddress", as[*types.InvalidAddress]},
		{"no entry", requestsURL, named(), 400, prefix + "EmptyBatchRequest", as[*types.EmptyBatchRequest]},
		{"11 entries", requestsURL, hide(make([]Message, 11)...), 400, prefix + "TooManyEntriesInBatchRequest", as[*types.TooManyEntriesInBatchRequest]},
		{"equal ids", requestsURL, named("a", "b", "a"), 400, prefix + "BatchEntryIdsNotDistinct", as[*types.BatchEntryIdsNotDistinct]},
		{"an id of other characters", requestsURL, named("a", "b.c"), 400, prefix + "InvalidBatchEntryId", as[*types.InvalidBatchEntryId]},
		{"a long id", requestsURL, named(strings.Repeat("a", 81)), 400, prefix + "InvalidBatchEntryId", as[*types.InvalidBatchEntryId]},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := newSQS(t, NewQueue(QueueConfig{Name: "requests", Now: newClock().Now}))
			_, err := changeBatch(t, s, tt.url, tt.entries...)
			wantAPIError(t, err, tt.status, tt.code, smithy.FaultClient)
			if !tt.is(err) {
				t.Errorf("another type of error: %v", err)
			}
		})
	}
}

func TestSQSRefusesCaller(t *testing.T) {
	t.Parallel()
	s := newSQS(t)
	_, err := newSQSClient(t, s, "eu-west-1").ChangeMessageVisibilityBatch(t.Context(), &sqs.ChangeMessageVisibilityBatchInput{
		QueueUrl: aws.String(requestsURL), Entries: hide(Message{}),
	})
	wantAPIError(t, err, 400, "InvalidSignatureException", smithy.FaultUnknown)
	_, err = newSQSClient(t, s, Region).PurgeQueue(t.Context(), &sqs.PurgeQueueInput{QueueUrl: aws.String(requestsURL)})
	wantAPIError(t, err, 400, "UnknownOperationException", smithy.FaultUnknown)
}

func TestSQSFaults(t *testing.T) {
	t.Parallel()
	c := newClock()
	q := c.queue("requests")
	s := newSQS(t, q)
	send(q, "", "a", "b", "c")
	messages := receive(t, q, "a", "b", "c")
	const delay = 20 * time.Millisecond
	s.Script(
		SQSFault{Status: 400, Code: "RequestThrottled"},
		SQSFault{Status: 500, Code: "InternalFailure"},
		SQSFault{Reset: true},
		SQSFault{Entries: map[int]bool{0: true, 1: false}, Delay: delay},
	)
	_, err := changeBatch(t, s, requestsURL, hide(messages...)...)
	wantAPIError(t, err, 400, "RequestThrottled", smithy.FaultClient)
	_, err = changeBatch(t, s, requestsURL, hide(messages...)...)
	wantAPIError(t, err, 500, "InternalFailure", smithy.FaultUnknown)
	if _, err = changeBatch(t, s, requestsURL, hide(messages...)...); !as[*smithyhttp.RequestSendError](err) {
		t.Errorf("reset: %v", err)
	}
	before := time.Now()
	out, err := changeBatch(t, s, requestsURL, hide(messages...)...)
	if err != nil || time.Since(before) < delay {
		t.Fatalf("delay: %v after %v", err, time.Since(before))
	}
	want := []types.BatchResultErrorEntry{
		{Id: aws.String("0"), Code: aws.String("InvalidParameterValue"), Message: aws.String("scripted"), SenderFault: true},
		{Id: aws.String("1"), Code: aws.String("InternalError"), Message: aws.String("scripted"), SenderFault: false},
	}
	if diff := cmp.Diff(want, out.Failed, cmpopts.IgnoreUnexported(types.BatchResultErrorEntry{})); diff != "" {
		t.Errorf("failed (-want +got):\n%s", diff)
	}
	c.advance(visibility) // what failed has no effect
	receive(t, q, "a", "b")
}
