package redrive

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"cbr-replicator/internal/awscall"
	"cbr-replicator/internal/queue"
)

const (
	// most is how many messages one call to SQS is for at most.
	most = 10
	// wait makes the receive a long poll. That asks all of SQS's servers, so it
	// finds a message if there is one (SQS developer guide, "Amazon SQS short and
	// long polling").
	wait = 2 * time.Second
	// hold is how long a received message is out of sight. A message that is left
	// is visible sooner, at the end of the run.
	hold = 15 * time.Minute
)

// How long a call may take. An interrupt does not end it. All messages of one
// receive are moved within hold, even if each step takes as long as it may.
const (
	brief      = 10 * time.Second
	forMessage = time.Minute     // a message of 1 MiB on a slow line
	forAnswer  = 5 * time.Minute // ten of them
)

// message is a dead letter or a rejected body (SQS API reference, Message).
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
	MessageAttributes map[string]json.RawMessage `json:"MessageAttributes"`
}

// parcel is what a message is moved as.
type parcel struct {
	body       string // empty if it cannot be moved at all
	attributes map[string]json.RawMessage
	about      string // for the screen
}

// mover is one run.
type mover struct {
	sqs           awscall.Client // without credentials, which may change in a run
	credentials   aws.CredentialsProvider
	from, to      queue.Name
	rejected      bool // from is the queue of rejected bodies
	followed      bool // to is the follow queue, so only accepted results are moved
	dryRun, force bool
	out           io.Writer

	// batch is how many messages are asked for at once.
	batch int
	// seen are the messages of this run by their ids, also those that it sent: they
	// may become dead letters before it ends.
	seen map[string]bool
	// held are the receipts of what is out of sight, by the messages' ids.
	held map[string]string
	// hidden is how many more may be out of sight, since an answer was lost.
	hidden      int
	moved, left int
}

// call makes one call to SQS. An interrupt does not end it: nobody would know
// whether SQS has done it.
func (m *mover) call(ctx context.Context, limit time.Duration, operation string, in, out any) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), limit)
	defer cancel()
	client := m.sqs
	var err error
	if client.Credentials, err = m.credentials.Retrieve(ctx); err != nil {
		return fmt.Errorf("%w: %w", errCredentials, err)
	}
	return client.Call(ctx, operation, in, out)
}

// errCredentials is the error of a call that was not made, since there are none.
var errCredentials = errors.New("AWS credentials")

// lost reports whether SQS may have done what a call asked for, although the call
// ended with an error.
func lost(err error) bool {
	if _, answered := errors.AsType[*awscall.Error](err); answered || errors.Is(err, errCredentials) {
		return false
	}
	connecting, ok := errors.AsType[*net.OpError](err)
	return !ok || connecting.Op != "dial"
}

// run moves messages until the queue has only those that are held.
func (m *mover) run(ctx context.Context) error {
	place := "the dead-letter queue"
	switch {
	case m.rejected:
		place = "the queue of rejected bodies"
	case m.followed: // one of two
		place = m.from.Queue
	}
	if m.from.FIFO() && !m.rejected && !m.followed {
		fmt.Fprintln(m.out, "A FIFO dead-letter queue does not keep when a message was first sent. requested_at is when it came to that queue,")
		fmt.Fprintln(m.out, "so that a lookup may not see what the message did before.")
	}
	err := m.moveAll(ctx)
	m.release(ctx)
	moved := "moved"
	if m.dryRun {
		moved = "would be moved"
	}
	fmt.Fprintf(m.out, "%d %s, %d left in %s\n", m.moved, moved, m.left, place)
	if m.hidden > 0 {
		err = errors.Join(err, fmt.Errorf("up to %d more messages may be out of sight for %v, since the answer that had them was lost: run the command once more after that", m.hidden, hold))
	}
	if m.left > 0 {
		err = errors.Join(err, errors.New("messages are left, and their lines say why: -force (make: FORCE=1) moves as it is what cannot be read, without a lookup of what it did before"))
	}
	return err
}

// moveAll stops if a failure may be the same for each message, or if it is not known
// what was done.
func (m *mover) moveAll(ctx context.Context) error {
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		messages, err := m.receive(ctx)
		if err != nil {
			return fmt.Errorf("%s: %w", m.from.Queue, err)
		}
		if len(messages) == 0 {
			return nil
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
	p, unread := m.prepare(msg)
	if p.body == "" || unread != nil && !m.force {
		m.leave(msg, unread)
		return nil
	}
	did := "would move"
	if !m.dryRun {
		err := m.send(ctx, msg, p)
		if reason := refusal(err, p); reason != nil && m.force && p.body != msg.Body && !m.rejected {
			// Without requested_at it is as short as it was in the queue before.
			unread, p.body = reason, msg.Body
			err = m.send(ctx, msg, p)
		}
		if reason := refusal(err, p); reason != nil {
			m.leave(msg, reason)
			return nil
		}
		if err != nil {
			return err
		}
		did = "moved"
	}
	m.moved++
	if unread != nil {
		fmt.Fprintf(m.out, "%s  %s as it is: %v\n", msg.ID, did, unread)
	} else {
		fmt.Fprintf(m.out, "%s  %s: %s\n", msg.ID, did, p.about)
	}
	return nil
}

func (m *mover) leave(msg message, why error) {
	m.left++
	fmt.Fprintf(m.out, "%s  left: %v\n", msg.ID, why)
}

// prepare returns what a message is moved as. If the message cannot be read, the
// error says why, and the parcel has the message as it is.
func (m *mover) prepare(msg message) (parcel, error) {
	if m.rejected {
		return restore(msg)
	}
	p := parcel{body: msg.Body, attributes: msg.MessageAttributes}
	sent, err := strconv.ParseInt(msg.Attributes.SentTimestamp, 10, 64)
	if err != nil {
		return p, errors.New("SQS does not say when it was sent")
	}
	body, r, err := stamp([]byte(msg.Body), time.UnixMilli(sent))
	if err != nil {
		return p, err
	}
	if m.followed && r.acceptedAt == "" {
		return p, errors.New("it is no accepted result")
	}
	p.body, p.about = string(body), r.about()
	return p, nil
}

// refusal returns why SQS refuses this one message; nil if err is another error. A
// message that is too long is an InvalidParameterValue. The codes are SQS's (SQS API
// reference, SendMessage and "Common error types").
func refusal(err error, p parcel) error {
	e, ok := errors.AsType[*awscall.Error](err)
	if !ok {
		return nil
	}
	switch strings.TrimSuffix(e.Code, "Exception") {
	case "InvalidParameterValue", "InvalidMessageContents", "InvalidAttributeValue", "MessageTooLong":
	default:
		if e.Status != http.StatusRequestEntityTooLarge {
			return nil
		}
	}
	return fmt.Errorf("the queue does not take its %d bytes: %w", len(p.body), e)
}

// send sends a message and deletes it from its queue. An interrupt comes before
// both or after both.
func (m *mover) send(ctx context.Context, msg message, p parcel) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	ctx = context.WithoutCancel(ctx)
	in := map[string]any{"QueueUrl": m.to.URL(), "MessageBody": p.body}
	if len(p.attributes) > 0 {
		in["MessageAttributes"] = p.attributes
	}
	// A standard queue may have groups, too, for fairness.
	if msg.Attributes.GroupID != "" {
		in["MessageGroupId"] = msg.Attributes.GroupID
	}
	if m.to.FIFO() {
		// With its own id, SQS would drop a message that was first sent less than
		// five minutes ago. Every run makes the same id of the same dead letter.
		in["MessageDeduplicationId"] = "redrive-" + msg.ID
		if msg.Attributes.GroupID == "" {
			in["MessageGroupId"] = "redrive-" + msg.ID
		}
	}
	var sent struct {
		ID string `json:"MessageId"`
	}
	if err := m.call(ctx, forMessage, "SendMessage", in, &sent); err != nil {
		if lost(err) {
			return fmt.Errorf("it may have been sent, and is still in %s: %w", m.from.Queue, err)
		}
		return fmt.Errorf("it was not sent: %w", err)
	}
	m.seen[sent.ID] = true
	// SQS answers DeleteMessage with no body, which is not JSON.
	if err := m.batchOf(ctx, "DeleteMessageBatch", []entry{{ID: "0", Receipt: msg.Receipt}}); err != nil {
		return fmt.Errorf("it was sent, but is still in %s: %w", m.from.Queue, err)
	}
	delete(m.held, msg.ID)
	return nil
}

// receive asks for fewer messages after a lost answer: its messages are out of
// sight for as long as they are held.
func (m *mover) receive(ctx context.Context) ([]message, error) {
	for {
		var out struct{ Messages []message }
		err := m.call(ctx, forAnswer, "ReceiveMessage", map[string]any{
			"QueueUrl":                    m.from.URL(),
			"MaxNumberOfMessages":         m.batch,
			"WaitTimeSeconds":             int(wait.Seconds()),
			"VisibilityTimeout":           int(hold.Seconds()),
			"MessageAttributeNames":       []string{"All"},
			"MessageSystemAttributeNames": []string{"SentTimestamp", "MessageGroupId"},
		}, &out)
		if err == nil {
			for _, msg := range out.Messages {
				m.held[msg.ID] = msg.Receipt
			}
			return out.Messages, nil
		}
		if lost(err) {
			m.hidden += m.batch
		}
		if !errors.Is(err, awscall.ErrUnread) || m.batch == 1 || ctx.Err() != nil {
			return nil, err
		}
		m.batch /= 2
		fmt.Fprintf(m.out, "Next are %d messages at once: %v\n", m.batch, err)
	}
}

// release makes the messages that are held visible. Without it they would be
// visible after hold.
func (m *mover) release(ctx context.Context) {
	var failed error
	for receipts := range slices.Chunk(slices.Collect(maps.Values(m.held)), most) {
		entries := make([]entry, len(receipts))
		for i, receipt := range receipts {
			entries[i] = entry{strconv.Itoa(i), receipt, new(int)}
		}
		err := m.batchOf(ctx, "ChangeMessageVisibilityBatch", entries)
		if err == nil {
			continue
		}
		failed = err
		if !errors.Is(err, errEntry) {
			break
		}
	}
	if failed != nil {
		fmt.Fprintf(m.out, "Some messages stay out of sight for up to %v: %v\n", hold, failed)
	}
}

// entry is one message of a batch.
type entry struct {
	ID                string `json:"Id"`
	Receipt           string `json:"ReceiptHandle"`
	VisibilityTimeout *int   `json:"VisibilityTimeout,omitempty"` // seconds
}

// errEntry is the error of an entry of a call that went well.
var errEntry = errors.New("not done for each message")

// batchOf does an operation to some messages. If the call itself goes well, its
// error is that of the first entry that failed.
func (m *mover) batchOf(ctx context.Context, operation string, entries []entry) error {
	var out struct {
		Failed []struct{ Code, Message string }
	}
	if err := m.call(ctx, brief, operation, map[string]any{"QueueUrl": m.from.URL(), "Entries": entries}, &out); err != nil {
		return err
	}
	if len(out.Failed) > 0 {
		return fmt.Errorf("%s: %w: %s: %s", operation, errEntry, out.Failed[0].Code, out.Failed[0].Message)
	}
	return nil
}
