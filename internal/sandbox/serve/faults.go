package serve

import (
	"fmt"
	"net/http"
	"slices"
	"sync"
	"time"

	"cbr-replicator/internal/cbr/cbrtest"
	"cbr-replicator/internal/sandbox"
)

// fault is one way in which a service fails.
type fault[F any] struct {
	Name  string // in requests of the page
	Label string // on the page
	how   F
}

// cbrFaults are the ways in which CBR can be made to fail.
func cbrFaults() []fault[cbrtest.Fault] {
	return []fault[cbrtest.Fault]{
		{"unavailable", "Unavailable: 503 APIG.0613", cbrtest.Unavailable()},
		{"throttled", "Throttled: 429, Retry-After 2 s", cbrtest.Throttled(2 * time.Second)},
		{"busy", "Vault busy: 400 BackupService.6130", cbrtest.Refusal(http.StatusBadRequest, "BackupService.6130", "The vault is being replicated.")},
		{"full", "Destination full: 400 BackupService.6129", cbrtest.Refusal(http.StatusBadRequest, "BackupService.6129", "The maximum capacity of the destination vault has been reached.")},
		{"reset-before", "Reset before CBR accepts the request", cbrtest.ResetBefore()},
		{"reset-after", "Reset after CBR has accepted the request", cbrtest.ResetAfter()},
		{"slow", "Slow: answer after 5 s, later than CBR_TIMEOUT", cbrtest.Late(5 * time.Second)},
		{"cut", "Answer cut in half", cbrtest.CutShort()},
	}
}

// noteOf returns what a fault has done to an answer, if the answer's status does not show it.
func noteOf(f cbrtest.Fault) string {
	switch {
	case f.Reset && f.Taken:
		return "the answer was lost"
	case f.Reset:
		return "the request was lost"
	case f.Delay > 0:
		return fmt.Sprintf("%.0f s late", f.Delay.Seconds())
	case f.Cut:
		return "cut in half"
	case f.Header.Get("Retry-After") != "":
		return "Retry-After: " + f.Header.Get("Retry-After")
	}
	return ""
}

// topicFaults are the ways in which the topic can be made to fail.
func topicFaults() []fault[sandbox.TopicFault] {
	return []fault[sandbox.TopicFault]{
		{"internal", "500 InternalError", sandbox.TopicFault{Status: http.StatusInternalServerError, Code: "InternalError"}},
		{"denied", "403 AuthorizationError", sandbox.TopicFault{Status: http.StatusForbidden, Code: "AuthorizationError"}},
		{"reset", "Connection reset", sandbox.TopicFault{Reset: true}},
	}
}

// untilSwitchedOff is a number of times without an end.
const untilSwitchedOff = -1

// faultSwitch decides which fault, if any, the next requests meet. It is safe for concurrent use.
type faultSwitch[F any] struct {
	Faults []fault[F] // never changed

	mu   sync.Mutex
	on   fault[F]
	left int
}

// setting is the position of a switch, for the page.
type setting struct {
	Name string `json:"name"` // empty: off
	Left int    `json:"left"` // how many requests will meet it, or untilSwitchedOff
}

// set switches a fault on for a number of requests, or with the name "" off.
func (s *faultSwitch[F]) set(name string, times int) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if name == "" {
		s.on, s.left = fault[F]{}, 0
		return nil
	}
	i := slices.IndexFunc(s.Faults, func(f fault[F]) bool { return f.Name == name })
	if i < 0 || times == 0 || times < untilSwitchedOff {
		return fmt.Errorf("no such fault, or not a number of times: %.40q, %d", name, times)
	}
	s.on, s.left = s.Faults[i], times
	return nil
}

// take returns the fault that the next request meets.
func (s *faultSwitch[F]) take() (f fault[F], ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f, ok = s.on, s.on.Name != ""
	if s.left > 0 {
		if s.left--; s.left == 0 {
			s.on = fault[F]{}
		}
	}
	return f, ok
}

func (s *faultSwitch[F]) setting() setting {
	s.mu.Lock()
	defer s.mu.Unlock()
	return setting{s.on.Name, s.left}
}
