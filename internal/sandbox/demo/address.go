package demo

import (
	"fmt"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"cbr-replicator/internal/cbr/cbrtest"
)

// address is CBR's address. Connections are refused until it is opened. After
// that, the CBR behind it can be replaced.
type address struct {
	hostPort string
	current  atomic.Pointer[cbrtest.CBR]

	mu     sync.Mutex
	server *http.Server
}

// newAddress picks a free port, on which nothing listens yet.
func newAddress() *address {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return &address{hostPort: "127.0.0.1:0"} // open returns the error
	}
	defer listener.Close()
	return &address{hostPort: listener.Addr().String()}
}

func (a *address) url() string { return "http://" + a.hostPort }

// place puts a CBR behind the address without opening it.
func (a *address) place(service *cbrtest.CBR) { a.current.Store(service) }

// open lets connections in.
func (a *address) open(service *cbrtest.CBR) error {
	a.place(service)
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.server != nil {
		return nil
	}
	listener, err := net.Listen("tcp", a.hostPort)
	if err != nil {
		return fmt.Errorf("serving CBR: %w", err)
	}
	a.server = &http.Server{
		ReadHeaderTimeout: 10 * time.Second,
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			a.current.Load().ServeHTTP(w, r)
		}),
	}
	go func() { _ = a.server.Serve(listener) }()
	return nil
}

func (a *address) close() {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.server != nil {
		_ = a.server.Close()
	}
}
