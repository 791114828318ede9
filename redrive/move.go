package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"time"

	"cbr-replicator/internal/awsjson"
)

const (
	// most is how many messages one call to SQS is for at most.
	most = 10
	// wait makes the receive a long poll, which asks all of SQS's servers, so
	// that none found is none there (SQS developer guide, "Amazon SQS short and
	// long polling").
	wait = 2 * time.Second
	// hold is how long a message is out of sight once it was received. What is
	// left comes back sooner, at the end of the run.
	hold = 15 * time.Minute
	// atLeast is how long a step may take although the run was interrupted.
	atLeast = 10 * time.Second
)

// message is a dead letter (SQS API reference, Message).
type message struct {
	ID         string `json:"MessageId"`
	Receipt    string `json:"ReceiptHandle"`
	Body       string `json:"Body"`
	Attributes struct {
		// SentTimestamp is in milliseconds since 1970. A move to the dead-letter
		// queue of a standard queue does not change it (SQS developer guide,
		// "Setting-up dead-letter queue retention").
		SentTimestamp string `json:"SentTimestamp"`
		GroupID       string `json:"MessageGroupId"`
	} `json:"Attributes"`
	MessageAttributes json.RawMessage `json:"MessageAttributes"`
}

// mover is one run.
type mover struct {
	sqs           *awsjson.Client
	from, to      queue
	dryRun, force bool
	out           io.Writer

	// seen are the messages of this run by their ids, those that it sent, too,
	// which may die again before it ends.
	seen map[string]bool
	// held are the receipts of what is out of sight, by the messages' ids.
	held        map[string]string
	moved, left int
}

// run goes through the dead-letter queue until it is empty but for what is held.
func (m *mover) run(ctx context.Context) error {
	if m.from.fifo() {
		fmt.Fprintln(m.out, "A FIFO dead-letter queue does not keep when a message was first sent. requested_at is when it came to that queue,")
		fmt.Fprintln(m.out, "so that a look-up may not see what the message did before.")
	}
	err := m.moveAll(ctx)
	m.release(ctx)
	moved := "moved"
	if m.dryRun {
		moved = "would be moved"
	}
	fmt.Fprintf(m.out, "%d %s, %d left in the dead-letter queue\n", m.moved, moved, m.left)
	if err == nil && m.left > 0 {
		err = errors.New("messages are left that cannot be read: -force (make: FORCE=1) moves them as they are, without a look-up of what they did before")
	}
	return err
}

func (m *mover) moveAll(ctx context.Context) error {
	for {
		messages, err := m.receive(ctx)
		if err != nil || len(messages) == 0 {
			return err
		}
		for _, msg := range messages {
			if m.seen[msg.ID] {
				continue
			}
			m.seen[msg.ID] = true
			if err := m.move(ctx, msg); err != nil {
				return fmt.Errorf("message %s: %w", msg.ID, err)
			}
		}
	}
}

// move moves one message, or leaves it held.
func (m *mover) move(ctx context.Context, msg message) error {
	body, r, unread := []byte(msg.Body), request{}, error(nil)
	if sent, err := strconv.ParseInt(msg.Attributes.SentTimestamp, 10, 64); err != nil {
		unread = errors.New("SQS does not say when it was sent")
	} else {
		body, r, unread = stamp(body, time.UnixMilli(sent))
	}
	if unread != nil && !m.force {
		m.left++
		fmt.Fprintf(m.out, "%s  left: %v\n", msg.ID, unread)
		return nil
	}
	did := "would move"
	if !m.dryRun {
		if err := m.send(ctx, msg, string(body)); err != nil {
			return err
		}
		did = "moved"
	}
	m.moved++
	if unread != nil {
		fmt.Fprintf(m.out, "%s  %s as it is: %v\n", msg.ID, did, unread)
	} else {
		fmt.Fprintf(m.out, "%s  %s: vault %s, requested_at %s\n", msg.ID, did, r.vault, r.requestedAt)
	}
	return nil
}

// send sends a message and deletes the dead letter. An interrupt comes before
// both or after.
func (m *mover) send(ctx context.Context, msg message, body string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), atLeast)
	defer cancel()
	in := map[string]any{"QueueUrl": m.to.url, "MessageBody": body}
	if len(msg.MessageAttributes) > 0 {
		in["MessageAttributes"] = msg.MessageAttributes
	}
	// A standard queue may have groups, too, for fairness.
	if msg.Attributes.GroupID != "" {
		in["MessageGroupId"] = msg.Attributes.GroupID
	}
	if m.to.fifo() {
		// With its own, SQS would drop what was first sent less than five minutes
		// ago. Another run makes the same of the same dead letter.
		in["MessageDeduplicationId"] = "redrive-" + msg.ID
	}
	var sent struct {
		ID string `json:"MessageId"`
	}
	if err := m.sqs.Call(ctx, "SendMessage", in, &sent); err != nil {
		return fmt.Errorf("it was not sent: %w", err)
	}
	m.seen[sent.ID] = true
	// SQS answers DeleteMessage with no body, which is not JSON.
	if err := m.batch(ctx, "DeleteMessageBatch", []entry{{ID: "0", Receipt: msg.Receipt}}); err != nil {
		return fmt.Errorf("it was sent, but is still in the dead-letter queue: %w", err)
	}
	delete(m.held, msg.ID)
	return nil
}

func (m *mover) receive(ctx context.Context) ([]message, error) {
	var out struct{ Messages []message }
	err := m.sqs.Call(ctx, "ReceiveMessage", map[string]any{
		"QueueUrl":                    m.from.url,
		"MaxNumberOfMessages":         most,
		"WaitTimeSeconds":             int(wait.Seconds()),
		"VisibilityTimeout":           int(hold.Seconds()),
		"MessageAttributeNames":       []string{"All"},
		"MessageSystemAttributeNames": []string{"SentTimestamp", "MessageGroupId"},
	}, &out)
	if err != nil {
		return nil, fmt.Errorf("the dead-letter queue: %w", err)
	}
	for _, msg := range out.Messages {
		m.held[msg.ID] = msg.Receipt
	}
	return out.Messages, nil
}

// release brings back into sight what is held. It is a courtesy: without it, that
// takes until hold has passed.
func (m *mover) release(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), atLeast)
	defer cancel()
	for receipts := range slices.Chunk(slices.Collect(maps.Values(m.held)), most) {
		entries := make([]entry, len(receipts))
		for i, receipt := range receipts {
			entries[i] = entry{strconv.Itoa(i), receipt, new(int)}
		}
		if err := m.batch(ctx, "ChangeMessageVisibilityBatch", entries); err != nil {
			fmt.Fprintf(m.out, "Some messages stay out of sight for up to %v: %v\n", hold, err)
			return
		}
	}
}

// entry is one message of a batch.
type entry struct {
	ID                string `json:"Id"`
	Receipt           string `json:"ReceiptHandle"`
	VisibilityTimeout *int   `json:"VisibilityTimeout,omitempty"` // seconds
}

// batch does the same to some dead letters. Its error is the first of an entry's
// where the call itself went well.
func (m *mover) batch(ctx context.Context, operation string, entries []entry) error {
	var out struct {
		Failed []struct{ Code, Message string }
	}
	if err := m.sqs.Call(ctx, operation, map[string]any{"QueueUrl": m.from.url, "Entries": entries}, &out); err != nil {
		return err
	}
	if len(out.Failed) > 0 {
		return fmt.Errorf("%s: %s: %s", operation, out.Failed[0].Code, out.Failed[0].Message)
	}
	return nil
}
