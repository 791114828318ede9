package serve

import (
	"cmp"
	"context"
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

// queue is a queue of requests, or the one that copies are followed from.
type queue struct {
	*sandbox.Queue
	delay   time.Duration // for which a message that was handed back stays invisible
	follows bool

	mu        sync.Mutex
	delivered map[string]bool // messages that the function has at the moment
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

// received tells how often a message was received, and what happens next.
func (q *queue) received(m sandbox.Message) string {
	next := "visible again after"
	if m.ReceiveCount >= maxReceives {
		next = "to the dead letters after"
	}
	return fmt.Sprintf("received %d of %d times, %s %.0f s", m.ReceiveCount, maxReceives, next, q.delay.Seconds())
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
	for _, m := range q.DeadLetters().Messages() {
		all = append(all, show(m, fmt.Sprintf("received %d times", m.ReceiveCount)))
	}
	return all
}

func (q *queue) clear() {
	q.Purge()
	q.DeadLetters().Purge()
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
		held += len(q.Messages()) + len(q.DeadLetters().Messages())
	}
	if held > maxMessages {
		return 0, errFull
	}
	for _, m := range messages {
		id := r.stack.QueueOf(m.Group).Send(m.Body, m.Attributes, m.Group)
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
		for _, q := range append(r.queues, r.follow) {
			if r.alone(func() { r.deliver(q) }) != nil {
				return
			}
		}
	}
}

// deliver delivers one batch, if there is one. The caller has the turn.
func (r *rig) deliver(q *queue) {
	buried := len(q.DeadLetters().Messages())
	messages := q.Receive(sandbox.BatchSize)
	for _, m := range q.DeadLetters().Messages()[buried:] {
		r.journal.add(entry{
			Step: stepDead, Vault: vaultOf(m.Body), Detail: m.Body,
			Text: fmt.Sprintf("Message %s dead-lettered: received %d times", short(m.ID), m.ReceiveCount),
		})
		defer r.showState()
	}
	if len(messages) == 0 {
		return
	}
	q.setDelivered(messages)
	r.showState()
	mapping := sandbox.Mapping{Queue: q.Queue, Delay: q.delay, Invoke: func(_ context.Context, payload []byte) (sandbox.Response, error) {
		defer q.setDelivered(nil)
		return r.invokeAlone(entry{Text: q.title(messages), Look: q.follows}, payload)
	}}
	failed, _ := mapping.Deliver(r.life, messages) // an error was shown, and the batch is visible again later
	if q.follows {
		return // how far copies are is shown elsewhere
	}
	for _, m := range failed {
		r.journal.add(entry{Step: stepQueue, Status: "redelivered", Vault: vaultOf(m.Body), Text: "Message " + short(m.ID) + " handed back: " + q.received(m)})
	}
	r.showState()
}

// title says what a batch is.
func (q *queue) title(messages []sandbox.Message) string {
	most := slices.MaxFunc(messages, func(a, b sandbox.Message) int { return cmp.Compare(a.ReceiveCount, b.ReceiveCount) })
	title := "Queue delivers 1 message"
	if len(messages) > 1 {
		title = fmt.Sprintf("Queue delivers %d messages", len(messages))
	}
	if q.follows {
		return fmt.Sprintf("Follow q%s, look %d", title[1:], most.ReceiveCount)
	}
	if most.Group != "" {
		title = "FIFO q" + title[1:]
	}
	if most.ReceiveCount > 1 {
		title += fmt.Sprintf(", delivery %d of %d", most.ReceiveCount, maxReceives)
	}
	return title
}

// redrive moves the dead letters back to their queue, as new messages (SQS API reference, StartMessageMoveTask).
func (r *rig) redrive() error {
	return r.alone(func() {
		none := true
		for _, q := range r.queues {
			for _, m := range q.DeadLetters().Receive(maxMessages) {
				none = false
				id := q.Send(m.Body, m.Attributes, m.Group)
				q.DeadLetters().Delete(m.Receipt)
				r.journal.add(entry{Step: stepQueue, Vault: vaultOf(m.Body), Text: "Message " + short(m.ID) + " redriven, now " + short(id)})
			}
		}
		if none {
			r.journal.add(entry{Step: stepSwitch, Text: "No dead letter to redrive"})
		}
		r.showState()
	})
}

// short is the part of an id that the page shows.
func short(id string) string { return id[:min(8, len(id))] }
