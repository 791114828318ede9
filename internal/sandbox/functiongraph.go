package sandbox

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"
)

// FunctionGraph's limits, in bytes and tries (FunctionGraph user guide, "Notes and Constraints"; API reference,
// max_async_retry_attempts and max_async_event_age_in_seconds).
const (
	maxGraphPayload = 6 << 20
	maxAsyncPayload = 256 << 10
	maxGraphAnswer  = 6_291_456
	maxRetries      = 3
	maxAge          = 24 * time.Hour
)

// The project and the region that FunctionGraph claims to be in, those of the CBR API reference's example.
const (
	graphProject = "f841e01fd2b14e7fa41b6ae7aa6b0594"
	graphRegion  = "region1"
)

// FunctionGraphConfig says which function to run.
type FunctionGraphConfig struct {
	// Path is the binary, which the runtime Custom calls bootstrap.
	Path string
	// Env holds the user's variables. The process finds them in RUNTIME_USERDATA alone, since the kernel that Huawei has
	// published does so; with InEnvironment in the environment as well, as the documentation has it.
	Env           map[string]string
	InEnvironment bool
	// Logs takes what the process prints, as [FunctionConfig.Logs] does.
	Logs io.Writer
	// Timeout is the function's; zero: a minute.
	Timeout time.Duration
	// Idle is how long a poll waits for an event before it is answered without one; zero: until there is one.
	Idle time.Duration

	// Retries, at most 3, and MaxAge, at most a day, are the policy for asynchronous invocations; zero MaxAge: a day.
	Retries int
	MaxAge  time.Duration
	// SameID has each try of an asynchronous invocation come with the same request id. Which of both FunctionGraph does is
	// not documented.
	SameID bool
	// Now is the clock of the policy; nil: time.Now.
	Now func() time.Time
}

// Agency is the credential that comes with an event, zero for a function without an agency.
type Agency struct {
	AccessKey, SecretKey, SecurityToken, Token string
	// Newer: the keys' headers have the names that FunctionGraph's newer runtimes read.
	Newer bool
}

// Poll is what goes wrong with one poll of the process.
type Poll int

// The ways in which a poll ends without an event that can be used.
const (
	PollIdle   Poll = iota // 200 without an id
	PollBroken             // 500
	PollCut                // the connection ends in the middle of an event
	PollReset              // the connection ends before an answer
	PollSlow               // no fault: an event comes in two halves, with a pause between them
)

// FunctionGraph runs a function's binary as FunctionGraph's runtime Custom does: one process, one event at a time
// (FunctionGraph user guide, "Custom Runtime"). Safe for concurrent use; invocations wait for each other.
type FunctionGraph struct {
	config   FunctionGraphConfig
	function *Function

	mu     sync.Mutex
	agency Agency
	polls  []Poll
	wrong  []string
	asked  int
}

// NewFunctionGraph describes a function; nothing runs before the first invocation. Close it after use.
func NewFunctionGraph(config FunctionGraphConfig) *FunctionGraph {
	if config.Timeout == 0 {
		config.Timeout = time.Minute
	}
	if config.MaxAge == 0 || config.MaxAge > maxAge {
		config.MaxAge = maxAge
	}
	if config.Now == nil {
		config.Now = time.Now
	}
	g := &FunctionGraph{config: config}
	g.function = &Function{
		config:      FunctionConfig{Path: config.Path, Env: config.Env, Logs: config.Logs},
		initTimeout: initTimeout,
		cloud:       cloud{variables: g.variables, api: g.runtimeAPI, maxAnswer: maxGraphAnswer, taken: http.StatusOK},
	}
	return g
}

// URN is the function's.
func (g *FunctionGraph) URN() string {
	return "urn:fss:" + graphRegion + ":" + graphProject + ":function:default:" + functionName + ":latest"
}

// SetAgency has each event from now on come with this credential.
func (g *FunctionGraph) SetAgency(a Agency) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.agency = a
}

// Script has the next polls end so, one after another.
func (g *FunctionGraph) Script(polls ...Poll) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.polls = append(g.polls, polls...)
}

// Polls returns how often the process has asked for an event.
func (g *FunctionGraph) Polls() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.asked
}

// Wrong returns what the process did that the runtime API does not take, in words.
func (g *FunctionGraph) Wrong() []string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.Clone(g.wrong)
}

// Invoke calls the function and waits for its answer, as [Function.Invoke] does.
func (g *FunctionGraph) Invoke(ctx context.Context, payload []byte) (Response, error) {
	if len(payload) > maxGraphPayload {
		return Response{}, fmt.Errorf("invoking the function: a payload of %d bytes, FunctionGraph takes %d (FSS.1201)", len(payload), maxGraphPayload)
	}
	return g.invoke(ctx, newUUID(), payload, "sync")
}

// AsyncResult is what became of an asynchronous invocation.
type AsyncResult struct {
	// Tries are the answers, of which the last is the one that counts.
	Tries []Response
	// Record is what the destination for failures gets, nil if a try was none.
	Record []byte
}

// InvokeAsync has the function try a payload as its policy says, at once after each failure, and waits for the end.
func (g *FunctionGraph) InvokeAsync(ctx context.Context, payload []byte) (result AsyncResult, err error) {
	if len(payload) > maxAsyncPayload {
		return result, fmt.Errorf("invoking the function: a payload of %d bytes, FunctionGraph takes %d asynchronously (FSS.1201)", len(payload), maxAsyncPayload)
	}
	id, began := newUUID(), g.config.Now()
	for {
		of := newUUID()
		if g.config.SameID {
			of = id
		}
		response, err := g.invoke(ctx, of, payload, "async")
		if err != nil {
			return result, err
		}
		result.Tries = append(result.Tries, response)
		if response.Error == nil {
			return result, nil
		}
		if len(result.Tries) > min(g.config.Retries, maxRetries) || g.config.Now().Sub(began) >= g.config.MaxAge {
			result.Record = g.record(response, payload, len(result.Tries))
			return result, nil
		}
	}
}

func (g *FunctionGraph) invoke(ctx context.Context, id string, payload []byte, invokeType string) (Response, error) {
	header := http.Header{}
	header.Set("X-Cff-Request-Id", id)
	header.Set("X-CFF-Invoke-Type", invokeType)
	g.mu.Lock()
	access, secret := "X-CFF-Access-Key", "X-CFF-Secret-Key"
	if g.agency.Newer {
		access, secret = "X-CFF-Security-Access-Key", "X-CFF-Security-Secret-Key"
	}
	header.Set(access, g.agency.AccessKey)
	header.Set(secret, g.agency.SecretKey)
	header.Set("X-CFF-Security-Token", g.agency.SecurityToken)
	header.Set("X-CFF-Auth-Token", g.agency.Token)
	g.mu.Unlock()
	return g.function.invoke(ctx, &invocation{id: id, payload: payload, header: header, timeout: g.config.Timeout, answer: make(chan Response, 1)})
}

// record is what a destination gets, in the form of a recorded one: both payloads are texts.
func (g *FunctionGraph) record(response Response, payload []byte, tries int) []byte {
	type object = map[string]any
	text, _ := json.Marshal(object{ // texts and numbers always marshal
		"timestamp": g.config.Now().Format(time.RFC3339Nano),
		"request_context": object{
			"request_id": response.RequestID, "function_urn": g.URN(), "condition": "UnhandledInvocationError", "approximate_invoke_count": tries - 1,
		},
		"request_payload":  string(payload),
		"response_context": object{"status_code": http.StatusInternalServerError, "function_error": ""},
		"response_payload": string(response.Payload),
	})
	return text
}

// Kill ends the process at once, as [Function.Kill] does.
func (g *FunctionGraph) Kill() { g.function.Kill() }

// Close kills the process. Invocations that wait for it return [ErrClosed].
func (g *FunctionGraph) Close() { g.function.Close() }

// variables are those that FunctionGraph sets (FunctionGraph user guide, "Custom Runtime"). There is none for the region.
func (g *FunctionGraph) variables(env map[string]string, taskRoot, api string) map[string]string {
	userData, _ := json.Marshal(env) // texts always marshal
	variables := map[string]string{
		"RUNTIME_API_ADDR":           api,
		"RUNTIME_PROJECT_ID":         graphProject,
		"RUNTIME_PACKAGE":            "default",
		"RUNTIME_FUNC_NAME":          functionName,
		"RUNTIME_FUNC_VERSION":       "latest",
		"RUNTIME_HANDLER":            "bootstrap",
		"RUNTIME_TIMEOUT":            strconv.Itoa(max(1, int(g.config.Timeout.Seconds()))),
		"RUNTIME_MEMORY":             "128",
		"RUNTIME_CPU":                "100",
		"RUNTIME_CODE_ROOT":          taskRoot,
		"RUNTIME_LOG_DIR":            "/home/snuser/log",
		"RUNTIME_MAX_RESP_BODY_SIZE": strconv.Itoa(maxGraphAnswer),
		"RUNTIME_USERDATA":           string(userData),
		"PATH":                       "/usr/local/bin:/usr/bin:/bin",
	}
	if g.config.InEnvironment {
		maps.Copy(variables, env)
	}
	return variables
}

// runtimeAPI is the runtime API of the runtime Custom: three routes.
func (g *FunctionGraph) runtimeAPI(e *environment) http.Handler {
	const root = "/v1/runtime/invocation"
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+root+"/request", func(w http.ResponseWriter, r *http.Request) { g.serveRequest(e, w, r) })
	for route, read := range map[string]func(*http.Request, []byte) *FunctionError{
		"response": func(*http.Request, []byte) *FunctionError { return nil },
		"error":    readError,
	} {
		answer := e.serveAnswer(read)
		mux.HandleFunc("POST "+root+"/"+route+"/{id}", func(w http.ResponseWriter, r *http.Request) {
			id := r.PathValue("id")
			e.mu.Lock()
			known := e.inFlight[id] != nil
			e.mu.Unlock()
			if !known {
				g.note("an answer to the event " + id + ", which is not under way")
			}
			answer(w, r)
		})
	}
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		g.note(r.Method + " " + r.URL.Path)
		http.NotFound(w, r)
	})
	return mux
}

func (g *FunctionGraph) note(wrong string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.wrong = append(g.wrong, wrong)
}

// nextPoll is what goes wrong with this poll; ok is false if nothing does.
func (g *FunctionGraph) nextPoll() (poll Poll, ok bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.asked++
	if len(g.polls) == 0 {
		return 0, false
	}
	poll, g.polls = g.polls[0], g.polls[1:]
	return poll, true
}

func (g *FunctionGraph) serveRequest(e *environment, w http.ResponseWriter, r *http.Request) {
	e.firstPoll.Do(func() { close(e.polled) })
	poll, scripted := g.nextPoll()
	if scripted && poll != PollSlow {
		endPoll(w, poll)
		return
	}
	e.mu.Lock()
	busy := len(e.inFlight) > 0
	e.mu.Unlock()
	if busy {
		g.note("a poll while an event is under way")
		w.WriteHeader(http.StatusConflict)
		return
	}
	idle := make(<-chan time.Time)
	if g.config.Idle > 0 {
		timer := time.NewTimer(g.config.Idle)
		defer timer.Stop()
		idle = timer.C
	}
	var inv *invocation
	select {
	case inv = <-e.next:
	case <-idle:
		return // 200 without an id
	case <-r.Context().Done(): // the process ended
		return
	}
	e.mu.Lock()
	e.inFlight[inv.id] = inv
	e.served = true
	e.mu.Unlock()
	maps.Copy(w.Header(), inv.header)
	w.Header().Set("Content-Type", "application/json")
	if scripted { // slow
		w.Header().Set("Content-Length", strconv.Itoa(len(inv.payload)))
		half := len(inv.payload) / 2
		_, _ = w.Write(inv.payload[:half])
		_ = http.NewResponseController(w).Flush()
		time.Sleep(slowPoll)
		_, _ = w.Write(inv.payload[half:])
		return
	}
	_, _ = w.Write(inv.payload) // fails if the process ended; whoever waits for the answer sees that
}

// slowPoll is the pause in a slow event.
const slowPoll = 300 * time.Millisecond

// endPoll answers a poll that brings no event.
func endPoll(w http.ResponseWriter, poll Poll) {
	switch poll {
	case PollBroken:
		http.Error(w, "no worker", http.StatusInternalServerError)
	case PollCut:
		w.Header().Set("X-Cff-Request-Id", newUUID())
		w.Header().Set("Content-Length", "100")
		_, _ = io.WriteString(w, `{"replicate":`)
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	case PollReset:
		panic(http.ErrAbortHandler)
	}
}
