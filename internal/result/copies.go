package result

import "time"

// StageCopy is the stage of results that tell how copies ended.
const StageCopy = "copy"

// Copies counts copies by what became of them: the states of their replication
// records (CBR API reference), and those of which nothing is known.
type Copies struct {
	Total     int `json:"total"`
	Succeeded int `json:"succeeded"`
	Failed    int `json:"failed"`
	Skipped   int `json:"skipped"`
	Unknown   int `json:"unknown"`
}

// Copy is what became of one backup's copy. What CBR does not say is absent.
type Copy struct {
	BackupID            string    `json:"backup_id"`
	ReplicationRecordID string    `json:"replication_record_id,omitempty"`
	Status              string    `json:"status"`
	DestinationBackupID string    `json:"destination_backup_id,omitempty"`
	ResourceID          string    `json:"resource_id,omitempty"`
	ResourceName        string    `json:"resource_name,omitempty"`
	StartedAt           time.Time `json:"started_at,omitzero"`
	FailCode            string    `json:"fail_code,omitempty"`
	FailReason          string    `json:"fail_reason,omitempty"`
}
