package events

import (
	"bytes"
	"encoding/base64"

	"github.com/go-json-experiment/json/jsontext"

	"cbr-replicator/internal/jsonscan"
	"cbr-replicator/internal/kind"
)

// cloudEvent is a direct call with a CloudEvent in structured JSON. Its data is
// the request (CloudEvents 1.0, "JSON Event Format").
var cloudEvent = trigger{
	samples: []string{"cloudevent"},
	is:      isCloudEvent,
	decode:  decodeDirect,
	direct:  true,
}

func isCloudEvent(f form) bool { return f.keys["specversion"] }

// Bounds of the search for a result.
const (
	maxTexts  = 8    // texts within texts
	maxStarts = 1000 // objects in a text that is not one JSON value
)

// holdsResult reports whether a body that is no request has a result event of
// ours in it, in any wrapping. The body's rejection must not be published: its
// result might be received as a request, too, and so on without end. What makes a
// result is the type of a CloudEvent. A text that only mentions such a type is none.
func holdsResult(body []byte) bool {
	f := detect(body)
	return !f.keys[replicateKey] && !f.keys[checkKey] && !f.keys[followKey] && textHoldsResult(body, maxTexts)
}

// textHoldsResult searches a text: JSON, cut off or with other text around it, or
// the same in base64.
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
		// The next object may begin after what is wrong.
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

// valueHoldsResult searches the next value.
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
