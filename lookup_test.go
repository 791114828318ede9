package replicator_test

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
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

// addBackup adds a backup to a vault, with a replica from yesterday if it is replicated.
func (r *rig) addBackup(vault, id string, replicated bool) {
	r.cbr.AddBackup(cbrtest.Backup{ID: id, VaultID: vault})
	if replicated {
		r.cbr.AddRecord(id, cbrtest.Record{CreatedAt: time.Now().Add(-24 * time.Hour)})
	}
}

// effect adds to CBR what a request of that age would have left there.
func (r *rig) effect(vault string, age time.Duration) {
	id := "copied-" + vault
	r.cbr.AddBackup(cbrtest.Backup{ID: id, VaultID: vault})
	r.cbr.AddRecord(id, cbrtest.Record{CreatedAt: time.Now().Add(-age)})
}

// TestLookups: when records are looked up, and what follows from what is found.
func TestLookups(t *testing.T) {
	t.Parallel()
	ago := func(d time.Duration) time.Time { return time.Now().Add(-d) }
	redelivered := message{receives: 2, firstReceive: ago(time.Minute)}
	late := []cbrtest.Option{cbrtest.WithLateRecords(time.Hour)}
	undated := []cbrtest.Option{cbrtest.WithCopyTime(time.Hour)}
	replicated := cbrtest.Refusal(400, "BackupService.1009", "replicated")
	nothing := cbrtest.Refusal(400, "BackupService.0001", "nothing")
	nothingIn2xx := cbrtest.Raw(200, `{"replication":{"vault_id":"`+vaultID(1)+`","backups":[]}}`)
	busy := cbrtest.Refusal(400, "BackupService.6130", "The vault is being replicated.")
	refused := cbrtest.Refusal(403, "PAP5.0001", "access denied")
	// What CBR answers to a request, and then to lookups.
	answers := func(request cbrtest.Fault, lookups ...cbrtest.Fault) func(*rig, string) {
		return func(r *rig, _ string) {
			r.cbr.Script(cbrtest.AnyVault, request)
			r.cbr.Script(cbrtest.Lookups, lookups...)
		}
	}
	lookupsAnswer := func(faults ...cbrtest.Fault) func(*rig, string) {
		return func(r *rig, _ string) { r.cbr.Script(cbrtest.Lookups, faults...) }
	}
	copied := func(age time.Duration) func(*rig, string) {
		return func(r *rig, vault string) { r.effect(vault, age) }
	}
	// A case that gives nothing but its name is a first delivery of a request that
	// CBR accepts: one call, no lookup, published as accepted, acknowledged.
	for _, tt := range []struct {
		name       string
		message    message
		changes    object // of the request
		options    []cbrtest.Option
		prepare    func(r *rig, vault string)
		copiesLate bool // the copy of an earlier delivery shows only after the call

		unsent     bool // CBR is not called
		lookups    int
		handedBack int    // seconds out of sight; 0: it is acknowledged
		want       string // published, if not accepted
		data       lookup
		refusals   int // of lookups, in the metric
	}{
		{name: "a first delivery"},
		{name: "the answer lost, the effect there", prepare: answers(cbrtest.ResetAfter()), lookups: 1, data: lookup{Reconciled: true}},
		{name: "the answer lost, the effect not there yet", options: late, prepare: answers(cbrtest.ResetAfter()), lookups: 1, handedBack: 60},
		{name: "the answer lost, the effect undated", options: undated, prepare: answers(cbrtest.ResetAfter()), lookups: 1, handedBack: 60},
		{name: "the request lost", prepare: answers(cbrtest.ResetBefore()), lookups: 1, handedBack: 60},
		{
			name:    "the answer lost, the lookup too",
			prepare: answers(cbrtest.ResetAfter(), always(cbrtest.Refusal(500, "", ""))...), lookups: maxAttempts, handedBack: 60,
		},
		{name: "a first delivery, busy", prepare: answers(busy), handedBack: 15 * 60},

		{name: "a redelivery without an effect", message: redelivered, lookups: 1},
		{name: "a redelivery with its effect", message: redelivered, prepare: copied(30 * time.Second), unsent: true, lookups: 1, data: lookup{Reconciled: true}},
		{name: "a redelivery, an effect from before it", message: redelivered, prepare: copied(70 * time.Second), lookups: 1},
		{
			name: "a redelivery, an effect elsewhere", message: redelivered, lookups: 1,
			prepare: func(r *rig, vault string) {
				r.addBackup(vault, "elsewhere", false)
				r.cbr.AddRecord("elsewhere", cbrtest.Record{DestinationRegion: "region3", CreatedAt: ago(30 * time.Second)})
			},
		},
		{
			name: "a redelivery, the lookup fails", message: redelivered,
			prepare: lookupsAnswer(always(cbrtest.Unavailable())...), unsent: true, lookups: maxAttempts, handedBack: 60,
		},
		{
			name: "a redelivery, a copy that waits undated", message: redelivered, unsent: true, lookups: 1, handedBack: 60,
			prepare: func(r *rig, vault string) {
				r.cbr.AddRecord("first-"+vault, cbrtest.Record{Status: "waiting_replicate"})
			},
		},
		{
			name: "a redelivery, replicated by its own copy", message: redelivered,
			prepare: answers(replicated), copiesLate: true, lookups: 2, data: lookup{Reconciled: true},
		},
		{
			name: "a redelivery, busy with its own copy", message: redelivered,
			prepare: answers(busy), copiesLate: true, lookups: 2, data: lookup{Reconciled: true},
		},
		{name: "a redelivery, busy with another's", message: redelivered, prepare: answers(busy), lookups: 2, handedBack: 60 * 60},
		{
			name: "a redelivery, the lookup not allowed", message: redelivered,
			prepare: lookupsAnswer(refused), lookups: 1, data: lookup{Unverified: true}, refusals: 1,
		},
		{
			name: "a redelivery, a firewall's page for a lookup", message: redelivered,
			prepare: lookupsAnswer(cbrtest.Raw(403, "<html>Forbidden</html>")), unsent: true, lookups: 1, handedBack: 60,
		},
		{
			name: "a redelivery of a request of the future", message: redelivered, changes: object{"requested_at": ago(-time.Hour)},
			prepare: copied(30 * time.Second), unsent: true, lookups: 1, data: lookup{Reconciled: true},
		},

		{
			name: "a request that may have been made, found", changes: object{"requested_at": ago(time.Hour)},
			prepare: copied(59 * time.Minute), unsent: true, lookups: 1, data: lookup{Reconciled: true},
		},
		{
			name: "a request that may have been made, not found", changes: object{"requested_at": ago(time.Hour)},
			prepare: copied(61 * time.Minute), lookups: 1,
		},

		{
			name:    "nothing to replicate in a 2xx",
			prepare: answers(nothingIn2xx), lookups: 1, want: "unchanged NothingToReplicate", data: lookup{Coverage: &coverage{1, 0}},
		},
		{
			name:    "nothing to replicate in a 2xx, the lookup fails",
			prepare: answers(nothingIn2xx, always(cbrtest.Unavailable())...), lookups: maxAttempts,
			want: "unchanged NothingToReplicate", data: lookup{Unverified: true},
		},
		{
			name: "all is replicated", lookups: 1, want: "unchanged AlreadyReplicated", data: lookup{Coverage: &coverage{2, 2}},
			prepare: func(r *rig, vault string) {
				r.cbr.AddRecord("first-"+vault, cbrtest.Record{CreatedAt: ago(24 * time.Hour)})
				r.addBackup(vault, "second", true)
			},
		},
		{
			name: "a copy has failed", lookups: 1, want: "rejected NotCovered", data: lookup{Coverage: &coverage{2, 1}},
			prepare: func(r *rig, vault string) {
				r.cbr.AddRecord("first-"+vault, cbrtest.Record{CreatedAt: ago(24 * time.Hour), Status: "fail"})
				r.addBackup(vault, "second", true)
				r.cbr.Script(cbrtest.AnyVault, replicated)
			},
		},
		{
			name: "not covered, a moment after the first delivery", message: message{receives: 2, firstReceive: ago(10 * time.Second)},
			prepare: answers(replicated), lookups: 2, handedBack: 60,
		},
		{
			name: "not covered, for the third time", message: message{receives: 3, firstReceive: ago(10 * time.Second)},
			prepare: answers(replicated), lookups: 2, want: "rejected NotCovered", data: lookup{Coverage: &coverage{1, 0}},
		},
		{name: "unchanged, the lookup fails", prepare: answers(nothing, always(cbrtest.Unavailable())...), lookups: maxAttempts, handedBack: 30},
		{
			name:    "unchanged, the lookup not allowed",
			prepare: answers(nothing, refused), lookups: 1, want: "unchanged NothingToReplicate", data: lookup{Unverified: true}, refusals: 1,
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var r *rig
			vault := vaultID(1)
			options := append([]cbrtest.Option{cbrtest.WithCopyTime(0)}, tt.options...)
			if tt.copiesLate {
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
			handedBack := r.handedBack(sqs(t, m))
			var want []string
			if tt.handedBack == 0 {
				want = []string{"m " + cmp.Or(tt.want, "accepted")}
			}
			diff(t, "results", want, r.published())
			wantCalls := 1
			if tt.unsent {
				wantCalls = 0
			}
			if calls, lookups := len(r.cbr.Calls()), len(r.cbr.LookupCalls()); calls != wantCalls || lookups != tt.lookups {
				t.Errorf("%d calls and %d lookups, want %d and %d", calls, lookups, wantCalls, tt.lookups)
			}
			for _, line := range r.lines("looked up") {
				if v := line["verdict"]; v != "found" && v != "not found" && v != "undecided" {
					t.Errorf("log line %v", line)
				}
			}
			seconds, waits := r.queues.seconds["receipt-m"]
			if (len(handedBack) > 0) != waits || waits != (tt.handedBack > 0) || seconds != tt.handedBack {
				t.Errorf("handed back %v for %d seconds, want %d", handedBack, seconds, tt.handedBack)
			}
			if tt.handedBack == 0 {
				got := decode[struct{ Data lookup }](t, r.topic.Messages()[0].Raw).Data
				diff(t, "data", tt.data, got)
			}
			if emf := r.emf.String(); !strings.Contains(emf, fmt.Sprintf(`"LookupsRefused":%d,`, tt.refusals)) {
				t.Errorf("metrics %s, want LookupsRefused %d", emf, tt.refusals)
			}
		})
	}
}

// lookup is the data of a result that comes from lookups.
type lookup struct {
	Reconciled, Unverified bool
	Coverage               *coverage
}

type coverage struct{ Backups, Replicated int }

// TestReconciledResult: a replication that is made of records is the one that CBR
// answered with.
func TestReconciledResult(t *testing.T) {
	t.Parallel()
	server := newServer(t, cbrtest.WithCopyTime(0))
	r := newRig(t, server)
	server.Script(cbrtest.AnyVault, cbrtest.ResetAfter())
	if handedBack := r.handedBack(sqs(t, message{id: "m", body: request(t, cbrtest.SourceVault, nil)})); len(handedBack) > 0 {
		t.Fatal("handed back")
	}
	lost := r.topic.Messages()[0].Event.Data.Replication

	// The same request, with an answer that is not lost.
	other := newRig(t, newServer(t, cbrtest.WithCopyTime(0)))
	other.handedBack(sqs(t, message{id: "m", body: request(t, cbrtest.SourceVault, nil)}))
	diff(t, "replication", inOrder(t, other.topic.Messages()[0].Event.Data.Replication), inOrder(t, lost))
}

// inOrder returns a replication with its backups sorted.
func inOrder(t *testing.T, replication json.RawMessage) object {
	t.Helper()
	o := decode[object](t, string(replication))
	slices.SortFunc(o["backups"].([]any), func(a, b any) int { return strings.Compare(fmt.Sprint(a), fmt.Sprint(b)) })
	return o
}

// TestTopicFailed: after the topic failed, the redelivery finds the records. It
// publishes the same result with the same id, without a call.
func TestTopicFailed(t *testing.T) {
	t.Parallel()
	server := newServer(t, cbrtest.WithCopyTime(0))
	r := newRig(t, server)
	first := message{id: "m", body: request(t, cbrtest.SourceVault, nil), firstReceive: time.Now()}
	r.topic.Fault = func(int) error { return fmt.Errorf("no topic") }
	if handedBack := r.handedBack(sqs(t, first)); len(handedBack) != 1 {
		t.Fatalf("handed back %v", handedBack)
	}
	lost := decode[struct{ ID string }](t, string(encode(t, r.lines("result not published")[0]["event"]))).ID
	r.topic.Fault = nil
	first.receives = 2
	if handedBack := r.handedBack(sqs(t, first)); len(handedBack) != 0 {
		t.Fatalf("handed back %v", handedBack)
	}
	if n := len(server.Calls()); n != 1 {
		t.Errorf("%d calls, want 1", n)
	}
	if got := r.topic.Messages()[0].Event.ID; got != lost {
		t.Errorf("id %s, want the one that was lost, %s", got, lost)
	}
}

// TestSameVaultTwice: two deliveries for one vault share a lookup, and the answer to
// one of them.
func TestSameVaultTwice(t *testing.T) {
	t.Parallel()
	server := newServer(t, cbrtest.WithCopyTime(0))
	r := newRig(t, server)
	earlier := time.Now().Add(-time.Minute)
	body := request(t, cbrtest.SourceVault, nil)
	r.handedBack(sqs(t, message{id: "a", body: body, receives: 2, firstReceive: earlier}, message{id: "b", body: body, receives: 2, firstReceive: earlier}))
	diff(t, "results", []string{"a accepted", "b accepted"}, r.published())
	if calls, lookups := len(server.Calls()), len(server.LookupCalls()); calls != 1 || lookups != 1 {
		t.Errorf("%d calls and %d lookups, want 1 and 1: the first one's request is known", calls, lookups)
	}
	r.replicates.Lookups = reconcile.New(r.replicates.CBR.(*cbr.Client)) // another process
	r.handedBack(sqs(t, message{id: "c", body: body, receives: 2, firstReceive: earlier}, message{id: "d", body: body, receives: 2, firstReceive: earlier}))
	if calls, lookups := len(server.Calls()), len(server.LookupCalls()); calls != 1 || lookups != 2 {
		t.Errorf("%d calls and %d lookups, want 1 and 2", calls, lookups)
	}
}

// TestLookupByTrigger: HTTP and direct calls send nothing twice in an invocation. The
// results of a stream without times are unverified.
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

// lateCBR accepts a request once the vault's refusals are used up, and lists its copy
// 45 seconds later. For a vault in lost, its answer is lost.
type lateCBR struct {
	mu       sync.Mutex
	refusals map[string]int
	lost     map[string]bool
	accepted map[string][]time.Time
}

func (c *lateCBR) Replicate(_ context.Context, _ huawei.Scope, r cbr.Replicate) (cbr.Answer, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.refusals[r.VaultID] > 0 {
		c.refusals[r.VaultID]--
		return cbr.Answer{Sent: true}, &kind.Error{Kind: kind.Throttled, Message: "too many requests"}
	}
	c.accepted[r.VaultID] = append(c.accepted[r.VaultID], time.Now())
	if c.lost[r.VaultID] {
		return cbr.Answer{Sent: true}, &kind.Error{Kind: kind.Unknown, Message: "the answer was lost"}
	}
	return accept(r)
}

// ShowBackup is not asked: all requests are for vaults.
func (c *lateCBR) ShowBackup(context.Context, huawei.Scope, string, func(*cbr.Backup)) (cbr.Clocks, error) {
	return cbr.Clocks{}, errors.New("not asked")
}

func (c *lateCBR) ListBackups(_ context.Context, src huawei.Scope, vault string, each func(*cbr.Backup)) (cbr.Clocks, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	b := cbr.Backup{ID: "backup", Available: true}
	for i, at := range c.accepted[vault] {
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

// TestEffectsShowBeforeRedelivery: a broker redelivers at once. So the function waits
// before that until its effects can be seen, if its time lasts. If it does not, the
// process remembers its requests.
func TestEffectsShowBeforeRedelivery(t *testing.T) {
	t.Parallel()
	const a, b = "0000000a-0000-4000-8000-000000000000", "0000000b-0000-4000-8000-000000000000"
	for name, tt := range map[string]struct {
		refusals map[string]int
		lost     map[string]bool
		timeout  time.Duration
		wait     time.Duration // before the batch is handed back
		oneByOne bool          // only what is handed back is redelivered
	}{
		"an answer lost":            {lost: map[string]bool{a: true}, timeout: 2 * time.Minute, wait: time.Minute},
		"one accepted, one refused": {refusals: map[string]int{b: maxAttempts}, timeout: 2 * time.Minute, wait: time.Minute},
		"both refused":              {refusals: map[string]int{a: maxAttempts, b: maxAttempts}, timeout: 2 * time.Minute},
		"both accepted":             {timeout: 2 * time.Minute},
		"an answer lost, no time":   {lost: map[string]bool{a: true}, timeout: 30 * time.Second, wait: 25 * time.Second},

		"an answer lost, one by one":            {lost: map[string]bool{a: true}, timeout: 2 * time.Minute, wait: time.Minute, oneByOne: true},
		"one accepted, one refused, one by one": {refusals: map[string]int{b: maxAttempts}, timeout: 2 * time.Minute, oneByOne: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				late := &lateCBR{refusals: tt.refusals, lost: tt.lost, accepted: map[string][]time.Time{}}
				r := newRig(t, nil)
				r.replicates.CBR, r.replicates.Lookups = late, reconcile.New(late)
				r.Decoder.KafkaItemFailures = tt.oneByOne
				var records []object
				for i, vault := range []string{a, b} {
					records = append(records, object{
						"topic": "t", "partition": i, "offset": i, "timestamp": time.Now().UnixMilli(), "value": []byte(request(t, vault, nil)),
					})
				}
				// deliver reports whether records are left to be delivered again.
				deliver := func() bool {
					reply, failure := r.invokeWithin(encode(t, object{"eventSource": "aws:kafka", "eventSourceArn": "arn:k", "records": object{"t-0": records}}), tt.timeout)
					if !tt.oneByOne {
						return failure != nil
					}
					records = slices.DeleteFunc(records, func(record object) bool {
						return !strings.Contains(reply, fmt.Sprintf(`"offset":%d}`, record["offset"]))
					})
					return len(records) > 0
				}
				began := time.Now()
				left := deliver()
				if took := time.Since(began); took < tt.wait || took >= tt.timeout || (tt.wait == 0 && took >= time.Minute) {
					t.Errorf("it took %v, want %v of %v", took, tt.wait, tt.timeout)
				}
				for range 5 {
					if left {
						left = deliver()
					}
				}
				if left {
					t.Error("it has no end")
				}
				if n := len(late.accepted[a]) + len(late.accepted[b]); n != 2 {
					t.Errorf("CBR accepted %d requests, want one of each vault", n)
				}
			})
		})
	}
}

// TestTwins: a standard queue may deliver a message twice in a batch. Only one of the
// two deliveries has an effect.
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
			accepted := 0
			for _, c := range r.cbr.Calls() {
				if c.Taken {
					accepted++
				}
			}
			if accepted != 1 {
				t.Errorf("CBR accepted %d requests, want 1", accepted)
			}
		})
	}
}

// TestCopiesNotSeenYet: backups without a replica are not NotCovered if their copies
// were requested a moment ago.
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

// TestReplicatedWithoutBackups: CBR answers that all is replicated, but the
// credential sees no backup.
func TestReplicatedWithoutBackups(t *testing.T) {
	t.Parallel()
	r := newRig(t, newServer(t))
	vault := r.cbr.AddVaults(cbrtest.SourceProject, 1, 0)[0]
	r.cbr.Script(cbrtest.AnyVault, cbrtest.Refusal(400, "BackupService.1009", "replicated"))
	r.handedBack(sqs(t, message{id: "m", body: request(t, vault, nil)}))
	got := decode[struct{ Data lookup }](t, r.topic.Messages()[0].Raw).Data
	diff(t, "data", lookup{Unverified: true, Coverage: &coverage{0, 0}}, got)
}

// TestDestinationRecord: another function gave up a request that may have had its
// effect, at an unknown time.
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

// TestUndecidedUnchanged: CBR's "replicated" may be because of an earlier delivery's
// copies, which wait and have no time yet.
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

// TestWaiting: each delivery that is handed back has a wait of its own. One behind it
// in its group has none.
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

// TestTimeOfAProducer: if only the producer gives an event's time, an earlier replica
// is taken for its effect only if nothing is left to copy.
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
		"EventBridge":                    {bus, nil, "", 1, "e accepted"},
		"EventBridge, all copied":        {bus, nil, "success", 0, "e accepted"},
		"EventBridge, one undated":       {bus, nil, "waiting_replicate", 1, ""},
		"EventBridge, with requested_at": {bus, object{"requested_at": hoursAgo}, "", 0, "e accepted"},
		"SNS":                            {topic, nil, "", 1, "e accepted"},
		"SNS, all copied":                {topic, nil, "success", 0, "e accepted"},
		"SQS, with a time of its own":    {queue, nil, "", 0, "e accepted"},
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

// TestCloudWithoutRecords: if a cloud does not show replication records, results are
// unverified and no backup counts as one without a replica.
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
					t.Errorf("%d log lines about it, want 1", n)
				}
				if emf := r.emf.String(); strings.Contains(emf, `"LookupsRefused":1`) {
					t.Errorf("metrics %s, want no LookupsRefused", emf)
				}
			})
		}
	}
}

// TestFailedCopiesAreNoEffect: if the copies of a request have failed or were skipped,
// the request is sent.
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
	diff(t, "uncovered", []string{"in another vault"}, decode[struct{ Data struct{ Uncovered []string } }](t, r.topic.Messages()[0].Raw).Data.Uncovered)
	if text := r.topic.Messages()[0].Event.Data.Error.Message; !strings.HasSuffix(text, "; 1 have one in vault "+other+", in the same region") {
		t.Errorf("message %q does not name the vault", text)
	}
}

// TestOddRecords: a record of an undocumented form does not make its vault's lookup
// fail.
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

// hiddenCBR accepts the first request for a vault and shows no copy for a while. To
// others it answers that all is replicated.
type hiddenCBR struct {
	lateCBR
	lose bool // the first answer
}

func (c *hiddenCBR) Replicate(ctx context.Context, src huawei.Scope, r cbr.Replicate) (cbr.Answer, error) {
	c.mu.Lock()
	earlier := len(c.accepted[r.VaultID])
	c.mu.Unlock()
	if earlier > 0 {
		return cbr.Answer{Sent: true, Status: 400}, &kind.Error{Kind: kind.AlreadyReplicated, Code: "BackupService.1009", Message: "being replicated"}
	}
	answer, err := c.lateCBR.Replicate(ctx, src, r)
	if c.lose {
		return cbr.Answer{Sent: true}, &kind.Error{Kind: kind.Unknown, Message: "the answer was lost"}
	}
	return answer, err
}

// TestNotCoveredWaitsForOwnRequests: within a minute of a request by this process, its
// copies may exist unseen. A direct caller then gets Unknown.
func TestNotCoveredWaitsForOwnRequests(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := &hiddenCBR{lateCBR: lateCBR{accepted: map[string][]time.Time{}}}
		r := newRig(t, nil)
		r.replicates.CBR, r.replicates.Lookups = c, reconcile.New(c)
		body := request(t, cbrtest.SourceVault, nil)
		diff(t, "handed back", []string{}, r.handedBack(sqs(t, message{id: "first", body: body})))
		time.Sleep(10 * time.Second)
		second := message{id: "second", body: body, firstReceive: time.Now()}
		diff(t, "handed back", []string{"second"}, r.handedBack(sqs(t, second)))
		if _, failure := r.invoke([]byte(body)); failure == nil || failure.Type != "CBR.Unknown" {
			t.Errorf("a direct caller gets %v, want Unknown", failure)
		}
		time.Sleep(time.Minute)
		second.receives = 2
		diff(t, "handed back", []string{}, r.handedBack(sqs(t, second)))
		diff(t, "results", []string{"first accepted", "request-1/0 failed Unknown", "second accepted"}, r.published())
	})
}

// TestRepeatedAfterALostAnswer: a direct call that is repeated with the same
// requested_at, before its effect can be seen, is not sent twice.
func TestRepeatedAfterALostAnswer(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := &lateCBR{accepted: map[string][]time.Time{}, lost: map[string]bool{cbrtest.SourceVault: true}}
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
		if n := len(c.accepted[cbrtest.SourceVault]); n != 1 {
			t.Errorf("CBR accepted %d requests, want 1", n)
		}
	})
}

// TestTwinsOfAForgetfulCBR: a message that is twice in a batch is sent once, also if
// CBR would accept it twice and shows its copies late.
func TestTwinsOfAForgetfulCBR(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		lost    bool
		undated bool
		back    []string
		want    []string
	}{
		"accepted":                    {false, false, []string{}, []string{"m accepted", "m accepted"}},
		"accepted, SQS gives no time": {false, true, []string{}, []string{"m accepted", "m accepted"}},
		"the answer was lost":         {true, false, []string{"m"}, []string{}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				c := &lateCBR{accepted: map[string][]time.Time{}, lost: map[string]bool{cbrtest.SourceVault: tt.lost}}
				r := newRig(t, nil)
				r.replicates.CBR, r.replicates.Lookups = c, reconcile.New(c)
				m := message{id: "m", body: request(t, cbrtest.SourceVault, nil), undated: tt.undated}
				diff(t, "handed back", tt.back, r.handedBack(sqs(t, m, m)))
				diff(t, "results", tt.want, r.published())
				if n := len(c.accepted[cbrtest.SourceVault]); n != 1 {
					t.Errorf("CBR accepted %d requests, want 1", n)
				}
			})
		})
	}
}
