package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"cbr-replicator/internal/cbr/cbrtest"
	"cbr-replicator/internal/sandbox"
)

// newBusRig is a rig whose results go to an event bus.
func newBusRig(t *testing.T, extra map[string]string) *rig {
	t.Helper()
	env := map[string]string{"RESULT_TOPIC_ARN": "arn:aws:events:eu-central-1:123456789012:event-bus/results"}
	maps.Copy(env, extra)
	r := newRig(t, "results", env)
	t.Cleanup(func() {
		if n := r.topic.Calls(); n > 0 {
			t.Errorf("%d calls to SNS", n)
		}
	})
	return r
}

// onBus returns subject, status and kind of each result on the bus, sorted.
func (r *rig) onBus() []string {
	all := []string{}
	for _, e := range r.bus.Events() {
		result := decode[event](r.t, string(e.Detail))
		all = append(all, fmt.Sprintf("%.15s %s %v", result.Subject, result.Data.Status, result.Data.Error["kind"]))
	}
	slices.Sort(all)
	return all
}

// TestEventBus: results of accepted and rejected requests of a queue go to an event
// bus, also in another region. The event has the fields that rules match on.
func TestEventBus(t *testing.T) {
	t.Parallel()
	r := newBusRig(t, map[string]string{"AWS_REGION": "us-west-2"})
	r.cbr.Script(vaultB, cbrtest.Refusal(400, "BackupService.6120", "no such vault"))
	for _, body := range []string{request(cbrtest.SourceVault), request(vaultB), request(vaultC), `{"nonsense":true}`} {
		r.stack.Requests.Send(body, nil, "")
	}
	began := time.Now().Truncate(time.Second)
	if failed := r.deliver(); len(failed) > 0 {
		t.Errorf("handed back %v", failed)
	}
	want := []string{
		" rejected InvalidEvent",
		"vaults/" + cbrtest.SourceVault[:8] + " accepted <nil>",
		"vaults/" + vaultB[:8] + " rejected Rejected",
		"vaults/" + vaultC[:8] + " accepted <nil>",
	}
	slices.Sort(want)
	if diff := cmp.Diff(want, r.onBus()); diff != "" {
		t.Errorf("results (-want +got):\n%s", diff)
	}
	for _, e := range r.bus.Events() {
		result := decode[event](t, string(e.Detail))
		at, err := time.Parse(time.RFC3339Nano, result.Time)
		if e.Source != "cbr-replicator" || e.DetailType != result.Type || err != nil || !e.Time.Equal(at.Truncate(time.Second)) || e.Time.Before(began) {
			t.Errorf("envelope %+v of %s", e, e.Detail)
		}
	}
}

// TestEventBusFails: a fault that may pass is retried. If the bus refuses a result
// for good, the delivery is handed back and the log has all of the event. After a
// lost answer the same result may be published twice, but no other one.
func TestEventBusFails(t *testing.T) {
	t.Parallel()
	r := newBusRig(t, nil)
	invoke := func(vault string) (handedBack int) {
		t.Helper()
		r.stack.Requests.Send(request(vault), nil, "")
		return len(r.deliver())
	}
	r.bus.Script(
		sandbox.EventBusFault{Status: 400, Code: "ThrottlingException"},
		sandbox.EventBusFault{Entries: map[int]string{0: "InternalFailure"}},
		sandbox.EventBusFault{Entries: map[int]string{0: "NotAuthorizedForDetailTypeException"}},
	)
	if n := invoke(cbrtest.SourceVault); n != 1 || len(r.bus.Events()) != 0 || r.bus.Calls() != 3 {
		t.Errorf("%d handed back, %d events, %d calls", n, len(r.bus.Events()), r.bus.Calls())
	}
	lines := r.lines("result not published")
	if len(lines) != 1 || lines[0]["error"] != "the result event bus did not take the result: NotAuthorizedForDetailTypeException scripted" {
		t.Fatalf("log %v", lines)
	}
	if e, ok := lines[0]["event"].(map[string]any); !ok || e["specversion"] != "1.0" || e["data"] == nil {
		t.Errorf("logged %v", lines[0])
	}

	r.bus.Script(sandbox.EventBusFault{Reset: true}, sandbox.EventBusFault{AnswerLost: true})
	if n := invoke(vaultB); n != 0 {
		t.Errorf("%d handed back", n)
	}
	events := r.bus.Events()
	if len(events) != 2 || string(events[0].Detail) != string(events[1].Detail) || events[0].ID == events[1].ID {
		t.Errorf("events %v", events)
	}
}

// TestEventBusNoLoop: if a rule sends the bus's results to the function's own queue,
// no result of a result is published.
func TestEventBusNoLoop(t *testing.T) {
	t.Parallel()
	r := newBusRig(t, nil)
	r.invoke([]byte(`{"nonsense":true}`), time.Minute)
	r.invoke(sample(t, "direct"), time.Minute)
	results := r.bus.Events()
	if len(results) != 2 {
		t.Fatalf("%d results", len(results))
	}
	for _, e := range results {
		envelope, err := json.Marshal(e)
		if err != nil {
			t.Fatal(err)
		}
		r.stack.Requests.Send(string(envelope), nil, "")
		r.stack.Requests.Send(string(e.Detail), nil, "") // with the rule's InputPath at $.detail
	}
	payload := r.batch()
	if response := r.invoke(payload, time.Minute); string(response.Payload) != `{"batchItemFailures":[]}` {
		t.Errorf("answer %s", response.Payload)
	}
	if got := len(r.bus.Events()); got != 2 {
		t.Errorf("%d results after the results were received as requests, want 2", got)
	}
	if got := len(r.lines("own result received as a request")); got != 4 {
		t.Errorf("%d lines in the log, want 4", got)
	}
}
