package account

import (
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"io/fs"
	"strings"
	"time"

	"cbr-replicator/internal/cbr/cbrtest"
)

// Databases is the vault to which the replicas of the estate's databases go. Those of its web servers go to the example's.
const Databases = "4d0e9f7c-2b65-4c1a-9a58-6f3e8b7d1c20"

//go:embed estate/*.json
var estate embed.FS

// Estate returns payloads for the vaults of [Account.AddEstate]: a plan, the same as a dry run, a check of what
// the plan replicates and of one vault more, and a request for one backup.
func Estate() fs.FS {
	payloads, _ := fs.Sub(estate, "estate") // of a valid path
	return payloads
}

// AddEstate adds the vaults of an estate to a project, with tags for plans to select by and names: dr says how much a vault is
// worth, dr-vault where its replicas go. Two vaults are tagged wrongly, and one as bronze, which the sample plan leaves out. Each
// vault has a backup that is two days old and another one: two hours old in a web server's, 20 hours in a database's. now is CBR's
// time.
func (a *Account) AddEstate(project string, now time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.AddProject(cbrtest.DestinationProject, cbrtest.DestinationRegion)
	a.AddVault(cbrtest.Vault{ID: cbrtest.DestinationVault, ProjectID: cbrtest.DestinationProject, ProtectType: "replication", Size: roomy})
	a.AddVault(cbrtest.Vault{ID: Databases, ProjectID: cbrtest.DestinationProject, ProtectType: "replication", Size: roomy})
	for _, kind := range []struct {
		name   string
		n      int
		newest time.Duration
		tags   map[string]string
		other  map[int]map[string]string // of single vaults
	}{
		{"web", 12, 2 * time.Hour, map[string]string{"dr": "gold", "dr-vault": cbrtest.DestinationVault}, map[int]map[string]string{
			12: {"dr": "gold", "dr-vault": "replicas"}, // a name, no id
		}},
		{"db", 12, 20 * time.Hour, map[string]string{"dr": "silver", "dr-vault": Databases}, map[int]map[string]string{
			12: {"dr": "silver"},
		}},
		{"test", 12, 2 * time.Hour, map[string]string{"stage": "test"}, map[int]map[string]string{
			1: {"stage": "test", "dr": "bronze", "dr-vault": cbrtest.DestinationVault},
		}},
	} {
		for i := 1; i <= kind.n; i++ {
			name := fmt.Sprintf("%s-%02d", kind.name, i)
			tags := kind.tags
			if other, ok := kind.other[i]; ok {
				tags = other
			}
			vault := cbrtest.Vault{ID: idOf(project, name), ProjectID: project, Name: name}
			for _, key := range []string{"dr", "dr-vault", "stage"} {
				if value, ok := tags[key]; ok {
					vault.Tags = append(vault.Tags, cbrtest.Tag{Key: key, Value: value})
				}
			}
			a.AddVault(vault)
			a.estate[vault.ID] = project
			a.vaults[vault.ID] = 0
			for _, age := range []time.Duration{50 * time.Hour, kind.newest} {
				a.backUp(vault.ID, now.Add(-age))
			}
		}
	}
}

// idOf makes an id of text.
func idOf(text ...string) string {
	sum := sha256.Sum256([]byte(strings.Join(text, " ")))
	id := hex.EncodeToString(sum[:16])
	return strings.Join([]string{id[:8], id[8:12], id[12:16], id[16:20], id[20:]}, "-")
}
