// Command release makes the zips and the notes of a release: see package internal/release.
package main

import (
	"cbr-replicator/internal/program"
	"cbr-replicator/internal/release"
)

func main() { program.Main(release.Run) }
