package cbr_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"cbr-replicator/internal/cbr"
	"cbr-replicator/internal/cbr/cbrtest"
	"cbr-replicator/internal/huawei"
	"cbr-replicator/internal/kind"
)

// tlsServer is a CBR over TLS that counts connections and would speak HTTP/2.
type tlsServer struct {
	*httptest.Server
	cbr         *cbrtest.CBR
	vaults      []string
	connections atomic.Int32
	protocols   sync.Map // of the requests
}

func newTLSServer(t *testing.T, arrived func()) *tlsServer {
	t.Helper()
	s := &tlsServer{cbr: cbrtest.New()}
	s.cbr.AddExample()
	s.vaults = s.cbr.AddVaults(cbrtest.SourceProject, 3, 1)
	s.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if arrived != nil {
			arrived()
		}
		s.protocols.Store(r.Proto, true)
		s.cbr.ServeHTTP(w, r)
	}))
	s.EnableHTTP2 = true
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			s.connections.Add(1)
		}
	}
	s.StartTLS()
	t.Cleanup(s.Close)
	return s
}

// client returns a client that trusts the server, and its transport.
func (s *tlsServer) client(t *testing.T) (*cbr.Client, *http.Transport) {
	t.Helper()
	client := newClient(t, s.URL)
	transport := client.HTTP.Transport.(huawei.Transport).Transport
	transport.TLSClientConfig = s.Server.Client().Transport.(*http.Transport).TLSClientConfig.Clone()
	return client, transport
}

// noMore stops a transport from dialling: calls use a connection that is there, or
// fail.
func noMore(transport *http.Transport) {
	transport.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
		<-ctx.Done()
		return nil, context.Cause(ctx)
	}
}

// TestConnect: as many connections are made as were asked for. As many calls at once
// use them, and nothing else is sent on them.
func TestConnect(t *testing.T) {
	t.Parallel()
	together := make(chan struct{})
	var requests atomic.Int32
	server := newTLSServer(t, func() {
		if requests.Add(1) == 3 {
			close(together)
		}
		<-together
	})
	client, transport := server.client(t)
	if err := huawei.Connect(client.HTTP, time.Minute, server.URL, server.URL, server.URL); err != nil {
		t.Fatal(err)
	}
	noMore(transport)
	var calls sync.WaitGroup
	for _, vault := range server.vaults {
		calls.Go(func() {
			if _, err := client.Replicate(t.Context(), source, replicate(vault)); err != nil {
				t.Error(err)
			}
		})
	}
	calls.Wait()
	if n := server.connections.Load(); n != 3 {
		t.Errorf("%d connections, want 3", n)
	}
	if n := requests.Load(); n != 3 {
		t.Errorf("%d requests, want 3", n)
	}
	server.protocols.Range(func(protocol, _ any) bool {
		if protocol != "HTTP/1.1" {
			t.Errorf("protocol = %s", protocol)
		}
		return true
	})
}

// TestConnectTooEarly: a connection that has waited for too long, or that the server
// has closed, is replaced, and the request has one effect.
func TestConnectTooEarly(t *testing.T) {
	t.Parallel()
	for name, idle := range map[string]time.Duration{"old": time.Nanosecond, "closed": time.Minute} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := newTLSServer(t, nil)
			client, transport := server.client(t)
			closed := make(chan struct{}, 2) // one for each connection
			dial := transport.DialContext
			transport.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
				conn, err := dial(ctx, network, address)
				return &watched{Conn: conn, closed: sync.OnceFunc(func() { closed <- struct{}{} })}, err
			}
			transport.IdleConnTimeout = idle
			if err := huawei.Connect(client.HTTP, time.Minute, server.URL); err != nil {
				t.Fatal(err)
			}
			if name == "closed" {
				server.CloseClientConnections()
			}
			<-closed
			if _, err := client.Replicate(t.Context(), source, replicate(cbrtest.SourceVault)); err != nil {
				t.Error(err)
			}
			if calls := server.cbr.Calls(); len(calls) != 1 || server.connections.Load() != 2 {
				t.Errorf("calls = %v on %d connections, want one on the second", calls, server.connections.Load())
			}
		})
	}
}

// TestConnectFails: a host without a connection does not stop the others, and a call to
// it has an error of its own.
func TestConnectFails(t *testing.T) {
	t.Parallel()
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { silent.Close() })
	away, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	away.Close()
	for name, tt := range map[string]struct {
		url  string
		want func(error) bool
	}{
		"silent":         {"https://" + silent.Addr().String(), func(err error) bool { return errors.Is(err, context.DeadlineExceeded) }},
		"away":           {"https://" + away.Addr().String(), func(err error) bool { return strings.Contains(err.Error(), "refused") }},
		"without a name": {"https://", func(err error) bool { return strings.Contains(err.Error(), "no Host") }},
		"not a URL":      {"https://%", func(err error) bool { return strings.Contains(err.Error(), "invalid URL") }},
		"plain HTTP":     {"https://" + newServer(t).URL[len("http://"):], func(err error) bool { return strings.Contains(err.Error(), "HTTP response") }},
		"another's name": {"https://localhost:" + port(t, newTLSServer(t, nil).URL), func(err error) bool {
			_, wrong := errors.AsType[x509.HostnameError](err)
			return wrong
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := newTLSServer(t, nil)
			client, transport := server.client(t)
			// Not noMore: where the time is over, a connection is still being made.
			var over atomic.Bool
			dial := transport.DialContext
			transport.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
				if over.Load() {
					<-ctx.Done()
					return nil, context.Cause(ctx)
				}
				return dial(ctx, network, address)
			}
			err := huawei.Connect(client.HTTP, 2*time.Second, tt.url, server.URL)
			if err == nil || !tt.want(err) {
				t.Errorf("error = %v", err)
			}
			over.Store(true)
			if _, err := client.Replicate(t.Context(), source, replicate(cbrtest.SourceVault)); err != nil {
				t.Error(err)
			}
		})
	}
}

// slowly delays a client's connections until a request has ended: all after the first
// one, or all to other addresses than first. So the first connection must wait.
func slowly(client *cbr.Client, tr *http.Transport, first string) {
	ended := make(chan struct{})
	end := sync.OnceFunc(func() { close(ended) })
	client.HTTP.Transport = transport(func(req *http.Request) (*http.Response, error) {
		defer end()
		return tr.RoundTrip(req)
	})
	var dials atomic.Int32
	dial := tr.DialContext
	tr.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		if n := dials.Add(1); first == "" && n > 1 || first != "" && address != first {
			<-ended
		}
		return dial(ctx, network, address)
	}
}

// TestConnectOneAfterAnother: a connection that is made before the others is not given
// to a request that waits for its own. That request would be sent.
func TestConnectOneAfterAnother(t *testing.T) {
	t.Parallel()
	var requests atomic.Int32
	server := newTLSServer(t, func() { requests.Add(1) })
	client, tr := server.client(t)
	slowly(client, tr, "")
	if err := huawei.Connect(client.HTTP, time.Minute, server.URL, server.URL, server.URL); err != nil {
		t.Fatal(err)
	}
	if n, connections := requests.Load(), server.connections.Load(); n != 0 || connections != 3 {
		t.Errorf("%d requests on %d connections, want none on 3", n, connections)
	}
}

// TestConnectWaits: a host that fails at once does not end the wait for a slow one. The
// error is about the first URL in the list that fails.
func TestConnectWaits(t *testing.T) {
	t.Parallel()
	away, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	away.Close()
	server := newTLSServer(t, nil)
	client, tr := server.client(t)
	var shaken atomic.Bool
	tr.TLSClientConfig.VerifyConnection = func(tls.ConnectionState) error {
		shaken.Store(true)
		return nil
	}
	slowly(client, tr, away.Addr().String())
	err = huawei.Connect(client.HTTP, time.Minute, server.URL, "https://"+away.Addr().String(), "https://%", server.URL)
	if err == nil || !strings.Contains(err.Error(), "refused") {
		t.Errorf("error = %v, want that of the second", err)
	}
	if !shaken.Load() {
		t.Error("it did not wait for the connection")
	}
}

// TestConnectVerifies: a server whose certificate is not valid gets no connection, and
// the call says so.
func TestConnectVerifies(t *testing.T) {
	t.Parallel()
	server := newTLSServer(t, nil)
	client, transport := server.client(t)
	transport.TLSClientConfig.RootCAs = x509.NewCertPool()
	_, untrusted := errors.AsType[x509.UnknownAuthorityError](huawei.Connect(client.HTTP, time.Minute, server.URL))
	if !untrusted {
		t.Error("it was trusted")
	}
	_, err := client.Replicate(t.Context(), source, replicate(cbrtest.SourceVault))
	if e := kind.As(err); e.Of() != kind.Unavailable || !strings.Contains(e.Message, "certificate") {
		t.Errorf("error = %v", err)
	}
	if calls := server.cbr.Calls(); len(calls) > 0 {
		t.Errorf("calls = %v", calls)
	}
}

// TestConnectLeavesPlainHTTP: a connection without TLS costs little, so none is made
// ahead.
func TestConnectLeavesPlainHTTP(t *testing.T) {
	t.Parallel()
	client := newClient(t, newServer(t).URL)
	noMore(client.HTTP.Transport.(huawei.Transport).Transport)
	for _, u := range []string{newServer(t).URL, ""} {
		if err := huawei.Connect(client.HTTP, time.Minute, u); err != nil {
			t.Errorf("%q: %v", u, err)
		}
	}
}

// TestConnectThroughProxy: connections go through the proxy, as calls do.
func TestConnectThroughProxy(t *testing.T) {
	t.Parallel()
	for _, scheme := range []string{"http", "https"} {
		t.Run(scheme, func(t *testing.T) {
			t.Parallel()
			server := newTLSServer(t, nil)
			var tunnels atomic.Int32
			proxy := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.Method != http.MethodConnect {
					t.Errorf("the proxy was asked to %s", r.Method)
					return
				}
				tunnels.Add(1)
				tunnel(t, w, r.Host)
			}))
			if scheme == "https" {
				proxy.StartTLS()
			} else {
				proxy.Start()
			}
			t.Cleanup(proxy.Close)
			client, transport := server.client(t)
			transport.Proxy = func(*http.Request) (*url.URL, error) { return url.Parse(proxy.URL) }
			if err := huawei.Connect(client.HTTP, time.Minute, server.URL); err != nil {
				t.Fatal(err)
			}
			noMore(transport)
			if _, err := client.Replicate(t.Context(), source, replicate(cbrtest.SourceVault)); err != nil {
				t.Error(err)
			}
			if tunnels.Load() != 1 {
				t.Errorf("%d tunnels, want 1", tunnels.Load())
			}
		})
	}
}

// tunnel connects a proxy's client with a host.
func tunnel(t *testing.T, w http.ResponseWriter, host string) {
	there, err := net.Dial("tcp", host)
	if err != nil {
		t.Error(err)
		return
	}
	defer there.Close()
	client, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		t.Error(err)
		return
	}
	defer client.Close()
	_, _ = io.WriteString(client, "HTTP/1.1 200 OK\r\n\r\n")
	go func() {
		_, _ = io.Copy(client, there)
		client.Close()
	}()
	_, _ = io.Copy(there, client)
}

func port(t *testing.T, address string) string {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	return u.Port()
}
