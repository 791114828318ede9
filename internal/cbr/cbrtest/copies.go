package cbrtest

import (
	"cmp"
	"slices"
	"time"
)

// A CopyState is how far one copy of one backup is.
type CopyState struct {
	RecordID         string // its replication record's
	BackupID         string
	VaultID          string // the source
	DestinationVault string
	Region           string // the destination's
	Requested        time.Time
	Status           string // as in the replication record
	Progress         int    // in percent
	Stalled          bool   // it goes no further
	FailCode         string // of one that failed
	Deleted          bool   // the source backup is gone, and lookups show the copy no more
}

// Copies returns how far all copies are, those of [CBR.AddRecord] too, in the order in which they were requested. The copies of one
// request are in the order of its answer.
func (c *CBR) Copies() []CopyState {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.now()
	copies := make([]CopyState, len(c.records))
	for i, r := range c.records {
		copies[i] = CopyState{
			RecordID:         r.id,
			BackupID:         r.backup.ID,
			VaultID:          r.param.vault,
			DestinationVault: r.param.destinationVault,
			Region:           r.param.destinationRegion,
			Requested:        r.queued,
			Status:           r.status(now),
			Progress:         r.progress(now),
			Stalled:          r.running(now) && !r.stopped.IsZero(),
			Deleted:          c.byID[r.backup.ID] == nil,
		}
		if copies[i].Status == "fail" {
			copies[i].FailCode = r.failCode()
		}
	}
	return copies
}

// Backups returns the ids of a source vault's backups, in the order in which they were added.
func (c *CBR) Backups(vaultID string) []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	var ids []string
	for _, b := range c.backups[fold(vaultID)] {
		ids = append(ids, b.ID)
	}
	return ids
}

// FailCopy makes a copy that waits or runs fail now, with a code, and reports whether there is such a copy. An empty code is
// BackupService.1006.
func (c *CBR) FailCopy(recordID, code string) bool {
	return c.stop(recordID, func(r *record) { r.fixed, r.backup.CopyError = "fail", code })
}

// StallCopy stops a copy that waits or runs where it is, and reports whether there is such a copy. It neither ends nor fails, until
// [CBR.FailCopy] makes it fail.
func (c *CBR) StallCopy(recordID string) bool {
	return c.stop(recordID, func(*record) {})
}

// stop ends the progress of a copy that waits or runs.
func (c *CBR) stop(recordID string, change func(*record)) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.now()
	i := slices.IndexFunc(c.records, func(r *record) bool { return r.id == fold(recordID) })
	if i < 0 || !c.records[i].running(now) {
		return false
	}
	r := c.records[i]
	if r.stopped.IsZero() {
		r.stopped = now
	}
	change(r)
	return true
}

// failCode is the code of a copy that failed.
func (r *record) failCode() string { return cmp.Or(r.backup.CopyError, "BackupService.1006") }
