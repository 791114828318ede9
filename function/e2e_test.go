package main

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"cbr-replicator/internal/cbr/cbrtest"
	"cbr-replicator/internal/sandbox"
)

// The tests in this file run the built binary as Lambda does: over the Runtime
// API and with environment variables, against a CBR and a topic on loopback.

var build = sync.OnceValues(func() (string, error) {
	return sandbox.BuildFunction(context.Background(), buildFlags...)
})

func TestMain(m *testing.M) {
	code := m.Run()
	if path, err := build(); err == nil {
		_ = os.RemoveAll(filepath.Dir(path))
	}
	os.Exit(code)
}

// maxReceives is the queues' maxReceiveCount.
const maxReceives = 3

// The other vaults of the samples.
const (
	vaultB = cbrtest.VaultB
	vaultC = cbrtest.VaultC
)

// resultSchema is the schema of every result event.
var resultSchema = sync.OnceValue(func() *jsonschema.Schema {
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	return c.MustCompile("../events/result.schema.json")
})

func mustJSON(t *testing.T, text string) any {
	t.Helper()
	v, err := jsonschema.UnmarshalJSON(strings.NewReader(text))
	if err != nil {
		t.Errorf("%s: %v", text, err)
	}
	return v
}

// rig is a function in its sandbox. When the test ends, every result must be of the
// schema, and no answer, log line or result may have a credential in it.
type rig struct {
	t         *testing.T
	path      string // the binary
	function  *sandbox.Function
	env       map[string]string
	cbr       *cbrtest.Server
	stack     *sandbox.Stack // the function uses its queue of rejected bodies only if a test sets the variable
	topic     *sandbox.Topic // the stack's
	bus       *sandbox.EventBus
	smn       *sandbox.SMNTopic
	secrets   *sandbox.Secrets
	asksOnSMN bool         // the topic of SMN takes requests, not results
	slept     atomic.Int64 // how far the queues' clock is ahead, as a time.Duration

	mu    sync.Mutex
	log   []string
	given []string // answers and error headers
	seen  chan struct{}
}

// newRig starts a rig. extra are more variables, or other values.
func newRig(t *testing.T, topicName string, extra map[string]string, options ...cbrtest.Option) *rig {
	t.Helper()
	path, err := build()
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{t: t, path: path, cbr: cbrtest.NewServer(options...), seen: make(chan struct{}, 1000)}
	t.Cleanup(r.cbr.Close)
	r.cbr.AddExample()
	for _, vault := range []string{vaultB, vaultC} {
		r.cbr.AddVault(cbrtest.Vault{ID: vault, ProjectID: cbrtest.SourceProject})
		r.cbr.AddBackup(cbrtest.Backup{ID: "b" + vault[1:], VaultID: vault})
	}
	r.addCredentials()
	r.stack, err = sandbox.NewStack(sandbox.StackConfig{Topic: topicName, MaxReceiveCount: maxReceives, Now: func() time.Time {
		return time.Now().Add(time.Duration(r.slept.Load()))
	}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.stack.Close)
	r.topic = r.stack.Topic
	if r.bus, err = sandbox.NewEventBus("results"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.bus.Close)
	if r.smn, err = sandbox.NewSMNTopic("results", r.cbr.CBR); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.smn.Close)
	if r.secrets, err = sandbox.NewSecrets(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.secrets.Close)
	env := r.stack.Env(cbrtest.Env(r.cbr.URL), map[string]string{
		"HW_AUTH_URL":            r.cbr.URL + "/v3",
		"REJECTED_QUEUE_ARN":     "",
		"AWS_LAMBDA_LOG_LEVEL":   "DEBUG",
		"RETRY_INITIAL_INTERVAL": "10ms",

		"AWS_ENDPOINT_URL_SECRETS_MANAGER": r.secrets.URL(),
		"AWS_ENDPOINT_URL_EVENTBRIDGE":     r.bus.URL(),
		"HW_SMN_ENDPOINT":                  r.smn.URL(),
	}, extra)
	r.env = env
	r.function = sandbox.NewFunction(sandbox.FunctionConfig{Path: path, Env: env, Logs: r})
	t.Cleanup(r.close)
	return r
}

// Write takes a line of the function's log.
func (r *rig) Write(line []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.log = append(r.log, string(line))
	if l, ok := sandbox.ParseLogLine(line); ok && l.IsLast() {
		r.seen <- struct{}{}
	}
	return len(line), nil
}

func (r *rig) close() {
	r.function.Close()
	r.mu.Lock()
	defer r.mu.Unlock()
	out := strings.Join(append(r.log, r.given...), "\n")
	if strings.Contains(out, "DATA RACE") {
		r.t.Errorf("the binary's log: %s", out)
	}
	var results []string
	for _, m := range r.topic.Messages() {
		out += fmt.Sprintf("\n%+v", m)
		results = append(results, m.Message)
	}
	for _, e := range r.bus.Events() {
		out += fmt.Sprintf("\n%+v %s", e, e.Detail)
		results = append(results, string(e.Detail))
	}
	for _, m := range r.smn.Messages() {
		out += fmt.Sprintf("\n%s %v", m.Message, m.Attributes) // not its header: it has the token
		if !r.asksOnSMN {
			results = append(results, m.Message)
		}
	}
	for _, result := range results {
		if err := resultSchema().Validate(mustJSON(r.t, result)); err != nil {
			r.t.Errorf("a result that the schema refuses: %s\n%v", result, err)
		}
	}
	for _, secret := range append(r.cbr.IssuedTokens(), credentials...) {
		if i := strings.Index(out, secret); i >= 0 {
			r.t.Errorf("the credential %.8s… is in …%.200s", secret, out[max(0, i-100):])
		}
	}
}

// invoke invokes the function and waits for its log, which ends with the
// metrics. An error of the function is in the response.
func (r *rig) invoke(payload []byte, timeout time.Duration) sandbox.Response {
	r.t.Helper()
	response, err := r.function.Invoke(r.t.Context(), payload, timeout)
	if err != nil {
		r.t.Fatal(err)
	}
	given := string(response.Payload)
	if response.Error != nil {
		if response.Error.Ended {
			r.t.Fatalf("the process ended: %v", response.Error)
		}
		given += response.Error.XRayCause
	}
	<-r.seen
	r.mu.Lock()
	defer r.mu.Unlock()
	r.given = append(r.given, given)
	return response
}

// deliver delivers the visible messages of the queue of requests to the function
// once. It returns the bodies of those that are handed back. They are visible at
// once, unless the function changed their visibility timeout.
func (r *rig) deliver() (failed []string) {
	r.t.Helper()
	mapping := sandbox.Mapping{Queue: r.stack.Requests, Invoke: func(_ context.Context, payload []byte) (sandbox.Response, error) {
		return r.invoke(payload, time.Minute), nil
	}}
	back, _ := mapping.Deliver(r.t.Context(), r.stack.Requests.Receive(sandbox.BatchSize)) // invoke ends the test itself
	for _, m := range back {
		failed = append(failed, m.Body)
	}
	return failed
}

// batch returns the payload with the visible messages of the queue of requests.
func (r *rig) batch() []byte {
	return sandbox.SQSEvent(r.stack.Requests.ARN(), r.stack.Requests.Receive(sandbox.BatchSize))
}

// lines returns the fields of the log lines with a message.
func (r *rig) lines(message string) []map[string]any {
	r.t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	var found []map[string]any
	for _, line := range r.log {
		var fields map[string]any
		if json.Unmarshal([]byte(line), &fields) == nil && fields["message"] == message {
			found = append(found, fields)
		}
	}
	return found
}

// statuses returns vault and status of each result on the topic, sorted.
func (r *rig) statuses() []string {
	var all []string
	for _, m := range r.topic.Messages() {
		all = append(all, fmt.Sprintf("%.8s %s %s", m.Attributes["vault_id"], m.Attributes["status"], m.Attributes["kind"]))
	}
	slices.Sort(all)
	return all
}

func sample(t *testing.T, name string) []byte {
	t.Helper()
	payload, err := os.ReadFile(filepath.Join("..", "events", name+".json"))
	if err != nil {
		t.Fatal(err)
	}
	return payload
}

func decode[T any](t *testing.T, text string) T {
	t.Helper()
	var v T
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return v
}

// event is a result event as a consumer sees it.
type event struct {
	SpecVersion, ID, Source, Type, Subject, Time, DataContentType, CorrelationID, CausationID string

	Data struct {
		Status      string
		Request     map[string]any
		Replication struct {
			VaultID string `json:"vault_id"`
			Backups []map[string]string
		}
		Error    map[string]any
		Attempts int
		Request_ string `json:"request_id"`
	}
}

// TestSamples sends every sample to the function and checks the request to CBR, the
// result on the topic and the answer.
func TestSamples(t *testing.T) {
	t.Parallel()
	type want struct {
		vaults []string
		answer string // empty: it is checked below
	}
	for name, want := range map[string]want{
		"sqs":            {[]string{cbrtest.SourceVault, vaultB}, `{"batchItemFailures":[]}`},
		"sqs-fifo":       {[]string{cbrtest.SourceVault, vaultB, vaultC}, `{"batchItemFailures":[]}`},
		"apigw-http":     {[]string{cbrtest.SourceVault}, ""},
		"function-url":   {[]string{cbrtest.SourceVault}, ""},
		"direct":         {[]string{cbrtest.SourceVault}, ""},
		"direct-batch":   {[]string{cbrtest.SourceVault, vaultB}, ""},
		"pipes-sqs":      {[]string{cbrtest.SourceVault, vaultB}, `{"batchItemFailures":[]}`},
		"pipes-kafka":    {[]string{cbrtest.SourceVault, vaultB, vaultC}, "null"},
		"pipes-rabbitmq": {[]string{cbrtest.SourceVault, vaultB}, "null"},
		"pipes-activemq": {[]string{cbrtest.SourceVault, vaultB}, "null"},
		"sns":            {[]string{cbrtest.SourceVault}, "null"},
		"eventbridge":    {[]string{cbrtest.SourceVault}, "null"},
		"kafka":          {[]string{cbrtest.SourceVault, vaultB, vaultC}, "null"},
		"rabbitmq":       {[]string{cbrtest.SourceVault, vaultB}, "null"},
		"activemq":       {[]string{cbrtest.SourceVault, vaultB}, "null"},
		"cloudevent":     {[]string{cbrtest.SourceVault}, ""},
		"apigw-rest":     {[]string{cbrtest.SourceVault}, ""},
		"alb":            {[]string{cbrtest.SourceVault}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, "results", nil)
			response := r.invoke(sample(t, name), time.Minute)
			if response.Error != nil {
				t.Fatal(response.Error)
			}

			var asked, told []string
			for _, call := range r.cbr.Calls() {
				body := decode[struct{ Replicate map[string]any }](t, call.Body)
				asked = append(asked, body.Replicate["vault_id"].(string))
				if call.Path != "/v3/"+cbrtest.SourceProject+"/checkpoints/replicate" ||
					call.Header.Get("X-Auth-Token") != cbrtest.Token ||
					!strings.HasPrefix(call.Header.Get("User-Agent"), "cbr-replicator/") {
					t.Errorf("call %s with %v", call.Path, call.Header.Get("User-Agent"))
				}
			}
			for _, m := range r.topic.Messages() {
				e := decode[event](t, m.Message)
				told = append(told, strings.TrimPrefix(e.Subject, "vaults/"))
				if e.Type != "cbr.checkpoint.replication.accepted.v1" || e.Source != r.cbr.URL+"/v3/"+cbrtest.SourceProject ||
					e.Data.Status != "accepted" || e.Data.Error != nil || e.Data.Attempts != 1 || len(e.Data.Replication.Backups) == 0 ||
					len(e.Data.Request_) != 32 || e.Data.Request["project_id"] != cbrtest.SourceProject ||
					e.ID == "" || e.CausationID == "" || e.CorrelationID == "" {
					t.Errorf("event %s", m.Message)
				}
			}
			slices.Sort(asked)
			slices.Sort(told)
			slices.Sort(want.vaults)
			if diff := cmp.Diff(want.vaults, asked); diff != "" {
				t.Errorf("asked of CBR (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(want.vaults, told); diff != "" {
				t.Errorf("told on the topic (-want +got):\n%s", diff)
			}
			if want.answer != "" && want.answer != string(response.Payload) {
				t.Errorf("answer %s, want %s", response.Payload, want.answer)
			}
			switch name {
			case "apigw-http", "function-url", "apigw-rest", "alb":
				answer := decode[struct {
					StatusCode        int
					Headers           map[string]string
					MultiValueHeaders map[string][]string
					Body              string
				}](t, string(response.Payload))
				if answer.Headers == nil {
					answer.Headers = map[string]string{}
				}
				for name, values := range answer.MultiValueHeaders {
					answer.Headers[name] = values[0]
				}
				if answer.StatusCode != 200 || len(answer.Headers["X-Request-Id"]) != 32 || answer.Headers["X-Result-Published"] != "true" ||
					!strings.HasPrefix(answer.Body, `{"replication":{`) {
					t.Errorf("answer %+v", answer)
				}
			case "direct", "cloudevent":
				if data := decode[map[string]any](t, string(response.Payload)); data["status"] != "accepted" {
					t.Errorf("answer %s", response.Payload)
				}
			case "direct-batch":
				if data := decode[[]map[string]any](t, string(response.Payload)); len(data) != 2 || data[1]["status"] != "accepted" {
					t.Errorf("answer %s", response.Payload)
				}
			}
		})
	}
}

// TestWireBody: the body of a request to CBR is the one that Huawei's official SDK
// sends for the same fields (recorded from SDK v0.1.207), without the line break at
// its end.
func TestWireBody(t *testing.T) {
	t.Parallel()
	const required = `"destination_project_id":"68589cac08274b82b4e254268a3862d8","destination_region":"region2",` +
		`"destination_vault_id":"0ca3eb86-8800-46da-9c37-9d657a825274","vault_id":"3b5816b5-f29c-4172-9d9a-76c719a659ce"`
	const all = required + `,"auto_trigger":false,"enable_acceleration":false,"cross_account_urn":"EXAMPLE-URN"`
	r := newRig(t, "results", map[string]string{"ALLOWED_CROSS_ACCOUNT_URNS": "EXAMPLE-URN"})
	for i, fields := range []string{required, all} {
		r.invoke([]byte(`{"correlation_id":"not-on-the-wire","replicate":{`+fields+`}}`), time.Minute)
		calls := r.cbr.Calls()
		if len(calls) != i+1 {
			t.Fatalf("%d calls", len(calls))
		}
		want := decode[any](t, `{"replicate":{`+fields+`}}`)
		if diff := cmp.Diff(want, decode[any](t, calls[i].Body)); diff != "" {
			t.Errorf("body (-want +got):\n%s", diff)
		}
		if got := calls[i].Header.Get("Content-Type"); got != "application/json;charset=UTF-8" {
			t.Errorf("Content-Type %s", got)
		}
	}
}

// TestTokenIsEchoed has CBR and the gateway repeat the token wherever an answer can
// have a text. Every rig checks that it is nowhere.
func TestTokenIsEchoed(t *testing.T) {
	t.Parallel()
	token := cbrtest.Token
	header := map[string][]string{"X-Request-Id": {token}, "Retry-After": {token}, "Location": {"https://example.com/" + token}}
	for name, fault := range map[string]cbrtest.Fault{
		"in a refusal":       {Status: 400, Code: "BackupService.6120", Message: "no vault for " + token},
		"as the code":        {Status: 400, Code: token, Message: "x"},
		"in plain text":      {Status: 401, Body: "<html>" + token + "</html>"},
		"in a redirect":      {Status: 302, Header: header},
		"in headers":         {Status: 500, Body: "{}", Header: header},
		"in the replication": {Status: 200, Header: header, Body: `{"replication":{"vault_id":"` + cbrtest.SourceVault + `","x":"` + strings.ReplaceAll(token, "-", `\u002d`) + `","backups":[{"backup_id":"` + token + `"}]}}`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, "results", nil)
			for _, s := range []string{"direct", "apigw-http", "sqs"} {
				r.cbr.Script(cbrtest.AnyVault, fault)
				r.invoke(sample(t, s), time.Minute)
			}
			if len(r.cbr.Calls()) < 3 {
				t.Errorf("%d calls", len(r.cbr.Calls()))
			}
			for _, line := range r.lines("delivery") {
				if strings.Contains(fmt.Sprint(line), `\u002d`) {
					t.Errorf("an escaped token in %v", line)
				}
			}
		})
	}
}

// TestControlCharacter: aws-lambda-go puts an error's text into a header, where a
// control character would end the process.
func TestControlCharacter(t *testing.T) {
	t.Parallel()
	r := newRig(t, "results", nil)
	for _, payload := range []string{"{\"a\u007fb\":1}", "{\"a\\u0000\\r\\nX-Evil: 1\":1}", `[]`, `{"Records":[{"eventSource":"aws:s3` + "\u007f" + `"}]}`} {
		response := r.invoke([]byte(payload), time.Minute)
		if response.Error == nil || response.Error.Type != "CBR.InvalidEvent" {
			t.Errorf("%q: %s", payload, response.Payload)
		}
	}
	if cold := strings.Count(strings.Join(r.log, ""), `"ColdStart":1`); cold != 1 {
		t.Errorf("%d cold starts, want 1: the process ended in between", cold)
	}
}

func TestErrorsOfDirectCalls(t *testing.T) {
	t.Parallel()
	r := newRig(t, "results.fifo", map[string]string{"RETRY_MAX_ATTEMPTS": "2"})
	for _, tt := range []struct {
		payload string
		fault   cbrtest.Fault
		want    string
	}{
		{`{"replicate":{"vault_id":"x","Vault_id":""}}`, cbrtest.Fault{}, "CBR.InvalidEvent"},
		{"", cbrtest.Refusal(400, "BackupService.6129", "full"), "CBR.Rejected"},
		{"", cbrtest.Refusal(400, "BackupService.6130", "busy"), "CBR.InProgress"},
		{"", cbrtest.Refusal(404, "APIGW.0101", "no such API"), "CBR.Misconfigured"},
		{"", cbrtest.Refusal(401, "APIG.0307", "The token must be updated"), "CBR.Unauthorized"},
		{"", cbrtest.Throttled(time.Hour), "CBR.Throttled"},
		{"", cbrtest.Refusal(400, "BackupService.1009", "done"), "CBR.NotCovered"},
		{"", cbrtest.ResetBefore(), "CBR.Unknown"},
		{"", cbrtest.ResetAfter(), "CBR.Unknown"}, // its records have no time yet
	} {
		payload := []byte(tt.payload)
		if tt.payload == "" {
			payload = sample(t, "direct")
			r.cbr.Script(cbrtest.AnyVault, tt.fault)
		}
		response := r.invoke(payload, time.Minute)
		got := ""
		if response.Error != nil {
			got = response.Error.Type
			if !strings.HasPrefix(response.Error.Message, strings.TrimPrefix(got, "CBR.")+" ") {
				t.Errorf("message %q does not begin with its kind", response.Error.Message)
			}
		}
		if got != tt.want {
			t.Errorf("%s %+v: error %q, want %q", tt.payload, tt.fault, got, tt.want)
		}
	}
	// An InvalidEvent has no vault to group by, and a FIFO topic insists on a group.
	if first := r.topic.Messages()[0]; first.Group != "invalid" || first.DeduplicationID == "" || first.Attributes["status"] != "rejected" {
		t.Errorf("first message %+v", first)
	}
}

// TestQueue: of three messages one is accepted at once, one after a redelivery, and
// one becomes a dead letter.
func TestQueue(t *testing.T) {
	t.Parallel()
	r := newRig(t, "results", nil)
	busy := cbrtest.Refusal(400, "BackupService.6130", "The vault is being replicated.")
	r.cbr.Script(vaultB, busy)
	r.cbr.Script(vaultC, busy, busy, busy)

	queue := r.stack.Requests
	for _, vault := range []string{cbrtest.SourceVault, vaultB, vaultC} {
		queue.Send(request(vault), nil, "")
	}
	for range maxReceives {
		r.deliver()
		r.slept.Add(int64(12 * time.Hour)) // longer than any message is out of sight
	}
	if left := queue.Receive(1); len(left) > 0 || len(queue.Messages()) > 0 {
		t.Errorf("%d messages are left", len(queue.Messages()))
	}
	want := []string{cbrtest.SourceVault[:8] + " accepted ", vaultB[:8] + " accepted ", vaultC[:8] + " failed InProgress"}
	slices.Sort(want)
	if diff := cmp.Diff(want, r.statuses()); diff != "" {
		t.Errorf("results (-want +got):\n%s", diff)
	}
	if left := queue.DeadLetters().Messages(); len(left) != 1 || left[0].Body != request(vaultC) {
		t.Errorf("dead letters %v", left)
	}
	for _, line := range r.lines("delivery") {
		for _, field := range []string{
			"status", "kind", "code", "attempts", "deliveries", "duration_ms", "vault_id", "source_region",
			"destination_region", "causation_id", "correlation_id", "cbr_request_id", "requestId",
		} {
			if _, ok := line[field]; !ok {
				t.Errorf("no %s in %v", field, line)
			}
		}
	}
}

func request(vault string) string {
	return fmt.Sprintf(`{"replicate":{"vault_id":%q,"destination_vault_id":%q,"destination_project_id":%q,"destination_region":%q}}`,
		vault, cbrtest.DestinationVault, cbrtest.DestinationProject, cbrtest.DestinationRegion)
}

// TestInventedRegion: each value of a dimension is a metric that costs money, so
// that a destination that is not allowed must not make one.
func TestInventedRegion(t *testing.T) {
	t.Parallel()
	r := newRig(t, "results", nil)
	payload := strings.ReplaceAll(request(cbrtest.SourceVault), cbrtest.DestinationRegion, "invented-1")
	if response := r.invoke([]byte(payload), time.Minute); response.Error == nil || response.Error.Type != "CBR.NotAllowed" {
		t.Fatalf("answer %s", response.Payload)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, line := range r.log {
		if strings.Contains(line, `"_aws"`) && strings.Contains(line, "invented-1") {
			t.Errorf("metrics %s", line)
		}
	}
}

// TestNoLoop: if the function's own queue is subscribed to the result topic, with or
// without raw delivery, no result of a result is published.
func TestNoLoop(t *testing.T) {
	t.Parallel()
	r := newRig(t, "results", nil)
	r.invoke([]byte(`{"nonsense":true}`), time.Minute)
	r.invoke(sample(t, "direct"), time.Minute)
	results := r.topic.Messages()
	if len(results) != 2 {
		t.Fatalf("%d results", len(results))
	}
	for _, m := range results {
		notification, err := json.Marshal(map[string]string{"Type": "Notification", "MessageId": m.ID, "TopicArn": r.topic.ARN(), "Message": m.Message})
		if err != nil {
			t.Fatal(err)
		}
		r.stack.Requests.Send(m.Message, nil, "")
		r.stack.Requests.Send(string(notification), nil, "")
	}
	if response := r.invoke(r.batch(), time.Minute); string(response.Payload) != `{"batchItemFailures":[]}` {
		t.Errorf("answer %s", response.Payload)
	}
	if got := len(r.topic.Messages()); got != 2 {
		t.Errorf("%d results after the results were received as requests, want 2", got)
	}
	if got := len(r.lines("own result received as a request")); got != 4 {
		t.Errorf("%d lines in the log, want 4", got)
	}
}

// TestTopicFails: if CBR accepted a request but its result cannot be published, the
// delivery is handed back and the log has all of the event.
func TestTopicFails(t *testing.T) {
	t.Parallel()
	r := newRig(t, "results", nil)
	r.topic.Script(sandbox.TopicFault{Status: 403, Code: "AuthorizationError"})
	response := r.invoke(sample(t, "sqs"), time.Minute)
	answer := decode[struct{ BatchItemFailures []map[string]string }](t, string(response.Payload))
	if n := len(answer.BatchItemFailures) + len(r.topic.Messages()); n != 2 || len(answer.BatchItemFailures) == 0 {
		t.Errorf("%d handed back, %d published", len(answer.BatchItemFailures), len(r.topic.Messages()))
	}
	lost := r.lines("result not published")
	if len(lost) != len(answer.BatchItemFailures) {
		t.Fatalf("%d events logged, want %d", len(lost), len(answer.BatchItemFailures))
	}
	if e, ok := lost[0]["event"].(map[string]any); !ok || e["specversion"] != "1.0" || e["data"] == nil {
		t.Errorf("logged %v", lost[0])
	}

	// Throttling by the topic is retried, under each of its names.
	r.topic.Script(sandbox.TopicFault{Status: 400, Code: "Throttling"}, sandbox.TopicFault{Status: 429, Code: "Throttled"}, sandbox.TopicFault{Status: 400, Code: "Throttled"})
	r.cbr.Script(cbrtest.AnyVault, cbrtest.Refusal(400, "BackupService.6129", "full"))
	before := len(r.topic.Messages())
	r.invoke(sample(t, "direct"), time.Minute)
	if got := len(r.topic.Messages()) - before; got != 1 {
		t.Errorf("%d published after a throttle, want 1", got)
	}
}

// TestLittleTime: if CBR does not answer, the function still replies before the
// invocation's time is over.
func TestLittleTime(t *testing.T) {
	t.Parallel()
	r := newRig(t, "results", nil)
	r.cbr.Script(cbrtest.AnyVault, cbrtest.Late(time.Minute), cbrtest.Late(time.Minute))
	response := r.invoke(sample(t, "sqs"), 4*time.Second)
	if response.Error != nil {
		t.Fatalf("the invocation timed out: %v", response.Error)
	}
	if n := strings.Count(string(response.Payload), "itemIdentifier"); n != 2 {
		t.Errorf("%d handed back, want 2: %s", n, response.Payload)
	}
	for _, line := range r.lines("delivery") {
		if line["kind"] != "Unknown" {
			t.Errorf("kind %v, want Unknown: CBR has the request", line["kind"])
		}
	}
	// With less time than a try needs, nothing is sent.
	calls := len(r.cbr.Calls())
	r.invoke(sample(t, "sqs"), 500*time.Millisecond)
	if got := len(r.cbr.Calls()); got != calls {
		t.Errorf("%d calls with no time left", got-calls)
	}
	if last := r.lines("delivery"); last[len(last)-1]["kind"] != "OutOfTime" {
		t.Errorf("kind %v, want OutOfTime", last[len(last)-1]["kind"])
	}
}

// TestMisconfigured: a function with a wrong configuration names all that is wrong
// at once, and handles no event.
func TestMisconfigured(t *testing.T) {
	t.Parallel()
	path, err := build()
	if err != nil {
		t.Fatal(err)
	}
	f := sandbox.NewFunction(sandbox.FunctionConfig{Path: path, Env: map[string]string{"HW_AUTH_TOKEN": cbrtest.Token, "CBR_TIMEOUT": "soon"}})
	t.Cleanup(f.Close)
	response, err := f.Invoke(t.Context(), sample(t, "direct"), time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	if response.Error == nil || response.Error.Type != "Runtime.ExitError" {
		t.Fatalf("response %+v", response)
	}
	for _, name := range []string{"HW_PROJECT_ID", "RESULT_TOPIC_ARN", "ALLOWED_PROJECT_IDS", "ALLOWED_DESTINATIONS", "CBR_TIMEOUT"} {
		if !strings.Contains(response.Error.Error(), name) {
			t.Errorf("%s is not named in %v", name, response.Error)
		}
	}
	if n := strings.Count(response.Error.Error(), "RESULT_TOPIC_ARN: required"); n != 1 {
		t.Errorf("the list is there %d times in %v", n, response.Error)
	}
	if strings.Contains(response.Error.Error(), cbrtest.Token) {
		t.Error("the token is in the output")
	}
}

// TestVisibility: the function changes the visibility timeout of a message to a
// longer one than the queue's.
func TestVisibility(t *testing.T) {
	t.Parallel()
	r := newRig(t, "results", nil)
	vaults := r.cbr.AddVaults(cbrtest.SourceProject, 2, 1)
	r.cbr.Script(vaults[0], cbrtest.Refusal(400, "BackupService.6130", "busy"))
	for _, vault := range vaults {
		r.stack.Requests.Send(request(vault), nil, "")
	}
	if failed := r.deliver(); len(failed) != 1 {
		t.Errorf("handed back %v, want the busy one", failed)
	}
	if n := r.stack.SQS.Calls(); n != 1 {
		t.Errorf("%d calls to SQS, want 1", n)
	}
	if redelivered := r.stack.Requests.Receive(10); len(redelivered) > 0 {
		t.Errorf("redelivered at once: %v", redelivered)
	}
	if lines := r.lines("visibility not changed"); len(lines) > 0 {
		t.Errorf("log: %v", lines)
	}
}

// TestRejectedBody: the built function keeps a rejected body, text or not, with the
// kind. While it cannot, it hands the message back.
func TestRejectedBody(t *testing.T) {
	t.Parallel()
	r := newRig(t, "results", map[string]string{
		"REJECTED_QUEUE_ARN": "arn:aws:sqs:" + sandbox.Region + ":" + sandbox.Account + ":rejected", "RETRY_MAX_ATTEMPTS": "2", "RETRY_MAX_INTERVAL": "10ms",
	})
	outage := sandbox.SQSFault{Status: 503, Code: "ServiceUnavailable"}
	r.stack.SQS.Script(outage, outage) // for both tries with the first message
	deliver := func(body string) (failed []string) {
		r.stack.Requests.Send(body, nil, "")
		return r.deliver()
	}
	if failed := deliver("not json"); len(failed) != 1 || len(r.topic.Messages()) > 0 || len(r.stack.Rejected.Messages()) > 0 {
		t.Fatalf("without the queue: handed back %v, results %v, bodies %v", failed, r.topic.Messages(), r.stack.Rejected.Messages())
	}
	r.stack.Requests.Purge()
	bodies := []string{"not json", "\x00 is no text for SQS", `{"priority":1}`}
	for _, body := range bodies {
		if failed := deliver(body); len(failed) > 0 {
			t.Errorf("%q is handed back", body)
		}
	}
	var got []string
	for i, m := range r.stack.Rejected.Messages() {
		body := m.Body
		if m.Attributes["encoding"] == "base64" {
			text, err := base64.StdEncoding.DecodeString(body)
			if err != nil {
				t.Error(err)
			}
			body = string(text)
		}
		got = append(got, body)
		result := r.topic.Messages()[i]
		if result.Attributes["kind"] != m.Attributes["kind"] || !strings.Contains(result.Message, `"causationid":"`+m.Attributes["causation_id"]+`"`) {
			t.Errorf("attributes %v of the body, and the result %s", m.Attributes, result.Message)
		}
	}
	if diff := cmp.Diff(bodies, got); diff != "" {
		t.Errorf("bodies (-want +got):\n%s", diff)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if said := strings.Join(r.log, ""); strings.Contains(said, "not json") || strings.Contains(said, "is no text") {
		t.Errorf("a body is in the log:\n%s", said)
	}
}
