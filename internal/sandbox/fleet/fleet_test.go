package fleet

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// TestEveryVaultEnds: each vault is accepted or a dead letter, once, within the
// limits of the queue and the gateway.
func TestEveryVaultEnds(t *testing.T) {
	t.Parallel()
	for i, p := range plans(2000) {
		t.Run(fmt.Sprint(i, " ", p.name), func(t *testing.T) {
			t.Parallel()
			n := simulate(p, 7)
			deliveries := 0
			for i, v := range n.fleet {
				deliveries += v.receives
				if v.ends != 1 || v.receives < 1 || v.receives > maxReceiveCount || !v.accepted && v.receives < maxReceiveCount {
					t.Fatalf("vault %d: %+v", i, v)
				}
			}
			if deliveries != n.deliveries || n.ended != p.vaults || n.inFlight != 0 || len(n.visible) != 0 || len(n.idle) != p.maximumConcurrency {
				t.Errorf("%d deliveries, want %d; %d ended, %d in flight, %d visible, %d environments idle",
					n.deliveries, deliveries, n.ended, n.inFlight, len(n.visible), len(n.idle))
			}
			if p.limit == 0 && p.down == p.topicDown && n.dead > 0 {
				t.Errorf("%d dead letters in a quiet night", n.dead)
			}
		})
	}
}

// TestOutageSurvived: an outage of an hour alone makes no dead letters, however
// small the fleet is.
func TestOutageSurvived(t *testing.T) {
	t.Parallel()
	hour := outage{0, time.Hour}
	for _, p := range []plan{{name: "CBR", down: hour}, {name: "topic", topicDown: hour}} {
		t.Run(p.name, func(t *testing.T) {
			t.Parallel()
			p.vaults, p.maximumConcurrency = 2000, 5
			if n := simulate(p, 7); n.dead > 0 || n.deliveries < 3*p.vaults {
				t.Errorf("%d dead letters, %d deliveries", n.dead, n.deliveries)
			}
		})
	}
}

// TestTopicDown: what CBR has accepted is looked up, not requested once more.
func TestTopicDown(t *testing.T) {
	t.Parallel()
	n := simulate(plan{vaults: 2000, maximumConcurrency: 5, topicDown: outage{0, 20 * time.Minute}}, 7)
	// Where the effect did not show yet there is a second call, which CBR refuses.
	if n.lookups < n.vaults || n.calls > n.vaults*11/10 {
		t.Errorf("%d calls and %d lookups for %d vaults", n.calls, n.lookups, n.vaults)
	}
}

// TestLimit: the gateway's limit is for each minute.
func TestLimit(t *testing.T) {
	t.Parallel()
	n := &night{plan: plan{limit: 3}, rng: rand.New(rand.NewPCG(7, 0))}
	var got []int
	for _, n.now = range []time.Duration{0, 59 * time.Second, time.Minute} {
		passed := 0
		for range 2 {
			if n.gateway() == nil {
				passed++
			}
		}
		got = append(got, passed)
	}
	if diff := cmp.Diff([]int{2, 1, 2}, got); diff != "" {
		t.Errorf("passed (-want +got):\n%s", diff)
	}
}

// TestInFlight: a batch is no larger than the quota for messages in flight allows.
func TestInFlight(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ inFlight, want int }{{0, batchSize}, {maxInFlight - 3, 3}, {maxInFlight, 0}} {
		n := &night{rng: rand.New(rand.NewPCG(7, 0)), inFlight: tt.inFlight, visible: make([]*vault, 20)}
		e := &environment{night: n}
		e.receive()
		if got := n.inFlight - tt.inFlight; got != tt.want || (len(n.idle) == 1) != (tt.want == 0) {
			t.Errorf("with %d in flight: a batch of %d, want %d", tt.inFlight, got, tt.want)
		}
	}
}

func TestSeed(t *testing.T) {
	t.Parallel()
	var outputs [2]bytes.Buffer
	for i := range outputs {
		if err := run(&outputs[i], 1, 500); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff(outputs[0].String(), outputs[1].String()); diff != "" {
		t.Errorf("one seed, two outputs:\n%s", diff)
	}
	if p := plans(500)[0]; simulate(p, 1).tally == simulate(p, 2).tally {
		t.Error("two seeds, one night")
	}
}

func TestClock(t *testing.T) {
	t.Parallel()
	var c clock
	var got []string
	note := func(what string) func() {
		return func() { got = append(got, fmt.Sprint(c.now, " ", what)) }
	}
	c.after(2*time.Second, note("a"))
	c.after(time.Second, func() {
		note("b")()
		c.after(time.Second, note("c"))
		c.after(0, note("d"))
	})
	c.after(time.Second, note("e"))
	c.run()
	if diff := cmp.Diff([]string{"1s b", "1s e", "1s d", "2s a", "2s c"}, got); diff != "" {
		t.Errorf("what ran when (-want +got):\n%s", diff)
	}
}
