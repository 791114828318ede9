package main

import (
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"cbr-replicator/internal/cbr/cbrtest"
	"cbr-replicator/internal/sandbox"
)

// crossing holds the first look and the first request of a round until both are at
// CBR. Then their invocations run side by side.
type crossing struct {
	t        *testing.T
	mu       sync.Mutex
	look     chan struct{} // closed with the first; nil when nothing is held
	request  chan struct{}
	arrived  map[string]bool
	crossing int // so many met
}

func (c *crossing) begin() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.look, c.request, c.arrived = make(chan struct{}), make(chan struct{}), map[string]bool{}
}

func (c *crossing) see(call cbrtest.Call) {
	c.mu.Lock()
	here, other := c.look, c.request
	if call.Operation == cbrtest.CopyCheckpoint {
		here, other = other, here
	}
	first := here != nil && !c.arrived[call.Operation]
	if first {
		c.arrived[call.Operation] = true
		close(here)
	}
	c.mu.Unlock()
	if !first {
		return
	}
	select {
	case <-other:
		c.mu.Lock()
		c.crossing++
		c.mu.Unlock()
	case <-time.After(45 * time.Second):
		c.t.Errorf("no other invocation beside that of the %s", call.Operation)
	}
}

// TestFollowsAndRequests: a process takes a batch of requests and a batch of accepted
// events side by side. Each ends as it would alone. While CBR throttles every look,
// requests are still retried: looks have a budget of their own.
func TestFollowsAndRequests(t *testing.T) {
	t.Parallel()
	const rounds, batch = 5, sandbox.BatchSize
	throttled := func(round int) bool { return 0 < round && round < 4 } // longer than a retry budget lasts
	c := &crossing{t: t}
	r := newRig(t, "results", map[string]string{
		"AWS_LAMBDA_MAX_CONCURRENCY": "2", "CBR_TIMEOUT": "1m", "RETRY_MAX_ELAPSED": "1m", "RETRY_MAX_INTERVAL": "20ms",
	}, cbrtest.WithCopyTime(0), cbrtest.WithObserver(c.see))
	var all []string
	// request sends a batch for new vaults, each of which CBR refuses once.
	request := func() {
		for _, vault := range r.cbr.AddVaults(cbrtest.SourceProject, batch, 2) {
			all = append(all, vault)
			r.cbr.Script(vault, cbrtest.Unavailable())
			r.stack.Requests.Send(requestFor(vault), nil, "")
		}
	}
	request()
	if failed := r.deliver(); len(failed) > 0 {
		t.Fatalf("handed back: %s", failed)
	}
	for round := range rounds {
		r.slept.Add(int64(time.Hour))
		request()
		if throttled(round) {
			r.cbr.Script(cbrtest.Lookups, slices.Repeat([]cbrtest.Fault{cbrtest.Throttled(0)}, batch*20)...)
		}
		c.begin()
		var back int
		var failed []string
		var work sync.WaitGroup
		work.Go(func() { failed = r.deliver() })
		work.Go(func() { back = r.follow() })
		work.Wait()
		if len(failed) > 0 {
			t.Errorf("round %d: requests are handed back: %s", round, failed)
		}
		if want := map[bool]int{true: batch}[throttled(round)]; back != want {
			t.Errorf("round %d: %d accepted events are handed back, want %d", round, back, want)
		}
		if throttled(round) {
			for range batch * 20 { // use up the faults that are left
				response, err := r.cbr.Client().Get(r.cbr.URL + "/v3/" + cbrtest.SourceProject + "/backups")
				if err != nil {
					t.Fatal(err)
				}
				_ = response.Body.Close()
				if response.StatusCode != http.StatusTooManyRequests {
					break
				}
			}
		}
	}
	r.slept.Add(int64(time.Hour))
	for len(r.stack.Follow.Messages()) > 0 {
		if r.follow() > 0 {
			t.Fatal("an accepted event is handed back although its copies have ended")
		}
		r.slept.Add(int64(time.Hour))
	}

	if c.crossing != 2*rounds {
		t.Errorf("%d invocations ran beside another, want %d", c.crossing, 2*rounds)
	}
	var want []string
	for _, vault := range all {
		want = append(want, vault+" accepted", vault+" completed")
	}
	slices.Sort(want)
	var got []string
	for _, m := range r.topic.Messages() {
		got = append(got, m.Attributes["vault_id"]+" "+m.Attributes["status"])
	}
	if slices.Sort(got); !slices.Equal(got, want) {
		t.Errorf("results %q, want %q", got, want)
	}
	// Each invocation's metrics count what it did, and nothing of the one beside it.
	for _, line := range r.log {
		if !strings.Contains(line, `"_aws"`) {
			continue
		}
		m := decode[struct{ Accepted, Retries, Completed, Followed, FollowFaults int }](t, line)
		if (m.Accepted > 0) == (m.Completed+m.FollowFaults > 0) || m.Accepted > 0 && m.Retries != batch || m.Followed != m.Completed {
			t.Errorf("metrics of an invocation: %+v", m)
		}
	}
}
