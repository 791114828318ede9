// Package smn publishes to topics of Huawei Cloud's Simple Message Notification
// (SMN API reference, "PublishMessage").
package smn

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"cbr-replicator/internal/huawei"
	"cbr-replicator/internal/kind"
)

const (
	// Service is SMN in a host's name.
	Service = "smn"
	// Form is that of a topic's URN.
	Form = "urn:smn:REGION:PROJECT:NAME"

	// MaxMessage bounds a message's text, in bytes (SMN API reference,
	// "PublishMessage").
	MaxMessage = 256 << 10
	// MaxAttributes bounds how many attributes a message has (ibid.).
	MaxAttributes = 10

	maxAnswer = 64 << 10
	// maxName bounds a topic's name (SMN FAQ, "Requirements for an SMN Topic
	// Name").
	maxName = 255
	// timeToLive is how long SMN tries to deliver a message, in seconds: as long
	// as it may be, since nobody else keeps it. SMN takes it as a text, and an hour
	// without one.
	timeToLive = "86400"
)

// codes are those whose meaning does not follow from the HTTP status. All others
// of SMN's own under 500 say what does not pass by itself, and 403 is a code of
// many meanings, such as a message that is not valid (.0009): none of them is
// about the credential itself (SMN API reference, "Error Codes", the same at
// Huawei and OTC).
var codes = huawei.Codes{Prefix: "SMN.", Known: []huawei.Meaning{
	{Code: "SMN.0016", Kind: kind.Unavailable, Statuses: []int{500}}, // database exception
	{Code: "SMN.0018", Kind: kind.Unavailable, Statuses: []int{500}}, // internal error
	{Code: "SMN.0019", Kind: kind.Unavailable},                       // "producer exception", which no sender can mend, but sent as 400
	{Code: "SMN.0089", Kind: kind.Unavailable, Statuses: []int{500}}, // of the billing system, "Try again later"
}}

// passing is in the text of what passes: topics have a flow control, 3,000
// messages a minute, with codes that are in no published table (SMN user guide,
// "Resilience"; newer error codes end in "please try again later").
const passing = "try again later"

// URN names a topic.
type URN struct {
	Scope huawei.Scope
	text  string
}

// ParseURN reads a topic's URN. A subscription's has one more part.
func ParseURN(text string) (u URN, ok bool) {
	parts := strings.Split(text, ":")
	if len(parts) != 5 || parts[0] != "urn" || parts[1] != Service {
		return URN{}, false
	}
	u = URN{Scope: huawei.Scope{Region: parts[2], ProjectID: strings.ToLower(parts[3])}, text: text}
	return u, huawei.IsRegion(parts[2]) && huawei.IsProjectID(parts[3]) && isName(parts[4])
}

// String returns the URN as it was written.
func (u URN) String() string { return u.text }

// isName reports whether s is letters, digits, hyphens and underscores.
func isName(s string) bool {
	for i := range len(s) {
		if c := s[i]; c != '-' && c != '_' && !isAlphanumeric(c) {
			return false
		}
	}
	return 1 <= len(s) && len(s) <= maxName
}

func isAlphanumeric(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
}

// Message is what a topic takes.
type Message struct {
	// Text is UTF-8, at most MaxMessage bytes.
	Text string
	// Attributes are at most MaxAttributes, of which [Attribute.Fits].
	Attributes []Attribute
}

// Attribute is what subscriptions filter by.
type Attribute struct{ Name, Value string }

// maxAttribute bounds an attribute's name and its value, in characters.
const maxAttribute = 32

// Fits reports whether an attribute is of SMN's alphabet: in its name small
// letters, digits and single underscores within, in its value letters, digits
// and underscores, 1 to 32 of them (SMN API reference, "PublishMessage"). Names
// that begin with smn_ are SMN's own.
func (a Attribute) Fits() bool {
	if n := len(a.Name); n < 1 || n > maxAttribute || a.Name[0] == '_' || a.Name[n-1] == '_' ||
		strings.Contains(a.Name, "__") || strings.HasPrefix(a.Name, "smn_") || a.Name != strings.ToLower(a.Name) {
		return false
	}
	return len(a.Value) >= 1 && len(a.Value) <= maxAttribute && isWord(a.Name) && isWord(a.Value)
}

func isWord(s string) bool {
	for i := range len(s) {
		if c := s[i]; c != '_' && !isAlphanumeric(c) {
			return false
		}
	}
	return true
}

// Client publishes, each message once. It is safe for concurrent use.
type Client struct{ huawei.Service }

// NewClient returns a client that makes its calls as s says, whose name, version
// and codes it sets.
func NewClient(s huawei.Service) *Client {
	s.Name, s.Version, s.Codes = "SMN", "v2", codes
	return &Client{Service: s}
}

// request is PublishMessage's.
type request struct {
	Message    string      `json:"message"`
	TimeToLive string      `json:"time_to_live"`
	Attributes []attribute `json:"message_attributes,omitempty"`
}

type attribute struct {
	Name  string `json:"name"`
	Type  string `json:"type"`
	Value string `json:"value"`
}

// Publish makes one call. The error is a *kind.Error, by SMN's code or the
// gateway's. SMN has no order and drops no duplicates: one whose answer was lost
// (Unknown) may be there twice after another call.
func (c *Client) Publish(ctx context.Context, topic URN, m Message) error {
	in := request{Message: m.Text, TimeToLive: timeToLive}
	for _, a := range m.Attributes {
		in.Attributes = append(in.Attributes, attribute{a.Name, "STRING", a.Value})
	}
	body, err := json.Marshal(in)
	if err != nil {
		return fmt.Errorf("encode the message: %w", err)
	}
	// Its colons escaped, as the vendor's own clients send it.
	path := "/notifications/topics/" + url.QueryEscape(topic.text) + "/publish"
	_, err = c.Call(ctx, topic.Scope, http.MethodPost, path, body, func(resp *http.Response) error {
		raw, err := huawei.ReadAll(resp.Body, maxAnswer)
		if err != nil || resp.StatusCode < 200 || resp.StatusCode > 299 {
			return c.judge(resp, raw, err)
		}
		var out struct {
			MessageID string `json:"message_id"`
		}
		if json.Unmarshal(raw, &out) != nil || out.MessageID == "" {
			return c.Fault(resp, raw, nil, "the answer names no message")
		}
		return nil
	})
	return err
}

// judge reads an error's answer. readErr is what went wrong while its body was
// read.
func (c *Client) judge(resp *http.Response, body []byte, readErr error) *kind.Error {
	e := c.Fault(resp, body, readErr, "")
	if e.Kind == kind.Rejected && strings.Contains(strings.ToLower(e.Message), passing) {
		e.Kind = kind.Throttled
	}
	return e
}
