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
		if err == nil {
			inv.taken.add(request.VaultID)
		}
		return err
	}, inv.tryingAgain(ctx, d, &e))
	e.err = kind.As(err)
	if e.attempts > 0 {
		inv.verify(ctx, d, since, again, &e)
	}
	return e
}

// tryingAgain logs each retry.
func (inv *invocation) tryingAgain(ctx context.Context, d *events.Delivery, e *effect) func(error, time.Duration) {
	return func(err error, wait time.Duration) {
		why := kind.As(err)
		inv.Log.InfoContext(ctx, "trying again", "kind", why.Kind, "code", why.Code, "error", why.Message, "attempts", e.attempts,
			"wait_ms", wait.Milliseconds(), "vault_id", d.Request.Replicate.VaultID, "causation_id", d.CausationID)
	}
}

// firstTry returns since when there may be an effect of the request, and
// whether an earlier delivery may have had one.
func (inv *invocation) firstTry(d *events.Delivery, e *effect) (since time.Time, again bool) {
	since = time.Now()
	if d.Again && !d.Since.IsZero() {
		again = true
		if d.Since.Before(since) {
			since = d.Since
		}
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
	unchanged := e.err.Of().Policy().Status == kind.Unchanged
	unknown := e.err.Of() == kind.Unknown
	// CBR may be busy with what an earlier delivery asked for.
	busy := again && e.err.Of() == kind.InProgress
	if !unchanged && !unknown && !busy {
		return
	}
	found, err := inv.find(ctx, d, since, e)
	switch {
	case e.refused:
	case err != nil && unchanged && !e.isVerdict():
		e.unverified = true
	case err != nil && unchanged:
		e.err = err // nobody is told "unchanged" that was not seen
	case err != nil:
		inv.say(e, err.Message)
	case (again || unknown) && found.Verdict == reconcile.Found:
		e.accept(found)
	case unchanged:
		inv.cover(d, since, again, e, found)
	case found.Verdict == reconcile.Undecided:
		inv.say(e, found.Why)
	case unknown:
		inv.say(e, "no effect is to be seen yet")
	}
}

// cover holds an "unchanged" against what was found.
func (inv *invocation) cover(d *events.Delivery, since time.Time, again bool, e *effect, found reconcile.Finding) {
	missing := found.Coverage.Missing()
	switch {
	case again && found.Verdict == reconcile.Undecided:
		e.err.Kind = kind.Unknown
		inv.say(e, found.Why)
		return
	case e.isVerdict() && missing > 0 && !d.Final && inv.mayShow(d, since, again):
		e.err.Kind = kind.Unknown
		inv.say(e, "the copies that it speaks of may not be seen yet")
		return
	}
	e.coverage = &found.Coverage
	if !e.isVerdict() {
		return // the counts are enough
	}
	// CBR speaks of replicas of backups that the credential does not see.
	e.unverified = e.unverified || e.err.Kind == kind.AlreadyReplicated && found.Coverage.Backups == 0
	if missing > 0 {
		e.err.Kind = kind.NotCovered
		e.err.Message = inv.Redact.Text(fmt.Sprintf("%d of %d available backups have no replica there, and CBR starts none: %s", missing, found.Coverage.Backups, e.err.Message))
	}
}

// isVerdict: an "unchanged" is CBR's word, with a code, which could be wrong. A
// list of backups that is empty is none.
func (e *effect) isVerdict() bool { return e.err.Code != "" }

// say adds to what e's error says.
func (inv *invocation) say(e *effect, more string) {
	e.err.Message = inv.Redact.Message(e.err.Message + "; " + more)
}

// effectTime is how long it may take until a look-up shows an effect. Nothing is
// documented; the queue waits as long with an Unknown.
const effectTime = time.Minute

// mayShow reports whether copies for the vault may be about to show: those of
// another delivery in this invocation, or of an earlier one. A queue has waited
// for these before it delivers a third time.
func (inv *invocation) mayShow(d *events.Delivery, since time.Time, again bool) bool {
	return inv.taken.has(d.Request.Replicate.VaultID) || again && d.Receives < 3 && time.Since(since) < effectTime
}

// find makes a look-up, with retries. Where CBR does not allow it there is
// nothing to find.
func (inv *invocation) find(ctx context.Context, d *events.Delivery, since time.Time, e *effect) (found reconcile.Finding, why *kind.Error) {
	err := inv.Retry.Do(ctx, func(ctx context.Context) (err error) {
		found, err = inv.lookups.Find(ctx, d.Request.Source(), d.Request.Replicate, since)
		return err
	}, inv.tryingAgain(ctx, d, e))
	if errors.Is(err, cbr.ErrListRefused) {
		e.refused, e.unverified = true, true
	}
	text := found.Why
	if why = kind.As(err); why != nil {
		why.Message = inv.Redact.Message(why.Message)
		text = why.Message
	}
	inv.Log.InfoContext(ctx, "looked up", "verdict", found.Verdict.String(), "error", text, "since", since,
		"vault_id", d.Request.Replicate.VaultID, "causation_id", d.CausationID)
	return found, why
}

// unseen reports whether CBR may have started copies that no look-up has shown.
func (e *effect) unseen() bool {
	if e.attempts == 0 || e.reconciled {
		return false
	}
	switch e.err.Of().Policy().Wait {
	case kind.ForEffect, kind.GrowingForEffect:
		return true
	}
	return e.err == nil
}

// accept takes what was found for CBR's answer.
func (e *effect) accept(found reconcile.Finding) {
	e.answer.Replication, e.err, e.reconciled = found.Replication, nil, true
}
