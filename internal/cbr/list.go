package cbr

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"

	"cbr-replicator/internal/huawei"
	"cbr-replicator/internal/jsonscan"
	"cbr-replicator/internal/kind"
)

// list is a list that is read page by page. It may change between two pages. A new
// member may move the others to later pages, so that some come twice: their ids show
// it. If a member is deleted, others move to earlier pages, where they would be missed.
// So each page begins with some members of the page before. If it does not begin with
// one that was seen, members may have been missed. As long as the order stays, all that
// were not seen come after that one.
type list struct {
	seen map[string]bool
	// joined: the page begins with a member that was seen, if it must. first: none of
	// its members was read yet.
	joined, first bool
}

// fresh reports whether a member of the page was not seen before.
func (l *list) fresh(id string) bool {
	l.joined = l.joined || l.first && l.seen[id]
	l.first = false
	if l.seen[id] {
		return false
	}
	l.seen[id] = true
	return true
}

// page describes a page.
type page struct {
	members int
	count   int // the answer's count, zero without one
	limit   int // the number of members on a full page
}

// list reads a list of CBR's: what is the member of the answer that has it. path
// returns the path of the page that begins at an offset. began is called with each
// answer's header. each reads a member, and asks [list.fresh] of its id.
func (c *Client) list(ctx context.Context, src huawei.Scope, what string, path func(offset int) string, began func(*http.Response), each func(*jsonscan.Reader, *list) error) (*list, error) {
	l := &list{seen: map[string]bool{}}
	offset, repeated := 0, 0
	for range maxPages {
		var p page
		known := len(l.seen)
		l.joined, l.first = repeated == 0, true
		sent, err := c.Call(ctx, src, http.MethodGet, path(offset), nil, func(resp *http.Response) (err error) {
			began(resp)
			p, err = c.readPage(resp, what, func(r *jsonscan.Reader) error { return each(r, l) })
			return err
		})
		fresh, last := len(l.seen) > known, p.members < p.limit
		switch {
		case err != nil:
			return l, c.listFault(sent, err)
		// An empty page ends the list, unless the list has become shorter than what was
		// seen of it.
		case p.members == 0 && (p.count == 0 || p.count > offset || repeated == 0):
			return l, nil
		case !l.joined:
			return l, &kind.Error{Kind: kind.Unavailable, Message: "the list of " + what + " changed while it was read"}
		// The count may be the page's or the list's, and may count members that are not
		// shown. So it can ask for another page, but not end the list.
		case last && (offset+p.members >= p.count || !fresh && p.members <= repeated):
			return l, nil
		case !fresh:
			return l, &kind.Error{Kind: kind.Unavailable, Message: "CBR gave the same page of " + what + " twice"}
		}
		repeated = min(overlap, p.members/2)
		offset += p.members - repeated
	}
	return l, &kind.Error{Kind: kind.Unavailable, Message: fmt.Sprintf("the list of %s did not end after %d pages", what, maxPages)}
}

// readPage reads a page, and calls each before each of its members.
func (c *Client) readPage(resp *http.Response, what string, each func(*jsonscan.Reader) error) (p page, err error) {
	p.limit = pageLimit
	listed := false
	err = c.readBody(resp, "the list of "+what, func(r *jsonscan.Reader) error {
		for name := range r.Members {
			switch string(name) {
			case what:
				listed = true
				for range r.Elements {
					if err := each(r); err != nil && r.Err() == nil {
						return err
					}
					if r.Err() != nil {
						break // the text ends within it
					}
					p.members++
				}
			case "count":
				p.count, _ = strconv.Atoi(string(r.Value()))
			case "limit":
				if n, err := strconv.Atoi(string(r.Value())); err == nil && n > 0 {
					p.limit = min(n, pageLimit)
				}
			}
		}
		if r.Err() == nil && !listed {
			return errors.New("it has none")
		}
		return nil
	})
	return p, err
}

// readBody reads the answer to a lookup, an object that read reads.
func (c *Client) readBody(resp *http.Response, what string, read func(*jsonscan.Reader) error) error {
	if resp.StatusCode < 200 || resp.StatusCode > 299 {
		raw, err := huawei.ReadAll(resp.Body, huawei.MaxFault)
		e := c.Fault(resp, raw, err, "")
		if err == nil && c.Codes.Denied(e, raw) {
			e.Cause = ErrListRefused
		}
		return e
	}
	body, err := huawei.ReadAll(resp.Body, maxPage)
	if err == nil {
		r := jsonscan.New(body)
		if err = read(r); err == nil {
			err = r.End()
		}
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
	}
	if err != nil {
		return c.Fault(resp, nil, nil, c.Redact.Text(what+" cannot be read: "+err.Error()))
	}
	return nil
}
