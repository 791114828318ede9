package cbr

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"cbr-replicator/internal/kind"
	"cbr-replicator/internal/onepass"
	"cbr-replicator/internal/redact"
)

// known are the codes whose meaning does not follow from the HTTP status: some
// transient faults come as 400 and some final ones as 500 (CBR API reference,
// "Error Codes"; the OTC table of the same product for the statuses).
var known = map[string]kind.Kind{
	"BackupService.0001": kind.NothingToReplicate, // no resource is available for backup
	"BackupService.0002": kind.InProgress,         // resources are being backed up
	"BackupService.1002": kind.Rejected,           // type of backup cannot be replicated
	"BackupService.1003": kind.Rejected,           // the source is not an ECS
	"BackupService.1005": kind.Rejected,           // the region does not support replication; 500 on OTC
	"BackupService.1009": kind.AlreadyReplicated,  // is being, or has been, replicated there
	"BackupService.1011": kind.Rejected,           // the project does not support replication
	"BackupService.1012": kind.Rejected,           // no more replicas allowed
	"BackupService.4005": kind.Unavailable,        // the destination vault could not be checked
	"BackupService.6105": kind.Rejected,           // the vault does not exist
	"BackupService.6118": kind.Unavailable,        // as 4005, but sent as 400
	"BackupService.6119": kind.Rejected,           // not a replication vault
	"BackupService.6120": kind.Rejected,           // the destination vault does not exist
	"BackupService.6122": kind.Rejected,           // resource type cannot be replicated
	"BackupService.6128": kind.Rejected,           // vault type cannot be replicated
	"BackupService.6129": kind.Rejected,           // the destination vault is full
	"BackupService.6130": kind.InProgress,         // the vault is being replicated
	"BackupService.6200": kind.Rejected,           // the backup does not exist
	"BackupService.6217": kind.Rejected,           // the restore point does not exist
	"BackupService.8600": kind.Rejected,           // the account lacks real-name authentication
	"BackupService.9900": kind.Rejected,           // parameter verification failed
	"BackupService.9910": kind.Unknown,            // "unknown error", by name and by nature
	"BackupService.9998": kind.Unauthorized,       // authentication failed; sent as 500
	// The gateway's (API Gateway user guide, "Error Codes"). It writes its
	// prefix as APIG or APIGW.
	"APIG.0301": kind.Unauthorized,  // token or signature is wrong, or there is none
	"APIG.0307": kind.Unauthorized,  // the token must be updated
	"APIG.0308": kind.Throttled,     // over a rate limit
	"APIG.0401": kind.Misconfigured, // 401 to 404 are about our address, not our credential
	"APIG.0402": kind.Misconfigured,
	"APIG.0404": kind.Misconfigured,
	"APIG.0613": kind.Unavailable, // IAM is out of reach
}

// kindOf is the one place that turns an answer into a kind: CBR's code decides
// first, the HTTP status second. A 2xx gets here only if it is not the answer
// that was asked for.
func kindOf(status int, code string) kind.Kind {
	if k, ok := known[normal(code)]; ok {
		return k
	}
	verdict := strings.HasPrefix(code, "BackupService.")
	switch {
	case status == http.StatusTooManyRequests:
		return kind.Throttled
	case status == http.StatusServiceUnavailable:
		return kind.Unavailable
	case status == http.StatusRequestTimeout:
		return kind.Unknown
	case status >= 400 && status < 500 && verdict:
		return kind.Rejected
	case status == http.StatusUnauthorized || status == http.StatusForbidden:
		return kind.Unauthorized
	case status >= 300 && status < 500:
		return kind.Misconfigured
	}
	return kind.Unknown
}

// refusesCredential reports whether an answer says that the credential itself is
// no good: unknown, expired or wrongly signed. A 403 does not, since another
// credential of the same owner would meet it too.
func refusesCredential(e *kind.Error) bool {
	if e == nil || e.Kind != kind.Unauthorized {
		return false
	}
	switch normal(e.Code) {
	case "APIG.0301", "APIG.0307", "BackupService.9998":
		return true
	}
	return e.HTTPStatus == http.StatusUnauthorized || mustBeUpdated(e)
}

// mustBeUpdated reports whether an answer says so of the token, with whatever
// code: sister clouds have codes of their own.
func mustBeUpdated(e *kind.Error) bool {
	return e.HTTPStatus < 500 && strings.Contains(strings.ToLower(e.Message), "token must be updated")
}

// normal returns the spelling of a code that the table uses.
func normal(code string) string {
	code = strings.TrimSpace(code)
	if rest, ok := strings.CutPrefix(code, "APIGW."); ok {
		return "APIG." + rest
	}
	// {"error_code": 6130}: a number has lost its prefix.
	if _, err := strconv.Atoi(code); err == nil && len(code) == 4 {
		return "BackupService." + code
	}
	return code
}

// judge reads CopyCheckpoint's answer. readErr is what went wrong while its
// body was read.
func (c *Client) judge(resp *http.Response, body []byte, readErr error, vaultID string) (Answer, error) {
	answer := Answer{Status: resp.StatusCode, RequestID: c.Redact.Text(resp.Header.Get("X-Request-Id"))}
	if readErr != nil || answer.Status < 200 || answer.Status > 299 {
		e := c.fault(resp, body, readErr, "")
		answer.RequestID = e.RequestID
		return answer, e
	}
	replication, backups, missing := taken(body, vaultID)
	answer.Replication = c.Redact.JSON(replication)
	switch {
	case answer.Replication != nil && backups > 0:
		return answer, nil
	case answer.Replication != nil:
		return answer, &kind.Error{
			Kind: kind.NothingToReplicate, Message: "CBR found no backup to replicate",
			HTTPStatus: answer.Status, RequestID: answer.RequestID,
		}
	}
	e := c.fault(resp, body, nil, missing)
	answer.RequestID = e.RequestID
	return answer, e
}

// fault reads an answer that is not the one that was asked for. missing is what
// a 2xx lacks, readErr what went wrong while the body was read.
func (c *Client) fault(resp *http.Response, body []byte, readErr error, missing string) *kind.Error {
	e := Fault(resp, body, c.Redact)
	switch {
	case readErr != nil:
		// Its text is not shown: a credential that is cut in two is not masked.
		e.Code, e.Message, e.Cause = "", "the answer was cut: "+c.Redact.Text(readErr.Error()), readErr
		e.Kind = kindOf(e.HTTPStatus, "")
	case missing != "" && e.Code == "":
		e.Message = c.Redact.Text(missing)
	}
	return e
}

// Fault reads an error's answer, of CBR or of IAM, which takes the same forms.
// Its kind is what the answer means if it is CBR's.
func Fault(resp *http.Response, body []byte, r *redact.Redactor) *kind.Error {
	f := parseFault(body)
	e := &kind.Error{
		Code:       r.Text(f.code),
		Message:    cmp.Or(strings.TrimSpace(r.Text(f.message)), fmt.Sprintf("CBR answered %d %s without a message", resp.StatusCode, http.StatusText(resp.StatusCode))),
		HTTPStatus: resp.StatusCode,
		RequestID:  r.Text(cmp.Or(resp.Header.Get("X-Request-Id"), f.requestID)),
		RetryAfter: retryAfter(resp.Header),
	}
	e.Kind = kindOf(e.HTTPStatus, e.Code)
	if mustBeUpdated(e) {
		e.Kind = kind.Unauthorized
	}
	return e
}

// taken reads the body of a 2xx: the object replication, how many backups it
// lists, or what is missing for it to say that the request was taken.
func taken(body []byte, vaultID string) (replication json.RawMessage, backups int, missing string) {
	answer := onepass.New(body)
	for name := range answer.Members() {
		if string(name) == "replication" {
			replication = answer.Value()
		}
	}
	var vault string
	listed := false
	object := onepass.New(replication)
	for name := range object.Members() {
		switch string(name) {
		case "vault_id":
			object.Text(&vault)
		case "backups":
			backups, listed = 0, true
			for range object.Elements() {
				backups++
			}
		}
	}
	switch {
	case answer.End() != nil || replication == nil:
		return nil, 0, "the answer has no object replication"
	case object.End() != nil:
		return nil, 0, "the answer has no object replication of the form that is known: " + object.End().Error()
	case vault == "":
		return nil, 0, "the answer names no vault"
	case !strings.EqualFold(vault, vaultID):
		return nil, 0, "the answer speaks of another vault"
	case !listed:
		return nil, 0, "the answer has no list of backups"
	}
	return replication, backups, ""
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
