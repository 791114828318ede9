// Package serve keeps the sandbox running: the function's real binary with a Lambda
// Runtime API, two queues for requests and one for following copies, a result topic
// and a CBR that can be made to fail, and a page that shows what happens. All of it is
// on loopback. The package uses the function only as AWS does: by payloads and
// answers, environment variables, log lines and the protocol of SNS.
//
// On the same port are the function's own addresses: CBR's
// POST /v3/{project_id}/checkpoints/replicate and
// POST /v3/{project_id}/backups/{backup_id}/replicate behind an HTTP API, and
// POST /2015-03-31/functions/function/invocations as AWS's Runtime Interface
// Emulator has it.
package serve

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"cbr-replicator/internal/sandbox"
)

// Run serves until ctx ends, as args say, and prints its address on out.
func Run(ctx context.Context, args []string, out io.Writer) error {
	flags := flag.NewFlagSet("serve", flag.ExitOnError)
	port := flags.Uint("port", 8080, "the `port` on 127.0.0.1; 0 for any that is free")
	_ = flags.Parse(args) // it exits
	return run(ctx, out, *port)
}

// run serves until ctx ends.
func run(ctx context.Context, out io.Writer, port uint) error {
	listener, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.FormatUint(uint64(port), 10)))
	if err != nil {
		return fmt.Errorf("opening the port (choose another with PORT=): %w", err)
	}
	defer listener.Close()
	binary, err := sandbox.BuildFunction(ctx)
	if err != nil {
		return err
	}
	defer os.RemoveAll(filepath.Dir(binary))
	rig, err := newRig(binary, watchable)
	if err != nil {
		return err
	}
	defer rig.close()
	handler, err := rig.handler(os.DirFS("events"))
	if err != nil {
		return err
	}
	server := &http.Server{Handler: handler, ReadHeaderTimeout: 10 * time.Second}
	stop := context.AfterFunc(ctx, func() { _ = server.Close() })
	defer stop()
	fmt.Fprintf(out, "cbr-replicator on this machine: http://%s\nCtrl-C ends it.\n", listener.Addr())
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serving: %w", err)
	}
	return nil
}
