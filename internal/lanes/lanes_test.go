package lanes_test

import (
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"cbr-replicator/internal/lanes"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestRun holds Run to all it promises, whatever the keys.
func TestRun(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(0, 40).Draw(t, "n")
		limit := rapid.IntRange(1, 8).Draw(t, "limit")
		key := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) lanes.Key {
			return lanes.Key{Of: rapid.StringMatching(`[gv]`).Draw(t, "of"), ID: rapid.StringMatching(`[a-f]`).Draw(t, "id")}
		}), 0, 2)
		keys := make([][]lanes.Key, n)
		for i := range keys {
			keys[i] = key.Draw(t, "keys")
		}

		var mu sync.Mutex
		var order []int
		busy := map[lanes.Key]int{}
		var running, peak atomic.Int32
		lanes.Run(n, limit, func(i int) []lanes.Key { return keys[i] }, func(i int) {
			now := running.Add(1)
			for p := peak.Load(); now > p && !peak.CompareAndSwap(p, now); p = peak.Load() {
			}
			mu.Lock()
			for _, k := range slices.Compact(slices.Clone(keys[i])) {
				if busy[k]++; busy[k] > 1 {
					t.Errorf("two at once with key %v", k)
				}
			}
			order = append(order, i)
			mu.Unlock()
			// A second stretch under the lock lets others in between.
			mu.Lock()
			for _, k := range slices.Compact(slices.Clone(keys[i])) {
				busy[k]--
			}
			mu.Unlock()
			running.Add(-1)
		})

		if int(peak.Load()) > limit {
			t.Fatalf("%d at once, limit %d", peak.Load(), limit)
		}
		last := map[lanes.Key]int{}
		for _, i := range order {
			for _, k := range keys[i] {
				if prev, ok := last[k]; ok && prev > i {
					t.Fatalf("%d before %d with key %v", prev, i, k)
				}
				last[k] = i
			}
		}
		slices.Sort(order)
		for i, got := range order {
			if got != i {
				t.Fatalf("ran %v, want each of %d once", order, n)
			}
		}
		if len(order) != n {
			t.Fatalf("ran %d of %d", len(order), n)
		}
	})
}

// TestRunSideBySide: distinct keys do run at the same time, up to the limit.
func TestRunSideBySide(t *testing.T) {
	t.Parallel()
	var together sync.WaitGroup
	together.Add(3)
	lanes.Run(3, 3, func(i int) []lanes.Key { return []lanes.Key{{ID: string(rune('a' + i))}} }, func(int) {
		together.Done()
		together.Wait() // hangs if they do not
	})
}
