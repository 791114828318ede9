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
	"cbr-replicator/internal/huawei"
	"cbr-replicator/internal/reconcile"
)

// ours is when CBR answered, by our clock.
var ours = time.Date(2026, 11, 23, 7, 0, 0, 0, time.UTC)

// tester is what *testing.T and *rapid.T share.
type tester interface {
	Helper()
	Context() context.Context
	Errorf(format string, args ...any)
	Fatalf(format string, args ...any)
}

// find looks up the request in backups. at says how far the clocks are apart. The
// times of records are by CBR's clock. The newest time on the list is the moment of
// the answer, unless at has another.
func find(t tester, backups []cbr.Backup, at cbr.Clocks, since time.Time) reconcile.Finding {
	t.Helper()
	if at.Newest.IsZero() {
		at.Newest = at.Theirs
	}
	lookups := reconcile.New(lists(func(_ context.Context, _ huawei.Scope, _ string, each func(*cbr.Backup)) (cbr.Clocks, error) {
		for _, b := range backups {
			each(&b)
		}
		return at, nil
	})).Open()
	f, err := lookups.Find(t.Context(), source, request, since)
	if err != nil {
		t.Fatalf("%v", err)
	}
	return f
}

// record is a replication record to the request's destination, created at at.
func record(id string, status cbr.RecordStatus, at time.Time) cbr.ReplicationRecord {
	return cbr.ReplicationRecord{
		ID: id, Status: status, CreatedAt: at, SourceRegion: source.Region, SourceProjectID: source.ProjectID,
		DestinationRegion: request.DestinationRegion, DestinationProjectID: request.DestinationProjectID, DestinationVaultID: request.DestinationVaultID,
	}
}

// TestFindRules checks each rule at its limits, with clocks that agree and with
// clocks that are an hour apart.
func TestFindRules(t *testing.T) {
	t.Parallel()
	const (
		success = cbr.Replicated
		waits   = cbr.Waiting
		tried   = 10 * time.Minute // ago
	)
	type r struct {
		status cbr.RecordStatus
		age    time.Duration // at the answer's Date; never: no time of creation
		change func(*cbr.ReplicationRecord)
	}
	const never = time.Duration(-1 << 63)
	capitals := func(r *cbr.ReplicationRecord) {
		r.DestinationProjectID, r.DestinationVaultID = strings.ToUpper(r.DestinationProjectID), strings.ToUpper(r.DestinationVaultID)
	}
	region := func(r *cbr.ReplicationRecord) { r.DestinationRegion = "region3" }
	project := func(r *cbr.ReplicationRecord) { r.DestinationProjectID = source.ProjectID }
	vault := func(r *cbr.ReplicationRecord) { r.DestinationVaultID = request.VaultID }
	noRegion := func(r *cbr.ReplicationRecord) { r.DestinationRegion = "" }
	noProject := func(r *cbr.ReplicationRecord) { r.DestinationProjectID = "" }
	anywhere := func(r *cbr.ReplicationRecord) {
		r.DestinationRegion, r.DestinationProjectID, r.DestinationVaultID = "", "", ""
	}
	nowhere := func(r *cbr.ReplicationRecord) { r.DestinationVaultID = "" }
	for _, tt := range []struct {
		name    string
		records []r
		undated bool // the answer has no Date
		// found are the records of the effect, why is why it is Undecided. If neither is
		// set, it is NotFound.
		found, why string
	}{
		{name: "none"},
		{name: "none, and no Date", undated: true},
		{name: "made by the first try", records: []r{{success, tried, nil}}, found: "0"},
		{name: "of this moment", records: []r{{success, 0, nil}}, found: "0"},
		{name: "at the edge", records: []r{{success, tried + 3*time.Second, nil}}, found: "0"},
		{name: "before the first try", records: []r{{success, tried + 3*time.Second + time.Microsecond, nil}}},
		{name: "long before", records: []r{{success, 300 * 24 * time.Hour, nil}}},
		{name: "of any status", records: []r{{"fail", 0, nil}, {"skip", 0, nil}, {cbr.Replicating, 0, nil}, {waits, 0, nil}, {"new", 0, nil}}, found: "0 1 2 3 4"},
		{name: "failed since then", records: []r{{"fail", 0, nil}}},
		{name: "skipped or failed since then", records: []r{{"skip", 0, nil}, {"fail", time.Minute, nil}, {"skip", tried, nil}}},
		{name: "failed since then, and one waits", records: []r{{"fail", 0, nil}, {waits, never, nil}}, why: "replication records wait that do not say since when"},
		{name: "failed, and no Date", records: []r{{"fail", 0, nil}}, undated: true},
		{name: "failed in the future", records: []r{{"fail", -time.Hour, nil}}},
		{name: "old and new", records: []r{{success, time.Hour, nil}, {success, 0, nil}, {"fail", 2 * tried, nil}}, found: "1"},
		{name: "in capitals", records: []r{{success, 0, capitals}}, found: "0"},
		{name: "to another region", records: []r{{success, 0, region}}},
		{name: "to another project", records: []r{{success, 0, project}}},
		{name: "to another vault", records: []r{{success, 0, vault}}},
		{name: "elsewhere, undated and ahead", records: []r{{waits, never, region}, {success, never, project}, {success, -time.Hour, vault}}},
		{name: "elsewhere, and no Date", records: []r{{success, 0, vault}}, undated: true},
		{name: "no Date", records: []r{{success, 0, nil}}, undated: true, why: "CBR's answer has no Date to hold the age of its replication records against"},
		{name: "waits", records: []r{{waits, never, nil}}, why: "replication records wait that do not say since when"},
		{name: "waits beside an old one", records: []r{{waits, never, nil}, {success, time.Hour, nil}}, why: "replication records wait that do not say since when"},
		{name: "waits beside one of the request", records: []r{{waits, never, nil}, {cbr.Replicating, 0, nil}}, found: "0 1"},
		{name: "undated, and does not wait, beside one of the request", records: []r{{success, 0, nil}, {success, never, nil}}, found: "0"},
		{name: "undated, and does not wait", records: []r{{success, time.Hour, nil}, {success, never, nil}}, why: "replication record 1 does not say when it began, although it does not wait"},
		{name: "skipped or failed before it began", records: []r{{"skip", never, nil}, {"fail", never, nil}}},
		{name: "to a region that is not named", records: []r{{success, 0, noRegion}}, found: "0"},
		{name: "to a project that is not named", records: []r{{success, 0, noProject}}, found: "0"},
		{name: "to places that are named in several ways", records: []r{{success, 0, noProject}, {success, 0, nil}, {waits, never, noRegion}, {success, time.Minute, nil}}, found: "0 1 2 3"},
		{name: "to nowhere", records: []r{{success, 0, anywhere}}, why: "replication records do not say to which vault they go"},
		{name: "failed, to no vault that is named", records: []r{{"fail", 0, nowhere}}},
		{name: "to no vault that is named", records: []r{{success, 0, nowhere}}, why: "replication records do not say to which vault they go"},
		{name: "to no vault that is named, long before", records: []r{{success, 300 * 24 * time.Hour, nowhere}}},
		{name: "a little ahead", records: []r{{success, -2 * time.Minute, nil}}, found: "0"},
		{name: "ahead, beside one of the request", records: []r{{success, 0, nil}, {success, -2*time.Minute - time.Microsecond, nil}}, found: "0"},
		{name: "ahead", records: []r{{success, time.Hour, nil}, {success, -2*time.Minute - time.Microsecond, nil}}, why: "replication record 1 began in the future"},
	} {
		for _, lead := range []time.Duration{0, time.Hour, -time.Hour} {
			t.Run(fmt.Sprintf("%s/%v", tt.name, lead), func(t *testing.T) {
				t.Parallel()
				at := cbr.Clocks{Ours: ours, Theirs: ours.Add(lead)}
				var backups []cbr.Backup
				for i, r := range tt.records {
					id := fmt.Sprint(i)
					record := record(id, r.status, time.Time{})
					if r.age != never {
						record.CreatedAt = at.Theirs.Add(-r.age)
					}
					if r.change != nil {
						r.change(&record)
					}
					backups = append(backups, cbr.Backup{ID: "b" + id, Records: []cbr.ReplicationRecord{record}})
				}
				if tt.undated {
					at.Theirs = time.Time{}
				}
				want := reconcile.NotFound
				switch {
				case tt.found != "":
					want = reconcile.Found
				case tt.why != "":
					want = reconcile.Undecided
				}
				f := find(t, backups, at, ours.Add(-tried))
				if f.Decision != want || f.Why != tt.why || (f.Replication != nil) != (want == reconcile.Found) {
					t.Fatalf("finding = %+v, want %v %s", f, want, tt.why)
				}
				if f.Replication == nil {
					return
				}
				records := map[string]string{}
				for _, id := range strings.Fields(tt.found) {
					records[id] = "b" + id
				}
				if diff := cmp.Diff(records, replicationOf(t, f.Replication)["backups"]); diff != "" {
					t.Errorf("records (-want +got):\n%s", diff)
				}
			})
		}
	}
}

// TestFindReplication: the object has the form of CBR's, and what the records do not
// say is taken from the request.
func TestFindReplication(t *testing.T) {
	t.Parallel()
	at := cbr.Clocks{Ours: ours, Theirs: ours}
	told := record("r1", cbr.Replicated, ours)
	told.SourceProjectID, told.SourceRegion = "4229d7a4", "region1a"
	second := told
	second.ID = "r2"
	untold := told
	untold.SourceProjectID, untold.SourceRegion = "", ""
	const form = `{"project_id":"%s","provider_id":"%s","vault_id":"3b5816b5-f29c-4172-9d9a-76c719a659ce","source_region":"%s","destination_region":"region2",` +
		`"destination_project_id":"68589cac08274b82b4e254268a3862d8","destination_vault_id":"0ca3eb86-8800-46da-9c37-9d657a825274","backups":[%s]}`
	for name, tt := range map[string]struct {
		backups []cbr.Backup
		want    string
	}{
		"told": {
			[]cbr.Backup{{ID: "b2", ProviderID: "p", Records: []cbr.ReplicationRecord{told, second}}},
			fmt.Sprintf(form, "4229d7a4", "p", "region1a", `{"backup_id":"b2","replication_record_id":"r1"},{"backup_id":"b2","replication_record_id":"r2"}`),
		},
		"untold": {
			[]cbr.Backup{{ID: "b2"}, {ID: "b1", Records: []cbr.ReplicationRecord{untold}}},
			fmt.Sprintf(form, source.ProjectID, "", source.Region, `{"backup_id":"b1","replication_record_id":"r1"}`),
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(tt.want, string(find(t, tt.backups, at, ours).Replication)); diff != "" {
				t.Errorf("replication (-want +got):\n%s", diff)
			}
		})
	}
}

// TestFindBehind: the clock of records is behind the clock of CBR's answers by as
// much as the list allows, or their times are local and read as UTC. Then a record
// may be the effect or not. If nothing is left to be copied, it is Found. If there
// is a new backup, it is Undecided, so that the request is not sent.
func TestFindBehind(t *testing.T) {
	t.Parallel()
	const tried = 10 * time.Minute // ago
	type (
		b struct {
			made    time.Duration // before the answer, by the records' clock; 0: not known
			covered bool
		}
		want = reconcile.Decision
	)
	covered, before, after, untold := b{time.Hour, true}, b{time.Hour, false}, b{time.Minute, false}, b{0, false}
	for _, tt := range []struct {
		name     string
		age      time.Duration // of the record
		newest   time.Duration // on the list
		zoneless bool
		backups  []b
		want     want
	}{
		{"5 s behind, covered", tried + 5*time.Second, time.Minute, false, []b{covered}, reconcile.Found},
		{"5 s behind, a new backup", tried + 5*time.Second, time.Minute, false, []b{covered, after}, reconcile.Undecided},
		{"5 s behind, a backup that was passed over", tried + 5*time.Second, time.Minute, false, []b{covered, before}, reconcile.NotFound},
		{"5 s behind, a backup without a time", tried + 5*time.Second, time.Minute, false, []b{covered, untold}, reconcile.NotFound},
		{"5 s behind, nothing available", tried + 5*time.Second, time.Minute, false, nil, reconcile.NotFound},
		{"at the edge", tried + 63*time.Second, time.Hour, false, []b{covered}, reconcile.Found},
		{"over the edge", tried + 64*time.Second, time.Hour, false, []b{covered}, reconcile.NotFound},
		{"more than the list allows", tried + 5*time.Second, time.Second, false, []b{covered, after}, reconcile.NotFound},
		{"as much as the list allows", tried + 5*time.Second, 2 * time.Second, false, []b{covered, after}, reconcile.Undecided},
		{"local, covered", tried + 5*time.Hour, 5 * time.Hour, true, []b{covered}, reconcile.Found},
		{"local, a new backup", tried + 5*time.Hour, 5 * time.Hour, true, []b{covered, after}, reconcile.Undecided},
		{"local, half an hour", tried + 210*time.Minute, 210 * time.Minute, true, []b{covered, after}, reconcile.Undecided},
		{"with a zone", tried + 5*time.Hour, 5 * time.Hour, false, []b{covered, after}, reconcile.NotFound},
		{"older by as much, and something of this hour is on the list", tried + 5*time.Hour, 20 * time.Minute, true, []b{covered, after}, reconcile.NotFound},
		{"older than any zone", tried + 13*time.Hour, 13 * time.Hour, true, []b{covered, after}, reconcile.NotFound},
	} {
		for _, lead := range []time.Duration{0, time.Hour, -time.Hour} {
			t.Run(fmt.Sprintf("%s/%v", tt.name, lead), func(t *testing.T) {
				t.Parallel()
				at := cbr.Clocks{Ours: ours, Theirs: ours.Add(lead)}
				at.Newest = at.Theirs.Add(-tt.newest)
				if tt.zoneless {
					at.NewestZoneless = at.Newest
				}
				backups := []cbr.Backup{}
				for i, b := range tt.backups {
					backup := cbr.Backup{ID: fmt.Sprint(i), Available: true}
					if b.made > 0 {
						backup.CreatedAt = at.Theirs.Add(-b.made)
					}
					if tt.zoneless && b == after {
						backup.CreatedAt = at.Newest.Add(-time.Minute) // by the local clock, too
					}
					if b.covered {
						r := record("r", cbr.Replicated, at.Theirs.Add(-tt.age))
						r.Zoneless = tt.zoneless
						backup.Records = []cbr.ReplicationRecord{r}
					}
					backups = append(backups, backup)
				}
				if tt.backups == nil {
					backups = append(backups, cbr.Backup{ID: "gone", Records: []cbr.ReplicationRecord{record("r", cbr.Replicated, at.Theirs.Add(-tt.age))}})
				}
				f := find(t, backups, at, ours.Add(-tried))
				if f.Decision != tt.want || (f.Why != "") != (tt.want == reconcile.Undecided) || (f.Replication != nil) != (tt.want == reconcile.Found) {
					t.Errorf("finding = %v %q, want %v", f.Decision, f.Why, tt.want)
				}
			})
		}
	}
}

// TestFindElsewhere: backups that have no replica at the destination, but one in
// another vault of the region, are counted by vault.
func TestFindElsewhere(t *testing.T) {
	t.Parallel()
	to := func(region, project, vault string, status cbr.RecordStatus) cbr.ReplicationRecord {
		r := record("r", status, ours.AddDate(-1, 0, 0))
		r.DestinationRegion, r.DestinationProjectID, r.DestinationVaultID = region, project, vault
		return r
	}
	region, project := request.DestinationRegion, request.DestinationProjectID
	there := to(region, project, request.DestinationVaultID, cbr.Replicated)
	backup := func(available bool, records ...cbr.ReplicationRecord) cbr.Backup {
		return cbr.Backup{ID: fmt.Sprintf("%p", &records), Available: available, Records: records}
	}
	f := find(t, []cbr.Backup{
		backup(true, to(region, project, "b", cbr.Replicated)),
		backup(true, to(region, project, "b", cbr.Waiting), to(region, "another", "c", cbr.Replicating)),
		backup(true, to(region, "", "d", cbr.Replicated), to(region, project, "e", cbr.Failed)),
		backup(true, to(region, project, "", cbr.Replicated)),
		backup(true, to("region3", project, "f", cbr.Replicated)),
		backup(true, there, to(region, project, "g", cbr.Replicated)),
		backup(false, to(region, project, "h", cbr.Replicated)),
	}, cbr.Clocks{Ours: ours, Theirs: ours}, ours)
	if diff := cmp.Diff([]reconcile.Place{{"b", "", 2}, {"c", "another", 1}, {"d", "", 1}, {"", "", 1}}, f.Elsewhere); diff != "" || f.Coverage.Missing() != 5 {
		t.Errorf("coverage %v, elsewhere (-want +got):\n%s", f.Coverage, diff)
	}
}

func TestFindCoverage(t *testing.T) {
	t.Parallel()
	backup := func(id string, available bool, records ...cbr.ReplicationRecord) cbr.Backup {
		return cbr.Backup{ID: id, Available: available, Records: records}
	}
	old := func(status cbr.RecordStatus) cbr.ReplicationRecord {
		return record("r", status, ours.AddDate(-1, 0, 0))
	}
	elsewhere := old(cbr.Replicated)
	elsewhere.DestinationRegion = "region3"
	f := find(t, []cbr.Backup{
		backup("covered", true, old("fail"), old(cbr.Replicated), elsewhere),
		backup("covered twice", true, old(cbr.Replicated), old(cbr.Replicating)),
		backup("runs", true, old(cbr.Replicating)),
		backup("waits", true, old(cbr.Waiting)),
		backup("none", true),
		backup("failed", true, old("fail")),
		backup("skipped", true, old("skip")),
		backup("elsewhere", true, elsewhere),
		backup("not available", false, old(cbr.Replicated)),
	}, cbr.Clocks{Ours: ours, Theirs: ours}, ours)
	if diff := cmp.Diff(reconcile.Coverage{Backups: 8, Replicated: 4}, f.Coverage); diff != "" || f.Decision != reconcile.NotFound {
		t.Errorf("decision %v, coverage (-want +got):\n%s", f.Decision, diff)
	}
}

// largeVault lists a vault of the largest size, with an old copy of each backup to
// each of two regions.
func largeVault(_ context.Context, _ huawei.Scope, _ string, each func(*cbr.Backup)) (cbr.Clocks, error) {
	for i := range 15000 {
		b := cbr.Backup{ID: fmt.Sprintf("3b5816b5-f29c-4172-9d9a-%012d", i), Available: true, ProviderID: strings.Repeat("p", 36)}
		for _, region := range []string{"region3", request.DestinationRegion} {
			r := record(region+b.ID, cbr.Replicated, ours.Add(-time.Duration(i)*time.Minute))
			r.DestinationRegion = region
			b.Records = append(b.Records, r)
		}
		each(&b)
	}
	return cbr.Clocks{Ours: ours, Theirs: ours}, nil
}

func TestFindInLargeVault(t *testing.T) {
	t.Parallel()
	f, err := reconcile.New(lists(largeVault)).Open().Find(t.Context(), source, request, ours.Add(-150*time.Minute))
	if err != nil || f.Decision != reconcile.Found || f.Coverage != (reconcile.Coverage{Backups: 15000, Replicated: 15000}) {
		t.Fatalf("decision %v, coverage %+v, error %v", f.Decision, f.Coverage, err)
	}
	if records := replicationOf(t, f.Replication)["backups"].(map[string]string); len(records) != 151 {
		t.Errorf("%d records, want those of 150 minutes", len(records))
	}
}

func BenchmarkFind(b *testing.B) {
	finder := reconcile.New(lists(largeVault))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := finder.Open().Find(b.Context(), source, request, ours); err != nil {
			b.Fatal(err)
		}
	}
}

// TestFindDecidesForEach: a lookup is shared, and each caller gets the decision about
// its own request.
func TestFindDecidesForEach(t *testing.T) {
	t.Parallel()
	calls := 0
	lookups := reconcile.New(lists(func(_ context.Context, _ huawei.Scope, _ string, each func(*cbr.Backup)) (cbr.Clocks, error) {
		calls++
		each(&cbr.Backup{ID: "b", Available: true, Records: []cbr.ReplicationRecord{record("r", cbr.Replicated, ours.Add(-time.Minute))}})
		return cbr.Clocks{Ours: ours, Theirs: ours, Newest: ours}, nil
	})).Open()
	elsewhere := request
	elsewhere.DestinationRegion = "region3"
	for _, tt := range []struct {
		request cbr.Replicate
		tried   time.Duration // before the answer
		want    reconcile.Decision
		covered int
	}{
		{request, time.Hour, reconcile.Found, 1},
		{request, time.Second, reconcile.NotFound, 1},
		{elsewhere, time.Hour, reconcile.NotFound, 0},
	} {
		f, err := lookups.Find(t.Context(), source, tt.request, ours.Add(-tt.tried))
		if err != nil || f.Decision != tt.want || f.Coverage != (reconcile.Coverage{Backups: 1, Replicated: tt.covered}) {
			t.Errorf("finding = %+v, error %v, want %v, %d covered", f, err, tt.want, tt.covered)
		}
	}
	if calls != 1 {
		t.Errorf("%d lookups, want 1", calls)
	}
}

// TestFindIsRight is the promise: among old, failed and foreign records of any vault,
// an effect is found if and only if it is visible, and nothing else is found.
func TestFindIsRight(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		seconds := func(from, to int, label string) time.Duration {
			return time.Duration(rapid.IntRange(from*1000, to*1000).Draw(t, label)) * time.Millisecond
		}
		lead := seconds(-7200, 7200, "CBR's clock is ahead by")
		since := ours.Add(-seconds(1, 86400, "tried before"))
		at := cbr.Clocks{Ours: ours, Theirs: ours.Add(lead).Truncate(time.Second)}
		theirs := func(ours time.Time) time.Time { return ours.Add(lead) }

		live := false // a record of the effect has not ended without a copy
		visible := rapid.Bool().Draw(t, "visible")
		began := since.Add(time.Duration(rapid.Float64Range(0, 1).Draw(t, "effect after") * float64(ours.Sub(since))))
		statuses := rapid.SampledFrom([]cbr.RecordStatus{"success", "fail", "skip", "replicating", "waiting_replicate"})
		want := map[string]string{}
		dated := false
		var backups []cbr.Backup
		for i := range rapid.IntRange(0, 8).Draw(t, "backups") {
			b := cbr.Backup{ID: fmt.Sprint("b", i), Available: rapid.Bool().Draw(t, "available")}
			add := func(kind string, r cbr.ReplicationRecord) {
				r.ID = fmt.Sprint(kind, i, "-", len(b.Records))
				b.Records = append(b.Records, r)
			}
			if rapid.Bool().Draw(t, "old") {
				add("old", record("", statuses.Draw(t, "status"), theirs(since.Add(-seconds(5, 1e6, "before"))))) // more than 3 s, and the Date's second
			}
			if rapid.Bool().Draw(t, "foreign") {
				r := record("", statuses.Draw(t, "status"), theirs(began))
				if r.Status == cbr.Waiting {
					r.CreatedAt = time.Time{}
				}
				switch rapid.IntRange(0, 2).Draw(t, "differs in") {
				case 0:
					r.DestinationRegion = "region3"
				case 1:
					r.DestinationProjectID = source.ProjectID
				case 2:
					r.DestinationVaultID = request.VaultID
				}
				add("foreign", r)
			}
			if visible && rapid.Bool().Draw(t, "copied") {
				r := record("", statuses.Draw(t, "status"), theirs(began))
				if r.Status == cbr.Waiting && rapid.Bool().Draw(t, "undated") {
					r.CreatedAt = time.Time{}
				}
				dated = dated || !r.CreatedAt.IsZero() && !r.Status.Ended()
				live = live || !r.Status.Ended()
				add("effect", r)
				want[b.Records[len(b.Records)-1].ID] = b.ID
			}
			backups = append(backups, b)
		}

		f := find(t, backups, at, since)
		switch {
		case !live:
			if f.Decision != reconcile.NotFound {
				t.Fatalf("found what is not there: %+v", f)
			}
		case !dated:
			if f.Decision != reconcile.Undecided {
				t.Fatalf("decided without a date: %+v", f)
			}
		case f.Decision != reconcile.Found:
			t.Fatalf("not found: %+v", f)
		default:
			if diff := cmp.Diff(want, replicationOf(t, f.Replication)["backups"]); diff != "" {
				t.Fatalf("records (-want +got):\n%s", diff)
			}
		}
	})
}

// TestFindDuplicatesNothing is the promise for clocks of CBR that do not agree with
// each other: a request that CBR accepted is never NotFound while a new backup would
// be copied. Its records may be dated up to a minute behind the Date of CBR's
// answers, or in a local time west of UTC.
func TestFindDuplicatesNothing(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		millis := func(from, to time.Duration, label string) time.Duration {
			return time.Duration(rapid.Int64Range(from.Milliseconds(), to.Milliseconds()).Draw(t, label)) * time.Millisecond
		}
		ago := millis(0, 3*time.Hour, "tried before")
		accepted := millis(0, min(ago, time.Minute), "CBR accepted it after")
		behind := millis(0, time.Minute, "records are dated behind by")
		west := time.Duration(rapid.IntRange(0, 24).Draw(t, "half hours west")) * 30 * time.Minute
		lead := millis(-time.Hour, time.Hour, "CBR's clock is ahead by")

		at := cbr.Clocks{Ours: ours, Theirs: ours.Add(lead).Truncate(time.Second)}
		tried := ours.Add(-ago)
		dated := tried.Add(accepted + lead - behind - west)
		r := record("r", cbr.Replicated, dated)
		r.Zoneless = west > 0
		// The list has the record, and a backup that is newer.
		made := dated.Add(millis(0, ago-accepted, "a new backup after"))
		at.Newest = made
		if r.Zoneless {
			at.NewestZoneless = made
		}
		f := find(t, []cbr.Backup{
			{ID: "new", CreatedAt: made, Available: true},
			{ID: "old", CreatedAt: dated.Add(-time.Hour), Available: true, Records: []cbr.ReplicationRecord{r}},
		}, at, tried)
		if f.Decision == reconcile.NotFound {
			t.Fatalf("the request would be duplicated: %+v", f)
		}
	})
}
