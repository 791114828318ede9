package sandbox

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"cbr-replicator/internal/cbr/cbrtest"
)

// Limits of SMN (SMN API reference, "PublishMessage"). That 256 KB are 262,144 bytes is inferred.
const (
	maxSMNMessage    = 256 << 10
	maxSMNSubject    = 512
	maxSMNAttributes = 10
	maxSMNLife       = 86_400
)

// Names and values of message attributes (SMN API reference, "PublishMessage"; its value is Chinese letters, too).
var (
	smnName  = regexp.MustCompile(`^[a-z0-9]([a-z0-9_]{0,30}[a-z0-9])?$`)
	smnValue = regexp.MustCompile(`^[\p{Han}A-Za-z0-9_]{1,32}$`)
)

// SMNFault is how a topic fails one call, instead of or besides taking it.
type SMNFault struct {
	// Status, Code and Text refuse the call as SMN does. An empty Text is "scripted".
	Status     int
	Code, Text string
	// Reset cuts the connection before the call is taken.
	Reset bool
	// AnswerLost takes the message, then cuts the connection: the caller cannot know that the call was taken.
	AnswerLost bool
	// Delay comes before everything else.
	Delay time.Duration
}

// SMNMessage is what a topic took.
type SMNMessage struct {
	ID, Subject, Message string
	Attributes           map[string]string
	Path, Body           string // of the call, as sent
	Header               http.Header
}

// SMNTopic is a topic of Huawei Cloud's Simple Message Notification, on 127.0.0.1. It does PublishMessage with a text, for
// callers that the account's gateway lets through, signed or with a token, and holds them to SMN's limits. It has no order beyond
// that of the calls and drops no duplicates. Safe for concurrent use.
type SMNTopic struct {
	script[SMNFault]
	account *cbrtest.CBR
	name    string
	server  *server

	mu       sync.Mutex
	messages []SMNMessage
	inFlight int
	peak     int
}

// NewSMNTopic starts a topic in the account's source project.
func NewSMNTopic(name string, account *cbrtest.CBR) (*SMNTopic, error) {
	t := &SMNTopic{account: account, name: name}
	var err error
	if t.server, err = serve(http.HandlerFunc(t.serve)); err != nil {
		return nil, fmt.Errorf("serving SMN: %w", err)
	}
	return t, nil
}

// Close ends the topic's server.
func (t *SMNTopic) Close() { t.server.close() }

// URN is the topic's URN.
func (t *SMNTopic) URN() string {
	return "urn:smn:" + cbrtest.SourceRegion + ":" + cbrtest.SourceProject + ":" + t.name
}

// URL is for HW_SMN_ENDPOINT.
func (t *SMNTopic) URL() string { return "http://" + t.server.addr }

// Messages returns what the topic took, in order.
func (t *SMNTopic) Messages() []SMNMessage {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Clone(t.messages)
}

// PeakInFlight returns how many calls were under way at once at most.
func (t *SMNTopic) PeakInFlight() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.peak
}

func (t *SMNTopic) enter(n int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.inFlight += n
	t.peak = max(t.peak, t.inFlight)
}

// smnAttribute is one of a message's; a STRING's value is a string.
type smnAttribute struct {
	Name, Type string
	Value      any
}

// smnPublish is PublishMessage's body, as far as it is modelled.
type smnPublish struct {
	Subject    string         `json:"subject"`
	Message    *string        `json:"message"`
	TimeToLive *string        `json:"time_to_live"`
	Attributes []smnAttribute `json:"message_attributes"`
}

// smnPath is that of PublishMessage, with the colons of the URN escaped or not.
var smnPath = regexp.MustCompile(`^/v2/([^/]+)/notifications/topics/([^/]+)/publish$`)

func (t *SMNTopic) serve(w http.ResponseWriter, r *http.Request) {
	t.enter(1)
	leave := sync.OnceFunc(func() { t.enter(-1) })
	defer leave()
	fault := t.next()
	// First of all, because net/http sees a caller go only once the body is read.
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxPayload))
	if err != nil || !wait(r, fault.Delay) {
		return
	}
	if fault.Reset {
		cut()
	}
	// A caller may make its next call the moment it has its answer: this one must not still count then.
	leave()
	path := smnPath.FindStringSubmatch(r.URL.Path)
	switch {
	case fault.Status != 0:
		refuseSMN(w, fault.Status, fault.Code, cmp.Or(fault.Text, "scripted"))
		return
	case r.Method != http.MethodPost || path == nil:
		refuseSMN(w, http.StatusNotFound, "APIGW.0101", "The API does not exist or has not been published in the environment")
		return
	case !t.account.Admit(w, r, path[1], body):
		return
	}
	m, status, code, text := t.check(r, path[1], path[2], body)
	if status != 0 {
		refuseSMN(w, status, code, text)
		return
	}
	t.mu.Lock()
	t.messages = append(t.messages, m)
	t.mu.Unlock()
	if fault.AnswerLost {
		cut()
	}
	answerSMN(w, http.StatusOK, map[string]string{"request_id": randomHex(16), "message_id": m.ID})
}

// check reads a call, and says what is wrong with it. Codes and texts are those of the SMN API reference, "Error Codes"; of
// attributes and the time to live it has none, so that theirs are inferred.
func (t *SMNTopic) check(r *http.Request, project, urn string, body []byte) (m SMNMessage, status int, code, text string) {
	var call smnPublish
	decoder := json.NewDecoder(bytes.NewReader(body))
	decoder.DisallowUnknownFields()
	invalid := func(name string) (SMNMessage, int, string, string) {
		return SMNMessage{}, http.StatusBadRequest, "SMN.0046", "Parameter: " + name + " is invalid."
	}
	switch err := decoder.Decode(&call); {
	case err != nil && strings.Contains(err.Error(), "unknown field"):
		return m, http.StatusNotImplemented, "sandbox.NotModelled", err.Error()
	case err != nil:
		return invalid("body")
	case !strings.HasPrefix(strings.ToLower(r.Header.Get("Content-Type")), "application/json"):
		return m, http.StatusUnsupportedMediaType, "SMN.0126", "ContentType is wrong."
	case !strings.HasPrefix(urn, "urn:smn:"):
		return m, http.StatusBadRequest, "SMN.0005", "Parameter: TopicUrn is invalid."
	case urn != t.URN() || project != cbrtest.SourceProject:
		return m, http.StatusNotFound, "SMN.0006", "Topic not found."
	case len(call.Subject) > maxSMNSubject:
		return m, http.StatusForbidden, "SMN.0008", "Parameter: Subject is invalid."
	case call.Message == nil || *call.Message == "" || len(*call.Message) > maxSMNMessage || !utf8.ValidString(*call.Message):
		return m, http.StatusForbidden, "SMN.0009", "Parameter: Message is invalid."
	case len(call.Attributes) > maxSMNAttributes:
		return invalid("message_attributes")
	}
	if call.TimeToLive != nil {
		if n, err := strconv.Atoi(*call.TimeToLive); err != nil || n < 1 || n > maxSMNLife {
			return invalid("time_to_live")
		}
	}
	attributes := map[string]string{}
	for _, a := range call.Attributes {
		value, isText := a.Value.(string)
		_, twice := attributes[a.Name]
		switch {
		case a.Type == "STRING_ARRAY" || a.Type == "PROTOCOL":
			return m, http.StatusNotImplemented, "sandbox.NotModelled", "attributes of type " + a.Type
		case a.Type != "STRING", twice, !smnName.MatchString(a.Name), strings.Contains(a.Name, "__"), strings.HasPrefix(a.Name, "smn_"),
			!isText || !smnValue.MatchString(value):
			return invalid("message_attributes")
		}
		attributes[a.Name] = value
	}
	return SMNMessage{
		ID: randomHex(16), Subject: call.Subject, Message: *call.Message, Attributes: attributes,
		Path: r.URL.EscapedPath(), Body: string(body), Header: r.Header.Clone(),
	}, 0, "", ""
}

// refuseSMN is an error's answer of SMN.
func refuseSMN(w http.ResponseWriter, status int, code, text string) {
	answerSMN(w, status, map[string]string{"request_id": randomHex(16), "code": code, "message": text})
}

func answerSMN(w http.ResponseWriter, status int, answer any) {
	w.Header().Set("Content-Type", "application/json;charset=UTF-8")
	w.Header().Set("X-Request-Id", randomHex(16))
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(answer) // fails only if the caller is gone
}
