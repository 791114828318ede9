package cbrtest

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"
)

const (
	// signedFor is how far X-Sdk-Date may be from the gateway's clock, before or after (API Gateway user guide, "Authentication").
	signedFor = 15 * time.Minute
	// keyLimit is how many wrong signatures in a row a key may have. After one more it is locked for keyLock (API Gateway FAQ:
	// "more than five consecutive times").
	keyLimit = 5
	keyLock  = 5 * time.Minute

	sdkDate = "20060102T150405Z"
)

// authorization is the header's form (API Gateway developer guide, "Signature algorithm").
var authorization = regexp.MustCompile(`^SDK-HMAC-SHA256 Access=([^,]+), SignedHeaders=([a-z0-9;-]+), Signature=([0-9a-f]{64})$`)

// A Key signs requests, which then need no token.
type Key struct {
	Access, Secret string
	SecurityToken  string   // of a temporary key; empty for a permanent one
	Projects       []string // it may sign requests for these; nil means all
}

// A key is a Key with what the gateway remembers of its use.
type key struct {
	Key
	failed int       // in a row
	locked time.Time // until when
}

// AddKey makes CBR accept requests that are signed with the key. It replaces a key with the same Access and ends its lock.
func (c *CBR) AddKey(k Key) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.keys[k.Access] = &key{Key: k}
}

// RemoveKey makes a key unknown.
func (c *CBR) RemoveKey(access string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.keys, access)
}

// BadSignatures returns how many requests that were signed with the key were refused as not authentic, for any reason. The key
// may be unknown or locked.
func (c *CBR) BadSignatures(access string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.badSigns[access]
}

// checkSignature is the gateway's check of a signed request. Texts are those of the API Gateway error code table. For an unknown
// key, and for a signature that is too old or too new, they are those that users report. Inferred: any fault of a request that is
// signed with a known key counts towards the lock, and a request during a lock does not.
func (c *CBR) checkSignature(req request, header string) *refusal {
	parts := authorization.FindStringSubmatch(header)
	if parts == nil {
		return unauthentic("verify aksk signature fail")
	}
	access, names, signature := parts[1], strings.Split(parts[2], ";"), parts[3]
	k, known := c.keys[access]
	now := c.now()
	var refused *refusal
	switch {
	case !known:
		refused = unauthentic("Get secretKey failed,ak:" + access + ",err:ak not exist")
	case now.Before(k.locked):
		refused = unauthentic("AK access failed to reach the limit,forbidden")
	default:
		refused = k.verify(req, names, signature, now)
		k.count(refused == nil, now)
	}
	if refused != nil {
		c.badSigns[access]++
		return refused
	}
	if !allow(k.Projects, req.project) {
		return forbidden()
	}
	return nil
}

// verify checks the signature itself.
func (k *key) verify(req request, names []string, signature string, now time.Time) *refusal {
	date := req.from.Header.Get("X-Sdk-Date")
	signed, err := time.Parse(sdkDate, date)
	if err == nil && now.Sub(signed).Abs() > signedFor {
		return unauthentic("calc aksk signature fail:signature expired, signature time:" + date + ",server time:" + now.UTC().Format(sdkDate))
	}
	if err != nil || !slices.IsSorted(names) || !slices.Contains(names, "x-sdk-date") ||
		req.from.Header.Get("X-Security-Token") != k.SecurityToken ||
		!hmac.Equal([]byte(sign(k.Secret, date, canonical(req, names))), []byte(signature)) {
		return unauthentic("verify aksk signature fail")
	}
	return nil
}

// count counts the wrong signatures in a row, and locks the key after too many.
func (k *key) count(authentic bool, now time.Time) {
	if authentic {
		k.failed = 0
		return
	}
	if k.failed++; k.failed > keyLimit {
		k.failed, k.locked = 0, now.Add(keyLock)
	}
}

// sign is the signature of a canonical request.
func sign(secret, date string, canonical []byte) string {
	mac := hmac.New(sha256.New, []byte(secret))
	fmt.Fprintf(mac, "SDK-HMAC-SHA256\n%s\n%x", date, sha256.Sum256(canonical))
	return hex.EncodeToString(mac.Sum(nil))
}

// canonical is the text that is signed: the method, the path with a slash at its end, the query and the named headers in order,
// and the hash of the body (API Gateway developer guide, "Signature algorithm"). An X-Sdk-Content-Sha256 in place of the body is
// not modelled.
func canonical(req request, names []string) []byte {
	var b bytes.Buffer
	path := strings.Split(strings.TrimSuffix(req.from.URL.Path, "/"), "/")
	for i, segment := range path {
		path[i] = escape(segment)
	}
	var query []string
	for _, name := range slices.Sorted(maps.Keys(req.query)) {
		for _, value := range slices.Sorted(slices.Values(req.query[name])) {
			query = append(query, escape(name)+"="+escape(value))
		}
	}
	fmt.Fprintf(&b, "%s\n%s/\n%s\n", req.from.Method, strings.Join(path, "/"), strings.Join(query, "&"))
	for _, name := range names {
		values := req.from.Header.Values(name)
		if name == "host" {
			values = []string{req.from.Host} // net/http keeps it apart
		}
		for _, value := range slices.Sorted(slices.Values(values)) {
			b.WriteString(name + ":" + strings.TrimSpace(value) + "\n")
		}
	}
	fmt.Fprintf(&b, "\n%s\n%x", strings.Join(names, ";"), sha256.Sum256(req.body))
	return b.Bytes()
}

// escape leaves only the unreserved characters of RFC 3986 as they are. url.QueryEscape does so too, except for the space.
func escape(s string) string { return strings.ReplaceAll(url.QueryEscape(s), "+", "%20") }
