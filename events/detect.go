package events

import (
	"fmt"
	"slices"

	"github.com/go-json-experiment/json/jsontext"

	"cbr-replicator/internal/jsonscan"
)

// shape is what of a payload's form tells its trigger.
type shape struct {
	array bool
	keys  map[string]bool // of the top level, those of telling
	// twice is one of telling that is there twice, empty without one: what the
	// one says would hide what the other does.
	twice string
	// source is the eventSource of the payload itself, or of the first of its
	// Records or of an array's elements; mixed: another element has another.
	source string
	mixed  bool
	// records: an element of an array is a record of some source.
	records bool
	elb     bool // requestContext is a load balancer's
	empty   bool // Records are a list of none
}

// telling are the names by which triggers and envelopes are told, and those of
// what carries a request. Others are not kept: a payload may have any number.
var telling = []string{
	"Records", "records", "rmqMessagesByQueue", "messages", "requestContext", "httpMethod", "routeKey", "body",
	"detail-type", "detail", "specversion", "type", "data", "data_base64", "Type", "Message", "requestPayload", "replicate",
}

// ofRecords are names that a source's records have and no request.
var ofRecords = []string{"eventSource", "EventSource", "eventSourceARN", "eventSourceArn", "eventSourceKey", "receiptHandle"}

// shapeOf reads as little of a payload as tells its form: of Records no more
// than the first. What is no JSON has the shape of what comes before its fault.
func shapeOf(payload []byte) shape {
	s := shape{keys: map[string]bool{}}
	r := jsonscan.New(payload)
	switch r.Peek() {
	case jsontext.KindBeginArray:
		s.array = true
		for i := range r.Elements {
			source, isRecord := sourceOf(r)
			if i == 0 {
				s.source = source
			}
			s.mixed = s.mixed || source != s.source
			s.records = s.records || isRecord
		}
	case jsontext.KindBeginObject:
		for name := range r.Members {
			s.see(string(name))
			switch string(name) {
			case "Records":
				s.source = ""
				if r.Peek() == jsontext.KindBeginArray {
					s.empty = true
					for range r.Elements {
						s.source, _ = sourceOf(r)
						s.empty = false
						break
					}
				}
				return s // it comes before all others in the order of triggers
			case "eventSource":
				s.source, _ = jsonscan.Text(r.Value())
			case "requestContext":
				if r.Peek() == jsontext.KindBeginObject {
					for name := range r.Members {
						s.elb = s.elb || string(name) == "elb"
					}
				}
			}
		}
	}
	return s
}

// see notes a name of the top level.
func (s *shape) see(name string) {
	if !slices.Contains(telling, name) {
		return
	}
	if s.keys[name] {
		s.twice = name
	}
	s.keys[name] = true
}

// sourceOf returns the eventSource of a record, and whether it is a record of
// any source.
func sourceOf(r *jsonscan.Reader) (source string, isRecord bool) {
	if r.Peek() != jsontext.KindBeginObject {
		return "", false
	}
	for name := range r.Members {
		isRecord = isRecord || slices.Contains(ofRecords, string(name))
		// SNS alone writes it with a capital.
		if string(name) == "eventSource" || string(name) == "EventSource" {
			source, _ = jsonscan.Text(r.Value())
		}
	}
	return source, isRecord
}

// sources says whose records a payload brings that no trigger has.
func (s shape) sources() string {
	switch {
	case s.empty:
		return "Records is empty"
	case !s.array:
		return fmt.Sprintf("Records from %q", s.source)
	case s.mixed:
		return "an array in which not all are records of one source"
	}
	return fmt.Sprintf("an array of records from %q", s.source)
}
