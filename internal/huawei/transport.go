package huawei

import (
	"fmt"
	"net"
	"net/http"
	"time"
)

// NewHTTPClient returns a client fit for calls that must not be duplicated:
// it follows no redirect, since the credential would follow; it speaks
// HTTP/1.1, since one reset HTTP/2 connection makes every request on it
// uncertain; it does not reuse a connection that was idle for long, since
// it may have died while the environment was frozen; and all reading of an
// answer ends with its request's context. It has up to connections to a host,
// and keeps a few more than as many idle ones in all.
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

// Transport is net/http's, but that an answer under 200 is an error: after a
// "101 Switching Protocols" net/http hands out the connection itself for a body
// and no longer ends it with the context (Transport, persistConn.readLoop), so
// that whoever reads it may wait for ever. Nothing asks for another protocol.
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
