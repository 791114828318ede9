package soak

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"cbr-replicator/internal/sandbox"
)

const (
	// processes of the function run side by side, each with a mapping.
	processes = 3
	batchSize = 10
	// timeout is the function's, far more than its faults take.
	timeout = 10 * time.Second
	// showsWithin is the contract's: by then an effect is visible.
	showsWithin = time.Minute
	// onTheWay is how long after the end of a delivery CBR may still come to
	// read a request of it.
	onTheWay = 50 * time.Millisecond

	killPermil, maxKillDelay = 250, 60 * time.Millisecond
	// unacknowledgedPermil is how many answers of a thousand do not reach the
	// queue: what was done comes again.
	unacknowledgedPermil = 30
)

// clock is the queues': it runs ahead of real time, and skips what nobody has
// to wait for. It also knows how many messages are in flight, so that it does not
// skip to the end of their visibility.
type clock struct {
	began time.Time

	mu       sync.Mutex
	ahead    time.Duration
	step     time.Duration // of the next skip
	inFlight int
	skipped  time.Duration // since something was in flight
}

const (
	// speed is how fast the clock runs.
	speed     = 100
	firstStep = 5 * time.Second
	// maxSkipped is less than what an invocation leaves of a visibility.
	maxSkipped = visibility - 2*speed*timeout
)

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.began.Add(speed*time.Since(c.began) + c.ahead)
}

// fly counts messages in that were received, or out.
func (c *clock) fly(messages int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.inFlight == 0 {
		c.skipped = 0
	}
	c.inFlight += messages
	c.step = firstStep
}

// skip moves the clock ahead where no message is visible and left are in the
// queues, in steps that grow by an eighth. It reports whether it did.
func (c *clock) skip(left int) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	step := max(c.step, firstStep)
	if c.inFlight > 0 {
		if left == c.inFlight || c.skipped+step > maxSkipped {
			return false
		}
		c.skipped += step
	}
	c.ahead += step
	c.step = step + step/8
	return true
}

// mapping is an event source mapping with its process of the function.
type mapping struct {
	*world
	function *sandbox.Function
	rng      *rand.Rand
}

func newMapping(w *world, binary string, rng *rand.Rand) *mapping {
	return &mapping{w, sandbox.NewFunction(sandbox.FunctionConfig{Path: binary, Env: w.env, Logs: &w.log}), rng}
}

// poll delivers batches until the queues are empty.
func (m *mapping) poll(ctx context.Context) error {
	for ctx.Err() == nil {
		queue, messages, left := m.receive()
		switch {
		case len(messages) > 0:
			if err := m.deliver(ctx, queue, messages); err != nil {
				return err
			}
		case left == 0:
			return nil
		case !m.clock.skip(left):
			time.Sleep(time.Millisecond) // until others are done
		}
	}
	return nil
}

// receive takes a batch from one of the queues; left is how many messages are in
// both.
func (m *mapping) receive() (queue *sandbox.Queue, messages []sandbox.Message, left int) {
	m.receiving.Lock()
	defer m.receiving.Unlock()
	first := m.rng.IntN(len(m.queues))
	for i := range m.queues {
		queue = m.queues[(first+i)%len(m.queues)]
		if messages = queue.Receive(batchSize); len(messages) > 0 {
			m.clock.fly(len(messages))
			return queue, messages, 0
		}
		left += len(queue.Messages())
	}
	return nil, nil, left
}

// deliver invokes the function with messages, kills it now and then, and does
// with the messages what its answer says, unless the answer is lost.
func (m *mapping) deliver(ctx context.Context, queue *sandbox.Queue, messages []sandbox.Message) error {
	defer m.clock.fly(-len(messages))
	time.Sleep(time.Until(m.begin(messages, m.clock.now(), m.late)))
	payload, err := sandbox.SQSEvent(queue, messages)
	if err != nil {
		return err
	}
	killed := make(chan struct{})
	var kill *time.Timer
	if m.rng.IntN(1000) < killPermil {
		kill = time.AfterFunc(time.Duration(m.rng.Int64N(int64(maxKillDelay))), func() {
			defer close(killed)
			m.function.Kill()
		})
	}
	response, err := m.function.Invoke(ctx, payload, timeout)
	wasKilled := kill != nil && !kill.Stop()
	if wasKilled {
		<-killed
	}
	if err != nil {
		return err
	}
	if response.Error != nil && !wasKilled {
		return fmt.Errorf("the function failed: %w", response.Error)
	}
	unacknowledged := response.Error == nil && m.rng.IntN(1000) < unacknowledgedPermil
	m.count(len(messages), response.Error != nil, unacknowledged)
	if unacknowledged {
		response.Error = &sandbox.FunctionError{Type: "Unacknowledged"}
	}
	m.end(messages, response.Error != nil)
	sandbox.Settle(queue, messages, response, visibility)
	return nil
}

func (m *mapping) count(deliveries int, killed, unacknowledged bool) {
	m.counting.Lock()
	defer m.counting.Unlock()
	m.tally.invocations++
	m.tally.deliveries += deliveries
	if killed {
		m.tally.kills++
	}
	if unacknowledged {
		m.tally.unacknowledged++
	}
}
