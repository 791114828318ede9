// Command redrive moves dead letters back to their queue: see package internal/redrive.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"

	"cbr-replicator/internal/redrive"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	context.AfterFunc(ctx, stop) // the first interrupt ends a run in order, the second at once
	if err := redrive.Run(ctx, os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
