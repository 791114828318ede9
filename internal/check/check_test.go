package check_test

import (
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"cbr-replicator/internal/cbr"
	"cbr-replicator/internal/cbr/cbrtest"
	"cbr-replicator/internal/check"
	"cbr-replicator/internal/delivery"
	"cbr-replicator/internal/huawei"
	"cbr-replicator/internal/kind"
	"cbr-replicator/internal/reconcile"
	"cbr-replicator/internal/redact"
	"cbr-replicator/internal/result"
	"cbr-replicator/internal/retry"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// authorizer authorizes with the example's token.
type authorizer struct{}

func (authorizer) Authorize(r *http.Request, _ huawei.Scope) (huawei.Report, error) {
	r.Header.Set("X-Auth-Token", cbrtest.Token)
	return func(huawei.AuthResult) huawei.Advice { return huawei.Advice{} }, nil
}

// leads are how far CBR's clock is ahead of ours.
var leads = []time.Duration{0, 9 * time.Hour, -9 * time.Hour}

// rig is a check of a vault in a CBR whose clock is not ours.
type rig struct {
	t      testing.TB
	cbr    *cbrtest.Server
	action *check.Action
	now    time.Time // CBR's
	vault  string
}

func newRig(t testing.TB, lead time.Duration, options ...cbrtest.Option) *rig {
	t.Helper()
	now := time.Now().Add(lead).Truncate(time.Second)
	r := &rig{t: t, now: now, cbr: cbrtest.NewServer(append(options, cbrtest.WithClock(func() time.Time { return now }))...)}
	t.Cleanup(r.cbr.Close)
	r.cbr.AddExample()
	r.vault = r.cbr.AddVaults(cbrtest.SourceProject, 1, 0)[0]
	endpoints, err := huawei.NewEndpoints("cbr", r.cbr.URL, "", cbrtest.SourceRegion)
	if err != nil {
		t.Fatal(err)
	}
	client := cbr.NewClient(huawei.Service{HTTP: huawei.NewHTTPClient(1), Endpoints: endpoints, Auth: authorizer{}, Redact: new(redact.Redactor), Timeout: time.Minute})
	t.Cleanup(client.HTTP.CloseIdleConnections)
	r.action = &check.Action{
		Lookups: reconcile.New(client),
		Reads:   retry.Policy{Initial: time.Millisecond, Max: time.Millisecond, MaxAttempts: 3, MaxElapsed: time.Second, Rand: func() float64 { return 0.5 }},
		Log:     slog.New(slog.DiscardHandler), Redact: new(redact.Redactor),
	}
	return r
}

// add adds a backup, so many hours old, with a record of each of the statuses.
func (r *rig) add(hours int, statuses ...string) string {
	id := fmt.Sprintf("%08x-0000-4000-8000-000000000000", hours)
	at := r.now.Add(-time.Duration(hours) * time.Hour)
	r.cbr.AddBackup(cbrtest.Backup{ID: id, VaultID: r.vault, CreatedAt: at})
	for _, s := range statuses {
		r.cbr.AddRecord(id, cbrtest.Record{Status: s, CreatedAt: at.Add(time.Minute)})
	}
	return id
}

// check checks the vault with a limit of 30 hours.
func (r *rig) check() delivery.Outcome {
	return r.action.Open(delivery.Invocation{}).Do(r.t.Context(), &delivery.Delivery{Request: delivery.Request{
		ProjectID: cbrtest.SourceProject, Region: cbrtest.SourceRegion, Action: check.Key, MaxAge: 30 * time.Hour,
		Replicate: cbr.Replicate{
			VaultID: r.vault, DestinationVaultID: cbrtest.DestinationVault,
			DestinationProjectID: cbrtest.DestinationProject, DestinationRegion: cbrtest.DestinationRegion,
		},
	}})
}

// TestCheck: what a check says of a vault, whatever our own clock says.
func TestCheck(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		set     func(r *rig)
		options []cbrtest.Option
		want    kind.Kind
		message string
		counts  map[string]int
		hours   int // age, -1: none
		untold  bool
	}{
		"current":             {set: func(r *rig) { r.add(3, "success") }, counts: map[string]int{"VaultsChecked": 1, "ReplicaAge": 0}, hours: 3},
		"a newer one runs":    {set: func(r *rig) { r.add(3, "success"); r.add(1, "replicating") }, counts: map[string]int{"VaultsChecked": 1, "ReplicaAge": 0}, hours: 3},
		"pending":             {set: func(r *rig) { r.add(3, "waiting_replicate") }, counts: map[string]int{"VaultsChecked": 1}, hours: -1},
		"stale":               {set: func(r *rig) { r.add(3, "fail"); r.add(40, "success") }, want: kind.Stale, message: "1 of 1 resources have no replica there that is newer than 30h0m0s; the worst is ", counts: map[string]int{"VaultsChecked": 1, "ReplicaAge": 0}, hours: 40},
		"stale, of a name":    {set: func(r *rig) { r.add(3); r.add(40, "success") }, want: kind.Stale, message: "(resource-of-vault-", counts: map[string]int{"VaultsChecked": 1, "ReplicaAge": 0}, hours: 40},
		"never":               {set: func(r *rig) { r.add(3, "replicating"); r.add(40, "fail") }, want: kind.NeverReplicated, message: "1 of 1 resources have no replica there", counts: map[string]int{"VaultsChecked": 1}, hours: -1},
		"an empty vault":      {set: func(*rig) {}, want: kind.NeverReplicated, message: "the vault has no available backup", counts: map[string]int{"VaultsChecked": 1}, hours: -1},
		"replicas elsewhere":  {set: func(r *rig) { r.cbr.AddRecord(r.add(40), cbrtest.Record{DestinationVault: cbrtest.VaultB}) }, want: kind.NeverReplicated, message: "; 1 have one in vault " + cbrtest.VaultB, counts: map[string]int{"VaultsChecked": 1}, hours: -1},
		"in another region":   {set: func(r *rig) { r.cbr.AddRecord(r.add(40), cbrtest.Record{DestinationRegion: "region3"}) }, want: kind.NeverReplicated, counts: map[string]int{"VaultsChecked": 1}, hours: -1},
		"a deleted backup":    {set: func(r *rig) { r.cbr.RemoveBackup(r.add(3, "success")); r.add(40, "success"); r.add(5) }, want: kind.Stale, counts: map[string]int{"VaultsChecked": 1, "ReplicaAge": 0}, hours: 40},
		"no records at all":   {set: func(r *rig) { r.add(3) }, options: []cbrtest.Option{cbrtest.WithFormat(cbrtest.Format{ShowReplication: "ignored"})}, want: kind.Rejected, message: "this cloud does not show replication records", untold: true},
		"records are refused": {set: func(r *rig) { r.add(3) }, options: []cbrtest.Option{cbrtest.WithFormat(cbrtest.Format{ShowReplication: "refused"})}, want: kind.Rejected, message: "this cloud does not show replication records", untold: true},
		"an empty list there": {set: func(*rig) {}, options: []cbrtest.Option{cbrtest.WithFormat(cbrtest.Format{ShowReplication: "ignored"})}, want: kind.NeverReplicated, message: "no available backup", counts: map[string]int{"VaultsChecked": 1}, hours: -1},
		"records are null":    {set: func(r *rig) { r.add(40) }, options: []cbrtest.Option{cbrtest.WithFormat(cbrtest.Format{NoRecords: "null"})}, want: kind.NeverReplicated, counts: map[string]int{"VaultsChecked": 1}, hours: -1},
		"times with a zone":   {set: func(r *rig) { r.add(40, "success"); r.add(1) }, options: []cbrtest.Option{cbrtest.WithFormat(cbrtest.Format{Zone: "+00:00"})}, want: kind.Stale, counts: map[string]int{"VaultsChecked": 1, "ReplicaAge": 0}, hours: 40},
		"a future":            {set: func(r *rig) { r.add(40, "success"); r.add(-1) }, want: kind.Unavailable, message: "in the future", untold: true},
		"no such vault": {set: func(r *rig) {
			r.cbr.Script(cbrtest.Lookups, cbrtest.Refusal(404, "BackupService.6105", "The vault does not exist."))
		}, want: kind.Rejected, message: "the vault does not exist", untold: true},
		"throttled, then told": {set: func(r *rig) { r.add(3, "success"); r.cbr.Script(cbrtest.Lookups, cbrtest.Throttled(0)) }, counts: map[string]int{"VaultsChecked": 1, "ReplicaAge": 0}, hours: 3},
		"throttled": {set: func(r *rig) {
			r.cbr.Script(cbrtest.Lookups, cbrtest.Throttled(0), cbrtest.Throttled(0), cbrtest.Throttled(0))
		}, want: kind.Throttled, untold: true},
		"not authorized": {set: func(r *rig) { r.cbr.RevokeToken(cbrtest.Token) }, want: kind.Unauthorized, untold: true},
		"no Date, then one": {set: func(r *rig) {
			r.add(3, "success")
			r.cbr.Script(cbrtest.Lookups, cbrtest.Fault{Header: http.Header{"Date": {""}}})
		}, counts: map[string]int{"VaultsChecked": 1, "ReplicaAge": 0}, hours: 3},
		"no Date": {set: func(r *rig) {
			r.add(3, "success")
			none := cbrtest.Fault{Header: http.Header{"Date": {"yesterday"}}}
			r.cbr.Script(cbrtest.Lookups, none, none, none)
		}, want: kind.Unavailable, message: "no Date", untold: true},
	} {
		for _, lead := range leads {
			t.Run(fmt.Sprint(name, " ", lead), func(t *testing.T) {
				t.Parallel()
				r := newRig(t, lead, tt.options...)
				tt.set(r)
				o := r.check()
				if o.Err.Of() != tt.want || o.Err != nil && !strings.Contains(o.Err.Message, tt.message) || o.Success != kind.Current || !o.Worthless {
					t.Errorf("outcome %+v, error %v; want %s, %q", o, o.Err, tt.want, tt.message)
				}
				got := map[string]int{}
				for _, c := range o.Counts {
					got[c.Name] = c.Count
					if c.Name == "ReplicaAge" && c.Seconds != float64(tt.hours)*3600 {
						t.Errorf("metric ReplicaAge %v", c.Seconds)
					}
				}
				if tt.counts == nil {
					tt.counts = map[string]int{}
				}
				if diff := cmp.Diff(tt.counts, got); diff != "" {
					t.Errorf("metrics (-want +got):\n%s", diff)
				}
				if (o.Data.Replica == nil) != tt.untold {
					t.Fatalf("replica %+v", o.Data.Replica)
				}
				if tt.untold {
					return
				}
				switch age := o.Data.Replica.AgeS; {
				case (age == nil) != (tt.hours < 0):
					t.Errorf("age %v, want %d hours", age, tt.hours)
				case age != nil && *age != int64(tt.hours)*3600:
					t.Errorf("age %d s, want %d hours", *age, tt.hours)
				}
				if len(r.cbr.Calls()) > 0 {
					t.Error("a check replicates")
				}
			})
		}
	}
}

// TestCheckLargeVault: a vault of 15,000 backups, all but the newest replicated. One
// list serves all checks of an invocation.
func TestCheckLargeVault(t *testing.T) {
	t.Parallel()
	const backups = 15_000
	r := newRig(t, 5*time.Hour)
	for i := range backups {
		if i == 0 {
			r.add(i)
		} else {
			r.add(i, "success")
		}
	}
	o := r.check()
	if o.Err != nil {
		t.Fatal(o.Err)
	}
	want := result.Resources{Total: 1, Current: 1}
	if p := o.Data.Replica; p.Resources != want || p.Backups != backups || p.Replicated != backups-1 || *p.AgeS != 3600 || p.Newest.AgeS != 0 {
		t.Errorf("replica %+v", p)
	}
	if n := len(r.cbr.LookupCalls()); n != 16 {
		t.Errorf("%d pages, want 16", n)
	}
}
