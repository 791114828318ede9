package result

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsretry "github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/aws/aws-sdk-go-v2/service/sns/types"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"cbr-replicator/internal/awsjson"
	"cbr-replicator/internal/deadline"
	"cbr-replicator/internal/kind"
	"cbr-replicator/internal/redact"
)

// SNS is the part of the SNS client that a topic needs.
type SNS interface {
	PublishBatch(context.Context, *sns.PublishBatchInput, ...func(*sns.Options)) (*sns.PublishBatchOutput, error)
}

// Topic is where results go. It is safe for concurrent use.
type Topic struct {
	ARN string
	SNS SNS // without retries of its own
	// Retry calls op again while it fails with what may pass, and says so to
	// notify before each wait; see retry.Policy.
	Retry  func(ctx context.Context, op func(context.Context) error, notify func(err error, wait time.Duration)) error
	Log    *slog.Logger
	Redact *redact.Redactor
}

// publishTimeout bounds one call to SNS.
const publishTimeout = 10 * time.Second

// letter is a result on its way to the topic.
type letter struct {
	entry types.PublishBatchRequestEntry
	size  int
	began time.Time // when the delivery began
	ended time.Time // when its result was there
	err   error
	done  chan struct{} // closed when err is settled
}

// isText is the data type of all attributes.
var isText = "String"

func (t *Topic) letter(e *Event, route Route) (*letter, error) {
	attributes := e.attributes(route)
	values := make(map[string]types.MessageAttributeValue, len(attributes))
	size := 0
	for i := range attributes {
		a := &attributes[i]
		values[a.name] = types.MessageAttributeValue{DataType: &isText, StringValue: &a.value}
		size += len(a.name) + len(isText) + len(a.value)
	}
	message, err := e.encode(maxMessage - size)
	if err != nil {
		return nil, err
	}
	l := &letter{
		entry: types.PublishBatchRequestEntry{Message: &message, MessageAttributes: values},
		size:  size + len(message),
		done:  make(chan struct{}),
	}
	if strings.HasSuffix(t.ARN, ".fifo") {
		group := route.VaultID
		if group == "" {
			group = "invalid"
		}
		l.entry.MessageGroupId = aws.String(group)
		l.entry.MessageDeduplicationId = aws.String(e.ID)
	}
	return l, nil
}

// send publishes letters, which fit one batch, and settles each by itself.
func (t *Topic) send(ctx context.Context, letters []*letter) {
	open := letters
	tooLong := false
	// Stands if the client panics, which is the affair of no letter: nobody may
	// wait for ever.
	err := t.failed("the call broke off", nil)
	defer func() {
		if p := recover(); p != nil {
			t.Log.ErrorContext(ctx, "panic", "error", t.Redact.Text(fmt.Sprint(p)), "stack", string(debug.Stack()))
		}
		for _, l := range open {
			l.settle(err)
		}
	}()
	err = t.Retry(ctx, func(ctx context.Context) error {
		var err error
		open, err = t.try(ctx, open)
		if tooLong = len(open) > 1 && isTooLong(err); tooLong {
			return nil // more of the same would be, too
		}
		return err
	}, func(err error, wait time.Duration) {
		t.Log.InfoContext(ctx, "trying again", "kind", kind.PublishFailed, "error", kind.As(err).Message, "results", len(open), "wait_ms", wait.Milliseconds())
	})
	if tooLong {
		whole, half := open, len(open)/2
		open = nil
		t.Log.InfoContext(ctx, "too long for one call", "results", len(whole))
		t.send(ctx, whole[:half])
		t.send(ctx, whole[half:])
	}
	if e := kind.As(err); e != nil && e.Kind != kind.PublishFailed {
		err = t.failed(e.Message, e)
	}
}

// try makes one call. It settles the letters that are out or refused for good
// and returns the others with the reason.
func (t *Topic) try(ctx context.Context, letters []*letter) (open []*letter, err error) {
	ctx, cancel := context.WithTimeout(ctx, deadline.Half(ctx, publishTimeout))
	defer cancel()
	entries := make([]types.PublishBatchRequestEntry, len(letters))
	for i, l := range letters {
		entries[i] = l.entry
		entries[i].Id = aws.String(strconv.Itoa(i))
	}
	out, err := t.SNS.PublishBatch(ctx, &sns.PublishBatchInput{TopicArn: aws.String(t.ARN), PublishBatchRequestEntries: entries})
	if err != nil {
		failed := t.failed(err.Error(), err)
		if passing(err) || len(letters) > 1 && isTooLong(err) {
			return letters, failed
		}
		for _, l := range letters {
			l.settle(failed)
		}
		return nil, nil
	}

	took := make(map[string]bool, len(letters))
	for _, s := range out.Successful {
		took[aws.ToString(s.Id)] = true
	}
	refused := make(map[string]types.BatchResultErrorEntry, len(out.Failed))
	for _, f := range out.Failed {
		refused[aws.ToString(f.Id)] = f
	}
	for i, l := range letters {
		id := strconv.Itoa(i)
		f, isRefused := refused[id]
		switch {
		case took[id]:
			l.settle(nil)
		case isRefused && f.SenderFault && !awsjson.Throttles(aws.ToString(f.Code)):
			l.settle(t.failed(aws.ToString(f.Code)+" "+aws.ToString(f.Message), nil))
		default:
			open = append(open, l)
			err = t.failed(aws.ToString(f.Code)+" "+aws.ToString(f.Message), nil)
		}
	}
	return open, err
}

func (t *Topic) failed(why string, cause error) error {
	return &kind.Error{
		Kind:    kind.PublishFailed,
		Message: t.Redact.Text("the result topic did not take the result: " + why),
		Cause:   cause,
	}
}

// passing reports whether an error of a call may pass. The SDK knows which of
// AWS's codes do, but not SNS's own names of throttling: PublishBatch has no
// type for "Throttled" (SNS API reference, "Common errors"). What never got an
// answer may.
func passing(err error) bool {
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
		return true
	}
	answer, ok := errors.AsType[smithy.APIError](err)
	status, _ := errors.AsType[*smithyhttp.ResponseError](err)
	return ok && awsjson.Throttles(answer.ErrorCode()) ||
		status != nil && status.HTTPStatusCode() == http.StatusTooManyRequests ||
		awsretry.NewStandard().IsErrorRetryable(err)
}

// isTooLong reports whether SNS found a call too long. A topic may take less
// than the service does (SNS developer guide, MaximumMessageSize).
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

func (l *letter) settle(err error) {
	l.err = err
	close(l.done)
}

// CheckARN returns the region of a topic's ARN, or what is wrong with it.
func CheckARN(arn string) (region string, err error) {
	parts := strings.Split(arn, ":")
	if len(parts) != 6 || parts[0] != "arn" || parts[2] != "sns" || parts[3] == "" || parts[5] == "" {
		return "", errors.New("expected arn:aws:sns:REGION:ACCOUNT:NAME")
	}
	return parts[3], nil
}
