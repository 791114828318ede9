package plan

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"log/slog"
	"net/http"
	"slices"
	"strconv"
	"time"

	"cbr-replicator/internal/awscall"
	"cbr-replicator/internal/deadline"
	"cbr-replicator/internal/keyed"
	"cbr-replicator/internal/kind"
	"cbr-replicator/internal/queue"
	"cbr-replicator/internal/redact"
)

// SQS makes a call to SQS, and no other; awscall.Client does.
type SQS interface {
	Call(ctx context.Context, operation string, in, out any) error
}

// Queue sends requests to a queue. All fields but Spread are required. It is safe
// for concurrent use.
type Queue struct {
	Name queue.Name
	// SQS is a client for the queue's region.
	SQS SQS
	// Retry calls op again while it fails with what may pass, and says so to
	// notify before each wait; see retry.Policy.
	Retry  func(ctx context.Context, op func(context.Context) error, notify func(err error, wait time.Duration)) error
	Log    *slog.Logger
	Redact *redact.Redactor
	// Spread is over which time the requests of a plan become visible, evenly. A FIFO
	// queue has no delay of a message.
	Spread time.Duration
}

const (
	// maxEntries is how many messages one call takes (SQS API reference,
	// "SendMessageBatch"). Ten requests have a few kilobytes.
	maxEntries = 10
	// maxCalls are on their way at once: a plan of 10,000 makes 1,000.
	maxCalls = 8
	// timeout bounds one try, which gets at most half of the time that is left.
	timeout = 5 * time.Second
)

// entry is one of a call's (SQS API reference, SendMessageBatchRequestEntry).
type entry struct {
	ID                     string `json:"Id"`
	MessageBody            string
	DelaySeconds           int    `json:",omitempty"`
	MessageGroupID         string `json:"MessageGroupId,omitempty"`
	MessageDeduplicationID string `json:"MessageDeduplicationId,omitempty"`
}

// Most is how many requests a plan may send.
func (q *Queue) Most() int { return maxVaults }

// Send sends all messages, those of each call with a retry of their own. With an
// error, which is a *kind.Error, some may not be sent.
func (q *Queue) Send(ctx context.Context, messages []Message) error {
	calls := make([][]entry, 0, len(messages)/maxEntries+1)
	for i, m := range messages {
		if i%maxEntries == 0 {
			calls = append(calls, make([]entry, 0, maxEntries))
		}
		e := entry{ID: strconv.Itoa(i % maxEntries), MessageBody: m.Body, MessageGroupID: m.Group}
		if q.Name.FIFO() {
			sum := sha256.Sum256([]byte(m.Body))
			e.MessageDeduplicationID = hex.EncodeToString(sum[:])
		} else {
			e.DelaySeconds = int((q.Spread * time.Duration(i) / time.Duration(len(messages))).Seconds())
		}
		calls[len(calls)-1] = append(calls[len(calls)-1], e)
	}
	errs := make([]error, len(calls))
	keyed.Run(len(calls), maxCalls, func(int) []keyed.Key { return nil }, func(i int) { errs[i] = q.sendAll(ctx, calls[i]) })
	return failed(errs)
}

// sendAll sends the entries of one call, and again those that were not taken.
func (q *Queue) sendAll(ctx context.Context, open []entry) error {
	return q.Retry(ctx, func(ctx context.Context) (err error) {
		open, err = q.send(ctx, open)
		return err
	}, func(err error, wait time.Duration) {
		why := kind.As(err)
		q.Log.InfoContext(ctx, "retrying", "kind", why.Kind, "error", why.Message, "requests", len(open), "wait_ms", wait.Milliseconds())
	})
}

// send makes one call. It returns the entries that were not taken, and why.
func (q *Queue) send(ctx context.Context, entries []entry) ([]entry, error) {
	ctx, cancel := context.WithTimeout(ctx, deadline.Half(ctx, timeout))
	defer cancel()
	in := struct {
		QueueURL string `json:"QueueUrl"`
		Entries  []entry
	}{q.Name.URL(), entries}
	var out struct {
		Successful []struct {
			ID string `json:"Id"`
		}
		Failed []struct {
			ID          string `json:"Id"`
			Code        string
			SenderFault bool
		}
	}
	err := q.SQS.Call(ctx, "SendMessageBatch", in, &out)
	answer, isAnswer := errors.AsType[*awscall.Error](err)
	switch {
	case isAnswer && answer.Passes():
		return entries, q.failed(kind.Unavailable, cmp.Or(answer.Code, http.StatusText(answer.Status)))
	case isAnswer:
		return entries, q.failed(kind.Misconfigured, cmp.Or(answer.Code, http.StatusText(answer.Status)))
	case err != nil:
		return entries, q.failed(kind.Unavailable, err.Error())
	}
	taken := map[string]bool{}
	for _, e := range out.Successful {
		taken[e.ID] = true
	}
	open := slices.DeleteFunc(slices.Clone(entries), func(e entry) bool { return taken[e.ID] })
	if len(open) == 0 {
		return nil, nil
	}
	why, k := "not all requests were taken", kind.Unavailable
	for _, f := range out.Failed {
		if why = f.Code; f.SenderFault {
			k = kind.Misconfigured
			break
		}
	}
	return open, q.failed(k, why)
}

func (q *Queue) failed(k kind.Kind, why string) error {
	return &kind.Error{Kind: k, Message: q.Redact.Text("the queue of REQUEST_QUEUE_ARN did not take a request: " + why)}
}
