package soak

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"cbr-replicator/internal/cbr/cbrtest"
)

// stageCopy is the stage of a result that tells the end of copies.
const stageCopy = "copy"

// The classes of complaints about the ends of copies.
const (
	noEnd    = "without an end"
	twoEnds  = "with two ends"
	endWrong = "with a wrong end"
)

// copies decides how CBR's copies go on and end. A copy goes on until the vault was
// listed some times, which the queues' clock brings, or for longestCopy of real
// time. It is safe for concurrent use.
type copies struct {
	vaults map[string]*vault

	mu    sync.Mutex
	lists map[string]int // of each vault
	first map[string]int // how many these were when a copy's end was first asked for, by record
}

func newCopies(vaults []*vault) *copies {
	c := &copies{vaults: map[string]*vault{}, lists: map[string]int{}, first: map[string]int{}}
	for _, v := range vaults {
		c.vaults[v.id] = v
	}
	return c
}

// listed notes a ListBackups by its path.
func (c *copies) listed(path string) {
	u, err := url.Parse(path)
	if err != nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.lists[u.Query().Get("vault_id")]++
}

// end says how a copy has ended; "" if it goes on.
func (c *copies) end(of cbrtest.Copy) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	v, lists := c.vaults[of.VaultID], c.lists[of.VaultID]
	first, asked := c.first[of.RecordID]
	if !asked {
		c.first[of.RecordID], first = lists, lists
	}
	switch odd := of.BackupID == v.odd; {
	case v.fate == stalled, lists-first < v.looks && time.Since(of.Began) < longestCopy:
		return ""
	case v.fate == failing, v.fate == orphaned, v.fate == partly && odd:
		return "fail"
	case v.fate == skipping && odd:
		return "skip"
	}
	return "success"
}

// following is what is followed: an accepted event. A request that is delivered
// again may have the same event with other copies.
type following struct{ acceptedID, copies string }

// followed returns what is followed of an accepted result.
func (r result) followed() following {
	if r.total > 0 { // the end's list may be cut elsewhere
		return following{r.eventID, fmt.Sprint("of ", r.total)}
	}
	return following{r.eventID, strings.Join(r.copies, ",")}
}

// end is a result that tells the end of copies.
type end struct {
	eventID, status, kind string
	counts                counts
	each                  []string // "backup record status", sorted; nil of a list that was cut
}

// counts counts copies by how they ended.
type counts struct{ Total, Succeeded, Failed, Skipped, Unknown int }

func (e end) String() string { return fmt.Sprintf("%s %s %+v", e.status, e.kind, e.counts) }

// ended notes an end. The caller holds mu.
func (b *book) ended(e event) {
	d := &e.Data
	f := result{eventID: d.AcceptedID, copies: d.Replication.Backups.ids(), total: d.Replication.Total}.followed()
	told := end{eventID: e.ID, status: d.Status, kind: d.Error.Kind, counts: d.Copies}
	if d.BackupsTotal == 0 {
		for _, c := range d.Backups {
			told.each = append(told.each, c.BackupID+" "+c.RecordID+" "+c.Status)
		}
		slices.Sort(told.each)
	}
	if e.CausationID != d.AcceptedID {
		told.status += " without its cause"
	}
	b.ends[f] = append(b.ends[f], told)
}

// judgeEnds complains about the ends of an accepted result.
func (b *book) judgeEnds(is *facts, r *request, res result, complain func(class string, v *vault, format string, args ...any)) {
	ends := b.ends[res.followed()]
	if len(ends) == 0 && !is.unfollowed[res.eventID] {
		complain(noEnd, r.vault, "message %s was accepted, and %s has no end", r.id, res.eventID)
	}
	want := is.end(r.vault, res)
	for _, e := range ends {
		if e.eventID != ends[0].eventID {
			complain(twoEnds, r.vault, "message %s ended as %v and as %v", r.id, ends[0], e)
		}
		if e.status != want.status || e.kind != want.kind || e.counts != want.counts || e.each != nil && !slices.Equal(e.each, want.each) {
			complain(endWrong, r.vault, "message %s ended as %v %.400v, want %v %.400v", r.id, e, e.each, want, want.each)
		}
	}
}

// end returns how the copies of an accepted result have ended by the facts.
func (is *facts) end(v *vault, res result) (e end) {
	going, n := 0, &e.counts
	listed := res.copies
	if res.total > 0 {
		listed = slices.Concat(is.made[v.id]...)
	}
	for _, c := range listed {
		status := is.status[c]
		switch status {
		case "success":
			n.Succeeded++
		case "fail":
			n.Failed++
		case "skip":
			n.Skipped++
		case "":
			status = "unknown"
			n.Unknown++
		default:
			n.Unknown++
			going++
		}
		n.Total++
		e.each = append(e.each, c+" "+status)
	}
	slices.Sort(e.each)
	switch {
	case n.Succeeded == n.Total:
		e.status = "completed"
	case going == 0 && n.Succeeded > 0:
		e.status, e.kind = "partial", "CopyIncomplete"
	case n.Unknown == 0:
		e.status, e.kind = "failed", "CopyFailed"
	default:
		e.status, e.kind = "failed", "NotFollowed"
	}
	return e
}
