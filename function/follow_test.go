package main

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"cbr-replicator/internal/cbr"
	"cbr-replicator/internal/cbr/cbrtest"
	"cbr-replicator/internal/delivery"
	"cbr-replicator/internal/kind"
	"cbr-replicator/internal/result"
	"cbr-replicator/internal/sandbox"
)

// follow delivers the visible messages of the follow queue to the function, and returns
// how many are handed back.
func (r *rig) follow() (back int) {
	r.t.Helper()
	mapping := sandbox.Mapping{Queue: r.stack.Follow, Invoke: func(_ context.Context, payload []byte) (sandbox.Response, error) {
		return r.invoke(payload, time.Minute), nil
	}}
	messages := r.stack.Follow.Receive(sandbox.BatchSize)
	if len(messages) == 0 {
		return 0
	}
	failed, _ := mapping.Deliver(r.t.Context(), messages) // invoke ends the test itself
	return len(failed)
}

// ends returns the results about copies, by vault.
func (r *rig) ends() (all []string) {
	r.t.Helper()
	for _, m := range r.topic.Messages() {
		if m.Attributes["stage"] == "copy" {
			data := decode[struct{ Data result.Data }](r.t, m.Message).Data
			all = append(all, fmt.Sprintf("%.8s %s %s %+v", m.Attributes["vault_id"], data.Status, m.Attributes["kind"], *data.Copies))
		}
	}
	slices.Sort(all)
	return all
}

// TestFollowed goes from a request to the end of its copies, with the built binary and
// the clock of a stand-in for CBR. Every accepted result has one end.
func TestFollowed(t *testing.T) {
	t.Parallel()
	var r *rig
	r = newRig(t, "results", map[string]string{"HW_ENTERPRISE_PROJECT_ID": ""},
		cbrtest.WithCopyTime(time.Hour), cbrtest.WithClock(func() time.Time {
			if r == nil {
				return time.Now()
			}
			return time.Now().Add(time.Duration(r.slept.Load()))
		}))
	r.cbr.AddVault(cbrtest.Vault{ID: "5d5a8d2e-0f4a-4f5c-9c58-0b9d6f7a1e11", ProjectID: cbrtest.SourceProject})
	for i, copyError := range []string{"", "BackupService.6203"} {
		r.cbr.AddBackup(cbrtest.Backup{ID: fmt.Sprintf("6e0b9f1a-7d52-4e4b-8c39-41d21a3c5f%02d", i), VaultID: "5d5a8d2e-0f4a-4f5c-9c58-0b9d6f7a1e11", CopyError: copyError})
	}
	for _, vault := range []string{cbrtest.SourceVault, "5d5a8d2e-0f4a-4f5c-9c58-0b9d6f7a1e11"} {
		r.stack.Requests.Send(requestFor(vault), nil, "")
	}
	r.deliver()
	if got := r.statuses(); len(got) != 2 || !strings.Contains(strings.Join(got, ","), "accepted") {
		t.Fatalf("results %v", got)
	}
	if n := r.follow(); n != 0 {
		t.Errorf("%d messages are followed at once", n)
	}
	// The clocks of CBR and of the queues go on, ours does not. So the age of the
	// event stays under a quarter of an hour, and each wait is two minutes.
	looks := 0
	for range 60 {
		r.slept.Add(int64(150 * time.Second))
		looks += r.follow()
	}
	want := []string{
		"3b5816b5 completed  {Total:3 Succeeded:3 Failed:0 Skipped:0 Unknown:0}",
		"5d5a8d2e partial CopyIncomplete {Total:2 Succeeded:1 Failed:1 Skipped:0 Unknown:0}",
	}
	if got := r.ends(); !slices.Equal(got, want) {
		t.Errorf("ends %q, want %q", got, want)
	}
	if left := len(r.stack.Follow.Messages()); left != 0 || looks < 10 {
		t.Errorf("%d left after %d looks", left, looks)
	}
	if n := len(r.cbr.Calls()); n != 2 {
		t.Errorf("%d calls that replicate, want 2: a look never posts", n)
	}
	for _, line := range r.lines("delivery") {
		if line["status"] == "copying" && line["level"] != "INFO" {
			t.Errorf("log line %v", line)
		}
	}

	t.Run("its own ends", func(t *testing.T) {
		before := len(r.topic.Messages())
		for _, m := range r.topic.Messages() {
			if m.Attributes["stage"] == "copy" {
				r.stack.Follow.Send(m.Message, m.Attributes, "")
				r.stack.Requests.Send(m.Message, m.Attributes, "")
			}
		}
		r.slept.Add(int64(time.Hour))
		if n, failed := r.follow(), r.deliver(); n > 0 || len(failed) > 0 || len(r.topic.Messages()) != before {
			t.Errorf("%d and %v handed back, %d results, want %d", n, failed, len(r.topic.Messages()), before)
		}
	})
	t.Run("twice", func(t *testing.T) {
		ids := map[string]int{}
		for range 2 {
			for _, m := range r.topic.Messages() {
				if m.Attributes["status"] == "accepted" {
					r.stack.Follow.Send(m.Message, m.Attributes, "")
				}
			}
		}
		r.slept.Add(int64(time.Hour))
		r.follow()
		for _, m := range r.topic.Messages() {
			if m.Attributes["stage"] == "copy" {
				ids[decode[struct{ ID string }](t, m.Message).ID]++
			}
		}
		if len(ids) != 2 {
			t.Errorf("ids %v, want two", ids)
		}
	})
	t.Run("another's", func(t *testing.T) {
		before := len(r.topic.Messages())
		m := r.topic.Messages()[0]
		r.stack.Follow.Send(strings.ReplaceAll(m.Message, cbrtest.SourceProject, "00000000000000000000000000000001"), m.Attributes, "")
		r.slept.Add(int64(time.Hour))
		if n := r.follow(); n != 0 || len(r.topic.Messages()) != before {
			t.Errorf("%d handed back, %d results, want %d", n, len(r.topic.Messages()), before)
		}
		if lines := r.lines("delivery"); lines[len(lines)-1]["status"] != "not mine" {
			t.Errorf("log line %v", lines[len(lines)-1])
		}
	})
	t.Run("asked for", func(t *testing.T) {
		var accepted string
		for _, m := range r.topic.Messages() {
			if m.Attributes["status"] == "accepted" && m.Attributes["vault_id"] == cbrtest.SourceVault {
				accepted = m.Message
			}
		}
		before := len(r.topic.Messages())
		answer := r.invoke([]byte(`{"follow":`+accepted+`}`), time.Minute)
		if data := decode[result.Data](t, string(answer.Payload)); answer.Error != nil || data.Status != kind.Completed || data.Copies.Succeeded != 3 || len(r.topic.Messages()) != before {
			t.Errorf("answer %s, %v", answer.Payload, answer.Error)
		}
		foreign := strings.ReplaceAll(accepted, cbrtest.SourceProject, "00000000000000000000000000000001")
		if answer := r.invoke([]byte(`{"follow":`+foreign+`}`), time.Minute); answer.Error == nil || answer.Error.Type != "CBR.NotAllowed" {
			t.Errorf("answer %s, %v", answer.Payload, answer.Error)
		}
	})
}

func requestFor(vault string) string {
	body, _ := json.Marshal(delivery.Request{
		ProjectID: cbrtest.SourceProject, Region: cbrtest.SourceRegion,
		Replicate: cbr.Replicate{VaultID: vault, DestinationVaultID: cbrtest.DestinationVault, DestinationProjectID: cbrtest.DestinationProject, DestinationRegion: cbrtest.DestinationRegion},
	})
	return string(body)
}
