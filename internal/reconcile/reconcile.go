// Package reconcile finds out what became of a replicate request whose answer
// was lost, or that another delivery may have made before. CBR has no
// idempotency token, but it keeps a replication record for every copy that it
// was asked for: a record to the request's own destination that is no older
// than the request's first try is the request's effect.
//
// A lookup can be wrong where another writer replicates the same vault to the
// same destination in the same time, and where CBR shows an effect late: what
// is not found may still be found a minute later.
package reconcile

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"sync"
	"time"

	"cbr-replicator/internal/cbr"
	"cbr-replicator/internal/huawei"
	"cbr-replicator/internal/kind"
)

// sideBySide is how many lookups a process makes at once: each may be many
// pages long, and the calls that replicate come first.
const sideBySide = 2

// Lister lists a vault's backups, or one backup; [cbr.Client] is one. See
// [cbr.Client.ListBackups] for what it promises.
type Lister interface {
	ListBackups(ctx context.Context, src huawei.Scope, vaultID string, each func(*cbr.Backup)) (cbr.Clocks, error)
	ShowBackup(ctx context.Context, src huawei.Scope, backupID string, each func(*cbr.Backup)) (cbr.Clocks, error)
}

// Finder makes lookups, for all invocations of a process. It is safe for
// concurrent use.
type Finder struct {
	lister Lister
	slots  chan struct{}
	recent recent
}

// New returns a Finder that asks lister.
func New(lister Lister) *Finder {
	return &Finder{lister: lister, slots: make(chan struct{}, sideBySide), recent: newRecent()}
}

// Open returns an empty set of lookups for one invocation.
func (f *Finder) Open() *Lookups {
	return &Lookups{finder: f, made: map[vault]*lookup{}}
}

// Lookups are the lookups of one invocation, one for each vault. It is safe
// for concurrent use.
type Lookups struct {
	finder *Finder
	mu     sync.Mutex
	made   map[vault]*lookup
}

// vault is a source vault. Ids are compared without regard to case.
type vault struct{ region, project, id string }

func vaultOf(src huawei.Scope, id string) vault {
	return vault{src.Region, strings.ToLower(src.ProjectID), strings.ToLower(id)}
}

// Find tells what became of r, which was first tried at since by our clock. It
// takes the lookup that another delivery of the invocation has made, or is
// making, for the vault, unless one was [Lookups.Sent] since that began. One
// that fails is shared with those that wait for it, and with none after them.
//
// The error is a *kind.Error. cbr.ErrListRefused is in its chain where the
// credential may not list backups, cbr.ErrNoRecords where the cloud does not show
// what a lookup looks for. A vault that does not exist is no error: nothing was
// found there.
func (l *Lookups) Find(ctx context.Context, src huawei.Scope, r cbr.Replicate, since time.Time) (Finding, error) {
	look, err := l.lookup(ctx, src, &r)
	if err != nil {
		return Finding{}, failed(err)
	}
	return look.judge(src, r, since), nil
}

// failed says of an error that it is a lookup's.
func failed(err error) error {
	e := *kind.As(err)
	e.Message = "the lookup failed: " + e.Message
	return &e
}

// Sent tells that a replicate call was made for the vault, whatever became of
// it: what was looked up before does not show its effect.
func (l *Lookups) Sent(src huawei.Scope, sourceID string) {
	l.forget(vaultOf(src, sourceID))
}

// Took tells that CBR took a request that was sent at at, by our clock, and
// answered with replication; nil if the answer was lost, so that it may have
// taken it. The process remembers it for EffectTime.
func (l *Lookups) Took(src huawei.Scope, r cbr.Replicate, at time.Time, replication json.RawMessage) {
	l.finder.recent.keep(l.finder.recent.pair(src, r), at, replication)
}

// Recent tells what this process knows of a request that was first tried at
// since, without a lookup: when CBR took, or may have taken, the last one for
// the same vault and destination, if that was since then and within EffectTime,
// and what it answered, nil if nobody knows.
func (l *Lookups) Recent(src huawei.Scope, r cbr.Replicate, since time.Time) (at time.Time, replication json.RawMessage, ok bool) {
	c, ok := l.finder.recent.since(l.finder.recent.pair(src, r), since)
	return c.at, c.replication, ok
}

// forget has the next to ask make a lookup of its own.
func (l *Lookups) forget(v vault) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.made, v)
}

// lookup returns the vault's lookup once it is done. The first to ask makes
// it, with a ctx that serves the others too: all are of one invocation and end
// with it.
func (l *Lookups) lookup(ctx context.Context, src huawei.Scope, r *cbr.Replicate) (*lookup, error) {
	v := vaultOf(src, r.SourceID())
	l.mu.Lock()
	look, ok := l.made[v]
	if !ok {
		look = &lookup{done: make(chan struct{}), index: map[destination]int{}}
		l.made[v] = look
	}
	l.mu.Unlock()
	if !ok {
		l.fill(ctx, src, r, look)
		return look, look.err
	}
	select {
	case <-look.done:
		return look, look.err
	case <-ctx.Done():
		return nil, outOfTime(ctx)
	}
}

// fill makes look. One that fails is forgotten before its waiters learn of it.
func (l *Lookups) fill(ctx context.Context, src huawei.Scope, r *cbr.Replicate, look *lookup) {
	// Stands if the lister panics, which is the first asker's affair: the
	// others must not wait for ever.
	look.err = &kind.Error{Kind: kind.Internal, Message: "it broke off"}
	defer close(look.done)
	defer func() {
		if look.err != nil {
			l.forget(vaultOf(src, r.SourceID()))
		}
	}()
	look.err = l.finder.list(ctx, src, r, look)
}

// list asks CBR as soon as there is a slot.
func (f *Finder) list(ctx context.Context, src huawei.Scope, r *cbr.Replicate, look *lookup) (err error) {
	select {
	case f.slots <- struct{}{}:
		defer func() { <-f.slots }()
	case <-ctx.Done():
		return outOfTime(ctx)
	}
	if r.BackupID != "" {
		look.at, err = f.lister.ShowBackup(ctx, src, r.BackupID, look.add)
	} else {
		look.at, err = f.lister.ListBackups(ctx, src, r.VaultID, look.add)
	}
	if errors.Is(err, cbr.ErrNoVault) {
		look.gone = true
		return nil
	}
	return err
}

func outOfTime(ctx context.Context) error {
	return &kind.Error{Kind: kind.OutOfTime, Message: "too little of the invocation is left, others came first", Cause: ctx.Err()}
}
