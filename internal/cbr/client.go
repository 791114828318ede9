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
	"strings"
	"sync/atomic"
	"time"

	"cbr-replicator/internal/deadline"
	"cbr-replicator/internal/kind"
	"cbr-replicator/internal/redact"
)

// Bounds of an answer's body. Fifteen thousand backups, more than a vault
// holds, take under 2 MiB.
const (
	maxBody  = 8 << 20
	maxFault = 64 << 10
)

// minTimeout is the least time that a call is given: one that is cut off early
// leaves an uncertain outcome where there was a certain one.
const minTimeout = time.Second

// Authorizer puts credentials on requests. Implementations are safe for
// concurrent use.
type Authorizer interface {
	// Authorize puts the credential for src on req, all of which but that is
	// ready to be sent. It may wait, for a fresh credential or for an answer to
	// another request, as long as req's context lives. Its error is a
	// *kind.Error and says which credential it could not have. Without an error
	// the caller calls settle as soon as it knows the answer.
	Authorize(req *http.Request, src Source) (settle Settle, err error)
}

// Settle tells what an answer said of the credential on its request. Called
// again with the zero Verdict it does nothing.
type Settle func(Verdict) Remedy

// Verdict is what an answer says of the credential. The zero Verdict stands for
// no answer, or one that does not tell.
type Verdict struct {
	// Answered: the answer shows what the credential is worth.
	Answered bool
	// Refused: the credential itself is no good, which is not to say that its
	// owner may not do this.
	Refused bool
	// Date is the answer's own time, zero where it has none.
	Date time.Time
}

// Remedy is what there is to do about a credential that was refused.
type Remedy struct {
	// Fresh: another can be had, so that the call is worth one more try.
	Fresh bool
	// Advice is for the person who has to mend it. It holds no secret.
	Advice string
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
	// EnterpriseProjectID, or all_granted_eps, is whose backups [Client.ListBackups]
	// may see, where it is set: a user who is scoped to one may see none without.
	EnterpriseProjectID string
}

// NewHTTPClient returns a client fit for calls that must not be doubled:
// it follows no redirect, since the credential would follow; it speaks
// HTTP/1.1, since one reset HTTP/2 connection makes every request on it
// uncertain; and it does not reuse a connection that was idle for long, since
// it may have died while the environment was frozen. It has up to connections
// to a host, and keeps a few more than as many idle ones in all.
func NewHTTPClient(connections int) *http.Client {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	return &http.Client{
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{
			Proxy:                  http.ProxyFromEnvironment,
			DialContext:            (&net.Dialer{Timeout: 5 * time.Second}).DialContext,
			TLSHandshakeTimeout:    5 * time.Second,
			MaxConnsPerHost:        connections,
			MaxIdleConnsPerHost:    connections,
			MaxIdleConns:           connections + 4, // to the topic and the like
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
func (c *Client) Replicate(ctx context.Context, src Source, r Replicate) (answer Answer, err error) {
	body, err := json.Marshal(struct {
		Replicate Replicate `json:"replicate"`
	}{r})
	if err != nil {
		return Answer{}, fmt.Errorf("encode the replicate request: %w", err)
	}
	sent, err := c.call(ctx, src, http.MethodPost, "/checkpoints/replicate", body, func(resp *http.Response) (err error) {
		limit := maxBody
		if resp.StatusCode > 299 {
			limit = maxFault
		}
		raw, err := readAll(resp.Body, limit)
		answer, err = c.judge(resp, raw, err, r.VaultID)
		return err
	})
	answer.Sent = sent
	return answer, err
}

// call makes one request below a project's path and has read judge its answer.
// sent says whether it was made, whatever became of it.
func (c *Client) call(ctx context.Context, src Source, method, path string, body []byte, read func(*http.Response) error) (sent bool, err error) {
	base, err := c.Endpoints.For(src.Region)
	if err != nil {
		return false, err
	}
	if !IsProjectID(src.ProjectID) {
		return false, &kind.Error{Kind: kind.InvalidEvent, Message: "project_id: expected 32 hex digits"}
	}
	req, err := http.NewRequestWithContext(ctx, method, base+"/v3/"+src.ProjectID+path, bytes.NewReader(body))
	if err != nil {
		return false, fmt.Errorf("make the request to CBR: %w", err)
	}
	req.Header.Set("Content-Type", "application/json;charset=UTF-8")
	req.Header.Set("User-Agent", c.UserAgent)
	settle, err := c.Auth.Authorize(req, src)
	if err != nil {
		return false, err
	}
	defer settle(Verdict{})

	timeout := deadline.Half(ctx, c.Timeout)
	if timeout < min(minTimeout, c.Timeout) {
		return false, &kind.Error{Kind: kind.OutOfTime, Message: "too little of the invocation is left after the credential was fetched"}
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

	resp, err := c.HTTP.Do(req.WithContext(ctx))
	if err != nil {
		return true, c.noAnswer(err, mayBeTaken.Load())
	}
	defer resp.Body.Close()
	err = read(resp)
	e := kind.As(err)
	said := Verdict{Refused: refusesCredential(e)}
	// A gateway may throttle, or fail, before it looks at the credential.
	said.Answered = e == nil || said.Refused || strings.HasPrefix(normal(e.Code), "BackupService.")
	if at, err := http.ParseTime(resp.Header.Get("Date")); err == nil {
		said.Date = at
	}
	if remedy := settle(said); said.Refused {
		e.Renewed = remedy.Fresh
		e.Message = c.Redact.Message(strings.Trim(e.Message+"; "+remedy.Advice, "; "))
	}
	return true, err
}

// readAll reads a body that must not be longer than limit.
func readAll(body io.Reader, limit int) ([]byte, error) {
	raw, err := io.ReadAll(io.LimitReader(body, int64(limit)+1))
	if err == nil && len(raw) > limit {
		err = fmt.Errorf("it is longer than %d bytes", limit)
	}
	return raw, err
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
