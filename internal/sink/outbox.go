package sink

import (
	"context"
	"slices"
	"sync"
	"time"

	"cbr-replicator/internal/result"
)

// Outbox gathers the results of one invocation into few calls to the sink, almost
// without waiting. A result waits only while a call is under way, or while a
// delivery that began at the same time is about to end. It is safe for concurrent
// use.
type Outbox struct {
	publisher *Publisher
	ctx       context.Context

	mu      sync.Mutex
	working []*Slot // few: as many as run at once
	waiting []*outgoing
	sending int
	timer   *time.Timer // set while results wait for deliveries that will end soon
	calls   sync.WaitGroup
}

// Slot is one delivery's place in the outbox, for one goroutine's use.
type Slot struct {
	outbox *Outbox
	began  time.Time
}

// Open returns an outbox whose calls end with ctx. It must be closed.
func (p *Publisher) Open(ctx context.Context) *Outbox {
	return &Outbox{publisher: p, ctx: ctx}
}

// Begin announces that work on a delivery begins. End or Publish must follow.
func (o *Outbox) Begin() *Slot {
	o.mu.Lock()
	defer o.mu.Unlock()
	s := &Slot{outbox: o, began: time.Now()}
	o.working = append(o.working, s)
	return s
}

// Publish publishes the delivery's result and ends the slot. It returns nil when the
// result is published, or a *kind.Error of PublishFailed when it never will be.
func (s *Slot) Publish(e *result.Event, route result.Route) error {
	o := s.outbox
	l, err := o.publisher.prepare(o.ctx, e, route)
	if err != nil {
		s.End()
		return o.publisher.failed(err)
	}
	o.mu.Lock()
	o.leave(s)
	l.began, l.ended = s.began, time.Now()
	o.waiting = append(o.waiting, l)
	var mine []*outgoing
	if len(o.working) > 0 {
		o.depart()
	} else {
		// No other result will come: to wake a goroutine for the call would only
		// take time.
		mine = o.load()
	}
	o.mu.Unlock()
	if mine != nil {
		o.send(mine)
	}
	<-l.done
	return l.err
}

// End ends the slot without a result. After Publish it does nothing.
func (s *Slot) End() {
	o := s.outbox
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.leave(s) {
		o.depart()
	}
}

// leave removes a slot from those working and reports whether it was one. The
// caller holds mu.
func (o *Outbox) leave(s *Slot) bool {
	i := slices.Index(o.working, s)
	if i < 0 {
		return false
	}
	o.working = slices.Delete(o.working, i, i+1)
	return true
}

// Close returns when all calls to the sink have ended. All slots must have ended before.
func (o *Outbox) Close() {
	o.mu.Lock()
	if o.timer != nil {
		o.timer.Stop()
	}
	o.mu.Unlock()
	o.calls.Wait()
}

// depart makes the calls that are due now. The caller holds mu.
func (o *Outbox) depart() {
	for results := o.load(); results != nil; results = o.load() {
		go o.send(results)
	}
}

// load returns the results of a call that is due now, nil if none is. The caller holds mu
// and makes the call.
func (o *Outbox) load() []*outgoing {
	if len(o.waiting) == 0 {
		return nil
	}
	n, full := o.fit()
	if !full && (o.sending > 0 || o.moreAtOnce()) {
		return nil
	}
	results := o.waiting[:n:n]
	o.waiting = slices.Clone(o.waiting[n:])
	o.sending++
	o.calls.Add(1)
	return results
}

// send makes a call, and then those that have become due meanwhile.
func (o *Outbox) send(results []*outgoing) {
	defer o.calls.Done()
	o.publisher.publish(o.ctx, results)
	o.mu.Lock()
	defer o.mu.Unlock()
	o.sending--
	o.depart()
}

// fit returns how many of the waiting results fit the next call, and whether the call is
// full. The caller holds mu.
func (o *Outbox) fit() (n int, full bool) {
	limits, size := o.publisher.limits, 0
	for _, l := range o.waiting {
		if n == limits.Entries || (n > 0 && size+l.size > limits.Bytes) {
			return n, true
		}
		size += l.size
		n++
	}
	return n, n == limits.Entries
}

// moreAtOnce reports whether another delivery will end soon: one that began when the
// first waiting one did, within a twentieth of the time that the first took. Results wait
// for it that long, and then are sent without it. The caller holds mu.
func (o *Outbox) moreAtOnce() bool {
	first := o.waiting[0]
	patience := max(first.ended.Sub(first.began)/20, 3*time.Millisecond)
	left := patience - time.Since(first.ended)
	if left <= 0 {
		return false
	}
	for _, s := range o.working {
		if s.began.Sub(first.began).Abs() <= patience {
			o.departIn(left)
			return true
		}
	}
	return false
}

// departIn calls depart after d. The caller holds mu.
func (o *Outbox) departIn(d time.Duration) {
	if o.timer != nil {
		o.timer.Reset(d)
		return
	}
	o.timer = time.AfterFunc(d, func() {
		o.mu.Lock()
		defer o.mu.Unlock()
		o.depart()
	})
}
