package cbrtest

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strconv"
	"strings"
)

// The gateway's limits (API Gateway error code table, 0201), in bytes.
const (
	maxHeaderLine = 32 << 10
	maxHeader     = 128 << 10
	maxBody       = 12 << 20
)

// A request is what the gateway hands to an operation.
type request struct {
	operation string // "" for a path that is no API's
	project   string
	id        string // the last segment of the path, of operations on one thing
	query     url.Values
	header    http.Header
	body      []byte
}

// A refusal is an answer of CBR or of the gateway that is not success.
type refusal struct {
	status  int
	code    string
	message string
}

// An answer is what goes back on the wire; the zero answer is none.
type answer struct {
	status int
	code   string
	header http.Header
	body   []byte
}

// handle is the way through the gateway to an operation. That the gateway looks at the size first and at the token last is
// inferred.
func (c *CBR) handle(req request) (object, *refusal) {
	if headerTooLarge(req.header) {
		return nil, &refusal{494, "APIGW.0201", "Request header too large"}
	}
	if len(req.body) > maxBody {
		return nil, &refusal{http.StatusRequestEntityTooLarge, "APIGW.0201", "Request entity too large"}
	}
	if req.operation == "" {
		return nil, &refusal{http.StatusNotFound, "APIGW.0101", "The API does not exist or has not been published in the environment"}
	}
	if refused := c.authorize(req.header.Get("X-Auth-Token"), req.project); refused != nil {
		return nil, refused
	}
	switch req.operation {
	case CopyCheckpoint:
		return c.copyCheckpoint(req.project, req.body)
	case ListBackups:
		return c.listBackups(req.project, req.query)
	case ShowBackup:
		return c.showBackup(req.project, req.id)
	default:
		return c.showVault(req.project, req.id)
	}
}

// route finds the operation of a path. The gateway knows an API by its method and path together (table, 0101).
func route(method, path string) request {
	segments := strings.Split(path, "/")
	if len(segments) < 4 || segments[0] != "" || segments[1] != "v3" || segments[2] == "" {
		return request{}
	}
	req := request{project: segments[2], id: segments[len(segments)-1]}
	switch {
	case req.id == "":
	case method == http.MethodPost && strings.Join(segments[3:], "/") == "checkpoints/replicate":
		req.operation = CopyCheckpoint
	case method != http.MethodGet || len(segments) > 5:
	case len(segments) == 4 && segments[3] == "backups":
		req.operation = ListBackups
	case len(segments) == 5 && segments[3] == "backups":
		req.operation = ShowBackup
	case len(segments) == 5 && segments[3] == "vaults":
		req.operation = ShowVault
	}
	return req
}

// headerTooLarge reports whether one header, or all of them, is over the gateway's limit.
func headerTooLarge(header http.Header) bool {
	total := 0
	for name, values := range header {
		for _, value := range values {
			line := len(name) + len(": ") + len(value)
			if line > maxHeaderLine {
				return true
			}
			total += line
		}
	}
	return total > maxHeader
}

// answer puts the refusal in the form of whose code it is: {"error_code","error_msg"} is CBR's, and the gateway's has a
// request_id besides. Both prefixes of the gateway's codes, APIG and APIGW, are documented.
func (r refusal) answer(requestID string) answer {
	body := object{"error_code": r.code, "error_msg": r.message}
	if strings.HasPrefix(r.code, "APIG") {
		body["request_id"] = requestID
	}
	return answer{status: r.status, code: r.code, body: encode(body)}
}

// encode cannot fail: an answer holds strings, numbers, booleans and nulls only.
func encode(v object) []byte {
	body, _ := json.Marshal(v)
	return body
}

// write sends ans. Cut, it sends half of the body and then leaves net/http no choice but to close the connection.
func (c *CBR) write(w http.ResponseWriter, requestID string, ans answer, cut bool) {
	h := w.Header()
	h.Set("Date", c.now().UTC().Format(http.TimeFormat))
	h.Set("Server", "api-gateway")
	h.Set("X-Request-Id", requestID)
	if len(ans.body) > 0 {
		h.Set("Content-Type", "application/json")
		h.Set("Content-Length", strconv.Itoa(len(ans.body)))
	}
	for name, values := range ans.header {
		h[http.CanonicalHeaderKey(name)] = values
	}
	w.WriteHeader(ans.status)
	body := ans.body
	if cut {
		body = body[:len(body)/2]
	}
	_, _ = w.Write(body) // the client may be gone, which is its own affair
}
