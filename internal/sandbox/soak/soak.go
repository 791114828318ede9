// Package soak puts the function's real binary through faults at every point at
// once, and counts what was lost, duplicated or told wrongly. It exits 0 only if
// nothing was.
//
// Several processes of the binary take batches from a standard and a FIFO queue
// with visibility timeouts, redrive and redelivery. CBR throttles, fails, resets
// connections before a request was taken and loses answers after; lookups and
// the topic fail too, and so does SQS where a visibility is changed or the body of
// a rejected request is kept. Processes are killed at any moment, and acknowledged messages come again. Each vault has
// records of before and of copies to elsewhere. The moment CBR has taken a
// request, the vault gets another backup, so that a needless second request
// would be taken as well, and seen.
//
// The seed decides every fault. When a fault meets which process, and in which
// order batches run, is not repeated.
//
// # Time
//
// The clocks of the function, of CBR and of every timestamp that leaves the
// queues are real. Only visibility is on a clock of the queues' own. It runs a
// hundred times as fast, and is moved ahead to the next visible message when
// there is nothing to do, so that eleven hours pass at once. The time since a
// first delivery is therefore shorter than it would be, and so is the window in
// which the function takes a record for its own.
//
// Effects show late, by less than half a second of real time: not a minute by
// the queues' clock, within which the contract expects an effect to be visible.
// So that skipping does not break this, a message is held until effects that are
// a minute old by that clock show. One that comes back sooner may be looked up
// too soon, as it may in the real world.
package soak

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"cbr-replicator/internal/sandbox"
)

// Run soaks, as args say, and prints on out what came of it. Its error says that
// something was lost, duplicated or wrong.
func Run(ctx context.Context, args []string, out io.Writer) error {
	flags := flag.NewFlagSet("soak", flag.ExitOnError)
	seed := flags.Uint64("seed", 1, "the first seed")
	seeds := flags.Int("seeds", 1, "how many seeds, one after another")
	vaults := flags.Int("vaults", 500, "how many vaults a seed has")
	duration := flags.Duration("duration", 0, "begin no seed after this time; 0 for no bound")
	_ = flags.Parse(args) // it exits
	return run(ctx, out, *seed, *seeds, *vaults, *duration)
}

// run soaks with one seed after another and prints what came of it. Its error
// says that something was lost, duplicated or wrong.
func run(ctx context.Context, out io.Writer, seed uint64, seeds, vaults int, duration time.Duration) error {
	binary, err := sandbox.BuildFunction(ctx)
	if err != nil {
		return err
	}
	defer os.RemoveAll(filepath.Dir(binary))
	began := time.Now()
	total := newTally()
	for i := range uint64(seeds) {
		if duration > 0 && time.Since(began) >= duration {
			break
		}
		seedBegan := time.Now()
		t, err := soak(ctx, binary, seed+i, vaults)
		if err != nil {
			return fmt.Errorf("seed %d: %w", seed+i, err)
		}
		fmt.Fprintf(out, "seed %d: %d vaults in %.1fs: %s\n", seed+i, vaults, time.Since(seedBegan).Seconds(), t.verdict())
		t.printComplaints(out)
		total.add(t)
	}
	fmt.Fprintln(out)
	total.print(out)
	if !total.well() {
		return fmt.Errorf("soak: %s", total.verdict())
	}
	return nil
}
