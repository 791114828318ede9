package reconcile

import (
	"cmp"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"cbr-replicator/internal/cbr"
)

const (
	// tolerance is how much older than the first try an effect may seem: a Date
	// has no fractions of a second, and clocks are read at two ends of a network.
	tolerance = 3 * time.Second
	// maxAhead is how far after the answer's own Date a record may seem to have
	// begun. One clock cannot differ more from itself: such a time has another
	// meaning than ours.
	maxAhead = 2 * time.Minute
)

// Verdict is what a look-up says of a request.
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
	// Why tells a person what cannot be decided; empty unless Undecided.
	Why string
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

	at        cbr.Clocks
	available int
	// provider is that of all backups: a vault holds one type of resource.
	provider string
	to       map[destination]*copies
}

// destination is a replication's. Ids are compared without regard to case.
type destination struct{ region, project, vault string }

func destinationOf(region, project, vault string) destination {
	return destination{strings.ToLower(region), strings.ToLower(project), strings.ToLower(vault)}
}

// copies are the copies to one destination.
type copies struct {
	records []record
	// covered is how many available backups have a copy, last the id of the
	// last of them.
	covered int
	last    string
	// The source as records name it.
	project, region string
}

// record is what is kept of a replication record. A vault may hold 15,000
// backups with several each.
type record struct {
	backup, id string
	created    time.Time
	waiting    bool
}

// add keeps what is needed of a backup.
func (l *lookup) add(b *cbr.Backup) {
	l.provider = cmp.Or(l.provider, b.ProviderID)
	if b.Available {
		l.available++
	}
	for _, r := range b.Records {
		d := destinationOf(r.DestinationRegion, r.DestinationProjectID, r.DestinationVaultID)
		c := l.to[d]
		if c == nil {
			c = &copies{}
			l.to[d] = c
		}
		if !r.CreatedAt.IsZero() || r.Status.Covers() {
			// Else it never began and copied nothing: to send again doubles nothing.
			c.records = append(c.records, record{b.ID, r.ID, r.CreatedAt, r.Status == cbr.Waiting})
		}
		c.project, c.region = cmp.Or(c.project, r.SourceProjectID), cmp.Or(c.region, r.SourceRegion)
		if b.Available && r.Status.Covers() && c.last != b.ID {
			c.covered++
			c.last = b.ID
		}
	}
}

// judge tells what became of r, which was first tried at since.
func (l *lookup) judge(src cbr.Source, r cbr.Replicate, since time.Time) Finding {
	f := Finding{Verdict: NotFound, Coverage: Coverage{Backups: l.available}}
	c := l.to[destinationOf(r.DestinationRegion, r.DestinationProjectID, r.DestinationVaultID)]
	if c == nil {
		c = &copies{}
	}
	f.Coverage.Replicated = c.covered
	effect, why := c.since(since, l.at)
	if anywhere := l.to[destinationOf(r.DestinationRegion, r.DestinationProjectID, "")]; anywhere != nil && why == "" {
		if maybe, unclear := anywhere.since(since, l.at); unclear != "" || len(maybe) > 0 {
			why = "replication records do not say to which vault they go"
		}
	}
	switch {
	case why != "":
		f.Verdict, f.Why = Undecided, why
	case len(effect) > 0:
		f.Verdict, f.Replication = Found, l.replication(src, r, c, effect)
	}
	return f
}

// since returns the records that are the effect of a request that was first
// tried at first, or why that cannot be told.
func (c *copies) since(first time.Time, at cbr.Clocks) (effect []record, why string) {
	if len(c.records) == 0 {
		return nil, ""
	}
	if at.Theirs.IsZero() {
		return nil, "CBR's answer has no Date to hold the age of its replication records against"
	}
	// The clocks of two clouds need not agree: what counts is the age of a
	// record when CBR answered, by CBR's clock, and of the request, by ours.
	apart := at.Ours.Sub(at.Theirs)
	waiting := 0
	for _, r := range c.records {
		switch {
		case r.created.IsZero() && r.waiting:
			waiting++
		case r.created.IsZero():
			return nil, fmt.Sprintf("replication record %s does not say when it began, although it does not wait", r.id)
		case r.created.Sub(at.Theirs) > maxAhead:
			return nil, fmt.Sprintf("replication record %s began in the future", r.id)
		case r.created.Add(apart).Before(first.Add(-tolerance)):
			continue
		}
		effect = append(effect, r)
	}
	// CBR replicates a vault once at a time, so one that waits beside one that
	// is the request's belongs to it. Alone it may be anyone's.
	if waiting > 0 && waiting == len(effect) {
		return nil, "replication records wait that do not say since when"
	}
	return effect, ""
}

// replication is the object replication of CopyCheckpoint's answer (CBR API
// reference, CheckpointReplicateRespBody).
func (l *lookup) replication(src cbr.Source, r cbr.Replicate, c *copies, effect []record) json.RawMessage {
	type backup struct {
		BackupID            string `json:"backup_id"`
		ReplicationRecordID string `json:"replication_record_id"`
	}
	backups := make([]backup, len(effect))
	for i, e := range effect {
		backups[i] = backup{e.backup, e.id}
	}
	raw, _ := json.Marshal(struct { // strings always marshal
		ProjectID            string   `json:"project_id"`
		ProviderID           string   `json:"provider_id"`
		VaultID              string   `json:"vault_id"`
		SourceRegion         string   `json:"source_region"`
		DestinationRegion    string   `json:"destination_region"`
		DestinationProjectID string   `json:"destination_project_id"`
		DestinationVaultID   string   `json:"destination_vault_id"`
		Backups              []backup `json:"backups"`
	}{
		cmp.Or(c.project, src.ProjectID), l.provider, r.VaultID, cmp.Or(c.region, src.Region),
		r.DestinationRegion, r.DestinationProjectID, r.DestinationVaultID, backups,
	})
	return raw
}
