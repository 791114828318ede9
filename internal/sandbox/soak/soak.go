// Package soak runs the function's real binary with faults at every point at once,
// and counts what was lost, duplicated or wrong. It exits 0 only if nothing was.
//
// Several processes of the binary get batches from a standard and a FIFO queue
// with visibility timeouts, redelivery and dead letters. CBR throttles, fails,
// resets connections before it accepts a request, and loses answers after that.
// Lookups and the topic fail, too, and so does SQS when a visibility is changed or
// the body of a rejected request is kept. Processes are killed at any moment, and
// acknowledged messages are redelivered. Each vault has earlier records, and
// records of copies to other places. When CBR has accepted a request, the vault
// gets another backup at once. So a needless second request would be accepted,
// too, and would be seen.
//
// The function also follows what it has accepted. The accepted results are in the
// follow queue, and come to the same processes under the same faults. Copies fail,
// are skipped, never end, or lose their source backup. Each accepted result must
// have one end, or several with one id, which says of each copy what CBR says.
//
// The seed decides every fault. It does not decide which process meets a fault,
// nor in which order batches run.
//
// # Time
//
// The function, CBR and every timestamp of a message use the real time. Only
// visibility uses the queues' own clock. That clock is a hundred times as fast. If
// there is nothing to do, it skips to the next visible message, so that eleven
// hours pass at once. So the time since a first delivery is shorter than in
// reality, and so is the time within which the function counts a record as its own.
//
// Effects show late, by less than half a second of real time. By the queues' clock
// that is less than the minute within which the function expects an effect. So
// that skipping does not break this, a message is held until the effects show that
// are a minute old by that clock. A message that is redelivered sooner may be
// looked up too soon, as in reality.
//
// A copy ends when its vault was listed a few times since it was first seen. The
// queues' clock brings these looks. At the latest it ends three seconds of real time
// after it began, and the function follows for four.
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

// Run soaks as args choose, and prints the result on out. Its error says that
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
		fmt.Fprintf(out, "seed %d: %d vaults in %.1fs: %s\n", seed+i, vaults, time.Since(seedBegan).Seconds(), t.summary())
		t.printComplaints(out)
		total.add(t)
	}
	fmt.Fprintln(out)
	total.print(out)
	if !total.allWell() {
		return fmt.Errorf("soak: %s", total.summary())
	}
	return nil
}
