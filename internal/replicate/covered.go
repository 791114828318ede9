package replicate

import (
	"fmt"

	"cbr-replicator/internal/reconcile"
)

// notCovered returns the message of a NotCovered: how many backups have no replica,
// CBR's answer, and which other vaults of the region have replicas of them.
func notCovered(found reconcile.Finding, answer string) string {
	return fmt.Sprintf("%d of %d available backups have no replica there, and CBR starts none: %s%s",
		found.Coverage.Missing(), found.Coverage.Backups, answer, reconcile.Others(found.Elsewhere))
}
