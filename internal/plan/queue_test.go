package plan_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"cbr-replicator/internal/awscall"
	"cbr-replicator/internal/kind"
	"cbr-replicator/internal/plan"
	"cbr-replicator/internal/queue"
	"cbr-replicator/internal/redact"
	"cbr-replicator/internal/retry"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// sent is an entry of a call as SQS gets it.
type sent struct {
	ID                     string `json:"Id"`
	MessageBody            string
	DelaySeconds           int
	MessageGroupID         string `json:"MessageGroupId"`
	MessageDeduplicationID string `json:"MessageDeduplicationId"`
}

// fakeSQS answers calls by a script, the last of which repeats.
type fakeSQS struct {
	mu     sync.Mutex
	answer func(call int, entries []sent) (failed map[string]bool, err error)
	calls  int
	taken  []sent
}

func (s *fakeSQS) Call(_ context.Context, operation string, in, out any) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	raw, _ := json.Marshal(in)
	var call struct {
		QueueURL string `json:"QueueUrl"`
		Entries  []sent
	}
	if err := json.Unmarshal(raw, &call); err != nil || operation != "SendMessageBatch" || call.QueueURL == "" {
		return errors.New("no such call")
	}
	s.calls++
	var failed map[string]bool
	var err error
	if s.answer != nil {
		failed, err = s.answer(s.calls, call.Entries)
	}
	if err != nil {
		return err
	}
	type ok struct{ Id string }
	type fault struct {
		Id, Code    string
		SenderFault bool
	}
	var answer struct {
		Successful []ok
		Failed     []fault
	}
	for _, e := range call.Entries {
		if sender, is := failed[e.ID]; is {
			answer.Failed = append(answer.Failed, fault{e.ID, "InternalError", sender})
			continue
		}
		s.taken = append(s.taken, e)
		answer.Successful = append(answer.Successful, ok{e.ID})
	}
	raw, _ = json.Marshal(answer)
	return json.Unmarshal(raw, out)
}

func newQueue(s *fakeSQS, name string) *plan.Queue {
	n, err := queue.Parse("arn:aws:sqs:eu-central-1:123456789012:" + name)
	if err != nil {
		panic(err)
	}
	policy := retry.Policy{Initial: time.Second, Max: time.Second, MaxAttempts: 4, MaxElapsed: time.Minute, Rand: func() float64 { return 0.5 }}
	return &plan.Queue{Name: n, SQS: s, Retry: policy.Do, Log: slog.New(slog.DiscardHandler), Redact: &redact.Redactor{}}
}

func messages(n int) []plan.Message {
	all := make([]plan.Message, n)
	for i := range all {
		all[i] = plan.Message{Group: fmt.Sprint("vault-", i), Body: fmt.Sprint("body-", i)}
	}
	return all
}

// bodies are those that were taken, each once, sorted.
func (s *fakeSQS) bodies() (all []string, twice bool) {
	for _, e := range s.taken {
		all = append(all, e.MessageBody)
	}
	slices.Sort(all)
	return slices.Compact(slices.Clone(all)), len(slices.Compact(slices.Clone(all))) != len(all)
}

// TestSend: all messages are taken, each once, whatever fails for a time; with an
// error the plan goes to its queue again.
func TestSend(t *testing.T) {
	t.Parallel()
	throttled := &awscall.Error{Status: 400, Code: "RequestThrottled"}
	denied := &awscall.Error{Status: 403, Code: "AccessDenied"}
	for name, tt := range map[string]struct {
		n      int
		answer func(call int, entries []sent) (map[string]bool, error)
		calls  int
		taken  int
		want   kind.Kind
	}{
		"one":       {n: 1, calls: 1, taken: 1},
		"ten":       {n: 10, calls: 1, taken: 10},
		"eleven":    {n: 11, calls: 2, taken: 11},
		"thousands": {n: 10_000, calls: 1000, taken: 10_000},
		"throttled once": {n: 5, calls: 2, taken: 5, answer: func(call int, _ []sent) (map[string]bool, error) {
			if call == 1 {
				return nil, throttled
			}
			return nil, nil
		}},
		"some entries fail once": {n: 5, calls: 2, taken: 5, answer: func(call int, _ []sent) (map[string]bool, error) {
			if call == 1 {
				return map[string]bool{"1": false, "3": false}, nil
			}
			return nil, nil
		}},
		"an entry fails for ever": {n: 5, calls: 4, taken: 4, want: kind.Unavailable, answer: func(int, []sent) (map[string]bool, error) {
			return map[string]bool{"1": false}, nil
		}},
		"an entry is refused": {n: 5, calls: 1, taken: 4, want: kind.Misconfigured, answer: func(int, []sent) (map[string]bool, error) {
			return map[string]bool{"1": true}, nil
		}},
		"not allowed":  {n: 5, calls: 1, want: kind.Misconfigured, answer: func(int, []sent) (map[string]bool, error) { return nil, denied }},
		"out of reach": {n: 5, calls: 4, want: kind.Unavailable, answer: func(int, []sent) (map[string]bool, error) { return nil, errors.New("no route") }},
		"one of twenty": {n: 200, calls: 23, taken: 190, want: kind.Unavailable, answer: func(_ int, entries []sent) (map[string]bool, error) {
			if entries[0].MessageBody == "body-100" {
				return nil, throttled
			}
			return nil, nil
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := &fakeSQS{answer: tt.answer}
				err := kind.As(newQueue(s, "requests").Send(t.Context(), messages(tt.n)))
				if err.Of() != tt.want {
					t.Errorf("error %v, want %s", err, tt.want)
				}
				if got, twice := s.bodies(); len(got) != tt.taken || twice || s.calls != tt.calls {
					t.Errorf("%d taken in %d calls, one twice %t; want %d in %d", len(got), s.calls, twice, tt.taken, tt.calls)
				}
			})
		})
	}
}

// TestSendAttributes: groups, deduplication and delays.
func TestSendAttributes(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"requests", "requests.fifo"} {
		s := &fakeSQS{}
		q := newQueue(s, name)
		q.Spread = 10 * time.Minute
		for range 2 {
			if err := q.Send(t.Context(), messages(20)); err != nil {
				t.Fatal(err)
			}
		}
		ids, last := map[string]bool{}, 0
		for _, e := range s.taken {
			if e.MessageGroupID != "vault-"+e.MessageBody[len("body-"):] {
				t.Errorf("%s has the group %s", e.MessageBody, e.MessageGroupID)
			}
			ids[e.MessageDeduplicationID] = true
			last = max(last, e.DelaySeconds)
		}
		wantIDs, wantLast := 1, 570
		if q.Name.FIFO() {
			wantIDs, wantLast = 20, 0
		}
		if len(ids) != wantIDs || last != wantLast {
			t.Errorf("%s: %d ids, %d s; want %d, %d s", name, len(ids), last, wantIDs, wantLast)
		}
	}
}
