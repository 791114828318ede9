package fleet

import (
	"fmt"
	"testing"
	"time"
)

// TestEveryCopyEnds: each accepted request has one end, after its copies have ended.
func TestEveryCopyEnds(t *testing.T) {
	t.Parallel()
	for i, p := range followed(2000) {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			t.Parallel()
			n := simulate(p, 7)
			f := n.copies
			if f.notes.accepted != p.vaults-n.dead || f.notes.ended != f.notes.accepted || f.inFlight != 0 || len(f.visible) != 0 || len(f.idle) != p.followers {
				t.Errorf("%d accepted, %d ended, %d in flight, %d visible, %d processes idle", f.notes.accepted, f.notes.ended, f.inFlight, len(f.visible), len(f.idle))
			}
			early := 0
			for _, late := range f.notes.late {
				if late < 0 {
					early++
				}
			}
			if early != f.notes.notFollowed || f.notes.looks < f.notes.ended {
				t.Errorf("%d ends before their copies' ends, %d of them after %s; %d looks", early, f.notes.notFollowed, followFor, f.notes.looks)
			}
		})
	}
}

// TestFollowedSlower: where there is more to look at than the processes can, each
// copy is looked at less often, and nothing is given up.
func TestFollowedSlower(t *testing.T) {
	t.Parallel()
	looks := func(vaults int) float64 {
		n := simulate(plan{vaults: vaults, maximumConcurrency: 20, followers: 2}, 7)
		if n.copies.notes.notFollowed > 0 {
			t.Errorf("%d of %d vaults are not followed to the end", n.copies.notes.notFollowed, vaults)
		}
		return float64(n.copies.notes.looks) / float64(vaults)
	}
	if few, many := looks(500), looks(20_000); many > few*0.8 {
		t.Errorf("%.1f looks a vault with few vaults, %.1f with many", few, many)
	}
}

// TestPromise: a copy at half its time promises as much again.
func TestPromise(t *testing.T) {
	t.Parallel()
	c := &copied{began: time.Hour, ends: 2 * time.Hour}
	for now, want := range map[time.Duration]time.Duration{
		time.Hour:                  0,
		time.Hour + 20*time.Second: 0, // not a percent yet
		90 * time.Minute:           30 * time.Minute,
		105 * time.Minute:          15 * time.Minute,
	} {
		if got := c.promise(now); got != want {
			t.Errorf("at %s: %s, want %s", now, got, want)
		}
	}
}
