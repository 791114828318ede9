package cbr_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"cbr-replicator/internal/cbr"
	"cbr-replicator/internal/cbr/cbrtest"
	"cbr-replicator/internal/kind"
)

// rawServer starts a server that answers with what write writes.
func rawServer(t *testing.T, write func(w io.Writer)) *cbrtest.RawServer {
	t.Helper()
	s := cbrtest.NewRawServer(write)
	t.Cleanup(s.Close)
	return s
}

// informational are answers with a status under 200, which do not end a request.
var informational = []string{
	"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
	"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n{\"replication\":",
	"HTTP/1.1 101 Switching Protocols\r\n\r\n",
	"HTTP/1.1 099 Odd\r\n\r\n{",
	"HTTP/1.1 000 Odd\r\nContent-Length: 100\r\n\r\n{",
}

// TestAnswerUnder200EndsItsTry: the body of such an answer is not read, although
// there is much time left, and its connection is closed. CBR may have taken the
// request.
func TestAnswerUnder200EndsItsTry(t *testing.T) {
	t.Parallel()
	for _, answer := range informational {
		t.Run(answer[9:], func(t *testing.T) {
			t.Parallel()
			server := rawServer(t, func(w io.Writer) { _, _ = io.WriteString(w, answer) })
			client := newClient(t, server.URL)
			client.Timeout = time.Hour
			sent, err := client.Replicate(t.Context(), source, replicate(cbrtest.SourceVault))
			if e := kind.As(err); e.Of() != kind.Unknown || !sent.Sent || e.HTTPStatus != 0 || !strings.Contains(e.Message, answer[9:12]) {
				t.Errorf("answer %+v, error %v", sent, err)
			}
			<-server.Closed
			_, _, err = list(t.Context(), client)
			if e := kind.As(err); e.Of() != kind.Unavailable || errors.Is(err, cbr.ErrListRefused) {
				t.Errorf("a lookup: %v", err)
			}
			<-server.Closed
		})
	}
}

// TestReadingEndsWithItsTry: whatever the server sends, and however slowly, a try
// and its connection end when the time of the try is over.
func TestReadingEndsWithItsTry(t *testing.T) {
	t.Parallel()
	// A byte now and then does not make a try longer.
	drip := func(w io.Writer, what string) {
		for {
			if _, err := io.WriteString(w, what); err != nil {
				return
			}
			time.Sleep(time.Millisecond)
		}
	}
	for name, write := range map[string]func(io.Writer){
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
			server := rawServer(t, write)
			client := newClient(t, server.URL)
			for _, call := range []func(context.Context) error{
				func(ctx context.Context) error {
					_, err := client.Replicate(ctx, source, replicate(cbrtest.SourceVault))
					return err
				},
				func(ctx context.Context) error { _, _, err := list(ctx, client); return err },
			} {
				// The invocation has much more time.
				client.Timeout = 50 * time.Millisecond
				if err := call(t.Context()); err == nil {
					t.Error("no error")
				}
				<-server.Closed
			}
		})
	}
}

// TestIdleConnectionsCanBeClosed: http.Client.CloseIdleConnections reaches the
// transport.
func TestIdleConnectionsCanBeClosed(t *testing.T) {
	t.Parallel()
	server := rawServer(t, func(w io.Writer) {
		_, _ = fmt.Fprint(w, "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
	})
	client := newClient(t, server.URL)
	_, _, err := list(t.Context(), client)
	if kind.As(err).HTTPStatus != 404 {
		t.Error(err)
	}
	client.HTTP.CloseIdleConnections()
	<-server.Closed
}
