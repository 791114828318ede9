package replicator

import (
	"context"
	"fmt"

	"cbr-replicator/events"
	"cbr-replicator/internal/kind"
	"cbr-replicator/internal/rejected"
	"cbr-replicator/internal/result"
)

// keep has the body of a delivery that is rejected kept, where that is all there
// is of the request. Until it is kept, or never can be, the delivery goes back.
func (inv *invocation) keep(ctx context.Context, d *events.Delivery, e *effect) {
	why := e.err
	e.notAllowed = why.Of() == kind.NotAllowed
	if !why.Of().Policy().KeepBody {
		return
	}
	body := rejected.Body{
		Content:     d.Body(),
		Kind:        why.Kind,
		Source:      d.Source,
		CausationID: d.CausationID,
		ID:          result.ID(d.Source, d.CausationID, why.Kind.Policy().Status),
	}
	if d.CorrelationID != d.CausationID {
		body.CorrelationID = d.CorrelationID
	}
	err := kind.As(inv.Rejected.Keep(ctx, body))
	switch {
	case err == nil:
	case err.Kind.Policy().Redeliver:
		err.Message = inv.Redact.Text(fmt.Sprintf("%s; what it is for: %v", err.Message, why))
		e.err = err
	default:
		e.notKept = true
		inv.Log.ErrorContext(ctx, "rejected body not kept", "error", err.Message, "kind", why.Kind, "causation_id", d.CausationID)
	}
}
