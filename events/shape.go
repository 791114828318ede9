package events

import (
	"github.com/go-json-experiment/json/jsontext"

	"cbr-replicator/internal/onepass"
)

// shape is what of a payload's form tells its trigger.
type shape struct {
	array bool
	keys  map[string]bool // of the top level
	// source is the eventSource of the payload itself, of the first of its
	// Records, or of all elements of an array: empty where they differ.
	source string
	elb    bool // requestContext is a load balancer's
}

// shapeOf reads as little of a payload as tells its form: of Records no more
// than the first. What is no JSON has the shape of what comes before its fault.
func shapeOf(payload []byte) shape {
	s := shape{keys: map[string]bool{}}
	r := onepass.New(payload)
	switch r.Peek() {
	case jsontext.KindBeginArray:
		s.array = true
		for i := range r.Elements() {
			if source := sourceOf(r); i == 0 {
				s.source = source
			} else if source != s.source {
				s.source = ""
			}
		}
	case jsontext.KindBeginObject:
		for name := range r.Members() {
			s.keys[string(name)] = true
			switch string(name) {
			case "Records":
				s.source = ""
				if r.Peek() == jsontext.KindBeginArray {
					for range r.Elements() {
						s.source = sourceOf(r)
						break
					}
				}
				return s // it comes before all others in the order of triggers
			case "eventSource":
				s.source, _ = onepass.Text(r.Value())
			case "requestContext":
				if r.Peek() == jsontext.KindBeginObject {
					for name := range r.Members() {
						s.elb = s.elb || string(name) == "elb"
					}
				}
			}
		}
	}
	return s
}

// sourceOf returns the eventSource of a record.
func sourceOf(r *onepass.Reader) (source string) {
	if r.Peek() != jsontext.KindBeginObject {
		return ""
	}
	for name := range r.Members() {
		// SNS alone writes it with a capital.
		if string(name) == "eventSource" || string(name) == "EventSource" {
			source, _ = onepass.Text(r.Value())
		}
	}
	return source
}
