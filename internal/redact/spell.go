package redact

import (
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// spellings are the meanings of the escapes in a text: those of JSON, of Go and of
// JavaScript (`\/`, `\n`, `\u0026`, `\x26`, `\U00000026`), of HTML (`&amp;`, `&#38;`,
// `&#x26;`) and of URLs (`%26`), and any of them within any other (`%2526`,
// `&amp;quot;`), at any depth. What looks like an escape may be plain text: a password may
// hold `%25`. So all readings of a place are kept, and a search tries each. Nil stands for
// a text without escapes. It does not change once made.
type spellings struct {
	text string
	all  []spelling // by start, the last first
	// folded: escapes with a line break within them are read now. The others are read
	// before them.
	folded bool
	// breaks: the part that has been read has line breaks or tabs.
	breaks bool
	steps  int // left
}

// spelling is one reading of what stands in a text from start to end.
type spelling struct {
	start, end int
	// char is the character that it stands for. A negative char is one byte of a longer
	// character, times minus one.
	char rune
	// folded: there is a line break within it, or an escape for one.
	folded bool
}

// maxReadings bounds the readings of one place. A backslash that was escaped four times
// is sixteen backslashes.
const maxReadings = 16

// isLead reports whether an escape may begin with c.
func isLead(c byte) bool { return c == '\\' || c == '%' || c == '&' }

// maxSpellings bounds the spellings of a text: 8 MB.
const maxSpellings = 1 << 18

// patience is how many steps a text may take: many for each byte. Only a text that was
// made to be costly takes more.
func patience(text string) int { return 1<<20 + 64*len(text) }

// spellingsIn reads the escapes of a text. ok is false if that takes too many steps.
func spellingsIn(text string) (s *spellings, ok bool) {
	if !strings.ContainsAny(text, `\%&`) {
		return nil, true // almost always
	}
	s = &spellings{text: text, breaks: strings.ContainsAny(text, "\n\r\t"), steps: patience(text)}
	// From the end to the beginning, since an escape may contain others after its start.
	for j := len(text) - 1; j >= 0; j-- {
		if isLead(text[j]) {
			s.read(j)
		}
		if s.steps < 0 || len(s.all) > maxSpellings {
			return nil, false
		}
	}
	return s, true
}

// at returns the readings of the escapes that begin at j.
func (s *spellings) at(j int) []spelling {
	if s == nil || j >= len(s.text) || !isLead(s.text[j]) {
		return nil
	}
	i, ok := slices.BinarySearchFunc(s.all, j, func(e spelling, j int) int { return j - e.start })
	if !ok {
		return nil
	}
	n := i
	for n < len(s.all) && s.all[n].start == j {
		n++
	}
	return s.all[i:n]
}

// read adds the readings of the escapes that begin at j. Such a reading may itself be the
// first character of another escape.
func (s *spellings) read(j int) {
	first := len(s.all)
	for _, s.folded = range [...]bool{false, true} {
		most := len(s.all) + maxReadings
		add := func(char rune, end int) {
			if len(s.all) == most || slices.ContainsFunc(s.all[first:], func(e spelling) bool { return e.char == char && e.end == end }) {
				return
			}
			s.all = append(s.all, spelling{j, end, char, s.folded})
			s.breaks = s.breaks || char != ' ' && isSpace(char)
		}
		s.escape(s.text[j], j+1, add)
		for i := first; i < len(s.all) && len(s.all) < most; i++ {
			if e := s.all[i]; e.char > 0 && e.char < utf8.RuneSelf {
				s.escape(byte(e.char), e.end, add)
			}
		}
		if !s.breaks {
			break
		}
	}
}

// escape calls add for every escape whose first character is lead and ends at p.
func (s *spellings) escape(lead byte, p int, add func(char rune, end int)) {
	switch lead {
	case '%':
		s.number(p, 16, 2, 2, 0, func(value rune, end int) {
			if value >= utf8.RuneSelf {
				value = -value
			}
			add(value, end)
		})
	case '&':
		s.each(p, func(c byte, p int) {
			if c != '#' {
				return
			}
			s.number(p, 10, 1, 8, 0, s.closed(add))
			s.each(p, func(c byte, p int) {
				if c == 'x' || c == 'X' {
					s.number(p, 16, 1, 8, 0, s.closed(add))
				}
			})
		})
		s.name(p, make([]byte, 0, maxEntity), add)
	case '\\':
		s.each(p, func(c byte, p int) {
			switch c {
			case 'x':
				s.number(p, 16, 2, 2, 0, add)
			case 'U':
				s.number(p, 16, 8, 8, 0, add)
			case 'u':
				s.number(p, 16, 4, 4, 0, func(value rune, end int) {
					add(value, end)
					if 0xd800 <= value && value < 0xdc00 { // half of a character (RFC 8259, 7)
						for _, low := range s.at(end) {
							if 0xdc00 <= low.char && low.char < 0xe000 {
								add((value-0xd800)<<10|(low.char-0xdc00)+0x10000, low.end)
							}
						}
					}
				})
			default:
				if i := strings.IndexByte(`"\/'bfnrt`, c); i >= 0 {
					add(rune("\"\\/'\b\f\n\r\t"[i]), p)
				}
			}
		})
	}
}

// each calls f for every reading of the ASCII character at p. If folded, it also calls f
// for the first character after a line break at p.
func (s *spellings) each(p int, f func(c byte, end int)) {
	s.eachAt(p, f)
	if s.folded {
		s.fold(s.text, p, true, func(end int) { s.eachAt(end, f) })
	}
}

func (s *spellings) eachAt(p int, f func(c byte, end int)) {
	if s.steps--; p >= len(s.text) || s.steps < 0 {
		return
	}
	f(s.text[p], p+1)
	for _, e := range s.at(p) {
		if e.char > 0 && e.char < utf8.RuneSelf && (s.folded || !e.folded) {
			f(byte(e.char), e.end)
		}
	}
}

// number calls f for every number at p with least to most digits.
func (s *spellings) number(p int, base rune, least, most int, value rune, f func(value rune, end int)) {
	if least <= 0 {
		f(value, p)
	}
	if most == 0 || value > unicode.MaxRune {
		return
	}
	s.each(p, func(c byte, end int) {
		digit := base
		switch {
		case '0' <= c && c <= '9':
			digit = rune(c - '0')
		case 'a' <= c|0x20 && c|0x20 <= 'f':
			digit = rune(c|0x20-'a') + 10
		}
		if digit < base {
			s.number(end, base, least-1, most-1, value*base+digit, f)
		}
	})
}

// closed returns a function that calls add for a reference that ends with a semicolon.
func (s *spellings) closed(add func(char rune, end int)) func(char rune, end int) {
	return func(char rune, p int) {
		s.each(p, func(c byte, end int) {
			if c == ';' {
				add(char, end)
			}
		})
	}
}

// name calls add for every named reference that begins with name and continues at p.
func (s *spellings) name(p int, name []byte, add func(char rune, end int)) {
	s.each(p, func(c byte, end int) {
		switch {
		case c == ';':
			if i := strings.Index(entities, " "+string(name)+" "); i >= 0 {
				add(rune(entities[i+len(" ")+len(name)+len(" ")]), end)
			}
		case len(name) < maxEntity && ('a' <= c|0x20 && c|0x20 <= 'z'):
			s.name(end, append(name, c), add)
		}
	})
}

// entities are the names of ASCII characters (HTML, "Named character references"), each
// with its character after it.
const entities = " amp & AMP & lt < LT < gt > GT > quot \" QUOT \" apos ' plus + sol / equals = percnt % bsol \\ lowbar _ UnderBar _ " +
	"excl ! num # dollar $ lpar ( rpar ) ast * midast * comma , period . colon : semi ; quest ? commat @ lsqb [ lbrack [ rsqb ] rbrack ] " +
	"Hat ^ grave ` lcub { lbrace { verbar | vert | rcub } rbrace } Tab \t NewLine \n "

// maxEntity is the length of the longest of their names.
const maxEntity = 8

// fold calls f with every place where the white space at p in t may end, if a line break
// or a tab is in it. t is the text of s. query: a plus in it may be a space, as in a URL.
func (s *spellings) fold(t string, p int, query bool, f func(end int)) {
	broken, plus := false, false
	for p < len(t) {
		c, next := rune(t[p]), p+1
		for _, e := range s.at(p) {
			if isSpace(e.char) && e.end > next {
				c, next = e.char, e.end
				plus = plus || query && c != ' ' && t[p] == '%'
			}
		}
		if !isSpace(c) && (c != '+' || !plus) {
			return
		}
		broken = broken || c != ' ' && c != '+'
		if p = next; broken {
			f(p)
		}
	}
}
