package runtime

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"cbr-replicator/internal/delivery"
	"cbr-replicator/internal/redact"
)

// api is a runtime API whose answers a test writes.
type api struct {
	polls []http.HandlerFunc // what each poll gets; after the last the test ends
	posts []int              // the status of each post; after the last 200
	end   context.CancelFunc

	mu     sync.Mutex
	posted []string // path and body
}

func (a *api) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if r.Method == http.MethodPost {
		body, _ := io.ReadAll(r.Body)
		a.posted = append(a.posted, strings.TrimPrefix(r.URL.EscapedPath(), "/v1/runtime/invocation/")+" "+string(body))
		if len(a.posts) > 0 {
			w.WriteHeader(a.posts[0])
			a.posts = a.posts[1:]
		}
		return
	}
	if r.URL.Path != "/v1/runtime/invocation/request" || len(a.polls) == 0 {
		a.end()
		return
	}
	poll := a.polls[0]
	a.polls = a.polls[1:]
	poll(w, r)
}

// gives is a poll that brings an event.
func gives(id, payload string, header ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("X-Cff-Request-Id", id)
		for i := 0; i < len(header); i += 2 {
			w.Header().Set(header[i], header[i+1])
		}
		_, _ = io.WriteString(w, payload)
	}
}

func answers(status int) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) }
}

func cut(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("X-Cff-Request-Id", "cut")
	w.Header().Set("Content-Length", "10")
	_, _ = io.WriteString(w, "{")
	_ = http.NewResponseController(w).Flush()
	panic(http.ErrAbortHandler)
}

// handlerFunc is a Handler.
type handlerFunc func(ctx context.Context, inv delivery.Invocation, payload []byte) ([]byte, error)

func (f handlerFunc) Handle(ctx context.Context, inv delivery.Invocation, payload []byte) ([]byte, error) {
	return f(ctx, inv, payload)
}

// serve has h handle what the API gives, and returns the pauses and the log.
func (a *api) serve(t *testing.T, f *FunctionGraph, hidden *redact.Redactor, h handlerFunc) (pauses []time.Duration, log string) {
	t.Helper()
	server := httptest.NewUnstartedServer(a)
	server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	server.Start()
	t.Cleanup(server.Close)
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	a.end = cancel
	var out bytes.Buffer
	f.API, f.Out = strings.TrimPrefix(server.URL, "http://"), &out
	f.loop(h, hidden, func(_ context.Context, d time.Duration) { pauses = append(pauses, d) }).run(ctx)
	return pauses, out.String()
}

func echo(_ context.Context, _ delivery.Invocation, payload []byte) ([]byte, error) {
	return payload, nil
}

// TestAnswers: what becomes of an event is posted under its id.
func TestAnswers(t *testing.T) {
	t.Parallel()
	const unexpected = `{"errorType":"CBR.Internal","errorMessage":"an unexpected error; see the function's log"}`
	for name, tt := range map[string]struct {
		handle handlerFunc
		want   string
		log    string
	}{
		"an answer": {handle: echo, want: "response/id {}"},
		"no answer": {handle: func(context.Context, delivery.Invocation, []byte) ([]byte, error) { return nil, nil }, want: "response/id "},
		"a failure": {
			handle: func(context.Context, delivery.Invocation, []byte) ([]byte, error) {
				return nil, delivery.Failure{Type: "CBR.Throttled", Message: `Throttled "x"`}
			},
			want: `error/id {"errorType":"CBR.Throttled","errorMessage":"Throttled \"x\""}`,
		},
		"another error": {
			handle: func(context.Context, delivery.Invocation, []byte) ([]byte, error) {
				return nil, errors.New("with a secret-of-mine")
			},
			want: "error/id " + unexpected, log: "with a [redacted]",
		},
		"a panic": {
			handle: func(context.Context, delivery.Invocation, []byte) ([]byte, error) { panic("at the secret-of-mine") },
			want:   "error/id " + unexpected, log: "at the [redacted]",
		},
		"an answer that is too long": {
			handle: func(context.Context, delivery.Invocation, []byte) ([]byte, error) {
				return make([]byte, maxResponse+1), nil
			},
			want: `error/id {"errorType":"CBR.Internal","errorMessage":"the answer is longer than 6291456 bytes"}`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			hidden := &redact.Redactor{}
			hidden.Hide("secret-of-mine")
			// The next event is handled as if nothing had been.
			a := &api{polls: []http.HandlerFunc{gives("id", "{}"), gives("id", "{}")}}
			_, log := a.serve(t, &FunctionGraph{}, hidden, tt.handle)
			if diff := cmp.Diff([]string{tt.want, tt.want}, a.posted); diff != "" {
				t.Errorf("posted (-want +got):\n%.500s", diff)
			}
			if !strings.Contains(log, tt.log) || strings.Contains(log, "secret-of-mine") || tt.log != "" && !strings.Contains(log, `"requestId":"id"`) {
				t.Errorf("log %s", log)
			}
		})
	}
}

// TestAskingAgain: whatever a poll ends with, the next follows after a pause that
// grows while nothing but failures come.
func TestAskingAgain(t *testing.T) {
	t.Parallel()
	handled := 0
	a := &api{polls: []http.HandlerFunc{
		answers(200), answers(204), answers(200), // idle
		answers(500), cut, answers(404), answers(503), answers(302), answers(503), answers(503),
		gives("1", "{}"), answers(503), answers(200), answers(503),
	}}
	pauses, log := a.serve(t, &FunctionGraph{}, &redact.Redactor{}, func(context.Context, delivery.Invocation, []byte) ([]byte, error) {
		handled++
		return nil, nil
	})
	var want []time.Duration
	for _, ms := range []int{50, 50, 50, 50, 100, 200, 400, 800, 1000, 1000, 50, 50, 50} {
		want = append(want, time.Duration(ms)*time.Millisecond)
	}
	if diff := cmp.Diff(want, pauses[:min(len(want), len(pauses))]); diff != "" {
		t.Errorf("pauses (-want +got):\n%s", diff)
	}
	if n := strings.Count(log, "asking again"); n != 3 || handled != 1 {
		t.Errorf("%d lines for three series of failures, %d events handled, want 1:\n%s", n, handled, log)
	}
}

// TestNobodyListens: a runtime API that is gone is asked until it is back.
func TestNobodyListens(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.NotFoundHandler())
	server.Close()
	ctx, cancel := context.WithCancel(t.Context())
	tries := 0
	var out bytes.Buffer
	f := &FunctionGraph{API: strings.TrimPrefix(server.URL, "http://"), Out: &out}
	f.loop(handlerFunc(echo), &redact.Redactor{}, func(context.Context, time.Duration) {
		if tries++; tries == 20 {
			cancel()
		}
	}).run(ctx)
	if tries != 20 || strings.Count(out.String(), "asking again") != 1 {
		t.Errorf("%d tries, log %s", tries, out.String())
	}
}

// TestPostedAgain: an answer is not lost with a connection or a hiccup, and not
// posted for ever.
func TestPostedAgain(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		posts []int
		want  int
		lost  bool
	}{
		"taken":            {nil, 1, false},
		"taken at last":    {[]int{500, 503}, 3, false},
		"never":            {[]int{500, 500, 500, 500}, 3, true},
		"no such event":    {[]int{404}, 1, true},
		"it is too large":  {[]int{413}, 1, true},
		"taken, with 202":  {[]int{202}, 1, false},
		"a redirect is no": {[]int{302}, 1, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := &api{polls: []http.HandlerFunc{gives("a/b c", "{}")}, posts: tt.posts}
			_, log := a.serve(t, &FunctionGraph{}, &redact.Redactor{}, echo)
			if want := slices.Repeat([]string{"response/a%2Fb%20c {}"}, tt.want); !slices.Equal(a.posted, want) {
				t.Errorf("posted %q, want %q", a.posted, want)
			}
			if lost := strings.Contains(log, "the answer could not be posted"); lost != tt.lost {
				t.Errorf("log %s", log)
			}
		})
	}
}

// TestInvocation is what the handler learns of an event.
func TestInvocation(t *testing.T) {
	t.Parallel()
	const urn = "urn:fss:region1:p:function:default:cbr-replicator:latest"
	a := &api{polls: []http.HandlerFunc{
		gives("1", "{}"), gives("2", "{}", "X-CFF-Invoke-Type", "async"), gives("3", "{}", "X-CFF-Invoke-Type", "sync"), gives("4", "{}", "X-CFF-Invoke-Type", "ASYNC"),
	}}
	var ids []string
	var async []bool
	before := time.Now()
	a.serve(t, &FunctionGraph{URN: urn, Timeout: time.Minute}, &redact.Redactor{}, func(ctx context.Context, inv delivery.Invocation, _ []byte) ([]byte, error) {
		ids, async = append(ids, inv.RequestID), append(async, inv.Async)
		deadline, ok := ctx.Deadline()
		if !ok || !deadline.Equal(inv.Began.Add(time.Minute)) || inv.Began.Before(before) || inv.Began.After(time.Now()) {
			t.Errorf("deadline %v, began %v", deadline, inv.Began)
		}
		if inv.FunctionARN != urn {
			t.Errorf("function %s", inv.FunctionARN)
		}
		return nil, nil
	})
	if !slices.Equal(ids, []string{"1", "2", "3", "4"}) || !slices.Equal(async, []bool{false, true, false, true}) {
		t.Errorf("events %v, asynchronous %v", ids, async)
	}
	// Without a time-out there is no deadline.
	a = &api{polls: []http.HandlerFunc{gives("1", "{}")}}
	a.serve(t, &FunctionGraph{}, &redact.Redactor{}, func(ctx context.Context, _ delivery.Invocation, _ []byte) ([]byte, error) {
		if deadline, ok := ctx.Deadline(); ok {
			t.Errorf("deadline %v", deadline)
		}
		return nil, nil
	})
}

// TestSecretsOfAnEvent: each header's value is masked while its event is handled,
// used or not, and no longer.
func TestSecretsOfAnEvent(t *testing.T) {
	t.Parallel()
	headers := []string{
		"X-CFF-Security-Access-Key", "newer-access-key", "X-CFF-Security-Secret-Key", "newer-secret-key", "X-CFF-Security-Token", "the-security-token",
		"X-CFF-Access-Key", "older-access-key", "X-CFF-Secret-Key", "older-secret-key", "X-CFF-Auth-Token", "the-auth-token",
	}
	var all []string
	for i := 1; i < len(headers); i += 2 {
		all = append(all, headers[i])
	}
	hidden := &redact.Redactor{}
	text := strings.Join(all, " ")
	var during []string
	handle := func(context.Context, delivery.Invocation, []byte) ([]byte, error) {
		during = append(during, hidden.Text(text))
		return nil, errors.New(text)
	}
	a := &api{polls: []http.HandlerFunc{gives("1", "{}", headers...), gives("2", "{}")}}
	_, log := a.serve(t, &FunctionGraph{}, hidden, handle)
	masked := strings.TrimSpace(strings.Repeat(redact.Mask+" ", len(all)))
	if diff := cmp.Diff([]string{masked, text}, during); diff != "" {
		t.Errorf("while each event is handled (-want +got):\n%s", diff)
	}
	first, _, _ := strings.Cut(log, "\n")
	if strings.Contains(first, "access-key") || !strings.Contains(first, redact.Mask) {
		t.Errorf("log %s", first)
	}
}

// TestLogLines have the names of Lambda's, the request's id where there is one,
// and the level's limit.
func TestLogLines(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	log := slog.New((&FunctionGraph{Out: &out, Level: slog.LevelInfo}).LogHandler())
	log.Debug("unseen")
	log.Info("starting")
	ctx := context.WithValue(t.Context(), requestKey{}, "id")
	log.With("a", 1).WithGroup("g").InfoContext(ctx, "delivery", "b", 2)
	var got []map[string]any
	for line := range strings.Lines(out.String()) {
		var fields map[string]any
		if err := json.Unmarshal([]byte(line), &fields); err != nil {
			t.Fatal(err)
		}
		if _, err := time.Parse(time.RFC3339Nano, fields["timestamp"].(string)); err != nil {
			t.Error(err)
		}
		delete(fields, "timestamp")
		got = append(got, fields)
	}
	want := []map[string]any{
		{"level": "INFO", "message": "starting"},
		{"level": "INFO", "message": "delivery", "a": 1.0, "g": map[string]any{"b": 2.0, "requestId": "id"}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("lines (-want +got):\n%s", diff)
	}
}
