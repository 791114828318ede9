// Command serve keeps the sandbox open, with a page: see package internal/sandbox/serve.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"

	"cbr-replicator/internal/sandbox/serve"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := serve.Run(ctx, os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
