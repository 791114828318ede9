package soak

import (
	"fmt"
	"io"
	"maps"
	"slices"
)

// tally counts what happened in a run.
type tally struct {
	vaults, requests, invocations, deliveries    int
	follows                                      int // of the deliveries
	kills, unacknowledged                        int
	calls, accepted, lookups, publishes, changes int
	deadLetters, kept, unfollowed                int
	faults, results                              map[string]int
	complaints                                   []complaint
	faulty                                       map[string]int      // vaults, by the class of their complaints
	log                                          map[string][]string // the function's lines, by vault
}

func newTally() *tally {
	return &tally{faults: map[string]int{}, results: map[string]int{}, faulty: map[string]int{}}
}

func (t *tally) add(o *tally) {
	t.vaults += o.vaults
	t.requests += o.requests
	t.invocations += o.invocations
	t.deliveries += o.deliveries
	t.follows += o.follows
	t.kills += o.kills
	t.unacknowledged += o.unacknowledged
	t.calls += o.calls
	t.accepted += o.accepted
	t.lookups += o.lookups
	t.publishes += o.publishes
	t.changes += o.changes
	t.deadLetters += o.deadLetters
	t.kept += o.kept
	t.unfollowed += o.unfollowed
	for _, m := range []struct{ into, from map[string]int }{{t.faults, o.faults}, {t.results, o.results}, {t.faulty, o.faulty}} {
		for name, n := range m.from {
			m.into[name] += n
		}
	}
}

// complain keeps complaints, and counts each vault once in a class.
func (t *tally) complain(complaints []complaint) {
	t.complaints = complaints
	seen := map[[2]string]bool{}
	for _, c := range complaints {
		if key := [2]string{c.class, c.vault}; !seen[key] {
			seen[key] = true
			t.faulty[c.class]++
		}
	}
}

func (t *tally) allWell() bool { return len(t.faulty) == 0 }

// summary counts vaults by what is wrong with them.
func (t *tally) summary() string {
	return fmt.Sprintf("lost %d, duplicated %d, wrong %d; accepted without an end %d, with two ends %d, with a wrong end %d",
		t.faulty["lost"], t.faulty["duplicated"], t.faulty["wrong"], t.faulty[noEnd], t.faulty[twoEnds], t.faulty[endWrong])
}

// maxShown is how many vaults are shown with their log.
const maxShown = 3

// printComplaints prints what is wrong, and for the first few vaults also the
// function's log lines about them.
func (t *tally) printComplaints(out io.Writer) {
	shown := map[string]bool{}
	for _, c := range t.complaints {
		fmt.Fprintf(out, "  %s: vault %s: %s\n", c.class, c.vault, c.text)
		if len(shown) == maxShown || shown[c.vault] {
			continue
		}
		shown[c.vault] = true
		for _, line := range t.log[c.vault] {
			fmt.Fprintf(out, "    %s\n", line)
		}
	}
}

func (t *tally) print(out io.Writer) {
	fmt.Fprintf(out, "%d vaults, %d requests, %d deliveries (%d of accepted events) in %d invocations, %d of them killed, %d acknowledgements lost\n",
		t.vaults, t.requests, t.deliveries, t.follows, t.invocations, t.kills, t.unacknowledged)
	fmt.Fprintf(out, "%d calls, %d accepted, %d lookups, %d calls of the topic, %d of SQS\n", t.calls, t.accepted, t.lookups, t.publishes, t.changes)
	fmt.Fprintln(out, "faults:")
	for _, name := range slices.Sorted(maps.Keys(t.faults)) {
		fmt.Fprintf(out, "  %6d %s\n", t.faults[name], name)
	}
	fmt.Fprintln(out, "results, repeated ones included:")
	for _, name := range slices.Sorted(maps.Keys(t.results)) {
		fmt.Fprintf(out, "  %6d %s\n", t.results[name], name)
	}
	fmt.Fprintf(out, "%d dead letters, %d rejected bodies kept, %d dead letters of the follow queue\n%s\n", t.deadLetters, t.kept, t.unfollowed, t.summary())
}
