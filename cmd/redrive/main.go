// Command redrive moves dead letters back to their queue: see package internal/redrive.
package main

import (
	"cbr-replicator/internal/program"
	"cbr-replicator/internal/redrive"
)

func main() { program.Main(redrive.Run) }
