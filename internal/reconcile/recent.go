package reconcile

import (
	"encoding/json"
	"hash/maphash"
	"sync"
	"time"

	"cbr-replicator/internal/cbr"
	"cbr-replicator/internal/huawei"
)

// EffectTime is how long it may take until a lookup shows an effect. Huawei does not
// document it. A message with the kind Unknown waits as long in the queue.
const EffectTime = time.Minute

// At most so many calls and so many bytes of answers are remembered.
const (
	maxRecent        = 10_000
	maxRecentAnswers = 2 << 20
)

// recent has the requests of this process that CBR accepted, or may have accepted,
// within EffectTime: a lookup may not show their effect yet. It is safe for
// concurrent use.
type recent struct {
	seeds   [2]maphash.Seed
	mu      sync.Mutex
	last    map[pair]*call
	calls   []*call // in their order
	answers int     // bytes of what is in last
}

func newRecent() recent {
	return recent{seeds: [2]maphash.Seed{maphash.MakeSeed(), maphash.MakeSeed()}, last: map[pair]*call{}}
}

// pair is a hash of a source vault and a destination, 128 bits long, so that no two
// share one. There may be thousands, and the garbage collector need not scan them.
type pair [2]uint64

func (r *recent) pair(src huawei.Scope, to cbr.Replicate) (p pair) {
	of := struct {
		vault
		to destination
	}{vaultOf(src, to.SourceID()), destinationOf(to.DestinationRegion, to.DestinationProjectID, to.DestinationVaultID)}
	for i, seed := range r.seeds {
		p[i] = maphash.Comparable(seed, of)
	}
	return p
}

// call is one call of CopyCheckpoint.
type call struct {
	pair pair
	at   time.Time // by our clock, before it was made
	// replication is the answer's, nil if the answer was lost or is not kept.
	replication json.RawMessage
}

// keep remembers a call that CBR accepted or, without a replication, may have
// accepted.
func (r *recent) keep(p pair, at time.Time, replication json.RawMessage) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for len(r.calls) > 0 && (len(r.calls) == maxRecent || at.Sub(r.calls[0].at) >= EffectTime) {
		r.drop(r.calls[0])
		r.calls = r.calls[1:]
	}
	was := r.last[p]
	if was != nil {
		r.answers -= len(was.replication)
	}
	c := &call{p, at, replication}
	if r.answers+len(replication) > maxRecentAnswers {
		c.replication = nil
	}
	r.answers += len(c.replication)
	r.last[p] = c
	r.calls = append(r.calls, c)
}

// drop forgets a call, unless there is a later one for its pair.
func (r *recent) drop(c *call) {
	if r.last[c.pair] == c {
		r.answers -= len(c.replication)
		delete(r.last, c.pair)
	}
}

// since returns the last call for p, if it was made within EffectTime and not before
// first, but for the tolerance.
func (r *recent) since(p pair, first time.Time) (call, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	c, ok := r.last[p]
	if !ok || time.Since(c.at) >= EffectTime || c.at.Before(first.Add(-tolerance)) {
		return call{}, false
	}
	return *c, true
}
