// Package awscall calls operations of AWS services with the AWS JSON protocol (Smithy,
// "AWS JSON protocol"). The function uses one of Secrets Manager and one of SQS, the
// redrive command some more. The SDK signs. Its service clients are not used: two of them
// would add 0.26 MB to the function's package, more than is left of its budget, and each
// makes tables of endpoints and schemas at every start.
package awscall

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"cbr-replicator/internal/redact"
)

// maxBody bounds what is read of an error, and of an answer if the client sets no other
// bound. The largest answer is a secret of 64 KB, which may be escaped.
const maxBody = 1 << 20

// ErrUnread is in the chain of an error if the service has done the operation, but its
// answer cannot be read.
var ErrUnread = errors.New("the answer cannot be read")

// Client calls one service in one region. It is safe for concurrent use.
type Client struct {
	redact.Opaque
	// Service is its signing name, such as "sqs".
	Service string
	// Target is the prefix of X-Amz-Target, such as "AmazonSQS".
	Target string
	// Version of AWS JSON, "1.0" or "1.1".
	Version string
	Region  string
	// Endpoint is a URL; empty: the service's own in the region.
	Endpoint    string
	Credentials aws.Credentials
	HTTP        *http.Client
	UserAgent   string
	// MaxAnswer bounds an answer of success, in bytes. 0: 1 MiB.
	MaxAnswer int64
}

// Error is an answer that is not success.
type Error struct {
	Status int
	// Code is the error's name without its namespace, such as
	// "AccessDeniedException".
	Code    string
	Message string
}

// Error returns code and message as the service wrote them.
func (e *Error) Error() string {
	return strings.TrimSuffix(cmp.Or(e.Code, http.StatusText(e.Status))+": "+e.Message, ": ")
}

// Passes reports whether the same call may succeed later: after throttling, or a fault of
// the service itself.
func (e *Error) Passes() bool {
	return e.Status >= 500 || e.Status == http.StatusTooManyRequests || Throttles(e.Code)
}

// Throttles reports whether an error's code, of any AWS service, means that there were too
// many requests. Services have more codes for it than the SDK knows, and some do not come
// with status 429.
func Throttles(code string) bool {
	_, known := retry.DefaultThrottleErrorCodes[code]
	return known || strings.Contains(code, "Throttl")
}

// Endpoint is the URL of a service in a region.
func Endpoint(service, region string) string {
	return "https://" + service + "." + region + "." + DNSSuffix(region)
}

// DNSSuffix is the end of the host names of services in a region, which depends on the
// partition (aws-sdk-go-v2, "partitions.json").
func DNSSuffix(region string) string {
	for _, partition := range [...]struct{ regions, suffix string }{
		{"cn-", "amazonaws.com.cn"},
		{"eusc-", "amazonaws.eu"},
		{"us-iso-", "c2s.ic.gov"},
		{"us-isob-", "sc2s.sgov.gov"},
		{"eu-isoe-", "cloud.adc-e.uk"},
		{"us-isof-", "csp.hci.ic.gov"},
		{"eu-isof-", "csp.hci.ic.gov"},
	} {
		if strings.HasPrefix(region, partition.regions) {
			return partition.suffix
		}
	}
	return "amazonaws.com"
}

// Call makes exactly one call. in is encoded to JSON, and out is decoded from the answer.
// Its error is an *Error if the answer is one, and ErrUnread if the answer is success but
// cannot be read or is longer than MaxAnswer.
func (c *Client) Call(ctx context.Context, operation string, in, out any) error {
	body, err := json.Marshal(in)
	if err != nil {
		return fmt.Errorf("encode the request of %s: %w", operation, err)
	}
	endpoint := cmp.Or(c.Endpoint, Endpoint(c.Service, c.Region))
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, strings.TrimRight(endpoint, "/")+"/", bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("make the request of %s: %w", operation, err)
	}
	req.Header.Set("Content-Type", "application/x-amz-json-"+c.Version)
	req.Header.Set("X-Amz-Target", c.Target+"."+operation)
	req.Header.Set("User-Agent", c.UserAgent)
	sum := sha256.Sum256(body)
	if err := v4.NewSigner().SignHTTP(ctx, c.Credentials, req, hex.EncodeToString(sum[:]), c.Service, c.Region, time.Now()); err != nil {
		return fmt.Errorf("sign the request of %s: %w", operation, err)
	}
	resp, err := c.HTTP.Do(req)
	if err != nil {
		return fmt.Errorf("%s: %w", operation, err)
	}
	defer resp.Body.Close()
	if resp.StatusCode < http.StatusOK {
		// Its body may be the connection, and no context ends reading that.
		return fmt.Errorf("%s: an answer %s, which ends no request", operation, resp.Status)
	}
	if resp.StatusCode != http.StatusOK {
		answer, err := io.ReadAll(io.LimitReader(resp.Body, maxBody))
		if err != nil {
			return fmt.Errorf("%s: the answer was cut: %w", operation, err)
		}
		return fault(resp.StatusCode, answer)
	}
	limit := cmp.Or(c.MaxAnswer, maxBody)
	answer, err := io.ReadAll(io.LimitReader(resp.Body, limit+1))
	switch {
	case err != nil:
		return fmt.Errorf("%s: %w: it was cut: %w", operation, ErrUnread, err)
	case int64(len(answer)) > limit:
		return fmt.Errorf("%s: %w: it has more than %d bytes", operation, ErrUnread, limit)
	case json.Unmarshal(answer, out) != nil:
		// Without the decoder's error, which may quote a secret from the answer.
		return fmt.Errorf("%s: %w", operation, ErrUnread)
	}
	return nil
}

// fault reads an error's answer. Its type may have a namespace and a URI (Smithy, "AWS
// JSON protocol", Operation error serialization).
func fault(status int, body []byte) *Error {
	var f struct {
		Type string `json:"__type"`
		// Written in either case; encoding/json takes both.
		Message string `json:"message"`
	}
	e := &Error{Status: status}
	if json.Unmarshal(body, &f) == nil {
		code, _, _ := strings.Cut(f.Type, ":")
		e.Code, e.Message = code[strings.LastIndexByte(code, '#')+1:], f.Message
	}
	return e
}
