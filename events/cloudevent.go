package events

import (
	"bytes"
	"encoding/base64"

	"github.com/go-json-experiment/json/jsontext"

	"cbr-replicator/internal/jsonscan"
	"cbr-replicator/internal/kind"
)

// cloudEvent is a direct call with a CloudEvent in structured JSON, whose data
// is the request (CloudEvents 1.0, "JSON Event Format").
var cloudEvent = trigger{
	samples: []string{"cloudevent"},
	is:      isCloudEvent,
	decode:  decodeDirect,
	direct:  true,
}

func isCloudEvent(s shape) bool { return s.keys["specversion"] }

// Bounds for what is looked through for a result: texts within texts, and places
// at which a text that is not JSON as a whole may begin to be.
const (
	maxTexts  = 8
	maxStarts = 1000
)

// holdsResult reports whether a result event of ours is anywhere in a body that
// is no request, in whatever it was wrapped on its way: to publish that body's
// rejection might go round for ever. A result is told by the type of a
// CloudEvent; that a text speaks of such a type makes none.
func holdsResult(body []byte) bool {
	s := shapeOf(body)
	return !s.keys[replicateKey] && !s.keys[followKey] && textHoldsResult(body, maxTexts)
}

// textHoldsResult looks through a text: JSON, JSON with something around it or
// cut off, or one of these in base64.
func textHoldsResult(text []byte, texts int) bool {
	if texts == 0 {
		return false
	}
	if bytes.IndexByte(text, '{') < 0 {
		decoded, err := base64.StdEncoding.AppendDecode(nil, text)
		if err != nil {
			return false
		}
		text = decoded
	}
	var r jsonscan.Reader
	for range maxStarts {
		r.Reset(text)
		if valueHoldsResult(&r, texts) {
			return true
		}
		if r.End() == nil {
			return false
		}
		// Whatever is wrong, the next object may begin behind it.
		read := max(int(r.Offset()), 1)
		if read >= len(text) {
			return false
		}
		next := bytes.IndexByte(text[read:], '{')
		if next < 0 {
			return false
		}
		text = text[read+next:]
	}
	return false
}

// valueHoldsResult looks through the value that comes next.
func valueHoldsResult(r *jsonscan.Reader, texts int) bool {
	switch r.Peek() {
	case jsontext.KindBeginObject:
		isEvent, isResult := false, false
		for name := range r.Members {
			isEvent = isEvent || string(name) == "specversion"
			if string(name) == "type" && r.Peek() == jsontext.KindString {
				var of []byte
				r.Bytes(&of)
				isResult = isResult || kind.IsResult(string(of))
				continue
			}
			if valueHoldsResult(r, texts) {
				return true
			}
		}
		return isEvent && isResult
	case jsontext.KindBeginArray:
		for range r.Elements {
			if valueHoldsResult(r, texts) {
				return true
			}
		}
	case jsontext.KindString:
		var text []byte
		r.Bytes(&text)
		return textHoldsResult(text, texts-1)
	default:
		r.Value()
	}
	return false
}
