package account_test

import (
	"encoding/json"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"cbr-replicator/internal/cbr/cbrtest"
	"cbr-replicator/internal/sandbox/account"
)

// tagged counts the vaults of the example's project by the tag dr, and returns one that has it.
func tagged(t *testing.T, a *account.Account) (counts map[string]int, one string) {
	t.Helper()
	req := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/v3/"+cbrtest.SourceProject+"/vaults", nil)
	req.Header.Set("X-Auth-Token", cbrtest.Token)
	answer := httptest.NewRecorder()
	a.ServeHTTP(answer, req)
	var list struct {
		Vaults []struct {
			ID   string
			Tags []cbrtest.Tag
		}
	}
	if err := json.Unmarshal(answer.Body.Bytes(), &list); err != nil {
		t.Fatalf("%v: %s", err, answer.Body)
	}
	counts = map[string]int{}
	for _, v := range list.Vaults {
		dr := ""
		for _, tag := range v.Tags {
			if tag.Key == "dr" {
				dr, one = tag.Value, v.ID
			}
		}
		counts[dr]++
	}
	return counts, one
}

// TestEstate: there is something for a plan to select. A request for a vault of it does not take its tags away, and the payload
// for one backup names one that is there.
func TestEstate(t *testing.T) {
	t.Parallel()
	a := account.New(cbrtest.WithCopyTime(0))
	a.AddEstate(cbrtest.SourceProject, time.Now())
	backup := ""
	for _, c := range []string{"plan", "plan-dry-run", "plan-check", "backup"} {
		payload, err := fs.ReadFile(account.Estate(), c+".json")
		if err != nil {
			t.Fatal(err)
		}
		a.Furnish(payload)
		if c == "backup" {
			var request struct {
				Replicate struct {
					BackupID string `json:"backup_id"`
				}
			}
			if err := json.Unmarshal(payload, &request); err != nil {
				t.Fatal(err)
			}
			backup = request.Replicate.BackupID
		}
	}
	req := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/v3/"+cbrtest.SourceProject+"/backups/"+backup, nil)
	req.Header.Set("X-Auth-Token", cbrtest.Token)
	answer := httptest.NewRecorder()
	a.ServeHTTP(answer, req)
	var shown struct {
		Backup struct {
			VaultID string `json:"vault_id"`
		}
	}
	if err := json.Unmarshal(answer.Body.Bytes(), &shown); err != nil || shown.Backup.VaultID == "" {
		t.Fatalf("the backup of the payload: %v, %s", err, answer.Body)
	}
	want := map[string]int{"gold": 12, "silver": 12, "bronze": 1, "": 12}
	for _, after := range []string{"at first", "after a request"} {
		got, vault := tagged(t, a)
		for dr, n := range want {
			if got[dr] != n {
				t.Errorf("%s: %d vaults with dr=%q, want %d", after, got[dr], dr, n)
			}
		}
		a.Furnish([]byte(`{"check":{"vault_id":"` + vault + `"}}`))
		if n := len(a.Backups(vault)); n != 2 {
			t.Errorf("%s: %d backups, want 2", after, n)
		}
	}
}
