package main

import (
	"cmp"
	"context"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sns"

	replicator "cbr-replicator"
	"cbr-replicator/events"
	"cbr-replicator/internal/awsjson"
	"cbr-replicator/internal/cbr"
	"cbr-replicator/internal/huawei"
	"cbr-replicator/internal/metrics"
	"cbr-replicator/internal/reconcile"
	"cbr-replicator/internal/redact"
	"cbr-replicator/internal/rejected"
	"cbr-replicator/internal/result"
	"cbr-replicator/internal/retry"
	"cbr-replicator/internal/token"
	"cbr-replicator/internal/visibility"
)

// newHandler makes the handler that the settings describe. Metrics go to
// stdout, which CloudWatch reads.
func newHandler(s *settings, client *http.Client, stdout io.Writer, log *slog.Logger) *replicator.Handler {
	userAgent := "cbr-replicator/" + version
	hidden := &redact.Redactor{}
	hidden.Hide(s.SecretAccessKey)
	hidden.Hide(s.SessionToken)
	for _, proxy := range []string{s.HTTPSProxy, s.HTTPProxy} {
		if password, ok := proxyURL(proxy).User.Password(); ok {
			hidden.Hide(password)
		}
	}
	policy := retry.Policy{
		Initial:     s.RetryInitial.value,
		Max:         s.RetryMax.value,
		MaxAttempts: s.RetryAttempts.value,
		MaxElapsed:  s.RetryElapsed.value,
		MinTry:      2 * time.Second, // a try gets half of what is left
		Rand:        rand.Float64,
	}
	publishing := policy
	publishing.MinTry = 0
	policy.Budget = retry.NewBudget()

	credential := token.Config{
		Fields:    s.Fields,
		ProjectID: s.ProjectID,
		IAM:       s.iam,
		HTTP:      client,
		UserAgent: userAgent,
		Redact:    hidden,
		Log:       log,
		Now:       time.Now,
	}
	if s.SecretID != "" {
		credential.SecretsManager = s.aws("secretsmanager", "secretsmanager", "1.1", s.secretRegion(), s.EndpointSecrets, client, userAgent)
	}

	service := cbr.NewClient(huawei.Service{
		HTTP:      client,
		Endpoints: s.endpoints,
		Auth:      token.New(credential),
		Redact:    hidden,
		UserAgent: userAgent,
		Timeout:   s.CBRTimeout.value,
	})
	service.EnterpriseProjectID = s.EnterpriseProjectID

	var bodies *rejected.Queue
	if s.rejected != nil {
		bodies = &rejected.Queue{
			Name:   *s.rejected,
			SQS:    s.aws("sqs", "AmazonSQS", "1.0", s.rejected.Region, s.EndpointSQS, client, userAgent),
			Retry:  publishing.Do,
			Log:    log,
			Redact: hidden,
		}
	}

	return &replicator.Handler{
		Decoder: &events.Decoder{
			Defaults:    s.requestDefaults(),
			Redact:      hidden,
			HTTPTimeout: s.HTTPTimeout.value,
		},
		Allow:     s.allow,
		CBR:       service,
		Endpoints: s.endpoints,
		Retry:     policy,
		Lookups:   reconcile.New(service, log),
		Queues: &visibility.Changer{
			SQS:    s.aws("sqs", "AmazonSQS", "1.0", s.AWSRegion, s.EndpointSQS, client, userAgent),
			Log:    log,
			Redact: hidden,
			Rand:   rand.Float64,
		},
		Rejected: bodies,
		Topic: &result.Topic{
			ARN:    s.ResultTopicARN,
			SNS:    s.sns(client),
			Retry:  publishing.Do,
			Log:    log,
			Redact: hidden,
		},
		Metrics: metrics.NewEmitter(stdout, cmp.Or(s.FunctionName, "cbr-replicator")),
		Log:     log,
		Redact:  hidden,

		BatchConcurrency: s.BatchConcurrency.value,
		MaxReceiveCount:  s.MaxReceiveCount.value,
		Reserve:          s.DeadlineReserve.value,
	}
}

// connectAhead has client connect to what the first deliveries will call, as
// far as the configuration says what that is. Its error is for a log.
func (s *settings) connectAhead(client *http.Client) error {
	// Lambda gives a start a whole processor, and an invocation with 256 MB a
	// seventh of one. It ends a start after ten seconds.
	const timeout = time.Second
	return huawei.Connect(client, timeout, s.ahead()...)
}

// ahead are the URLs of all connections, one after the other.
func (s *settings) ahead() []string {
	// A batch uses as many with the default of BATCH_CONCURRENCY. For one record
	// one would do, and start some milliseconds sooner; a batch would wait for
	// the rest (internal/bench, "TLS, 20 ms away").
	const most = 10
	urls := []string{cmp.Or(s.EndpointSNS, s.EndpointAWS, awsjson.Endpoint("sns", s.topicRegion))}
	if s.SecretID != "" {
		urls = append(urls, cmp.Or(s.EndpointSecrets, s.EndpointAWS, awsjson.Endpoint("secretsmanager", s.secretRegion())))
	}
	if base, err := s.iam.For(s.Region); err == nil && s.UserName != "" {
		urls = append(urls, base)
	}
	if base, err := s.endpoints.For(s.Region); err == nil {
		urls = append(urls, slices.Repeat([]string{base}, min(s.BatchConcurrency.value, most))...)
	}
	return urls
}

// sns builds the client by hand: config.LoadDefaultConfig costs 1 to 6 ms of
// start and 2 MB for files and services that a function does not have.
func (s *settings) sns(client sns.HTTPClient) *sns.Client {
	options := sns.Options{
		Region:     s.topicRegion,
		HTTPClient: client,
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return s.credentials(), nil
		}),
		// Trying again is internal/retry's, for this call as for CBR's.
		Retryer: aws.NopRetryer{},
	}
	if endpoint := cmp.Or(s.EndpointSNS, s.EndpointAWS); endpoint != "" {
		options.BaseEndpoint = aws.String(endpoint)
	}
	return sns.New(options)
}

// aws is for the services of which one operation is called.
func (s *settings) aws(service, target, version, region, endpoint string, client *http.Client, userAgent string) *awsjson.Client {
	return &awsjson.Client{
		Service:     service,
		Target:      target,
		Version:     version,
		Region:      region,
		Endpoint:    cmp.Or(endpoint, s.EndpointAWS),
		Credentials: s.credentials(),
		HTTP:        client,
		UserAgent:   userAgent,
	}
}

// credentials are the environment's: Lambda gives the process new ones by
// starting a new one.
func (s *settings) credentials() aws.Credentials {
	return aws.Credentials{AccessKeyID: s.AccessKeyID, SecretAccessKey: s.SecretAccessKey, SessionToken: s.SessionToken}
}
