package sandbox

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the golden files anew")

func TestSQSEvent(t *testing.T) {
	t.Parallel()
	sent := time.Date(2026, 11, 23, 2, 0, 0, 1e6, time.UTC)
	messages := []Message{
		{
			ID: "059f36b4-87a3-44ab-83d2-661975830a7d", Receipt: "AQEBwJnKyrHigUMZj6rYigCgxlaS3SLy0a", Body: `{"a":"<&>"}`,
			Attributes: map[string]string{"correlation_id": "nightly"}, Group: "vault-a", Sequence: 7,
			Sent: sent, FirstReceive: sent.Add(time.Second), ReceiveCount: 3,
		},
		{
			ID: "2e1424d4-f796-459a-8184-9c92662be6da", Receipt: "AQEBzWwaftRI0KuVm4tP", Group: "vault-b", Sequence: 8,
			Sent: sent, FirstReceive: sent, ReceiveCount: 1,
		},
	}
	standard := []map[string]string{
		{
			"ApproximateReceiveCount": "3", "SentTimestamp": "1795399200001", "SenderId": "AIDAIENQZJOLO23YVJ4VO",
			"ApproximateFirstReceiveTimestamp": "1795399201001",
		},
		{
			"ApproximateReceiveCount": "1", "SentTimestamp": "1795399200001", "SenderId": "AIDAIENQZJOLO23YVJ4VO",
			"ApproximateFirstReceiveTimestamp": "1795399200001",
		},
	}
	tests := []struct {
		queue, golden string
		fifo          []map[string]string
	}{
		{"requests", "sqs.json", []map[string]string{{}, {}}},
		{"requests.fifo", "sqs-fifo.json", []map[string]string{
			{"SequenceNumber": "00000000000000000007", "MessageGroupId": "vault-a", "MessageDeduplicationId": messages[0].ID},
			{"SequenceNumber": "00000000000000000008", "MessageGroupId": "vault-b", "MessageDeduplicationId": messages[1].ID},
		}},
	}
	for _, tt := range tests {
		t.Run(tt.queue, func(t *testing.T) {
			t.Parallel()
			payload := SQSEvent(NewQueue(QueueConfig{Name: tt.queue}).ARN(), messages)
			golden(t, tt.golden, payload)

			var got events.SQSEvent
			decoder := json.NewDecoder(bytes.NewReader(payload))
			decoder.DisallowUnknownFields() // else a field that it does not know would be lost
			if err := decoder.Decode(&got); err != nil {
				t.Fatal(err)
			}
			var want events.SQSEvent
			for i, m := range messages {
				attributes := maps.Clone(standard[i])
				maps.Copy(attributes, tt.fifo[i])
				want.Records = append(want.Records, events.SQSMessage{
					MessageId: m.ID, ReceiptHandle: m.Receipt, Body: m.Body, Attributes: attributes,
					Md5OfBody:         []string{"ff4346e5e8ab7dfd89199ac0941663a6", "d41d8cd98f00b204e9800998ecf8427e"}[i],
					MessageAttributes: map[string]events.SQSMessageAttribute{},
					EventSource:       "aws:sqs",
					EventSourceARN:    "arn:aws:sqs:eu-central-1:123456789012:" + tt.queue,
					AWSRegion:         "eu-central-1",
				})
			}
			nightly := "nightly"
			want.Records[0].MessageAttributes["correlation_id"] = events.SQSMessageAttribute{
				StringValue: &nightly, StringListValues: []string{}, BinaryListValues: [][]byte{}, DataType: "String",
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("event (-want +got):\n%s", diff)
			}
		})
	}
}

// golden compares payload, indented, with a file.
func golden(t *testing.T, name string, payload []byte) {
	t.Helper()
	var got bytes.Buffer
	if err := json.Indent(&got, payload, "", "  "); err != nil {
		t.Fatal(err)
	}
	got.WriteByte('\n')
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, got.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got.String()); diff != "" {
		t.Errorf("%s (-want +got; -update writes it anew):\n%s", path, diff)
	}
}

// deliver delivers messages to a function that answers with response. It returns the bodies of those that are handed back.
func deliver(t *testing.T, q *Queue, messages []Message, response Response, delay time.Duration) []string {
	t.Helper()
	mapping := Mapping{Queue: q, Delay: delay, Invoke: func(context.Context, []byte) (Response, error) { return response, nil }}
	failed, err := mapping.Deliver(t.Context(), messages)
	if err != nil {
		t.Fatal(err)
	}
	return bodies(failed)
}

// TestDeliver: what becomes of a batch's messages.
func TestDeliver(t *testing.T) {
	t.Parallel()
	everything := []string{"a", "b", "c"}
	tests := []struct {
		name   string
		answer string // $a is the id of a
		err    *FunctionError
		failed []string
	}{
		{"null", `null`, nil, nil},
		{"nothing", ``, nil, nil},
		{"white space", " \n", nil, nil},
		{"no list", `{}`, nil, nil},
		{"a null list", `{"batchItemFailures":null}`, nil, nil},
		{"an empty list", `{"batchItemFailures":[]}`, nil, nil},
		{"a list of another name", `{"BatchItemFailures":[{"itemIdentifier":"$a"}]}`, nil, nil},
		{"one", `{"batchItemFailures":[{"itemIdentifier":"$b"}]}`, nil, []string{"b"}},
		{"one of a larger answer", `{"more":[1],"batchItemFailures":[{"itemIdentifier":"$b"}]}`, nil, []string{"b"}},
		{"two, out of order", `{"batchItemFailures":[{"itemIdentifier":"$c"},{"itemIdentifier":"$a"}]}`, nil, []string{"a", "c"}},
		{"one twice", `{"batchItemFailures":[{"itemIdentifier":"$a"},{"itemIdentifier":"$a"}]}`, nil, []string{"a"}},
		{"all", `{"batchItemFailures":[{"itemIdentifier":"$a"},{"itemIdentifier":"$b"},{"itemIdentifier":"$c"}]}`, nil, everything},
		{"an unknown id", `{"batchItemFailures":[{"itemIdentifier":"$a"},{"itemIdentifier":"unknown"}]}`, nil, everything},
		{"an empty id", `{"batchItemFailures":[{"itemIdentifier":""}]}`, nil, everything},
		{"a null id", `{"batchItemFailures":[{"itemIdentifier":null}]}`, nil, everything},
		{"a number for an id", `{"batchItemFailures":[{"itemIdentifier":1}]}`, nil, everything},
		{"a wrong key", `{"batchItemFailures":[{"itemidentifier":"$a"}]}`, nil, everything},
		{"a null item", `{"batchItemFailures":[null]}`, nil, everything},
		{"no list but text", `{"batchItemFailures":"$a"}`, nil, everything},
		{"broken JSON", `{"batchItemFailures":[`, nil, everything},
		{"no object", `"done"`, nil, everything},
		{"an error", `{"batchItemFailures":[]}`, &FunctionError{Type: "Sandbox.Timedout"}, everything},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			c := newClock()
			q := c.queue("requests")
			answer := tt.answer
			for _, body := range everything {
				answer = strings.ReplaceAll(answer, "$"+body, q.Send(body, nil, ""))
			}
			send(q, "", "of the next batch")
			messages := q.Receive(3)

			failed := deliver(t, q, messages, Response{Payload: []byte(answer), Error: tt.err}, time.Second)
			if diff := cmp.Diff(tt.failed, failed); diff != "" {
				t.Errorf("failed (-want +got):\n%s", diff)
			}
			receive(t, q, "of the next batch")
			c.advance(time.Second)
			receive(t, q, tt.failed...)
			if got := len(q.Messages()); got != len(tt.failed)+1 {
				t.Errorf("%d messages are left", got)
			}
		})
	}
}

// TestDrain: batches of ten until no message is visible. If the function cannot be invoked, no message of the batch has
// succeeded, and there is no further batch.
func TestDrain(t *testing.T) {
	t.Parallel()
	c := newClock()
	q := c.queue("requests")
	send(q, "", slices.Repeat([]string{"a"}, 25)...)
	var sizes []int
	broken := errors.New("no function")
	mapping := Mapping{Queue: q, Delay: time.Second, Invoke: func(_ context.Context, payload []byte) (Response, error) {
		messages, err := ReadSQSEvent(payload)
		if sizes = append(sizes, len(messages)); len(sizes) == 2 {
			err = broken
		}
		return Response{}, err
	}}
	if err := mapping.Drain(t.Context()); !errors.Is(err, broken) || len(q.Messages()) != 15 {
		t.Errorf("error %v, %d messages are left", err, len(q.Messages()))
	}
	c.advance(time.Second)
	if err := mapping.Drain(t.Context()); err != nil || len(q.Messages()) != 0 {
		t.Errorf("error %v, %d messages are left", err, len(q.Messages()))
	}
	if diff := cmp.Diff([]int{10, 10, 10, 5}, sizes); diff != "" {
		t.Errorf("batches (-want +got):\n%s", diff)
	}
}
