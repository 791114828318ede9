package replicate

import (
	"fmt"
	"strings"

	"cbr-replicator/internal/reconcile"
)

// notCovered returns the message of a NotCovered: how many backups have no replica,
// CBR's answer, and which other vaults of the region have replicas of them. CBR allows
// one replica in each region (user guide, "Replicating a vault").
func notCovered(found reconcile.Finding, answer string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d of %d available backups have no replica there, and CBR starts none: %s", found.Coverage.Missing(), found.Coverage.Backups, answer)
	for i, p := range found.Elsewhere {
		if i == reconcile.MaxPlaces {
			fmt.Fprintf(&b, "; and in %d more vaults", len(found.Elsewhere)-reconcile.MaxPlaces)
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
