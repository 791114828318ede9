package replicator

import (
	"context"
	"errors"
	"fmt"
	"time"

	"cbr-replicator/events"
	"cbr-replicator/internal/cbr"
	"cbr-replicator/internal/kind"
	"cbr-replicator/internal/reconcile"
)

// effect is what a request has come to.
type effect struct {
	answer cbr.Answer
	err    *kind.Error
	// attempts counts the calls of replicate.
	attempts int
	// reconciled: replication is not CBR's answer but made of its replication
	// records.
	reconciled bool
	// unverified: a redelivery was sent, or an "unchanged" believed, without a
	// look-up. refused: CBR does not let the credential look.
	unverified, refused bool
	coverage            *reconcile.Coverage
}

// replicate validates, asks whether it is allowed, and calls CBR with retries.
// What an earlier delivery may have done is looked up before, and what this one
// may have done after: CBR has no idempotency token.
func (inv *invocation) replicate(ctx context.Context, d *events.Delivery) (e effect) {
	defer func() {
		if p := recover(); p != nil {
			e.err = inv.panicked(ctx, p)
		}
	}()
	if d.Err != nil {
		e.err = d.Err
		return e
	}
	src, request := d.Request.Source(), d.Request.Replicate
	if err := inv.Allow.Check(src, request); err != nil {
		e.err = kind.As(err)
		return e
	}
	since, again := inv.firstTry(d, &e)
	if again && inv.lookUpFirst(ctx, d, since, &e) {
		return e
	}
	err := inv.Retry.Do(ctx, func(ctx context.Context) (err error) {
		e.answer, err = inv.CBR.Replicate(ctx, src, request)
		if e.answer.Sent {
			e.attempts++
			inv.lookups.Sent(src, request.VaultID)
		}
		return err
	}, func(err error, wait time.Duration) {
		why := kind.As(err)
		inv.Log.InfoContext(ctx, "trying again", "kind", why.Kind, "code", why.Code, "error", why.Message, "attempts", e.attempts,
			"wait_ms", wait.Milliseconds(), "vault_id", request.VaultID, "causation_id", d.CausationID)
	})
	e.err = kind.As(err)
	if e.attempts > 0 {
		inv.verify(ctx, d, since, again, &e)
	}
	return e
}

// firstTry returns since when there may be an effect of the request, and
// whether an earlier delivery may have had one.
func (inv *invocation) firstTry(d *events.Delivery, e *effect) (since time.Time, again bool) {
	since = time.Now()
	if d.Again && !d.Since.IsZero() && d.Since.Before(since) {
		since, again = d.Since, true
	}
	if at := d.Request.RequestedAt; !at.IsZero() {
		again = true
		if at.Before(since) {
			since = at
		}
	}
	// A trigger that delivers again and does not say since when.
	e.unverified = d.Again && !again
	return since, again
}

// lookUpFirst reports whether e is settled without a call of replicate: an
// earlier delivery had its effect, or it cannot be told whether one had.
func (inv *invocation) lookUpFirst(ctx context.Context, d *events.Delivery, since time.Time, e *effect) bool {
	found, err := inv.find(ctx, d, since, e)
	switch {
	case e.refused:
		return false
	case err != nil:
		e.err = err
	case found.Verdict == reconcile.Found:
		e.accept(found)
	case found.Verdict == reconcile.Undecided:
		e.err = &kind.Error{Kind: kind.Unknown, Message: "CBR may have taken an earlier delivery: " + found.Why}
	default:
		return false
	}
	return true
}

// verify looks up what an answer, or the lack of one, leaves open.
func (inv *invocation) verify(ctx context.Context, d *events.Delivery, since time.Time, again bool, e *effect) {
	unchanged := e.err.Of().Policy().Status == kind.Unchanged && e.err.Code != ""
	unknown := e.err.Of() == kind.Unknown
	// CBR may be busy with what an earlier delivery asked for.
	if !unchanged && !unknown && (!again || e.err.Of() != kind.InProgress) {
		return
	}
	found, err := inv.find(ctx, d, since, e)
	switch {
	case e.refused:
	case err != nil && unchanged:
		e.err = err // nobody is told "unchanged" that was not seen
	case err != nil:
		e.err.Message = inv.Redact.Text(e.err.Message + "; " + err.Message)
	case (again || unknown) && found.Verdict == reconcile.Found:
		e.accept(found)
	case unchanged:
		e.coverage = &found.Coverage
		if missing := found.Coverage.Backups - found.Coverage.Replicated; missing > 0 {
			e.err.Kind = kind.NotCovered
			e.err.Message = inv.Redact.Text(fmt.Sprintf("%d of %d available backups have no replica there, and CBR starts none: %s", missing, found.Coverage.Backups, e.err.Message))
		}
	case found.Verdict == reconcile.Undecided:
		e.err.Message = inv.Redact.Text(e.err.Message + "; " + found.Why)
	case unknown:
		e.err.Message = inv.Redact.Text(e.err.Message + "; no effect is to be seen yet")
	}
}

// find makes a look-up. Where CBR does not allow it there is nothing to find.
func (inv *invocation) find(ctx context.Context, d *events.Delivery, since time.Time, e *effect) (reconcile.Finding, *kind.Error) {
	found, err := inv.lookups.Find(ctx, d.Request.Source(), d.Request.Replicate, since)
	if errors.Is(err, cbr.ErrListRefused) {
		e.refused, e.unverified = true, true
	}
	why := kind.As(err)
	text := found.Why
	if why != nil {
		text = why.Message
	}
	inv.Log.InfoContext(ctx, "looked up", "verdict", found.Verdict.String(), "error", text, "since", since,
		"vault_id", d.Request.Replicate.VaultID, "causation_id", d.CausationID)
	return found, why
}

// accept takes what was found for CBR's answer.
func (e *effect) accept(found reconcile.Finding) {
	e.answer.Replication, e.err, e.reconciled = found.Replication, nil, true
}
