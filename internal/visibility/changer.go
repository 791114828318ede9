package visibility

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"time"

	"cbr-replicator/internal/awscall"
	"cbr-replicator/internal/deadline"
	"cbr-replicator/internal/delivery"
	"cbr-replicator/internal/keyed"
	"cbr-replicator/internal/kind"
	"cbr-replicator/internal/redact"
)

// SQS makes a call to SQS, and no other; awscall.Client does.
type SQS interface {
	Call(ctx context.Context, operation string, in, out any) error
}

// Message is a delivery that is handed back to its queue.
type Message struct {
	// QueueARN and ReceiptHandle are the event's own.
	QueueARN, ReceiptHandle string
	// Kind is how the delivery ended.
	Kind kind.Kind
	// RetryAfter is how long CBR asks to wait, zero where it did not say.
	RetryAfter time.Duration
	// Wait is how long it stays out of sight, zero: as long as its kind says.
	Wait time.Duration
	// Receives is the receive count.
	Receives int
	// Last: the queue does not redeliver the message. It becomes a dead letter as
	// soon as it is visible.
	Last bool
}

// Messages returns the deliveries that are handed back to a queue.
func Messages(deliveries []delivery.Delivery, outcomes []delivery.Outcome) (messages []Message) {
	for i, o := range outcomes {
		d := &deliveries[i]
		if d.Queue.ReceiptHandle == "" || !o.HandedBack() {
			continue
		}
		err := cmp.Or(o.PublishErr, o.Err)
		messages = append(messages, Message{
			QueueARN: d.Queue.ARN, ReceiptHandle: d.Queue.ReceiptHandle, Last: d.Last,
			Kind: err.Kind, RetryAfter: err.RetryAfter, Wait: o.Wait, Receives: d.Queue.Receives,
		})
	}
	return messages
}

// Changer gives messages a visibility of their own. All fields are required. It
// is safe for concurrent use, if its Rand is.
type Changer struct {
	// SQS is a client for the function's region.
	SQS    SQS
	Log    *slog.Logger
	Redact *redact.Redactor
	// Rand returns a number in [0, 1), as math/rand/v2's Float64 does.
	Rand func() float64
}

const (
	// maxEntries is how many messages one call takes (SQS API reference,
	// "ChangeMessageVisibilityBatch").
	maxEntries = 10
	// maxCalls are on their way at once: a batch of 10,000 makes 1,000.
	maxCalls = 8
	// maxTries of a call. A second change to the same visibility does no harm.
	maxTries = 2
	// timeout bounds one try, which gets at most half of the time that is left.
	timeout = 5 * time.Second
)

// Change keeps each message out of sight for its [Delay], counted from now. It is
// called when all deliveries have ended. It returns when all calls have ended, with
// ctx at the latest.
//
// It calls only queues of the partition, region and account in the function's ARN.
// A message of another queue keeps that queue's visibility timeout. So does a
// message that SQS refused or that there was no time for. One log line each says
// how many there were, and why.
func (c *Changer) Change(ctx context.Context, functionARN string, messages []Message) {
	if len(messages) == 0 {
		return
	}
	own, err := homeOf(functionARN)
	if err != nil {
		c.warn(ctx, len(messages), err)
		return
	}
	batches, leftOut := c.batches(own, messages)
	for _, why := range slices.Sorted(maps.Keys(leftOut)) {
		c.warn(ctx, leftOut[why], errors.New(why))
	}
	failed := make([]int, len(batches))
	errs := make([]error, len(batches))
	keyed.Run(len(batches), maxCalls, func(int) []keyed.Key { return nil }, func(i int) {
		failed[i], errs[i] = c.send(ctx, batches[i])
	})
	total, why := 0, error(nil)
	for i, n := range failed {
		if n > 0 {
			total, why = total+n, cmp.Or(why, errs[i])
		}
	}
	if total > 0 {
		c.warn(ctx, total, why)
	}
}

// batch is the messages of one call, all of one queue.
type batch struct {
	queueURL string
	entries  []entry
}

// entry is one of a call's (SQS API reference,
// ChangeMessageVisibilityBatchRequestEntry).
type entry struct {
	ID                string `json:"Id"`
	ReceiptHandle     string
	VisibilityTimeout int // seconds
}

// batches puts messages into as few calls as possible. It also returns how many it
// left out, by the reason.
func (c *Changer) batches(own home, messages []Message) (all []*batch, leftOut map[string]int) {
	leftOut = map[string]int{}
	filling := map[string]*batch{}
	for _, m := range messages {
		url, err := own.url(m.QueueARN)
		if err == nil && m.ReceiptHandle == "" {
			err = errors.New("the event has no receipt handle")
		}
		if err != nil {
			leftOut[err.Error()]++
			continue
		}
		b := filling[url]
		if b == nil || len(b.entries) == maxEntries {
			b = &batch{queueURL: url}
			filling[url] = b
			all = append(all, b)
		}
		delay := min(m.Wait, Longest)
		if delay == 0 {
			delay = Delay(m.Kind, m.Receives, m.RetryAfter, c.Rand())
		}
		if m.Last {
			// Not at once, in case the queue counts further than the function.
			delay = min(delay, forEffect)
		}
		b.entries = append(b.entries, entry{
			ID:            strconv.Itoa(len(b.entries)),
			ReceiptHandle: m.ReceiptHandle,
			// Rounded up: not less than what CBR asked for.
			VisibilityTimeout: int((delay + time.Second - 1) / time.Second),
		})
	}
	return all, leftOut
}

// send makes a batch's call and retries once what may pass. It returns for how many
// messages that failed, and why.
func (c *Changer) send(ctx context.Context, b *batch) (failed int, why error) {
	open := b.entries
	for try := 0; try < maxTries && len(open) > 0 && ctx.Err() == nil; try++ {
		var refused int
		var err error
		refused, open, err = c.try(ctx, b.queueURL, open)
		if failed == 0 {
			why = err
		}
		failed += refused
	}
	return failed + len(open), cmp.Or(why, ctx.Err())
}

// try makes one call. It returns how many messages were refused for good, those
// that another call may take, and why: of the former, if there are any.
func (c *Changer) try(ctx context.Context, queueURL string, entries []entry) (refused int, open []entry, why error) {
	ctx, cancel := context.WithTimeout(ctx, deadline.Half(ctx, timeout))
	defer cancel()
	in := struct {
		QueueURL string `json:"QueueUrl"`
		Entries  []entry
	}{queueURL, entries}
	var out struct {
		Failed []struct {
			ID          string `json:"Id"`
			Code        string
			SenderFault bool
		}
	}
	if err := c.SQS.Call(ctx, "ChangeMessageVisibilityBatch", in, &out); err != nil {
		if answer, ok := errors.AsType[*awscall.Error](err); ok && !answer.Passes() {
			return len(entries), nil, err
		}
		return 0, entries, err
	}
	for _, f := range out.Failed {
		reason := errors.New(f.Code)
		i := slices.IndexFunc(entries, func(e entry) bool { return e.ID == f.ID })
		if i < 0 || f.SenderFault {
			refused, why = refused+1, reason
			continue
		}
		open = append(open, entries[i])
		if refused == 0 {
			why = reason
		}
	}
	return refused, open, why
}

// warn logs for how many messages the visibility was not changed, and why.
func (c *Changer) warn(ctx context.Context, messages int, why error) {
	text := why.Error()
	if answer, ok := errors.AsType[*awscall.Error](why); ok {
		// SQS's texts repeat receipt handles.
		text = cmp.Or(answer.Code, http.StatusText(answer.Status))
	}
	c.Log.WarnContext(ctx, "visibility not changed", "messages", messages, "error", c.Redact.Text(text))
}
