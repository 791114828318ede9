package main

import (
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"cbr-replicator/internal/cbr/cbrtest"
	"cbr-replicator/internal/kind"
	"cbr-replicator/internal/result"
)

// checkOf returns a check of a vault.
func checkOf(vault, maxAge string) string {
	to := map[string]string{
		"destination_vault_id": cbrtest.DestinationVault, "destination_project_id": cbrtest.DestinationProject, "destination_region": cbrtest.DestinationRegion,
	}
	for name, value := range map[string]string{"vault_id": vault, "max_age": maxAge} {
		if value != "" {
			to[name] = value
		}
	}
	body, _ := json.Marshal(map[string]any{"check": to}) // texts always encode
	return string(body)
}

// addAged adds three vaults with the tag dr=gold and returns their ids: one whose newest
// backup has a replica, one whose newest replica is two days old, and one without any.
func (r *rig) addAged() (current, stale, never string) {
	ids := r.cbr.AddVaults(cbrtest.SourceProject, 3, 0)
	now := time.Now()
	for i, id := range ids {
		r.cbr.AddVault(cbrtest.Vault{ID: id, ProjectID: cbrtest.SourceProject, Tags: []cbrtest.Tag{{Key: "dr", Value: "gold"}}})
		for j, age := range []time.Duration{time.Hour, 48 * time.Hour} {
			backup := strings.Replace(id, id[:2], "b"+strconv.Itoa(j), 1)
			r.cbr.AddBackup(cbrtest.Backup{ID: backup, VaultID: id, CreatedAt: now.Add(-age)})
			if i == 0 || i == 1 && j == 1 {
				r.cbr.AddRecord(backup, cbrtest.Record{CreatedAt: now.Add(-age + time.Minute)})
			}
		}
	}
	return ids[0], ids[1], ids[2]
}

// TestCheck asks for the age of replicas: from the queue, in a direct call, and for an
// estate. It replicates nothing.
func TestCheck(t *testing.T) {
	t.Parallel()
	r := newRig(t, "results", nil)
	current, stale, never := r.addAged()
	want := map[string]struct {
		status, kind, eventType string
		age                     time.Duration // zero: none
	}{
		current: {"current", "", "cbr.replica.current.v1", time.Hour},
		stale:   {"stale", "Stale", "cbr.replica.stale.v1", 48 * time.Hour},
		never:   {"stale", "NeverReplicated", "cbr.replica.stale.v1", 0},
	}
	told := func(from int, correlation string) {
		t.Helper()
		got := map[string]bool{}
		for _, m := range r.topic.Messages()[from:] {
			if m.Attributes["status"] == "planned" {
				continue
			}
			e, vault := decode[planned](t, m.Message), m.Attributes["vault_id"]
			w := want[vault]
			got[vault] = true
			if m.Attributes["status"] != w.status || m.Attributes["kind"] != w.kind || e.Type != w.eventType || e.Subject != "vaults/"+vault {
				t.Errorf("result %s with %v", m.Message, m.Attributes)
			}
			if correlation != "" && e.CorrelationID != correlation {
				t.Errorf("correlation id %s", e.CorrelationID)
			}
			checkAge(t, e.Data.Replica, w.age)
		}
		if ids := slices.Sorted(maps.Keys(got)); !slices.Equal(ids, slices.Sorted(maps.Keys(want))) {
			t.Errorf("results of %v", ids)
		}
	}

	for vault := range want {
		r.stack.Requests.Send(checkOf(vault, ""), nil, "")
	}
	if back := r.deliverAll(); back != 0 {
		t.Errorf("%d handed back", back)
	}
	told(0, "")
	from := len(r.topic.Messages())
	for vault, w := range want {
		answer := r.invoke([]byte(checkOf(vault, "30h")), time.Minute)
		data := decode[result.Data](t, string(answer.Payload))
		if answer.Error != nil || string(data.Status) != w.status || data.Attempts != 0 {
			t.Errorf("answer %s", answer.Payload)
		}
		checkAge(t, data.Replica, w.age)
	}
	told(from, "")
	from = len(r.topic.Messages())
	r.stack.Requests.Send(planOf("check", nil), nil, "")
	if back := r.deliverAll(); back != 0 {
		t.Errorf("%d handed back", back)
	}
	told(from, "nightly")
	if plans := r.results("planned"); len(plans) != 1 || plans[0].Type != "cbr.replica.planned.v1" {
		t.Errorf("plans %+v", plans)
	}

	// The same replica is old enough for one, and not for the other.
	for maxAge, want := range map[string]kind.Status{"3d": "current", "3600m": "current", "40h": "stale"} {
		answer := r.invoke([]byte(checkOf(stale, maxAge)), time.Minute)
		if data := decode[result.Data](t, string(answer.Payload)); data.Status != want {
			t.Errorf("max_age %s: %s", maxAge, answer.Payload)
		}
	}
	if n := len(r.cbr.Calls()); n != 0 {
		t.Errorf("%d calls that replicate", n)
	}
}

// checkAge requires a replica of that age, zero for none, give or take what a test takes.
func checkAge(t *testing.T, r *result.Replica, want time.Duration) {
	t.Helper()
	switch {
	case r == nil:
		t.Error("no replica in the result")
	case want == 0 && r.AgeS != nil:
		t.Errorf("age %d s, want none", *r.AgeS)
	case want != 0 && (r.AgeS == nil || (time.Duration(*r.AgeS)*time.Second-want).Abs() > 2*time.Minute):
		t.Errorf("age %v, want %s", r.AgeS, want)
	}
}

// TestCheckCannotBeMade: a check whose list cannot be had is handed back, and after the
// last delivery told and acknowledged. Nobody needs it as a dead letter.
func TestCheckCannotBeMade(t *testing.T) {
	t.Parallel()
	r := newRig(t, "results", map[string]string{"RETRY_MAX_ATTEMPTS": "1"})
	current, _, _ := r.addAged()
	r.cbr.Script(cbrtest.Lookups, slices.Repeat([]cbrtest.Fault{cbrtest.Unavailable()}, maxReceives)...)
	r.stack.Requests.Send(checkOf(current, ""), nil, "")
	if back := r.deliverAll(); back != maxReceives-1 {
		t.Errorf("%d times handed back, want %d", back, maxReceives-1)
	}
	if dead := r.stack.Requests.DeadLetters().Messages(); len(dead) > 0 {
		t.Errorf("%d dead letters", len(dead))
	}
	failed := r.results("failed")
	if len(r.topic.Messages()) != 1 || len(failed) != 1 || failed[0].Type != "cbr.replica.failed.v1" || failed[0].Data.Error.Kind != kind.Unavailable || failed[0].Data.Replica != nil {
		t.Errorf("results %+v", failed)
	}
	// The next one tells.
	r.stack.Requests.Send(checkOf(current, ""), nil, "")
	r.deliverAll()
	if n := len(r.results("current")); n != 1 {
		t.Errorf("%d current", n)
	}
}

// TestCheckRejected: what can never be told, and what is not allowed.
func TestCheckRejected(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		vault   string
		format  cbrtest.Format
		change  func(body string) string
		kind    string
		message string
	}{
		"a cloud without records": {vault: cbrtest.SourceVault, format: cbrtest.Format{ShowReplication: "ignored"}, kind: "Rejected", message: "destination vault"},
		"no such vault":           {vault: vaultB[:35] + "0", kind: "NeverReplicated", message: "no available backup"},
		"not allowed": {vault: cbrtest.SourceVault, kind: "NotAllowed", message: "ALLOWED_DESTINATIONS", change: func(body string) string {
			return strings.Replace(body, cbrtest.DestinationRegion, "region9", 1)
		}},
		"both": {kind: "InvalidEvent", message: "replicate", change: func(body string) string {
			return strings.Replace(body, "{", `{"replicate":{},`, 1)
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, "results", nil, cbrtest.WithFormat(tt.format))
			body := checkOf(tt.vault, "")
			if tt.change != nil {
				body = tt.change(body)
			}
			r.stack.Requests.Send(body, nil, "")
			if back := r.deliverAll(); back != 0 {
				t.Errorf("%d handed back", back)
			}
			messages := r.topic.Messages()
			if len(messages) != 1 {
				t.Fatalf("%d results", len(messages))
			}
			if e := decode[planned](t, messages[0].Message); string(e.Data.Error.Kind) != tt.kind || !strings.Contains(e.Data.Error.Message, tt.message) {
				t.Errorf("result %s", messages[0].Message)
			}
		})
	}
}
