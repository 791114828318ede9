package reconcile

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"

	"cbr-replicator/internal/cbr"
	"cbr-replicator/internal/huawei"
	"cbr-replicator/internal/kind"
	"cbr-replicator/internal/result"
)

// Replicas is how old the replicas of a vault at a destination are.
type Replicas struct {
	// VaultGone: the vault does not exist, and nothing else is known.
	VaultGone bool
	result.Replica
	// Elsewhere is where else in the region backups have their replicas.
	Elsewhere []Place
}

// Replicas tells how old the replicas of a vault's backups at a destination are. It
// takes the lookup of the vault that another delivery has made, as [Lookups.Find]
// does, and returns the same errors, or an Unavailable if CBR's clock does not tell
// the age of a backup.
//
// The age of a replica is that of the backup that it is of, by CBR's clock: what
// would be lost. It is never less than the truth: a backup without a time never
// makes a replica younger.
func (l *Lookups) Replicas(ctx context.Context, src huawei.Scope, r cbr.Replicate, maxAge time.Duration) (Replicas, error) {
	look, err := l.lookup(ctx, src, &r)
	if err != nil {
		return Replicas{}, failed(err)
	}
	out, err := look.replicas(r, maxAge)
	if err != nil {
		l.forget(vaultOf(src, r.SourceID())) // another answer may have a better clock
	}
	return out, err
}

// resource is what is known of a resource that a vault protects: of its available
// backups, but for last and unsure.
type resource struct {
	id, name string
	newest   int // backups, -1: none has a time
	replica  int
	oldest   time.Time // of those with a time
	undated  bool      // one has no time, and may be of any age
	// last is when the last backup was begun, whatever became of it. unsure: one has
	// no time, and may be newer.
	last   time.Time
	unsure bool
}

// idle reports whether the resource is backed up no more, and its last backup is
// the one that has a replica.
func (r *resource) idle(replicated time.Time) bool {
	return !r.unsure && !r.last.After(replicated)
}

func (l *lookup) replicas(r cbr.Replicate, maxAge time.Duration) (Replicas, error) {
	if l.gone {
		return Replicas{VaultGone: true}, nil
	}
	to := destinationOf(r.DestinationRegion, r.DestinationProjectID, r.DestinationVaultID)
	there := l.recordsTo(func(d destination) bool { return d.is(to) })
	out := Replicas{Replica: result.Replica{MaxAgeS: int64(maxAge.Seconds())}}
	out.Elsewhere = l.elsewhere(to, l.covered(there))

	arrived := l.count(there, &out.Replica)
	resources, err := l.resources(arrived)
	if err != nil {
		return out, err
	}
	n, newest, replica := &out.Resources, -1, -1
	var idle, worst []resource // those that are not idle
	for _, res := range resources {
		newest, replica = l.newer(newest, res.newest), l.newer(replica, res.replica)
		switch {
		case res.replica < 0 && (res.undated || l.age(res.oldest) > maxAge):
			n.Never++
		case res.replica < 0:
			n.Pending++
			continue
		case l.age(l.backups[res.replica].created) <= maxAge:
			n.Current++
		case res.idle(l.backups[res.replica].created):
			n.Idle++
			idle = append(idle, res)
			continue
		default:
			n.Stale++
		}
		worst = append(worst, res)
	}
	n.Total = len(resources)
	if len(idle) == n.Total && n.Total > 0 {
		// Nothing is backed up any more: that is no reason to be content.
		n.Stale, n.Idle, worst = n.Idle, 0, idle
	}
	out.judge(l, worst)
	if replica >= 0 {
		b := &l.backups[replica]
		made := &there[arrived[replica]]
		out.NewestReplicated = &result.ReplicatedBackup{
			BackupID: b.id, CreatedAt: b.created, ReplicationRecordID: made.id, DestinationBackupID: made.copied,
		}
	}
	if newest >= 0 {
		b := &l.backups[newest]
		out.Newest = &result.NewestBackup{BackupID: b.id, CreatedAt: b.created, AgeS: l.ageS(b.created)}
	}
	return out, nil
}

// judge fills in the resource whose replica is worst: one that never had any, else
// the one with the oldest.
func (out *Replicas) judge(l *lookup, worst []resource) {
	if len(worst) == 0 {
		return
	}
	ageOf := func(r resource) time.Duration {
		if r.replica < 0 {
			return 1<<63 - 1
		}
		return l.age(l.backups[r.replica].created)
	}
	w := slices.MaxFunc(worst, func(a, b resource) int { return cmp.Compare(ageOf(a), ageOf(b)) })
	out.Worst = &result.WorstResource{ResourceID: w.id, ResourceName: w.name}
	if w.replica >= 0 {
		out.Worst.AgeS = new(l.ageS(l.backups[w.replica].created))
	}
	for _, r := range worst {
		if r.replica < 0 {
			continue
		}
		if age := l.ageS(l.backups[r.replica].created); out.AgeS == nil || age > *out.AgeS {
			out.AgeS = new(age)
		}
	}
}

// count counts available backups by what became of their copies. It returns which
// of the records that go there is of each backup's replica.
func (l *lookup) count(there []record, r *result.Replica) (arrived map[int]int) {
	arrived = map[int]int{}
	copying, failed := map[int]bool{}, map[int]bool{}
	for i, rec := range there {
		switch {
		case rec.status == cbr.Replicated:
			arrived[rec.backup] = i
		case rec.status.Covers():
			copying[rec.backup] = true
		case rec.status.Ended():
			failed[rec.backup] = true
		}
	}
	for i, b := range l.backups {
		_, done := arrived[i]
		switch {
		case !b.available:
			continue
		case done:
			r.Replicated++
		case copying[i]:
			r.Copying++
		case failed[i]:
			r.Failed++
		}
		r.Backups++
	}
	return arrived
}

// resources returns the resources of all available backups.
func (l *lookup) resources(arrived map[int]int) ([]resource, error) {
	all := []resource{}
	index := map[string]int{}
	for i, b := range l.backups {
		if err := l.tellsAge(&b); err != nil {
			return nil, err
		}
		if !b.available {
			continue
		}
		id := strings.ToLower(b.resourceID)
		n, ok := index[id]
		if !ok {
			n = len(all)
			index[id] = n
			all = append(all, resource{id: b.resourceID, newest: -1, replica: -1})
		}
		r := &all[n]
		r.name = cmp.Or(r.name, b.resourceName)
		if b.created.IsZero() {
			r.undated = true
			continue
		}
		if r.oldest.IsZero() || b.created.Before(r.oldest) {
			r.oldest = b.created
		}
		r.newest = l.newer(r.newest, i)
		if _, ok := arrived[i]; ok {
			r.replica = l.newer(r.replica, i)
		}
	}
	for _, b := range l.backups {
		if n, ok := index[strings.ToLower(b.resourceID)]; ok {
			r := &all[n]
			r.unsure = r.unsure || b.created.IsZero()
			if b.created.After(r.last) {
				r.last = b.created
			}
		}
	}
	return all, nil
}

// tellsAge returns an error if the age of a backup cannot be told by CBR's clock.
func (l *lookup) tellsAge(b *backup) error {
	switch {
	case l.at.Theirs.IsZero():
		return &kind.Error{Kind: kind.Unavailable, Message: "CBR's answer has no Date to hold the age of its backups against"}
	case b.created.Sub(l.at.Theirs) > maxAhead:
		return &kind.Error{Kind: kind.Unavailable, Message: "backup " + b.id + " was made in the future by CBR's own clock, so that no age can be told"}
	}
	return nil
}

// newer returns the newer of two backups. -1 is none.
func (l *lookup) newer(a, b int) int {
	if a < 0 || b >= 0 && l.backups[b].created.After(l.backups[a].created) {
		return b
	}
	return a
}

func (l *lookup) age(created time.Time) time.Duration { return l.at.Theirs.Sub(created) }

// ageS is an age in seconds, rounded up. It is zero for what was made just now.
func (l *lookup) ageS(created time.Time) int64 {
	return int64((max(l.age(created), 0) + time.Second - 1) / time.Second)
}
