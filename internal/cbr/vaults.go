package cbr

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"cbr-replicator/internal/huawei"
	"cbr-replicator/internal/jsonscan"
	"cbr-replicator/internal/kind"
)

// maxAsked is how many vaults one call asks for by their ids.
const maxAsked = 100

// Vault is what a plan needs of a vault (CBR API reference, ListVault).
type Vault struct {
	ID, Name string
	// Backup: its protection type is backup. Others hold replicas.
	Backup bool
	Tags   []Tag
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
	l := newPaged("vaults")
	for l.more() {
		var p page
		sent, err := c.Call(ctx, src, http.MethodGet, "/vaults?"+c.vaultQuery(ids, l.offset), nil, func(resp *http.Response) (err error) {
			p, err = c.readVaults(resp, func(v *Vault) {
				if l.see(v.ID) {
					each(v)
				}
			})
			return err
		})
		if err != nil {
			return c.listFault(sent, err)
		}
		l.read(p)
	}
	return l.err
}

func (c *Client) vaultQuery(ids []string, offset int) string {
	q := url.Values{"limit": {strconv.Itoa(pageLimit)}, "offset": {strconv.Itoa(offset)}, "id": ids}
	if len(ids) == 0 {
		q.Del("id")
	}
	if c.EnterpriseProjectID != "" {
		q.Set("enterprise_project_id", c.EnterpriseProjectID)
	}
	return q.Encode()
}

// readVaults reads ListVault's answer.
func (c *Client) readVaults(resp *http.Response, each func(*Vault)) (page, error) {
	return c.readList(resp, "vaults", func(r *jsonscan.Reader) error {
		var v Vault
		members(r, func(name string) {
			switch name {
			case "id":
				v.ID = c.Redact.ID(text(r))
			case "name":
				v.Name = c.Redact.Text(text(r))
			case "billing":
				members(r, func(name string) {
					if name == "protect_type" {
						v.Backup = strings.EqualFold(text(r), "backup")
					}
				})
			case "tags":
				v.Tags = readTags(r)
			}
		})
		switch {
		case r.Err() != nil:
			return nil // the list is not whole, which its end says
		case v.ID == "":
			return errors.New("a vault has no id")
		}
		each(&v)
		return nil
	})
}

// readTags reads tags, which may be null. What is no tag is left out.
func readTags(r *jsonscan.Reader) (tags []Tag) {
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

// paged is a list that is read page by page, while it may change. See
// [Client.ListBackups] for how that is noticed.
type paged struct {
	what        string
	seen        map[string]bool
	offset, lap int
	pages       int
	done        bool
	err         error

	// Of the page that is being read.
	known         int
	joined, first bool
}

func newPaged(what string) *paged { return &paged{what: what, seen: map[string]bool{}} }

// more reports whether there is another page to read.
func (l *paged) more() bool {
	if l.done || l.err != nil {
		return false
	}
	if l.pages++; l.pages > maxPages {
		l.err = &kind.Error{Kind: kind.Unavailable, Message: fmt.Sprintf("the list of %s did not end after %d pages", l.what, maxPages)}
		return false
	}
	l.known, l.joined, l.first = len(l.seen), l.lap == 0, true
	return true
}

// see notes a member of the page, and reports whether no page had it before.
func (l *paged) see(id string) (fresh bool) {
	l.joined = l.joined || l.first && l.seen[id]
	l.first = false
	fresh = !l.seen[id]
	l.seen[id] = true
	return fresh
}

// read says that the page was read.
func (l *paged) read(p page) {
	fresh, last := len(l.seen) > l.known, p.backups < p.limit
	switch {
	// An empty page ends a list, but where the list has become shorter than what was
	// seen of it.
	case p.backups == 0 && (p.count == 0 || p.count > l.offset || l.lap == 0):
		l.done = true
	case !l.joined:
		l.err = &kind.Error{Kind: kind.Unavailable, Message: "the list of " + l.what + " changed while it was read"}
	// A count may be the page's or the list's, and speak of more than is shown: it can
	// ask for another page, but not end the list.
	case last && (l.offset+p.backups >= p.count || !fresh && p.backups <= l.lap):
		l.done = true
	case !fresh:
		l.err = &kind.Error{Kind: kind.Unavailable, Message: "CBR gave the same page of " + l.what + " twice"}
	default:
		l.lap = min(overlap, p.backups/2)
		l.offset += p.backups - l.lap
	}
}
