package sandbox

import (
	"fmt"
	"net/http"
	"sync"
	"time"
)

// script says which faults the next calls of a service meet, and counts its calls. Its zero value is ready. Safe for
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

// next counts a call and returns its fault.
func (s *script[F]) next() (fault F) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls++
	if len(s.faults) > 0 {
		fault, s.faults = s.faults[0], s.faults[1:]
	}
	return fault
}

// service is what the services of the sandbox share: a server, and a script of what goes wrong with its calls.
type service[F any] struct {
	script[F]
	server *server
}

// start starts the server of the service with this name.
func (s *service[F]) start(name string, handler http.HandlerFunc) (err error) {
	if s.server, err = serve(handler); err != nil {
		return fmt.Errorf("serving %s: %w", name, err)
	}
	return nil
}

// Close ends the service's server. What the service holds stays.
func (s *service[F]) Close() { s.server.close() }

// URL is the service's endpoint, for AWS_ENDPOINT_URL_SQS, AWS_ENDPOINT_URL_SNS and the like.
func (s *service[F]) URL() string { return "http://" + s.server.addr }

// wait waits for a fault's delay and reports whether the caller is still there. The call's body must have been read: before
// that net/http does not notice that a caller is gone.
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
