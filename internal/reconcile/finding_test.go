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
// The times of records are by CBR's clock.
func find(t tester, backups []cbr.Backup, at cbr.Clocks, since time.Time) reconcile.Finding {
	t.Helper()
	lookups := reconcile.New(lists(func(_ context.Context, _ cbr.Source, _ string, each func(*cbr.Backup)) (cbr.Clocks, error) {
		for _, b := range backups {
			each(&b)
		}
		return at, nil
	}), quiet).Open()
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
		{"undated, and does not wait", []r{{success, 0, nil}, {success, never, nil}}, false, reconcile.Undecided, "", "replication record 1 does not say when it began, although it does not wait"},
		{"skipped or failed before it began", []r{{"skip", never, nil}, {"fail", never, nil}}, false, reconcile.NotFound, "", ""},
		{"to no vault that is named", []r{{success, 0, nowhere}}, false, reconcile.Undecided, "", "replication records do not say to which vault they go"},
		{"to no vault that is named, long before", []r{{success, 300 * 24 * time.Hour, nowhere}}, false, reconcile.NotFound, "", ""},
		{"a little ahead", []r{{success, -2 * time.Minute, nil}}, false, reconcile.Found, "0", ""},
		{"ahead", []r{{success, 0, nil}, {success, -2*time.Minute - time.Microsecond, nil}}, false, reconcile.Undecided, "", "replication record 1 began in the future"},
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
func largeVault(_ context.Context, _ cbr.Source, _ string, each func(*cbr.Backup)) (cbr.Clocks, error) {
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
	f, err := reconcile.New(lists(largeVault), quiet).Open().Find(t.Context(), source, request, ours.Add(-150*time.Minute))
	if err != nil || f.Verdict != reconcile.Found || f.Coverage != (reconcile.Coverage{Backups: 15000, Replicated: 15000}) {
		t.Fatalf("verdict %v, coverage %+v, error %v", f.Verdict, f.Coverage, err)
	}
	if records := replicationOf(t, f.Replication)["backups"].(map[string]string); len(records) != 151 {
		t.Errorf("%d records, want those of 150 minutes", len(records))
	}
}

func BenchmarkFind(b *testing.B) {
	finder := reconcile.New(lists(largeVault), quiet)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := finder.Open().Find(b.Context(), source, request, ours); err != nil {
			b.Fatal(err)
		}
	}
}

// TestFindSharedIsJudgedForEach: of one look-up each asker gets what is its own.
func TestFindSharedIsJudgedForEach(t *testing.T) {
	t.Parallel()
	calls := 0
	lookups := reconcile.New(lists(func(_ context.Context, _ cbr.Source, _ string, each func(*cbr.Backup)) (cbr.Clocks, error) {
		calls++
		each(&cbr.Backup{ID: "b", Available: true, Records: []cbr.ReplicationRecord{record("r", cbr.Replicated, ours.Add(-time.Minute))}})
		return cbr.Clocks{Ours: ours, Theirs: ours}, nil
	}), quiet).Open()
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
		t.Errorf("%d look-ups, want 1", calls)
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
				dated = dated || !r.CreatedAt.IsZero()
				add("effect", r)
				want[b.Records[len(b.Records)-1].ID] = b.ID
			}
			backups = append(backups, b)
		}

		f := find(t, backups, at, since)
		switch {
		case len(want) == 0:
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
