package events

import (
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"

	"cbr-replicator/internal/cbr"
	"cbr-replicator/internal/kind"
	"cbr-replicator/internal/onepass"
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

func isCorrelationID(s string) bool {
	return s != "" && len(s) <= 128 && !strings.ContainsFunc(s, func(c rune) bool { return c < '!' || c > '~' })
}

func isURN(s string) bool {
	return s != "" && utf8.RuneCountInString(s) <= 512 &&
		!strings.ContainsFunc(s, func(c rune) bool { return c == utf8.RuneError || !unicode.IsPrint(c) })
}

// isTime is stricter than time.Parse, since what is accepted must encode again:
// not every zone does, and the zero time stands for none.
func isTime(s string) bool {
	t, err := time.Parse(time.RFC3339, s)
	_, unfit := t.MarshalText()
	return err == nil && unfit == nil && !t.IsZero()
}

// parse reads a request strictly: names match exactly, none twice, none
// unknown, nothing after the object. The error is an InvalidEvent that lists
// all that is wrong, each with its path and what was expected, never with a
// value; the request then holds the correlation id alone, if that is good.
func (d *Decoder) parse(body []byte, defaults Defaults) (Request, *kind.Error) {
	const (
		project = "32 hex digits"
		region  = "a region such as cn-north-4"
		vault   = "a UUID"
	)
	var (
		r           Request
		to          = &r.Replicate
		requestedAt string
		urn         string
		p           problems
	)
	text := onepass.New(body)
	p.object(text, "$", "", []field{
		{"project_id", &r.ProjectID, cbr.IsProjectID, project, defaults.ProjectID, "HW_PROJECT_ID"},
		{"region", &r.Region, cbr.IsRegion, region, defaults.Region, "HW_REGION_NAME"},
		{"correlation_id", &r.CorrelationID, isCorrelationID, "1 to 128 printable ASCII characters without spaces", "", ""},
		{"requested_at", &requestedAt, isTime, "a time such as 2026-11-23T02:00:00Z", "", ""},
		{name: "replicate", to: []field{
			{"vault_id", &to.VaultID, cbr.IsVaultID, vault, defaults.VaultID, "HW_CBR_VAULT_ID"},
			{"destination_vault_id", &to.DestinationVaultID, cbr.IsVaultID, vault, defaults.DestinationVaultID, "HW_CBR_DESTINATION_VAULT_ID"},
			{"destination_project_id", &to.DestinationProjectID, cbr.IsProjectID, project, defaults.DestinationProjectID, "HW_CBR_DESTINATION_PROJECT_ID"},
			{"destination_region", &to.DestinationRegion, cbr.IsRegion, region, defaults.DestinationRegion, "HW_CBR_DESTINATION_REGION"},
			{name: "auto_trigger", to: &to.AutoTrigger},
			{name: "enable_acceleration", to: &to.EnableAcceleration},
			{"cross_account_urn", &urn, isURN, "1 to 512 printable characters", "", ""},
		}},
	})
	if text.End() != nil {
		p.list, r.CorrelationID = nil, ""
		p.expected("$", fmt.Sprintf("a JSON object and nothing else; it breaks off or is malformed after byte %d", text.Offset()))
	}
	// Free text, and the result repeats it.
	r.CorrelationID, urn = d.Redact.Text(r.CorrelationID), d.Redact.Text(urn)
	if len(p.list) > 0 {
		return Request{CorrelationID: r.CorrelationID}, &kind.Error{Kind: kind.InvalidEvent, Message: d.Redact.Text(strings.Join(p.list, "; "))}
	}

	// Ids are compared and grouped by; hex digits have two cases.
	for _, id := range []*string{&r.ProjectID, &to.VaultID, &to.DestinationVaultID, &to.DestinationProjectID} {
		*id = strings.ToLower(*id)
	}
	if requestedAt != "" {
		r.RequestedAt, _ = time.Parse(time.RFC3339, requestedAt) // as isTime did
	}
	if urn != "" {
		to.CrossAccountURN = &urn
	}
	return r, nil
}

// field is one field of an object: where its value goes and what it must be.
type field struct {
	name string
	to   any               // *string, **bool, or []field for an object
	form func(string) bool // of a string
	want string            // the form in words
	or   string            // the default of a string
	env  string            // where the default comes from; empty: the field is optional
}

// problems are all that is wrong with a request.
type problems struct {
	list   []string
	within string // the path of the object that is being read, with its dot
}

func (p *problems) expected(name, want string) {
	p.list = append(p.list, p.within+name+": expected "+want)
}

// object reads the object of that name, whose fields have prefix before their
// names. encoding/json's Unmarshal would match names in any case, take the last
// of two, and stop at the first wrong type.
func (p *problems) object(r *onepass.Reader, name, prefix string, fields []field) {
	if r.Next() != jsontext.KindBeginObject {
		r.Value()
		p.expected(name, "an object")
		return
	}
	defer func(outer string) { p.within = outer }(p.within)
	p.within = prefix
	given := make([]bool, len(fields))
	for name := range r.Members() {
		i := slices.IndexFunc(fields, func(f field) bool { return f.name == string(name) })
		switch {
		case i < 0:
			p.expected(string(name), "no such field")
		case given[i]:
			p.expected(string(name), "to be given once")
		default:
			given[i] = true
			p.value(r, fields[i])
		}
	}
	for i, f := range fields {
		if !given[i] {
			p.absent(f)
		}
	}
}

// value reads the value of a field.
func (p *problems) value(r *onepass.Reader, f field) {
	switch to := f.to.(type) {
	case []field:
		p.object(r, f.name, f.name+".", to)
	case **bool:
		switch value := r.Value(); string(value) {
		case "true", "false":
			*to = new(string(value) == "true")
		default:
			p.expected(f.name, "true or false")
		}
	case *string:
		if s, ok := onepass.Text(r.Value()); !ok {
			p.expected(f.name, "a string, "+f.want)
		} else {
			p.set(f, to, s)
		}
	}
}

// absent does what is due where a field is not given.
func (p *problems) absent(f field) {
	switch to := f.to.(type) {
	case []field:
		p.object(onepass.New([]byte("{}")), f.name, f.name+".", to)
	case *string:
		switch {
		case f.or != "":
			p.set(f, to, f.or)
		case f.env != "":
			p.expected(f.name, f.want+" (it is missing, and "+f.env+" is not set)")
		}
	}
}

func (p *problems) set(f field, to *string, s string) {
	if !f.form(s) {
		p.expected(f.name, f.want)
		return
	}
	*to = s
}
