// Package sns publishes results to an SNS topic.
package sns

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/arn"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/aws/aws-sdk-go-v2/service/sns/types"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"cbr-replicator/internal/awscall"
	"cbr-replicator/internal/result"
	"cbr-replicator/internal/sink"
)

const (
	// Service is SNS in an ARN and in a host's name.
	Service = "sns"
	// Form is that of a topic's ARN.
	Form = "arn:aws:sns:REGION:ACCOUNT:NAME"
)

// IsTopic reports whether a's resource has the form of a topic. A subscription's has one
// more part.
func IsTopic(a arn.ARN) bool { return a.Resource != "" && !strings.Contains(a.Resource, ":") }

// Client is the method of the SDK's client that a topic needs.
type Client interface {
	PublishBatch(context.Context, *sns.PublishBatchInput, ...func(*sns.Options)) (*sns.PublishBatchOutput, error)
}

// NewClient returns the SDK's client. It does not use config.LoadDefaultConfig, which
// costs 1 to 6 ms of the start and 2 MB, for files and services that a function does not
// have. An empty endpoint is the region's own.
func NewClient(region, endpoint string, credentials aws.Credentials, client sns.HTTPClient) *sns.Client {
	options := sns.Options{
		Region:     region,
		HTTPClient: client,
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return credentials, nil
		}),
		// sink.Publisher makes the retries, for all sinks.
		Retryer: aws.NopRetryer{},
	}
	if endpoint != "" {
		options.BaseEndpoint = &endpoint
	}
	return sns.New(options)
}

// Topic is an SNS topic, standard or FIFO. It is a sink.Sink.
type Topic struct {
	ARN    string
	Client Client // without retries of its own
}

// String is "the result topic".
func (*Topic) String() string { return "the result topic" }

// Limits are those of PublishBatch (SNS API reference).
func (*Topic) Limits() sink.Limits { return sink.Limits{Entries: 10, Bytes: 256 << 10} }

// dataType is that of all attributes.
const dataType = "String"

// Size counts a message's attributes with their types, as SNS does (SNS API
// reference, PublishBatch).
func (*Topic) Size(m *result.Message) int {
	size := len(m.Body)
	for i := range m.Attributes {
		size += len(m.Attributes[i].Name) + len(dataType) + len(m.Attributes[i].Value)
	}
	return size
}

// Send calls PublishBatch.
func (t *Topic) Send(ctx context.Context, messages []*result.Message) []error {
	out, err := t.Client.PublishBatch(ctx, &sns.PublishBatchInput{TopicArn: &t.ARN, PublishBatchRequestEntries: t.entries(messages)})
	errs := make([]error, len(messages))
	if err != nil {
		switch {
		case isTooLong(err):
			err = sink.TooLarge(err)
		case passes(err):
			err = sink.MayPass(err)
		}
		for i := range errs {
			errs[i] = err
		}
		return errs
	}
	for i := range errs {
		errs[i] = errUnnamed
	}
	for i := range out.Failed {
		set(errs, out.Failed[i].Id, refusal(&out.Failed[i]))
	}
	for i := range out.Successful {
		set(errs, out.Successful[i].Id, nil)
	}
	return errs
}

var errUnnamed = sink.MayPass(errors.New("the answer does not name it"))

// set sets the error of an entry. The entry's id is its index.
func set(errs []error, id *string, err error) {
	if i, bad := strconv.Atoi(aws.ToString(id)); bad == nil && i >= 0 && i < len(errs) {
		errs[i] = err
	}
}

func (t *Topic) entries(messages []*result.Message) []types.PublishBatchRequestEntry {
	entries := make([]types.PublishBatchRequestEntry, len(messages))
	isFIFO := strings.HasSuffix(t.ARN, ".fifo")
	isText := dataType
	for i, m := range messages {
		values := make(map[string]types.MessageAttributeValue, len(m.Attributes))
		for j := range m.Attributes {
			a := &m.Attributes[j]
			values[a.Name] = types.MessageAttributeValue{DataType: &isText, StringValue: &a.Value}
		}
		e := &entries[i]
		e.Id, e.Message, e.MessageAttributes = aws.String(strconv.Itoa(i)), &m.Body, values
		if isFIFO {
			e.MessageGroupId, e.MessageDeduplicationId = &m.Group, &m.ID
		}
	}
	return entries
}

// refusal returns why SNS did not take one message of a call. For SNS throttling is the
// sender's fault.
func refusal(f *types.BatchResultErrorEntry) error {
	err := errors.New(aws.ToString(f.Code) + " " + aws.ToString(f.Message))
	if f.SenderFault && !awscall.Throttles(aws.ToString(f.Code)) {
		return err
	}
	return sink.MayPass(err)
}

// passes reports whether an error of a call may pass. The SDK knows AWS's codes that do,
// but not SNS's own codes for throttling: PublishBatch has no type for "Throttled" (SNS
// API reference, "Common errors"). A call without an answer may succeed later.
func passes(err error) bool {
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
		return true
	}
	answer, ok := errors.AsType[smithy.APIError](err)
	status, _ := errors.AsType[*smithyhttp.ResponseError](err)
	return ok && awscall.Throttles(answer.ErrorCode()) ||
		status != nil && status.HTTPStatusCode() == http.StatusTooManyRequests ||
		retry.NewStandard().IsErrorRetryable(err)
}

// isTooLong reports whether a call was too long for SNS. A topic's own limit may be lower
// than the service's (SNS developer guide, MaximumMessageSize).
func isTooLong(err error) bool {
	answer, ok := errors.AsType[smithy.APIError](err)
	if !ok {
		return false
	}
	switch strings.TrimSuffix(answer.ErrorCode(), "Exception") {
	case "BatchRequestTooLong", "TooManyEntriesInBatchRequest":
		return true
	}
	return false
}
