package replicate

import (
	"fmt"

	"cbr-replicator/internal/reconcile"
)

// notCovered says how many backups have no replica, what CBR answered, and which
// other vaults of the region have replicas of them.
func notCovered(found reconcile.Finding, said string) string {
	return fmt.Sprintf("%d of %d available backups have no replica there, and CBR starts none: %s%s",
		found.Coverage.Missing(), found.Coverage.Backups, said, reconcile.Others(found.Elsewhere))
}
