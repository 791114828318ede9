package cbrtest

import (
	"fmt"
	"net/http"
	"slices"
	"sync"
	"time"
)

// A Call is one request that reached the server, and what it got.
type Call struct {
	Operation string      // its id in the CBR API reference; "" for a path that is no API's
	Time      time.Time   // when it arrived
	Method    string      // as sent
	Path      string      // path and query, as sent
	Header    http.Header // as sent, with the token; shared between copies of the Call, so not to be changed
	Body      string      // as sent
	Vault     string      // a CopyCheckpoint's source vault, as far as the body could be read
	Taken     bool        // a CopyCheckpoint that queued copies
	Status    int         // of the answer that was decided; 0 for a reset in its place
	Code      string      // the error code of the answer; "" on success, on a reset and in a [Raw] body
	RequestID string      // X-Request-Id of the answer
}

// String returns the call on one line, without its header (the token is in it) and body.
func (c Call) String() string {
	outcome := "connection reset"
	if c.Status != 0 {
		outcome = fmt.Sprintf("%d %s", c.Status, http.StatusText(c.Status))
	}
	if c.Code != "" {
		outcome += " " + c.Code
	}
	if c.Taken {
		outcome += " (taken)"
	}
	return fmt.Sprintf("%s %s %s: %s", c.Method, c.Path, c.Vault, outcome)
}

// Calls returns the CopyCheckpoint requests so far, in the order in which they had their effects. [WithObserver] sees all
// operations. A request is in the list before its answer is sent, and before its delay.
func (c *CBR) Calls() []Call {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.calls)
}

// PeakInFlight returns how many CopyCheckpoint requests of a source vault, or of all with [AnyVault], were under way at once
// at most. A request is under way from when its body was read to just before its answer is sent.
func (c *CBR) PeakInFlight(vaultID string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.peak[vaultID]
}

// enter counts a request in. The returned function counts it out, once however often it is called.
func (c *CBR) enter(vault string) (leave func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, key := range []string{vault, AnyVault} {
		c.inFlight[key]++
		c.peak[key] = max(c.peak[key], c.inFlight[key])
	}
	return sync.OnceFunc(func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.inFlight[vault]--
		c.inFlight[AnyVault]--
	})
}
