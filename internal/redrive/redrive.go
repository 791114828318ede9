// Package redrive moves dead letters back to their queue: `make redrive`. Each gets
// the time it was first sent as requested_at. So before the function sends the
// request, it looks up what the message may have done at CBR before. A redrive by
// the console or StartMessageMoveTask gives a message a new id, and the function
// cannot see that it was delivered before.
//
// A message is sent first and deleted after that. A run that dies between the two
// leaves the message in both queues. The next run moves it once more, with the
// same requested_at, which makes the duplicate harmless.
//
// The command also moves rejected bodies out of their queue, as they came: a
// request that was rejected was never sent to CBR.
//
// Accepted results, whose copies the function follows, are moved as they are: out of
// the follow queue's dead-letter queue, and out of the queue of those that never came
// to the follow queue.
//
// SQS itself says which queue is whose dead-letter queue. A run that would move
// messages out of a queue that the function takes from is refused.
//
// The command calls SQS once for each step, without retries: a run that fails can
// be started once more. It needs sqs:ReceiveMessage, sqs:DeleteMessage,
// sqs:ChangeMessageVisibility and sqs:ListDeadLetterSourceQueues on the queue that
// it empties and sqs:SendMessage on the other; for rejected bodies and accepted results
// sqs:GetQueueAttributes on both; with -stack cloudformation:DescribeStacks.
package redrive

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"

	"cbr-replicator/internal/awscall"
)

// Run moves messages as args say, and prints on out what it did. If a message is
// left, that is an error, also in a dry run. AWS's region, credentials and endpoints
// come from where the AWS CLI has them: the environment and its files.
func Run(ctx context.Context, args []string, out io.Writer) error {
	load := func(ctx context.Context) (aws.Config, error) { return config.LoadDefaultConfig(ctx) }
	return run(ctx, args, load, out)
}

// options are the command's flags.
type options struct {
	dlq, rejected, followed, queue, stack string
	// unfollowed is a second queue of accepted results, a stack's.
	unfollowed string
}

// run is Run with AWS's configuration from elsewhere.
func run(ctx context.Context, args []string, load func(context.Context) (aws.Config, error), out io.Writer) error {
	m := mover{out: out}
	var o options
	flags := flag.NewFlagSet("redrive", flag.ContinueOnError)
	flags.SetOutput(out)
	flags.StringVar(&o.dlq, "dlq", "", "the `URL or ARN` of the dead-letter queue")
	flags.StringVar(&o.rejected, "rejected", "", "the `URL or ARN` of the queue of rejected bodies, which are moved instead of dead letters; 1: that of -stack")
	flags.StringVar(&o.followed, "followed", "", "the `URL or ARN` of a queue of accepted results that are followed no more, which are moved to the follow queue; 1: both such queues of -stack")
	flags.StringVar(&o.queue, "queue", "", "the `URL or ARN` of the queue that the messages go to; it may be left out where the dead-letter queue is that of one queue alone")
	flags.StringVar(&o.stack, "stack", "", "the `name` of the CloudFormation stack whose queues are meant where none are named")
	flags.BoolVar(&m.dryRun, "dry-run", false, "show what would be done; in a FIFO queue, of the first ten messages of each group")
	flags.BoolVar(&m.force, "force", false, "move a message that cannot be read as it is: its request would be sent without a lookup")
	var folder, topic string
	flags.StringVar(&folder, "records", "", "a `folder` of records of FunctionGraph's destination for failures, each a file NAME.json, that are sent to -topic")
	flags.StringVar(&topic, "topic", "", "the `URN` of the topic of requests on FunctionGraph; the credential is that of HW_ACCESS_KEY with HW_SECRET_KEY, or of HW_AUTH_TOKEN")
	if err := flags.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return nil
		}
		return err
	}
	if flags.NArg() > 0 {
		return fmt.Errorf("expected flags alone, not %q", flags.Arg(0))
	}
	if folder != "" {
		if o != (options{}) {
			return errors.New("-records: expected -topic beside it and no queue or stack")
		}
		return records(ctx, folder, topic, m.dryRun, os.Getenv, out)
	}
	cfg, err := load(ctx)
	if err != nil {
		return fmt.Errorf("AWS configuration: %w", err)
	}
	if err := o.complete(ctx, cfg); err != nil {
		return err
	}
	err = m.empty(ctx, o, cfg)
	if o.unfollowed != "" && ctx.Err() == nil {
		o.followed = o.unfollowed
		err = errors.Join(err, m.empty(ctx, o, cfg))
	}
	return err
}

// empty moves what is in one queue.
func (m mover) empty(ctx context.Context, o options, cfg aws.Config) error {
	m.batch, m.seen, m.held = most, map[string]bool{}, map[string]string{}
	if err := m.connect(ctx, o, cfg); err != nil {
		return err
	}
	if err := m.guard(ctx); err != nil {
		return err
	}
	return m.run(ctx)
}

// connect takes the queues from the options, without a call to AWS.
func (m *mover) connect(ctx context.Context, o options, cfg aws.Config) error {
	var err error
	m.rejected, m.followed = o.rejected != "", o.followed != ""
	if m.from, err = parseQueue(cmp.Or(o.rejected, o.followed, o.dlq), cfg.Region); err != nil {
		return fmt.Errorf("%s: %w", m.source(), err)
	}
	if o.queue != "" || m.rejected {
		if m.to, err = parseQueue(o.queue, cfg.Region); err != nil {
			return fmt.Errorf("-queue: %w", err)
		}
		switch {
		case m.from == m.to:
			return fmt.Errorf("%s and -queue are the same queue", m.source())
		case m.from.Region != m.to.Region:
			return fmt.Errorf("%s and -queue: expected queues of one region, not of %s and %s", m.source(), m.from.Region, m.to.Region)
		}
	}
	if m.sqs, err = newClient(ctx, cfg, m.from.Region); err != nil {
		return fmt.Errorf("AWS configuration: %w", err)
	}
	m.credentials = cfg.Credentials
	return nil
}

// maxAnswer is the most bytes that an answer of SQS may have: ten messages of 1 MiB,
// attributes included (SQS developer guide, "Amazon SQS message quotas"), each byte
// of them up to six bytes in JSON, and what SQS adds.
const maxAnswer = (10*6 + 4) << 20

// newClient takes the endpoint as the SDK's own clients do ("Service-specific
// endpoints", AWS SDKs and tools reference guide).
func newClient(ctx context.Context, cfg aws.Config, region string) (awscall.Client, error) {
	endpoint := aws.ToString(cfg.BaseEndpoint)
	for _, source := range cfg.ConfigSources {
		s, ok := source.(interface {
			GetServiceBaseEndpoint(ctx context.Context, sdkID string) (string, bool, error)
		})
		if !ok {
			continue
		}
		own, found, err := s.GetServiceBaseEndpoint(ctx, "SQS")
		if err != nil {
			return awscall.Client{}, err
		}
		if found {
			endpoint = own
			break
		}
	}
	return awscall.Client{
		Service:   "sqs",
		Target:    "AmazonSQS",
		Version:   "1.0",
		Region:    region,
		Endpoint:  endpoint,
		HTTP:      &http.Client{},
		UserAgent: "cbr-replicator-redrive",
		MaxAnswer: maxAnswer,
	}, nil
}
