package events

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"
	"time"
	"unicode"

	"cbr-replicator/internal/cbr"
	"cbr-replicator/internal/kind"
)

// Request is one request to replicate, validated, with the environment's
// defaults filled in. Its JSON is a request that can be sent again.
type Request struct {
	// ProjectID and Region are the source's.
	ProjectID string `json:"project_id"`
	Region    string `json:"region"`
	// CorrelationID is the body's own, empty without one.
	CorrelationID string `json:"correlation_id,omitempty"`
	// RequestedAt: replication records to this destination made since then are
	// this request's own effect. Zero: not said.
	RequestedAt time.Time     `json:"requested_at,omitzero"`
	Replicate   cbr.Replicate `json:"replicate"`
}

// Source returns where the vault is.
func (r *Request) Source() cbr.Source {
	return cbr.Source{ProjectID: r.ProjectID, Region: r.Region}
}

// Defaults are what a request need not say, empty where it must.
type Defaults struct {
	ProjectID            string
	Region               string
	VaultID              string
	DestinationVaultID   string
	DestinationProjectID string
	DestinationRegion    string
}

var correlationID = regexp.MustCompile(`^[\x21-\x7e]{1,128}$`)

func isURN(s string) bool {
	return s != "" && len(s) <= 512 && !strings.ContainsFunc(s, func(c rune) bool { return !unicode.IsPrint(c) })
}

func isTime(s string) bool {
	_, err := time.Parse(time.RFC3339, s)
	return err == nil
}

// parse reads a request strictly: names match exactly, none twice, none
// unknown, nothing after the object. The error is an InvalidEvent that lists
// all that is wrong, each with its path and what was expected, never with a
// value.
func (d *Decoder) parse(body []byte, defaults Defaults) (Request, *kind.Error) {
	var (
		r           Request
		requestedAt string
		urn         string
		in          = newReader(body)
	)
	in.object("", map[string]field{
		"project_id":     text(&r.ProjectID),
		"region":         text(&r.Region),
		"correlation_id": text(&r.CorrelationID),
		"requested_at":   text(&requestedAt),
		"replicate": fields{
			"vault_id":               text(&r.Replicate.VaultID),
			"destination_vault_id":   text(&r.Replicate.DestinationVaultID),
			"destination_project_id": text(&r.Replicate.DestinationProjectID),
			"destination_region":     text(&r.Replicate.DestinationRegion),
			"auto_trigger":           boolean(&r.Replicate.AutoTrigger),
			"enable_acceleration":    boolean(&r.Replicate.EnableAcceleration),
			"cross_account_urn":      text(&urn),
		}.read,
	})
	in.end()

	for _, f := range []struct {
		path  string
		value *string
		or    string // the default
		form  func(string) bool
		want  string
		env   string // where the default comes from; empty: the field is optional
	}{
		{"project_id", &r.ProjectID, defaults.ProjectID, cbr.IsProjectID, "32 hex digits", "HW_PROJECT_ID"},
		{"region", &r.Region, defaults.Region, cbr.IsRegion, "a region such as cn-north-4", "HW_REGION_NAME"},
		{"correlation_id", &r.CorrelationID, "", correlationID.MatchString, "1 to 128 printable ASCII characters without spaces", ""},
		{"requested_at", &requestedAt, "", isTime, "a time such as 2026-11-23T02:00:00Z", ""},
		{"replicate.vault_id", &r.Replicate.VaultID, defaults.VaultID, cbr.IsVaultID, "a UUID", "HW_CBR_VAULT_ID"},
		{"replicate.destination_vault_id", &r.Replicate.DestinationVaultID, defaults.DestinationVaultID, cbr.IsVaultID, "a UUID", "HW_CBR_DESTINATION_VAULT_ID"},
		{"replicate.destination_project_id", &r.Replicate.DestinationProjectID, defaults.DestinationProjectID, cbr.IsProjectID, "32 hex digits", "HW_CBR_DESTINATION_PROJECT_ID"},
		{"replicate.destination_region", &r.Replicate.DestinationRegion, defaults.DestinationRegion, cbr.IsRegion, "a region such as cn-north-4", "HW_CBR_DESTINATION_REGION"},
		{"replicate.cross_account_urn", &urn, "", isURN, "1 to 512 printable characters", ""},
	} {
		given := in.seen[f.path]
		if !given {
			*f.value = f.or
		}
		switch {
		case in.stopped || in.wrong[f.path]:
			// What was not read, or is said to be wrong already, is not missing.
		case !given && f.or == "":
			if f.env != "" {
				in.expected(f.path, f.want+"; it is missing, and "+f.env+" is not set")
			}
		case !f.form(*f.value):
			in.expected(f.path, f.want)
		}
	}
	if len(in.problems) > 0 {
		return Request{}, &kind.Error{Kind: kind.InvalidEvent, Message: d.Redact.Text(strings.Join(in.problems, "; "))}
	}

	// Ids are compared and grouped by; hex digits have two cases.
	for _, id := range []*string{
		&r.ProjectID, &r.Replicate.VaultID, &r.Replicate.DestinationVaultID, &r.Replicate.DestinationProjectID,
	} {
		*id = strings.ToLower(*id)
	}
	if in.seen["requested_at"] {
		r.RequestedAt, _ = time.Parse(time.RFC3339, requestedAt)
	}
	if in.seen["replicate.cross_account_urn"] {
		r.Replicate.CrossAccountURN = &urn
	}
	return r, nil
}

// reader walks a JSON text token by token, since encoding/json's Unmarshal
// matches names in any case, takes the last of two, and stops at the first
// wrong type.
type reader struct {
	dec      *json.Decoder
	problems []string
	seen     map[string]bool // paths that were given
	wrong    map[string]bool // paths that have a problem
	stopped  bool            // the text is broken; nothing can be read any more
}

// field reads the value at path that begins with token.
type field func(in *reader, path string, token json.Token)

type fields map[string]field

func newReader(body []byte) *reader {
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.UseNumber()
	return &reader{dec: dec, seen: map[string]bool{}, wrong: map[string]bool{}}
}

func (in *reader) expected(path, want string) {
	in.wrong[path] = true
	if path == "" {
		path = "$"
	}
	in.problems = append(in.problems, path+": expected "+want)
}

func (in *reader) next() (json.Token, bool) {
	if in.stopped {
		return nil, false
	}
	token, err := in.dec.Token()
	if err != nil {
		in.stopped = true
		what := "JSON; it breaks off or is malformed after byte %d"
		if errors.Is(err, io.EOF) && in.dec.InputOffset() == 0 {
			what = "a JSON object; it is empty after byte %d"
		}
		in.expected("", fmt.Sprintf(what, in.dec.InputOffset()))
		return nil, false
	}
	return token, true
}

// object reads a whole value that must be an object.
func (in *reader) object(path string, of fields) {
	if token, ok := in.next(); ok {
		of.read(in, path, token)
	}
}

// read is the field of an object with these fields.
func (of fields) read(in *reader, path string, token json.Token) {
	if token != json.Delim('{') {
		in.expected(path, "an object")
		in.skip(token)
		return
	}
	for {
		token, ok := in.next()
		if !ok || token == json.Delim('}') {
			return
		}
		name, _ := token.(string)
		at := name
		if path != "" {
			at = path + "." + name
		}
		value, ok := in.next()
		if !ok {
			return
		}
		known := of[name]
		switch {
		case known == nil:
			in.expected(at, "no such field")
			in.skip(value)
		case in.seen[at]:
			in.expected(at, "to be given once")
			in.skip(value)
		default:
			in.seen[at] = true
			known(in, at, value)
		}
	}
}

// skip reads to the end of the value that begins with token.
func (in *reader) skip(token json.Token) {
	depth := 0
	for ok := true; ok; token, ok = in.next() {
		switch token {
		case json.Delim('{'), json.Delim('['):
			depth++
		case json.Delim('}'), json.Delim(']'):
			depth--
		}
		if depth == 0 {
			return
		}
	}
}

// end says that nothing may follow.
func (in *reader) end() {
	if in.stopped {
		return
	}
	if _, err := in.dec.Token(); !errors.Is(err, io.EOF) {
		in.expected("", fmt.Sprintf("nothing after byte %d", in.dec.InputOffset()))
	}
}

func text(to *string) field {
	return func(in *reader, path string, token json.Token) {
		s, ok := token.(string)
		if !ok {
			in.expected(path, "a string")
			in.skip(token)
			return
		}
		*to = s
	}
}

func boolean(to **bool) field {
	return func(in *reader, path string, token json.Token) {
		b, ok := token.(bool)
		if !ok {
			in.expected(path, "true or false")
			in.skip(token)
			return
		}
		*to = &b
	}
}
