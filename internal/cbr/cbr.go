// Package cbr speaks to Huawei Cloud's Cloud Backup and Recovery: the wire
// types of CopyCheckpoint, the client that makes the call once, and the one
// place that turns an answer into a kind.
//
// The official SDK is not used: it has no X-Auth-Token mode and no context,
// and it loses numeric error codes.
package cbr

import "encoding/json"

// Replicate is the object "replicate" of CopyCheckpoint's body (CBR API
// reference, CheckpointReplicateParam; cross_account_urn since 2025-10). A nil
// field is absent on the wire, since sister clouds do not know every field.
type Replicate struct {
	VaultID              string  `json:"vault_id"`
	DestinationVaultID   string  `json:"destination_vault_id"`
	DestinationProjectID string  `json:"destination_project_id"`
	DestinationRegion    string  `json:"destination_region"`
	AutoTrigger          *bool   `json:"auto_trigger,omitempty"`
	EnableAcceleration   *bool   `json:"enable_acceleration,omitempty"`
	CrossAccountURN      *string `json:"cross_account_urn,omitempty"`
}

// Source names where a vault is: the call goes to this region's endpoint with
// this project in its path, and the credential must be good for the project.
type Source struct {
	ProjectID string
	Region    string
}

// Answer is what CBR said. It is filled in as far as there was an answer, also
// beside an error.
type Answer struct {
	// Sent: the call was made, whatever became of it. One that found no
	// connection counts too: it is one of the attempts that a result tells of.
	Sent bool
	// Replication is the object "replication" as CBR sent it, nil without one.
	Replication json.RawMessage
	// Status is the HTTP status, zero without an answer.
	Status int
	// RequestID is CBR's X-Request-Id.
	RequestID string
}

// The forms of what IsProjectID, IsRegion and IsVaultID take, in words.
const (
	ProjectForm = "32 hex digits"
	RegionForm  = "a region, in lower-case letters, digits and hyphens, such as cn-north-4"
	VaultForm   = "a UUID"
)

// IsVaultID reports whether s is a UUID, as vault ids are.
func IsVaultID(s string) bool {
	for i := range len(s) {
		switch i {
		case 8, 13, 18, 23:
			if s[i] != '-' {
				return false
			}
		default:
			if !isHex(s[i]) {
				return false
			}
		}
	}
	return len(s) == 36
}

// IsProjectID reports whether s is 32 hex digits, as project ids are.
func IsProjectID(s string) bool {
	for i := range len(s) {
		if !isHex(s[i]) {
			return false
		}
	}
	return len(s) == 32
}

// IsRegion reports whether s may be a region: it becomes part of a host name.
func IsRegion(s string) bool {
	for i := range len(s) {
		if c := s[i]; !isLower(c) && !isDigit(c) && (c != '-' || i == 0) {
			return false
		}
	}
	return 1 <= len(s) && len(s) <= 63
}

func isHex(c byte) bool   { return isDigit(c) || 'a' <= c && c <= 'f' || 'A' <= c && c <= 'F' }
func isDigit(c byte) bool { return '0' <= c && c <= '9' }
func isLower(c byte) bool { return 'a' <= c && c <= 'z' }
