package account_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"cbr-replicator/internal/cbr/cbrtest"
	"cbr-replicator/internal/sandbox/account"
)

const (
	vault   = cbrtest.VaultB // of the samples, not of the example
	request = `{"project_id":"` + cbrtest.SourceProject + `","region":"region9","replicate":{"vault_id":"` + vault +
		`","destination_vault_id":"11111111-2222-4333-8444-555555555555","destination_project_id":"` + cbrtest.DestinationProject + `","destination_region":"region8"}}`
)

// copies calls CopyCheckpoint and returns how many copies it started, and its answer.
func copies(t *testing.T, a *account.Account, vault string) (int, string) {
	t.Helper()
	body := strings.Replace(`{"replicate":{"vault_id":"VAULT","destination_vault_id":"`+cbrtest.DestinationVault+`","destination_project_id":"`+
		cbrtest.DestinationProject+`","destination_region":"`+cbrtest.DestinationRegion+`"}}`, "VAULT", vault, 1)
	req := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/v3/"+cbrtest.SourceProject+"/checkpoints/replicate", strings.NewReader(body))
	req.Header.Set("X-Auth-Token", cbrtest.Token)
	answer := httptest.NewRecorder()
	a.ServeHTTP(answer, req)
	return strings.Count(answer.Body.String(), `"backup_id"`), answer.Body.String()
}

func TestFurnish(t *testing.T) {
	t.Parallel()
	sample, err := os.ReadFile(filepath.Join("..", "..", "..", "events", "sqs.json"))
	if err != nil {
		t.Fatal(err)
	}
	a := account.New(cbrtest.WithCopyTime(0))
	if n, said := copies(t, a, vault); n != 0 {
		t.Errorf("a vault that nobody named has %d backups: %s", n, said)
	}
	for range 3 { // a payload that is sent more than once has the same vault
		if project, region := a.Furnish(sample); project != cbrtest.SourceProject || region != cbrtest.SourceRegion {
			t.Errorf("Furnish = %q, %q", project, region)
		}
	}
	if n, said := copies(t, a, vault); n != 2 {
		t.Errorf("a vault that was named has %d backups, want 2: %s", n, said)
	}
	a.Furnish(sample)
	if n, said := copies(t, a, vault); n != 0 || !strings.Contains(said, "BackupService.1009") {
		t.Errorf("after its copy it has %d backups to copy: %s", n, said)
	}
	a.BackUp()
	for _, v := range []string{vault, cbrtest.SourceVault} {
		want := map[string]int{vault: 1, cbrtest.SourceVault: 4}[v]
		if n, said := copies(t, a, v); n != want {
			t.Errorf("after a night vault %.8s has %d backups to copy, want %d: %s", v, n, want, said)
		}
	}
}

// TestFurnishUpperCase: the function uses lower case for CBR, also if a payload has an id in upper case.
func TestFurnishUpperCase(t *testing.T) {
	t.Parallel()
	for name, upper := range map[string]string{
		"the example's vault": strings.ToUpper(cbrtest.SourceVault), "another": strings.ToUpper(vault),
		"projects": strings.ToUpper(cbrtest.SourceProject), "the destination": strings.ToUpper(cbrtest.DestinationVault),
	} {
		a := account.New(cbrtest.WithCopyTime(0))
		source := vault
		if name == "the example's vault" {
			source = cbrtest.SourceVault
		}
		body := strings.NewReplacer("region9", cbrtest.SourceRegion, "region8", cbrtest.DestinationRegion,
			"11111111-2222-4333-8444-555555555555", cbrtest.DestinationVault, vault, source).Replace(request)
		body = strings.ReplaceAll(body, strings.ToLower(upper), upper)
		if !strings.Contains(body, upper) {
			t.Fatalf("%s: %s", name, body)
		}
		a.Furnish([]byte(body))
		a.Furnish([]byte(strings.ToLower(body))) // it is the same vault
		want := map[string]int{vault: 2, cbrtest.SourceVault: 3}[source]
		if n, said := copies(t, a, source); n != want {
			t.Errorf("%s in upper case: %d copies, want %d: %s", name, n, want, said)
		}
	}
}

// TestFurnishManyVaults: a destination has room for all vaults that a sandbox's queue can hold.
func TestFurnishManyVaults(t *testing.T) {
	t.Parallel()
	a := account.New(cbrtest.WithCopyTime(0))
	for i := range 500 {
		source := fmt.Sprintf("%s%04d", vault[:len(vault)-4], i)
		a.Furnish([]byte(strings.NewReplacer("region9", cbrtest.SourceRegion, "region8", cbrtest.DestinationRegion,
			"11111111-2222-4333-8444-555555555555", cbrtest.DestinationVault, vault, source).Replace(request)))
		if n, said := copies(t, a, source); n != 2 {
			t.Fatalf("vault %d: %d copies, want 2: %s", i+1, n, said)
		}
	}
}

// TestFurnishAnything: a payload may be anything.
func TestFurnishAnything(t *testing.T) {
	t.Parallel()
	for _, payload := range []string{
		"", "no JSON", "null", `{"replicate":null}`, `{"replicate":{"vault_id":"x"}}`, `{"replicate":{"vault_id":7},"project_id":[]}`,
		`{"replicate":{"vault_id":"ééééééééééééééééééabcd"}}`, `"\"\\\"x\\\"\""`, `{"replicate":{"replicate":{}}}`,
	} {
		a := account.New()
		if project, region := a.Furnish([]byte(payload)); project != "" || region != "" {
			t.Errorf("Furnish(%s) = %q, %q", payload, project, region)
		}
		a.BackUp()
	}
	project, region := account.New().Furnish([]byte(`{"project_id":"p","region":"R","replicate":{}}`))
	if project != "" || region != "" {
		t.Errorf("Furnish = %q, %q of what cannot be", project, region)
	}
	project, region = account.New().Furnish([]byte(request))
	if project != cbrtest.SourceProject || region != "region9" {
		t.Errorf("Furnish = %q, %q", project, region)
	}
}

// TestFurnishExample: the example's vault may be named in another project. It is
// not lost if a payload names it as its own destination.
func TestFurnishExample(t *testing.T) {
	t.Parallel()
	a := account.New(cbrtest.WithCopyTime(0))
	own := `{"project_id":"` + cbrtest.SourceProject + `","replicate":{"vault_id":"` + cbrtest.SourceVault + `","destination_vault_id":"` + cbrtest.SourceVault + `"}}`
	a.Furnish([]byte(own))
	if n, said := copies(t, a, cbrtest.SourceVault); n == 0 {
		t.Errorf("the example's vault is gone: %s", said)
	}
	other := strings.Repeat("ab", 16)
	if project, _ := a.Furnish([]byte(strings.ReplaceAll(strings.ReplaceAll(request, cbrtest.SourceProject, other), vault, cbrtest.SourceVault))); project != other {
		t.Errorf("project %q", project)
	}
	if n, said := copies(t, a, cbrtest.SourceVault); n != 0 || !strings.Contains(said, "6105") {
		t.Errorf("the vault is still where it was: %d, %s", n, said)
	}
}
