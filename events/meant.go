package events

import (
	"strings"
	"unicode"
)

// longestName is how long a name may be to be compared with those of fields. No
// field has one as long.
const longestName = 40

// meant asks whether the sender of an unknown name meant one of the fields that may
// stand there: one that is spelled alike, or one that stands elsewhere. It is empty
// if there is none.
func meant(within, name string, fields []field) string {
	if len(name) > longestName {
		return ""
	}
	best, least := "", 3
	for i := range fields {
		if d := distance(folded(name), folded(fields[i].name)); d < least && d < len(name)/2 {
			best, least = fields[i].name, d
		}
	}
	if best != "" {
		return "; did you mean " + best + "?"
	}
	for i := range requestFields {
		f := &requestFields[i]
		if within != "" && within != f.name+"." && folded(f.name) == folded(name) {
			return "; did you mean " + f.name + " beside " + strings.TrimSuffix(within, ".") + "?"
		}
		for j := range f.fields {
			if within == "" && folded(f.fields[j].name) == folded(name) {
				return "; did you mean " + f.name + "." + f.fields[j].name + "?"
			}
		}
	}
	return ""
}

// folded leaves out what names of the same field differ in by habit.
func folded(name string) string {
	return strings.Map(func(c rune) rune {
		if strings.ContainsRune("_-. ", c) {
			return -1
		}
		return unicode.ToLower(c)
	}, name)
}

// distance is how many bytes must be inserted, left out or changed to make b of a
// (Levenshtein).
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
