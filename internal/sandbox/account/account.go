// Package account makes a CBR that any payload can be tried on: it has the
// account of the CBR API reference's example and, besides, whatever projects
// and vaults the payloads that are sent to it name.
package account

import (
	"encoding/base64"
	"encoding/json"
	"strconv"
	"strings"
	"sync"
	"time"

	"cbr-replicator/internal/cbr/cbrtest"
	"cbr-replicator/internal/huawei"
)

// uuidLength is the length of a vault's id. An id of another length is not added:
// the function refuses it.
const uuidLength = 36

// roomy is the capacity of a destination vault, in GB. It is CBR's largest, so that requests do not fill the vault. A full
// vault is a fault that can be switched on.
const roomy = 10 << 20

// Account is a CBR that is furnished as payloads come in. It is safe for
// concurrent use.
type Account struct {
	*cbrtest.CBR

	mu     sync.Mutex
	vaults map[string]int    // how many backups each source vault got here
	estate map[string]string // the project of each vault that AddEstate has added
}

// New returns the account of the example.
func New(options ...cbrtest.Option) *Account {
	a := &Account{CBR: cbrtest.New(options...), vaults: map[string]int{cbrtest.SourceVault: 0}, estate: map[string]string{}}
	a.AddExample()
	return a
}

// Furnish adds the projects and vaults that a payload names. It looks for objects
// with a field "replicate" or "check" anywhere in the payload, also in strings that hold
// JSON, in base64 or not. A source vault gets two backups when it is first named.
// Furnish returns a source project and region that the payload names, empty if it
// names none of the right form.
func (a *Account) Furnish(payload []byte) (project, region string) {
	walk(payload, func(request map[string]any) {
		replicate, ok := request["replicate"].(map[string]any)
		if !ok {
			replicate, _ = request["check"].(map[string]any)
		}
		text := func(in map[string]any, name, otherwise string) string {
			if s, ok := in[name].(string); ok && s != "" {
				return s
			}
			return otherwise
		}
		id := func(in map[string]any, name, otherwise string) string {
			return strings.ToLower(text(in, name, otherwise))
		}
		if p := id(request, "project_id", ""); huawei.IsProjectID(p) {
			project = p
		}
		if r := text(request, "region", ""); huawei.IsRegion(r) {
			region = r
		}
		source := id(request, "project_id", cbrtest.SourceProject)
		destination := id(replicate, "destination_project_id", cbrtest.DestinationProject)
		a.AddProject(source, text(request, "region", cbrtest.SourceRegion))
		a.AddProject(destination, text(replicate, "destination_region", cbrtest.DestinationRegion))
		vault, to := id(replicate, "vault_id", cbrtest.SourceVault), id(replicate, "destination_vault_id", cbrtest.DestinationVault)
		if to != vault { // else CBR is to say that it is no vault for replicas
			a.AddVault(cbrtest.Vault{ID: to, ProjectID: destination, ProtectType: "replication", Size: roomy})
		}
		if isExample := vault == cbrtest.SourceVault && source == cbrtest.SourceProject; !isExample && len(vault) == uuidLength {
			a.addSource(vault, source)
		}
	})
	return project, region
}

func (a *Account) addSource(vault, project string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.estate[vault] == project {
		return // it has its tags
	}
	a.AddVault(cbrtest.Vault{ID: vault, ProjectID: project})
	for a.vaults[vault] < 2 {
		a.backUp(vault, time.Time{})
	}
}

// BackUp adds one backup to each source vault, as a night of backups does, so
// that there is something new to replicate.
func (a *Account) BackUp() {
	a.mu.Lock()
	defer a.mu.Unlock()
	for vault := range a.vaults {
		a.backUp(vault, time.Time{})
	}
}

// backUp adds a backup, whose id depends on the vault's and on how many there were. The zero time is CBR's now. The caller
// holds mu.
func (a *Account) backUp(vault string, at time.Time) {
	a.AddBackup(cbrtest.Backup{ID: idOf(vault, strconv.Itoa(a.vaults[vault])), VaultID: vault, CreatedAt: at})
	a.vaults[vault]++
}

// walk calls see with every object in payload that has a field "replicate" or "check".
func walk(payload []byte, see func(request map[string]any)) {
	var value any
	if json.Unmarshal(payload, &value) != nil {
		return
	}
	var visit func(any)
	visit = func(value any) {
		switch v := value.(type) {
		case map[string]any:
			if v["replicate"] != nil || v["check"] != nil {
				see(v)
			}
			for _, inner := range v {
				visit(inner)
			}
		case []any:
			for _, inner := range v {
				visit(inner)
			}
		case string:
			walk([]byte(v), see)
			if text, err := base64.StdEncoding.DecodeString(v); err == nil && len(text) > 0 {
				walk(text, see)
			}
		}
	}
	visit(value)
}
