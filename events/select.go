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
	// maxSelected is how many vaults a plan may name.
	maxSelected = 1000
	// oldestRequest is how old a requested_at may be: a constant in a schedule would
	// stop replication without a word.
	oldestRequest = 28 * 24 * time.Hour
	recently      = "a time of the last 28 days; a constant would stop replication"
)

// selectFields say which vaults a plan selects.
var selectFields = []field{
	{name: "tags", list: func(p *parser, path string) {
		n := p.elements(path, func(i int) {
			p.got.tag = delivery.Tag{}
			within := fmt.Sprintf("%s[%d]", path, i)
			if given := p.object(within, within+".", tagFields); given != nil && !given[0] {
				p.expected(within+".", "key", "a tag's key")
			}
			p.got.choice.Tags = append(p.got.choice.Tags, p.got.tag)
		})
		if n == 0 {
			p.expected("", path, "at least one tag")
		}
		if len(p.got.choice.VaultIDs) > 0 {
			p.expected("", path, "none beside vault_ids")
		}
	}},
	{name: "vault_ids", list: func(p *parser, path string) {
		n := p.elements(path, func(i int) {
			s, ok := jsonscan.Text(p.body.Value())
			if !ok || !cbr.IsVaultID(s) {
				p.expected("", fmt.Sprintf("%s[%d]", path, i), cbr.VaultForm)
			}
			if i < maxSelected {
				p.got.choice.VaultIDs = append(p.got.choice.VaultIDs, strings.ToLower(s))
			}
		})
		if n == 0 || n > maxSelected {
			p.expected("", path, fmt.Sprintf("1 to %d ids", maxSelected))
		}
		if len(p.got.choice.Tags) > 0 {
			p.expected("", path, "none beside tags")
		}
	}},
	{name: "destination_vault_tag", text: func(d *draft) *string { return &d.choice.DestinationVaultTag }, form: ofRunes(1, 128), want: "1 to 128 characters"},
}

var tagFields = []field{
	{name: "key", text: func(d *draft) *string { return &d.tag.Key }, form: ofRunes(1, 128), want: "1 to 128 characters"},
	{name: "values", list: func(p *parser, path string) {
		p.elements(path, func(i int) {
			s, ok := jsonscan.Text(p.body.Value())
			if !ok || utf8.RuneCountInString(s) > 255 {
				p.expected("", fmt.Sprintf("%s[%d]", path, i), "a string of at most 255 characters")
			}
			p.got.tag.Values = append(p.got.tag.Values, s)
		})
	}},
}

// elements calls each before each element of a list, and returns how many there are,
// -1 if it is no list.
func (p *parser) elements(path string, each func(i int)) (n int) {
	if p.body.Peek() != jsontext.KindBeginArray {
		p.body.Value()
		p.expected("", path, "a list")
		return -1
	}
	for range p.body.Elements {
		each(n)
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

// ageOf reads an age of one unit, at most six digits. It is zero for anything else.
func ageOf(s string) time.Duration {
	if len(s) < 2 || len(s) > 7 || s[0] == '0' {
		return 0
	}
	n := 0
	for _, c := range []byte(s[:len(s)-1]) {
		if c < '0' || c > '9' {
			return 0
		}
		n = 10*n + int(c-'0')
	}
	// A unit that there is not is zero.
	return min(time.Duration(n)*ageUnits[s[len(s)-1]], 1<<62)
}

// tooOld reports whether a request was made too long ago.
func (d *Decoder) tooOld(at time.Time) bool {
	now := time.Now
	if d.Now != nil {
		now = d.Now
	}
	return now().Sub(at) > oldestRequest
}
