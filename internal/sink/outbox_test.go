package sink_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"cbr-replicator/internal/kind"
	"cbr-replicator/internal/redact"
	"cbr-replicator/internal/result"
	"cbr-replicator/internal/retry"
	"cbr-replicator/internal/sink"
	"cbr-replicator/internal/sink/sinktest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// route is the one of the example in the CBR API reference.
var route = result.Route{VaultID: "3b5816b5-f29c-4172-9d9a-76c719a659ce", SourceRegion: "region1", DestinationRegion: "region2"}

// newPublisher returns a sink's publisher, with retries.
func newPublisher(s sink.Sink) *sink.Publisher {
	policy := retry.Policy{
		Initial: 100 * time.Millisecond, Max: time.Second, MaxAttempts: 4, MaxElapsed: 10 * time.Second,
		Rand: func() float64 { return 0.5 },
	}
	return sink.NewPublisher(s, policy.Do, slog.New(slog.DiscardHandler), &redact.Redactor{})
}

// event returns an event with an id, and of about size bytes if that is not 0.
func event(id string, size int) *result.Event {
	data := result.Data{Status: kind.Accepted}
	if size > 0 {
		data.Replication = json.RawMessage(`"` + strings.Repeat("x", size) + `"`)
	}
	return result.New(id, "s", "c", "c", time.Now(), route, data)
}

// delivery is a delivery that uses an outbox.
type delivery struct {
	id          string
	began, took time.Duration
	size        int
	silent      bool // it has no result
}

// many returns n deliveries like d, with ids of their own.
func many(n int, d delivery) []delivery {
	all := make([]delivery, n)
	for i := range all {
		all[i] = d
		all[i].id = fmt.Sprintf("%s%d", d.id, i)
	}
	return all
}

// run lets each delivery take its time, closes the outbox, and returns the errors of
// Publish by the deliveries' ids.
func run(ctx context.Context, publisher *sink.Publisher, deliveries ...delivery) map[string]error {
	outbox := publisher.Open(ctx)
	var mu sync.Mutex
	errs := map[string]error{}
	var all sync.WaitGroup
	for _, d := range deliveries {
		all.Go(func() {
			time.Sleep(d.began)
			slot := outbox.Begin()
			defer slot.End()
			time.Sleep(d.took)
			if d.silent {
				return
			}
			err := slot.Publish(event(d.id, d.size), route)
			mu.Lock()
			defer mu.Unlock()
			errs[d.id] = err
		})
	}
	all.Wait()
	outbox.Close()
	return errs
}

// TestDepartures: results that are ready together are in one call, and none waits long
// for another.
func TestDepartures(t *testing.T) {
	t.Parallel()
	const ms = time.Millisecond
	for _, tt := range []struct {
		name       string
		latency    time.Duration
		deliveries []delivery
		want       []string // when a call began, and how many results it had
	}{
		{"one leaves at once", 0, many(1, delivery{took: 300 * ms}), []string{"300ms 1"}},
		{"ten that end together are one call", 0, many(10, delivery{took: 300 * ms}), []string{"300ms 10"}},
		{"more than ten are full calls and the rest", 50 * ms, many(23, delivery{took: 300 * ms}), []string{"300ms 10", "300ms 10", "350ms 3"}},
		{
			"what ends while a call is on its way goes together", 50 * ms,
			slices.Concat(
				many(1, delivery{id: "first", took: 100 * ms}),
				many(1, delivery{id: "a", began: 50 * ms, took: 60 * ms}),
				many(1, delivery{id: "b", began: 50 * ms, took: 70 * ms}),
				many(1, delivery{id: "c", began: 50 * ms, took: 99 * ms})),
			[]string{"100ms 1", "150ms 3"},
		},
		{
			"a full ten does not wait for a call on its way", time.Second,
			slices.Concat(
				many(1, delivery{id: "first", took: 100 * ms}),
				many(10, delivery{id: "ten", began: 50 * ms, took: 150 * ms}),
				many(1, delivery{id: "last", began: 180 * ms, took: 70 * ms})),
			[]string{"100ms 1", "200ms 10", "1.2s 1"},
		},
		{
			"a slow one holds the others back for a twentieth of their time", 0,
			slices.Concat(many(9, delivery{id: "nine", took: 100 * ms}), many(1, delivery{id: "slow", took: 5 * time.Second})),
			[]string{"105ms 9", "5s 1"},
		},
		{
			"and for 3 ms at least", 0,
			slices.Concat(many(1, delivery{id: "fast", took: ms}), many(1, delivery{id: "slow", took: time.Second})),
			[]string{"4ms 1", "1s 1"},
		},
		{
			"one that comes within that time goes along", 0,
			slices.Concat(many(1, delivery{id: "fast", took: 100 * ms}), many(1, delivery{id: "slow", took: 104 * ms})),
			[]string{"104ms 2"},
		},
		{
			"one that began at another time is not waited for", 0,
			slices.Concat(many(1, delivery{id: "first", took: 100 * ms}), many(1, delivery{id: "later", began: 50 * ms, took: 51 * ms})),
			[]string{"100ms 1", "101ms 1"},
		},
		{
			"nor is one that has ended without a result", 0,
			slices.Concat(many(9, delivery{id: "nine", took: 100 * ms}), many(1, delivery{id: "none", took: 102 * ms, silent: true})),
			[]string{"102ms 9"},
		},
		{
			"what one waited for does not shorten another's wait", 0,
			slices.Concat(
				many(1, delivery{id: "a", took: 100 * ms}),
				many(1, delivery{id: "b", took: 101 * ms}),
				many(1, delivery{id: "c", began: 44 * ms, took: 60 * ms}),
				many(1, delivery{id: "slow", began: 44 * ms, took: time.Second})),
			[]string{"101ms 2", "107ms 1", "1.044s 1"},
		},
		{
			"one that began long before is not waited for either", 0,
			slices.Concat(many(1, delivery{id: "slow", took: time.Second}), many(1, delivery{id: "fast", began: 50 * ms, took: 20 * ms})),
			[]string{"70ms 1", "1s 1"},
		},
		{
			"one that began a twentieth later is", 0,
			slices.Concat(many(1, delivery{id: "first", took: 100 * ms}), many(1, delivery{id: "later", began: 5 * ms, took: 98 * ms})),
			[]string{"103ms 2"},
		},
		{
			"those that come while one waits do not make it wait for longer", 0,
			slices.Concat(
				many(1, delivery{id: "a", took: 100 * ms}),
				many(1, delivery{id: "b", took: 104 * ms}),
				many(1, delivery{id: "slow", took: 5 * time.Second})),
			[]string{"105ms 2", "5s 1"},
		},
		{
			"results too big for one call do not wait for the one on its way", 50 * ms,
			slices.Concat(
				many(1, delivery{id: "a", took: 100 * ms}),
				many(1, delivery{id: "b", began: 50 * ms, took: 60 * ms, size: 200 << 10}),
				many(1, delivery{id: "c", began: 50 * ms, took: 70 * ms, size: 100 << 10})),
			[]string{"100ms 1", "120ms 1", "170ms 1"},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				fake := &sinktest.Sink{T: t, Latency: tt.latency}
				start := time.Now()
				for id, err := range run(t.Context(), newPublisher(fake), tt.deliveries...) {
					if err != nil {
						t.Errorf("%s: %v", id, err)
					}
				}
				var got []string
				for _, call := range fake.Calls() {
					got = append(got, fmt.Sprint(call.At.Sub(start), " ", len(call.Messages)))
				}
				if diff := cmp.Diff(tt.want, got); diff != "" {
					t.Errorf("calls (-want +got):\n%s", diff)
				}
			})
		})
	}
}

// TestBigResults: calls keep to the sink's limits, which the fake checks, and all results
// are sent.
func TestBigResults(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		fake := &sinktest.Sink{T: t, Latency: time.Millisecond}
		var deliveries []delivery
		for i := range 60 {
			deliveries = append(deliveries, delivery{id: strconv.Itoa(i), took: time.Second, size: i * i * 70})
		}
		deliveries = append(deliveries, delivery{id: "too big", took: time.Second, size: 300 << 10})
		for id, err := range run(t.Context(), newPublisher(fake), deliveries...) {
			if isTooBig := id == "too big"; isTooBig != (kind.As(err).Of() == kind.PublishFailed) {
				t.Errorf("%s: %v", id, err)
			}
		}
		if n := len(fake.Messages()); n != 60 {
			t.Errorf("%d results at the sink, want 60", n)
		}
	})
}

// TestFewCalls: a thousand results of ten workers, with the usual spread of an
// API's answers, take little more than the hundred calls that are possible.
func TestFewCalls(t *testing.T) {
	t.Parallel()
	for _, spread := range []float64{0, 0.02} {
		synctest.Test(t, func(t *testing.T) {
			fake := &sinktest.Sink{T: t, Latency: 20 * time.Millisecond}
			outbox := newPublisher(fake).Open(t.Context())
			start := time.Now()
			var workers sync.WaitGroup
			for w := range 10 {
				random := rand.New(rand.NewPCG(1, uint64(w)))
				workers.Go(func() {
					for i := range 100 {
						slot := outbox.Begin()
						time.Sleep(time.Duration(float64(300*time.Millisecond) * (1 + spread*(2*random.Float64()-1))))
						if err := slot.Publish(event(fmt.Sprint(w, "-", i), 0), route); err != nil {
							t.Error(err)
						}
					}
				})
			}
			workers.Wait()
			outbox.Close()
			if n := len(fake.Calls()); n > 120 {
				t.Errorf("spread %v: %d calls, the budget is 120", spread, n)
			}
			// 320 ms for each if none waits for another.
			if took := time.Since(start); took > 34*time.Second {
				t.Errorf("spread %v: took %v, want no more than a twentieth over 32s", spread, took)
			}
			if n := len(fake.Messages()); n != 1000 {
				t.Errorf("%d results at the sink", n)
			}
		})
	}
}

// TestRefusedResult: if one result is refused, the others of its call are published.
func TestRefusedResult(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		tries := map[string]int{}
		fake := &sinktest.Sink{T: t, Refuse: func(m sinktest.Message) error {
			tries[m.ID]++
			switch {
			case m.ID == "bad":
				return errors.New("InvalidParameter no such thing")
			case m.ID == "late" && tries[m.ID] < 3, m.ID == "never":
				return sink.MayPass(errors.New("InternalError try again"))
			case m.ID == "other":
				return sink.MayPass(errors.New("Throttled slow down"))
			}
			return nil
		}}
		errs := run(t.Context(), newPublisher(fake), delivery{id: "good"}, delivery{id: "bad"}, delivery{id: "late"}, delivery{id: "never"}, delivery{id: "other"})
		got := map[string]string{}
		for id, err := range errs {
			got[id] = fmt.Sprintf("%d %s", tries[id], kind.As(err).Of())
		}
		want := map[string]string{"good": "1 ", "bad": "1 PublishFailed", "late": "3 ", "never": "4 PublishFailed", "other": "4 PublishFailed"}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("tries and kind (-want +got):\n%s", diff)
		}
		for id, text := range map[string]string{"bad": "InvalidParameter no such thing", "never": "InternalError try again", "other": "Throttled slow down"} {
			if !strings.Contains(errs[id].Error(), text) {
				t.Errorf("%s: %q does not say %q", id, errs[id], text)
			}
		}
	})
}

// TestRefusedCall: errors that may pass are retried, and no others.
func TestRefusedCall(t *testing.T) {
	t.Parallel()
	cause := errors.New("refused")
	for name, tt := range map[string]struct {
		err         error
		calls, took int
	}{
		"may pass":      {sink.MayPass(cause), 3, 3},
		"wrapped":       {fmt.Errorf("the call: %w", sink.MayPass(cause)), 3, 3},
		"refused":       {cause, 1, 0},
		"no time left":  {context.DeadlineExceeded, 1, 0}, // the sink must mark it if it may pass
		"a kind's name": {&kind.Error{Kind: kind.Throttled}, 1, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				fake := &sinktest.Sink{T: t, Fault: func(call int) error {
					if call < 2 {
						return tt.err
					}
					return nil
				}}
				errs := run(t.Context(), newPublisher(fake), many(3, delivery{took: time.Second})...)
				if len(fake.Calls()) != tt.calls || len(fake.Messages()) != tt.took {
					t.Errorf("%d calls, %d results published; want %d, %d", len(fake.Calls()), len(fake.Messages()), tt.calls, tt.took)
				}
				for id, err := range errs {
					if tt.took > 0 != (err == nil) || err != nil && (!errors.Is(err, tt.err) || kind.As(err).Of() != kind.PublishFailed) {
						t.Errorf("%s: %v", id, err)
					}
				}
			})
		})
	}
}

// TestPublishedAtOnce: a result that is published does not wait for another of its call
// that is retried.
func TestPublishedAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		tries := 0
		fake := &sinktest.Sink{T: t, Refuse: func(m sinktest.Message) error {
			if m.ID != "late" {
				return nil
			}
			if tries++; tries < 4 {
				return sink.MayPass(errors.New("slow down"))
			}
			return nil
		}}
		outbox := newPublisher(fake).Open(t.Context())
		began := time.Now()
		late, good := outbox.Begin(), outbox.Begin()
		var published sync.WaitGroup
		published.Go(func() {
			if err := good.Publish(event("good", 0), route); err != nil || time.Since(began) != 0 {
				t.Errorf("good: %v after %v", err, time.Since(began))
			}
		})
		synctest.Wait()
		// The last one makes the call and waits for its end.
		if err := late.Publish(event("late", 0), route); err != nil || time.Since(began) == 0 {
			t.Errorf("late: %v after %v", err, time.Since(began))
		}
		published.Wait()
		outbox.Close()
		if got := len(fake.Calls()); got != 4 {
			t.Errorf("%d calls", got)
		}
	})
}

// TestTooLong: results that are too long for one call are sent in several, in their
// order. A result that is too long by itself is refused for good. The others are
// published.
func TestTooLong(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		most  int
		sizes []int
		calls []int // the results of each
		never []int // that are refused
	}{
		"in halves":                {8 << 10, slices.Repeat([]int{1 << 10}, 10), []int{10, 5, 5}, nil},
		"in halves of halves":      {4 << 10, slices.Repeat([]int{1 << 10}, 10), []int{10, 5, 2, 3, 1, 2, 5, 2, 3, 1, 2}, nil},
		"one by one":               {2 << 10, slices.Repeat([]int{1 << 10}, 3), []int{3, 1, 2, 1, 1}, nil},
		"a single one":             {2 << 10, []int{10 << 10}, []int{1}, []int{0}},
		"one of several":           {4 << 10, []int{1, 1, 10 << 10, 1}, []int{4, 2, 2, 1, 1}, []int{2}},
		"what fits is not divided": {64 << 10, slices.Repeat([]int{1 << 10}, 10), []int{10}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				fake := &sinktest.Sink{T: t, Most: tt.most, Latency: time.Millisecond}
				var deliveries []delivery
				for i, size := range tt.sizes {
					// They end in this order, and are in one call.
					deliveries = append(deliveries, delivery{id: strconv.Itoa(i), took: time.Minute + time.Duration(i)*time.Millisecond, size: size})
				}
				errs := run(t.Context(), newPublisher(fake), deliveries...)
				var calls []int
				for _, call := range fake.Calls() {
					calls = append(calls, len(call.Messages))
				}
				if diff := cmp.Diff(tt.calls, calls); diff != "" {
					t.Errorf("results of calls (-want +got):\n%s", diff)
				}
				var out, want []string
				for _, m := range fake.Messages() {
					out = append(out, m.Event.ID)
				}
				for i := range tt.sizes {
					id := strconv.Itoa(i)
					refused := slices.Contains(tt.never, i)
					if !refused {
						want = append(want, id)
					}
					if err := errs[id]; refused != (err != nil) || refused && kind.As(err).Of() != kind.PublishFailed {
						t.Errorf("%s: %v", id, err)
					}
				}
				if diff := cmp.Diff(want, out); diff != "" {
					t.Errorf("at the sink (-want +got):\n%s", diff)
				}
			})
		})
	}
}

// TestTooLongAndThrottled: each half is retried by itself. A client that panics in between
// fails no result that is published.
func TestTooLongAndThrottled(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		fake := &sinktest.Sink{T: t, Most: 8 << 10, Fault: func(call int) error {
			switch call {
			case 0, 2:
				return sink.MayPass(errors.New("Throttled"))
			case 4:
				panic("the client's fault")
			}
			return nil
		}}
		errs := run(t.Context(), newPublisher(fake), many(10, delivery{took: time.Second, size: 1 << 10})...)
		failed := 0
		for _, err := range errs {
			if err != nil {
				failed++
			}
		}
		// Throttled, too long; the first half throttled, then published; the second panics.
		if len(fake.Calls()) != 5 || len(fake.Messages()) != 5 || failed != 5 {
			t.Errorf("%d calls, %d results out, %d failed", len(fake.Calls()), len(fake.Messages()), failed)
		}
	})
}

// TestPublishDeadline: no call begins after the deadline or continues after it, and every
// Publish has returned by then.
func TestPublishDeadline(t *testing.T) {
	t.Parallel()
	throttled := func(int) error { return sink.MayPass(errors.New("Throttling")) }
	for _, tt := range []struct {
		name    string
		latency time.Duration
		fault   func(int) error
		took    time.Duration
		calls   bool
		ends    time.Duration // at the latest
	}{
		{"the sink hangs", time.Hour, nil, 0, true, 5 * time.Second},
		{"the sink throttles", time.Second, throttled, 0, true, 5 * time.Second},
		{"the result is late", 0, nil, 6 * time.Second, false, 6 * time.Second},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				fake := &sinktest.Sink{T: t, Latency: tt.latency, Fault: tt.fault}
				start := time.Now()
				ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
				defer cancel()
				for id, err := range run(ctx, newPublisher(fake), many(12, delivery{took: tt.took})...) {
					if kind.As(err).Of() != kind.PublishFailed {
						t.Errorf("%s: %v, want PublishFailed", id, err)
					}
				}
				if took := time.Since(start); took > tt.ends {
					t.Errorf("ended after %v, want %v", took, tt.ends)
				}
				if calls := len(fake.Calls()); (calls > 0) != tt.calls {
					t.Errorf("%d calls", calls)
				}
			})
		})
	}
}

// TestClose: Close does not wait for the time in which a result waits for another.
func TestClose(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		fake := &sinktest.Sink{T: t}
		outbox := newPublisher(fake).Open(t.Context())
		slow, fast := outbox.Begin(), outbox.Begin()
		time.Sleep(10 * time.Second)
		var published sync.WaitGroup
		published.Go(func() { _ = fast.Publish(event("fast", 0), route) })
		synctest.Wait() // it waits for the other, for half a second
		start := time.Now()
		slow.End()
		slow.End() // as a second, deferred one does
		published.Wait()
		outbox.Close()
		if took := time.Since(start); took != 0 || len(fake.Messages()) != 1 {
			t.Errorf("closed after %v with %d results out", took, len(fake.Messages()))
		}
	})
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		newPublisher(&sinktest.Sink{T: t}).Open(t.Context()).Close()
		if took := time.Since(start); took != 0 {
			t.Errorf("an empty one closed after %v", took)
		}
	})
}

// TestWhoCalls: the last publisher makes the call itself. While others work, a goroutine
// of the outbox makes it. End and Begin do not wait for that call, but Close does.
func TestWhoCalls(t *testing.T) {
	t.Parallel()
	goroutine := func() string {
		var stack [64]byte
		id, _, _ := strings.Cut(string(stack[:runtime.Stack(stack[:], false)]), "[")
		return id
	}
	synctest.Test(t, func(t *testing.T) {
		var callers []string
		fake := &sinktest.Sink{T: t, Fault: func(int) error {
			callers = append(callers, goroutine())
			return nil
		}}
		outbox := newPublisher(fake).Open(t.Context())
		for range 2 {
			if err := outbox.Begin().Publish(event("alone", 0), route); err != nil {
				t.Error(err)
			}
		}
		other, last := outbox.Begin(), outbox.Begin()
		var published sync.WaitGroup
		published.Go(func() { _ = other.Publish(event("other", 0), route) })
		synctest.Wait()
		if err := last.Publish(event("last", 0), route); err != nil {
			t.Error(err)
		}
		published.Wait()
		outbox.Close()
		if here := goroutine(); !slices.Equal(callers, []string{here, here, here}) {
			t.Errorf("calls on %q, want three on %q", callers, here)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		fake := &sinktest.Sink{T: t, Latency: time.Second}
		outbox := newPublisher(fake).Open(t.Context())
		slow, fast := outbox.Begin(), outbox.Begin()
		var published sync.WaitGroup
		published.Go(func() { _ = fast.Publish(event("fast", 0), route) })
		synctest.Wait() // it waits for the other, for 3 ms
		start := time.Now()
		slow.End()
		if took := time.Since(start); took != 0 {
			t.Errorf("End took %v", took)
		}
		outbox.Close()
		if took := time.Since(start); took != time.Second {
			t.Errorf("closed after %v, with a call on its way for a second", took)
		}
		published.Wait()
	})
}

// TestPublishEnds: Publish ends its slot even if there is nothing to publish.
func TestPublishEnds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		fake := &sinktest.Sink{T: t}
		outbox := newPublisher(fake).Open(t.Context())
		tooBig, good := outbox.Begin(), outbox.Begin()
		time.Sleep(time.Second)
		if err := tooBig.Publish(event("too big", 300<<10), route); kind.As(err).Of() != kind.PublishFailed {
			t.Errorf("error = %v", err)
		}
		start := time.Now()
		if err := good.Publish(event("good", 0), route); err != nil {
			t.Error(err)
		}
		if took := time.Since(start); took != 0 {
			t.Errorf("waited %v for one that had ended", took)
		}
		outbox.Close()
	})
}

// TestFullToTheByte: two results that fill a call to its last byte are one call. With a
// byte more they are two.
func TestFullToTheByte(t *testing.T) {
	t.Parallel()
	const most, half = 256 << 10, 100 << 10
	// Both begin before one ends, always at the same time of the clock: an event is longer
	// with fractions of a second.
	published := func(deliveries ...delivery) (fake *sinktest.Sink) {
		synctest.Test(t, func(t *testing.T) {
			fake = &sinktest.Sink{T: t}
			run(t.Context(), newPublisher(fake), deliveries...)
		})
		return fake
	}
	m := published(delivery{id: "a", took: time.Second, size: half}).Messages()[0]
	size := len(m.Raw)
	for name, value := range m.Attributes {
		size += len(name) + len(value)
	}
	for more, want := range []int{1, 2} {
		fake := published(delivery{id: "a", took: time.Second, size: half}, delivery{id: "b", took: time.Second, size: most - 2*size + half + more})
		if got := len(fake.Calls()); got != want || len(fake.Messages()) != 2 {
			t.Errorf("%d bytes over: %d calls with %d results, want %d with both", more, got, len(fake.Messages()), want)
		}
	}
}

// TestNoSecretInRefusal: a sink's error may repeat what was sent.
func TestNoSecretInRefusal(t *testing.T) {
	t.Parallel()
	fake := &sinktest.Sink{T: t, Fault: func(int) error {
		return errors.New("InvalidParameter no\u007f s3cr3t-t0ken")
	}}
	hidden := &redact.Redactor{}
	hidden.Hide("s3cr3t-t0ken")
	publisher := sink.NewPublisher(fake, retry.Policy{MaxAttempts: 1}.Do, slog.New(slog.DiscardHandler), hidden)
	for _, err := range run(t.Context(), publisher, delivery{id: "a"}) {
		if text := kind.As(err).Message; strings.Contains(text, "s3cr3t") || strings.Contains(text, "\u007f") || !strings.Contains(text, "InvalidParameter") {
			t.Errorf("%q", text)
		}
	}
}

// breaking is a sink of which one method panics.
type breaking struct {
	sinktest.Sink
	size, send func()
}

func (b *breaking) Size(m *result.Message) int {
	b.size()
	return b.Sink.Size(m)
}

func (b *breaking) Send(ctx context.Context, messages []*result.Message) []error {
	b.send()
	return b.Sink.Send(ctx, messages)
}

// once returns a function that panics with its first call.
func once() func() {
	var calls atomic.Int32
	return func() {
		if calls.Add(1) == 1 {
			time.Sleep(50 * time.Millisecond)
			panic("the sink's fault")
		}
	}
}

// TestOutboxPanic: a panic of the sink fails the results of its call. Those that came in
// meanwhile are published. Nothing waits for ever.
func TestOutboxPanic(t *testing.T) {
	t.Parallel()
	for name, s := range map[string]*breaking{
		"in its call":  {size: func() {}, send: once()},
		"as it counts": {size: once(), send: func() {}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s.T = t
				errs := run(t.Context(), newPublisher(s), delivery{id: "a"}, delivery{id: "b", began: 10 * time.Millisecond})
				if kind.As(errs["a"]).Of() != kind.PublishFailed || errs["b"] != nil {
					t.Errorf("a: %v, b: %v", errs["a"], errs["b"])
				}
			})
		})
	}
}

// answering is a sink with scripted answers.
type answering struct {
	sinktest.Sink
	answers func(call, messages int) []error
	calls   int
}

func (a *answering) Send(_ context.Context, messages []*result.Message) []error {
	a.calls++
	return a.answers(a.calls-1, len(messages))
}

// TestAnswers: a message without an answer may be published or not, and is retried. One
// that is too large with others is sent without them. If it is too large by itself, it
// is refused.
func TestAnswers(t *testing.T) {
	t.Parallel()
	large := sink.TooLarge(errors.New("too large"))
	for name, tt := range map[string]struct {
		answers [][]error
		want    map[string]bool // published
	}{
		"none":                   {[][]error{nil, {nil, nil}}, map[string]bool{"0": true, "1": true}},
		"too few":                {[][]error{{nil}, {nil}}, map[string]bool{"0": true, "1": true}},
		"too many":               {[][]error{{nil, nil, errors.New("x")}}, map[string]bool{"0": true, "1": true}},
		"one of two too large":   {[][]error{{nil, large}, {nil}}, map[string]bool{"0": true, "1": true}},
		"and by itself":          {[][]error{{nil, large}, {large}}, map[string]bool{"0": true, "1": false}},
		"both too large, by far": {[][]error{{large, large}, {large}, {large}}, map[string]bool{"0": false, "1": false}},
		"too large and refused":  {[][]error{{errors.New("x"), large}, {nil}}, map[string]bool{"0": false, "1": true}},
		"too large and throttled": {
			[][]error{{sink.MayPass(errors.New("x")), large}, {sink.MayPass(errors.New("x"))}, {nil}, {nil}}, map[string]bool{"0": true, "1": true},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := &answering{answers: func(call, _ int) []error { return tt.answers[call] }}
				// They end in this order, and are in one call.
				errs := run(t.Context(), newPublisher(s), delivery{id: "0", took: time.Minute}, delivery{id: "1", took: time.Minute + time.Millisecond})
				published := map[string]bool{}
				for id, err := range errs {
					published[id] = err == nil
				}
				if diff := cmp.Diff(tt.want, published); diff != "" || s.calls != len(tt.answers) {
					t.Errorf("%d of %d calls; published (-want +got):\n%s", s.calls, len(tt.answers), diff)
				}
			})
		})
	}
}

// TestOutboxClose: Close waits for the call of the last publisher, too.
func TestOutboxClose(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		o := newPublisher(&sinktest.Sink{T: t, Latency: time.Second}).Open(t.Context())
		slot := o.Begin()
		go func() { _ = slot.Publish(event("a", 0), route) }()
		synctest.Wait() // the call is under way, and the slot has ended
		began := time.Now()
		o.Close()
		if waited := time.Since(began); waited < time.Second {
			t.Errorf("it returned after %v of a second", waited)
		}
	})
}

// TestOutboxOldTimer: the wait of one delivery does not make the next one's longer.
func TestOutboxOldTimer(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		o := newPublisher(&sinktest.Sink{T: t}).Open(t.Context())
		// Ten that take a minute: the first would wait for three seconds, the
		// tenth fills the call.
		var slots []*sink.Slot
		for range 10 {
			slots = append(slots, o.Begin())
		}
		time.Sleep(time.Minute)
		for i, s := range slots {
			go func() { _ = s.Publish(event(strconv.Itoa(i), 0), route) }()
			synctest.Wait()
		}
		quick, slow := o.Begin(), o.Begin()
		time.Sleep(50 * time.Millisecond)
		began := time.Now()
		_ = quick.Publish(event("quick", 0), route)
		if waited := time.Since(began); waited > 10*time.Millisecond {
			t.Errorf("it waited for %v", waited)
		}
		slow.End()
		o.Close()
	})
}
