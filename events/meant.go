package events

import (
	"strings"
	"unicode"
)

// longestName is how long a name may be to be compared with those of fields, which
// are all shorter.
const longestName = 40

// meant returns the question whether an unknown name was meant for a field with a
// similar name, or for one of another object. It is empty without such a field.
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

// folded returns a name in lower case, without the characters that separate words.
func folded(name string) string {
	return strings.Map(func(c rune) rune {
		if strings.ContainsRune("_-. ", c) {
			return -1
		}
		return unicode.ToLower(c)
	}, name)
}

// distance returns how many bytes must be inserted, removed or changed to make b of a
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
