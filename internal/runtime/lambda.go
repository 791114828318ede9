package runtime

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-lambda-go/lambda/messages"
	"github.com/aws/aws-lambda-go/lambdacontext"

	"cbr-replicator/internal/delivery"
	"cbr-replicator/internal/metrics"
	"cbr-replicator/internal/redact"
)

// Lambda is the runtime of AWS Lambda.
type Lambda struct{}

// Serve polls Lambda's Runtime API. It does not return: the process ends with
// the environment.
func (Lambda) Serve(ctx context.Context, h Handler, _ *redact.Redactor) {
	lambda.StartWithOptions(lambdaHandler{h}, lambda.WithContext(ctx))
}

// LogHandler honours AWS_LAMBDA_LOG_FORMAT and AWS_LAMBDA_LOG_LEVEL and adds the
// request's id.
func (Lambda) LogHandler() slog.Handler { return lambdacontext.NewLogHandler() }

// Metrics is CloudWatch's embedded format.
func (Lambda) Metrics() metrics.Format { return metrics.EMF }

// lambdaHandler is a Handler as aws-lambda-go calls it.
type lambdaHandler struct{ Handler }

// Invoke is the method of lambda.Handler. aws-lambda-go reports an error's Go type as its
// type, except for InvokeResponse_Error, and writes the message into a header.
func (h lambdaHandler) Invoke(ctx context.Context, payload []byte) ([]byte, error) {
	inv := delivery.Invocation{Began: time.Now(), FunctionARN: cmp.Or(lambdacontext.FunctionName, "cbr-replicator")}
	if lc, ok := lambdacontext.FromContext(ctx); ok {
		inv.RequestID = lc.AwsRequestID
		inv.FunctionARN = cmp.Or(lc.InvokedFunctionArn, inv.FunctionARN)
	}
	answer, err := h.Handle(ctx, inv, payload)
	if failure, ok := errors.AsType[delivery.Failure](err); ok {
		return nil, messages.InvokeResponse_Error{Type: failure.Type, Message: failure.Message}
	}
	return answer, err
}
