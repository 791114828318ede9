package cbrtest

import (
	"context"
	"net"
	"net/http"
	"strconv"
	"time"
)

// What [CBR.Script] can name besides a vault.
const (
	// AnyVault stands for every source vault. To [CBR.PeakInFlight] it means all of them together.
	AnyVault = "*"
	// Lookups stands for ListBackups, ShowBackup and ShowVault. An HTTP client may repeat a GET that was reset by itself.
	Lookups = "lookups"
	// Tokens stands for the logins at IAM.
	Tokens = "tokens"
)

// A Fault is what goes wrong with one request. Its fields combine; the zero Fault is no fault, so a script can let a request
// through.
type Fault struct {
	// Status is the status of an answer that takes the place of CBR's own; 0 keeps CBR's own. The request then has no effect in
	// CBR, unless Taken.
	Status int
	// Code and Message are the error of an answer with a Status, in CBR's form, or in the gateway's where the code begins with
	// APIG.
	Code, Message string
	// Body is the whole body of an answer with a Status, if it is not a Code's.
	Body string
	// Header is added to the answer's, and wins over it.
	Header http.Header
	// Delay passes, in real time, between the effect in CBR and the answer or the reset. It ends early, and the connection with
	// it, when the client goes or the server closes.
	Delay time.Duration
	// Reset ends the connection with a TCP RST in place of an answer. The request then has no effect in CBR, unless Taken.
	Reset bool
	// Taken lets the request have its effect in CBR although its answer is not CBR's own.
	Taken bool
	// Cut ends the connection in the middle of the answer's body.
	Cut bool
}

// Throttled is the gateway's answer to too many requests (429, APIG.0308). The documents know no Retry-After: it is there only
// if retryAfter is positive, in whole seconds, rounded up.
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

// Raw is an answer with a body as it is: HTML, nothing, or what a proxy says.
func Raw(status int, body string) Fault {
	return Fault{Status: status, Body: body}
}

// Redirect is a 307 to another address.
func Redirect(location string) Fault {
	return Fault{Status: http.StatusTemporaryRedirect, Header: http.Header{"Location": {location}}}
}

// ResetBefore loses the request: the connection is reset, and CBR knows nothing of it.
func ResetBefore() Fault { return Fault{Reset: true} }

// ResetAfter loses the answer: CBR takes the request, then the connection is reset.
func ResetAfter() Fault { return Fault{Reset: true, Taken: true} }

// Late gives CBR's own answer, d later than its effect.
func Late(d time.Duration) Fault { return Fault{Delay: d} }

// CutShort sends the first half of CBR's own answer.
func CutShort() Fault { return Fault{Cut: true} }

// Script appends faults to the queue of a source vault, of [AnyVault], of [Lookups] or of [Tokens]. Each request takes the first
// that is left: a CopyCheckpoint of its own vault's queue, else of AnyVault's. With none left CBR behaves. Faults come before
// everything else, the check of the token included.
func (c *CBR) Script(target string, faults ...Fault) {
	c.mu.Lock()
	defer c.mu.Unlock()
	target = fold(target)
	c.script[target] = append(c.script[target], faults...)
}

// nextFault takes the fault that is due for the call.
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

// answer is the one that takes the place of CBR's own.
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

// reset ends the connection without an answer. Without lingering, closing it sends an RST. Where there is no TCP connection to
// take over (HTTP/2, a recorder), http.ErrAbortHandler is net/http's own way to say the same.
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
