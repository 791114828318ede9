//go:build unix

package main

import (
	"math"
	"syscall"
)

// descriptors returns how many files and connections the process may have open at
// once. At its start, Go has raised that to what the system allows.
func descriptors() uint64 {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return math.MaxUint64 // no bound is known
	}
	return uint64(limit.Cur) //nolint:unconvert // it is signed on FreeBSD
}
