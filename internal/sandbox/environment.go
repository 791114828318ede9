package sandbox

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"time"
)

// invocation is one payload on its way through an environment. The answer channel has room for the one answer, so that who
// answers never waits for a caller that has given up.
type invocation struct {
	id      string
	payload []byte
	header  http.Header // of FunctionGraph's runtime API
	timeout time.Duration
	answer  chan Response
}

// cloud is whose execution environment one is.
type cloud struct {
	// variables are those of the process, with what the cloud sets.
	variables func(env map[string]string, taskRoot, api string) map[string]string
	api       func(*environment) http.Handler
	maxAnswer int // bytes
	taken     int // the status that says that an answer was taken
}

func lambdaCloud() cloud {
	return cloud{
		variables: func(env map[string]string, taskRoot, api string) map[string]string {
			variables := lambdaVariables(taskRoot)
			maps.Copy(variables, env)
			variables["AWS_LAMBDA_RUNTIME_API"] = api
			return variables
		},
		api:       (*environment).runtimeAPI,
		maxAnswer: maxPayload,
		taken:     http.StatusAccepted,
	}
}

// environment is a cloud's execution environment: one process and the Runtime API it talks to. Each has its own server, so
// that a late request of one process does not reach the next.
type environment struct {
	cloud  cloud
	cmd    *exec.Cmd
	server *server
	output *lineWriter

	next      chan *invocation // unbuffered: only a poll receives an invocation
	firstPoll sync.Once
	polled    chan struct{} // closed by the first poll
	done      chan struct{} // closed when the process has ended, its requests are over and all it printed has been written
	exit      error         // written before done is closed, read after

	mu        sync.Mutex
	inFlight  map[string]*invocation // by id
	initError *errorDocument
	served    bool // it has received an invocation
	killed    bool // the sandbox ended it
}

func startEnvironment(config FunctionConfig, initTimeout time.Duration, cloud cloud) (*environment, error) {
	path, err := filepath.Abs(config.Path)
	if err != nil {
		return nil, fmt.Errorf("looking for the binary: %w", err)
	}
	e := &environment{
		cloud:    cloud,
		output:   &lineWriter{out: config.Logs},
		next:     make(chan *invocation),
		polled:   make(chan struct{}),
		done:     make(chan struct{}),
		inFlight: make(map[string]*invocation),
	}
	e.cmd = exec.Command(path)
	e.cmd.Dir = filepath.Dir(path)
	// One writer for both: os/exec then uses one pipe, and the order of the lines stays.
	e.cmd.Stdout, e.cmd.Stderr = e.output, e.output
	e.cmd.WaitDelay = time.Second // a child of the function that keeps the pipe open must not keep us
	if e.server, err = serve(cloud.api(e)); err != nil {
		return nil, fmt.Errorf("serving the Runtime API: %w", err)
	}
	variables := cloud.variables(config.Env, filepath.Dir(path), e.server.addr)
	e.cmd.Env = make([]string, 0, len(variables))
	for name, value := range variables {
		e.cmd.Env = append(e.cmd.Env, name+"="+value)
	}
	if err := e.cmd.Start(); err != nil {
		e.server.close()
		return nil, fmt.Errorf("starting the function: %w", err)
	}
	go e.reap()
	go e.watchInit(initTimeout)
	return e, nil
}

// lambdaVariables are the variables Lambda sets itself for a function on provided.al2023 (AWS: "Defined runtime
// environment variables"). The credentials are the examples of AWS's documentation.
func lambdaVariables(taskRoot string) map[string]string {
	return map[string]string{
		"_HANDLER":                        "bootstrap",
		"AWS_REGION":                      Region,
		"AWS_DEFAULT_REGION":              Region,
		"AWS_LAMBDA_FUNCTION_NAME":        functionName,
		"AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "128",
		"AWS_LAMBDA_FUNCTION_VERSION":     "$LATEST",
		"AWS_LAMBDA_INITIALIZATION_TYPE":  "on-demand",
		"AWS_LAMBDA_LOG_GROUP_NAME":       "/aws/lambda/" + functionName,
		"AWS_LAMBDA_LOG_STREAM_NAME":      time.Now().UTC().Format("2006/01/02/") + "[$LATEST]" + randomHex(16),
		"AWS_ACCESS_KEY_ID":               "ASIAIOSFODNN7EXAMPLE",
		"AWS_SECRET_ACCESS_KEY":           "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
		"AWS_SESSION_TOKEN":               "example-session-token",
		"LAMBDA_TASK_ROOT":                taskRoot,
		"LAMBDA_RUNTIME_DIR":              "/var/runtime",
		"LANG":                            "en_US.UTF-8",
		"PATH":                            "/usr/local/bin:/usr/bin/:/bin:/opt/bin",
		"TZ":                              ":UTC",
	}
}

func (e *environment) reap() {
	e.exit = e.cmd.Wait()
	e.output.flush()
	e.server.close()
	close(e.done)
}

func (e *environment) running() bool {
	select {
	case <-e.done:
		return false
	default:
		return true
	}
}

func (e *environment) kill() {
	e.mu.Lock()
	e.killed = true
	e.mu.Unlock()
	_ = e.cmd.Process.Kill() // fails only if the process has already ended
	<-e.done
}

// wait waits for the answer to an invocation that the process has received.
func (e *environment) wait(ctx context.Context, inv *invocation) (Response, error) {
	timeout := time.NewTimer(inv.timeout)
	defer timeout.Stop()
	select {
	case response := <-inv.answer:
		return response, nil
	case <-timeout.C:
		e.kill()
		message := fmt.Sprintf("RequestId: %s Error: Task timed out after %.2f seconds", inv.id, inv.timeout.Seconds())
		return e.failed(inv, "Sandbox.Timedout", message), nil
	case <-e.done:
		return e.ended(inv), nil
	case <-ctx.Done():
		// Nobody would watch over the time-out.
		e.kill()
		return Response{}, fmt.Errorf("invoking the function: waiting for its answer: %w", context.Cause(ctx))
	}
}

// ended is the outcome of an invocation whose environment has ended.
func (e *environment) ended(inv *invocation) Response {
	select {
	case response := <-inv.answer: // it answered, then ended
		return response
	default:
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.initError != nil {
		return e.failed(inv, e.initError.Type, e.initError.Message)
	}
	reason := "Runtime exited without providing a reason"
	if e.exit != nil {
		reason = "Runtime exited with error: " + e.exit.Error()
	}
	return e.failed(inv, "Runtime.ExitError", "RequestId: "+inv.id+" Error: "+reason)
}

// failed is the outcome of an invocation that the process's end has cut short.
func (e *environment) failed(inv *invocation, errorType, message string) Response {
	response := failure(inv.id, errorType, message)
	response.Error.Ended, response.Error.Output = true, e.output.tail
	return response
}

// replaceable reports whether an invocation that waited for this environment, which has ended, gets another one. It gets none
// if the process ended by itself before its first invocation: the next process would most likely end in the same way.
func (e *environment) replaceable() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.served || e.killed
}

// watchInit kills a process that does not poll within limit.
func (e *environment) watchInit(limit time.Duration) {
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case <-e.polled:
		return
	case <-e.done:
		return
	case <-timer.C:
	}
	e.mu.Lock()
	e.initError = &errorDocument{
		Type:    "Sandbox.Timedout",
		Message: fmt.Sprintf("Error: Init timed out: no poll of the Runtime API within %.2f seconds", limit.Seconds()),
	}
	e.mu.Unlock()
	_ = e.cmd.Process.Kill()
}

// runtimeAPI is the Runtime API, version 2018-06-01 (AWS: "Using the Lambda runtime API for custom runtimes").
func (e *environment) runtimeAPI() http.Handler {
	const root = "/2018-06-01/runtime"
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+root+"/invocation/next", e.serveNext)
	mux.HandleFunc("POST "+root+"/invocation/{id}/response", e.serveAnswer(func(_ *http.Request, _ []byte) *FunctionError {
		return nil
	}))
	mux.HandleFunc("POST "+root+"/invocation/{id}/error", e.serveAnswer(readError))
	mux.HandleFunc("POST "+root+"/init/error", e.serveInitError)
	return mux
}

func (e *environment) serveNext(w http.ResponseWriter, r *http.Request) {
	e.firstPoll.Do(func() { close(e.polled) })
	var inv *invocation
	select {
	case inv = <-e.next:
	case <-r.Context().Done(): // the process ended
		return
	}
	e.mu.Lock()
	e.inFlight[inv.id] = inv
	e.served = true
	e.mu.Unlock()

	header := w.Header()
	header.Set("Content-Type", "application/json")
	header.Set("Lambda-Runtime-Aws-Request-Id", inv.id)
	header.Set("Lambda-Runtime-Deadline-Ms", strconv.FormatInt(time.Now().Add(inv.timeout).UnixMilli(), 10))
	header.Set("Lambda-Runtime-Invoked-Function-Arn", functionARN())
	header.Set("Lambda-Runtime-Trace-Id", fmt.Sprintf("Root=1-%08x-%s;Parent=%s;Sampled=0",
		time.Now().Unix(), randomHex(12), randomHex(8)))
	_, _ = w.Write(inv.payload) // fails if the process ended; whoever waits for the answer sees that
}

// serveAnswer takes the answer to an invocation; readError says whether the answer is an error.
func (e *environment) serveAnswer(readError func(*http.Request, []byte) *FunctionError) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		id := r.PathValue("id")
		e.mu.Lock()
		inv := e.inFlight[id]
		delete(e.inFlight, id)
		e.mu.Unlock()
		if inv == nil {
			writeStatus(w, http.StatusBadRequest, errorDocument{Type: "InvalidRequestID", Message: "Invalid request ID"})
			return
		}
		payload, err := io.ReadAll(http.MaxBytesReader(w, r.Body, int64(e.cloud.maxAnswer)))
		if tooLarge := (*http.MaxBytesError)(nil); errors.As(err, &tooLarge) {
			response := failure(id, "Function.ResponseSizeTooLarge",
				fmt.Sprintf("Response payload size exceeded maximum allowed payload size (%d bytes).", e.cloud.maxAnswer))
			inv.answer <- response
			writeStatus(w, http.StatusRequestEntityTooLarge, errorDocument{Type: response.Error.Type, Message: response.Error.Message})
			return
		}
		if err != nil { // the process ended while it wrote
			return
		}
		inv.answer <- Response{RequestID: id, Payload: payload, Error: readError(r, payload)}
		writeStatus(w, e.cloud.taken, map[string]string{"status": "OK"})
	}
}

// readError reads the error a runtime reports. The type may stand in the document or, for a runtime that sends no
// document, in a header.
func readError(r *http.Request, payload []byte) *FunctionError {
	var document errorDocument
	_ = json.Unmarshal(payload, &document) // Lambda accepts any body here
	if document.Type == "" {
		document.Type = r.Header.Get("Lambda-Runtime-Function-Error-Type")
	}
	return &FunctionError{
		Type:      document.Type,
		Message:   document.Message,
		XRayCause: r.Header.Get("Lambda-Runtime-Function-Xray-Error-Cause"),
	}
}

func (e *environment) serveInitError(w http.ResponseWriter, r *http.Request) {
	payload, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxPayload))
	if err != nil {
		return
	}
	reported := readError(r, payload)
	e.mu.Lock()
	e.initError = &errorDocument{Type: reported.Type, Message: reported.Message}
	e.mu.Unlock()
	writeStatus(w, http.StatusAccepted, map[string]string{"status": "OK"})
}

func writeStatus(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body)
}
