package sandbox

import (
	"encoding/base64"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// maxVisibility is how long a message is invisible at most, counted from its receive (SQS developer guide, "Amazon SQS
// visibility timeout").
const maxVisibility = 12 * time.Hour

// QueueConfig describes a queue. A name that ends in .fifo makes a FIFO queue.
type QueueConfig struct {
	Name string
	// Delay is how long a message that was sent stays invisible.
	Delay time.Duration
	// VisibilityTimeout is how long a received message stays invisible unless it is deleted or said otherwise.
	VisibilityTimeout time.Duration
	// DeadLetters takes messages that were received MaxReceiveCount times; nil for none.
	DeadLetters     *Queue
	MaxReceiveCount int
	// Impatient is for a queue that somebody watches: [Queue.Finish] also shortens the waits that the function has chosen.
	Impatient bool
	// Now is the clock.
	Now func() time.Time
}

// Queue is an SQS queue with visibility timeouts and a redrive policy (SQS developer guide). Safe for concurrent use.
type Queue struct {
	config QueueConfig

	mu       sync.Mutex
	messages []*stored
	sequence int
}

// Message is a message as it was received.
type Message struct {
	ID           string
	Receipt      string // the receipt handle; each receive gives another, and only the newest counts
	Body         string
	Attributes   map[string]string // message attributes of type String
	Group        string            // of a FIFO queue
	Sequence     int
	Sent         time.Time
	FirstReceive time.Time
	ReceiveCount int
}

type stored struct {
	Message
	visible  time.Time
	received time.Time // the last time
	changed  bool      // its visibility was changed since
}

// NewQueue returns an empty queue.
func NewQueue(config QueueConfig) *Queue { return &Queue{config: config} }

// ARN is the queue's ARN.
func (q *Queue) ARN() string { return arn("sqs", q.config.Name) }

// DeadLetters is the queue's dead-letter queue, nil without one.
func (q *Queue) DeadLetters() *Queue { return q.config.DeadLetters }

func (q *Queue) fifo() bool { return isFIFO(q.config.Name) }

// isFIFO reports whether a name or an ARN is that of a FIFO queue or topic.
func isFIFO(name string) bool { return strings.HasSuffix(name, ".fifo") }

// Send puts a message into the queue and returns its id. The group counts in a FIFO queue alone.
func (q *Queue) Send(body string, attributes map[string]string, group string) string {
	return q.send(body, attributes, group, q.config.Delay)
}

// send is Send of a message that stays invisible for delay.
func (q *Queue) send(body string, attributes map[string]string, group string, delay time.Duration) string {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.sequence++
	now := q.config.Now()
	m := &stored{Message: Message{ID: newUUID(), Body: body, Attributes: attributes, Group: group, Sequence: q.sequence, Sent: now}, visible: now.Add(delay)}
	q.messages = append(q.messages, m)
	return m.ID
}

// Receive takes up to limit visible messages. A message that was received MaxReceiveCount times already becomes a dead letter
// instead. While a message of a FIFO group is invisible, no other message of the group is received.
func (q *Queue) Receive(limit int) []Message {
	q.mu.Lock()
	defer q.mu.Unlock()
	now := q.config.Now()
	var received []Message
	dead := map[*stored]bool{}
	busy := map[string]bool{} // groups with an invisible message
	for _, m := range q.messages {
		if q.fifo() && m.visible.After(now) {
			busy[m.Group] = true
		}
	}
	for _, m := range q.messages {
		switch {
		case busy[m.Group] || m.visible.After(now):
			continue
		case q.config.DeadLetters != nil && m.ReceiveCount >= q.config.MaxReceiveCount:
			dead[m] = true
			q.config.DeadLetters.addDeadLetter(m)
			continue
		case len(received) == limit:
			continue
		}
		if m.ReceiveCount++; m.ReceiveCount == 1 {
			m.FirstReceive = now
		}
		m.Receipt, m.received, m.changed = q.receipt(m), now, false
		m.visible = now.Add(q.config.VisibilityTimeout)
		received = append(received, m.Message)
	}
	if len(dead) > 0 {
		q.messages = slices.DeleteFunc(q.messages, func(m *stored) bool { return dead[m] })
	}
	return received
}

// receiptOrigin begins each receipt of the queue; the message's id and its count of receives follow. So the queue knows its
// own receipts, also those that are out of date.
func (q *Queue) receiptOrigin() string { return q.config.Name + " " }

func (q *Queue) receipt(m *stored) string {
	return base64.StdEncoding.EncodeToString(fmt.Appendf(nil, "%s%s %d", q.receiptOrigin(), m.ID, m.ReceiveCount))
}

// addDeadLetter takes a message from another queue. The message keeps its id and, in a standard queue, the time it was first
// sent (SQS developer guide, "Setting-up dead-letter queue retention").
func (q *Queue) addDeadLetter(m *stored) {
	q.mu.Lock()
	defer q.mu.Unlock()
	m.Receipt, m.visible = "", q.config.Now()
	if q.fifo() {
		m.Sent = m.visible
	}
	q.messages = append(q.messages, m)
}

// Delete removes the message that was received with this receipt. A receipt that is not the newest, or whose message is
// gone, deletes nothing and is no error (SQS API reference, DeleteMessage).
func (q *Queue) Delete(receipt string) {
	q.Finish([]string{receipt}, nil, 0)
}

// Finish ends the delivery of messages. It deletes those with the receipts done. Those with the receipts handedBack are
// visible again after delay, or earlier if their visibility timeout ends earlier. If the function has changed the visibility
// of a message since the receive, that counts instead of delay, unless the queue is impatient. Receipts that are not the
// newest do nothing.
func (q *Queue) Finish(done, handedBack []string, delay time.Duration) {
	q.mu.Lock()
	defer q.mu.Unlock()
	visible := q.config.Now().Add(delay)
	q.messages = slices.DeleteFunc(q.messages, func(m *stored) bool {
		if slices.Contains(handedBack, m.Receipt) && (q.config.Impatient || !m.changed) && visible.Before(m.visible) {
			m.visible = visible
		}
		return m.Receipt != "" && slices.Contains(done, m.Receipt)
	})
}

// Purge removes every message, visible or not.
func (q *Queue) Purge() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.messages = nil
}

// VisibilityError says why SQS does not change a message's visibility.
type VisibilityError struct {
	// Code is ReceiptHandleIsInvalid for a receipt that the queue never gave, MessageNotInflight for a message that is
	// visible, InvalidParameterValue for a receipt that is not the newest or whose message is gone, and for a time that is
	// too long.
	Code string
	// Text is for people.
	Text string
}

// Error gives code and text.
func (e *VisibilityError) Error() string { return e.Code + ": " + e.Text }

// ChangeVisibility makes the message that was received with this receipt visible again after d, which is at most 12 hours
// and ends at most 12 hours after the receive (SQS API reference, ChangeMessageVisibility). Any error is a
// [*VisibilityError], and the message is then as it was.
func (q *Queue) ChangeVisibility(receipt string, d time.Duration) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	now := q.config.Now()
	origin, err := base64.StdEncoding.DecodeString(receipt)
	i := slices.IndexFunc(q.messages, func(m *stored) bool { return m.ReceiveCount > 0 && m.Receipt == receipt })
	switch {
	case err != nil || !strings.HasPrefix(string(origin), q.receiptOrigin()):
		return &VisibilityError{"ReceiptHandleIsInvalid", "The input receipt handle is invalid."}
	case d < 0 || d > maxVisibility:
		return &VisibilityError{"InvalidParameterValue", fmt.Sprintf(
			"Value %.0f for parameter VisibilityTimeout is invalid. Reason: Must be between 0 and 43200, if provided.", d.Seconds(),
		)}
	case i < 0:
		return &VisibilityError{"InvalidParameterValue", fmt.Sprintf(
			"Value %s for parameter ReceiptHandle is invalid. Reason: Message does not exist or is not available for visibility timeout change.", receipt,
		)}
	}
	m := q.messages[i]
	switch {
	case !m.visible.After(now):
		return &VisibilityError{"MessageNotInflight", "The specified message isn't in flight."}
	case now.Add(d).After(m.received.Add(maxVisibility)):
		return &VisibilityError{"InvalidParameterValue", fmt.Sprintf(
			"Value %.0f for parameter VisibilityTimeout is invalid. Reason: Total VisibilityTimeout for the message is beyond the limit [43200 seconds].", d.Seconds(),
		)}
	}
	m.visible, m.changed = now.Add(d), true
	return nil
}

// Messages returns what is in the queue, visible or not.
func (q *Queue) Messages() []Message {
	q.mu.Lock()
	defer q.mu.Unlock()
	all := make([]Message, len(q.messages))
	for i, m := range q.messages {
		all[i] = m.Message
	}
	return all
}

func millis(t time.Time) string { return strconv.FormatInt(t.UnixMilli(), 10) }
