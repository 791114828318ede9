package cbr

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

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
)

var (
	// ErrListRefused is in the chain of an error in which CBR or IAM itself says
	// that the credential, good as it is, may not list backups.
	ErrListRefused = errors.New("listing backups is not allowed")
	// ErrNoVault is in the chain of an error that says that the vault does not
	// exist (BackupService.6105).
	ErrNoVault = errors.New("the vault does not exist")
)

// Backup is what a look-up needs of a backup (CBR API reference, ListBackups,
// BackupResp).
type Backup struct {
	ID string
	// Available: it is complete, and can be copied as far as its status says.
	Available bool
	// ProviderID tells backups of servers, disks and file systems apart.
	ProviderID string
	Records    []ReplicationRecord
}

// ReplicationRecord is what became of one copy of a backup (CBR API reference,
// ListBackups, ReplicationRecordGet). Ids come in the case that CBR chose.
type ReplicationRecord struct {
	ID     string
	Status RecordStatus
	// CreatedAt is when the copy began, by CBR's clock; zero where CBR did not
	// say, as for one that waits.
	CreatedAt                                                   time.Time
	SourceRegion, SourceProjectID                               string
	DestinationRegion, DestinationProjectID, DestinationVaultID string
}

// RecordStatus is the state of a copy. "fail" and "skip" are the ones that
// nothing is decided by.
type RecordStatus string

// The states of a copy that is, or is to be, there (CBR API reference).
const (
	Waiting     RecordStatus = "waiting_replicate"
	Replicating RecordStatus = "replicating"
	Replicated  RecordStatus = "success"
)

// Covers reports whether the copy is there or under way.
func (s RecordStatus) Covers() bool { return s == Waiting || s == Replicating || s == Replicated }

// Clocks is one moment on two clocks, which need not agree: when CBR answered.
type Clocks struct {
	// Ours is when the answer's header was here.
	Ours time.Time
	// Theirs is the answer's Date, to the second; zero where it had none.
	Theirs time.Time
}

// ListBackups calls each with every backup of a vault and its replication
// records, once, newest backup first (CBR API reference, ListBackups). Nothing
// is kept of a backup once each has returned. If there is an error, each has
// seen a part of the backups at most.
//
// The Clocks are those of the first answer that had a Date. They serve for the
// records of all pages, since they relate two clocks and not two states.
//
// The error is a *kind.Error of a kind that is redelivered wherever CBR or the
// way to it is at fault: no answer to a look-up is a verdict on a replication.
// For the same reason none is Unknown: a look-up has no effect. See
// [ErrListRefused] and [ErrNoVault] for the two that tell something. Each page
// is one try, bounded by Timeout; ctx bounds the whole.
func (c *Client) ListBackups(ctx context.Context, src Source, vaultID string, each func(*Backup)) (Clocks, error) {
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
	offset, lap := 0, 0
	for range maxPages {
		var p page
		known, joined := len(seen), offset == 0
		sent, err := c.call(ctx, src, http.MethodGet, "/backups?"+c.pageQuery(vaultID, offset), nil, func(resp *http.Response) error {
			if at.Theirs.IsZero() {
				at.Ours = time.Now()
				at.Theirs, _ = http.ParseTime(resp.Header.Get("Date"))
			}
			first := true
			var err error
			p, err = c.readPage(resp, func(b *wireBackup) error {
				if b.ID = c.Redact.Text(b.ID); b.ID == "" {
					return errors.New("a backup has no id")
				}
				joined = joined || first && seen[b.ID]
				first = false
				if seen[b.ID] {
					return nil
				}
				seen[b.ID] = true
				if b.VaultID != "" && !strings.EqualFold(b.VaultID, vaultID) {
					return nil // a filter that is not honoured must not mix up vaults
				}
				backup, err := c.backup(b)
				if err == nil {
					each(backup)
				}
				return err
			})
			return err
		})
		fresh, last := len(seen) > known, p.backups < p.limit
		switch {
		case err != nil:
			return at, c.listFault(sent, err)
		case !joined:
			return at, &kind.Error{Kind: kind.Unavailable, Message: "the list of backups changed while it was read"}
		// A count may be the page's or the list's, and speak of more than is
		// shown: it can ask for another page, but not end the list.
		case last && (offset+p.backups >= p.count || !fresh && p.backups <= lap):
			return at, nil
		case !fresh:
			return at, &kind.Error{Kind: kind.Unavailable, Message: "CBR gave the same page of backups twice"}
		}
		lap = min(overlap, p.backups/2)
		offset += p.backups - lap
	}
	return at, &kind.Error{Kind: kind.Unavailable, Message: fmt.Sprintf("the list of backups did not end after %d pages", maxPages)}
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
		raw, err := readAll(resp.Body, maxFault)
		e := c.fault(resp, raw, err, "")
		if err == nil && deniedByCloud(e, raw) {
			e.Cause = ErrListRefused
		}
		return page{}, e
	}
	body := &io.LimitedReader{R: resp.Body, N: maxPage + 1}
	p, err := decodePage(body, each)
	if body.N <= 0 {
		err = fmt.Errorf("it is longer than %d bytes", maxPage)
	}
	if err != nil {
		return page{}, c.fault(resp, nil, nil, c.Redact.Text("the list of backups cannot be read: "+err.Error()))
	}
	return p, nil
}

// listFault is what an error of a look-up's call means for a look-up. sent
// says whether the call was made.
func (c *Client) listFault(sent bool, err error) error {
	if !sent {
		return kind.As(err)
	}
	e := *kind.As(err)
	// A look-up is not worth a fresh credential. Whoever makes the next call
	// gets one where the source has it.
	e.Renewed = false
	switch {
	case e.HTTPStatus == 0 && e.Kind == kind.Unknown:
		e.Message = c.Redact.Text("no answer to the look-up: " + e.Cause.Error())
	case normal(e.HTTPStatus, e.Code) == "BackupService.6105":
		e.Cause = ErrNoVault
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
// absent or null (recorded answers; CBR API reference, examples).
type wireBackup struct {
	ID         string       `json:"id"`
	Status     string       `json:"status"`
	ProviderID string       `json:"provider_id"`
	VaultID    string       `json:"vault_id"`
	Records    []wireRecord `json:"replication_records"`
	// Record is the name that Terraform's provider reads.
	Record []wireRecord `json:"replication_record"`
}

// wireRecord is ReplicationRecordGet on the wire.
type wireRecord struct {
	ID                   string `json:"id"`
	Status               string `json:"status"`
	CreatedAt            string `json:"created_at"`
	SourceRegion         string `json:"source_region"`
	SourceProjectID      string `json:"source_project_id"`
	DestinationRegion    string `json:"destination_region"`
	DestinationProjectID string `json:"destination_project_id"`
	destinationVault
	ExtraInfo destinationVault `json:"extra_info"`
}

// destinationVault is a record's destination vault under the name that it has
// and the one that it had before 2025-09 (huaweicloud-sdk-go-v3, v0.1.169).
type destinationVault struct {
	Vault    string `json:"destination_vault_id"`
	Misspelt string `json:"destinatio_vault_id"`
}

// decodePage reads a page one backup at a time, for which it calls each.
func decodePage(body io.Reader, each func(*wireBackup) error) (p page, err error) {
	p.limit = pageLimit
	dec := json.NewDecoder(body)
	defer func() {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
	}()
	if t, err := dec.Token(); err != nil || t != json.Delim('{') {
		return p, cmp.Or(err, errors.New("it is not an object"))
	}
	listed := false
	for dec.More() {
		name, err := dec.Token()
		if err != nil {
			return p, err
		}
		if name == "backups" {
			listed = true
			n, err := decodeBackups(dec, each)
			if err != nil {
				return p, err
			}
			p.backups += n
			continue
		}
		var value json.RawMessage
		if err := dec.Decode(&value); err != nil {
			return p, err
		}
		n, err := strconv.Atoi(string(value))
		switch {
		case err != nil:
		case name == "count":
			p.count = n
		case name == "limit" && n > 0:
			p.limit = min(n, pageLimit)
		}
	}
	if _, err := dec.Token(); err != nil {
		return p, err
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return p, cmp.Or(err, errors.New("there is more after the object"))
	}
	if !listed {
		return p, errors.New("it has none")
	}
	return p, nil
}

// decodeBackups reads the list itself and returns its length.
func decodeBackups(dec *json.Decoder, each func(*wireBackup) error) (n int, err error) {
	switch t, err := dec.Token(); {
	case err != nil:
		return 0, err
	case t == nil:
		return 0, nil
	case t != json.Delim('['):
		return 0, errors.New("it is not a list")
	}
	for ; dec.More(); n++ {
		var b wireBackup
		if err := dec.Decode(&b); err != nil {
			return n, err
		}
		if err := each(&b); err != nil {
			return n, err
		}
	}
	_, err = dec.Token()
	return n, err
}

// backup returns what is kept of b, whose id has passed Redact. So does what
// else may go into a result.
func (c *Client) backup(b *wireBackup) (*Backup, error) {
	records := b.Records
	if len(records) == 0 {
		records = b.Record
	}
	out := &Backup{
		ID:         b.ID,
		Available:  b.Status == "available",
		ProviderID: c.Redact.Text(b.ProviderID),
		Records:    make([]ReplicationRecord, 0, len(records)),
	}
	for _, r := range records {
		created, err := parseTime(r.CreatedAt)
		if err != nil {
			return nil, fmt.Errorf("created_at of a replication record: %w", err)
		}
		id := c.Redact.Text(r.ID)
		if id == "" {
			return nil, errors.New("a replication record has no id")
		}
		out.Records = append(out.Records, ReplicationRecord{
			ID:                   id,
			Status:               RecordStatus(r.Status),
			CreatedAt:            created,
			SourceRegion:         c.Redact.Text(r.SourceRegion),
			SourceProjectID:      c.Redact.Text(r.SourceProjectID),
			DestinationRegion:    r.DestinationRegion,
			DestinationProjectID: r.DestinationProjectID,
			DestinationVaultID:   cmp.Or(r.Vault, r.Misspelt, r.ExtraInfo.Vault, r.ExtraInfo.Misspelt),
		})
	}
	return out, nil
}

// parseTime reads a time in any of the forms in which CBR was seen to write
// one: with T or a space, with a zone or, in UTC, without. An empty one is zero,
// and no other is.
func parseTime(s string) (time.Time, error) {
	if s == "" {
		return time.Time{}, nil
	}
	s = strings.Replace(s, " ", "T", 1)
	for _, layout := range []string{time.RFC3339, "2006-01-02T15:04:05"} {
		if t, err := time.Parse(layout, s); err == nil && !t.IsZero() {
			return t.UTC(), nil
		}
	}
	return time.Time{}, errors.New("not a time such as 2019-05-23T14:31:36.039365")
}
