//go:build race

package main

// buildFlags build the binary with the race detector if the tests have it.
var buildFlags = []string{"-race"}
