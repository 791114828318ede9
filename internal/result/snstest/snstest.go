// Package snstest is an SNS topic that runs in the process, for tests of what
// is published, when, and in how many calls. It holds a publisher to the rules
// of PublishBatch (SNS API reference, "PublishBatch"; SNS developer guide,
// "Message attributes", "Message deduplication"), and a breach of one is a
// failure of the test, even where the publisher would get over it.
package snstest

import (
	"context"
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/aws/aws-sdk-go-v2/service/sns/types"
	"github.com/aws/smithy-go"

	"cbr-replicator/internal/result"
)

// Limits of a call: entries, bytes in all, attributes of each.
const (
	maxEntries    = 10
	maxBytes      = 256 << 10
	maxAttributes = 10
)

// Topic is a topic; it is a result.SNS. Its exported fields are set before its
// first use. It is safe for concurrent use.
type Topic struct {
	ARN string
	// T fails with each breach of SNS's rules.
	T interface {
		Errorf(format string, args ...any)
	}
	// Latency is how long each call takes.
	Latency time.Duration
	// Most, if set, is how many bytes it takes in a call, which an owner may set
	// below SNS's own limit (SNS API reference, MaximumMessageSize). More is
	// refused, and no breach: no publisher can know.
	Most int
	// Fault, if set, is how the call with this number, from 0, fails as a
	// whole; nil lets it through.
	Fault func(call int) error
	// Refuse, if set, says why a message is refused by itself; nil takes it.
	Refuse func(Message) *types.BatchResultErrorEntry

	mu    sync.Mutex
	calls []Call
	taken []Message
}

// Call is one PublishBatch.
type Call struct {
	At       time.Time
	Messages []Message
}

// Message is a message of a call.
type Message struct {
	Event      result.Event
	Raw        string // the event as it was sent
	Attributes map[string]string
	Group      string // MessageGroupId
	Dedup      string // MessageDeduplicationId
}

// Calls returns all calls so far, failed ones too, in the order in which they
// began.
func (t *Topic) Calls() []Call {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Clone(t.calls)
}

// Messages returns what the topic took, in that order.
func (t *Topic) Messages() []Message {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Clone(t.taken)
}

// PublishBatch is SNS's operation of that name.
func (t *Topic) PublishBatch(ctx context.Context, in *sns.PublishBatchInput, _ ...func(*sns.Options)) (*sns.PublishBatchOutput, error) {
	if err := ctx.Err(); err != nil {
		t.T.Errorf("SNS: a call after its deadline: %v", err)
	}
	messages, size := t.check(in)
	t.mu.Lock()
	number := len(t.calls)
	t.calls = append(t.calls, Call{At: time.Now(), Messages: messages})
	t.mu.Unlock()

	if t.Latency > 0 {
		timer := time.NewTimer(t.Latency)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	if t.Fault != nil {
		if err := t.Fault(number); err != nil {
			return nil, err
		}
	}
	if t.Most > 0 && size > t.Most {
		return nil, &smithy.OperationError{ServiceID: "SNS", OperationName: "PublishBatch", Err: &types.BatchRequestTooLongException{
			Message: aws.String("The length of all the batch messages put together is more than the limit."),
		}}
	}
	out := &sns.PublishBatchOutput{}
	t.mu.Lock()
	defer t.mu.Unlock()
	for i, m := range messages {
		id := in.PublishBatchRequestEntries[i].Id
		if t.Refuse != nil {
			if refusal := t.Refuse(m); refusal != nil {
				failed := *refusal
				failed.Id = id
				out.Failed = append(out.Failed, failed)
				continue
			}
		}
		t.taken = append(t.taken, m)
		out.Successful = append(out.Successful, types.PublishBatchResultEntry{Id: id, MessageId: aws.String("message-" + strconv.Itoa(len(t.taken)))})
	}
	return out, nil
}

// check reads a call's messages, and their size together, and reports every
// breach of SNS's rules.
func (t *Topic) check(in *sns.PublishBatchInput) (messages []Message, size int) {
	if got := aws.ToString(in.TopicArn); got != t.ARN {
		t.T.Errorf("SNS: a call to the topic %q, this one is %q", got, t.ARN)
	}
	entries := in.PublishBatchRequestEntries
	if len(entries) < 1 || len(entries) > maxEntries {
		t.T.Errorf("SNS: %d entries in a call, allowed are 1 to %d", len(entries), maxEntries)
	}
	fifo := strings.HasSuffix(t.ARN, ".fifo")
	messages = make([]Message, len(entries))
	ids := map[string]bool{}
	for i, entry := range entries {
		m := Message{
			Raw:        aws.ToString(entry.Message),
			Attributes: map[string]string{},
			Group:      aws.ToString(entry.MessageGroupId),
			Dedup:      aws.ToString(entry.MessageDeduplicationId),
		}
		if id := aws.ToString(entry.Id); id == "" || ids[id] {
			t.T.Errorf("SNS: entry id %q is empty or not distinct", id)
		} else {
			ids[id] = true
		}
		if len(entry.MessageAttributes) > maxAttributes {
			t.T.Errorf("SNS: %d attributes, allowed are %d", len(entry.MessageAttributes), maxAttributes)
		}
		for name, a := range entry.MessageAttributes {
			value := aws.ToString(a.StringValue)
			if value == "" || !utf8.ValidString(value) || aws.ToString(a.DataType) != "String" {
				t.T.Errorf("SNS: attribute %s is a %s of value %q", name, aws.ToString(a.DataType), value)
			}
			m.Attributes[name] = value
			size += len(name) + len(aws.ToString(a.DataType)) + len(value)
		}
		if size += len(m.Raw); m.Raw == "" || !utf8.ValidString(m.Raw) {
			t.T.Errorf("SNS: message %q is empty or no UTF-8", m.Raw)
		}
		if fifo != (m.Group != "") || fifo != (m.Dedup != "") {
			t.T.Errorf("SNS: group %q and deduplication id %q to the topic %q", m.Group, m.Dedup, t.ARN)
		}
		if err := json.Unmarshal([]byte(m.Raw), &m.Event); err != nil {
			t.T.Errorf("SNS: message %.200q is no result event: %v", m.Raw, err)
		}
		messages[i] = m
	}
	if size > maxBytes {
		t.T.Errorf("SNS: %d bytes in a call, allowed are %d", size, maxBytes)
	}
	return messages, size
}
