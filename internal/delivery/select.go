package delivery

import (
	"slices"
	"strings"

	"cbr-replicator/internal/cbr"
)

// Select says for which vaults of the source project a plan makes requests.
type Select struct {
	// Tags that a vault must have, each with one of its values.
	Tags []Tag `json:"tags,omitempty"`
	// VaultIDs, if there are any, are the only vaults.
	VaultIDs []string `json:"vault_ids,omitempty"`
	// DestinationVaultTag names the tag of each vault that has the id of the vault
	// that it is copied to. Empty: all go to the request's.
	DestinationVaultTag string `json:"destination_vault_tag,omitempty"`
}

// Tag is a tag that is asked for. Without values, any value is taken.
type Tag struct {
	Key    string   `json:"key"`
	Values []string `json:"values,omitempty"`
}

// Takes reports whether a vault with these tags is selected.
func (s *Select) Takes(tags []cbr.Tag) bool {
	return !slices.ContainsFunc(s.Tags, func(want Tag) bool {
		return !slices.ContainsFunc(tags, func(t cbr.Tag) bool {
			return t.Key == want.Key && (len(want.Values) == 0 || slices.Contains(want.Values, t.Value))
		})
	})
}

// Planned returns the request that a plan makes for a vault. correlation is the
// plan's correlation id. The id of a delivery may take its place, and have another
// form than that of a request.
func (r *Request) Planned(vaultID, correlation string) Request {
	planned := *r
	planned.Select, planned.DryRun = nil, false
	planned.Action, planned.Plans = r.Plans, ""
	planned.Replicate.VaultID = vaultID
	planned.CorrelationID = strings.Map(func(c rune) rune {
		if notInCorrelationID(c) {
			return '-'
		}
		return c
	}, correlation)
	planned.CorrelationID = planned.CorrelationID[:min(len(planned.CorrelationID), MaxCorrelationID)]
	return planned
}
