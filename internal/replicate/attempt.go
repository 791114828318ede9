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

// attempt is the work on one delivery: resume, send, resolve.
type attempt struct {
	*work
	d *delivery.Delivery

	// since is when the request was first tried, by our clock. Records that are not
	// older are its effect. redelivered: it may have been sent before.
	since       time.Time
	redelivered bool

	answer cbr.Answer
	err    *kind.Error
	// attempts counts the calls of replicate.
	attempts int
	// reconciled: the replication is from a lookup or from memory, not from CBR's
	// answer to this attempt.
	reconciled bool
	// unverified: a redelivery was sent, or an "unchanged" published, without a
	// lookup.
	unverified bool
	// blind: no lookup is possible, because the credential may not list backups
	// (refused) or the cloud does not show replication records.
	blind, refused bool
	// hidden: copies that were requested a moment ago may not be visible yet.
	hidden   bool
	coverage *reconcile.Coverage
	// uncovered are backups of a NotCovered.
	uncovered []string
}

// outcome returns how the attempt ended.
func (a *attempt) outcome() delivery.Outcome {
	o := delivery.Outcome{
		Success: kind.Accepted, Err: a.err, Answer: a.answer, Hidden: a.mayHaveHiddenCopies(),
		Data: result.Data{
			Replication: a.answer.Replication,
			Reconciled:  a.reconciled,
			Unverified:  a.unverified,
			Coverage:    (*result.Coverage)(a.coverage),
			Uncovered:   a.uncovered,
			Attempts:    a.attempts,
			RequestID:   a.answer.RequestID,
		},
	}
	if a.err == nil {
		o.Data.Since, o.Data.AcceptedAt = result.Stamp(a.since), result.Stamp(time.Now())
	}
	if a.attempts > 1 {
		o.Counts = append(o.Counts, metrics.Value{Name: "Retries", Count: a.attempts - 1})
	}
	if a.refused {
		o.Counts = append(o.Counts, metrics.Value{Name: "LookupsRefused", Count: 1})
	}
	return o
}

// resume reports whether the attempt ends without a call of replicate: an earlier
// delivery had its effect, or that is not known yet.
func (a *attempt) resume(ctx context.Context) (done bool) {
	a.firstTry()
	if !a.redelivered {
		return false
	}
	done = a.known(ctx) || a.lookUpFirst(ctx)
	if !done && a.claimed() {
		// The producer's time does not count: this is the first try.
		a.since, a.redelivered = time.Now(), false
		a.unverified = a.unverified || a.d.Undated
	}
	return done
}

// firstTry sets the time since when there may be an effect, and whether an earlier
// delivery may have had one.
func (a *attempt) firstTry() {
	if a.d.Redelivered && !a.d.Since.IsZero() {
		a.triedAt(a.d.Since)
	}
	if at := a.d.Request.RequestedAt; !at.IsZero() {
		a.triedAt(at)
	}
	// The trigger redelivers and does not say since when.
	a.unverified = a.d.Redelivered && !a.redelivered
}

func (a *attempt) triedAt(at time.Time) {
	a.redelivered = true
	if at.Before(a.since) {
		a.since = at
	}
}

// claimed reports whether the time of the first try comes from the producer alone.
// Then it does not prove that a replica is this request's effect.
func (a *attempt) claimed() bool { return a.d.Claimed && a.d.Request.RequestedAt.IsZero() }

// known reports whether this process remembers that CBR accepted the request.
func (a *attempt) known(ctx context.Context) bool {
	_, replication, ok := a.lookups.Recent(a.d.Request.Scope(), a.d.Request.Replicate, a.since)
	if !ok || replication == nil || a.claimed() {
		return false
	}
	a.Log.InfoContext(ctx, "known to be accepted", "since", a.since, "vault_id", a.d.Request.Replicate.VaultID, "causation_id", a.d.CausationID)
	a.accept(replication)
	return true
}

// lookUpFirst reports whether a lookup ends the attempt. If the time of the first try
// is the producer's, a lookup ends the attempt only if nothing is left to be copied.
func (a *attempt) lookUpFirst(ctx context.Context) bool {
	found, err := a.find(ctx)
	switch {
	case a.blind:
		return false
	case err != nil:
		a.err = err
		return true
	case found.Decision == reconcile.NotFound:
		return a.mayBeHidden()
	case a.claimed() && (found.Decision != reconcile.Found || found.Coverage.Missing() > 0):
		return false
	case found.Decision == reconcile.Found:
		a.accept(found.Replication)
	default:
		a.err = &kind.Error{Kind: kind.Unknown, Message: "CBR may have taken an earlier delivery: " + found.Why}
	}
	return true
}

// mayBeHidden reports whether this process sent the same request a moment ago and
// lost the answer, and no queue has waited since.
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
			a.lookups.Sent(scope, request.SourceID())
		}
		if err == nil || kind.As(err).Of() == kind.Unknown {
			a.lookups.Remember(scope, request, at, a.answer.Replication)
		}
		return err
	}, a.d.LogRetry(ctx, a.Log, &a.attempts)))
}

// resolve makes the lookup that an unclear or lost answer needs.
func (a *attempt) resolve(ctx context.Context) {
	switch {
	case a.attempts == 0:
	case a.err.Of() == kind.Unknown, a.err.Of() == kind.InProgress && a.redelivered:
		a.resolveOpen(ctx)
	case a.err != nil && a.err.Kind.Policy().Status == kind.Unchanged:
		a.confirmUnchanged(ctx)
	}
}

// resolveOpen looks up whether CBR has accepted the request. An InProgress may be
// about the copies of an earlier delivery.
func (a *attempt) resolveOpen(ctx context.Context) {
	found, err := a.find(ctx)
	switch {
	case a.blind:
	case err != nil:
		a.explain(err.Message)
	case found.Decision == reconcile.Found:
		a.accept(found.Replication)
	case found.Decision == reconcile.Undecided:
		a.explain(found.Why)
	case a.err.Kind == kind.Unknown:
		a.explain("no effect is to be seen yet")
	}
}

// confirmUnchanged compares CBR's "nothing to do" with its records: "unchanged" is
// published only if they agree. An answer without a code, which is an empty list of
// backups, is not compared.
func (a *attempt) confirmUnchanged(ctx context.Context) {
	found, err := a.find(ctx)
	hasCode := a.err.Code != ""
	switch {
	case a.blind:
	case err != nil && hasCode:
		a.err = err
	case err != nil:
		a.unverified = true
	case a.redelivered && found.Decision == reconcile.Found:
		a.accept(found.Replication)
	case a.redelivered && found.Decision == reconcile.Undecided:
		a.err.Kind = kind.Unknown
		a.explain(found.Why)
	case hasCode && found.Coverage.Missing() > 0 && a.mayAppear():
		a.hidden = true
		a.err.Kind = kind.Unknown
		a.explain("the copies that it speaks of may not be seen yet")
	case hasCode:
		a.checkCoverage(found)
	default:
		a.coverage = &found.Coverage
	}
}

// checkCoverage turns an "unchanged" into a NotCovered if backups have no replica.
func (a *attempt) checkCoverage(found reconcile.Finding) {
	a.coverage = &found.Coverage
	// CBR speaks of replicas of backups that the credential cannot see.
	a.unverified = a.unverified || a.err.Kind == kind.AlreadyReplicated && found.Coverage.Backups == 0
	if found.Coverage.Missing() > 0 {
		a.err.Kind, a.uncovered = kind.NotCovered, found.Uncovered
		a.err.Message = a.Redact.Message(notCovered(found, a.err.Message))
	}
}

// mayAppear reports whether copies of the vault may become visible soon: those of
// another delivery that this process remembers, or those of an earlier delivery of
// this request. From the third delivery on, the queue has waited for the latter.
func (a *attempt) mayAppear() bool {
	at, _, ok := a.lookups.Recent(a.d.Request.Scope(), a.d.Request.Replicate, time.Time{})
	waited := a.d.Queue.Receives >= 3
	return ok && (!waited || !at.Before(a.inv.Began)) || a.redelivered && !waited && time.Since(a.since) < reconcile.EffectTime
}

// find makes a lookup, with retries. If no lookup is possible, it sets blind.
func (a *attempt) find(ctx context.Context) (found reconcile.Finding, why *kind.Error) {
	err := a.Reads.Do(ctx, func(ctx context.Context) (err error) {
		found, err = a.lookups.Find(ctx, a.d.Request.Scope(), a.d.Request.Replicate, a.since)
		return err
	}, a.d.LogRetry(ctx, a.Log, &a.attempts))
	switch {
	case errors.Is(err, cbr.ErrListRefused):
		a.blind, a.unverified, a.refused = true, true, true
		a.warnedRefused.Do(func() {
			a.Log.WarnContext(ctx, "the credential may not list backups: redeliveries are sent without a lookup and may duplicate a copy", "error", kind.As(err).Message)
		})
	case errors.Is(err, cbr.ErrNoRecords):
		a.blind, a.unverified = true, true
		a.warnedNoRecords.Do(func() {
			a.Log.WarnContext(ctx, "this cloud does not show replication records: redeliveries and requests with requested_at are sent without a lookup and may duplicate a copy, and nothing is told of backups that have no replica", "error", kind.As(err).Message)
		})
	}
	text := found.Why
	if why = kind.As(err); why != nil {
		why.Message = a.Redact.Message(why.Message)
		text = why.Message
	}
	a.Log.InfoContext(ctx, "looked up", "verdict", found.Decision.String(), "error", text, "since", a.since,
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

// accept makes the attempt a success, with a replication from a lookup or memory.
func (a *attempt) accept(replication json.RawMessage) {
	a.answer.Replication, a.err, a.reconciled = replication, nil, true
}

// explain adds to the error's message.
func (a *attempt) explain(more string) {
	a.err.Message = a.Redact.Message(a.err.Message + "; " + more)
}
