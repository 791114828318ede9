package serve

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"cbr-replicator/internal/sandbox"
)

// maxMessages is how many messages the queues hold together, dead letters included.
const maxMessages = 500

var errFull = errors.New("the queues are full: redrive the dead letters or start over")

// queue is a queue with its dead letters.
type queue struct {
	*sandbox.Queue
	deadLetters *sandbox.Queue
	again       time.Duration

	mu        sync.Mutex
	delivered map[string]bool // messages that the function has at the moment
}

func newQueue(suffix string, again time.Duration) *queue {
	dead := sandbox.NewQueue(sandbox.QueueConfig{Name: "requests-dead-letters" + suffix, Now: time.Now})
	return &queue{
		deadLetters: dead,
		again:       again,
		Queue: sandbox.NewQueue(sandbox.QueueConfig{
			Name:              "requests" + suffix,
			VisibilityTimeout: 6 * timeout,
			DeadLetters:       dead,
			MaxReceiveCount:   maxReceives,
			Impatient:         true,
			Now:               time.Now,
		}),
	}
}

// queued is a message as the page shows it.
type queued struct {
	ID    string `json:"id"`
	Vault string `json:"vault"`
	Group string `json:"group,omitempty"`
	State string `json:"state"`
	Body  string `json:"body"`
}

func show(m sandbox.Message, state string) queued {
	return queued{ID: m.ID, Group: m.Group, State: state, Vault: vaultOf(m.Body), Body: cut(m.Body)}
}

// vaultOf returns the source vault that a body names, if it is a plain request.
func vaultOf(body string) string {
	var request struct {
		Replicate struct {
			VaultID string `json:"vault_id"`
		} `json:"replicate"`
	}
	_ = json.Unmarshal([]byte(body), &request) // a body may be anything
	return request.Replicate.VaultID
}

// received says how often a message was received, and what comes next.
func (q *queue) received(m sandbox.Message) string {
	next := "visible again after"
	if m.ReceiveCount >= maxReceives {
		next = "to the dead letters after"
	}
	return fmt.Sprintf("received %d of %d times, %s %.0f s", m.ReceiveCount, maxReceives, next, q.again.Seconds())
}

// waiting returns what is in the queue.
func (q *queue) waiting() []queued {
	q.mu.Lock()
	delivered := q.delivered
	q.mu.Unlock()
	all := []queued{}
	for _, m := range q.Messages() {
		state := "waiting"
		switch {
		case delivered[m.ID]:
			state = fmt.Sprintf("with the function, delivery %d of %d", m.ReceiveCount, maxReceives)
		case m.ReceiveCount > 0:
			state = q.received(m)
		}
		all = append(all, show(m, state))
	}
	return all
}

func (q *queue) dead() []queued {
	all := []queued{}
	for _, m := range q.deadLetters.Messages() {
		all = append(all, show(m, fmt.Sprintf("received %d times", m.ReceiveCount)))
	}
	return all
}

func (q *queue) clear() {
	q.Purge()
	q.deadLetters.Purge()
}

func (q *queue) setDelivered(messages []sandbox.Message) {
	delivered := map[string]bool{}
	for _, m := range messages {
		delivered[m.ID] = true
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	q.delivered = delivered // never changed once it is here
}

// enqueue sends the messages of an SQS event to a queue, or any other text as one message.
func (r *rig) enqueue(text string) (sent int, err error) {
	messages, err := sandbox.ReadSQSEvent([]byte(text))
	if err != nil {
		messages = []sandbox.Message{{Body: text}}
	}
	held := len(messages)
	for _, q := range r.queues {
		held += len(q.Messages()) + len(q.deadLetters.Messages())
	}
	if held > maxMessages {
		return 0, errFull
	}
	for _, m := range messages {
		q := r.queues[0]
		if m.Group != "" {
			q = r.queues[1]
		}
		id := q.Send(m.Body, m.Attributes, m.Group)
		r.journal.add(entry{Step: stepQueue, Vault: vaultOf(m.Body), Text: "Message " + short(id) + " sent to the queue", Detail: m.Body})
	}
	r.showState()
	return len(messages), nil
}

// poll delivers what is in the queues until the rig ends, as Lambda's event source mapping does.
func (r *rig) poll() {
	ticker := time.NewTicker(pollInterval)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
		case <-r.life.Done():
			return
		}
		for _, q := range r.queues {
			if r.alone(func() { r.deliver(q) }) != nil {
				return
			}
		}
	}
}

// deliver delivers one batch, if there is one, and settles it. The caller has the turn.
func (r *rig) deliver(q *queue) {
	buried := len(q.deadLetters.Messages())
	messages := q.Receive(batchSize)
	for _, m := range q.deadLetters.Messages()[buried:] {
		r.journal.add(entry{
			Step: stepDead, Vault: vaultOf(m.Body), Detail: m.Body,
			Text: fmt.Sprintf("Message %s dead-lettered: received %d times", short(m.ID), m.ReceiveCount),
		})
		defer r.showState()
	}
	if len(messages) == 0 {
		return
	}
	payload, err := sandbox.SQSEvent(q.Queue, messages)
	if err != nil {
		r.journal.add(entry{Step: stepLog, Status: "error", Text: err.Error()})
		return
	}
	q.setDelivered(messages)
	r.showState()
	response, err := r.invokeAlone(batchTitle(messages), payload)
	q.setDelivered(nil)
	if err != nil {
		// As with a function that cannot be invoked: the batch is visible again later.
		response.Error = &sandbox.FunctionError{Message: err.Error()}
	}
	for _, id := range sandbox.Settle(q.Queue, messages, response, q.again) {
		m := messages[slices.IndexFunc(messages, func(m sandbox.Message) bool { return m.ID == id })]
		r.journal.add(entry{Step: stepQueue, Status: "redelivered", Vault: vaultOf(m.Body), Text: "Message " + short(id) + " handed back: " + q.received(m)})
	}
	r.showState()
}

func batchTitle(messages []sandbox.Message) string {
	most := slices.MaxFunc(messages, func(a, b sandbox.Message) int { return cmp.Compare(a.ReceiveCount, b.ReceiveCount) })
	title := "Queue delivers 1 message"
	if len(messages) > 1 {
		title = fmt.Sprintf("Queue delivers %d messages", len(messages))
	}
	if most.Group != "" {
		title = "FIFO q" + title[1:]
	}
	if most.ReceiveCount > 1 {
		title += fmt.Sprintf(", delivery %d of %d", most.ReceiveCount, maxReceives)
	}
	return title
}

// redrive sends the dead letters to their queue again, as new messages (SQS API reference, StartMessageMoveTask).
func (r *rig) redrive() error {
	return r.alone(func() {
		for _, q := range r.queues {
			for _, m := range q.deadLetters.Receive(maxMessages) {
				id := q.Send(m.Body, m.Attributes, m.Group)
				q.deadLetters.Delete(m.Receipt)
				r.journal.add(entry{Step: stepQueue, Vault: vaultOf(m.Body), Text: "Message " + short(m.ID) + " redriven, now " + short(id)})
			}
		}
		r.showState()
	})
}

// short is enough of an id to tell it from the others on the page.
func short(id string) string { return id[:min(8, len(id))] }
