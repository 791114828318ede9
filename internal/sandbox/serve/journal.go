package serve

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"sync"
	"time"
)

const (
	// maxEntries is how much of what happened is kept for a page that is opened or reloaded.
	maxEntries = 400
	// maxDetail bounds the document that an entry shows, in bytes: a payload may have 6 MB.
	maxDetail = 64 << 10
	// maxBehind is how many events a page may be behind before its connection is closed. The page then connects anew and
	// gets the history.
	maxBehind = 4 * maxEntries
)

// The steps of entries.
const (
	stepInvoked  = "invoked"  // a payload goes to the function; begins an invocation
	stepCBR      = "cbr"      // a request reached CBR
	stepLogin    = "login"    // a request for a token reached IAM
	stepRetry    = "retry"    // the function retries in place
	stepOutcome  = "outcome"  // the function's log line about a delivery
	stepLog      = "log"      // another log line
	stepResult   = "result"   // a message on the topic
	stepTopic    = "topic"    // the topic fails
	stepAnswered = "answered" // the function's answer; ends an invocation
	stepQueue    = "queue"    // what happens to a message besides its delivery
	stepDead     = "dead"     // a message becomes a dead letter
	stepSwitch   = "switch"   // someone has changed something on the page
)

// entry is one thing that happened.
type entry struct {
	ID         int       `json:"id"`
	Time       time.Time `json:"time"`
	Invocation int64     `json:"invocation,omitempty"` // the invocation it belongs to; 0 for none
	Step       string    `json:"step"`
	Status     string    `json:"status,omitempty"` // of a result or a delivery: accepted, …, redelivered; "error" for a refusal
	Vault      string    `json:"vault,omitempty"`
	Text       string    `json:"text"`
	Detail     string    `json:"detail,omitempty"` // a JSON document
	// Outcomes counts an invocation's deliveries by their status. It is in the entry of the answer: the entries of the
	// deliveries may have left the journal by then.
	Outcomes map[string]int `json:"outcomes,omitempty"`
	// Look is set in the entry that begins an invocation for looks at copies.
	Look bool `json:"look,omitempty"`
}

// event is one server-sent event.
type event struct {
	name string
	data []byte // JSON on one line
}

// journal keeps what happened and sends it to its listeners. It is safe for concurrent use.
type journal struct {
	mu        sync.Mutex
	outcomes  map[string]int // of the invocation that runs: there is one at a time
	last      int
	entries   []event
	states    []event // the last of each name
	listeners map[chan event]bool
}

func newJournal() *journal {
	return &journal{outcomes: map[string]int{}, listeners: map[chan event]bool{}, states: []event{{"state", []byte("{}")}}}
}

// add keeps e, with the next id and the time.
func (j *journal) add(e entry) {
	e.Text = strings.TrimSpace(e.Text)
	e.Detail = cut(e.Detail)
	j.mu.Lock()
	defer j.mu.Unlock()
	switch e.Step {
	case stepInvoked:
		j.outcomes = map[string]int{}
	case stepOutcome:
		j.outcomes[e.Status]++
	case stepAnswered:
		e.Outcomes = j.outcomes
	}
	j.last++
	e.ID, e.Time = j.last, time.Now()
	told := event{"entry", encode(e)}
	if len(j.entries) == maxEntries {
		j.entries = append(j.entries[:0], j.entries[1:]...)
	}
	j.entries = append(j.entries, told)
	j.tell(told)
}

// show replaces the present state of a name. It tells of it if it has changed.
func (j *journal) show(name string, state any) {
	shown := event{name, encode(state)}
	j.mu.Lock()
	defer j.mu.Unlock()
	i := slices.IndexFunc(j.states, func(e event) bool { return e.name == name })
	switch {
	case i < 0:
		j.states = append(j.states, shown)
	case bytes.Equal(j.states[i].data, shown.data):
		return
	default:
		j.states[i] = shown
	}
	j.tell(shown)
}

// clear forgets what happened.
func (j *journal) clear() {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.entries = nil
	j.tell(event{"reset", []byte("{}")})
}

// tell sends an event to each listener, and drops a listener that is too far behind. The caller holds mu.
func (j *journal) tell(e event) {
	for listener := range j.listeners {
		select {
		case listener <- e:
		default:
			delete(j.listeners, listener)
			close(listener)
		}
	}
}

// listen returns what happened so far and a channel with what happens from then on, which is closed if its reader is too
// slow. leave ends it.
func (j *journal) listen() (history []event, next <-chan event, leave func()) {
	listener := make(chan event, maxBehind)
	j.mu.Lock()
	defer j.mu.Unlock()
	history = append(history, event{"reset", []byte("{}")})
	history = append(history, j.entries...)
	history = append(history, j.states...)
	j.listeners[listener] = true
	return history, listener, func() {
		j.mu.Lock()
		defer j.mu.Unlock()
		delete(j.listeners, listener)
	}
}

// cut shortens text to what an entry shows.
func cut(text string) string {
	if len(text) <= maxDetail {
		return text
	}
	return strings.ToValidUTF8(text[:maxDetail], "") + " … (cut)"
}

// encode cannot fail: the values are strings, numbers and times.
func encode(v any) []byte {
	data, _ := json.Marshal(v)
	return data
}
