package events

import (
	"bytes"
	"cmp"
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
	// backupID is that of the path of one HTTP call.
	backupID string
	// MaxAge is how old a replica may be if a check does not say.
	MaxAge time.Duration
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
	requestedAt, urn, maxAge string
	dryRun                   *bool
	choice                   delivery.Select
	tag                      delivery.Tag // of choice, being read
}

// field is one field of an object: a text, a flag, an object or a list.
type field struct {
	name   string
	text   func(*draft) *string // where a text is kept
	form   func(string) bool
	want   string // the form in words
	env    string // the variable with a text's default; empty: the field is optional
	flag   func(*draft) **bool
	list   string // the list that it is
	fields []field
	action bool // the object says what is asked for
}

// The keys of the actions. A request without any asks to replicate.
const (
	replicateKey = "replicate"
	checkKey     = "check"
)

var requestFields = []field{
	{name: "project_id", text: func(d *draft) *string { return &d.ProjectID }, form: huawei.IsProjectID, want: huawei.ProjectForm, env: "HW_PROJECT_ID"},
	{name: "region", text: func(d *draft) *string { return &d.Region }, form: huawei.IsRegion, want: huawei.RegionForm, env: "HW_REGION_NAME"},
	{name: "correlation_id", text: func(d *draft) *string { return &d.CorrelationID }, form: delivery.IsCorrelationID, want: "1 to 128 printable ASCII characters without spaces"},
	{name: "requested_at", text: func(d *draft) *string { return &d.requestedAt }, form: isTime, want: timeWanted},
	{name: "dry_run", flag: func(d *draft) **bool { return &d.dryRun }},
	{name: selectKey, fields: selectFields},
	{name: replicateKey, action: true, fields: append(slices.Clone(placeFields), []field{
		{name: "backup_id", text: func(d *draft) *string { return &d.Replicate.BackupID }, form: cbr.IsVaultID, want: cbr.VaultForm},
		{name: "name", text: func(d *draft) *string { return &d.Replicate.Name }, form: ofRunes(1, 64), want: "1 to 64 characters"},
		{name: "description", text: func(d *draft) *string { return &d.Replicate.Description }, form: isDescription, want: "at most 255 characters without < and >"},
		{name: "auto_trigger", flag: func(d *draft) **bool { return &d.Replicate.AutoTrigger }},
		{name: "enable_acceleration", flag: func(d *draft) **bool { return &d.Replicate.EnableAcceleration }},
		{name: "cross_account_urn", text: func(d *draft) *string { return &d.urn }, form: isURN, want: "1 to 512 printable ASCII characters"},
	}...)},
	{name: checkKey, action: true, fields: append(slices.Clone(placeFields), field{
		name: "max_age", text: func(d *draft) *string { return &d.maxAge }, form: isAge, want: "a whole number of seconds, minutes, hours or days such as 30h",
	})},
}

// placeFields say what is copied and where to.
var placeFields = []field{
	{name: vaultKey, text: func(d *draft) *string { return &d.Replicate.VaultID }, form: cbr.IsVaultID, want: cbr.VaultForm, env: "HW_CBR_VAULT_ID"},
	{name: destinationKey, text: func(d *draft) *string { return &d.Replicate.DestinationVaultID }, form: cbr.IsVaultID, want: cbr.VaultForm, env: "HW_CBR_DESTINATION_VAULT_ID"},
	{name: "destination_project_id", text: func(d *draft) *string { return &d.Replicate.DestinationProjectID }, form: huawei.IsProjectID, want: huawei.ProjectForm, env: "HW_CBR_DESTINATION_PROJECT_ID"},
	{name: "destination_region", text: func(d *draft) *string { return &d.Replicate.DestinationRegion }, form: huawei.IsRegion, want: huawei.RegionForm, env: "HW_CBR_DESTINATION_REGION"},
}

// draft returns a draft with the defaults in its fields.
func (d Defaults) draft() (at draft) {
	at.ProjectID, at.Region = d.ProjectID, d.Region
	at.Replicate = cbr.Replicate{
		VaultID: d.VaultID, BackupID: d.backupID, DestinationVaultID: d.DestinationVaultID,
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
	if given := p.object("$", "", requestFields); given != nil {
		if p.action != nil { // in the order of the body
			p.complete()
			p.absent("", requestFields, given)
		} else {
			p.absent("", requestFields, given)
			p.complete()
		}
	}
	if err := p.body.End(); err != nil {
		p.got, p.problems, p.length, p.action = draft{}, nil, 0, nil
		p.expected("", "$", "a JSON object and nothing else; "+fault(body, err, p.body.Offset()))
	}
	r := p.got.Request
	if r.Action = replicateKey; p.action != nil {
		r.Action = p.action.name
	}
	if at := p.got.requestedAt; at != "" {
		r.RequestedAt, _ = parseTime(at) // as isTime did
		if r.Action == checkKey {
			r.RequestedAt = time.Time{} // it means nothing to a check
		} else if d.tooOld(r.RequestedAt) {
			p.expected("", "requested_at", recently)
		}
	}
	// It is free text that the result repeats.
	r.CorrelationID = d.Redact.ID(r.CorrelationID)
	if len(p.problems) > 0 {
		wrong := delivery.Request{CorrelationID: r.CorrelationID}
		if r.Action == checkKey && !p.several {
			wrong.Action = checkKey // its result is about replicas
		}
		return wrong, &kind.Error{Kind: kind.InvalidEvent, Message: d.Redact.Text(strings.Join(p.problems, "; "))}
	}

	to := &r.Replicate
	// Ids are compared, and hex digits may be in upper or lower case.
	for _, id := range []*string{&r.ProjectID, &to.VaultID, &to.BackupID, &to.DestinationVaultID, &to.DestinationProjectID} {
		*id = strings.ToLower(*id)
	}
	if r.Action == checkKey {
		r.MaxAge = cmp.Or(ageOf(p.got.maxAge), d.Defaults.MaxAge)
	}
	if p.selects {
		choice := p.got.choice
		r.Select, r.DryRun = &choice, p.got.dryRun != nil && *p.got.dryRun
		r.Plans, r.Action = r.Action, planKey
	}
	if p.got.urn != "" {
		urn := p.got.urn
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
	// action is the object that says what is asked for, nil without one, and given
	// are those of its fields that are there. selects: there is select.
	// several: there is more than one.
	action  *field
	several bool
	given   []uint8
	selects bool
	// marks is the memory of what object returns.
	marks []uint8
}

// parsers are those not in use: a batch needs only one.
var parsers = sync.Pool{New: func() any { return new(parser) }}

// done empties p and puts it back into parsers.
func (p *parser) done() {
	p.body.Reset(nil)
	*p = parser{body: p.body, marks: p.marks[:0]}
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

// object reads the object of that name. It returns for each field whether it is given,
// 2 if more than once, or nil if it is no object. within is the path of its fields. encoding/json is not used: it ignores the case of names, takes the last of two
// with the same name, and stops at the first wrong type.
func (p *parser) object(name, within string, fields []field) (given []uint8) {
	if p.body.Peek() != jsontext.KindBeginObject {
		p.body.Value()
		p.expected("", name, "an object")
		return nil
	}
	p.marks = append(p.marks, make([]uint8, len(fields))...)
	given = p.marks[len(p.marks)-len(fields):]
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
	return given
}

// value reads the value of a field.
func (p *parser) value(within string, f *field) {
	switch {
	case f.action && p.action != nil:
		p.several = true
		p.expected(within, f.name, "none beside "+p.action.name)
		p.body.Value()
	case f.action:
		p.action = f
		p.given = p.object(f.name, f.name+".", f.fields)
	case f.fields != nil:
		p.selects = true
		p.object(f.name, f.name+".", f.fields)
	case f.list != "":
		p.list(f.list, within+f.name)
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
		case given[i] > 0 || f.text == nil:
		case *f.text(&p.defaults) != "":
			p.set(within, f, *f.text(&p.defaults))
		case f.env != "":
			p.expected(within, f.name, f.want+" (it is missing, and "+f.env+" is not set)")
		}
	}
}

// complete sets the fields of the action that are not given, and notes those that
// do not go together.
func (p *parser) complete() {
	action, given := p.action, p.given
	switch {
	case action == nil:
		action = &requestFields[slices.IndexFunc(requestFields, func(f field) bool { return f.name == replicateKey })]
		given = make([]uint8, len(action.fields))
	case given == nil:
		return // it is no object
	}
	within := action.name + "."
	has := func(name string) bool {
		i := slices.IndexFunc(action.fields, func(f field) bool { return f.name == name })
		return i >= 0 && given[i] > 0
	}
	ofBackup := has("backup_id") || p.defaults.Replicate.BackupID != ""
	byTag := p.selects && p.got.choice.DestinationVaultTag != ""
	for _, c := range []struct {
		name string
		is   bool
		want string
	}{
		{vaultKey, p.selects, "none beside select"},
		{"backup_id", p.selects, "none beside select"},
		{vaultKey, ofBackup, "none beside backup_id"},
		{"auto_trigger", ofBackup, "none beside backup_id"},
		{"name", !ofBackup, "backup_id beside it"},
		{"description", !ofBackup, "backup_id beside it"},
		{destinationKey, byTag, "none beside select.destination_vault_tag"},
	} {
		if c.is && has(c.name) {
			p.expected(within, c.name, c.want)
		}
	}
	if p.selects && p.defaults.Replicate.BackupID != "" {
		p.expected("", selectKey, "none beside the backup in the path")
	}
	if p.got.dryRun != nil && !p.selects {
		p.expected("", "dry_run", "select beside it")
	}
	for i, f := range action.fields {
		if f.name == vaultKey && (p.selects || ofBackup) || f.name == destinationKey && byTag {
			given[i] = 1 // it has no default
		}
	}
	p.absent(within, action.fields, given)
}

func (p *parser) set(within string, f *field, s string) {
	if !f.form(s) {
		p.expected(within, f.name, f.want)
		return
	}
	*f.text(&p.got) = s
}
