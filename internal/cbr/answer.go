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

// judge reads an answer. readErr is what went wrong while its body was read.
func (c *Client) judge(resp *http.Response, body []byte, readErr error, vaultID string) (Answer, error) {
	answer := Answer{Sent: true, Status: resp.StatusCode, RequestID: c.Redact.Text(resp.Header.Get("X-Request-Id"))}
	e := &kind.Error{HTTPStatus: answer.Status, RetryAfter: retryAfter(resp.Header), Cause: readErr}

	switch {
	case readErr != nil:
		// Its text is not shown: a credential that is cut in two is not masked.
		e.Message = "the answer was cut: " + readErr.Error()
	case answer.Status >= 200 && answer.Status <= 299:
		var backups int
		answer.Replication, backups, e.Message = taken(body, vaultID)
		answer.Replication = c.Redact.JSON(answer.Replication)
		switch {
		case answer.Replication != nil && backups > 0:
			return answer, nil
		case answer.Replication != nil:
			e.Kind, e.Message = kind.NothingToReplicate, "CBR found no backup to replicate"
		}
	}
	if e.Kind == kind.None {
		f := parseFault(body)
		answer.RequestID = cmp.Or(answer.RequestID, c.Redact.Text(f.requestID))
		e.Code = c.Redact.Text(f.code)
		if f.code != "" || e.Message == "" {
			e.Message = cmp.Or(strings.TrimSpace(c.Redact.Text(f.message)), fmt.Sprintf("CBR answered %d %s without a message", answer.Status, http.StatusText(answer.Status)))
		}
		e.Kind = kindOf(answer.Status, e.Code)
	}
	e.RequestID, e.Message = answer.RequestID, c.Redact.Text(e.Message)
	return answer, e
}

// taken reads the body of a 2xx: the object replication, how many backups it
// lists, or what is missing for it to say that the request was taken.
func taken(body []byte, vaultID string) (replication json.RawMessage, backups int, missing string) {
	var got struct {
		Replication json.RawMessage `json:"replication"`
	}
	var r struct {
		VaultID string          `json:"vault_id"`
		Backups json.RawMessage `json:"backups"`
	}
	var list []json.RawMessage
	switch {
	case json.Unmarshal(body, &got) != nil || json.Unmarshal(got.Replication, &r) != nil:
		return nil, 0, "the answer has no object replication"
	case r.VaultID == "":
		return nil, 0, "the answer names no vault"
	case !strings.EqualFold(r.VaultID, vaultID):
		return nil, 0, "the answer speaks of another vault"
	case json.Unmarshal(r.Backups, &list) != nil:
		return nil, 0, "the answer has no list of backups"
	}
	return got.Replication, len(list), ""
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
