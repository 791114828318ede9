package replicator_test

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"cbr-replicator/internal/cbr"
	"cbr-replicator/internal/cbr/cbrtest"
	"cbr-replicator/internal/huawei"
	"cbr-replicator/internal/kind"
	"cbr-replicator/internal/reconcile"
)

// addBackup gives a vault a backup, and a replica of it from yesterday.
func (r *rig) addBackup(vault, id string, replicated bool) {
	r.cbr.AddBackup(cbrtest.Backup{ID: id, VaultID: vault})
	if replicated {
		r.cbr.AddRecord(id, cbrtest.Record{CreatedAt: time.Now().Add(-24 * time.Hour)})
	}
}

// effect leaves in CBR what a call of replicate that nobody heard of would.
func (r *rig) effect(vault string, age time.Duration) {
	id := "copied-" + vault
	r.cbr.AddBackup(cbrtest.Backup{ID: id, VaultID: vault})
	r.cbr.AddRecord(id, cbrtest.Record{CreatedAt: time.Now().Add(-age)})
}

// TestLookups: what is looked up, what is found, and what follows from it.
func TestLookups(t *testing.T) {
	t.Parallel()
	ago := func(d time.Duration) time.Time { return time.Now().Add(-d) }
	busy := cbrtest.Refusal(400, "BackupService.6130", "The vault is being replicated.")
	refused := cbrtest.Refusal(403, "PAP5.0001", "access denied")
	for _, tt := range []struct {
		name     string
		options  []cbrtest.Option
		prepare  func(r *rig, vault string)
		message  message
		changes  object // of the request
		calls    int
		lookups  int
		want     string // published
		back     int    // seconds out of sight; -1: acknowledged
		data     lookup
		refusals int // that the metric tells of
	}{
		{name: "a first delivery", calls: 1, want: "accepted", back: -1},
		{
			name: "the answer lost, the effect there", calls: 1, lookups: 1, want: "accepted", back: -1, data: lookup{Reconciled: true},
			prepare: func(r *rig, _ string) { r.cbr.Script(cbrtest.AnyVault, cbrtest.ResetAfter()) },
		},
		{
			name: "the answer lost, the effect not there yet", options: []cbrtest.Option{cbrtest.WithLateRecords(time.Hour)}, calls: 1, lookups: 1, back: 60,
			prepare: func(r *rig, _ string) { r.cbr.Script(cbrtest.AnyVault, cbrtest.ResetAfter()) },
		},
		{
			name: "the answer lost, the effect undated", options: []cbrtest.Option{cbrtest.WithCopyTime(time.Hour)}, calls: 1, lookups: 1, back: 60,
			prepare: func(r *rig, _ string) { r.cbr.Script(cbrtest.AnyVault, cbrtest.ResetAfter()) },
		},
		{
			name: "the request lost", calls: 1, lookups: 1, back: 60,
			prepare: func(r *rig, _ string) { r.cbr.Script(cbrtest.AnyVault, cbrtest.ResetBefore()) },
		},
		{
			name: "the answer lost, the lookup too", calls: 1, lookups: maxAttempts, back: 60,
			prepare: func(r *rig, _ string) {
				r.cbr.Script(cbrtest.AnyVault, cbrtest.ResetAfter())
				r.cbr.Script(cbrtest.Lookups, always(cbrtest.Refusal(500, "", ""))...)
			},
		},
		{
			name: "a redelivery without an effect", message: message{receives: 2, firstReceive: ago(time.Minute)}, calls: 1, lookups: 1, want: "accepted", back: -1,
		},
		{
			name: "a redelivery with its effect", message: message{receives: 2, firstReceive: ago(time.Minute)}, lookups: 1, want: "accepted", back: -1, data: lookup{Reconciled: true},
			prepare: func(r *rig, vault string) { r.effect(vault, 30*time.Second) },
		},
		{
			name: "a redelivery, an effect from before it", message: message{receives: 2, firstReceive: ago(time.Minute)}, calls: 1, lookups: 1, want: "accepted", back: -1,
			prepare: func(r *rig, vault string) { r.effect(vault, 70*time.Second) },
		},
		{
			name: "a redelivery, an effect elsewhere", message: message{receives: 2, firstReceive: ago(time.Minute)}, calls: 1, lookups: 1, want: "accepted", back: -1,
			prepare: func(r *rig, vault string) {
				r.addBackup(vault, "elsewhere", false)
				r.cbr.AddRecord("elsewhere", cbrtest.Record{DestinationRegion: "region3", CreatedAt: ago(30 * time.Second)})
			},
		},
		{
			name: "a redelivery, the lookup fails", message: message{receives: 2, firstReceive: ago(time.Minute)}, lookups: maxAttempts, back: 60,
			prepare: func(r *rig, _ string) { r.cbr.Script(cbrtest.Lookups, always(cbrtest.Unavailable())...) },
		},
		{
			name: "a redelivery, a copy that waits undated", message: message{receives: 2, firstReceive: ago(time.Minute)}, lookups: 1, back: 60,
			prepare: func(r *rig, vault string) {
				r.cbr.AddRecord("first-"+vault, cbrtest.Record{Status: "waiting_replicate"})
			},
		},
		{
			name: "a redelivery, replicated by its own copy", message: message{receives: 2, firstReceive: ago(time.Minute)}, calls: 1, lookups: 2, want: "accepted", back: -1, data: lookup{Reconciled: true},
			options: []cbrtest.Option{cbrtest.WithObserver(nil)},
			prepare: func(r *rig, _ string) {
				r.cbr.Script(cbrtest.AnyVault, cbrtest.Refusal(400, "BackupService.1009", "replicated"))
			},
		},
		{
			name: "nothing to replicate in a 2xx", calls: 1, lookups: 1, want: "unchanged NothingToReplicate", back: -1, data: lookup{Coverage: &coverage{1, 0}},
			prepare: func(r *rig, vault string) {
				r.cbr.Script(cbrtest.AnyVault, cbrtest.Raw(200, `{"replication":{"vault_id":"`+vault+`","backups":[]}}`))
			},
		},
		{
			name: "nothing to replicate in a 2xx, the lookup fails", calls: 1, lookups: maxAttempts, want: "unchanged NothingToReplicate", back: -1, data: lookup{Unverified: true},
			prepare: func(r *rig, vault string) {
				r.cbr.Script(cbrtest.AnyVault, cbrtest.Raw(200, `{"replication":{"vault_id":"`+vault+`","backups":[]}}`))
				r.cbr.Script(cbrtest.Lookups, always(cbrtest.Unavailable())...)
			},
		},
		{
			name: "a redelivery, the lookup not allowed", message: message{receives: 2, firstReceive: ago(time.Minute)}, calls: 1, lookups: 1, want: "accepted", back: -1, data: lookup{Unverified: true}, refusals: 1,
			prepare: func(r *rig, _ string) { r.cbr.Script(cbrtest.Lookups, refused) },
		},
		{
			name: "a redelivery, a firewall's page for a lookup", message: message{receives: 2, firstReceive: ago(time.Minute)}, lookups: 1, back: 60,
			prepare: func(r *rig, _ string) { r.cbr.Script(cbrtest.Lookups, cbrtest.Raw(403, "<html>Forbidden</html>")) },
		},
		{
			name: "a redelivery, busy with its own copy", message: message{receives: 2, firstReceive: ago(time.Minute)}, calls: 1, lookups: 2, want: "accepted", back: -1, data: lookup{Reconciled: true},
			// It shows between the two lookups.
			options: []cbrtest.Option{cbrtest.WithObserver(nil)},
			prepare: func(r *rig, vault string) { r.cbr.Script(cbrtest.AnyVault, busy) },
		},
		{
			name: "a redelivery, busy with another's", message: message{receives: 2, firstReceive: ago(time.Minute)}, calls: 1, lookups: 2, back: 60 * 60,
			prepare: func(r *rig, _ string) { r.cbr.Script(cbrtest.AnyVault, busy) },
		},
		{
			name: "a first delivery, busy", calls: 1, back: 15 * 60,
			prepare: func(r *rig, _ string) { r.cbr.Script(cbrtest.AnyVault, busy) },
		},
		{
			name: "a request that may have been made, found", changes: object{"requested_at": ago(time.Hour)}, lookups: 1, want: "accepted", back: -1, data: lookup{Reconciled: true},
			prepare: func(r *rig, vault string) { r.effect(vault, 59*time.Minute) },
		},
		{
			name: "a request that may have been made, not found", changes: object{"requested_at": ago(time.Hour)}, calls: 1, lookups: 1, want: "accepted", back: -1,
			prepare: func(r *rig, vault string) { r.effect(vault, 61*time.Minute) },
		},
		{
			name: "a redelivery of a request of the future", changes: object{"requested_at": ago(-time.Hour)}, message: message{receives: 2, firstReceive: ago(time.Minute)}, lookups: 1, want: "accepted", back: -1, data: lookup{Reconciled: true},
			prepare: func(r *rig, vault string) { r.effect(vault, 30*time.Second) },
		},
		{
			name: "all is replicated", calls: 1, lookups: 1, want: "unchanged AlreadyReplicated", back: -1, data: lookup{Coverage: &coverage{2, 2}},
			prepare: func(r *rig, vault string) {
				r.cbr.AddRecord("first-"+vault, cbrtest.Record{CreatedAt: ago(24 * time.Hour)})
				r.addBackup(vault, "second", true)
			},
		},
		{
			name: "a copy has failed", calls: 1, lookups: 1, want: "rejected NotCovered", back: -1, data: lookup{Coverage: &coverage{2, 1}},
			prepare: func(r *rig, vault string) {
				r.cbr.AddRecord("first-"+vault, cbrtest.Record{CreatedAt: ago(24 * time.Hour), Status: "fail"})
				r.addBackup(vault, "second", true)
				r.cbr.Script(cbrtest.AnyVault, cbrtest.Refusal(400, "BackupService.1009", "replicated"))
			},
		},
		{
			name: "not covered, a moment after the first delivery", message: message{receives: 2, firstReceive: ago(10 * time.Second)}, calls: 1, lookups: 2, back: 60,
			prepare: func(r *rig, _ string) {
				r.cbr.Script(cbrtest.AnyVault, cbrtest.Refusal(400, "BackupService.1009", "replicated"))
			},
		},
		{
			name: "not covered, for the third time", message: message{receives: 3, firstReceive: ago(10 * time.Second)}, calls: 1, lookups: 2, want: "rejected NotCovered", back: -1, data: lookup{Coverage: &coverage{1, 0}},
			prepare: func(r *rig, _ string) {
				r.cbr.Script(cbrtest.AnyVault, cbrtest.Refusal(400, "BackupService.1009", "replicated"))
			},
		},
		{
			name: "unchanged, the lookup fails", calls: 1, lookups: maxAttempts, back: 30,
			prepare: func(r *rig, _ string) {
				r.cbr.Script(cbrtest.AnyVault, cbrtest.Refusal(400, "BackupService.0001", "nothing"))
				r.cbr.Script(cbrtest.Lookups, always(cbrtest.Unavailable())...)
			},
		},
		{
			name: "unchanged, the lookup not allowed", calls: 1, lookups: 1, want: "unchanged NothingToReplicate", back: -1, data: lookup{Unverified: true}, refusals: 1,
			prepare: func(r *rig, _ string) {
				r.cbr.Script(cbrtest.AnyVault, cbrtest.Refusal(400, "BackupService.0001", "nothing"))
				r.cbr.Script(cbrtest.Lookups, refused)
			},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var r *rig
			vault := vaultID(1)
			options := append([]cbrtest.Option{cbrtest.WithCopyTime(0)}, tt.options...)
			if len(tt.options) > 0 && tt.data.Reconciled {
				options = append(options, cbrtest.WithObserver(func(c cbrtest.Call) {
					if c.Operation == cbrtest.CopyCheckpoint {
						r.effect(vault, 30*time.Second)
					}
				}))
			}
			server := newServer(t, options...)
			server.AddVault(cbrtest.Vault{ID: vault, ProjectID: cbrtest.SourceProject})
			server.AddBackup(cbrtest.Backup{ID: "first-" + vault, VaultID: vault})
			r = newRig(t, server)
			if tt.prepare != nil {
				tt.prepare(r, vault)
			}
			m := tt.message
			m.id, m.body = "m", request(t, vault, tt.changes)
			back := r.handedBack(sqs(t, m))
			diff(t, "results", strings.Fields(tt.want), strings.Fields(strings.TrimPrefix(strings.Join(r.published(), "|"), "m ")))
			if calls, lookups := len(r.cbr.Calls()), len(r.cbr.LookupCalls()); calls != tt.calls || lookups != tt.lookups {
				t.Errorf("%d calls and %d lookups, want %d and %d", calls, lookups, tt.calls, tt.lookups)
			}
			for _, line := range r.lines("looked up") {
				if v := line["verdict"]; v != "found" && v != "not found" && v != "undecided" {
					t.Errorf("log line %v", line)
				}
			}
			seconds, waits := r.queues.seconds["receipt-m"]
			if !waits {
				seconds = -1
			}
			if (len(back) > 0) != waits || seconds != tt.back {
				t.Errorf("handed back %v for %d seconds, want %d", back, seconds, tt.back)
			}
			if tt.want != "" {
				got := decode[struct{ Data lookup }](t, r.topic.Messages()[0].Raw).Data
				diff(t, "data", tt.data, got)
			}
			if emf := r.emf.String(); !strings.Contains(emf, fmt.Sprintf(`"LookupsRefused":%d,`, tt.refusals)) {
				t.Errorf("metrics %s, want LookupsRefused %d", emf, tt.refusals)
			}
		})
	}
}

// lookup is what a result says of lookups.
type lookup struct {
	Reconciled, Unverified bool
	Coverage               *coverage
}

type coverage struct{ Backups, Replicated int }

// TestReconciledResult: what is made of records is what CBR's answer was.
func TestReconciledResult(t *testing.T) {
	t.Parallel()
	server := newServer(t, cbrtest.WithCopyTime(0))
	r := newRig(t, server)
	server.Script(cbrtest.AnyVault, cbrtest.ResetAfter())
	if back := r.handedBack(sqs(t, message{id: "m", body: request(t, cbrtest.SourceVault, nil)})); len(back) > 0 {
		t.Fatal("handed back")
	}
	lost := r.topic.Messages()[0].Event.Data.Replication

	// The same by an answer that came.
	other := newRig(t, newServer(t, cbrtest.WithCopyTime(0)))
	other.handedBack(sqs(t, message{id: "m", body: request(t, cbrtest.SourceVault, nil)}))
	diff(t, "replication", inOrder(t, other.topic.Messages()[0].Event.Data.Replication), inOrder(t, lost))
}

// inOrder is a replication with its backups in an order that both have.
func inOrder(t *testing.T, replication json.RawMessage) object {
	t.Helper()
	o := decode[object](t, string(replication))
	slices.SortFunc(o["backups"].([]any), func(a, b any) int { return strings.Compare(fmt.Sprint(a), fmt.Sprint(b)) })
	return o
}

// TestTopicFailed: after the topic failed, the redelivered event finds its
// records and publishes the same result under the same id, without a call.
func TestTopicFailed(t *testing.T) {
	t.Parallel()
	server := newServer(t, cbrtest.WithCopyTime(0))
	r := newRig(t, server)
	first := message{id: "m", body: request(t, cbrtest.SourceVault, nil), firstReceive: time.Now()}
	r.topic.Fault = func(int) error { return fmt.Errorf("no topic") }
	if back := r.handedBack(sqs(t, first)); len(back) != 1 {
		t.Fatalf("handed back %v", back)
	}
	lost := decode[struct{ ID string }](t, string(encode(t, r.lines("result not published")[0]["event"]))).ID
	r.topic.Fault = nil
	first.receives = 2
	if back := r.handedBack(sqs(t, first)); len(back) != 0 {
		t.Fatalf("handed back %v", back)
	}
	if n := len(server.Calls()); n != 1 {
		t.Errorf("%d calls, want 1", n)
	}
	if got := r.topic.Messages()[0].Event.ID; got != lost {
		t.Errorf("id %s, want the one that was lost, %s", got, lost)
	}
}

// TestSameVaultTwice: two deliveries for one vault share a lookup, and what one
// of them was answered.
func TestSameVaultTwice(t *testing.T) {
	t.Parallel()
	server := newServer(t, cbrtest.WithCopyTime(0))
	r := newRig(t, server)
	earlier := time.Now().Add(-time.Minute)
	body := request(t, cbrtest.SourceVault, nil)
	r.handedBack(sqs(t, message{id: "a", body: body, receives: 2, firstReceive: earlier}, message{id: "b", body: body, receives: 2, firstReceive: earlier}))
	diff(t, "results", []string{"a accepted", "b accepted"}, r.published())
	if calls, lookups := len(server.Calls()), len(server.LookupCalls()); calls != 1 || lookups != 1 {
		t.Errorf("%d calls and %d lookups, want 1 and 1: what was just taken is known", calls, lookups)
	}
	r.replicates.Lookups = reconcile.New(r.replicates.CBR.(*cbr.Client)) // another process
	r.handedBack(sqs(t, message{id: "c", body: body, receives: 2, firstReceive: earlier}, message{id: "d", body: body, receives: 2, firstReceive: earlier}))
	if calls, lookups := len(server.Calls()), len(server.LookupCalls()); calls != 1 || lookups != 2 {
		t.Errorf("%d calls and %d lookups, want 1 and 2", calls, lookups)
	}
}

// TestLookupByTrigger: on HTTP and direct calls nothing is sent twice in a call,
// and a stream without times says that it could not look.
func TestLookupByTrigger(t *testing.T) {
	t.Parallel()
	t.Run("HTTP, the answer lost", func(t *testing.T) {
		t.Parallel()
		server := newServer(t, cbrtest.WithCopyTime(0))
		r := newRig(t, server)
		server.Script(cbrtest.AnyVault, cbrtest.ResetBefore())
		reply, _ := r.invoke(overHTTP(t, "POST", "/", request(t, cbrtest.SourceVault, nil)))
		if answer := decode[response](t, reply); answer.StatusCode != 504 || len(server.Calls()) != 1 {
			t.Errorf("%d after %d calls, want 504 after 1", answer.StatusCode, len(server.Calls()))
		}
		server.Script(cbrtest.AnyVault, cbrtest.ResetAfter())
		reply, _ = r.invoke(overHTTP(t, "POST", "/", request(t, cbrtest.SourceVault, nil)))
		answer := decode[response](t, reply)
		if answer.StatusCode != 200 || !strings.HasPrefix(answer.Body, `{"replication":{`) {
			t.Errorf("answer %+v, want CBR's as it was found", answer)
		}
	})
	t.Run("direct, requested before", func(t *testing.T) {
		t.Parallel()
		r := newRig(t, newServer(t, cbrtest.WithCopyTime(0)))
		payload := []byte(request(t, cbrtest.SourceVault, object{"requested_at": time.Now()}))
		for range 2 {
			if reply, failure := r.invoke(payload); failure != nil || decode[object](t, reply)["status"] != string(kind.Accepted) {
				t.Errorf("reply %s, %v", reply, failure)
			}
		}
		if n := len(r.cbr.Calls()); n != 1 {
			t.Errorf("%d calls, want 1", n)
		}
	})
	t.Run("Kafka", func(t *testing.T) {
		t.Parallel()
		for _, timestamp := range []int64{time.Now().Add(-time.Minute).UnixMilli(), time.Now().Add(10 * time.Second).UnixMilli(), -1} {
			r := newRig(t, newServer(t, cbrtest.WithCopyTime(0)))
			payload := encode(t, object{"eventSource": "aws:kafka", "eventSourceArn": "arn:k", "records": object{"t-0": []object{{
				"topic": "t", "partition": 0, "offset": 1, "timestamp": timestamp, "value": []byte(request(t, cbrtest.SourceVault, nil)),
			}}}})
			for range 2 {
				r.invoke(payload)
			}
			results := r.topic.Messages()
			if known := timestamp > 0; len(r.cbr.Calls()) != map[bool]int{true: 1, false: 2}[known] || strings.Contains(results[0].Raw, `"unverified":true`) == known {
				t.Errorf("time %d: %d calls, %s", timestamp, len(r.cbr.Calls()), results[0].Raw)
			}
		}
	})
}

// lateCBR takes what it is asked for, once the vault's refusals are used up, and
// lists the copy 45 seconds later. For a vault in lost nobody hears of it.
type lateCBR struct {
	mu       sync.Mutex
	refusals map[string]int
	lost     map[string]bool
	taken    map[string][]time.Time
}

func (c *lateCBR) Replicate(_ context.Context, _ huawei.Scope, r cbr.Replicate) (cbr.Answer, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.refusals[r.VaultID] > 0 {
		c.refusals[r.VaultID]--
		return cbr.Answer{Sent: true}, &kind.Error{Kind: kind.Throttled, Message: "too many requests"}
	}
	c.taken[r.VaultID] = append(c.taken[r.VaultID], time.Now())
	if c.lost[r.VaultID] {
		return cbr.Answer{Sent: true}, &kind.Error{Kind: kind.Unknown, Message: "the answer was lost"}
	}
	return taken(r)
}

func (c *lateCBR) ListBackups(_ context.Context, src huawei.Scope, vault string, each func(*cbr.Backup)) (cbr.Clocks, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	b := cbr.Backup{ID: "backup", Available: true}
	for i, at := range c.taken[vault] {
		if time.Since(at) >= 45*time.Second {
			b.Records = append(b.Records, cbr.ReplicationRecord{
				ID: fmt.Sprint(i), Status: cbr.Replicated, CreatedAt: at, SourceRegion: src.Region, SourceProjectID: src.ProjectID,
				DestinationRegion: cbrtest.DestinationRegion, DestinationProjectID: cbrtest.DestinationProject, DestinationVaultID: cbrtest.DestinationVault,
			})
		}
	}
	each(&b)
	return cbr.Clocks{Ours: time.Now(), Theirs: time.Now()}, nil
}

// TestEffectsShowBeforeRedelivery: a broker delivers again at once, so the
// function waits until what it may have done can be seen, as long as its own
// time lasts. What is too short for that the process knows.
func TestEffectsShowBeforeRedelivery(t *testing.T) {
	t.Parallel()
	const a, b = "0000000a-0000-4000-8000-000000000000", "0000000b-0000-4000-8000-000000000000"
	for name, tt := range map[string]struct {
		refusals map[string]int
		lost     map[string]bool
		timeout  time.Duration
		taken    int           // of both vaults
		wait     time.Duration // before the batch goes back
	}{
		"an answer lost":          {lost: map[string]bool{a: true}, timeout: 2 * time.Minute, taken: 2, wait: time.Minute},
		"one taken, one not":      {refusals: map[string]int{b: maxAttempts}, timeout: 2 * time.Minute, taken: 2, wait: time.Minute},
		"none taken":              {refusals: map[string]int{a: maxAttempts, b: maxAttempts}, timeout: 2 * time.Minute, taken: 2},
		"all taken":               {timeout: 2 * time.Minute, taken: 2},
		"an answer lost, no time": {lost: map[string]bool{a: true}, timeout: 30 * time.Second, taken: 2, wait: 25 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				late := &lateCBR{refusals: tt.refusals, lost: tt.lost, taken: map[string][]time.Time{}}
				r := newRig(t, nil)
				r.replicates.CBR, r.replicates.Lookups = late, reconcile.New(late)
				var records []object
				for i, vault := range []string{a, b} {
					records = append(records, object{
						"topic": "t", "partition": i, "offset": 1, "timestamp": time.Now().UnixMilli(), "value": []byte(request(t, vault, nil)),
					})
				}
				payload := encode(t, object{"eventSource": "aws:kafka", "eventSourceArn": "arn:k", "records": object{"t-0": records}})
				began := time.Now()
				_, failure := r.invokeWithin(payload, tt.timeout)
				if took := time.Since(began); took < tt.wait || took >= tt.timeout || (tt.wait == 0 && took >= time.Minute) {
					t.Errorf("it took %v, want %v of %v", took, tt.wait, tt.timeout)
				}
				for range 5 {
					if failure == nil {
						break
					}
					_, failure = r.invokeWithin(payload, tt.timeout)
				}
				if failure != nil {
					t.Errorf("in the end: %v", failure)
				}
				if n := len(late.taken[a]) + len(late.taken[b]); n != tt.taken {
					t.Errorf("CBR took %d requests, want %d", n, tt.taken)
				}
			})
		})
	}
}

// TestTwins: a standard queue may deliver a message twice at once. The second
// finds what the first has done, or is as if it were not there.
func TestTwins(t *testing.T) {
	t.Parallel()
	for name, options := range map[string][]cbrtest.Option{
		"at once": {cbrtest.WithCopyTime(0)},
		"late":    {cbrtest.WithCopyTime(0), cbrtest.WithLateRecords(time.Hour)},
		"waiting": {cbrtest.WithCopyTime(time.Hour)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, newServer(t, options...))
			body := request(t, cbrtest.SourceVault, nil)
			back := r.handedBack(sqs(t, message{id: "m", body: body}, message{id: "m", body: body}))
			diff(t, "handed back", []string{}, back)
			for _, p := range r.published() {
				if p != "m accepted" {
					t.Errorf("published %v", r.published())
				}
			}
			taken := 0
			for _, c := range r.cbr.Calls() {
				if c.Taken {
					taken++
				}
			}
			if taken != 1 {
				t.Errorf("taken %d times", taken)
			}
		})
	}
}

// TestCopiesNotSeenYet: nobody is paged for backups whose copies were asked for
// a moment ago.
func TestCopiesNotSeenYet(t *testing.T) {
	t.Parallel()
	r := newRig(t, newServer(t, cbrtest.WithCopyTime(0), cbrtest.WithLateRecords(time.Hour)))
	body := request(t, cbrtest.SourceVault, nil)
	back := r.handedBack(sqs(t, message{id: "a", body: body}, message{id: "b", body: body}))
	diff(t, "handed back", []string{"b"}, back)
	diff(t, "results", []string{"a accepted"}, r.published())
	if seconds := r.queues.seconds["receipt-b"]; seconds != 60 {
		t.Errorf("%d seconds out of sight", seconds)
	}
}

// TestReplicatedUnseen: CBR speaks of replicas, but the credential sees no
// backup at all.
func TestReplicatedUnseen(t *testing.T) {
	t.Parallel()
	r := newRig(t, newServer(t))
	vault := r.cbr.AddVaults(cbrtest.SourceProject, 1, 0)[0]
	r.cbr.Script(cbrtest.AnyVault, cbrtest.Refusal(400, "BackupService.1009", "replicated"))
	r.handedBack(sqs(t, message{id: "m", body: request(t, vault, nil)}))
	got := decode[struct{ Data lookup }](t, r.topic.Messages()[0].Raw).Data
	diff(t, "data", lookup{Unverified: true, Coverage: &coverage{0, 0}}, got)
}

// TestDestinationRecord: what another function gave up may have been done.
// Nobody knows since when.
func TestDestinationRecord(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		changes object
		lookups int
		data    lookup
	}{
		"without a time": {nil, 0, lookup{Unverified: true}},
		"with a time":    {object{"requested_at": time.Now().Add(-time.Hour)}, 1, lookup{}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, newServer(t))
			body := encode(t, object{
				"version": "1.0", "timestamp": time.Now(), "requestContext": object{"condition": "RetriesExhausted", "approximateInvokeCount": 3},
				"requestPayload": decode[object](t, request(t, cbrtest.SourceVault, tt.changes)),
			})
			r.handedBack(sqs(t, message{id: "m", body: string(body)}))
			diff(t, "data", tt.data, decode[struct{ Data lookup }](t, r.topic.Messages()[0].Raw).Data)
			if n := len(r.cbr.LookupCalls()); n != tt.lookups {
				t.Errorf("%d lookups, want %d", n, tt.lookups)
			}
		})
	}
}

// TestUndecidedUnchanged: CBR's "replicated" may speak of an earlier delivery's
// copies, which wait and do not say since when.
func TestUndecidedUnchanged(t *testing.T) {
	t.Parallel()
	var r *rig
	vault := vaultID(1)
	server := newServer(t, cbrtest.WithObserver(func(c cbrtest.Call) {
		if c.Operation == cbrtest.CopyCheckpoint {
			r.cbr.AddRecord("first", cbrtest.Record{Status: "waiting_replicate"})
		}
	}))
	server.AddVault(cbrtest.Vault{ID: vault, ProjectID: cbrtest.SourceProject})
	server.AddBackup(cbrtest.Backup{ID: "first", VaultID: vault})
	r = newRig(t, server)
	server.Script(cbrtest.AnyVault, cbrtest.Refusal(400, "BackupService.1009", "being replicated"))
	back := r.handedBack(sqs(t, message{id: "m", body: request(t, vault, nil), receives: 2, firstReceive: time.Now().Add(-time.Minute)}))
	diff(t, "handed back", []string{"m"}, back)
}

// TestWaiting: a delivery that goes back has its own wait, and what is behind it
// in its group comes with it.
func TestWaiting(t *testing.T) {
	t.Parallel()
	server := newServer(t)
	r := newRig(t, server)
	vaults := server.AddVaults(cbrtest.SourceProject, 4, 1)
	server.Script(vaults[0], cbrtest.Throttled(90*time.Second))
	server.Script(vaults[1], cbrtest.Refusal(400, "BackupService.6130", "busy"))
	server.Script(vaults[2], cbrtest.Refusal(400, "BackupService.6130", "busy"))
	r.handedBack(sqs(t,
		message{id: "throttled", body: request(t, vaults[0], nil), group: "a"},
		message{id: "behind", body: request(t, vaults[3], nil), group: "a"},
		message{id: "busy", body: request(t, vaults[1], nil), group: "b", receives: 1},
		message{id: "last", body: request(t, vaults[2], nil), group: "c", receives: maxReceives, firstReceive: time.Now().Add(-time.Hour)},
		message{id: "done", body: request(t, cbrtest.SourceVault, nil), group: "d"},
	))
	diff(t, "seconds out of sight", map[string]int{"receipt-throttled": 90, "receipt-behind": 0, "receipt-busy": 900, "receipt-last": 60}, r.queues.seconds)
}

// TestTimeOfAProducer: where the producer alone says how old an event is, a
// replica of before settles it only if nothing is left to be copied.
func TestTimeOfAProducer(t *testing.T) {
	t.Parallel()
	hoursAgo := time.Now().Add(-2 * time.Hour)
	bus := func(t *testing.T, body string) []byte {
		return encode(t, object{"id": "e", "detail-type": "x", "source": "s", "time": hoursAgo, "detail": decode[object](t, body)})
	}
	topic := func(t *testing.T, body string) []byte {
		return encode(t, object{"Records": []object{{"EventSource": "aws:sns", "Sns": object{"MessageId": "e", "TopicArn": "arn:t", "Timestamp": hoursAgo, "Message": body}}}})
	}
	queue := func(t *testing.T, body string) []byte {
		return sqs(t, message{id: "e", body: body, receives: 2, firstReceive: hoursAgo})
	}
	for name, tt := range map[string]struct {
		payload func(*testing.T, string) []byte
		changes object // of the request
		status  string // of the backup that has no finished copy of an hour ago
		calls   int
		result  string
	}{
		"EventBridge":                     {bus, nil, "", 1, "e accepted"},
		"EventBridge, all copied":         {bus, nil, "success", 0, "e accepted"},
		"EventBridge, one cannot be told": {bus, nil, "waiting_replicate", 1, ""},
		"EventBridge, with requested_at":  {bus, object{"requested_at": hoursAgo}, "", 0, "e accepted"},
		"SNS":                             {topic, nil, "", 1, "e accepted"},
		"SNS, all copied":                 {topic, nil, "success", 0, "e accepted"},
		"SQS says it itself":              {queue, nil, "", 0, "e accepted"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := newServer(t, cbrtest.WithCopyTime(0))
			r := newRig(t, server)
			vault := server.AddVaults(cbrtest.SourceProject, 1, 0)[0]
			r.effect(vault, time.Hour)
			r.addBackup(vault, "second", false)
			switch tt.status {
			case "":
			case "waiting_replicate":
				server.AddRecord("copied-"+vault, cbrtest.Record{Status: tt.status})
			default:
				server.AddRecord("second", cbrtest.Record{Status: tt.status, CreatedAt: time.Now().Add(-time.Hour)})
			}
			_, _ = r.invoke(tt.payload(t, request(t, vault, tt.changes)))
			if n := len(server.Calls()); n != tt.calls {
				t.Errorf("%d calls, want %d", n, tt.calls)
			}
			diff(t, "results", strings.Fields(tt.result), strings.Fields(strings.Join(r.published(), " ")))
		})
	}
}

// TestCloudWithoutRecords: where replication records are not shown, nothing
// passes for looked up, and no backup for one without a replica.
func TestCloudWithoutRecords(t *testing.T) {
	t.Parallel()
	replicated := cbrtest.Refusal(400, "BackupService.1009", "replicated")
	for _, way := range []string{"ignored", "refused"} {
		for name, tt := range map[string]struct {
			fault   *cbrtest.Fault
			message message
			changes object
			want    string
		}{
			"a redelivery":        {nil, message{receives: 2, firstReceive: time.Now().Add(-time.Minute)}, nil, "accepted"},
			"requested_at":        {nil, message{}, object{"requested_at": time.Now().Add(-time.Hour)}, "accepted"},
			"replicated already":  {&replicated, message{}, nil, "unchanged AlreadyReplicated"},
			"the answer was lost": {new(cbrtest.ResetAfter()), message{}, nil, ""},
		} {
			t.Run(way+"/"+name, func(t *testing.T) {
				t.Parallel()
				server := newServer(t, cbrtest.WithCopyTime(0), cbrtest.WithFormat(cbrtest.Format{ShowReplication: way}))
				r := newRig(t, server)
				want := []string{}
				for i, vault := range server.AddVaults(cbrtest.SourceProject, 2, 1) {
					if tt.fault != nil {
						server.Script(vault, *tt.fault)
					}
					m := tt.message
					m.id, m.body = fmt.Sprint(i), request(t, vault, tt.changes)
					r.handedBack(sqs(t, m))
					if tt.want != "" {
						want = append(want, m.id+" "+tt.want)
					}
				}
				diff(t, "results", want, r.published())
				for _, m := range r.topic.Messages() {
					diff(t, "data", lookup{Unverified: true}, decode[struct{ Data lookup }](t, m.Raw).Data)
				}
				if n := len(server.Calls()); n != 2 {
					t.Errorf("%d calls, want 2", n)
				}
				if n := len(r.lines("this cloud does not show replication records: redeliveries and requests with requested_at are sent without a lookup and may duplicate a copy, and nothing is told of backups that have no replica")); n != 1 {
					t.Errorf("the log says %d times what it means, want once", n)
				}
				if emf := r.emf.String(); strings.Contains(emf, `"LookupsRefused":1`) {
					t.Errorf("metrics %s, want no LookupsRefused", emf)
				}
			})
		}
	}
}

// TestFailedCopiesAreNoEffect: what has failed or was skipped since a request was
// first made is asked for again.
func TestFailedCopiesAreNoEffect(t *testing.T) {
	t.Parallel()
	server := newServer(t, cbrtest.WithCopyTime(0))
	r := newRig(t, server)
	vault := server.AddVaults(cbrtest.SourceProject, 1, 0)[0]
	for _, status := range []string{"fail", "skip"} {
		r.addBackup(vault, status, false)
		server.AddRecord(status, cbrtest.Record{Status: status, CreatedAt: time.Now().Add(-30 * time.Minute)})
	}
	r.handedBack(sqs(t, message{id: "m", body: request(t, vault, object{"requested_at": time.Now().Add(-time.Hour)})}))
	diff(t, "results", []string{"m accepted"}, r.published())
	if data := decode[struct{ Data lookup }](t, r.topic.Messages()[0].Raw).Data; data.Reconciled || len(server.Calls()) != 1 {
		t.Errorf("%d calls, data %+v; want one that was accepted", len(server.Calls()), data)
	}
}

// TestNotCoveredNamesTheVault: CBR keeps one replica in each region, so a backup
// may have its replica in another vault there.
func TestNotCoveredNamesTheVault(t *testing.T) {
	t.Parallel()
	const other = "0ca3eb86-8800-46da-9c37-000000000000"
	server := newServer(t)
	r := newRig(t, server)
	vault := server.AddVaults(cbrtest.SourceProject, 1, 0)[0]
	r.addBackup(vault, "there", true)
	r.addBackup(vault, "in another vault", false)
	server.AddRecord("in another vault", cbrtest.Record{DestinationVault: other, CreatedAt: time.Now().Add(-time.Hour)})
	r.handedBack(sqs(t, message{id: "m", body: request(t, vault, nil)}))
	diff(t, "results", []string{"m rejected NotCovered"}, r.published())
	if text := r.topic.Messages()[0].Event.Data.Error.Message; !strings.HasSuffix(text, "; 1 have one in vault "+other+", in the same region") {
		t.Errorf("message %q does not name the vault", text)
	}
}

// TestOddRecords: a record that is written as nobody describes it does not keep
// its vault from being looked up.
func TestOddRecords(t *testing.T) {
	t.Parallel()
	for name, odd := range map[string]string{
		"a zone without a colon":    `"created_at":"2026-11-23T07:00:00+0000"`,
		"a number":                  `"created_at":1763881200`,
		"extra_info is a text":      `"created_at":"2026-11-23T07:00:00","extra_info":""`,
		"no time at all, elsewhere": `"created_at":"yesterday","destination_region":"region9"`,
		"a record is none":          `"created_at":"2026-11-23T07:00:00"},null,"record",{"id":3`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := newServer(t)
			r := newRig(t, server)
			server.Script(cbrtest.Lookups, cbrtest.Raw(200, fmt.Sprintf(`{"backups":[{"id":"b","status":"available","replication_records":[
				{"id":"r","status":"success","destination_region":%q,"destination_project_id":%q,"destination_vault_id":%q,%s}]}],"count":1}`,
				cbrtest.DestinationRegion, cbrtest.DestinationProject, cbrtest.DestinationVault, odd)))
			back := r.handedBack(sqs(t, message{id: "m", body: request(t, cbrtest.SourceVault, nil), receives: 2, firstReceive: time.Now().Add(-time.Minute)}))
			diff(t, "handed back", []string{}, back)
			diff(t, "results", []string{"m accepted"}, r.published())
		})
	}
}

// hiddenCBR takes every request and says so, or not, and shows no copy for
// a while. What was taken once is replicated for it.
type hiddenCBR struct {
	lateCBR
	lose bool // the first answer
}

func (c *hiddenCBR) Replicate(ctx context.Context, src huawei.Scope, r cbr.Replicate) (cbr.Answer, error) {
	c.mu.Lock()
	seen := len(c.taken[r.VaultID])
	c.mu.Unlock()
	if seen > 0 {
		return cbr.Answer{Sent: true, Status: 400}, &kind.Error{Kind: kind.AlreadyReplicated, Code: "BackupService.1009", Message: "being replicated"}
	}
	answer, err := c.lateCBR.Replicate(ctx, src, r)
	if c.lose {
		return cbr.Answer{Sent: true}, &kind.Error{Kind: kind.Unknown, Message: "the answer was lost"}
	}
	return answer, err
}

// TestNotCoveredWaitsForWhatWasTaken: within a minute of a request that this
// process made, a copy that is not seen may be on its way. A final delivery is
// told that nobody knows.
func TestNotCoveredWaitsForWhatWasTaken(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := &hiddenCBR{lateCBR: lateCBR{taken: map[string][]time.Time{}}}
		r := newRig(t, nil)
		r.replicates.CBR, r.replicates.Lookups = c, reconcile.New(c)
		body := request(t, cbrtest.SourceVault, nil)
		diff(t, "handed back", []string{}, r.handedBack(sqs(t, message{id: "first", body: body})))
		time.Sleep(10 * time.Second)
		second := message{id: "second", body: body, firstReceive: time.Now()}
		diff(t, "handed back", []string{"second"}, r.handedBack(sqs(t, second)))
		if _, failure := r.invoke([]byte(body)); failure == nil || failure.Type != "CBR.Unknown" {
			t.Errorf("a direct caller is told %v, want Unknown", failure)
		}
		time.Sleep(time.Minute)
		second.receives = 2
		diff(t, "handed back", []string{}, r.handedBack(sqs(t, second)))
		diff(t, "results", []string{"first accepted", "request-1/0 failed Unknown", "second accepted"}, r.published())
	})
}

// TestRepeatedAfterALostAnswer: a direct call that is made again with the same
// requested_at, before its effect can be seen, is not sent again.
func TestRepeatedAfterALostAnswer(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := &lateCBR{taken: map[string][]time.Time{}, lost: map[string]bool{cbrtest.SourceVault: true}}
		r := newRig(t, nil)
		r.replicates.CBR, r.replicates.Lookups = c, reconcile.New(c)
		body := request(t, cbrtest.SourceVault, object{"requested_at": time.Now()})
		for _, wait := range []time.Duration{0, 10 * time.Second, 30 * time.Second} {
			time.Sleep(wait)
			if _, failure := r.invoke([]byte(body)); failure == nil || failure.Type != "CBR.Unknown" {
				t.Errorf("after %v: %v, want Unknown", wait, failure)
			}
		}
		time.Sleep(10 * time.Second)
		if reply, failure := r.invoke([]byte(body)); failure != nil || decode[object](t, reply)["reconciled"] != true {
			t.Errorf("in the end: %s, %v", reply, failure)
		}
		if n := len(c.taken[cbrtest.SourceVault]); n != 1 {
			t.Errorf("CBR took %d requests, want 1", n)
		}
	})
}

// TestTwinsOfAForgetfulCBR: a message that is twice in a batch is sent once, also
// by a CBR that would take it again and shows its copies late.
func TestTwinsOfAForgetfulCBR(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		lost    bool
		undated bool
		back    []string
		want    []string
	}{
		"taken":                        {false, false, []string{}, []string{"m accepted", "m accepted"}},
		"taken, SQS does not say when": {false, true, []string{}, []string{"m accepted", "m accepted"}},
		"the answer was lost":          {true, false, []string{"m"}, []string{}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				c := &lateCBR{taken: map[string][]time.Time{}, lost: map[string]bool{cbrtest.SourceVault: tt.lost}}
				r := newRig(t, nil)
				r.replicates.CBR, r.replicates.Lookups = c, reconcile.New(c)
				m := message{id: "m", body: request(t, cbrtest.SourceVault, nil), undated: tt.undated}
				diff(t, "handed back", tt.back, r.handedBack(sqs(t, m, m)))
				diff(t, "results", tt.want, r.published())
				if n := len(c.taken[cbrtest.SourceVault]); n != 1 {
					t.Errorf("CBR took %d requests, want 1", n)
				}
			})
		})
	}
}
