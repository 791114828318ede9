package cbr

import (
	"cmp"
	"context"
	"errors"
	"fmt"
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
	// maxRecords bounds the replication records of a list: several for each backup of
	// the largest vault. What is kept of them, and of up to 64,000 backups, takes some
	// dozens of megabytes at most.
	maxRecords = 200_000
	// maxText bounds ids, regions and states. All ids that were seen are UUIDs.
	maxText = 128
	// maxReason bounds a failed copy's reason, and a resource's name, before they
	// are cut to what a message takes.
	maxReason = 16 << 10
)

var (
	// ErrListRefused is in the chain of an error in which CBR or IAM says that the
	// credential is good, but may not list backups.
	ErrListRefused = errors.New("listing backups is not allowed")
	// ErrNoVault is in the chain of an error if the vault does not exist
	// (BackupService.6105), or the one backup that was asked for (BackupService.6200).
	ErrNoVault = errors.New("the vault or backup does not exist")
	// ErrNoRecords is in the chain of an error if this cloud does not show replication
	// records: no backup of the list has the field for them, or CBR refuses the
	// parameter that asks for it. Only the API reference of Huawei's own clouds has the
	// field.
	ErrNoRecords = errors.New("this cloud does not show replication records")
)

// Backup is what a lookup needs of a backup (CBR API reference, ListBackups,
// BackupResp).
type Backup struct {
	ID string
	// CreatedAt is by CBR's clock, zero if CBR does not say.
	CreatedAt time.Time
	// Available: its status says that it is complete and can be copied.
	Available bool
	// ProviderID says what was backed up: a server, a disk or a file system.
	ProviderID string
	// ResourceID and ResourceName are of what was backed up, a server say.
	ResourceID, ResourceName string
	Records                  []ReplicationRecord
}

// ReplicationRecord is what became of one copy of a backup (CBR API reference,
// ListBackups, ReplicationRecordGet). Ids are in upper or lower case, as CBR wrote
// them. What CBR does not say, or says in a way that is not known, is empty.
type ReplicationRecord struct {
	ID     string
	Status RecordStatus
	// CreatedAt is when the copy began, by CBR's clock. Zero if CBR did not say, as for
	// a copy that waits.
	CreatedAt time.Time
	// Zoneless: CBR wrote CreatedAt without a zone. It is read as UTC, which is right
	// for recorded answers of Huawei's own cloud.
	Zoneless                                                    bool
	SourceRegion, SourceProjectID                               string
	DestinationRegion, DestinationProjectID, DestinationVaultID string
	// DestinationBackupID is the replica's. CBR may fill it in late.
	DestinationBackupID string
	// Progress is in percent, zero where CBR does not say.
	Progress int
	// FailCode and FailReason are CBR's words on a copy that failed.
	FailCode, FailReason string
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

// Covers reports whether the copy exists or is under way.
func (s RecordStatus) Covers() bool { return s == Waiting || s == Replicating || s == Replicated }

// Ended reports whether there is no copy, and the record will not become one.
func (s RecordStatus) Ended() bool { return s == Failed || s == Skipped }

// Clocks is the moment when CBR answered, by two clocks that may differ.
type Clocks struct {
	// Ours is when the answer's header arrived.
	Ours time.Time
	// Theirs is the answer's Date, to the second; zero if it had none.
	Theirs time.Time
	// Newest is the newest time on the list, NewestZoneless the newest that has no
	// zone. Neither is later than the answer, so they bound how far the clock that wrote
	// them may be behind Theirs. Zero if there is none.
	Newest, NewestZoneless time.Time
}

// add counts a time on the list.
func (c *Clocks) add(s stamp) {
	// A time after the answer is not what we think.
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

// maxAhead is how far after the answer's Date a time in it may be. It was written
// before the answer, but perhaps by another machine.
const maxAhead = 2 * time.Minute

// ListBackups calls each with every backup of a vault and its replication records,
// once, newest backup first (CBR API reference, ListBackups). It keeps nothing of a
// backup after each has returned. With an error, each may have seen only a part of the
// backups.
//
// The Clocks are those of the first answer that had a Date. They are right for the
// records of all pages, since the difference of two clocks does not change.
//
// The error is a *kind.Error. If the fault is CBR's, or lies on the way to CBR, the
// error's kind is redelivered: no answer to a lookup decides about a replication. It
// is never Unknown, since a lookup has no effect. [ErrListRefused], [ErrNoVault] and
// [ErrNoRecords] are errors that mean more. Each page is one try, bounded by Timeout;
// ctx bounds all pages together.
func (c *Client) ListBackups(ctx context.Context, src huawei.Scope, vaultID string, each func(*Backup)) (Clocks, error) {
	var at Clocks
	if !IsVaultID(vaultID) {
		return at, &kind.Error{Kind: kind.InvalidEvent, Message: "vault_id: expected a UUID"}
	}
	records, shown := 0, false
	l, err := c.list(ctx, src, "backups", func(offset int) string { return "/backups?" + c.pageQuery(vaultID, offset) }, func(resp *http.Response) {
		if at.Theirs.IsZero() {
			at.Ours = time.Now()
			at.Theirs, _ = http.ParseTime(resp.Header.Get("Date"))
		}
	}, func(r *jsonscan.Reader, l *list) error {
		b, err := c.readBackup(r)
		if err != nil {
			return err
		}
		if records += len(b.records); records > maxRecords {
			return fmt.Errorf("there are more than %d replication records", maxRecords)
		}
		if !l.fresh(b.id) {
			return nil
		}
		shown = shown || b.shown
		if b.vaultID != "" && !strings.EqualFold(b.vaultID, vaultID) {
			return nil // CBR did not follow the filter: this is another vault's
		}
		each(c.backup(b, &at))
		return nil
	})
	if err != nil {
		return at, err
	}
	return at, needRecords(shown || len(l.seen) == 0)
}

// ShowBackup calls each with a backup and its replication records (CBR API reference,
// ShowBackup). It promises what [Client.ListBackups] does. A backup that does not exist
// is an [ErrNoVault].
func (c *Client) ShowBackup(ctx context.Context, src huawei.Scope, backupID string, each func(*Backup)) (Clocks, error) {
	var at Clocks
	if !IsVaultID(backupID) {
		return at, &kind.Error{Kind: kind.InvalidEvent, Message: "backup_id: expected " + VaultForm}
	}
	shown := false
	sent, err := c.Call(ctx, src, http.MethodGet, "/backups/"+backupID, nil, func(resp *http.Response) error {
		at.Ours = time.Now()
		at.Theirs, _ = http.ParseTime(resp.Header.Get("Date"))
		var backup *Backup
		err := c.readBody(resp, "the backup", func(r *jsonscan.Reader) error {
			for name := range r.Members {
				if string(name) != "backup" {
					continue
				}
				b, err := c.readBackup(r)
				if err != nil {
					return err
				}
				shown, backup = b.shown, c.backup(b, &at)
			}
			return nil
		})
		switch {
		case err != nil:
			return err
		case backup == nil || !strings.EqualFold(backup.ID, backupID):
			return c.Fault(resp, nil, nil, "the answer has no backup, or another one")
		}
		each(backup)
		return nil
	})
	if err != nil {
		return at, c.listFault(sent, err)
	}
	return at, needRecords(shown)
}

// needRecords returns an error unless backups of the list have the field for records.
func needRecords(shown bool) error {
	if shown {
		return nil
	}
	return &kind.Error{Kind: kind.Misconfigured, Message: "no backup of the list has replication_records", Cause: ErrNoRecords}
}

// pageQuery returns the query for the page that begins at offset.
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

// listFault turns the error of a call into the error of a lookup. sent says whether the
// call was made.
func (c *Client) listFault(sent bool, err error) error {
	if !sent {
		return kind.As(err)
	}
	e := *kind.As(err)
	// A lookup is not retried with a new credential. The next call gets one if the
	// source has it.
	e.Renewed = false
	code := c.Codes.Normal(e.HTTPStatus, e.Code)
	switch {
	case e.HTTPStatus == 0 && e.Kind == kind.Unknown:
		e.Message = c.Redact.Text("no answer to the lookup: " + e.Cause.Error())
	case code == "BackupService.6105", code == "BackupService.6200":
		e.Cause = ErrNoVault
	case code == "BackupService.9900" && strings.Contains(strings.ToLower(e.Message), "show_replication"):
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

// wireBackup is BackupResp on the wire, as far as it is needed. Any field may be absent,
// null (recorded answers; CBR API reference, examples) or of another type. What cannot
// be read is left empty: one odd backup or record must not prevent the lookup of its
// vault.
type wireBackup struct {
	wireItem
	providerID, vaultID      string
	resourceID, resourceName string
	updated, protected       stamp
	records                  []wireRecord
	// shown: the field for records is there, even if it is empty.
	shown bool
}

// wireRecord is ReplicationRecordGet on the wire.
type wireRecord struct {
	wireItem
	sourceRegion, sourceProject           string
	destinationRegion, destinationProject string
	destinationBackup                     string
	progress, failCode, failReason        string
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

// readBackup reads a backup. Its id has passed Redact.
func (c *Client) readBackup(r *jsonscan.Reader) (*wireBackup, error) {
	var b wireBackup
	b.read(r)
	if b.id = c.Redact.ID(b.id); b.id == "" && r.Err() == nil {
		return nil, errors.New("a backup has no id")
	}
	return &b, r.Err()
}

func (b *wireBackup) read(r *jsonscan.Reader) {
	var records, record []wireRecord
	members(r, func(name string) {
		switch name {
		case "provider_id":
			b.providerID = text(r)
		case "resource_id":
			b.resourceID = text(r)
		case "resource_name":
			b.resourceName = upTo(maxReason, r)
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

// readRecords reads a list of records. Another type is an error, since it may hide
// records.
func readRecords(r *jsonscan.Reader) (records []wireRecord) {
	for range r.Elements {
		if len(records) > maxRecords {
			r.Value() // there are too many already
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
		case "destination_backup_id":
			w.destinationBackup = text(r)
		case "extra_info":
			members(r, func(name string) {
				switch name {
				case "progress":
					w.progress = text(r)
				case "fail_code":
					w.failCode = text(r)
				case "fail_reason":
					w.failReason = upTo(maxReason, r)
				default:
					w.extraVault.read(r, name)
				}
			})
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

// text reads a string, or a number as it is written. Any other value is empty, and so is
// one that is longer than maxText.
func text(r *jsonscan.Reader) string { return upTo(maxText, r) }

func upTo(most int, r *jsonscan.Reader) string {
	value := r.Value()
	s, ok := jsonscan.Text(value)
	if !ok && len(value) > 0 && (value[0] == '-' || '0' <= value[0] && value[0] <= '9') {
		s = string(value)
	}
	if len(s) > most {
		return ""
	}
	return s
}

// backup returns what is kept of b. All that may go into a result passes Redact; b's id
// has passed it already.
func (c *Client) backup(b *wireBackup, at *Clocks) *Backup {
	out := &Backup{
		ID:         b.id,
		CreatedAt:  b.created.Time,
		Available:  strings.EqualFold(b.status, "available"),
		ProviderID: c.Redact.Text(b.providerID),

		ResourceID:   c.Redact.ID(b.resourceID),
		ResourceName: c.Redact.Text(b.resourceName),
		Records:      make([]ReplicationRecord, 0, len(b.records)),
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
			DestinationBackupID:  c.Redact.ID(r.destinationBackup),
			Progress:             percent(r.progress),
			FailCode:             c.Redact.Text(r.failCode),
			FailReason:           c.Redact.Text(r.failReason),
		})
	}
	for _, t := range []stamp{b.created, b.updated, b.protected} {
		at.add(t)
	}
	for _, r := range out.Records {
		at.add(stamp{r.CreatedAt, r.Zoneless})
	}
	return out
}

// percent reads a progress from 0 to 100. Anything else is zero.
func percent(s string) int {
	n, err := strconv.Atoi(s)
	if err != nil || n < 0 || n > 100 {
		return 0
	}
	return n
}

// stamp is a time that CBR wrote, zero if it wrote none or cannot be read.
type stamp struct {
	time.Time
	zoneless bool // read as UTC
}

// zones are the ways to write a time zone.
var zones = []string{"Z07:00", "Z0700", "Z07"}

// stampOf reads a time in any form that CBR was seen to write: with T or a space, with a
// zone or without. It also reads forms of other services: a zone without a colon, and
// seconds or milliseconds since 1970.
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
