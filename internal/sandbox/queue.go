package sandbox

import (
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// QueueConfig describes a queue. A name that ends in .fifo makes a FIFO queue.
type QueueConfig struct {
	Name string
	// VisibilityTimeout is how long a received message stays invisible unless it is deleted or said otherwise.
	VisibilityTimeout time.Duration
	// DeadLetters takes messages that were received MaxReceiveCount times; nil for none.
	DeadLetters     *Queue
	MaxReceiveCount int
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
	Receipt      string
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
	visible time.Time
}

// NewQueue returns an empty queue.
func NewQueue(config QueueConfig) *Queue { return &Queue{config: config} }

// ARN is the queue's ARN.
func (q *Queue) ARN() string { return arn("sqs", q.config.Name) }

func (q *Queue) fifo() bool { return strings.HasSuffix(q.config.Name, ".fifo") }

// Send puts a message into the queue and returns its id. The group counts in a FIFO queue alone.
func (q *Queue) Send(body string, attributes map[string]string, group string) string {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.sequence++
	now := q.config.Now()
	m := &stored{Message: Message{ID: newUUID(), Body: body, Attributes: attributes, Group: group, Sequence: q.sequence, Sent: now}, visible: now}
	q.messages = append(q.messages, m)
	return m.ID
}

// Receive takes up to limit visible messages. What was received MaxReceiveCount times before goes to the dead letters
// instead. Of a FIFO group nothing is received while a message of it is invisible.
func (q *Queue) Receive(limit int) []Message {
	q.mu.Lock()
	defer q.mu.Unlock()
	now := q.config.Now()
	var received []Message
	var dead []*stored
	busy := map[string]bool{} // groups of which a message is out
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
			dead = append(dead, m)
			continue
		case len(received) == limit:
			continue
		}
		if m.ReceiveCount++; m.ReceiveCount == 1 {
			m.FirstReceive = now
		}
		m.Receipt, m.visible = randomHex(16), now.Add(q.config.VisibilityTimeout)
		received = append(received, m.Message)
	}
	for _, m := range dead {
		q.remove(m.ID)
		q.config.DeadLetters.bury(m)
	}
	return received
}

// bury takes a message as a redrive does: with its id, and in a standard queue with the time it was first sent (SQS
// developer guide, "Setting-up dead-letter queue retention").
func (q *Queue) bury(m *stored) {
	q.mu.Lock()
	defer q.mu.Unlock()
	m.visible = q.config.Now()
	if q.fifo() {
		m.Sent = m.visible
	}
	q.messages = append(q.messages, m)
}

// Delete removes a message; one that is gone already is no error.
func (q *Queue) Delete(id string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.remove(id)
}

func (q *Queue) remove(id string) {
	q.messages = slices.DeleteFunc(q.messages, func(m *stored) bool { return m.ID == id })
}

// ChangeVisibility makes a message visible again after d.
func (q *Queue) ChangeVisibility(id string, d time.Duration) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, m := range q.messages {
		if m.ID == id {
			m.visible = q.config.Now().Add(d)
		}
	}
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
