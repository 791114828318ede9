package serve

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"time"
	"unicode/utf8"

	"cbr-replicator/internal/sandbox"
)

// maxRequest is Lambda's limit for the payload of a synchronous invocation, in bytes. With what a payload adds to a
// request's body it may be over the limit; the sandbox then refuses it.
const maxRequest = 6 << 20

// apiID is the API's id in what it sends to the function.
const apiID = "a1b2c3d4e5"

// apiRequest is the payload format 2.0 of an HTTP API (API Gateway developer guide, "Create AWS Lambda proxy integrations
// for HTTP APIs").
type apiRequest struct {
	Version        string            `json:"version"`
	RouteKey       string            `json:"routeKey"`
	RawPath        string            `json:"rawPath"`
	RawQueryString string            `json:"rawQueryString"`
	Headers        map[string]string `json:"headers"`
	RequestContext apiContext        `json:"requestContext"`
	PathParameters map[string]string `json:"pathParameters,omitempty"`
	Body           string            `json:"body,omitempty"`
	IsBase64       bool              `json:"isBase64Encoded"`
}

type apiContext struct {
	AccountID    string  `json:"accountId"`
	APIID        string  `json:"apiId"`
	DomainName   string  `json:"domainName"`
	DomainPrefix string  `json:"domainPrefix"`
	HTTP         apiHTTP `json:"http"`
	RequestID    string  `json:"requestId"`
	RouteKey     string  `json:"routeKey"`
	Stage        string  `json:"stage"`
	Time         string  `json:"time"`
	TimeEpoch    int64   `json:"timeEpoch"`
}

type apiHTTP struct {
	Method    string `json:"method"`
	Path      string `json:"path"`
	Protocol  string `json:"protocol"`
	SourceIP  string `json:"sourceIp"`
	UserAgent string `json:"userAgent"`
}

// apiFault is the body of an error of Huawei's gateway, and of the function.
type apiFault struct {
	Code    string `json:"error_code"`
	Message string `json:"error_msg"`
}

// apiMessage is the body of an answer that API Gateway makes itself.
type apiMessage struct {
	Message string `json:"message"`
}

// serveAPI sends a request to the function and answers with its reply, as API Gateway does. The route is the request's pattern.
func (r *rig) serveAPI(w http.ResponseWriter, req *http.Request) {
	r.serveRoute(w, req, req.Pattern, req.URL.EscapedPath())
}

// serveRoute is serveAPI with another route and path.
func (r *rig) serveRoute(w http.ResponseWriter, req *http.Request, routeKey, path string) {
	body, err := io.ReadAll(http.MaxBytesReader(w, req.Body, maxRequest))
	if err != nil {
		refuse(w, err)
		return
	}
	host, now := apiID+".execute-api."+sandbox.Region+".amazonaws.com", time.Now().UTC()
	event := apiRequest{
		Version:        "2.0",
		RouteKey:       routeKey,
		RawPath:        path,
		RawQueryString: req.URL.RawQuery,
		Headers:        map[string]string{"host": req.Host},
		RequestContext: apiContext{
			AccountID:    sandbox.Account,
			APIID:        apiID,
			DomainName:   host,
			DomainPrefix: apiID,
			HTTP:         apiHTTP{req.Method, path, req.Proto, "127.0.0.1", req.UserAgent()},
			RequestID:    requestID(),
			RouteKey:     routeKey,
			Stage:        "$default",
			Time:         now.Format("02/Jan/2006:15:04:05 -0700"),
			TimeEpoch:    now.UnixMilli(),
		},
		Body: string(body),
	}
	for name, values := range req.Header {
		event.Headers[strings.ToLower(name)] = strings.Join(values, ",")
	}
	if project := req.PathValue("project_id"); project != "" {
		event.PathParameters = map[string]string{"project_id": project}
	}
	if !utf8.Valid(body) {
		event.Body, event.IsBase64 = base64.StdEncoding.EncodeToString(body), true
	}
	response, err := r.invoke("HTTP "+req.Method+" "+req.URL.EscapedPath(), encode(event))
	if err != nil {
		answer(w, http.StatusServiceUnavailable, apiMessage{"Service Unavailable"})
		return
	}
	var reply struct {
		StatusCode int               `json:"statusCode"`
		Headers    map[string]string `json:"headers"`
		Body       string            `json:"body"`
		IsBase64   bool              `json:"isBase64Encoded"`
	}
	// API Gateway makes a 200 of a reply without a status. This function always gives one, so a reply without one is an error.
	if response.Error != nil || json.Unmarshal(response.Payload, &reply) != nil || reply.StatusCode < 200 || reply.StatusCode > 599 {
		answer(w, http.StatusInternalServerError, apiMessage{"Internal Server Error"})
		return
	}
	content := []byte(reply.Body)
	if reply.IsBase64 {
		if content, err = base64.StdEncoding.DecodeString(reply.Body); err != nil {
			answer(w, http.StatusInternalServerError, apiMessage{"Internal Server Error"})
			return
		}
	}
	for name, value := range reply.Headers {
		w.Header().Set(name, value)
	}
	w.WriteHeader(reply.StatusCode)
	_, _ = w.Write(content) // the client may be gone
}

// serveInvocation is what AWS's Runtime Interface Emulator offers: the function's Invoke API. The path and the header are
// AWS's (Lambda API reference, Invoke).
func (r *rig) serveInvocation(w http.ResponseWriter, req *http.Request) {
	payload, err := io.ReadAll(http.MaxBytesReader(w, req.Body, maxRequest))
	if err != nil {
		refuse(w, err)
		return
	}
	if !json.Valid(payload) {
		w.Header().Set("X-Amzn-Errortype", "InvalidRequestContentException")
		answer(w, http.StatusBadRequest, map[string]string{
			"Type": "User", "Message": "Could not parse request body into json",
		})
		return
	}
	response, err := r.invoke("Payload sent to the function", payload)
	if err != nil {
		answer(w, http.StatusServiceUnavailable, map[string]string{"Type": "Service", "Message": err.Error()})
		return
	}
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("X-Amzn-Requestid", response.RequestID)
	h.Set("X-Amz-Executed-Version", "$LATEST")
	if response.Error != nil {
		h.Set("X-Amz-Function-Error", "Unhandled")
	}
	_, _ = w.Write(response.Payload)
}

// refuse answers a request whose body could not be read.
func refuse(w http.ResponseWriter, err error) {
	if tooLarge := (*http.MaxBytesError)(nil); errors.As(err, &tooLarge) {
		answer(w, http.StatusRequestEntityTooLarge, apiMessage{"Request Entity Too Large"})
		return
	}
	answer(w, http.StatusBadRequest, apiMessage{"Bad Request"})
}

// serveUnknown refuses an unknown address as Huawei's gateway does (API Gateway error code table, 0101), and names the page's
// address.
func serveUnknown(w http.ResponseWriter, req *http.Request) {
	answer(w, http.StatusNotFound, apiFault{
		"APIG.0101", "The API does not exist or has not been published in the environment. The page is at http://" + req.Host + "/",
	})
}

// answer answers with a JSON document.
func answer(w http.ResponseWriter, status int, document any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(encode(document)) // the client may be gone
}

// requestID makes an id of the form of API Gateway's.
func requestID() string {
	id := make([]byte, 11)
	_, _ = rand.Read(id) // documented never to fail
	return base64.StdEncoding.EncodeToString(id)
}
