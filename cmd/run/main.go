// Command run shows the function at work on this machine: see package internal/sandbox/demo.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"

	"cbr-replicator/internal/sandbox/demo"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := demo.Run(ctx, os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
