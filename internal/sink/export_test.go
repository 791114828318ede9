package sink

import (
	"context"
	"slices"

	"cbr-replicator/internal/result"
)

// Deliver publishes events in one call, or in as many as their number needs, one
// after the other.
func (p *Publisher) Deliver(ctx context.Context, route result.Route, events ...*result.Event) []error {
	results := make([]*outgoing, len(events))
	for i, e := range events {
		var err error
		if results[i], err = p.prepare(ctx, e, route); err != nil {
			panic(err)
		}
	}
	for some := range slices.Chunk(results, p.limits.Entries) {
		p.publish(ctx, some)
	}
	errs := make([]error, len(results))
	for i, l := range results {
		<-l.done
		errs[i] = l.err
	}
	return errs
}

// Waiting returns how many results wait for a call.
func (o *Outbox) Waiting() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.waiting)
}
