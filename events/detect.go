package events

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/go-json-experiment/json/jsontext"

	"cbr-replicator/internal/jsonscan"
)

// form is what shows which trigger or envelope a payload is of.
type form struct {
	array bool
	keys  map[string]bool // the names of the top level that are in formNames
	// twice is one of formNames that is given twice, empty without one. One of
	// the two values would be lost.
	twice string
	// source is the eventSource of the payload, or of the first of its Records,
	// or of the first element of an array.
	source string
	// mixed: an element of an array has another source than the first.
	mixed bool
	// records: an element of an array is a record of some source.
	records bool
	elb     bool // requestContext is a load balancer's
	empty   bool // Records is an empty list

	// functionGraph: the payload comes from FunctionGraph.
	functionGraph bool
	// huawei is the event_source of the first of record or records, triggerType the
	// trigger_type: FunctionGraph's.
	huawei, triggerType string
}

// formNames are the names by which triggers and envelopes are recognized, and
// the names of what carries a request. Other names are not kept, since a payload
// may have any number of them.
var formNames = []string{
	"Records", "records", "rmqMessagesByQueue", "messages", "requestContext", "httpMethod", "routeKey", "body",
	"detail-type", "detail", "specversion", "type", "data", "data_base64", "Type", "Message", "requestPayload", "replicate", "check", "follow",
	"record", "trigger_type", "cts", "lts", "ShardID", "request_context", "request_payload", "ttl", "message_type",
}

// recordNames are names that only the records of a source have, never a request.
var recordNames = []string{"eventSource", "EventSource", "eventSourceARN", "eventSourceArn", "eventSourceKey", "receiptHandle"}

// detect reads a payload until its form is known. It reads only the first of
// Records. If the payload is not JSON, its form is that of the part before the
// fault.
func detect(payload []byte) form {
	f := form{keys: map[string]bool{}}
	r := jsonscan.New(payload)
	switch r.Peek() {
	case jsontext.KindBeginArray:
		f.array = true
		for i := range r.Elements {
			source, isRecord := sourceOf(r)
			if i == 0 {
				f.source = source
			}
			f.mixed = f.mixed || source != f.source
			f.records = f.records || isRecord
		}
	case jsontext.KindBeginObject:
		for name := range r.Members {
			f.note(string(name))
			switch string(name) {
			case "Records":
				f.source = ""
				if r.Peek() == jsontext.KindBeginArray {
					f.empty = true
					for range r.Elements {
						f.source, _ = sourceOf(r)
						f.empty = false
						break
					}
				}
				return f // Records decides: its triggers come before those with other names
			case "eventSource":
				f.source, _ = jsonscan.Text(r.Value())
			case "trigger_type":
				f.triggerType, _ = jsonscan.Text(r.Value())
			case "record", "records":
				if r.Peek() == jsontext.KindBeginArray {
					f.huawei = cmp.Or(huaweiSourceOf(r), f.huawei)
				}
			case "requestContext":
				if r.Peek() == jsontext.KindBeginObject {
					for name := range r.Members {
						f.elb = f.elb || string(name) == "elb"
					}
				}
			}
		}
	}
	return f
}

// note keeps a name of the top level, if it is one of formNames.
func (f *form) note(name string) {
	if !slices.Contains(formNames, name) {
		return
	}
	if f.keys[name] {
		f.twice = name
	}
	f.keys[name] = true
}

// sourceOf returns the eventSource of a record, and whether it is a record of
// any source.
func sourceOf(r *jsonscan.Reader) (source string, isRecord bool) {
	if r.Peek() != jsontext.KindBeginObject {
		return "", false
	}
	for name := range r.Members {
		isRecord = isRecord || slices.Contains(recordNames, string(name))
		// Only SNS writes it with a capital.
		if string(name) == "eventSource" || string(name) == "EventSource" {
			source, _ = jsonscan.Text(r.Value())
		}
	}
	return source, isRecord
}

// sources describes the records of a payload that no trigger takes.
func (f form) sources() string {
	switch {
	case f.empty:
		return "Records is empty"
	case !f.array:
		return fmt.Sprintf("Records from %q", f.source)
	case f.mixed:
		return "an array in which not all are records of one source"
	}
	return fmt.Sprintf("an array of records from %q", f.source)
}
