// Command serve keeps the sandbox open, with a page: see package internal/sandbox/serve.
package main

import (
	"cbr-replicator/internal/program"
	"cbr-replicator/internal/sandbox/serve"
)

func main() { program.Main(serve.Run) }
