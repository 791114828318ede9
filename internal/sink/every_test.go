package sink_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/google/go-cmp/cmp"

	"cbr-replicator/internal/awscall"
	"cbr-replicator/internal/cbr/cbrtest"
	"cbr-replicator/internal/huawei"
	"cbr-replicator/internal/kind"
	"cbr-replicator/internal/redact"
	"cbr-replicator/internal/result"
	"cbr-replicator/internal/retry"
	"cbr-replicator/internal/sandbox"
	"cbr-replicator/internal/sink"
	"cbr-replicator/internal/sink/eventbridge"
	"cbr-replicator/internal/sink/smn"
	"cbr-replicator/internal/sink/sns"
	smnapi "cbr-replicator/internal/smn"
	"cbr-replicator/internal/token"
)

// place is a sink with the stand-in of its service, over HTTP.
type place struct {
	sink.Sink
	wire   *wire
	script func(...fault)
	calls  func() int
	bodies func() []string // that it took, in order
	// drops: it drops duplicates.
	drops bool
}

// fault is what goes wrong with a call.
type fault struct {
	throttled, broken, refused bool // as a whole
	// entries fail by index: true for good, false for now.
	entries map[int]bool
	reset   bool // before the service has it
	lost    bool // its answer, after it had its effect
	delay   time.Duration
}

// wire is the transport of a sink's calls.
type wire struct {
	http.RoundTripper
	// before, if set, is called before each call.
	before func()
}

func (w *wire) RoundTrip(r *http.Request) (*http.Response, error) {
	if w.before != nil {
		w.before()
	}
	return w.RoundTripper.RoundTrip(r)
}

func newWire(t *testing.T) *wire {
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	return &wire{RoundTripper: transport}
}

// places has all sinks.
var places = map[string]func(*testing.T) *place{
	"SNS":         func(t *testing.T) *place { return newTopic(t, "results") },
	"SNS, FIFO":   func(t *testing.T) *place { return newTopic(t, "results.fifo") },
	"EventBridge": newBus,
	"SMN":         newSMN,
}

var credentials = aws.Credentials{AccessKeyID: "AKIAIOSFODNN7EXAMPLE", SecretAccessKey: "secret-key"}

func newTopic(t *testing.T, name string) *place {
	topic, err := sandbox.NewTopic(name, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(topic.Close)
	w := newWire(t)
	return &place{
		Sink: &sns.Topic{ARN: topic.ARN(), Client: &awscall.Client{
			Service: sns.Service, Version: sns.Version, Region: sandbox.Region,
			Endpoint: topic.URL(), Credentials: credentials, HTTP: &http.Client{Transport: w},
		}},
		wire: w, calls: topic.Calls, drops: strings.HasSuffix(name, ".fifo"),
		bodies: func() (all []string) {
			for _, m := range topic.Messages() {
				all = append(all, m.Message)
			}
			return all
		},
		script: func(faults ...fault) {
			for _, f := range faults {
				s := sandbox.TopicFault{Entries: f.entries, Reset: f.reset, AnswerLost: f.lost, Delay: f.delay}
				switch {
				case f.throttled:
					s.Status, s.Code = 400, "Throttled"
				case f.broken:
					s.Status, s.Code = 500, "InternalFailure"
				case f.refused:
					s.Status, s.Code = 403, "AuthorizationError"
				}
				topic.Script(s)
			}
		},
	}
}

func newBus(t *testing.T) *place {
	bus, err := sandbox.NewEventBus("results")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(bus.Close)
	w := newWire(t)
	return &place{
		Sink: &eventbridge.Bus{ARN: bus.ARN(), Client: &awscall.Client{
			Service: eventbridge.Service, Target: eventbridge.Target, Version: eventbridge.Version, Region: sandbox.Region,
			Endpoint: bus.URL(), Credentials: credentials, HTTP: &http.Client{Transport: w},
		}},
		wire: w, calls: bus.Calls,
		bodies: func() (all []string) {
			for _, e := range bus.Events() {
				all = append(all, string(e.Detail))
			}
			return all
		},
		script: func(faults ...fault) {
			for _, f := range faults {
				s := sandbox.EventBusFault{Reset: f.reset, AnswerLost: f.lost, Delay: f.delay, Entries: map[int]string{}}
				for i, forGood := range f.entries {
					if s.Entries[i] = "ThrottlingException"; forGood {
						s.Entries[i] = "NotAuthorizedForDetailTypeException"
					}
				}
				switch {
				case f.throttled:
					s.Status, s.Code = 400, "ThrottlingException"
				case f.broken:
					s.Status, s.Code = 500, "InternalException"
				case f.refused:
					s.Status, s.Code = 400, "AccessDeniedException"
				}
				bus.Script(s)
			}
		},
	}
}

func newSMN(t *testing.T) *place {
	account := cbrtest.New()
	account.AddExample()
	account.AddKey(cbrtest.Key{Access: credentials.AccessKeyID, Secret: credentials.SecretAccessKey})
	topic, err := sandbox.NewSMNTopic("results", account)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(topic.Close)
	urn, ok := smnapi.ParseURN(topic.URN())
	if !ok {
		t.Fatal(topic.URN())
	}
	endpoints, err := huawei.NewEndpoints(smnapi.Service, topic.URL(), "", urn.Scope.Region)
	if err != nil {
		t.Fatal(err)
	}
	w, hidden := newWire(t), &redact.Redactor{}
	return &place{
		Sink: &smn.Topic{URN: urn, Client: smnapi.NewClient(huawei.Service{
			HTTP: &http.Client{Transport: w}, Endpoints: endpoints, Redact: hidden,
			Auth: token.New(token.Config{
				Fields: token.Fields{AccessKey: credentials.AccessKeyID, SecretKey: credentials.SecretAccessKey}, Redact: hidden, Now: time.Now,
			}),
		})},
		wire: w, calls: topic.Calls,
		bodies: func() (all []string) {
			for _, m := range topic.Messages() {
				all = append(all, m.Message)
			}
			return all
		},
		script: func(faults ...fault) {
			for _, f := range faults {
				s := sandbox.SMNFault{Reset: f.reset, AnswerLost: f.lost, Delay: f.delay}
				forGood, alone := f.entries[0]
				switch {
				case f.throttled, alone && !forGood:
					s.Status, s.Code = 429, "SMN.9999"
				case f.broken:
					s.Status, s.Code = 500, "SMN.0018"
				case f.refused, alone:
					s.Status, s.Code = 403, "SMN.0001"
				}
				topic.Script(s)
			}
		},
	}
}

// everywhere runs a test for every sink.
func everywhere(t *testing.T, test func(*testing.T, *place)) {
	t.Parallel()
	for name, open := range places {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, open(t))
		})
	}
}

// tries is how often a quick publisher calls.
const tries = 4

// quick returns a publisher that does not wait between its tries.
func (p *place) quick() *sink.Publisher {
	policy := retry.Policy{Initial: time.Millisecond, Max: time.Millisecond, MaxAttempts: tries, MaxElapsed: time.Minute, Rand: func() float64 { return 0 }}
	return sink.NewPublisher(p, policy.Do, slog.New(slog.DiscardHandler), &redact.Redactor{})
}

// each are the faults of calls with up to so many results, by the result: what
// each of them meets, try by try, where it has its calls to itself.
func each(faults []fault, results int) [][]fault {
	own, open := make([][]fault, results), []int{}
	for i := range own {
		open = append(open, i)
	}
	for _, f := range append(faults, slices.Repeat([]fault{{}}, results)...) {
		next := []int{}
		for at, i := range open {
			forGood, alone := f.entries[at]
			mine, passes := f, f.throttled || f.broken || f.reset || f.lost || f.delay > 0
			mine.entries = nil
			if alone {
				mine.entries, passes = map[int]bool{0: forGood}, !forGood
			}
			own[i] = append(own[i], mine)
			if passes {
				next = append(next, i)
			}
		}
		if open = next; len(open) == 0 {
			break
		}
	}
	return own
}

// events returns n events, of ids 0, 1, …
func events(n int) []*result.Event {
	all := make([]*result.Event, n)
	for i := range all {
		all[i] = event(fmt.Sprint(i), 0)
	}
	return all
}

// ids returns the ids of the events that a place took, in order.
func (p *place) ids(t *testing.T) []string {
	t.Helper()
	all := []string{}
	for _, body := range p.bodies() {
		var e result.Event
		if err := json.Unmarshal([]byte(body), &e); err != nil {
			t.Errorf("%.100s: %v", body, err)
		}
		all = append(all, e.ID)
	}
	return all
}

// TestEverySink: with any fault, each result has an outcome of its own. Errors that may
// pass are retried, and no others.
func TestEverySink(t *testing.T) {
	for name, tt := range map[string]struct {
		results   int
		faults    []fault
		within    time.Duration // if any
		published []string      // events, in order
		calls     int
		failed    []int
		text      string // in what failed
		twice     bool   // published twice, unless the place drops duplicates
	}{
		"one":                      {results: 1, published: []string{"0"}, calls: 1},
		"a full call":              {results: 10, published: strings.Split("0123456789", ""), calls: 1},
		"some refused":             {results: 4, faults: []fault{{entries: map[int]bool{1: true, 3: true}}}, published: []string{"0", "2"}, calls: 1, failed: []int{1, 3}},
		"one throttled, then out":  {results: 3, faults: []fault{{entries: map[int]bool{1: false}}, {entries: map[int]bool{0: false}}}, published: []string{"0", "2", "1"}, calls: 3},
		"one throttled, one not":   {results: 3, faults: []fault{{entries: map[int]bool{0: false, 1: true}}}, published: []string{"2", "0"}, calls: 2, failed: []int{1}},
		"one throttled for ever":   {results: 2, faults: slices.Repeat([]fault{{entries: map[int]bool{0: false}}}, 9), published: []string{"1"}, calls: 4, failed: []int{0}},
		"a throttled call":         {results: 2, faults: []fault{{throttled: true}, {throttled: true}}, published: []string{"0", "1"}, calls: 3},
		"a broken service":         {results: 2, faults: []fault{{broken: true}}, published: []string{"0", "1"}, calls: 2},
		"a connection cut":         {results: 2, faults: []fault{{reset: true}}, published: []string{"0", "1"}, calls: 2},
		"broken for ever":          {results: 2, faults: slices.Repeat([]fault{{broken: true}}, 9), published: []string{}, calls: 4, failed: []int{0, 1}},
		"a time-out":               {results: 2, faults: []fault{{delay: time.Hour}}, within: 4 * time.Second, published: []string{"0", "1"}, calls: 2},
		"an answer lost":           {results: 2, faults: []fault{{lost: true}}, published: []string{"0", "1"}, calls: 2, twice: true},
		"a call refused for good":  {results: 2, faults: []fault{{refused: true}}, published: []string{}, calls: 1, failed: []int{0, 1}, text: "scripted"},
		"refused after a throttle": {results: 2, faults: []fault{{throttled: true}, {refused: true}}, published: []string{}, calls: 2, failed: []int{0, 1}, text: "scripted"},
	} {
		t.Run(name, func(t *testing.T) {
			everywhere(t, func(t *testing.T, p *place) {
				want, calls := slices.Clone(tt.published), tt.calls
				if p.Limits().Entries > 1 {
					p.script(tt.faults...)
				} else {
					calls = 0
					for _, faults := range each(tt.faults, tt.results) {
						faults = faults[:min(len(faults), tries)]
						p.script(faults...)
						calls += len(faults)
					}
				}
				ctx := t.Context()
				if tt.within > 0 {
					var cancel context.CancelFunc
					ctx, cancel = context.WithTimeout(ctx, tt.within)
					defer cancel()
				}
				errs := p.quick().Deliver(ctx, route, events(tt.results)...)
				if tt.twice && !p.drops {
					want = append(want, want...)
				}
				got := p.ids(t)
				if p.Limits().Entries == 1 {
					slices.Sort(want) // one after the other
				}
				if diff := cmp.Diff(want, got); diff != "" || p.calls() != calls {
					t.Errorf("%d calls, want %d; published (-want +got):\n%s", p.calls(), calls, diff)
				}
				for i, err := range errs {
					failed := slices.Contains(tt.failed, i)
					if failed != (err != nil) {
						t.Errorf("%d: %v", i, err)
					}
					if e := kind.As(err); failed && (e.Kind != kind.PublishFailed || !strings.HasPrefix(e.Message, p.String()+" did not take the result: ") || !strings.Contains(e.Message, tt.text)) {
						t.Errorf("%d: %v", i, err)
					}
				}
			})
		})
	}
}

// TestEverySinkEnds: nothing waits after the context's end, and no call begins then.
func TestEverySinkEnds(t *testing.T) {
	everywhere(t, func(t *testing.T, p *place) {
		ctx, cancel := context.WithCancel(t.Context())
		p.wire.before = cancel
		for i, err := range p.quick().Deliver(ctx, route, events(2)...) {
			if kind.As(err).Of() != kind.PublishFailed {
				t.Errorf("%d: %v", i, err)
			}
		}
		p.wire.before = func() { t.Error("a call after its time") }
		if err := p.quick().Deliver(ctx, route, events(1)...)[0]; kind.As(err).Of() != kind.PublishFailed {
			t.Error(err)
		}
		if len(p.ids(t)) != 0 {
			t.Errorf("published: %q", p.ids(t))
		}
	})
}

// TestEverySinkPanics: a panic in the middle of a call fails its results, and no others.
func TestEverySinkPanics(t *testing.T) {
	everywhere(t, func(t *testing.T, p *place) {
		p.wire.before = func() { panic("the client's fault") }
		for i, err := range p.quick().Deliver(t.Context(), route, events(2)...) {
			if kind.As(err).Of() != kind.PublishFailed {
				t.Errorf("%d: %v", i, err)
			}
		}
		p.wire.before = nil
		if err := p.quick().Deliver(t.Context(), route, events(1)...)[0]; err != nil {
			t.Error(err)
		}
	})
}

// sized returns an event that takes so many bytes of a call.
func (p *place) sized(t *testing.T, id string, size int) *result.Event {
	t.Helper()
	for fill := size; fill >= 0; {
		// Without a fraction of a second, which would make the text longer.
		data := result.Data{Status: kind.Accepted, Replication: json.RawMessage(`"` + strings.Repeat("x", fill) + `"`)}
		e := result.New(id, "s", "c", "c", time.Unix(1795417200, 0), route, data)
		m := e.Message(route)
		var err error
		if m.Body, err = e.Encode(1 << 30); err != nil {
			t.Fatal(err)
		}
		over := p.Size(&m) - size
		if over == 0 {
			return e
		}
		fill -= over
	}
	t.Fatalf("no event of %d bytes", size)
	return nil
}

// TestEverySinkToTheByte: results that fill a call to its last byte are one call. With a
// byte more they are two. The sink counts as the service does: a call that the outbox
// would not make is too large for the service, too.
func TestEverySinkToTheByte(t *testing.T) {
	everywhere(t, func(t *testing.T, p *place) {
		if p.Limits().Entries == 1 {
			p.oneToTheByte(t)
			return
		}
		const half = 100 << 10
		limit := p.Limits().Bytes
		for more, want := range []int{2, 3} {
			before := p.calls()
			begun, first := make(chan struct{}), make(chan struct{})
			var calls atomic.Int32
			p.wire.before = func() {
				if calls.Add(1) == 1 {
					close(begun)
					<-first // the others come in while it is under way
				}
			}
			outbox := p.quick().Open(t.Context())
			var published sync.WaitGroup
			publish := func(e *result.Event) {
				slot := outbox.Begin()
				published.Go(func() {
					if err := slot.Publish(e, route); err != nil {
						t.Error(err)
					}
				})
			}
			other := outbox.Begin() // so that no publisher makes a call itself
			publish(event("first", 0))
			<-begun
			publish(p.sized(t, "a", half))
			until(t, func() bool { return outbox.Waiting() == 1 })
			publish(p.sized(t, "b", limit-half+more))
			until(t, func() bool { return outbox.Waiting() == 2-more })
			close(first)
			published.Wait()
			other.End()
			outbox.Close()
			if got := p.calls() - before; got != want {
				t.Errorf("%d bytes over: %d calls, want %d", more, got, want)
			}
		}
		if got := len(p.ids(t)); got != 6 && !p.drops {
			t.Errorf("%d results published", got)
		}

		// Without the outbox the call is too large, and is divided.
		before, published := p.calls(), len(p.ids(t))
		for _, err := range p.quick().Deliver(t.Context(), route, p.sized(t, "c", half), p.sized(t, "d", limit-half+1)) {
			if err != nil {
				t.Error(err)
			}
		}
		if got := p.calls() - before; got != 3 || len(p.ids(t)) != published+2 {
			t.Errorf("%d calls, %d results published", got, len(p.ids(t))-published)
		}
	})
}

// oneToTheByte is of a sink that takes one result a call: it may be as long as the
// limit, and one that is longer gets no call. The service says the same of both.
func (p *place) oneToTheByte(t *testing.T) {
	limit := p.Limits().Bytes
	for more, want := range []int{1, 0} {
		before := p.calls()
		outbox := p.quick().Open(t.Context())
		err := outbox.Begin().Publish(p.sized(t, "a", limit+more), route)
		outbox.Close()
		if got := p.calls() - before; got != want || (err == nil) != (want == 1) {
			t.Errorf("%d bytes over: %d calls, %v", more, got, err)
		}
		e := p.sized(t, "b", limit+more)
		m := e.Message(route)
		if m.Body, err = e.Encode(1 << 30); err != nil {
			t.Fatal(err)
		}
		if err := p.Send(t.Context(), []*result.Message{&m})[0]; (err == nil) != (want == 1) {
			t.Errorf("%d bytes over, past the outbox: %v", more, err)
		}
	}
	if got := p.ids(t); !slices.Equal(got, []string{"a", "b"}) {
		t.Errorf("published: %q", got)
	}
}

// until waits for something that is about to happen.
func until(t *testing.T, happened func() bool) {
	t.Helper()
	for !happened() {
		select {
		case <-t.Context().Done():
			t.Fatal("it did not happen")
		case <-time.After(time.Millisecond):
		}
	}
}

// TestEverySinkCuts: a result that is too long for a call is cut to fit it. One that
// cannot be cut fails alone.
func TestEverySinkCuts(t *testing.T) {
	everywhere(t, func(t *testing.T, p *place) {
		const total = 5000
		backup := `{"backup_id":"8b0851a8-adf3-4f4c-a914-dead08bf9664","replication_record_id":"7d1e6f0a-7c3d-4f4c-a914-dead08bf9664"}`
		list := result.New("list", "s", "c", "c", time.Now(), route, result.Data{
			Status: kind.Accepted, Replication: json.RawMessage(`{"backups":[` + strings.Repeat(","+backup, total)[1:] + `]}`),
		})
		outbox := p.quick().Open(t.Context())
		defer outbox.Close()
		if err := outbox.Begin().Publish(list, route); err != nil {
			t.Fatal(err)
		}
		body := p.bodies()[0]
		var got struct {
			Data struct {
				Replication struct {
					Backups []json.RawMessage
					Total   int `json:"backups_total"`
				}
			}
		}
		if err := json.Unmarshal([]byte(body), &got); err != nil {
			t.Fatal(err)
		}
		m := list.Message(route)
		m.Body = body
		if left := p.Limits().Bytes - p.Size(&m); left < 0 || left > len(backup) || got.Data.Replication.Total != total {
			t.Errorf("%d of %d backups, and %d bytes left", len(got.Data.Replication.Backups), got.Data.Replication.Total, left)
		}
		if err := outbox.Begin().Publish(event("too long", p.Limits().Bytes), route); kind.As(err).Of() != kind.PublishFailed {
			t.Error(err)
		}
		if got := p.calls(); got != 1 {
			t.Errorf("%d calls", got)
		}
	})
}

// TestEverySinkKeepsSecrets: no credential is in an error or in the log.
func TestEverySinkKeepsSecrets(t *testing.T) {
	everywhere(t, func(t *testing.T, p *place) {
		p.script(fault{throttled: true}, fault{refused: true})
		var log bytes.Buffer
		publisher := sink.NewPublisher(p, retry.Policy{MaxAttempts: 2, MaxElapsed: time.Second, Rand: func() float64 { return 0 }}.Do,
			slog.New(slog.NewTextHandler(&log, nil)), &redact.Redactor{})
		output := fmt.Sprint(publisher.Deliver(t.Context(), route, events(2)...)) + log.String()
		if strings.Contains(output, credentials.SecretAccessKey) || strings.Contains(output, "Signature=") || !strings.Contains(output, "scripted") {
			t.Error(output)
		}
	})
}
