package keyed_test

import (
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"cbr-replicator/internal/keyed"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestRun holds Run to its documentation, for any keys.
func TestRun(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(0, 40).Draw(t, "n")
		limit := rapid.IntRange(1, 8).Draw(t, "limit")
		key := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) keyed.Key {
			return keyed.Key{Of: rapid.StringMatching(`[gv]`).Draw(t, "of"), ID: rapid.StringMatching(`[a-f]`).Draw(t, "id")}
		}), 0, 2)
		keys := make([][]keyed.Key, n)
		for i := range keys {
			keys[i] = key.Draw(t, "keys")
		}

		var mu sync.Mutex
		var order []int
		busy := map[keyed.Key]int{}
		var running, peak atomic.Int32
		keyed.Run(n, limit, func(i int) []keyed.Key { return keys[i] }, func(i int) {
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
			// Between the two locks others may run.
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
		last := map[keyed.Key]int{}
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

// TestRunSideBySide: indices without a common key run at the same time.
func TestRunSideBySide(t *testing.T) {
	t.Parallel()
	var together sync.WaitGroup
	together.Add(3)
	keyed.Run(3, 3, func(i int) []keyed.Key { return []keyed.Key{{ID: string(rune('a' + i))}} }, func(int) {
		together.Done()
		together.Wait() // hangs if they do not
	})
}

// TestRunUpToTheLimit: as many run at once as the limit allows.
func TestRunUpToTheLimit(t *testing.T) {
	t.Parallel()
	for limit, want := range map[int]time.Duration{1: 8 * time.Second, 3: 3 * time.Second, 7: 2 * time.Second, 8: time.Second, 20: time.Second} {
		synctest.Test(t, func(t *testing.T) {
			began := time.Now()
			keyed.Run(8, limit, func(int) []keyed.Key { return nil }, func(int) { time.Sleep(time.Second) })
			if took := time.Since(began); took != want {
				t.Errorf("eight of a second each, %d at once, took %v, want %v", limit, took, want)
			}
		})
	}
}

// TestRunOfSorts: a group and a vault with the same ID are two keys.
func TestRunOfSorts(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		keyed.Run(2, 2, func(i int) []keyed.Key { return []keyed.Key{{Of: []string{"group", "vault"}[i], ID: "same"}} },
			func(int) { time.Sleep(time.Second) })
		if took := time.Since(began); took != time.Second {
			t.Errorf("took %v, want 1s", took)
		}
	})
}

// TestRunInOrder: sequences begin in the order of their first index, also if a later
// index joins two of them.
func TestRunInOrder(t *testing.T) {
	t.Parallel()
	keys := [][]keyed.Key{
		{{ID: "a"}}, {{ID: "b"}}, {{ID: "c"}}, {{ID: "a"}}, {{ID: "d"}}, {{ID: "b"}, {ID: "d"}}, {{ID: "c"}}, {{ID: "a"}},
	}
	var got []int
	keyed.Run(len(keys), 1, func(i int) []keyed.Key { return keys[i] }, func(i int) { got = append(got, i) })
	if want := []int{0, 3, 7, 1, 4, 5, 2, 6}; !slices.Equal(got, want) {
		t.Errorf("ran %v, want %v", got, want)
	}
}

// TestRunAlone: a single sequence runs in the caller's goroutine.
func TestRunAlone(t *testing.T) {
	t.Parallel()
	goroutine := func() string {
		var stack [64]byte
		id, _, _ := strings.Cut(string(stack[:runtime.Stack(stack[:], false)]), "[")
		return id
	}
	for n := range 4 {
		here, ran := goroutine(), 0
		keyed.Run(n, 10, func(int) []keyed.Key { return []keyed.Key{{ID: "a"}} }, func(i int) {
			if i != ran || goroutine() != here {
				t.Errorf("%d of %d ran in place %d, on %s, not on %s", i, n, ran, goroutine(), here)
			}
			ran++
		})
		if ran != n {
			t.Errorf("ran %d of %d", ran, n)
		}
	}
}
