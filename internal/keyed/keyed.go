// Package keyed runs the deliveries of a batch at once, except those that share a
// key: they run one after another.
package keyed

import (
	"slices"
	"sync"
)

// Key is the ID of a thing, and what the thing is: Of is "vault" or "group". No
// two indices that run at once share a key.
type Key struct{ Of, ID string }

// Run calls do(i) for each i in [0, n), at most limit at once, and returns when
// all have returned. Indices that share a key make a sequence: they run one after
// another, in ascending order. do must not panic.
func Run(n, limit int, keys func(i int) []Key, do func(i int)) {
	sequences := split(n, keys)
	if len(sequences) == 1 {
		// To wake another goroutine would cost a single record noticeable time.
		for _, i := range sequences[0] {
			do(i)
		}
		return
	}
	next := make(chan []int)
	var workers sync.WaitGroup
	for range min(limit, len(sequences)) {
		workers.Go(func() {
			deepen(0)
			for sequence := range next {
				for _, i := range sequence {
					do(i)
				}
			}
		})
	}
	for _, sequence := range sequences {
		next <- sequence
	}
	close(next)
	workers.Wait()
}

// split returns the sequences in the order of their first index.
func split(n int, keys func(i int) []Key) [][]int {
	joins := make([]int, n) // an earlier index of the sequence, or itself
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
			// i may join two sequences: the group of one, the vault of another.
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
	return slices.DeleteFunc(all, func(sequence []int) bool { return sequence == nil })
}

// deepen grows a goroutine's stack to what a delivery needs, while it is empty and
// nothing has to be moved. Growing it step by step takes an eighth of the handler's
// own time (BenchmarkInvoke). A larger frame costs more than it saves.
//
//go:noinline
func deepen(i int) byte {
	var frame [6 << 10]byte
	return frame[i]
}
