package sandbox

import (
	"encoding/json"
	"io"
	"net/http"
	"regexp"
	"strings"
	"time"
)

// jsonProtocol is the protocol of AWS's newer services (Smithy, "AWS JSON 1.0 protocol" and "AWS JSON 1.1 protocol").
type jsonProtocol struct {
	version string // 1.0 or 1.1
	service string // as a signature's scope names it
	target  string // what stands before the action in X-Amz-Target
	text    string // the key of an error's text, which differs between services
}

// outage is the part of a fault that concerns the call, not one of its entries.
type outage struct {
	status int
	code   string
	reset  bool
	delay  time.Duration
}

// signed is the Authorization header of a request that is signed for the sandbox's region (IAM user guide, "Create a
// signed AWS API request"). It ends before the signature itself: the sandbox has no keys to check that with.
var signed = regexp.MustCompile(`^AWS4-HMAC-SHA256 Credential=[^/]+/[0-9]{8}/` + Region + `/([a-z]+)/aws4_request, ?SignedHeaders=[^,]+, ?Signature=`)

// serve has the function for a call's action answer the call, with the call's body.
func (p jsonProtocol) serve(w http.ResponseWriter, r *http.Request, o outage, actions map[string]func(body []byte)) {
	action, body, ok := p.open(w, r, o)
	if !ok {
		return
	}
	act := actions[action]
	if act == nil {
		p.refuse(w, http.StatusBadRequest, "UnknownOperationException", "the sandbox has no action "+action)
		return
	}
	act(body)
}

// decode reads a body into call. It answers a body that cannot be read, and returns false.
func (p jsonProtocol) decode(w http.ResponseWriter, body []byte, call any) (ok bool) {
	if err := json.Unmarshal(body, call); err != nil {
		p.refuse(w, http.StatusBadRequest, "SerializationException", err.Error())
		return false
	}
	return true
}

// answer answers a call that was done, unless the answer is to be lost.
func (p jsonProtocol) answer(w http.ResponseWriter, answer any, lost bool) {
	if lost {
		cut()
	}
	p.respond(w, http.StatusOK, answer)
}

// open reads a call and returns what it asks for. A call that meets an outage, is not signed or is none of the service's
// gets its answer here, if any; ok is then false.
func (p jsonProtocol) open(w http.ResponseWriter, r *http.Request, o outage) (action string, body []byte, ok bool) {
	// First of all, because net/http sees a caller go only once the body is read.
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxPayload))
	if err != nil || !wait(r, o.delay) {
		return "", nil, false
	}
	if o.reset {
		cut()
	}
	authorization := r.Header.Get("Authorization")
	scope := signed.FindStringSubmatch(authorization)
	action, ours := strings.CutPrefix(r.Header.Get("X-Amz-Target"), p.target+".")
	switch {
	case o.status != 0:
		p.refuse(w, o.status, o.code, "scripted")
	case authorization == "":
		p.refuse(w, http.StatusBadRequest, "MissingAuthenticationTokenException", "Missing Authentication Token")
	case scope == nil || scope[1] != p.service:
		p.refuse(w, http.StatusBadRequest, "InvalidSignatureException", "Credential should be scoped to "+Region+" and "+p.service)
	case r.Method != http.MethodPost || r.URL.Path != "/" || r.Header.Get("Content-Type") != "application/x-amz-json-"+p.version || !ours:
		p.refuse(w, http.StatusBadRequest, "UnknownOperationException", "the sandbox expects POST /, AWS JSON "+p.version+" and a target "+p.target)
	default:
		return action, body, true
	}
	return "", nil, false
}

func (p jsonProtocol) refuse(w http.ResponseWriter, status int, code, text string) {
	p.respond(w, status, map[string]string{"__type": code, p.text: text})
}

func (p jsonProtocol) respond(w http.ResponseWriter, status int, answer any) {
	w.Header().Set("Content-Type", "application/x-amz-json-"+p.version)
	w.Header().Set("X-Amzn-Requestid", newUUID())
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(answer) // fails only if the caller is gone
}
