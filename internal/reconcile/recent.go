package reconcile

import (
	"encoding/json"
	"sync"
	"time"

	"cbr-replicator/internal/cbr"
	"cbr-replicator/internal/huawei"
)

// EffectTime is how long it may take until a look-up shows an effect. Nothing is
// documented; the queue waits as long with an Unknown.
const EffectTime = time.Minute

// What is remembered of EffectTime is no more than so many calls and so many
// bytes of answers.
const (
	maxRecent        = 10_000
	maxRecentAnswers = 2 << 20
)

// recent is what CBR took, or may have taken, of this process's requests within
// EffectTime: a look-up may not show it yet. It is safe for concurrent use.
type recent struct {
	mu      sync.Mutex
	last    map[pair]call
	calls   []call // in their order
	answers int    // bytes of what is in last
}

// pair is a source vault and where its copies go.
type pair struct {
	vault
	to destination
}

func pairOf(src huawei.Scope, r cbr.Replicate) pair {
	return pair{vaultOf(src, r.VaultID), destinationOf(r.DestinationRegion, r.DestinationProjectID, r.DestinationVaultID)}
}

// call is one of CopyCheckpoint.
type call struct {
	pair
	at time.Time // by our clock, before it was made
	// replication is the answer's, nil if that was lost or is not kept.
	replication json.RawMessage
}

// keep remembers a call that CBR took or, without a replication, may have taken.
func (r *recent) keep(p pair, at time.Time, replication json.RawMessage) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for len(r.calls) > 0 && (len(r.calls) == maxRecent || at.Sub(r.calls[0].at) >= EffectTime) {
		if first := r.calls[0]; r.last[first.pair].at.Equal(first.at) {
			r.drop(first.pair)
		}
		r.calls = r.calls[1:]
	}
	r.drop(p)
	if r.answers+len(replication) > maxRecentAnswers {
		replication = nil
	}
	r.last[p] = call{p, at, replication}
	r.answers += len(replication)
	r.calls = append(r.calls, call{pair: p, at: at})
}

func (r *recent) drop(p pair) {
	r.answers -= len(r.last[p].replication)
	delete(r.last, p)
}

// since returns the last call for p if it was made after first, or a little
// before, and within EffectTime.
func (r *recent) since(p pair, first time.Time) (call, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	c, ok := r.last[p]
	return c, ok && time.Since(c.at) < EffectTime && !c.at.Before(first.Add(-tolerance))
}
