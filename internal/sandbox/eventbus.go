package sandbox

import (
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

// Limits of EventBridge (EventBridge API reference, PutEvents and PutEventsRequestEntry).
const (
	maxBusEntries = 10
	maxBusBytes   = 256 << 10
	maxDetailType = 128
)

var eventsProtocol = jsonProtocol{version: "1.1", service: "events", target: "AWSEvents", text: "message"}

// EventBusFault is how the bus fails one call, instead of or besides doing what it asks for.
type EventBusFault struct {
	// Status and Code refuse the call.
	Status int
	Code   string
	// Entries refuses these entries of the call, by index, with a code, such as ThrottlingException.
	Entries map[int]string
	// Reset cuts the connection before anything is done.
	Reset bool
	// AnswerLost puts the events on the bus, then cuts the connection: the caller cannot know that they were put.
	AnswerLost bool
	// Delay comes before everything else.
	Delay time.Duration
}

// BusEvent is an event on the bus. Its JSON is what a rule's target gets (EventBridge user guide, "Events").
type BusEvent struct {
	Version    string          `json:"version"`
	ID         string          `json:"id"`
	DetailType string          `json:"detail-type"`
	Source     string          `json:"source"`
	Account    string          `json:"account"`
	Time       time.Time       `json:"time"`
	Region     string          `json:"region"`
	Resources  []string        `json:"resources"`
	Detail     json.RawMessage `json:"detail"`
}

// EventBus is an EventBridge event bus behind EventBridge's own protocol, on 127.0.0.1. It does PutEvents, for callers that
// sign for EventBridge in [Region], and holds them to its limits. It has no order beyond that of the calls and drops no
// duplicates. Safe for concurrent use.
type EventBus struct {
	service[EventBusFault]
	name string

	mu     sync.Mutex
	events []BusEvent
}

// NewEventBus starts a bus.
func NewEventBus(name string) (*EventBus, error) {
	b := &EventBus{name: name}
	return b, b.start("EventBridge", b.serve)
}

// ARN is the bus's ARN.
func (b *EventBus) ARN() string { return arn("events", "event-bus/"+b.name) }

// Events returns what was put on the bus, in order.
func (b *EventBus) Events() []BusEvent {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.events)
}

// putEventsEntry is an entry of PutEvents.
type putEventsEntry struct {
	Time         *float64 // seconds since 1970
	Source       string
	DetailType   string
	Detail       string
	Resources    []string
	EventBusName string
}

// size is what an entry counts for (EventBridge user guide, "Calculating PutEvents event entry size").
func (e putEventsEntry) size() int {
	size := len(e.Source) + len(e.DetailType) + len(e.Detail)
	if e.Time != nil {
		size += 14
	}
	for _, resource := range e.Resources {
		size += len(resource)
	}
	return size
}

// putEventsResult is what became of an entry.
type putEventsResult struct {
	EventID      string `json:"EventId,omitempty"`
	ErrorCode    string `json:",omitempty"`
	ErrorMessage string `json:",omitempty"`
}

func (b *EventBus) serve(w http.ResponseWriter, r *http.Request) {
	fault := b.next()
	eventsProtocol.serve(w, r, outage{fault.Status, fault.Code, fault.Reset, fault.Delay}, map[string]func([]byte){
		"PutEvents": func(body []byte) { b.putEvents(w, body, fault) },
	})
}

func (b *EventBus) putEvents(w http.ResponseWriter, body []byte, fault EventBusFault) {
	var call struct{ Entries []putEventsEntry }
	if !eventsProtocol.decode(w, body, &call) {
		return
	}
	total := 0
	for _, e := range call.Entries {
		total += e.size()
	}
	switch {
	case len(call.Entries) < 1 || len(call.Entries) > maxBusEntries:
		eventsProtocol.refuse(w, http.StatusBadRequest, "ValidationException",
			fmt.Sprintf("1 validation error detected: Value at 'entries' failed to satisfy constraint: Member must have length between 1 and %d", maxBusEntries))
	case total > maxBusBytes:
		eventsProtocol.refuse(w, http.StatusBadRequest, "ValidationException", "Total size of the entries in the request is over the limit.")
	default:
		answer := b.put(call.Entries, fault.Entries)
		eventsProtocol.answer(w, answer, fault.AnswerLost)
	}
}

// putEventsResponse is PutEvents' answer: what became of an entry stands at the entry's index.
type putEventsResponse struct {
	FailedEntryCount int
	Entries          []putEventsResult
}

// put puts the entries on the bus, except those that are not valid or scripted to fail.
func (b *EventBus) put(entries []putEventsEntry, faults map[int]string) putEventsResponse {
	answer := putEventsResponse{Entries: make([]putEventsResult, len(entries))}
	b.mu.Lock()
	defer b.mu.Unlock()
	for i, e := range entries {
		result := &answer.Entries[i]
		if result.ErrorCode, result.ErrorMessage = b.check(e); result.ErrorCode == "" && faults[i] != "" {
			result.ErrorCode, result.ErrorMessage = faults[i], "scripted"
		}
		if result.ErrorCode != "" {
			answer.FailedEntryCount++
			continue
		}
		at := time.Now()
		if e.Time != nil {
			at = time.UnixMilli(int64(math.Round(*e.Time * 1000)))
		}
		result.EventID = newUUID()
		b.events = append(b.events, BusEvent{
			Version: "0", ID: result.EventID, DetailType: e.DetailType, Source: e.Source, Account: Account, Region: Region,
			Time:      at.UTC().Truncate(time.Second), // a rule's target gets no fraction of it
			Resources: append([]string{}, e.Resources...), Detail: json.RawMessage(e.Detail),
		})
	}
	return answer
}

// check returns what is wrong with an entry. For a bus that does not exist AWS answers as if it had put the event.
func (b *EventBus) check(e putEventsEntry) (code, text string) {
	detail := map[string]json.RawMessage{}
	switch {
	case e.EventBusName != b.name && e.EventBusName != b.ARN():
		return "InvalidArgument", "Parameter EventBusName is not valid. Reason: the sandbox has no bus " + e.EventBusName + "."
	case e.Source == "":
		return "InvalidArgument", "Parameter Source is not valid. Reason: Source is a required argument."
	case strings.HasPrefix(e.Source, "aws."):
		return "NotAuthorizedForSourceException", "Not authorized for the source."
	case e.DetailType == "" || len(e.DetailType) > maxDetailType:
		return "InvalidArgument", "Parameter DetailType is not valid. Reason: DetailType is a required argument."
	case e.Detail == "":
		return "InvalidArgument", "Parameter Detail is not valid. Reason: Detail is a required argument."
	case json.Unmarshal([]byte(e.Detail), &detail) != nil || detail == nil:
		return "MalformedDetail", "Detail is malformed."
	}
	return "", ""
}
