package cbrtest

import (
	"cmp"
	"slices"
	"strconv"
	"time"
)

// WithLateRecords has lookups show the records of a CopyCheckpoint only d after it, as in a service that is eventually
// consistent. CopyCheckpoint itself knows them at once (BackupService.6130). Whether CBR is like that is not documented.
func WithLateRecords(d time.Duration) Option {
	return func(c *CBR) { c.late = d }
}

// A Record is a replication record that was there before, or that somebody else made. No clock changes it.
type Record struct {
	DestinationProject string    // that of the example if empty
	DestinationRegion  string    // that of the example if empty
	DestinationVault   string    // that of the example if empty
	Status             string    // success (the default), fail, skip, waiting_replicate or replicating
	CreatedAt          time.Time // the start of the copy, in the future too; the zero time, as of one that waits, is written as null
}

// AddRecord adds a replication record to a backup. Lookups show it at once, and CopyCheckpoint takes it for one of its own: one
// that waits or is being made keeps the vault busy (BackupService.6130). An unknown backup gets none.
func (c *CBR) AddRecord(backupID string, r Record) {
	c.mu.Lock()
	defer c.mu.Unlock()
	b, ok := c.byID[fold(backupID)]
	if !ok {
		return
	}
	project := c.vaults[b.VaultID].ProjectID
	c.addRecord(b, &record{
		param: copyParam{
			vault:              b.VaultID,
			destinationVault:   fold(cmp.Or(r.DestinationVault, DestinationVault)),
			destinationProject: fold(cmp.Or(r.DestinationProject, DestinationProject)),
			destinationRegion:  cmp.Or(r.DestinationRegion, DestinationRegion),
		},
		project: project,
		region:  c.regions[project],
		queued:  r.CreatedAt,
		fixed:   cmp.Or(r.Status, "success"),
	})
}

// addRecord gives the backup a record, and the record its id.
func (c *CBR) addRecord(b *backup, r *record) {
	r.id = uuid("record", b.ID, r.param.destinationRegion, strconv.Itoa(len(b.records)))
	r.backup = b.Backup
	b.records = append(b.records, r)
	c.replicas[r.param.destinationVault] = append(c.replicas[r.param.destinationVault], r)
}

// A record is a replication record: one copy of one backup. It never changes; its status is a function of the clock, unless
// it is fixed.
type record struct {
	id      string
	backup  Backup
	param   copyParam
	project string // the source's
	region  string // the source's
	queued  time.Time
	takes   time.Duration
	fixed   string    // the status of a Record
	seen    time.Time // since when lookups show it
}

// has reports whether one of the backup's records is so.
func (b *backup) has(so func(*record) bool) bool { return slices.ContainsFunc(b.records, so) }

// begins returns when the copy leaves the queue, a quarter of its time after it entered. The zero time is unknown.
func (r *record) begins() time.Time { return r.queued.Add(r.takes / 4) }

// ends returns when the copy is done.
func (r *record) ends() time.Time { return r.queued.Add(r.takes) }

// running reports whether the copy waits or is made.
func (r *record) running(now time.Time) bool {
	status := r.status(now)
	return status == "waiting_replicate" || status == "replicating"
}

// holds reports whether there is a copy, or one on its way: another would be needless.
func (r *record) holds(now time.Time) bool {
	status := r.status(now)
	return status != "fail" && status != "skip"
}

// status is one of the statuses of the CBR API reference. Only a Record's copy is ever skipped here.
func (r *record) status(now time.Time) string {
	switch {
	case r.fixed != "":
		return r.fixed
	case now.Before(r.begins()):
		return "waiting_replicate"
	case now.Before(r.ends()):
		return "replicating"
	case r.backup.CopyError != "":
		return "fail"
	default:
		return "success"
	}
}

// progress is in percent. That of a Record which is being made stands still.
func (r *record) progress(now time.Time) int {
	switch {
	case !r.running(now):
		return 100
	case r.fixed != "":
		return 0
	}
	return int(max(0, 100*now.Sub(r.begins())/(r.takes-r.takes/4)))
}

// wire is ReplicationRecordGet of the CBR API reference. created_at is described there as the start of the copy, so a record
// that waits has none; nor is there a destination backup before there is a copy. Both are inferred.
func (r *record) wire(now time.Time, shape Shape) object {
	status := r.status(now)
	extra := object{
		"progress":     r.progress(now),
		"auto_trigger": r.param.autoTrigger,
		"fail_code":    "",
		"fail_reason":  "",
	}
	wire := object{
		"id":                        r.id,
		"status":                    status,
		"vault_id":                  r.param.vault,
		"source_backup_id":          r.backup.ID,
		"source_checkpoint_id":      uuid("checkpoint", r.backup.ID),
		"source_project_id":         r.project,
		"source_region":             r.region,
		"destination_backup_id":     nil,
		"destination_checkpoint_id": nil,
		"destination_project_id":    r.param.destinationProject,
		"destination_region":        r.param.destinationRegion,
		"destination_vault_id":      r.param.destinationVault,
		"created_at":                nil,
		"extra_info":                extra,
	}
	extra[shape.vaultName()] = r.param.destinationVault
	if status != "waiting_replicate" || r.fixed != "" {
		wire["created_at"] = shape.stamp(r.begins())
	}
	switch status {
	case "fail":
		extra["fail_code"], extra["fail_reason"] = cmp.Or(r.backup.CopyError, "BackupService.1006"), "The copy failed."
	case "success":
		wire["destination_backup_id"] = uuid("replica", r.id)
		wire["destination_checkpoint_id"] = uuid("checkpoint", r.id)
	}
	return wire
}
