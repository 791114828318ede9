package reconcile

import (
	"fmt"
	"strings"
)

// Others says which other vaults of the region have replicas, each as a clause after
// a semicolon: CBR allows one replica in each region (user guide, "Replicating a
// vault").
func Others(places []Place) string {
	var b strings.Builder
	for i, p := range places {
		if i == MaxPlaces {
			fmt.Fprintf(&b, "; and in %d more vaults", len(places)-MaxPlaces)
			break
		}
		vault := "a vault that CBR does not name"
		if p.VaultID != "" {
			vault = "vault " + p.VaultID
		}
		if p.ProjectID != "" {
			vault += " of project " + p.ProjectID
		}
		fmt.Fprintf(&b, "; %d have one in %s, in the same region", p.Backups, vault)
	}
	return b.String()
}
