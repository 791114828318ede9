package redrive

import (
	"bytes"
	"cmp"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"cbr-replicator/internal/cbr"
	"cbr-replicator/internal/kind"
)

// maxEnvelopes is how many envelopes of a request the function opens (package
// events).
const maxEnvelopes = 4

// request is what the screen shows of a request. A hyphen stands for what is
// missing or has the wrong form.
type request struct {
	vault, requestedAt string
	// backup is only of a request for a single one. plan and check are what else a
	// request may be.
	backup      string
	plan, check bool
	// acceptedAt is only of an accepted result, which is followed to the end of its
	// copies and is no request.
	acceptedAt string
}

// about is the request for the screen.
func (r request) about() string {
	if r.acceptedAt != "" {
		return r.what() + ", accepted_at " + r.acceptedAt
	}
	return r.what() + ", requested_at " + r.requestedAt
}

// what names what a request is for.
func (r request) what() string {
	of := "vault " + r.vault
	switch {
	case r.plan:
		of = "a plan"
	case r.backup != "":
		of = "backup " + r.backup
	}
	if r.check {
		return "check of " + of
	}
	return of
}

// acceptedType is the type of accepted results.
const acceptedType = kind.EventTypePrefix + string(kind.Accepted) + ".v1"

// stamp adds requested_at to the request of a body, unless it has one. The request
// may be in envelopes. All else stays as it is: only the strings that the request is
// in are written anew. An accepted result is not changed at all: its time is in it, so
// it is followed on from where it was. If a body cannot be read, it is returned as it
// is; the error says why, without any part of the body.
func stamp(body []byte, at time.Time) ([]byte, request, error) {
	stamped, r, err := stampWithin(body, at, maxEnvelopes)
	if err != nil {
		return body, request{}, err
	}
	return stamped, r, nil
}

func stampWithin(text []byte, at time.Time, envelopes int) ([]byte, request, error) {
	return inStrings(maxEnvelopes, func(text []byte) ([]byte, request, error) { return stampObject(text, at, envelopes) })(text)
}

func stampObject(text []byte, at time.Time, envelopes int) ([]byte, request, error) {
	o, err := parse(text)
	if err != nil {
		return nil, request{}, err
	}
	name := o.carrier()
	if name == "" {
		return stampRequest(o, at)
	}
	if envelopes == 0 {
		return nil, request{}, fmt.Errorf("its request is in more than %d envelopes", maxEnvelopes)
	}
	if r, ok := o.accepted(); ok {
		return text, r, nil
	}
	within := func(text []byte) ([]byte, request, error) { return stampWithin(text, at, envelopes-1) }
	switch name {
	case "Records":
		within = func(array []byte) ([]byte, request, error) { return stampRecords(array, at, envelopes-1) }
	case dataBase64:
		within = inText(true, within)
	default:
		within = inText(false, within)
	}
	return stampMember(o, name, within)
}

// stamper stamps a text, and returns that text itself if there is nothing to do.
type stamper func(text []byte) ([]byte, request, error)

// inText makes a stamper for a value from a stamper for its content: the text of a
// string, in base64 or not. The content of any other value is the value itself.
func inText(isBase64 bool, stamp stamper) stamper {
	return func(value []byte) ([]byte, request, error) {
		inner, seal, err := open(value, isBase64)
		if err != nil {
			return nil, request{}, err
		}
		stamped, r, err := stamp(inner)
		if err != nil || bytes.Equal(stamped, inner) {
			return value, r, err
		}
		return seal(stamped), r, nil
	}
}

// inStrings makes a stamper that also reads JSON in a JSON string, as some senders
// encode it: up to depth strings in each other. They do not count as envelopes.
func inStrings(depth int, stamp stamper) stamper {
	return func(text []byte) ([]byte, request, error) {
		m := member{value: bytes.Trim(text, jsonSpace), at: len(text) - len(bytes.TrimLeft(text, jsonSpace))}
		if depth == 0 || !bytes.HasPrefix(m.value, []byte(`"`)) {
			return stamp(text)
		}
		return stampAt(text, m, inText(false, inStrings(depth-1, stamp)))
	}
}

func stampMember(o object, name string, stamp stamper) ([]byte, request, error) {
	found := o.named(name)
	if len(found) != 1 { // this command does not decide which of them the function reads
		return nil, request{}, fmt.Errorf("its envelope has %d fields named %s", len(found), name)
	}
	return stampAt(o.text, found[0], stamp)
}

func stampAt(text []byte, m member, stamp stamper) ([]byte, request, error) {
	stamped, r, err := stamp(m.value)
	if err != nil || bytes.Equal(stamped, m.value) {
		return text, r, err
	}
	return slices.Concat(text[:m.at], stamped, text[m.at+len(m.value):]), r, nil
}

// stampRecords stamps the one record of SNS or SQS in a trigger's event. A
// function's destination or dead-letter queue may have such an event. Several
// records would be several requests.
func stampRecords(array []byte, at time.Time, envelopes int) ([]byte, request, error) {
	var records []json.RawMessage
	if json.Unmarshal(array, &records) != nil || len(records) != 1 {
		return nil, request{}, errors.New("its envelope has not one record")
	}
	record, err := parse(records[0])
	if err != nil {
		return nil, request{}, err
	}
	// Its queue got it after its first delivery, so the record's own time is earlier.
	if first := record.firstSent(); !first.IsZero() && first.Before(at) {
		at = first
	}
	within := inText(false, func(text []byte) ([]byte, request, error) { return stampWithin(text, at, envelopes) })
	m := member{value: records[0], at: bytes.Index(array, records[0])}
	switch record.source() {
	case "aws:sns":
		return stampAt(array, m, func([]byte) ([]byte, request, error) {
			return stampMember(record, "Sns", func(value []byte) ([]byte, request, error) {
				notification, err := parse(value)
				if err != nil {
					return nil, request{}, err
				}
				return stampMember(notification, "Message", within)
			})
		})
	case "aws:sqs":
		return stampAt(array, m, func([]byte) ([]byte, request, error) { return stampMember(record, "body", within) })
	}
	return nil, request{}, errors.New("its envelope has a record that is neither SNS's nor SQS's")
}

// stampRequest is strict, as the function is: an object with an unknown field may be
// an event whose form this command does not know.
func stampRequest(o object, at time.Time) ([]byte, request, error) {
	r := request{vault: "-"}
	for _, m := range o.members {
		switch m.name {
		case "project_id", "region", "correlation_id", "dry_run":
		case "select":
			r.plan = true
		case "replicate":
			r.vault, r.backup = sourceOf(m.value)
		case "check": // of which requested_at says nothing, and does no harm
			r.check = true
			r.vault, _ = sourceOf(m.value)
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

// sourceOf returns the vault and the backup that an object of a request names. The
// backup is empty if it names none.
func sourceOf(object []byte) (vault, backup string) {
	var r struct {
		VaultID  string `json:"vault_id"`
		BackupID string `json:"backup_id"`
	}
	if json.Unmarshal(object, &r) != nil {
		return "-", ""
	}
	if vault = r.VaultID; !cbr.IsVaultID(vault) {
		vault = "-"
	}
	if backup = r.BackupID; backup != "" && !cbr.IsVaultID(backup) { // ids of both have one form
		backup = "-"
	}
	return vault, backup
}

func timeOf(value []byte) string {
	var text string
	if json.Unmarshal(value, &text) != nil {
		return "-"
	}
	t, err := time.Parse(time.RFC3339, strings.ToUpper(text)) // the function takes t and z, too
	if err != nil || t.IsZero() {
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

// parse reads an object. Its members are in their order, duplicates included.
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

// named returns the members that the function would read as an envelope's member
// with this name: those in any letter case.
func (o object) named(name string) []member {
	var found []member
	for _, m := range o.members {
		if strings.EqualFold(m.name, name) {
			found = append(found, m)
		}
	}
	return found
}

// jsonSpace is what may stand around a JSON text (RFC 8259, section 2).
const jsonSpace = " \t\r\n"

const dataBase64 = "data_base64"

// carrier names the member that the request is in, empty for the request itself.
// The forms are recognized in the function's order (package events).
func (o object) carrier() string {
	switch {
	case o.has("Records"): // a trigger's event
		return "Records"
	case o.has("Type") && o.has("Message"): // an SNS notification
		return "Message"
	case o.has("requestContext") && o.has("requestPayload"): // a Lambda destination record
		return "requestPayload"
	case o.has("detail-type"): // an EventBridge event
		return "detail"
	case o.has("specversion"): // a CloudEvent
		data, inBase64 := o.named("data"), o.named(dataBase64)
		if len(data) == 0 || len(data) == 1 && isNull(data[0]) && len(inBase64) > 0 {
			return dataBase64
		}
		return "data"
	}
	return ""
}

// accepted returns what the screen shows of an accepted result, if the object is one.
// The function reads it tolerantly, and so does this.
func (o object) accepted() (request, bool) {
	var event struct {
		Specversion, Type, Time string
		Data                    struct {
			AcceptedAt string `json:"accepted_at"`
			Request    struct {
				Replicate json.RawMessage `json:"replicate"`
			} `json:"request"`
		}
	}
	if json.Unmarshal(o.text, &event) != nil || event.Specversion == "" || event.Type != acceptedType {
		return request{}, false
	}
	at, _ := json.Marshal(cmp.Or(event.Data.AcceptedAt, event.Time)) // a string always marshals
	r := request{acceptedAt: timeOf(at)}
	r.vault, r.backup = sourceOf(event.Data.Request.Replicate)
	return r, true
}

func isNull(m member) bool { return string(m.value) == "null" }

// source is the source that a record names. Only SNS writes the field with a
// capital.
func (o object) source() (source string) {
	for _, m := range o.members {
		if m.name == "eventSource" || m.name == "EventSource" {
			_ = json.Unmarshal(m.value, &source) // what is no string is no source
		}
	}
	return source
}

// firstSent is when the message of a record was sent to SNS or SQS, zero if the
// record does not say.
func (o object) firstSent() time.Time {
	var record struct {
		SNS struct {
			Timestamp time.Time `json:"Timestamp"`
		} `json:"Sns"`
		Attributes struct {
			SentTimestamp int64 `json:"SentTimestamp,string"` // milliseconds
		} `json:"attributes"`
	}
	if json.Unmarshal(o.text, &record) != nil || record.Attributes.SentTimestamp == 0 {
		return record.SNS.Timestamp
	}
	return time.UnixMilli(record.Attributes.SentTimestamp)
}

// open returns the text in a value, and a function that puts a text into such a
// value.
func open(value []byte, isBase64 bool) (inner []byte, seal func([]byte) []byte, err error) {
	if len(value) == 0 || value[0] != '"' {
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

// quote writes a JSON string, without the escapes for HTML.
func quote(text []byte) []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	_ = e.Encode(string(text)) // a string always encodes
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}
