// Command run shows the function at work on this machine: see package internal/sandbox/demo.
package main

import (
	"cbr-replicator/internal/program"
	"cbr-replicator/internal/sandbox/demo"
)

func main() { program.Main(demo.Run) }
