package serve

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"cbr-replicator/internal/cbr/cbrtest"
	"cbr-replicator/internal/sandbox/account"
)

const (
	// maxCopied is of how many requests the copies are shown, the latest.
	maxCopied = 30
	// stageCopy is the stage of results about copies.
	stageCopy = "copy"
)

// resultEvent is what the page needs of a result event.
type resultEvent struct {
	ID   string
	Data struct {
		Status      string
		Stage       string
		Replication struct {
			Backups []struct {
				RecordID string `json:"replication_record_id"`
			}
			RecordID string `json:"replication_record_id"` // of a request for one backup
		}
		Copies     counts
		Error      struct{ Kind string }
		AcceptedID string `json:"accepted_id"`
		Deliveries int
	}
}

// counts are those of a result about copies.
type counts struct{ Total, Succeeded, Failed, Skipped, Unknown int }

// String has what is not zero.
func (c counts) String() string {
	text := fmt.Sprintf("%d of %d there", c.Succeeded, c.Total)
	for _, n := range []struct {
		count int
		what  string
	}{{c.Failed, "failed"}, {c.Skipped, "skipped"}, {c.Unknown, "unknown"}} {
		if n.count > 0 {
			text += fmt.Sprintf(", %d %s", n.count, n.what)
		}
	}
	return text
}

// trackers knows which accepted result a copy belongs to, and how it ended. Its zero value is ready. It is safe for concurrent
// use.
type trackers struct {
	mu       sync.Mutex
	accepted map[string]string       // the event's id, by replication record
	ends     map[string]*resultEvent // by the id of the accepted event
}

// see takes a result that was published.
func (t *trackers) see(e *resultEvent) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.accepted == nil {
		t.accepted, t.ends = map[string]string{}, map[string]*resultEvent{}
	}
	switch {
	case e.Data.Stage == stageCopy:
		t.ends[e.Data.AcceptedID] = e
	case e.Data.Status == "accepted":
		for _, b := range e.Data.Replication.Backups {
			t.accepted[b.RecordID] = e.ID
		}
		if id := e.Data.Replication.RecordID; id != "" {
			t.accepted[id] = e.ID
		}
	}
}

// of returns the accepted event that a copy belongs to, empty if none was published, and the end, nil before it.
func (t *trackers) of(recordID string) (accepted string, end *resultEvent) {
	t.mu.Lock()
	defer t.mu.Unlock()
	accepted = t.accepted[recordID]
	return accepted, t.ends[accepted]
}

func (t *trackers) clear() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.accepted, t.ends = nil, nil
}

// copied is the copies of one request, as the page shows them.
type copied struct {
	ID     string       `json:"id"` // that of the first copy's record
	Vault  string       `json:"vault"`
	Region string       `json:"region"` // the destination's
	Status string       `json:"status"` // copying, or that of the result
	Text   string       `json:"text"`
	Copies []copyOfBack `json:"copies"`
}

// copyOfBack is the copy of one backup.
type copyOfBack struct {
	Record   string `json:"record"`
	Backup   string `json:"backup"`
	Progress int    `json:"progress"` // in percent
	Running  bool   `json:"running"`
	Stalled  bool   `json:"stalled"`
	Deleted  bool   `json:"deleted"` // its source backup
	Text     string `json:"text"`
}

// watchCopies shows how far the copies are until the rig ends.
func (r *rig) watchCopies() {
	ticker := time.NewTicker(pollInterval)
	defer ticker.Stop()
	for {
		r.showCopies()
		select {
		case <-ticker.C:
		case <-r.life.Done():
			return
		}
	}
}

// showCopies tells the pages how far the copies are, the latest request's first, and what depends on them.
func (r *rig) showCopies() {
	r.showing.Lock()
	defer r.showing.Unlock()
	looks := map[string]int{}
	for _, m := range r.follow.Messages() {
		var e resultEvent
		_ = json.Unmarshal([]byte(m.Body), &e) // only events are in the queue
		looks[e.ID] = m.ReceiveCount
	}
	shown := []*copied{}
	var last cbrtest.CopyState
	for _, c := range r.account.Load().Copies() {
		if c.VaultID != last.VaultID || c.DestinationVault != last.DestinationVault || !c.Requested.Equal(last.Requested) {
			shown = append(shown, r.copiesOf(c, looks))
		}
		last = c
		group := shown[len(shown)-1]
		group.Copies = append(group.Copies, copyOfBack{
			Record: c.RecordID, Backup: c.BackupID, Progress: c.Progress, Stalled: c.Stalled, Deleted: c.Deleted,
			Running: c.Status == "waiting_replicate" || c.Status == "replicating", Text: stateOf(c),
		})
	}
	slices.Reverse(shown)
	r.journal.show("copies", shown[:min(len(shown), maxCopied)])
	r.showEstate()
}

// copiesOf begins what is shown of a request's copies with the first of them. looks has how often the function has looked, by
// accepted event.
func (r *rig) copiesOf(c cbrtest.CopyState, looks map[string]int) *copied {
	g := &copied{ID: c.RecordID, Vault: c.VaultID, Region: c.Region, Status: "copying"}
	accepted, end := r.trackers.of(c.RecordID)
	switch {
	case end != nil:
		g.Status, g.Text = end.Data.Status, end.Data.Copies.String()
		if kind := end.Data.Error.Kind; kind != "" {
			g.Text = kind + ": " + g.Text
		}
		g.Text += ", " + looked(end.Data.Deliveries)
	case accepted == "":
		g.Text = "no accepted result yet"
	default:
		g.Text = looked(looks[accepted])
	}
	return g
}

// looked says how often the function has looked.
func looked(times int) string {
	switch times {
	case 0:
		return "not looked at yet"
	case 1:
		return "1 look"
	}
	return fmt.Sprintf("%d looks", times)
}

// stateOf says how far a copy is.
func stateOf(c cbrtest.CopyState) string {
	text := fmt.Sprintf("%d %%", c.Progress)
	switch {
	case c.Status == "waiting_replicate":
		text = "waits"
	case c.Status == "success":
		text = "there"
	case c.Status == "fail":
		text = "failed, " + c.FailCode
	}
	if c.Stalled {
		text += ", stalled"
	}
	if c.Deleted {
		text += ", source backup deleted"
	}
	return text
}

// found completes the text of a lookup with what it found, in the vault or of the backup that its path names.
func (r *rig) found(path, text string) (vault, found string) {
	asked, err := url.Parse(path)
	service := r.account.Load()
	if err != nil || service == nil {
		return "", text
	}
	vault = strings.ToLower(asked.Query().Get("vault_id"))
	if !asked.Query().Has("vault_id") {
		_, backup, _ := strings.Cut(asked.Path, "/backups/")
		return "", text + countRecords(service, func(c cbrtest.CopyState) bool { return c.BackupID == backup })
	}
	backups := "1 backup"
	if n := len(service.Backups(vault)); n != 1 {
		backups = fmt.Sprintf("%d backups", n)
	}
	return vault, text + ", " + backups + countRecords(service, func(c cbrtest.CopyState) bool { return c.VaultID == vault })
}

// countRecords counts replication records by status.
func countRecords(service *account.Account, is func(cbrtest.CopyState) bool) string {
	byStatus := map[string]int{}
	for _, c := range service.Copies() {
		if is(c) && !c.Deleted {
			byStatus[c.Status]++
		}
	}
	var parts []string
	for _, status := range []string{"waiting_replicate", "replicating", "success", "fail", "skip"} {
		if n := byStatus[status]; n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, status))
		}
	}
	if len(parts) == 0 {
		return ", no replication records"
	}
	return ", replication records: " + strings.Join(parts, ", ")
}

// serveCopies does something to copies by hand.
func (r *rig) serveCopies(w http.ResponseWriter, req *http.Request) {
	var change struct {
		Do      string   `json:"do"`
		Records []string `json:"records"`
	}
	err := json.NewDecoder(http.MaxBytesReader(w, req.Body, maxDetail)).Decode(&change)
	service := r.account.Load()
	do, ok := map[string]struct {
		to  func(cbrtest.CopyState) bool
		say string
	}{
		"fail":   {func(c cbrtest.CopyState) bool { return service.FailCopy(c.RecordID, "") }, "The copy of backup %s fails"},
		"stall":  {func(c cbrtest.CopyState) bool { return service.StallCopy(c.RecordID) }, "The copy of backup %s stalls"},
		"delete": {func(c cbrtest.CopyState) bool { return service.RemoveBackup(c.BackupID) }, "Backup %s is deleted from the source vault"},
	}[change.Do]
	if err == nil && !ok {
		err = errors.New("do: expected fail, stall or delete")
	}
	if err != nil {
		answer(w, http.StatusBadRequest, apiMessage{err.Error()})
		return
	}
	done := 0
	for _, c := range service.Copies() {
		if slices.Contains(change.Records, c.RecordID) && do.to(c) {
			done++
			r.journal.add(entry{Step: stepSwitch, Vault: c.VaultID, Text: fmt.Sprintf(do.say, short(c.BackupID))})
		}
	}
	if done == 0 {
		answer(w, http.StatusConflict, apiMessage{"there is no such copy, or it has ended"})
		return
	}
	r.showCopies()
	w.WriteHeader(http.StatusNoContent)
}
