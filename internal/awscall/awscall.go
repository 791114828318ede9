// Package awscall calls operations of AWS services with the AWS JSON protocol or the AWS
// Query protocol (Smithy, "AWS JSON protocol", "AWS Query protocol"). The function uses one
// or two of SQS, Secrets Manager, EventBridge and SNS, the redrive command some more. The
// SDK signs. Its service clients are not used: SNS's alone would add 0.28 MB to the
// function's package, more than is left of its budget, and take four times the CPU time of a
// call. Each makes tables of endpoints and schemas at every start.
package awscall

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
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
	// Target is the prefix of X-Amz-Target, such as "AmazonSQS". AWS Query has none.
	Target string
	// Version is "1.0" or "1.1" of AWS JSON. With AWS Query it is the one of the service's
	// API, such as "2010-03-31".
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
	// RequestID is AWS's name for the call, which its support asks for. Only Query reads it.
	RequestID string
}

// Error returns code and message as the service wrote them, and the request's id.
func (e *Error) Error() string {
	text := strings.TrimSuffix(cmp.Or(e.Code, http.StatusText(e.Status))+": "+e.Message, ": ")
	if e.RequestID != "" {
		text += " (request " + e.RequestID + ")"
	}
	return text
}

// Passes reports whether the same call may succeed later: after throttling, a request that
// took too long to come, or a fault of the service itself.
func (e *Error) Passes() bool {
	_, passes := retry.DefaultRetryableErrorCodes[e.Code]
	return passes || e.Status >= 500 || e.Status == http.StatusTooManyRequests || Throttles(e.Code)
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

// post makes exactly one call, with a body and headers of the client's protocol. fault reads
// the code and the message of an answer that is not success. Its error is an *Error if the
// answer is one, and ErrUnread if the answer is success but cannot be read or is longer
// than MaxAnswer.
func (c *Client) post(ctx context.Context, operation string, header http.Header, body []byte, fault func(*Error, []byte)) ([]byte, error) {
	endpoint := cmp.Or(c.Endpoint, Endpoint(c.Service, c.Region))
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, strings.TrimRight(endpoint, "/")+"/", bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("make the request of %s: %w", operation, err)
	}
	header.Set("User-Agent", c.UserAgent)
	req.Header = header
	sum := sha256.Sum256(body)
	if err := v4.NewSigner().SignHTTP(ctx, c.Credentials, req, hex.EncodeToString(sum[:]), c.Service, c.Region, time.Now()); err != nil {
		return nil, fmt.Errorf("sign the request of %s: %w", operation, err)
	}
	resp, err := c.HTTP.Do(req)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", operation, err)
	}
	defer resp.Body.Close()
	if resp.StatusCode < http.StatusOK {
		// Its body may be the connection, and no context ends reading that.
		return nil, fmt.Errorf("%s: an answer %s, which ends no request", operation, resp.Status)
	}
	if resp.StatusCode != http.StatusOK {
		answer, err := io.ReadAll(io.LimitReader(resp.Body, maxBody))
		if err != nil {
			return nil, fmt.Errorf("%s: the answer was cut: %w", operation, err)
		}
		e := &Error{Status: resp.StatusCode}
		fault(e, answer)
		return nil, e
	}
	limit := cmp.Or(c.MaxAnswer, maxBody)
	answer, err := io.ReadAll(io.LimitReader(resp.Body, limit+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("%s: %w: it was cut: %w", operation, ErrUnread, err)
	case int64(len(answer)) > limit:
		return nil, fmt.Errorf("%s: %w: it has more than %d bytes", operation, ErrUnread, limit)
	}
	return answer, nil
}
