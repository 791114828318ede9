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
	// timeout is the function's, far more than its faults take.
	timeout = 10 * time.Second
	// onTheWay is how long after the end of a delivery CBR may still read a request
	// of it.
	onTheWay = 50 * time.Millisecond

	killPermil, maxKillDelay = 250, 60 * time.Millisecond
	// unacknowledgedPermil is how many answers of a thousand do not reach the
	// queue: their messages are redelivered.
	unacknowledgedPermil = 30
)

// clock is the queues' clock. It is faster than real time, and skips time in which
// nothing happens. It counts the messages in flight, so that it does not skip to
// the end of their visibility timeout.
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
	// maxSkipped is less than what an invocation leaves of a visibility timeout.
	maxSkipped = visibility - 2*speed*timeout
)

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.began.Add(speed*time.Since(c.began) + c.ahead)
}

// fly counts messages that were received, or with a negative number those whose
// delivery has ended.
func (c *clock) fly(messages int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.inFlight == 0 {
		c.skipped = 0
	}
	c.inFlight += messages
	c.step = firstStep
}

// skip moves the clock ahead, in steps that grow by an eighth. It is called if no
// message is visible; left is how many are in the queues. It reports whether it
// moved the clock.
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

// process is a process of the function with its own event source mapping.
type process struct {
	*world
	function *sandbox.Function
	rng      *rand.Rand
}

func newProcess(w *world, binary string, rng *rand.Rand) *process {
	return &process{w, sandbox.NewFunction(sandbox.FunctionConfig{Path: binary, Env: w.env, Logs: &w.log}), rng}
}

// poll delivers batches until the queues are empty.
func (p *process) poll(ctx context.Context) error {
	for ctx.Err() == nil {
		queue, messages, left := p.receive()
		switch {
		case len(messages) > 0:
			if err := p.deliver(ctx, queue, messages); err != nil {
				return err
			}
		case left == 0:
			return nil
		case !p.clock.skip(left):
			time.Sleep(time.Millisecond) // until others are done
		}
	}
	return nil
}

// receive takes a batch from one of the queues; left is how many messages are in
// all of them.
func (p *process) receive() (queue *sandbox.Queue, messages []sandbox.Message, left int) {
	p.receiving.Lock()
	defer p.receiving.Unlock()
	queues := append(p.stack.Queues(), p.stack.Follow)
	first := p.rng.IntN(len(queues))
	for i := range queues {
		queue = queues[(first+i)%len(queues)]
		if messages = queue.Receive(sandbox.BatchSize); len(messages) > 0 {
			p.clock.fly(len(messages))
			return queue, messages, 0
		}
		left += len(queue.Messages())
	}
	return nil, nil, left
}

// deliver delivers messages to the function. Now and then the function is killed,
// or its answer is lost.
func (p *process) deliver(ctx context.Context, queue *sandbox.Queue, messages []sandbox.Message) error {
	defer p.clock.fly(-len(messages))
	follows := queue == p.stack.Follow
	if follows {
		for i := range messages {
			messages[i].FirstReceive = time.Now()
		}
	} else {
		time.Sleep(time.Until(p.begin(messages, p.clock.now(), p.late)))
	}
	mapping := sandbox.Mapping{Queue: queue, Delay: visibility, Invoke: func(ctx context.Context, payload []byte) (sandbox.Response, error) {
		response, wasKilled, err := p.invoke(ctx, payload)
		if err != nil {
			return response, err
		}
		if response.Error != nil && !wasKilled {
			return response, fmt.Errorf("the function failed: %w", response.Error)
		}
		unacknowledged := response.Error == nil && p.rng.IntN(1000) < unacknowledgedPermil
		p.count(len(messages), follows, response.Error != nil, unacknowledged)
		if unacknowledged {
			response.Error = &sandbox.FunctionError{Type: "Unacknowledged"}
		}
		if !follows {
			p.end(messages, response.Error != nil)
		}
		return response, nil
	}}
	_, err := mapping.Deliver(ctx, messages)
	return err
}

// invoke invokes the function, and kills it now and then, also when it has already
// answered.
func (p *process) invoke(ctx context.Context, payload []byte) (response sandbox.Response, killed bool, err error) {
	if p.rng.IntN(1000) >= killPermil {
		response, err = p.function.Invoke(ctx, payload, timeout)
		return response, false, err
	}
	done := make(chan struct{})
	kill := time.AfterFunc(time.Duration(p.rng.Int64N(int64(maxKillDelay))), func() {
		defer close(done)
		p.function.Kill()
	})
	response, err = p.function.Invoke(ctx, payload, timeout)
	if killed = !kill.Stop(); killed {
		<-done
	}
	return response, killed, err
}

func (p *process) count(deliveries int, follows, killed, unacknowledged bool) {
	p.counting.Lock()
	defer p.counting.Unlock()
	p.tally.invocations++
	p.tally.deliveries += deliveries
	if follows {
		p.tally.follows += deliveries
	}
	if killed {
		p.tally.kills++
	}
	if unacknowledged {
		p.tally.unacknowledged++
	}
}
