package cbrtest

import (
	"context"
	"net"
	"net/http"
	"strconv"
	"time"
)

// Targets of [CBR.Script] besides a vault.
const (
	// AnyVault stands for every source vault and every single backup that is copied. For [CBR.PeakInFlight] it stands for all of them together.
	AnyVault = "*"
	// Lookups stands for ListBackups, ShowBackup and ShowVault. After a reset an HTTP client may by itself repeat a GET.
	Lookups = "lookups"
	// Vaults stands for ListVault.
	Vaults = "vaults"
	// Capabilities stands for ShowReplicationCapabilities.
	Capabilities = "capabilities"
	// Tokens stands for the logins at IAM.
	Tokens = "tokens"
)

// A Fault is what goes wrong with one request. Its fields can be combined. The zero Fault is no fault, so that a script can let
// a request through.
type Fault struct {
	// Status is the status of an answer in place of CBR's own. Then the request has no effect in CBR, unless Taken. 0 keeps CBR's
	// own answer.
	Status int
	// Code and Message are the error of an answer with a Status, in CBR's form, or in the gateway's where the code begins with
	// APIG.
	Code, Message string
	// Body is the body of an answer with a Status and without a Code.
	Body string
	// Header is added to the answer's header and replaces fields of the same name.
	Header http.Header
	// Delay is the time between the effect in CBR and the answer or the reset, in real time. If the client goes or the server
	// closes, the delay and the connection end.
	Delay time.Duration
	// Reset ends the connection with a TCP RST in place of an answer. Then the request has no effect in CBR, unless Taken.
	Reset bool
	// Taken: the request has its effect in CBR, although its answer is not CBR's own.
	Taken bool
	// Cut ends the connection in the middle of the answer's body.
	Cut bool
}

// Throttled is the gateway's answer to too many requests (429, APIG.0308). It has a Retry-After, in seconds and rounded up, only
// if retryAfter is positive: the documents have none.
func Throttled(retryAfter time.Duration) Fault {
	f := Fault{
		Status:  http.StatusTooManyRequests,
		Code:    "APIG.0308",
		Message: "The throttling threshold has been reached: policy user over ratelimit,limit:100,time:1 minute",
	}
	if retryAfter > 0 {
		seconds := (retryAfter + time.Second - 1) / time.Second
		f.Header = http.Header{"Retry-After": {strconv.Itoa(int(seconds))}}
	}
	return f
}

// Unavailable is the gateway's answer when it cannot reach IAM to check a token (503, APIG.0613).
func Unavailable() Fault {
	return Fault{Status: http.StatusServiceUnavailable, Code: "APIG.0613", Message: "The IAM service is currently unavailable"}
}

// Refusal is an answer in CBR's error form, or in the gateway's where the code begins with APIG.
func Refusal(status int, code, message string) Fault {
	return Fault{Status: status, Code: code, Message: message}
}

// Raw is an answer with any body: HTML, nothing, or that of a proxy.
func Raw(status int, body string) Fault {
	return Fault{Status: status, Body: body}
}

// Redirect is a 307 to another address.
func Redirect(location string) Fault {
	return Fault{Status: http.StatusTemporaryRedirect, Header: http.Header{"Location": {location}}}
}

// ResetBefore loses the request: the connection is reset before CBR gets it.
func ResetBefore() Fault { return Fault{Reset: true} }

// ResetAfter loses the answer: the request has its effect, then the connection is reset.
func ResetAfter() Fault { return Fault{Reset: true, Taken: true} }

// Late gives CBR's own answer, d later than its effect.
func Late(d time.Duration) Fault { return Fault{Delay: d} }

// CutShort sends the first half of CBR's own answer.
func CutShort() Fault { return Fault{Cut: true} }

// Script appends faults to the queue of a source vault, of a backup, of [AnyVault], of [Lookups], of [Vaults], of
// [Capabilities] or of [Tokens]. Each
// request takes the first fault of its queue: a CopyCheckpoint that of its own vault's, a CopyBackup that of its backup's, or if
// that is empty of AnyVault's. With no fault left CBR works.
// Faults come before everything else, even before the check of the token.
func (c *CBR) Script(target string, faults ...Fault) {
	c.mu.Lock()
	defer c.mu.Unlock()
	target = fold(target)
	c.script[target] = append(c.script[target], faults...)
}

// nextFault takes the call's fault from its queue.
func (c *CBR) nextFault(call Call) Fault {
	for _, target := range call.targets() {
		if queue := c.script[target]; len(queue) > 0 {
			c.script[target] = queue[1:]
			return queue[0]
		}
	}
	return Fault{}
}

// reachesCBR reports whether the request has its usual effect.
func (f Fault) reachesCBR() bool { return f.Taken || f.Status == 0 && !f.Reset }

// answer returns the answer in place of CBR's own.
func (f Fault) answer(requestID string) answer {
	if f.Code != "" {
		return refusal{f.Status, f.Code, f.Message}.answer(requestID)
	}
	return answer{status: f.Status, body: []byte(f.Body)}
}

// pause waits for d, and reports false if the client or the server ended first.
func pause(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return true
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// reset ends the connection without an answer. With a linger time of zero, closing it sends an RST. If there is no TCP
// connection to take over (HTTP/2, a recorder), net/http does the same after http.ErrAbortHandler.
func reset(w http.ResponseWriter) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	_ = conn.Close()
}
