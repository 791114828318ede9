package reconcile_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"cbr-replicator/internal/cbr"
	"cbr-replicator/internal/cbr/cbrtest"
	"cbr-replicator/internal/huawei"
	"cbr-replicator/internal/kind"
	"cbr-replicator/internal/reconcile"
	"cbr-replicator/internal/result"
)

// maxAge is how old a replica may be here.
const maxAge = 30 * time.Hour

// their is the time of CBR's answers here. It has nothing to do with ours.
var their = time.Date(2031, 1, 2, 3, 4, 5, 0, time.UTC)

// listing is a Lister that answers with these backups and clocks.
func listing(at cbr.Clocks, backups []cbr.Backup) lists {
	return func(_ context.Context, _ huawei.Scope, _ string, each func(*cbr.Backup)) (cbr.Clocks, error) {
		for _, b := range backups {
			each(&b)
		}
		return at, nil
	}
}

func replicasOf(t tester, backups []cbr.Backup) reconcile.Replicas {
	t.Helper()
	r, err := reconcile.New(listing(cbr.Clocks{Ours: time.Now(), Theirs: their}, backups)).Open().Replicas(context.Background(), source, request, maxAge)
	if err != nil {
		t.Fatalf("%v", err)
	}
	return r
}

// of returns an available backup of a resource, so many hours old by CBR's clock, with
// records of these statuses to the destination.
func of(resource string, hours float64, statuses ...cbr.RecordStatus) cbr.Backup {
	id := fmt.Sprintf("%s-%v", resource, hours)
	b := cbr.Backup{ID: id, Available: true, ResourceID: resource, ResourceName: "name of " + resource, CreatedAt: their.Add(-time.Duration(hours * float64(time.Hour)))}
	for i, s := range statuses {
		b.Records = append(b.Records, record(fmt.Sprintf("%s/%d", id, i), s, b.CreatedAt.Add(time.Hour)))
	}
	return b
}

// but returns a backup with a change.
func but(b cbr.Backup, change func(*cbr.Backup)) cbr.Backup {
	change(&b)
	return b
}

// elsewhere changes where a backup's records go to.
func elsewhere(change func(*cbr.ReplicationRecord)) func(*cbr.Backup) {
	return func(b *cbr.Backup) { change(&b.Records[0]) }
}

// TestReplicas is each way in which the age of replicas is told.
func TestReplicas(t *testing.T) {
	t.Parallel()
	const (
		done, failed, skipped, waits, runs = cbr.Replicated, cbr.Failed, cbr.Skipped, cbr.Waiting, cbr.Replicating

		h = int64(3600)
	)
	unavailable := func(b *cbr.Backup) { b.Available = false }
	undated := func(b *cbr.Backup) { b.CreatedAt = time.Time{} }
	type counts = result.Resources
	for name, tt := range map[string]struct {
		backups []cbr.Backup
		age     int64 // -1: none
		counts  counts
		worst   string
		newest  string // backup with a replica
		all     string // backups, replicated, copying, failed
	}{
		"none":                         {nil, -1, counts{}, "", "", "0 0 0 0"},
		"one that is new":              {[]cbr.Backup{of("a", 2, done)}, 2 * h, counts{Total: 1, Current: 1}, "a", "a-2", "1 1 0 0"},
		"just as old as allowed":       {[]cbr.Backup{of("a", 30, done)}, 30 * h, counts{Total: 1, Current: 1}, "a", "a-30", "1 1 0 0"},
		"the newest counts":            {[]cbr.Backup{of("a", 50, done), of("a", 3, done), of("a", 20, done)}, 3 * h, counts{Total: 1, Current: 1}, "a", "a-3", "3 3 0 0"},
		"the age is the backup's":      {[]cbr.Backup{but(of("a", 40, done), elsewhere(func(r *cbr.ReplicationRecord) { r.CreatedAt = their })), of("a", 1)}, 40 * h, counts{Total: 1, Stale: 1}, "a", "a-40", "2 1 0 0"},
		"stale":                        {[]cbr.Backup{of("a", 1), of("a", 31, done)}, 31 * h, counts{Total: 1, Stale: 1}, "a", "a-31", "2 1 0 0"},
		"failed, skipped and running":  {[]cbr.Backup{of("a", 1, failed), of("a", 2, skipped), of("a", 3, waits), of("a", 4, runs), of("a", 31, done)}, 31 * h, counts{Total: 1, Stale: 1}, "a", "a-31", "5 1 2 2"},
		"failed, then done":            {[]cbr.Backup{of("a", 1, failed, done, skipped), of("a", 2, failed, waits)}, 1 * h, counts{Total: 1, Current: 1}, "a", "a-1", "2 1 1 0"},
		"a state that is not known":    {[]cbr.Backup{of("a", 1, "copied"), of("a", 31, done)}, 31 * h, counts{Total: 1, Stale: 1}, "a", "a-31", "2 1 0 0"},
		"never":                        {[]cbr.Backup{of("a", 1), of("a", 31, failed)}, -1, counts{Total: 1, Never: 1}, "a", "", "2 0 0 1"},
		"pending":                      {[]cbr.Backup{of("a", 1, runs), of("a", 30)}, -1, counts{Total: 1, Pending: 1}, "", "", "2 0 1 0"},
		"idle":                         {[]cbr.Backup{of("a", 2, done), of("b", 500, done), of("b", 600)}, 2 * h, counts{Total: 2, Current: 1, Idle: 1}, "a", "a-2", "3 2 0 0"},
		"all idle":                     {[]cbr.Backup{of("a", 200, done), of("b", 500, done)}, 500 * h, counts{Total: 2, Stale: 2}, "b", "a-200", "2 2 0 0"},
		"one that is idle is stale":    {[]cbr.Backup{of("a", 31, done)}, 31 * h, counts{Total: 1, Stale: 1}, "a", "a-31", "1 1 0 0"},
		"idle and pending":             {[]cbr.Backup{of("a", 31, done), of("b", 1)}, -1, counts{Total: 2, Idle: 1, Pending: 1}, "", "a-31", "2 1 0 0"},
		"idle and never":               {[]cbr.Backup{of("a", 31, done), of("b", 40)}, -1, counts{Total: 2, Idle: 1, Never: 1}, "b", "a-31", "2 1 0 0"},
		"two of the same time":         {[]cbr.Backup{of("b", 1, done), of("a", 31), of("a", 31, done)}, 1 * h, counts{Total: 2, Current: 1, Idle: 1}, "b", "b-1", "3 2 0 0"},
		"not idle: backups that fail":  {[]cbr.Backup{of("b", 1, done), of("a", 31, done), but(of("a", 5), unavailable)}, 31 * h, counts{Total: 2, Current: 1, Stale: 1}, "a", "b-1", "2 2 0 0"},
		"not idle: one without a time": {[]cbr.Backup{of("b", 1, done), of("a", 31, done), but(of("a", 5), undated)}, 31 * h, counts{Total: 2, Current: 1, Stale: 1}, "a", "b-1", "3 2 0 0"},
		"never outranks stale":         {[]cbr.Backup{of("a", 500, done), of("a", 1), of("b", 31), of("c", 1, done)}, 500 * h, counts{Total: 3, Current: 1, Stale: 1, Never: 1}, "b", "c-1", "4 2 0 0"},
		"the worst of many":            {[]cbr.Backup{of("a", 31, done), of("a", 1), of("b", 40, done), of("b", 1), of("c", 2, done)}, 40 * h, counts{Total: 3, Current: 1, Stale: 2}, "b", "c-2", "5 3 0 0"},
		"a deleted one has none":       {[]cbr.Backup{but(of("a", 1, done), unavailable), of("a", 2), of("a", 31, done)}, 31 * h, counts{Total: 1, Stale: 1}, "a", "a-31", "2 1 0 0"},
		"none is available":            {[]cbr.Backup{but(of("a", 1, done), unavailable)}, -1, counts{}, "", "", "0 0 0 0"},
		"a replica without a time":     {[]cbr.Backup{but(of("a", 1, done), undated), of("a", 31, done), of("a", 2)}, 31 * h, counts{Total: 1, Stale: 1}, "a", "a-31", "3 2 0 0"},
		"no time at all":               {[]cbr.Backup{but(of("a", 1, done), undated)}, -1, counts{Total: 1, Never: 1}, "a", "", "1 1 0 0"},
		"none, and one without a time": {[]cbr.Backup{of("a", 1), but(of("a", 2), undated)}, -1, counts{Total: 1, Never: 1}, "a", "", "2 0 0 0"},
		"a minute ahead":               {[]cbr.Backup{of("a", -1./60, done)}, 0, counts{Total: 1, Current: 1}, "a", "a--0.016666666666666666", "1 1 0 0"},
		"to another vault":             {[]cbr.Backup{but(of("a", 1, done), elsewhere(func(r *cbr.ReplicationRecord) { r.DestinationVaultID = cbrtest.SourceVault })), of("a", 31, done)}, 31 * h, counts{Total: 1, Stale: 1}, "a", "a-31", "2 1 0 0"},
		"to another project":           {[]cbr.Backup{but(of("a", 1, done), elsewhere(func(r *cbr.ReplicationRecord) { r.DestinationProjectID = cbrtest.SourceProject })), of("a", 31, done)}, 31 * h, counts{Total: 1, Stale: 1}, "a", "a-31", "2 1 0 0"},
		"to another region":            {[]cbr.Backup{but(of("a", 1, done), elsewhere(func(r *cbr.ReplicationRecord) { r.DestinationRegion = "region9" })), of("a", 31, done)}, 31 * h, counts{Total: 1, Stale: 1}, "a", "a-31", "2 1 0 0"},
		"to a vault that is not named": {[]cbr.Backup{but(of("a", 1, done), elsewhere(func(r *cbr.ReplicationRecord) { r.DestinationVaultID = "" })), of("a", 31, done)}, 31 * h, counts{Total: 1, Stale: 1}, "a", "a-31", "2 1 0 0"},
		"ids in capitals": {[]cbr.Backup{but(of("a", 1, done), elsewhere(func(r *cbr.ReplicationRecord) {
			r.DestinationVaultID, r.DestinationProjectID = strings.ToUpper(r.DestinationVaultID), strings.ToUpper(r.DestinationProjectID)
		})), but(of("A", 2), func(b *cbr.Backup) { b.ResourceName = "" })}, 1 * h, counts{Total: 1, Current: 1}, "a", "a-1", "2 1 0 0"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := replicasOf(t, tt.backups)
			age := int64(-1)
			if r.AgeS != nil {
				age = *r.AgeS
			}
			if age != tt.age || r.MaxAgeS != int64(maxAge.Seconds()) {
				t.Errorf("age %d s of %d s, want %d s", age, r.MaxAgeS, tt.age)
			}
			if diff := cmp.Diff(tt.counts, r.Resources); diff != "" {
				t.Errorf("resources (-want +got):\n%s", diff)
			}
			worst, newest := "", ""
			if w := r.Worst; w != nil {
				if worst = w.ResourceID; w.ResourceName != "name of "+worst {
					t.Errorf("worst %+v", w)
				}
			}
			if b := r.NewestReplicated; b != nil {
				if newest = b.BackupID; !strings.HasPrefix(b.ReplicationRecordID, newest+"/") || b.CreatedAt.IsZero() {
					t.Errorf("newest replicated %+v", b)
				}
			}
			if all := fmt.Sprint(r.Backups, r.Replicated, r.Copying, r.Failed); worst != tt.worst || newest != tt.newest || all != tt.all {
				t.Errorf("worst %q, newest replicated %q, %s; want %q, %q, %s", worst, newest, all, tt.worst, tt.newest, tt.all)
			}
		})
	}
}

// TestReplicasTellNothing: without CBR's clock, or against it, no age is told. The next
// call asks again.
func TestReplicasTellNothing(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		theirs  time.Time
		backups []cbr.Backup
		want    string // in the message; empty: it is told
	}{
		"no Date":                      {time.Time{}, []cbr.Backup{of("a", 1, cbr.Replicated)}, "has no Date"},
		"no Date, no backups":          {time.Time{}, nil, ""},
		"two minutes ahead":            {their, []cbr.Backup{of("a", -2./60, cbr.Replicated)}, ""},
		"more than two minutes ahead":  {their, []cbr.Backup{of("a", 1, cbr.Replicated), of("b", -2.1/60)}, "in the future"},
		"one that is just being made":  {their, []cbr.Backup{of("a", 1, cbr.Replicated), but(of("a", -5), func(b *cbr.Backup) { b.Available = false })}, "in the future"},
		"a replica of tomorrow's date": {their, []cbr.Backup{but(of("a", 1, cbr.Replicated), elsewhere(func(r *cbr.ReplicationRecord) { r.CreatedAt = their.AddDate(0, 0, 1) }))}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			calls := 0
			lookups := reconcile.New(lists(func(ctx context.Context, src huawei.Scope, id string, each func(*cbr.Backup)) (cbr.Clocks, error) {
				calls++
				return listing(cbr.Clocks{Ours: time.Now(), Theirs: tt.theirs}, tt.backups)(ctx, src, id, each)
			})).Open()
			for range 2 {
				_, err := lookups.Replicas(t.Context(), source, request, maxAge)
				if tt.want == "" && err != nil || tt.want != "" && (kind.As(err).Of() != kind.Unavailable || !strings.Contains(err.Error(), tt.want)) {
					t.Errorf("error %v, want %q", err, tt.want)
				}
			}
			if want := map[bool]int{true: 1, false: 2}[tt.want == ""]; calls != want {
				t.Errorf("%d calls, want %d", calls, want)
			}
		})
	}
}

// TestReplicasElsewhere: a replica in another vault of the region is named.
func TestReplicasElsewhere(t *testing.T) {
	t.Parallel()
	r := replicasOf(t, []cbr.Backup{but(of("a", 1, cbr.Replicated), elsewhere(func(r *cbr.ReplicationRecord) { r.DestinationVaultID = cbrtest.SourceVault }))})
	if text := reconcile.Others(r.Elsewhere); text != "; 1 have one in vault "+cbrtest.SourceVault+", in the same region" {
		t.Errorf("%q", text)
	}
	gone := lists(func(context.Context, huawei.Scope, string, func(*cbr.Backup)) (cbr.Clocks, error) {
		return cbr.Clocks{}, &kind.Error{Kind: kind.Misconfigured, Cause: cbr.ErrNoVault}
	})
	if r, err := reconcile.New(gone).Open().Replicas(t.Context(), source, request, maxAge); err != nil || !r.VaultGone {
		t.Errorf("a vault that is gone: %+v, %v", r, err)
	}
}

// anyBackups draws backups of a few resources with records to a few destinations. Some
// are not available, and some say no time.
func anyBackups(t *rapid.T) []cbr.Backup {
	statuses := rapid.SampledFrom([]cbr.RecordStatus{cbr.Replicated, cbr.Replicated, cbr.Failed, cbr.Skipped, cbr.Waiting, cbr.Replicating, ""})
	return rapid.SliceOfN(rapid.Custom(func(t *rapid.T) cbr.Backup {
		b := of(rapid.SampledFrom([]string{"a", "b", "B", "c"}).Draw(t, "resource"), rapid.Float64Range(-0.03, 90).Draw(t, "hours"), rapid.SliceOfN(statuses, 0, 3).Draw(t, "records")...)
		b.Available = rapid.IntRange(0, 4).Draw(t, "available") > 0
		if rapid.IntRange(0, 6).Draw(t, "dated") == 0 {
			b.CreatedAt = time.Time{}
		}
		for i := range b.Records {
			switch rapid.IntRange(0, 5).Draw(t, "destination") {
			case 0:
				b.Records[i].DestinationVaultID = cbrtest.SourceVault
			case 1:
				b.Records[i].DestinationProjectID = cbrtest.SourceProject
			}
		}
		return b
	}), 0, 12).Draw(t, "backups")
}

// truth is, by resource, the age of the newest replica, and how old the oldest backup
// is. It is a second reading of the contract.
func truth(backups []cbr.Backup) (age, oldest map[string]time.Duration) {
	age, oldest = map[string]time.Duration{}, map[string]time.Duration{}
	for _, b := range backups {
		if !b.Available {
			continue
		}
		id, old := strings.ToLower(b.ResourceID), their.Sub(b.CreatedAt)
		if b.CreatedAt.IsZero() {
			old = 1<<63 - 1
		}
		oldest[id] = max(oldest[id], old)
		for _, r := range b.Records {
			if r.Status != cbr.Replicated || r.DestinationVaultID != cbrtest.DestinationVault || r.DestinationProjectID != cbrtest.DestinationProject || b.CreatedAt.IsZero() {
				continue
			}
			if known, ok := age[id]; !ok || old < known {
				age[id] = old
			}
		}
	}
	return age, oldest
}

// TestReplicaAgeIsNeverLessThanTheTruth: nor is a resource content that must not be.
func TestReplicaAgeIsNeverLessThanTheTruth(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		backups := anyBackups(t)
		r := replicasOf(t, backups)
		age, oldest := truth(backups)
		n := r.Resources
		var old, never, pending int
		worst := time.Duration(-1)
		for id := range oldest {
			a, ok := age[id]
			switch {
			case !ok && oldest[id] > maxAge:
				never++
			case !ok:
				pending++
			case a > maxAge:
				old++
			default:
				worst = max(worst, a)
			}
		}
		if n.Never != never || n.Pending != pending || n.Stale+n.Idle != old || n.Total != len(oldest) || n.Total != n.Current+n.Stale+n.Never+n.Idle+n.Pending {
			t.Fatalf("resources %+v, want %d never, %d pending, %d stale or idle of %d", n, never, pending, old, len(oldest))
		}
		for id, a := range age {
			if a > maxAge && n.Idle == 0 {
				worst = max(worst, age[id])
			}
		}
		switch {
		case worst >= 0 && r.AgeS == nil:
			t.Fatalf("no age, want %s", worst)
		case r.AgeS != nil && (len(age) == 0 || time.Duration(*r.AgeS)*time.Second < worst):
			t.Fatalf("age %d s, want %s at least", *r.AgeS, worst)
		}
		// A resource is idle only if nothing of it is newer than its replica.
		if n.Idle > 0 {
			idle := 0
			for id, a := range age {
				newer := false
				for _, b := range backups {
					newer = newer || strings.EqualFold(b.ResourceID, id) && (b.CreatedAt.IsZero() || their.Sub(b.CreatedAt) < a)
				}
				if a > maxAge && !newer {
					idle++
				}
			}
			if idle != n.Idle {
				t.Fatalf("%d idle, want %d", n.Idle, idle)
			}
		}
	})
}

// TestNewerReplicaNeverMakesOlder: a newer backup with a finished replica makes nothing
// older, wherever it is on the list.
func TestNewerReplicaNeverMakesOlder(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		backups := anyBackups(t)
		before := replicasOf(t, backups)
		newest := -0.03
		if before.Newest != nil {
			newest = rapid.Float64Range(-0.03, their.Sub(before.Newest.CreatedAt).Hours()).Draw(t, "newest")
		}
		added := of(rapid.SampledFrom([]string{"a", "b", "c", "d"}).Draw(t, "of"), newest, cbr.Replicated)
		at := rapid.IntRange(0, len(backups)).Draw(t, "at")
		after := replicasOf(t, append(append(append([]cbr.Backup{}, backups[:at]...), added), backups[at:]...))
		if before.AgeS != nil && (after.AgeS == nil || *after.AgeS > *before.AgeS) {
			t.Fatalf("before %d s, after %v", *before.AgeS, after.AgeS)
		}
		if after.Resources.Never > before.Resources.Never {
			t.Fatalf("before %+v, after %+v", before.Resources, after.Resources)
		}
	})
}
