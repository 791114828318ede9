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
	// What the run is for must have happened in it.
	for _, want := range []string{
		"CBR: throttled", "CBR: reset before taken", "CBR: taken, then reset", "CBR: taken, answer too late", "lookup: ", "topic: taken, answer lost",
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

// TestJudge: each fault of a function is seen, and none where there is none.
func TestJudge(t *testing.T) {
	t.Parallel()
	one, both := []string{"b1 r1", "b2 r2"}, []string{"b1 r1", "b2 r2", "b3 r3"}
	accepted := result{eventID: "e", status: "accepted", copies: one}
	other := result{eventID: "e2", status: "accepted", copies: one}
	differs := accepted
	differs.copies = []string{"b1 r1"}
	whole := accepted
	whole.copies = both
	rejected := result{eventID: "e", status: "rejected"}
	for _, tt := range []struct {
		name        string
		fate        fate
		taken       int
		results     []result
		dead, kept  string // body
		interrupted bool
		second      []result // of another message for the vault
		want        []string
	}{
		{name: "accepted", taken: 1, results: []result{accepted}},
		{name: "accepted, told twice", taken: 1, results: []result{accepted, accepted}},
		{name: "given up", dead: "body"},
		{name: "rejected", fate: gone, results: []result{rejected}},
		{name: "rejected and kept", fate: invalid, results: []result{rejected}, kept: "body"},
		{name: "not allowed and kept", fate: forbidden, results: []result{rejected}, kept: "body"},
		{name: "not kept and given up", fate: invalid, dead: "body"},
		{name: "accepted, then killed, then given up", taken: 1, results: []result{accepted}, dead: "body", interrupted: true},
		{name: "two requests", fate: twice, taken: 2, results: []result{accepted, whole}, second: []result{other}},
		{name: "sent again", fate: repeated, taken: 1, results: []result{accepted}, second: []result{other}},

		{name: "no result", taken: 1, want: []string{"lost"}},
		{name: "another body", dead: "?", want: []string{"lost"}},
		{name: "not kept", fate: invalid, results: []result{rejected}, want: []string{"lost"}},
		{name: "not allowed and not kept", fate: forbidden, results: []result{rejected}, want: []string{"lost"}},
		{name: "another body kept", fate: invalid, results: []result{rejected}, kept: "?", want: []string{"lost"}},
		{name: "taken though it is no request", fate: invalid, taken: 1, results: []result{rejected}, kept: "body", want: []string{"duplicated"}},
		{name: "taken twice", taken: 2, results: []result{accepted}, want: []string{"duplicated"}},
		{name: "sent again and taken again", fate: repeated, taken: 2, results: []result{accepted}, second: []result{other}, want: []string{"duplicated"}},
		{name: "published and given up", taken: 1, results: []result{accepted}, dead: "body", want: []string{"wrong"}},
		{name: "another status", taken: 1, results: []result{rejected}, want: []string{"wrong"}},
		{name: "other copies", taken: 1, results: []result{differs}, want: []string{"wrong"}},
		{name: "no copies", taken: 1, results: []result{{eventID: "e", status: "accepted"}}, want: []string{"wrong"}},
		{name: "two contents", taken: 1, results: []result{accepted, whole}, want: []string{"wrong"}},
		{name: "one id for two messages", fate: repeated, taken: 1, results: []result{accepted}, second: []result{accepted}, want: []string{"wrong"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			b := newBook()
			v := &vault{id: "v", fate: tt.fate}
			b.enter(v, "body", false, func() string { return "m1" })
			r := b.requests["m1"]
			r.results, r.interrupted = tt.results, tt.interrupted
			b.taken["v"] = make([]moment, tt.taken)
			if tt.second != nil {
				b.enter(v, "body", true, func() string { return "m2" })
				b.requests["m2"].results = tt.second
			}
			dead := map[string]string{}
			if tt.dead != "" {
				dead["m1"] = tt.dead
			}
			if diff := cmp.Diff(tt.want, classes(b.judge(map[string][][]string{"v": {one, {"b3 r3"}}}, dead, map[string]string{"m1": tt.kept}))); diff != "" {
				t.Errorf("complaints (-want +got):\n%s", diff)
			}
		})
	}
}

// TestJudgeOrder: what is first in a group has its result first. Dead letters
// are out of it.
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
		if diff := cmp.Diff(tt.want, classes(b.judge(nil, dead, nil))); diff != "" {
			t.Errorf("results in the order %v: complaints (-want +got):\n%s", tt.places, diff)
		}
	}
}

func TestUnknownResult(t *testing.T) {
	t.Parallel()
	b := newBook()
	if _, _, err := b.published(`{"id":"e","causationid":"nobody","data":{"status":"accepted"}}`, 1); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"wrong"}, classes(b.judge(nil, nil, nil))); diff != "" {
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

// TestBegin: a message waits for effects that are a minute old, and for all if
// its sender waited for them.
func TestBegin(t *testing.T) {
	t.Parallel()
	now := time.Now()
	for _, tt := range []struct {
		age   time.Duration
		again bool
		waits bool
	}{
		{time.Minute, false, true},
		{59 * time.Second, false, false},
		{59 * time.Second, true, true},
	} {
		b := newBook()
		b.enter(&vault{id: "v"}, "", tt.again, func() string { return "m" })
		b.took("v", moment{real: now, queues: now.Add(-tt.age)})
		messages := []sandbox.Message{{ID: "m"}}
		if waits := b.begin(messages, now, time.Hour).Equal(now.Add(time.Hour)); waits != tt.waits {
			t.Errorf("%+v: waits %v", tt, waits)
		}
		if first := messages[0].FirstReceive; first.Before(now) || first.After(time.Now()) {
			t.Errorf("%+v: first receive at %v, by our clock it is %v", tt, first, now)
		}
	}
}

// TestClock: it is not moved past the visibility of what is in flight, nor at
// all where nothing else is in the queues.
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
