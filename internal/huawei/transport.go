package huawei

import (
	"fmt"
	"net"
	"net/http"
	"time"
)

// NewHTTPClient returns a client for calls that must not be duplicated.
//   - It follows no redirect, since the credential would follow.
//   - It speaks HTTP/1.1, since the reset of one HTTP/2 connection makes every request
//     on it uncertain.
//   - It does not reuse a connection that was idle for long, since that may have died
//     while the environment was frozen.
//   - Reading an answer ends with its request's context.
//
// connections is the most that it has to one host. It keeps a few more idle ones in
// all.
func NewHTTPClient(connections int) *http.Client {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	return &http.Client{
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: Transport{&http.Transport{
			Proxy:                  http.ProxyFromEnvironment,
			DialContext:            (&net.Dialer{Timeout: 5 * time.Second}).DialContext,
			TLSHandshakeTimeout:    5 * time.Second,
			MaxConnsPerHost:        connections,
			MaxIdleConns:           connections + 4, // to the topic and the like
			MaxIdleConnsPerHost:    connections,
			IdleConnTimeout:        30 * time.Second,
			MaxResponseHeaderBytes: 64 << 10,
			Protocols:              protocols,
		}},
	}
}

// Transport is net/http's, but a final answer with a status under 200 is an error.
// After a "101 Switching Protocols" net/http returns the connection itself as the body
// and no longer ends it with the context (Transport, persistConn.readLoop), so that
// reading it may never end. No request here asks for another protocol.
type Transport struct{ *http.Transport }

// RoundTrip makes one request.
func (t Transport) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := t.Transport.RoundTrip(req)
	if err != nil || resp.StatusCode >= http.StatusOK {
		return resp, err
	}
	_ = resp.Body.Close() // and with it the connection
	return nil, fmt.Errorf("an answer %s, which ends no request", resp.Status)
}
