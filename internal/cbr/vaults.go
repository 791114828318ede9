package cbr

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"cbr-replicator/internal/huawei"
	"cbr-replicator/internal/jsonscan"
)

// maxAsked is how many vaults one call asks for by their ids.
const maxAsked = 100

// Vault is what a plan needs of a vault, and what says whether it can be replicated
// (CBR API reference, ListVault).
type Vault struct {
	ID, Name string
	// Backup: its protection type is backup. Others hold replicas.
	Backup bool
	Tags   []Tag
	// ProtectType is backup, replication or hybrid. ObjectType is server, disk, turbo
	// or another. Status is available, lock, frozen, deleting or error. All are in
	// lower case, and empty if CBR does not say.
	ProtectType, ObjectType, Status string
	// Size is the capacity in GB, Used what is used of it in MB. Zero if CBR does not
	// say.
	Size, Used int
}

// Tag is a tag of a vault.
type Tag struct{ Key, Value string }

// Tag returns the value of the tag with a key.
func (v *Vault) Tag(key string) (value string, ok bool) {
	for _, t := range v.Tags {
		if t.Key == key {
			return t.Value, true
		}
	}
	return "", false
}

// ListVaults calls each with every vault of a project, once, or with those that have
// the ids (CBR API reference, ListVault). If there is an error, each has seen a part
// of them at most.
//
// The error is a *kind.Error of a kind that is redelivered wherever CBR or the way
// to it is at fault, or the list changed while it was read. Each page is one try,
// bounded by Timeout; ctx bounds the whole.
func (c *Client) ListVaults(ctx context.Context, src huawei.Scope, ids []string, each func(*Vault)) error {
	if len(ids) == 0 {
		return c.listVaults(ctx, src, nil, each)
	}
	for some := range slices.Chunk(ids, maxAsked) {
		if err := c.listVaults(ctx, src, some, each); err != nil {
			return err
		}
	}
	return nil
}

// listVaults reads all pages of one list.
func (c *Client) listVaults(ctx context.Context, src huawei.Scope, ids []string, each func(*Vault)) error {
	_, err := c.list(ctx, src, "vaults", func(offset int) string { return c.vaultQuery(ids, offset) }, func(*http.Response) {}, func(r *jsonscan.Reader, l *list) error {
		v := c.readVault(r)
		switch {
		case r.Err() != nil:
			return r.Err()
		case v.ID == "":
			return errors.New("a vault has no id")
		case l.fresh(v.ID):
			each(v)
		}
		return nil
	})
	return err
}

func (c *Client) vaultQuery(ids []string, offset int) string {
	q := url.Values{"limit": {strconv.Itoa(pageLimit)}, "offset": {strconv.Itoa(offset)}, "id": ids}
	if len(ids) == 0 {
		q.Del("id")
	}
	if c.EnterpriseProjectID != "" {
		q.Set("enterprise_project_id", c.EnterpriseProjectID)
	}
	return "/vaults?" + q.Encode()
}

// readVault reads a vault. Any field may be absent, null or of another type.
func (c *Client) readVault(r *jsonscan.Reader) *Vault {
	var v Vault
	members(r, func(name string) {
		switch name {
		case "id":
			v.ID = c.Redact.ID(text(r))
		case "name":
			v.Name = c.Redact.Text(text(r))
		case "billing":
			c.readBilling(r, &v)
		case "tags":
			v.Tags = readTags(r)
		}
	})
	return &v
}

func (c *Client) readBilling(r *jsonscan.Reader, v *Vault) {
	word := func() string { return strings.ToLower(c.Redact.Text(text(r))) }
	members(r, func(name string) {
		switch name {
		case "protect_type":
			v.ProtectType = word()
			v.Backup = v.ProtectType == "backup"
		case "object_type":
			v.ObjectType = word()
		case "status":
			v.Status = word()
		case "size":
			v.Size, _ = strconv.Atoi(string(r.Value()))
		case "used":
			v.Used, _ = strconv.Atoi(string(r.Value()))
		}
	})
}

// readTags reads tags, which may be null. What is no tag is left out.
func readTags(r *jsonscan.Reader) (tags []Tag) {
	if r.Peek() != jsontext.KindBeginArray {
		r.Value()
		return nil
	}
	for range r.Elements {
		var t Tag
		members(r, func(name string) {
			switch name {
			case "key":
				t.Key = text(r)
			case "value":
				t.Value = text(r)
			}
		})
		if t.Key != "" {
			tags = append(tags, t)
		}
	}
	return tags
}
