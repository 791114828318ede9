// Package jsonscan reads JSON once, from front to back, and takes from it what its caller
// asks for: the records of a queue, the requests in them, CBR's answers. encoding/json
// reads each text twice, once to see if it is JSON, and hides duplicate names.
//
// The tokens are read by jsontext, which is part of Go from 1.27 on.
package jsonscan

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"strconv"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
)

// Reader reads one JSON text. After its first error it finds nothing more and keeps the
// error, so it is enough to check for it once, at [Reader.End]. It is not safe for
// concurrent use.
type Reader struct {
	tokens jsontext.Decoder
	text   bytes.Buffer
	err    error
}

// New returns a reader of text, which must not change while it is read. As in
// encoding/json, duplicate names and invalid UTF-8 are not errors.
func New(text []byte) *Reader {
	r := new(Reader)
	r.Reset(text)
	return r
}

// Reset makes r a reader of text, as New does. r may be the zero Reader.
func (r *Reader) Reset(text []byte) {
	r.text, r.err = *bytes.NewBuffer(text), nil
	r.tokens.Reset(&r.text, jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
}

// Peek returns the kind of what comes next, without reading it.
func (r *Reader) Peek() jsontext.Kind {
	if r.err != nil {
		return jsontext.KindInvalid
	}
	return r.tokens.PeekKind()
}

// Members reads an object. It yields the names of its members; the caller may read the
// value of each. A name is valid until the next one. null is an object without members,
// any other value is an error. After a break out of the loop, r reads no more of the
// text. It is an iter.Seq: range over r.Members.
func (r *Reader) Members(yield func(name []byte) bool) {
	if !r.open(jsontext.KindBeginObject, "an object") {
		return
	}
	for r.Peek() != jsontext.KindEndObject {
		name := r.Value()
		if r.err != nil {
			return
		}
		at := r.tokens.InputOffset()
		if !yield(Unquote(name)) {
			return
		}
		r.skip(at)
	}
	r.token()
}

// Elements reads an array. It yields the indices of its elements; the caller may read
// each. null is an array without elements, any other value is an error. It is an
// iter.Seq: range over r.Elements.
func (r *Reader) Elements(yield func(index int) bool) {
	if !r.open(jsontext.KindBeginArray, "an array") {
		return
	}
	for i := 0; r.Peek() != jsontext.KindEndArray; i++ {
		if r.Peek() == jsontext.KindInvalid {
			break // reading the token sets the error
		}
		at := r.tokens.InputOffset()
		if !yield(i) {
			return
		}
		r.skip(at)
	}
	r.token()
}

// Text reads a string. null leaves *to as it is, any other value is an error.
func (r *Reader) Text(to *string) {
	var text []byte
	if r.Bytes(&text); text != nil {
		*to = string(text)
	}
}

// Bytes reads a string as Text does. If the string has no escapes, *to is a part of the
// reader's text, and no copy.
func (r *Reader) Bytes(to *[]byte) {
	var value []byte
	if r.Quoted(&value); value != nil {
		*to = Unquote(value)
	}
}

// Quoted reads a string as Bytes does, but as JSON: *to is a part of the reader's text.
// [Unquote] returns the string.
func (r *Reader) Quoted(to *[]byte) {
	switch r.Peek() {
	case jsontext.KindString:
		if value := r.Value(); r.err == nil {
			*to = value
		}
	case jsontext.KindNull:
		r.Value()
	default:
		r.expected("a string")
	}
}

// Int reads an integer, which may be in a string. null leaves *to as it is, any other
// value is an error.
func (r *Reader) Int(to *int64) {
	of := r.Peek()
	value := r.Value()
	if r.err != nil || of == jsontext.KindNull {
		return
	}
	if of == jsontext.KindString {
		value = Unquote(value)
	}
	n, err := strconv.ParseInt(string(value), 10, 64)
	if err != nil {
		r.wrong("a whole number")
		return
	}
	*to = n
}

// Value reads any value and returns its JSON, a part of the reader's text.
func (r *Reader) Value() []byte {
	if r.err != nil {
		return nil
	}
	var value []byte
	value, r.err = r.tokens.ReadValue()
	return value
}

// Err returns the first error so far.
func (r *Reader) Err() error { return r.err }

// ErrMore is the error of a text with more after its value.
var ErrMore = errors.New("expected nothing more")

// End returns the first error so far, or ErrMore.
func (r *Reader) End() error {
	if r.err != nil {
		return r.err
	}
	more := r.tokens.PeekKind() != jsontext.KindInvalid
	if !more {
		_, err := r.tokens.ReadToken()
		more = !errors.Is(err, io.EOF)
	}
	if more {
		r.err = ErrMore
	}
	return r.err
}

// Offset returns how far the text was read without a fault, in bytes.
func (r *Reader) Offset() int64 {
	if e, ok := errors.AsType[*jsontext.SyntacticError](r.err); ok {
		return e.ByteOffset
	}
	return r.tokens.InputOffset()
}

// token reads a brace or a bracket, or sets the error.
func (r *Reader) token() {
	if r.err == nil {
		_, r.err = r.tokens.ReadToken()
	}
}

func (r *Reader) open(kind jsontext.Kind, what string) bool {
	switch r.Peek() {
	case kind:
		r.token()
		return true
	case jsontext.KindNull:
		r.token()
	default:
		r.expected(what)
	}
	return false
}

// skip skips the value at an offset if the body of a loop has not read it.
func (r *Reader) skip(at int64) {
	if r.err == nil && r.tokens.InputOffset() == at {
		r.err = r.tokens.SkipValue()
	}
}

// expected reads a value of the wrong type and sets an error. If the value is not JSON,
// that is the error.
func (r *Reader) expected(what string) {
	r.Value()
	if r.err == nil {
		r.wrong(what)
	}
}

// wrong sets the error that the value that was read last should have been what.
func (r *Reader) wrong(what string) {
	r.err = fmt.Errorf("%s: expected %s", cmp.Or(string(r.tokens.StackPointer()), "$"), what)
}

// Text returns the string of value if that is the JSON of a string, for example from
// [Reader.Value].
func Text(value []byte) (text string, ok bool) {
	if len(value) == 0 || value[0] != '"' {
		return "", false
	}
	return string(Unquote(value)), true
}

// Unquote returns the string of value, which is the JSON of a string or empty. If value
// has no escapes, the result is a part of it, and no copy.
func Unquote(value []byte) []byte {
	if len(value) == 0 {
		return nil
	}
	if inner := value[1 : len(value)-1]; bytes.IndexByte(inner, '\\') < 0 && utf8.Valid(inner) {
		return inner
	}
	text, _ := jsontext.AppendUnquote(make([]byte, 0, len(value)), value) // the only possible error is invalid UTF-8
	return text
}
