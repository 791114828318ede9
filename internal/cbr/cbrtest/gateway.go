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

// A request is what the gateway passes to an operation.
type request struct {
	operation string // empty for a path that is not an API's
	project   string
	id        string        // of the resource, for an operation on one
	from      *http.Request // its body has been read
	query     url.Values
	body      []byte
}

// A refusal is an answer of CBR, of the gateway or of IAM that is not success.
type refusal struct {
	status  int
	code    string // empty in IAM's answers, which repeat the status instead
	message string
}

// notModelled is the answer to a request that the service may know and this package does not.
func notModelled(what string) *refusal {
	return &refusal{http.StatusNotImplemented, "cbrtest.NotModelled", what + " is not modelled."}
}

// An answer is what is sent to the client. The zero answer is no answer.
type answer struct {
	status int
	code   string
	header http.Header
	body   []byte
}

// handle passes a request through the gateway to its operation. Inferred: the gateway checks the size first and the token last.
func (c *CBR) handle(req request) (answer, *refusal) {
	if refused := tooLarge(req); refused != nil {
		return answer{}, refused
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

// Admit is the gateway in front of another service of the same account, for stand-ins of that service. The body of r was read.
// Admit checks the gateway's limits, and the token or the signature for the project. If it returns false, it has answered.
func (c *CBR) Admit(w http.ResponseWriter, r *http.Request, project string, body []byte) bool {
	req := request{project: project, from: r, query: r.URL.Query(), body: body}
	refused, id := c.admit(req)
	if refused == nil {
		return true
	}
	c.write(w, id, refused.answer(id), Fault{})
	return false
}

func (c *CBR) admit(req request) (refused *refusal, requestID string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.requests++
	requestID = hexID("request", strconv.Itoa(c.requests))
	if refused = tooLarge(req); refused == nil {
		refused = c.authorize(req)
	}
	return refused, requestID
}

// operate calls the operation of CBR, behind the gateway.
func (c *CBR) operate(req request) (object, *refusal) {
	switch req.operation {
	case CopyCheckpoint:
		return c.copyCheckpoint(req.project, req.body)
	case CopyBackup:
		return c.copyBackup(req.project, req.id, req.body)
	case ListBackups:
		return c.listBackups(req.project, req.query)
	case ShowBackup:
		return c.showBackup(req.project, req.id)
	case ListVault:
		return c.listVaults(req.project, req.query)
	case ShowReplicationCapabilities:
		return c.showReplicationCapabilities(req.project), nil
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
	case method == http.MethodPost && len(segments) == 6 && segments[3] == "backups" && segments[4] != "" && segments[5] == "replicate":
		req.operation, req.id = CopyBackup, fold(segments[4])
	case method != http.MethodGet || len(segments) > 5:
	case len(segments) == 4 && segments[3] == "backups":
		req.operation = ListBackups
	case len(segments) == 5 && segments[3] == "backups":
		req.operation = ShowBackup
	case len(segments) == 4 && segments[3] == "vaults":
		req.operation = ListVault
	case len(segments) == 4 && segments[3] == "replication-capabilities":
		req.operation = ShowReplicationCapabilities
	case len(segments) == 5 && segments[3] == "vaults":
		req.operation = ShowVault
	}
	return req
}

// tooLarge is the gateway's answer to a request that is over its limits, nil to one that is not.
func tooLarge(req request) *refusal {
	if headerTooLarge(req.from.Header) {
		return &refusal{494, "APIGW.0201", "Request header too large"}
	}
	if len(req.body) > maxBody {
		return &refusal{http.StatusRequestEntityTooLarge, "APIGW.0201", "Request entity too large"}
	}
	return nil
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

// answer writes the refusal in the form that belongs to its code: {"error_code","error_msg"} for CBR's, with a request_id for the
// gateway's. The gateway's codes have two documented prefixes, APIG and APIGW. IAM has no code and uses Keystone's form.
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

// encode cannot fail: an answer holds only strings, numbers, booleans and nulls.
func encode(v object) []byte {
	body, _ := json.Marshal(v)
	return body
}

// write sends ans with the fault's header. If the fault cuts it, only half of the body is sent, and net/http closes the
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
	_, _ = w.Write(body) // an error means that the client is gone
}
