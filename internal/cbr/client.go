package cbr

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"sync/atomic"
	"time"

	"cbr-replicator/internal/kind"
	"cbr-replicator/internal/redact"
)

// Bounds of an answer's body. Fifteen thousand backups, more than a vault
// holds, take under 2 MiB.
const (
	maxBody  = 8 << 20
	maxFault = 64 << 10
)

// Authorizer puts the credential for a project on requests. Implementations
// are safe for concurrent use.
type Authorizer interface {
	// Authorize puts the credential on req. Its error is a *kind.Error:
	// NotAllowed where there can be no credential for the project, Unavailable
	// where its source is out of reach.
	Authorize(req *http.Request, projectID string) error
	// Refused tells that CBR refused the credential on req. It reports whether
	// a fresh one can be had, so that the call is worth one more try.
	Refused(req *http.Request, projectID string) bool
}

// Client makes calls to CBR, each once. It is safe for concurrent use.
type Client struct {
	HTTP      *http.Client // see [NewHTTPClient]
	Endpoints Endpoints
	Auth      Authorizer
	Redact    *redact.Redactor
	UserAgent string
	// Timeout bounds one try. Half of what is left of the context bounds it
	// too, so that there is time for another or for publishing.
	Timeout time.Duration
}

// NewHTTPClient returns a client fit for calls that must not be doubled:
// it follows no redirect, since the credential would follow; it speaks
// HTTP/1.1, since one reset HTTP/2 connection makes every request on it
// uncertain; and it does not reuse a connection that was idle for long, since
// it may have died while the environment was frozen. It keeps up to
// connections idle ones to a host.
func NewHTTPClient(connections int) *http.Client {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	return &http.Client{
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{
			Proxy:                  http.ProxyFromEnvironment,
			DialContext:            (&net.Dialer{Timeout: 5 * time.Second}).DialContext,
			TLSHandshakeTimeout:    5 * time.Second,
			MaxIdleConnsPerHost:    connections,
			IdleConnTimeout:        30 * time.Second,
			MaxResponseHeaderBytes: 64 << 10,
			Protocols:              protocols,
		},
	}
}

// Replicate asks CBR, once, to copy the backups of a vault that have no
// replica yet (CBR API reference, CopyCheckpoint). The error is a *kind.Error.
// CBR has no idempotency token: whether a call that failed may be made again
// is a property of the error's kind.
func (c *Client) Replicate(ctx context.Context, src Source, r Replicate) (Answer, error) {
	base, err := c.Endpoints.For(src.Region)
	if err != nil {
		return Answer{}, err
	}
	if !IsProjectID(src.ProjectID) {
		return Answer{}, &kind.Error{Kind: kind.InvalidEvent, Message: "project_id: expected 32 hex digits"}
	}
	body, err := json.Marshal(struct {
		Replicate Replicate `json:"replicate"`
	}{r})
	if err != nil {
		return Answer{}, fmt.Errorf("encode the replicate request: %w", err)
	}

	timeout := c.Timeout
	if deadline, ok := ctx.Deadline(); ok {
		timeout = min(timeout, time.Until(deadline)/2)
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	// Set as soon as the request may be on a connection; cleared when net/http
	// goes for another one because nothing was written to the first.
	var mayBeTaken atomic.Bool
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GetConn: func(string) { mayBeTaken.Store(false) },
		GotConn: func(httptrace.GotConnInfo) { mayBeTaken.Store(true) },
	})

	req, err := http.NewRequestWithContext(ctx, http.MethodPost, base+"/v3/"+src.ProjectID+"/checkpoints/replicate", bytes.NewReader(body))
	if err != nil {
		return Answer{}, fmt.Errorf("make the replicate request: %w", err)
	}
	req.Header.Set("Content-Type", "application/json;charset=UTF-8")
	req.Header.Set("User-Agent", c.UserAgent)
	if err := c.Auth.Authorize(req, src.ProjectID); err != nil {
		return Answer{}, err
	}

	resp, err := c.HTTP.Do(req)
	if err != nil {
		return Answer{Sent: true}, c.noAnswer(err, mayBeTaken.Load())
	}
	defer resp.Body.Close()
	limit := maxBody
	if resp.StatusCode > 299 {
		limit = maxFault
	}
	raw, err := io.ReadAll(io.LimitReader(resp.Body, int64(limit)+1))
	if err == nil && len(raw) > limit {
		err = fmt.Errorf("it is longer than %d bytes", limit)
	}
	answer, err := c.judge(resp, raw, err, r.VaultID)
	if e := kind.As(err); e != nil && e.Kind == kind.Unauthorized {
		e.Renewed = c.Auth.Refused(req, src.ProjectID)
	}
	return answer, err
}

// noAnswer judges a call that brought no answer at all.
func (c *Client) noAnswer(err error, mayBeTaken bool) error {
	e := &kind.Error{Kind: kind.Unavailable, Cause: err}
	what := "no connection to CBR"
	if mayBeTaken {
		e.Kind = kind.Unknown
		what = "the answer was lost, CBR may have taken the request"
	}
	if errors.Is(err, context.DeadlineExceeded) {
		what += " (timed out)"
	}
	e.Message = c.Redact.Text(what + ": " + err.Error())
	return e
}
