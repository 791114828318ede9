package reconcile

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"time"

	"cbr-replicator/internal/cbr"
	"cbr-replicator/internal/huawei"
	"cbr-replicator/internal/result"
)

// unseenFor is how long a copy that CBR answered with may have no record and still
// be on its way.
const unseenFor = time.Hour

// unknown is the status of a copy of which the list says nothing.
const unknown = "unknown"

// Accepted is a request that CBR took.
type Accepted struct {
	Replicate cbr.Replicate
	// Since is from when on records are its effect, At when it was known to be
	// accepted. Both are by our clock.
	Since, At time.Time
	// Replication is CBR's response object.
	Replication json.RawMessage
}

// Copies is what became of the copies of a request.
type Copies struct {
	// VaultGone: the vault does not exist, and nothing else is known.
	VaultGone bool
	Count     result.Copies
	// There is how many have a replica at the destination.
	There int
	// Going is how many have not ended. They are in no other count but the total.
	Going int
	// Promise is after which time the last of these ends if each goes on as it went
	// until now. Zero: CBR does not say how far they are.
	Promise time.Duration
	// Each has the copies that are known by their backup, those that are not there
	// first.
	Each []result.Copy
}

// Copies tells what became of the copies of a request that CBR took. It takes the
// lookup of the vault that another delivery has made, as [Lookups.Find] does, and
// returns the same errors.
func (l *Lookups) Copies(ctx context.Context, src huawei.Scope, a *Accepted) (Copies, error) {
	look, err := l.lookup(ctx, src, a.Replicate.VaultID)
	if err != nil {
		return Copies{}, failed(err)
	}
	return look.copies(a, time.Now()), nil
}

// ids finds backups and records by their ids in lower case.
type ids struct {
	backups map[string]int
	records map[string]int
	of      map[int][]int // a backup's records
}

func (l *lookup) ids() *ids {
	l.byID.Do(func() {
		l.known = ids{make(map[string]int, len(l.backups)), make(map[string]int, len(l.records)), make(map[int][]int, len(l.backups))}
		for i, b := range l.backups {
			l.known.backups[strings.ToLower(b.id)] = i
		}
		for i, r := range l.records {
			if r.id != "" {
				l.known.records[strings.ToLower(r.id)] = i
			}
			l.known.of[r.backup] = append(l.known.of[r.backup], i)
		}
	})
	return &l.known
}

// accepted is what CBR's response object says of the copies.
type accepted struct {
	Backups []struct {
		BackupID            string `json:"backup_id"`
		ReplicationRecordID string `json:"replication_record_id"`
	} `json:"backups"`
	Total int `json:"backups_total"` // of a list that was cut to fit a message
}

// copies tells what became of a's copies at a time.
func (l *lookup) copies(a *Accepted, now time.Time) Copies {
	if l.gone {
		return Copies{VaultGone: true}
	}
	var listed accepted
	_ = json.Unmarshal(a.Replication, &listed) // what cannot be read is not known
	c := &counting{lookup: l, a: a, now: now, to: destinationOf(a.Replicate.DestinationRegion, a.Replicate.DestinationProjectID, a.Replicate.DestinationVaultID)}
	seen := make(map[int]bool, len(listed.Backups))
	for _, b := range listed.Backups {
		i, ok := l.ids().backups[strings.ToLower(b.BackupID)]
		if !ok {
			c.lost(b.BackupID, b.ReplicationRecordID)
			continue
		}
		seen[i] = true
		if r, ok := l.ids().records[strings.ToLower(b.ReplicationRecordID)]; ok && b.ReplicationRecordID != "" {
			c.record(r)
		} else if r, ok := c.newest(i); ok {
			c.record(r)
		} else if c.unseen() {
			c.lost(b.BackupID, b.ReplicationRecordID)
		}
	}
	c.rest(seen, max(listed.Total-len(listed.Backups), 0), len(listed.Backups) == 0)
	c.There = len(c.arrived)
	c.Each = append(c.Each, c.arrived...)
	return c.Copies
}

// counting counts copies, one after the other.
type counting struct {
	Copies
	*lookup
	a   *Accepted
	now time.Time
	to  destination
	// arrived are the copies that are there, the others are in Each already.
	arrived []result.Copy
	// open: a copy that goes on does not say how far it is.
	open bool
}

// rest counts the copies that are not on a's list, since it was cut to fit a
// message, or says nothing: the records of other backups to the destination, the
// oldest first, at most as many as are missing.
func (c *counting) rest(seen map[int]bool, missing int, all bool) {
	if missing == 0 && !all {
		return
	}
	var records []int
	for i := range c.backups {
		if r, ok := c.newest(i); ok && !seen[i] {
			records = append(records, r)
		}
	}
	slices.SortStableFunc(records, func(a, b int) int { return c.records[a].created.Compare(c.records[b].created) })
	if missing == 0 {
		missing = max(len(records), 1) // how many there are nobody says
	}
	for i := range missing {
		switch {
		case i < len(records):
			c.record(records[i])
		case c.unseen():
			c.Count.Unknown++
			c.Count.Total++
		}
	}
}

// newest returns the newest record of a backup to the destination that is the
// request's effect, by CBR's clock.
func (c *counting) newest(backup int) (newest int, ok bool) {
	for _, i := range c.ids().of[backup] {
		r := &c.records[i]
		if !c.lookup.to[r.to].to.is(c.to) || !c.effect(r) {
			continue
		}
		// One without a time waits, and began last.
		if !ok || !c.records[newest].created.IsZero() && (r.created.IsZero() || r.created.After(c.records[newest].created)) {
			newest, ok = i, true
		}
	}
	return newest, ok
}

// effect reports whether a record is from since the request was first tried.
func (c *counting) effect(r *record) bool {
	if r.created.IsZero() {
		return r.status == cbr.Waiting
	}
	return !c.at.Theirs.IsZero() && !c.a.Since.Add(-tolerance).After(ours(r.created, c.at))
}

// unseen counts a copy without a record as going if it is young enough, and
// reports whether it is not.
func (c *counting) unseen() (given bool) {
	if c.now.Sub(c.a.At) >= unseenFor {
		return true
	}
	c.going(0, time.Time{})
	return false
}

// going counts a copy that has not ended.
func (c *counting) going(progress int, began time.Time) {
	c.Count.Total++
	c.Going++
	passed := c.now.Sub(c.a.At)
	if !began.IsZero() && !c.at.Theirs.IsZero() {
		passed = c.now.Sub(ours(began, c.at))
	}
	if c.open = c.open || progress <= 0 || passed <= 0; c.open {
		c.Promise = 0
		return
	}
	c.Promise = max(c.Promise, passed*time.Duration(100-progress)/time.Duration(progress), 1)
}

// lost counts a copy of which the list says nothing.
func (c *counting) lost(backupID, recordID string) {
	c.Count.Total++
	c.Count.Unknown++
	c.Each = append(c.Each, result.Copy{BackupID: backupID, ReplicationRecordID: recordID, Status: unknown})
}

// record counts the copy that a record is of.
func (c *counting) record(i int) {
	r := &c.records[i]
	b := &c.backups[r.backup]
	copied := result.Copy{
		BackupID: b.id, ReplicationRecordID: r.id, Status: string(r.status), DestinationBackupID: r.copied,
		ResourceID: b.resourceID, ResourceName: b.resourceName, StartedAt: r.created,
	}
	switch r.status {
	case cbr.Replicated:
		c.Count.Succeeded++
		c.arrived = append(c.arrived, copied)
	case cbr.Failed:
		c.Count.Failed++
		if r.fault != nil {
			copied.FailCode, copied.FailReason = r.fault.code, r.fault.reason
		}
		c.Each = append(c.Each, copied)
	case cbr.Skipped:
		c.Count.Skipped++
		// CBR skips what is there already.
		if earlier := c.replica(r.backup); earlier != nil {
			copied.DestinationBackupID = earlier.copied
			c.arrived = append(c.arrived, copied)
		} else {
			c.Each = append(c.Each, copied)
		}
	default:
		c.going(r.progress, r.created)
		c.Each = append(c.Each, copied)
		return
	}
	c.Count.Total++
}

// replica returns the record of a backup that has arrived at the destination.
func (c *counting) replica(backup int) *record {
	for _, i := range c.ids().of[backup] {
		if r := &c.records[i]; r.status == cbr.Replicated && c.lookup.to[r.to].to.is(c.to) {
			return r
		}
	}
	return nil
}
