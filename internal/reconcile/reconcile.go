// Package reconcile finds out what became of a replicate request whose answer was
// lost, or that an earlier delivery may have sent. CBR has no idempotency token, but
// it keeps a replication record of every copy. A record is the request's effect if
// it goes to the request's destination and is not older than the request's first
// try.
//
// A lookup can be wrong if somebody else replicates the same vault to the same
// destination at the same time. It can also be too early: CBR may show an effect a
// minute late.
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

// sideBySide is how many lookups a process makes at once. Each may be many pages
// long, and the calls that replicate are more urgent.
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

// Find tells what became of r, which was first tried at since by our clock. If
// another delivery of the invocation has looked up the vault, or is doing so, Find
// uses that lookup, unless a request was [Lookups.Sent] after it began. If the
// lookup fails, all who wait for it get the error. The next call makes a new one.
//
// The error is a *kind.Error. cbr.ErrListRefused is in its chain if the credential
// may not list backups, cbr.ErrNoRecords if the cloud does not show replication
// records. A vault that does not exist is not an error: nothing was found there.
func (l *Lookups) Find(ctx context.Context, src huawei.Scope, r cbr.Replicate, since time.Time) (Finding, error) {
	look, err := l.lookup(ctx, src, &r)
	if err != nil {
		return Finding{}, failed(err)
	}
	return look.decide(src, r, since), nil
}

// failed says of an error that it is a lookup's.
func failed(err error) error {
	e := *kind.As(err)
	e.Message = "the lookup failed: " + e.Message
	return &e
}

// Sent tells that a replicate call was made for the source, whatever its answer was. A
// lookup from before does not show its effect, so it is dropped.
func (l *Lookups) Sent(src huawei.Scope, sourceID string) {
	l.forget(vaultOf(src, sourceID))
}

// Remember has the process remember for EffectTime that CBR accepted a request that
// was sent at at, by our clock. replication is CBR's answer, or nil if the answer was
// lost: then CBR may have accepted the request.
func (l *Lookups) Remember(src huawei.Scope, r cbr.Replicate, at time.Time, replication json.RawMessage) {
	l.finder.recent.keep(l.finder.recent.pair(src, r), at, replication)
}

// Recent tells, without a lookup, what this process remembers of a request that was
// first tried at since. ok is true if within EffectTime, and not before since, CBR
// accepted, or may have accepted, a request for the same vault and destination. at
// is when the last one was sent, replication is CBR's answer, nil if it is not known.
func (l *Lookups) Recent(src huawei.Scope, r cbr.Replicate, since time.Time) (at time.Time, replication json.RawMessage, ok bool) {
	c, ok := l.finder.recent.since(l.finder.recent.pair(src, r), since)
	return c.at, c.replication, ok
}

// forget drops a vault's lookup, so that the next call makes a new one.
func (l *Lookups) forget(v vault) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.made, v)
}

// lookup returns the lookup of r's source once it is done. The first caller makes it.
// Its ctx is good for the others too, since all calls are of one invocation.
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

// fill makes the lookup. If it fails, it is dropped before those who wait for it get
// the error.
func (l *Lookups) fill(ctx context.Context, src huawei.Scope, r *cbr.Replicate, look *lookup) {
	// This error stays if the lister panics. The panic reaches the first caller; the
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
