// Package lanes runs the deliveries of a batch side by side where they may and
// one after another where they must.
package lanes

import (
	"slices"
	"sync"
)

// Run calls do(i) for each i in [0, n), at most limit at once, and returns when
// all have returned. Indices that share a key (a source vault, a FIFO group)
// are a lane: they run one after another, in ascending order. do must not
// panic.
func Run(n, limit int, keys func(i int) []string, do func(i int)) {
	lanes := split(n, keys)
	next := make(chan []int)
	var workers sync.WaitGroup
	for range min(limit, len(lanes)) {
		workers.Go(func() {
			deepen(0)
			for lane := range next {
				for _, i := range lane {
					do(i)
				}
			}
		})
	}
	for _, lane := range lanes {
		next <- lane
	}
	close(next)
	workers.Wait()
}

// split returns the lanes in the order of their first index.
func split(n int, keys func(i int) []string) [][]int {
	type lane struct{ indices []int }
	var all []*lane
	of := map[string]*lane{}
	for i := range n {
		var mine *lane
		for _, key := range keys(i) {
			other, ok := of[key]
			switch {
			case ok && mine == nil:
				mine = other
			case ok && other != mine:
				// i joins two lanes: the group of one, the vault of another.
				mine.indices = append(mine.indices, other.indices...)
				other.indices = nil
				for k, l := range of {
					if l == other {
						of[k] = mine
					}
				}
			}
		}
		if mine == nil {
			mine = &lane{}
			all = append(all, mine)
		}
		mine.indices = append(mine.indices, i)
		for _, key := range keys(i) {
			of[key] = mine
		}
	}
	var out [][]int
	for _, l := range all {
		if len(l.indices) > 0 {
			slices.Sort(l.indices)
			out = append(out, l.indices)
		}
	}
	slices.SortFunc(out, func(a, b []int) int { return a[0] - b[0] })
	return out
}

// deepen makes a goroutine's stack as deep as a delivery needs it while there is
// nothing on it yet to be moved. Growing step by step took a sixth of the
// handler's own time (BenchmarkInvoke).
//
//go:noinline
func deepen(i int) byte {
	var frame [12 << 10]byte
	return frame[i]
}
