// Package follow is the action follow: it looks how far the copies of an accepted
// request are, until they have ended. It only reads. All that it knows is in the
// accepted event, and a queue is its clock: until the copies have ended the event
// is handed back to the queue, with a wait that grows with the event's age.
package follow

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"cbr-replicator/internal/cbr"
	"cbr-replicator/internal/delivery"
	"cbr-replicator/internal/keyed"
	"cbr-replicator/internal/kind"
	"cbr-replicator/internal/metrics"
	"cbr-replicator/internal/reconcile"
	"cbr-replicator/internal/redact"
	"cbr-replicator/internal/result"
	"cbr-replicator/internal/retry"
)

// Key is the member of a direct call that asks for it.
const Key = "follow"

// failingFor is how much longer than For a copy is followed whose looks all fail.
const failingFor = 24 * time.Hour

// Action follows copies. All fields are required. It is safe for concurrent use,
// if its Rand is.
type Action struct {
	Lookups *reconcile.Finder
	// Reads is for looks. Its budget is no other's: looks never starve requests.
	Reads retry.Policy
	// For is how long copies are followed.
	For    time.Duration
	Log    *slog.Logger
	Redact *redact.Redactor
	// Rand returns a number in [0, 1), as math/rand/v2's Float64 does.
	Rand func() float64
}

// Key is the request's member.
func (a *Action) Key() string { return Key }

// Open returns the work of one invocation: one look at a vault serves all its
// deliveries.
func (a *Action) Open(delivery.Invocation) delivery.Work {
	return &work{Action: a, lookups: a.Lookups.Open()}
}

// work is one invocation's.
type work struct {
	*Action
	lookups *reconcile.Lookups
}

// Keys returns none: looks change nothing.
func (w *work) Keys(*delivery.Delivery) []keyed.Key { return nil }

// Do looks how far a delivery's copies are.
func (w *work) Do(ctx context.Context, d *delivery.Delivery) delivery.Outcome {
	f := &following{work: w, d: d, Accepted: d.Request.Followed}
	f.age = max(time.Since(f.At), 0)
	copies, err := f.look(ctx)
	if f.err = f.ended(copies, err); f.err.Of() == kind.OutOfTime || f.err.Of() == kind.Copying {
		f.wait = Wait(f.age, copies.Promise, w.Rand())
	}
	return f.outcome(copies)
}

// following is the work on one delivery.
type following struct {
	*work
	*delivery.Accepted
	d *delivery.Delivery
	// age is how long ago the request was accepted.
	age  time.Duration
	err  *kind.Error
	wait time.Duration
}

// look asks CBR, with retries.
func (f *following) look(ctx context.Context) (copies reconcile.Copies, err error) {
	r := &f.d.Request
	err = f.Reads.Do(ctx, func(ctx context.Context) (err error) {
		copies, err = f.lookups.Copies(ctx, r.Scope(), &reconcile.Accepted{Replicate: r.Replicate, Since: f.Since, At: f.At, Replication: f.Replication})
		return err
	}, f.d.LogRetry(ctx, f.Log, nil))
	return copies, err
}

// ended says how a look ended: nil if all copies are there.
func (f *following) ended(c reconcile.Copies, err error) *kind.Error {
	n := c.Count
	switch {
	case errors.Is(err, cbr.ErrNoRecords):
		return f.fault(kind.NotFollowed, "this cloud does not show replication records: look in the destination vault, and leave following out (Follow=false)")
	case err != nil && f.age >= f.For+failingFor:
		return f.fault(kind.NotFollowed, fmt.Sprintf("accepted %s ago, and CBR cannot be asked: %s", f.age.Round(time.Minute), kind.As(err).Message))
	case err != nil:
		return kind.As(err)
	case c.VaultGone && f.d.Request.Replicate.BackupID != "":
		return f.fault(kind.NotFollowed, "the source backup does not exist any more (BackupService.6200): look in the destination vault")
	case c.VaultGone:
		return f.fault(kind.NotFollowed, "the source vault does not exist any more (BackupService.6105): look in the destination vault")
	case c.Going > 0 && f.age < f.For:
		return f.fault(kind.Copying, fmt.Sprintf("%d of %d copies wait or run", c.Going, n.Total))
	case c.Going > 0:
		return f.fault(kind.NotFollowed, fmt.Sprintf("%d of %d copies still wait or run %s after they were accepted: look at the vault's tasks in CBR's console", c.Going, n.Total, f.age.Round(time.Minute)))
	case c.There == n.Total:
		return nil
	case c.There > 0:
		return f.fault(kind.CopyIncomplete, fmt.Sprintf("%d of %d copies are not there%s", n.Total-c.There, n.Total, why(c)))
	case n.Unknown == 0:
		return f.fault(kind.CopyFailed, fmt.Sprintf("none of %d copies is there%s", n.Total, why(c)))
	}
	return f.fault(kind.NotFollowed, fmt.Sprintf("none of %d copies is known to be there%s: look in the destination vault", n.Total, why(c)))
}

func (f *following) fault(k kind.Kind, message string) *kind.Error {
	return &kind.Error{Kind: k, Message: f.Redact.Message(message)}
}

// why says what became of the copies that are not there.
func why(c reconcile.Copies) string {
	text := fmt.Sprintf(": %d failed, %d skipped, %d unknown", c.Count.Failed, c.Count.Skipped-(c.There-c.Count.Succeeded), c.Count.Unknown)
	for _, copied := range c.Each {
		if copied.FailCode != "" || copied.FailReason != "" {
			return fmt.Sprintf("%s; backup %s: %s %s", text, copied.BackupID, copied.FailCode, copied.FailReason)
		}
	}
	return text
}

// outcome returns how the look ended.
func (f *following) outcome(copies reconcile.Copies) delivery.Outcome {
	o := delivery.Outcome{Success: kind.Completed, Err: f.err, Wait: f.wait, Silent: f.d.Final}
	k := f.err.Of()
	if k.Policy().Redeliver && !k.Policy().Expected {
		if !f.d.Final {
			o.Counts = []metrics.Value{{Name: "FollowFaults", Count: 1}}
		}
		return o
	}
	request := f.d.Request
	if k == kind.NotFollowed {
		// The copies may be there. Whoever sends the request again is to look first.
		copies.Count.Unknown += copies.Going
		request.RequestedAt = f.Since
	}
	o.ResultID = result.ID(Key, f.ID, kind.Status(string(o.Status())+"/"+string(k)))
	o.Data = result.Data{
		Stage:       result.StageCopy,
		Request:     request.Shown(f.Redact),
		Replication: f.Replication,
		Copies:      &copies.Count,
		Backups:     copies.Each,
		AcceptedID:  f.ID,
		AcceptedAt:  f.At,
	}
	o.Counts = []metrics.Value{{Name: "Followed", Count: 1}}
	switch {
	case k == kind.Copying:
		o.Counts = append(o.Counts, metrics.Value{Name: "FollowAge", Seconds: f.age.Seconds()})
	case k != kind.NotFollowed:
		o.Data.DurationS = int64(f.age.Seconds())
		o.Counts = append(o.Counts, metrics.Value{Name: "CopyDuration", Seconds: f.age.Seconds()})
	}
	if f.d.Final {
		o.Counts = nil
	}
	return o
}
