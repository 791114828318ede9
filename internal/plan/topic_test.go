package plan_test

import (
	"context"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"cbr-replicator/internal/kind"
	"cbr-replicator/internal/plan"
	"cbr-replicator/internal/redact"
	"cbr-replicator/internal/retry"
	"cbr-replicator/internal/smn"
)

// publisher answers by a script.
type publisher struct {
	mu     sync.Mutex
	calls  int
	taken  map[string]int
	answer func(call int, text string) error
}

func (p *publisher) Publish(_ context.Context, topic smn.URN, m smn.Message) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.calls++
	if p.answer != nil {
		if err := p.answer(p.calls, m.Text); err != nil {
			return err
		}
	}
	if p.taken == nil {
		p.taken = map[string]int{}
	}
	p.taken[m.Text]++
	return nil
}

// TestSendToTopic: each request in a call of its own, and what each error means.
func TestSendToTopic(t *testing.T) {
	t.Parallel()
	always := func(k kind.Kind) func(int, string) error {
		return func(int, string) error { return &kind.Error{Kind: k, Message: "because"} }
	}
	once := func(k kind.Kind) func(int, string) error {
		return func(call int, _ string) error {
			if call == 1 {
				return &kind.Error{Kind: k, Message: "because"}
			}
			return nil
		}
	}
	for name, tt := range map[string]struct {
		answer func(int, string) error
		calls  int
		want   kind.Kind
	}{
		"all":              {nil, 50, kind.None},
		"throttled once":   {once(kind.Throttled), 51, kind.None},
		"an answer lost":   {once(kind.Unknown), 51, kind.None},
		"throttled":        {always(kind.Throttled), 200, kind.Throttled},
		"answers lost":     {always(kind.Unknown), 200, kind.Unavailable},
		"no such topic":    {always(kind.Rejected), 50, kind.Misconfigured},
		"a bad credential": {always(kind.Unauthorized), 50, kind.Unauthorized},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				urn, _ := smn.ParseURN("urn:smn:region1:f841e01fd2b14e7fa41b6ae7aa6b0594:requests")
				p := &publisher{answer: tt.answer}
				policy := retry.Policy{Initial: time.Second, Max: time.Second, MaxAttempts: 4, MaxElapsed: time.Minute, Rand: func() float64 { return 0.5 }}
				topic := &plan.Topic{URN: urn, Client: p, Retry: policy.Do, Log: slog.New(slog.DiscardHandler), Redact: &redact.Redactor{}}
				err := kind.As(topic.Send(t.Context(), messages(50)))
				if err.Of() != tt.want || p.calls != tt.calls {
					t.Errorf("%d calls, error %v; want %d, %s", p.calls, err, tt.calls, tt.want)
				}
				if tt.want == kind.None && len(p.taken) != 50 {
					t.Errorf("%d taken", len(p.taken))
				}
				if err != nil && !strings.HasSuffix(err.Message, "(50 of 50 calls failed)") {
					t.Errorf("error %v", err)
				}
			})
		})
	}
	if n := (&plan.Topic{}).Most(); n != 50 {
		t.Errorf("at most %d", n)
	}
}
