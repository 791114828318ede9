package sandbox

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// long is a time-out that no test waits for.
const long = time.Minute

func newFunction(t *testing.T, env map[string]string, logs io.Writer) *Function {
	t.Helper()
	path, err := bootstrap()
	if err != nil {
		t.Fatal(err)
	}
	f := NewFunction(FunctionConfig{Path: path, Env: env, Logs: logs})
	t.Cleanup(f.Close)
	return f
}

func invoke(t *testing.T, f *Function, payload string) Response {
	t.Helper()
	response, err := f.Invoke(t.Context(), []byte(payload), long)
	if err != nil {
		t.Fatal(err)
	}
	return response
}

// lambdaContext is what the function finds in its context.
type lambdaContext struct {
	PID                     int
	RequestID, ARN, TraceID string
	Deadline                time.Time
}

func invokeContext(t *testing.T, f *Function) (lambdaContext, Response) {
	t.Helper()
	response := invoke(t, f, `{"do":"context"}`)
	var c lambdaContext
	if err := json.Unmarshal(response.Payload, &c); err != nil || response.Error != nil {
		t.Fatalf("%v: %v, %s", err, response.Error, response.Payload)
	}
	return c, response
}

// mustBeReplaced checks that f works, in another process than the one of pid.
func mustBeReplaced(t *testing.T, f *Function, pid int) {
	t.Helper()
	if c, _ := invokeContext(t, f); c.PID == pid {
		t.Errorf("process %d is still there", pid)
	}
}

// logs hands on each line of a function's log.
type logs chan string

func newLogs() logs { return make(logs, 1000) }

func (l logs) Write(line []byte) (int, error) {
	l <- string(line)
	return len(line), nil
}

// await waits for a line.
func (l logs) await(t *testing.T, want string) {
	t.Helper()
	for {
		select {
		case line := <-l:
			if line == want+"\n" {
				return
			}
		case <-time.After(long):
			t.Fatalf("no line %q", want)
		}
	}
}

// result is what Invoke returns.
type result struct {
	response Response
	err      error
}

func (f *Function) start(ctx context.Context, payload string, timeout time.Duration) <-chan result {
	done := make(chan result, 1)
	go func() {
		response, err := f.Invoke(ctx, []byte(payload), timeout)
		done <- result{response, err}
	}()
	return done
}

// wantError checks a failed invocation: type, message and error document. %s in message stands for the request id.
func wantError(t *testing.T, got Response, errorType, message string) {
	t.Helper()
	if strings.Contains(message, "%s") {
		message = fmt.Sprintf(message, got.RequestID)
	}
	if got.Error == nil {
		t.Fatalf("no error, but %s", got.Payload)
	}
	if got.Error.Type != errorType || got.Error.Message != message {
		t.Errorf("error %q: %q, want %q: %q", got.Error.Type, got.Error.Message, errorType, message)
	}
	var document errorDocument
	if err := json.Unmarshal(got.Payload, &document); err != nil {
		t.Errorf("payload %q: %v", got.Payload, err)
	}
	if diff := cmp.Diff(errorDocument{Message: message, Type: errorType}, document); diff != "" {
		t.Errorf("error document (-want +got):\n%s", diff)
	}
}

func TestEcho(t *testing.T) {
	t.Parallel()
	f := newFunction(t, nil, nil)
	ids := map[string]bool{}
	for _, payload := range []string{`{"a":1}`, `[]`, `null`, `"` + strings.Repeat("x", maxPayload-2) + `"`} {
		response := invoke(t, f, payload)
		if response.Error != nil || string(response.Payload) != payload {
			t.Errorf("%.10s: %.10s, %v", payload, response.Payload, response.Error)
		}
		ids[response.RequestID] = true
	}
	if len(ids) != 4 {
		t.Errorf("request ids %v", ids)
	}
}

func TestLambdaContext(t *testing.T) {
	t.Parallel()
	f := newFunction(t, nil, nil)
	before := time.Now().Truncate(time.Millisecond)
	got, response := invokeContext(t, f)
	if got.RequestID != response.RequestID || got.ARN != f.ARN() {
		t.Errorf("context %+v, want request id %s and ARN %s", got, response.RequestID, f.ARN())
	}
	if got.Deadline.Before(before.Add(long)) || got.Deadline.After(time.Now().Add(long)) {
		t.Errorf("deadline %v", got.Deadline)
	}
	if !regexp.MustCompile(`^Root=1-[0-9a-f]{8}-[0-9a-f]{24};Parent=[0-9a-f]{16};Sampled=0$`).MatchString(got.TraceID) {
		t.Errorf("trace id %q", got.TraceID)
	}
	if next, _ := invokeContext(t, f); next.PID != got.PID {
		t.Error("the process was not kept for the next invocation")
	}
}

// TestEnvironment: the process sees what Lambda sets and what it is given, and nothing else.
func TestEnvironment(t *testing.T) {
	t.Parallel()
	f := newFunction(t, map[string]string{"HW_REGION_NAME": "region1", "AWS_REGION": "eu-west-1", "AWS_LAMBDA_RUNTIME_API": "192.0.2.1:80"}, nil)
	var environ []string
	if err := json.Unmarshal(invoke(t, f, `{"do":"environ"}`).Payload, &environ); err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, variable := range environ {
		name, value, _ := strings.Cut(variable, "=")
		got[name] = value
	}
	for name, form := range map[string]string{
		"AWS_LAMBDA_LOG_STREAM_NAME": `^\d{4}/\d\d/\d\d/\[\$LATEST\][0-9a-f]{32}$`,
		"AWS_LAMBDA_RUNTIME_API":     `^127\.0\.0\.1:\d+$`,
		"_X_AMZN_TRACE_ID":           `^Root=`, // aws-lambda-go sets it
	} {
		if !regexp.MustCompile(form).MatchString(got[name]) {
			t.Errorf("%s is %q", name, got[name])
		}
		delete(got, name)
	}
	want := map[string]string{
		"HW_REGION_NAME":                  "region1",
		"AWS_REGION":                      "eu-west-1",
		"_HANDLER":                        "bootstrap",
		"AWS_DEFAULT_REGION":              "eu-central-1",
		"AWS_LAMBDA_FUNCTION_NAME":        "cbr-replicator",
		"AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "128",
		"AWS_LAMBDA_FUNCTION_VERSION":     "$LATEST",
		"AWS_LAMBDA_INITIALIZATION_TYPE":  "on-demand",
		"AWS_LAMBDA_LOG_GROUP_NAME":       "/aws/lambda/cbr-replicator",
		"AWS_ACCESS_KEY_ID":               "ASIAIOSFODNN7EXAMPLE",
		"AWS_SECRET_ACCESS_KEY":           "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
		"AWS_SESSION_TOKEN":               "example-session-token",
		"LAMBDA_TASK_ROOT":                filepath.Dir(f.config.Path),
		"LAMBDA_RUNTIME_DIR":              "/var/runtime",
		"LANG":                            "en_US.UTF-8",
		"PATH":                            "/usr/local/bin:/usr/bin/:/bin:/opt/bin",
		"TZ":                              ":UTC",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("environment (-want +got):\n%s", diff)
	}
}

func TestFunctionFails(t *testing.T) {
	t.Parallel()
	f := newFunction(t, nil, nil)
	before, _ := invokeContext(t, f)
	response := invoke(t, f, `{"do":"fail"}`)
	wantError(t, response, "busyError", "the vault is busy")
	if !strings.Contains(response.Error.XRayCause, `"message":"the vault is busy"`) {
		t.Errorf("X-Ray cause %q", response.Error.XRayCause)
	}
	if text := response.Error.Error(); text != "busyError: the vault is busy" {
		t.Errorf("Error() = %q", text)
	}
	if after, _ := invokeContext(t, f); after.PID != before.PID {
		t.Error("an error ended the process")
	}
}

func TestPanic(t *testing.T) {
	t.Parallel()
	f := newFunction(t, nil, nil)
	before, _ := invokeContext(t, f)
	wantError(t, invoke(t, f, `{"do":"panic"}`), "string", "boom")
	mustBeReplaced(t, f, before.PID)
}

func TestExit(t *testing.T) {
	t.Parallel()
	f := newFunction(t, nil, nil)
	before, _ := invokeContext(t, f)
	wantError(t, invoke(t, f, `{"do":"exit"}`), "Runtime.ExitError", "RequestId: %s Error: Runtime exited without providing a reason")
	mustBeReplaced(t, f, before.PID)

	response := invoke(t, f, `{"do":"print and exit"}`)
	wantError(t, response, "Runtime.ExitError", "RequestId: %s Error: Runtime exited with error: exit status 3")
	var want []string
	for i := 6; i < 25; i++ {
		want = append(want, fmt.Sprint("line ", i))
	}
	want = append(want, "an open line")
	if diff := cmp.Diff(want, response.Error.Output); diff != "" {
		t.Errorf("output (-want +got):\n%s", diff)
	}
	if !strings.HasSuffix(response.Error.Error(), "\nline 24\nan open line") {
		t.Errorf("Error() = %q", response.Error.Error())
	}
	if got := invoke(t, f, `"next"`); string(got.Payload) != `"next"` {
		t.Errorf("after the exit: %+v", got)
	}
}

func TestTimeout(t *testing.T) {
	t.Parallel()
	f := newFunction(t, nil, nil)
	before, _ := invokeContext(t, f)
	got := <-f.start(t.Context(), `{"do":"hang"}`, 250*time.Millisecond)
	if got.err != nil {
		t.Fatal(got.err)
	}
	wantError(t, got.response, "Sandbox.Timedout", "RequestId: %s Error: Task timed out after 0.25 seconds")
	mustBeReplaced(t, f, before.PID)
}

// TestTimeoutSideBySide: a time-out also ends the other invocations in the process.
func TestTimeoutSideBySide(t *testing.T) {
	t.Parallel()
	lines := newLogs()
	f := newFunction(t, map[string]string{"AWS_LAMBDA_MAX_CONCURRENCY": "2"}, lines)
	neighbour := f.start(t.Context(), `{"do":"hang"}`, long)
	lines.await(t, "hanging")
	late := <-f.start(t.Context(), `{"do":"hang"}`, 100*time.Millisecond)
	wantError(t, late.response, "Sandbox.Timedout", "RequestId: %s Error: Task timed out after 0.10 seconds")
	wantError(t, (<-neighbour).response, "Runtime.ExitError", "RequestId: %s Error: Runtime exited with error: signal: killed")
}

func TestKill(t *testing.T) {
	t.Parallel()
	lines := newLogs()
	f := newFunction(t, nil, lines)
	f.Kill() // nothing runs
	before, _ := invokeContext(t, f)
	hanging := f.start(t.Context(), `{"do":"hang"}`, long)
	lines.await(t, "hanging")
	waiting := f.start(t.Context(), `"waiting"`, long)
	f.Kill()
	got := <-hanging
	wantError(t, got.response, "Runtime.ExitError", "RequestId: %s Error: Runtime exited with error: signal: killed")
	if diff := cmp.Diff([]string{"hanging"}, got.response.Error.Output); diff != "" {
		t.Errorf("output (-want +got):\n%s", diff)
	}
	if got := <-waiting; string(got.response.Payload) != `"waiting"` {
		t.Errorf("the invocation that waited: %+v", got)
	}
	mustBeReplaced(t, f, before.PID)
	f.Kill() // nothing is invoked
	invoke(t, f, `"next"`)
}

func TestContextEnds(t *testing.T) {
	t.Parallel()
	lines := newLogs()
	f := newFunction(t, nil, lines)
	before, _ := invokeContext(t, f)
	ctx, cancel := context.WithCancelCause(t.Context())
	hanging := f.start(ctx, `{"do":"hang"}`, long)
	lines.await(t, "hanging")

	gaveUp := errors.New("gave up")
	waitingCtx, cancelWaiting := context.WithCancelCause(t.Context())
	waiting := f.start(waitingCtx, `"waiting"`, long)
	cancelWaiting(gaveUp)
	if got := <-waiting; !errors.Is(got.err, gaveUp) {
		t.Errorf("the invocation that waited: %+v", got)
	}
	select {
	case got := <-hanging:
		t.Errorf("the end of the one that waited also ended the one that ran: %+v", got)
	default:
	}

	cancel(gaveUp)
	if got := <-hanging; !errors.Is(got.err, gaveUp) {
		t.Errorf("the invocation that ran: %+v", got)
	}
	mustBeReplaced(t, f, before.PID)
}

func TestClose(t *testing.T) {
	t.Parallel()
	lines := newLogs()
	f := newFunction(t, nil, lines)
	hanging := f.start(t.Context(), `{"do":"hang"}`, long)
	lines.await(t, "hanging")
	waiting := f.start(t.Context(), `"waiting"`, long)
	f.Close()
	wantError(t, (<-hanging).response, "Runtime.ExitError", "RequestId: %s Error: Runtime exited with error: signal: killed")
	if got := <-waiting; !errors.Is(got.err, ErrClosed) {
		t.Errorf("the invocation that waited: %+v", got)
	}
	if got := <-f.start(t.Context(), `"late"`, long); !errors.Is(got.err, ErrClosed) {
		t.Errorf("an invocation after Close: %+v", got)
	}
	f.Close() // a second time does nothing
}

// TestCloseInInit: Close also ends the wait for a process that has not polled yet.
func TestCloseInInit(t *testing.T) {
	t.Parallel()
	lines := newLogs()
	f := newFunction(t, map[string]string{"INIT": "hang"}, lines)
	waiting := f.start(t.Context(), `"waiting"`, long)
	lines.await(t, "hanging")
	f.Close()
	if got := <-waiting; !errors.Is(got.err, ErrClosed) {
		t.Errorf("Invoke = %+v", got)
	}
}

func TestSideBySide(t *testing.T) {
	t.Parallel()
	f := newFunction(t, map[string]string{"AWS_LAMBDA_MAX_CONCURRENCY": "2"}, nil)
	// Neither returns before the other is there.
	one, other := f.start(t.Context(), `{"do":"meet"}`, long), f.start(t.Context(), `{"do":"meet"}`, long)
	for _, got := range []result{<-one, <-other} {
		if got.err != nil || string(got.response.Payload) != `"met"` {
			t.Errorf("Invoke = %+v", got)
		}
	}
}

func TestOneAfterAnother(t *testing.T) {
	t.Parallel()
	lines := newLogs()
	f := newFunction(t, nil, lines)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() { invoke(t, f, `{"do":"stay"}`) })
	}
	wg.Wait()
	f.Close() // all is printed
	close(lines)
	want := slices.Repeat([]string{"in\n", "out\n"}, 4)
	var got []string
	for line := range lines {
		got = append(got, line)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("log (-want +got):\n%s", diff)
	}
}

func TestLogs(t *testing.T) {
	t.Parallel()
	lines := newLogs()
	f := newFunction(t, nil, lines)
	invoke(t, f, `{"do":"print"}`)
	for _, want := range []string{"one line from two writers\n", "two lines\n", "in one write\n"} {
		select {
		case got := <-lines:
			if got != want {
				t.Errorf("line %q, want %q", got, want)
			}
		case <-time.After(long):
			t.Fatalf("no line %q", want)
		}
	}
}

func TestTooLarge(t *testing.T) {
	t.Parallel()
	f := newFunction(t, nil, nil)
	response, err := f.Invoke(t.Context(), make([]byte, maxPayload+1), long)
	if err == nil || !strings.Contains(err.Error(), "6291557 bytes") {
		t.Errorf("a payload above the limit: %+v, %v", response, err)
	}
	wantError(t, invoke(t, f, fmt.Sprintf(`{"do":"large","size":%d}`, maxPayload)), "Function.ResponseSizeTooLarge",
		"Response payload size exceeded maximum allowed payload size (6291556 bytes).")
	if got := invoke(t, f, `"next"`); string(got.Payload) != `"next"` {
		t.Errorf("after an answer above the limit: %+v", got)
	}
}

func TestInitFails(t *testing.T) {
	t.Parallel()
	tests := []struct {
		init    string
		timeout time.Duration

		errorType, message string
	}{
		{"exit", long, "Runtime.ExitError", "RequestId: %s Error: Runtime exited with error: exit status 2"},
		{"report", long, "Function.ConfigError", "no token is configured"},
		{"hang", 250 * time.Millisecond, "Sandbox.Timedout", "Error: Init timed out: no poll of the Runtime API within 0.25 seconds"},
	}
	for _, tt := range tests {
		t.Run(tt.init, func(t *testing.T) {
			t.Parallel()
			f := newFunction(t, map[string]string{"INIT": tt.init}, nil)
			f.initTimeout = tt.timeout
			for range 2 { // each invocation starts a process
				response := invoke(t, f, `{}`)
				wantError(t, response, tt.errorType, tt.message)
				if tt.init == "exit" && !slices.Equal(response.Error.Output, []string{"no token is configured"}) {
					t.Errorf("output %q", response.Error.Output)
				}
			}
		})
	}
}

func TestNoBinary(t *testing.T) {
	t.Parallel()
	f := NewFunction(FunctionConfig{Path: filepath.Join(t.TempDir(), "bootstrap")})
	defer f.Close()
	response, err := f.Invoke(t.Context(), []byte(`{}`), long)
	if !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "starting the function") {
		t.Errorf("Invoke = %+v, %v", response, err)
	}
}

// TestRuntimeAPI: requests that aws-lambda-go does not make, but another runtime may.
func TestRuntimeAPI(t *testing.T) {
	t.Parallel()
	inv := &invocation{id: "8476a536", answer: make(chan Response, 1)}
	e := &environment{cloud: lambdaCloud(), inFlight: map[string]*invocation{inv.id: inv}}
	post := func(path, body string) *httptest.ResponseRecorder {
		r := httptest.NewRequest(http.MethodPost, "/2018-06-01/runtime/invocation/"+path, bytes.NewBufferString(body))
		r.Header.Set("Lambda-Runtime-Function-Error-Type", "Runtime.Unknown")
		w := httptest.NewRecorder()
		e.runtimeAPI().ServeHTTP(w, r)
		return w
	}
	if w := post("none/response", `{}`); w.Code != http.StatusBadRequest || !strings.Contains(w.Body.String(), "InvalidRequestID") {
		t.Errorf("an answer to no invocation: %d %s", w.Code, w.Body)
	}
	if w := post("8476a536/error", "no document"); w.Code != http.StatusAccepted {
		t.Errorf("an error without a document: %d %s", w.Code, w.Body)
	}
	want := Response{RequestID: inv.id, Payload: []byte("no document"), Error: &FunctionError{Type: "Runtime.Unknown"}}
	if diff := cmp.Diff(want, <-inv.answer); diff != "" {
		t.Errorf("response (-want +got):\n%s", diff)
	}
	if w := post("8476a536/response", `{}`); w.Code != http.StatusBadRequest {
		t.Errorf("a second answer: %d %s", w.Code, w.Body)
	}
}
