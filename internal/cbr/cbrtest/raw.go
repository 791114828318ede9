package cbrtest

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"sync"
)

// A RawServer listens on 127.0.0.1 and answers each connection's first request with bytes that no http.Handler would write: half
// an answer, or one that never ends. It can take the place of any service that is called over plain HTTP.
type RawServer struct {
	URL string // http://127.0.0.1:port, without a slash at the end
	// Closed receives once for each client that has closed its connection after its answer.
	Closed <-chan struct{}

	listener    net.Listener
	stop        chan struct{}
	connections sync.WaitGroup
}

// NewRawServer starts a server. It reads the header of a request and then calls write, from many goroutines at once. It keeps
// the connection open until the client closes it. The caller closes the server.
func NewRawServer(write func(io.Writer)) *RawServer {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic("cbrtest: cannot listen: " + err.Error()) // as httptest does
	}
	closed := make(chan struct{})
	s := &RawServer{URL: "http://" + listener.Addr().String(), Closed: closed, listener: listener, stop: make(chan struct{})}
	s.connections.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			s.connections.Go(func() {
				if !answerRaw(conn, write) {
					return
				}
				select {
				case closed <- struct{}{}:
				case <-s.stop:
				}
			})
		}
	})
	return s
}

// answerRaw answers one connection, and reports whether it had a request.
func answerRaw(conn net.Conn, write func(io.Writer)) bool {
	defer func() { _ = conn.Close() }()
	r := bufio.NewReader(conn)
	if _, err := http.ReadRequest(r); err != nil {
		return false
	}
	write(conn)
	_, _ = io.Copy(io.Discard, r) // until the client closes it
	return true
}

// Close stops the server once its clients have closed their connections.
func (s *RawServer) Close() {
	_ = s.listener.Close()
	close(s.stop)
	s.connections.Wait()
}
