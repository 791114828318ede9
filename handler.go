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
	"sync"
	"time"

	"github.com/aws/aws-lambda-go/lambda/messages"
	"github.com/aws/aws-lambda-go/lambdacontext"

	"cbr-replicator/events"
	"cbr-replicator/internal/allow"
	"cbr-replicator/internal/cbr"
	"cbr-replicator/internal/kind"
	"cbr-replicator/internal/lanes"
	"cbr-replicator/internal/metrics"
	"cbr-replicator/internal/redact"
	"cbr-replicator/internal/result"
	"cbr-replicator/internal/retry"
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
	Topic     *result.Topic
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
	inv.outbox = h.Topic.Open(publish)
	outcomes := make([]events.Outcome, len(batch.Deliveries))
	lanes.Run(len(outcomes), h.BatchConcurrency,
		func(i int) []string { return keys(&batch.Deliveries[i]) },
		func(i int) { outcomes[i] = inv.handle(work, &batch.Deliveries[i]) })
	inv.outbox.Close()
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
	var attempts int
	var published kind.Status
	defer func() {
		if p := recover(); p != nil {
			o = events.Outcome{Err: inv.panicked(ctx, p)}
			o.Data = result.Data{Status: kind.Failed, Error: &result.Error{Kind: o.Err.Kind, Message: o.Err.Message}}
		}
		inv.finish(ctx, d, o, published, attempts, began)
		if !d.Final {
			// A source that hands back by id needs no more, and a batch may be large.
			o.Answer, o.Data = cbr.Answer{}, nil
		}
	}()

	if _, blocked := inv.handedBack.Load(d.Group); blocked {
		o.Err = &kind.Error{Kind: kind.Blocked, Message: "behind a delivery of its group that was handed back"}
		return o
	}
	o.Answer, attempts, o.Err = inv.replicate(ctx, d)
	event, route := inv.result(d, o, attempts, began)
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

// replicate validates, asks whether it is allowed, and calls CBR with retries.
func (inv *invocation) replicate(ctx context.Context, d *events.Delivery) (answer cbr.Answer, attempts int, failure *kind.Error) {
	defer func() {
		if p := recover(); p != nil {
			failure = inv.panicked(ctx, p)
		}
	}()
	if d.Err != nil {
		return answer, 0, d.Err
	}
	if err := inv.Allow.Check(d.Request.Source(), d.Request.Replicate); err != nil {
		return answer, 0, kind.As(err)
	}
	err := inv.Retry.Do(ctx, func(ctx context.Context) (err error) {
		answer, err = inv.CBR.Replicate(ctx, d.Request.Source(), d.Request.Replicate)
		if answer.Sent {
			attempts++
		}
		return err
	}, func(err error, wait time.Duration) {
		e := kind.As(err)
		inv.Log.InfoContext(ctx, "trying again", "kind", e.Kind, "code", e.Code, "error", e.Message, "attempts", attempts,
			"wait_ms", wait.Milliseconds(), "vault_id", d.Request.Replicate.VaultID, "causation_id", d.CausationID)
	})
	return answer, attempts, kind.As(err)
}

// invocation is one call of the function.
type invocation struct {
	*Handler
	events.Invocation
	outbox  *result.Outbox
	metrics *metrics.Invocation
	// handedBack holds the FIFO groups of which a delivery goes back.
	handedBack sync.Map
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
func keys(d *events.Delivery) []string {
	var k []string
	if d.Group != "" {
		k = append(k, "group "+d.Group)
	}
	if d.Err == nil {
		k = append(k, "vault "+d.Request.Replicate.VaultID)
	}
	return k
}

// isLast reports whether nobody will deliver d again after this.
func (h *Handler) isLast(d *events.Delivery) bool {
	return d.Final || d.Receives >= h.MaxReceiveCount
}

// result makes the event that tells of an outcome.
func (inv *invocation) result(d *events.Delivery, o events.Outcome, attempts int, began time.Time) (*result.Event, result.Route) {
	data := result.Data{
		Status:      o.Err.Of().Policy().Status,
		Replication: o.Answer.Replication,
		Attempts:    attempts,
		Deliveries:  d.Receives,
		DurationMS:  time.Since(began).Milliseconds(),
		RequestID:   o.Answer.RequestID,
	}
	if e := o.Err; e != nil {
		data.Error = &result.Error{Kind: e.Kind, Code: e.Code, Message: e.Message, HTTPStatus: e.HTTPStatus, RequestID: e.RequestID}
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
	return result.New(id, source, d.CorrelationID, d.CausationID, time.Now(), route, data), route
}

// finish says what became of a delivery: to its group, in the metrics and in
// the one log line it has. published is the status on the topic, if any.
func (inv *invocation) finish(ctx context.Context, d *events.Delivery, o events.Outcome, published kind.Status, attempts int, began time.Time) {
	k, e := o.Err.Of(), cmp.Or(o.PublishErr, o.Err, &kind.Error{})
	if o.PublishErr != nil {
		k = kind.PublishFailed
	}
	status, level := string(o.Err.Of().Policy().Status), slog.LevelInfo
	handedBack := o.Redeliver() && !d.Final
	switch {
	case handedBack:
		status, level = "redelivered", slog.LevelWarn
		if d.Group != "" {
			inv.handedBack.Store(d.Group, true)
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
		Attempts:          attempts,
	}
	if k == kind.NotAllowed {
		// A sender must not make metrics by inventing regions.
		counted.DestinationRegion = ""
	}
	inv.metrics.Count(counted)
	inv.Log.Log(ctx, level, "delivery", "status", status, "kind", k, "code", e.Code, "error", e.Message,
		"attempts", attempts, "deliveries", d.Receives, "duration_ms", time.Since(began).Milliseconds(),
		"vault_id", r.Replicate.VaultID, "source_region", r.Region, "destination_region", r.Replicate.DestinationRegion,
		"causation_id", d.CausationID, "correlation_id", d.CorrelationID, "cbr_request_id", o.Answer.RequestID)
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
