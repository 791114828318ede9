package sink

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"time"

	"cbr-replicator/internal/deadline"
	"cbr-replicator/internal/kind"
	"cbr-replicator/internal/redact"
	"cbr-replicator/internal/result"
)

// callTimeout bounds one call to a sink.
const callTimeout = 10 * time.Second

// Retry retries op while its error may pass, and calls notify before each wait; see
// retry.Policy.
type Retry func(ctx context.Context, op func(context.Context) error, notify func(err error, wait time.Duration)) error

// Publisher publishes results to a sink. It is safe for concurrent use.
//
// It does not wrap a Sink as another Sink. A wrapper would answer for all messages
// at once, and those that are published would wait for the one that is retried.
type Publisher struct {
	sink   Sink
	limits Limits
	retry  Retry
	log    *slog.Logger
	redact *redact.Redactor
}

// NewPublisher returns the publisher of a sink.
func NewPublisher(s Sink, retry Retry, log *slog.Logger, hidden *redact.Redactor) *Publisher {
	return &Publisher{sink: s, limits: s.Limits(), retry: retry, log: log, redact: hidden}
}

// outgoing is a result to be published.
type outgoing struct {
	result.Message
	size  int
	began time.Time // when the delivery began
	ended time.Time // when it had its result
	err   error     // why it is not published yet or, once done is closed, why it never will be
	done  chan struct{}
}

func (l *outgoing) finish(err error) {
	l.err = err
	close(l.done)
}

// prepare returns an event as a message that fits a call. If the sink panics, only
// this one fails.
func (p *Publisher) prepare(ctx context.Context, e *result.Event, route result.Route) (l *outgoing, err error) {
	defer func() {
		if r := recover(); r != nil {
			p.panicked(ctx, r)
			err = errBrokeOff
		}
	}()
	l = &outgoing{Message: e.Message(route), done: make(chan struct{})}
	if l.Body, err = e.Encode(p.limits.Bytes - p.sink.Size(&l.Message)); err != nil {
		return nil, err
	}
	if l.size = p.sink.Size(&l.Message); l.size > p.limits.Bytes {
		return nil, fmt.Errorf("the result takes %d bytes, a call %d", l.size, p.limits.Bytes)
	}
	return l, nil
}

var (
	errBrokeOff = errors.New("the call broke off")
	errNoAnswer = MayPass(errors.New("the answer does not tell what became of it"))
)

// publish sends results that fit one call, and finishes each as soon as its outcome
// is known.
func (p *Publisher) publish(ctx context.Context, results []*outgoing) {
	open, divide, returned := results, false, false
	var err error
	// If the sink panics, no result may wait for ever.
	defer func() {
		if r := recover(); r != nil {
			p.panicked(ctx, r)
		}
		for _, l := range open {
			switch {
			case !returned:
				l.finish(p.failed(errBrokeOff))
			case l.err == nil: // there was no time for a call
				l.finish(p.failed(err))
			default:
				l.finish(l.err)
			}
		}
	}()
	err = p.retry(ctx, func(ctx context.Context) error {
		open, divide = p.try(ctx, open)
		if divide || len(open) == 0 {
			return nil // a retry would be too large, too
		}
		return open[len(open)-1].err
	}, func(err error, wait time.Duration) {
		p.log.InfoContext(ctx, "retrying", "kind", kind.PublishFailed, "error", kind.As(err).Message, "results", len(open), "wait_ms", wait.Milliseconds())
	})
	if divide {
		p.log.InfoContext(ctx, "too long for one call", "results", len(open))
		half := len(open) / 2
		first := open[:half]
		if open = open[half:]; half > 0 {
			p.publish(ctx, first)
		}
		second := open
		open = nil
		p.publish(ctx, second)
	}
	returned = true
}

// try makes one call. It finishes the results that are published or refused for
// good. The others are open, each with the reason. divide: they are too large
// together.
func (p *Publisher) try(ctx context.Context, results []*outgoing) (open []*outgoing, divide bool) {
	ctx, cancel := context.WithTimeout(ctx, deadline.Half(ctx, callTimeout))
	defer cancel()
	messages := make([]*result.Message, len(results))
	for i, l := range results {
		messages[i] = &l.Message
	}
	errs := p.sink.Send(ctx, messages)
	for i, l := range results {
		err := errNoAnswer
		if i < len(errs) {
			err = errs[i]
		}
		if err == nil {
			l.finish(nil)
			continue
		}
		class := refused
		if c, ok := errors.AsType[*classified](err); ok {
			class = c.class
		}
		switch err := p.failed(err); {
		case class == mayPass, class == tooLarge && len(results) > 1:
			l.err = err
			open = append(open, l)
			divide = divide || class == tooLarge
		default:
			l.finish(err)
		}
	}
	return open, divide
}

// failed returns why the sink did not take a result.
func (p *Publisher) failed(cause error) error {
	why := cause.Error()
	if e, ok := errors.AsType[*kind.Error](cause); ok {
		if e.Kind == kind.PublishFailed {
			return e
		}
		why = e.Message
	}
	return &kind.Error{
		Kind:    kind.PublishFailed,
		Message: p.redact.Text(p.sink.String() + " did not take the result: " + why),
		Cause:   cause,
	}
}

func (p *Publisher) panicked(ctx context.Context, r any) {
	p.log.ErrorContext(ctx, "panic", "error", p.redact.Text(fmt.Sprint(r)), "stack", string(debug.Stack()))
}
