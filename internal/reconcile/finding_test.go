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

// find looks up the request in backups, by clocks that are apart by CBR's lead.
// The times of records are by CBR's clock. The list has a time of this moment,
// unless it has another newest one.
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

// record is one to the request's destination, created at at.
func record(id string, status cbr.RecordStatus, at time.Time) cbr.ReplicationRecord {
	return cbr.ReplicationRecord{
		ID: id, Status: status, CreatedAt: at, SourceRegion: source.Region, SourceProjectID: source.ProjectID,
		DestinationRegion: request.DestinationRegion, DestinationProjectID: request.DestinationProjectID, DestinationVaultID: request.DestinationVaultID,
	}
}

// TestFindRules is each rule at its edges, with clocks that agree and with
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
		age    time.Duration // at the answer's Date; never: not created
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
		undated bool // the answer
		want    reconcile.Verdict
		found   string // records
		why     string
	}{
		{"none", nil, false, reconcile.NotFound, "", ""},
		{"none, and no Date", nil, true, reconcile.NotFound, "", ""},
		{"made by the first try", []r{{success, tried, nil}}, false, reconcile.Found, "0", ""},
		{"of this moment", []r{{success, 0, nil}}, false, reconcile.Found, "0", ""},
		{"at the edge", []r{{success, tried + 3*time.Second, nil}}, false, reconcile.Found, "0", ""},
		{"before the first try", []r{{success, tried + 3*time.Second + time.Microsecond, nil}}, false, reconcile.NotFound, "", ""},
		{"long before", []r{{success, 300 * 24 * time.Hour, nil}}, false, reconcile.NotFound, "", ""},
		{"of any status", []r{{"fail", 0, nil}, {"skip", 0, nil}, {cbr.Replicating, 0, nil}, {waits, 0, nil}, {"new", 0, nil}}, false, reconcile.Found, "0 1 2 3 4", ""},
		{"failed since then", []r{{"fail", 0, nil}}, false, reconcile.NotFound, "", ""},
		{"skipped or failed since then", []r{{"skip", 0, nil}, {"fail", time.Minute, nil}, {"skip", tried, nil}}, false, reconcile.NotFound, "", ""},
		{"failed since then, and one waits", []r{{"fail", 0, nil}, {waits, never, nil}}, false, reconcile.Undecided, "", "replication records wait that do not say since when"},
		{"failed, and no Date", []r{{"fail", 0, nil}}, true, reconcile.NotFound, "", ""},
		{"failed in the future", []r{{"fail", -time.Hour, nil}}, false, reconcile.NotFound, "", ""},
		{"old and new", []r{{success, time.Hour, nil}, {success, 0, nil}, {"fail", 2 * tried, nil}}, false, reconcile.Found, "1", ""},
		{"in capitals", []r{{success, 0, capitals}}, false, reconcile.Found, "0", ""},
		{"to another region", []r{{success, 0, region}}, false, reconcile.NotFound, "", ""},
		{"to another project", []r{{success, 0, project}}, false, reconcile.NotFound, "", ""},
		{"to another vault", []r{{success, 0, vault}}, false, reconcile.NotFound, "", ""},
		{"elsewhere, undated and ahead", []r{{waits, never, region}, {success, never, project}, {success, -time.Hour, vault}}, false, reconcile.NotFound, "", ""},
		{"elsewhere, and no Date", []r{{success, 0, vault}}, true, reconcile.NotFound, "", ""},
		{"no Date", []r{{success, 0, nil}}, true, reconcile.Undecided, "", "CBR's answer has no Date to hold the age of its replication records against"},
		{"waits", []r{{waits, never, nil}}, false, reconcile.Undecided, "", "replication records wait that do not say since when"},
		{"waits beside an old one", []r{{waits, never, nil}, {success, time.Hour, nil}}, false, reconcile.Undecided, "", "replication records wait that do not say since when"},
		{"waits beside one of the request", []r{{waits, never, nil}, {cbr.Replicating, 0, nil}}, false, reconcile.Found, "0 1", ""},
		{"undated, and does not wait, beside one of the request", []r{{success, 0, nil}, {success, never, nil}}, false, reconcile.Found, "0", ""},
		{"undated, and does not wait", []r{{success, time.Hour, nil}, {success, never, nil}}, false, reconcile.Undecided, "", "replication record 1 does not say when it began, although it does not wait"},
		{"skipped or failed before it began", []r{{"skip", never, nil}, {"fail", never, nil}}, false, reconcile.NotFound, "", ""},
		{"to a region that is not named", []r{{success, 0, noRegion}}, false, reconcile.Found, "0", ""},
		{"to a project that is not named", []r{{success, 0, noProject}}, false, reconcile.Found, "0", ""},
		{"to places that are named in several ways", []r{{success, 0, noProject}, {success, 0, nil}, {waits, never, noRegion}, {success, time.Minute, nil}}, false, reconcile.Found, "0 1 2 3", ""},
		{"to nowhere", []r{{success, 0, anywhere}}, false, reconcile.Undecided, "", "replication records do not say to which vault they go"},
		{"failed, to no vault that is named", []r{{"fail", 0, nowhere}}, false, reconcile.NotFound, "", ""},
		{"to no vault that is named", []r{{success, 0, nowhere}}, false, reconcile.Undecided, "", "replication records do not say to which vault they go"},
		{"to no vault that is named, long before", []r{{success, 300 * 24 * time.Hour, nowhere}}, false, reconcile.NotFound, "", ""},
		{"a little ahead", []r{{success, -2 * time.Minute, nil}}, false, reconcile.Found, "0", ""},
		{"ahead, beside one of the request", []r{{success, 0, nil}, {success, -2*time.Minute - time.Microsecond, nil}}, false, reconcile.Found, "0", ""},
		{"ahead", []r{{success, time.Hour, nil}, {success, -2*time.Minute - time.Microsecond, nil}}, false, reconcile.Undecided, "", "replication record 1 began in the future"},
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
				f := find(t, backups, at, ours.Add(-tried))
				if f.Verdict != tt.want || f.Why != tt.why || (f.Replication != nil) != (tt.want == reconcile.Found) {
					t.Fatalf("finding = %+v, want %v %s", f, tt.want, tt.why)
				}
				if f.Replication == nil {
					return
				}
				want := map[string]string{}
				for _, id := range strings.Fields(tt.found) {
					want[id] = "b" + id
				}
				if diff := cmp.Diff(want, replicationOf(t, f.Replication)["backups"]); diff != "" {
					t.Errorf("records (-want +got):\n%s", diff)
				}
			})
		}
	}
}

// TestFindReplication: the object has CBR's own form, and what records do not
// say comes from the request.
func TestFindReplication(t *testing.T) {
	t.Parallel()
	at := cbr.Clocks{Ours: ours, Theirs: ours}
	told := record("r1", cbr.Replicated, ours)
	told.SourceProjectID, told.SourceRegion = "4229d7a4", "region1a"
	again := told
	again.ID = "r2"
	untold := told
	untold.SourceProjectID, untold.SourceRegion = "", ""
	const form = `{"project_id":"%s","provider_id":"%s","vault_id":"3b5816b5-f29c-4172-9d9a-76c719a659ce","source_region":"%s","destination_region":"region2",` +
		`"destination_project_id":"68589cac08274b82b4e254268a3862d8","destination_vault_id":"0ca3eb86-8800-46da-9c37-9d657a825274","backups":[%s]}`
	for name, tt := range map[string]struct {
		backups []cbr.Backup
		want    string
	}{
		"told": {
			[]cbr.Backup{{ID: "b2", ProviderID: "p", Records: []cbr.ReplicationRecord{told, again}}},
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

// TestFindBehind: records whose clock is behind that of CBR's answers by as much
// as the list allows, or whose local times pass for UTC. What cannot be told is
// settled if nothing is left to be copied, and not sent if something new is.
func TestFindBehind(t *testing.T) {
	t.Parallel()
	const tried = 10 * time.Minute // ago
	type (
		b struct {
			made    time.Duration // before the answer, by the records' clock; 0: not said
			covered bool
		}
		want = reconcile.Verdict
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
				if f.Verdict != tt.want || (f.Why != "") != (tt.want == reconcile.Undecided) || (f.Replication != nil) != (tt.want == reconcile.Found) {
					t.Errorf("finding = %v %q, want %v", f.Verdict, f.Why, tt.want)
				}
			})
		}
	}
}

// TestFindElsewhere: a replica in another vault of the region is told, by vault,
// for the backups that have none at the destination.
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
	if diff := cmp.Diff(reconcile.Coverage{Backups: 8, Replicated: 4}, f.Coverage); diff != "" || f.Verdict != reconcile.NotFound {
		t.Errorf("verdict %v, coverage (-want +got):\n%s", f.Verdict, diff)
	}
}

// largeVault is a vault as large as they get, with an old copy of each backup
// to each of several destinations, as a lister brings it: a backup at a time.
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
	if err != nil || f.Verdict != reconcile.Found || f.Coverage != (reconcile.Coverage{Backups: 15000, Replicated: 15000}) {
		t.Fatalf("verdict %v, coverage %+v, error %v", f.Verdict, f.Coverage, err)
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

// TestFindSharedIsJudgedForEach: of one lookup each asker gets what is its own.
func TestFindSharedIsJudgedForEach(t *testing.T) {
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
		want    reconcile.Verdict
		covered int
	}{
		{request, time.Hour, reconcile.Found, 1},
		{request, time.Second, reconcile.NotFound, 1},
		{elsewhere, time.Hour, reconcile.NotFound, 0},
	} {
		f, err := lookups.Find(t.Context(), source, tt.request, ours.Add(-tt.tried))
		if err != nil || f.Verdict != tt.want || f.Coverage != (reconcile.Coverage{Backups: 1, Replicated: tt.covered}) {
			t.Errorf("finding = %+v, error %v, want %v, %d covered", f, err, tt.want, tt.covered)
		}
	}
	if calls != 1 {
		t.Errorf("%d lookups, want 1", calls)
	}
}

// TestFindIsRight is the promise: among old, failed and foreign records of any
// vault, an effect is found if and only if it is to be seen, and it alone.
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

		live := false // of the effect
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
			if f.Verdict != reconcile.NotFound {
				t.Fatalf("found what is not there: %+v", f)
			}
		case !dated:
			if f.Verdict != reconcile.Undecided {
				t.Fatalf("decided what cannot be: %+v", f)
			}
		case f.Verdict != reconcile.Found:
			t.Fatalf("not found: %+v", f)
		default:
			if diff := cmp.Diff(want, replicationOf(t, f.Replication)["backups"]); diff != "" {
				t.Fatalf("records (-want +got):\n%s", diff)
			}
		}
	})
}

// TestFindDoublesNothing is the promise for clocks of CBR that do not agree with
// each other: a request that CBR took is never taken for one that it did not as
// long as a new backup would be copied. Its records may be dated up to a minute
// behind the Date of CBR's answers, or in a local time west of UTC.
func TestFindDoublesNothing(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		millis := func(from, to time.Duration, label string) time.Duration {
			return time.Duration(rapid.Int64Range(from.Milliseconds(), to.Milliseconds()).Draw(t, label)) * time.Millisecond
		}
		ago := millis(0, 3*time.Hour, "tried before")
		took := millis(0, min(ago, time.Minute), "CBR took it after")
		behind := millis(0, time.Minute, "records are dated behind by")
		west := time.Duration(rapid.IntRange(0, 24).Draw(t, "half hours west")) * 30 * time.Minute
		lead := millis(-time.Hour, time.Hour, "CBR's clock is ahead by")

		at := cbr.Clocks{Ours: ours, Theirs: ours.Add(lead).Truncate(time.Second)}
		tried := ours.Add(-ago)
		dated := tried.Add(took + lead - behind - west)
		r := record("r", cbr.Replicated, dated)
		r.Zoneless = west > 0
		// The list has the record, and a backup that was made since.
		made := dated.Add(millis(0, ago-took, "a new backup after"))
		at.Newest = made
		if r.Zoneless {
			at.NewestZoneless = made
		}
		f := find(t, []cbr.Backup{
			{ID: "new", CreatedAt: made, Available: true},
			{ID: "old", CreatedAt: dated.Add(-time.Hour), Available: true, Records: []cbr.ReplicationRecord{r}},
		}, at, tried)
		if f.Verdict == reconcile.NotFound {
			t.Fatalf("the request would be sent again: %+v", f)
		}
	})
}
