package cbrtest

import (
	"io"
	"net"
	"strings"
	"testing"
)

// The bytes go out as they are, and the server tells when the client has closed its connection.
func TestRawServer(t *testing.T) {
	t.Parallel()
	const answer = "HTTP/1.1 101 Switching Protocols\r\n\r\n{"
	s := NewRawServer(func(w io.Writer) { _, _ = io.WriteString(w, answer) })
	t.Cleanup(s.Close)
	for range 2 {
		conn, err := net.Dial("tcp", strings.TrimPrefix(s.URL, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(conn, "GET / HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		got := make([]byte, len(answer))
		if _, err := io.ReadFull(conn, got); err != nil || string(got) != answer {
			t.Errorf("answer %q, error %v; want %q", got, err, answer)
		}
		select {
		case <-s.Closed:
			t.Error("the connection is closed already")
		default:
		}
		_ = conn.Close()
		<-s.Closed
	}
}
