package cbr

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"cbr-replicator/internal/kind"
	"cbr-replicator/internal/onepass"
	"cbr-replicator/internal/redact"
)

// meaning is what a code of the table says.
type meaning struct {
	kind kind.Kind
	// statuses are those that the tables have the code with; none: 400 alone.
	statuses []int
	// byText: it is final where the text names a state that does not pass.
	byText bool
}

// known are the codes whose meaning does not follow from the HTTP status: some
// transient faults come as 400 and some final ones as 500 (CBR API reference,
// "Error Codes"; the OTC table of the same product).
var known = map[string]meaning{
	"BackupService.0001": {kind: kind.NothingToReplicate},                  // no resource is available for backup
	"BackupService.0002": {kind: kind.InProgress, statuses: []int{500}},    // resources are being backed up
	"BackupService.1002": {kind: kind.Rejected},                            // type of backup cannot be replicated
	"BackupService.1003": {kind: kind.Rejected},                            // the source is not an ECS
	"BackupService.1005": {kind: kind.Rejected, statuses: []int{400, 500}}, // the region does not support replication
	"BackupService.1009": {kind: kind.AlreadyReplicated},                   // is being, or has been, replicated there
	"BackupService.1011": {kind: kind.Rejected},                            // the project does not support replication
	"BackupService.1012": {kind: kind.Rejected},                            // no more replicas allowed
	"BackupService.4005": {kind: kind.Unavailable, statuses: []int{500}},   // the destination vault could not be checked
	"BackupService.6105": {kind: kind.Rejected, statuses: []int{400, 404}}, // the vault does not exist
	"BackupService.6110": {kind: kind.InProgress, byText: true},            // the vault cannot be updated, "Try again"
	"BackupService.6112": {kind: kind.InProgress, byText: true},            // invalid vault status
	"BackupService.6118": {kind: kind.Unavailable},                         // as 4005, but sent as 400
	"BackupService.6119": {kind: kind.Rejected},                            // not a replication vault
	"BackupService.6120": {kind: kind.Rejected},                            // the destination vault does not exist
	"BackupService.6122": {kind: kind.Rejected},                            // resource type cannot be replicated
	"BackupService.6123": {kind: kind.InProgress},                          // an expansion of the vault is in progress
	"BackupService.6125": {kind: kind.InProgress},                          // a backup task is in progress
	"BackupService.6128": {kind: kind.Rejected},                            // vault type cannot be replicated
	"BackupService.6129": {kind: kind.Rejected},                            // the destination vault is full
	"BackupService.6130": {kind: kind.InProgress},                          // the vault is being replicated
	"BackupService.6134": {kind: kind.InProgress},                          // resources are being removed from the vault
	"BackupService.6200": {kind: kind.Rejected, statuses: []int{404}},      // the backup does not exist
	"BackupService.6203": {kind: kind.InProgress},                          // performing backups
	"BackupService.6217": {kind: kind.Rejected, statuses: []int{404}},      // the restore point does not exist
	"BackupService.7302": {kind: kind.InProgress, byText: true},            // backups are being synchronized
	"BackupService.8600": {kind: kind.Rejected, statuses: []int{403}},      // the account lacks real-name authentication
	"BackupService.9900": {kind: kind.Rejected},                            // parameter verification failed
	"BackupService.9910": {kind: kind.Unknown, statuses: []int{500}},       // "unknown error", by name and by nature
	"BackupService.9998": {kind: kind.Unauthorized, statuses: []int{500}},  // authentication failed
	// The gateway's (API Gateway user guide, "Error Codes"). It writes its
	// prefix as APIG or APIGW.
	"APIG.0301": {kind: kind.Unauthorized},  // token or signature is wrong, or there is none
	"APIG.0307": {kind: kind.Unauthorized},  // the token must be updated
	"APIG.0308": {kind: kind.Throttled},     // over a rate limit
	"APIG.0401": {kind: kind.Misconfigured}, // 401 to 404 are about our address, not our credential
	"APIG.0402": {kind: kind.Misconfigured},
	"APIG.0404": {kind: kind.Misconfigured},
	"APIG.0613": {kind: kind.Unavailable}, // IAM is out of reach
}

// A vault is available, lock, frozen, deleting or error (CBR API reference,
// ShowVault, billing.status). Waiting does not help with the last three. Where
// a text names what passes, too, or nothing, the request waits: to be told
// "rejected" for a vault that is being changed would lose it.
var (
	lastingState = regexp.MustCompile(`(?i)\b(?:frozen|deleting|deleted|arrears|overdue|expired|suspended)\b|(?:\b(?:is|in)|[=:"'(\[])\s*error\b`)
	passingState = regexp.MustCompile(`(?i)\b(?:lock|locked|locking|expanding|expanded|extending|resizing|changing|updating|creating|processing|removing|syncing|synchronized|synchronizing|replicating|restoring|in progress)\b`)
)

// kindOf is the one place that turns an answer into a kind: CBR's code, in the
// table's spelling, decides first, the HTTP status second. A 2xx gets here only
// if it is not the answer that was asked for.
func kindOf(status int, code, message string) kind.Kind {
	if m, ok := known[code]; ok {
		if m.byText && lastingState.MatchString(message) && !passingState.MatchString(message) {
			return kind.Rejected
		}
		return m.kind
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
	switch normal(e.HTTPStatus, e.Code) {
	case "APIG.0301", "BackupService.9998":
		return true
	}
	return e.HTTPStatus == http.StatusUnauthorized || TokenMustBeUpdated(e)
}

// TokenMustBeUpdated reports whether an answer says so, by the gateway's code
// or, since sister clouds have codes of their own, in its words.
func TokenMustBeUpdated(e *kind.Error) bool {
	return spelled(e.Code) == "APIG.0307" || e.HTTPStatus < 500 && strings.Contains(strings.ToLower(e.Message), "token must be updated")
}

// normal returns the table's spelling of a code in an answer of CBR's.
func normal(status int, code string) string {
	code = spelled(code)
	// {"error_code": 6130}: a number has lost its prefix. It is CBR's where the
	// table has it with that status: IAM and the gateway have numbers, too.
	if _, err := strconv.Atoi(code); err != nil || len(code) != 4 {
		return code
	}
	if m, ok := known["BackupService."+code]; ok && (slices.Contains(m.statuses, status) || m.statuses == nil && status == http.StatusBadRequest) {
		return "BackupService." + code
	}
	return code
}

// spelled returns a code with the one prefix of the gateway's two.
func spelled(code string) string {
	code = strings.TrimSpace(code)
	if rest, ok := strings.CutPrefix(code, "APIGW."); ok {
		return "APIG." + rest
	}
	return code
}

// deniedByCloud reports whether a 403 is the word of CBR or of IAM that the
// caller may not do this: not one of the gateway, whose black list speaks of an
// address, nor of a proxy or firewall on the way. IAM writes as Keystone does
// (IAM API reference, "Status Codes"), or with codes of its own, or has a
// service add an encoded message (IAM API reference, V5, "Error Codes").
func deniedByCloud(e *kind.Error, body []byte) bool {
	code := normal(e.HTTPStatus, e.Code)
	switch {
	case e.HTTPStatus != http.StatusForbidden || strings.HasPrefix(code, "APIG.") || refusesCredential(e):
		return false
	case strings.HasPrefix(code, "BackupService."), strings.HasPrefix(code, "IAM."), strings.HasPrefix(code, "PAP5."):
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
	e := readFault(resp, body, c.Redact)
	e.Kind = judged(e, normal(e.HTTPStatus, e.Code))
	switch {
	case readErr != nil:
		// Its text is not shown: a credential that is cut in two is not masked.
		e.Code, e.Message, e.Cause = "", "the answer was cut: "+c.Redact.Text(readErr.Error()), readErr
		e.Kind = kindOf(e.HTTPStatus, "", "")
	case missing != "" && e.Code == "":
		e.Message = c.Redact.Text(missing)
	case e.Message == "":
		e.Message = "CBR answered " + statusLine(e.HTTPStatus) + " without a message"
	}
	return e
}

// IAMFault reads an error's answer of IAM, which takes the same forms as CBR's
// and has no code of CBR's. Its message says that IAM answered, and what.
func IAMFault(resp *http.Response, body []byte, r *redact.Redactor) *kind.Error {
	e := readFault(resp, body, r)
	e.Kind = judged(e, spelled(e.Code))
	if e.Message == "" {
		e.Message = "IAM answered " + statusLine(e.HTTPStatus) + " without a message"
	} else {
		e.Message = r.Text(fmt.Sprintf("IAM answered %d: %s", e.HTTPStatus, e.Message))
	}
	return e
}

// readFault reads an error's answer. It has no message where there is none.
func readFault(resp *http.Response, body []byte, r *redact.Redactor) *kind.Error {
	f := parseFault(body)
	return &kind.Error{
		Code:       r.Text(f.code),
		Message:    strings.TrimSpace(r.Text(f.message)),
		HTTPStatus: resp.StatusCode,
		RequestID:  r.Text(cmp.Or(resp.Header.Get("X-Request-Id"), f.requestID)),
		RetryAfter: retryAfter(resp.Header),
	}
}

// judged is the kind of an answer with a code in the table's spelling.
func judged(e *kind.Error, code string) kind.Kind {
	if TokenMustBeUpdated(e) {
		return kind.Unauthorized
	}
	return kindOf(e.HTTPStatus, code, e.Message)
}

// statusLine is a status with its name, where it has one.
func statusLine(status int) string {
	return strings.TrimSpace(strconv.Itoa(status) + " " + http.StatusText(status))
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
