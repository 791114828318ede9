package soak

import (
	"fmt"
	"math/rand/v2"
	"time"

	"cbr-replicator/internal/cbr/cbrtest"
)

// fate is how a vault is requested, and what happens to it.
type fate int

const (
	// ordinary: one request, accepted in the end.
	ordinary fate = iota
	// dated: one request, with requested_at.
	dated
	// repeated: as dated, and its sender does not see the result and sends it
	// once more.
	repeated
	// twice: two requests at the same time.
	twice
	// gone: there is no such vault.
	gone
	// full: the destination is full.
	full
	// busy: a copy to another place never ends.
	busy
	// covered: all of its backups have a copy already.
	covered
	// invalid: its request has a field that no request has.
	invalid
	// forbidden: its request asks for a region that is not allowed.
	forbidden
	// uncovered: one of its backups has a copy elsewhere in the destination's
	// region, so that CBR makes none here.
	uncovered
	// partly: one of its copies fails.
	partly
	// skipping: CBR skips one of its copies.
	skipping
	// failing: all of its copies fail. CBR may then be asked again.
	failing
	// stalled: its copies never end.
	stalled
	// expiring: one of its backups is gone as soon as CBR copies it.
	expiring
	// orphaned: as expiring, and all of its copies fail.
	orphaned
	// large: it has so many copies that the list in a result is cut.
	large
)

// want is the final status of a vault's requests; "" if any is right.
func (f fate) want() string {
	switch f {
	case twice:
		return "" // the second may find nothing to do
	case gone, full, uncovered, invalid, forbidden:
		return "rejected"
	case covered:
		return "unchanged"
	}
	return "accepted"
}

// copies is how many requests for the vault CBR may accept.
func (f fate) copies() int {
	switch f {
	case twice:
		return 2
	case failing, orphaned:
		return maxReceives
	case invalid, forbidden:
		return 0
	}
	return 1
}

// varies reports whether a second result of a request may have other copies.
func (f fate) varies() bool { return f == twice || f == failing || f == orphaned }

// expires reports whether one of its backups is gone as soon as CBR copies it.
func (f fate) expires() bool { return f == expiring || f == orphaned }

// kept reports whether the body of the request must be kept.
func (f fate) kept() bool { return f == invalid || f == forbidden }

// vault is a source vault.
type vault struct {
	id     string
	fate   fate
	group  string // in the FIFO queue; "" in the standard queue
	faults drawn[cbrtest.Fault]
	odd    string // the backup that the fate is about, if it is about one
	looks  int    // so many lists of the vault show its copies going on
}

const (
	fullVault  = "0f000000-0000-4000-8000-000000000000" // a destination
	otherVault = "0e000000-0000-4000-8000-000000000000" // in the destination's project
	elsewhere  = "region3"
	// triesPlanned is for how many calls faults are drawn. Later ones meet none.
	triesPlanned = 60
	groupSize    = 4
	// bigVault is how many backups one vault in bigEvery has: more than a page
	// of ListBackups.
	bigVault, bigEvery = 1100, 250
	// largeVault is how many backups to copy the vault in largeEvery has whose
	// results are cut: more than a message has room for.
	largeVault, largeEvery = 3000, 400
	// maxLooks is how many lists of a vault show copies that go on at the most.
	maxLooks = 4
)

// shares are how many of a hundred vaults have a fate; the rest is ordinary.
var shares = []struct {
	fate    fate
	percent int
}{
	{dated, 10},
	{repeated, 10},
	{twice, 8},
	{gone, 2},
	{full, 2},
	{busy, 1},
	{covered, 2},
	{uncovered, 2},
	{invalid, 2},
	{forbidden, 2},
	{partly, 4},
	{skipping, 2},
	{failing, 3},
	{stalled, 2},
	{expiring, 3},
	{orphaned, 2},
}

// plan draws the vaults of a run.
func plan(rng *rand.Rand, n int) []*vault {
	vaults := make([]*vault, n)
	for i := range vaults {
		v := &vault{id: nth("a", i), fate: ordinary, faults: draw(rng, copyChances, triesPlanned), looks: rng.IntN(maxLooks + 1)}
		at := rng.IntN(100)
		for _, s := range shares {
			if at -= s.percent; at < 0 {
				v.fate = s.fate
				break
			}
		}
		if i%largeEvery == largeEvery-1 {
			v.fate = large
		}
		if v.fate.copies() <= 1 && v.fate != repeated && i%3 == 0 {
			v.group = fmt.Sprint("group-", i/(3*groupSize))
		}
		vaults[i] = v
	}
	return vaults
}

// furnish gives CBR the vaults' account. began is the start of the run.
func furnish(c *cbrtest.CBR, rng *rand.Rand, vaults []*vault, began time.Time) {
	c.AddProject(cbrtest.SourceProject, cbrtest.SourceRegion)
	c.AddProject(cbrtest.DestinationProject, cbrtest.DestinationRegion)
	c.AddToken(cbrtest.Token, cbrtest.SourceProject)
	for id, size := range map[string]int{cbrtest.DestinationVault: 1 << 30, otherVault: 1 << 30, fullVault: 1} {
		c.AddVault(cbrtest.Vault{ID: id, ProjectID: cbrtest.DestinationProject, ProtectType: "replication", Size: size})
	}
	backups := 0
	for i, v := range vaults {
		if v.fate == gone {
			continue
		}
		c.AddVault(cbrtest.Vault{ID: v.id, ProjectID: cbrtest.SourceProject})
		backup := func(records ...cbrtest.Record) (id string) {
			b := cbrtest.Backup{ID: nth("b", backups), VaultID: v.id, CreatedAt: began.Add(-time.Hour)}
			backups++
			c.AddBackup(b)
			for _, r := range records {
				c.AddRecord(b.ID, r)
			}
			return b.ID
		}
		before := cbrtest.Record{CreatedAt: began.Add(-10 * time.Minute)}
		failed := cbrtest.Record{CreatedAt: began.Add(-5 * time.Minute), Status: "fail"}
		// While the run lasts, others copy the vault to other places.
		otherRegion := cbrtest.Record{CreatedAt: began.Add(30 * time.Second), DestinationRegion: elsewhere, DestinationVault: otherVault}
		otherPlace := cbrtest.Record{CreatedAt: began.Add(30 * time.Second), DestinationVault: otherVault}
		if v.fate == busy {
			otherRegion.Status = "replicating"
		}
		switch v.fate {
		case covered:
			backup(before)
			continue
		case uncovered:
			backup(before)
			backup(otherPlace)
			continue
		case partly, skipping, expiring, orphaned:
			v.odd = backup()
		case large:
			for range largeVault {
				backup()
			}
		}
		backup(otherRegion)
		if rng.IntN(2) == 0 {
			backup(failed, otherRegion)
		}
		if rng.IntN(2) == 0 {
			backup(before, otherPlace)
		}
		if i%bigEvery == bigEvery-1 {
			for range bigVault {
				backup(before)
			}
		}
	}
}

// body is the request for a vault.
func (v *vault) body(at time.Time) string {
	destination, region, requestedAt := cbrtest.DestinationVault, cbrtest.DestinationRegion, ""
	if v.fate == full {
		destination = fullVault
	}
	if v.fate == dated || v.fate == repeated {
		requestedAt = fmt.Sprintf(`"requested_at":%q,`, at.UTC().Format(time.RFC3339))
	}
	switch v.fate {
	case invalid:
		requestedAt = `"priority":"high",`
	case forbidden:
		region = elsewhere
	}
	return fmt.Sprintf(`{%s"replicate":{"vault_id":%q,"destination_vault_id":%q,"destination_project_id":%q,"destination_region":%q}}`,
		requestedAt, v.id, destination, cbrtest.DestinationProject, region)
}

// nth is the nth UUID of a kind, which is a hex digit.
func nth(kind string, n int) string { return fmt.Sprintf("%s0000000-0000-4000-8000-%012x", kind, n) }
