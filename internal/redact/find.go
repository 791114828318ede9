package redact

import (
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

const (
	// shortest is the length from which on a credential is masked everywhere. A shorter
	// one may be a word ("backup", "test").
	shortest = 8
	// loosest is the length from which on a credential is found with spaces in it, which
	// may have been line breaks.
	loosest = 16
)

// secret is a credential in the form that is searched for. It does not change.
type secret struct {
	// text is the credential without characters that do not print. Each run of white
	// space is one space.
	text string
	// short: it is masked only where it stands alone. long: it may be folded at spaces.
	short, long bool
}

func newSecret(credential string) secret {
	text := strings.Join(strings.Fields(strings.Map(func(c rune) rune {
		switch {
		case isSpace(c):
			return ' '
		case !isShown(c):
			return -1
		}
		return c
	}, credential)), " ")
	n := utf8.RuneCountInString(credential)
	return secret{text: text, short: n < shortest, long: n >= loosest}
}

// isSpace reports whether c is white space in a text.
func isSpace(c rune) bool { return c == ' ' || c == '\n' || c == '\r' || c == '\t' }

// isShown reports whether c prints. The replacement character does not count as one that
// prints.
func isShown(c rune) bool { return c != utf8.RuneError && unicode.IsPrint(c) }

// index has all secrets, for one search. Nil has none. It does not change.
type index struct {
	secrets []*secret
	heads   [256][]*secret // by the first byte
	// everywhere: some are not short. ascii: all of those are ASCII.
	everywhere, ascii bool
}

// with returns an index that has s too.
func (x *index) with(s *secret) *index {
	next := &index{ascii: true}
	if x != nil {
		*next = *x
		next.secrets = x.secrets[:len(x.secrets):len(x.secrets)]
	}
	next.secrets = append(next.secrets, s)
	of := next.heads[s.text[0]]
	next.heads[s.text[0]] = append(of[:len(of):len(of)], s)
	if !s.short {
		next.everywhere = true
		next.ascii = next.ascii && !strings.ContainsFunc(s.text, func(c rune) bool { return c >= utf8.RuneSelf })
	}
	return next
}

// without returns an index that does not have s.
func (x *index) without(s secret) (next *index) {
	for _, other := range x.secrets {
		if *other != s {
			next = next.with(other)
		}
	}
	return next
}

// span is a part of a text.
type span struct{ start, end int }

// search is a search for secrets in a text.
type search struct {
	text    string
	escapes *spellings
	steps   int // left
}

// find returns the places of secrets in t, in any encoding: spans in order that do not
// overlap. It looks for short secrets if short is true. depth is the number of levels of
// base64. A mask in the text is not part of a span. A text that takes too many steps is
// one span.
func (x *index) find(t string, short bool, depth int) (found []span) {
	if x == nil {
		return nil
	}
	escapes, ok := spellingsIn(t)
	q := search{t, escapes, patience(t)}
	for j := 0; ok && j < len(t); j++ {
		if t[j] == Mask[0] && strings.HasPrefix(t[j:], Mask) {
			j += len(Mask) - 1
			continue
		}
		for _, s := range x.heads[t[j]] {
			// Most that differ do so in the second byte.
			if len(s.text) == 1 || j+1 == len(t) || t[j+1] == s.text[1] || !isPlain[t[j+1]] {
				found = q.find(s, j, short, found)
			}
		}
		readings := escapes.at(j)
		for i, e := range readings {
			first := e.first()
			if slices.ContainsFunc(readings[:i], func(e spelling) bool { return e.first() == first }) {
				continue // secrets with this first byte have been tried
			}
			for _, s := range x.heads[first] {
				found = q.find(s, j, short, found)
			}
		}
		ok = q.steps >= 0
	}
	if !ok {
		return []span{{0, len(t)}}
	}
	return x.findInBase64(t, escapes, depth, found)
}

// find adds s to found if it begins at j.
func (q *search) find(s *secret, j int, short bool, found []span) []span {
	if s.short && !short {
		return found
	}
	if end := q.match(s, j); end > 0 && (!s.short || q.standsAlone(j, end)) {
		return join(found, span{j, end})
	}
	return found
}

// first returns the first byte of what e stands for.
func (e spelling) first() byte {
	if e.char < 0 {
		return byte(-e.char)
	}
	var b [utf8.UTFMax]byte
	utf8.EncodeRune(b[:], e.char)
	return b[0]
}

// join adds a span to spans, which are in order, and merges those that overlap.
func join(spans []span, s span) []span {
	i := len(spans)
	for i > 0 && spans[i-1].end > s.start {
		i--
	}
	n := i
	for n < len(spans) && spans[n].start < s.end {
		s.start, s.end = min(s.start, spans[n].start), max(s.end, spans[n].end)
		n++
	}
	if i == n {
		spans = append(spans, span{})
		copy(spans[i+1:], spans[i:])
		spans[i] = s
		return spans
	}
	spans[i] = s
	return append(spans[:i+1], spans[n:]...)
}

// isPlain has the characters that have only one meaning.
var isPlain = func() (is [256]bool) {
	for c := '!'; c <= '~'; c++ {
		is[c] = !isLead(byte(c)) && c != '+' && c != rune(Mask[0])
	}
	return is
}()

// state is how far a secret and a text have been compared.
type state struct {
	in, at int // in the text, in the secret
	// spaces and breaks: these are in the text before the next character.
	spaces, breaks bool
}

// match returns the end of the longest spelling of s that begins at j, or zero if there
// is none.
func (q *search) match(s *secret, j int) (end int) {
	t := q.text
	i := 0
	for i < len(s.text) && j < len(t) {
		switch plain := isPlain[t[j]]; {
		case t[j] == s.text[i] && (plain || t[j] == '+'):
			i, j = i+1, j+1
			continue
		case plain:
			return 0
		}
		break
	}
	if i == len(s.text) {
		return j
	}
	var some [8]state // usually enough
	open := append(some[:0], state{in: j, at: i})
	for len(open) > 0 && q.steps >= 0 {
		q.steps -= len(open)
		// The state that is first in the text is next. So all ways to a state are found while
		// it is open, and it is visited once.
		next := 0
		for i := range open {
			if open[i].in < open[next].in || open[i].in == open[next].in && open[i].at < open[next].at {
				next = i
			}
		}
		now := open[next]
		open[next] = open[len(open)-1]
		open = open[:len(open)-1]
		if now.at == len(s.text) {
			end = now.in
			continue
		}
		open = q.advance(s, now, open)
	}
	return end
}

// advance adds the states that follow now to open.
func (q *search) advance(s *secret, now state, open []state) []state {
	t := q.text
	add := func(next state) {
		for _, other := range open {
			if other == next {
				return
			}
		}
		open = append(open, next)
	}
	want, spaced := s.text[now.at], now.spaces || now.breaks
	if want == ' ' && spaced {
		add(state{in: now.in, at: now.at + 1})
	}
	if now.in >= len(t) || strings.HasPrefix(t[now.in:], Mask) {
		return open
	}
	// In a short secret only its own white space may be in the text. Other spaces may be
	// only in a long one.
	fits := !spaced || want != ' ' && !s.short && (now.breaks || s.long)
	pass := func(c rune, end int) {
		switch {
		case now.at == 0:
		case c == ' ', c == '+': // a space in a query
			add(state{end, now.at, true, now.breaks})
		case isSpace(c):
			add(state{end, now.at, now.spaces, true})
		case !isShown(c):
			add(state{end, now.at, now.spaces, now.breaks})
		}
	}
	switch c := t[now.in]; {
	case c == want && want != ' ':
		if fits {
			add(state{in: now.in + 1, at: now.at + 1})
		}
		pass(rune(c), now.in+1)
	default:
		char, size := utf8.DecodeRuneInString(t[now.in:])
		pass(char, now.in+size)
	}
	for _, e := range q.escapes.at(now.in) {
		var b [utf8.UTFMax]byte
		n := 1
		if b[0] = byte(-e.char); e.char >= 0 {
			pass(e.char, e.end)
			n = utf8.EncodeRune(b[:], e.char)
		}
		if fits && !isSpace(e.char) && strings.HasPrefix(s.text[now.at:], string(b[:n])) {
			add(state{in: e.end, at: now.at + n})
		}
	}
	return open
}

// standsAlone reports whether the text between start and end is a word by itself. It is
// not if there is a letter, digit or underscore beside it, or one behind a hyphen or dot
// beside it, as in an id or a host's name. A mask counts as a letter, since it may have
// replaced one.
func (q *search) standsAlone(start, end int) bool {
	before, after := q.text[:start], q.text[end:]
	if c, size := utf8.DecodeRuneInString(after); isJoint(c) {
		after = after[size:]
	}
	if c, size := utf8.DecodeLastRuneInString(before); isJoint(c) {
		before = before[:start-size]
	}
	c, _ := utf8.DecodeRuneInString(after)
	if isWord(c) || strings.HasPrefix(after, Mask) || strings.HasSuffix(before, Mask) {
		return false
	}
	c, _ = utf8.DecodeLastRuneInString(before)
	if !isWord(c) {
		return true
	}
	// The letter may be the end of an escape, such as \n.
	for j := start - 1; j >= max(0, start-32); j-- {
		for _, e := range q.escapes.at(j) {
			if e.end == start && !isWord(e.char) {
				return true
			}
		}
	}
	return false
}

func isWord(c rune) bool {
	return c == '_' || c != utf8.RuneError && (unicode.IsLetter(c) || unicode.IsDigit(c))
}

func isJoint(c rune) bool { return c == '-' || c == '.' }
