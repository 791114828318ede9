package huawei

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"cbr-replicator/internal/kind"
)

const (
	algorithm = "SDK-HMAC-SHA256"
	// dateHeader carries the time of signing, in this form.
	dateHeader = "X-Sdk-Date"
	dateForm   = "20060102T150405Z"
)

// Sign puts a signature over the method, the path, the query, the body, the host
// and the X- headers on req (API Gateway developer guide, "Signing Algorithm").
// It is valid for 15 minutes from now on. The error is a *kind.Error.
func Sign(req *http.Request, access, secret string, now time.Time) error {
	date := now.UTC().Format(dateForm)
	req.Header.Set(dateHeader, date)
	var body []byte
	if req.GetBody != nil {
		r, err := req.GetBody()
		if err == nil {
			body, err = io.ReadAll(r)
		}
		if err != nil {
			return &kind.Error{Kind: kind.Internal, Message: "the body cannot be read for signing", Cause: err}
		}
	}
	headers := map[string]string{"host": req.URL.Host}
	for name, values := range req.Header {
		if lower := strings.ToLower(name); strings.HasPrefix(lower, "x-") {
			headers[lower] = strings.TrimSpace(values[0])
		}
	}
	names := slices.Collect(maps.Keys(headers))
	slices.Sort(names)
	var canonical strings.Builder
	fmt.Fprintf(&canonical, "%s\n%s/\n%s\n", req.Method, strings.TrimSuffix(canonicalPath(req.URL.Path), "/"), canonicalQuery(req.URL.Query()))
	for _, name := range names {
		fmt.Fprintf(&canonical, "%s:%s\n", name, headers[name])
	}
	signed := strings.Join(names, ";")
	fmt.Fprintf(&canonical, "\n%s\n%s", signed, hexSum(body))

	mac := hmac.New(sha256.New, []byte(secret))
	fmt.Fprintf(mac, "%s\n%s\n%s", algorithm, date, hexSum([]byte(canonical.String())))
	req.Header.Set("Authorization", fmt.Sprintf("%s Access=%s, SignedHeaders=%s, Signature=%s", algorithm, access, signed, hex.EncodeToString(mac.Sum(nil))))
	return nil
}

// canonicalPath escapes each segment of a path.
func canonicalPath(path string) string {
	segments := strings.Split(path, "/")
	for i := range segments {
		segments[i] = escape(segments[i])
	}
	return strings.Join(segments, "/")
}

// canonicalQuery sorts and escapes a query.
func canonicalQuery(query url.Values) string {
	var pairs []string
	for _, name := range slices.Sorted(maps.Keys(query)) {
		for _, value := range slices.Sorted(slices.Values(query[name])) {
			pairs = append(pairs, escape(name)+"="+escape(value))
		}
	}
	return strings.Join(pairs, "&")
}

// escape leaves RFC 3986's unreserved characters alone.
func escape(s string) string { return strings.ReplaceAll(url.QueryEscape(s), "+", "%20") }

func hexSum(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}
