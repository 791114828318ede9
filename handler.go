// Package replicator handles an event, whatever its action. It decodes the event
// into deliveries. It checks each delivery against the operator's allow-lists,
// does its work and publishes its result. Then it replies in the trigger's form.
//
// Nothing is lost: the final result of a delivery is published and the delivery
// acknowledged, or the delivery is handed back to its source. One table in
// internal/kind says what follows from each outcome.
package replicator

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"cbr-replicator/events"
	"cbr-replicator/internal/allow"
	"cbr-replicator/internal/delivery"
	"cbr-replicator/internal/huawei"
	"cbr-replicator/internal/keyed"
	"cbr-replicator/internal/kind"
	"cbr-replicator/internal/metrics"
	"cbr-replicator/internal/reconcile"
	"cbr-replicator/internal/redact"
	"cbr-replicator/internal/rejected"
	"cbr-replicator/internal/sink"
	"cbr-replicator/internal/visibility"
)

// Handler handles invocations. All fields but Rejected are required. It holds no
// state of its own and is safe for concurrent use.
type Handler struct {
	Decoder   *events.Decoder
	Allow     *allow.List
	Actions   []delivery.Action
	Endpoints huawei.Endpoints
	Queues    *visibility.Changer
	Rejected  *rejected.Queue // nil: no body is kept
	Results   *sink.Publisher
	Metrics   *metrics.Emitter
	Log       *slog.Logger
	Redact    *redact.Redactor

	// BatchConcurrency is how many deliveries of a batch run at once.
	BatchConcurrency int
	// Reserve is the time at the end of an invocation for publishing and replying,
	// at most a quarter of it.
	Reserve time.Duration
}

// Handle handles one payload. Its error is a [delivery.Failure], which the
// trigger gets as its answer.
func (h *Handler) Handle(ctx context.Context, in delivery.Invocation, payload []byte) ([]byte, error) {
	inv := &invocation{Handler: h, Invocation: in, metrics: h.Metrics.Begin()}
	defer inv.emit(ctx)
	batch, err := h.Decoder.Decode(payload, in)
	if err != nil {
		return nil, inv.failure(ctx, err)
	}
	if batch.WarmUp {
		h.Log.DebugContext(ctx, "warm-up")
	}
	work, publish, cancel := h.deadlines(ctx, in.Began, batch.Deadline)
	defer cancel()
	inv.open(publish)
	outcomes := make([]delivery.Outcome, len(batch.Deliveries))
	keyed.Run(len(outcomes), h.BatchConcurrency,
		func(i int) []keyed.Key { return inv.keys(&batch.Deliveries[i]) },
		func(i int) { outcomes[i] = inv.handle(work, &batch.Deliveries[i]) })
	inv.outbox.Close()
	h.Queues.Change(publish, in.FunctionARN, visibility.Messages(batch.Deliveries, outcomes))
	inv.awaitVisibility(publish, batch, outcomes)
	reply, err := batch.Reply(outcomes)
	if err != nil {
		return nil, inv.failure(ctx, err)
	}
	return reply, nil
}

// handle handles one delivery. A fault of it, even a panic, affects no other.
func (inv *invocation) handle(ctx context.Context, d *delivery.Delivery) (o delivery.Outcome) {
	if d.Own {
		inv.tellOwn(ctx, d)
		return o
	}
	t := &telling{invocation: inv, d: d, began: time.Now()}
	slot := inv.outbox.Begin()
	defer slot.End()
	defer func() { t.told(ctx, &o) }()
	defer inv.guard(ctx, &o)

	if _, blocked := inv.handedBack.Load(d.Group); blocked {
		o.Err = &kind.Error{Kind: kind.Blocked, Message: "behind a delivery of its group that was handed back"}
		return o
	}
	if o = inv.admit(d); o.Err == nil && !o.Silent {
		t.admitted = true
		o = inv.act(ctx, d)
		o.Worthless = o.Worthless && d.Last
	}
	inv.keep(ctx, d, &o)
	event, route := t.event(&o)
	if o.Silent || o.HandedBack() && !d.Last {
		return o
	}
	if err := slot.Publish(event, route); err != nil {
		o.PublishErr = kind.As(err)
		inv.Log.ErrorContext(ctx, "result not published", "error", o.PublishErr.Message, "event", event)
		return o
	}
	t.published = event.Data.Status
	return o
}

// admit returns why a delivery's request is refused: it is not valid, or the
// operator does not allow what it asks for. An accepted event that is not on the
// lists is another deployment's, which follows it.
func (inv *invocation) admit(d *delivery.Delivery) (o delivery.Outcome) {
	if o.Err = d.Err; o.Err != nil {
		return o
	}
	o.Err = kind.As(inv.Allow.Check(d.Request.Scope(), d.Request.Asked()))
	if o.Err != nil && d.Tracked {
		return delivery.Outcome{Silent: true, Counts: []metrics.Value{{Name: "NotMine", Count: 1}}}
	}
	return o
}

// act runs the action that the request asks for.
func (inv *invocation) act(ctx context.Context, d *delivery.Delivery) (o delivery.Outcome) {
	defer inv.guard(ctx, &o)
	return inv.work[d.Request.Action].Do(ctx, d)
}

// guard turns a panic into the outcome of its delivery. The action may have had
// an effect before it.
func (inv *invocation) guard(ctx context.Context, o *delivery.Outcome) {
	if p := recover(); p != nil {
		inv.Log.ErrorContext(ctx, "panic", "error", inv.Redact.Text(fmt.Sprint(p)), "stack", string(debug.Stack()))
		err := &kind.Error{Kind: kind.Internal, Message: "an unexpected error; see the function's log"}
		*o = delivery.Outcome{Err: err, Hidden: true}
	}
}

// keep stores the body of a rejected delivery if the request is nowhere else. If
// it cannot be stored yet, the delivery is handed back.
func (inv *invocation) keep(ctx context.Context, d *delivery.Delivery, o *delivery.Outcome) {
	if !o.Err.Of().Policy().KeepBody {
		return
	}
	err := kind.As(inv.Rejected.Keep(ctx, d, o.Err))
	switch {
	case err == nil:
	case err.Kind.Policy().Redeliver:
		err.Message = inv.Redact.Message(fmt.Sprintf("%s; what it is for: %v", err.Message, o.Err))
		o.Err = err
	default:
		o.Counts = append(o.Counts, metrics.Value{Name: "RejectedNotKept", Count: 1})
		inv.Log.ErrorContext(ctx, "rejected body not kept", "error", err.Message, "kind", o.Err.Kind, "causation_id", d.CausationID)
	}
}

// invocation is one call of the function.
type invocation struct {
	*Handler
	delivery.Invocation
	outbox  *sink.Outbox
	work    map[string]delivery.Work // by the action's key
	metrics *metrics.Invocation
	// handedBack are the FIFO groups of which a delivery is handed back.
	handedBack sync.Map
	// hidden: there may be effects that cannot be seen yet.
	hidden atomic.Bool
}

// open opens what the deliveries share.
func (inv *invocation) open(publish context.Context) {
	inv.outbox = inv.Results.Open(publish)
	inv.work = make(map[string]delivery.Work, len(inv.Actions))
	for _, a := range inv.Actions {
		inv.work[a.Key()] = a.Open(inv.Invocation)
	}
}

// keys returns the delivery's keys. Deliveries that share a key run one after
// another: those of a FIFO group, and those that the action names.
func (inv *invocation) keys(d *delivery.Delivery) (keys []keyed.Key) {
	if d.Err == nil {
		keys = inv.work[d.Request.Action].Keys(d)
	}
	if d.Group != "" {
		keys = append(keys, keyed.Key{Of: "group", ID: d.Group})
	}
	return keys
}

// deadlines returns a context for the work and a longer one for publishing. What
// is left of the reserve is for the reply.
func (h *Handler) deadlines(ctx context.Context, began, trigger time.Time) (work, publish context.Context, cancel func()) {
	deadline, ok := ctx.Deadline()
	if !trigger.IsZero() && (!ok || trigger.Before(deadline)) {
		deadline, ok = trigger, true
	}
	if !ok {
		return ctx, ctx, func() {}
	}
	reserve := min(h.Reserve, deadline.Sub(began)/4)
	publish, cancelPublish := context.WithDeadline(ctx, deadline.Add(-reserve/5))
	work, cancelWork := context.WithDeadline(publish, deadline.Add(-reserve))
	return work, publish, func() { cancelWork(); cancelPublish() }
}

// awaitVisibility waits in place of a source that redelivers at once. Without it
// a lookup would be made before the effect can be seen, and the request sent
// twice.
func (inv *invocation) awaitVisibility(ctx context.Context, batch *events.Batch, outcomes []delivery.Outcome) {
	again := delivery.Outcome.HandedBack
	if batch.OneByOne {
		again = func(o delivery.Outcome) bool { return o.HandedBack() && o.Hidden }
	}
	if !batch.AtOnce || !inv.hidden.Load() || !slices.ContainsFunc(outcomes, again) {
		return
	}
	inv.Log.InfoContext(ctx, "waiting for effects to show", "wait_ms", reconcile.EffectTime.Milliseconds())
	timer := time.NewTimer(reconcile.EffectTime)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// failure returns err as the invocation's error.
func (inv *invocation) failure(ctx context.Context, err error) error {
	if failure, ok := errors.AsType[delivery.Failure](err); ok {
		inv.metrics.ErrorReturned()
		return failure
	}
	e := kind.As(err)
	inv.Log.ErrorContext(ctx, "invocation failed", "kind", e.Kind, "error", inv.Redact.Text(err.Error()))
	return delivery.Failure{Type: "CBR." + string(e.Kind), Message: inv.Redact.Text(e.Error())}
}
