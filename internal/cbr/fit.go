package cbr

import (
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"sort"
	"strconv"
)

// ErrTooLong is the error of a text that is too long whatever is left out of a
// replication.
var ErrTooLong = errors.New("it is too long even without a list of backups")

// Fit returns the text that encode makes with replication, CBR's response object,
// if that is at most limit bytes long. Else encode gets it with a list of backups
// that was cut, at its end, until the text is short enough, and with
// backups_total beside it, which says how long the list was. If no list is left
// to be cut, the vault's id is all that stays beside these.
func Fit(replication json.RawMessage, limit int, encode func(json.RawMessage) ([]byte, error)) ([]byte, error) {
	text, err := encode(replication)
	if err != nil || len(text) <= limit {
		return text, err
	}
	var object map[string]json.RawMessage
	var backups []json.RawMessage
	if json.Unmarshal(replication, &object) != nil || object == nil {
		return text, ErrTooLong
	}
	_ = json.Unmarshal(object["backups"], &backups)
	delete(object, "backups")
	if len(backups) > 0 {
		object["backups_total"] = json.RawMessage(strconv.Itoa(len(backups)))
	}
	ends, list := make([]int, len(backups)+1), []byte{} // of the first backups, in the list
	for i, b := range backups {
		if i > 0 {
			list = append(list, ',')
		}
		list = append(list, b...)
		ends[i+1] = len(list)
	}
	rest, _ := json.Marshal(object)
	with := func(keep int) ([]byte, error) {
		shorter := slices.Concat([]byte(`{"backups":[`), list[:ends[keep]], []byte(`]`))
		if len(rest) > len("{}") {
			shorter = append(shorter, ',')
		}
		return encode(append(shorter, rest[1:]...))
	}
	none, err := with(0)
	if err != nil {
		return none, err
	}
	if len(none) > limit {
		maps.DeleteFunc(object, func(name string, _ json.RawMessage) bool { return name != "vault_id" && name != "backups_total" })
		rest, _ = json.Marshal(object)
		if none, err = with(0); err == nil && len(none) > limit {
			err = ErrTooLong
		}
		return none, err
	}
	return longest(ends, none, len(text), limit, with)
}

// longest returns the text with as many backups as fit the limit, but for a few
// where a search for the last one would only cost time. none is the text without
// any, all the length of the one with all of them, which is too long. ends is how
// long the list is after each of them: what they add to a text is in some
// proportion to that.
func longest(ends []int, none []byte, all, limit int, with func(int) ([]byte, error)) ([]byte, error) {
	fits, tooMany := 0, len(ends)-1
	best, over := none, all
	for try := 0; tooMany-fits > 1 && limit-len(best) > limit/256; try++ {
		keep := (fits + tooMany) / 2
		if try%2 == 0 {
			room := float64(limit-len(best)) / float64(over-len(best))
			end := ends[fits] + int(room*float64(ends[tooMany]-ends[fits]))
			keep = min(max(sort.SearchInts(ends, end+1)-1, fits+1), tooMany-1)
		}
		text, err := with(keep)
		switch {
		case err != nil:
			return text, err
		case len(text) <= limit:
			fits, best = keep, text
		default:
			tooMany, over = keep, len(text)
		}
	}
	return best, nil
}
