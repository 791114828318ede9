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

// Codes are a service's own error codes and what they mean, if that does not follow
// from the HTTP status. The zero Codes have no code.
type Codes struct {
	// Prefix begins each of them: "BackupService.".
	Prefix string
	Known  []Meaning
}

// Meaning is what a code means.
type Meaning struct {
	Code string
	Kind kind.Kind
	// Statuses are the HTTP statuses of the code in the service's tables. Nil: only 400.
	Statuses []int
	// Lasting, if not nil, reports whether a message names a state that does not pass by
	// itself. Then the kind is Rejected.
	Lasting func(message string) bool
}

// gateway are the codes of API Gateway, which is in front of all services (API Gateway
// user guide, "Error Codes"). It writes its prefix as APIG or APIGW.
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

// kindOf is the one place that turns an answer into a kind. The service's code, as its
// tables write it, decides first, the HTTP status second. A 2xx gets here only if it
// is not the answer that was asked for.
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

// own reports whether a code is the service's own. Then the gateway has accepted the
// credential.
func (c Codes) own(code string) bool { return c.Prefix != "" && strings.HasPrefix(code, c.Prefix) }

// Normal returns a code that came with a status as the tables write it.
func (c Codes) Normal(status int, code string) string {
	code = strings.TrimSpace(code)
	if rest, ok := strings.CutPrefix(code, "APIGW."); ok {
		return "APIG." + rest
	}
	// {"error_code": 6130}: a number without its prefix. It is the service's if the
	// service's table has it with that status. IAM and the gateway have numbers too.
	if _, err := strconv.Atoi(code); err != nil || len(code) != 4 {
		return code
	}
	if m := c.meaning(c.Prefix + code); m != nil && (slices.Contains(m.Statuses, status) || m.Statuses == nil && status == http.StatusBadRequest) {
		return c.Prefix + code
	}
	return code
}

// authResult returns what an answer with the error e shows of the credential. It is
// Refused if it is unknown, expired or wrongly signed. A 403 does not show that, since
// another credential of the same owner would get it too.
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

// Denied reports whether the service or IAM says with a 403 that the caller may not do
// this. A 403 of the gateway is about an address on its black list, and one of a proxy
// or a firewall is not about permissions either. IAM answers in Keystone's form (IAM
// API reference, "Status Codes"), or with codes of its own, or has a service add an
// encoded message (IAM API reference, V5, "Error Codes").
func (c Codes) Denied(e *kind.Error, body []byte) bool {
	code := c.Normal(e.HTTPStatus, e.Code)
	switch {
	case e.HTTPStatus != http.StatusForbidden || strings.HasPrefix(code, "APIG.") || c.authResult(e).Refused:
		return false
	case c.own(code), strings.HasPrefix(code, "IAM."), strings.HasPrefix(code, "PAP5."):
		return true
	}
	var denial struct {
		Encoded string `json:"encoded_authorization_message"`
		Error   struct {
			Code  json.Number `json:"code"`
			Title string      `json:"title"`
		} `json:"error"`
	}
	if json.Unmarshal(body, &denial) != nil {
		return false
	}
	return denial.Encoded != "" || denial.Error.Code == "403" && denial.Error.Title == http.StatusText(http.StatusForbidden)
}

// Fault reads an answer that is not the one that was asked for. missing is what a 2xx
// lacks, readErr the error of reading its body.
func (s *Service) Fault(resp *http.Response, body []byte, readErr error, missing string) *kind.Error {
	e := s.Codes.ReadFault(resp, body, s.Redact)
	switch {
	case readErr != nil:
		// Its text is not shown, since half a credential is not masked.
		e.Code, e.Message, e.Cause = "", "the answer was cut: "+s.Redact.Text(readErr.Error()), readErr
		e.Kind = s.Codes.kindOf(e.HTTPStatus, "", "")
	case missing != "" && e.Code == "":
		e.Message = s.Redact.Text(missing)
	case e.Message == "":
		e.Message = s.Name + " answered " + StatusLine(e.HTTPStatus) + " without a message"
	}
	return e
}

// ReadFault reads an error's answer. Its message may be empty.
func (c Codes) ReadFault(resp *http.Response, body []byte, r *redact.Redactor) *kind.Error {
	f := parseFault(body)
	e := &kind.Error{
		Code:       r.Text(f.code),
		Message:    strings.TrimSpace(r.Text(f.message)),
		HTTPStatus: resp.StatusCode,
		RequestID:  r.Text(cmp.Or(resp.Header.Get("X-Request-Id"), f.requestID)),
		RetryAfter: retryAfter(resp.Header),
	}
	// The kind is decided before the text is masked, since a credential may be a word of
	// it by chance.
	code := c.Normal(e.HTTPStatus, new(redact.Redactor).Text(f.code))
	e.Kind = c.kindOf(e.HTTPStatus, code, f.message)
	// By the gateway's code or, since sister clouds have codes of their own, by its
	// words.
	e.TokenExpired = code == "APIG.0307" || e.HTTPStatus < 500 && strings.Contains(strings.ToLower(f.message), "token must be updated")
	if e.TokenExpired {
		e.Kind = kind.Unauthorized
	}
	return e
}

// StatusLine is a status with its name, if it has one.
func StatusLine(status int) string {
	return strings.TrimSpace(strconv.Itoa(status) + " " + http.StatusText(status))
}

// fault is what an error's body says, in any of its forms.
type fault struct{ code, message, requestID string }

// parseFault reads every known form of an error: CBR's and the gateway's (error_code,
// error_msg), IAM's (an object "error" with a number as its code), SMN's (code,
// message), camel case, and plain text or HTML from a proxy in front of them.
func parseFault(body []byte) fault {
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.UseNumber()
	var object map[string]any
	if err := dec.Decode(&object); err != nil || object == nil {
		// This may be JSON that is cut. An escape in it may hide a credential from the
		// masking.
		if bytes.ContainsRune(body, '\\') {
			return fault{}
		}
		return fault{message: string(body)}
	}
	f := faultIn(object)
	if f.code != "" || f.message != "" {
		return f
	}
	// One level down, in an order that is the same each time.
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

// maxRetryAfter bounds the wait. A visibility timeout is at most 12 hours.
const maxRetryAfter = 12 * time.Hour

// retryAfter reads the header Retry-After, in seconds or as a date (RFC 9110,
// 10.2.3). A date is compared with the answer's own Date, since the clocks of two
// clouds may differ. Without a usable value it returns zero.
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
