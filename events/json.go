package events

import (
	"bytes"
	"encoding/json"
	"iter"
	"unicode/utf8"
)

// members returns the names and values of a JSON object in their order, doubles
// included, which encoding/json hides. What is no object has none; of what is
// no valid JSON it may return anything.
func members(object []byte) iter.Seq2[string, []byte] {
	return func(yield func(string, []byte) bool) {
		c := cursor{object}
		for more := c.take('{'); more; more = c.take(',') {
			name, ok := unquote(c.value())
			if !ok || !c.take(':') || !yield(name, c.value()) {
				return
			}
		}
	}
}

func isObject(value []byte) bool {
	c := cursor{value}
	return c.take('{')
}

// unquote returns the text of a JSON string.
func unquote(value []byte) (s string, ok bool) {
	if len(value) < 2 || value[0] != '"' {
		return "", false
	}
	if inner := value[1 : len(value)-1]; bytes.IndexByte(inner, '\\') < 0 && utf8.Valid(inner) {
		return string(inner), true
	}
	var decoded string // only here does it cost an allocation
	err := json.Unmarshal(value, &decoded)
	return decoded, err == nil
}

// cursor is a place in a JSON text. It takes the text to be valid: it looks for
// the ends of values, not for faults, and at worst comes to the end of the text.
type cursor struct{ rest []byte }

func (c *cursor) skipSpace() {
	for len(c.rest) > 0 && isSpace(c.rest[0]) {
		c.rest = c.rest[1:]
	}
}

func isSpace(b byte) bool { return b == ' ' || b == '\t' || b == '\r' || b == '\n' }

// take takes b if it comes next.
func (c *cursor) take(b byte) bool {
	c.skipSpace()
	if len(c.rest) == 0 || c.rest[0] != b {
		return false
	}
	c.rest = c.rest[1:]
	return true
}

// value takes the value that comes next. It is empty where there is none.
func (c *cursor) value() []byte {
	c.skipSpace()
	end := valueLen(c.rest)
	value := c.rest[:end]
	c.rest = c.rest[end:]
	return value
}

func valueLen(text []byte) int {
	depth := 0
	for i := 0; i < len(text); i++ {
		switch text[i] {
		case '"':
			i += stringLen(text[i:]) - 1
		case '{', '[':
			depth++
		case '}', ']':
			if depth == 0 {
				return i // the end of what a number or a literal is in
			}
			depth--
		case ',', ':', ' ', '\t', '\r', '\n':
			if depth == 0 {
				return i
			}
			continue
		default:
			continue // in a number or a literal
		}
		if depth == 0 {
			return i + 1
		}
	}
	return len(text)
}

func stringLen(text []byte) int {
	for i := 1; i < len(text); i++ {
		switch text[i] {
		case '\\':
			i++
		case '"':
			return i + 1
		}
	}
	return len(text)
}
