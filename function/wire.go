package main

import (
	"cmp"
	"context"
	"io"
	"log/slog"
	"math/rand/v2"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sns"

	replicator "cbr-replicator"
	"cbr-replicator/events"
	"cbr-replicator/internal/cbr"
	"cbr-replicator/internal/metrics"
	"cbr-replicator/internal/redact"
	"cbr-replicator/internal/result"
	"cbr-replicator/internal/retry"
	"cbr-replicator/internal/token"
)

// newHandler makes the handler that the environment describes. Metrics go to
// stdout, which CloudWatch reads.
func newHandler(stdout io.Writer, log *slog.Logger) (*replicator.Handler, error) {
	s, err := load()
	if err != nil {
		return nil, err
	}
	hidden := &redact.Redactor{}
	hidden.Hide(s.SecretAccessKey)
	hidden.Hide(s.SessionToken)
	for _, proxy := range []string{s.HTTPSProxy, s.HTTPProxy} {
		if password, ok := proxyURL(proxy).User.Password(); ok {
			hidden.Hide(password)
		}
	}
	client := cbr.NewHTTPClient(s.BatchConcurrency.value)
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

	return &replicator.Handler{
		Decoder: &events.Decoder{
			Defaults:    s.requestDefaults(),
			Redact:      hidden,
			HTTPTimeout: s.HTTPTimeout.value,
		},
		Allow: s.allow,
		CBR: &cbr.Client{
			HTTP:      client,
			Endpoints: s.endpoints,
			Auth:      token.NewStatic(s.AuthToken, s.ProjectID, hidden),
			Redact:    hidden,
			UserAgent: "cbr-replicator/" + version,
			Timeout:   s.CBRTimeout.value,
		},
		Endpoints: s.endpoints,
		Retry:     policy,
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
	}, nil
}

// sns builds the client by hand: config.LoadDefaultConfig costs 1 to 6 ms of
// start and 2 MB for files and services that a function does not have.
func (s *settings) sns(client sns.HTTPClient) *sns.Client {
	options := sns.Options{
		Region:     s.topicRegion,
		HTTPClient: client,
		// Lambda gives the process new credentials by starting a new one.
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: s.AccessKeyID, SecretAccessKey: s.SecretAccessKey, SessionToken: s.SessionToken}, nil
		}),
		// Trying again is internal/retry's, for this call as for CBR's.
		Retryer: aws.NopRetryer{},
	}
	if endpoint := cmp.Or(s.EndpointSNS, s.EndpointAWS); endpoint != "" {
		options.BaseEndpoint = aws.String(endpoint)
	}
	return sns.New(options)
}
