package soak

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"cbr-replicator/internal/cbr/cbrtest"
	"cbr-replicator/internal/sandbox"
)

const (
	// maxReceives is the template's.
	maxReceives = 10
	// visibility is longer than every invocation, also by the queues' clock.
	visibility = time.Hour
	// maxLate is how late, in real time, an effect shows. By the queues' clock it
	// is less than the minute within which the function expects an effect.
	maxLate = 400 * time.Millisecond
	// maxCopyTime is how long a copy takes at least. In the first quarter of it the
	// record waits and has no date.
	maxCopyTime = 60 * time.Millisecond
	// longestCopy is how long a copy takes at the most that ends at all. followFor,
	// the function's FOLLOW_FOR, is longer. Both are real time.
	longestCopy, followFor = 3 * time.Second, 4 * time.Second
	// callsPlanned is for how many calls of the topic and calls of SQS for each
	// vault faults are drawn, lookupsPlanned for how many lookups. Later ones meet
	// none.
	callsPlanned, lookupsPlanned = 20, 40
)

// world is the function's surroundings.
type world struct {
	*book
	log       log
	clock     clock
	receiving sync.Mutex // one process at a time
	late      time.Duration
	cbr       *cbrtest.Server
	stack     *sandbox.Stack
	env       map[string]string
	vaults    []*vault
	copies    *copies
	lookups   drawn[cbrtest.Fault]
	topics    drawn[sandbox.TopicFault]
	changes   drawn[sandbox.SQSFault]

	counting sync.Mutex // guards what follows
	tally    *tally
	results  int
	nightly  int // backups added while the run lasts
	err      error
}

// soak runs one seed to its end. Its error says that the run could not be made, or
// that the function failed by itself.
func soak(ctx context.Context, binary string, seed uint64, vaults int) (*tally, error) {
	began := time.Now()
	w, err := newWorld(rand.New(rand.NewPCG(seed, 0)), vaults, began)
	if err != nil {
		return nil, err
	}
	defer w.close()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var all sync.WaitGroup
	for i := range uint64(processes) {
		all.Go(func() {
			p := newProcess(w, binary, rand.New(rand.NewPCG(seed, 1+i)))
			defer p.function.Close()
			if err := p.poll(ctx); err != nil {
				cancel(err)
			}
		})
	}
	all.Wait()
	if err := context.Cause(ctx); err != nil {
		return nil, err
	}
	return w.reckon(ctx, began)
}

func newWorld(rng *rand.Rand, vaults int, began time.Time) (*world, error) {
	late := time.Duration(rng.Int64N(int64(maxLate))) * time.Duration(rng.IntN(3)) / 2
	w := &world{
		book:    newBook(),
		log:     log{lines: map[string][]string{}},
		clock:   clock{began: began},
		late:    late,
		vaults:  plan(rng, vaults, late),
		lookups: draw(rng, lookupChances, lookupsPlanned*vaults),
		topics:  draw(rng, topicChances, callsPlanned*vaults),
		changes: draw(rng, queueChances, callsPlanned*vaults),
		tally:   newTally(),
	}
	w.copies = newCopies(w.vaults)
	var err error
	w.stack, err = sandbox.NewStack(sandbox.StackConfig{
		Observe: w.resultPublished, TopicOptions: []sandbox.TopicOption{sandbox.WithoutMessages()},
		VisibilityTimeout: visibility, MaxReceiveCount: maxReceives, Now: w.clock.now,
	})
	if err != nil {
		return nil, err
	}
	w.stack.Topic.Script(w.topics.faults...)
	w.stack.SQS.Script(w.changes.faults...)

	w.cbr = cbrtest.NewServer(
		cbrtest.WithObserver(w.called),
		cbrtest.WithLateRecords(w.late),
		cbrtest.WithCopyTime(time.Duration(rng.Int64N(int64(maxCopyTime)))),
		cbrtest.WithCopyEnds(w.copies.end),
		cbrtest.WithFormat(cbrtest.Format{
			NoRecords:   []string{"[]", "null"}[rng.IntN(2)],
			OldSpelling: rng.IntN(2) == 0,
			Zone:        []string{"", "Z", "+00:00"}[rng.IntN(3)],
		}),
	)
	furnish(w.cbr.CBR, rng, w.vaults, began)
	w.cbr.Script(cbrtest.Lookups, w.lookups.faults...)
	for _, v := range w.vaults {
		w.cbr.Script(v.id, v.faults.faults...)
		w.send(v, v.body(began), false)
		if v.fate == twice {
			w.send(v, v.body(began), false)
		}
	}
	w.env = w.stack.Env(cbrtest.Env(w.cbr.URL), map[string]string{
		"CBR_TIMEOUT":            cbrTimeout.String(),
		"FOLLOW_FOR":             followFor.String(),
		"RETRY_INITIAL_INTERVAL": "2ms",
		"RETRY_MAX_INTERVAL":     "10ms",
		"RETRY_MAX_ATTEMPTS":     "3",
		"RETRY_MAX_ELAPSED":      "1s",
	})
	return w, nil
}

func (w *world) close() {
	w.cbr.Close()
	w.stack.Close()
}

// send sends a request into its queue.
func (w *world) send(v *vault, body string, repeat bool) {
	w.enter(v, body, repeat, func() string { return w.stack.QueueOf(v.group).Send(body, nil, v.group) })
}

// called gets every call of CBR. If CBR accepts a request, the vault gets a backup
// before the answer is sent, so that another request would be accepted, too. One
// that expires loses a backup.
func (w *world) called(call cbrtest.Call) {
	if call.Operation == cbrtest.ListBackups {
		w.copies.listed(call.Path)
	}
	if !call.Taken {
		return
	}
	if v := w.copies.vaults[call.Vault]; v.fate.expires() {
		w.cbr.RemoveBackup(v.odd)
	}
	w.accepted(call.Vault, moment{time.Now(), w.clock.now()})
	w.counting.Lock()
	w.nightly++
	backup := nth("c", w.nightly)
	w.counting.Unlock()
	w.cbr.AddBackup(cbrtest.Backup{ID: backup, VaultID: call.Vault})
}

// resultPublished gets every result. The sender of a repeated request sends it once
// more as soon as the first has a result.
func (w *world) resultPublished(p sandbox.Published) {
	w.counting.Lock()
	defer w.counting.Unlock()
	w.results++
	e, first, err := w.published(p.Message, w.results)
	if err != nil {
		w.err = err
		return
	}
	name := e.Data.Status
	if e.Data.Stage == stageCopy {
		name = strings.TrimSuffix("copies: "+name+", "+e.Data.Error.Kind, ", ")
	}
	if e.Data.Reconciled {
		name += ", by a lookup"
	}
	w.tally.results[name]++
	if first != nil && first.vault.fate == repeated && !first.repeat {
		w.send(first.vault, first.body, true)
	}
}

// reckon judges and counts, after all deliveries.
func (w *world) reckon(ctx context.Context, began time.Time) (*tally, error) {
	calls, lookups := w.cbr.Calls(), len(w.cbr.LookupCalls())
	is, err := w.copiesMade(ctx, began)
	if err != nil {
		return nil, err
	}
	w.counting.Lock()
	defer w.counting.Unlock()
	if w.err != nil {
		return nil, w.err
	}
	t := w.tally
	t.log = w.log.lines
	t.vaults, t.requests = len(w.vaults), len(w.sent)
	t.calls, t.lookups, t.publishes, t.changes = len(calls), lookups, w.stack.Topic.Calls(), w.stack.SQS.Calls()
	of := map[string]int{}
	for _, c := range calls {
		of[c.Vault]++
		if c.Taken {
			t.accepted++
		}
	}
	for _, v := range w.vaults {
		v.faults.count(t.faults, "CBR", of[v.id])
	}
	w.lookups.count(t.faults, "lookup", t.lookups)
	w.topics.count(t.faults, "topic", t.publishes)
	w.changes.count(t.faults, "SQS", t.changes)
	is.dead, is.kept, is.unfollowed = map[string]string{}, map[string]string{}, map[string]bool{}
	for _, queue := range w.stack.Queues() {
		for _, m := range queue.DeadLetters().Messages() {
			is.dead[m.ID] = m.Body
		}
	}
	for _, m := range w.stack.Rejected.Messages() {
		is.kept[m.Attributes["causation_id"]] = m.Body
	}
	for _, m := range w.stack.Follow.DeadLetters().Messages() {
		var e event
		if err := json.Unmarshal([]byte(m.Body), &e); err != nil {
			return nil, fmt.Errorf("reading a dead letter of the follow queue: %w", err)
		}
		is.unfollowed[e.ID] = true
	}
	t.deadLetters, t.kept, t.unfollowed = len(is.dead), len(is.kept), len(is.unfollowed)
	t.complain(w.judge(is))
	return t, nil
}

// copiesMade asks CBR which copies it made for each request that it accepted, and
// how they ended. The copies of one request began at the same time.
func (w *world) copiesMade(ctx context.Context, began time.Time) (*facts, error) {
	time.Sleep(maxLate + maxCopyTime)                         // until all show and have a date
	since := began.UTC().Format("2006-01-02T15:04:05.000000") // as CBR writes it
	requests := map[string]map[string][]string{}
	is := &facts{made: map[string][][]string{}, status: map[string]string{}}
	for offset := 0; ; {
		backups, err := w.list(ctx, offset)
		if err != nil {
			return nil, fmt.Errorf("asking CBR what it made: %w", err)
		}
		if len(backups) == 0 {
			break
		}
		offset += len(backups)
		for _, b := range backups {
			for _, r := range b.Records {
				if r.Destination != cbrtest.DestinationVault || r.CreatedAt < since {
					continue
				}
				if requests[b.VaultID] == nil {
					requests[b.VaultID] = map[string][]string{}
				}
				requests[b.VaultID][r.CreatedAt] = append(requests[b.VaultID][r.CreatedAt], b.ID+" "+r.ID)
				is.status[b.ID+" "+r.ID] = r.Status
			}
		}
	}
	for vault, byTime := range requests {
		for _, copies := range byTime {
			slices.Sort(copies)
			is.made[vault] = append(is.made[vault], copies)
		}
	}
	return is, nil
}

// listed is what is read of a backup in ListBackups' answer.
type listed struct {
	ID      string `json:"id"`
	VaultID string `json:"vault_id"`
	Records []struct {
		ID          string `json:"id"`
		Status      string `json:"status"`
		CreatedAt   string `json:"created_at"`
		Destination string `json:"destination_vault_id"`
	} `json:"replication_records"`
}

// list asks for a page of all backups, until no fault is left for its call.
func (w *world) list(ctx context.Context, offset int) (page []listed, err error) {
	for range 50 {
		if page, err = w.tryList(ctx, offset); err == nil || ctx.Err() != nil {
			break
		}
	}
	return page, err
}

func (w *world) tryList(ctx context.Context, offset int) ([]listed, error) {
	address := fmt.Sprintf("%s/v3/%s/backups?show_replication=true&offset=%d", w.cbr.URL, cbrtest.SourceProject, offset)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("X-Auth-Token", cbrtest.Token)
	resp, err := w.cbr.Client().Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("CBR answers %s", resp.Status)
	}
	var answer struct{ Backups []listed }
	err = json.NewDecoder(resp.Body).Decode(&answer)
	return answer.Backups, err
}
