package reconcile

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"cbr-replicator/internal/cbr"
	"cbr-replicator/internal/huawei"
)

const (
	// tolerance is how much older than the first try an effect may seem: a Date
	// has no fractions of a second, and clocks are read at two ends of a network.
	tolerance = 3 * time.Second
	// maxAhead is how far after the answer's own Date a record may seem to have
	// begun. One clock cannot differ more from itself: such a time has another
	// meaning than ours.
	maxAhead = 2 * time.Minute
	// maxBehind is how far the clock that records are dated by may be behind the
	// one that answers are.
	maxBehind = time.Minute
	// maxWest is how far behind UTC a local time may be, in steps of zoneStep.
	maxWest  = 12 * time.Hour
	zoneStep = 30 * time.Minute
)

// Verdict is what a lookup says of a request.
type Verdict int

// The verdicts. The zero Verdict decides nothing.
const (
	// Undecided: there are records that may be the request's effect or not. It
	// must not be sent.
	Undecided Verdict = iota
	// NotFound: no effect is to be seen, yet.
	NotFound
	// Found: CBR has taken the request.
	Found
)

// String returns the verdict as the log has it.
func (v Verdict) String() string {
	switch v {
	case NotFound:
		return "not found"
	case Found:
		return "found"
	}
	return "undecided"
}

// Finding is what became of a request.
type Finding struct {
	Verdict Verdict
	// Replication is the object that CopyCheckpoint's answer would have had,
	// its backups in the order of the list; nil unless Found.
	Replication json.RawMessage
	Coverage    Coverage
	// Elsewhere is where in the destination's region there are replicas of
	// available backups that have none at the destination. CBR allows a backup
	// one replica in each region (user guide, "Replicating a vault").
	Elsewhere []Place
	// Why tells a person what cannot be decided; empty unless Undecided.
	Why string
}

// Place is another vault of the destination's region.
type Place struct {
	VaultID   string // empty where the records do not say
	ProjectID string // empty if it is the destination's, or where they do not say
	Backups   int    // how many have a replica there that waits, runs or has succeeded
}

// Coverage is how far a vault's backups are replicated to a destination.
type Coverage struct {
	// Backups is how many of the vault's backups are available. One that CBR
	// never copies, such as one without the system disk, is among them: it is
	// just as lost in a disaster.
	Backups int
	// Replicated is how many of these have a replication record to the
	// destination that waits, runs or has succeeded.
	Replicated int
}

// Missing is how many available backups have no such record.
func (c Coverage) Missing() int { return c.Backups - c.Replicated }

// lookup is what is kept of a list of backups. It is written before done is
// closed and read after.
type lookup struct {
	done chan struct{}
	err  error

	at      cbr.Clocks
	backups []backup
	// provider is that of all backups: a vault holds one type of resource.
	provider string
	to       map[destination]*copies
}

// backup is what is kept of one.
type backup struct {
	id        string
	created   time.Time
	available bool
}

// destination is a replication's. Ids are compared without regard to case.
// What a record does not say is empty.
type destination struct{ region, project, vault string }

func destinationOf(region, project, vault string) destination {
	return destination{strings.ToLower(region), strings.ToLower(project), strings.ToLower(vault)}
}

// is reports whether a record's destination is that of a request. A vault's id
// is enough where the record does not say more.
func (d destination) is(to destination) bool { return d.vault == to.vault && d.mayBe(to) }

// mayBe reports whether nothing in a record's destination is another than in
// that of a request.
func (d destination) mayBe(to destination) bool {
	return (d.region == "" || d.region == to.region) && (d.project == "" || d.project == to.project) && (d.vault == "" || d.vault == to.vault)
}

// copies are the copies to one destination.
type copies struct {
	records []record
	// The source as records name it.
	project, region string
}

// record is what is kept of a replication record. A vault may hold 15,000
// backups with several each.
type record struct {
	backup   int // its index
	id       string
	created  time.Time
	zoneless bool
	status   cbr.RecordStatus
}

// add keeps what is needed of a backup.
func (l *lookup) add(b *cbr.Backup) {
	l.provider = cmp.Or(l.provider, b.ProviderID)
	l.backups = append(l.backups, backup{b.ID, b.CreatedAt, b.Available})
	for _, r := range b.Records {
		d := destinationOf(r.DestinationRegion, r.DestinationProjectID, r.DestinationVaultID)
		c := l.to[d]
		if c == nil {
			c = &copies{}
			l.to[d] = c
		}
		if !r.CreatedAt.IsZero() || r.Status.Covers() {
			// Else it never began and copied nothing: to send again doubles nothing.
			c.records = append(c.records, record{len(l.backups) - 1, r.ID, r.CreatedAt, r.Zoneless, r.Status})
		}
		c.project, c.region = cmp.Or(c.project, r.SourceProjectID), cmp.Or(c.region, r.SourceRegion)
	}
}

// judge tells what became of r, which was first tried at since.
func (l *lookup) judge(src huawei.Scope, r cbr.Replicate, since time.Time) Finding {
	to := destinationOf(r.DestinationRegion, r.DestinationProjectID, r.DestinationVaultID)
	there, unnamed, elsewhere := l.copiesBy(to)
	covered := l.covered(there.records)
	f := Finding{Verdict: NotFound, Coverage: l.coverage(covered), Elsewhere: l.elsewhere(to, covered, elsewhere)}

	effect, maybe, why := there.since(since, l.at)
	if why == "" {
		if a, b, unclear := unnamed.since(since, l.at); unclear != "" || len(a) > 0 || len(b) > 0 {
			why = "replication records do not say to which vault they go"
		}
	}
	if why == "" && len(effect) == 0 && len(maybe) > 0 {
		switch {
		case f.Coverage.Backups > 0 && f.Coverage.Missing() == 0:
			// Whoever asked for these copies, nothing is left to be copied.
			effect = maybe
		case l.newSince(maybe, covered):
			why = fmt.Sprintf("replication record %s may be older than the request by CBR's clocks or not, and a new backup would be copied", maybe[0].id)
		}
	}
	switch {
	case why != "":
		f.Verdict, f.Why = Undecided, why
	case len(effect) > 0:
		f.Verdict, f.Replication = Found, l.replication(src, r, there, effect)
	}
	return f
}

// copiesBy returns the copies to a destination, those that may be, since they do
// not name the vault, and all others of its region.
func (l *lookup) copiesBy(to destination) (there, unnamed *copies, elsewhere map[destination]*copies) {
	there, unnamed, elsewhere = &copies{}, &copies{}, map[destination]*copies{}
	for d, c := range l.to {
		switch {
		case d.is(to):
			there.join(c)
			continue
		case d.mayBe(to):
			unnamed.join(c)
		}
		if d.region == to.region {
			elsewhere[d] = c
		}
	}
	return there, unnamed, elsewhere
}

// join adds other's records, in the order of the list.
func (c *copies) join(other *copies) {
	c.project, c.region = cmp.Or(c.project, other.project), cmp.Or(c.region, other.region)
	if len(c.records) == 0 {
		c.records = other.records
		return
	}
	c.records = slices.Concat(c.records, other.records)
	slices.SortStableFunc(c.records, func(a, b record) int { return cmp.Compare(a.backup, b.backup) })
}

// covered tells for each backup whether one of the records is a copy of it that
// waits, runs or has succeeded.
func (l *lookup) covered(records []record) []bool {
	covered := make([]bool, len(l.backups))
	for _, r := range records {
		covered[r.backup] = covered[r.backup] || r.status.Covers()
	}
	return covered
}

func (l *lookup) coverage(covered []bool) (c Coverage) {
	for i, b := range l.backups {
		if !b.available {
			continue
		}
		c.Backups++
		if covered[i] {
			c.Replicated++
		}
	}
	return c
}

// elsewhere returns where backups that are not covered are, most backups first.
func (l *lookup) elsewhere(to destination, covered []bool, other map[destination]*copies) (places []Place) {
	for d, c := range other {
		p := Place{VaultID: d.vault}
		if d.project != to.project {
			p.ProjectID = d.project
		}
		for i, there := range l.covered(c.records) {
			if there && l.backups[i].available && !covered[i] {
				p.Backups++
			}
		}
		if p.Backups > 0 {
			places = append(places, p)
		}
	}
	slices.SortFunc(places, func(a, b Place) int {
		return cmp.Or(cmp.Compare(b.Backups, a.Backups), strings.Compare(a.VaultID, b.VaultID), strings.Compare(a.ProjectID, b.ProjectID))
	})
	return places
}

// newSince reports whether a request that is sent would copy backups that were
// not there when the records were made: then it may be a needless one. Both are
// dated by one clock.
func (l *lookup) newSince(records []record, covered []bool) bool {
	oldest := records[0].created
	for _, r := range records {
		if r.created.Before(oldest) {
			oldest = r.created // zero: nobody knows
		}
	}
	for i, b := range l.backups {
		if b.available && !covered[i] && (oldest.IsZero() || !b.created.IsZero() && !b.created.Before(oldest)) {
			return true
		}
	}
	return false
}

// since returns the records that are the effect of a request that was first
// tried at first, those that may be, or why that cannot be told. Records that
// all failed or were skipped are no effect.
func (c *copies) since(first time.Time, at cbr.Clocks) (effect, maybe []record, why string) {
	var waiting, undated []record
	ended := true
	for _, r := range c.records {
		switch {
		case r.status.Ended() && (r.created.IsZero() || at.Theirs.IsZero()):
		case at.Theirs.IsZero():
			return nil, nil, "CBR's answer has no Date to hold the age of its replication records against"
		case r.created.IsZero() && r.status == cbr.Waiting:
			waiting = append(waiting, r)
		case r.created.IsZero():
			undated = append(undated, r)
		case r.created.Sub(at.Theirs) > maxAhead:
			if !r.status.Ended() {
				undated = append(undated, r)
			}
		case !first.Add(-tolerance).After(ours(r.created, at)):
			effect = append(effect, r)
			ended = ended && r.status.Ended()
		case !r.status.Ended() && mayBeSince(r, first, at):
			maybe = append(maybe, r)
		}
	}
	switch {
	case len(effect) > 0 && !ended:
		// CBR replicates a vault once at a time, so one that waits beside one that
		// is the request's belongs to it.
		effect = append(effect, waiting...)
		slices.SortStableFunc(effect, func(a, b record) int { return cmp.Compare(a.backup, b.backup) })
		return effect, nil, ""
	case len(undated) > 0:
		if r := undated[0]; r.created.IsZero() {
			return nil, nil, fmt.Sprintf("replication record %s does not say when it began, although it does not wait", r.id)
		}
		return nil, nil, fmt.Sprintf("replication record %s began in the future", undated[0].id)
	case len(waiting) > 0:
		return nil, nil, "replication records wait that do not say since when"
	}
	return nil, maybe, ""
}

// ours is a record's time by our clock. The clocks of two clouds need not agree:
// what counts is its age when CBR answered, by the clock of CBR's answers, and
// that of the request, by ours.
func ours(created time.Time, at cbr.Clocks) time.Time {
	return created.Add(at.Ours.Sub(at.Theirs))
}

// mayBeSince reports whether a record that seems older than the first try may be
// its effect all the same: if the clock that dates records is behind that of
// CBR's answers, or if a time without a zone is a local one. How far either can
// be is bounded by the newest time on the list, which is in the past.
func mayBeSince(r record, first time.Time, at cbr.Clocks) bool {
	late := first.Add(-tolerance).Sub(ours(r.created, at))
	if late <= min(maxBehind, at.Theirs.Sub(at.Newest)) {
		return true
	}
	if !r.zoneless {
		return false
	}
	west := min(maxWest, at.Theirs.Sub(at.NewestZoneless)+maxBehind)
	for shift := zoneStep; shift <= west; shift += zoneStep {
		// By that zone it began after the first try, or as little before it, and not
		// after the answer.
		if late <= shift+maxBehind && !r.created.Add(shift).After(at.Theirs.Add(maxBehind)) {
			return true
		}
	}
	return false
}

// replication is the object replication of CopyCheckpoint's answer (CBR API
// reference, CheckpointReplicateRespBody).
func (l *lookup) replication(src huawei.Scope, r cbr.Replicate, c *copies, effect []record) json.RawMessage {
	type copied struct {
		BackupID            string `json:"backup_id"`
		ReplicationRecordID string `json:"replication_record_id"`
	}
	backups := make([]copied, len(effect))
	for i, e := range effect {
		backups[i] = copied{l.backups[e.backup].id, e.id}
	}
	raw, _ := json.Marshal(struct { // strings always marshal
		ProjectID            string   `json:"project_id"`
		ProviderID           string   `json:"provider_id"`
		VaultID              string   `json:"vault_id"`
		SourceRegion         string   `json:"source_region"`
		DestinationRegion    string   `json:"destination_region"`
		DestinationProjectID string   `json:"destination_project_id"`
		DestinationVaultID   string   `json:"destination_vault_id"`
		Backups              []copied `json:"backups"`
	}{
		cmp.Or(c.project, src.ProjectID), l.provider, r.VaultID, cmp.Or(c.region, src.Region),
		r.DestinationRegion, r.DestinationProjectID, r.DestinationVaultID, backups,
	})
	return raw
}
