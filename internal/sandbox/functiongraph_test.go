package sandbox

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// custom is the binary of testdata/custom.
var custom = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "custom-")
	if err != nil {
		return "", err
	}
	return Build(context.Background(), dir, "cbr-replicator/internal/sandbox/testdata/custom")
})

func newGraph(t *testing.T, config FunctionGraphConfig) *FunctionGraph {
	t.Helper()
	path, err := custom()
	if err != nil {
		t.Fatal(err)
	}
	config.Path = path
	g := NewFunctionGraph(config)
	t.Cleanup(g.Close)
	return g
}

func call(t *testing.T, g *FunctionGraph, payload string) Response {
	t.Helper()
	response, err := g.Invoke(t.Context(), []byte(payload))
	if err != nil {
		t.Fatal(err)
	}
	return response
}

func TestGraphEcho(t *testing.T) {
	t.Parallel()
	g := newGraph(t, FunctionGraphConfig{})
	for _, payload := range []string{`{"a":1}`, `[]`, `"` + strings.Repeat("x", maxGraphPayload-2) + `"`} {
		if response := call(t, g, payload); response.Error != nil || string(response.Payload) != payload {
			t.Errorf("%.10s: %.10s, %v", payload, response.Payload, response.Error)
		}
	}
	wantError(t, call(t, g, `{"do":"fail"}`), "busyError", "the vault is busy")
	if wrong := g.Wrong(); len(wrong) > 0 {
		t.Errorf("wrong: %v", wrong)
	}
}

// TestGraphEnvironment: the process finds the user's variables in one, or in the
// environment as well, and none for the region.
func TestGraphEnvironment(t *testing.T) {
	t.Parallel()
	for _, both := range []bool{false, true} {
		g := newGraph(t, FunctionGraphConfig{Env: map[string]string{"HW_REGION_NAME": "region1"}, InEnvironment: both, Timeout: 90 * time.Second})
		var environ []string
		if err := json.Unmarshal(call(t, g, `{"do":"environ"}`).Payload, &environ); err != nil {
			t.Fatal(err)
		}
		got := map[string]string{}
		for _, variable := range environ {
			name, value, _ := strings.Cut(variable, "=")
			got[name] = value
		}
		want := map[string]string{
			"RUNTIME_API_ADDR": got["RUNTIME_API_ADDR"], "RUNTIME_PROJECT_ID": graphProject, "RUNTIME_PACKAGE": "default", "RUNTIME_FUNC_NAME": "cbr-replicator",
			"RUNTIME_FUNC_VERSION": "latest", "RUNTIME_HANDLER": "bootstrap", "RUNTIME_TIMEOUT": "90", "RUNTIME_MEMORY": "128", "RUNTIME_CPU": "100",
			"RUNTIME_CODE_ROOT": filepath.Dir(g.config.Path), "RUNTIME_LOG_DIR": "/home/snuser/log", "RUNTIME_MAX_RESP_BODY_SIZE": "6291456",
			"RUNTIME_USERDATA": `{"HW_REGION_NAME":"region1"}`, "PATH": "/usr/local/bin:/usr/bin:/bin",
		}
		if both {
			want["HW_REGION_NAME"] = "region1"
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("environment (-want +got):\n%s", diff)
		}
	}
}

// TestGraphHeaders: what comes with an event.
func TestGraphHeaders(t *testing.T) {
	t.Parallel()
	g := newGraph(t, FunctionGraphConfig{})
	header := func(response Response) http.Header {
		t.Helper()
		var h http.Header
		if err := json.Unmarshal(response.Payload, &h); err != nil {
			t.Fatal(err)
		}
		if h.Get("X-Cff-Request-Id") != response.RequestID {
			t.Errorf("id %s, want %s", h.Get("X-Cff-Request-Id"), response.RequestID)
		}
		return h
	}
	h := header(call(t, g, `{"do":"header"}`))
	if h.Get("X-Cff-Invoke-Type") != "sync" || h.Get("X-Cff-Access-Key")+h.Get("X-Cff-Auth-Token") != "" {
		t.Errorf("without an agency: %v", h)
	}
	g.SetAgency(Agency{AccessKey: "a", SecretKey: "s", SecurityToken: "t", Token: "m"})
	if h = header(call(t, g, `{"do":"header"}`)); h.Get("X-Cff-Access-Key")+h.Get("X-Cff-Secret-Key")+h.Get("X-Cff-Security-Token")+h.Get("X-Cff-Auth-Token") != "astm" {
		t.Errorf("of an agency: %v", h)
	}
	g.SetAgency(Agency{AccessKey: "a", SecretKey: "s", Newer: true})
	result, err := g.InvokeAsync(t.Context(), []byte(`{"do":"header"}`))
	if err != nil {
		t.Fatal(err)
	}
	if h = header(result.Tries[0]); h.Get("X-Cff-Invoke-Type") != "async" || h.Get("X-Cff-Security-Access-Key")+h.Get("X-Cff-Security-Secret-Key")+h.Get("X-Cff-Access-Key") != "as" {
		t.Errorf("of an agency, by the newer names: %v", h)
	}
}

// TestGraphPolls: each way in which a poll may end.
func TestGraphPolls(t *testing.T) {
	t.Parallel()
	lines := newLogs()
	g := newGraph(t, FunctionGraphConfig{Logs: lines, Idle: 5 * time.Millisecond})
	g.Script(PollIdle, PollBroken, PollCut, PollReset, PollSlow)
	began := time.Now()
	if response := call(t, g, `"slowly"`); string(response.Payload) != `"slowly"` || time.Since(began) < slowPoll {
		t.Errorf("%s after %s", response.Payload, time.Since(began))
	}
	for _, want := range []string{"no event: 200 false", "no event: 500 false", "no event: 200 true", "posted: 200", "no event: 200 false"} {
		lines.await(t, want)
	}
	if n := g.Polls(); n < 6 {
		t.Errorf("%d polls", n)
	}
}

// TestGraphOneAtATime: nothing else is given while an event is under way, and what
// does not belong to the API is noted.
func TestGraphOneAtATime(t *testing.T) {
	t.Parallel()
	g := newGraph(t, FunctionGraphConfig{})
	if response := call(t, g, `{"do":"poll"}`); string(response.Payload) != "409 Conflict" {
		t.Errorf("a second poll: %s", response.Payload)
	}
	call(t, g, `{"do":"wrong"}`)
	want := []string{"a poll while an event is under way", "an answer to the event none, which is not under way", "POST /v1/runtime/invocation/init/error"}
	if diff := cmp.Diff(want, g.Wrong()); diff != "" {
		t.Errorf("wrong (-want +got):\n%s", diff)
	}
}

// TestGraphAsync is the policy: tries, age, and the record of what has failed.
func TestGraphAsync(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 23, 2, 0, 0, 0, time.UTC)
	for name, tt := range map[string]struct {
		config  FunctionGraphConfig
		payload string
		tries   int
		failed  bool
	}{
		"done":                   {FunctionGraphConfig{Retries: 3}, `{}`, 1, false},
		"no retry":               {FunctionGraphConfig{}, `{"do":"fail"}`, 1, true},
		"three retries":          {FunctionGraphConfig{Retries: 3}, `{"do":"fail"}`, 4, true},
		"more is not to be had":  {FunctionGraphConfig{Retries: 9}, `{"do":"fail"}`, 4, true},
		"done at last":           {FunctionGraphConfig{Retries: 3}, `{"do":"fail twice"}`, 3, false},
		"the process ends":       {FunctionGraphConfig{Retries: 1}, `{"do":"exit"}`, 2, true},
		"too old after an hour":  {FunctionGraphConfig{Retries: 3, MaxAge: time.Hour, Now: stepping(now, 40*time.Minute)}, `{"do":"fail"}`, 2, true},
		"the function's timeout": {FunctionGraphConfig{Timeout: 100 * time.Millisecond}, `{"do":"hang"}`, 1, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := newGraph(t, tt.config)
			result, err := g.InvokeAsync(t.Context(), []byte(tt.payload))
			if err != nil {
				t.Fatal(err)
			}
			if len(result.Tries) != tt.tries || (result.Record != nil) != tt.failed {
				t.Fatalf("%d tries, record %s; want %d, %t", len(result.Tries), result.Record, tt.tries, tt.failed)
			}
			ids := map[string]bool{}
			for _, try := range result.Tries {
				ids[try.RequestID] = true
			}
			if len(ids) != tt.tries {
				t.Errorf("ids %v", ids)
			}
			if !tt.failed {
				return
			}
			var record struct {
				Context struct {
					ID  string `json:"request_id"`
					URN string `json:"function_urn"`
				} `json:"request_context"`
				Payload string `json:"request_payload"`
				Answer  string `json:"response_payload"`
			}
			if err := json.Unmarshal(result.Record, &record); err != nil {
				t.Fatal(err)
			}
			last := result.Tries[len(result.Tries)-1]
			if record.Context.ID != last.RequestID || record.Context.URN != g.URN() || record.Payload != tt.payload || record.Answer != string(last.Payload) {
				t.Errorf("record %s", result.Record)
			}
		})
	}
	g := newGraph(t, FunctionGraphConfig{Retries: 1, SameID: true})
	if result, err := g.InvokeAsync(t.Context(), []byte(`{"do":"fail"}`)); err != nil || result.Tries[0].RequestID != result.Tries[1].RequestID {
		t.Errorf("%+v, %v", result, err)
	}
}

// stepping is a clock that goes on by a step each time that it is read.
func stepping(at time.Time, step time.Duration) func() time.Time {
	return func() time.Time {
		at = at.Add(step)
		return at
	}
}

func TestGraphLimits(t *testing.T) {
	t.Parallel()
	g := newGraph(t, FunctionGraphConfig{Logs: io.Discard})
	if _, err := g.Invoke(t.Context(), make([]byte, maxGraphPayload+1)); err == nil || !strings.Contains(err.Error(), "FSS.1201") {
		t.Errorf("a long event: %v", err)
	}
	if _, err := g.InvokeAsync(t.Context(), make([]byte, maxAsyncPayload+1)); err == nil || !strings.Contains(err.Error(), "FSS.1201") {
		t.Errorf("a long asynchronous event: %v", err)
	}
	if response := call(t, g, `{"do":"big","size":6291456}`); response.Error != nil {
		t.Errorf("the longest answer: %v", response.Error)
	}
	wantError(t, call(t, g, `{"do":"big","size":6291457}`), "Function.ResponseSizeTooLarge", "Response payload size exceeded maximum allowed payload size (6291456 bytes).")
}

// TestGraphKill: the event under way fails, and the next one gets another process.
func TestGraphKill(t *testing.T) {
	t.Parallel()
	g := newGraph(t, FunctionGraphConfig{})
	g.Kill() // nothing runs
	call(t, g, `"a"`)
	g.Kill()
	if response := call(t, g, `"b"`); string(response.Payload) != `"b"` {
		t.Errorf("after the kill: %s", response.Payload)
	}
	g.Close()
	if _, err := g.Invoke(t.Context(), []byte(`{}`)); err == nil {
		t.Error("invoked after Close")
	}
}
