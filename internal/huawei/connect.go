package huawei

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"net/http"
	"net/http/httptrace"
	"strings"
	"sync"
	"time"
)

// Connect has client open a connection for each of the URLs, side by side, for the
// first calls. The handshakes of TCP and TLS, and reading the root certificates, take
// more time and more of a processor than a call. Nothing is sent on the connections.
// URLs that are not https:// are left out.
//
// It waits no longer than timeout. Connections that are not ready by then are still
// made, within the client's own bounds. Its error is about the first URL without a
// connection. The caller may ignore it: a call connects by itself and has an error of
// its own.
//
// The client must have made no call and no other Connect before: on an idle
// connection a request without a credential would be sent. As with any connection
// that is kept, the server may close it while the process is frozen. Then the first
// call on it may be lost and be Unknown.
func Connect(client *http.Client, timeout time.Duration, urls ...string) error {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	var requests sync.WaitGroup
	cancelled := make(chan struct{})
	errs := make([]error, len(urls))
	for i, url := range urls {
		if strings.HasPrefix(url, "https://") {
			requests.Go(func() { errs[i] = handshake(ctx, client, url, cancelled) })
		}
	}
	requests.Wait()
	close(cancelled)
	return cmp.Or(errs...)
}

// handshake begins a request and cancels it when its connection is made, before it is
// sent. net/http keeps such a connection for another request (Transport.getConn), as
// it keeps any other: verified, through the proxy if there is one, as long as the
// client's settings say, and until the server closes it. The connection is held until
// all requests are cancelled. Otherwise net/http would give it to a request that still
// waits for its own.
func handshake(ctx context.Context, client *http.Client, url string, cancelled <-chan struct{}) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		TLSHandshakeDone: func(_ tls.ConnectionState, err error) {
			if err == nil {
				cancel()
				<-cancelled
			}
		},
	})
	req, err := http.NewRequestWithContext(ctx, http.MethodHead, url, http.NoBody)
	if err != nil {
		return err
	}
	resp, err := client.Do(req)
	if err == nil {
		return resp.Body.Close()
	}
	if errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}
