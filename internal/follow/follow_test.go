package follow_test

import (
	"context"
	"encoding/json"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"cbr-replicator/internal/cbr"
	"cbr-replicator/internal/delivery"
	"cbr-replicator/internal/follow"
	"cbr-replicator/internal/huawei"
	"cbr-replicator/internal/kind"
	"cbr-replicator/internal/reconcile"
	"cbr-replicator/internal/redact"
	"cbr-replicator/internal/result"
	"cbr-replicator/internal/retry"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// lists answers a look.
type lists func(each func(*cbr.Backup)) error

func (l lists) ListBackups(_ context.Context, _ huawei.Scope, _ string, each func(*cbr.Backup)) (cbr.Clocks, error) {
	return cbr.Clocks{Ours: time.Now(), Theirs: time.Now(), Newest: time.Now()}, l(each)
}

func (l lists) ShowBackup(ctx context.Context, src huawei.Scope, id string, each func(*cbr.Backup)) (cbr.Clocks, error) {
	return l.ListBackups(ctx, src, id, each)
}

var to = cbr.Replicate{
	VaultID: "3b5816b5-f29c-4172-9d9a-76c719a659ce", DestinationVaultID: "0ca3eb86-8800-46da-9c37-9d657a825274",
	DestinationProjectID: "68589cac08274b82b4e254268a3862d8", DestinationRegion: "region2",
}

// records is a list of a vault with a backup for each state, named by its place.
func records(states ...cbr.RecordStatus) lists {
	return func(each func(*cbr.Backup)) error {
		for i, s := range states {
			id := string(rune('a' + i))
			if s == "gone" {
				continue
			}
			each(&cbr.Backup{ID: id, Records: []cbr.ReplicationRecord{{
				ID: "record-" + id, Status: s, CreatedAt: time.Now(), FailReason: map[bool]string{true: "no room"}[s == cbr.Failed],
				DestinationRegion: to.DestinationRegion, DestinationProjectID: to.DestinationProjectID, DestinationVaultID: to.DestinationVaultID,
			}}})
		}
		return nil
	}
}

// accepted is a delivery of an event about n copies, accepted some time ago.
func accepted(n int, age time.Duration) *delivery.Delivery {
	type copied struct {
		BackupID            string `json:"backup_id"`
		ReplicationRecordID string `json:"replication_record_id"`
	}
	backups := make([]copied, n)
	for i := range backups {
		id := string(rune('a' + i))
		backups[i] = copied{id, "record-" + id}
	}
	replication, _ := json.Marshal(map[string]any{"backups": backups, "vault_id": to.VaultID})
	at := time.Now().Add(-age)
	return &delivery.Delivery{
		CausationID: "accepted-1", Tracked: true,
		Request: delivery.Request{
			ProjectID: "f841e01fd2b14e7fa41b6ae7aa6b0594", Region: "region1", Replicate: to, Action: follow.Key,
			Followed: &delivery.Accepted{ID: "accepted-1", Since: at.Add(-time.Second), At: at, Replication: replication},
		},
	}
}

func action(l lists) *follow.Action {
	return &follow.Action{
		Lookups: reconcile.New(l), Reads: retry.Policy{MaxAttempts: 1, Rand: rand.Float64}, For: 72 * time.Hour,
		Log: slog.New(slog.DiscardHandler), Redact: &redact.Redactor{}, Rand: func() float64 { return 0.5 },
	}
}

func look(t *testing.T, l lists, d *delivery.Delivery) delivery.Outcome {
	t.Helper()
	return action(l).Open(delivery.Invocation{}).Do(t.Context(), d)
}

// TestStops is every way that a look can end.
func TestStops(t *testing.T) {
	t.Parallel()
	failing := func(err *kind.Error) lists { return func(func(*cbr.Backup)) error { return err } }
	throttled := failing(&kind.Error{Kind: kind.Throttled, Message: "slow down"})
	const day = 24 * time.Hour
	for name, tt := range map[string]struct {
		list lists
		age  time.Duration // 0: an hour
		n    int           // 0: as many as there are states
		want kind.Kind
		// status is the result's, empty where the event is handed back.
		status  kind.Status
		message string
		wait    time.Duration
		counts  string
	}{
		"all there":                {list: records("success", "success"), n: 2, status: "completed", counts: "Followed CopyDuration=3600"},
		"some there":               {list: records("success", "fail"), n: 2, want: kind.CopyIncomplete, status: "partial", message: "1 of 2 copies are not there: 1 failed, 0 skipped, 0 unknown; backup b:  no room", counts: "Followed CopyDuration=3600"},
		"some there, one unknown":  {list: records("success", "gone"), n: 2, want: kind.CopyIncomplete, status: "partial", message: "1 of 2 copies are not there: 0 failed, 0 skipped, 1 unknown", counts: "Followed CopyDuration=3600"},
		"none there":               {list: records("fail", "skip"), n: 2, want: kind.CopyFailed, status: "failed", message: "none of 2 copies is there: 1 failed, 1 skipped, 0 unknown; backup a:  no room", counts: "Followed CopyDuration=3600"},
		"none there, one unknown":  {list: records("fail", "gone"), n: 2, want: kind.NotFollowed, status: "failed", message: "none of 2 copies is known to be there: 1 failed, 0 skipped, 1 unknown; backup a:  no room: look in the destination vault", counts: "Followed"},
		"one runs":                 {list: records("success", "replicating"), n: 2, want: kind.Copying, message: "1 of 2 copies wait or run", wait: 15 * time.Minute, counts: "Followed FollowAge=3600"},
		"one waits, just accepted": {list: records("waiting_replicate"), n: 1, age: time.Second, want: kind.Copying, message: "1 of 1 copies wait or run", wait: 2 * time.Minute, counts: "Followed FollowAge=1"},
		"one runs for days":        {list: records("replicating"), n: 1, age: 3*day - time.Second, want: kind.Copying, message: "1 of 1 copies wait or run", wait: 30 * time.Minute, counts: "Followed FollowAge=259199"},
		"one runs for too long":    {list: records("success", "replicating"), n: 2, age: 3 * day, want: kind.NotFollowed, status: "failed", message: "1 of 2 copies still wait or run 72h0m0s after they were accepted: look at the vault's tasks in CBR's console", counts: "Followed"},
		"looked first":             {list: records("success"), n: 1, age: 30 * day, status: "completed", counts: "Followed CopyDuration=2592000"},
		"throttled":                {list: throttled, n: 1, want: kind.Throttled, message: "the lookup failed: slow down", counts: "FollowFaults"},
		"throttled for a day more": {list: throttled, n: 1, age: 4 * day, want: kind.NotFollowed, status: "failed", message: "accepted 96h0m0s ago, and CBR cannot be asked: the lookup failed: slow down", counts: "Followed"},
		"throttled, not yet":       {list: throttled, n: 1, age: 4*day - time.Second, want: kind.Throttled, message: "the lookup failed: slow down", counts: "FollowFaults"},
		"out of time":              {list: failing(&kind.Error{Kind: kind.OutOfTime, Message: "late"}), n: 1, want: kind.OutOfTime, message: "the lookup failed: late", wait: 15 * time.Minute, counts: "FollowFaults"},
		"no vault":                 {list: failing(&kind.Error{Kind: kind.Misconfigured, Cause: cbr.ErrNoVault}), n: 1, want: kind.NotFollowed, status: "failed", message: "the source vault does not exist any more (BackupService.6105): look in the destination vault", counts: "Followed"},
		"no records":               {list: failing(&kind.Error{Kind: kind.Misconfigured, Cause: cbr.ErrNoRecords}), n: 1, want: kind.NotFollowed, status: "failed", message: "this cloud does not show replication records: look in the destination vault, and leave following out (Follow=false)", counts: "Followed"},
		"an empty vault":           {list: records(), n: 1, want: kind.NotFollowed, status: "failed", message: "none of 1 copies is known to be there: 0 failed, 0 skipped, 1 unknown: look in the destination vault", counts: "Followed"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				if tt.age == 0 {
					tt.age = time.Hour
				}
				d := accepted(tt.n, tt.age)
				o := look(t, tt.list, d)
				if o.Err.Of() != tt.want || o.Err != nil && o.Err.Message != tt.message {
					t.Errorf("error %v, want %s %s", o.Err, tt.want, tt.message)
				}
				if o.HandedBack() != (tt.status == "") || tt.status != "" && o.Status() != tt.status {
					t.Errorf("handed back %t, status %q, want %q", o.HandedBack(), o.Status(), tt.status)
				}
				if o.Wait != tt.wait {
					t.Errorf("out of sight for %s, want %s", o.Wait, tt.wait)
				}
				if diff := cmp.Diff(tt.counts, counts(o)); diff != "" {
					t.Errorf("metrics (-want +got):\n%s", diff)
				}
				if tt.status == "" {
					return
				}
				if want := result.ID(follow.Key, "accepted-1", kind.Status(string(tt.status)+"/"+string(tt.want))); o.ResultID != want {
					t.Errorf("id %s, want %s", o.ResultID, want)
				}
				r := o.Data.Request.(*delivery.Request)
				if known := tt.want != kind.NotFollowed; r.RequestedAt.IsZero() != known || !known && !r.RequestedAt.Equal(d.Request.Followed.Since) {
					t.Errorf("requested_at %s", r.RequestedAt)
				}
				if c := o.Data.Copies; c.Total != c.Succeeded+c.Failed+c.Skipped+c.Unknown {
					t.Errorf("copies do not add up: %+v", c)
				}
				if o.Data.Stage != "copy" || o.Data.AcceptedID != "accepted-1" || !o.Data.AcceptedAt.Equal(d.Request.Followed.At) || string(o.Data.Replication) != string(d.Request.Followed.Replication) {
					t.Errorf("data %+v", o.Data)
				}
			})
		})
	}
}

func counts(o delivery.Outcome) string {
	var all []string
	for _, v := range o.Counts {
		text := v.Name
		if v.Count == 0 {
			seconds, _ := json.Marshal(v.Seconds)
			text += "=" + string(seconds)
		}
		all = append(all, text)
	}
	return strings.Join(all, " ")
}

// TestAskedFor: a direct call counts nothing and publishes nothing.
func TestAskedFor(t *testing.T) {
	t.Parallel()
	for _, state := range []cbr.RecordStatus{cbr.Replicated, cbr.Failed, cbr.Replicating} {
		d := accepted(1, time.Hour)
		d.Final, d.Tracked = true, false
		o := look(t, records(state), d)
		if !o.Silent || o.Counts != nil || !o.Err.Of().Policy().Answer || o.Data.Copies == nil {
			t.Errorf("%s: %+v", state, o)
		}
	}
}

// TestOneLook: all deliveries of an invocation for a vault share one.
func TestOneLook(t *testing.T) {
	t.Parallel()
	looks := 0
	w := action(func(each func(*cbr.Backup)) error {
		looks++
		return records(cbr.Replicated)(each)
	}).Open(delivery.Invocation{})
	for range 100 {
		if o := w.Do(t.Context(), accepted(1, time.Hour)); o.Err != nil {
			t.Fatal(o.Err)
		}
	}
	if looks != 1 {
		t.Errorf("%d looks, want 1", looks)
	}
}

// history is the states of a copy, one for each step. The last one stays.
type history []cbr.RecordStatus

// drawHistory draws a copy's history. again is whether CBR may try again what has
// failed; otherwise nothing changes once it has ended.
func drawHistory(t *rapid.T, again bool) (h history) {
	add := func(s cbr.RecordStatus, most int) {
		h = append(h, slices.Repeat(history{s}, rapid.IntRange(0, most).Draw(t, string(s)))...)
	}
	add(cbr.Waiting, 2)
	add(cbr.Replicating, 3)
	if again {
		for range rapid.IntRange(0, 2).Draw(t, "failures") {
			add(cbr.Failed, 2)
			add(cbr.Replicating, 2)
		}
	}
	return append(h, rapid.SampledFrom([]cbr.RecordStatus{cbr.Replicated, cbr.Failed, cbr.Skipped, "gone"}).Draw(t, "end"))
}

// at is the states of copies at a step.
func at(copies []history, step int) (states []cbr.RecordStatus) {
	for _, h := range copies {
		states = append(states, h[min(step, len(h)-1)])
	}
	return states
}

// told is how copies in these states end, empty if they go on.
func told(states []cbr.RecordStatus) string {
	n := map[cbr.RecordStatus]int{}
	for _, s := range states {
		n[s]++
	}
	switch there := n[cbr.Replicated]; {
	case n[cbr.Waiting]+n[cbr.Replicating] > 0:
		return ""
	case there == len(states):
		return "completed/"
	case there > 0:
		return "partial/CopyIncomplete"
	case n["gone"] == 0:
		return "failed/CopyFailed"
	}
	return "failed/NotFollowed"
}

// TestOneEnd: whenever one or two trackers look, and however often the queue
// redelivers, an accepted event ends in one way and with one id. If CBR tries again
// what has failed, a tracker ends at the first end that it sees, and trackers that
// see the same states tell the same.
func TestOneEnd(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		again := rapid.Bool().Draw(t, "CBR tries again")
		copies := make([]history, rapid.IntRange(1, 4).Draw(t, "copies"))
		steps := 0
		for i := range copies {
			copies[i] = drawHistory(t, again)
			steps = max(steps, len(copies[i]))
		}
		ends := map[string]bool{} // "status/kind id", of all trackers
		for range rapid.IntRange(1, 2).Draw(t, "trackers") {
			looks := rapid.SliceOfN(rapid.IntRange(0, steps-1), 0, 6).Draw(t, "looks")
			slices.Sort(looks)
			for receives, step := range append(looks, steps-1) {
				states, got := at(copies, step), ""
				// One that was published and not acknowledged is looked at once more.
				for range rapid.IntRange(1, 2).Draw(t, "times") {
					d := accepted(len(copies), time.Duration(step+1)*time.Hour)
					d.Queue.Receives, d.Redelivered = receives+1, receives > 0
					o := action(records(states...)).Open(delivery.Invocation{}).Do(t.Context(), d)
					if !o.HandedBack() {
						got = string(o.Status()) + "/" + string(o.Err.Of())
						ends[got+" "+o.ResultID] = true
					}
					if want := told(states); got != want {
						t.Fatalf("%v: ends as %q, want %q", states, got, want)
					}
				}
				if got != "" {
					break
				}
			}
		}
		if !again && len(ends) != 1 {
			t.Fatalf("ends %v, want one", ends)
		}
		ids := map[string]string{}
		for end := range ends {
			how, id, _ := strings.Cut(end, " ")
			if other := ids[how]; other != "" {
				t.Fatalf("%s has the ids %s and %s", how, other, id)
			}
			ids[how] = id
		}
	})
}

// TestWaitBounds: no bound is undercut, whatever CBR promises.
func TestWaitBounds(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		age := time.Duration(rapid.Int64Range(0, int64(8*24*time.Hour)).Draw(t, "age"))
		promise := time.Duration(rapid.Int64Range(0, int64(48*time.Hour)).Draw(t, "promise"))
		random := rapid.Float64Range(0, 0.999).Draw(t, "random")
		got := follow.Wait(age, promise, random)
		least, most := 2*time.Minute, 33*time.Minute
		if promise > 0 {
			least = max(time.Minute, min(age/20, 27*time.Minute))
		}
		if got < least || got > most {
			t.Errorf("Wait(%s, %s, %f) = %s, want %s to %s", age, promise, random, got, least, most)
		}
		if quarter := age / 4; promise == 0 && quarter > 2*time.Minute && quarter < 30*time.Minute && (float64(got) < float64(quarter)*0.9-1 || float64(got) > float64(quarter)*1.1+1) {
			t.Errorf("Wait(%s) = %s, want a quarter", age, got)
		}
	})
	for _, tt := range []struct{ age, promise, want time.Duration }{
		{0, 0, 2 * time.Minute},
		{time.Hour, 0, 15 * time.Minute},
		{3 * time.Hour, 0, 30 * time.Minute},
		{time.Hour, 5 * time.Minute, 5 * time.Minute},
		{time.Hour, time.Second, 3 * time.Minute}, // a twentieth
		{time.Minute, time.Second, time.Minute},
		{time.Hour, 20 * time.Minute, 15 * time.Minute},
	} {
		if got := follow.Wait(tt.age, tt.promise, 0.5); got != tt.want {
			t.Errorf("Wait(%s, %s) = %s, want %s", tt.age, tt.promise, got, tt.want)
		}
	}
}
