package result

import (
	"encoding/json"
	"sort"

	"cbr-replicator/internal/cbr"
)

// fit returns the text that encode makes of the data, at most limit bytes of it.
// Lists that are too long are cut, each by the same part. CBR's own list, which the
// accepted event has as well, gets half of the room at most where there is another.
func (d Data) fit(limit int, encode func(Data) ([]byte, error)) ([]byte, error) {
	text, err := encode(d)
	if err != nil || len(text) <= limit {
		return text, err
	}
	if n := d.longest(); n > 0 {
		whole := d
		if whole.Replication, err = cbr.Fit(d.Replication, limit/2, func(r json.RawMessage) ([]byte, error) { return r, nil }); err != nil {
			whole.Replication = nil
		}
		over := sort.Search(n, func(keep int) bool {
			text, err = encode(whole.cut(keep, n))
			return err != nil || len(text) > limit
		})
		if over > 0 {
			return encode(whole.cut(over-1, n))
		}
		d = d.cut(0, n)
	}
	return cbr.Fit(d.Replication, limit, func(replication json.RawMessage) ([]byte, error) {
		d.Replication = replication
		return encode(d)
	})
}

// longest is how long the longest of the data's own lists is.
func (d Data) longest() int {
	n := len(d.Backups)
	if d.Plan != nil {
		n = max(n, len(d.Plan.Vaults), len(d.Plan.Skipped))
	}
	return n
}

// cut returns the data with keep of every total members of its own lists.
func (d Data) cut(keep, total int) Data {
	d.Backups, d.BackupsTotal = firstOf(d.Backups, keep, total)
	if d.Plan != nil {
		p := *d.Plan
		p.Vaults, p.VaultsTotal = firstOf(p.Vaults, keep, total)
		p.Skipped, p.SkippedTotal = firstOf(p.Skipped, keep, total)
		d.Plan = &p
	}
	return d
}

// firstOf returns the first keep of every total members of a list, and how long it
// was if it was cut, else zero.
func firstOf[T any](list []T, keep, total int) (first []T, was int) {
	n := (len(list)*keep + total - 1) / max(total, 1)
	if n >= len(list) {
		return list, 0
	}
	return list[:n], len(list)
}
