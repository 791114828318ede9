package main

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"cbr-replicator/internal/cbr/cbrtest"
	"cbr-replicator/internal/sandbox"
)

const (
	invocations = 16 // invocations of one process
	rounds      = 3  // invocations of each sender, one after another
)

// part is what CBR does with a request, and how its delivery ends.
type part struct {
	faults   []cbrtest.Fault
	attempts int
	status   string // of the result
	kind     string
	busy     bool // a queue has it handed back, without a result
}

// parts returns the parts of a batch, in order. CBR delays its answers, so that
// invocations overtake each other.
func parts() []part {
	const delay = 20 * time.Millisecond
	late := cbrtest.Late(delay)
	full := cbrtest.Fault{Status: 400, Code: "BackupService.6129", Message: "full", Delay: delay}
	busy := cbrtest.Fault{Status: 400, Code: "BackupService.6130", Message: "busy", Delay: delay}
	return []part{
		{faults: []cbrtest.Fault{cbrtest.Unavailable(), late}, attempts: 2, status: "accepted"},
		{faults: []cbrtest.Fault{cbrtest.Throttled(0), late}, attempts: 2, status: "accepted"},
		{faults: []cbrtest.Fault{full}, attempts: 1, status: "rejected", kind: "Rejected"},
		{faults: []cbrtest.Fault{busy}, attempts: 1, status: "failed", kind: "InProgress", busy: true},
	}
}

// sent is one request on its way.
type sent struct {
	part
	vault, correlation, causation string
	requestID                     string // the invocation's
	region                        string // the destination's, which only one sender has
	redelivered                   bool
}

// sender invokes the function several times, one after the other, with one trigger.
type sender struct {
	*rig
	queue   *sandbox.Queue // of its own
	way     string         // queue, direct or http
	region  string
	project string // of the destination
	vault   string // the destination
	size    int    // of a batch
	all     []*sent
}

// TestSixteenAtOnce: invocations run side by side in one process, while CBR fails and
// delays. Each has its own log lines, metrics, results and answer.
func TestSixteenAtOnce(t *testing.T) {
	t.Parallel()
	senders := make([]*sender, invocations)
	queues := make([]*sandbox.Queue, invocations)
	for i := range senders {
		queues[i] = sandbox.NewQueue(sandbox.QueueConfig{Name: fmt.Sprint("requests-", i), VisibilityTimeout: time.Hour, Now: time.Now})
		senders[i] = &sender{
			queue: queues[i], way: []string{"queue", "direct", "http"}[i%3], size: 2 + i/3%3,
			region: fmt.Sprintf("target-%02d", i), project: fmt.Sprintf("%032x", i), vault: fmt.Sprintf("0ca3eb86-8800-46da-9c37-%012x", i),
		}
	}
	service, err := sandbox.NewSQS(queues...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(service.Close)
	all := newMeeting(t)
	r := newRig(t, "results", map[string]string{
		"AWS_LAMBDA_MAX_CONCURRENCY": fmt.Sprint(invocations),
		"AWS_ENDPOINT_URL_SQS":       service.URL(),
		"ALLOWED_DESTINATIONS":       "*/*",
		"CBR_TIMEOUT":                "1m",
		"RETRY_MAX_ELAPSED":          "1m",
	}, cbrtest.WithObserver(all.see))
	for _, s := range senders {
		s.rig = r
		r.cbr.AddProject(s.project, s.region)
		r.cbr.AddVault(cbrtest.Vault{ID: s.vault, ProjectID: s.project, ProtectType: "replication"})
	}

	var work sync.WaitGroup
	for _, s := range senders {
		work.Go(func() {
			for n := range rounds {
				s.invoke(n)
			}
		})
	}
	work.Wait()

	own := map[string]*sent{} // by vault
	for _, s := range senders {
		for _, d := range s.all {
			own[d.vault] = d
		}
	}
	checkCalls(t, r, own)
	checkResults(t, r, own)
	checkLog(t, r, own)
	checkMetrics(t, r, senders)
	for _, s := range senders {
		left := 0
		for _, d := range s.all {
			if d.redelivered {
				left++
			}
		}
		if got := len(s.queue.Messages()); got != left || len(s.queue.Receive(10)) > 0 {
			t.Errorf("%d messages are left of %s, want %d, all out of sight", got, s.region, left)
		}
	}
}

// meeting holds the first request of each sender at CBR until all senders have one
// there.
type meeting struct {
	t    *testing.T
	mu   sync.Mutex
	here map[string]bool // by destination region
	met  chan struct{}
}

func newMeeting(t *testing.T) *meeting {
	return &meeting{t: t, here: map[string]bool{}, met: make(chan struct{})}
}

func (m *meeting) see(call cbrtest.Call) {
	if call.Operation != cbrtest.CopyCheckpoint {
		return
	}
	_, rest, _ := strings.Cut(call.Body, `"destination_region":"`)
	region, _, _ := strings.Cut(rest, `"`)
	m.mu.Lock()
	if m.here[region] = true; len(m.here) == invocations {
		select {
		case <-m.met:
		default:
			close(m.met)
		}
	}
	m.mu.Unlock()
	select {
	case <-m.met:
	case <-time.After(45 * time.Second):
		m.t.Errorf("not all of %d invocations run side by side", invocations)
	}
}

// invoke sends requests for new vaults in one invocation, and checks the answer.
func (s *sender) invoke(round int) {
	kinds := parts()[:s.size]
	if s.way == "http" {
		kinds = []part{parts()[round%len(parts())]}
	}
	ds := make([]*sent, len(kinds))
	for i, part := range kinds {
		vault := fmt.Sprintf("a%07x-0000-4000-8000-%s%010x", i, s.region[len("target-"):], round)
		s.cbr.AddVault(cbrtest.Vault{ID: vault, ProjectID: cbrtest.SourceProject})
		s.cbr.AddBackup(cbrtest.Backup{ID: "b" + vault[1:], VaultID: vault})
		s.cbr.Script(vault, part.faults...)
		ds[i] = &sent{part: part, vault: vault, correlation: fmt.Sprintf("%s/%d/%d", s.region, round, i), region: s.region}
	}
	s.all = append(s.all, ds...)
	switch s.way {
	case "queue":
		s.invokeByQueue(ds)
	case "direct":
		s.invokeDirectly(ds)
	default:
		s.invokeByHTTP(ds[0], round)
	}
}

// body returns the request of d.
func (s *sender) body(d *sent, correlation bool) string {
	text := fmt.Sprintf(`{"replicate":{"vault_id":%q,"destination_vault_id":%q,"destination_project_id":%q,"destination_region":%q}}`,
		d.vault, s.vault, s.project, s.region)
	if correlation {
		text = strings.Replace(text, "{", fmt.Sprintf(`{"correlation_id":%q,`, d.correlation), 1)
	}
	return text
}

func (s *sender) invokeByQueue(ds []*sent) {
	var want []string
	for _, d := range ds {
		d.causation = s.queue.Send(s.body(d, false), map[string]string{"correlation_id": d.correlation}, "")
		if d.redelivered = d.busy; d.busy {
			want = append(want, d.causation)
		}
	}
	mapping := sandbox.Mapping{Queue: s.queue, Invoke: func(_ context.Context, payload []byte) (sandbox.Response, error) {
		response := s.rig.invoke(payload, time.Minute)
		for _, d := range ds {
			d.requestID = response.RequestID
		}
		return response, nil
	}}
	failed, _ := mapping.Deliver(s.t.Context(), s.queue.Receive(sandbox.BatchSize)) // invoke ends the test itself
	var got []string
	for _, m := range failed {
		got = append(got, m.ID)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		s.t.Errorf("%s: handed back (-want +got):\n%s", s.region, diff)
	}
}

func (s *sender) invokeDirectly(ds []*sent) {
	requests := make([]string, len(ds))
	for i, d := range ds {
		requests[i] = s.body(d, true)
	}
	response := s.rig.invoke([]byte("["+strings.Join(requests, ",")+"]"), time.Minute)
	answers := decode[[]struct {
		Status  string
		Request struct {
			CorrelationID string `json:"correlation_id"`
		}
		RequestID string `json:"request_id"`
	}](s.t, string(response.Payload))
	var want, got []string
	for i, d := range ds {
		d.requestID, d.causation = response.RequestID, fmt.Sprintf("%s/%d", response.RequestID, i)
		want = append(want, d.status+" "+d.correlation+" "+lastCall(s.rig, d.vault).RequestID)
	}
	for _, a := range answers {
		got = append(got, a.Status+" "+a.Request.CorrelationID+" "+a.RequestID)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		s.t.Errorf("%s: answers (-want +got):\n%s", s.region, diff)
	}
}

func (s *sender) invokeByHTTP(d *sent, round int) {
	event := decode[map[string]any](s.t, string(sample(s.t, "apigw-http")))
	d.causation = fmt.Sprintf("http-%s-%d", s.region, round)
	event["requestContext"].(map[string]any)["requestId"] = d.causation
	event["headers"].(map[string]any)["x-correlation-id"] = d.correlation
	event["body"] = s.body(d, false)
	payload, _ := json.Marshal(event) // decoded JSON always marshals
	response := s.rig.invoke(payload, time.Minute)
	d.requestID = response.RequestID
	answer := decode[struct {
		StatusCode int
		Headers    map[string]string
		Body       string
	}](s.t, string(response.Payload))
	if (answer.StatusCode == 200) != (d.status == "accepted") || answer.Headers["X-Request-Id"] != lastCall(s.rig, d.vault).RequestID ||
		d.status == "accepted" && !strings.Contains(answer.Body, d.vault) {
		s.t.Errorf("%s: answer %+v of vault %s, which is %s", s.region, answer, d.vault, d.status)
	}
}

func lastCall(r *rig, vault string) (last cbrtest.Call) {
	for _, call := range r.cbr.Calls() {
		if call.Vault == vault {
			last = call
		}
	}
	return last
}

// checkCalls: CBR was called as often as expected, each time for the vault's own
// destination.
func checkCalls(t *testing.T, r *rig, own map[string]*sent) {
	t.Helper()
	asked := map[string]int{}
	for _, call := range r.cbr.Calls() {
		asked[call.Vault]++
		if d := own[call.Vault]; d == nil || !strings.Contains(call.Body, `"destination_region":"`+d.region+`"`) {
			t.Errorf("call %s", call.Body)
		}
	}
	for vault, d := range own {
		if asked[vault] != d.attempts {
			t.Errorf("%s: asked %d times for vault %s, want %d", d.region, asked[vault], vault, d.attempts)
		}
	}
}

// checkResults: each request that is not handed back has one result, its own.
func checkResults(t *testing.T, r *rig, own map[string]*sent) {
	t.Helper()
	told := map[string]int{}
	for _, m := range r.topic.Messages() {
		e := decode[event](t, m.Message)
		vault := m.Attributes["vault_id"]
		told[vault]++
		d := own[vault]
		if d == nil || d.redelivered {
			t.Errorf("a result of vault %q: %s", vault, m.Message)
			continue
		}
		errorKind, _ := e.Data.Error["kind"].(string)
		want := []string{d.status, d.kind, d.correlation, d.causation, "vaults/" + vault, d.region, lastCall(r, vault).RequestID}
		got := []string{e.Data.Status, errorKind, e.CorrelationID, e.CausationID, e.Subject, m.Attributes["destination_region"], e.Data.Request_}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("result of vault %s (-want +got):\n%s", vault, diff)
		}
		if d.status == "accepted" && (e.Data.Replication.VaultID != vault || len(e.Data.Replication.Backups) != 1 || e.Data.Replication.Backups[0]["backup_id"] != "b"+vault[1:]) {
			t.Errorf("vault %s has the copies %+v", vault, e.Data.Replication)
		}
	}
	for vault, d := range own {
		if want := 1; !d.redelivered && told[vault] != want {
			t.Errorf("%d results of vault %s, want %d", told[vault], vault, want)
		}
	}
}

// checkLog: a line with a vault, a correlation id or a causation id has the request
// id of their invocation.
func checkLog(t *testing.T, r *rig, own map[string]*sent) {
	t.Helper()
	byID := map[string]*sent{}
	for vault, d := range own {
		byID[vault], byID[d.correlation], byID[d.causation] = d, d, d
	}
	ended, retried := map[string]int{}, map[string]int{}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, text := range r.log {
		var line map[string]any
		if err := json.Unmarshal([]byte(text), &line); err != nil {
			t.Errorf("the log has %q: %v", text, err)
			continue
		}
		var owner *sent
		for _, name := range []string{"vault_id", "correlation_id", "causation_id"} {
			id, _ := line[name].(string)
			if id == "" {
				continue
			}
			if owner == nil {
				owner = byID[id]
			}
			if byID[id] == nil || byID[id] != owner || line["requestId"] != owner.requestID {
				t.Errorf("not of one invocation: %s", text)
			}
		}
		switch line["message"] {
		case "retrying":
			if owner != nil {
				retried[owner.vault]++
			}
		case "delivery":
			if owner == nil {
				t.Errorf("of nobody: %s", text)
				continue
			}
			ended[owner.vault]++
			status := owner.status
			if owner.redelivered {
				status = "redelivered"
			}
			want := []any{status, owner.kind, owner.region, lastCall(r, owner.vault).RequestID, float64(owner.attempts)}
			got := []any{line["status"], line["kind"], line["destination_region"], line["cbr_request_id"], line["attempts"]}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("line of vault %s (-want +got):\n%s", owner.vault, diff)
			}
		}
	}
	for vault, d := range own {
		if ended[vault] != 1 || retried[vault] != d.attempts-1 {
			t.Errorf("vault %s: %d lines of its end and %d of a retry, want 1 and %d", vault, ended[vault], retried[vault], d.attempts-1)
		}
	}
}

// checkMetrics: each invocation has one line of metrics, with its sender's region,
// that counts only this invocation.
func checkMetrics(t *testing.T, r *rig, senders []*sender) {
	t.Helper()
	type counts struct {
		Deliveries, Accepted, Rejected, Failed, Redelivered, Retries, InProgress, Unchanged, PublishFailures int
	}
	got, coldStarts := map[string][]counts{}, 0
	for _, text := range r.log {
		if !strings.Contains(text, `"_aws"`) {
			continue
		}
		line := decode[struct {
			Region    string `json:"destination_region"`
			ColdStart int
			Duration  *int
		}](t, text)
		coldStarts += line.ColdStart
		if line.Duration == nil {
			t.Errorf("a line of two invocations, of %s", line.Region)
		}
		got[line.Region] = append(got[line.Region], decode[counts](t, text))
	}
	want := map[string][]counts{}
	for _, s := range senders {
		for batch := range slices.Chunk(s.all, len(s.all)/rounds) {
			var c counts
			for _, d := range batch {
				c.Deliveries++
				c.Retries += d.attempts - 1
				switch {
				case d.redelivered:
					c.Redelivered++
				case d.status == "accepted":
					c.Accepted++
				case d.status == "rejected":
					c.Rejected++
				default:
					c.Failed++
				}
				if d.busy {
					c.InProgress++
				}
			}
			want[s.region] = append(want[s.region], c)
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("metrics by region (-want +got):\n%s", diff)
	}
	if coldStarts != 1 {
		t.Errorf("%d cold starts, want one process", coldStarts)
	}
}
