package cbr_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"cbr-replicator/internal/cbr"
	"cbr-replicator/internal/cbr/cbrtest"
	"cbr-replicator/internal/kind"
)

// speaking listens on a TCP port, reads each request's header and says what
// it is told to. Then it keeps the connection until the other end closes it, which it
// tells on gone.
func speaking(t *testing.T, say func(w io.Writer)) (address string, gone <-chan struct{}) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	left := make(chan struct{}, 100)
	var conversations sync.WaitGroup
	conversations.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			conversations.Go(func() {
				defer func() { _ = conn.Close() }()
				r := bufio.NewReader(conn)
				if _, err := http.ReadRequest(r); err != nil {
					return
				}
				say(conn)
				_, _ = io.Copy(io.Discard, r)
				left <- struct{}{}
			})
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		conversations.Wait()
	})
	return "http://" + l.Addr().String(), left
}

// informational are answers under 200 that end no request.
var informational = []string{
	"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
	"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n{\"replication\":",
	"HTTP/1.1 101 Switching Protocols\r\n\r\n",
	"HTTP/1.1 099 Odd\r\n\r\n{",
	"HTTP/1.1 000 Odd\r\nContent-Length: 100\r\n\r\n{",
}

// TestAnswerUnder200EndsItsTry: no body of such an answer is read, although the
// context would allow it for long, and its connection is closed. CBR may have
// taken the request.
func TestAnswerUnder200EndsItsTry(t *testing.T) {
	t.Parallel()
	for _, answer := range informational {
		t.Run(answer[9:], func(t *testing.T) {
			t.Parallel()
			address, gone := speaking(t, func(w io.Writer) { _, _ = io.WriteString(w, answer) })
			client := newClient(t, address)
			client.Timeout = time.Hour
			sent, err := client.Replicate(t.Context(), source, replicate(cbrtest.SourceVault))
			if e := kind.As(err); e.Of() != kind.Unknown || !sent.Sent || e.HTTPStatus != 0 || !strings.Contains(e.Message, answer[9:12]) {
				t.Errorf("answer %+v, error %v", sent, err)
			}
			<-gone
			_, _, err = list(t.Context(), client)
			if e := kind.As(err); e.Of() != kind.Unavailable || errors.Is(err, cbr.ErrListRefused) {
				t.Errorf("a lookup: %v", err)
			}
			<-gone
		})
	}
}

// TestReadingEndsWithItsTry: whatever the other end does, and at whatever pace, a
// try is over when its time is, and its connection with it.
func TestReadingEndsWithItsTry(t *testing.T) {
	t.Parallel()
	// A byte now and then is no progress that a try waits for.
	drip := func(w io.Writer, what string) {
		for {
			if _, err := io.WriteString(w, what); err != nil {
				return
			}
			time.Sleep(time.Millisecond)
		}
	}
	for name, say := range map[string]func(io.Writer){
		"silence":                 func(io.Writer) {},
		"half a header":           func(w io.Writer) { _, _ = io.WriteString(w, "HTTP/1.1 200 OK\r\nContent-") },
		"a header without a body": func(w io.Writer) { _, _ = io.WriteString(w, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n") },
		"a body that drips":       func(w io.Writer) { _, _ = io.WriteString(w, "HTTP/1.1 200 OK\r\n\r\n"); drip(w, " ") },
		"an error that drips":     func(w io.Writer) { _, _ = io.WriteString(w, "HTTP/1.1 400 Bad\r\n\r\n"); drip(w, " ") },
		"chunks that drip": func(w io.Writer) {
			_, _ = io.WriteString(w, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
			drip(w, "1\r\n \r\n")
		},
		"a trailer that drips": func(w io.Writer) {
			_, _ = io.WriteString(w, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n")
			drip(w, "A")
		},
		"100 Continue for ever":    func(w io.Writer) { drip(w, "HTTP/1.1 100 Continue\r\n\r\n") },
		"103 Early Hints for ever": func(w io.Writer) { drip(w, "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n") },
		"101 and then all of it":   func(w io.Writer) { _, _ = io.WriteString(w, informational[0]); drip(w, " ") },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			address, gone := speaking(t, say)
			client := newClient(t, address)
			for _, call := range []func(context.Context) error{
				func(ctx context.Context) error {
					_, err := client.Replicate(ctx, source, replicate(cbrtest.SourceVault))
					return err
				},
				func(ctx context.Context) error { _, _, err := list(ctx, client); return err },
			} {
				// As a try has it; the invocation's own is over long after.
				client.Timeout = 50 * time.Millisecond
				if err := call(t.Context()); err == nil {
					t.Error("no error")
				}
				<-gone
			}
		})
	}
}

// TestIdleConnectionsCanBeClosed: net/http's client finds what closes them.
func TestIdleConnectionsCanBeClosed(t *testing.T) {
	t.Parallel()
	address, gone := speaking(t, func(w io.Writer) {
		_, _ = fmt.Fprint(w, "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
	})
	client := newClient(t, address)
	_, _, err := list(t.Context(), client)
	if kind.As(err).HTTPStatus != 404 {
		t.Error(err)
	}
	client.HTTP.CloseIdleConnections()
	<-gone
}
