package report

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
)

// readQueue adds the results in the messages of a queue, which stay in it: each is out
// of sight for two minutes, so that none is read twice. AWS's region and credentials
// come from where the AWS CLI has them. It needs sqs:ReceiveMessage.
func (r *Report) readQueue(ctx context.Context, url string) error {
	cfg, err := config.LoadDefaultConfig(ctx)
	if err != nil {
		return fmt.Errorf("AWS configuration: %w", err)
	}
	client := sqs.NewFromConfig(cfg)
	for {
		out, err := client.ReceiveMessage(ctx, &sqs.ReceiveMessageInput{
			QueueUrl: aws.String(url), MaxNumberOfMessages: 10, VisibilityTimeout: 120, WaitTimeSeconds: 1,
		})
		if err != nil {
			return fmt.Errorf("-queue: %w", err)
		}
		if len(out.Messages) == 0 {
			return nil
		}
		for _, m := range out.Messages {
			r.add(json.RawMessage(aws.ToString(m.Body)), 4)
		}
	}
}
