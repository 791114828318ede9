package replicate

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"cbr-replicator/internal/cbr"
	"cbr-replicator/internal/delivery"
	"cbr-replicator/internal/kind"
	"cbr-replicator/internal/metrics"
	"cbr-replicator/internal/reconcile"
	"cbr-replicator/internal/result"
)

// attempt is one delivery's try to have its vault replicated: resume, send,
// resolve.
type attempt struct {
	*work
	d *delivery.Delivery

	// since is when the request was first tried, by our clock: records from then
	// on are its effect. redelivered: it may have been sent before.
	since       time.Time
	redelivered bool

	answer cbr.Answer
	err    *kind.Error
	// attempts counts the calls of replicate.
	attempts int
	// reconciled: the replication is not CBR's answer but what is known of it.
	reconciled bool
	// unverified: a redelivery was sent, or an "unchanged" believed, without a
	// lookup.
	unverified bool
	// blind: there can be no lookup, since CBR does not let the credential list
	// backups (refused) or the cloud does not show replication records.
	blind, refused bool
	// hidden: copies that were asked for a moment ago may not be seen yet.
	hidden   bool
	coverage *reconcile.Coverage
}

// outcome is what has become of the attempt.
func (a *attempt) outcome() delivery.Outcome {
	o := delivery.Outcome{
		Success: kind.Accepted, Err: a.err, Answer: a.answer, Hidden: a.mayHaveHiddenCopies(),
		Data: result.Data{
			Replication: a.answer.Replication,
			Reconciled:  a.reconciled,
			Unverified:  a.unverified,
			Coverage:    (*result.Coverage)(a.coverage),
			Attempts:    a.attempts,
			RequestID:   a.answer.RequestID,
		},
	}
	if a.attempts > 1 {
		o.Counts = append(o.Counts, metrics.Value{Name: "Retries", Count: a.attempts - 1})
	}
	if a.refused {
		o.Counts = append(o.Counts, metrics.Value{Name: "LookupsRefused", Count: 1})
	}
	return o
}

// resume reports whether the attempt is settled without a call of replicate: an
// earlier delivery had its effect, or nobody can tell yet whether one had.
func (a *attempt) resume(ctx context.Context) (settled bool) {
	a.firstTry()
	if !a.redelivered {
		return false
	}
	settled = a.known(ctx) || a.lookUpFirst(ctx)
	if !settled && a.claimed() {
		// Nothing of before counts: this is the first try.
		a.since, a.redelivered = time.Now(), false
	}
	return settled
}

// firstTry finds out since when there may be an effect, and whether an earlier
// delivery may have had one.
func (a *attempt) firstTry() {
	if a.d.Redelivered && !a.d.Since.IsZero() {
		a.triedAt(a.d.Since)
	}
	if at := a.d.Request.RequestedAt; !at.IsZero() {
		a.triedAt(at)
	}
	// A trigger that delivers again and does not say since when.
	a.unverified = a.d.Redelivered && !a.redelivered
}

func (a *attempt) triedAt(at time.Time) {
	a.redelivered = true
	if at.Before(a.since) {
		a.since = at
	}
}

// claimed: the producer alone says since when, and is not to be trusted with a
// replica.
func (a *attempt) claimed() bool { return a.d.Claimed && a.d.Request.RequestedAt.IsZero() }

// known reports whether this process itself knows that CBR took the request.
func (a *attempt) known(ctx context.Context) bool {
	_, replication, ok := a.lookups.Recent(a.d.Request.Scope(), a.d.Request.Replicate, a.since)
	if !ok || replication == nil || a.claimed() {
		return false
	}
	a.Log.InfoContext(ctx, "known to be taken", "since", a.since, "vault_id", a.d.Request.Replicate.VaultID, "causation_id", a.d.CausationID)
	a.accept(replication)
	return true
}

// lookUpFirst reports whether a lookup settles the attempt. Where the producer
// alone says since when, what is found settles it only if nothing is left to be
// copied.
func (a *attempt) lookUpFirst(ctx context.Context) bool {
	found, err := a.find(ctx)
	switch {
	case a.blind:
		return false
	case err != nil:
		a.err = err
		return true
	case found.Verdict == reconcile.NotFound:
		return a.mayBeHidden()
	case a.claimed() && (found.Verdict != reconcile.Found || found.Coverage.Missing() > 0):
		return false
	case found.Verdict == reconcile.Found:
		a.accept(found.Replication)
	default:
		a.err = &kind.Error{Kind: kind.Unknown, Message: "CBR may have taken an earlier delivery: " + found.Why}
	}
	return true
}

// mayBeHidden reports whether this process asked for the same a moment ago, with
// an answer that was lost, and nothing has waited since then, as a queue would.
func (a *attempt) mayBeHidden() bool {
	at, _, ok := a.lookups.Recent(a.d.Request.Scope(), a.d.Request.Replicate, a.since)
	if !ok || a.d.Queue.Receives > 0 && at.Before(a.inv.Began) {
		return false
	}
	a.hidden = true
	a.err = &kind.Error{Kind: kind.Unknown, Message: "CBR may have taken an earlier delivery, whose copies may not be seen yet"}
	return true
}

// send calls replicate, with retries.
func (a *attempt) send(ctx context.Context) {
	scope, request := a.d.Request.Scope(), a.d.Request.Replicate
	a.err = kind.As(a.Retry.Do(ctx, func(ctx context.Context) (err error) {
		at := time.Now()
		a.answer, err = a.CBR.Replicate(ctx, scope, request)
		if a.answer.Sent {
			a.attempts++
			a.lookups.Sent(scope, request.VaultID)
		}
		if err == nil || kind.As(err).Of() == kind.Unknown {
			a.lookups.Took(scope, request, at, a.answer.Replication)
		}
		return err
	}, a.retrying(ctx, a.d, &a.attempts)))
}

// resolve looks up what an answer, or the lack of one, leaves open.
func (a *attempt) resolve(ctx context.Context) {
	switch {
	case a.attempts == 0:
	case a.err.Of() == kind.Unknown, a.err.Of() == kind.InProgress && a.redelivered:
		a.resolveOpen(ctx)
	case a.err != nil && a.err.Kind.Policy().Status == kind.Unchanged:
		a.confirmUnchanged(ctx)
	}
}

// resolveOpen: CBR may have taken the request, or be busy with what an earlier
// delivery asked for.
func (a *attempt) resolveOpen(ctx context.Context) {
	found, err := a.find(ctx)
	switch {
	case a.blind:
	case err != nil:
		a.explain(err.Message)
	case found.Verdict == reconcile.Found:
		a.accept(found.Replication)
	case found.Verdict == reconcile.Undecided:
		a.explain(found.Why)
	case a.err.Kind == kind.Unknown:
		a.explain("no effect is to be seen yet")
	}
}

// confirmUnchanged holds CBR's "nothing to do" against its records: nobody is
// told "unchanged" that was not seen. A list of backups that is empty, in place
// of an error's code, is what it says.
func (a *attempt) confirmUnchanged(ctx context.Context) {
	found, err := a.find(ctx)
	isVerdict := a.err.Code != ""
	switch {
	case a.blind:
	case err != nil && isVerdict:
		a.err = err
	case err != nil:
		a.unverified = true
	case a.redelivered && found.Verdict == reconcile.Found:
		a.accept(found.Replication)
	case a.redelivered && found.Verdict == reconcile.Undecided:
		a.err.Kind = kind.Unknown
		a.explain(found.Why)
	case isVerdict && found.Coverage.Missing() > 0 && a.mayShow():
		a.hidden = true
		a.err.Kind = kind.Unknown
		a.explain("the copies that it speaks of may not be seen yet")
	case isVerdict:
		a.cover(found)
	default:
		a.coverage = &found.Coverage
	}
}

// cover makes an "unchanged" that leaves backups without a replica a NotCovered.
func (a *attempt) cover(found reconcile.Finding) {
	a.coverage = &found.Coverage
	// CBR speaks of replicas of backups that the credential does not see.
	a.unverified = a.unverified || a.err.Kind == kind.AlreadyReplicated && found.Coverage.Backups == 0
	if found.Coverage.Missing() > 0 {
		a.err.Kind = kind.NotCovered
		a.err.Message = a.Redact.Message(notCovered(found, a.err.Message))
	}
}

// mayShow reports whether copies for the vault may be about to show: those of
// another delivery, as far as this process knows, or of an earlier one. A queue
// has waited for these before it delivers a third time.
func (a *attempt) mayShow() bool {
	at, _, ok := a.lookups.Recent(a.d.Request.Scope(), a.d.Request.Replicate, time.Time{})
	waited := a.d.Queue.Receives >= 3
	return ok && (!waited || !at.Before(a.inv.Began)) || a.redelivered && !waited && time.Since(a.since) < reconcile.EffectTime
}

// find makes a lookup, with retries. Where there can be none there is nothing to
// find.
func (a *attempt) find(ctx context.Context) (found reconcile.Finding, why *kind.Error) {
	err := a.Reads.Do(ctx, func(ctx context.Context) (err error) {
		found, err = a.lookups.Find(ctx, a.d.Request.Scope(), a.d.Request.Replicate, a.since)
		return err
	}, a.retrying(ctx, a.d, &a.attempts))
	a.refused = a.refused || errors.Is(err, cbr.ErrListRefused)
	if a.refused || errors.Is(err, cbr.ErrNoRecords) {
		a.blind, a.unverified = true, true
	}
	text := found.Why
	if why = kind.As(err); why != nil {
		why.Message = a.Redact.Message(why.Message)
		text = why.Message
	}
	a.Log.InfoContext(ctx, "looked up", "verdict", found.Verdict.String(), "error", text, "since", a.since,
		"vault_id", a.d.Request.Replicate.VaultID, "causation_id", a.d.CausationID)
	return found, why
}

// mayHaveHiddenCopies reports whether CBR may have started copies that no lookup
// has shown.
func (a *attempt) mayHaveHiddenCopies() bool {
	if a.hidden {
		return true
	}
	if a.attempts == 0 || a.reconciled {
		return false
	}
	switch a.err.Of().Policy().Wait {
	case kind.ForEffect, kind.GrowingForEffect:
		return true
	}
	return a.err == nil
}

// accept takes what is known of CBR's answer for the answer.
func (a *attempt) accept(replication json.RawMessage) {
	a.answer.Replication, a.err, a.reconciled = replication, nil, true
}

// explain adds to what the error says.
func (a *attempt) explain(more string) {
	a.err.Message = a.Redact.Message(a.err.Message + "; " + more)
}
