package cbrtest

import (
	"net/http"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

const oldest = "7558e1a3-7046-4787-95cd-14b0ad0642a8" // of the example's backups

// shownRecords returns the replication records of the example's oldest backup.
func (s example) shownRecords(t *testing.T) []any {
	t.Helper()
	got := s.send(t, http.MethodGet, backupsPath+"/"+oldest, Token, "")
	return got.body["backup"].(map[string]any)["replication_records"].([]any)
}

func TestAddRecord(t *testing.T) {
	t.Parallel()
	const otherProject, otherVault = "11111111111111111111111111111111", "11111111-2222-4333-8444-555555555555"
	s, now := newExample(t)
	s.AddRecord(oldest, Record{CreatedAt: now.Now().AddDate(0, 0, -1)})
	s.AddRecord(oldest, Record{
		DestinationProject: otherProject, DestinationRegion: "region3", DestinationVault: otherVault,
		Status: "fail", CreatedAt: now.Now().Add(time.Hour),
	})
	s.AddRecord(oldest, Record{Status: "waiting_replicate"})
	s.AddRecord(oldest, Record{Status: "waiting_replicate", CreatedAt: now.Now()})
	s.AddRecord("unknown", Record{})
	type shown struct{ Status, CreatedAt, Region, Project, Vault, Copy, FailCode any }
	var got []shown
	for _, r := range s.shownRecords(t) {
		r := r.(map[string]any)
		got = append(got, shown{
			r["status"], r["created_at"], r["destination_region"], r["destination_project_id"], r["destination_vault_id"],
			r["destination_backup_id"] != nil, r["extra_info"].(map[string]any)["fail_code"],
		})
	}
	want := []shown{
		{"success", "2026-11-22T07:00:00.123456", DestinationRegion, DestinationProject, DestinationVault, true, ""},
		{"fail", "2026-11-23T08:00:00.123456", "region3", otherProject, otherVault, false, "BackupService.1006"},
		{"waiting_replicate", nil, DestinationRegion, DestinationProject, DestinationVault, false, ""},
		{"waiting_replicate", "2026-11-23T07:00:00.123456", DestinationRegion, DestinationProject, DestinationVault, false, ""},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// CopyCheckpoint treats records that were added as its own.
func TestRecordsCount(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name   string
		record Record
		code   string
		queued int
	}{
		{"done", Record{}, "", 2},
		{"done in another region", Record{DestinationRegion: "region3"}, "", 3},
		{"failed", Record{Status: "fail"}, "", 3},
		{"skipped", Record{Status: "skip"}, "", 3},
		{"waiting", Record{Status: "waiting_replicate"}, "BackupService.6130", 0},
		{"being made for somebody else", Record{Status: "replicating", DestinationRegion: "region3"}, "BackupService.6130", 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s, _ := newExample(t)
			s.AddRecord(oldest, tt.record)
			got := s.replicate(t, nil)
			replication, _ := got.body["replication"].(map[string]any)
			queued, _ := replication["backups"].([]any)
			if got.code() != tt.code || len(queued) != tt.queued {
				t.Errorf("%d %s, want %q and %d copies", got.status, got.raw, tt.code, tt.queued)
			}
		})
	}
}

func TestLateRecords(t *testing.T) {
	t.Parallel()
	const late = time.Minute
	s, now := newExample(t, WithLateRecords(late))
	mustCopy(t, s, 3)
	if got := s.replicate(t, nil); got.code() != "BackupService.6130" {
		t.Errorf("at once: %d %s", got.status, got.raw)
	}
	now.advance(late - 1)
	if got := s.shownRecords(t); len(got) > 0 {
		t.Errorf("shown too early: %v", got)
	}
	s.AddRecord(oldest, Record{})
	if got := s.shownRecords(t); len(got) != 1 {
		t.Errorf("one was added, %d shown", len(got))
	}
	now.advance(1)
	if got := s.shownRecords(t); len(got) != 2 {
		t.Errorf("%d shown, want 2", len(got))
	}
}

// A copy goes on until it is said how it ends. Then it stays so.
func TestCopyEnds(t *testing.T) {
	t.Parallel()
	end := ""
	var asked Copy
	s, now := newExample(t, WithCopyTime(time.Hour), WithCopyEnds(func(c Copy) string { asked = c; return end }))
	began := now.Now()
	mustCopy(t, s, 3)
	type shown struct{ Status, Progress, FailCode any }
	show := func() shown {
		r := s.shownRecords(t)[0].(map[string]any)
		extra := r["extra_info"].(map[string]any)
		return shown{r["status"], extra["progress"], extra["fail_code"]}
	}
	var got []shown
	for _, end = range []string{"", "", "success", "fail", "skip"} {
		got = append(got, show())
		now.advance(30 * time.Minute)
	}
	want := []shown{
		{"waiting_replicate", 0.0, ""},
		{"replicating", 33.0, ""},
		{"success", 100.0, ""},
		{"fail", 100.0, "BackupService.1006"},
		{"skip", 100.0, ""},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	end = ""
	if diff := cmp.Diff(shown{"replicating", 99.0, ""}, show()); diff != "" {
		t.Errorf("it goes on (-want +got):\n%s", diff)
	}
	if asked.VaultID != SourceVault || asked.BackupID != oldest || asked.RecordID == "" || !asked.Began.Equal(began) {
		t.Errorf("asked about %+v", asked)
	}
}

func TestRemoveBackup(t *testing.T) {
	t.Parallel()
	s, _ := newExample(t)
	s.RemoveBackup(oldest)
	s.RemoveBackup("unknown")
	if got := s.send(t, http.MethodGet, backupsPath+"/"+oldest, Token, ""); got.status != http.StatusNotFound {
		t.Errorf("%d %s", got.status, got.raw)
	}
	mustCopy(t, s, 2)
}
