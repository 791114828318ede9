package replicator

import (
	"cmp"
	"context"
	"log/slog"
	"time"

	"cbr-replicator/internal/cbr"
	"cbr-replicator/internal/delivery"
	"cbr-replicator/internal/kind"
	"cbr-replicator/internal/metrics"
	"cbr-replicator/internal/result"
)

// telling makes what is reported of one delivery: an event, metrics and one log
// line.
type telling struct {
	*invocation
	d     *delivery.Delivery
	began time.Time
	// admitted: its request is valid and allowed.
	admitted bool
	// published is the status of the result that a sink took, if one did.
	published kind.Status
}

// event completes the data of an outcome and makes its result event.
func (t *telling) event(o *delivery.Outcome) (*result.Event, result.Route) {
	now := time.Now()
	o.Data.Status = o.Status()
	o.Data.Deliveries = t.d.Queue.Receives
	o.Data.DurationMS = now.Sub(t.began).Milliseconds()
	o.Data.Error = result.ErrorOf(o.Err)
	source, route := t.FunctionARN, result.Route{Replica: t.d.Request.OfReplicas()}
	if r := &t.d.Request; t.d.Err == nil {
		if o.Data.Request == nil {
			o.Data.Request = r.Shown(t.Redact).Form()
		}
		route = r.Route()
		if base, err := t.Endpoints.For(r.Region); err == nil {
			source = base + "/v3/" + r.ProjectID
		}
	}
	id := cmp.Or(o.ResultID, result.ID(t.d.Source, t.d.CausationID, o.Data.Status))
	return result.New(id, source, t.d.CorrelationID, t.d.CausationID, now, route, o.Data), route
}

// told reports the outcome: to the delivery's group, the metrics and the log.
func (t *telling) told(ctx context.Context, o *delivery.Outcome) {
	d := t.d
	if o.Data.Status == "" && d.Final { // a panic came before the event
		o.Data = result.Data{Status: o.Status(), Error: result.ErrorOf(o.Err)}
		if t.published == kind.Unpublished && o.PublishErr == nil {
			o.PublishErr = o.Err // tells the caller that it is not on the topic
		}
	}
	handedBack := o.HandedBack() && !d.Final
	if handedBack && d.Group != "" {
		t.handedBack.Store(d.Group, true)
	}
	if o.Hidden {
		t.hidden.Store(true)
	}
	t.count(o, handedBack)
	t.log(ctx, o, handedBack)
	if !d.Final && !d.Answered {
		// The reply needs nothing more, and a batch may be large.
		o.Answer, o.Data, o.Counts = cbr.Answer{}, result.Data{}, nil
	}
}

// count adds the delivery to the invocation's metrics.
func (t *telling) count(o *delivery.Outcome, handedBack bool) {
	c := metrics.Delivery{
		Kind:          o.Err.Of(),
		Published:     t.published,
		Redelivered:   handedBack,
		PublishFailed: o.PublishErr != nil,
		More:          o.Counts,
	}
	if t.admitted || o.Err.Of() == kind.Blocked {
		// A sender must not make metrics by inventing regions.
		c.DestinationRegion = t.d.Request.Replicate.DestinationRegion
	}
	if c.PublishFailed {
		c.Kind = kind.PublishFailed
	}
	t.metrics.Count(c)
}

// log writes the delivery's line.
func (t *telling) log(ctx context.Context, o *delivery.Outcome, handedBack bool) {
	d := t.d
	err, k := cmp.Or(o.PublishErr, o.Err, &kind.Error{}), o.Err.Of()
	if o.PublishErr != nil {
		k = kind.PublishFailed
	}
	status, level := string(o.Status()), slog.LevelError
	switch {
	case k.Policy().Expected, o.Silent && k.Policy().Answer:
		status, level = cmp.Or(status, "not mine"), slog.LevelInfo
	case handedBack:
		status, level = "redelivered", slog.LevelWarn
	case t.published != kind.Unpublished && (o.Err == nil || t.published == kind.Unchanged):
		level = slog.LevelInfo
	}
	if o.Err.Of() == kind.Internal && o.Err.Cause != nil {
		t.Log.ErrorContext(ctx, "unexpected", "error", t.Redact.Text(o.Err.Cause.Error()), "causation_id", d.CausationID)
	}
	r := &d.Request
	log := t.Log
	if id := r.Replicate.BackupID; id != "" {
		log = log.With("backup_id", id)
	}
	// Typed, unlike other lines, which are rare.
	log.LogAttrs(ctx, level, "delivery",
		slog.String("status", status), slog.String("kind", string(k)), slog.String("code", err.Code), slog.String("error", err.Message),
		slog.Int("attempts", o.Data.Attempts), slog.Int("deliveries", d.Queue.Receives), slog.Int64("duration_ms", time.Since(t.began).Milliseconds()),
		slog.String("vault_id", r.Replicate.VaultID), slog.String("source_region", r.Region), slog.String("destination_region", r.Replicate.DestinationRegion),
		slog.String("causation_id", d.CausationID), slog.String("correlation_id", d.CorrelationID), slog.String("cbr_request_id", o.Answer.RequestID))
}

// tellOwn reports that a result of our own has come in as a request.
func (inv *invocation) tellOwn(ctx context.Context, d *delivery.Delivery) {
	inv.Log.WarnContext(ctx, "own result received as a request", "causation_id", d.CausationID, "correlation_id", d.CorrelationID)
	inv.metrics.Count(metrics.Delivery{})
}

// emit writes the invocation's metrics.
func (inv *invocation) emit(ctx context.Context) {
	if err := inv.metrics.Emit(); err != nil {
		inv.Log.ErrorContext(ctx, "metrics lost", "error", inv.Redact.Text(err.Error()))
	}
}
