package main

import (
	"cmp"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	replicator "cbr-replicator"
	"cbr-replicator/events"
	"cbr-replicator/internal/awscall"
	"cbr-replicator/internal/cbr"
	"cbr-replicator/internal/check"
	"cbr-replicator/internal/delivery"
	"cbr-replicator/internal/follow"
	"cbr-replicator/internal/huawei"
	"cbr-replicator/internal/metrics"
	"cbr-replicator/internal/plan"
	"cbr-replicator/internal/reconcile"
	"cbr-replicator/internal/redact"
	"cbr-replicator/internal/rejected"
	"cbr-replicator/internal/replicate"
	"cbr-replicator/internal/retry"
	"cbr-replicator/internal/sink"
	"cbr-replicator/internal/token"
	"cbr-replicator/internal/visibility"
)

// newHandler makes the handler of the settings. It writes metrics to stdout, in
// format.
func newHandler(s *settings, client *http.Client, stdout io.Writer, format metrics.Format, log *slog.Logger) *replicator.Handler {
	userAgent := "cbr-replicator/" + version
	hidden := &redact.Redactor{}
	if short := s.hide(hidden); len(short) > 0 {
		log.Warn("a secret of fewer than eight characters is masked only where it stands alone", "variables", strings.Join(short, ", "))
	}
	if s.FollowQueueARN != "" && s.ResultTopicURN != "" {
		// No error: somebody may carry what SMN delivers to the queue.
		log.Warn("nothing here feeds FOLLOW_QUEUE_ARN: a topic of SMN cannot send to a queue. Copies are followed only if something else puts accepted results there", "variables", "FOLLOW_QUEUE_ARN, RESULT_TOPIC_URN")
	}
	policy := retry.Policy{
		Initial:     s.RetryInitial,
		Max:         s.RetryMax,
		MaxAttempts: s.RetryAttempts,
		MaxElapsed:  s.RetryElapsed,
		MinTry:      2 * time.Second, // a try gets half of what is left
		Rand:        rand.Float64,
	}
	publishing := policy
	publishing.MinTry = 0
	reads := policy
	looks := policy
	policy.Budget, reads.Budget, looks.Budget = retry.NewBudget(), retry.NewBudget(), retry.NewBudget()

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

	wire := huawei.Service{
		HTTP:      client,
		Endpoints: s.endpoints,
		Auth:      s.authorizer(credential),
		Redact:    hidden,
		UserAgent: userAgent,
		Timeout:   s.CBRTimeout,
	}
	service := cbr.NewClient(wire)
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

	var requests plan.Sender
	switch {
	case s.requestTopic != nil:
		requests = &plan.Topic{URN: s.requestTopic.urn, Client: s.requestTopic.client(wire), Retry: publishing.Do, Log: log, Redact: hidden}
	case s.requests != nil:
		requests = &plan.Queue{
			Name:   *s.requests,
			SQS:    s.aws("sqs", "AmazonSQS", "1.0", s.requests.Region, s.EndpointSQS, client, userAgent),
			Retry:  publishing.Do,
			Log:    log,
			Redact: hidden,
			Spread: s.PlanSpread,
		}
	}

	return &replicator.Handler{
		Decoder: &events.Decoder{
			Defaults:    s.requestDefaults(),
			Redact:      hidden,
			HTTPTimeout: s.HTTPTimeout,

			FollowQueueARN:    s.FollowQueueARN,
			MaxReceiveCount:   s.MaxReceiveCount,
			KafkaItemFailures: s.KafkaItemFailures,
			FunctionGraph:     s.functionGraph,
			StartOnEvents:     s.StartOnEvents,
		},
		Allow: s.allow,
		Actions: []delivery.Action{
			&replicate.Action{CBR: service, Lookups: reconcile.New(service), Retry: policy, Reads: reads, Log: log, Redact: hidden},
			&check.Action{Lookups: reconcile.New(service), Reads: looks, Log: log, Redact: hidden},
			&plan.Action{Vaults: service, Requests: requests, Allow: s.allow, Reads: looks, Log: log, Redact: hidden},
			&follow.Action{Lookups: reconcile.New(service), Reads: looks, For: time.Duration(s.FollowFor), Log: log, Redact: hidden, Rand: rand.Float64},
		},
		Endpoints: s.endpoints,
		Queues: &visibility.Changer{
			SQS:    s.aws("sqs", "AmazonSQS", "1.0", s.AWSRegion, s.EndpointSQS, client, userAgent),
			Log:    log,
			Redact: hidden,
			Rand:   rand.Float64,
		},
		Rejected: bodies,
		Results:  sink.NewPublisher(s.sink.open(wire), publishing.Do, log, hidden),
		Metrics:  metrics.NewEmitter(stdout, format, cmp.Or(s.FunctionName, "cbr-replicator")),
		Log:      log,
		Redact:   hidden,

		BatchConcurrency: s.BatchConcurrency,
		Reserve:          s.DeadlineReserve,
	}
}

// authorizer returns the source of credentials for Huawei Cloud.
func (s *settings) authorizer(c token.Config) huawei.Authorizer {
	if s.agency {
		return token.NewAgency(strings.ToLower(s.RuntimeProjectID))
	}
	return token.New(c)
}

// connectAhead has client connect to what the first deliveries will call, as far as
// the configuration names it. Its error is only logged.
func (s *settings) connectAhead(client *http.Client) error {
	// Lambda gives a start a full processor, and an invocation with 256 MB a
	// seventh of one. It ends a start after ten seconds.
	const timeout = time.Second
	return huawei.Connect(client, timeout, s.ahead()...)
}

// ahead returns a URL for each connection.
func (s *settings) ahead() []string {
	// As many as a batch uses with the default of BATCH_CONCURRENCY. A single
	// record needs only one and would start some milliseconds sooner, but a batch
	// would wait for the others (internal/bench, "TLS, 20 ms away").
	const most = 10
	urls := []string{s.sink.url}
	if s.SecretID != "" {
		urls = append(urls, cmp.Or(s.EndpointSecrets, s.EndpointAWS, awscall.Endpoint("secretsmanager", s.secretRegion())))
	}
	if base, err := s.iam.For(s.Region); err == nil && s.UserName != "" {
		urls = append(urls, base)
	}
	if base, err := s.endpoints.For(s.Region); err == nil {
		urls = append(urls, slices.Repeat([]string{base}, min(s.BatchConcurrency, most))...)
	}
	return urls
}

// aws returns a client for a service of which one operation is called.
func (s *settings) aws(service, target, version, region, endpoint string, client *http.Client, userAgent string) *awscall.Client {
	return &awscall.Client{
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

// credentials returns those of the environment. Lambda never renews them: a new
// process gets new ones.
func (s *settings) credentials() aws.Credentials {
	return aws.Credentials{AccessKeyID: s.AccessKeyID, SecretAccessKey: s.SecretAccessKey, SessionToken: s.SessionToken}
}
