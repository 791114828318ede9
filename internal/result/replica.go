package result

import "time"

// Replica is how old the replicas of a vault's backups at a destination are. Times
// and ages are by CBR's clock, in seconds.
type Replica struct {
	// AgeS is the age of the oldest of the newest replicas of each resource, absent
	// if no resource that counts has one.
	AgeS      *int64    `json:"age_s,omitempty"`
	MaxAgeS   int64     `json:"max_age_s"`
	Resources Resources `json:"resources"`
	// Worst is the resource that decides: one without a replica, else the one with
	// the oldest. Nil if all are pending.
	Worst            *WorstResource    `json:"worst,omitempty"`
	NewestReplicated *ReplicatedBackup `json:"newest_replicated,omitempty"`
	Newest           *NewestBackup     `json:"newest,omitempty"`
	// Backups is how many are available. Replicated of them are there; of the others,
	// Copying wait or run and Failed have failed or were skipped.
	Backups    int `json:"backups"`
	Replicated int `json:"replicated"`
	Copying    int `json:"copying"`
	Failed     int `json:"failed"`
}

// Resources counts the resources that a vault protects, each once.
type Resources struct {
	Total   int `json:"total"`
	Current int `json:"current"`
	Stale   int `json:"stale"`
	Never   int `json:"never"`
	Idle    int `json:"idle"`
	Pending int `json:"pending"`
}

// WorstResource is the resource that decides.
type WorstResource struct {
	ResourceID   string `json:"resource_id"`
	ResourceName string `json:"resource_name,omitempty"`
	AgeS         *int64 `json:"age_s,omitempty"` // absent: it has no replica
}

// ReplicatedBackup is the newest backup that has a replica.
type ReplicatedBackup struct {
	BackupID            string    `json:"backup_id"`
	CreatedAt           time.Time `json:"created_at"`
	ReplicationRecordID string    `json:"replication_record_id"`
	DestinationBackupID string    `json:"destination_backup_id,omitempty"`
}

// NewestBackup is the newest backup.
type NewestBackup struct {
	BackupID  string    `json:"backup_id"`
	CreatedAt time.Time `json:"created_at"`
	AgeS      int64     `json:"age_s"`
}
