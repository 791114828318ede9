package reconcile

import (
	"cmp"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"time"

	"cbr-replicator/internal/cbr"
	"cbr-replicator/internal/huawei"
)

const (
	// tolerance is how much older than the first try an effect may seem. A Date has
	// no fractions of a second, and the two clocks are read on two machines.
	tolerance = 3 * time.Second
	// maxAhead is how far after the answer's own Date a record may seem to have
	// begun. Both times are CBR's, so a larger difference means that the time is not
	// what we think.
	maxAhead = 2 * time.Minute
	// maxBehind is how far the clock that dates records may be behind the clock that
	// dates answers.
	maxBehind = time.Minute
	// maxWest is how far behind UTC a local time may be, in steps of zoneStep.
	maxWest  = 12 * time.Hour
	zoneStep = 30 * time.Minute
)

// Decision is whether a lookup shows the effect of a request.
type Decision int

// The decisions. The zero Decision is Undecided.
const (
	// Undecided: there are records that may be the request's effect or not. The
	// request must not be sent.
	Undecided Decision = iota
	// NotFound: no effect is visible yet.
	NotFound
	// Found: CBR has accepted the request.
	Found
)

// String returns the decision as the log has it.
func (d Decision) String() string {
	switch d {
	case NotFound:
		return "not found"
	case Found:
		return "found"
	}
	return "undecided"
}

// Finding is what a lookup shows of a request.
type Finding struct {
	Decision Decision
	// Replication is the object that CopyCheckpoint's answer would have had,
	// its backups in the order of the list; nil unless Found.
	Replication json.RawMessage
	Coverage    Coverage
	// Uncovered are available backups without a replica, newest first, the first
	// MaxUncovered of them.
	Uncovered []string
	// Elsewhere has the other places in the destination's region with replicas of
	// available backups that have none at the destination. The first MaxPlaces are
	// those with most backups, in that order. CBR allows a backup one replica in each
	// region (user guide, "Replicating a vault").
	Elsewhere []Place
	// Why tells a person why it is Undecided; otherwise it is empty.
	Why string
}

// MaxUncovered is how many uncovered backups a finding names.
const MaxUncovered = 100

// MaxPlaces is how many places of a finding are sorted: a message names no more.
const MaxPlaces = 3

// Place is another vault of the destination's region.
type Place struct {
	VaultID   string // empty where the records do not say
	ProjectID string // empty if it is the destination's, or where they do not say
	Backups   int    // with a replica there that waits, runs or has succeeded
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
// closed, and read after that.
type lookup struct {
	done chan struct{}
	err  error

	at cbr.Clocks
	// gone: the vault does not exist.
	gone    bool
	backups []backup
	// provider is the same for all backups: a vault holds one type of resource.
	provider string
	records  []record // in the order of the list
	to       []route
	index    map[destination]int // into to

	byID  sync.Once
	known ids
}

// backup is what is kept of a backup.
type backup struct {
	id                       string
	created                  time.Time
	available                bool
	resourceID, resourceName string
}

// record is what is kept of a replication record. A vault may hold 15,000 backups
// with several records each.
type record struct {
	backup, to int // indices
	id         string
	created    time.Time
	zoneless   bool
	status     cbr.RecordStatus
	copied     string // the replica's id
	progress   int
	fault      *fault // nil for most
}

// fault is why a copy failed, in CBR's words.
type fault struct{ code, reason string }

// route is the destination of records, and the source as they name it.
type route struct {
	to                      destination
	fromProject, fromRegion string
}

// destination is where a replication goes. Ids are in lower case, since CBR may
// write either. What a record does not say is empty.
type destination struct{ region, project, vault string }

func destinationOf(region, project, vault string) destination {
	return destination{strings.ToLower(region), strings.ToLower(project), strings.ToLower(vault)}
}

// is reports whether a record's destination is that of a request. A vault's id
// is enough where the record does not say more.
func (d destination) is(to destination) bool { return d.vault == to.vault && d.mayBe(to) }

// mayBe reports whether a record's destination differs from a request's in nothing
// that the record says.
func (d destination) mayBe(to destination) bool {
	return (d.region == "" || d.region == to.region) && (d.project == "" || d.project == to.project) && (d.vault == "" || d.vault == to.vault)
}

// add keeps what is needed of a backup.
func (l *lookup) add(b *cbr.Backup) {
	l.provider = cmp.Or(l.provider, b.ProviderID)
	l.backups = append(l.backups, backup{b.ID, b.CreatedAt, b.Available, b.ResourceID, b.ResourceName})
	for _, r := range b.Records {
		d := destinationOf(r.DestinationRegion, r.DestinationProjectID, r.DestinationVaultID)
		to, ok := l.index[d]
		if !ok {
			to = len(l.to)
			l.index[d] = to
			l.to = append(l.to, route{to: d})
		}
		known := &l.to[to]
		known.fromProject, known.fromRegion = cmp.Or(known.fromProject, r.SourceProjectID), cmp.Or(known.fromRegion, r.SourceRegion)
		var why *fault
		if r.FailCode != "" || r.FailReason != "" {
			why = &fault{r.FailCode, r.FailReason}
		}
		l.records = append(l.records, record{len(l.backups) - 1, to, r.ID, r.CreatedAt, r.Zoneless, r.Status, r.DestinationBackupID, r.Progress, why})
	}
}

// decide tells what became of r, which was first tried at since.
func (l *lookup) decide(src huawei.Scope, r cbr.Replicate, since time.Time) Finding {
	to := destinationOf(r.DestinationRegion, r.DestinationProjectID, r.DestinationVaultID)
	there := l.recordsTo(func(d destination) bool { return d.is(to) })
	unnamed := l.recordsTo(func(d destination) bool { return !d.is(to) && d.mayBe(to) })
	covered := l.covered(there)
	f := Finding{Decision: NotFound, Coverage: l.coverage(covered), Uncovered: l.uncovered(covered), Elsewhere: l.elsewhere(to, covered)}

	effect, maybe, why := effectSince(there, since, l.at)
	if why == "" {
		if a, b, unclear := effectSince(unnamed, since, l.at); unclear != "" || len(a) > 0 || len(b) > 0 {
			why = "replication records do not say to which vault they go"
		}
	}
	if why == "" && len(effect) == 0 && len(maybe) > 0 {
		switch {
		case f.Coverage.Backups > 0 && f.Coverage.Missing() == 0:
			// Nothing is left to be copied, whoever asked for these copies.
			effect = maybe
		case l.newSince(maybe, covered):
			why = fmt.Sprintf("replication record %s may be older than the request by CBR's clocks or not, and a new backup would be copied", maybe[0].id)
		}
	}
	switch {
	case why != "":
		f.Decision, f.Why = Undecided, why
	case len(effect) > 0:
		f.Decision, f.Replication = Found, l.replication(src, r, effect)
	}
	return f
}

// recordsTo returns the records whose destination matches.
func (l *lookup) recordsTo(matches func(destination) bool) (records []record) {
	wanted := make([]bool, len(l.to))
	for i, to := range l.to {
		wanted[i] = matches(to.to)
	}
	for _, r := range l.records {
		// A record without a time that covers nothing never began and copied nothing: a
		// new request duplicates nothing.
		if wanted[r.to] && (!r.created.IsZero() || r.status.Covers()) {
			records = append(records, r)
		}
	}
	return records
}

// covered returns for each backup whether one of the records is a copy of it that
// waits, runs or has succeeded.
func (l *lookup) covered(records []record) []bool {
	covered := make([]bool, len(l.backups))
	for _, r := range records {
		covered[r.backup] = covered[r.backup] || r.status.Covers()
	}
	return covered
}

func (l *lookup) uncovered(covered []bool) (ids []string) {
	for i, b := range l.backups {
		if len(ids) == MaxUncovered {
			break
		}
		if b.available && !covered[i] {
			ids = append(ids, b.id)
		}
	}
	return ids
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

// elsewhere returns the other places in the region that have replicas of backups
// that are not covered. The first MaxPlaces are sorted.
func (l *lookup) elsewhere(to destination, covered []bool) (places []Place) {
	counts := make([]int, len(l.to))
	counted := make([]int, len(l.to)) // the index of the last backup that was counted, plus one
	for _, r := range l.records {
		at := l.to[r.to].to
		if covered[r.backup] || !l.backups[r.backup].available || !r.status.Covers() ||
			at.region != to.region || at.is(to) || counted[r.to] == r.backup+1 {
			continue
		}
		counts[r.to]++
		counted[r.to] = r.backup + 1
	}
	for i, n := range counts {
		if n == 0 {
			continue
		}
		p := Place{VaultID: l.to[i].to.vault, Backups: n}
		if project := l.to[i].to.project; project != to.project {
			p.ProjectID = project
		}
		places = append(places, p)
	}
	// Only a few are shown, so only those are sorted.
	for i := range min(MaxPlaces, len(places)) {
		most := i
		for j := i + 1; j < len(places); j++ {
			if places[j].Backups > places[most].Backups {
				most = j
			}
		}
		places[i], places[most] = places[most], places[i]
	}
	return places
}

// newSince reports whether a request that is sent now would copy backups that are
// newer than the records. Then it may be a request that was not needed. Backups and
// records are dated by one clock.
func (l *lookup) newSince(records []record, covered []bool) bool {
	oldest := records[0].created
	for _, r := range records {
		if r.created.Before(oldest) {
			oldest = r.created // zero: not known
		}
	}
	for i, b := range l.backups {
		if b.available && !covered[i] && (oldest.IsZero() || !b.created.IsZero() && !b.created.Before(oldest)) {
			return true
		}
	}
	return false
}

// effectSince returns the effect of a request that was first tried at first: the
// records that are its effect, and those that may be. If neither can be known, it
// returns why. If all of the records failed or were skipped, there is no effect.
func effectSince(records []record, first time.Time, at cbr.Clocks) (effect, maybe []record, why string) {
	var undated *record
	ended, waiting := true, 0
	for i := range records {
		r := &records[i]
		switch {
		case r.status.Ended() && (r.created.IsZero() || at.Theirs.IsZero()):
		case at.Theirs.IsZero():
			return nil, nil, "CBR's answer has no Date to hold the age of its replication records against"
		case r.created.IsZero() && r.status == cbr.Waiting:
			// CBR runs one replication of a vault at a time. So a record that waits beside
			// one of the request's is the request's too.
			effect = append(effect, *r)
			waiting++
		case r.created.IsZero(), r.created.Sub(at.Theirs) > maxAhead && !r.status.Ended():
			if undated == nil {
				undated = r
			}
		case r.created.Sub(at.Theirs) > maxAhead:
		case !first.Add(-tolerance).After(ours(r.created, at)):
			effect = append(effect, *r)
			ended = ended && r.status.Ended()
		case !r.status.Ended() && mayBeSince(*r, first, at):
			maybe = append(maybe, *r)
		}
	}
	switch {
	case !ended:
		return effect, nil, ""
	case undated != nil && undated.created.IsZero():
		return nil, nil, fmt.Sprintf("replication record %s does not say when it began, although it does not wait", undated.id)
	case undated != nil:
		return nil, nil, fmt.Sprintf("replication record %s began in the future", undated.id)
	case waiting > 0:
		return nil, nil, "replication records wait that do not say since when"
	}
	return nil, maybe, ""
}

// ours returns a record's time by our clock. The clocks of two clouds may differ. So
// the record's age is measured by the clock of CBR's answers, at the time of the
// answer, and the request's age by our clock.
func ours(created time.Time, at cbr.Clocks) time.Time {
	return created.Add(at.Ours.Sub(at.Theirs))
}

// mayBeSince reports whether a record that seems older than the first try may still
// be its effect. That is so if the clock that dates records is behind the clock of
// CBR's answers, or if a time without a zone is a local time. The newest time on the
// list is in the past, so it bounds both differences.
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
		// By that zone it began after the first try, or at most maxBehind before it, and
		// not after the answer.
		if late <= shift+maxBehind && !r.created.Add(shift).After(at.Theirs.Add(maxBehind)) {
			return true
		}
	}
	return false
}

// replication returns the object "replication" of CopyCheckpoint's answer, or of
// CopyBackup's (CBR API reference, CheckpointReplicateRespBody and
// BackupReplicateRespBody).
func (l *lookup) replication(src huawei.Scope, r cbr.Replicate, effect []record) json.RawMessage {
	var from route // as the records name it
	backups := make([]acceptedCopy, len(effect))
	for i, e := range effect {
		backups[i] = acceptedCopy{l.backups[e.backup].id, e.id}
		from.fromProject, from.fromRegion = cmp.Or(from.fromProject, l.to[e.to].fromProject), cmp.Or(from.fromRegion, l.to[e.to].fromRegion)
	}
	type object struct {
		ProjectID            string `json:"project_id"`
		ProviderID           string `json:"provider_id"`
		VaultID              string `json:"vault_id,omitempty"`
		SourceRegion         string `json:"source_region"`
		DestinationRegion    string `json:"destination_region"`
		DestinationProjectID string `json:"destination_project_id"`
		DestinationVaultID   string `json:"destination_vault_id"`
	}
	o := object{
		cmp.Or(from.fromProject, src.ProjectID), l.provider, r.VaultID, cmp.Or(from.fromRegion, src.Region),
		r.DestinationRegion, r.DestinationProjectID, r.DestinationVaultID,
	}
	var raw json.RawMessage // strings always marshal
	if r.BackupID != "" {
		raw, _ = json.Marshal(struct {
			object
			acceptedCopy
		}{o, backups[0]})
	} else {
		raw, _ = json.Marshal(struct {
			object
			Backups []acceptedCopy `json:"backups"`
		}{o, backups})
	}
	return raw
}
