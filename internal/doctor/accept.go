package doctor

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"cbr-replicator/internal/cbr"
	"cbr-replicator/internal/kind"
)

// Accept is make accept. Its error says why it could not begin, or that CBR refused the
// request. Whatever CBR answers otherwise is a result.
func Accept(ctx context.Context, args []string, out io.Writer) error {
	return accept(ctx, args, os.Stdin, out, environment())
}

// trial is a guided acceptance. It asks CBR a few times to replicate a vault.
type trial struct {
	*examination
	in          *bufio.Reader
	wait, every time.Duration
	sent        int // requests
	answers     []answer
	// pending are the backups of the last answer that took a request, until the list
	// shows their copies; asked is when the answer came.
	pending []string
	asked   time.Time
}

// answer is what the trial settles of one open question.
type answer struct{ question, text string }

// The open questions: see docs/guarantees.md, Limits.
const (
	whileRunning = "What does CBR answer while a copy runs?"
	allThere     = "What does CBR answer when every backup has its replica?"
	later        = "Does a later request copy what is new (is \"once\" said of each backup, not of the vault)?"
	shown        = "Do lists show a copy within a minute?"
)

func accept(ctx context.Context, args []string, in io.Reader, out io.Writer, env map[string]string) error {
	flags := flag.NewFlagSet("accept", flag.ExitOnError)
	binary := flags.String("function", "", "the function's binary; it is built if there is none")
	vault := flags.String("vault", "", "the source vault, if not HW_CBR_VAULT_ID")
	yes := flags.Bool("yes", false, "do not ask")
	wait := flags.Duration("wait", time.Hour, "how long to wait for the end of copies, and then for a new backup")
	every := flags.Duration("every", 15*time.Second, "how often to look")
	_ = flags.Parse(args) // it exits
	if *vault != "" {
		env["HW_CBR_VAULT_ID"] = *vault
	}
	t := &trial{examination: newExamination(out), in: bufio.NewReader(in), wait: *wait, every: *every}
	t.examine(ctx, *binary, env)
	if t.settings != nil {
		for _, v := range []struct{ name, value string }{
			{"HW_CBR_VAULT_ID", t.to.VaultID},
			{"HW_CBR_DESTINATION_VAULT_ID", t.to.DestinationVaultID},
			{"HW_CBR_DESTINATION_PROJECT_ID", t.to.DestinationProjectID},
			{"HW_CBR_DESTINATION_REGION", t.to.DestinationRegion},
		} {
			if v.value == "" {
				t.say(problem, "request", "%s says what to replicate, and is not set", v.name)
			}
		}
	}
	if t.problems == 0 && t.available() == 0 {
		t.say(problem, "backups", "without an available backup nothing can be tried: make one first")
	}
	if t.problems > 0 {
		return fmt.Errorf("nothing was sent: %s to be solved first", count(t.problems, "problem"))
	}
	t.explain()
	if !*yes && !t.agreed(ctx) {
		return errors.New("nothing was sent")
	}
	err := t.run(ctx)
	t.summary()
	return err
}

func (t *trial) print(format string, args ...any) {
	for line := range strings.SplitSeq(fmt.Sprintf(format, args...), "\n") {
		fmt.Fprintln(t.out, t.hidden.Text(line))
	}
}

func (t *trial) explain() {
	t.print(`
This is no dry run. It asks CBR, up to five times, to copy backups
  of vault %s in project %s of %s
  to vault %s in project %s of %s.
It waits up to %s for these copies to end, and then as long for a new backup of the vault, which you make.
Huawei bills the traffic and the room of the replicas. No retention rule deletes them: you do, in the destination vault.
To stop it ends the waiting, not the copies.`,
		t.to.VaultID, t.source.ProjectID, t.source.Region, t.to.DestinationVaultID, t.to.DestinationProjectID, t.to.DestinationRegion, t.wait)
}

// agreed asks.
func (t *trial) agreed(ctx context.Context) bool {
	fmt.Fprint(t.out, "\nType yes to begin: ")
	line := make(chan string, 1)
	go func() { // it ends with the input, or with the process
		text, _ := t.in.ReadString('\n') // the end of the input is no yes
		line <- text
	}()
	defer fmt.Fprintln(t.out)
	select {
	case text := <-line:
		return strings.TrimSpace(text) == "yes"
	case <-ctx.Done():
		return false
	}
}

// settle keeps an answer. The first one to a question counts.
func (t *trial) settle(question, format string, args ...any) {
	if !t.settled(question) {
		t.answers = append(t.answers, answer{question, fmt.Sprintf(format, args...)})
	}
}

func (t *trial) settled(question string) bool {
	return slices.ContainsFunc(t.answers, func(a answer) bool { return a.question == question })
}

func (t *trial) summary() {
	t.print("\nWhat this settles:")
	for _, question := range []string{later, whileRunning, allThere, shown} {
		text := "open: it did not come to that"
		for _, a := range t.answers {
			if a.question == question {
				text = a.text
			}
		}
		t.print("- %s\n  %s", question, text)
	}
}

// run makes the requests. An error is a refusal that no later request would change.
func (t *trial) run(ctx context.Context) error {
	before := t.state()
	first, err := t.send(ctx, "The first request")
	switch k := kind.As(err).Of(); {
	case k == kind.None:
		t.copied(before, first)
		t.again(ctx)
	case k == kind.AlreadyReplicated || k == kind.NothingToReplicate:
		t.nothingNew(before, err)
	case k == kind.InProgress:
		t.settle(whileRunning, "%s: handed back, as the function expects. The copy was not asked for here", message(err))
	default:
		return t.refusal(err)
	}
	if !t.shows {
		t.print("   The list shows no replication records, so the end of the copies cannot be seen.")
		return nil
	}
	if !t.until(ctx, "the end of the copies", t.ended) {
		if len(t.pending) > 0 {
			t.settle(shown, "no: the list did not show them within %s. The function waits a minute before it takes a missing copy for none", time.Since(t.asked).Round(time.Second))
		}
		return ctx.Err()
	}
	t.ends(first)
	state := t.state()
	if len(state.covered) > 0 && !t.settled(allThere) {
		t.after(ctx, state)
	}
	if !t.settled(later) {
		t.withNew(ctx, state)
	}
	return ctx.Err()
}

// after asks when the copies have ended.
func (t *trial) after(ctx context.Context, state state) {
	what := "A request after the end, with nothing new"
	if n := state.missing(); n > 0 {
		what = fmt.Sprintf("A request after the end: %s no replica", plural(n, "backup has", "backups have"))
	}
	ids, err := t.send(ctx, what)
	switch {
	case err != nil:
		t.nothingNew(state, err)
		return
	case state.missing() > 0:
		t.copied(state, ids)
	default:
		t.settle(allThere, "it took the request, for %s, of which %d have a replica already", count(len(ids), "backup"), doubles(state, ids))
	}
	t.until(ctx, "the end of the copies", t.ended)
}

// ended reports whether no copy is on its way, also none that does not show yet.
func (t *trial) ended() bool { return len(t.pending) == 0 && t.state().running == 0 }

// doubles is how many of the backups had a copy before.
func doubles(before state, ids []string) (n int) {
	for _, id := range ids {
		if before.covered[id] {
			n++
		}
	}
	return n
}

// copied reads an answer that took a request.
func (t *trial) copied(before state, ids []string) {
	double := doubles(before, ids)
	switch {
	case len(before.covered) == 0:
		t.print("   No backup had a replica there before, so this does not show yet what a later request copies.")
	case double > 0:
		t.settle(later, "yes, but %d of %s had a replica there already: a later request may copy all of them again", double, count(len(ids), "backup"))
	default:
		t.settle(later, "yes: %s had a replica there before, and the request copied the %s that had none. A request each night works", count(len(before.covered), "backup"), count(len(ids), "backup"))
	}
}

// nothingNew reads an answer that does not take a request: mostly that there is nothing
// to copy.
func (t *trial) nothingNew(before state, err error) {
	k, missing := kind.As(err).Of(), before.missing()
	switch {
	case !t.shows:
	case k != kind.AlreadyReplicated && k != kind.NothingToReplicate:
		t.print("   The function takes this as %s. docs/failures.md says what follows.", k)
	case missing > 0:
		t.settle(later, `it seems not: %s, although %s no replica there. Either CBR cannot copy these (no server's, or without its system disk), or it replicates a vault to a region once.
  The function publishes such an answer as NotCovered, with the backups. Ask for these one by one (backup_id)`, message(err), plural(missing, "available backup has", "available backups have"))
	default:
		t.settle(allThere, "%s: the function publishes unchanged, as it should", message(err))
	}
}

func plural(n int, one, more string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, more)
}

// again asks while the copies run.
func (t *trial) again(ctx context.Context) {
	before, pending := t.state(), t.pending
	ids, err := t.send(ctx, "The same request, at once")
	if t.shows && t.look(ctx) && t.ended() {
		t.print("   The copies had ended already, so this does not show what CBR answers while they run.")
		return
	}
	switch k := kind.As(err).Of(); k {
	case kind.None:
		for _, id := range pending {
			before.covered[id] = true
		}
		t.settle(whileRunning, "it took the request again, for %s, of which %d are being copied already", count(len(ids), "backup"), doubles(before, ids))
	case kind.InProgress:
		t.settle(whileRunning, "%s: handed back, as the function expects. In a queue it waits up to 11 hours", message(err))
	case kind.AlreadyReplicated, kind.NothingToReplicate:
		t.settle(whileRunning, "%s: the function publishes unchanged if every backup has a copy", message(err))
	default:
		t.settle(whileRunning, "%s: the function takes it as %s. docs/failures.md says what follows", message(err), k)
	}
}

// withNew waits for a new backup and asks once more. before is when the first copies had
// ended.
func (t *trial) withNew(ctx context.Context, before state) {
	if len(before.covered) == 0 {
		return
	}
	t.print("\nNow make a backup of the vault (console: the vault, Create Backup), so that there is something new.")
	if !t.until(ctx, "a new backup", func() bool { return t.state().missing() > before.missing() }) {
		t.settle(later, "open: no new backup came. Run this again after the vault's next backup")
		return
	}
	before = t.state()
	ids, err := t.send(ctx, "A request with a new backup in the vault")
	if err != nil {
		t.nothingNew(before, err)
		return
	}
	t.copied(before, ids)
	if !t.settled(whileRunning) {
		t.again(ctx)
	}
}

// send asks CBR once. It returns the backups that CBR said it would copy.
func (t *trial) send(ctx context.Context, what string) (ids []string, err error) {
	t.sent++
	t.print("\n%d. %s", t.sent, what)
	began := time.Now()
	answer, err := t.cbr.Replicate(ctx, t.source, t.to)
	took := time.Since(began).Round(10 * time.Millisecond)
	if err != nil {
		e := kind.As(err)
		text := "CBR answered " + message(err)
		if e.HTTPStatus == 0 {
			text = "No answer: " + e.Message
		}
		t.print("   %s (%s, %s)", text, e.Kind, took)
		return nil, err
	}
	var replication struct {
		Backups []struct {
			BackupID string `json:"backup_id"`
		}
	}
	_ = json.Unmarshal(answer.Replication, &replication) // the client has read it
	for _, b := range replication.Backups {
		ids = append(ids, strings.ToLower(b.BackupID))
	}
	t.pending, t.asked = ids, time.Now()
	t.print("   CBR answered %d: accepted, %s to copy (%s)", answer.Status, count(len(ids), "backup"), took)
	return ids, nil
}

// refusal is the error of a first request that no later one would change.
func (t *trial) refusal(err error) error {
	e := kind.As(err)
	switch {
	case e.Kind == kind.Unauthorized && e.HTTPStatus == 403:
		return fmt.Errorf("CBR refused the request (%s): give the user cbr:vaults:replicate in the source project", message(err))
	case e.Kind == kind.Unknown:
		return fmt.Errorf("%s. Look at the vault's backups before you try again: CBR may have taken the request", message(err))
	case e.Kind.Policy().Redeliver:
		return fmt.Errorf("%s: the function would hand this back (%s). Try again later", message(err), e.Kind)
	}
	return fmt.Errorf("%s: the function would publish this as rejected (%s). docs/failures.md says what to do", message(err), e.Kind)
}

// state is how far the copies to the destination are.
type state struct {
	available int             // backups that can be copied
	covered   map[string]bool // of these, those with a copy there, or on its way
	running   int             // copies on their way
}

// missing is how many backups have no copy.
func (s state) missing() int { return s.available - len(s.covered) }

func (t *trial) state() state {
	s := state{covered: map[string]bool{}}
	for i := range t.backups {
		b := &t.backups[i]
		if b.Available {
			s.available++
		}
		for j := range b.Records {
			r := &b.Records[j]
			if !t.there(r) || !r.Status.Covers() {
				continue
			}
			if b.Available {
				s.covered[strings.ToLower(b.ID)] = true
			}
			if r.Status != cbr.Replicated {
				s.running++
			}
		}
	}
	return s
}

// there reports whether a record is of a copy to the destination's region. CBR keeps one
// replica of a backup in a region.
func (t *trial) there(r *cbr.ReplicationRecord) bool {
	return r.DestinationRegion == t.to.DestinationRegion
}

// look reads the list again. A list that cannot be read leaves what was known.
func (t *trial) look(ctx context.Context) bool {
	before, shows := t.backups, t.shows
	if err := t.list(ctx, t.to.VaultID); err != nil {
		t.print("   The list cannot be read: %s", message(err))
		t.backups, t.shows = before, shows && !errors.Is(err, cbr.ErrNoRecords)
		return false
	}
	if len(t.pending) > 0 && t.unseen(t.pending) == 0 {
		t.pending = nil
		after, within := time.Since(t.asked).Round(100*time.Millisecond), "yes"
		if after > time.Minute {
			within = "no"
		}
		t.settle(shown, "%s: the list showed them after at most %s", within, after)
	}
	return true
}

// unseen is how many of the backups have no record there.
func (t *trial) unseen(ids []string) (n int) {
	for _, id := range ids {
		if !slices.ContainsFunc(t.backups, func(b cbr.Backup) bool {
			return strings.EqualFold(b.ID, id) && slices.ContainsFunc(b.Records, func(r cbr.ReplicationRecord) bool { return t.there(&r) })
		}) {
			n++
		}
	}
	return n
}

// until looks until done, or until it has waited long enough.
func (t *trial) until(ctx context.Context, what string, done func() bool) bool {
	began := time.Now()
	ticker := time.NewTicker(t.every)
	defer ticker.Stop()
	for last := ""; ; {
		if t.look(ctx) && done() {
			return true
		}
		s := t.state()
		if now := fmt.Sprintf("%d of %d backups have a copy, %d on their way", len(s.covered), s.available, s.running); now != last {
			last = now
			t.print("   %s: %s", time.Since(began).Round(time.Second), now)
		}
		if time.Since(began) > t.wait {
			t.print("   There was no %s within %s.", strings.TrimPrefix(strings.TrimPrefix(what, "the "), "a "), t.wait)
			return false
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			t.print("   Stopped while waiting for %s. Copies go on.", what)
			return false
		}
	}
}

// ends says how the copies ended.
func (t *trial) ends(ids []string) {
	bad := 0
	for _, b := range t.backups {
		for _, r := range b.Records {
			if t.there(&r) && r.Status.Ended() && slices.Contains(ids, strings.ToLower(b.ID)) {
				bad++
				t.print("   The copy of backup %s ended as %s: %s", b.ID, r.Status, strings.TrimSpace(r.FailCode+" "+r.FailReason))
			}
		}
	}
	if s := t.state(); len(ids) > 0 && bad == 0 {
		t.print("   The copies have ended: %d of %d available backups have a replica.", len(s.covered), s.available)
	}
}
