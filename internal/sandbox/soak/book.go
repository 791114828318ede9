package soak

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"cbr-replicator/internal/reconcile"
	"cbr-replicator/internal/sandbox"
)

// book keeps what is known of every request, for judge at the end. It is safe for
// concurrent use until then.
type book struct {
	mu       sync.Mutex
	requests map[string]*request // by message id
	sent     []*request          // in that order
	accepts  map[string][]moment // when CBR accepted requests, by vault
	unknown  []string            // causation ids of results without a request
	ends     map[following][]end
}

// moment is a time on both clocks.
type moment struct{ real, queues time.Time }

// request is one message.
type request struct {
	id, body string
	vault    *vault
	repeat   bool // the second one of a repeated request

	first       time.Time // of its first receive, in real time
	ended       time.Time // of the end of its last delivery
	interrupted bool      // an answer of the function did not arrive: a kill, or a lost acknowledgement
	results     []result  // the final ones, in the order of the topic
}

// result is a final result on the topic.
type result struct {
	eventID, status string
	copies          []string // "backup record", sorted; of a list that was cut, the first ones
	total           int      // of a list that was cut
	place           int      // among all results
}

func (r result) String() string { return fmt.Sprintf("%s %v", r.status, r.copies) }

// event is what is read of a result event.
type event struct {
	ID          string `json:"id"`
	CausationID string `json:"causationid"`
	Data        struct {
		Status      string
		Stage       string
		Reconciled  bool
		Error       struct{ Kind string }
		AcceptedID  string `json:"accepted_id"`
		Replication struct {
			Backups copyList
			Total   int `json:"backups_total"`
		}
		Copies       counts
		Backups      copyList
		BackupsTotal int `json:"backups_total"`
	}
}

// copyList is a list of copies in an event.
type copyList []struct {
	BackupID string `json:"backup_id"`
	RecordID string `json:"replication_record_id"`
	Status   string
}

// ids returns "backup record" of each copy, sorted.
func (l copyList) ids() []string {
	var all []string
	for _, c := range l {
		all = append(all, c.BackupID+" "+c.RecordID)
	}
	slices.Sort(all)
	return all
}

func newBook() *book {
	return &book{requests: map[string]*request{}, accepts: map[string][]moment{}, ends: map[following][]end{}}
}

// enter sends a message by send, and notes it.
func (b *book) enter(v *vault, body string, repeat bool, send func() (id string)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	r := &request{vault: v, repeat: repeat, body: body}
	r.id = send()
	b.requests[r.id] = r
	b.sent = append(b.sent, r)
}

// accepted notes that CBR accepted a request for a vault.
func (b *book) accepted(vaultID string, at moment) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.accepts[vaultID] = append(b.accepts[vaultID], at)
}

// begin notes that messages are received, and sets their first receive to the real
// time. It returns the time before which they must not be delivered: the effects
// that are a minute old by the queues' clock must show, which takes late. Before
// the second one of a repeated request, all effects must show: its sender has
// waited for a result.
func (b *book) begin(messages []sandbox.Message, now time.Time, late time.Duration) (notBefore time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for i := range messages {
		r := b.requests[messages[i].ID]
		if r.first.IsZero() {
			r.first = time.Now()
		}
		messages[i].FirstReceive = r.first
		wait := []time.Time{r.ended.Add(onTheWay)}
		for _, at := range b.accepts[r.vault.id] {
			if r.repeat || now.Sub(at.queues) >= reconcile.EffectTime {
				wait = append(wait, at.real.Add(late))
			}
		}
		notBefore = slices.MaxFunc(append(wait, notBefore), time.Time.Compare)
	}
	return notBefore
}

// end notes that the delivery of messages has ended. interrupted is whether the
// queue did not get the function's answer.
func (b *book) end(messages []sandbox.Message, interrupted bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, m := range messages {
		r := b.requests[m.ID]
		r.ended = time.Now()
		r.interrupted = r.interrupted || interrupted
	}
}

// published notes a result. If it is the first final one of a request, first is
// that request.
func (b *book) published(message string, place int) (e event, first *request, err error) {
	if err := json.Unmarshal([]byte(message), &e); err != nil {
		return e, nil, fmt.Errorf("reading a result: %w", err)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if e.Data.Stage == stageCopy {
		b.ended(e)
		return e, nil, nil
	}
	r := b.requests[e.CausationID]
	if r == nil {
		b.unknown = append(b.unknown, e.CausationID)
		return e, nil, nil
	}
	if e.Data.Status == "failed" {
		return e, nil, nil
	}
	res := result{eventID: e.ID, status: e.Data.Status, place: place, copies: e.Data.Replication.Backups.ids(), total: e.Data.Replication.Total}
	r.results = append(r.results, res)
	if len(r.results) == 1 {
		first = r
	}
	return e, first, nil
}

// A complaint is what is wrong with a vault.
type complaint struct {
	class string // lost, duplicated or wrong, or one of copies
	vault string
	text  string
}

// facts are what CBR and the queues have in the end.
type facts struct {
	made       map[string][][]string // the copies of each request that CBR accepted, by vault
	status     map[string]string     // of each copy in CBR
	dead, kept map[string]string     // the bodies of dead letters and of rejected requests, by message id
	unfollowed map[string]bool       // the ids of accepted events that are dead letters
}

// judge compares the results of all requests with the facts.
func (b *book) judge(is *facts) []complaint {
	var all []complaint
	complain := func(class string, v *vault, format string, args ...any) {
		all = append(all, complaint{class, v.id, fmt.Sprintf(format, args...)})
	}
	owners := map[string]*request{} // of event ids
	vaults := map[*vault]bool{}
	latest := map[string]result{} // of the FIFO groups
	for _, r := range b.sent {
		if v := r.vault; !vaults[v] {
			vaults[v] = true
			if n := len(b.accepts[v.id]); n > v.fate.copies() {
				complain("duplicated", v, "CBR accepted %d requests", n)
			}
		}
		body, isDead := is.dead[r.id]
		switch {
		case isDead && body != r.body:
			complain("lost", r.vault, "the dead letter %s has another body", r.id)
		case !isDead && len(r.results) == 0:
			complain("lost", r.vault, "message %s has no result and is no dead letter", r.id)
		case r.vault.fate.kept() && len(r.results) > 0 && is.kept[r.id] != r.body:
			complain("lost", r.vault, "the body of message %s is not kept", r.id)
		case isDead && len(r.results) > 0 && !r.interrupted:
			complain("wrong", r.vault, "message %s is a dead letter although its result was published: %v", r.id, r.results)
		}
		for i, res := range r.results {
			if owner := cmp.Or(owners[res.eventID], r); owner != r {
				complain("wrong", r.vault, "messages %s and %s share the event id %s", owner.id, r.id, res.eventID)
			}
			owners[res.eventID] = r
			if want := r.vault.fate.want(); want != "" && res.status != want {
				complain("wrong", r.vault, "message %s has the result %q, want %q", r.id, res.status, want)
			}
			if first := r.results[0]; i > 0 && (first.status != res.status || !r.vault.fate.varies() && !first.same(res, r.vault)) {
				complain("wrong", r.vault, "message %s has two results: %v and %v", r.id, first, res)
			}
			made := is.made[r.vault.id]
			if res.status != "accepted" {
				continue
			}
			if !res.isOf(r.vault, made) {
				complain("wrong", r.vault, "message %s has %d copies, %.300v, CBR made %.300v", r.id, max(res.total, len(res.copies)), res.copies, made)
			}
			b.judgeEnds(is, r, res, complain)
		}
		if g := r.vault.group; g != "" && len(r.results) > 0 {
			if before := latest[g]; before.place > r.results[0].place {
				complain("wrong", r.vault, "message %s of %s overtook one before it", r.id, g)
			}
			latest[g] = r.results[0]
		}
	}
	for f := range b.ends {
		if r := owners[f.acceptedID]; r == nil || !slices.ContainsFunc(r.results, func(res result) bool { return res.followed() == f }) {
			all = append(all, complaint{endWrong, "", "an end of " + f.acceptedID + " with copies that were never accepted"})
		}
	}
	for _, id := range b.unknown {
		all = append(all, complaint{"wrong", "", "a result of " + id + ", which nobody sent"})
	}
	return all
}

// same reports whether two results of a vault have the same copies. The order of a
// list, and so what is left when it is cut, is CBR's.
func (r result) same(o result, v *vault) bool {
	return r.total == o.total && (r.total > 0 || slices.Equal(v.kept(r.copies), v.kept(o.copies)))
}

// isOf reports whether a result has the copies that CBR made for the vault.
func (r result) isOf(v *vault, made [][]string) bool {
	if r.total == 0 {
		return isUnion(v.kept(r.copies), made)
	}
	all := slices.Concat(made...)
	slices.Sort(all)
	return r.total == len(all) && !slices.ContainsFunc(r.copies, func(c string) bool {
		_, found := slices.BinarySearch(all, c)
		return !found
	})
}

// kept returns the copies without that of a backup that is gone.
func (v *vault) kept(copies []string) []string {
	if !v.fate.expires() {
		return copies
	}
	return slices.DeleteFunc(slices.Clone(copies), func(c string) bool { return strings.HasPrefix(c, v.odd) })
}

// isUnion reports whether copies are all copies of one or several requests.
func isUnion(copies []string, requests [][]string) bool {
	var found []string
	for _, r := range requests {
		if !slices.ContainsFunc(r, func(c string) bool { return !slices.Contains(copies, c) }) {
			found = append(found, r...)
		}
	}
	slices.Sort(found)
	return len(found) > 0 && slices.Equal(found, copies)
}

// log keeps the function's lines about each vault.
type log struct {
	mu    sync.Mutex
	lines map[string][]string
}

// Write takes one line.
func (l *log) Write(line []byte) (int, error) {
	var fields struct {
		VaultID string `json:"vault_id"`
	}
	if json.Unmarshal(line, &fields) == nil && fields.VaultID != "" {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.lines[fields.VaultID] = append(l.lines[fields.VaultID], strings.TrimSpace(string(line)))
	}
	return len(line), nil
}
