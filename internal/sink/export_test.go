package sink

import (
	"context"

	"cbr-replicator/internal/result"
)

// Deliver publishes events in one call, if they fit one, whenever they are there.
func (p *Publisher) Deliver(ctx context.Context, route result.Route, events ...*result.Event) []error {
	letters := make([]*letter, len(events))
	for i, e := range events {
		var err error
		if letters[i], err = p.letter(ctx, e, route); err != nil {
			panic(err)
		}
	}
	p.publish(ctx, letters)
	errs := make([]error, len(letters))
	for i, l := range letters {
		<-l.done
		errs[i] = l.err
	}
	return errs
}

// Waiting is how many results wait for a call.
func (o *Outbox) Waiting() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.waiting)
}
