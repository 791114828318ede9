package events

import (
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"

	"cbr-replicator/internal/cbr"
	"cbr-replicator/internal/delivery"
	"cbr-replicator/internal/jsonscan"
)

// Names of fields that depend on others.
const (
	selectKey      = "select"
	planKey        = "plan" // the action of a request with select
	vaultKey       = "vault_id"
	destinationKey = "destination_vault_id"
)

const (
	// maxSelected is how many vaults a plan may name, maxTags how many tags.
	maxSelected = 1000
	maxTags     = 100
	// oldestRequest is how old a requested_at may be: a constant in a schedule would
	// stop replication without a word.
	oldestRequest = 28 * 24 * time.Hour
	recently      = "a time of the last 28 days; a constant would stop replication"
)

// Lists of a request.
const (
	tagList    = "tags"
	idList     = "vault_ids"
	valuesList = "values"
)

// selectFields say which vaults a plan selects.
var selectFields = []field{
	{name: tagList, list: tagList},
	{name: idList, list: idList},
	{name: "destination_vault_tag", text: func(d *draft) *string { return &d.choice.DestinationVaultTag }, form: ofRunes(1, 128), want: "1 to 128 characters"},
}

var tagFields = []field{
	{name: "key", text: func(d *draft) *string { return &d.tag.Key }, form: ofRunes(1, 128), want: "1 to 128 characters"},
	{name: "values", list: valuesList},
}

// list reads a list.
func (p *parser) list(list, path string) {
	choice := &p.got.choice
	switch list {
	case tagList:
		n := p.elements(path, func(at string) {
			p.got.tag = delivery.Tag{}
			if given := p.object(at, at+".", tagFields); given != nil && given[0] == 0 {
				p.expected(at+".", "key", "a tag's key")
			}
			choice.Tags = append(choice.Tags, p.got.tag)
		})
		p.bound(path, n, maxTags)
	case idList:
		n := p.elements(path, func(at string) {
			s, ok := jsonscan.Text(p.body.Value())
			if !ok || !cbr.IsVaultID(s) {
				p.expected("", at, cbr.VaultForm)
			}
			choice.VaultIDs = append(choice.VaultIDs, strings.ToLower(s))
		})
		p.bound(path, n, maxSelected)
	case valuesList:
		p.elements(path, func(at string) {
			s, ok := jsonscan.Text(p.body.Value())
			if !ok || utf8.RuneCountInString(s) > 255 {
				p.expected("", at, "a string of at most 255 characters")
			}
			p.got.tag.Values = append(p.got.tag.Values, s)
		})
	}
	if len(choice.Tags) > 0 && len(choice.VaultIDs) > 0 {
		p.expected(selectKey+".", idList, "none beside tags")
	}
}

// bound notes that a list, of n elements, is too long or empty: an empty one may be
// a fault of what made it, and would select every vault.
func (p *parser) bound(path string, n, most int) {
	if n == 0 || n > most {
		p.expected("", path, fmt.Sprintf("1 to %d elements", most))
	}
}

// elements calls each before each element of a list, with its path, and returns how
// many there are, -1 if it is no list.
func (p *parser) elements(path string, each func(at string)) (n int) {
	if p.body.Peek() != jsontext.KindBeginArray {
		p.body.Value()
		p.expected("", path, "a list")
		return -1
	}
	for range p.body.Elements {
		each(fmt.Sprintf("%s[%d]", path, n))
		n++
	}
	return n
}

func ofRunes(least, most int) func(string) bool {
	return func(s string) bool {
		n := utf8.RuneCountInString(s)
		return n >= least && n <= most
	}
}

func isDescription(s string) bool {
	return utf8.RuneCountInString(s) <= 255 && !strings.ContainsAny(s, "<>")
}

// ageUnits are those in which an age can be given.
var ageUnits = map[byte]time.Duration{'s': time.Second, 'm': time.Minute, 'h': time.Hour, 'd': 24 * time.Hour}

func isAge(s string) bool { return ageOf(s) > 0 }

// oldestAge bounds an age, so that it can be reckoned with. It is longer than any that makes sense.
const oldestAge = 36_500 * 24 * time.Hour

// ageOf reads an age of one unit, at most ten digits. It is zero for anything else,
// and never more than oldestAge.
func ageOf(s string) time.Duration {
	if len(s) < 2 || len(s) > 11 || s[0] == '0' {
		return 0
	}
	unit, n := ageUnits[s[len(s)-1]], int64(0)
	if unit == 0 {
		return 0
	}
	for _, c := range []byte(s[:len(s)-1]) {
		if c < '0' || c > '9' {
			return 0
		}
		n = 10*n + int64(c-'0')
	}
	return time.Duration(min(n, int64(oldestAge/unit))) * unit
}

// tooOld reports whether a request was made too long ago.
func (d *Decoder) tooOld(at time.Time) bool {
	now := time.Now
	if d.Now != nil {
		now = d.Now
	}
	return now().Sub(at) > oldestRequest
}
