package sink

import (
	"context"
	"slices"
	"sync"
	"time"

	"cbr-replicator/internal/result"
)

// Outbox gathers the results of one invocation into as few calls to the sink
// as cost no waiting. Results leave together when they are there together:
// while a call is on its way, or while a delivery that began alongside is about
// to end. It is safe for concurrent use.
type Outbox struct {
	publisher *Publisher
	ctx       context.Context

	mu      sync.Mutex
	working []*Slot // few: as many as run at once
	waiting []*letter
	sending int
	timer   *time.Timer // set while some wait for others on the point of ending
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

// Begin says that a delivery is being worked on. End or Publish must follow.
func (o *Outbox) Begin() *Slot {
	o.mu.Lock()
	defer o.mu.Unlock()
	s := &Slot{outbox: o, began: time.Now()}
	o.working = append(o.working, s)
	return s
}

// Publish hands in the delivery's result and returns when the sink has taken
// it or never will: a *kind.Error, PublishFailed. It ends the slot.
func (s *Slot) Publish(e *result.Event, route result.Route) error {
	o := s.outbox
	l, err := o.publisher.letter(o.ctx, e, route)
	if err != nil {
		s.End()
		return o.publisher.failed(err)
	}
	o.mu.Lock()
	o.leave(s)
	l.began, l.ended = s.began, time.Now()
	o.waiting = append(o.waiting, l)
	var mine []*letter
	if len(o.working) > 0 {
		o.depart()
	} else {
		// Nobody else is about to come: to wake a goroutine for the call would
		// only take time.
		mine = o.load()
	}
	o.mu.Unlock()
	if mine != nil {
		o.send(mine)
	}
	<-l.done
	return l.err
}

// End says that the delivery brings no result. After Publish it does nothing.
func (s *Slot) End() {
	o := s.outbox
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.leave(s) {
		o.depart()
	}
}

// leave takes a slot out of those working and reports whether it was one. The
// caller holds mu.
func (o *Outbox) leave(s *Slot) bool {
	i := slices.Index(o.working, s)
	if i < 0 {
		return false
	}
	o.working = slices.Delete(o.working, i, i+1)
	return true
}

// Close returns when no call to the sink is on its way.
// All slots must have ended.
func (o *Outbox) Close() {
	o.mu.Lock()
	if o.timer != nil {
		o.timer.Stop()
	}
	o.mu.Unlock()
	o.calls.Wait()
}

// depart sends what should leave now. The caller holds mu.
func (o *Outbox) depart() {
	for letters := o.load(); letters != nil; letters = o.load() {
		go o.send(letters)
	}
}

// load takes the letters of a call that should leave now, nil if none should.
// The caller holds mu, and sends them.
func (o *Outbox) load() []*letter {
	if len(o.waiting) == 0 {
		return nil
	}
	n, full := o.fit()
	if !full && (o.sending > 0 || o.moreAtOnce()) {
		return nil
	}
	letters := o.waiting[:n:n]
	o.waiting = slices.Clone(o.waiting[n:])
	o.sending++
	o.calls.Add(1)
	return letters
}

// send makes a call and lets go what has come in meanwhile.
func (o *Outbox) send(letters []*letter) {
	defer o.calls.Done()
	o.publisher.publish(o.ctx, letters)
	o.mu.Lock()
	defer o.mu.Unlock()
	o.sending--
	o.depart()
}

// fit returns how many of those waiting fit the next call, and whether no
// further one would. The caller holds mu.
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

// moreAtOnce reports whether a delivery is on the point of ending: one that
// began at the time of the first that waits, give or take a twentieth of what
// that one took. It is given as long; then what waits leaves without it.
// The caller holds mu.
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

// departIn sees to it that what waits is looked at again. The caller holds mu.
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
