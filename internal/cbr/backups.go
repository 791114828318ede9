package cbr

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"cbr-replicator/internal/huawei"
	"cbr-replicator/internal/jsonscan"
	"cbr-replicator/internal/kind"
)

const (
	// pageLimit is the largest page of ListBackups, and its default (CBR API
	// reference).
	pageLimit = 1000
	// maxPage bounds a page's body; a recorded backup takes about 1 KiB.
	maxPage = 16 << 20
	// maxPages is several times what the largest vault takes.
	maxPages = 64
	// overlap is how many backups of a page the next one begins with.
	overlap = 10
	// maxRecords bounds the replication records of a list: several for each
	// backup of the largest vault. What is kept of them, and of up to 64,000
	// backups, then takes some dozens of megabytes at most.
	maxRecords = 200_000
	// maxText bounds ids, regions and states. An id is a UUID wherever one was
	// seen.
	maxText = 128
)

var (
	// ErrListRefused is in the chain of an error in which CBR or IAM itself says
	// that the credential, good as it is, may not list backups.
	ErrListRefused = errors.New("listing backups is not allowed")
	// ErrNoVault is in the chain of an error that says that the vault does not
	// exist (BackupService.6105).
	ErrNoVault = errors.New("the vault does not exist")
	// ErrNoRecords is in the chain of an error that says that this cloud does not
	// show replication records: no backup of a list that has some has the field
	// for them, or CBR refuses the parameter that asks for it. The API reference
	// has the field for Huawei's own clouds alone.
	ErrNoRecords = errors.New("this cloud does not show replication records")
)

// Backup is what a lookup needs of a backup (CBR API reference, ListBackups,
// BackupResp).
type Backup struct {
	ID string
	// CreatedAt is by CBR's clock, zero where CBR does not say.
	CreatedAt time.Time
	// Available: it is complete, and can be copied as far as its status says.
	Available bool
	// ProviderID tells backups of servers, disks and file systems apart.
	ProviderID string
	Records    []ReplicationRecord
}

// ReplicationRecord is what became of one copy of a backup (CBR API reference,
// ListBackups, ReplicationRecordGet). Ids come in the case that CBR chose. What
// CBR does not say, or says in a way that nobody has described, is empty.
type ReplicationRecord struct {
	ID     string
	Status RecordStatus
	// CreatedAt is when the copy began, by CBR's clock; zero where CBR did not
	// say, as for one that waits.
	CreatedAt time.Time
	// Zoneless: CBR wrote CreatedAt without a zone. It is read as UTC, as it was
	// in recorded answers of Huawei's own cloud.
	Zoneless                                                    bool
	SourceRegion, SourceProjectID                               string
	DestinationRegion, DestinationProjectID, DestinationVaultID string
}

// RecordStatus is the state of a copy, in lower case.
type RecordStatus string

// The states of a copy (CBR API reference).
const (
	Waiting     RecordStatus = "waiting_replicate"
	Replicating RecordStatus = "replicating"
	Replicated  RecordStatus = "success"
	Failed      RecordStatus = "fail"
	Skipped     RecordStatus = "skip"
)

// Covers reports whether the copy is there or under way.
func (s RecordStatus) Covers() bool { return s == Waiting || s == Replicating || s == Replicated }

// Ended reports whether there is no copy, and none will come of the record.
func (s RecordStatus) Ended() bool { return s == Failed || s == Skipped }

// Clocks is one moment on two clocks, which need not agree: when CBR answered.
type Clocks struct {
	// Ours is when the answer's header was here.
	Ours time.Time
	// Theirs is the answer's Date, to the second; zero where it had none.
	Theirs time.Time
	// Newest is the newest time on the list, NewestZoneless the newest that has
	// no zone. None is later than the moment itself, so they bound how far the
	// clock that wrote them may be behind Theirs. Zero where there is none.
	Newest, NewestZoneless time.Time
}

// saw keeps a time of the list's.
func (c *Clocks) saw(s stamp) {
	// What is ahead of the answer itself has another meaning than ours.
	if s.IsZero() || s.Sub(c.Theirs) > maxAhead {
		return
	}
	if s.After(c.Newest) {
		c.Newest = s.Time
	}
	if s.zoneless && s.After(c.NewestZoneless) {
		c.NewestZoneless = s.Time
	}
}

// maxAhead is how far after the answer's Date a time on it may be: it was
// written before the answer was, by another machine.
const maxAhead = 2 * time.Minute

// ListBackups calls each with every backup of a vault and its replication
// records, once, newest backup first (CBR API reference, ListBackups). Nothing
// is kept of a backup once each has returned. If there is an error, each has
// seen a part of the backups at most.
//
// The Clocks are those of the first answer that had a Date. They serve for the
// records of all pages, since they relate two clocks and not two states.
//
// The error is a *kind.Error of a kind that is redelivered wherever CBR or the
// way to it is at fault: no answer to a lookup is a verdict on a replication.
// For the same reason none is Unknown: a lookup has no effect. See
// [ErrListRefused], [ErrNoVault] and [ErrNoRecords] for those that tell
// something. Each page is one try, bounded by Timeout; ctx bounds the whole.
func (c *Client) ListBackups(ctx context.Context, src huawei.Scope, vaultID string, each func(*Backup)) (Clocks, error) {
	var at Clocks
	if !IsVaultID(vaultID) {
		return at, &kind.Error{Kind: kind.InvalidEvent, Message: "vault_id: expected a UUID"}
	}
	seen := map[string]bool{}
	// The list may change between two pages. A new backup comes first and moves
	// the others to later pages, so that some come twice: they are told by
	// their ids. One that is deleted moves others to earlier pages, where they
	// would be missed: so a page begins with backups of the last one, and if it
	// does not begin with one that was seen, the list has been torn. As long as
	// the order stays, whatever was not seen before is behind that one.
	offset, lap, records, shown := 0, 0, 0, false
	for range maxPages {
		var p page
		known, joined := len(seen), lap == 0
		sent, err := c.Call(ctx, src, http.MethodGet, "/backups?"+c.pageQuery(vaultID, offset), nil, func(resp *http.Response) error {
			if at.Theirs.IsZero() {
				at.Ours = time.Now()
				at.Theirs, _ = http.ParseTime(resp.Header.Get("Date"))
			}
			first := true
			var err error
			p, err = c.readPage(resp, func(b *wireBackup) error {
				if b.id = c.Redact.ID(b.id); b.id == "" {
					return errors.New("a backup has no id")
				}
				joined = joined || first && seen[b.id]
				first = false
				if records += len(b.records); records > maxRecords {
					return fmt.Errorf("there are more than %d replication records", maxRecords)
				}
				if seen[b.id] {
					return nil
				}
				seen[b.id] = true
				shown = shown || b.shown
				if b.vaultID != "" && !strings.EqualFold(b.vaultID, vaultID) {
					return nil // a filter that is not honoured must not mix up vaults
				}
				for _, s := range []stamp{b.created, b.updated, b.protected} {
					at.saw(s)
				}
				backup := c.backup(b)
				for _, r := range backup.Records {
					at.saw(stamp{r.CreatedAt, r.Zoneless})
				}
				each(backup)
				return nil
			})
			return err
		})
		fresh, last := len(seen) > known, p.backups < p.limit
		switch {
		case err != nil:
			return at, c.listFault(sent, err)
		// An empty page ends a list, but where the list has become shorter than
		// what was seen of it.
		case p.backups == 0 && (p.count == 0 || p.count > offset || lap == 0):
			return at, shows(shown || len(seen) == 0)
		case !joined:
			return at, &kind.Error{Kind: kind.Unavailable, Message: "the list of backups changed while it was read"}
		// A count may be the page's or the list's, and speak of more than is
		// shown: it can ask for another page, but not end the list.
		case last && (offset+p.backups >= p.count || !fresh && p.backups <= lap):
			return at, shows(shown || len(seen) == 0)
		case !fresh:
			return at, &kind.Error{Kind: kind.Unavailable, Message: "CBR gave the same page of backups twice"}
		}
		lap = min(overlap, p.backups/2)
		offset += p.backups - lap
	}
	return at, &kind.Error{Kind: kind.Unavailable, Message: fmt.Sprintf("the list of backups did not end after %d pages", maxPages)}
}

// shows is the error of a list whose backups lack the field for records.
func shows(records bool) error {
	if records {
		return nil
	}
	return &kind.Error{Kind: kind.Misconfigured, Message: "no backup of the list has replication_records", Cause: ErrNoRecords}
}

// pageQuery is the query of the page that begins at offset.
func (c *Client) pageQuery(vaultID string, offset int) string {
	q := url.Values{
		"vault_id":         {vaultID},
		"show_replication": {"true"}, // false is the default
		"limit":            {strconv.Itoa(pageLimit)},
		"offset":           {strconv.Itoa(offset)},
	}
	if c.EnterpriseProjectID != "" {
		q.Set("enterprise_project_id", c.EnterpriseProjectID)
	}
	return q.Encode()
}

// readPage reads ListBackups' answer.
func (c *Client) readPage(resp *http.Response, each func(*wireBackup) error) (page, error) {
	if resp.StatusCode < 200 || resp.StatusCode > 299 {
		raw, err := huawei.ReadAll(resp.Body, huawei.MaxFault)
		e := c.Fault(resp, raw, err, "")
		if err == nil && c.Codes.Denied(e, raw) {
			e.Cause = ErrListRefused
		}
		return page{}, e
	}
	var p page
	body, err := huawei.ReadAll(resp.Body, maxPage)
	if err == nil {
		p, err = decodePage(body, each)
	}
	if err != nil {
		return page{}, c.Fault(resp, nil, nil, c.Redact.Text("the list of backups cannot be read: "+err.Error()))
	}
	return p, nil
}

// listFault is what an error of a lookup's call means for a lookup. sent
// says whether the call was made.
func (c *Client) listFault(sent bool, err error) error {
	if !sent {
		return kind.As(err)
	}
	e := *kind.As(err)
	// A lookup is not worth a fresh credential. Whoever makes the next call
	// gets one where the source has it.
	e.Renewed = false
	switch {
	case e.HTTPStatus == 0 && e.Kind == kind.Unknown:
		e.Message = c.Redact.Text("no answer to the lookup: " + e.Cause.Error())
	case c.Codes.Normal(e.HTTPStatus, e.Code) == "BackupService.6105":
		e.Cause = ErrNoVault
	case c.Codes.Normal(e.HTTPStatus, e.Code) == "BackupService.9900" && strings.Contains(strings.ToLower(e.Message), "show_replication"):
		e.Cause = ErrNoRecords
	}
	switch {
	case e.Kind == kind.Unknown:
		e.Kind = kind.Unavailable
	case !e.Kind.Policy().Redeliver:
		e.Kind = kind.Misconfigured
	}
	return &e
}

// page is what a page says of itself.
type page struct {
	backups int // that are on it, each counted
	count   int // as the answer has it; zero: nothing
	limit   int // how many there would be on a full page
}

// wireBackup is BackupResp on the wire, as far as it is needed. Any field may be
// absent, null (recorded answers; CBR API reference, examples) or of another
// type: what cannot be read is left empty, since one odd backup or record must
// not keep a whole vault from being looked up.
type wireBackup struct {
	wireItem
	providerID, vaultID string
	updated, protected  stamp
	records             []wireRecord
	// shown: there is a field for records, whatever is in it.
	shown bool
}

// wireRecord is ReplicationRecordGet on the wire.
type wireRecord struct {
	wireItem
	sourceRegion, sourceProject           string
	destinationRegion, destinationProject string
	vault, extraVault                     wireVault
}

// wireItem has the fields that backups and records share.
type wireItem struct {
	id, status string
	created    stamp
}

// read reads the member name if it is one of the item's.
func (i *wireItem) read(r *jsonscan.Reader, name string) {
	switch name {
	case "id":
		i.id = text(r)
	case "status":
		i.status = text(r)
	case "created_at":
		i.created = stampOf(r.Value())
	}
}

// wireVault is the id of a destination vault, under its name and under the one
// that it had before 2025-09 (huaweicloud-sdk-go-v3, v0.1.169).
type wireVault struct{ id, misspelt string }

// read reads the member name if it is one of the vault's.
func (v *wireVault) read(r *jsonscan.Reader, name string) {
	switch name {
	case "destination_vault_id":
		v.id = text(r)
	case "destinatio_vault_id":
		v.misspelt = text(r)
	}
}

// decodePage reads a page, and calls each for its backups.
func decodePage(body []byte, each func(*wireBackup) error) (p page, err error) {
	p.limit = pageLimit
	r := jsonscan.New(body)
	listed := false
	for name := range r.Members {
		switch string(name) {
		case "backups":
			listed = true
			for range r.Elements {
				var b wireBackup
				b.read(r)
				if r.Err() != nil {
					break // it is not whole
				}
				if err := each(&b); err != nil {
					return p, err
				}
				p.backups++
			}
		case "count":
			p.count, _ = strconv.Atoi(string(r.Value()))
		case "limit":
			if n, err := strconv.Atoi(string(r.Value())); err == nil && n > 0 {
				p.limit = min(n, pageLimit)
			}
		}
	}
	if err := r.End(); err != nil {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return p, err
	}
	if !listed {
		return p, errors.New("it has none")
	}
	return p, nil
}

func (b *wireBackup) read(r *jsonscan.Reader) {
	var records, record []wireRecord
	members(r, func(name string) {
		switch name {
		case "provider_id":
			b.providerID = text(r)
		case "vault_id":
			b.vaultID = text(r)
		case "updated_at":
			b.updated = stampOf(r.Value())
		case "protected_at":
			b.protected = stampOf(r.Value())
		case "replication_records":
			b.shown = true
			records = readRecords(r)
		case "replication_record": // as Terraform's provider reads it
			b.shown = true
			record = readRecords(r)
		default:
			b.wireItem.read(r, name)
		}
	})
	if b.records = records; len(records) == 0 {
		b.records = record
	}
}

// readRecords reads a list. One of another type is an error: it may hide what
// was done.
func readRecords(r *jsonscan.Reader) (records []wireRecord) {
	for range r.Elements {
		if len(records) > maxRecords {
			r.Value() // counted as too many already
			continue
		}
		var w wireRecord
		w.read(r)
		records = append(records, w)
	}
	return records
}

func (w *wireRecord) read(r *jsonscan.Reader) {
	members(r, func(name string) {
		switch name {
		case "source_region":
			w.sourceRegion = text(r)
		case "source_project_id":
			w.sourceProject = text(r)
		case "destination_region":
			w.destinationRegion = text(r)
		case "destination_project_id":
			w.destinationProject = text(r)
		case "extra_info":
			members(r, func(name string) { w.extraVault.read(r, name) })
		default:
			w.wireItem.read(r, name)
			w.vault.read(r, name)
		}
	})
}

// members reads an object. Any other value has no members.
func members(r *jsonscan.Reader, each func(name string)) {
	if r.Peek() != jsontext.KindBeginObject {
		r.Value()
		return
	}
	for name := range r.Members {
		each(string(name))
	}
}

// text reads a string, or a number as it is written. Any other value is none,
// and so is one that is longer than what is read here ever is.
func text(r *jsonscan.Reader) string {
	value := r.Value()
	s, ok := jsonscan.Text(value)
	if !ok && len(value) > 0 && (value[0] == '-' || '0' <= value[0] && value[0] <= '9') {
		s = string(value)
	}
	if len(s) > maxText {
		return ""
	}
	return s
}

// backup returns what is kept of b, whose id has passed Redact. So does what
// else may go into a result.
func (c *Client) backup(b *wireBackup) *Backup {
	out := &Backup{
		ID:         b.id,
		CreatedAt:  b.created.Time,
		Available:  strings.EqualFold(b.status, "available"),
		ProviderID: c.Redact.Text(b.providerID),
		Records:    make([]ReplicationRecord, 0, len(b.records)),
	}
	for _, r := range b.records {
		out.Records = append(out.Records, ReplicationRecord{
			ID:                   c.Redact.ID(r.id),
			Status:               RecordStatus(strings.ToLower(r.status)),
			CreatedAt:            r.created.Time,
			Zoneless:             r.created.zoneless,
			SourceRegion:         c.Redact.Text(r.sourceRegion),
			SourceProjectID:      c.Redact.Text(r.sourceProject),
			DestinationRegion:    r.destinationRegion,
			DestinationProjectID: r.destinationProject,
			DestinationVaultID:   cmp.Or(r.vault.id, r.vault.misspelt, r.extraVault.id, r.extraVault.misspelt),
		})
	}
	return out
}

// stamp is a time of CBR's: zero for none, and for what is no time.
type stamp struct {
	time.Time
	zoneless bool // read as UTC
}

// zones are the ways to write one.
var zones = []string{"Z07:00", "Z0700", "Z07"}

// stampOf reads a time in any of the forms in which CBR was seen to write one,
// with T or a space, with a zone or without, and in those that others write: a
// zone without a colon, seconds or milliseconds since 1970.
func stampOf(value []byte) stamp {
	s, ok := jsonscan.Text(value)
	if !ok {
		s = string(value)
	}
	if n, err := strconv.ParseFloat(s, 64); err == nil {
		if n >= 1e11 { // in milliseconds that is 1973, in seconds the year 5138
			n /= 1000
		}
		if n < 1 || n >= 1e11 {
			return stamp{}
		}
		return stamp{Time: time.UnixMicro(int64(n * 1e6)).UTC()}
	}
	s = strings.ToUpper(strings.Replace(s, " ", "T", 1))
	for _, zone := range zones {
		if t, err := time.Parse("2006-01-02T15:04:05"+zone, s); err == nil && !t.IsZero() {
			return stamp{Time: t.UTC()}
		}
	}
	if t, err := time.Parse("2006-01-02T15:04:05", s); err == nil && !t.IsZero() {
		return stamp{t, true}
	}
	return stamp{}
}
