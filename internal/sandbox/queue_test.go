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
		t.Errorf("message, received again (-want +got):\n%s", diff)
	}
}

func TestReceiveLimit(t *testing.T) {
	t.Parallel()
	q := newClock().queue("requests")
	for _, body := range []string{"a", "b", "c"} {
		q.Send(body, nil, "")
	}
	if diff := cmp.Diff([]string{"a", "b"}, bodies(q.Receive(2))); diff != "" {
		t.Errorf("received (-want +got):\n%s", diff)
	}
	receive(t, q, "c")
}

func TestDelete(t *testing.T) {
	t.Parallel()
	c := newClock()
	q := c.queue("requests")
	q.Send("a", nil, "")
	q.Send("b", nil, "")
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
	q.Send("a", nil, "")
	q.Send("b", nil, "")
	messages := receive(t, q, "a", "b")
	change(t, q, messages[0], 0, "")
	change(t, q, messages[1], time.Hour, "")
	again := receive(t, q, "a")
	c.advance(visibility)
	receive(t, q, "a")
	c.advance(time.Hour - visibility)
	receive(t, q, "a", "b")
	change(t, q, messages[0], 0, "InvalidParameterValue")
	change(t, q, again[0], 0, "InvalidParameterValue")
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

// TestVisibilityRefused: what SQS does not do, and that the message then is as it was.
func TestVisibilityRefused(t *testing.T) {
	t.Parallel()
	c := newClock()
	q := c.queue("requests")
	other := c.queue("others")
	q.Send("a", nil, "")
	q.Send("gone", nil, "")
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

// TestLateSettle: who is late, so that a message was received again, has no say in it.
func TestLateSettle(t *testing.T) {
	t.Parallel()
	c := newClock()
	q := c.queue("requests")
	q.Send("a", nil, "")
	late := receive(t, q, "a")
	c.advance(visibility)
	receive(t, q, "a")
	q.Delete(late[0].Receipt)
	if got := len(q.Messages()); got != 1 {
		t.Errorf("%d messages are left", got)
	}
	q.Settle(nil, []string{late[0].Receipt}, 0)
	receive(t, q)

	// Late, but not received again: SQS still deletes it.
	c.advance(visibility)
	late = receive(t, q, "a")
	c.advance(visibility)
	q.Delete(late[0].Receipt)
	receive(t, q)
}

// TestSettleLeavesAlone: when a message that failed is visible again.
func TestSettleLeavesAlone(t *testing.T) {
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
			q.Send("a", nil, "")
			for range 2 { // a choice is for one receive
				messages := receive(t, q, "a")
				if tt.chosen >= 0 {
					change(t, q, messages[0], tt.chosen, "")
				}
				q.Settle(nil, []string{messages[0].Receipt}, tt.delay)
				if tt.want > 0 {
					c.advance(tt.want - 1)
					receive(t, q)
					c.advance(1)
				}
			}
			messages := receive(t, q, "a")
			q.Settle(nil, []string{messages[0].Receipt}, tt.delay)
			c.advance(min(visibility, tt.delay))
			receive(t, q, "a")
		})
	}
}

func TestPurge(t *testing.T) {
	t.Parallel()
	q := newClock().queue("requests")
	q.Send("a", nil, "")
	receive(t, q, "a")
	q.Send("b", nil, "")
	q.Purge()
	if left := q.Messages(); len(left) != 0 {
		t.Errorf("left %v", left)
	}
}

func TestRedrive(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, queue, deadLetters string
		sentAnew                 bool
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
			q.Send("next", nil, "g")
			var received []Message
			for range 2 {
				received = receive(t, q, "poison", "next")
				c.advance(visibility)
				if len(dead.Messages()) != 0 {
					t.Fatalf("dead before the third receive: %v", dead.Messages())
				}
			}
			q.Send("new", nil, "g")
			receive(t, q, "new")
			if len(q.Messages()) != 1 {
				t.Errorf("left: %v", bodies(q.Messages()))
			}
			dead.Delete(received[0].Receipt) // of the other queue
			messages := receive(t, dead, "poison", "next")
			if tt.sentAnew {
				sent = c.now
			}
			if m := messages[0]; m.ID != id || m.Attributes["a"] != "b" || m.Group != "g" || !m.Sent.Equal(sent) {
				t.Errorf("dead letter %+v, want id %s, sent %v", m, id, sent)
			}
		})
	}
}

func TestNoRedrive(t *testing.T) {
	t.Parallel()
	q := NewQueue(QueueConfig{Name: "requests", Now: newClock().Now}) // visible again at once
	q.Send("a", nil, "")
	for range 100 {
		receive(t, q, "a")
	}
}

func TestFIFO(t *testing.T) {
	t.Parallel()
	c := newClock()
	q := c.queue("requests.fifo")
	q.Send("a1", nil, "a")
	q.Send("b1", nil, "b")
	q.Send("a2", nil, "a")
	messages := receive(t, q, "a1", "b1", "a2") // one receive takes several of a group
	q.Send("a3", nil, "a")
	q.Send("b2", nil, "b")
	q.Send("c1", nil, "c")
	receive(t, q, "c1") // groups in flight wait

	q.Delete(messages[1].Receipt)
	receive(t, q, "b2")

	// What comes back is received before what came after it, and only once all before it are out of flight.
	change(t, q, messages[2], 0, "")
	receive(t, q)
	change(t, q, messages[0], 0, "")
	messages = receive(t, q, "a1", "a2", "a3")
	q.Delete(messages[0].Receipt)
	receive(t, q)
	c.advance(visibility)
	receive(t, q, "a2", "a3", "b2", "c1")
}

// TestFIFOLimit: a group whose messages do not all fit goes on in order.
func TestFIFOLimit(t *testing.T) {
	t.Parallel()
	q := newClock().queue("requests.fifo")
	for _, body := range []string{"a1", "a2", "a3"} {
		q.Send(body, nil, "a")
	}
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
	q.Send("a1", nil, "a")
	receive(t, q, "a1")
	q.Send("a2", nil, "a")
	receive(t, q, "a2")
}

// TestGroupWaitsForAllOfIts: a group is blocked while any of its messages is
// out, a later one too.
func TestGroupWaitsForAllOfIts(t *testing.T) {
	t.Parallel()
	now := time.Now()
	q := NewQueue(QueueConfig{Name: "q.fifo", VisibilityTimeout: time.Minute, Now: func() time.Time { return now }})
	q.Send("1", nil, "g")
	q.Send("2", nil, "g")
	messages := receive(t, q, "1", "2")
	change(t, q, messages[0], 0, "")
	if got := q.Receive(10); len(got) != 0 {
		t.Errorf("received %v while 2 is out", got)
	}
	q.Delete(messages[1].Receipt)
	if got := q.Receive(10); len(got) != 1 {
		t.Errorf("received %v, want the first", got)
	}
}
