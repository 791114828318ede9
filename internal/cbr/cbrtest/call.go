package cbrtest

import (
	"fmt"
	"net/http"
	"slices"
	"sync"
	"time"
)

// A Call is one request that reached the server, and its answer.
type Call struct {
	Operation string      // its id in the API references; empty for a path that is not an API's
	Time      time.Time   // when it arrived
	Method    string      // as sent
	Path      string      // path and query, as sent
	Header    http.Header // as sent, with the token; shared between copies of the Call, so not to be changed
	Body      string      // as sent; empty for a login, since it holds the password
	Vault     string      // a CopyCheckpoint's source vault in lower case, as far as the body could be read
	Backup    string      // a CopyBackup's backup in lower case
	Taken     bool        // a CopyCheckpoint or CopyBackup that queued copies
	Status    int         // of the answer; 0 if the connection is reset instead
	Code      string      // the error code of the answer; empty for success, a reset, a [Raw] body and IAM's answers
	RequestID string      // X-Request-Id of the answer
	Fault     Fault       // from the script; the zero Fault if there was none
}

// String returns the call on one line, without its body and its header, which has the token.
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
	return fmt.Sprintf("%s %s %s: %s", c.Method, c.Path, c.Vault+c.Backup, outcome)
}

// copies reports whether the call asks for copies.
func (c Call) copies() bool { return c.Operation == CopyCheckpoint || c.Operation == CopyBackup }

// Calls returns the CopyCheckpoint and CopyBackup requests so far, in the order in which they had their effects. [WithObserver] sees all
// operations. A request is in the list before its answer is sent, and before its delay.
func (c *CBR) Calls() []Call { return c.callsTo(AnyVault) }

// LookupCalls returns the lookups so far ([ListBackups], [ShowBackup], [ShowVault]), as [CBR.Calls] returns the CopyCheckpoints.
func (c *CBR) LookupCalls() []Call { return c.callsTo(Lookups) }

func (c *CBR) callsTo(target string) []Call {
	c.mu.Lock()
	defer c.mu.Unlock()
	var calls []Call
	for _, call := range c.calls {
		if slices.Contains(call.targets(), target) {
			calls = append(calls, call)
		}
	}
	return calls
}

// VaultCalls returns the calls of [ListVault] so far.
func (c *CBR) VaultCalls() []Call { return c.callsTo(Vaults) }

// PeakInFlight returns the largest number of requests that were under way at once: copies of a source vault or a backup, or of
// all with [AnyVault], or [Lookups], or [Vaults]. A request is under way from when its body was read to just before its answer is sent.
func (c *CBR) PeakInFlight(target string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.peak[fold(target)]
}

// targets returns the names of the call for [CBR.Script] and [CBR.PeakInFlight], the narrowest first.
func (c Call) targets() []string {
	switch c.Operation {
	case CopyCheckpoint:
		return []string{c.Vault, AnyVault}
	case CopyBackup:
		return []string{c.Backup, AnyVault}
	case ListVault:
		return []string{Vaults}
	case ListBackups, ShowBackup, ShowVault:
		return []string{Lookups}
	case ShowReplicationCapabilities:
		return []string{Capabilities}
	case CreateToken:
		return []string{Tokens}
	default:
		return nil
	}
}

// enter counts a request that begins. The returned function counts its end; calls after the first do nothing.
func (c *CBR) enter(targets []string) (leave func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, target := range targets {
		c.inFlight[target]++
		c.peak[target] = max(c.peak[target], c.inFlight[target])
	}
	return sync.OnceFunc(func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		for _, target := range targets {
			c.inFlight[target]--
		}
	})
}
