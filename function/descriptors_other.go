//go:build !unix

package main

import "math"

// descriptors returns how many files and connections the process may have open at
// once. Here there is no such bound.
func descriptors() uint64 { return math.MaxUint64 }
