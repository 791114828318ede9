// Package check is the action check: how old is the newest replica of what a vault
// protects, and is that older than allowed? It only reads.
package check

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
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

// Key is the request's member.
const Key = "check"

// Action checks replicas. All fields are required. It is safe for concurrent use.
type Action struct {
	Lookups *reconcile.Finder
	// Reads is for lists of backups.
	Reads  retry.Policy
	Log    *slog.Logger
	Redact *redact.Redactor
}

// Key is the request's member.
func (a *Action) Key() string { return Key }

// Open returns the work of one invocation: one list of a vault's backups serves all
// its deliveries.
func (a *Action) Open(delivery.Invocation) delivery.Work {
	return &work{Action: a, lookups: a.Lookups.Open()}
}

type work struct {
	*Action
	lookups *reconcile.Lookups
}

// Keys returns none: a check changes nothing.
func (w *work) Keys(*delivery.Delivery) []keyed.Key { return nil }

// Do checks a delivery's vault. A check that cannot be made is not worth a dead
// letter: the next one tells more.
func (w *work) Do(ctx context.Context, d *delivery.Delivery) delivery.Outcome {
	replicas, err := w.look(ctx, d)
	o := delivery.Outcome{Success: kind.Current, Worthless: true, Err: w.judge(&replicas, err)}
	if err != nil || replicas.VaultGone {
		return o
	}
	o.Data = result.Data{Replica: &replicas.Replica}
	o.Counts = []metrics.Value{{Name: "VaultsChecked", Count: 1}}
	if age := replicas.AgeS; age != nil {
		o.Counts = append(o.Counts, metrics.Value{Name: "ReplicaAge", Seconds: float64(*age)})
	}
	return o
}

func (w *work) look(ctx context.Context, d *delivery.Delivery) (replicas reconcile.Replicas, err error) {
	r := &d.Request
	err = w.Reads.Do(ctx, func(ctx context.Context) (err error) {
		replicas, err = w.lookups.Replicas(ctx, r.Scope(), r.Replicate, r.MaxAge)
		return err
	}, d.LogRetry(ctx, w.Log, nil))
	return replicas, err
}

// judge says what is wrong, nil if all replicas are as new as they must be.
func (w *work) judge(r *reconcile.Replicas, err error) *kind.Error {
	n := r.Resources
	switch {
	case errors.Is(err, cbr.ErrNoRecords):
		return &kind.Error{Kind: kind.Rejected, Message: "this cloud does not show replication records, so that no age can be told: look in the destination vault"}
	case err != nil:
		return kind.As(err)
	case r.VaultGone:
		return &kind.Error{Kind: kind.Rejected, Code: "BackupService.6105", Message: "the vault does not exist"}
	case r.Backups == 0:
		return w.fault(kind.NeverReplicated, "the vault has no available backup", r)
	case n.Never > 0:
		return w.fault(kind.NeverReplicated, fmt.Sprintf("%d of %d resources have no replica there", n.Never, n.Total), r)
	case n.Stale > 0:
		return w.fault(kind.Stale, fmt.Sprintf("%d of %d resources have no replica there that is newer than %s", n.Stale, n.Total, time.Duration(r.MaxAgeS)*time.Second), r)
	}
	return nil
}

func (w *work) fault(k kind.Kind, text string, r *reconcile.Replicas) *kind.Error {
	var b strings.Builder
	b.WriteString(text)
	if worst := r.Worst; worst != nil {
		fmt.Fprintf(&b, "; the worst is %s", worst.ResourceID)
		if worst.ResourceName != "" {
			fmt.Fprintf(&b, " (%s)", worst.ResourceName)
		}
		if worst.AgeS != nil {
			fmt.Fprintf(&b, ", %s old", time.Duration(*worst.AgeS)*time.Second)
		}
	}
	b.WriteString(reconcile.Others(r.Elsewhere))
	return &kind.Error{Kind: k, Message: w.Redact.Message(b.String())}
}
