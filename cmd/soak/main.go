// Command soak puts the function's binary through faults and counts what was lost, duplicated or wrong: see package internal/sandbox/soak.
package main

import (
	"cbr-replicator/internal/program"
	"cbr-replicator/internal/sandbox/soak"
)

func main() { program.Main(soak.Run) }
