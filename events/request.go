package events

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"

	"cbr-replicator/internal/cbr"
	"cbr-replicator/internal/delivery"
	"cbr-replicator/internal/huawei"
	"cbr-replicator/internal/jsonscan"
	"cbr-replicator/internal/kind"
	"cbr-replicator/internal/redact"
)

// Defaults are for the fields that a request does not give. A field whose default
// is empty is required.
type Defaults struct {
	ProjectID            string
	Region               string
	VaultID              string
	DestinationVaultID   string
	DestinationProjectID string
	DestinationRegion    string
}

// maxCorrelationID is how long a correlation id may be.
const maxCorrelationID = 128

func isCorrelationID(s string) bool {
	return s != "" && len(s) <= maxCorrelationID && !strings.ContainsFunc(s, func(c rune) bool { return c < '!' || c > '~' })
}

// isURN reports whether s has the form of a URN, as the schema has it. A URN is ASCII
// (RFC 8141, section 2).
func isURN(s string) bool {
	return s != "" && len(s) <= 512 && !strings.ContainsFunc(s, func(c rune) bool { return c < ' ' || c > '~' })
}

// parseTime reads a time of RFC 3339 (section 5.6), in the years 1000 to 9999 and
// without a leap second. time.Parse alone is not enough: it accepts other forms
// (go.dev/issue/54580) and refuses lower case.
func parseTime(s string) (t time.Time, ok bool) {
	s = strings.ToUpper(s)
	t, err := time.Parse(time.RFC3339, s)
	if err != nil {
		return t, false
	}
	offset := s[len(s)-len("07:00"):]
	switch {
	case s[0] == '0', // also the zero time, which means that there is none
		s[len("2006-01-02T")+1] == ':', // an hour of one digit
		s[len("2006-01-02T15:04:05")] == ',',
		s[len(s)-1] != 'Z' && (offset[:2] > "23" || offset[3:] > "59"):
		return t, false
	}
	return t, true
}

func isTime(s string) bool {
	_, ok := parseTime(s)
	return ok
}

// timeWanted is the form of a time in words.
const timeWanted = "a time such as 2026-11-23T02:00:00Z"

// draft is a request that is being read.
type draft struct {
	delivery.Request
	requestedAt, urn string
}

// field is one field of an object: a text, a flag or an object.
type field struct {
	name   string
	text   func(*draft) *string // where a text is kept
	form   func(string) bool
	want   string // the form in words
	env    string // the variable with a text's default; empty: the field is optional
	flag   func(*draft) **bool
	fields []field
}

// replicateKey is the key of the action replicate. It is the only action, so each
// request asks for it.
const replicateKey = "replicate"

var requestFields = []field{
	{name: "project_id", text: func(d *draft) *string { return &d.ProjectID }, form: huawei.IsProjectID, want: huawei.ProjectForm, env: "HW_PROJECT_ID"},
	{name: "region", text: func(d *draft) *string { return &d.Region }, form: huawei.IsRegion, want: huawei.RegionForm, env: "HW_REGION_NAME"},
	{name: "correlation_id", text: func(d *draft) *string { return &d.CorrelationID }, form: isCorrelationID, want: "1 to 128 printable ASCII characters without spaces"},
	{name: "requested_at", text: func(d *draft) *string { return &d.requestedAt }, form: isTime, want: timeWanted},
	{name: replicateKey, fields: []field{
		{name: "vault_id", text: func(d *draft) *string { return &d.Replicate.VaultID }, form: cbr.IsVaultID, want: cbr.VaultForm, env: "HW_CBR_VAULT_ID"},
		{name: "destination_vault_id", text: func(d *draft) *string { return &d.Replicate.DestinationVaultID }, form: cbr.IsVaultID, want: cbr.VaultForm, env: "HW_CBR_DESTINATION_VAULT_ID"},
		{name: "destination_project_id", text: func(d *draft) *string { return &d.Replicate.DestinationProjectID }, form: huawei.IsProjectID, want: huawei.ProjectForm, env: "HW_CBR_DESTINATION_PROJECT_ID"},
		{name: "destination_region", text: func(d *draft) *string { return &d.Replicate.DestinationRegion }, form: huawei.IsRegion, want: huawei.RegionForm, env: "HW_CBR_DESTINATION_REGION"},
		{name: "auto_trigger", flag: func(d *draft) **bool { return &d.Replicate.AutoTrigger }},
		{name: "enable_acceleration", flag: func(d *draft) **bool { return &d.Replicate.EnableAcceleration }},
		{name: "cross_account_urn", text: func(d *draft) *string { return &d.urn }, form: isURN, want: "1 to 512 printable ASCII characters"},
	}},
}

// draft returns a draft with the defaults in its fields.
func (d Defaults) draft() (at draft) {
	at.ProjectID, at.Region = d.ProjectID, d.Region
	at.Replicate = cbr.Replicate{
		VaultID: d.VaultID, DestinationVaultID: d.DestinationVaultID,
		DestinationProjectID: d.DestinationProjectID, DestinationRegion: d.DestinationRegion,
	}
	return at
}

// parse reads a request strictly: names match exactly, no name is given twice,
// none is unknown, and nothing follows the object. The error is an InvalidEvent
// that lists all that is wrong, each with its path and what was expected, never
// with a value. With an error, the request has only the correlation id, if that
// is valid.
func (d *Decoder) parse(body []byte) (delivery.Request, *kind.Error) {
	p := parsers.Get().(*parser)
	defer p.done()
	p.body.Reset(body)
	p.defaults = d.Defaults.draft()
	p.object("$", "", requestFields)
	if err := p.body.End(); err != nil {
		p.got, p.problems, p.length = draft{}, nil, 0
		p.expected("", "$", "a JSON object and nothing else; "+fault(body, err, p.body.Offset()))
	}
	r := p.got.Request
	r.Action = replicateKey
	// It is free text that the result repeats.
	r.CorrelationID = d.Redact.ID(r.CorrelationID)
	if len(p.problems) > 0 {
		return delivery.Request{CorrelationID: r.CorrelationID}, &kind.Error{Kind: kind.InvalidEvent, Message: d.Redact.Text(strings.Join(p.problems, "; "))}
	}

	to := &r.Replicate
	// Ids are compared, and hex digits may be in upper or lower case.
	for _, id := range []*string{&r.ProjectID, &to.VaultID, &to.DestinationVaultID, &to.DestinationProjectID} {
		*id = strings.ToLower(*id)
	}
	if at := p.got.requestedAt; at != "" {
		r.RequestedAt, _ = parseTime(at) // as isTime did
	}
	if urn := p.got.urn; urn != "" {
		to.CrossAccountURN = &urn
	}
	return r, nil
}

// fault describes what is wrong with a body that is not one JSON value.
func fault(body []byte, err error, offset int64) string {
	switch {
	case len(bytes.TrimSpace(body)) == 0:
		return "there is nothing"
	case bytes.HasPrefix(body, []byte("\ufeff")):
		return "it begins with a byte order mark"
	case errors.Is(err, jsonscan.ErrMore):
		more := bytes.TrimLeft(body[offset:], " \t\r\n")
		return "something follows it at " + place(body, int64(len(body)-len(more)))
	case errors.Is(err, io.ErrUnexpectedEOF):
		return "it breaks off at " + place(body, offset)
	}
	return "it is malformed at " + place(body, offset)
}

// place returns the line and the column of a byte, as editors count them.
func place(text []byte, offset int64) string {
	before := text[:min(offset, int64(len(text)))]
	line := before[bytes.LastIndexByte(before, '\n')+1:]
	return fmt.Sprintf("line %d, column %d", bytes.Count(before, []byte("\n"))+1, utf8.RuneCount(line)+1)
}

// parser reads one request.
type parser struct {
	body          jsonscan.Reader
	got, defaults draft
	problems      []string
	length        int // of all problems, in bytes
}

// parsers are those not in use: a batch needs only one.
var parsers = sync.Pool{New: func() any { return new(parser) }}

// done empties p and puts it back into parsers.
func (p *parser) done() {
	p.body.Reset(nil)
	p.got, p.defaults, p.problems, p.length = draft{}, draft{}, nil, 0
	parsers.Put(p)
}

// expected notes that a member of an object is wrong. within is the object's path,
// with a dot at the end. Once the notes are longer than an error's text may be, no
// more are kept.
func (p *parser) expected(within, name, want string) {
	p.problem(within + name + ": expected " + want)
}

// unknownField begins the problem of an unknown field.
const unknownField = "unknown field "

// unknown notes that no field of an object has that name. A body may have any number
// of such names, and most of them cost nothing here.
func (p *parser) unknown(within string, name []byte, fields []field) {
	noted := func(problem string) bool {
		path, isUnknown := strings.CutPrefix(problem, unknownField)
		path, isWithin := strings.CutPrefix(path, within)
		return isUnknown && isWithin && len(path) >= len(name) && path[:len(name)] == string(name) && (len(path) == len(name) || path[len(name)] == ';')
	}
	if p.length <= redact.MaxText && !slices.ContainsFunc(p.problems, noted) {
		p.problem(unknownField + within + string(name) + meant(within, string(name), fields))
	}
}

// problem adds a problem to the list.
func (p *parser) problem(text string) {
	if p.length > redact.MaxText {
		return
	}
	p.problems = append(p.problems, text)
	p.length += len(text)
}

// object reads the object of that name. within is the path of its fields.
// encoding/json is not used: it ignores the case of names, takes the last of two
// with the same name, and stops at the first wrong type.
func (p *parser) object(name, within string, fields []field) {
	if p.body.Peek() != jsontext.KindBeginObject {
		p.body.Value()
		p.expected("", name, "an object")
		return
	}
	given := make([]uint8, len(fields)) // how often, as far as it matters
	for name := range p.body.Members {
		i := slices.IndexFunc(fields, func(f field) bool { return f.name == string(name) })
		switch {
		case i < 0:
			p.unknown(within, name, fields)
		case given[i] == 0:
			given[i] = 1
			p.value(within, &fields[i])
		case given[i] == 1:
			given[i] = 2
			p.expected(within, string(name), "to be given once")
		}
	}
	p.absent(within, fields, given)
}

// value reads the value of a field.
func (p *parser) value(within string, f *field) {
	switch {
	case f.fields != nil:
		p.object(f.name, f.name+".", f.fields)
	case f.flag != nil:
		switch value := p.body.Value(); string(value) {
		case "true", "false":
			*f.flag(&p.got) = new(string(value) == "true")
		default:
			p.expected(within, f.name, "true or false")
		}
	default:
		if s, ok := jsonscan.Text(p.body.Value()); ok {
			p.set(within, f, s)
		} else {
			p.expected(within, f.name, "a string, "+f.want)
		}
	}
}

// absent sets the fields that are not given to their defaults, or notes that they
// are missing.
func (p *parser) absent(within string, fields []field, given []uint8) {
	for i := range fields {
		f := &fields[i]
		switch {
		case given[i] > 0 || f.flag != nil:
		case f.fields != nil:
			p.absent(f.name+".", f.fields, make([]uint8, len(f.fields)))
		case *f.text(&p.defaults) != "":
			p.set(within, f, *f.text(&p.defaults))
		case f.env != "":
			p.expected(within, f.name, f.want+" (it is missing, and "+f.env+" is not set)")
		}
	}
}

func (p *parser) set(within string, f *field, s string) {
	if !f.form(s) {
		p.expected(within, f.name, f.want)
		return
	}
	*f.text(&p.got) = s
}
