// Package program runs the commands that people run: see cmd/.
package program

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
)

// Main runs a command with the arguments of the process. If it returns an error, Main writes it to standard error and ends the
// process with status 1. The first interrupt ends run's context, the second ends the process at once.
func Main(run func(ctx context.Context, args []string, out io.Writer) error) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	context.AfterFunc(ctx, stop)
	if err := run(ctx, os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
