//go:build integration

package integration

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	sqstypes "github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"cbr-replicator/internal/awscall"
	"cbr-replicator/internal/sandbox"
	"cbr-replicator/internal/sandbox/moto"
)

// account is moto's AWS with clients for it.
type account struct {
	url       string
	sqs       *sqs.Client
	sns       *sns.Client
	secrets   *secretsmanager.Client
	formation *cloudformation.Client
}

// newAccount starts moto.
func newAccount(t *testing.T) *account {
	t.Helper()
	url := moto.Start(t, "")
	credentials := aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
		return aws.Credentials{AccessKeyID: "AKIDEXAMPLE", SecretAccessKey: "example"}, nil
	})
	client := &http.Client{Timeout: 30 * time.Second}
	return &account{
		url:       url,
		sqs:       sqs.New(sqs.Options{BaseEndpoint: &url, Region: sandbox.Region, Credentials: credentials, HTTPClient: client}),
		sns:       sns.New(sns.Options{BaseEndpoint: &url, Region: sandbox.Region, Credentials: credentials, HTTPClient: client}),
		formation: cloudformation.New(cloudformation.Options{BaseEndpoint: &url, Region: sandbox.Region, Credentials: credentials, HTTPClient: client}),
		secrets:   secretsmanager.New(secretsmanager.Options{BaseEndpoint: &url, Region: sandbox.Region, Credentials: credentials, HTTPClient: client}),
	}
}

// queue is a queue in the account.
type queue struct{ url, arn string }

func (a *account) newQueue(t *testing.T, name string, attributes map[string]string) queue {
	t.Helper()
	made, err := a.sqs.CreateQueue(t.Context(), &sqs.CreateQueueInput{QueueName: &name, Attributes: attributes})
	if err != nil {
		t.Fatal(err)
	}
	return queue{*made.QueueUrl, fmt.Sprintf("arn:aws:sqs:%s:%s:%s", sandbox.Region, sandbox.Account, name)}
}

func (a *account) newTopic(t *testing.T, name string) (arn string) {
	t.Helper()
	made, err := a.sns.CreateTopic(t.Context(), &sns.CreateTopicInput{Name: &name})
	if err != nil {
		t.Fatal(err)
	}
	return *made.TopicArn
}

// events calls EventBridge.
func (a *account) events(t *testing.T, operation string, in any) {
	t.Helper()
	client := &awscall.Client{
		Service: "events", Target: "AWSEvents", Version: "1.1", Region: sandbox.Region, Endpoint: a.url,
		Credentials: aws.Credentials{AccessKeyID: "AKIDEXAMPLE", SecretAccessKey: "example"}, HTTP: http.DefaultClient,
	}
	if err := client.Call(t.Context(), operation, in, new(any)); err != nil {
		t.Fatal(err)
	}
}

// subscribe has a queue receive what is published to a topic.
func (a *account) subscribe(t *testing.T, topic string, q queue, attributes map[string]string) {
	t.Helper()
	_, err := a.sns.Subscribe(t.Context(), &sns.SubscribeInput{TopicArn: &topic, Protocol: aws.String("sqs"), Endpoint: &q.arn, Attributes: attributes})
	if err != nil {
		t.Fatal(err)
	}
}

func (a *account) send(t *testing.T, q queue, body string, attributes map[string]sqstypes.MessageAttributeValue) {
	t.Helper()
	if _, err := a.sqs.SendMessage(t.Context(), &sqs.SendMessageInput{QueueUrl: &q.url, MessageBody: &body, MessageAttributes: attributes}); err != nil {
		t.Fatal(err)
	}
}

// receive takes up to ten messages that are visible, and waits for wait seconds
// for the first.
func (a *account) receive(t *testing.T, q queue, wait int32) []sqstypes.Message {
	t.Helper()
	received, err := a.sqs.ReceiveMessage(t.Context(), &sqs.ReceiveMessageInput{
		QueueUrl: &q.url, MaxNumberOfMessages: 10, WaitTimeSeconds: wait,
		MessageAttributeNames: []string{"All"}, MessageSystemAttributeNames: []sqstypes.MessageSystemAttributeName{"All"},
	})
	if err != nil {
		t.Fatal(err)
	}
	return received.Messages
}

func (a *account) delete(t *testing.T, q queue, receipt string) {
	t.Helper()
	if _, err := a.sqs.DeleteMessage(t.Context(), &sqs.DeleteMessageInput{QueueUrl: &q.url, ReceiptHandle: &receipt}); err != nil {
		t.Fatal(err)
	}
}

// drain receives and deletes all that is visible.
func (a *account) drain(t *testing.T, q queue) (bodies []string) {
	t.Helper()
	for {
		messages := a.receive(t, q, 0)
		if len(messages) == 0 {
			return bodies
		}
		for _, m := range messages {
			bodies = append(bodies, *m.Body)
			a.delete(t, q, *m.ReceiptHandle)
		}
	}
}

// count is how many messages of a queue are visible.
func (a *account) count(t *testing.T, q queue) int {
	t.Helper()
	const name = sqstypes.QueueAttributeNameApproximateNumberOfMessages
	got, err := a.sqs.GetQueueAttributes(t.Context(), &sqs.GetQueueAttributesInput{QueueUrl: &q.url, AttributeNames: []sqstypes.QueueAttributeName{name}})
	if err != nil {
		t.Fatal(err)
	}
	n, err := strconv.Atoi(got.Attributes[string(name)])
	if err != nil {
		t.Fatal(err)
	}
	return n
}
