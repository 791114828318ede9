package result

// Plan is which vaults a plan has selected, and what became of each. Lists that do
// not fit a message or an answer are cut; then the totals say how long they were.
type Plan struct {
	// Seen is how many vaults with backups were looked at. Selected of them were
	// wanted: those of Vaults, for each of which there is a request, and the skipped.
	Seen         int            `json:"seen"`
	Selected     int            `json:"selected"`
	Requests     int            `json:"requests"`
	DryRun       bool           `json:"dry_run"`
	Vaults       []PlannedVault `json:"vaults"`
	VaultsTotal  int            `json:"vaults_total,omitempty"`
	Skipped      []SkippedVault `json:"skipped"`
	SkippedTotal int            `json:"skipped_total,omitempty"`
}

// PlannedVault is a vault for which there is a request.
type PlannedVault struct {
	VaultID            string `json:"vault_id"`
	Name               string `json:"name,omitempty"`
	DestinationVaultID string `json:"destination_vault_id"`
}

// SkippedVault is a vault that was wanted, and for which there is no request.
type SkippedVault struct {
	VaultID string `json:"vault_id"`
	Name    string `json:"name,omitempty"`
	Reason  string `json:"reason"`
}
