package demo

import (
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"time"

	"cbr-replicator/internal/cbr/cbrtest"
	"cbr-replicator/internal/report"
	"cbr-replicator/internal/sandbox"
	"cbr-replicator/internal/sandbox/account"
)

// step is one payload that is sent to the function of an account with an estate of tagged vaults.
type step struct {
	title  string
	sample string // of account.Estate
	// queued: it comes from the queue, not by a direct call.
	queued bool
	// later is by how much the clock is put forward before it.
	later time.Duration
	// want is how many results of each status and kind there are in the end, those about copies included.
	want map[string]int
}

func estateSteps() []step {
	return []step{
		{title: "A plan by tags, a dry run by a direct call", sample: "plan-dry-run", want: map[string]int{"planned": 1}},
		{title: "The plan, from the queue", sample: "plan", queued: true, want: map[string]int{"planned": 1, "accepted": 22, "completed": 22}},
		{title: "One backup", sample: "backup", want: map[string]int{"accepted": 1, "completed": 1}},
		{title: "How old are the replicas? A check by tags", sample: "plan-check", queued: true, want: map[string]int{"planned": 1, "current": 22, "stale NeverReplicated": 1}},
		{
			title: "Twelve hours later, without a new backup", sample: "plan-check", queued: true, later: 12 * time.Hour,
			want: map[string]int{"planned": 1, "current": 11, "stale Stale": 11, "stale NeverReplicated": 1},
		},
	}
}

// estate plays the steps, one after the other with one account and one process, as scenes after so many. It returns how many requests were delivered, of
// how many the copies were followed, and what did not end as it should.
func (s *show) estate(ctx context.Context, scenes int) (deliveries, copied int, wrong []error, err error) {
	service := account.New(cbrtest.WithCopyTime(copyTime), cbrtest.WithClock(s.clock.now))
	service.AddEstate(cbrtest.SourceProject, s.clock.now())
	s.onRetry = func() {}
	if err := s.address.open(service.CBR); err != nil {
		return 0, 0, nil, err
	}
	function := s.function()
	defer function.Close()
	for n, step := range estateSteps() {
		s.heading(fmt.Sprintf("%d. 36 tagged vaults. %s", scenes+n+1, step.title))
		before := len(s.stack.Topic.Messages())
		if err := s.step(ctx, step, function); err != nil {
			return deliveries, copied, wrong, fmt.Errorf("%s: %w", step.title, err)
		}
		results := s.stack.Topic.Messages()[before:]
		got := map[string]int{}
		for _, m := range results {
			got[strings.TrimSpace(m.Attributes["status"]+" "+m.Attributes["kind"])]++
		}
		if !maps.Equal(got, step.want) {
			wrong = append(wrong, fmt.Errorf("%s: %v on the topic, expected %v", step.title, got, step.want))
		}
		if left := len(s.stack.Requests.Messages()) + len(s.stack.Requests.DeadLetters().Messages()); left > 0 {
			wrong = append(wrong, fmt.Errorf("%s: %d requests were given up", step.title, left))
		}
		if err := s.plan(results, n == 0); err != nil {
			return deliveries, copied, wrong, err
		}
		deliveries += len(results) - got["completed"]
		copied += got["completed"]
	}
	return deliveries, copied, wrong, nil
}

// step sends one payload, delivers the requests that a plan sends to the queue, and follows the copies.
func (s *show) step(ctx context.Context, step step, function *sandbox.Function) error {
	payload, err := fs.ReadFile(account.Estate(), step.sample+".json")
	if err != nil {
		return fmt.Errorf("reading the sample: %w", err)
	}
	s.clock.forward(step.later)
	invoke := func(ctx context.Context, payload []byte) (sandbox.Response, error) {
		return s.invoke(ctx, function, payload)
	}
	s.hush(step.sample != "backup")
	defer s.hush(false)
	if step.queued {
		s.stack.Requests.Send(string(payload), nil, "")
	} else if _, err := invoke(ctx, payload); err != nil {
		return err
	}
	mapping := sandbox.Mapping{Queue: s.stack.Requests, Invoke: invoke}
	if err := mapping.Drain(ctx); err != nil {
		return err
	}
	return s.follow(ctx, invoke)
}

// plan shows what a plan's results say: what it has selected, what was skipped and with reasons also why, how its requests have ended, and of
// checks one replica of each state.
func (s *show) plan(results []sandbox.Published, reasons bool) error {
	ends := map[string]int{}
	var checks report.Report
	for _, m := range results {
		status := m.Attributes["status"]
		if status != "planned" {
			ends[status]++
			if err := checks.Read(strings.NewReader(m.Message)); err != nil {
				return err
			}
			continue
		}
		var e struct {
			Data struct {
				Plan struct {
					Seen, Selected, Requests int
					Skipped                  []struct{ Name, Reason string }
				}
			}
		}
		if err := json.Unmarshal([]byte(m.Message), &e); err != nil {
			return err
		}
		p := e.Data.Plan
		s.line(fmt.Sprintf("  => planned  %d vaults seen, %d selected: %d requests, %d skipped", p.Seen, p.Selected, p.Requests, len(p.Skipped)))
		for _, skipped := range p.Skipped {
			if !reasons {
				break
			}
			s.line(fmt.Sprintf("     skipped  %s: %s", skipped.Name, skipped.Reason))
		}
	}
	if len(ends) == 0 || ends["accepted"] == 1 {
		return nil // a dry run, or a request that has rows of its own
	}
	var counts []string
	for _, status := range slices.Sorted(maps.Keys(ends)) {
		counts = append(counts, fmt.Sprintf("%d %s", ends[status], status))
	}
	s.line("  => " + strings.Join(counts, ", "))
	shown := map[string]bool{}
	for _, v := range checks.Vaults() {
		state := string(v.Status)
		if v.Kind != "" {
			state += " " + string(v.Kind)
		}
		if shown[state] {
			continue
		}
		shown[state] = true
		age := "no replica"
		if v.Replica != nil && v.Replica.AgeS != nil {
			age = fmt.Sprintf("replica of %.1f h ago", float64(*v.Replica.AgeS)/3600)
		}
		s.row(v.VaultID, "such as", state+", "+age, "")
	}
	return nil
}
