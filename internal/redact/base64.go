package redact

import "unicode/utf8"

// In base64 (RFC 4648, either alphabet) three bytes are four characters of six
// bits: where a credential is a part of what was encoded, as a password is in
// "Basic " + base64(name + ":" + password), how its characters come out depends
// on where it begins. So what may be base64 is decoded, from each of four
// characters on, and searched.

// maxDepth is how often base64 within base64 is looked into.
const maxDepth = 3

// minRun is how many characters the shortest credential takes that is masked
// everywhere, minWhole how many of these it determines alone.
const (
	minRun   = (shortest*8 + 5) / 6
	minWhole = shortest * 8 / 6
)

// sixBits are the values of the characters of both alphabets, noBits of others.
var sixBits = func() (bits [256]byte) {
	for c := range bits {
		bits[c] = noBits
	}
	for i, c := range []byte("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/") {
		bits[c] = byte(i)
	}
	bits['-'], bits['_'] = bits['+'], bits['/']
	return bits
}()

const noBits = 0xff

// keep says, for the place of a character in a run and its value, from which of
// four beginnings on it may be one of text in ASCII, each of whose bytes begins
// with a zero: a byte of ones for each.
var keep = func() (masks [4][64]uint32) {
	topBit := [4]int{1 << 5, 1 << 3, 1 << 1, 0}
	for place := range masks {
		for value := range masks[place] {
			for from := range 4 {
				if value&topBit[(place-from)&3] == 0 {
					masks[place][value] |= 0xff << (8 * from)
				}
			}
		}
	}
	return masks
}()

// runs are the readings of the base64 in a text. In one of the two a plus after
// an escaped line break is a space, if the text has escapes.
type runs struct {
	text    string
	escapes *spellings
	query   bool
}

// at returns the value of the character at j of a run and where it ends. Without
// a value it is a line break if it ends after j, else the run has ended.
func (r *runs) at(j int) (value byte, end int) {
	if value = sixBits[r.text[j]]; value != noBits {
		return value, j + 1
	}
	end = j
	for _, e := range r.escapes.at(j) {
		if 0 <= e.char && e.char < utf8.RuneSelf && sixBits[e.char] != noBits && e.end > end {
			value, end = sixBits[e.char], e.end
		}
	}
	if value == noBits {
		r.escapes.fold(r.text, j, r.query, func(p int) { end = p })
	}
	return value, end
}

// findInBase64 adds to found what is in the base64 in t.
func (x *index) findInBase64(t string, escapes *spellings, depth int, found []span) []span {
	if depth == 0 || !x.everywhere || len(t) < minRun {
		return found
	}
	r := &runs{text: t, escapes: escapes}
	found = x.findInRuns(r, depth, found)
	if escapes != nil {
		r.query = true
		found = x.findInRuns(r, depth, found)
	}
	return found
}

func (x *index) findInRuns(r *runs, depth int, found []span) []span {
	for j := 0; j < len(r.text); {
		start, chars, suspect := j, 0, !x.ascii
		streaks := uint32(0) // four counts, each of a byte
		for j < len(r.text) {
			value, end := sixBits[r.text[j]], j+1
			if value == noBits { // a few are
				value, end = r.at(j)
			}
			if end == j || value == noBits && chars == 0 {
				break
			}
			j = end
			if value == noBits {
				continue
			}
			if !suspect {
				streaks = (streaks + 0x01010101) & keep[chars&3][value]
				suspect = (streaks+(0x80-minWhole)*0x01010101)&0x80808080 != 0
			}
			chars++
		}
		if suspect && chars >= minRun {
			found = x.decode(r, start, j, depth, found)
		}
		j = max(j, start+1)
	}
	return found
}

// decode adds what is in the run of base64 between start and end.
func (x *index) decode(r *runs, start, end, depth int, found []span) []span {
	var values []byte
	var places []span
	for j := start; j < end; {
		value, after := r.at(j)
		if value != noBits {
			values, places = append(values, value), append(places, span{j, after})
		}
		j = after
	}
	for from := range 4 {
		var plain []byte
		for i := from; i+1 < len(values); i += 4 {
			plain = append(plain, values[i]<<2|values[i+1]>>4)
			if i+2 < len(values) {
				plain = append(plain, values[i+1]<<4|values[i+2]>>2)
			}
			if i+3 < len(values) {
				plain = append(plain, values[i+2]<<6|values[i+3])
			}
		}
		for _, s := range x.find(string(plain), false, depth-1) {
			first, last := from+s.start*8/6, from+(s.end*8-1)/6
			found = join(found, span{places[first].start, places[last].end})
		}
	}
	return found
}
