package huawei

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"strings"
	"sync/atomic"
	"time"

	"cbr-replicator/internal/deadline"
	"cbr-replicator/internal/kind"
	"cbr-replicator/internal/redact"
)

// Service makes calls to one of Huawei Cloud's services, each once. It is safe
// for concurrent use.
type Service struct {
	// Name is how errors name the service: "CBR".
	Name string
	// Version is that of its API, as a path begins with: "v3".
	Version string
	Codes   Codes

	HTTP      *http.Client // see [NewHTTPClient]
	Endpoints Endpoints
	Auth      Authorizer
	Redact    *redact.Redactor
	UserAgent string
	// Timeout bounds one try. Half of the context's time that is left bounds it too, so
	// that there is time for a retry or for publishing. Zero: only the context bounds
	// the try.
	Timeout time.Duration
}

// minTimeout is the shortest timeout of a call. A call that is cut off has an uncertain
// outcome; a call that is not made has a certain one.
const minTimeout = time.Second

// Call makes one request below a project's path and has read read its answer. sent
// says whether the request was made, whatever its outcome. The error is a *kind.Error.
// If it is about the credential, it has the advice of the credential's source.
func (s *Service) Call(ctx context.Context, scope Scope, method, path string, body []byte, read func(*http.Response) error) (sent bool, err error) {
	base, err := s.Endpoints.For(scope.Region)
	if err != nil {
		return false, err
	}
	if !IsProjectID(scope.ProjectID) {
		return false, &kind.Error{Kind: kind.InvalidEvent, Message: "project_id: expected 32 hex digits"}
	}
	req, err := http.NewRequestWithContext(ctx, method, base+"/"+s.Version+"/"+scope.ProjectID+path, bytes.NewReader(body))
	if err != nil {
		return false, fmt.Errorf("make the request to %s: %w", s.Name, err)
	}
	req.Header.Set("Content-Type", "application/json;charset=UTF-8")
	req.Header.Set("User-Agent", s.UserAgent)
	report, err := s.Auth.Authorize(req, scope)
	if err != nil {
		return false, err
	}
	defer report(AuthResult{})

	if s.Timeout > 0 {
		timeout := deadline.Half(ctx, s.Timeout)
		if timeout < min(minTimeout, s.Timeout) {
			return false, &kind.Error{Kind: kind.OutOfTime, Message: "too little of the invocation is left after the credential was fetched"}
		}
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, timeout)
		defer cancel()
	}
	// Set as soon as the request may be on a connection. Cleared when net/http takes
	// another connection because nothing was written to the first.
	var mayBeSent atomic.Bool
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GetConn: func(string) { mayBeSent.Store(false) },
		GotConn: func(httptrace.GotConnInfo) { mayBeSent.Store(true) },
	})

	resp, err := s.HTTP.Do(req.WithContext(ctx))
	if err != nil {
		return true, s.noAnswer(err, mayBeSent.Load())
	}
	defer resp.Body.Close()
	err = read(resp)
	e := kind.As(err)
	result := s.Codes.authResult(e)
	if at, err := http.ParseTime(resp.Header.Get("Date")); err == nil {
		result.Date = at
	}
	if advice := report(result); result.Refused {
		e.Renewed = advice.Fresh
		e.Message = s.Redact.Message(strings.Trim(e.Message+"; "+advice.Text, "; "))
	}
	return true, err
}

// ReadAll reads a body that must not be longer than limit, in bytes.
func ReadAll(body io.Reader, limit int) ([]byte, error) {
	raw, err := io.ReadAll(io.LimitReader(body, int64(limit)+1))
	if err == nil && len(raw) > limit {
		err = fmt.Errorf("it is longer than %d bytes", limit)
	}
	return raw, err
}

// noAnswer returns the error of a call without an answer.
func (s *Service) noAnswer(err error, mayBeSent bool) error {
	e := &kind.Error{Kind: kind.Unavailable, Cause: err}
	what := "no connection to " + s.Name
	if mayBeSent {
		e.Kind = kind.Unknown
		what = "the answer was lost, " + s.Name + " may have taken the request"
	}
	if errors.Is(err, context.DeadlineExceeded) {
		what += " (timed out)"
	}
	e.Message = s.Redact.Text(what + ": " + err.Error())
	return e
}
