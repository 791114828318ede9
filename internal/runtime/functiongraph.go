package runtime

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"runtime/debug"
	"strings"
	"time"

	"github.com/aws/aws-lambda-go/lambdacontext"

	"cbr-replicator/internal/delivery"
	"cbr-replicator/internal/metrics"
	"cbr-replicator/internal/redact"
	"cbr-replicator/internal/token"
)

// FunctionGraph is Huawei Cloud's FunctionGraph, with its runtime Custom: the
// process asks for one event at a time and posts what became of it (FunctionGraph
// user guide, "Custom Runtime"). The runtime Go1.x is another: there the process
// must listen.
type FunctionGraph struct {
	// API is the address of the runtime API, host:port.
	API string
	// URN is the function's.
	URN string
	// Timeout is how long the function may work on an event, counted from when it
	// got it. Zero: not known.
	Timeout time.Duration
	// Out takes the log; Level is the least that it has.
	Out   io.Writer
	Level slog.Level
}

// Limits of what the runtime API hands over and takes, in bytes.
const (
	// maxEvent is far more than FunctionGraph lets in (6 MB; FunctionGraph user
	// guide, "Notes and Constraints").
	maxEvent = 16 << 20
	// maxHeader has room for a token of 32 KiB and the rest.
	maxHeader = 256 << 10
	// maxResponse is FunctionGraph's own limit.
	maxResponse = 6 << 20
)

// The pauses before an event is asked for again.
const (
	firstPause = 50 * time.Millisecond
	lastPause  = time.Second
)

// An answer is posted so often, and each time for so long.
const (
	maxPosts    = 3
	postTimeout = 10 * time.Second
)

// Serve asks for events and handles them, one after another, until ctx ends.
func (f *FunctionGraph) Serve(ctx context.Context, h Handler, hidden *redact.Redactor) {
	f.loop(h, hidden, sleep).run(ctx)
}

// LogHandler writes JSON with the fields that lines have on Lambda.
func (f *FunctionGraph) LogHandler() slog.Handler {
	return requestHandler{slog.NewJSONHandler(f.Out, &slog.HandlerOptions{Level: f.Level, ReplaceAttr: lambdacontext.ReplaceAttr})}
}

// Metrics are lines of JSON, from which the Log Tank Service makes metrics.
func (f *FunctionGraph) Metrics() metrics.Format { return metrics.JSON }

// loop is the conversation with the runtime API.
type loop struct {
	*FunctionGraph
	handler Handler
	hidden  *redact.Redactor
	log     *slog.Logger
	client  *http.Client
	sleep   func(context.Context, time.Duration)
	failing bool // the last time that an event was asked for
}

func (f *FunctionGraph) loop(h Handler, hidden *redact.Redactor, sleep func(context.Context, time.Duration)) *loop {
	return &loop{
		FunctionGraph: f, handler: h, hidden: hidden, log: slog.New(f.LogHandler()), sleep: sleep,
		client: &http.Client{
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
			// No proxy, since the API is on this machine. No time-out, since an idle
			// function waits for its next event for as long as it lives.
			Transport: &http.Transport{
				DialContext:            (&net.Dialer{Timeout: 5 * time.Second}).DialContext,
				MaxResponseHeaderBytes: maxHeader,
			},
		},
	}
}

func (l *loop) run(ctx context.Context) {
	pause := firstPause
	for ctx.Err() == nil {
		e, err := l.next(ctx)
		switch {
		case err != nil:
			l.failed(ctx, err)
			l.sleep(ctx, pause)
			pause = min(2*pause, lastPause)
		case e == nil:
			l.failing, pause = false, firstPause
			l.sleep(ctx, pause)
		default:
			l.failing, pause = false, firstPause
			l.serve(ctx, e)
		}
	}
	l.client.CloseIdleConnections()
}

// failed logs the first failure of a series.
func (l *loop) failed(ctx context.Context, err error) {
	if !l.failing && ctx.Err() == nil {
		l.log.WarnContext(ctx, "no event to be had, asking again", "error", l.hidden.Text(err.Error()))
	}
	l.failing = true
}

// event is one that was handed over.
type event struct {
	id       string
	payload  []byte
	received time.Time
	async    bool
	agency   token.AgencyCredential
	secrets  []string
}

// next asks for an event. Without an event and without an error there is none
// yet: the API ends a wait when it likes.
func (l *loop) next(ctx context.Context) (*event, error) {
	resp, err := l.call(ctx, http.MethodGet, "request", nil)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	payload, err := io.ReadAll(io.LimitReader(resp.Body, maxEvent+1))
	id := resp.Header.Get("X-Cff-Request-Id")
	switch {
	case resp.StatusCode < 200 || resp.StatusCode > 299:
		return nil, fmt.Errorf("the runtime API answered %s", resp.Status)
	case err != nil:
		return nil, fmt.Errorf("an event broke off: %w", err)
	case resp.StatusCode != http.StatusOK || id == "":
		return nil, nil
	}
	e := &event{id: id, payload: payload, received: time.Now(), async: strings.EqualFold(resp.Header.Get("X-Cff-Invoke-Type"), "async")}
	e.agency, e.secrets = credentialOf(resp.Header)
	return e, nil
}

// credentialOf returns the agency's credential that an event brings, and all of
// its headers that are secret. The names of the key's headers are those of the
// page on custom runtimes and those that newer runtimes of FunctionGraph read,
// which go first.
func credentialOf(h http.Header) (c token.AgencyCredential, secrets []string) {
	values := map[string]string{}
	for _, name := range []string{"Security-Access-Key", "Security-Secret-Key", "Access-Key", "Secret-Key", "Security-Token", "Auth-Token"} {
		values[name] = h.Get("X-Cff-" + name)
		secrets = append(secrets, values[name]) // nothing is masked of an empty one
	}
	prefix := "Security-"
	if values[prefix+"Access-Key"] == "" || values[prefix+"Secret-Key"] == "" {
		prefix = ""
	}
	return token.AgencyCredential{
		AccessKey: values[prefix+"Access-Key"], SecretKey: values[prefix+"Secret-Key"],
		SecurityToken: values["Security-Token"], Token: values["Auth-Token"],
	}, secrets
}

// serve handles an event and posts what became of it. What is secret in it is
// masked until that is done.
func (l *loop) serve(ctx context.Context, e *event) {
	for _, secret := range e.secrets {
		defer l.hidden.Hide(secret)()
	}
	ctx = context.WithValue(ctx, requestKey{}, e.id)
	answer, err := l.handle(ctx, e)
	route := "response/"
	if err != nil {
		route = "error/"
		answer = l.errorOf(ctx, err)
	}
	if err := l.post(ctx, route+url.PathEscape(e.id), answer); err != nil {
		l.log.ErrorContext(ctx, "the answer could not be posted", "error", l.hidden.Text(err.Error()))
	}
}

// handle has the handler handle an event. A panic is an error of that event.
func (l *loop) handle(ctx context.Context, e *event) (answer []byte, err error) {
	defer func() {
		if p := recover(); p != nil {
			l.log.ErrorContext(ctx, "panic", "error", l.hidden.Text(fmt.Sprint(p)), "stack", string(debug.Stack()))
			answer, err = nil, errUnexpected
		}
	}()
	if l.Timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, e.received.Add(l.Timeout))
		defer cancel()
	}
	if len(e.payload) > maxEvent {
		return nil, delivery.Failure{Type: "CBR.InvalidEvent", Message: fmt.Sprintf("the event is longer than %d bytes", maxEvent)}
	}
	ctx = token.WithAgency(ctx, e.agency, time.Now)
	answer, err = l.handler.Handle(ctx, delivery.Invocation{RequestID: e.id, FunctionARN: l.URN, Began: e.received, Async: e.async}, e.payload)
	if err == nil && len(answer) > maxResponse {
		err = delivery.Failure{Type: "CBR.Internal", Message: fmt.Sprintf("the answer is longer than %d bytes", maxResponse)}
	}
	return answer, err
}

var errUnexpected = delivery.Failure{Type: "CBR.Internal", Message: "an unexpected error; see the function's log"}

// errorOf is err as it is posted, in the form of the documentation's example.
func (l *loop) errorOf(ctx context.Context, err error) []byte {
	failure, ok := errors.AsType[delivery.Failure](err)
	if !ok {
		l.log.ErrorContext(ctx, "unexpected", "error", l.hidden.Text(err.Error()))
		failure = errUnexpected
	}
	text, _ := json.Marshal(struct { // two strings always have their JSON
		Type    string `json:"errorType"`
		Message string `json:"errorMessage"`
	}{failure.Type, failure.Message})
	return text
}

// post posts an answer, more than once if need be: it must not be lost because a
// connection was.
func (l *loop) post(ctx context.Context, route string, body []byte) error {
	var err error
	for n, pause := 0, firstPause; n < maxPosts && ctx.Err() == nil; n, pause = n+1, 2*pause {
		if n > 0 {
			l.sleep(ctx, pause)
		}
		var final bool
		if final, err = l.postOnce(ctx, route, body); err == nil || final {
			return err
		}
	}
	return err
}

// postOnce reports whether there is no sense in posting again.
func (l *loop) postOnce(ctx context.Context, route string, body []byte) (final bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, postTimeout)
	defer cancel()
	resp, err := l.call(ctx, http.MethodPost, route, body)
	if err != nil {
		return false, err
	}
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, maxHeader)) // so that the connection is used again
	if resp.StatusCode < 200 || resp.StatusCode > 299 {
		return resp.StatusCode < 500, fmt.Errorf("the runtime API answered %s", resp.Status)
	}
	return true, nil
}

// call makes one call of the runtime API.
func (l *loop) call(ctx context.Context, method, route string, body []byte) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, "http://"+l.API+"/v1/runtime/invocation/"+route, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	return l.client.Do(req)
}

func sleep(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// requestKey is of the request's id in a context.
type requestKey struct{}

// requestHandler adds the request's id to each line, as on Lambda.
type requestHandler struct{ slog.Handler }

// Handle writes a line.
func (h requestHandler) Handle(ctx context.Context, r slog.Record) error {
	if id, ok := ctx.Value(requestKey{}).(string); ok {
		r.AddAttrs(slog.String("requestId", id))
	}
	return h.Handler.Handle(ctx, r)
}

// WithAttrs is slog.Handler's.
func (h requestHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return requestHandler{h.Handler.WithAttrs(attrs)}
}

// WithGroup is slog.Handler's.
func (h requestHandler) WithGroup(name string) slog.Handler {
	return requestHandler{h.Handler.WithGroup(name)}
}
