package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"cbr-replicator/internal/cbr/cbrtest"
	"cbr-replicator/internal/result"
)

// planned is a result event of a plan, or of what it sent.
type planned struct {
	ID, Type, Subject, CorrelationID string
	Data                             struct {
		result.Data
		Request map[string]any
	}
}

// results returns the results on the topic with a status.
func (r *rig) results(status string) (all []planned) {
	r.t.Helper()
	for _, m := range r.topic.Messages() {
		if m.Attributes["status"] == status {
			all = append(all, decode[planned](r.t, m.Message))
		}
	}
	return all
}

// deliverAll delivers until the queue of requests is empty, and returns how many
// deliveries were handed back. A message that is out of sight becomes visible in time.
func (r *rig) deliverAll() (back int) {
	r.t.Helper()
	for range 200 {
		left := len(r.stack.Requests.Messages())
		if left == 0 {
			return back
		}
		if back += len(r.deliver()); len(r.stack.Requests.Messages()) == left {
			r.slept.Add(int64(time.Hour))
		}
	}
	r.t.Errorf("%d messages are left", len(r.stack.Requests.Messages()))
	return back
}

// addEstate adds n vaults with the tag dr=gold and two backups each, and returns
// their ids, sorted as CBR lists them.
func (r *rig) addEstate(n int) []string {
	ids := r.cbr.AddVaults(cbrtest.SourceProject, n, 2)
	for _, id := range ids {
		r.cbr.AddVault(cbrtest.Vault{ID: id, ProjectID: cbrtest.SourceProject, Tags: []cbrtest.Tag{{Key: "dr", Value: "gold"}}})
	}
	slices.Sort(ids)
	return ids
}

// planOf returns a plan for the vaults of the estate.
func planOf(action string, more map[string]any) string {
	plan := map[string]any{
		"correlation_id": "nightly",
		"select":         map[string]any{"tags": []any{map[string]any{"key": "dr", "values": []string{"gold"}}}},
		action: map[string]any{
			"destination_vault_id": cbrtest.DestinationVault, "destination_project_id": cbrtest.DestinationProject, "destination_region": cbrtest.DestinationRegion,
		},
	}
	maps.Copy(plan, more)
	body, _ := json.Marshal(plan) // texts always encode
	return string(body)
}

// posts counts the calls that replicate, by vault.
func (r *rig) posts() map[string]int {
	n := map[string]int{}
	for _, call := range r.cbr.Calls() {
		n[call.Vault]++
	}
	return n
}

// TestPlan carries out a plan from the queue: each vault gets a request, is replicated
// once, and is followed to the end of its copies.
func TestPlan(t *testing.T) {
	t.Parallel()
	var r *rig
	r = newRig(t, "results", nil, cbrtest.WithCopyTime(time.Hour), cbrtest.WithClock(func() time.Time {
		if r == nil {
			return time.Now()
		}
		return time.Now().Add(time.Duration(r.slept.Load()))
	}))
	vaults := r.addEstate(25)
	r.stack.Requests.Send(planOf("replicate", map[string]any{"dry_run": true}), nil, "")
	if back := r.deliverAll(); back != 0 || r.stack.SQS.Calls() != 0 {
		t.Errorf("dry run: %d handed back, %d calls to SQS", back, r.stack.SQS.Calls())
	}
	dry := r.results("planned")
	if len(dry) != 1 || !dry[0].Data.Plan.DryRun || dry[0].Data.Plan.Requests != len(vaults) {
		t.Fatalf("dry run: %+v", dry)
	}

	r.stack.Requests.Send(planOf("replicate", nil), nil, "")
	if failed := r.deliver(); len(failed) > 0 {
		t.Fatalf("handed back: %v", failed)
	}
	sent := r.stack.Requests.Messages()
	if len(sent) != len(vaults) || r.stack.SQS.Calls() != 3 {
		t.Errorf("%d requests in %d calls, want %d in 3", len(sent), r.stack.SQS.Calls(), len(vaults))
	}
	told := r.results("planned")
	if len(told) != 2 || told[1].Type != "cbr.checkpoint.replication.planned.v1" || told[1].Subject != "" || told[1].CorrelationID != "nightly" {
		t.Fatalf("results %+v", told)
	}
	// The example's three vaults back up, too.
	if p := told[1].Data.Plan; p.Seen != len(vaults)+3 || p.Selected != len(vaults) || p.Requests != len(vaults) || len(p.Vaults) != len(vaults) || len(p.Skipped) != 0 {
		t.Errorf("plan %+v", p)
	}
	if back := r.deliverAll(); back != 0 {
		t.Errorf("%d handed back", back)
	}
	for _, id := range vaults {
		if n := r.posts()[id]; n != 1 {
			t.Errorf("vault %s was replicated %d times", id, n)
		}
	}
	accepted := r.results("accepted")
	for _, e := range accepted {
		if e.CorrelationID != "nightly" || !slices.Contains(vaults, strings.TrimPrefix(e.Subject, "vaults/")) {
			t.Errorf("accepted %+v", e)
		}
	}
	for range 60 {
		r.slept.Add(int64(150 * time.Second))
		for r.follow() > 0 {
		}
	}
	if done := r.results("completed"); len(accepted) != len(vaults) || len(done) != len(vaults) || len(r.stack.Follow.Messages()) > 0 {
		t.Errorf("%d accepted, %d completed, %d left", len(accepted), len(done), len(r.stack.Follow.Messages()))
	}
}

// TestPlanKilled kills the process at each step of a plan. The plan is redelivered and
// carried out whole. Each vault is replicated once.
func TestPlanKilled(t *testing.T) {
	t.Parallel()
	const cbr, topic, sqs, reply = "cbr", "topic", "sqs", "reply"
	const vaults = 45 // five calls to SQS
	type step struct {
		at       string
		nth      int    // of the calls to SQS
		holds    string // else a text in the request
		answered bool
	}
	steps := map[string]step{
		"the list is on its way":           {at: cbr, holds: "/vaults?"},
		"the list is answered":             {at: cbr, holds: "/vaults?", answered: true},
		"the result is on its way":         {at: topic, holds: "planned"},
		"the topic has the result":         {at: topic, holds: "planned", answered: true},
		"the reply is on its way":          {at: reply},
		"a request's result is on its way": {at: topic, holds: "accepted"},
	}
	for i := range 5 {
		steps[fmt.Sprintf("call %d to SQS is on its way", i+1)] = step{at: sqs, nth: i}
		steps[fmt.Sprintf("call %d to SQS is answered", i+1)] = step{at: sqs, nth: i, answered: true}
	}
	for name, tt := range steps {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			doors := map[string]*door{cbr: newDoor(t), topic: newDoor(t), sqs: newDoor(t)}
			r := newRig(t, "results", map[string]string{
				"HW_CBR_ENDPOINT": doors[cbr].url, "AWS_ENDPOINT_URL_SNS": doors[topic].url, "AWS_ENDPOINT_URL_SQS": doors[sqs].url,
			}, cbrtest.WithCopyTime(0))
			ids := r.addEstate(vaults)
			doors[cbr].leadsTo(t, r.cbr.URL)
			doors[topic].leadsTo(t, r.topic.URL())
			doors[sqs].leadsTo(t, r.stack.SQS.URL())
			if d := doors[tt.at]; d != nil {
				d.holds, d.answered = tt.holds, tt.answered
				if tt.at == sqs {
					d.holds = ids[10*tt.nth] // the first vault of the call
				}
			}
			r.stack.Requests.Send(planOf("replicate", nil), nil, "")
			if tt.holds == "accepted" {
				r.deliver() // the plan; then the first of its requests are killed
			}
			payload := r.batch()
			reached := r.seen
			if d := doors[tt.at]; d != nil {
				reached = d.held
			}
			ended := make(chan struct{})
			go func() {
				defer close(ended)
				response, err := r.function.Invoke(t.Context(), payload, time.Minute)
				if err != nil || response.Error == nil && tt.at != reply {
					t.Errorf("the process was not killed: %s, error %v", response.Payload, err)
				}
			}()
			select {
			case <-reached:
			case <-ended:
			}
			r.function.Kill()
			<-ended

			r.deliverAll()
			if dead := r.stack.Requests.DeadLetters().Messages(); len(dead) > 0 {
				t.Errorf("%d dead letters", len(dead))
			}
			posts := r.posts()
			for _, id := range ids {
				if copies := copiesOf(t, r, id); posts[id] != 1 || len(copies) != 2 {
					t.Errorf("vault %s was replicated %d times, with copies %v", id, posts[id], copies)
				}
			}
			told, plans := map[string]bool{}, map[string]bool{}
			for _, e := range r.results("planned") {
				plans[e.ID] = true
			}
			for _, e := range r.results("accepted") {
				told[strings.TrimPrefix(e.Subject, "vaults/")] = true
			}
			if got := slices.Sorted(maps.Keys(told)); !slices.Equal(got, ids) || len(plans) != 1 || len(r.topic.Messages()) < vaults+1 {
				t.Errorf("%d vaults and %d plans are told of, want %d and one", len(got), len(plans), vaults)
			}
		})
	}
}

// TestPlanRefused: a plan that selects nothing, and one that cannot be sent.
func TestPlanRefused(t *testing.T) {
	t.Parallel()
	r := newRig(t, "results", nil)
	response := r.invoke([]byte(planOf("replicate", nil)), time.Minute)
	if response.Error == nil || response.Error.Type != "CBR.NothingSelected" {
		t.Errorf("answer %s", response.Payload)
	}
	r.stack.Requests.Send(planOf("check", map[string]any{"select": map[string]any{"vault_ids": []string{"00000000-0000-4000-8000-000000000000"}}}), nil, "")
	r.deliver()
	refused := r.results("rejected")
	if len(refused) != 2 || refused[1].Type != "cbr.replica.rejected.v1" || len(refused[1].Data.Plan.Skipped) != 1 || len(r.stack.Requests.Messages()) > 0 {
		t.Errorf("results %+v", refused)
	}
	answer := r.invoke([]byte(planOf("replicate", map[string]any{"select": map[string]any{}, "dry_run": true})), time.Minute)
	if data := decode[result.Data](t, string(answer.Payload)); answer.Error != nil || data.Status != "planned" || data.Plan.Requests != 3 {
		t.Errorf("answer %s", answer.Payload)
	}

	off := newRig(t, "results", map[string]string{"REQUEST_QUEUE_ARN": ""})
	off.addEstate(1)
	if response := off.invoke([]byte(planOf("replicate", nil)), time.Minute); response.Error == nil || response.Error.Type != "CBR.Misconfigured" {
		t.Errorf("without a queue: %s", response.Payload)
	}
	if response := off.invoke([]byte(planOf("replicate", map[string]any{"dry_run": true})), time.Minute); response.Error != nil {
		t.Errorf("a dry run without a queue: %s", response.Payload)
	}
}

// TestOneBackup: one backup from the queue is replicated once, although CBR's answer is
// lost, and followed to the end of its copy.
func TestOneBackup(t *testing.T) {
	t.Parallel()
	// CBR's clock and ours agree, but for some seconds in which the copy is made.
	var ahead atomic.Int64
	r := newRig(t, "results", nil, cbrtest.WithCopyTime(4*time.Second), cbrtest.WithClock(func() time.Time {
		return time.Now().Add(time.Duration(ahead.Load()))
	}))
	backup := cbrtest.ExampleBackups()[0]
	r.cbr.Script(backup, cbrtest.Throttled(0), cbrtest.ResetAfter())
	r.stack.Requests.Send(strings.Replace(strings.Replace(request(backup), "vault_id", "backup_id", 1), "{\"replicate\":{", `{"correlation_id":"gap","replicate":{"name":"gap","description":"",`, 1), nil, "")
	if failed := r.deliver(); len(failed) != 1 {
		t.Errorf("handed back: %v, want the one whose copy waits", failed)
	}
	ahead.Store(int64(2 * time.Second)) // the copy runs
	r.slept.Add(int64(time.Hour))
	r.deliverAll()
	ahead.Store(int64(5 * time.Second))
	r.slept.Add(int64(time.Hour))
	if n := r.follow(); n != 0 {
		t.Errorf("%d are still followed", n)
	}
	calls := r.cbr.Calls()
	if len(calls) != 2 || calls[0].Taken || !calls[1].Taken || calls[1].Path != "/v3/"+cbrtest.SourceProject+"/backups/"+backup+"/replicate" || strings.Contains(calls[1].Body, "backup_id") {
		t.Errorf("calls %v", calls)
	}
	var statuses []string
	for _, m := range r.topic.Messages() {
		statuses = append(statuses, m.Attributes["status"])
		e := decode[planned](t, m.Message)
		if m.Attributes["backup_id"] != backup || m.Attributes["vault_id"] != "" || e.Subject != "backups/"+backup || e.CorrelationID != "gap" {
			t.Errorf("result %s with %v", m.Message, m.Attributes)
		}
	}
	if !slices.Equal(statuses, []string{"accepted", "completed"}) {
		t.Errorf("results %v", statuses)
	}
	// The same again: it is there.
	r.stack.Requests.Send(strings.Replace(request(backup), "vault_id", "backup_id", 1), nil, "")
	r.deliverAll()
	if got := r.results("unchanged"); len(got) != 1 || got[0].Data.Error.Kind != "AlreadyReplicated" || got[0].Data.Unverified {
		t.Errorf("the same again: %+v", got)
	}
	// Ones that do not exist, the second of which may have been sent before.
	gone := strings.Replace(request(strings.Replace(backup, "7", "8", 1)), "vault_id", "backup_id", 1)
	r.stack.Requests.Send(gone, nil, "")
	r.stack.Requests.Send(strings.Replace(gone, "{", `{"requested_at":"`+time.Now().UTC().Format(time.RFC3339)+`",`, 1), nil, "")
	r.deliverAll()
	got := r.results("rejected")
	for _, e := range got {
		if e.Data.Error.Code != "BackupService.6200" {
			t.Errorf("one that does not exist: %+v", e.Data.Error)
		}
	}
	// The source is gone before its copy has ended: nothing can be told.
	accepted := r.topic.Messages()[0]
	r.cbr.RemoveBackup(backup)
	r.stack.Follow.Send(accepted.Message, accepted.Attributes, "")
	r.slept.Add(int64(time.Hour))
	if back := r.follow(); back != 0 {
		t.Errorf("%d are still followed", back)
	}
	failed := r.results("failed")
	if len(got) != 2 || len(failed) != 1 || failed[0].Data.Error.Kind != "NotFollowed" || !strings.Contains(failed[0].Data.Error.Message, "backup does not exist") {
		t.Errorf("%d rejected, failed %+v", len(got), failed)
	}
}

// TestLargestPlan carries out the largest plan there may be in one invocation of what
// the template gives it: 128 MB, which is less than that.
func TestLargestPlan(t *testing.T) {
	t.Parallel()
	const vaults, megabytes = 10_000, 128
	mark := fmt.Sprintf("LARGEST_PLAN_TEST_%d", os.Getpid())
	r := newRig(t, "results", map[string]string{mark: "1", "AWS_LAMBDA_LOG_LEVEL": "INFO"})
	r.addEstate(vaults)
	r.stack.Requests.Send(planOf("replicate", nil), nil, "")
	payload := r.batch()
	before := r.stack.SQS.Calls()
	if response := r.invoke(payload, time.Minute); response.Error != nil || strings.Contains(string(response.Payload), "itemIdentifier") {
		t.Fatalf("%s, %v", response.Payload, response.Error)
	}
	sent := map[string]bool{}
	for _, m := range r.stack.Requests.Messages() {
		sent[m.Body] = true
	}
	if len(sent) != vaults+1 || r.stack.SQS.Calls()-before != vaults/10 {
		t.Errorf("%d bodies in %d calls, want %d and the plan's", len(sent), r.stack.SQS.Calls()-before, vaults)
	}
	if got := r.results("planned"); len(got) != 1 || got[0].Data.Plan.Requests != vaults || got[0].Data.Plan.VaultsTotal != vaults {
		t.Errorf("%d results", len(got))
	}
	if kB := peak(mark + "="); kB > megabytes<<10 && len(buildFlags) == 0 { // the race detector needs more
		t.Errorf("it needed %d kB", kB)
	} else {
		t.Logf("%d kB", kB)
	}
}
