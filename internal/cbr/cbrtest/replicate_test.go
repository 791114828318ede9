package cbrtest

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// The answer is the one of the documentation's example, except for the record ids and project_id, which is not the path's there.
func TestCopyCheckpoint(t *testing.T) {
	t.Parallel()
	s, now := newExample(t)
	got := s.replicate(t, nil)
	if date := got.header.Get("Date"); date != now.Now().Format(http.TimeFormat) {
		t.Errorf("Date %s, but it is %s", date, now.Now())
	}
	want := map[string]any{"replication": map[string]any{
		"backups": []any{
			map[string]any{"backup_id": "7558e1a3-7046-4787-95cd-14b0ad0642a8"},
			map[string]any{"backup_id": "6df2b54c-dd62-4059-a07c-1b8f24f2725d"},
			map[string]any{"backup_id": "aa00034d-ef40-443d-ab7a-dc846d988cdf"},
		},
		"destination_project_id": DestinationProject,
		"destination_region":     DestinationRegion,
		"destination_vault_id":   DestinationVault,
		"project_id":             SourceProject,
		"provider_id":            "0daac4c5-6707-4851-97ba-169e36266b66",
		"source_region":          SourceRegion,
		"vault_id":               SourceVault,
	}}
	ids := map[any]bool{}
	for _, b := range got.body["replication"].(map[string]any)["backups"].([]any) {
		ids[b.(map[string]any)["replication_record_id"]] = true
		delete(b.(map[string]any), "replication_record_id")
	}
	if diff := cmp.Diff(want, got.body); diff != "" || got.status != http.StatusOK {
		t.Errorf("status %d, body (-want +got):\n%s", got.status, diff)
	}
	for _, id := range s.records(t, "id") {
		delete(ids, id)
	}
	if len(ids) > 0 {
		t.Errorf("records %v are in the answer, but no backup has them", ids)
	}
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	const other = "11111111-2222-4333-8444-555555555555"
	source := func(v Vault) func(*CBR) {
		return func(c *CBR) {
			v.ID, v.ProjectID = SourceVault, SourceProject
			c.AddVault(v)
		}
	}
	destination := func(v Vault) func(*CBR) {
		return func(c *CBR) {
			v.ID, v.ProjectID = DestinationVault, DestinationProject
			c.AddVault(v)
		}
	}
	for _, tt := range []struct {
		name   string
		set    func(*CBR)
		change fields
		status int
		code   string
		text   string
	}{
		{
			name: "source vault unknown", change: fields{"vault_id": other},
			status: 404, code: "BackupService.6105", text: "The vault does not exist.",
		},
		{
			name: "source vault of another project", change: fields{"vault_id": DestinationVault},
			status: 404, code: "BackupService.6105", text: "The vault does not exist.",
		},
		{
			name: "source vault locked", set: source(Vault{Status: "lock"}),
			status: 400, code: "BackupService.6112", text: "Invalid vault status.",
		},
		{
			name: "disk vault", set: source(Vault{ObjectType: "disk"}),
			status: 400, code: "BackupService.6122", text: "The resource type does not support replication.",
		},
		{
			name: "source is a replication vault", set: source(Vault{ProtectType: "replication"}),
			status: 400, code: "BackupService.6128", text: "Replication is not allowed for the current type of vaults.",
		},
		{
			name: "destination vault unknown", change: fields{"destination_vault_id": other},
			status: 400, code: "BackupService.6120", text: "The destination vault does not exist.",
		},
		{
			name: "destination vault of another project", change: fields{"destination_vault_id": SourceVault},
			status: 400, code: "BackupService.6120", text: "The destination vault does not exist.",
		},
		{
			name: "destination is a backup vault", set: destination(Vault{}),
			status: 400, code: "BackupService.6119", text: "The destination vault does not support replication.",
		},
		{
			name: "region unknown", change: fields{"destination_region": "region9"},
			status: 400, code: "BackupService.1005", text: "The destination region does not support replication.",
		},
		{
			name: "the source's own region", change: fields{"destination_region": SourceRegion},
			status: 400, code: "BackupService.1005", text: "The destination region does not support replication.",
		},
		{
			name: "project unknown", change: fields{"destination_project_id": "00000000000000000000000000000000"},
			status: 400, code: "BackupService.1011", text: "The destination project does not support replication.",
		},
		{
			name: "project of another region", change: fields{"destination_project_id": SourceProject},
			status: 400, code: "BackupService.1011", text: "The destination project does not support replication.",
		},
		{
			name: "destination full", set: destination(Vault{ProtectType: "replication", Size: 120, Used: 1}),
			status: 400, code: "BackupService.6129", text: "The maximum capacity of the destination vault has been reached.",
		},
		{
			name: "no backup in the vault",
			set:  func(c *CBR) { c.AddVault(Vault{ID: other, ProjectID: SourceProject}) }, change: fields{"vault_id": other},
			status: 400, code: "BackupService.0001", text: "No resource is available for backup.",
		},
		{
			name: "no backup that can be copied",
			set: func(c *CBR) {
				c.AddVault(Vault{ID: other, ProjectID: SourceProject})
				c.AddBackup(Backup{ID: "a", VaultID: other, Status: "protecting"})
				c.AddBackup(Backup{ID: "b", VaultID: other, NoSystemDisk: true})
			},
			change: fields{"vault_id": other},
			status: 400, code: "BackupService.0001", text: "No resource is available for backup.",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s, _ := newExample(t)
			if tt.set != nil {
				tt.set(s.CBR)
			}
			got := s.replicate(t, tt.change)
			want := map[string]any{"error_code": tt.code, "error_msg": tt.text}
			if diff := cmp.Diff(want, got.body); diff != "" || got.status != tt.status {
				t.Errorf("status %d, want %d; body (-want +got):\n%s", got.status, tt.status, diff)
			}
			if records := s.records(t, "id"); len(records) > 0 {
				t.Errorf("a refused request left records %v", records)
			}
		})
	}
}

func TestFields(t *testing.T) {
	t.Parallel()
	s, _ := newExample(t)
	for _, tt := range []struct {
		name string
		body string
		want string // what the text names; "" for an accepted request
	}{
		{name: "empty", body: ``, want: "body"},
		{name: "not JSON", body: `{`, want: "body"},
		{name: "null", body: `null`, want: "body"},
		{name: "array", body: `[]`, want: "body"},
		{name: "trailing data", body: `{"replicate":{}}{}`, want: "body"},
		{name: "no root", body: body(t, exampleFields(nil)), want: "replicate"},
		{name: "another root", body: body(t, fields{"replicate": exampleFields(nil), "x": 1}), want: "replicate"},
		{name: "root in another case", body: body(t, fields{"Replicate": exampleFields(nil)}), want: "replicate"},
		{name: "wrapped", body: body(t, fields{"checkpoint": fields{"replicate": exampleFields(nil)}}), want: "replicate"},
		{name: "replicate null", body: `{"replicate":null}`, want: "replicate.destination_project_id"},
		{name: "replicate a string", body: `{"replicate":"x"}`, want: "replicate"},
		{name: "vault_id missing", body: change(t, "vault_id", absent), want: "replicate.vault_id"},
		{name: "vault_id empty", body: change(t, "vault_id", ""), want: "replicate.vault_id"},
		{name: "vault_id a number", body: change(t, "vault_id", 1), want: "replicate.vault_id"},
		{name: "vault_id null", body: change(t, "vault_id", nil), want: "replicate.vault_id"},
		{name: "destination_vault_id missing", body: change(t, "destination_vault_id", absent), want: "replicate.destination_vault_id"},
		{name: "destination_project_id missing", body: change(t, "destination_project_id", absent), want: "replicate.destination_project_id"},
		{name: "destination_region missing", body: change(t, "destination_region", absent), want: "replicate.destination_region"},
		{name: "destination_region's form", body: change(t, "destination_region", "a/b"), want: "replicate.destination_region"},
		{name: "destination_region too long", body: change(t, "destination_region", strings.Repeat("a", 256)), want: "replicate.destination_region"},
		{name: "auto_trigger a string", body: change(t, "auto_trigger", "true"), want: "replicate.auto_trigger"},
		{name: "enable_acceleration a number", body: change(t, "enable_acceleration", 1), want: "replicate.enable_acceleration"},
		{name: "cross_account_urn a boolean", body: change(t, "cross_account_urn", true), want: "replicate.cross_account_urn"},
		{name: "unknown field", body: change(t, "name", "x"), want: "replicate.name"},
		{name: "field in another case", body: change(t, "Vault_ID", "x"), want: "replicate.Vault_ID"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got := s.send(t, http.MethodPost, replicatePath, Token, tt.body)
			text, _ := got.body["error_msg"].(string)
			if got.status != 400 || got.code() != "BackupService.9900" || !strings.Contains(text, " "+tt.want) {
				t.Errorf("%d %s, want 400 BackupService.9900 about %s", got.status, got.raw, tt.want)
			}
		})
	}
}

func change(t *testing.T, field string, value any) string {
	t.Helper()
	return body(t, fields{"replicate": exampleFields(fields{field: value})})
}

func TestOptionalFields(t *testing.T) {
	t.Parallel()
	for _, changes := range []fields{
		{"auto_trigger": absent, "enable_acceleration": absent},
		{"auto_trigger": true, "enable_acceleration": true, "cross_account_urn": "EXAMPLE-URN"},
	} {
		s, _ := newExample(t)
		if got := s.replicate(t, changes); got.status != http.StatusOK {
			t.Errorf("%v: %d %s", changes, got.status, got.raw)
		}
	}
}

// Ids are compared without regard to case, in all places.
func TestIDsInUpperCase(t *testing.T) {
	t.Parallel()
	up := strings.ToUpper
	s, now := newExample(t)
	s.AddProject(up(SourceProject), SourceRegion)
	s.AddProject(up(DestinationProject), DestinationRegion)
	s.AddVault(Vault{ID: up(DestinationVault), ProjectID: up(DestinationProject), ProtectType: "replication"})
	s.AddVault(Vault{ID: up(VaultB), ProjectID: up(SourceProject)})
	s.AddBackup(Backup{ID: up(uuid("b")), VaultID: up(VaultB)})
	s.AddRecord(up(uuid("b")), Record{Status: "fail", DestinationProject: up(DestinationProject), DestinationVault: up(DestinationVault)})
	s.Script(up(VaultB), Unavailable())
	for _, tt := range []struct {
		vault  string
		status int
	}{{VaultB, 503}, {up(VaultB), 200}, {up(SourceVault), 200}} {
		got := s.send(t, http.MethodPost, "/v3/"+up(SourceProject)+"/checkpoints/replicate", Token, body(t, fields{"replicate": exampleFields(fields{
			"vault_id": tt.vault, "destination_vault_id": up(DestinationVault), "destination_project_id": up(DestinationProject),
		})}))
		if got.status != tt.status {
			t.Errorf("%s: %d %s, want %d", tt.vault, got.status, got.raw, tt.status)
		}
	}
	now.advance(DefaultCopyTime)
	found := s.backups(t, "show_replication=true&vault_id="+up(VaultB)).body["backups"].([]any)
	if len(found) != 1 || len(found[0].(map[string]any)["replication_records"].([]any)) != 2 {
		t.Errorf("a lookup finds %v, want one backup with two records", found)
	}
	for _, path := range []string{"/backups/" + up(uuid("b")), "/vaults/" + up(VaultB)} {
		if got := s.send(t, http.MethodGet, "/v3/"+up(SourceProject)+path, Token, ""); got.status != http.StatusOK {
			t.Errorf("%s: %d %s", path, got.status, got.raw)
		}
	}
	if got := s.PeakInFlight(up(VaultB)); got != 1 {
		t.Errorf("%d requests of the vault at once, want 1", got)
	}
	s.AddUser(User{Domain: "account", Name: "alice", Password: "right", Projects: []string{up(SourceProject)}})
	for _, project := range []string{SourceProject, up(SourceProject)} {
		if got := s.send(t, http.MethodPost, tokensPath, "", loginBody("account", "alice", "right", project)); got.status != http.StatusCreated {
			t.Errorf("a login for %s: %d %s", project, got.status, got.raw)
		}
	}
}

// The life of a vault: copies wait, run and end as the clock says, and a vault that has nothing new says so.
func TestCopiesMove(t *testing.T) {
	t.Parallel()
	s, now := newExample(t, WithCopyTime(20*time.Second))
	accepted := now.Now()
	mustCopy(t, s, 3)

	step := func(after time.Duration, status string, progress float64, started bool) {
		t.Helper()
		now.advance(accepted.Add(after).Sub(now.Now()))
		want := []any{status, status, status}
		if diff := cmp.Diff(want, s.records(t, "status")); diff != "" {
			t.Errorf("after %s, status (-want +got):\n%s", after, diff)
		}
		for _, extra := range s.records(t, "extra_info") {
			if got := extra.(map[string]any)["progress"]; got != progress {
				t.Errorf("after %s: progress %v, want %v", after, got, progress)
			}
		}
		for _, at := range s.records(t, "created_at") {
			if started && at != "2026-11-23T07:00:05.123456" || !started && at != nil {
				t.Errorf("after %s: created_at %v", after, at)
			}
		}
	}
	refused := func(code string) {
		t.Helper()
		if got := s.replicate(t, nil); got.status != 400 || got.code() != code {
			t.Errorf("%d %s, want 400 %s", got.status, got.raw, code)
		}
	}
	step(0, "waiting_replicate", 0, false)
	refused("BackupService.6130")
	step(5*time.Second, "replicating", 0, true)
	step(20*time.Second-1, "replicating", 99, true)
	refused("BackupService.6130")
	for _, id := range s.records(t, "destination_backup_id") {
		if id != nil {
			t.Errorf("a copy that is not there yet has the id %v", id)
		}
	}
	step(20*time.Second, "success", 100, true)
	refused("BackupService.1009")
	for _, id := range s.records(t, "destination_backup_id") {
		if id == nil {
			t.Error("a copy has no id")
		}
	}

	s.AddBackup(Backup{ID: "99999999-7046-4787-95cd-14b0ad0642a8", VaultID: SourceVault})
	mustCopy(t, s, 1)
}

func TestVaultIsBusyForEveryDestination(t *testing.T) {
	t.Parallel()
	s, now := newExample(t)
	const project, vault = "33333333333333333333333333333333", "33333333-2222-4333-8444-555555555555"
	s.AddProject(project, "region3")
	s.AddVault(Vault{ID: vault, ProjectID: project, ProtectType: "replication"})
	third := fields{"destination_region": "region3", "destination_project_id": project, "destination_vault_id": vault}

	mustCopy(t, s, 3)
	if got := s.replicate(t, third); got.code() != "BackupService.6130" {
		t.Errorf("%d %s, want BackupService.6130", got.status, got.raw)
	}
	now.advance(DefaultCopyTime)
	if got := s.replicate(t, third); got.status != http.StatusOK {
		t.Errorf("a second region: %d %s", got.status, got.raw)
	}
}

func TestNewCopyAfterFailedOne(t *testing.T) {
	t.Parallel()
	s, _ := newExample(t, WithCopyTime(0))
	s.AddBackup(Backup{ID: "99999999-7046-4787-95cd-14b0ad0642a8", VaultID: SourceVault, CopyError: "BackupService.9910"})
	mustCopy(t, s, 4)
	mustCopy(t, s, 1)
	if diff := cmp.Diff([]any{"fail", "fail", "success", "success", "success"}, s.records(t, "status")); diff != "" {
		t.Errorf("status (-want +got):\n%s", diff)
	}
	extra := s.records(t, "extra_info")[0].(map[string]any)
	if extra["fail_code"] != "BackupService.9910" || extra["fail_reason"] == "" {
		t.Errorf("extra_info of a failed copy: %v", extra)
	}
}

func TestCopiesFillTheirVault(t *testing.T) {
	t.Parallel()
	s, _ := newExample(t, WithCopyTime(0))
	s.AddVault(Vault{ID: DestinationVault, ProjectID: DestinationProject, ProtectType: "replication", Size: 130})
	mustCopy(t, s, 3)
	// A copy that fails uses no space, so it can be made any number of times.
	s.AddBackup(Backup{ID: uuid("fails"), VaultID: SourceVault, Size: 10, CopyError: "BackupService.9910"})
	mustCopy(t, s, 1)
	mustCopy(t, s, 1)
	s.AddBackup(Backup{ID: uuid("one more"), VaultID: SourceVault, Size: 1})
	if got := s.replicate(t, nil); got.code() != "BackupService.6129" {
		t.Errorf("120 of 130 GB used, 11 more: %d %s", got.status, got.raw)
	}
}

// mustCopy sends the example and requires so many backups to be queued.
func mustCopy(t *testing.T, s example, backups int) {
	t.Helper()
	got := s.replicate(t, nil)
	if got.status != http.StatusOK {
		t.Fatalf("%d %s, want 200", got.status, got.raw)
	}
	if n := len(got.body["replication"].(map[string]any)["backups"].([]any)); n != backups {
		t.Errorf("%d backups queued, want %d", n, backups)
	}
}
