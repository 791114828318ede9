// Command sdk is the usual function, but calls CBR with Huawei's official SDK. That
// signs with an access key: the SDK cannot send a token.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"os"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/aws/aws-sdk-go-v2/service/sns/types"
	"github.com/cenkalti/backoff/v4"
	"github.com/huaweicloud/huaweicloud-sdk-go-v3/core/auth/basic"
	"github.com/huaweicloud/huaweicloud-sdk-go-v3/core/sdkerr"
	cbr "github.com/huaweicloud/huaweicloud-sdk-go-v3/services/cbr/v1"
	"github.com/huaweicloud/huaweicloud-sdk-go-v3/services/cbr/v1/model"
)

type request struct {
	Replicate model.CheckpointReplicateParam `json:"replicate"`
}

type result struct {
	MessageID   string                             `json:"message_id"`
	Status      string                             `json:"status"`
	VaultID     string                             `json:"vault_id,omitempty"`
	Replication *model.CheckpointReplicateRespBody `json:"replication,omitempty"`
	Error       string                             `json:"error,omitempty"`
}

type handler struct {
	cbr   *cbr.CbrClient
	sns   *sns.Client
	topic string
}

func (h *handler) handle(ctx context.Context, event events.SQSEvent) (events.SQSEventResponse, error) {
	response := events.SQSEventResponse{BatchItemFailures: []events.SQSBatchItemFailure{}}
	for _, record := range event.Records {
		if err := h.record(ctx, record); err != nil {
			slog.ErrorContext(ctx, "replication failed", "message_id", record.MessageId, "error", err)
			response.BatchItemFailures = append(response.BatchItemFailures, events.SQSBatchItemFailure{ItemIdentifier: record.MessageId})
		}
	}
	return response, nil
}

func (h *handler) record(ctx context.Context, record events.SQSMessage) error {
	var r request
	if err := json.Unmarshal([]byte(record.Body), &r); err != nil {
		return h.publish(ctx, result{MessageID: record.MessageId, Status: "rejected", Error: err.Error()})
	}
	var answer *model.CopyCheckpointResponse
	err := backoff.Retry(func() (err error) {
		answer, err = h.cbr.CopyCheckpoint(&model.CopyCheckpointRequest{Body: &model.CheckpointReplicateReq{Replicate: &r.Replicate}})
		if refused, ok := errors.AsType[*sdkerr.ServiceResponseError](err); ok && refused.StatusCode < 500 && refused.StatusCode != 429 {
			return backoff.Permanent(err)
		}
		return err
	}, backoff.WithContext(backoff.WithMaxRetries(backoff.NewExponentialBackOff(), 5), ctx))
	if err != nil {
		return err
	}
	slog.InfoContext(ctx, "replication started", "message_id", record.MessageId, "vault_id", r.Replicate.VaultId)
	return h.publish(ctx, result{MessageID: record.MessageId, Status: "accepted", VaultID: r.Replicate.VaultId, Replication: answer.Replication})
}

func (h *handler) publish(ctx context.Context, r result) error {
	message, err := json.Marshal(r)
	if err != nil {
		return err
	}
	_, err = h.sns.Publish(ctx, &sns.PublishInput{
		TopicArn: aws.String(h.topic),
		Message:  aws.String(string(message)),
		MessageAttributes: map[string]types.MessageAttributeValue{
			"status": {DataType: aws.String("String"), StringValue: aws.String(r.Status)},
		},
	})
	return err
}

func run() error {
	cfg, err := config.LoadDefaultConfig(context.Background())
	if err != nil {
		return err
	}
	credentials, err := basic.NewCredentialsBuilder().WithAk(os.Getenv("HW_ACCESS_KEY")).WithSk(os.Getenv("HW_SECRET_KEY")).
		WithProjectId(os.Getenv("HW_PROJECT_ID")).SafeBuild()
	if err != nil {
		return err
	}
	client, err := cbr.CbrClientBuilder().WithEndpoints([]string{os.Getenv("HW_CBR_ENDPOINT")}).WithCredential(credentials).SafeBuild()
	if err != nil {
		return err
	}
	h := &handler{cbr: cbr.NewCbrClient(client), sns: sns.NewFromConfig(cfg), topic: os.Getenv("RESULT_TOPIC_ARN")}
	lambda.Start(h.handle)
	return nil
}

func main() {
	slog.SetDefault(slog.New(slog.NewJSONHandler(os.Stdout, nil)))
	if err := run(); err != nil {
		slog.Error("no configuration", "error", err)
		os.Exit(1)
	}
}
