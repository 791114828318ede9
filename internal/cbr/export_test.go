package cbr

import "net/http"

// TransportOf returns what a test may change of a client of NewHTTPClient's.
func TransportOf(c *http.Client) *http.Transport { return c.Transport.(transport).Transport }
