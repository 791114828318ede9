package contract

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"cbr-replicator/internal/cbr/cbrtest"
	"cbr-replicator/internal/kind"
	"cbr-replicator/internal/sandbox"
)

var build = sync.OnceValues(func() (string, error) {
	return sandbox.BuildFunction(context.Background())
})

func TestMain(m *testing.M) {
	code := m.Run()
	if binary, err := build(); err == nil {
		_ = os.RemoveAll(filepath.Dir(binary))
	}
	os.Exit(code)
}

// rig is the function's binary between a CBR and a topic. When the test ends,
// every message on the topic is held to asyncapi.yaml.
type rig struct {
	t        *testing.T
	function *sandbox.Function
	cbr      *cbrtest.Server
	topic    *sandbox.Topic
}

func newRig(t *testing.T, extra map[string]string) *rig {
	t.Helper()
	binary, err := build()
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{t: t, cbr: cbrtest.NewServer()}
	t.Cleanup(r.cbr.Close)
	r.cbr.AddExample()
	r.cbr.AddVault(cbrtest.Vault{ID: cbrtest.DestinationVault, ProjectID: cbrtest.DestinationProject, ProtectType: "replication", Size: 10_000_000})
	stack, err := sandbox.NewStack(sandbox.StackConfig{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(stack.Close)
	r.topic = stack.Topic
	env := stack.Env(cbrtest.Env(r.cbr.URL), map[string]string{"RETRY_INITIAL_INTERVAL": "1ms", "RETRY_MAX_ATTEMPTS": "1"}, extra)
	r.function = sandbox.NewFunction(sandbox.FunctionConfig{Path: binary, Env: env})
	t.Cleanup(func() {
		r.function.Close()
		events := open(t, "asyncapi.yaml")
		for _, m := range r.topic.Messages() {
			attributes := map[string]any{}
			for name, value := range m.Attributes {
				attributes[name] = value
			}
			events.message("result", resultMessage, parse(t, m.Message), attributes)
		}
	})
	return r
}

// answer is an answer as API Gateway takes it.
type answer struct {
	StatusCode int
	Headers    map[string]string
	Body       string
}

// call sends a request as API Gateway does: its sample with another request. headers
// are names and values.
func (r *rig) call(method, path, body string, headers ...string) answer {
	r.t.Helper()
	event := object(r.t, readYAML(r.t, "events/apigw-http.json"))
	event["rawPath"], event["body"], event["isBase64Encoded"] = path, body, false
	for pair := range slices.Chunk(headers, 2) {
		object(r.t, event["headers"])[pair[0]] = pair[1]
	}
	object(r.t, event["requestContext"])["http"] = map[string]any{"method": method, "path": path}
	payload, err := json.Marshal(event)
	if err != nil {
		r.t.Fatal(err)
	}
	response, err := r.function.Invoke(r.t.Context(), payload, 30*time.Second)
	if err != nil {
		r.t.Fatal(err)
	}
	if response.Error != nil {
		r.t.Fatalf("an HTTP answer is never a Lambda error: %v", response.Error)
	}
	var a answer
	if err := json.Unmarshal(response.Payload, &a); err != nil {
		r.t.Fatalf("%s: %v", response.Payload, err)
	}
	return a
}

// answers holds an answer to the operation's responses, and returns its status.
func (d *document) answers(path, method string, a answer) string {
	d.t.Helper()
	operation := pointer("paths", path, strings.ToLower(method), "responses")
	status := strconv.Itoa(a.StatusCode)
	_, at, ok := d.find(operation + "/" + status)
	if !ok {
		d.t.Fatalf("%s %s answers with %s, which %s does not list", method, path, status, d.file)
	}
	what := fmt.Sprintf("%s %s: %s", method, path, status)
	_, schema, _ := d.find(at + pointer("content", a.Headers["Content-Type"], "schema")[1:])
	if schema == "" {
		d.t.Fatalf("%s: no content of type %q is described", what, a.Headers["Content-Type"])
	}
	d.check(what, schema, parse(d.t, a.Body))

	if a.Headers["X-Request-Id"] == "" { // API Gateway's own answers lack it, so that no answer says that it must be there
		d.t.Errorf("%s: the header X-Request-Id is missing", what)
	}
	described, _, _ := d.find(at + "/headers")
	headers, _ := described.(map[string]any)
	for name := range a.Headers {
		if headers[name] == nil && name != "Content-Type" {
			d.t.Errorf("%s: the header %s is not described", what, name)
		}
	}
	for name := range headers {
		header, headerAt, _ := d.find(at + pointer("headers", name)[1:])
		value, ok := a.Headers[name]
		switch {
		case ok:
			d.check(what+": "+name, headerAt+"/schema", value)
		case object(d.t, header)["required"] == true:
			d.t.Errorf("%s: the header %s is missing", what, name)
		}
	}
	return status
}

const (
	replicatePath = "/v3/{project_id}/checkpoints/replicate"
	backupPath    = "/v3/{project_id}/backups/{backup_id}/replicate"
)

// TestHTTP holds the function's real answers to openapi.yaml: one of each kind, with
// each of the two operations.
func TestHTTP(t *testing.T) {
	t.Parallel()
	example, _, ok := open(t, "openapi.yaml").find("#/components/requestBodies/Request/content/application~1json/example")
	if !ok {
		t.Fatal("no example of a request")
	}
	text, err := json.Marshal(example)
	if err != nil {
		t.Fatal(err)
	}
	body := string(text) // with the vaults of the CBR API reference, which cbrtest has
	script := func(faults ...cbrtest.Fault) func(*rig) {
		return func(r *rig) { r.cbr.Script(cbrtest.AnyVault, faults...) }
	}
	for _, tt := range []struct {
		name   string
		status int
		code   string
		body   string // the example if it is empty
		before func(*rig)
		env    map[string]string
	}{
		{name: "accepted", status: 200},
		{name: "nothing new", status: 200, before: script(cbrtest.Raw(200, `{"replication":{"vault_id":"`+cbrtest.SourceVault+`","backups":null}}`))},
		{name: "not published", status: 200, before: func(r *rig) {
			r.topic.Script(sandbox.TopicFault{Status: 403, Code: "AuthorizationError"})
		}},
		{name: "InvalidEvent", status: 400, code: "InvalidEvent", body: `{"replicate":{}}`},
		{name: "NotCovered", status: 400, code: "BackupService.1009", before: script(cbrtest.Refusal(400, "BackupService.1009", "replicated"))},
		{name: "NotAllowed", status: 403, code: "NotAllowed", body: strings.Replace(body, "region2", "region3", 1)},
		{name: "Rejected", status: 404, code: "BackupService.6105", body: strings.Replace(body, "3b5816b5", "00000000", 1)},
		{name: "InProgress", status: 409, code: "BackupService.6130", before: script(cbrtest.Refusal(400, "BackupService.6130", "busy"))},
		{name: "Throttled", status: 429, code: "APIG.0308", before: script(cbrtest.Throttled(7 * time.Second))},
		{name: "Throttled, without advice", status: 429, code: "APIG.0308", before: script(cbrtest.Throttled(0))},
		{name: "Rejected as a 500", status: 500, code: "BackupService.1005", before: script(cbrtest.Refusal(500, "BackupService.1005", "region"))},
		{name: "Unauthorized", status: 502, code: "APIGW.0307", before: script(cbrtest.Refusal(401, "APIGW.0307", "expired"))},
		{name: "Misconfigured", status: 502, code: "Misconfigured", before: script(cbrtest.Raw(404, "<html>"))},
		{name: "Unavailable", status: 503, code: "APIG.0613", before: script(cbrtest.Unavailable())},
		{name: "Unknown", status: 504, code: "Unknown", before: script(cbrtest.ResetAfter())},
		{name: "OutOfTime", status: 504, code: "OutOfTime", env: map[string]string{"HTTP_TIMEOUT": "100ms"}},
	} {
		for path, concrete := range map[string]string{replicatePath: "/v3/" + cbrtest.SourceProject + "/checkpoints/replicate", "/": "/"} {
			t.Run(tt.name+" "+path, func(t *testing.T) {
				t.Parallel()
				d, r := open(t, "openapi.yaml"), newRig(t, tt.env)
				if tt.before != nil {
					tt.before(r)
				}
				request := tt.body
				if request == "" {
					request = body
					d.check("the example", "#/components/requestBodies/Request/content/application~1json/schema", parse(t, request))
				}
				a := r.call("POST", concrete, request)
				if got := d.answers(path, "POST", a); got != strconv.Itoa(tt.status) {
					t.Errorf("status %s, want %d: %s", got, tt.status, a.Body)
				}
				if tt.status < 300 {
					if object(t, parse(t, a.Body))["replication"] == nil {
						t.Errorf("a call that was not ignored has no replication: %s", a.Body)
					}
					return
				}
				// openapi.yaml has two forms of an error. The function writes CBR's.
				d.check("body", "#/components/schemas/Fault", parse(t, a.Body))
				if code := object(t, parse(t, a.Body))["error_code"]; code != tt.code {
					t.Errorf("error_code %v, want %s", code, tt.code)
				}
			})
		}
	}
}

// TestHTTPEstates holds the answers to what is no replication of a vault to openapi.yaml:
// one backup, plans and checks.
func TestHTTPEstates(t *testing.T) {
	t.Parallel()
	const to = `"destination_vault_id":"` + cbrtest.DestinationVault + `","destination_project_id":"` + cbrtest.DestinationProject + `","destination_region":"` + cbrtest.DestinationRegion + `"`
	backup := cbrtest.ExampleBackups()[0]
	d := open(t, "openapi.yaml")
	example, body, _ := d.find(pointer("paths", backupPath, "post", "requestBody", "content", "application/json", "example"))
	d.check("the example of "+body, "#/components/schemas/BackupReplicationRequest", example)
	path := "/v3/" + cbrtest.SourceProject + "/backups/" + backup + "/replicate"
	for _, tt := range []struct {
		name, body string
		status     int
		want       string // a member of the answer, or its error code
		path       string // of the operation; empty: /
	}{
		{"one backup", `{"replicate":{` + to + `}}`, 200, "replication", backupPath},
		{"one backup with a name", `{"replicate":{"name":"gap","description":"d",` + to + `}}`, 200, "replication", backupPath},
		{"another backup", `{"replicate":{"backup_id":"` + cbrtest.SourceVault + `",` + to + `}}`, 400, "InvalidEvent", backupPath},
		{"one backup by its id", `{"replicate":{"backup_id":"` + backup + `",` + to + `}}`, 200, "replication", ""},
		{"no such backup", `{"replicate":{"backup_id":"` + cbrtest.SourceVault + `",` + to + `}}`, 404, "BackupService.6200", ""},
		{"a plan", `{"select":{},"replicate":{` + to + `}}`, 200, "data", ""},
		{"a dry run", `{"select":{},"dry_run":true,"replicate":{` + to + `}}`, 200, "data", ""},
		{"a plan of nothing", `{"select":{"tags":[{"key":"no"}]},"replicate":{` + to + `}}`, 400, "NothingSelected", ""},
		{"a check", `{"check":{"vault_id":"` + cbrtest.SourceVault + `",` + to + `}}`, 200, "data", ""},
		{"a check of another region", `{"check":{"vault_id":"` + cbrtest.SourceVault + `",` + strings.Replace(to, "region2", "region3", 1) + `}}`, 403, "NotAllowed", ""},
		{"both", `{"check":{},"replicate":{}}`, 400, "InvalidEvent", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			d, r := open(t, "openapi.yaml"), newRig(t, nil)
			operation, concrete := tt.path, path
			if operation == "" {
				operation, concrete = "/", "/"
			}
			if tt.want != "InvalidEvent" {
				_, body, _ := d.find(pointer("paths", operation, "post", "requestBody", "content", "application/json", "schema"))
				d.check("the body", body, parse(t, tt.body))
			}
			a := r.call("POST", concrete, tt.body)
			if got := d.answers(operation, "POST", a); got != strconv.Itoa(tt.status) {
				t.Errorf("status %s, want %d: %s", got, tt.status, a.Body)
			}
			if body := object(t, parse(t, a.Body)); body[tt.want] == nil && body["error_code"] != tt.want {
				t.Errorf("answer %s, want %s", a.Body, tt.want)
			}
		})
	}
}

// TestHTTPRequestedAt: a repeated call with the same X-Requested-At has the same answer,
// and copies are started once.
func TestHTTPRequestedAt(t *testing.T) {
	t.Parallel()
	d, r := open(t, "openapi.yaml"), newRig(t, nil)
	body := `{"replicate":{"vault_id":"` + cbrtest.SourceVault + `","destination_vault_id":"` + cbrtest.DestinationVault +
		`","destination_project_id":"` + cbrtest.DestinationProject + `","destination_region":"region2"}}`
	at := time.Now().UTC().Format(time.RFC3339)
	for range 2 {
		a := r.call("POST", "/v3/"+cbrtest.SourceProject+"/checkpoints/replicate", body, "x-requested-at", at)
		if got := d.answers(replicatePath, "POST", a); got != "200" {
			t.Errorf("status %s: %s", got, a.Body)
		}
	}
	a := r.call("POST", "/", strings.Replace(body, "{", `{"requested_at":"2026-11-23T02:00:00Z",`, 1), "x-requested-at", at)
	d.answers("/", "POST", a)
	if !strings.Contains(a.Body, "requested_at: expected the same time as in X-Requested-At") {
		t.Errorf("two times: %s", a.Body)
	}
	posts := 0
	for _, call := range r.cbr.Calls() {
		if call.Operation == "CopyCheckpoint" {
			posts++
		}
	}
	if posts != 1 {
		t.Errorf("CBR was called %d times, want once", posts)
	}
}

// TestHTTPWithoutCBR: the answers to requests for which CBR is not called.
func TestHTTPWithoutCBR(t *testing.T) {
	t.Parallel()
	d, r := open(t, "openapi.yaml"), newRig(t, nil)
	d.answers("/", "GET", r.call("GET", "/", ""))
	own := object(t, readYAML(t, "internal/result/testdata/accepted.json"))["message"]
	text, err := json.Marshal(own)
	if err != nil {
		t.Fatal(err)
	}
	d.answers("/", "POST", r.call("POST", "/", string(text)))
	for _, wrong := range []answer{r.call("POST", "/v3/backups", "{}"), r.call("PUT", "/", "{}")} {
		d.check(strconv.Itoa(wrong.StatusCode), "#/components/schemas/Fault", parse(t, wrong.Body))
	}
	if n := len(r.cbr.Calls()) + len(r.topic.Messages()); n != 0 {
		t.Errorf("%d calls or results", n)
	}
}

// TestGenerators: the document has nothing on which generators of clients fail or
// differ, as `make clients` has shown: headers and parameters without a type, and
// schemas that are a choice of others.
func TestGenerators(t *testing.T) {
	t.Parallel()
	var typed int
	var walk func(at string, v any)
	walk = func(at string, v any) {
		switch v := v.(type) {
		case []any:
			for i, item := range v {
				walk(at+"/"+strconv.Itoa(i), item)
			}
		case map[string]any:
			for name, item := range v {
				if name == "oneOf" || name == "anyOf" || name == "allOf" {
					t.Errorf("%s has %s", at, name)
				}
				walk(at+pointer(name)[1:], item)
			}
			// Only headers and parameters have a schema beside a description.
			if schema, ok := v["schema"].(map[string]any); ok && v["description"] != nil {
				typed++
				if schema["type"] != "string" {
					t.Errorf("%s: its schema has no type", at)
				}
			}
		}
	}
	walk("#", open(t, "openapi.yaml").value)
	if typed < 6 {
		t.Errorf("only %d headers and parameters", typed)
	}
}

// TestStatuses: all operations list the status of every kind, those of CBR itself, and
// no others.
func TestStatuses(t *testing.T) {
	t.Parallel()
	d := open(t, "openapi.yaml")
	kinds, _, ok := open(t, "asyncapi.yaml").find(resultMessage + "/payload/schema/$defs/data/properties/error/properties/kind/enum")
	if !ok {
		t.Fatal("no list of kinds")
	}
	// 404 and the ranges are of CBR itself. 500 may be, too.
	want := []string{"200", "404", "4XX", "5XX"}
	for _, k := range kinds.([]any) {
		name, _ := k.(string)
		if status := kind.Kind(name).Policy().HTTPStatus; status != kind.OwnAnswer {
			want = append(want, strconv.Itoa(status))
		}
	}
	slices.Sort(want)
	want = slices.Compact(want)
	for _, path := range []string{replicatePath, backupPath, "/"} {
		responses, _, _ := d.find(pointer("paths", path, "post", "responses"))
		if got := slices.Sorted(maps.Keys(object(t, responses))); !slices.Equal(got, want) {
			t.Errorf("POST %s lists %v, want %v", path, got, want)
		}
	}
}
