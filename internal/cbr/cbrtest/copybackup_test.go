package cbrtest

import (
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// The answer is the one of the documentation's example, except for the record's id and project_id, which is not the path's there.
func TestCopyBackup(t *testing.T) {
	t.Parallel()
	s, now := newExample(t)
	got := s.copyBackup(t, oldest, fields{"name": "备份_1-a", "description": "before the migration", "cross_account_urn": "urn"})
	replication, _ := got.body["replication"].(map[string]any)
	record := replication["replication_record_id"]
	delete(replication, "replication_record_id")
	want := map[string]any{
		"backup_id":              oldest,
		"destination_project_id": DestinationProject,
		"destination_region":     DestinationRegion,
		"destination_vault_id":   DestinationVault,
		"project_id":             SourceProject,
		"provider_id":            "0daac4c5-6707-4851-97ba-169e36266b66",
		"source_region":          SourceRegion,
	}
	if diff := cmp.Diff(want, replication); diff != "" || got.status != http.StatusOK {
		t.Fatalf("status %d, replication (-want +got):\n%s", got.status, diff)
	}
	// The record is the backup's, and its status goes on as after CopyCheckpoint.
	shown := s.shownRecords(t)
	if len(shown) != 1 || shown[0].(map[string]any)["id"] != record || shown[0].(map[string]any)["status"] != "waiting_replicate" {
		t.Errorf("records %v", shown)
	}
	for _, tt := range []struct{ backup, code string }{
		{oldest, "BackupService.1009"},              // it is being replicated
		{ExampleBackups()[1], "BackupService.6130"}, // another one of its vault
	} {
		if got := s.copyBackup(t, tt.backup, nil); got.status != 400 || got.code() != tt.code {
			t.Errorf("while a copy runs: %s: %d %s, want %s", tt.backup, got.status, got.raw, tt.code)
		}
	}
	if got := s.replicate(t, nil); got.code() != "BackupService.6130" {
		t.Errorf("the vault while a copy runs: %s", got.raw)
	}
	now.advance(DefaultCopyTime)
	if got := s.copyBackup(t, strings.ToUpper(oldest), nil); got.code() != "BackupService.1009" {
		t.Errorf("after the copy: %s", got.raw)
	}
	mustCopy(t, s, 2)
	calls := s.Calls()
	if first := calls[0]; len(calls) != 6 || first.Operation != CopyBackup || first.Backup != oldest || first.Vault != "" || !first.Taken {
		t.Errorf("calls %v", calls)
	}
}

func TestCopyBackupRefuses(t *testing.T) {
	t.Parallel()
	const other = "11111111-2222-4333-8444-555555555555"
	for name, tt := range map[string]struct {
		set    func(*CBR)
		change fields
		status int
		code   string
	}{
		"unknown": {set: func(c *CBR) { c.RemoveBackup(oldest); c.RemoveBackup(oldest) }, status: 404, code: "BackupService.6200"},
		"of a vault of another project": {
			set:    func(c *CBR) { c.AddBackup(Backup{ID: oldest, VaultID: DestinationVault}) },
			status: 404, code: "BackupService.6200",
		},
		"being made":             {set: func(c *CBR) { c.byID[oldest].Status = "protecting" }, status: 400, code: "BackupService.0001"},
		"without a system disk":  {set: func(c *CBR) { c.byID[oldest].NoSystemDisk = true }, status: 400, code: "BackupService.1002"},
		"vault gone":             {set: func(c *CBR) { c.RemoveVault(SourceVault) }, status: 404, code: "BackupService.6200"},
		"vault locked":           {set: func(c *CBR) { c.AddVault(Vault{ID: SourceVault, ProjectID: SourceProject, Status: "lock"}) }, status: 400, code: "BackupService.6112"},
		"disk vault":             {set: func(c *CBR) { c.AddVault(Vault{ID: SourceVault, ProjectID: SourceProject, ObjectType: "disk"}) }, status: 400, code: "BackupService.6122"},
		"region unknown":         {change: fields{"destination_region": "region9"}, status: 400, code: "BackupService.1005"},
		"project unknown":        {change: fields{"destination_project_id": SourceProject}, status: 400, code: "BackupService.1011"},
		"destination unknown":    {change: fields{"destination_vault_id": other}, status: 400, code: "BackupService.6120"},
		"destination of backups": {set: func(c *CBR) { c.AddVault(Vault{ID: DestinationVault, ProjectID: DestinationProject}) }, status: 400, code: "BackupService.6119"},
		"destination full": {set: func(c *CBR) {
			c.AddVault(Vault{ID: DestinationVault, ProjectID: DestinationProject, ProtectType: "replication", Size: 40, Used: 1})
		}, status: 400, code: "BackupService.6129"},
		"vault_id":                   {change: fields{"vault_id": SourceVault}, status: 400, code: "BackupService.9900"},
		"auto_trigger":               {change: fields{"auto_trigger": false}, status: 400, code: "BackupService.9900"},
		"backup_id":                  {change: fields{"backup_id": oldest}, status: 400, code: "BackupService.9900"},
		"destination missing":        {change: fields{"destination_vault_id": absent}, status: 400, code: "BackupService.9900"},
		"name empty":                 {change: fields{"name": ""}, status: 400, code: "BackupService.9900"},
		"name too long":              {change: fields{"name": strings.Repeat("a", 65)}, status: 400, code: "BackupService.9900"},
		"name with a space":          {change: fields{"name": "a b"}, status: 400, code: "BackupService.9900"},
		"description with a bracket": {change: fields{"description": "a<b"}, status: 400, code: "BackupService.9900"},
		"description too long":       {change: fields{"description": strings.Repeat("a", 256)}, status: 400, code: "BackupService.9900"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, _ := newExample(t)
			if tt.set != nil {
				tt.set(s.CBR)
			}
			if got := s.copyBackup(t, oldest, tt.change); got.status != tt.status || got.code() != tt.code {
				t.Errorf("%d %s, want %d %s", got.status, got.raw, tt.status, tt.code)
			}
			if calls := s.Calls(); len(calls) != 1 || calls[0].Taken {
				t.Errorf("calls %v", calls)
			}
		})
	}
}

// A script of a backup comes before that of all.
func TestCopyBackupScript(t *testing.T) {
	t.Parallel()
	s, _ := newExample(t)
	s.Script(AnyVault, Unavailable())
	s.Script(oldest, ResetAfter())
	if resp, err := s.try(t, http.MethodPost, backupsPath+"/"+oldest+"/replicate", Token, body(t, fields{"replicate": exampleFields(fields{"vault_id": absent, "auto_trigger": absent})})); err == nil {
		_ = resp.Body.Close()
		t.Fatalf("status %d, want a reset", resp.StatusCode)
	}
	if got := s.copyBackup(t, oldest, nil); got.status != 503 {
		t.Errorf("%d %s, want 503", got.status, got.raw)
	}
	if n := len(s.shownRecords(t)); n != 1 {
		t.Errorf("%d records, want 1", n)
	}
}
