package token

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

	"cbr-replicator/internal/cbr"
	"cbr-replicator/internal/kind"
	"cbr-replicator/internal/redact"
)

const (
	algorithm = "SDK-HMAC-SHA256"
	// dateHeader carries the time of signing, in this form.
	dateHeader = "X-Sdk-Date"
	dateForm   = "20060102T150405Z"
	// maxSkew is how far that may be from the gateway's own time (API Gateway
	// user guide, "Authentication").
	maxSkew = 15 * time.Minute
)

// Key is an access key. It makes no token: it signs each request, which
// Huawei recommends over tokens since 2025 (IAM API reference, "Authentication").
type Key struct {
	redact.Veil
	config Config
	trust  trust
}

func newKey(c Config) *Key {
	return &Key{config: c, trust: trust{now: c.Now, oneByOne: true}}
}

// Authorize signs req.
func (k *Key) Authorize(req *http.Request, src cbr.Source) (cbr.Settle, error) {
	settle, err := k.trust.begin(req.Context())
	if err != nil {
		return nil, err
	}
	now := k.config.Now()
	req.Header.Set("X-Project-Id", src.ProjectID)
	if k.config.SecurityToken != "" {
		req.Header.Set("X-Security-Token", k.config.SecurityToken)
	}
	if err := sign(req, k.config.AccessKey, k.config.SecretKey, now); err != nil {
		settle(cbr.Verdict{}, "")
		return nil, err
	}
	return func(v cbr.Verdict) cbr.Remedy {
		advice := "the signature with the access key of " + k.config.origin("HW_ACCESS_KEY") + " was refused: check that key and secret belong together and are active"
		if skew := now.Sub(v.Date); !v.Date.IsZero() && skew.Abs() > maxSkew {
			advice = fmt.Sprintf("the signature was refused for its time: the function's clock and the cloud's are %s apart, and %s are allowed", skew.Abs().Round(time.Second), maxSkew)
		}
		return cbr.Remedy{Advice: settle(v, advice)}
	}, nil
}

// sign puts a signature over the method, the path, the query, the body, the host and
// the X- headers on req (API Gateway developer guide, "Signing Algorithm").
func sign(req *http.Request, access, secret string, now time.Time) error {
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
