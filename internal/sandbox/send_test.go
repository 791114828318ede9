package sandbox

import (
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"
	"github.com/google/go-cmp/cmp"
)

// sendTo sends with AWS's own client, which checks the sum of the body.
func sendTo(t *testing.T, s *SQS, in sqs.SendMessageInput) (id string, err error) {
	t.Helper()
	out, err := newSQSClient(t, s, Region).SendMessage(t.Context(), &in)
	if err != nil {
		return "", err
	}
	return *out.MessageId, nil
}

func TestSendMessage(t *testing.T) {
	t.Parallel()
	q := NewQueue(QueueConfig{Name: "requests", Now: newClock().Now})
	s := newSQS(t, q)
	id, err := sendTo(t, s, sqs.SendMessageInput{
		QueueUrl: aws.String(requestsURL), MessageBody: aws.String("a <body> ä\n"),
		MessageAttributes: map[string]types.MessageAttributeValue{"kind": {DataType: aws.String("String"), StringValue: aws.String("InvalidEvent")}},
	})
	if err != nil {
		t.Fatal(err)
	}
	got := q.Messages()
	if len(got) != 1 || got[0].ID != id || got[0].Body != "a <body> ä\n" {
		t.Fatalf("messages %+v, want one with the id %s", got, id)
	}
	if diff := cmp.Diff(map[string]string{"kind": "InvalidEvent"}, got[0].Attributes); diff != "" {
		t.Errorf("attributes (-want +got):\n%s", diff)
	}
}

// TestSendMessageReplaces: SQS replaces characters that it does not allow.
func TestSendMessageReplaces(t *testing.T) {
	t.Parallel()
	q := NewQueue(QueueConfig{Name: "requests", Now: newClock().Now})
	_, _ = sendTo(t, newSQS(t, q), sqs.SendMessageInput{QueueUrl: aws.String(requestsURL), MessageBody: aws.String("a\x00\t\uffff𝄞")})
	if got := q.Messages(); len(got) != 1 || got[0].Body != "a\ufffd\t\ufffd𝄞" {
		t.Errorf("messages %+v", got)
	}
}

// TestSendMessageFIFO: a duplicate is dropped for five minutes.
func TestSendMessageFIFO(t *testing.T) {
	t.Parallel()
	c := newClock()
	q := NewQueue(QueueConfig{Name: "requests.fifo", Now: c.Now})
	s := newSQS(t, q)
	message := sqs.SendMessageInput{
		QueueUrl: aws.String(requestsURL + ".fifo"), MessageBody: aws.String("b"), MessageGroupId: aws.String("g"), MessageDeduplicationId: aws.String("d"),
	}
	first, err := sendTo(t, s, message)
	if err != nil {
		t.Fatal(err)
	}
	c.advance(dedupWindow - time.Second)
	if second, err := sendTo(t, s, message); err != nil || second != first || len(q.Messages()) != 1 {
		t.Errorf("the duplicate: %s, %v, %d messages; want %s, one message", second, err, len(q.Messages()), first)
	}
	c.advance(time.Second)
	if later, err := sendTo(t, s, message); err != nil || later == first || len(q.Messages()) != 2 {
		t.Errorf("sent later: %s, %v, %d messages", later, err, len(q.Messages()))
	}
	if q.Messages()[0].Group != "g" {
		t.Errorf("group %q", q.Messages()[0].Group)
	}
}

// TestSendMessageRefusals: each has SQS's code, and nothing is in the queue.
func TestSendMessageRefusals(t *testing.T) {
	t.Parallel()
	c := newClock()
	value := func(text string) map[string]types.MessageAttributeValue {
		return map[string]types.MessageAttributeValue{"a": {DataType: aws.String("String"), StringValue: aws.String(text)}}
	}
	const room = maxQueueMessage - len("a") - len("String") - len("v")
	fits := sqs.SendMessageInput{MessageBody: aws.String(strings.Repeat("x", room)), MessageAttributes: value("v")}
	for name, tt := range map[string]struct {
		in   sqs.SendMessageInput
		fifo bool
		code string
	}{
		"fits":                {fits, false, ""},
		"a byte too much":     {sqs.SendMessageInput{MessageBody: aws.String(strings.Repeat("x", room+1)), MessageAttributes: value("v")}, false, "InvalidParameterValue"},
		"no body":             {sqs.SendMessageInput{MessageBody: aws.String("")}, false, "MissingParameter"},
		"no value":            {sqs.SendMessageInput{MessageBody: aws.String("b"), MessageAttributes: value("")}, false, "InvalidParameterValue"},
		"no group":            {sqs.SendMessageInput{MessageBody: aws.String("b"), MessageDeduplicationId: aws.String("d")}, true, "MissingParameter"},
		"no deduplication id": {sqs.SendMessageInput{MessageBody: aws.String("b"), MessageGroupId: aws.String("g")}, true, "InvalidParameterValue"},
		"another type":        {sqs.SendMessageInput{MessageBody: aws.String("b"), MessageAttributes: map[string]types.MessageAttributeValue{"a": {DataType: aws.String("Number"), StringValue: aws.String("1")}}}, false, "InvalidParameterValue"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			suffix := ""
			if tt.fifo {
				suffix = ".fifo"
			}
			q := NewQueue(QueueConfig{Name: "requests" + suffix, Now: c.Now})
			tt.in.QueueUrl = aws.String(requestsURL + suffix)
			_, err := sendTo(t, newSQS(t, q), tt.in)
			if tt.code == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			wantAPIError(t, err, 400, tt.code, smithy.FaultClient)
			if n := len(q.Messages()); n > 0 {
				t.Errorf("%d messages", n)
			}
		})
	}
}

// TestSendMessageFaults: a message is sent only if it is the answer that is lost.
func TestSendMessageFaults(t *testing.T) {
	t.Parallel()
	q := NewQueue(QueueConfig{Name: "requests", Now: newClock().Now})
	s := newSQS(t, q)
	s.Script(SQSFault{Status: 400, Code: "RequestThrottled"}, SQSFault{Reset: true}, SQSFault{AnswerLost: true})
	in := sqs.SendMessageInput{QueueUrl: aws.String(requestsURL), MessageBody: aws.String("b")}
	_, err := sendTo(t, s, in)
	wantAPIError(t, err, 400, "RequestThrottled", smithy.FaultClient)
	if _, err = sendTo(t, s, in); !as[*smithyhttp.RequestSendError](err) || len(q.Messages()) != 0 {
		t.Errorf("reset: %v, %d messages", err, len(q.Messages()))
	}
	if _, err = sendTo(t, s, in); !as[*smithyhttp.RequestSendError](err) || len(q.Messages()) != 1 {
		t.Errorf("answer lost: %v, %d messages", err, len(q.Messages()))
	}
}

// sendBatch sends a batch with AWS's own client. It returns the ids of the entries that were taken, and the codes of the others.
func sendBatch(t *testing.T, s *SQS, url string, entries ...types.SendMessageBatchRequestEntry) (taken []string, failed map[string]string, err error) {
	t.Helper()
	out, err := newSQSClient(t, s, Region).SendMessageBatch(t.Context(), &sqs.SendMessageBatchInput{QueueUrl: aws.String(url), Entries: entries})
	if err != nil {
		return nil, nil, err
	}
	failed = map[string]string{}
	for _, e := range out.Successful {
		taken = append(taken, *e.Id)
	}
	for _, e := range out.Failed {
		failed[*e.Id] = *e.Code
	}
	return taken, failed, nil
}

func toSend(id, body string) types.SendMessageBatchRequestEntry {
	return types.SendMessageBatchRequestEntry{Id: aws.String(id), MessageBody: aws.String(body), MessageGroupId: aws.String("g")}
}

// TestSendMessageBatch: each entry has its own outcome, and its own delay.
func TestSendMessageBatch(t *testing.T) {
	t.Parallel()
	c := newClock()
	q := NewQueue(QueueConfig{Name: "requests", Delay: time.Minute, Now: c.Now})
	s := newSQS(t, q)
	s.Script(SQSFault{Entries: map[int]bool{1: false}})
	late, never := toSend("late", "late"), toSend("never", "never")
	late.DelaySeconds, never.DelaySeconds = 900, 901
	taken, failed, err := sendBatch(t, s, requestsURL, toSend("a", "a"), toSend("b", "b"), late, never)
	if diff := cmp.Diff([]string{"a", "late"}, taken); diff != "" || err != nil {
		t.Errorf("error %v, taken (-want +got):\n%s", err, diff)
	}
	if diff := cmp.Diff(map[string]string{"b": "InternalError", "never": "InvalidParameterValue"}, failed); diff != "" {
		t.Errorf("failed (-want +got):\n%s", diff)
	}
	for _, step := range []struct {
		after time.Duration
		want  string
	}{{0, ""}, {time.Minute, "a"}, {13 * time.Minute, ""}, {time.Minute, "late"}} {
		c.advance(step.after)
		got := ""
		for _, m := range q.Receive(10) {
			got += m.Body
			q.Delete(m.Receipt)
		}
		if got != step.want {
			t.Errorf("after %s more: %q, want %q", step.after, got, step.want)
		}
	}
	s.Script(SQSFault{AnswerLost: true})
	if _, _, err := sendBatch(t, s, requestsURL, toSend("c", "c")); err == nil || len(q.Messages()) != 1 {
		t.Errorf("a lost answer: %v, %d messages, want an error and one", err, len(q.Messages()))
	}
}

// TestSendMessageBatchFIFO: order within a group, and no duplicates.
func TestSendMessageBatchFIFO(t *testing.T) {
	t.Parallel()
	q := NewQueue(QueueConfig{Name: "requests.fifo", Now: newClock().Now})
	s := newSQS(t, q)
	a, b, wrong := toSend("a", "1"), toSend("b", "2"), toSend("wrong", "3")
	a.MessageDeduplicationId, b.MessageDeduplicationId, wrong.MessageDeduplicationId = aws.String("1"), aws.String("2"), aws.String("3")
	wrong.DelaySeconds = 1
	for range 2 {
		taken, failed, err := sendBatch(t, s, requestsURL+".fifo", a, b, wrong)
		if err != nil || len(taken) != 2 || failed["wrong"] != "InvalidParameterValue" {
			t.Errorf("%v %v %v", taken, failed, err)
		}
	}
	if got := q.Messages(); len(got) != 2 || got[0].Body != "1" || got[0].Group != "g" {
		t.Errorf("messages %+v", got)
	}
}

func TestSendMessageBatchRefusals(t *testing.T) {
	t.Parallel()
	half := strings.Repeat("x", maxQueueMessage/2)
	many := make([]types.SendMessageBatchRequestEntry, 11)
	for i := range many {
		many[i] = toSend(string(rune('a'+i)), "x")
	}
	for name, tt := range map[string]struct {
		entries []types.SendMessageBatchRequestEntry
		code    string // without its prefix; empty: it is taken
	}{
		"a MiB":               {[]types.SendMessageBatchRequestEntry{toSend("a", half), toSend("b", half)}, ""},
		"a byte too much":     {[]types.SendMessageBatchRequestEntry{toSend("a", half), toSend("b", half), toSend("c", "x")}, "BatchRequestTooLong"},
		"eleven":              {many, "TooManyEntriesInBatchRequest"},
		"equal ids":           {[]types.SendMessageBatchRequestEntry{toSend("a", "x"), toSend("a", "y")}, "BatchEntryIdsNotDistinct"},
		"an id of other form": {[]types.SendMessageBatchRequestEntry{toSend("a.b", "x")}, "InvalidBatchEntryId"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			q := NewQueue(QueueConfig{Name: "requests", Now: newClock().Now})
			_, _, err := sendBatch(t, newSQS(t, q), requestsURL, tt.entries...)
			if tt.code == "" {
				if err != nil || len(q.Messages()) != len(tt.entries) {
					t.Errorf("%v, %d messages", err, len(q.Messages()))
				}
				return
			}
			wantAPIError(t, err, 400, "AWS.SimpleQueueService."+tt.code, smithy.FaultClient)
			if n := len(q.Messages()); n > 0 {
				t.Errorf("%d messages", n)
			}
		})
	}
}
