// Command report makes a page or a table of the results of checks: see package
// internal/report.
package main

import (
	"cbr-replicator/internal/program"
	"cbr-replicator/internal/report"
)

func main() { program.Main(report.Run) }
