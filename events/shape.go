package events

import "fmt"

// shape is what of a payload's form tells its trigger.
type shape struct {
	array  bool
	keys   map[string]bool // of the top level
	source string          // eventSource of the first element or record, as far as it has one
}

func (s shape) String() string {
	if s.array {
		return fmt.Sprintf("an array from %q", s.source)
	}
	return fmt.Sprintf("Records from %q", s.source)
}

// shapeOf reads as little of a payload as tells its form: of a batch no more
// than its first record. What is no JSON may have any shape; the trigger that
// it seems to be of says what is wrong with it.
func shapeOf(payload []byte) shape {
	s := shape{keys: map[string]bool{}}
	c := cursor{payload}
	if c.take('[') {
		s.array, s.source = true, sourceOf(c.value())
	}
	for more := c.take('{'); more; more = c.take(',') {
		name, _ := unquote(c.value())
		c.take(':')
		s.keys[name] = true
		if name == "Records" && c.take('[') {
			s.source = sourceOf(c.value())
			break // it comes before all others in the order of triggers
		}
		c.value()
	}
	return s
}

// sourceOf returns the eventSource of a record.
func sourceOf(record []byte) string {
	for name, value := range members(record) {
		// SNS alone writes it with a capital.
		if name == "eventSource" || name == "EventSource" {
			source, _ := unquote(value)
			return source
		}
	}
	return ""
}
