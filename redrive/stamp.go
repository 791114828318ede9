package main

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"cbr-replicator/internal/cbr"
)

// maxEnvelopes is how many the function takes a request out of (package events).
const maxEnvelopes = 4

// request is what the screen shows of a request. What is missing or not of its
// form is a hyphen.
type request struct{ vault, requestedAt string }

// stamp returns a body whose request has requested_at, at unless it has one
// already. The request may be in envelopes. All else stays as it is: only the
// strings that the request is in are written anew. The error says why a body
// cannot be understood, without any of it; the body is then returned as it is.
func stamp(body []byte, at time.Time) ([]byte, request, error) {
	stamped, r, err := stampWithin(body, at, maxEnvelopes)
	if err != nil {
		return body, request{}, err
	}
	return stamped, r, nil
}

func stampWithin(text []byte, at time.Time, envelopes int) ([]byte, request, error) {
	o, err := parse(text)
	if err != nil {
		return nil, request{}, err
	}
	name := o.carrier()
	found := o.named(name)
	switch {
	case name == "":
		return stampRequest(o, at)
	case envelopes == 0:
		return nil, request{}, fmt.Errorf("its request is in more than %d envelopes", maxEnvelopes)
	case len(found) != 1: // the function would take the last; that is not for this command to settle
		return nil, request{}, fmt.Errorf("its envelope has %d fields named %s", len(found), name)
	}
	m := found[0]
	inner, seal, err := open(m.value, name == dataBase64)
	if err != nil {
		return nil, request{}, err
	}
	stamped, r, err := stampWithin(inner, at, envelopes-1)
	if err != nil || bytes.Equal(stamped, inner) {
		return text, r, err
	}
	return slices.Concat(text[:m.at], seal(stamped), text[m.at+len(m.value):]), r, nil
}

// stampRequest is strict, as the function is with requests: an object that has
// a field of its own may be a form of event that this command does not know.
func stampRequest(o object, at time.Time) ([]byte, request, error) {
	r := request{vault: "-"}
	for _, m := range o.members {
		switch m.name {
		case "project_id", "region", "correlation_id":
		case "replicate":
			r.vault = vaultOf(m.value)
		case "requested_at":
			r.requestedAt = timeOf(m.value)
		default:
			return nil, request{}, errors.New("its body has a field that no request has")
		}
	}
	if r.requestedAt != "" {
		return o.text, r, nil
	}
	r.requestedAt = at.UTC().Format(time.RFC3339Nano)
	field := `"requested_at":"` + r.requestedAt + `"`
	if len(o.members) > 0 {
		field += ","
	}
	start := bytes.IndexByte(o.text, '{') + 1
	return slices.Concat(o.text[:start], []byte(field), o.text[start:]), r, nil
}

func vaultOf(replicate []byte) string {
	var r struct {
		VaultID string `json:"vault_id"`
	}
	if json.Unmarshal(replicate, &r) != nil || !cbr.IsVaultID(r.VaultID) {
		return "-"
	}
	return r.VaultID
}

func timeOf(value []byte) string {
	var t time.Time
	if json.Unmarshal(value, &t) != nil || t.IsZero() {
		return "-"
	}
	return t.Format(time.RFC3339Nano)
}

// object is a JSON object with its text.
type object struct {
	text    []byte
	members []member
}

type member struct {
	name  string
	value []byte
	at    int // where value is in the object's text
}

// parse reads an object. Its members are in their order, doubles included.
func parse(text []byte) (object, error) {
	d := json.NewDecoder(bytes.NewReader(text))
	if first, _ := d.Token(); !json.Valid(text) || first != json.Delim('{') {
		return object{}, errors.New("its body is no JSON object, or carries none")
	}
	o := object{text: text}
	for d.More() {
		name, _ := d.Token() // a string, since text is valid
		var value json.RawMessage
		if err := d.Decode(&value); err != nil {
			return object{}, fmt.Errorf("its body cannot be read: %w", err)
		}
		o.members = append(o.members, member{name.(string), value, int(d.InputOffset()) - len(value)})
	}
	return o, nil
}

func (o object) has(name string) bool {
	return slices.ContainsFunc(o.members, func(m member) bool { return m.name == name })
}

// named returns the members that the function would take for that of an envelope
// with this name: in any case.
func (o object) named(name string) []member {
	var found []member
	for _, m := range o.members {
		if strings.EqualFold(m.name, name) {
			found = append(found, m)
		}
	}
	return found
}

const dataBase64 = "data_base64"

// carrier names the member that the request is in, empty in the request itself.
// The forms are told apart in the function's order (package events).
func (o object) carrier() string {
	switch {
	case o.has("Type") && o.has("Message"): // an SNS notification
		return "Message"
	case o.has("requestContext") && o.has("requestPayload"): // a Lambda destination record
		return "requestPayload"
	case o.has("detail-type"): // an EventBridge event
		return "detail"
	case o.has("specversion") && len(o.named("data")) == 0: // a CloudEvent
		return dataBase64
	case o.has("specversion"):
		return "data"
	}
	return ""
}

// open returns the text that a value carries, and what makes such a value of a
// text.
func open(value []byte, isBase64 bool) (inner []byte, seal func([]byte) []byte, err error) {
	if value[0] != '"' {
		return value, func(text []byte) []byte { return text }, nil
	}
	var s string
	if err := json.Unmarshal(value, &s); err != nil {
		return nil, nil, fmt.Errorf("its body cannot be read: %w", err)
	}
	if !isBase64 {
		return []byte(s), quote, nil
	}
	if inner, err = base64.StdEncoding.DecodeString(s); err != nil {
		return nil, nil, errors.New("its data_base64 is no base64")
	}
	return inner, func(text []byte) []byte { return quote([]byte(base64.StdEncoding.EncodeToString(text))) }, nil
}

// quote writes a JSON string that is as close to the usual as encoding/json gets.
func quote(text []byte) []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	_ = e.Encode(string(text)) // a string always encodes
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}
