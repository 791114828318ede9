package cbr

import (
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"sort"
	"strconv"
)

// ErrTooLong is the error of a text that is too long even with the shortest
// replication.
var ErrTooLong = errors.New("it is too long even without a list of backups")

// Fit returns the text that encode makes of replication, CBR's response object, if it
// is at most limit bytes long. Otherwise it cuts the end of the list of backups until
// the text is short enough, and adds backups_total, the length of the uncut list;
// that of a list that was cut before stays. If even an empty list is too long, only the vault's id and these two stay.
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
	total := 0
	_ = json.Unmarshal(object["backups_total"], &total)
	if len(backups) > total { // else the list was cut before
		object["backups_total"] = json.RawMessage(strconv.Itoa(len(backups)))
	}
	ends, list := make([]int, len(backups)+1), []byte{} // where each backup ends in the list
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

// longest returns the text with as many backups as fit the limit. It may leave out a
// few more, since a search for the last one would only cost time. none is the text
// without backups, all the length of the text with all backups, which is too long. ends
// is the length of the list after each backup. What backups add to a text is roughly in
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
