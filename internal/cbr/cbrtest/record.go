package cbrtest

import (
	"cmp"
	"slices"
	"strconv"
	"time"
)

// WithLateRecords makes lookups show the records of a CopyCheckpoint only after d, as in a service that is eventually consistent.
// CopyCheckpoint itself sees them at once (BackupService.6130). Whether CBR does so is not documented.
func WithLateRecords(d time.Duration) Option {
	return func(c *CBR) { c.late = d }
}

// A Copy is a copy that CopyCheckpoint has begun.
type Copy struct {
	VaultID, BackupID, RecordID string
	Began                       time.Time // when it was requested, by CBR's clock
}

// WithCopyEnds makes end say how a copy ends whose time has passed: with the status success, fail or skip. While it says
// nothing the copy goes on. It is called with every look at the copy, and must not call the CBR. A copy that has ended must
// stay so.
func WithCopyEnds(end func(Copy) (status string)) Option {
	return func(c *CBR) { c.copyEnds = end }
}

// A Record is a replication record from before, or of another writer. It does not change with the clock.
type Record struct {
	DestinationProject string    // empty: the example's
	DestinationRegion  string    // empty: the example's
	DestinationVault   string    // empty: the example's
	Status             string    // success (the default), fail, skip, waiting_replicate or replicating
	CreatedAt          time.Time // the start of the copy, may be in the future; the zero time, as for a copy that waits, is written as null
}

// AddRecord adds a replication record to a backup. Lookups show it at once, and CopyCheckpoint treats it as one of its own: a
// copy that waits or runs keeps the vault busy (BackupService.6130). With an unknown backup it does nothing.
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

// addRecord adds a record to the backup and sets the record's id.
func (c *CBR) addRecord(b *backup, r *record) {
	r.id = uuid("record", b.ID, r.param.destinationRegion, strconv.Itoa(len(b.records)))
	r.backup = b.Backup
	b.records = append(b.records, r)
	c.records = append(c.records, r)
	c.replicas[r.param.destinationVault] = append(c.replicas[r.param.destinationVault], r)
}

// A record is a replication record: one copy of one backup. Its status is a function of the clock, unless it is fixed,
// stopped, or said by [WithCopyEnds].
type record struct {
	id      string
	backup  Backup
	param   copyParam
	project string // the source's
	region  string // the source's
	queued  time.Time
	takes   time.Duration
	fixed   string    // the status of a Record, or of a copy that was made to fail
	stopped time.Time // since when the copy goes no further; the zero time: it goes on
	visible time.Time // since when lookups show it
	end     func(Copy) string
}

// has reports whether one of the backup's records matches.
func (b *backup) has(matches func(*record) bool) bool { return slices.ContainsFunc(b.records, matches) }

// begins returns when the copy leaves the queue: after a quarter of its time. The zero time is unknown.
func (r *record) begins() time.Time { return r.queued.Add(r.takes / 4) }

// ends returns when the copy is done.
func (r *record) ends() time.Time { return r.queued.Add(r.takes) }

// until returns up to when the copy has gone on.
func (r *record) until(now time.Time) time.Time {
	if !r.stopped.IsZero() && r.stopped.Before(now) {
		return r.stopped
	}
	return now
}

// running reports whether the copy waits or runs.
func (r *record) running(now time.Time) bool {
	status := r.status(now)
	return status == "waiting_replicate" || status == "replicating"
}

// holds reports whether there is a copy, or will be: then no other is made.
func (r *record) holds(now time.Time) bool {
	status := r.status(now)
	return status != "fail" && status != "skip"
}

// status is one of the statuses of the CBR API reference. Only a Record's copy is ever skipped here.
func (r *record) status(now time.Time) string {
	now = r.until(now)
	switch {
	case r.fixed != "":
		return r.fixed
	case now.Before(r.begins()):
		return "waiting_replicate"
	case now.Before(r.ends()):
		return "replicating"
	case r.end != nil:
		return cmp.Or(r.end(Copy{r.backup.VaultID, r.backup.ID, r.id, r.queued}), "replicating")
	case r.backup.CopyError != "":
		return "fail"
	default:
		return "success"
	}
}

// progress is in percent. It stays at zero for a Record that runs, and where it was for a copy that was stopped.
func (r *record) progress(now time.Time) int {
	switch {
	case !r.running(now) && r.stopped.IsZero():
		return 100
	case r.fixed != "" && r.stopped.IsZero():
		return 0
	}
	passed, takes := r.until(now).Sub(r.begins()), r.takes-r.takes/4
	if passed >= takes { // it takes longer than thought
		return 99
	}
	return int(max(0, 100*passed/takes))
}

// wire is ReplicationRecordGet of the CBR API reference. Inferred: a record that waits has no created_at, which is described
// there as the start of the copy; and there is no destination backup before the copy has ended.
func (r *record) wire(now time.Time, format Format) object {
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
	extra[format.vaultName()] = r.param.destinationVault
	if r.fixed != "" && r.stopped.IsZero() || !r.until(now).Before(r.begins()) {
		wire["created_at"] = format.stamp(r.begins())
	}
	switch status {
	case "fail":
		extra["fail_code"], extra["fail_reason"] = r.failCode(), "The copy failed."
	case "success":
		wire["destination_backup_id"] = uuid("replica", r.id)
		wire["destination_checkpoint_id"] = uuid("checkpoint", r.id)
	}
	return wire
}
