package replicator_test

import (
	"bytes"
	"cmp"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
	"unicode"
	"unicode/utf8"

	lambdaevents "github.com/aws/aws-lambda-go/events"
	gocmp "github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"go.uber.org/goleak"
	"pgregory.net/rapid"

	replicator "cbr-replicator"
	"cbr-replicator/events"
	"cbr-replicator/internal/allow"
	"cbr-replicator/internal/awscall"
	"cbr-replicator/internal/cbr"
	"cbr-replicator/internal/cbr/cbrtest"
	"cbr-replicator/internal/delivery"
	"cbr-replicator/internal/huawei"
	"cbr-replicator/internal/kind"
	"cbr-replicator/internal/metrics"
	"cbr-replicator/internal/queue"
	"cbr-replicator/internal/reconcile"
	"cbr-replicator/internal/redact"
	"cbr-replicator/internal/rejected"
	"cbr-replicator/internal/replicate"
	"cbr-replicator/internal/result"
	"cbr-replicator/internal/retry"
	"cbr-replicator/internal/sink"
	"cbr-replicator/internal/sink/sinktest"
	"cbr-replicator/internal/sink/sns"
	"cbr-replicator/internal/token"
	"cbr-replicator/internal/visibility"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	queueARN     = "arn:aws:sqs:eu-central-1:123456789012:requests"
	functionARN  = "arn:aws:lambda:eu-central-1:123456789012:function:cbr-replicator"
	maxReceives  = 10
	maxAttempts  = 3
	otherProject = "00000000000000000000000000000000"
	// unkeyedProject is on the allow-list, but there is no token for it.
	unkeyedProject = "11111111111111111111111111111111"
)

// tb is what a rig needs of a *testing.T or a *rapid.T.
type tb interface {
	rapid.TB
	Cleanup(func())
	Context() context.Context
}

// rig is a handler between a CBR and a topic that run in the process. When the test
// ends, the token must be in no reply, log line, metric or result.
type rig struct {
	*replicator.Handler
	replicates *replicate.Action
	publishing retry.Policy
	t          tb
	cbr        *cbrtest.Server
	topic      *sinktest.Sink
	log        bytes.Buffer
	emf        bytes.Buffer
	// queues keeps the changes of visibility.
	queues sqsRecorder

	mu      sync.Mutex
	replies []string
}

// sqsRecorder takes every change of a visibility.
type sqsRecorder struct {
	mu      sync.Mutex
	seconds map[string]int // by receipt handle
}

func (s *sqsRecorder) Call(_ context.Context, _ string, in, _ any) error {
	raw, err := json.Marshal(in)
	if err != nil {
		return err
	}
	var call struct {
		Entries []struct {
			ReceiptHandle     string
			VisibilityTimeout int
		}
	}
	if err := json.Unmarshal(raw, &call); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.seconds == nil {
		s.seconds = map[string]int{}
	}
	for _, e := range call.Entries {
		s.seconds[e.ReceiptHandle] = e.VisibilityTimeout
	}
	return nil
}

func newServer(t tb, options ...cbrtest.Option) *cbrtest.Server {
	s := cbrtest.NewServer(options...)
	t.Cleanup(s.Close)
	s.AddExample()
	s.AddVault(cbrtest.Vault{ID: cbrtest.DestinationVault, ProjectID: cbrtest.DestinationProject, ProtectType: "replication", Size: 10_000_000})
	return s
}

// newRig returns a rig. Its handler is the one of function/wire.go, but without
// waits.
func newRig(t tb, server *cbrtest.Server) *rig {
	t.Helper()
	r := &rig{t: t, cbr: server, topic: &sinktest.Sink{T: t}}
	url := "https://cbr.example.com"
	if server != nil {
		url = server.URL
	}
	endpoints, err := huawei.NewEndpoints("cbr", url, "", cbrtest.SourceRegion)
	if err != nil {
		t.Fatal(err)
	}
	client := huawei.NewHTTPClient(10)
	t.Cleanup(client.CloseIdleConnections)
	hidden := new(redact.Redactor)
	policy := retry.Policy{
		Initial: time.Second, Max: time.Second, MaxAttempts: maxAttempts, MaxElapsed: 20 * time.Second, MinTry: time.Second,
		Rand: func() float64 { return 0 },
	}
	publishing := policy
	publishing.MinTry = 0
	r.publishing = publishing
	log := slog.New(slog.NewJSONHandler(&r.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	service := cbr.NewClient(huawei.Service{
		HTTP: client, Endpoints: endpoints, Redact: hidden, UserAgent: "cbr-replicator/test", Timeout: 30 * time.Second,
		Auth: token.New(token.Config{Fields: token.Fields{Token: cbrtest.Token}, ProjectID: cbrtest.SourceProject, Redact: hidden, Now: time.Now}),
	})
	r.replicates = &replicate.Action{CBR: service, Lookups: reconcile.New(service), Retry: policy, Reads: policy, Log: log, Redact: hidden}
	r.Handler = &replicator.Handler{
		Decoder: &events.Decoder{Redact: hidden, HTTPTimeout: 27 * time.Second, MaxReceiveCount: maxReceives},
		Allow: &allow.List{
			Projects:     []string{cbrtest.SourceProject, unkeyedProject},
			Destinations: []allow.Destination{{Region: cbrtest.DestinationRegion, ProjectID: cbrtest.DestinationProject}},
		},
		Actions:          []delivery.Action{r.replicates},
		Queues:           &visibility.Changer{SQS: &r.queues, Log: log, Redact: hidden, Rand: func() float64 { return 0 }},
		Endpoints:        endpoints,
		Results:          sink.NewPublisher(r.topic, publishing.Do, log, hidden),
		Metrics:          metrics.NewEmitter(&r.emf, metrics.EMF, "cbr-replicator"),
		Log:              log,
		Redact:           hidden,
		BatchConcurrency: 10,
		Reserve:          5 * time.Second,
	}
	t.Cleanup(func() {
		output := r.log.String() + r.emf.String() + strings.Join(r.replies, "\n")
		for _, m := range r.topic.Messages() {
			output += fmt.Sprintf("\n%s %v", m.Raw, m.Attributes)
		}
		if i := strings.Index(output, cbrtest.Token); i >= 0 {
			t.Errorf("the token is in …%s…", output[max(0, i-200):i])
		}
	})
	return r
}

// invoke calls the handler as Lambda does, under the request id "request-1".
func (r *rig) invoke(payload []byte) (string, *delivery.Failure) {
	r.t.Helper()
	return r.invokeWithin(payload, 2*time.Minute)
}

func (r *rig) invokeWithin(payload []byte, timeout time.Duration) (string, *delivery.Failure) {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), timeout)
	defer cancel()
	in := delivery.Invocation{RequestID: "request-1", FunctionARN: functionARN, Began: time.Now()}
	reply, err := r.Handle(ctx, in, payload)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.replies = append(r.replies, string(reply), fmt.Sprint(err))
	if err == nil {
		return string(reply), nil
	}
	failure, ok := errors.AsType[delivery.Failure](err)
	if !ok {
		r.t.Fatalf("the error %T names no type: %v", err, err)
	}
	return "", &failure
}

// handedBack invokes the handler with a batch of a queue and returns the ids of
// the batch item failures.
func (r *rig) handedBack(payload []byte) []string {
	r.t.Helper()
	reply, failure := r.invoke(payload)
	if failure != nil {
		r.t.Fatalf("the batch failed: %v", failure)
	}
	return batchItemFailures(r.t, reply)
}

func batchItemFailures(t tb, reply string) []string {
	t.Helper()
	var got struct {
		Failures []struct {
			ID string `json:"itemIdentifier"`
		} `json:"batchItemFailures"`
	}
	if err := json.Unmarshal([]byte(reply), &got); err != nil || got.Failures == nil {
		t.Fatalf("the reply %s has no list of failures: %v", reply, err)
	}
	ids := []string{}
	for _, f := range got.Failures {
		ids = append(ids, f.ID)
	}
	return ids
}

// published returns "causation status kind" of each result on the topic, sorted.
func (r *rig) published() []string {
	all := []string{}
	for _, m := range r.topic.Messages() {
		all = append(all, strings.TrimSpace(m.Event.CausationID+" "+m.Attributes["status"]+" "+m.Attributes["kind"]))
	}
	slices.Sort(all)
	return all
}

// lines returns the fields of the log lines with a message.
func (r *rig) lines(message string) []map[string]any {
	r.t.Helper()
	var found []map[string]any
	for line := range strings.Lines(r.log.String()) {
		fields := decode[map[string]any](r.t, line)
		if fields["msg"] == message {
			found = append(found, fields)
		}
	}
	return found
}

func decode[T any](t tb, text string) T {
	t.Helper()
	var v T
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return v
}

func encode(t tb, v any) []byte {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func diff(t tb, what string, want, got any) {
	t.Helper()
	if d := gocmp.Diff(want, got, cmpopts.EquateEmpty()); d != "" {
		t.Errorf("%s (-want +got):\n%s", what, d)
	}
}

// object is JSON to be sent.
type object map[string]any

// request returns the body of a request for a vault. changes are by the name of a
// field, such as region or replicate.vault_id.
func request(t tb, vault string, changes object) string {
	t.Helper()
	body := object{"project_id": cbrtest.SourceProject, "region": cbrtest.SourceRegion}
	replicate := object{
		"vault_id":               vault,
		"destination_vault_id":   cbrtest.DestinationVault,
		"destination_project_id": cbrtest.DestinationProject,
		"destination_region":     cbrtest.DestinationRegion,
	}
	for name, value := range changes {
		if inner, ok := strings.CutPrefix(name, "replicate."); ok {
			replicate[inner] = value
		} else {
			body[name] = value
		}
	}
	body["replicate"] = replicate
	return string(encode(t, body))
}

// message is a message in a queue. Without an id, its index in the batch is its id.
type message struct {
	id, body, group string
	receives        int
	firstReceive    time.Time // now if it is zero
	undated         bool      // the record has no time of the first receive
}

// sqs returns a batch of a queue, of a FIFO one if a message has a group.
func sqs(t tb, batch ...message) []byte {
	t.Helper()
	records := []object{}
	for i, m := range batch {
		if m.firstReceive.IsZero() {
			m.firstReceive = time.Now()
		}
		attributes := object{
			"ApproximateReceiveCount":          strconv.Itoa(max(m.receives, 1)),
			"ApproximateFirstReceiveTimestamp": strconv.FormatInt(m.firstReceive.UnixMilli(), 10),
		}
		if m.undated {
			delete(attributes, "ApproximateFirstReceiveTimestamp")
		}
		arn := queueARN
		if m.group != "" {
			arn += ".fifo"
			attributes["MessageGroupId"] = m.group
		}
		records = append(records, object{
			"messageId": cmp.Or(m.id, strconv.Itoa(i)), "receiptHandle": "receipt-" + cmp.Or(m.id, strconv.Itoa(i)),
			"body": m.body, "attributes": attributes,
			"eventSource": "aws:sqs", "eventSourceARN": arn,
		})
	}
	return encode(t, object{"Records": records})
}

// overHTTP returns the sample of API Gateway with another request.
func overHTTP(t tb, method, path, body string) []byte {
	t.Helper()
	sample, err := os.ReadFile(filepath.Join("events", "apigw-http.json"))
	if err != nil {
		t.Fatal(err)
	}
	event := decode[object](t, string(sample))
	event["rawPath"], event["body"] = path, body
	event["requestContext"].(map[string]any)["http"] = object{"method": method, "path": path}
	return encode(t, event)
}

const replicatePath = "/v3/" + cbrtest.SourceProject + "/checkpoints/replicate"

// response is an answer to API Gateway.
type response struct {
	StatusCode int
	Headers    map[string]string
	Body       string
}

// scripted is a CBR that is one function.
type scripted func(context.Context, cbr.Replicate) (cbr.Answer, error)

func (s scripted) Replicate(ctx context.Context, _ huawei.Scope, r cbr.Replicate) (cbr.Answer, error) {
	return s(ctx, r)
}

// accept is CBR's answer to a request that it accepts.
func accept(r cbr.Replicate) (cbr.Answer, error) {
	return cbr.Answer{
		Sent: true, Status: http.StatusOK, RequestID: "cbr-request",
		Replication: json.RawMessage(`{"backups":[{"backup_id":"b"}],"vault_id":"` + r.VaultID + `"}`),
	}, nil
}

// slow accepts every request after d, unless ctx ends first.
func slow(d time.Duration) scripted {
	return func(ctx context.Context, r cbr.Replicate) (cbr.Answer, error) {
		select {
		case <-time.After(d):
			return accept(r)
		case <-ctx.Done():
			return cbr.Answer{Sent: true}, &kind.Error{Kind: kind.Unknown, Message: "the answer was lost"}
		}
	}
}

func vaultID(i int) string { return fmt.Sprintf("%08x-0000-4000-8000-000000000000", i) }

// always returns a fault for every try of one invocation.
func always(f cbrtest.Fault) []cbrtest.Fault { return slices.Repeat([]cbrtest.Fault{f}, maxAttempts) }

// TestKinds holds what follows from each kind to the contract, for a queue, a direct
// call and HTTP. TestFIFO has Blocked, which is only for a FIFO queue.
func TestKinds(t *testing.T) {
	t.Parallel()
	// The example's request, which CBR answers with the faults.
	script := func(faults ...cbrtest.Fault) func(*rig) string {
		return func(r *rig) string {
			r.cbr.Script(cbrtest.AnyVault, faults...)
			return request(r.t, cbrtest.SourceVault, nil)
		}
	}
	instead := func(answer scripted) func(*rig) string {
		return func(r *rig) string {
			r.replicates.CBR = answer
			return request(r.t, cbrtest.SourceVault, nil)
		}
	}
	for _, tt := range []struct {
		name      string
		kind      kind.Kind
		published kind.Status // after the last delivery
		http      int         // CBR's own if it is 0
		attempts  int
		provoke   func(*rig) (body string)
	}{
		{name: "accepted", published: kind.Accepted, http: 200, attempts: 1, provoke: script()},
		{name: "accepted after two retries", published: kind.Accepted, http: 200, attempts: 3, provoke: script(cbrtest.Throttled(0), cbrtest.Unavailable())},
		{name: "AlreadyReplicated", kind: kind.AlreadyReplicated, published: kind.Unchanged, attempts: 1, provoke: func(r *rig) string {
			vault := r.cbr.AddVaults(cbrtest.SourceProject, 1, 0)[0]
			r.addBackup(vault, "backup", true)
			return request(r.t, vault, nil)
		}},
		{name: "NothingToReplicate", kind: kind.NothingToReplicate, published: kind.Unchanged, attempts: 1, provoke: func(r *rig) string {
			return request(r.t, r.cbr.AddVaults(cbrtest.SourceProject, 1, 0)[0], nil)
		}},
		{
			name: "NothingToReplicate in a 2xx", kind: kind.NothingToReplicate, published: kind.Unchanged, http: 200, attempts: 1,
			provoke: script(cbrtest.Raw(200, `{"replication":{"vault_id":"`+cbrtest.SourceVault+`","backups":[]}}`)),
		},
		{name: "NotCovered", kind: kind.NotCovered, published: kind.Refused, attempts: 1, provoke: script(cbrtest.Refusal(400, "BackupService.1009", "replicated"))},
		{name: "NotCovered, nothing to replicate", kind: kind.NotCovered, published: kind.Refused, attempts: 1, provoke: script(cbrtest.Refusal(400, "BackupService.0001", "no resource"))},
		{name: "InProgress", kind: kind.InProgress, published: kind.Failed, http: 409, attempts: 1, provoke: script(cbrtest.Refusal(400, "BackupService.6130", "busy"))},
		{name: "InvalidEvent, no JSON", kind: kind.InvalidEvent, published: kind.Refused, http: 400, provoke: func(*rig) string { return `{"replicate":` }},
		{name: "InvalidEvent, a field", kind: kind.InvalidEvent, published: kind.Refused, http: 400, provoke: func(r *rig) string {
			return request(r.t, "no-uuid", nil)
		}},
		{name: "NotAllowed", kind: kind.NotAllowed, published: kind.Refused, http: 403, provoke: func(r *rig) string {
			return request(r.t, cbrtest.SourceVault, object{"replicate.destination_region": "region3"})
		}},
		{name: "Rejected", kind: kind.Rejected, published: kind.Refused, attempts: 1, provoke: func(r *rig) string { return request(r.t, vaultID(0), nil) }},
		{name: "Rejected as a 5xx", kind: kind.Rejected, published: kind.Refused, attempts: 1, provoke: script(cbrtest.Refusal(500, "BackupService.1005", "region"))},
		{name: "Misconfigured, no CBR there", kind: kind.Misconfigured, published: kind.Failed, http: 502, attempts: 1, provoke: script(cbrtest.Raw(404, "<html>"))},
		{name: "Misconfigured, moved", kind: kind.Misconfigured, published: kind.Failed, http: 502, attempts: 1, provoke: script(cbrtest.Redirect("http://127.0.0.1:1/"))},
		{name: "Unauthorized", kind: kind.Unauthorized, published: kind.Failed, http: 502, attempts: 1, provoke: script(cbrtest.Refusal(401, "APIGW.0307", "The token must be updated"))},
		{name: "Throttled", kind: kind.Throttled, published: kind.Failed, http: 429, attempts: maxAttempts, provoke: script(always(cbrtest.Throttled(0))...)},
		{name: "Throttled for longer than is waited", kind: kind.Throttled, published: kind.Failed, http: 429, attempts: 1, provoke: script(cbrtest.Throttled(time.Hour))},
		{name: "Unavailable", kind: kind.Unavailable, published: kind.Failed, http: 503, attempts: maxAttempts, provoke: script(always(cbrtest.Unavailable())...)},
		{name: "Unknown, the answer lost", kind: kind.Unknown, published: kind.Failed, http: 504, attempts: 1, provoke: script(cbrtest.ResetAfter())},
		{name: "Unknown, the answer cut", kind: kind.Unknown, published: kind.Failed, http: 504, attempts: 1, provoke: script(cbrtest.CutShort())},
		{name: "Unknown, a 500", kind: kind.Unknown, published: kind.Failed, http: 504, attempts: 1, provoke: script(cbrtest.Raw(500, ""))},
		{name: "OutOfTime", kind: kind.OutOfTime, published: kind.Failed, http: 504, provoke: func(r *rig) string {
			r.replicates.Retry.MinTry = time.Hour
			return request(r.t, cbrtest.SourceVault, nil)
		}},
		{name: "PublishFailed", kind: kind.PublishFailed, http: 200, attempts: 1, provoke: func(r *rig) string {
			r.topic.Fault = func(int) error { return errors.New("AuthorizationError") }
			return request(r.t, cbrtest.SourceVault, nil)
		}},
		{name: "Internal", kind: kind.Internal, published: kind.Failed, http: 500, provoke: instead(func(context.Context, cbr.Replicate) (cbr.Answer, error) { panic("a bug") })},
	} {
		isPublished := tt.kind != kind.PublishFailed
		// What fails or is not published is handed back. A failure is published only
		// after the last delivery.
		redeliver := tt.published == kind.Failed || tt.published == kind.Unpublished
		// check checks what is the same for all triggers.
		check := func(t *testing.T, r *rig, published kind.Status) {
			t.Helper()
			var want []string
			if published != kind.Unpublished {
				want = []string{strings.TrimSpace(string(published) + " " + string(tt.kind))}
			}
			var got []string
			for _, m := range r.topic.Messages() {
				got = append(got, strings.TrimSpace(m.Attributes["status"]+" "+m.Attributes["kind"]))
				if data := m.Event.Data; data.Attempts != tt.attempts {
					t.Errorf("the result has %d attempts, want %d", data.Attempts, tt.attempts)
				}
				if tt.kind != kind.None && m.Attributes["retryable"] != strconv.FormatBool(redeliver) {
					t.Errorf("retryable is %s", m.Attributes["retryable"])
				}
			}
			diff(t, "results", want, got)
			lines := r.lines("delivery")
			if len(lines) != 1 || lines[0]["kind"] != string(tt.kind) || lines[0]["attempts"] != float64(tt.attempts) {
				t.Errorf("log lines of the delivery: %v", lines)
			}
			if lost := r.lines("result not published"); !isPublished && len(lost) != 1 {
				t.Errorf("the result is nowhere: %v", lost)
			}
		}
		queue := func(receives int, published kind.Status) func(t *testing.T) {
			return func(t *testing.T) {
				t.Parallel()
				r := newRig(t, newServer(t))
				body := tt.provoke(r)
				var want []string
				if redeliver {
					want = []string{"m"}
				}
				diff(t, "handed back", want, r.handedBack(sqs(t, message{id: "m", body: body, receives: receives, firstReceive: time.Now().Add(-time.Hour)})))
				check(t, r, published)
			}
		}
		notLast := tt.published
		if redeliver {
			notLast = kind.Unpublished
		}
		t.Run(tt.name+"/queue", queue(1, notLast))
		t.Run(tt.name+"/queue, last delivery", queue(maxReceives, tt.published))
		t.Run(tt.name+"/direct", func(t *testing.T) {
			t.Parallel()
			r := newRig(t, newServer(t))
			reply, failure := r.invoke([]byte(tt.provoke(r)))
			if tt.published == kind.Refused || tt.published == kind.Failed {
				if failure == nil || failure.Type != "CBR."+string(tt.kind) || !strings.HasPrefix(failure.Message, string(tt.kind)+" ") {
					t.Errorf("reply %s, error %v; want an error of type CBR.%s", reply, failure, tt.kind)
				}
			} else {
				if failure != nil {
					t.Fatalf("an error: %v", failure)
				}
				got := decode[struct {
					Status    kind.Status
					Published *bool `json:"result_published"`
				}](t, reply)
				if want := cmp.Or(tt.published, kind.Accepted); got.Status != want || (got.Published == nil) != isPublished {
					t.Errorf("reply %s", reply)
				}
			}
			check(t, r, tt.published)
		})
		t.Run(tt.name+"/HTTP", func(t *testing.T) {
			t.Parallel()
			r := newRig(t, newServer(t))
			reply, failure := r.invoke(overHTTP(t, "POST", replicatePath, tt.provoke(r)))
			if failure != nil {
				t.Fatalf("an HTTP answer is never a Lambda error: %v", failure)
			}
			got := decode[response](t, reply)
			body := decode[map[string]any](t, got.Body)
			wantStatus, wantCode := tt.http, string(tt.kind)
			if calls := r.cbr.Calls(); len(calls) > 0 {
				last := calls[len(calls)-1]
				wantStatus, wantCode = cmp.Or(tt.http, last.Status), cmp.Or(last.Code, wantCode)
				if id := got.Headers["X-Request-Id"]; last.Status != 0 && id != last.RequestID {
					t.Errorf("X-Request-Id %q, CBR's is %q", id, last.RequestID)
				}
			}
			if got.StatusCode != wantStatus {
				t.Errorf("status %d, want %d", got.StatusCode, wantStatus)
			}
			switch code := body["error_code"]; {
			case wantStatus == http.StatusOK && (body["replication"] == nil || code != nil):
				t.Errorf("body %s, want CBR's", got.Body)
			case wantStatus != http.StatusOK && tt.kind != kind.NotCovered && code != wantCode:
				t.Errorf("error_code %v, want %s", code, wantCode)
			}
			if got.Headers["X-Result-Published"] != strconv.FormatBool(isPublished) {
				t.Errorf("X-Result-Published: %s", got.Headers["X-Result-Published"])
			}
			mayPass := tt.kind == kind.InProgress || tt.kind == kind.Throttled || tt.kind == kind.Unavailable
			if (got.Headers["Retry-After"] != "") != mayPass {
				t.Errorf("Retry-After: %s", got.Headers["Retry-After"])
			}
			check(t, r, tt.published)
		})
	}
}

// TestMixedBatch: each delivery of a batch has an outcome of its own.
func TestMixedBatch(t *testing.T) {
	t.Parallel()
	r := newRig(t, newServer(t))
	vaults := r.cbr.AddVaults(cbrtest.SourceProject, 8, 1)
	throttled, panicking := vaults[6], vaults[7]
	r.cbr.Script(throttled, always(cbrtest.Throttled(0))...)
	client := r.replicates.CBR
	r.replicates.CBR = scripted(func(ctx context.Context, p cbr.Replicate) (cbr.Answer, error) {
		if p.VaultID == panicking {
			panic("with the token " + cbrtest.Token)
		}
		return client.Replicate(ctx, huawei.Scope{ProjectID: cbrtest.SourceProject, Region: cbrtest.SourceRegion}, p)
	})
	batch := []message{
		{id: "malformed", body: "{"},
		{id: "panicking", body: request(t, panicking, nil)},
		{id: "rejected", body: request(t, vaultID(0), nil)},
		{id: "throttled", body: request(t, throttled, nil)},
	}
	want := []string{"malformed rejected InvalidEvent", "rejected rejected Rejected"}
	for i, vault := range vaults[:6] {
		id := fmt.Sprint("good-", i)
		batch = append(batch, message{id: id, body: request(t, vault, nil)})
		want = append(want, id+" accepted")
	}
	slices.Sort(want)

	diff(t, "handed back", []string{"panicking", "throttled"}, r.handedBack(sqs(t, batch...)))
	diff(t, "results", want, r.published())
	if got := len(r.lines("delivery")); got != len(batch) {
		t.Errorf("%d log lines for %d deliveries", got, len(batch))
	}
	if got := len(r.lines("retrying")); got != maxAttempts-1 {
		t.Errorf("%d log lines for %d retries", got, maxAttempts-1)
	}
	if got := r.lines("panic"); len(got) != 1 || !strings.Contains(got[0]["stack"].(string), "TestMixedBatch") {
		t.Errorf("the panic is logged as %v", got)
	}
	counts := decode[map[string]any](t, r.emf.String())
	for name, want := range map[string]float64{
		"Deliveries": 10, "Accepted": 6, "Rejected": 2, "Redelivered": 2, "Failed": 0, "Retries": 2, "Throttled": 1, "PublishFailures": 0,
	} {
		if counts[name] != want {
			t.Errorf("metric %s is %v, want %v", name, counts[name], want)
		}
	}
}

// TestSecretByChance: a URN with a credential in it is compared and sent as it came,
// and masked where it is shown. A correlation id with a short one is not masked.
func TestSecretByChance(t *testing.T) {
	t.Parallel()
	r := newRig(t, newServer(t))
	const urn, id = "urn:smartservice:backup:policy/a-long-password", "nightly-backup-1"
	r.Allow.URNs = []string{urn}
	r.Redact.Hide("backup")
	r.Redact.Hide("a-long-password")
	body := request(t, cbrtest.SourceVault, object{"correlation_id": id, "replicate.cross_account_urn": urn})
	diff(t, "handed back", []string{}, r.handedBack(sqs(t, message{id: id, body: body})))
	diff(t, "results", []string{id + " accepted"}, r.published())
	if calls := r.cbr.Calls(); len(calls) != 1 || !strings.Contains(calls[0].Body, `"cross_account_urn":"`+urn+`"`) {
		t.Errorf("calls: %v", calls)
	}
	event := r.topic.Messages()[0].Event
	shown := decode[struct {
		CorrelationID string `json:"correlation_id"`
		Replicate     cbr.Replicate
	}](t, string(encode(t, event.Data.Request)))
	if got := *shown.Replicate.CrossAccountURN; got != "urn:smartservice:[redacted]:policy/[redacted]" {
		t.Errorf("the URN is shown as %s", got)
	}
	if event.CorrelationID != id || shown.CorrelationID != id || r.lines("delivery")[0]["correlation_id"] != id {
		t.Errorf("the correlation id is shown as %s, %s", event.CorrelationID, shown.CorrelationID)
	}
	var names map[string]json.RawMessage
	if err := json.Unmarshal(event.Data.Replication, &names); err != nil || names["backups"] == nil {
		t.Errorf("replication: %s", event.Data.Replication)
	}
}

// TestLongMessageKeepsWhatFollows: a long text of CBR is cut, so that what the lookup
// found fits behind it.
func TestLongMessageKeepsWhatFollows(t *testing.T) {
	t.Parallel()
	r := newRig(t, newServer(t))
	r.cbr.Script(cbrtest.SourceVault, cbrtest.Raw(504, strings.Repeat("<html>", 1000)))
	_, failure := r.invoke([]byte(request(t, cbrtest.SourceVault, nil)))
	if failure == nil || len(failure.Message) > redact.MaxText || !strings.HasSuffix(failure.Message, "; no effect is to be seen yet") {
		t.Errorf("answer: %v", failure)
	}
}

// TestPanicAfterTheCall: also after CBR has answered, a panic affects only its own
// delivery. Nobody is told that the request was accepted.
func TestPanicAfterTheCall(t *testing.T) {
	t.Parallel()
	// The topic refuses a result, and logging that panics.
	newRig := func(t *testing.T) *rig {
		r := newRig(t, newServer(t))
		r.Log = slog.New(breaking{r.Log.Handler()})
		r.topic.Refuse = func(m sinktest.Message) error {
			if m.Event.Data.Request.(map[string]any)["correlation_id"] == "breaks" {
				return errors.New("InvalidParameter")
			}
			return nil
		}
		return r
	}
	check := func(t *testing.T, r *rig, deliveries int) {
		t.Helper()
		if got := r.lines("panic"); len(got) != 1 || !strings.Contains(got[0]["stack"].(string), "breaking") || got[0]["error"] != "with the token [redacted]" {
			t.Errorf("the panic is logged as %v", got)
		}
		if got := r.lines("delivery"); len(got) != deliveries {
			t.Errorf("%d log lines for %d deliveries", len(got), deliveries)
		}
		if counts := decode[map[string]any](t, r.emf.String()); counts["Deliveries"] != float64(deliveries) {
			t.Errorf("%v deliveries are counted, not %d", counts["Deliveries"], deliveries)
		}
	}
	broken := func(t *testing.T, r *rig) string {
		return request(t, r.cbr.AddVaults(cbrtest.SourceProject, 1, 1)[0], object{"correlation_id": "breaks"})
	}
	t.Run("queue", func(t *testing.T) {
		t.Parallel()
		r := newRig(t)
		batch := []message{{id: "0", body: request(t, cbrtest.SourceVault, nil)}, {id: "1", body: broken(t, r)}}
		for i, vault := range r.cbr.AddVaults(cbrtest.SourceProject, 3, 1) {
			batch = append(batch, message{id: strconv.Itoa(i + 2), body: request(t, vault, nil)})
		}
		diff(t, "handed back", []string{"1"}, r.handedBack(sqs(t, batch...)))
		diff(t, "results", []string{"0 accepted", "2 accepted", "3 accepted", "4 accepted"}, r.published())
		check(t, r, 5)
	})
	t.Run("HTTP", func(t *testing.T) {
		t.Parallel()
		r := newRig(t)
		reply, failure := r.invoke(overHTTP(t, "POST", "/", broken(t, r)))
		if failure != nil {
			t.Fatal(failure)
		}
		if got := decode[response](t, reply); got.StatusCode != 500 || !strings.Contains(got.Body, "an unexpected error") || got.Headers["X-Result-Published"] != "false" {
			t.Errorf("answer %+v", got)
		}
		check(t, r, 1)
	})
	t.Run("direct batch", func(t *testing.T) {
		t.Parallel()
		r := newRig(t)
		reply, failure := r.invoke([]byte("[" + broken(t, r) + "," + request(t, cbrtest.SourceVault, nil) + "]"))
		if failure != nil {
			t.Fatal(failure)
		}
		type answer struct {
			Status kind.Status
			Error  struct{ Kind kind.Kind }
		}
		want := []answer{{Status: kind.Failed}, {Status: kind.Accepted}}
		want[0].Error.Kind = kind.Internal
		diff(t, "answers", want, decode[[]answer](t, reply))
		check(t, r, 2)
	})
}

// breaking is a log that panics if a result was not published.
type breaking struct{ slog.Handler }

func (b breaking) Handle(ctx context.Context, line slog.Record) error {
	if line.Message == "result not published" {
		panic("with the token " + cbrtest.Token)
	}
	return b.Handler.Handle(ctx, line)
}

// TestOneVaultAtATime: CBR makes one replication of a vault at a time, so that a
// batch sends the requests for a vault one after the other. Those for other vaults
// run side by side.
func TestOneVaultAtATime(t *testing.T) {
	t.Parallel()
	t.Run("as CBR sees it", func(t *testing.T) {
		t.Parallel()
		r := newRig(t, newServer(t, cbrtest.WithCopyTime(0), cbrtest.WithLatency(5*time.Millisecond)))
		vaults := r.cbr.AddVaults(cbrtest.SourceProject, 2, 1)
		var batch []message
		for i := range 10 {
			batch = append(batch, message{body: request(t, vaults[i%2], nil)})
		}
		diff(t, "handed back", []string{}, r.handedBack(sqs(t, batch...)))
		for _, vault := range vaults {
			if peak := r.cbr.PeakInFlight(vault); peak != 1 {
				t.Errorf("%d requests for one vault at once", peak)
			}
		}
	})
	t.Run("by the clock", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t, nil)
			r.replicates.CBR = slow(300 * time.Millisecond)
			var batch []message
			for i := range 10 {
				batch = append(batch, message{body: request(t, vaultID(i/4), nil)}) // 4, 4 and 2 of a vault
			}
			start := time.Now()
			diff(t, "handed back", []string{}, r.handedBack(sqs(t, batch...)))
			if took := time.Since(start).Round(100 * time.Millisecond); took != 1200*time.Millisecond {
				t.Errorf("took %v, want that of the four of one vault", took)
			}
		})
	})
}

// TestFIFO: a group stays in order. Deliveries behind one that is handed back are
// handed back unsent, and other groups go on.
func TestFIFO(t *testing.T) {
	t.Parallel()
	r := newRig(t, newServer(t))
	vaults := r.cbr.AddVaults(cbrtest.SourceProject, 7, 1)
	r.cbr.Script(vaults[1], always(cbrtest.Unavailable())...)
	var batch []message
	for i, id := range []string{"a1", "a2", "a3", "b1", "a4", "b2", "b3"} {
		batch = append(batch, message{id: id, group: id[:1], body: request(t, vaults[i], nil)})
	}
	batch[4].receives = maxReceives // the last delivery has no result either if it was not tried
	batch = append(batch, message{id: "b4", group: "b", body: "{"}, message{id: "b5", group: "b", body: request(t, vaults[3], nil)})

	diff(t, "handed back", []string{"a2", "a3", "a4", "b5"}, r.handedBack(sqs(t, batch...)))
	diff(t, "results", []string{"a1 accepted", "b1 accepted", "b2 accepted", "b3 accepted", "b4 rejected InvalidEvent"}, r.published())
	sent := map[string][]string{}
	for _, call := range r.cbr.Calls() {
		i := slices.Index(vaults, call.Vault)
		sent[batch[i].group] = append(sent[batch[i].group], batch[i].id)
	}
	diff(t, "sent to CBR", map[string][]string{"a": {"a1", "a2", "a2", "a2"}, "b": {"b1", "b2", "b3", "b1"}}, sent)
	var kinds []string
	for _, line := range r.lines("delivery") {
		if id := line["causation_id"].(string); id == "a3" || id == "a4" {
			kinds = append(kinds, fmt.Sprint(id, " ", line["status"], " ", line["kind"], " ", line["attempts"]))
		}
	}
	diff(t, "log", []string{"a3 redelivered Blocked 0", "a4 redelivered Blocked 0"}, kinds)
}

// TestKafkaItemFailures: of a partition the last records are handed back, and no
// other, since what is behind one that is handed back is not sent.
func TestKafkaItemFailures(t *testing.T) {
	t.Parallel()
	r := newRig(t, newServer(t))
	r.Decoder.KafkaItemFailures = true
	vaults := r.cbr.AddVaults(cbrtest.SourceProject, 4, 1)
	r.cbr.Script(vaults[1], always(cbrtest.Unavailable())...)
	record := func(offset int, body string) object {
		return object{"topic": "t", "partition": 0, "offset": offset, "timestamp": time.Now().UnixMilli(), "value": []byte(body)}
	}
	payload := encode(t, object{"eventSource": "SelfManagedKafka", "bootstrapServers": "b:9092", "records": object{
		"t-0": []object{record(7, request(t, vaults[0], nil)), record(8, request(t, vaults[1], nil)), record(9, "{"), record(10, request(t, vaults[2], nil))},
		"u-0": []object{{"topic": "u", "partition": 0, "offset": 3, "value": []byte("{")}, {"topic": "u", "partition": 0, "offset": 4, "value": []byte(request(t, vaults[3], nil))}},
	}})
	reply, failure := r.invoke(payload)
	if failure != nil {
		t.Fatal(failure)
	}
	item := func(offset float64) any {
		return map[string]any{"itemIdentifier": map[string]any{"partition": "t-0", "offset": offset}}
	}
	diff(t, "reply", map[string]any{"batchItemFailures": []any{item(8), item(9), item(10)}}, decode[map[string]any](t, reply))
	diff(t, "results", []string{"t/0/7 accepted", "u/0/3 rejected InvalidEvent", "u/0/4 accepted"}, r.published())
}

// TestResultRefused: if the topic refuses a result, the others are published. Its
// delivery is handed back, and the log has all of the event.
func TestResultRefused(t *testing.T) {
	t.Parallel()
	r := newRig(t, newServer(t))
	vaults := r.cbr.AddVaults(cbrtest.SourceProject, 3, 2)
	r.topic.Refuse = func(m sinktest.Message) error {
		if m.Event.CausationID != "1" {
			return nil
		}
		return errors.New("InvalidParameter")
	}
	var batch []message
	for _, vault := range vaults {
		batch = append(batch, message{body: request(t, vault, nil)})
	}
	diff(t, "handed back", []string{"1"}, r.handedBack(sqs(t, batch...)))
	diff(t, "results", []string{"0 accepted", "2 accepted"}, r.published())
	lines := r.lines("result not published")
	if len(lines) != 1 {
		t.Fatalf("log lines: %v", lines)
	}
	event := decode[result.Event](t, string(encode(t, lines[0]["event"])))
	replication := decode[struct {
		VaultID string `json:"vault_id"`
		Backups []any
	}](t, string(event.Data.Replication))
	if event.ID != result.ID(queueARN, "1", kind.Accepted) || replication.VaultID != vaults[1] || len(replication.Backups) != 2 {
		t.Errorf("the log has the event %+v", event)
	}
}

// TestDeadline: an invocation ends in time, whatever CBR does. It sends nothing for
// which there is no time, and hands back what it has not finished.
func TestDeadline(t *testing.T) {
	t.Parallel()
	t.Run("a batch", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t, nil)
			r.replicates.CBR = slow(10 * time.Second)
			r.BatchConcurrency = 1
			r.topic.Latency = 50 * time.Millisecond
			var batch []message
			for i := range 5 {
				batch = append(batch, message{body: request(t, vaultID(i), nil)})
			}
			batch[4].receives = maxReceives
			start := time.Now()
			reply, _ := r.invokeWithin(sqs(t, batch...), 30*time.Second)
			if took := time.Since(start); took >= 29*time.Second {
				t.Errorf("took %v of 30s", took)
			}
			diff(t, "handed back", []string{"2", "3", "4"}, batchItemFailures(t, reply))
			diff(t, "results", []string{"0 accepted", "1 accepted", "4 failed OutOfTime"}, r.published())
		})
	})
	t.Run("nothing is begun", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t, nil)
			r.replicates.CBR = scripted(func(context.Context, cbr.Replicate) (cbr.Answer, error) {
				t.Error("a request was sent")
				return cbr.Answer{}, nil
			})
			reply, _ := r.invokeWithin(sqs(t, message{id: "m", body: request(t, vaultID(0), nil)}), 1200*time.Millisecond)
			diff(t, "handed back", []string{"m"}, batchItemFailures(t, reply))
			diff(t, "results", []string{}, r.published())
		})
	})
	t.Run("over HTTP", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t, nil)
			r.replicates.CBR = slow(time.Hour)
			start := time.Now()
			reply, _ := r.invoke(overHTTP(t, "POST", replicatePath, request(t, vaultID(0), nil)))
			if took := time.Since(start); took > 27*time.Second {
				t.Errorf("took %v, API Gateway waits for 29s", took)
			}
			if got := decode[response](t, reply); got.StatusCode != http.StatusGatewayTimeout || got.Headers["X-Result-Published"] != "true" {
				t.Errorf("answer %s", reply)
			}
		})
	})
	t.Run("the topic hangs", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t, nil)
			r.replicates.CBR = slow(0)
			r.topic.Latency = time.Hour
			start := time.Now()
			reply, _ := r.invokeWithin(sqs(t, message{id: "m", body: request(t, vaultID(0), nil)}), 30*time.Second)
			if took := time.Since(start); took >= 30*time.Second {
				t.Errorf("took %v of 30s", took)
			}
			diff(t, "handed back", []string{"m"}, batchItemFailures(t, reply))
		})
	})
}

// TestEventIDs: the results of a delivery and of its redelivery have the same event
// id. Those of two deliveries of one request have two.
func TestEventIDs(t *testing.T) {
	t.Parallel()
	ids := func(payload []byte) []string {
		r := newRig(t, newServer(t, cbrtest.WithCopyTime(0)))
		if _, failure := r.invoke(payload); failure != nil {
			t.Fatal(failure)
		}
		var ids []string
		for _, m := range r.topic.Messages() {
			ids = append(ids, m.Event.ID)
		}
		slices.Sort(ids)
		return ids
	}
	body := request(t, cbrtest.SourceVault, nil)
	for name, payload := range map[string][]byte{
		"a queue":        sqs(t, message{body: body}, message{body: body}, message{body: "{"}, message{body: "{"}),
		"a direct batch": []byte("[" + body + "," + body + ",{},{}]"),
		"HTTP":           overHTTP(t, "POST", "/", body),
		"a direct call":  []byte(body),
	} {
		first, second := ids(payload), ids(payload)
		diff(t, name+": ids of the same deliveries", first, second)
		if distinct := slices.Compact(slices.Clone(first)); len(distinct) != len(first) || len(first) == 0 {
			t.Errorf("%s: %v is shared by deliveries", name, first)
		}
	}
}

// TestRefusedUnsent: a request that is not allowed, or that would change the called
// URL, is refused before anything is sent.
func TestRefusedUnsent(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name    string
		changes object
		path    string // over HTTP, if it is not "/"
		want    kind.Kind
	}{
		{"project goes up", object{"project_id": "../../v1/" + cbrtest.SourceProject}, "", kind.InvalidEvent},
		{"project goes up, encoded", object{"project_id": "..%2f..%2fv1%2f" + cbrtest.SourceProject[:19]}, "", kind.InvalidEvent},
		{"project with a slash at the end", object{"project_id": cbrtest.SourceProject + "/"}, "", kind.InvalidEvent},
		{"project with a line break", object{"project_id": cbrtest.SourceProject + "\n"}, "", kind.InvalidEvent},
		{"path goes up", nil, "/v3/../checkpoints/replicate", kind.InvalidEvent},
		{"path with encoded slashes", nil, "/v3/..%2f..%2fv1/checkpoints/replicate", kind.InvalidEvent},
		{"path and body differ", nil, "/v3/" + otherProject + "/checkpoints/replicate", kind.InvalidEvent},
		{"vault goes up", object{"replicate.vault_id": "../vaults"}, "", kind.InvalidEvent},
		{"region is a host", object{"region": "evil.example.com"}, "", kind.InvalidEvent},
		{"region is a host and a path", object{"region": "evil.example.com/"}, "", kind.InvalidEvent},
		{"region is a host after a user", object{"region": "x@evil"}, "", kind.InvalidEvent},
		{"region is a port", object{"region": "127:1"}, "", kind.InvalidEvent},
		{"region of another endpoint", object{"region": "region2"}, "", kind.NotAllowed},
		{"another project", object{"project_id": otherProject}, "", kind.NotAllowed},
		{"a project for which there is no token", object{"project_id": unkeyedProject}, "", kind.NotAllowed},
		{"another destination region", object{"replicate.destination_region": "region3"}, "", kind.NotAllowed},
		{"another destination project", object{"replicate.destination_project_id": otherProject}, "", kind.NotAllowed},
		{"a foreign URN", object{"replicate.cross_account_urn": "urn:cbr:region2:someone:vault"}, "", kind.NotAllowed},
		{"acceleration", object{"replicate.enable_acceleration": true}, "", kind.NotAllowed},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, newServer(t, cbrtest.WithObserver(func(c cbrtest.Call) { t.Errorf("was sent: %s", c) })))
			body := request(t, cbrtest.SourceVault, tt.changes)
			payloads := map[string][]byte{"queue": sqs(t, message{id: "queue", body: body, group: "g"})}
			if tt.path != "" {
				payloads = map[string][]byte{}
			}
			payloads["JKJaXmPLvHcESHA="] = overHTTP(t, "POST", cmp.Or(tt.path, "/"), body)
			var want []string
			for _, id := range slices.Sorted(maps.Keys(payloads)) {
				if reply, failure := r.invoke(payloads[id]); failure != nil || id == "queue" && len(batchItemFailures(t, reply)) > 0 {
					t.Errorf("%s: %s, %v", id, reply, failure)
				}
				want = append(want, id+" rejected "+string(tt.want))
			}
			diff(t, "results", want, r.published())
			for _, m := range r.topic.Messages() {
				if n := m.Event.Data.Attempts; n != 0 {
					t.Errorf("the result has %d attempts", n)
				}
			}
		})
	}
}

// TestLogLine holds the fields of a delivery's log line to the contract.
func TestLogLine(t *testing.T) {
	t.Parallel()
	r := newRig(t, newServer(t))
	r.cbr.Script(cbrtest.AnyVault, cbrtest.Throttled(0))
	r.handedBack(sqs(t,
		message{id: "m", receives: 2, body: request(t, cbrtest.SourceVault, object{"correlation_id": "nightly"})},
		message{id: "bad", body: "{"}))
	byID := map[string]map[string]any{}
	for _, line := range r.lines("delivery") {
		if took, ok := line["duration_ms"].(float64); !ok || took < 0 {
			t.Errorf("duration_ms is %v", line["duration_ms"])
		}
		// The text of an InvalidEvent is tested in package events.
		if text, ok := line["error"].(string); !ok || (text != "") != (line["kind"] != "") {
			t.Errorf("error is %v with kind %v", line["error"], line["kind"])
		}
		for _, name := range []string{"time", "duration_ms", "error"} {
			delete(line, name)
		}
		byID[line["causation_id"].(string)] = line
	}
	call := r.cbr.Calls()[1]
	diff(t, "log", map[string]map[string]any{
		"m": {
			"level": "INFO", "msg": "delivery", "status": "accepted", "kind": "", "code": "", "attempts": 2.0, "deliveries": 2.0,
			"vault_id": cbrtest.SourceVault, "source_region": cbrtest.SourceRegion, "destination_region": cbrtest.DestinationRegion,
			"causation_id": "m", "correlation_id": "nightly", "cbr_request_id": call.RequestID,
		},
		"bad": {
			"level": "ERROR", "msg": "delivery", "status": "rejected", "kind": "InvalidEvent", "code": "",
			"attempts": 0.0, "deliveries": 1.0,
			"vault_id": "", "source_region": "", "destination_region": "", "causation_id": "bad", "correlation_id": "bad", "cbr_request_id": "",
		},
	}, byID)
}

// TestEvent: the request in a result can be sent as it is, and makes the same call.
// The direct reply is the event's data.
func TestEvent(t *testing.T) {
	t.Parallel()
	r := newRig(t, newServer(t))
	reply, failure := r.invoke([]byte(request(t, strings.ToUpper(cbrtest.SourceVault), object{"correlation_id": "nightly"})))
	if failure != nil {
		t.Fatal(failure)
	}
	e := r.topic.Messages()[0].Event
	if want := r.cbr.URL + "/v3/" + cbrtest.SourceProject; e.Source != want || e.CorrelationID != "nightly" || e.CausationID != "request-1/0" {
		t.Errorf("source %s, correlation %s, causation %s", e.Source, e.CorrelationID, e.CausationID)
	}
	diff(t, "the direct reply and the event's data", decode[map[string]any](t, reply), decode[map[string]any](t, string(encode(t, e.Data))))
	second := newRig(t, newServer(t))
	if _, failure := second.invoke(encode(t, e.Data.Request)); failure != nil {
		t.Fatalf("the result's request: %v", failure)
	}
	diff(t, "what CBR was sent", r.cbr.Calls()[0].Body, second.cbr.Calls()[0].Body)

	r = newRig(t, newServer(t))
	r.handedBack(sqs(t, message{body: "{"}))
	if e := r.topic.Messages()[0].Event; e.Source != functionARN || e.Subject != "" || e.Data.Request != nil {
		t.Errorf("event of an invalid request: %+v", e)
	}
}

// TestErrorText: the text of an error goes into a header of the Runtime API, where a
// control character ends the process.
func TestErrorText(t *testing.T) {
	t.Parallel()
	for _, payload := range []string{
		"{\"a\u007fb\":1}", `{"a\u007fb\u0085\u202e\n":1}`, `{"replicate":{"\u0000":1}}`, "\u007f", "[]", `{"Records":[{"eventSource":"a\u007fb"}]}`,
		`{"Records":[{"eventSource":"aws:sqs","messageId":"m"},{"eventSource":"x\u0007\u007f"}]}`, "", "\xff\xfe", `{"` + strings.Repeat("x", 10_000) + `":1}`,
		`{"` + cbrtest.Token + `":1}`,
	} {
		r := newRig(t, newServer(t))
		_, failure := r.invoke([]byte(payload))
		if failure == nil {
			t.Errorf("%.40q: no error", payload)
			continue
		}
		if failure.Type != "CBR.InvalidEvent" || failure.Message == "" || len(failure.Message) > redact.MaxText ||
			strings.ContainsFunc(failure.Message, func(c rune) bool { return !unicode.IsPrint(c) }) {
			t.Errorf("%.40q: %s %q", payload, failure.Type, failure.Message)
		}
	}
}

// TestTokenEchoed: a server may repeat the credential. The rig checks that it is
// nowhere.
func TestTokenEchoed(t *testing.T) {
	t.Parallel()
	for _, fault := range []cbrtest.Fault{
		cbrtest.Refusal(400, "BackupService.9900", "the header X-Auth-Token: "+cbrtest.Token),
		cbrtest.Refusal(500, cbrtest.Token, "no such code"),
		{Header: http.Header{"X-Request-Id": {cbrtest.Token}}},
		cbrtest.Raw(502, "<html>"+cbrtest.Token),
		cbrtest.Raw(200, `{"replication":{"vault_id":"`+cbrtest.SourceVault+`","backups":[{"name":"`+cbrtest.Token+`"}]}}`),
	} {
		for _, way := range []func(string) []byte{
			func(body string) []byte { return []byte(body) },
			func(body string) []byte { return overHTTP(t, "POST", "/", body) },
			func(body string) []byte { return sqs(t, message{body: body, receives: maxReceives}) },
		} {
			r := newRig(t, newServer(t))
			r.cbr.Script(cbrtest.AnyVault, fault)
			r.invoke(way(request(t, cbrtest.SourceVault, nil)))
			if len(r.cbr.Calls()) != 1 || len(r.topic.Messages()) != 1 {
				t.Errorf("%d calls, %d results", len(r.cbr.Calls()), len(r.topic.Messages()))
			}
		}
	}
}

// TestNothingAsked: a health check and a wrong path are no deliveries.
func TestNothingAsked(t *testing.T) {
	t.Parallel()
	r := newRig(t, newServer(t))
	for path, want := range map[string]int{"/": 200, "/v3/x/other": 404} {
		reply, _ := r.invoke(overHTTP(t, "GET", path, ""))
		if got := decode[response](t, reply); got.StatusCode != want {
			t.Errorf("GET %s: %s", path, reply)
		}
	}
	if calls := len(r.topic.Calls()); calls != 0 || len(r.lines("delivery")) != 0 {
		t.Errorf("%d calls to the topic, log %s", calls, r.log.String())
	}
}

// TestWarmUp: a call that only warms up the function is no wrong request. It is logged
// at DEBUG, and nothing is published or counted.
func TestWarmUp(t *testing.T) {
	t.Parallel()
	r := newRig(t, newServer(t))
	reply, failure := r.invoke([]byte(`{"source":"serverless-plugin-warmup"}`))
	if reply != "null" || failure != nil || len(r.topic.Calls()) != 0 || r.metric("Deliveries") != 0 {
		t.Errorf("reply %s, error %v, %d calls to the topic, %v deliveries", reply, failure, len(r.topic.Calls()), r.metric("Deliveries"))
	}
	if lines := r.lines("warm-up"); len(lines) != 1 || lines[0]["level"] != "DEBUG" || strings.Count(r.log.String(), "\n") != 1 {
		t.Errorf("log %s", r.log.String())
	}
}

// TestErrorsReturned: a Lambda error that is an answer is counted, so that an alarm can
// distinguish it from a crash. The error of an unknown payload is no answer.
func TestErrorsReturned(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		payload []byte
		failed  bool
		want    float64
	}{
		"a direct call that is rejected": {[]byte(`{"x":1}`), true, 1},
		"the same over HTTP":             {overHTTP(t, "POST", "/", `{"x":1}`), false, 0},
		"the same from a queue":          {sqs(t, message{id: "a", body: `{"x":1}`}), false, 0},
		"a source that nobody knows":     {[]byte(`{"Records":[{"eventSource":"aws:s3"}]}`), true, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, newServer(t))
			_, failure := r.invoke(tt.payload)
			if got := r.metric("ErrorsReturned"); got != tt.want || (failure != nil) != tt.failed {
				t.Errorf("ErrorsReturned is %v beside the error %v, want %v", got, failure, tt.want)
			}
		})
	}
}

// TestSideBySide: invocations in one process do not affect each other.
func TestSideBySide(t *testing.T) {
	t.Parallel()
	r := newRig(t, newServer(t))
	var invocations sync.WaitGroup
	for n := range 8 {
		vaults := r.cbr.AddVaults(cbrtest.SourceProject, 6, 1)
		r.cbr.Script(vaults[1], cbrtest.Throttled(0))
		r.cbr.Script(vaults[3], always(cbrtest.Unavailable())...)
		var batch []message
		for i, vault := range vaults {
			batch = append(batch, message{id: fmt.Sprint(n, "-", i), group: "same", body: request(t, vault, nil)})
		}
		invocations.Go(func() {
			reply, failure := r.invoke(sqs(t, batch...))
			if failure != nil {
				t.Error(failure)
				return
			}
			diff(t, "handed back", []string{batch[3].id, batch[4].id, batch[5].id}, batchItemFailures(t, reply))
		})
	}
	invocations.Wait()
	var want []string
	for n := range 8 {
		for i := range 3 {
			want = append(want, fmt.Sprint(n, "-", i, " accepted"))
		}
	}
	diff(t, "results", want, r.published())
}

// TestNothingLost: whatever CBR and the topic do, each delivery ends in one of two
// ways. It is acknowledged and its final result is on the topic, or it is handed
// back.
func TestNothingLost(t *testing.T) {
	t.Parallel()
	fault := rapid.SampledFrom([]cbrtest.Fault{
		{},
		cbrtest.Throttled(0), cbrtest.Throttled(time.Hour), cbrtest.Unavailable(), cbrtest.ResetBefore(), cbrtest.ResetAfter(), cbrtest.CutShort(),
		cbrtest.Raw(200, "nonsense"), cbrtest.Raw(200, `{"replication":{}}`), cbrtest.Raw(502, "<html>"+cbrtest.Token), cbrtest.Redirect("http://127.0.0.1:1/"),
		cbrtest.Refusal(400, "BackupService.9900", cbrtest.Token), cbrtest.Refusal(500, "BackupService.1005", "no"),
		cbrtest.Refusal(500, "BackupService.9998", "no"), cbrtest.Refusal(400, "BackupService.6130", "busy"), cbrtest.Refusal(400, "BackupService.1009", "done"),
	})
	const senderFault, passing, lasting = "sender's fault", "passing", "lasting"
	refusal := rapid.SampledFrom([]string{"", "", "", senderFault, passing, lasting})

	lookupFault := rapid.SampledFrom([]cbrtest.Fault{
		{},
		{},
		{},
		cbrtest.Unavailable(), cbrtest.Throttled(0), cbrtest.ResetBefore(), cbrtest.CutShort(), cbrtest.Raw(200, `{"backups":[{"id":`),
		cbrtest.Refusal(403, "APIGW.0302", cbrtest.Token), cbrtest.Refusal(404, "BackupService.6105", "no vault"), cbrtest.Refusal(400, "BackupService.9900", "what?"),
	})

	rapid.Check(t, func(t *rapid.T) {
		options := []cbrtest.Option{cbrtest.WithCopyTime(rapid.SampledFrom([]time.Duration{0, time.Hour}).Draw(t, "copy time"))}
		if rapid.Bool().Draw(t, "late effects") {
			options = append(options, cbrtest.WithLateRecords(time.Hour))
		}
		server := newServer(t, options...)
		r := newRig(t, server)
		server.Script(cbrtest.Lookups, rapid.SliceOfN(lookupFault, 0, 6).Draw(t, "lookups")...)
		vaults := server.AddVaults(cbrtest.SourceProject, 4, 1)
		for _, vault := range vaults {
			server.Script(vault, rapid.SliceOfN(fault, 0, 4).Draw(t, "faults")...)
		}
		if rapid.Bool().Draw(t, "panics") {
			client := r.replicates.CBR
			r.replicates.CBR = scripted(func(ctx context.Context, p cbr.Replicate) (cbr.Answer, error) {
				if p.VaultID == vaults[0] {
					panic(cbrtest.Token)
				}
				return client.Replicate(ctx, huawei.Scope{ProjectID: cbrtest.SourceProject, Region: cbrtest.SourceRegion}, p)
			})
		}
		fifo := rapid.Bool().Draw(t, "fifo")
		batch := make([]message, rapid.IntRange(1, 12).Draw(t, "deliveries"))
		refusals := map[string]string{}
		for i := range batch {
			m := message{
				id: strconv.Itoa(i), receives: rapid.SampledFrom([]int{1, 2, maxReceives, maxReceives + 1}).Draw(t, "receives"),
				firstReceive: time.Now().Add(-time.Duration(rapid.IntRange(0, 3600).Draw(t, "age")) * time.Second),
			}
			if fifo {
				m.group = rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "group")
			}
			vault := rapid.SampledFrom(vaults).Draw(t, "vault")
			m.body = rapid.SampledFrom([]string{
				request(t, vault, nil), request(t, vault, nil), request(t, vault, nil), "", "{", "[]", "null",
				request(t, vault, object{cbrtest.Token: 1}), request(t, vault, object{"project_id": otherProject}),
			}).Draw(t, "body")
			batch[i] = m
			refusals[m.id] = refusal.Draw(t, "refusal")
		}
		throttled := rapid.IntRange(0, 4).Draw(t, "throttled calls")
		r.topic.Fault = func(call int) error {
			if call < throttled {
				return sink.MayPass(errors.New("Throttled"))
			}
			return nil
		}
		r.topic.Refuse = func(m sinktest.Message) error {
			switch id := m.Event.CausationID; refusals[id] {
			case passing:
				refusals[id] = ""
				fallthrough
			case lasting:
				return sink.MayPass(errors.New("InternalError"))
			case senderFault:
				return errors.New("InvalidParameter")
			}
			return nil
		}

		handedBack := r.handedBack(sqs(t, batch...))
		results := map[string][]kind.Status{}
		for _, m := range r.topic.Messages() {
			results[m.Event.CausationID] = append(results[m.Event.CausationID], m.Event.Data.Status)
			if n := m.Event.Data.Attempts; n > maxAttempts {
				t.Errorf("%s: %d attempts", m.Event.CausationID, n)
			}
		}
		var inOrder []string
		stopped := map[string]bool{}
		for _, m := range batch {
			back := slices.Contains(handedBack, m.id)
			if back {
				inOrder = append(inOrder, m.id)
			}
			switch got := results[m.id]; {
			case len(got) > 1:
				t.Errorf("%s has %d results: %v", m.id, len(got), got)
			case len(got) == 0 && !back:
				t.Errorf("%s is lost", m.id)
			case len(got) == 1 && got[0] == kind.Failed && (!back || m.receives < maxReceives):
				t.Errorf("%s failed with delivery %d, handed back: %t", m.id, m.receives, back)
			case len(got) == 1 && got[0] != kind.Failed && back:
				t.Errorf("%s is %s and handed back", m.id, got[0])
			case stopped[m.group] && (!back || len(got) > 0):
				t.Errorf("%s overtook one of its group %s: %v", m.id, m.group, got)
			}
			stopped[m.group] = m.group != "" && (stopped[m.group] || back)
		}
		diff(t, "ids handed back, in the order of the batch", inOrder, handedBack)
		for _, id := range handedBack {
			if _, ok := r.queues.seconds["receipt-"+id]; !ok {
				t.Errorf("%s is handed back without a visibility timeout", id)
			}
		}
		if len(r.queues.seconds) != len(handedBack) {
			t.Errorf("visibilities of %v, handed back %v", r.queues.seconds, handedBack)
		}
		if got := len(r.lines("delivery")); got != len(batch) {
			t.Errorf("%d log lines for %d deliveries", got, len(batch))
		}
	})
}

// TestUnexpected: an error without a kind is Internal, and the log has its text.
func TestUnexpected(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	r.replicates.CBR = scripted(func(context.Context, cbr.Replicate) (cbr.Answer, error) {
		return cbr.Answer{}, errors.New("a very special cause")
	})
	diff(t, "handed back", []string{"m"}, r.handedBack(sqs(t, message{id: "m", body: request(t, vaultID(0), nil)})))
	lines := r.lines("unexpected")
	if len(lines) != 1 || lines[0]["error"] != "a very special cause" || lines[0]["causation_id"] != "m" {
		t.Errorf("log: %v", lines)
	}
}

// listing is a CBR whose vaults have this many backups.
type listing int

func (n listing) Replicate(_ context.Context, _ huawei.Scope, r cbr.Replicate) (cbr.Answer, error) {
	backups := make([]string, n)
	for i := range backups {
		backups[i] = fmt.Sprintf(`{"backup_id":"8b0851a8-adf3-4f4c-a914-%012d","replication_record_id":"2e5b2b4e-1c5e-4f7e-9b5a-%012d"}`, i, i)
	}
	return cbr.Answer{Sent: true, Status: 200, RequestID: "r", Replication: json.RawMessage(`{"vault_id":"` + r.VaultID + `","backups":[` + strings.Join(backups, ",") + `]}`)}, nil
}

// TestLongAnswer: the answer is cut to what the caller takes, and the event to what
// the topic takes.
func TestLongAnswer(t *testing.T) {
	t.Parallel()
	type data struct {
		Status      string
		Replication struct {
			Backups []json.RawMessage
			Total   int `json:"backups_total"`
		}
	}
	r := newRig(t, nil)
	r.replicates.CBR = listing(2150) // 250,000 bytes: more than the one takes, less than the other
	reply, failure := r.invoke([]byte(request(t, cbrtest.SourceVault, nil)))
	if failure != nil {
		t.Fatal(failure)
	}
	got, event := decode[data](t, reply), decode[struct{ Data data }](t, r.topic.Messages()[0].Raw).Data
	if len(reply) > 240<<10 || got.Status != "accepted" || got.Replication.Total != 2150 || len(got.Replication.Backups) < 1900 {
		t.Errorf("an answer of %d bytes with %d of %d backups", len(reply), len(got.Replication.Backups), got.Replication.Total)
	}
	if event.Replication.Total != 0 || len(event.Replication.Backups) != 2150 {
		t.Errorf("an event with %d of %d backups", len(event.Replication.Backups), event.Replication.Total)
	}
}

// TestSubscriptionConfirmation: it is handed back each time. The last delivery has a
// result. Neither the result nor the log has the link.
func TestSubscriptionConfirmation(t *testing.T) {
	t.Parallel()
	const token = "2336412f37fb687f5d51e6e2425c464de2"
	body := `{"Type":"SubscriptionConfirmation","MessageId":"m","Token":"` + token + `","TopicArn":"arn:aws:sns:eu-central-1:123456789012:t","Message":"You have chosen",` +
		`"SubscribeURL":"https://sns.eu-central-1.amazonaws.com/?Action=ConfirmSubscription&Token=` + token + `"}`
	r := newRig(t, newServer(t))
	for receives, published := range map[int]int{1: 0, r.Decoder.MaxReceiveCount: 1} {
		before := len(r.topic.Messages())
		if got := r.handedBack(sqs(t, message{body: body, receives: receives})); len(got) != 1 {
			t.Errorf("receive %d: handed back %v", receives, got)
		}
		messages := r.topic.Messages()[before:]
		if len(messages) != published {
			t.Fatalf("receive %d: %d results", receives, len(messages))
		}
		for _, m := range messages {
			if m.Event.Data.Status != kind.Failed || m.Event.Data.Error.Kind != kind.Misconfigured || strings.Contains(m.Raw, token) {
				t.Errorf("result %s", m.Raw)
			}
		}
	}
	if log := r.log.String(); strings.Contains(log, token) || !strings.Contains(log, "SubscriptionConfirmation") || len(r.cbr.Calls()) != 0 {
		t.Errorf("log %s", log)
	}
}

// maxBatchAllocations bounds how often a batch of ten allocates, without the network.
// A count, unlike a time, does not depend on the machine. docs/benchmarks.md has the
// figures. The race detector adds a hundred, since it empties pools.
const maxBatchAllocations = 600

// TestAllocationsPerBatch is not parallel, since the count is of the process.
func TestAllocationsPerBatch(t *testing.T) {
	invoke := withoutNetwork(t)
	payload := batchOf(t, 10)
	invoke(t, payload)
	got := testing.AllocsPerRun(100, func() { invoke(t, payload) })
	if got > maxBatchAllocations {
		t.Errorf("a batch of ten allocates %.0f times, at most %d are allowed", got, maxBatchAllocations)
	}
}

// BenchmarkInvoke is the handler's own work on a batch of ten.
func BenchmarkInvoke(b *testing.B) {
	invoke := withoutNetwork(b)
	payload := batchOf(b, 10)
	b.ReportAllocs()
	for b.Loop() {
		invoke(b, payload)
	}
}

// BenchmarkDecode is for comparison with BenchmarkInvoke: it reads the same batch
// once into aws-lambda-go's own type.
func BenchmarkDecode(b *testing.B) {
	payload := batchOf(b, 10)
	b.ReportAllocs()
	for b.Loop() {
		var event lambdaevents.SQSEvent
		if err := json.Unmarshal(payload, &event); err != nil {
			b.Fatal(err)
		}
	}
}

// withoutNetwork returns a handler between a CBR and a topic that answer at once. It
// makes log lines and metrics, which are discarded.
func withoutNetwork(t tb) func(tb, []byte) {
	r := newRig(t, nil)
	log := slog.New(slog.NewJSONHandler(io.Discard, nil))
	r.replicates.Log = log
	r.replicates.CBR, r.Log = &acceptingCBR{batch: 10, all: make(chan struct{})}, log
	topic := &sns.Topic{ARN: "arn:aws:sns:eu-central-1:123456789012:results", Client: acceptingSNS{}}
	r.Results = sink.NewPublisher(topic, r.replicates.Retry.Do, log, r.Redact)
	r.Metrics = metrics.NewEmitter(io.Discard, metrics.EMF, "cbr-replicator")
	return func(t tb, payload []byte) {
		reply, err := r.Handle(t.Context(), delivery.Invocation{RequestID: "request-1", FunctionARN: functionARN, Began: time.Now()}, payload)
		if string(reply) != `{"batchItemFailures":[]}` || err != nil {
			t.Fatalf("reply %s, error %v", reply, err)
		}
	}
}

// batchOf returns the sample's event with n records, each for another vault.
func batchOf(t tb, n int) []byte {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join("events", "sqs.json"))
	if err != nil {
		t.Fatal(err)
	}
	var event struct{ Records []map[string]any }
	if err := json.Unmarshal(raw, &event); err != nil {
		t.Fatal(err)
	}
	first := event.Records[0]
	event.Records = nil
	for i := range n {
		record := maps.Clone(first)
		id := fmt.Sprintf("059f36b4-87a3-44ab-83d2-%012d", i)
		record["messageId"] = id
		record["body"] = fmt.Sprintf(`{"project_id":"%s","region":"region1","replicate":{"vault_id":"%s","destination_vault_id":"%s","destination_project_id":"%s","destination_region":"region2"}}`,
			cbrtest.SourceProject, id, cbrtest.DestinationVault, cbrtest.DestinationProject)
		event.Records = append(event.Records, record)
	}
	payload, err := json.Marshal(event)
	if err != nil {
		t.Fatal(err)
	}
	return payload
}

// acceptingCBR answers the calls of a batch when all of them are there. With a
// network they run side by side, too. Otherwise each delivery would end before the
// next began, and each result would be published in a call of its own.
type acceptingCBR struct {
	batch int
	mu    sync.Mutex
	here  int
	all   chan struct{}
}

// acceptedAnswer is its answer. It is made once, since it is not the handler's work.
var acceptedAnswer = cbr.Answer{
	Status: 200, RequestID: "e8ce426dc05c2416330d890b6f989ff3", Sent: true,
	Replication: json.RawMessage(`{"backups":[{"backup_id":"a","replication_record_id":"b"}],"vault_id":"3b5816b5-f29c-4172-9d9a-76c719a659ce"}`),
}

func (c *acceptingCBR) Replicate(context.Context, huawei.Scope, cbr.Replicate) (cbr.Answer, error) {
	c.mu.Lock()
	all := c.all
	if c.here++; c.here == c.batch {
		close(all)
		c.here, c.all = 0, make(chan struct{})
	}
	c.mu.Unlock()
	<-all
	return acceptedAnswer, nil
}

type acceptingSNS struct{}

// acceptedMessages is its answer. It is made once, since it is not the handler's work.
var acceptedMessages = func() awscall.XML {
	var b strings.Builder
	for i := range 10 {
		fmt.Fprintf(&b, "<member><MessageId>m</MessageId><Id>%d</Id></member>", i)
	}
	return awscall.XML("<Successful>" + b.String() + "</Successful><Failed/>")
}()

func (acceptingSNS) Query(context.Context, string, awscall.Form) (awscall.XML, error) {
	return acceptedMessages, nil
}

const rejectedARN = "arn:aws:sqs:eu-central-1:123456789012:rejected"

// kept is a message in the rejected queue, with its body decoded.
type kept struct {
	Body, Kind, CausationID, CorrelationID, DeduplicationID string
}

// rejectedQueue is an SQS that fails with its faults, one a call, and then keeps all
// bodies. With a nil fault or a lost answer it keeps the body, too.
type rejectedQueue struct {
	faults []error
	// onKeep is called before a body is kept.
	onKeep func()

	mu   sync.Mutex
	kept []kept
}

var errAnswerLost = errors.New("connection reset by peer")

func (s *rejectedQueue) Call(_ context.Context, operation string, in, out any) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var fault error
	if len(s.faults) > 0 {
		fault, s.faults = s.faults[0], s.faults[1:]
	}
	if fault != nil && !errors.Is(fault, errAnswerLost) {
		return fault
	}
	raw, err := json.Marshal(in)
	if err != nil || operation != "SendMessage" {
		return errors.Join(err, errors.New("no "+operation))
	}
	var m struct {
		QueueURL               string `json:"QueueUrl"`
		MessageBody            string
		MessageAttributes      map[string]struct{ DataType, StringValue string }
		MessageDeduplicationID string `json:"MessageDeduplicationId"`
	}
	if err := json.Unmarshal(raw, &m); err != nil || !strings.HasPrefix(m.QueueURL, "https://sqs.eu-central-1.amazonaws.com/123456789012/rejected") {
		return errors.Join(err, errors.New("no queue "+m.QueueURL))
	}
	body := []byte(m.MessageBody)
	if m.MessageAttributes["encoding"].StringValue == "base64" {
		if body, err = base64.StdEncoding.DecodeString(m.MessageBody); err != nil {
			return err
		}
	}
	if s.onKeep != nil {
		s.onKeep()
	}
	s.kept = append(s.kept, kept{
		string(body), m.MessageAttributes["kind"].StringValue, m.MessageAttributes["causation_id"].StringValue,
		m.MessageAttributes["correlation_id"].StringValue, m.MessageDeduplicationID,
	})
	if fault != nil {
		return fault
	}
	return json.Unmarshal([]byte(`{"MessageId":"m"}`), out)
}

// keepIn has r keep bodies in s.
func keepIn(r *rig, arn string, s *rejectedQueue) {
	r.t.Helper()
	name, err := queue.Parse(arn)
	if err != nil {
		r.t.Fatal(err)
	}
	r.Rejected = &rejected.Queue{Name: name, SQS: s, Retry: r.publishing.Do, Log: r.Log, Redact: r.Redact}
}

// metric returns the sum of a metric over all invocations.
func (r *rig) metric(name string) (n float64) {
	for line := range strings.Lines(r.emf.String()) {
		v, _ := decode[map[string]any](r.t, line)[name].(float64)
		n += v
	}
	return n
}

// notAllowed returns a request for a region that is on no allow-list.
func notAllowed(t tb) string {
	return request(t, cbrtest.SourceVault, object{"replicate.destination_region": "region9", "correlation_id": "nightly"})
}

// TestRejectedBodyIsKept: a rejected body is kept with its kind before its result is
// published, and then it is acknowledged.
func TestRejectedBodyIsKept(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	s := &rejectedQueue{onKeep: func() {
		if n := len(r.topic.Messages()); n > 0 {
			t.Errorf("%d results are published before the body is kept", n)
		}
	}}
	keepIn(r, rejectedARN+".fifo", s)
	r.BatchConcurrency = 1
	notAllowed := notAllowed(t)
	r.replicates.CBR = scripted(nil) // it is not called
	diff(t, "handed back", []string{}, r.handedBack(sqs(t, message{id: "a", body: "not json"})))
	s.onKeep = nil
	diff(t, "handed back", []string{}, r.handedBack(sqs(t, message{id: "b", body: notAllowed})))
	diff(t, "published", []string{"a rejected InvalidEvent", "b rejected NotAllowed"}, r.published())
	diff(t, "kept", []kept{
		{"not json", "InvalidEvent", "a", "", result.ID(queueARN, "a", kind.Refused)},
		{notAllowed, "NotAllowed", "b", "nightly", result.ID(queueARN, "b", kind.Refused)},
	}, s.kept)
	diff(t, "RejectedNotKept", 0.0, r.metric("RejectedNotKept"))
}

// TestOnlyWhatIsLostOtherwiseIsKept: no body is kept if a caller gets the outcome, if
// it is a result of ours, or if the result has the request.
func TestOnlyWhatIsLostOtherwiseIsKept(t *testing.T) {
	t.Parallel()
	server := newServer(t)
	r := newRig(t, server)
	s := &rejectedQueue{}
	keepIn(r, rejectedARN, s)
	server.Script(cbrtest.AnyVault, cbrtest.Refusal(400, "BackupService.6129", "The destination vault has no capacity left."))
	for _, payload := range [][]byte{
		[]byte(`{"no":"request"}`),
		[]byte(`[{"no":"request"}]`),
		[]byte(notAllowed(t)),
		overHTTP(t, "POST", replicatePath, "not json"),
		sqs(t, message{body: `{"specversion":"1.0","type":"cbr.checkpoint.replication.accepted.v1","data":{}}`}),
		sqs(t, message{body: ""}),
		sqs(t, message{body: request(t, cbrtest.SourceVault, nil)}),
	} {
		_, _ = r.invoke(payload)
	}
	diff(t, "kept", []kept{}, s.kept)
	diff(t, "RejectedNotKept", 0.0, r.metric("RejectedNotKept"))
}

// TestNoRejectedQueue: without one a rejected delivery is acknowledged.
func TestNoRejectedQueue(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	diff(t, "handed back", []string{}, r.handedBack(sqs(t, message{id: "a", body: "not json"})))
	diff(t, "published", []string{"a rejected InvalidEvent"}, r.published())
	diff(t, "RejectedNotKept", 0.0, r.metric("RejectedNotKept"))
}

// TestRejectedQueueOutOfReach: the delivery is handed back until its body is kept. The
// last delivery is handed back, too, so that it becomes a dead letter with its body.
func TestRejectedQueueOutOfReach(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	s := &rejectedQueue{faults: slices.Repeat([]error{errors.New("no route to host")}, 2*maxAttempts)}
	keepIn(r, rejectedARN, s)
	r.BatchConcurrency = 1
	delivery := func(receives int) []byte { return sqs(t, message{id: "a", body: notAllowed(t), receives: receives}) }
	diff(t, "handed back", []string{"a"}, r.handedBack(delivery(1)))
	diff(t, "published", []string{}, r.published())
	diff(t, "handed back with the last", []string{"a"}, r.handedBack(delivery(maxReceives)))
	diff(t, "published", []string{"a failed Unavailable"}, r.published())
	diff(t, "handed back at last", []string{}, r.handedBack(delivery(2)))
	diff(t, "published", []string{"a failed Unavailable", "a rejected NotAllowed"}, r.published())
	if len(s.kept) != 1 || r.metric("RejectedNotKept") > 0 || r.metric("Redelivered") != 2 {
		t.Errorf("kept %v, metrics %s", s.kept, r.emf.String())
	}
	// A sender must not make metrics by inventing regions.
	if strings.Contains(r.emf.String(), "region9") {
		t.Errorf("metrics of a region that is not allowed: %s", r.emf.String())
	}
	line := r.lines("delivery")[0]
	if text := line["error"].(string); !strings.Contains(text, "REJECTED_QUEUE_ARN") || !strings.Contains(text, "NotAllowed") {
		t.Errorf("the log's error is %q, want both reasons", text)
	}
}

// TestRejectedBodyTooLarge: a body that SQS cannot keep is acknowledged and counted.
func TestRejectedBodyTooLarge(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	s := &rejectedQueue{}
	keepIn(r, rejectedARN, s)
	diff(t, "handed back", []string{}, r.handedBack(sqs(t,
		message{id: "a", body: strings.Repeat("x", 1<<20)},
		message{id: "b", body: "not json"},
	)))
	diff(t, "published", []string{"a rejected InvalidEvent", "b rejected InvalidEvent"}, r.published())
	diff(t, "kept", []kept{{"not json", "InvalidEvent", "b", "", ""}}, s.kept)
	diff(t, "RejectedNotKept", 1.0, r.metric("RejectedNotKept"))
	diff(t, "lines", 1, len(r.lines("rejected body not kept")))
}

// TestBehindWhatIsNotKept: in a FIFO group nothing overtakes a delivery that is handed
// back because its body is not kept.
func TestBehindWhatIsNotKept(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	s := &rejectedQueue{faults: []error{&awscall.Error{Status: 403, Code: "AccessDeniedException"}}}
	keepIn(r, rejectedARN, s)
	diff(t, "handed back", []string{"a", "b"}, r.handedBack(sqs(t,
		message{id: "a", body: "not json", group: "g"}, message{id: "b", body: "nor this", group: "g"})))
	diff(t, "published", []string{}, r.published())
	diff(t, "Misconfigured", 1.0, r.metric("Misconfigured"))
}

// ways are the triggers whose source is not told of a rejection. Each makes a payload
// with a body in it, and returns the body that is kept.
var ways = map[string]func(t tb, body string, receives int) (payload []byte, keeps string){
	"sqs": func(t tb, body string, receives int) ([]byte, string) {
		return sqs(t, message{body: body, receives: receives}), body
	},
	"fifo": func(t tb, body string, receives int) ([]byte, string) {
		return sqs(t, message{body: body, receives: receives, group: "g"}), body
	},
	"pipes": func(t tb, body string, receives int) ([]byte, string) {
		records := decode[map[string]json.RawMessage](t, string(sqs(t, message{body: body, receives: receives})))["Records"]
		return records, body
	},
	"sns": func(t tb, body string, _ int) ([]byte, string) {
		return encode(t, object{"Records": []object{{"EventSource": "aws:sns", "Sns": object{"MessageId": "m", "Message": body}}}}), body
	},
	"eventbridge": func(t tb, body string, _ int) ([]byte, string) {
		event := encode(t, object{"detail-type": "Replication Requested", "id": "e", "detail": body})
		return event, string(event)
	},
	"kafka": func(t tb, body string, _ int) ([]byte, string) {
		value := base64.StdEncoding.EncodeToString([]byte(body))
		return encode(t, object{"eventSource": "aws:kafka", "records": object{"t-0": []object{{"topic": "t", "value": value}}}}), body
	},
	"rabbitmq": func(t tb, body string, _ int) ([]byte, string) {
		data := base64.StdEncoding.EncodeToString([]byte(body))
		return encode(t, object{"rmqMessagesByQueue": object{"q": []object{{"basicProperties": object{}, "data": data}}}}), body
	},
	"activemq": func(t tb, body string, _ int) ([]byte, string) {
		data := base64.StdEncoding.EncodeToString([]byte(body))
		return encode(t, object{"eventSource": "aws:mq", "messages": []object{{"messageID": "m", "data": data}}}), body
	},
}

// TestNoRejectedBodyIsLost: whatever the body, the trigger and the faults of the
// rejected queue, the delivery is handed back, or the body is kept byte for byte, or
// it is counted that it cannot be kept. It is in no log line, reply or result.
func TestNoRejectedBodyIsLost(t *testing.T) {
	t.Parallel()
	const marker = "never to be logged"
	refusals := []error{
		nil,
		errAnswerLost,
		errors.New("no route to host"),
		&awscall.Error{Status: 500, Code: "InternalFailure"},
		&awscall.Error{Status: 400, Code: "RequestThrottled"},
		&awscall.Error{Status: 403, Code: "AccessDeniedException", Message: marker},
		&awscall.Error{Status: 400, Code: "QueueDoesNotExist"},
		&awscall.Error{Status: 400, Code: "InvalidParameterValueException", Message: marker},
		&awscall.Error{Status: 400, Code: "InvalidMessageContents", Message: marker},
	}
	names := make([]string, 0, len(ways))
	for name := range ways {
		names = append(names, name)
	}
	slices.Sort(names)
	rapid.Check(t, func(t *rapid.T) {
		r := newRig(t, nil)
		way := rapid.SampledFrom(names).Draw(t, "trigger")
		receives := rapid.SampledFrom([]int{1, 2, maxReceives}).Draw(t, "receives")
		body, want := notAllowed(t), kind.NotAllowed
		if rapid.Bool().Draw(t, "invalid") {
			want = kind.InvalidEvent
			body = marker + string(rapid.SliceOf(rapid.Byte()).Draw(t, "body"))
			if !utf8.ValidString(body) && way != "kafka" && way != "rabbitmq" && way != "activemq" {
				body = strings.ToValidUTF8(body, "\ufffd") // these payloads are text
			}
		}
		s := &rejectedQueue{faults: rapid.SliceOfN(rapid.SampledFrom(refusals), 0, maxAttempts+1).Draw(t, "faults")}
		keepIn(r, rejectedARN, s)
		payload, keeps := ways[way](t, body, receives)
		reply, failure := r.invoke(payload)
		queued := way == "sqs" || way == "fifo" || way == "pipes"
		handedBack := failure != nil
		if queued && !handedBack {
			handedBack = len(batchItemFailures(t, reply)) > 0
		}
		isKept := slices.ContainsFunc(s.kept, func(k kept) bool { return k.Body == keeps && k.Kind == string(want) })
		notKept := r.metric("RejectedNotKept")
		if !handedBack && !isKept && notKept != 1 {
			t.Fatalf("%q is lost", keeps)
		}
		if notKept > 0 && handedBack {
			t.Error("it is counted as not kept and handed back")
		}
		var published []string
		for _, m := range r.topic.Messages() {
			published = append(published, m.Attributes["status"]+" "+m.Attributes["kind"])
		}
		switch {
		case !handedBack:
			diff(t, "published", []string{"rejected " + string(want)}, published)
		case queued && receives == maxReceives:
			if len(published) != 1 || !strings.HasPrefix(published[0], "failed ") {
				t.Errorf("the last delivery publishes %q", published)
			}
		default:
			diff(t, "published", []string{}, published)
		}
		output := r.log.String() + r.emf.String() + strings.Join(r.replies, "\n")
		for _, m := range r.topic.Messages() {
			output += m.Raw
		}
		if strings.Contains(output, marker) {
			t.Errorf("the body is in %s", output)
		}
	})
}
