package cbrtest

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strconv"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestListBackups(t *testing.T) {
	t.Parallel()
	const other = "11111111-2222-4333-8444-555555555555"
	s, now := newExample(t)
	s.AddVault(Vault{ID: other, ProjectID: SourceProject, ObjectType: "disk"})
	s.AddBackup(Backup{ID: other, VaultID: other, Status: "error", CreatedAt: now.Now().AddDate(0, 0, -9)})
	s.AddBackup(Backup{ID: "unseen", VaultID: DestinationVault})
	const third, second, first = "aa00034d-ef40-443d-ab7a-dc846d988cdf", "6df2b54c-dd62-4059-a07c-1b8f24f2725d", "7558e1a3-7046-4787-95cd-14b0ad0642a8"
	for _, tt := range []struct {
		query         string
		want          []string
		count         int
		limit, offset int
	}{
		{"", []string{third, second, first, other}, 4, 1000, 0},
		{"limit=2", []string{third, second}, 4, 2, 0},
		{"limit=2&offset=2", []string{first, other}, 4, 2, 2},
		{"limit=2&offset=3", []string{other}, 4, 2, 3},
		{"offset=4", []string{}, 4, 1000, 4},
		{"offset=2147483647", []string{}, 4, 1000, 2147483647},
		{"vault_id=" + SourceVault, []string{third, second, first}, 3, 1000, 0},
		{"vault_id=" + other, []string{other}, 1, 1000, 0},
		{"vault_id=unknown", []string{}, 0, 1000, 0},
		{"vault_id=" + DestinationVault, []string{}, 0, 1000, 0},
		{"status=error", []string{other}, 1, 1000, 0},
		{"status=error&status=available&limit=1", []string{third}, 4, 1, 0},
		{"image_type=backup&limit=1", []string{third}, 4, 1, 0},
		{"image_type=replication", []string{}, 0, 1000, 0},
	} {
		t.Run(tt.query, func(t *testing.T) {
			t.Parallel()
			got := s.backups(t, tt.query)
			ids := []string{}
			for _, b := range got.body["backups"].([]any) {
				ids = append(ids, b.(map[string]any)["id"].(string))
			}
			if diff := cmp.Diff(tt.want, ids); diff != "" {
				t.Errorf("ids (-want +got):\n%s", diff)
			}
			paging := fmt.Sprint(got.body["count"], got.body["limit"], got.body["offset"])
			if want := fmt.Sprint(float64(tt.count), float64(tt.limit), float64(tt.offset)); paging != want {
				t.Errorf("count, limit, offset: %s, want %s", paging, want)
			}
		})
	}
}

func TestEnterpriseProject(t *testing.T) {
	t.Parallel()
	const other = "11111111-2222-4333-8444-555555555555"
	s, _ := newExample(t)
	s.AddVault(Vault{ID: other, ProjectID: SourceProject, EnterpriseProjectID: other})
	s.AddBackup(Backup{ID: other, VaultID: other})
	for query, want := range map[string]int{
		"":                                          4,
		"enterprise_project_id=all_granted_eps":     4,
		"enterprise_project_id=0":                   3,
		"enterprise_project_id=" + other:            1,
		"enterprise_project_id=unknown":             0,
		"enterprise_project_id=0&vault_id=" + other: 0,
	} {
		if got := s.backups(t, query).body["count"]; got != float64(want) {
			t.Errorf("%q: %v backups, want %d", query, got, want)
		}
	}
	vault := s.send(t, http.MethodGet, "/v3/"+SourceProject+"/vaults/"+other, Token, "").body["vault"].(map[string]any)
	if vault["enterprise_project_id"] != other {
		t.Errorf("the vault is in %v", vault["enterprise_project_id"])
	}
}

func TestListBackupsRefuses(t *testing.T) {
	t.Parallel()
	s, _ := newExample(t)
	for query, want := range map[string]int{
		"limit=0": 400, "limit=1001": 400, "limit=x": 400, "limit=": 400,
		"offset=-1": 400, "offset=2147483648": 400, "offset=99999999999999999999": 400,
		"show_replication=maybe":          400,
		"start_time=2026-11-23T00:00:00Z": 501,
	} {
		if got := s.backups(t, query); got.status != want {
			t.Errorf("%s: %d %s, want %d", query, got.status, got.raw, want)
		}
	}
}

// replication_records is there only when asked for, and is [] where there are none.
func TestShowReplication(t *testing.T) {
	t.Parallel()
	s, _ := newExample(t)
	for query, want := range map[string]any{
		"limit=1":                        nil,
		"limit=1&show_replication=false": nil,
		"limit=1&show_replication=true":  []any{},
	} {
		b := s.backups(t, query).body["backups"].([]any)[0].(map[string]any)
		if diff := cmp.Diff(want, b["replication_records"]); diff != "" {
			t.Errorf("%s (-want +got):\n%s", query, diff)
		}
	}
}

func TestShowBackup(t *testing.T) {
	t.Parallel()
	s, _ := newExample(t)
	mustCopy(t, s, 3)
	listed := s.backups(t, "limit=1&show_replication=true").body["backups"].([]any)[0].(map[string]any)
	shown := s.send(t, http.MethodGet, "/v3/"+SourceProject+"/backups/"+listed["id"].(string), Token, "").body["backup"]
	if diff := cmp.Diff(listed, shown); diff != "" {
		t.Errorf("listed and shown differ:\n%s", diff)
	}
	if got := s.send(t, http.MethodGet, "/v3/"+SourceProject+"/backups/unknown", Token, ""); got.status != 404 || got.code() != "BackupService.6200" {
		t.Errorf("%d %s, want 404 BackupService.6200", got.status, got.raw)
	}
}

func TestShowVault(t *testing.T) {
	t.Parallel()
	s, _ := newExample(t)
	s.AddToken("destination", DestinationProject)
	mustCopy(t, s, 3)
	for _, tt := range []struct {
		name, project, vault, token string
		want                        map[string]any // of billing
	}{
		{"source", SourceProject, SourceVault, Token, map[string]any{"protect_type": "backup", "spec_code": "vault.backup.server.normal", "used": 0.0}},
		{"destination", DestinationProject, DestinationVault, "destination", map[string]any{"protect_type": "replication", "spec_code": "vault.replication.server.normal", "used": 120.0 * 1024}},
	} {
		vault := s.send(t, http.MethodGet, "/v3/"+tt.project+"/vaults/"+tt.vault, tt.token, "").body["vault"].(map[string]any)
		billing := vault["billing"].(map[string]any)
		got := map[string]any{"protect_type": billing["protect_type"], "spec_code": billing["spec_code"], "used": billing["used"]}
		if diff := cmp.Diff(tt.want, got); diff != "" || vault["id"] != tt.vault {
			t.Errorf("%s (-want +got):\n%s", tt.name, diff)
		}
	}
	if got := s.send(t, http.MethodGet, "/v3/"+SourceProject+"/vaults/"+DestinationVault, Token, ""); got.status != 404 || got.code() != "BackupService.6105" {
		t.Errorf("another project's vault: %d %s, want 404 BackupService.6105", got.status, got.raw)
	}
}

// A vault of 15,000 backups, all replicated, page by page.
func BenchmarkListBackups(b *testing.B) {
	const backups = 15_000
	c := New()
	c.AddExample()
	vault := c.AddVaults(SourceProject, 1, backups)[0]
	for i := range backups {
		c.AddRecord(uuid("backup", vault, strconv.Itoa(i)), Record{})
	}
	for b.Loop() {
		for offset := 0; offset < backups; offset += maxLimit {
			req := httptest.NewRequest(http.MethodGet, backupsPath+"?show_replication=true&vault_id="+vault+"&offset="+strconv.Itoa(offset), nil)
			req.Header.Set("X-Auth-Token", Token)
			w := httptest.NewRecorder()
			if c.ServeHTTP(w, req); w.Code != http.StatusOK {
				b.Fatal(w.Code, w.Body)
			}
		}
	}
}
