// Package replicator is the function's story: an event comes in, each delivery
// in it is validated, checked against the operator's allow-lists and sent to
// CBR with retries, its result goes to a topic, and the trigger is answered in
// its own dialect.
//
// It promises that nothing is lost: every delivery ends with its final result
// published and the delivery acknowledged, or it goes back to its source. What
// each end means is one table, in internal/kind.
package replicator

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/aws/aws-lambda-go/lambda/messages"
	"github.com/aws/aws-lambda-go/lambdacontext"

	"cbr-replicator/events"
	"cbr-replicator/internal/allow"
	"cbr-replicator/internal/cbr"
	"cbr-replicator/internal/kind"
	"cbr-replicator/internal/lanes"
	"cbr-replicator/internal/metrics"
	"cbr-replicator/internal/reconcile"
	"cbr-replicator/internal/redact"
	"cbr-replicator/internal/result"
	"cbr-replicator/internal/retry"
	"cbr-replicator/internal/sink"
	"cbr-replicator/internal/visibility"
)

// Replicator makes the call to CBR, once; cbr.Client is one.
type Replicator interface {
	Replicate(context.Context, cbr.Source, cbr.Replicate) (cbr.Answer, error)
}

// Handler handles invocations. All fields are required. It holds no state of
// its own and is safe for concurrent use.
type Handler struct {
	Decoder   *events.Decoder
	Allow     *allow.List
	CBR       Replicator
	Endpoints cbr.Endpoints
	Retry     retry.Policy
	Lookups   *reconcile.Finder
	Queues    *visibility.Changer
	Results   *sink.Publisher
	Metrics   *metrics.Emitter
	Log       *slog.Logger
	Redact    *redact.Redactor

	// BatchConcurrency is how many deliveries of a batch run at once.
	BatchConcurrency int
	// MaxReceiveCount is the receive count with which a queue gives up.
	MaxReceiveCount int
	// Reserve is kept back of an invocation for publishing and replying, at
	// most a quarter of it.
	Reserve time.Duration
}

// Invoke handles one payload; it is a lambda.Handler. An error is the trigger's
// answer, clean enough for the header that aws-lambda-go puts it into.
func (h *Handler) Invoke(ctx context.Context, payload []byte) ([]byte, error) {
	inv := h.begin(ctx)
	defer inv.end(ctx)
	batch, err := h.Decoder.Decode(payload, inv.Invocation)
	if err != nil {
		return nil, inv.lambdaError(ctx, err)
	}
	work, publish, cancel := h.deadlines(ctx, inv.Began, batch.Deadline)
	defer cancel()
	inv.outbox, inv.lookups = h.Results.Open(publish), h.Lookups.Open()
	outcomes := make([]events.Outcome, len(batch.Deliveries))
	lanes.Run(len(outcomes), h.BatchConcurrency,
		func(i int) []lanes.Key { return keys(&batch.Deliveries[i]) },
		func(i int) { outcomes[i] = inv.handle(work, &batch.Deliveries[i]) })
	inv.outbox.Close()
	h.Queues.Change(publish, inv.FunctionARN, inv.waiting(batch.Deliveries, outcomes))
	inv.letShow(publish, batch, outcomes)
	reply, err := batch.Reply(outcomes)
	if err != nil {
		return nil, inv.lambdaError(ctx, err)
	}
	return reply, nil
}

// handle brings one delivery to its end. Whatever goes wrong with it, a panic
// included, is its own.
func (inv *invocation) handle(ctx context.Context, d *events.Delivery) (o events.Outcome) {
	if d.Skip {
		inv.Log.WarnContext(ctx, "own result came in again", "causation_id", d.CausationID, "correlation_id", d.CorrelationID)
		inv.metrics.Count(metrics.Delivery{})
		return o
	}
	began := time.Now()
	slot := inv.outbox.Begin()
	defer slot.End()
	var e effect
	var published kind.Status
	defer func() {
		if p := recover(); p != nil {
			o = events.Outcome{Err: inv.panicked(ctx, p)}
			o.Data = result.Data{Status: kind.Failed, Error: &result.Error{Kind: o.Err.Kind, Message: o.Err.Message}}
			if d.Final && published == kind.Unpublished {
				o.PublishErr = o.Err // the caller must not look for it on the topic
			}
		}
		inv.finish(ctx, d, o, published, e, began)
		if !d.Final {
			// A source that hands back by id needs no more, and a batch may be large.
			o.Answer, o.Data = cbr.Answer{}, nil
		}
	}()

	if inv.handedBack.has(d.Group) {
		o.Err = &kind.Error{Kind: kind.Blocked, Message: "behind a delivery of its group that was handed back"}
		return o
	}
	e = inv.replicate(ctx, d)
	if e.unseen() {
		inv.unseen.Store(true)
	}
	o.Answer, o.Err = e.answer, e.err
	event, route := inv.result(d, e, began)
	o.Data = event.Data
	if o.Err.Of().Policy().Redeliver && !inv.isLast(d) {
		return o
	}
	if err := slot.Publish(event, route); err != nil {
		o.PublishErr = kind.As(err)
		inv.Log.ErrorContext(ctx, "result not published", "error", o.PublishErr.Message, "event", event)
		return o
	}
	published = event.Data.Status
	return o
}

// invocation is one call of the function.
type invocation struct {
	*Handler
	events.Invocation
	outbox  *sink.Outbox
	lookups *reconcile.Lookups
	metrics *metrics.Invocation
	// handedBack are the FIFO groups of which a delivery goes back.
	handedBack set
	// unseen: CBR may have started what no look-up has shown yet.
	unseen atomic.Bool
}

// set is a set of names, safe for concurrent use.
type set struct {
	mu    sync.Mutex
	names map[string]struct{}
}

func (s *set) add(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.names == nil {
		s.names = map[string]struct{}{}
	}
	s.names[name] = struct{}{}
}

func (s *set) has(name string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, ok := s.names[name]
	return ok
}

func (h *Handler) begin(ctx context.Context) *invocation {
	inv := &invocation{Handler: h, metrics: h.Metrics.Begin()}
	inv.Began = time.Now()
	inv.FunctionARN = cmp.Or(lambdacontext.FunctionName, "cbr-replicator")
	if lc, ok := lambdacontext.FromContext(ctx); ok {
		inv.RequestID = lc.AwsRequestID
		inv.FunctionARN = cmp.Or(lc.InvokedFunctionArn, inv.FunctionARN)
	}
	return inv
}

func (inv *invocation) end(ctx context.Context) {
	if err := inv.metrics.Emit(); err != nil {
		inv.Log.ErrorContext(ctx, "metrics lost", "error", inv.Redact.Text(err.Error()))
	}
}

// deadlines returns the contexts in which to work and, longer, to publish. The
// rest of the reserve is for the reply.
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

// keys are what no two deliveries may have at once: CBR replicates a vault once
// at a time, and a FIFO group is in order.
func keys(d *events.Delivery) (k []lanes.Key) {
	if d.Group != "" {
		k = append(k, lanes.Key{Of: "group", ID: d.Group})
	}
	if d.Err == nil {
		k = append(k, lanes.Key{Of: "vault", ID: d.Request.Replicate.VaultID})
	}
	return k
}

// isLast reports whether nobody will deliver d again after this.
func (h *Handler) isLast(d *events.Delivery) bool {
	return d.Final || d.Receives >= h.MaxReceiveCount
}

// result makes the event that tells of an outcome.
func (inv *invocation) result(d *events.Delivery, e effect, began time.Time) (*result.Event, result.Route) {
	now := time.Now()
	data := result.Data{
		Status:      e.err.Of().Policy().Status,
		Replication: e.answer.Replication,
		Reconciled:  e.reconciled,
		Unverified:  e.unverified,
		Coverage:    (*result.Coverage)(e.coverage),
		Attempts:    e.attempts,
		Deliveries:  d.Receives,
		DurationMS:  now.Sub(began).Milliseconds(),
		RequestID:   e.answer.RequestID,
	}
	if err := e.err; err != nil {
		data.Error = &result.Error{Kind: err.Kind, Code: err.Code, Message: err.Message, HTTPStatus: err.HTTPStatus, RequestID: err.RequestID}
	}
	source, route := inv.FunctionARN, result.Route{}
	if d.Err == nil {
		r := &d.Request
		data.Request = r
		route = result.Route{VaultID: r.Replicate.VaultID, SourceRegion: r.Region, DestinationRegion: r.Replicate.DestinationRegion}
		if base, err := inv.Endpoints.For(r.Region); err == nil {
			source = base + "/v3/" + r.ProjectID
		}
	}
	id := result.ID(d.Source, d.CausationID, data.Status)
	return result.New(id, source, d.CorrelationID, d.CausationID, now, route, data), route
}

// finish says what became of a delivery: to its group, in the metrics and in
// the one log line it has. published is the status on the topic, if any.
func (inv *invocation) finish(ctx context.Context, d *events.Delivery, o events.Outcome, published kind.Status, e effect, began time.Time) {
	k, err := o.Err.Of(), cmp.Or(o.PublishErr, o.Err, &kind.Error{})
	if o.PublishErr != nil {
		k = kind.PublishFailed
	}
	status, level := string(o.Err.Of().Policy().Status), slog.LevelInfo
	handedBack := o.Redeliver() && !d.Final
	switch {
	case handedBack:
		status, level = "redelivered", slog.LevelWarn
		if d.Group != "" {
			inv.handedBack.add(d.Group)
		}
	case published != kind.Accepted && published != kind.Unchanged:
		level = slog.LevelError
	}
	r := &d.Request
	counted := metrics.Delivery{
		DestinationRegion: r.Replicate.DestinationRegion,
		Kind:              k,
		Published:         published,
		Redelivered:       handedBack,
		PublishFailed:     o.PublishErr != nil,
		LookupRefused:     e.refused,
		Attempts:          e.attempts,
	}
	if k == kind.NotAllowed {
		// A sender must not make metrics by inventing regions.
		counted.DestinationRegion = ""
	}
	inv.metrics.Count(counted)
	if o.Err.Of() == kind.Internal && o.Err.Cause != nil {
		inv.Log.ErrorContext(ctx, "unexpected", "error", inv.Redact.Text(o.Err.Cause.Error()), "causation_id", d.CausationID)
	}
	// Typed, unlike other lines, which are rare.
	inv.Log.LogAttrs(ctx, level, "delivery",
		slog.String("status", status), slog.String("kind", string(k)), slog.String("code", err.Code), slog.String("error", err.Message),
		slog.Int("attempts", e.attempts), slog.Int("deliveries", d.Receives), slog.Int64("duration_ms", time.Since(began).Milliseconds()),
		slog.String("vault_id", r.Replicate.VaultID), slog.String("source_region", r.Region), slog.String("destination_region", r.Replicate.DestinationRegion),
		slog.String("causation_id", d.CausationID), slog.String("correlation_id", d.CorrelationID), slog.String("cbr_request_id", e.answer.RequestID))
}

// waiting are the deliveries that go back to a queue, each to wait there in its
// own way.
func (h *Handler) waiting(deliveries []events.Delivery, outcomes []events.Outcome) []visibility.Message {
	var messages []visibility.Message
	for i, o := range outcomes {
		d := &deliveries[i]
		if d.Receipt == "" || !o.Redeliver() {
			continue
		}
		err := cmp.Or(o.PublishErr, o.Err)
		messages = append(messages, visibility.Message{
			QueueARN: d.Source, ReceiptHandle: d.Receipt, Last: h.isLast(d),
			Kind: err.Kind, RetryAfter: err.RetryAfter, Receives: d.Receives,
		})
	}
	return messages
}

// letShow does the waiting of a source that has none of its own: what comes back
// at once would be looked up before an effect can be seen, and be sent again.
func (inv *invocation) letShow(ctx context.Context, batch *events.Batch, outcomes []events.Outcome) {
	if !batch.AtOnce || !inv.unseen.Load() || !slices.ContainsFunc(outcomes, events.Outcome.Redeliver) {
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

// panicked turns a panic into an outcome.
func (inv *invocation) panicked(ctx context.Context, p any) *kind.Error {
	inv.Log.ErrorContext(ctx, "panic", "error", inv.Redact.Text(fmt.Sprint(p)), "stack", string(debug.Stack()))
	return &kind.Error{Kind: kind.Internal, Message: "an unexpected error; see the function's log"}
}

// lambdaError returns err as the invocation's error.
func (inv *invocation) lambdaError(ctx context.Context, err error) error {
	if answer, ok := errors.AsType[messages.InvokeResponse_Error](err); ok {
		return answer
	}
	e := kind.As(err)
	inv.Log.ErrorContext(ctx, "invocation failed", "kind", e.Kind, "error", inv.Redact.Text(err.Error()))
	return messages.InvokeResponse_Error{Type: "CBR." + string(e.Kind), Message: inv.Redact.Text(e.Error())}
}
