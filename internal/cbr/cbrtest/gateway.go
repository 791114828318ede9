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
	id        string        // the last segment of the path, of operations on one thing
	from      *http.Request // whose body was read
	query     url.Values
	body      []byte
}

// A refusal is an answer of CBR, of the gateway or of IAM that is not success.
type refusal struct {
	status  int
	code    string // "" in IAM's answers, which repeat the status in its place
	message string
}

// notModelled is the answer to what the service knows and this package does not.
func notModelled(what string) *refusal {
	return &refusal{http.StatusNotImplemented, "cbrtest.NotModelled", what + " is not modelled."}
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
func (c *CBR) handle(req request) (answer, *refusal) {
	if headerTooLarge(req.from.Header) {
		return answer{}, &refusal{494, "APIGW.0201", "Request header too large"}
	}
	if len(req.body) > maxBody {
		return answer{}, &refusal{http.StatusRequestEntityTooLarge, "APIGW.0201", "Request entity too large"}
	}
	switch req.operation {
	case "":
		return answer{}, &refusal{http.StatusNotFound, "APIGW.0101", "The API does not exist or has not been published in the environment"}
	case CreateToken:
		return c.createToken(req)
	}
	if refused := c.authorize(req); refused != nil {
		return answer{}, refused
	}
	result, refused := c.operate(req)
	return answer{status: http.StatusOK, body: encode(result)}, refused
}

// operate is CBR behind the gateway.
func (c *CBR) operate(req request) (object, *refusal) {
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
	req := request{project: fold(segments[2]), id: fold(segments[len(segments)-1])}
	switch {
	case req.id == "":
	case method == http.MethodPost && path == "/v3/auth/tokens":
		req.operation = CreateToken
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
// request_id besides. Both prefixes of the gateway's codes, APIG and APIGW, are documented. IAM's form is Keystone's.
func (r refusal) answer(requestID string) answer {
	if r.code == "" {
		return answer{status: r.status, body: encode(object{"error": object{
			"code": r.status, "message": r.message, "title": http.StatusText(r.status),
		}})}
	}
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

// write sends ans, with what the fault adds to it or cuts off. After half of the body net/http has no choice but to close the
// connection.
func (c *CBR) write(w http.ResponseWriter, requestID string, ans answer, fault Fault) {
	h := w.Header()
	h.Set("Date", c.now().UTC().Format(http.TimeFormat))
	h.Set("Server", "api-gateway")
	h.Set("X-Request-Id", requestID)
	if len(ans.body) > 0 {
		h.Set("Content-Type", "application/json")
		h.Set("Content-Length", strconv.Itoa(len(ans.body)))
	}
	for _, header := range []http.Header{ans.header, fault.Header} {
		for name, values := range header {
			h[http.CanonicalHeaderKey(name)] = values
		}
	}
	w.WriteHeader(ans.status)
	body := ans.body
	if fault.Cut {
		body = body[:len(body)/2]
	}
	_, _ = w.Write(body) // the client may be gone, which is its own affair
}
