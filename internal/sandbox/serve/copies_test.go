package serve

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"cbr-replicator/internal/cbr/cbrtest"
)

// brisk is a pace at which copies end within a test.
var brisk = pace{copyTime: 2 * time.Second, delay: 50 * time.Millisecond, look: 100 * time.Millisecond, followed: 5 * time.Second}

// untilCopies waits until copies are shown so.
func (s *site) untilCopies(is func([]copied) bool) {
	s.Helper()
	for !is(s.copies) {
		s.next()
	}
}

// ended reports whether the latest request's copies have an end.
func ended(all []copied) bool { return len(all) > 0 && all[0].Status != "copying" }

// TestCopies: copies are shown as they go on, for each backup, until the function has seen their end.
func TestCopies(t *testing.T) {
	s := open(t, brisk)
	s.post(invocations, request)
	var progress []int
	s.untilCopies(func(all []copied) bool {
		if len(all) > 0 {
			progress = append(progress, all[0].Copies[2].Progress)
		}
		return ended(all)
	})
	if progress = slices.Compact(progress); !slices.IsSorted(progress) || len(progress) < 5 || progress[len(progress)-1] != 100 {
		t.Errorf("the bar went %v", progress)
	}
	got := s.copies[0]
	if got.Vault != cbrtest.SourceVault || got.Region != cbrtest.DestinationRegion || got.Status != "completed" || !strings.HasPrefix(got.Text, "3 of 3 there, ") || !strings.HasSuffix(got.Text, " looks") {
		t.Errorf("the end is %+v", got)
	}
	var backups []string
	for _, c := range got.Copies {
		backups = append(backups, c.Backup)
		if c.Running || c.Text != "there" {
			t.Errorf("at the end: %+v", c)
		}
	}
	if diff := cmp.Diff(cbrtest.ExampleBackups(), backups); diff != "" {
		t.Errorf("backups (-want +got):\n%s", diff)
	}

	// What happened, as a page that is opened later gets it.
	s.events, s.seen = s.listen(), nil
	s.until(func(e entry) bool { return e.Step == stepResult && e.Status == "completed" })
	end := s.untilStep(stepAnswered, "")
	if diff := cmp.Diff([]string{"invoked", "cbr", "result completed", "outcome completed", "answered"}, steps(s.seen, end.Invocation)); diff != "" {
		t.Errorf("steps of the last look (-want +got):\n%s", diff)
	}
	texts := map[string]string{}
	for _, e := range s.seen {
		texts[e.Step+" "+e.Status] += e.Text + "\n"
		if e.Step == stepInvoked && strings.HasPrefix(e.Text, "Follow queue ") != e.Look {
			t.Errorf("a look is told apart: %+v", e)
		}
	}
	for step, want := range map[string]string{
		"cbr ":             "Lookup: 200 OK, 3 backups, replication records: 3 replicating\n",
		"outcome copying":  "Copying 3 of 3 copies wait or run",
		"result completed": "3 of 3 there, event ",
		"invoked ":         "Follow queue delivers 1 message, look 2\n",
	} {
		if !strings.Contains(texts[step], want) {
			t.Errorf("%s: no %q in\n%s", step, want, texts[step])
		}
	}

	s.post("/start-over", "")
	s.untilCopies(func(all []copied) bool { return len(all) == 0 })
}

// TestOneCopy: the copy of a single backup is followed like the others.
func TestOneCopy(t *testing.T) {
	s := open(t, brisk)
	s.post(invocations, strings.Replace(request, `"vault_id":"`+cbrtest.SourceVault, `"backup_id":"`+cbrtest.ExampleBackups()[1], 1))
	s.untilCopies(ended)
	got := s.copies[0]
	if len(got.Copies) != 1 || got.Copies[0].Backup != cbrtest.ExampleBackups()[1] || got.Status != "completed" || !strings.HasPrefix(got.Text, "1 of 1 there, ") {
		t.Errorf("the end is %+v", got)
	}
	s.events, s.seen = s.listen(), nil
	s.until(func(e entry) bool { return e.Text == "Lookup: 200 OK, replication records: 1 success" })
}

// TestCopyFaults: what is done to copies by hand, and how they end.
func TestCopyFaults(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, do string
		copies   int // it is done to
		status   string
		text     string
		each     []string
	}{
		{"one fails", "fail", 1, "partial", "CopyIncomplete: 2 of 3 there, 1 failed, ", []string{"failed, BackupService.1006", "there", "there"}},
		{"all fail", "fail", 3, "failed", "CopyFailed: 0 of 3 there, 3 failed, ", []string{"failed, BackupService.1006", "failed, BackupService.1006", "failed, BackupService.1006"}},
		{"one stalls", "stall", 1, "failed", "NotFollowed: 2 of 3 there, 1 unknown, ", []string{"waits, stalled", "there", "there"}},
		{"a source backup is deleted", "delete", 1, "partial", "CopyIncomplete: 2 of 3 there, 1 unknown, ", []string{"there, source backup deleted", "there", "there"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := open(t, brisk)
			s.post(invocations, request)
			s.untilCopies(func(all []copied) bool { return len(all) > 0 })
			var records []string
			for _, c := range s.copies[0].Copies[:tt.copies] {
				records = append(records, c.Record)
			}
			body := fmt.Sprintf(`{"do":%q,"records":["%s"]}`, tt.do, strings.Join(records, `","`))
			s.post("/copies", body)
			s.untilCopies(ended)
			got := s.copies[0]
			if got.Status != tt.status || !strings.HasPrefix(got.Text, tt.text) {
				t.Errorf("the end is %s %s, want %s %s", got.Status, got.Text, tt.status, tt.text)
			}
			var each []string
			for _, c := range got.Copies {
				each = append(each, c.Text)
			}
			// A copy that stalled while it ran says how far it was.
			if each[0] != "waits, stalled" && strings.HasSuffix(each[0], " %, stalled") {
				each[0] = "waits, stalled"
			}
			if diff := cmp.Diff(tt.each, each); diff != "" {
				t.Errorf("copies (-want +got):\n%s", diff)
			}
			if answer, text := s.do(http.MethodPost, "/copies", body); tt.do != "stall" && answer.StatusCode != http.StatusConflict {
				t.Errorf("once more: %s %s", answer.Status, text)
			}
		})
	}
}

func TestWrongCopyFaults(t *testing.T) {
	s := open(t, quick)
	for body, want := range map[string]int{
		`{`:                                  http.StatusBadRequest,
		`{"do":"x","records":[]}`:            http.StatusBadRequest,
		`{"do":"fail","records":["none"]}`:   http.StatusConflict,
		`{"do":"stall"}`:                     http.StatusConflict,
		`{"do":"delete","records":["none"]}`: http.StatusConflict,
	} {
		if answer, text := s.do(http.MethodPost, "/copies", body); answer.StatusCode != want {
			t.Errorf("%s: %s %s, want %d", body, answer.Status, text, want)
		}
	}
}

// TestCopiesAreBounded: the latest requests are shown.
func TestCopiesAreBounded(t *testing.T) {
	s := open(t, quick)
	var vaults []string
	for i := range maxCopied + 5 {
		vaults = append(vaults, strings.Replace(request, cbrtest.SourceVault, fmt.Sprintf("%s%04d", cbrtest.VaultB[:32], i), 1))
	}
	s.post(invocations, "["+strings.Join(vaults, ",")+"]")
	s.post("/backups", "")
	s.untilCopies(func(all []copied) bool { return len(all) == maxCopied })
	s.post(invocations, request)
	s.untilCopies(func(all []copied) bool { return len(all) == maxCopied && all[0].Vault == cbrtest.SourceVault })
}
