// Package fleet simulates a night in which every vault of a large fleet is
// replicated, under CBR's limits and outages and with various values of
// MaximumConcurrency. It shows how long the night takes, how often CBR is called,
// what is redelivered and how many dead letters there are. Then it simulates nights
// whose copies are followed to their ends: how often CBR is asked, and how late an
// end is told. docs/fleet.md has such an output and what follows from it.
//
// Time is simulated, and the same seed gives the same night. The project's own
// code decides what is retried in place and whether the budget allows it
// (internal/retry, internal/kind), how long a message stays out of sight
// (internal/visibility), within which time an effect shows (internal/reconcile) and
// when it looks again at copies that go on (internal/follow). The rest of the handler, the queue, CBR and the topic are a
// model, with the figures of night.go.
package fleet

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"slices"
	"text/tabwriter"
	"time"
)

// Run simulates nights, as args say, and prints them on out.
func Run(_ context.Context, args []string, out io.Writer) error {
	flags := flag.NewFlagSet("fleet", flag.ExitOnError)
	seed := flags.Uint64("seed", 1, "the seed; the same gives the same nights")
	vaults := flags.Int("vaults", 1_000_000, "how many vaults the fleet has")
	_ = flags.Parse(args) // it exits
	if *vaults < 1 {
		return errors.New("a fleet has at least one vault")
	}
	return run(out, *seed, *vaults)
}

// small is how many vaults a small fleet has. Its messages are delivered often,
// so that an outage uses up the deliveries of each.
const small = 2_000

// plans are the nights that are simulated.
func plans(vaults int) []plan {
	base := plan{vaults: vaults, maximumConcurrency: 5, noise: 0.001, busy: 0.01}
	hour := outage{0, time.Hour}
	var all []plan
	add := func(name string, change func(*plan)) {
		p := base
		p.name = name
		change(&p)
		all = append(all, p)
	}
	for _, n := range []int{2, 5, 10, 20, 50} {
		add("quiet", func(p *plan) { p.maximumConcurrency = n })
	}
	for _, t := range []struct{ limit, maximumConcurrency int }{{6000, 5}, {6000, 10}, {6000, 20}, {3000, 5}, {1000, 2}, {1000, 5}} {
		add("throttled", func(p *plan) { p.limit, p.maximumConcurrency = t.limit, t.maximumConcurrency })
	}
	add("CBR down for an hour", func(p *plan) { p.down = hour })
	add("CBR down for an hour", func(p *plan) { p.down, p.vaults = hour, min(small, vaults) })
	add("topic down for an hour", func(p *plan) { p.topicDown = hour })
	add("topic down for an hour", func(p *plan) { p.topicDown, p.vaults = hour, min(small, vaults) })
	return all
}

// followed are the nights whose copies are followed to their ends.
func followed(vaults int) []plan {
	base := plan{vaults: vaults, maximumConcurrency: 5, followers: 2, noise: 0.001, busy: 0.01}
	var all []plan
	add := func(change func(*plan)) {
		p := base
		change(&p)
		all = append(all, p)
	}
	for _, n := range []int{100, 10, 4, 2, 1} {
		add(func(p *plan) { p.vaults = max(vaults/n, 1) })
	}
	for _, n := range []int{5, 10, 20} {
		add(func(p *plan) { p.followers = n })
	}
	for _, t := range []struct{ limit, followers int }{{6000, 2}, {6000, 5}, {3000, 2}} {
		add(func(p *plan) { p.limit, p.followers = t.limit, t.followers })
	}
	return all
}

// run prints a line for each plan, how the price of the first is made up, and a line
// for each night that is followed.
func run(out io.Writer, seed uint64, vaults int) error {
	fmt.Fprintf(out, "MC: MaximumConcurrency; limit: requests a minute; 99 %%, all: hours until as many had ended;\n"+
		"calls, lookups: of CBR, a vault; retries: in place; dead: dead letters; USD: list prices, %s; seed %d\n\n", pricesOf, seed)
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "night\tvaults\tMC\tlimit\t99 %\tall\tcalls\tlookups\tretries\tredelivered\tdead\tUSD\t")
	var bill string
	for _, p := range plans(vaults) {
		n := simulate(p, seed)
		each := 1 / float64(p.vaults)
		total, arithmetic := n.price()
		fmt.Fprintf(w, "%s\t%d\t%d\t%s\t%s\t%s\t%.2f\t%.2f\t%d\t%d\t%d\t%.2f\t\n", p.name, p.vaults, p.maximumConcurrency, p.limits(),
			clockTime(n.mostly), clockTime(n.finished), float64(n.calls)*each, float64(n.lookups)*each,
			n.retries, n.deliveries-p.vaults, n.dead, total)
		if bill == "" {
			bill = arithmetic
		}
	}
	if err := w.Flush(); err != nil {
		return err
	}
	fmt.Fprintf(out, "\nThe first line's price:\n%s\n", bill)

	fmt.Fprint(out, "Followed to the end. Follow: MaximumConcurrency of the follow queue; requested: hours until all requests had ended;\n"+
		"looks: calls of CBR, a vault, and the most in a minute; last: hours until the last end was told; late: hours from\n"+
		"the end of a copy to its result, of half and of 99 % of the copies; open: not ended in 72 hours; dead: dead letters;\n"+
		"USD: what following costs\n\n")
	fmt.Fprintln(w, "vaults\tMC\tFollow\tlimit\trequested\tlooks\ta minute\tlast\tlate 50 %\tlate 99 %\topen\tdead\tUSD\t")
	for _, p := range followed(vaults) {
		n := simulate(p, seed)
		f := &n.copies.notes
		slices.Sort(f.late)
		fmt.Fprintf(w, "%d\t%d\t%d\t%s\t%s\t%.2f\t%d\t%s\t%s\t%s\t%d\t%d\t%.2f\t\n", p.vaults, p.maximumConcurrency, p.followers, p.limits(),
			clockTime(n.finished), float64(f.looks)/float64(p.vaults), f.busiest, clockTime(f.last),
			clockTime(f.share(50)), clockTime(f.share(99)), f.notFollowed, n.dead, f.price())
	}
	return w.Flush()
}

// limits is the gateway's limit as text.
func (p *plan) limits() string {
	if p.limit == 0 {
		return "none"
	}
	return fmt.Sprint(p.limit)
}

// share returns how late so many of a hundred ends were at the most.
func (f *told) share(percent int) time.Duration {
	if len(f.late) == 0 {
		return 0
	}
	return f.late[(len(f.late)-1)*percent/100]
}

// clockTime is d in hours and minutes.
func clockTime(d time.Duration) string {
	d = d.Round(time.Minute)
	return fmt.Sprintf("%d:%02d", d/time.Hour, d%time.Hour/time.Minute)
}
