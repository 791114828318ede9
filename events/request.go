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
	"unicode"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"

	"cbr-replicator/internal/cbr"
	"cbr-replicator/internal/delivery"
	"cbr-replicator/internal/huawei"
	"cbr-replicator/internal/jsonscan"
	"cbr-replicator/internal/kind"
	"cbr-replicator/internal/redact"
)

// Defaults are what a request need not say, empty where it must.
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

// draft is a request that is being read.
type draft struct {
	delivery.Request
	requestedAt, urn string
}

// field is one field of an object: a text, a flag or an object.
type field struct {
	name   string
	text   func(*draft) *string // where it goes
	form   func(string) bool
	want   string // the form in words
	env    string // where a text's default comes from; empty: the field is optional
	flag   func(*draft) **bool
	fields []field
}

// replicateKey is the action that a body without a known one asks for.
const replicateKey = "replicate"

var requestFields = []field{
	{name: "project_id", text: func(d *draft) *string { return &d.ProjectID }, form: huawei.IsProjectID, want: huawei.ProjectForm, env: "HW_PROJECT_ID"},
	{name: "region", text: func(d *draft) *string { return &d.Region }, form: huawei.IsRegion, want: huawei.RegionForm, env: "HW_REGION_NAME"},
	{name: "correlation_id", text: func(d *draft) *string { return &d.CorrelationID }, form: isCorrelationID, want: "1 to 128 printable ASCII characters without spaces"},
	{name: "requested_at", text: func(d *draft) *string { return &d.requestedAt }, form: isTime, want: "a time such as 2026-11-23T02:00:00Z"},
	{name: replicateKey, fields: []field{
		{name: "vault_id", text: func(d *draft) *string { return &d.Replicate.VaultID }, form: cbr.IsVaultID, want: cbr.VaultForm, env: "HW_CBR_VAULT_ID"},
		{name: "destination_vault_id", text: func(d *draft) *string { return &d.Replicate.DestinationVaultID }, form: cbr.IsVaultID, want: cbr.VaultForm, env: "HW_CBR_DESTINATION_VAULT_ID"},
		{name: "destination_project_id", text: func(d *draft) *string { return &d.Replicate.DestinationProjectID }, form: huawei.IsProjectID, want: huawei.ProjectForm, env: "HW_CBR_DESTINATION_PROJECT_ID"},
		{name: "destination_region", text: func(d *draft) *string { return &d.Replicate.DestinationRegion }, form: huawei.IsRegion, want: huawei.RegionForm, env: "HW_CBR_DESTINATION_REGION"},
		{name: "auto_trigger", flag: func(d *draft) **bool { return &d.Replicate.AutoTrigger }},
		{name: "enable_acceleration", flag: func(d *draft) **bool { return &d.Replicate.EnableAcceleration }},
		{name: "cross_account_urn", text: func(d *draft) *string { return &d.urn }, form: isURN, want: "1 to 512 printable characters"},
	}},
}

// draft returns the defaults at their places.
func (d Defaults) draft() (at draft) {
	at.ProjectID, at.Region = d.ProjectID, d.Region
	at.Replicate = cbr.Replicate{
		VaultID: d.VaultID, DestinationVaultID: d.DestinationVaultID,
		DestinationProjectID: d.DestinationProjectID, DestinationRegion: d.DestinationRegion,
	}
	return at
}

// parse reads a request strictly: names match exactly, none twice, none
// unknown, nothing after the object. The error is an InvalidEvent that lists
// all that is wrong, each with its path and what was expected, never with a
// value; the request then holds the correlation id alone, if that is good.
func (d *Decoder) parse(body []byte) (delivery.Request, *kind.Error) {
	p := parsers.Get().(*parser)
	defer p.done()
	p.body.Reset(body)
	p.defaults = d.Defaults.draft()
	p.object("$", "", requestFields)
	if err := p.body.End(); err != nil {
		p.got, p.problems, p.said = draft{}, nil, 0
		p.expected("", "$", "a JSON object and nothing else; "+fault(body, err, p.body.Offset()))
	}
	r := p.got.Request
	r.Action = replicateKey
	// Free text, and the result repeats it.
	r.CorrelationID = d.Redact.ID(r.CorrelationID)
	if len(p.problems) > 0 {
		return delivery.Request{CorrelationID: r.CorrelationID}, &kind.Error{Kind: kind.InvalidEvent, Message: d.Redact.Text(strings.Join(p.problems, "; "))}
	}

	to := &r.Replicate
	// Ids are compared and grouped by; hex digits have two cases.
	for _, id := range []*string{&r.ProjectID, &to.VaultID, &to.DestinationVaultID, &to.DestinationProjectID} {
		*id = strings.ToLower(*id)
	}
	if at := p.got.requestedAt; at != "" {
		r.RequestedAt, _ = time.Parse(time.RFC3339, at) // as isTime did
	}
	if urn := p.got.urn; urn != "" {
		to.CrossAccountURN = &urn
	}
	return r, nil
}

// fault says what is wrong with a body that is not one JSON text.
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

// place is where the byte at an offset is in a text, as editors count.
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
	said          int // how long problems are
}

// parsers are those that have nothing to read: a batch needs one of them.
var parsers = sync.Pool{New: func() any { return new(parser) }}

// done gives p back, with nothing left of the request.
func (p *parser) done() {
	p.body.Reset(nil)
	p.got, p.defaults, p.problems, p.said = draft{}, draft{}, nil, 0
	parsers.Put(p)
}

// expected says what is wrong with what has that name within an object; that
// is its path with a dot at the end. What no longer fits an error's text is not
// kept.
func (p *parser) expected(within, name, want string) {
	p.problem(within + name + ": expected " + want)
}

// unknownField begins what is said of one.
const unknownField = "unknown field "

// unknown says that there is no field of that name among those within an object. A
// body may have any number of such names: most of them cost nothing here.
func (p *parser) unknown(within string, name []byte, fields []field) {
	said := func(problem string) bool {
		path, isUnknown := strings.CutPrefix(problem, unknownField)
		path, isWithin := strings.CutPrefix(path, within)
		return isUnknown && isWithin && len(path) >= len(name) && path[:len(name)] == string(name) && (len(path) == len(name) || path[len(name)] == ';')
	}
	if p.said <= redact.MaxText && !slices.ContainsFunc(p.problems, said) {
		p.problem(unknownField + within + string(name) + meant(within, string(name), fields))
	}
}

// problem adds one to the list, once.
func (p *parser) problem(text string) {
	if p.said > redact.MaxText || slices.Contains(p.problems, text) {
		return
	}
	p.problems = append(p.problems, text)
	p.said += len(text)
}

// object reads the object of that name, whose fields are within it. encoding/json
// would match names in any case, take the last of two, and stop at the first
// wrong type.
func (p *parser) object(name, within string, fields []field) {
	if p.body.Peek() != jsontext.KindBeginObject {
		p.body.Value()
		p.expected("", name, "an object")
		return
	}
	given := make([]bool, len(fields))
	for name := range p.body.Members {
		i := slices.IndexFunc(fields, func(f field) bool { return f.name == string(name) })
		switch {
		case i < 0:
			p.unknown(within, name, fields)
		case given[i]:
			p.expected(within, string(name), "to be given once")
		default:
			given[i] = true
			p.value(within, &fields[i])
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

// absent does what is due for the fields that are not given.
func (p *parser) absent(within string, fields []field, given []bool) {
	for i := range fields {
		f := &fields[i]
		switch {
		case given[i] || f.flag != nil:
		case f.fields != nil:
			p.absent(f.name+".", f.fields, make([]bool, len(f.fields)))
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
