// Package keyed runs the deliveries of a batch side by side where they may and
// one after another where they must.
package keyed

import (
	"slices"
	"sync"
)

// Key is what no two at once may have: the ID of a thing Of a sort.
type Key struct{ Of, ID string }

// Run calls do(i) for each i in [0, n), at most limit at once, and returns when
// all have returned. Indices that share a key (a source vault, a FIFO group)
// are a lane: they run one after another, in ascending order. do must not
// panic.
func Run(n, limit int, keys func(i int) []Key, do func(i int)) {
	lanes := split(n, keys)
	if len(lanes) == 1 {
		// Another goroutine would have to be woken, which a single record feels.
		for _, i := range lanes[0] {
			do(i)
		}
		return
	}
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
func split(n int, keys func(i int) []Key) [][]int {
	joins := make([]int, n) // an earlier index of the lane, or itself
	first := func(i int) int {
		for joins[i] != i {
			joins[i] = joins[joins[i]]
			i = joins[i]
		}
		return i
	}
	having := make(map[Key]int, n)
	for i := range n {
		joins[i] = i
		for _, key := range keys(i) {
			other, ok := having[key]
			if !ok {
				having[key] = i
				continue
			}
			// i may join two lanes: the group of one, the vault of another.
			a, b := first(other), first(i)
			joins[max(a, b)] = min(a, b)
		}
	}
	all, alone := make([][]int, n), make([]int, n)
	for i := range n {
		if f := first(i); f == i {
			alone[i] = i // as most are
			all[i] = alone[i : i+1 : i+1]
		} else {
			all[f] = append(all[f], i)
		}
	}
	return slices.DeleteFunc(all, func(lane []int) bool { return lane == nil })
}

// deepen makes a goroutine's stack as deep as a delivery needs it while there is
// nothing on it yet to be moved. Growing step by step takes an eighth of the
// handler's own time (BenchmarkInvoke); a larger frame costs more than it saves.
//
//go:noinline
func deepen(i int) byte {
	var frame [6 << 10]byte
	return frame[i]
}
