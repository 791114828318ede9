package sandbox

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"
)

const functionName = "cbr-replicator"

// maxPayload is Lambda's limit for the payload of a synchronous invocation and for its answer, in bytes: the figure in
// Lambda's own message, 6 MB and a little room.
const maxPayload = 6_291_556

// initTimeout is how long Lambda lets a process run before its first poll (AWS: "Understanding the Lambda execution
// environment lifecycle").
const initTimeout = 10 * time.Second

// ErrClosed is what [Function.Invoke] returns once the function is closed.
var ErrClosed = errors.New("the function is closed")

// FunctionConfig says which function to run.
type FunctionConfig struct {
	// Path is the binary, which Lambda's provided runtimes call bootstrap.
	Path string
	// Env holds the function's environment variables. The process sees these and what Lambda itself sets, nothing of
	// this process's environment. A variable given here wins, but for AWS_LAMBDA_RUNTIME_API. With
	// AWS_LAMBDA_MAX_CONCURRENCY the process takes that many invocations side by side, if it polls for them.
	Env map[string]string
	// Logs takes what the process prints on stdout and stderr: one complete line a call, one call at a time. The calls
	// come from another goroutine than the caller's. Nil drops the output.
	Logs io.Writer
}

// Function runs a function's binary as Lambda does: one process, started by the first invocation, kept for the next
// ones and started anew after it ended. Safe for concurrent use; an invocation waits until the process polls for it.
// For several processes side by side make several Functions.
type Function struct {
	config      FunctionConfig
	cloud       cloud
	initTimeout time.Duration

	mu     sync.Mutex
	env    *environment // nil before the first invocation and after Kill
	closed bool
}

// NewFunction describes a function; nothing runs before the first [Function.Invoke]. Close it after use.
func NewFunction(config FunctionConfig) *Function {
	return &Function{config: config, cloud: lambdaCloud(), initTimeout: initTimeout}
}

// ARN is the function's ARN, as the process finds it in its Lambda context.
func (f *Function) ARN() string { return functionARN() }

func functionARN() string { return arn("lambda", "function:"+functionName) }

// Response is what Lambda's Invoke API answers.
type Response struct {
	// RequestID is the invocation's id.
	RequestID string
	// Payload is the function's answer, or the error document if Error is set.
	Payload []byte
	// Error is set if the function failed: it answered with an error, ended or ran out of time.
	Error *FunctionError
}

// FunctionError is an invocation that failed in the function (the header X-Amz-Function-Error of the Invoke API).
type FunctionError struct {
	// Type is the errorType: the function's own, or Runtime.ExitError, Sandbox.Timedout, Function.ResponseSizeTooLarge.
	Type string
	// Message is the errorMessage.
	Message string
	// XRayCause is the header Lambda-Runtime-Function-Xray-Error-Cause, into which aws-lambda-go copies the error's text.
	XRayCause string
	// Ended reports that the process ended before it answered. Output is the last lines that it printed.
	Ended  bool
	Output []string
}

// Error gives type, message and, if the process ended, what it printed last.
func (e *FunctionError) Error() string {
	text := e.Type + ": " + e.Message
	if len(e.Output) > 0 {
		text += "\nthe function's last output:\n" + strings.Join(e.Output, "\n")
	}
	return text
}

// errorDocument is the body of a function's error in the Runtime API and in the answer of the Invoke API.
type errorDocument struct {
	Message string `json:"errorMessage"`
	Type    string `json:"errorType"`
}

// failure is the Response to an error that Lambda reports itself.
func failure(requestID, errorType, message string) Response {
	payload, _ := json.Marshal(errorDocument{Message: message, Type: errorType}) // two strings always marshal
	return Response{RequestID: requestID, Payload: payload, Error: &FunctionError{Type: errorType, Message: message}}
}

// Invoke hands payload to the function and waits for its answer. An error of the function, its end and its time-out
// included, is in the Response. The error returned is the sandbox's: the process could not be started, payload is above
// Lambda's limit, ctx ended or the function is closed ([ErrClosed]).
//
// The time-out begins when the process receives the invocation. When it is over, the process is killed, and with it every
// other invocation in it. The same happens when ctx ends while the process works on the invocation.
func (f *Function) Invoke(ctx context.Context, payload []byte, timeout time.Duration) (Response, error) {
	if len(payload) > maxPayload {
		return Response{}, fmt.Errorf("invoking the function: a payload of %d bytes, Lambda takes %d", len(payload), maxPayload)
	}
	return f.invoke(ctx, &invocation{id: newUUID(), payload: payload, timeout: timeout, answer: make(chan Response, 1)})
}

func (f *Function) invoke(ctx context.Context, inv *invocation) (Response, error) {
	for {
		env, err := f.environment()
		if err != nil {
			return Response{}, fmt.Errorf("invoking the function: %w", err)
		}
		select {
		case env.next <- inv:
			return env.wait(ctx, inv)
		case <-env.done:
			if !env.replaceable() {
				return env.ended(inv), nil
			}
		case <-ctx.Done():
			return Response{}, fmt.Errorf("invoking the function: waiting for the process to take it: %w", context.Cause(ctx))
		}
	}
}

// environment gives the running execution environment, and starts one if there is none.
func (f *Function) environment() (*environment, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return nil, ErrClosed
	}
	if f.env != nil && f.env.running() {
		return f.env, nil
	}
	env, err := startEnvironment(f.config, f.initTimeout, f.cloud)
	if err != nil {
		return nil, err
	}
	f.env = env
	return env, nil
}

// Kill ends the process at once (kill -9) and returns when it has ended. The invocations in it fail with
// Runtime.ExitError. The next invocation starts another process. Without a process it does nothing.
func (f *Function) Kill() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.env != nil {
		f.env.kill()
		f.env = nil
	}
}

// Close kills the process, as Lambda does with a function that has no extensions. Invocations that wait for the process
// return [ErrClosed].
func (f *Function) Close() {
	f.mu.Lock()
	f.closed = true
	f.mu.Unlock()
	f.Kill()
}
