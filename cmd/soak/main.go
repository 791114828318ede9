// Command soak puts the function's binary through faults and counts what was lost, doubled or wrong: see package internal/sandbox/soak.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"

	"cbr-replicator/internal/sandbox/soak"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := soak.Run(ctx, os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
