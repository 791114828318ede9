package huawei

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"cbr-replicator/internal/kind"
	"cbr-replicator/internal/redact"
)

// MaxFault bounds the body of an error's answer, in bytes.
const MaxFault = 64 << 10

// Codes are what a service's own codes mean, where that does not follow from the
// HTTP status. The zero Codes are of a service without any.
type Codes struct {
	// Prefix is that of all of them: "BackupService.".
	Prefix string
	Known  []Meaning
}

// Meaning is what a code says.
type Meaning struct {
	Code string
	Kind kind.Kind
	// Statuses are those that the service's tables have the code with; none:
	// 400 alone.
	Statuses []int
	// Lasting, if not nil, reports whether a message names a state that does not
	// pass by itself: then the code is a Rejected.
	Lasting func(message string) bool
}

// gateway are the codes of API Gateway, which stands before all services (API
// Gateway user guide, "Error Codes"). It writes its prefix as APIG or APIGW.
var gateway = []Meaning{
	{Code: "APIG.0301", Kind: kind.Unauthorized},  // token or signature is wrong, or there is none
	{Code: "APIG.0307", Kind: kind.Unauthorized},  // the token must be updated
	{Code: "APIG.0308", Kind: kind.Throttled},     // over a rate limit
	{Code: "APIG.0401", Kind: kind.Misconfigured}, // 401 to 404 are about our address, not our credential
	{Code: "APIG.0402", Kind: kind.Misconfigured},
	{Code: "APIG.0404", Kind: kind.Misconfigured},
	{Code: "APIG.0613", Kind: kind.Unavailable}, // IAM is out of reach
}

// meaning returns what a code says, nil if it is not in the tables.
func (c Codes) meaning(code string) *Meaning {
	for _, table := range [...][]Meaning{c.Known, gateway} {
		for i := range table {
			if table[i].Code == code {
				return &table[i]
			}
		}
	}
	return nil
}

// kindOf is the one place that turns an answer into a kind: the service's code,
// in its tables' spelling, decides first, the HTTP status second. A 2xx gets here
// only if it is not the answer that was asked for.
func (c Codes) kindOf(status int, code, message string) kind.Kind {
	if m := c.meaning(code); m != nil {
		if m.Lasting != nil && m.Lasting(message) {
			return kind.Rejected
		}
		return m.Kind
	}
	switch {
	case status == http.StatusTooManyRequests:
		return kind.Throttled
	case status == http.StatusServiceUnavailable:
		return kind.Unavailable
	case status == http.StatusRequestTimeout:
		return kind.Unknown
	case status >= 400 && status < 500 && c.own(code):
		return kind.Rejected
	case status == http.StatusUnauthorized || status == http.StatusForbidden:
		return kind.Unauthorized
	case status >= 300 && status < 500:
		return kind.Misconfigured
	}
	return kind.Unknown
}

// own reports whether a code is the service's, so that the gateway has let the
// credential through.
func (c Codes) own(code string) bool { return c.Prefix != "" && strings.HasPrefix(code, c.Prefix) }

// Normal returns the tables' spelling of a code that came with a status.
func (c Codes) Normal(status int, code string) string {
	code = strings.TrimSpace(code)
	if rest, ok := strings.CutPrefix(code, "APIGW."); ok {
		return "APIG." + rest
	}
	// {"error_code": 6130}: a number has lost its prefix. It is the service's
	// where its table has it with that status: IAM and the gateway have numbers,
	// too.
	if _, err := strconv.Atoi(code); err != nil || len(code) != 4 {
		return code
	}
	if m := c.meaning(c.Prefix + code); m != nil && (slices.Contains(m.Statuses, status) || m.Statuses == nil && status == http.StatusBadRequest) {
		return c.Prefix + code
	}
	return code
}

// authResult is what an answer, judged, says of the credential. Refused is one
// that is unknown, expired or wrongly signed. A 403 does not say so, since
// another credential of the same owner would meet it too.
func (c Codes) authResult(e *kind.Error) AuthResult {
	if e == nil {
		return AuthResult{Answered: true}
	}
	code := c.Normal(e.HTTPStatus, e.Code)
	m := c.meaning(code)
	refused := e.Kind == kind.Unauthorized && (m != nil && m.Kind == kind.Unauthorized ||
		e.HTTPStatus == http.StatusUnauthorized || e.TokenExpired)
	// A gateway may throttle, or fail, before it looks at the credential.
	return AuthResult{Answered: refused || c.own(code), Refused: refused}
}

// Denied reports whether a 403 is the word of the service or of IAM that the
// caller may not do this: not one of the gateway, whose black list speaks of an
// address, nor of a proxy or firewall on the way. IAM writes as Keystone does
// (IAM API reference, "Status Codes"), or with codes of its own, or has a
// service add an encoded message (IAM API reference, V5, "Error Codes").
func (c Codes) Denied(e *kind.Error, body []byte) bool {
	code := c.Normal(e.HTTPStatus, e.Code)
	switch {
	case e.HTTPStatus != http.StatusForbidden || strings.HasPrefix(code, "APIG.") || c.authResult(e).Refused:
		return false
	case c.own(code), strings.HasPrefix(code, "IAM."), strings.HasPrefix(code, "PAP5."):
		return true
	}
	var says struct {
		Encoded string `json:"encoded_authorization_message"`
		Error   struct {
			Code  json.Number `json:"code"`
			Title string      `json:"title"`
		} `json:"error"`
	}
	if json.Unmarshal(body, &says) != nil {
		return false
	}
	return says.Encoded != "" || says.Error.Code == "403" && says.Error.Title == http.StatusText(http.StatusForbidden)
}

// Fault reads an answer that is not the one that was asked for. missing is what
// a 2xx lacks, readErr what went wrong while the body was read.
func (s *Service) Fault(resp *http.Response, body []byte, readErr error, missing string) *kind.Error {
	e := s.Codes.ReadFault(resp, body, s.Redact)
	switch {
	case readErr != nil:
		// Its text is not shown: a credential that is cut in two is not masked.
		e.Code, e.Message, e.Cause = "", "the answer was cut: "+s.Redact.Text(readErr.Error()), readErr
		e.Kind = s.Codes.kindOf(e.HTTPStatus, "", "")
	case missing != "" && e.Code == "":
		e.Message = s.Redact.Text(missing)
	case e.Message == "":
		e.Message = s.Name + " answered " + StatusLine(e.HTTPStatus) + " without a message"
	}
	return e
}

// ReadFault reads an error's answer. It has no message where there is none.
func (c Codes) ReadFault(resp *http.Response, body []byte, r *redact.Redactor) *kind.Error {
	f := parseFault(body)
	e := &kind.Error{
		Code:       r.Text(f.code),
		Message:    strings.TrimSpace(r.Text(f.message)),
		HTTPStatus: resp.StatusCode,
		RequestID:  r.Text(cmp.Or(resp.Header.Get("X-Request-Id"), f.requestID)),
		RetryAfter: retryAfter(resp.Header),
	}
	// Judged before it is masked: a credential may be a word of it by chance.
	code := c.Normal(e.HTTPStatus, new(redact.Redactor).Text(f.code))
	e.Kind = c.kindOf(e.HTTPStatus, code, f.message)
	// By the gateway's code or, since sister clouds have codes of their own, in
	// its words.
	e.TokenExpired = code == "APIG.0307" || e.HTTPStatus < 500 && strings.Contains(strings.ToLower(f.message), "token must be updated")
	if e.TokenExpired {
		e.Kind = kind.Unauthorized
	}
	return e
}

// StatusLine is a status with its name, where it has one.
func StatusLine(status int) string {
	return strings.TrimSpace(strconv.Itoa(status) + " " + http.StatusText(status))
}

// fault is what an error's body says, whatever its form.
type fault struct{ code, message, requestID string }

// parseFault reads every form an error is known to take: CBR's and the
// gateway's (error_code, error_msg), IAM's (an object "error" with a number as
// its code), SMN's (code, message), camel case, and plain text or HTML from
// what stands in front of them.
func parseFault(body []byte) fault {
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.UseNumber()
	var object map[string]any
	if err := dec.Decode(&object); err != nil || object == nil {
		// In JSON that is cut or no object an escape may spell a credential in a
		// way that is not masked.
		if bytes.ContainsRune(body, '\\') {
			return fault{}
		}
		return fault{message: string(body)}
	}
	f := faultIn(object)
	if f.code != "" || f.message != "" {
		return f
	}
	// One level down, in an order that does not change from call to call.
	for _, key := range slices.Sorted(maps.Keys(object)) {
		inner, ok := object[key].(map[string]any)
		if !ok {
			continue
		}
		if g := faultIn(inner); g.code != "" || g.message != "" {
			g.requestID = cmp.Or(g.requestID, f.requestID)
			return g
		}
	}
	return f
}

func faultIn(object map[string]any) fault {
	first := func(keys ...string) string {
		for _, key := range keys {
			switch v := object[key].(type) {
			case string:
				if v != "" {
					return v
				}
			case json.Number:
				return v.String()
			}
		}
		return ""
	}
	return fault{
		code:      first("error_code", "errorCode", "code"),
		message:   first("error_msg", "errorMsg", "message"),
		requestID: first("request_id", "requestId"),
	}
}

// maxRetryAfter is the longest wait that is taken at its word: a queue keeps a
// message invisible for at most 12 hours.
const maxRetryAfter = 12 * time.Hour

// retryAfter reads the header Retry-After, in seconds or as a date (RFC 9110,
// 10.2.3). A date is held against the answer's own Date, since the clocks of
// two clouds need not agree. Without a usable value it returns zero.
func retryAfter(h http.Header) time.Duration {
	v := strings.TrimSpace(h.Get("Retry-After"))
	if v == "" {
		return 0
	}
	if seconds, err := strconv.ParseUint(v, 10, 31); err == nil || errors.Is(err, strconv.ErrRange) {
		return min(time.Duration(seconds)*time.Second, maxRetryAfter)
	}
	at, err := http.ParseTime(v)
	if err != nil {
		return 0
	}
	now, err := http.ParseTime(h.Get("Date"))
	if err != nil {
		now = time.Now()
	}
	return min(max(at.Sub(now), 0), maxRetryAfter)
}
