// Package cbr calls Huawei Cloud's Cloud Backup and Recovery. It has the wire types of
// CopyCheckpoint, the client that makes each call once, and the table that turns an
// answer into a kind.
//
// The official SDK is not used: it has no X-Auth-Token mode and no context, and it
// loses numeric error codes.
package cbr

import (
	"cmp"
	"encoding/json"

	"cbr-replicator/internal/huawei"
)

// Replicate is what to copy, and where to: the backups of a vault that have no
// replica there, or one backup. Exactly one of VaultID and BackupID is set.
//
// Its JSON is the object "replicate" of CopyCheckpoint's body (CBR API reference,
// CheckpointReplicateParam; cross_account_urn since 2025-10). That of CopyBackup has
// no id, which is in its path, and may have a name and a description (CBR API
// reference, BackupReplicateReqBody). A nil field is absent on the wire, since
// sister clouds do not know every field.
type Replicate struct {
	VaultID              string  `json:"vault_id,omitempty"`
	BackupID             string  `json:"backup_id,omitempty"`
	Name                 string  `json:"name,omitempty"`
	Description          string  `json:"description,omitempty"`
	DestinationVaultID   string  `json:"destination_vault_id,omitempty"`
	DestinationProjectID string  `json:"destination_project_id"`
	DestinationRegion    string  `json:"destination_region"`
	AutoTrigger          *bool   `json:"auto_trigger,omitempty"`
	EnableAcceleration   *bool   `json:"enable_acceleration,omitempty"`
	CrossAccountURN      *string `json:"cross_account_urn,omitempty"`
}

// SourceID is the id of what is copied.
func (r *Replicate) SourceID() string { return cmp.Or(r.BackupID, r.VaultID) }

// Answer is CBR's answer. With an error it is filled in as far as there was an answer.
type Answer struct {
	// Sent: the call was made, whatever its outcome. A call that got no connection
	// counts too: it is one of the attempts in a result.
	Sent bool
	// Replication is the object "replication" as CBR sent it, nil without one.
	Replication json.RawMessage
	// Status is the HTTP status, zero without an answer.
	Status int
	// RequestID is CBR's X-Request-Id.
	RequestID string
}

// VaultForm is the form that IsVaultID accepts, in words.
const VaultForm = "a UUID"

// IsVaultID reports whether s is a UUID, as vault ids are.
func IsVaultID(s string) bool {
	for i := range len(s) {
		switch i {
		case 8, 13, 18, 23:
			if s[i] != '-' {
				return false
			}
		default:
			if !huawei.IsHex(s[i]) {
				return false
			}
		}
	}
	return len(s) == 36
}
