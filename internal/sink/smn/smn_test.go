package smn_test

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"cbr-replicator/internal/kind"
	"cbr-replicator/internal/redact"
	"cbr-replicator/internal/result"
	"cbr-replicator/internal/retry"
	"cbr-replicator/internal/sink"
	"cbr-replicator/internal/sink/smn"
	smnapi "cbr-replicator/internal/smn"
)

const topic = "urn:smn:region1:f841e01fd2b14e7fa41b6ae7aa6b0594:results"

var route = result.Route{VaultID: "3b5816b5-f29c-4172-9d9a-76c719a659ce", SourceRegion: "cn-north-4", DestinationRegion: "region2"}

// client notes what it is to publish, and fails as it is told, a call at a time.
type client struct {
	mu     sync.Mutex
	errs   []error
	topics []string
	sent   []smnapi.Message
	take   time.Duration
}

func (c *client) Publish(_ context.Context, urn smnapi.URN, m smnapi.Message) error {
	time.Sleep(c.take)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.topics, c.sent = append(c.topics, urn.String()), append(c.sent, m)
	if len(c.sent) <= len(c.errs) {
		return c.errs[len(c.sent)-1]
	}
	return nil
}

func newTopic(t *testing.T, c *client) *smn.Topic {
	t.Helper()
	urn, ok := smnapi.ParseURN(topic)
	if !ok {
		t.Fatal("no URN")
	}
	return &smn.Topic{URN: urn, Client: c}
}

func newPublisher(t *testing.T, c *client) *sink.Publisher {
	policy := retry.Policy{Initial: time.Millisecond, Max: time.Second, MaxAttempts: 3, MaxElapsed: time.Minute, Rand: func() float64 { return 0 }}
	return sink.NewPublisher(newTopic(t, c), policy.Do, slog.New(slog.DiscardHandler), &redact.Redactor{})
}

func publish(t *testing.T, outbox *sink.Outbox, id string, route result.Route, data result.Data) error {
	t.Helper()
	return outbox.Begin().Publish(result.New(id, "s", "c", "c", time.Now(), route, data), route)
}

// TestAttributes: what subscriptions filter by, in SMN's alphabet.
func TestAttributes(t *testing.T) {
	t.Parallel()
	long := "a-region-of-forty-characters-that-nobody"
	for name, tt := range map[string]struct {
		route result.Route
		data  result.Data
		want  map[string]string
	}{
		"accepted": {
			route,
			result.Data{Status: kind.Accepted},
			map[string]string{"status": "accepted", "vault_id": "3b5816b5f29c41729d9a76c719a659ce", "source_region": "cn_north_4", "destination_region": "region2"},
		},
		"failed": {
			route,
			result.Data{Status: kind.Failed, Error: &result.Error{Kind: kind.InProgress, Retryable: true}},
			map[string]string{
				"status": "failed", "vault_id": "3b5816b5f29c41729d9a76c719a659ce", "source_region": "cn_north_4", "destination_region": "region2",
				"kind": "InProgress", "retryable": "true",
			},
		},
		"no valid request":           {result.Route{}, result.Data{Status: kind.Refused, Error: &result.Error{Kind: kind.InvalidEvent}}, map[string]string{"status": "rejected", "kind": "InvalidEvent", "retryable": "false"}},
		"a region that does not fit": {result.Route{SourceRegion: long}, result.Data{Status: kind.Accepted}, map[string]string{"status": "accepted"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := &client{}
			outbox := newPublisher(t, c).Open(t.Context())
			if err := publish(t, outbox, "id", tt.route, tt.data); err != nil {
				t.Fatal(err)
			}
			outbox.Close()
			got := map[string]string{}
			for _, a := range c.sent[0].Attributes {
				if !a.Fits() {
					t.Errorf("%+v is not of SMN's alphabet", a)
				}
				got[a.Name] = a.Value
			}
			if diff := cmp.Diff(tt.want, got); diff != "" || c.topics[0] != topic || !strings.Contains(c.sent[0].Text, `"specversion":"1.0"`) {
				t.Errorf("to %s; attributes (-want +got):\n%s", c.topics[0], diff)
			}
		})
	}
}

// TestMostAttributes: more than SMN takes are no reason to lose a result.
func TestMostAttributes(t *testing.T) {
	t.Parallel()
	m := &result.Message{Body: "{}"}
	for i := range 12 {
		m.Attributes = append(m.Attributes, result.Attribute{Name: fmt.Sprintf("a%d", i), Value: "v"})
	}
	c := &client{}
	if err := newTopic(t, c).Send(t.Context(), []*result.Message{m})[0]; err != nil || len(c.sent[0].Attributes) != smnapi.MaxAttributes {
		t.Errorf("%v; %d attributes", err, len(c.sent[0].Attributes))
	}
}

// TestRetried: by the kind of SMN's answer.
func TestRetried(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		err   *kind.Error
		again bool
	}{
		{&kind.Error{Kind: kind.Throttled}, true},
		{&kind.Error{Kind: kind.Unavailable}, true},
		{&kind.Error{Kind: kind.Unknown}, true},
		{&kind.Error{Kind: kind.OutOfTime}, true},
		{&kind.Error{Kind: kind.Unauthorized, Renewed: true}, true},
		{&kind.Error{Kind: kind.Unauthorized}, false},
		{&kind.Error{Kind: kind.NotAllowed}, false},
		{&kind.Error{Kind: kind.Misconfigured}, false},
		{&kind.Error{Kind: kind.Rejected}, false},
	} {
		t.Run(fmt.Sprintf("%s %v", tt.err.Kind, tt.err.Renewed), func(t *testing.T) {
			t.Parallel()
			tt.err.Code, tt.err.Message = "SMN.0000", "why"
			c := &client{errs: []error{tt.err, tt.err, tt.err}}
			outbox := newPublisher(t, c).Open(t.Context())
			defer outbox.Close()
			err := publish(t, outbox, "id", route, result.Data{Status: kind.Accepted})
			want := 1
			if tt.again {
				want = 3
			}
			if len(c.sent) != want || err == nil || err.Error() != "PublishFailed the result topic did not take the result: SMN.0000 why" {
				t.Errorf("%d calls, want %d; %v", len(c.sent), want, err)
			}
		})
	}
}

// TestSideBySide: one result a call, and none waits for another's.
func TestSideBySide(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := &client{take: time.Second}
		outbox := newPublisher(t, c).Open(t.Context())
		began := time.Now()
		var all sync.WaitGroup
		for i := range 10 {
			all.Go(func() {
				if err := publish(t, outbox, fmt.Sprint(i), route, result.Data{Status: kind.Accepted}); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		outbox.Close()
		if took := time.Since(began); len(c.sent) != 10 || took != time.Second {
			t.Errorf("%d calls in %v", len(c.sent), took)
		}
	})
}
