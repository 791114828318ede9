package redact

import "unicode/utf8"

// In base64 (RFC 4648, either alphabet) three bytes are four characters of six bits. If
// a credential is only a part of what was encoded, as a password is in "Basic " +
// base64(name + ":" + password), its characters depend on where it begins. So text that
// may be base64 is decoded four times, from the first to the fourth character on, and
// searched.

// maxDepth is how many levels of base64 within base64 are decoded.
const maxDepth = 3

// minRun is the number of characters of the shortest credential that is masked
// everywhere. minOwn is how many of these depend only on the credential, and not on its
// neighbours.
const (
	minRun = (shortest*8 + 5) / 6
	minOwn = shortest * 8 / 6
)

// sixBits has the values of the characters of both alphabets, and noBits for others.
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

// keep finds runs that may encode ASCII, whose bytes all begin with a zero bit. For the
// place of a character in a run and for its value, it has one byte for each of the four
// beginnings: ones if the character may be part of ASCII that begins there, else zeros.
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

// runs reads the base64 in a text. There are two readings if the text has escapes: in the
// second (query), a plus after an escaped line break is a space.
type runs struct {
	text    string
	escapes *spellings
	query   bool
}

// at returns the value of the character at j and where it ends. If the value is noBits,
// there is a line break that ends after j, or the run ends at j.
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

// findInBase64 adds the secrets in the base64 of t to found.
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
		streaks := uint32(0) // four counts of one byte each
		for j < len(r.text) {
			value, end := sixBits[r.text[j]], j+1
			if value == noBits { // few are
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
				suspect = (streaks+(0x80-minOwn)*0x01010101)&0x80808080 != 0
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

// decode adds the secrets in the run of base64 between start and end.
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
