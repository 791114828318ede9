package cbrtest

import (
	"bytes"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	replicatePath = "/v3/" + SourceProject + "/checkpoints/replicate"
	vaultsPath    = "/v3/" + SourceProject + "/vaults"
	backupsPath   = "/v3/" + SourceProject + "/backups"
	tokensPath    = "/v3/auth/tokens"
)

// clock is a time that passes only by advance.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func newClock() *clock {
	return &clock{now: time.Date(2026, 11, 23, 7, 0, 0, 123456789, time.UTC)}
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// example is a server with the documentation's account, and the requests that tests make of it.
type example struct{ *Server }

// newExample starts an example on its own clock.
func newExample(t *testing.T, options ...Option) (example, *clock) {
	t.Helper()
	now := newClock()
	s := NewServer(append([]Option{WithClock(now.Now)}, options...)...)
	t.Cleanup(s.Close)
	s.AddExample()
	return example{s}, now
}

// fields is a request's replicate object.
type fields map[string]any

// exampleFields is the request of the documentation's example, changed.
func exampleFields(changes fields) fields {
	f := fields{
		"auto_trigger":           false,
		"destination_project_id": DestinationProject,
		"destination_region":     DestinationRegion,
		"destination_vault_id":   DestinationVault,
		"enable_acceleration":    false,
		"vault_id":               SourceVault,
	}
	maps.Copy(f, changes)
	for name, value := range changes {
		if value == absent {
			delete(f, name)
		}
	}
	return f
}

const absent = "cbrtest: absent"

func body(t *testing.T, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// reply is an answer as a client gets it.
type reply struct {
	status int
	header http.Header
	raw    []byte
	body   map[string]any
}

func (r reply) code() string {
	code, _ := r.body["error_code"].(string)
	return code
}

// send makes a request and requires an answer in its documented form.
func (s example) send(t *testing.T, method, path, token, body string) reply {
	t.Helper()
	resp, err := s.try(t, method, path, token, body)
	if err != nil {
		t.Fatalf("%s %s: %v", method, path, err)
	}
	defer func() { _ = resp.Body.Close() }()
	r := reply{status: resp.StatusCode, header: resp.Header}
	if r.raw, err = io.ReadAll(resp.Body); err != nil {
		t.Fatalf("%s %s: reading the answer: %v", method, path, err)
	}
	decode(t, r.raw, &r.body)
	conforms(t, schemaOf(method, path, r), r.raw)
	checkHeader(t, r)
	return r
}

func decode(t *testing.T, raw []byte, v any) {
	t.Helper()
	if err := json.Unmarshal(raw, v); err != nil {
		t.Fatalf("answer %q: %v", raw, err)
	}
}

// try makes a request that may get no answer.
func (s example) try(t *testing.T, method, path, token, body string) (*http.Response, error) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, s.URL+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json;charset=UTF-8")
	if token != "" {
		req.Header.Set("X-Auth-Token", token)
	}
	return s.Client().Do(req)
}

// replicate sends the documentation's example, changed.
func (s example) replicate(t *testing.T, changes fields) reply {
	t.Helper()
	return s.send(t, http.MethodPost, replicatePath, Token, body(t, fields{"replicate": exampleFields(changes)}))
}

// copyBackup sends the documentation's example of CopyBackup, changed.
func (s example) copyBackup(t *testing.T, backup string, changes fields) reply {
	t.Helper()
	all := fields{"vault_id": absent, "auto_trigger": absent}
	maps.Copy(all, changes)
	return s.send(t, http.MethodPost, backupsPath+"/"+backup+"/replicate", Token, body(t, fields{"replicate": exampleFields(all)}))
}

// backups looks up the backups of the example's project.
func (s example) backups(t *testing.T, query string) reply {
	t.Helper()
	return s.send(t, http.MethodGet, "/v3/"+SourceProject+"/backups?"+query, Token, "")
}

// records returns one field of the first record of each backup in the example's vault.
func (s example) records(t *testing.T, field string) []any {
	t.Helper()
	var values []any
	for _, b := range s.backups(t, "show_replication=true&vault_id="+SourceVault).body["backups"].([]any) {
		for _, r := range b.(map[string]any)["replication_records"].([]any) {
			values = append(values, r.(map[string]any)[field])
		}
	}
	return values
}

func checkHeader(t *testing.T, r reply) {
	t.Helper()
	for name, form := range map[string]string{
		"X-Request-Id": `^[0-9a-f]{32}$`,
		"Server":       `^api-gateway$`,
		"Date":         `^[A-Z][a-z]{2}, \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d GMT$`,
		"Content-Type": `^application/json`,
	} {
		if value := r.header.Get(name); !regexp.MustCompile(form).MatchString(value) {
			t.Errorf("%s: %q does not match %s", name, value, form)
		}
	}
	if id, ok := r.body["request_id"]; ok && id != r.header.Get("X-Request-Id") {
		t.Errorf("request_id %v in the body, %s in the header", id, r.header.Get("X-Request-Id"))
	}
}

// schemaOf returns the name of the schema that an answer must conform to.
func schemaOf(method, path string, r reply) string {
	code := r.code()
	path, _, _ = strings.Cut(path, "?")
	switch segments := strings.Split(path, "/"); {
	case strings.HasPrefix(code, "APIG"):
		return "gateway-error"
	case r.status == http.StatusCreated:
		return CreateToken
	case path == tokensPath && code == "":
		return "iam-error"
	case r.status != http.StatusOK:
		return "cbr-error"
	case method == http.MethodPost && segments[3] == "backups":
		return CopyBackup
	case method == http.MethodPost:
		return CopyCheckpoint
	case len(segments) == 4 && segments[3] == "vaults":
		return ListVault
	case len(segments) == 4 && segments[3] == "replication-capabilities":
		return ShowReplicationCapabilities
	case len(segments) == 4:
		return ListBackups
	case segments[3] == "backups":
		return ShowBackup
	default:
		return ShowVault
	}
}

// conforms requires a body to conform to a schema in testdata.
func conforms(t *testing.T, schema string, raw []byte) {
	t.Helper()
	if err := validate(t, schema, raw); err != nil {
		t.Errorf("%s\n%v", raw, err)
	}
}

func validate(t *testing.T, schema string, raw []byte) error {
	t.Helper()
	compiled, err := schemas()
	if err != nil {
		t.Fatal(err)
	}
	document, err := jsonschema.UnmarshalJSON(bytes.NewReader(raw))
	if err != nil {
		t.Fatalf("%q: %v", raw, err)
	}
	return compiled[schema].Validate(document)
}

// schemas compiles testdata once, by name.
var schemas = sync.OnceValues(func() (map[string]*jsonschema.Schema, error) {
	compiler, compiled := jsonschema.NewCompiler(), map[string]*jsonschema.Schema{}
	for _, name := range []string{CopyCheckpoint, CopyBackup, ListBackups, ShowBackup, ListVault, ShowVault, ShowReplicationCapabilities, CreateToken, "cbr-error", "gateway-error", "iam-error"} {
		schema, err := compiler.Compile(filepath.Join("testdata", name+".schema.json"))
		if err != nil {
			return nil, err
		}
		compiled[name] = schema
	}
	return compiled, nil
})
