//go:build unix

package main

import (
	"math"
	"syscall"
)

// descriptors is how many files and connections the process may have open at
// once. Go has raised it to what the system allows at most.
func descriptors() uint64 {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return math.MaxUint64 // it is not known to be any
	}
	return uint64(limit.Cur) //nolint:unconvert // it is signed on FreeBSD
}
