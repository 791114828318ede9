package sandbox

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// clock is a clock that the test moves.
type clock struct{ now time.Time }

func newClock() *clock { return &clock{time.Date(2026, 11, 23, 2, 0, 0, 0, time.UTC)} }

func (c *clock) Now() time.Time { return c.now }

// queue returns an empty queue on that clock.
func (c *clock) queue(name string) *Queue {
	return NewQueue(QueueConfig{Name: name, VisibilityTimeout: visibility, Now: c.Now})
}

func (c *clock) advance(d time.Duration) { c.now = c.now.Add(d) }

const visibility = 30 * time.Second

// send sends messages of a group.
func send(q *Queue, group string, bodies ...string) {
	for _, body := range bodies {
		q.Send(body, nil, group)
	}
}

// receive receives all it can and compares the bodies.
func receive(t *testing.T, q *Queue, want ...string) []Message {
	t.Helper()
	messages := q.Receive(10)
	if diff := cmp.Diff(want, bodies(messages)); diff != "" {
		t.Fatalf("received (-want +got):\n%s", diff)
	}
	return messages
}

func bodies(messages []Message) (all []string) {
	for _, m := range messages {
		all = append(all, m.Body)
	}
	return all
}

func TestVisibility(t *testing.T) {
	t.Parallel()
	c := newClock()
	q := c.queue("requests")
	sent := c.now
	id := q.Send("a", map[string]string{"correlation_id": "nightly"}, "")
	c.advance(time.Second)
	firstReceived := c.now

	first := receive(t, q, "a")[0]
	want := Message{
		ID: id, Receipt: first.Receipt, Body: "a", Attributes: map[string]string{"correlation_id": "nightly"},
		Sequence: 1, Sent: sent, FirstReceive: firstReceived, ReceiveCount: 1,
	}
	if diff := cmp.Diff(want, first); diff != "" {
		t.Errorf("message (-want +got):\n%s", diff)
	}
	if first.ID == "" || first.Receipt == "" {
		t.Errorf("id %q, receipt %q", first.ID, first.Receipt)
	}

	c.advance(visibility - 1)
	receive(t, q)
	c.advance(1)
	second := receive(t, q, "a")[0]
	if second.Receipt == first.Receipt {
		t.Error("the receipt is the first receive's")
	}
	want.Receipt, want.ReceiveCount = second.Receipt, 2
	if diff := cmp.Diff(want, second); diff != "" {
		t.Errorf("message of the second receive (-want +got):\n%s", diff)
	}
}

func TestReceiveLimit(t *testing.T) {
	t.Parallel()
	q := newClock().queue("requests")
	send(q, "", "a", "b", "c")
	if diff := cmp.Diff([]string{"a", "b"}, bodies(q.Receive(2))); diff != "" {
		t.Errorf("received (-want +got):\n%s", diff)
	}
	receive(t, q, "c")
}

func TestDelete(t *testing.T) {
	t.Parallel()
	c := newClock()
	q := c.queue("requests")
	send(q, "", "a", "b")
	messages := receive(t, q, "a", "b")
	q.Delete(messages[0].Receipt)
	q.Delete(messages[0].Receipt) // gone already
	q.Delete(messages[1].ID)      // no receipt
	if diff := cmp.Diff([]string{"b"}, bodies(q.Messages())); diff != "" {
		t.Errorf("left (-want +got):\n%s", diff)
	}
	c.advance(visibility)
	receive(t, q, "b")
}

func TestChangeVisibility(t *testing.T) {
	t.Parallel()
	c := newClock()
	q := c.queue("requests")
	send(q, "", "a", "b")
	messages := receive(t, q, "a", "b")
	change(t, q, messages[0], 0, "")
	change(t, q, messages[1], time.Hour, "")
	second := receive(t, q, "a")
	c.advance(visibility)
	receive(t, q, "a")
	c.advance(time.Hour - visibility)
	receive(t, q, "a", "b")
	change(t, q, messages[0], 0, "InvalidParameterValue")
	change(t, q, second[0], 0, "InvalidParameterValue")
}

// change changes a visibility and compares the error's code.
func change(t *testing.T, q *Queue, m Message, d time.Duration, want string) {
	t.Helper()
	var refused *VisibilityError
	code := ""
	if err := q.ChangeVisibility(m.Receipt, d); errors.As(err, &refused) {
		code = refused.Code
	}
	if code != want {
		t.Errorf("the visibility of %s to %v: code %q, want %q", m.Body, d, code, want)
	}
}

// TestVisibilityRefused: what SQS refuses does not change the message.
func TestVisibilityRefused(t *testing.T) {
	t.Parallel()
	c := newClock()
	q := c.queue("requests")
	other := c.queue("others")
	send(q, "", "a", "gone")
	other.Send("of another queue", nil, "")
	messages := receive(t, q, "a", "gone")
	a := messages[0]
	q.Delete(messages[1].Receipt)

	change(t, q, Message{}, 0, "ReceiptHandleIsInvalid")
	change(t, q, Message{Receipt: a.ID}, 0, "ReceiptHandleIsInvalid")
	change(t, q, receive(t, other, "of another queue")[0], 0, "ReceiptHandleIsInvalid")
	change(t, q, messages[1], 0, "InvalidParameterValue")
	change(t, q, a, -time.Second, "InvalidParameterValue")
	change(t, q, a, maxVisibility+time.Second, "InvalidParameterValue")
	c.advance(time.Second)
	change(t, q, a, maxVisibility, "InvalidParameterValue") // it was received a second ago
	c.advance(visibility - time.Second)
	change(t, q, a, time.Minute, "MessageNotInflight")
	a = receive(t, q, "a")[0]
	change(t, q, a, maxVisibility, "") // counted from the newest receive
	c.advance(maxVisibility)
	receive(t, q, "a")
}

// TestLateFinish: an old receipt does nothing to a message that was redelivered.
func TestLateFinish(t *testing.T) {
	t.Parallel()
	c := newClock()
	q := c.queue("requests")
	send(q, "", "a")
	late := receive(t, q, "a")
	c.advance(visibility)
	receive(t, q, "a")
	q.Delete(late[0].Receipt)
	if got := len(q.Messages()); got != 1 {
		t.Errorf("%d messages are left", got)
	}
	q.Finish(nil, []string{late[0].Receipt}, 0)
	receive(t, q)

	// Late, but not redelivered: SQS still deletes it.
	c.advance(visibility)
	late = receive(t, q, "a")
	c.advance(visibility)
	q.Delete(late[0].Receipt)
	receive(t, q)
}

// TestFinishHandedBack: when a message that was handed back is visible again.
func TestFinishHandedBack(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name      string
		impatient bool
		chosen    time.Duration // by the function; negative: not at all
		delay     time.Duration
		want      time.Duration
	}{
		{"the visibility timeout", false, -1, time.Hour, visibility},
		{"the delay", false, -1, time.Second, time.Second},
		{"the function's choice", false, time.Hour, time.Second, time.Hour},
		{"the function's choice of nothing", false, 0, time.Second, 0},
		{"the delay of an impatient queue", true, time.Hour, time.Second, time.Second},
		{"the function's choice where it is sooner", true, time.Second, time.Minute, time.Second},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			c := newClock()
			q := NewQueue(QueueConfig{Name: "requests", VisibilityTimeout: visibility, Impatient: tt.impatient, Now: c.Now})
			send(q, "", "a")
			for range 2 { // a choice counts for one receive
				messages := receive(t, q, "a")
				if tt.chosen >= 0 {
					change(t, q, messages[0], tt.chosen, "")
				}
				q.Finish(nil, []string{messages[0].Receipt}, tt.delay)
				if tt.want > 0 {
					c.advance(tt.want - 1)
					receive(t, q)
					c.advance(1)
				}
			}
			messages := receive(t, q, "a")
			q.Finish(nil, []string{messages[0].Receipt}, tt.delay)
			c.advance(min(visibility, tt.delay))
			receive(t, q, "a")
		})
	}
}

func TestPurge(t *testing.T) {
	t.Parallel()
	q := newClock().queue("requests")
	send(q, "", "a")
	receive(t, q, "a")
	send(q, "", "b")
	q.Purge()
	if left := q.Messages(); len(left) != 0 {
		t.Errorf("left %v", left)
	}
}

func TestDeadLetters(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, queue, deadLetters string
		newSentTime              bool
	}{
		{"standard", "requests", "dead-letters", false},
		{"FIFO", "requests.fifo", "dead-letters.fifo", true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			c := newClock()
			dead := NewQueue(QueueConfig{Name: tt.deadLetters, Now: c.Now})
			q := NewQueue(QueueConfig{Name: tt.queue, VisibilityTimeout: visibility, DeadLetters: dead, MaxReceiveCount: 2, Now: c.Now})
			sent := c.now
			id := q.Send("poison", map[string]string{"a": "b"}, "g")
			send(q, "g", "next")
			var received []Message
			for range 2 {
				received = receive(t, q, "poison", "next")
				c.advance(visibility)
				if len(dead.Messages()) != 0 {
					t.Fatalf("dead before the third receive: %v", dead.Messages())
				}
			}
			send(q, "g", "new")
			receive(t, q, "new")
			if len(q.Messages()) != 1 {
				t.Errorf("left: %v", bodies(q.Messages()))
			}
			dead.Delete(received[0].Receipt) // a receipt of the other queue
			messages := receive(t, dead, "poison", "next")
			if tt.newSentTime {
				sent = c.now
			}
			if m := messages[0]; m.ID != id || m.Attributes["a"] != "b" || m.Group != "g" || !m.Sent.Equal(sent) {
				t.Errorf("dead letter %+v, want id %s, sent %v", m, id, sent)
			}
		})
	}
}

func TestNoDeadLetterQueue(t *testing.T) {
	t.Parallel()
	q := NewQueue(QueueConfig{Name: "requests", Now: newClock().Now}) // visible again at once
	send(q, "", "a")
	for range 100 {
		receive(t, q, "a")
	}
}

func TestFIFO(t *testing.T) {
	t.Parallel()
	c := newClock()
	q := c.queue("requests.fifo")
	send(q, "a", "a1")
	send(q, "b", "b1")
	send(q, "a", "a2")
	messages := receive(t, q, "a1", "b1", "a2") // one receive takes several of a group
	send(q, "a", "a3")
	send(q, "b", "b2")
	send(q, "c", "c1")
	receive(t, q, "c1") // the other groups are in flight

	q.Delete(messages[1].Receipt)
	receive(t, q, "b2")

	// A message that is visible again is received before the later ones of its group, and not before the earlier ones.
	change(t, q, messages[2], 0, "")
	receive(t, q)
	change(t, q, messages[0], 0, "")
	messages = receive(t, q, "a1", "a2", "a3")
	q.Delete(messages[0].Receipt)
	receive(t, q)
	c.advance(visibility)
	receive(t, q, "a2", "a3", "b2", "c1")
}

// TestFIFOLimit: a group that does not fit into one receive keeps its order.
func TestFIFOLimit(t *testing.T) {
	t.Parallel()
	q := newClock().queue("requests.fifo")
	send(q, "a", "a1", "a2", "a3")
	messages := q.Receive(2)
	receive(t, q)
	for _, m := range messages {
		q.Delete(m.Receipt)
	}
	receive(t, q, "a3")
}

// TestStandardGroups: in a standard queue a group blocks nothing.
func TestStandardGroups(t *testing.T) {
	t.Parallel()
	q := newClock().queue("requests")
	send(q, "a", "a1")
	receive(t, q, "a1")
	send(q, "a", "a2")
	receive(t, q, "a2")
}

// TestGroupWaits: a group is blocked while any of its messages is invisible, also
// a later one.
func TestGroupWaits(t *testing.T) {
	t.Parallel()
	q := newClock().queue("requests.fifo")
	send(q, "g", "1", "2")
	messages := receive(t, q, "1", "2")
	change(t, q, messages[0], 0, "")
	receive(t, q)
	q.Delete(messages[1].Receipt)
	receive(t, q, "1")
}
