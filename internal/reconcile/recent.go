package reconcile

import (
	"encoding/json"
	"hash/maphash"
	"sync"
	"time"

	"cbr-replicator/internal/cbr"
	"cbr-replicator/internal/huawei"
)

// EffectTime is how long it may take until a lookup shows an effect. Nothing is
// documented; the queue waits as long with an Unknown.
const EffectTime = time.Minute

// What is remembered of EffectTime is no more than so many calls and so many
// bytes of answers.
const (
	maxRecent        = 10_000
	maxRecentAnswers = 2 << 20
)

// recent is what CBR took, or may have taken, of this process's requests within
// EffectTime: a lookup may not show it yet. It is safe for concurrent use.
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

// pair is a source vault and where its copies go, as 128 bits that no two share:
// there may be thousands, and the collector has nothing to look for in these.
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

// call is one of CopyCheckpoint.
type call struct {
	pair pair
	at   time.Time // by our clock, before it was made
	// replication is the answer's, nil if that was lost or is not kept.
	replication json.RawMessage
}

// keep remembers a call that CBR took or, without a replication, may have taken.
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

// since returns the last call for p if it was made after first, or a little
// before, and within EffectTime.
func (r *recent) since(p pair, first time.Time) (call, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	c, ok := r.last[p]
	if !ok || time.Since(c.at) >= EffectTime || c.at.Before(first.Add(-tolerance)) {
		return call{}, false
	}
	return *c, true
}
