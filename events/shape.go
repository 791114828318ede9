package events

import (
	"encoding/json"
	"fmt"
)

// shape is what of a payload's form tells its trigger.
type shape struct {
	array  bool
	keys   map[string]bool // of the top level
	source string          // eventSource of the first element or record, as far as it has one
}

func (s shape) String() string {
	if s.array {
		return "an array"
	}
	if s.keys["Records"] {
		return fmt.Sprintf("Records of %q", s.source)
	}
	return "an object"
}

// shapeOf reads as little of a payload as tells its form: of a batch no more
// than its first record. What is no JSON has no shape; the trigger that takes
// what no other does says what is wrong with it.
func shapeOf(payload []byte) shape {
	s := shape{keys: map[string]bool{}}
	in := newReader(payload)
	switch token, _ := in.next(); token {
	case json.Delim('['):
		s.array = true
		s.source = in.firstSource()
	case json.Delim('{'):
		for {
			token, ok := in.next()
			name, isName := token.(string)
			if !ok || !isName {
				return s
			}
			s.keys[name] = true
			value, ok := in.next()
			if !ok {
				return s
			}
			if name == "Records" && value == json.Delim('[') {
				s.source = in.firstSource()
				return s // comes before all others in the order of triggers
			}
			in.skip(value)
		}
	}
	return s
}

// firstSource returns the eventSource of the array element that comes next.
func (in *reader) firstSource() string {
	if token, _ := in.next(); token != json.Delim('{') {
		return ""
	}
	for {
		token, ok := in.next()
		name, isName := token.(string)
		if !ok || !isName {
			return ""
		}
		value, ok := in.next()
		if !ok {
			return ""
		}
		// SNS alone writes it with a capital.
		if source, isText := value.(string); isText && (name == "eventSource" || name == "EventSource") {
			return source
		}
		in.skip(value)
	}
}
