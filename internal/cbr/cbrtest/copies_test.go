package cbrtest

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// told is what [CBR.Copies] tells, and what lookups show of it.
func (s example) told(t *testing.T) (copies, shown []string) {
	t.Helper()
	for _, c := range s.Copies() {
		text := fmt.Sprintf("%.4s %s %d", c.BackupID, c.Status, c.Progress)
		if c.FailCode != "" {
			text += " " + c.FailCode
		}
		if c.Stalled {
			text += " stalled"
		}
		if c.Deleted {
			text += " deleted"
		}
		copies = append(copies, text)
	}
	for _, b := range s.backups(t, "show_replication=true").body["backups"].([]any) {
		b := b.(map[string]any)
		for _, r := range b["replication_records"].([]any) {
			r := r.(map[string]any)
			extra := r["extra_info"].(map[string]any)
			shown = append(shown, fmt.Sprintf("%.4s %s %v %v %t", b["id"], r["status"], extra["progress"], extra["fail_code"], r["created_at"] != nil))
		}
	}
	return copies, shown
}

// TestStopCopies: copies that are made to fail or to stall, and those whose backup is deleted.
func TestStopCopies(t *testing.T) {
	t.Parallel()
	s, now := newExample(t)
	mustCopy(t, s, 3)
	records := make([]string, 3)
	for i, c := range s.Copies() {
		records[i] = c.RecordID
	}
	check := func(when string, copies, shown []string) {
		t.Helper()
		gotCopies, gotShown := s.told(t)
		if diff := cmp.Diff(copies, gotCopies); diff != "" {
			t.Errorf("%s, copies (-want +got):\n%s", when, diff)
		}
		if diff := cmp.Diff(shown, gotShown); diff != "" {
			t.Errorf("%s, lookups (-want +got):\n%s", when, diff)
		}
	}
	if !s.FailCopy(records[0], "BackupService.6203") || s.FailCopy("unknown", "") || s.StallCopy(records[0]) {
		t.Error("one that waits can be made to fail, and nothing else is stopped")
	}
	now.advance(DefaultCopyTime / 2)
	if !s.StallCopy(records[1]) {
		t.Error("one that runs can be stalled")
	}
	check("half-way",
		[]string{"7558 fail 0 BackupService.6203", "6df2 replicating 33 stalled", "aa00 replicating 33"},
		[]string{"aa00 replicating 33  true", "6df2 replicating 33  true", "7558 fail 0 BackupService.6203 false"})
	now.advance(time.Hour)
	check("stalled",
		[]string{"7558 fail 0 BackupService.6203", "6df2 replicating 33 stalled", "aa00 success 100"},
		[]string{"aa00 success 100  true", "6df2 replicating 33  true", "7558 fail 0 BackupService.6203 false"})
	if got := s.replicate(t, nil); got.code() != "BackupService.6130" {
		t.Errorf("while one is stalled: %s", got.raw)
	}
	if s.StallCopy(records[2]) || s.FailCopy(records[2], "") || !s.FailCopy(records[1], "") {
		t.Error("what has ended is not stopped, what is stalled can be made to fail")
	}
	if !s.RemoveBackup(oldest) || s.RemoveBackup(oldest) {
		t.Error("a backup can be deleted once")
	}
	check("deleted",
		[]string{"7558 fail 0 BackupService.6203 deleted", "6df2 fail 33 BackupService.1006", "aa00 success 100"},
		[]string{"aa00 success 100  true", "6df2 fail 33 BackupService.1006 true"})
	if diff := cmp.Diff(ExampleBackups()[1:], s.Backups(SourceVault)); diff != "" {
		t.Errorf("backups (-want +got):\n%s", diff)
	}
	mustCopy(t, s, 1) // the one that failed
}
