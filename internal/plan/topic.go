package plan

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"time"

	"cbr-replicator/internal/keyed"
	"cbr-replicator/internal/kind"
	"cbr-replicator/internal/redact"
	"cbr-replicator/internal/smn"
)

// mostByTopic is how many requests a plan may send to a topic: it calls the function
// with all of them at once, and the platform may discard what exceeds the function's
// concurrency.
const mostByTopic = 50

// Topic sends requests to a topic of SMN that calls the function. All fields are
// required. It is safe for concurrent use.
type Topic struct {
	URN smn.URN
	// Client makes one call, as a smn.Client does.
	Client interface {
		Publish(context.Context, smn.URN, smn.Message) error
	}
	// Retry calls op again while it fails with what may pass, and says so to
	// notify before each wait; see retry.Policy.
	Retry  func(ctx context.Context, op func(context.Context) error, notify func(err error, wait time.Duration)) error
	Log    *slog.Logger
	Redact *redact.Redactor
}

// Most is how many requests a plan may send.
func (t *Topic) Most() int { return mostByTopic }

// Send sends all messages, each in a call of its own with a retry of its own. With an
// error, which is a *kind.Error, some may not be sent.
func (t *Topic) Send(ctx context.Context, messages []Message) error {
	errs := make([]error, len(messages))
	keyed.Run(len(messages), maxCalls, func(int) []keyed.Key { return nil }, func(i int) {
		errs[i] = t.Retry(ctx, func(ctx context.Context) error {
			return t.publish(ctx, messages[i].Body)
		}, func(err error, wait time.Duration) {
			why := kind.As(err)
			t.Log.InfoContext(ctx, "retrying", "kind", why.Kind, "code", why.Code, "error", why.Message, "requests", 1, "wait_ms", wait.Milliseconds())
		})
	})
	return failed(errs)
}

// publish makes one call. A request may be sent twice, so that a lost answer is no
// different from one that was never there.
func (t *Topic) publish(ctx context.Context, body string) error {
	err := t.Client.Publish(ctx, t.URN, smn.Message{Text: body})
	if err == nil {
		return nil
	}
	e := *kind.As(err)
	e.Message = t.Redact.Message("the topic of REQUEST_TOPIC_URN did not take a request: " + e.Message)
	switch e.Kind {
	case kind.Unknown:
		e.Kind = kind.Unavailable
	case kind.Throttled, kind.Unavailable, kind.Unauthorized, kind.OutOfTime:
	default: // that it may not publish, say, or that there is no such topic
		e.Kind = kind.Misconfigured
	}
	return &e
}

// failed returns the first of the errors of calls, with how many there were, nil if
// there is none.
func failed(errs []error) error {
	first, n := kind.As(cmp.Or(errs...)), 0
	if first == nil {
		return nil
	}
	for _, err := range errs {
		if err != nil {
			n++
		}
	}
	e := *first
	e.Message = fmt.Sprintf("%s (%d of %d calls failed)", e.Message, n, len(errs))
	return &e
}
