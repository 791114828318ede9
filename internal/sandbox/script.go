package sandbox

import (
	"net/http"
	"sync"
	"time"
)

// script is what goes wrong with the next calls of a service, and how many calls came. Its zero value is ready. Safe for
// concurrent use.
type script[F any] struct {
	mu     sync.Mutex
	faults []F
	calls  int
}

// Script makes the next calls fail, one fault a call. The zero fault lets a call through.
func (s *script[F]) Script(faults ...F) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = append(s.faults, faults...)
}

// Calls returns how many calls were made, refused ones included.
func (s *script[F]) Calls() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.calls
}

// next counts a call and returns what goes wrong with it.
func (s *script[F]) next() (fault F) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls++
	if len(s.faults) > 0 {
		fault, s.faults = s.faults[0], s.faults[1:]
	}
	return fault
}

// wait passes the time of a fault's delay and reports whether the caller is still there. The call's body must have been
// read: before that net/http does not see a caller go.
func wait(r *http.Request, delay time.Duration) bool {
	select {
	case <-time.After(delay):
		return true
	case <-r.Context().Done():
		return false
	}
}

// cut ends the connection without an answer.
func cut() {
	panic(http.ErrAbortHandler) // net/http's way
}
