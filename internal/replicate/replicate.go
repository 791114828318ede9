// Package replicate is the action replicate: it makes CBR copy a vault to another
// region. CBR has no idempotency token. So a redelivered request is looked up
// before it is sent, and a request whose answer is lost is looked up after.
package replicate

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"cbr-replicator/internal/cbr"
	"cbr-replicator/internal/delivery"
	"cbr-replicator/internal/huawei"
	"cbr-replicator/internal/keyed"
	"cbr-replicator/internal/reconcile"
	"cbr-replicator/internal/redact"
	"cbr-replicator/internal/retry"
)

// Replicator makes one call to CBR, such as cbr.Client.
type Replicator interface {
	Replicate(context.Context, huawei.Scope, cbr.Replicate) (cbr.Answer, error)
}

// Action replicates vaults. All fields are required. It is safe for concurrent
// use.
type Action struct {
	CBR     Replicator
	Lookups *reconcile.Finder
	// Retry is for calls that replicate, Reads for lookups. Each has its own
	// budget, so that neither uses up the other's.
	Retry, Reads retry.Policy
	Log          *slog.Logger
	Redact       *redact.Redactor

	warnedRefused, warnedNoRecords sync.Once
}

// Key is the request's member.
func (a *Action) Key() string { return "replicate" }

// Open returns the work of one invocation, whose deliveries share lookups.
func (a *Action) Open(inv delivery.Invocation) delivery.Work {
	return &work{Action: a, inv: inv, lookups: a.Lookups.Open()}
}

// work is one invocation's.
type work struct {
	*Action
	inv     delivery.Invocation
	lookups *reconcile.Lookups
}

// Keys returns the source: CBR runs one replication of a vault at a time, and
// nothing is known of a backup's vault.
func (w *work) Keys(d *delivery.Delivery) []keyed.Key {
	return []keyed.Key{{Of: "source", ID: d.Request.Replicate.SourceID()}}
}

// Do replicates a delivery's vault.
func (w *work) Do(ctx context.Context, d *delivery.Delivery) delivery.Outcome {
	a := &attempt{work: w, d: d, since: time.Now()}
	if done := a.resume(ctx); !done {
		a.send(ctx)
		a.resolve(ctx)
	}
	return a.outcome()
}
