package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"cbr-replicator/internal/cbr/cbrtest"
	"cbr-replicator/internal/sandbox"
)

// accept has the function replicate vaults, and returns the accepted events.
func (r *rig) accept(vaults []string) (accepted []sandbox.Message) {
	r.t.Helper()
	for _, vault := range vaults {
		r.stack.Requests.Send(requestFor(vault), nil, "")
	}
	for len(r.stack.Requests.Messages()) > 0 {
		if failed := r.deliver(); len(failed) > 0 {
			r.t.Fatalf("not accepted: %s", failed)
		}
	}
	return r.stack.Follow.Messages()
}

// peak returns the most memory that the function's process has had, in kB; 0 where
// there is no /proc. mark is a variable that no other process has.
func peak(mark string) (kB int) {
	all, _ := filepath.Glob("/proc/[0-9]*/environ")
	for _, name := range all {
		environ, err := os.ReadFile(name)
		if err != nil || !bytes.Contains(environ, []byte(mark)) {
			continue
		}
		status, _ := os.ReadFile(filepath.Join(filepath.Dir(name), "status"))
		if _, rest, ok := bytes.Cut(status, []byte("VmHWM:")); ok {
			_, _ = fmt.Sscan(string(rest), &kB)
		}
	}
	return kB
}

// TestFollowQueue delivers a follow queue of 5,000 events about 50 vaults, half of
// which still copy, in small and in large batches. The larger a batch is, the fewer
// calls there are, and memory grows no faster than the batch.
func TestFollowQueue(t *testing.T) {
	t.Parallel()
	const queued, vaultsOf = 5000, 50
	type cost struct{ looks, publishes, visibilities, peak int } // the last in kB
	costs := map[int]cost{}
	sizes := []int{50, 1000} // 50 is the template's
	for _, size := range sizes {
		mark := fmt.Sprintf("FOLLOW_QUEUE_TEST_%d_%d", os.Getpid(), size)
		busy := map[string]bool{}
		var mu sync.Mutex
		r := newRig(t, "results", map[string]string{mark: "1", "AWS_LAMBDA_LOG_LEVEL": "INFO"},
			cbrtest.WithCopyTime(0), cbrtest.WithCopyEnds(func(c cbrtest.Copy) string {
				mu.Lock()
				defer mu.Unlock()
				if busy[c.VaultID] {
					return ""
				}
				return "success"
			}))
		vaults := r.cbr.AddVaults(cbrtest.SourceProject, vaultsOf, 3)
		mu.Lock()
		for i, v := range vaults {
			busy[v] = i%2 == 0
		}
		mu.Unlock()
		accepted := r.accept(vaults)
		r.stack.Follow.Purge()
		for i := range queued {
			m := accepted[i%vaultsOf]
			id := decode[event](t, m.Body).ID
			r.stack.Follow.Send(strings.Replace(m.Body, id, fmt.Sprintf("%s-%d", id, i), 1), m.Attributes, "")
		}
		r.slept.Add(int64(5 * time.Minute))

		before := cost{len(r.cbr.LookupCalls()), r.topic.Calls(), r.stack.SQS.Calls(), 0}
		back, changes := 0, 0
		for messages := r.stack.Follow.Receive(size); len(messages) > 0; messages = r.stack.Follow.Receive(size) {
			n := r.followBatch(messages)
			back, changes = back+n, changes+(n+9)/10
		}
		costs[size] = cost{len(r.cbr.LookupCalls()) - before.looks, r.topic.Calls() - before.publishes, r.stack.SQS.Calls() - before.visibilities, peak(mark + "=")}

		if got := costs[size].visibilities; got != changes {
			t.Errorf("batches of %d: %d calls that change visibilities, want %d: ten messages each", size, got, changes)
		}
		ended := map[string]int{}
		for _, m := range r.topic.Messages() {
			if m.Attributes["stage"] == "copy" {
				ended[decode[struct {
					Data struct {
						AcceptedID string `json:"accepted_id"`
					}
				}](t, m.Message).Data.AcceptedID+m.Attributes["status"]]++
			}
		}
		if back != queued/2 || len(ended) != queued/2 || len(r.stack.Follow.Messages()) != back {
			t.Errorf("batches of %d: %d handed back, %d ends, %d left in the queue, want %d", size, back, len(ended), len(r.stack.Follow.Messages()), queued/2)
		}
	}
	small, large := costs[sizes[0]], costs[sizes[len(sizes)-1]]
	for _, size := range sizes {
		c, batches := costs[size], queued/size
		t.Logf("batches of %d: %+v", size, c)
		// One look for each vault in a batch.
		if want := batches * min(size, vaultsOf); c.looks != want {
			t.Errorf("batches of %d: %d looks, want %d", size, c.looks, want)
		}
	}
	if large.peak > 4*small.peak {
		t.Errorf("batches of %d need %d kB, batches of %d %d kB", sizes[len(sizes)-1], large.peak, sizes[0], small.peak)
	}
}

// followBatch delivers messages of the follow queue, and returns how many are handed
// back.
func (r *rig) followBatch(messages []sandbox.Message) (back int) {
	r.t.Helper()
	mapping := sandbox.Mapping{Queue: r.stack.Follow, Invoke: func(_ context.Context, payload []byte) (sandbox.Response, error) {
		return r.invoke(payload, time.Minute), nil
	}}
	failed, _ := mapping.Deliver(r.t.Context(), messages) // invoke ends the test itself
	return len(failed)
}
