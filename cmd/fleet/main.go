// Command fleet simulates the nights of a large fleet: see package internal/sandbox/fleet.
package main

import (
	"cbr-replicator/internal/program"
	"cbr-replicator/internal/sandbox/fleet"
)

func main() { program.Main(fleet.Run) }
