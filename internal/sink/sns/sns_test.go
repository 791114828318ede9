package sns_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/arn"
	awssns "github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/aws/aws-sdk-go-v2/service/sns/types"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"cbr-replicator/internal/kind"
	"cbr-replicator/internal/redact"
	"cbr-replicator/internal/result"
	"cbr-replicator/internal/retry"
	"cbr-replicator/internal/sink"
	"cbr-replicator/internal/sink/sns"
)

const topicARN = "arn:aws:sns:eu-central-1:123456789012:results"

// client is an SNS client with scripted answers. Without an answer it takes everything.
type client struct {
	calls  []*awssns.PublishBatchInput
	answer func(call int) (*awssns.PublishBatchOutput, error)
}

func (c *client) PublishBatch(_ context.Context, in *awssns.PublishBatchInput, _ ...func(*awssns.Options)) (*awssns.PublishBatchOutput, error) {
	c.calls = append(c.calls, in)
	if c.answer != nil {
		if out, err := c.answer(len(c.calls) - 1); out != nil || err != nil {
			return out, err
		}
	}
	out := &awssns.PublishBatchOutput{}
	for _, e := range in.PublishBatchRequestEntries {
		out.Successful = append(out.Successful, types.PublishBatchResultEntry{Id: e.Id})
	}
	return out, nil
}

func messages(n int) []*result.Message {
	all := make([]*result.Message, n)
	for i := range all {
		id := strconv.Itoa(i)
		all[i] = &result.Message{
			ID: "id-" + id, Type: "type", Group: "group-" + id, Body: "body-" + id, Time: time.Now(),
			Attributes: []result.Attribute{{Name: "status", Value: "accepted"}, {Name: "n", Value: id}},
		}
	}
	return all
}

// publish publishes one event with at most four tries, and returns its error.
func publish(t *testing.T, c *client) error {
	t.Helper()
	policy := retry.Policy{Initial: time.Second, Max: time.Second, MaxAttempts: 4, MaxElapsed: time.Minute, Rand: func() float64 { return 0 }}
	outbox := sink.NewPublisher(&sns.Topic{ARN: topicARN, Client: c}, policy.Do, slog.New(slog.DiscardHandler), &redact.Redactor{}).Open(t.Context())
	defer outbox.Close()
	return outbox.Begin().Publish(result.New("id", "s", "c", "c", time.Now(), result.Route{}, result.Data{Status: kind.Refused}), result.Route{})
}

// TestEntries: an entry's attributes are of the type String. Only for a FIFO topic it has a
// group and a deduplication id.
func TestEntries(t *testing.T) {
	t.Parallel()
	for _, name := range []string{topicARN, topicARN + ".fifo"} {
		c := &client{}
		if errs := (&sns.Topic{ARN: name, Client: c}).Send(t.Context(), messages(2)); len(errs) != 2 || errors.Join(errs...) != nil {
			t.Errorf("%s: %v", name, errs)
		}
		want := &awssns.PublishBatchInput{TopicArn: &name}
		for _, n := range []string{"0", "1"} {
			e := types.PublishBatchRequestEntry{
				Id: aws.String(n), Message: aws.String("body-" + n),
				MessageAttributes: map[string]types.MessageAttributeValue{
					"status": {DataType: aws.String("String"), StringValue: aws.String("accepted")},
					"n":      {DataType: aws.String("String"), StringValue: aws.String(n)},
				},
			}
			if name != topicARN {
				e.MessageGroupId, e.MessageDeduplicationId = aws.String("group-"+n), aws.String("id-"+n)
			}
			want.PublishBatchRequestEntries = append(want.PublishBatchRequestEntries, e)
		}
		if diff := cmp.Diff([]*awssns.PublishBatchInput{want}, c.calls, cmpopts.IgnoreUnexported(awssns.PublishBatchInput{}, types.PublishBatchRequestEntry{}, types.MessageAttributeValue{})); diff != "" {
			t.Errorf("calls (-want +got):\n%s", diff)
		}
	}
}

// TestRefusedEntry: throttling may pass, also if SNS calls it the sender's fault.
func TestRefusedEntry(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		code        string
		senderFault bool
		passes      bool
	}{
		{"InternalError", false, true},
		{"Throttled", true, true},
		{"KMSThrottling", true, true},
		{"Throttled", false, true},
		{"InvalidParameter", true, false},
		{"AuthorizationError", true, false},
	} {
		synctest.Test(t, func(t *testing.T) {
			c := &client{answer: func(call int) (*awssns.PublishBatchOutput, error) {
				if call > 0 {
					return nil, nil
				}
				return &awssns.PublishBatchOutput{Failed: []types.BatchResultErrorEntry{
					{Id: aws.String("0"), Code: &tt.code, Message: aws.String("no"), SenderFault: tt.senderFault},
				}}, nil
			}}
			if err := publish(t, c); tt.passes != (err == nil) || tt.passes != (len(c.calls) == 2) ||
				!tt.passes && err.Error() != "PublishFailed the result topic did not take the result: "+tt.code+" no" {
				t.Errorf("%s: %d calls, %v", tt.code, len(c.calls), err)
			}
		})
	}
}

// TestUnnamedEntry: an entry that the answer does not name may be published or not, and is
// retried. A name that was not sent is ignored.
func TestUnnamedEntry(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := &client{answer: func(call int) (*awssns.PublishBatchOutput, error) {
			switch call {
			case 0:
				return &awssns.PublishBatchOutput{}, nil
			case 1:
				return &awssns.PublishBatchOutput{
					Failed:     []types.BatchResultErrorEntry{{Id: aws.String("-1")}, {}},
					Successful: []types.PublishBatchResultEntry{{Id: aws.String("7")}, {}, {Id: aws.String("x")}},
				}, nil
			}
			return nil, nil
		}}
		if err := publish(t, c); err != nil || len(c.calls) != 3 {
			t.Errorf("%d calls, %v", len(c.calls), err)
		}
	})
}

// TestRefusedCall: errors that may pass are retried, and no others.
func TestRefusedCall(t *testing.T) {
	t.Parallel()
	message := aws.String("m")
	for _, tt := range []struct {
		err    error
		passes bool
	}{
		{&smithy.GenericAPIError{Code: "Throttling", Message: "Rate exceeded"}, true},
		{&smithy.GenericAPIError{Code: "Throttled", Message: "Rate exceeded"}, true},
		{&smithy.GenericAPIError{Code: "ThrottledException"}, true},
		{&smithy.GenericAPIError{Code: "ThrottlingException"}, true},
		{&smithy.GenericAPIError{Code: "RequestLimitExceeded"}, true},
		{&smithy.GenericAPIError{Code: "TooManyRequestsException"}, true},
		{&smithy.GenericAPIError{Code: "KMSThrottling", Fault: smithy.FaultClient}, true},
		{&smithyhttp.ResponseError{
			Response: &smithyhttp.Response{Response: &http.Response{StatusCode: http.StatusTooManyRequests}}, Err: &smithy.GenericAPIError{Code: "New"},
		}, true},
		{&types.ThrottledException{Message: message}, true},
		{&types.KMSThrottlingException{Message: message}, true},
		{&smithyhttp.RequestSendError{Err: &net.OpError{Op: "read", Err: syscall.ECONNRESET}}, true},
		{&smithyhttp.RequestSendError{Err: &net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}}, true},
		{&smithyhttp.RequestSendError{Err: io.ErrUnexpectedEOF}, true},
		{&smithyhttp.ResponseError{Response: &smithyhttp.Response{Response: &http.Response{StatusCode: http.StatusServiceUnavailable}}, Err: io.EOF}, true},
		{context.DeadlineExceeded, true},
		{&types.AuthorizationErrorException{Message: message}, false},
		{&types.NotFoundException{Message: message}, false},
		{&types.InvalidParameterException{Message: message}, false},
		{&types.KMSAccessDeniedException{Message: message}, false},
		{&types.BatchRequestTooLongException{Message: message}, false}, // there is one message in it
		{&smithy.GenericAPIError{Code: "InvalidClientTokenId"}, false},
	} {
		t.Run(fmt.Sprintf("%T %v", tt.err, tt.err), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				wrapped := &smithy.OperationError{ServiceID: "SNS", OperationName: "PublishBatch", Err: tt.err}
				c := &client{answer: func(call int) (*awssns.PublishBatchOutput, error) {
					if call < 2 {
						return nil, wrapped
					}
					return nil, nil
				}}
				err := publish(t, c)
				want := 1
				if tt.passes {
					want = 3
				}
				if len(c.calls) != want || tt.passes != (err == nil) || !tt.passes && !errors.Is(err, tt.err) {
					t.Errorf("%d calls, want %d; %v", len(c.calls), want, err)
				}
			})
		})
	}
}

func TestIsTopic(t *testing.T) {
	t.Parallel()
	for resource, want := range map[string]bool{
		"results": true, "results.fifo": true, "": false, "results:0b7a4f2e-a-subscription": false,
	} {
		if got := sns.IsTopic(arn.ARN{Service: sns.Service, Resource: resource}); got != want {
			t.Errorf("IsTopic(%q) = %v", resource, got)
		}
	}
}
