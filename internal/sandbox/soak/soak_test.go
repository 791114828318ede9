package soak

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"cbr-replicator/internal/cbr/cbrtest"
	"cbr-replicator/internal/sandbox"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestSoak is a short run of one seed.
func TestSoak(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	if err := run(t.Context(), &out, 5, 1, 150, 0); err != nil {
		t.Errorf("%v\n%s", err, out.String())
	}
	// The faults must have happened.
	for _, want := range []string{
		"CBR: throttled", "CBR: reset before accepted", "CBR: accepted, then reset", "CBR: accepted, answer too late", "lookup: ",
		"topic: published, answer lost",
		"SQS: ", "accepted\n", "accepted, by a lookup", "rejected", "unchanged", "failed", "rejected bodies kept",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in\n%s", want, out.String())
		}
	}
	if strings.Contains(out.String(), " 0 of them killed") {
		t.Error("no process was killed")
	}
}

// message is what becomes of a message.
type message struct {
	results     []result
	dead, kept  string   // the body as a dead letter, as a rejected body
	interrupted bool     // an answer of the function did not arrive
	second      []result // of a second message for the vault
}

func with(results ...result) message { return message{results: results} }

func (m message) andDead(body string) message { m.dead = body; return m }

func (m message) andKept(body string) message { m.kept = body; return m }

func (m message) andInterrupted() message { m.interrupted = true; return m }

func (m message) andSecond(results ...result) message { m.second = results; return m }

// TestJudge: each fault of a function is seen, and none where there is none.
func TestJudge(t *testing.T) {
	t.Parallel()
	one, both := []string{"b1 r1", "b2 r2"}, []string{"b1 r1", "b2 r2", "b3 r3"}
	accepted := result{eventID: "e", status: "accepted", copies: one}
	union := result{eventID: "e", status: "accepted", copies: both}
	partial := result{eventID: "e", status: "accepted", copies: []string{"b1 r1"}}
	none := result{eventID: "e", status: "accepted"}
	rejected := result{eventID: "e", status: "rejected"}
	other := result{eventID: "e2", status: "accepted", copies: one}
	for _, tt := range []struct {
		name     string
		fate     fate
		accepted int // requests, by CBR
		message  message
		want     []string
	}{
		{"accepted", ordinary, 1, with(accepted), nil},
		{"accepted, published twice", ordinary, 1, with(accepted, accepted), nil},
		{"given up", ordinary, 0, with().andDead("body"), nil},
		{"rejected", gone, 0, with(rejected), nil},
		{"rejected and kept", invalid, 0, with(rejected).andKept("body"), nil},
		{"not allowed and kept", forbidden, 0, with(rejected).andKept("body"), nil},
		{"not kept and given up", invalid, 0, with().andDead("body"), nil},
		{"accepted, then killed, then given up", ordinary, 1, with(accepted).andInterrupted().andDead("body"), nil},
		{"two requests", twice, 2, with(accepted, union).andSecond(other), nil},
		{"repeated", repeated, 1, with(accepted).andSecond(other), nil},

		{"no result", ordinary, 1, with(), []string{"lost"}},
		{"another body", ordinary, 0, with().andDead("?"), []string{"lost"}},
		{"not kept", invalid, 0, with(rejected), []string{"lost"}},
		{"not allowed and not kept", forbidden, 0, with(rejected), []string{"lost"}},
		{"another body kept", invalid, 0, with(rejected).andKept("?"), []string{"lost"}},
		{"accepted though it is no request", invalid, 1, with(rejected).andKept("body"), []string{"duplicated"}},
		{"accepted twice", ordinary, 2, with(accepted), []string{"duplicated"}},
		{"repeated and accepted twice", repeated, 2, with(accepted).andSecond(other), []string{"duplicated"}},
		{"published and given up", ordinary, 1, with(accepted).andDead("body"), []string{"wrong"}},
		{"another status", ordinary, 1, with(rejected), []string{"wrong"}},
		{"other copies", ordinary, 1, with(partial), []string{"wrong"}},
		{"no copies", ordinary, 1, with(none), []string{"wrong"}},
		{"two contents", ordinary, 1, with(accepted, union), []string{"wrong"}},
		{"one id for two messages", repeated, 1, with(accepted).andSecond(accepted), []string{"wrong"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			b := newBook()
			v := &vault{id: "v", fate: tt.fate}
			b.enter(v, "body", false, func() string { return "m1" })
			r := b.requests["m1"]
			r.results, r.interrupted = tt.message.results, tt.message.interrupted
			b.accepts["v"] = make([]moment, tt.accepted)
			if tt.message.second != nil {
				b.enter(v, "body", true, func() string { return "m2" })
				b.requests["m2"].results = tt.message.second
			}
			dead := map[string]string{}
			if tt.message.dead != "" {
				dead["m1"] = tt.message.dead
			}
			made := map[string][][]string{"v": {one, {"b3 r3"}}}
			unfollowed := map[string]bool{"e": true, "e2": true} // TestJudgeEnds judges the ends
			if diff := cmp.Diff(tt.want, classes(b.judge(&facts{made: made, dead: dead, kept: map[string]string{"m1": tt.message.kept}, unfollowed: unfollowed}))); diff != "" {
				t.Errorf("complaints (-want +got):\n%s", diff)
			}
		})
	}
}

// TestJudgeOrder: the results of a group are in the order of its messages. Dead
// letters do not count.
func TestJudgeOrder(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		places []int // of the group's results; 0 for a dead letter
		want   []string
	}{
		{[]int{1, 2, 3}, nil},
		{[]int{1, 0, 3}, nil},
		{[]int{2, 1, 3}, []string{"wrong"}},
		{[]int{3, 0, 1}, []string{"wrong"}},
	} {
		b, dead := newBook(), map[string]string{}
		for i, place := range tt.places {
			m := fmt.Sprint("m", i)
			b.enter(&vault{id: m, fate: gone, group: "g"}, "", false, func() string { return m })
			if place == 0 {
				dead[m] = ""
				continue
			}
			b.requests[m].results = []result{{eventID: m, status: "rejected", place: place}}
		}
		if diff := cmp.Diff(tt.want, classes(b.judge(&facts{dead: dead}))); diff != "" {
			t.Errorf("results in the order %v: complaints (-want +got):\n%s", tt.places, diff)
		}
	}
}

// TestJudgeEnds: each fault in what is told of copies is seen.
func TestJudgeEnds(t *testing.T) {
	t.Parallel()
	accept := func(copies ...string) result { return result{eventID: "e", status: "accepted", copies: copies} }
	told := func(status, kind string, n counts, each ...string) end {
		return end{eventID: status + kind, status: status, kind: kind, counts: n, each: each}
	}
	completed := told("completed", "", counts{Total: 2, Succeeded: 2}, "b1 r1 success", "b2 r2 success")
	large := accept("b1 r1")
	large.total = 2
	for _, tt := range []struct {
		name       string
		accepted   result
		status     string // of the second copy in CBR; the first is there
		unfollowed bool
		ends       []end
		want       []string
	}{
		{"there", accept("b1 r1", "b2 r2"), "success", false, []end{completed}, nil},
		{"told twice", accept("b1 r1", "b2 r2"), "success", false, []end{completed, completed}, nil},
		{"some", accept("b1 r1", "b2 r2"), "fail", false, []end{told("partial", "CopyIncomplete", counts{Total: 2, Succeeded: 1, Failed: 1}, "b1 r1 success", "b2 r2 fail")}, nil},
		{"some, and one unknown", accept("b1 r1", "b2 r2"), "", false, []end{told("partial", "CopyIncomplete", counts{Total: 2, Succeeded: 1, Unknown: 1}, "b1 r1 success", "b2 r2 unknown")}, nil},
		{"none", accept("b2 r2"), "skip", false, []end{told("failed", "CopyFailed", counts{Total: 1, Skipped: 1}, "b2 r2 skip")}, nil},
		{"none known", accept("b2 r2"), "", false, []end{told("failed", "NotFollowed", counts{Total: 1, Unknown: 1}, "b2 r2 unknown")}, nil},
		{"goes on for ever", accept("b1 r1", "b2 r2"), "replicating", false, []end{told("failed", "NotFollowed", counts{Total: 2, Succeeded: 1, Unknown: 1}, "b1 r1 success", "b2 r2 replicating")}, nil},
		{"a list that was cut", large, "success", false, []end{{eventID: "end", status: "completed", counts: counts{Total: 2, Succeeded: 2}}}, nil},
		{"a dead letter", accept("b1 r1", "b2 r2"), "success", true, nil, nil},

		{"no end", accept("b1 r1", "b2 r2"), "success", false, nil, []string{noEnd}},
		{"two ids", accept("b1 r1", "b2 r2"), "success", false, []end{completed, {"another", "completed", "", completed.counts, completed.each}}, []string{twoEnds}},
		{"another status", accept("b1 r1", "b2 r2"), "fail", false, []end{completed}, []string{endWrong}},
		{"another kind", accept("b2 r2"), "", false, []end{told("failed", "CopyFailed", counts{Total: 1, Unknown: 1}, "b2 r2 unknown")}, []string{endWrong}},
		{"another count", accept("b1 r1", "b2 r2"), "success", false, []end{told("completed", "", counts{Total: 1, Succeeded: 1}, completed.each...)}, []string{endWrong}},
		{"another copy", accept("b1 r1", "b2 r2"), "success", false, []end{told("completed", "", completed.counts, "b1 r1 success", "b3 r3 success")}, []string{endWrong}},
		{"a cut list miscounted", large, "success", false, []end{{eventID: "end", status: "completed", counts: counts{Total: 1, Succeeded: 1}}}, []string{endWrong}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			b := newBook()
			b.enter(&vault{id: "v"}, "body", false, func() string { return "m1" })
			b.requests["m1"].results = []result{tt.accepted}
			b.accepts["v"] = make([]moment, 1)
			if tt.ends != nil {
				b.ends[tt.accepted.followed()] = tt.ends
			}
			is := &facts{made: map[string][][]string{"v": {tt.accepted.copies}}, status: map[string]string{"b1 r1": "success"}, unfollowed: map[string]bool{"e": tt.unfollowed}}
			if tt.accepted.total > 0 {
				is.made["v"] = [][]string{{"b1 r1", "b2 r2"}}
			}
			if tt.status != "" {
				is.status["b2 r2"] = tt.status
			}
			if diff := cmp.Diff(tt.want, classes(b.judge(is))); diff != "" {
				t.Errorf("complaints (-want +got):\n%s", diff)
			}
		})
	}
}

// TestEndOfNothing: an end of what was never accepted is seen.
func TestEndOfNothing(t *testing.T) {
	t.Parallel()
	b := newBook()
	if _, _, err := b.published(`{"id":"x","causationid":"e","data":{"status":"completed","stage":"copy","accepted_id":"e"}}`, 1); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{endWrong}, classes(b.judge(&facts{}))); diff != "" {
		t.Errorf("complaints (-want +got):\n%s", diff)
	}
}

// TestCopies: a copy ends after some looks at its vault, and stays so.
func TestCopies(t *testing.T) {
	t.Parallel()
	c := newCopies([]*vault{{id: "v", looks: 2, fate: partly, odd: "b2"}, {id: "s", fate: stalled}})
	now := time.Now()
	var got []string
	ask := func() {
		got = append(got, c.end(cbrtest.Copy{VaultID: "v", BackupID: "b1", RecordID: "r1", Began: now})+" "+
			c.end(cbrtest.Copy{VaultID: "v", BackupID: "b2", RecordID: "r2", Began: now})+" "+
			c.end(cbrtest.Copy{VaultID: "s", BackupID: "b3", RecordID: "r3", Began: now.Add(-time.Hour)}))
	}
	ask()
	for range 3 {
		c.listed("/v3/p/backups?vault_id=v")
		c.listed("/v3/p/backups?vault_id=s")
		ask()
	}
	if diff := cmp.Diff([]string{"  ", "  ", "success fail ", "success fail "}, got); diff != "" {
		t.Errorf("ends (-want +got):\n%s", diff)
	}
	if got := c.end(cbrtest.Copy{VaultID: "v", RecordID: "r4", Began: now.Add(-longestCopy)}); got != "success" {
		t.Errorf("after the longest time a copy has %q", got)
	}
}

func TestUnknownResult(t *testing.T) {
	t.Parallel()
	b := newBook()
	if _, _, err := b.published(`{"id":"e","causationid":"nobody","data":{"status":"accepted"}}`, 1); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"wrong"}, classes(b.judge(&facts{}))); diff != "" {
		t.Errorf("complaints (-want +got):\n%s", diff)
	}
}

// classes returns the complaints' classes, each once.
func classes(complaints []complaint) []string {
	var all []string
	for _, c := range complaints {
		all = append(all, c.class)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// TestBegin: a message waits for effects that are a minute old, and for all effects
// if its sender has waited for a result.
func TestBegin(t *testing.T) {
	t.Parallel()
	now := time.Now()
	for _, tt := range []struct {
		age    time.Duration
		repeat bool
		waits  bool
	}{
		{time.Minute, false, true},
		{59 * time.Second, false, false},
		{59 * time.Second, true, true},
	} {
		b := newBook()
		b.enter(&vault{id: "v"}, "", tt.repeat, func() string { return "m" })
		b.accepted("v", moment{real: now, queues: now.Add(-tt.age)})
		messages := []sandbox.Message{{ID: "m"}}
		if waits := b.begin(messages, now, time.Hour).Equal(now.Add(time.Hour)); waits != tt.waits {
			t.Errorf("%+v: waits %v", tt, waits)
		}
		if first := messages[0].FirstReceive; first.Before(now) || first.After(time.Now()) {
			t.Errorf("%+v: first receive at %v, in real time it is %v", tt, first, now)
		}
	}
}

// TestClock: it does not skip past the visibility timeout of a message in flight,
// and does not skip at all if nothing else is in the queues.
func TestClock(t *testing.T) {
	t.Parallel()
	c := clock{began: time.Now()}
	c.fly(1)
	if c.skip(1) {
		t.Error("skipped with nothing to skip to")
	}
	before := c.now()
	for c.skip(2) {
	}
	if skipped := c.now().Sub(before); skipped > visibility-speed*timeout {
		t.Errorf("skipped %v with a message in flight", skipped)
	}
	c.fly(-1)
	before = c.now()
	for range 60 {
		if !c.skip(1) {
			t.Fatal("not skipped with nothing in flight")
		}
	}
	if skipped := c.now().Sub(before); skipped < 11*time.Hour {
		t.Errorf("skipped %v with nothing in flight, want hours", skipped)
	}
}
