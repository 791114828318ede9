// Command release makes the zips and the notes of a release: see package internal/release.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"

	"cbr-replicator/internal/release"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := release.Run(ctx, os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
