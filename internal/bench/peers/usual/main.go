// Command usual is the function as it is usually written: SQSEvent, a loop over the
// records, LoadDefaultConfig, the call with the token and backoff, Publish for each
// result, and batch item failures.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/aws/aws-sdk-go-v2/service/sns/types"
	"github.com/cenkalti/backoff/v4"
)

type request struct {
	ProjectID string `json:"project_id"`
	Region    string `json:"region"`
	Replicate struct {
		VaultID              string `json:"vault_id"`
		DestinationVaultID   string `json:"destination_vault_id"`
		DestinationProjectID string `json:"destination_project_id"`
		DestinationRegion    string `json:"destination_region"`
	} `json:"replicate"`
}

type result struct {
	MessageID   string          `json:"message_id"`
	Status      string          `json:"status"`
	VaultID     string          `json:"vault_id,omitempty"`
	Replication json.RawMessage `json:"replication,omitempty"`
	Error       string          `json:"error,omitempty"`
}

type handler struct {
	http     *http.Client
	endpoint string
	token    string
	sns      *sns.Client
	topic    string
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
	replication, err := h.replicate(ctx, r)
	if err != nil {
		return err
	}
	slog.InfoContext(ctx, "replication started", "message_id", record.MessageId, "vault_id", r.Replicate.VaultID)
	return h.publish(ctx, result{MessageID: record.MessageId, Status: "accepted", VaultID: r.Replicate.VaultID, Replication: replication})
}

func (h *handler) replicate(ctx context.Context, r request) (json.RawMessage, error) {
	body, err := json.Marshal(map[string]any{"replicate": r.Replicate})
	if err != nil {
		return nil, err
	}
	var replication json.RawMessage
	err = backoff.Retry(func() error {
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, h.endpoint+"/v3/"+r.ProjectID+"/checkpoints/replicate", bytes.NewReader(body))
		if err != nil {
			return backoff.Permanent(err)
		}
		req.Header.Set("Content-Type", "application/json")
		req.Header.Set("X-Auth-Token", h.token)
		resp, err := h.http.Do(req)
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		answer, err := io.ReadAll(resp.Body)
		if err != nil {
			return err
		}
		switch {
		case resp.StatusCode == http.StatusTooManyRequests || resp.StatusCode >= 500:
			return fmt.Errorf("CBR answered %s: %s", resp.Status, answer)
		case resp.StatusCode >= 300:
			return backoff.Permanent(fmt.Errorf("CBR answered %s: %s", resp.Status, answer))
		}
		var accepted struct {
			Replication json.RawMessage `json:"replication"`
		}
		if err := json.Unmarshal(answer, &accepted); err != nil {
			return backoff.Permanent(err)
		}
		replication = accepted.Replication
		return nil
	}, backoff.WithContext(backoff.WithMaxRetries(backoff.NewExponentialBackOff(), 5), ctx))
	return replication, err
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

func main() {
	slog.SetDefault(slog.New(slog.NewJSONHandler(os.Stdout, nil)))
	cfg, err := config.LoadDefaultConfig(context.Background())
	if err != nil {
		slog.Error("no AWS configuration", "error", err)
		os.Exit(1)
	}
	h := &handler{
		http:     &http.Client{Timeout: 30 * time.Second},
		endpoint: os.Getenv("HW_CBR_ENDPOINT"),
		token:    os.Getenv("HW_AUTH_TOKEN"),
		sns:      sns.NewFromConfig(cfg),
		topic:    os.Getenv("RESULT_TOPIC_ARN"),
	}
	lambda.Start(h.handle)
}
