package serve

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"cbr-replicator/internal/cbr/cbrtest"
	"cbr-replicator/internal/sandbox"
)

const samples = "../../../events"

// build builds the function once.
var build = sync.OnceValues(func() (string, error) {
	return sandbox.BuildFunction(context.Background())
})

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		if path, err := build(); err == nil {
			_ = os.RemoveAll(filepath.Dir(path))
		}
		os.Exit(code)
	}))
}

// site is a sandbox that is open, and a page that listens to it.
type site struct {
	*testing.T
	url    string
	client *http.Client
	events chan event
	seen   []entry // so far
	now    state   // as shown last
	copies []copied
}

func open(t *testing.T, pace pace) *site {
	t.Helper()
	t.Parallel()
	binary, err := build()
	if err != nil {
		t.Fatal(err)
	}
	r, err := newRig(binary, pace)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.close)
	handler, err := r.handler(os.DirFS(samples))
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	s := &site{T: t, url: server.URL, client: server.Client()}
	s.events = s.listen()
	return s
}

// listen opens the stream of events. It ends with the test.
func (s *site) listen() chan event {
	s.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url+"/events", nil)
	if err != nil {
		s.Fatal(err)
	}
	answer, err := s.client.Do(req)
	if err != nil {
		s.Fatal(err)
	}
	if got := answer.Header.Get("Content-Type"); got != "text/event-stream" {
		s.Errorf("the events have Content-Type %q", got)
	}
	events, ended := make(chan event, 10*maxEntries), make(chan struct{})
	go func() {
		defer close(ended)
		defer close(events)
		defer answer.Body.Close()
		name, lines := "", bufio.NewScanner(answer.Body)
		lines.Buffer(nil, 10*maxDetail)
		for lines.Scan() {
			if text, ok := strings.CutPrefix(lines.Text(), "event: "); ok {
				name = text
			}
			if text, ok := strings.CutPrefix(lines.Text(), "data: "); ok {
				events <- event{name, []byte(text)}
			}
		}
	}()
	s.Cleanup(func() { cancel(); <-ended })
	return events
}

// secret is what no event may have: the user's password, and tokens.
var secret = regexp.MustCompile(userPassword + `|MII[A-Za-z0-9+/]{20}`)

// next waits for the next event.
func (s *site) next() event {
	s.Helper()
	select {
	case e, ok := <-s.events:
		if !ok {
			s.Fatalf("the stream ended, after %s", s.told())
		}
		if found := secret.Find(e.data); found != nil {
			s.Fatalf("%s is in %s", found, e.data)
		}
		if e.name == "state" {
			s.now = decode[state](s, e.data)
		}
		if e.name == "copies" {
			s.copies = decode[[]copied](s, e.data)
		}
		return e
	case <-time.After(20 * time.Second):
		s.Fatalf("nothing happens, after %s", s.told())
	}
	panic("not reached")
}

// told is what has happened so far, for a message.
func (s *site) told() string {
	var text strings.Builder
	for _, e := range s.seen {
		fmt.Fprintf(&text, "\n%d %s %s %.8s %s", e.Invocation, e.Step, e.Status, e.Vault, e.Text)
	}
	return text.String()
}

// until waits for an entry and returns it.
func (s *site) until(is func(entry) bool) entry {
	s.Helper()
	for {
		e := s.next()
		if e.name != "entry" {
			continue
		}
		got := decode[entry](s, e.data)
		s.seen = append(s.seen, got)
		if is(got) {
			return got
		}
	}
}

func (s *site) untilStep(step, status string) entry {
	s.Helper()
	return s.until(func(e entry) bool { return e.Step == step && e.Status == status })
}

// state is what the page shows beside what happened.
type state struct {
	Queue, Dead []queued
	Faults      map[string]setting
}

// untilState waits for a state.
func (s *site) untilState(is func(state) bool) {
	s.Helper()
	for {
		if e := s.next(); e.name == "state" && is(s.now) {
			return
		}
	}
}

func decode[T any](s *site, text []byte) (value T) {
	s.Helper()
	if err := json.Unmarshal(text, &value); err != nil {
		s.Fatalf("%s: %v", text, err)
	}
	return value
}

// do sends a request. header is names and values in turn.
func (s *site) do(method, path, body string, header ...string) (*http.Response, string) {
	s.Helper()
	req, err := http.NewRequestWithContext(s.Context(), method, s.url+path, strings.NewReader(body))
	if err != nil {
		s.Fatal(err)
	}
	for pair := range slices.Chunk(header, 2) {
		req.Header.Set(pair[0], pair[1])
		if pair[0] == "Host" {
			req.Host = pair[1]
		}
	}
	answer, err := s.client.Do(req)
	if err != nil {
		s.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		s.Fatal(err)
	}
	return answer, string(text)
}

// post sends a request that must succeed.
func (s *site) post(path, body string) {
	s.Helper()
	if answer, text := s.do(http.MethodPost, path, body); answer.StatusCode > 299 {
		s.Fatalf("POST %s: %s %s", path, answer.Status, text)
	}
}

func sample(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(samples, name+".json"))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

const (
	invocations = "/2015-03-31/functions/function/invocations"
	replicate   = "/v3/" + cbrtest.SourceProject + "/checkpoints/replicate"
	request     = `{"replicate":{"vault_id":"` + cbrtest.SourceVault + `","destination_vault_id":"` + cbrtest.DestinationVault +
		`","destination_project_id":"` + cbrtest.DestinationProject + `","destination_region":"` + cbrtest.DestinationRegion + `"}}`
)

// quick is a pace for tests.
var quick = pace{copyTime: time.Hour, delay: 50 * time.Millisecond}

// steps lists an invocation's steps with their statuses.
func steps(entries []entry, invocation int64) []string {
	var all []string
	for _, e := range entries {
		if e.Invocation == invocation {
			all = append(all, strings.TrimSpace(e.Step+" "+e.Status))
		}
	}
	return all
}

func TestFront(t *testing.T) {
	s := open(t, quick)
	answer, text := s.do(http.MethodPost, replicate, request, "X-Correlation-Id", "one")
	if answer.StatusCode != http.StatusOK || !strings.Contains(text, `"replication":{`) || answer.Header.Get("X-Result-Published") != "true" || len(answer.Header.Get("X-Request-Id")) != 32 {
		t.Errorf("%s %v %s", answer.Status, answer.Header, text)
	}
	end := s.untilStep(stepAnswered, "")
	want := []string{"invoked", "login", "cbr", "result accepted", "outcome accepted", "answered"}
	if diff := cmp.Diff(want, steps(s.seen, end.Invocation)); diff != "" {
		t.Errorf("steps (-want +got):\n%s", diff)
	}

	answer, text = s.do(http.MethodPost, replicate, request)
	if answer.StatusCode != http.StatusConflict || !strings.Contains(text, "BackupService.6130") || answer.Header.Get("Retry-After") == "" {
		t.Errorf("while it is copied: %s %v %s", answer.Status, answer.Header, text)
	}
	if answer, text = s.do(http.MethodPost, "/", `{}`); answer.StatusCode != http.StatusBadRequest || !strings.Contains(text, "InvalidEvent") {
		t.Errorf("POST /: %s %s", answer.Status, text)
	}
	if answer, text = s.do(http.MethodGet, "/health", ""); answer.StatusCode != http.StatusOK || text != `{"status":"ok"}` {
		t.Errorf("GET /health: %s %s", answer.Status, text)
	}
	if answer, text = s.do(http.MethodPost, replicate, strings.Repeat(" ", maxRequest+1)); answer.StatusCode != http.StatusRequestEntityTooLarge {
		t.Errorf("a body that is too large: %s %s", answer.Status, text)
	}
}

// TestUpperCase: the function takes ids in upper case, so there are such vaults.
func TestUpperCase(t *testing.T) {
	s := open(t, quick)
	s.post("/queue", strings.Replace(request, cbrtest.SourceVault, strings.ToUpper(cbrtest.VaultB), 1))
	if e := s.until(func(e entry) bool { return e.Step == stepResult }); e.Status != "accepted" {
		t.Errorf("%s ends as %s %s", strings.ToUpper(cbrtest.VaultB), e.Status, e.Text)
	}
}

// TestManyVaults: a queue full of vaults does not fill the destination.
func TestManyVaults(t *testing.T) {
	s := open(t, quick)
	var vaults []string
	for i := range 40 {
		vaults = append(vaults, strings.Replace(request, cbrtest.SourceVault, fmt.Sprintf("%s%04d", cbrtest.VaultB[:32], i), 1))
	}
	s.post(invocations, "["+strings.Join(vaults, ",")+"]")
	end := s.until(func(e entry) bool { return e.Step == stepAnswered })
	if diff := cmp.Diff(map[string]int{"accepted": 40}, end.Outcomes); diff != "" {
		t.Errorf("outcomes (-want +got):\n%s", diff)
	}
}

// TestUnknownPaths: an unknown address is refused as by Huawei's gateway, with the page's address.
func TestUnknownPaths(t *testing.T) {
	s := open(t, quick)
	for _, path := range []string{
		"GET /none", "GET /page/index.html", "GET /queue", "PUT /", "DELETE " + replicate, "POST /v3/x/checkpoints", "GET /health/x",
		"GET /samples/none", "GET /samples/request.schema", "GET /samples/..%2fgo", "GET /samples/%2e%2e%2f%2e%2e%2fgo.mod",
	} {
		method, path, _ := strings.Cut(path, " ")
		answer, text := s.do(method, path, "")
		if answer.StatusCode != http.StatusNotFound || answer.Header.Get("Content-Type") != "application/json" {
			t.Errorf("%s %s: %s %v", method, path, answer.Status, answer.Header)
		}
		fault := decode[apiFault](s, []byte(text))
		_, link, _ := strings.Cut(fault.Message, "The page is at "+s.url)
		if fault.Code != "APIG.0101" || link == "" {
			t.Errorf("%s %s: %s", method, path, text)
			continue
		}
		if answer, page := s.do(http.MethodGet, link, ""); answer.StatusCode != http.StatusOK || !strings.Contains(page, "<!doctype html>") {
			t.Errorf("%s leads to %s", link, answer.Status)
		}
	}
}

// TestFrontPayload: the payload has the form of the sample.
func TestFrontPayload(t *testing.T) {
	s := open(t, quick)
	s.post(replicate+"?a=b", request)
	got := decode[map[string]any](s, []byte(s.untilStep(stepInvoked, "").Detail))
	want := decode[map[string]any](s, []byte(sample(t, "apigw-http")))
	if got["rawPath"] != want["rawPath"] || got["rawQueryString"] != "a=b" || got["routeKey"] != want["routeKey"] || got["body"] != request {
		t.Errorf("the payload is %v", got)
	}
	gotContext, wantContext := got["requestContext"].(map[string]any), want["requestContext"].(map[string]any)
	// There is no authorizer here.
	delete(wantContext, "authentication")
	delete(wantContext, "authorizer")
	for name, pair := range map[string][2]map[string]any{
		"payload":        {want, got},
		"requestContext": {wantContext, gotContext},
		"http":           {wantContext["http"].(map[string]any), gotContext["http"].(map[string]any)},
	} {
		if diff := cmp.Diff(slices.Sorted(maps.Keys(pair[0])), slices.Sorted(maps.Keys(pair[1]))); diff != "" {
			t.Errorf("fields of the %s (-sample +got):\n%s", name, diff)
		}
	}

	s.post("/start-over", "")
	_, _ = s.do(http.MethodPost, replicate, "\xff")
	if got := decode[apiRequest](s, []byte(s.untilStep(stepInvoked, "").Detail)); !got.IsBase64 || got.Body != "/w==" {
		t.Errorf("a body that is no text: base64 %v, %q", got.IsBase64, got.Body)
	}
}

func TestInvocations(t *testing.T) {
	s := open(t, quick)
	answer, text := s.do(http.MethodPost, invocations, sample(t, "direct"))
	if answer.StatusCode != http.StatusOK || answer.Header.Get("X-Amz-Function-Error") != "" || !strings.HasPrefix(text, `{"status":"accepted"`) {
		t.Errorf("%s %v %s", answer.Status, answer.Header, text)
	}
	answer, text = s.do(http.MethodPost, invocations, `{"replicate":{"vault_id":"x"}}`)
	if answer.StatusCode != http.StatusOK || answer.Header.Get("X-Amz-Function-Error") != "Unhandled" || !strings.Contains(text, `"errorType":"CBR.InvalidEvent"`) {
		t.Errorf("a request that is wrong: %s %v %s", answer.Status, answer.Header, text)
	}
	if answer, text = s.do(http.MethodPost, invocations, `{`); answer.StatusCode != http.StatusBadRequest || !strings.Contains(text, "Could not parse request body into json") {
		t.Errorf("no JSON: %s %s", answer.Status, text)
	}
	if e := s.untilStep(stepAnswered, "error"); !strings.Contains(e.Text, "CBR.InvalidEvent") {
		t.Errorf("the page is told %+v", e)
	}
}

// TestQueue: busy vaults, redelivery, dead letters, redrive.
func TestQueue(t *testing.T) {
	s := open(t, quick)
	s.post("/faults", `{"of":"cbr","name":"busy","times":-1}`)
	s.post("/queue", sample(t, "sqs"))
	s.untilStep(stepOutcome, "redelivered")
	s.until(func(e entry) bool { return e.Step == stepInvoked && strings.Contains(e.Text, "delivery 3 of 3") })
	s.untilStep(stepResult, "failed")
	s.untilStep(stepDead, "")
	s.untilState(func(now state) bool { return len(now.Queue) == 0 && len(now.Dead) == 2 })

	s.post("/faults", `{"of":"cbr","name":""}`)
	s.post("/redrive", "")
	s.untilState(func(now state) bool { return len(now.Queue) == 2 && len(now.Dead) == 0 })
	s.untilStep(stepResult, "accepted")
	s.untilState(func(now state) bool { return len(now.Queue) == 0 })

	// Not only SQS events can be sent: any text is a message.
	s.post("/queue", "no JSON")
	s.untilStep(stepOutcome, "rejected")
	s.until(func(e entry) bool { return strings.HasPrefix(e.Text, "Body kept ") && e.Detail == "no JSON" })
	s.post("/queue", sample(t, "sqs-fifo"))
	s.until(func(e entry) bool { return e.Step == stepInvoked && strings.HasPrefix(e.Text, "FIFO queue delivers ") })
}

func TestNothingToRedrive(t *testing.T) {
	s := open(t, quick)
	s.post("/redrive", "")
	if e := s.untilStep(stepSwitch, ""); e.Text != "No dead letter to redrive" {
		t.Errorf("the page is told %+v", e)
	}
}

// TestManyDeliveries: a page that is opened later also gets the outcomes of a thousand deliveries, although the journal no
// longer has most of them.
func TestManyDeliveries(t *testing.T) {
	s := open(t, quick)
	var all []string
	for i := range 1000 {
		vault := "none"
		if i < 12 {
			vault = fmt.Sprintf("%s%04d", cbrtest.VaultB[:32], i)
		}
		all = append(all, strings.Replace(request, cbrtest.SourceVault, vault, 1))
	}
	s.post(invocations, "["+strings.Join(all, ",")+"]")
	s.events, s.seen = s.listen(), nil
	end := s.until(func(e entry) bool { return e.Step == stepAnswered })
	if diff := cmp.Diff(map[string]int{"accepted": 12, "rejected": 988}, end.Outcomes); diff != "" {
		t.Errorf("outcomes (-want +got):\n%s", diff)
	}
	s.post(invocations, request)
	end = s.until(func(e entry) bool { return e.Step == stepAnswered })
	if diff := cmp.Diff(map[string]int{"accepted": 1}, end.Outcomes); diff != "" {
		t.Errorf("outcomes of the next one (-want +got):\n%s", diff)
	}
}

// TestShown: what the page shows of a call to CBR and of a line of the log.
func TestShown(t *testing.T) {
	t.Parallel()
	call := func(c cbrtest.Call) func(*rig) { return func(r *rig) { r.seeCall(c) } }
	line := func(text string) func(*rig) { return func(r *rig) { _, _ = r.Write([]byte(text)) } }
	for _, tt := range []struct {
		name string
		see  func(*rig)
		want string // status and text
	}{
		{"no fault", call(cbrtest.Call{Status: 200, Taken: true}), " 200 OK, copies started"},
		{"throttled", call(cbrtest.Call{Status: 429, Code: "APIG.0308", Fault: cbrtest.Throttled(2 * time.Second)}), "error 429 Too Many Requests APIG.0308, Retry-After: 2"},
		{"late", call(cbrtest.Call{Status: 200, Taken: true, Fault: cbrtest.Late(5 * time.Second)}), "error 200 OK, 5 s late, copies started"},
		{"cut", call(cbrtest.Call{Status: 200, Taken: true, Fault: cbrtest.CutShort()}), "error 200 OK, cut in half, copies started"},
		{"the request lost", call(cbrtest.Call{Fault: cbrtest.ResetBefore()}), "error connection reset, the request was lost"},
		{"the answer lost", call(cbrtest.Call{Taken: true, Fault: cbrtest.ResetAfter()}), "error connection reset, the answer was lost, copies started"},
		{"a try", line(`{"message":"retrying","kind":"Throttled","code":"APIG.0308","attempts":2,"wait_ms":2000}`), " Try 2: Throttled APIG.0308. Again in 2.0 s"},
		{"a retry of a call to the topic", line(`{"message":"retrying","kind":"PublishFailed","error":"InternalError","results":2,"wait_ms":500}`), " PublishFailed InternalError. Again in 0.5 s"},
		{"a lookup", line(`{"message":"looked up","verdict":"found","error":""}`), " looked up: found"},
		{"a lookup with a reason", line(`{"message":"looked up","verdict":"undecided","error":"the clocks disagree"}`), " looked up: undecided: the clocks disagree"},
		{"a look that saw no end", line(`{"message":"delivery","status":"copying","kind":"Copying","error":"1 of 2 copies wait or run"}`), "copying Copying 1 of 2 copies wait or run"},
		{"another line", line(`{"message":"connecting failed","error":"no such host"}`), " connecting failed: no such host"},
	} {
		r := &rig{journal: newJournal()}
		tt.see(r)
		history, _, leave := r.journal.listen()
		leave()
		var got entry
		if err := json.Unmarshal(history[1].data, &got); err != nil || got.Status+" "+got.Text != tt.want {
			t.Errorf("%s: %q, want %q (%v)", tt.name, got.Status+" "+got.Text, tt.want, err)
		}
	}
}

func TestQueueIsBounded(t *testing.T) {
	s := open(t, quick)
	record := `{"eventSource":"aws:sqs","body":"x"}`
	many := `{"Records":[` + strings.Repeat(record+",", maxMessages) + record + `]}`
	if answer, text := s.do(http.MethodPost, "/queue", many); answer.StatusCode != http.StatusTooManyRequests {
		t.Errorf("%s %s", answer.Status, text)
	}
}

func TestFaults(t *testing.T) {
	s := open(t, quick)
	for _, f := range []struct {
		of, name string
		want     []string // an invocation's steps with a status, but for the topic's own
	}{
		{"cbr", "unavailable", []string{"cbr error", "result accepted", "outcome accepted"}},
		{"cbr", "full", []string{"cbr error", "result rejected", "outcome rejected", "answered error"}},
		{"cbr", "reset-before", []string{"cbr error", "result failed", "outcome failed", "answered error"}},
		{"cbr", "cut", []string{"cbr error", "result failed", "outcome failed", "answered error"}},
		{"topic", "internal", []string{"result accepted", "outcome accepted"}},
		{"topic", "reset", []string{"result accepted", "outcome accepted"}},
	} {
		s.post("/start-over", "")
		s.post("/faults", fmt.Sprintf(`{"of":%q,"name":%q,"times":1}`, f.of, f.name))
		s.post(invocations, sample(t, "direct"))
		end := s.until(func(e entry) bool { return e.Step == stepAnswered })
		got := slices.DeleteFunc(steps(s.seen, end.Invocation), func(step string) bool {
			return !strings.Contains(step, " ") || strings.HasPrefix(step, stepTopic)
		})
		if diff := cmp.Diff(f.want, got); diff != "" {
			t.Errorf("%s %s (-want +got):\n%s", f.of, f.name, diff)
		}
		if got := s.now.Faults[f.of]; got != (setting{}) {
			t.Errorf("%s %s: met once, and is still on: %+v", f.of, f.name, got)
		}
	}
	for _, wrong := range []string{`{`, `{"of":"x","name":"busy","times":1}`, `{"of":"cbr","name":"x","times":1}`, `{"of":"cbr","name":"busy","times":0}`} {
		if answer, text := s.do(http.MethodPost, "/faults", wrong); answer.StatusCode != http.StatusBadRequest {
			t.Errorf("%s: %s %s", wrong, answer.Status, text)
		}
	}
}

// TestSwitch: a fault is met as often as it was set.
func TestSwitch(t *testing.T) {
	t.Parallel()
	s := faultSwitch[sandbox.TopicFault]{Faults: topicFaults()}
	met := func() (n int) {
		for range 5 {
			if _, ok := s.take(); ok {
				n++
			}
		}
		return n
	}
	for times, want := range map[int]int{2: 2, untilSwitchedOff: 5} {
		if err := s.set("reset", times); err != nil {
			t.Fatal(err)
		}
		if got := met(); got != want {
			t.Errorf("times %d: met %d of 5 times, want %d", times, got, want)
		}
	}
	if err := s.set("", 0); err != nil || met() != 0 {
		t.Errorf("switched off, but it is met (%v)", err)
	}
}

func TestCopiesAndBackups(t *testing.T) {
	s := open(t, pace{copyTime: 0, delay: time.Second})
	// Not the sample: it has requested_at, so that the copies of the first call are the second's as well.
	for n, want := range []string{"accepted", "unchanged"} {
		s.post(invocations, request)
		if e := s.until(func(e entry) bool { return e.Step == stepResult }); e.Status != want {
			t.Errorf("call %d ends as %s, want %s", n+1, e.Status, want)
		}
	}
	s.post("/backups", "")
	s.post(invocations, request)
	s.untilStep(stepResult, "accepted")
}

// TestRevokeToken: a request that meets a revoked token succeeds with a new one.
func TestRevokeToken(t *testing.T) {
	s := open(t, pace{copyTime: 0, delay: time.Second})
	s.post("/revoke-token", "")
	if e := s.untilStep(stepSwitch, ""); !strings.HasPrefix(e.Text, "No token to revoke") {
		t.Errorf("before the first login: %q", e.Text)
	}
	s.post(invocations, request)
	s.untilStep(stepResult, "accepted")
	s.post("/revoke-token", "")
	s.post("/backups", "")
	s.post(invocations, request)
	refused := s.untilStep(stepCBR, "error")
	if !strings.Contains(refused.Text, "APIGW.0307") {
		t.Errorf("with a revoked token: %q", refused.Text)
	}
	s.untilStep(stepAnswered, "")
	want := []string{"invoked", "cbr error", "login", "cbr", "result accepted", "outcome accepted", "answered"}
	// The function's log comes on another way than its calls.
	got := slices.DeleteFunc(steps(s.seen, refused.Invocation), func(step string) bool { return step == stepRetry })
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("steps (-want +got):\n%s", diff)
	}
	// After starting over: a login first, and nothing of the old token.
	s.post("/start-over", "")
	s.post(invocations, request)
	end := s.untilStep(stepAnswered, "")
	want = []string{"invoked", "login", "cbr", "result accepted", "outcome accepted", "answered"}
	if diff := cmp.Diff(want, steps(s.seen, end.Invocation)); diff != "" {
		t.Errorf("steps after starting over (-want +got):\n%s", diff)
	}
}

// TestEvents: a page that is opened later gets the history, then the present state. After starting over there is no history.
func TestEvents(t *testing.T) {
	s := open(t, quick)
	s.post(invocations, sample(t, "direct"))
	s.untilStep(stepAnswered, "")
	first := s.seen
	s.events, s.seen = s.listen(), nil
	if e := s.next(); e.name != "reset" {
		t.Errorf("the first event is %s", e.name)
	}
	s.untilStep(stepAnswered, "")
	if diff := cmp.Diff(first, s.seen); diff != "" {
		t.Errorf("the history (-live +later):\n%s", diff)
	}
	if e := s.next(); e.name != "state" {
		t.Errorf("after the history comes %s", e.name)
	}
	s.post("/start-over", "")
	s.events = s.listen()
	for _, want := range []string{"reset", "state"} {
		if e := s.next(); e.name != want {
			t.Errorf("after starting over comes %s, want %s", e.name, want)
		}
	}
}

// TestJournalIsBounded: the history is bounded, and a listener that does not read is dropped.
func TestJournalIsBounded(t *testing.T) {
	t.Parallel()
	j := newJournal()
	_, next, leave := j.listen()
	defer leave()
	for range maxBehind {
		j.add(entry{Text: "x"})
	}
	j.add(entry{Text: "x", Detail: strings.Repeat("é", maxDetail)})
	heard := 0
	for range next {
		heard++
	}
	if heard != maxBehind {
		t.Errorf("a listener that does not read is dropped after %d, want %d", heard, maxBehind)
	}
	history, _, leaveAgain := j.listen()
	defer leaveAgain()
	if len(history) != maxEntries+2 {
		t.Errorf("the history has %d events, want %d entries, reset and state", len(history), maxEntries)
	}
	var last entry
	if err := json.Unmarshal(history[maxEntries].data, &last); err != nil || last.ID != maxBehind+1 || len(last.Detail) > maxDetail+20 {
		t.Errorf("the last entry has id %d and %d bytes (%v)", last.ID, len(last.Detail), err)
	}
}

func TestPageFiles(t *testing.T) {
	s := open(t, quick)
	answer, index := s.do(http.MethodGet, "/", "")
	if got := answer.Header.Get("Content-Type"); got != "text/html; charset=utf-8" {
		t.Errorf("Content-Type %q", got)
	}
	if got := answer.Header.Get("Content-Security-Policy"); got != policy || !strings.Contains(policy, "default-src 'none'") || strings.Contains(policy, "unsafe") {
		t.Errorf("Content-Security-Policy %q", got)
	}
	for _, f := range cbrFaults() {
		if !strings.Contains(index, `value="`+f.Name+`"`) {
			t.Errorf("the page has no fault %s", f.Name)
		}
	}
	// Nothing of other sites, and nothing that the policy would stop.
	if found := regexp.MustCompile(`://|<style|\sstyle=|\son[a-z]+=|<script>`).FindString(index); found != "" {
		t.Errorf("the page has %q", found)
	}
	for path, want := range map[string]string{"/page.css": "text/css", "/page.js": "text/javascript", "/icon.svg": "image/svg+xml", "/samples/sqs": "application/json"} {
		answer, text := s.do(http.MethodGet, path, "")
		if got := answer.Header.Get("Content-Type"); answer.StatusCode != http.StatusOK || !strings.HasPrefix(got, want) || text == "" {
			t.Errorf("%s: %s %s, %d bytes", path, answer.Status, got, len(text))
		}
		if strings.Contains(text, "innerHTML") {
			t.Errorf("%s uses innerHTML", path)
		}
	}
	// Each payload in the folder is offered, and no schema.
	var offered []string
	for _, option := range regexp.MustCompile(`<option[^>]*>([^<]+)</option>`).FindAllStringSubmatch(between(index, `<select id="sample"`, "</select>"), -1) {
		offered = append(offered, option[1])
	}
	files, err := filepath.Glob(samples + "/*.json")
	if err != nil {
		t.Fatal(err)
	}
	var want []string
	for _, file := range files {
		if name := strings.TrimSuffix(filepath.Base(file), ".json"); !strings.Contains(sample(t, name), `"$schema"`) {
			want = append(want, name)
		}
	}
	want = append(want, "backup", "plan-check", "plan-dry-run", "plan")
	if diff := cmp.Diff(want, offered); diff != "" || len(want) == 0 {
		t.Errorf("samples (-want +got):\n%s", diff)
	}
}

// between is the part of text between begin and end.
func between(text, begin, end string) string {
	_, text, _ = strings.Cut(text, begin)
	text, _, _ = strings.Cut(text, end)
	return text
}

func TestGuard(t *testing.T) {
	s := open(t, quick)
	host := strings.TrimPrefix(s.url, "http://")
	_, port, _ := strings.Cut(host, ":")
	for _, test := range []struct {
		name, method, path string
		header             []string
		want               int
	}{
		{"a client that is no browser", "POST", "/start-over", nil, 204},
		{"the page", "POST", "/start-over", []string{"Sec-Fetch-Site", "same-origin", "Origin", s.url}, 204},
		{"the page of an old browser", "POST", "/start-over", []string{"Origin", s.url}, 204},
		{"by name", "GET", "/", []string{"Host", "localhost:" + port}, 200},
		{"another site", "POST", "/start-over", []string{"Sec-Fetch-Site", "cross-site"}, 403},
		{"another port", "POST", "/queue", []string{"Sec-Fetch-Site", "same-site"}, 403},
		{"another site, an old browser", "POST", invocations, []string{"Origin", "http://example.com"}, 403},
		{"a sandboxed frame", "POST", replicate, []string{"Origin", "null"}, 403},
		{"another name of this address", "GET", "/samples/sqs", []string{"Host", "example.com"}, 421},
	} {
		answer, text := s.do(test.method, test.path, "", test.header...)
		if answer.StatusCode != test.want {
			t.Errorf("%s: %s %.80s, want %d", test.name, answer.Status, text, test.want)
		}
		if answer.StatusCode >= 400 && decode[apiFault](s, []byte(text)).Code == "" {
			t.Errorf("%s is refused with %s", test.name, text)
		}
	}
}

// TestRun: the command names its address, serves, and ends cleanly when it is interrupted.
func TestRun(t *testing.T) {
	t.Chdir("../../..")
	ctx, interrupt := context.WithCancel(t.Context())
	out, in := io.Pipe()
	ended := make(chan error, 1)
	go func() { ended <- run(ctx, in, 0); in.Close() }()
	lines := bufio.NewScanner(out)
	if !lines.Scan() {
		t.Fatalf("it prints nothing: %v", <-ended)
	}
	_, address, _ := strings.Cut(lines.Text(), "http://127.0.0.1:")
	go func() { _, _ = io.Copy(io.Discard, out) }()
	client := &http.Client{Transport: &http.Transport{}}
	defer client.CloseIdleConnections()
	events, err := client.Get("http://127.0.0.1:" + address + "/events")
	if err != nil {
		t.Fatal(err)
	}
	defer events.Body.Close()
	interrupt()
	if err := <-ended; err != nil {
		t.Errorf("it ends with %v", err)
	}

	// The port of another.
	server := httptest.NewServer(http.NotFoundHandler())
	defer server.Close()
	var port uint
	if _, err := fmt.Sscanf(server.URL, "http://127.0.0.1:%d", &port); err != nil {
		t.Fatal(err)
	}
	if err := run(t.Context(), io.Discard, port); err == nil || !strings.Contains(err.Error(), "PORT=") {
		t.Errorf("on a port that is in use: %v", err)
	}
}
