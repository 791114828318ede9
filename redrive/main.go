// Command redrive moves dead letters back to their queue, each with requested_at
// set to when it was first sent: `make redrive`. The function then looks up what
// the first life of the message may have done at CBR before it sends the request
// again. A redrive by the console or StartMessageMoveTask gives a message a new
// id and a new life, of which nobody could tell that it is a second.
//
// A message is sent first and deleted after: a run that dies between the two
// leaves the message in both queues. The next run moves it once more, with the
// same requested_at, which makes the double harmless.
//
// It calls SQS once for each step and does not try again: a run that fails can
// be started again. It needs sqs:ReceiveMessage, sqs:DeleteMessage and
// sqs:ChangeMessageVisibility on the dead-letter queue and sqs:SendMessage on the
// other.
package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/signal"
	"regexp"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/arn"

	"cbr-replicator/internal/awsjson"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Getenv, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// run does what the arguments say. That a message was left in the dead-letter
// queue is an error, in a dry run too.
func run(ctx context.Context, args []string, getenv func(string) string, out io.Writer) error {
	m := mover{out: out, seen: map[string]bool{}, held: map[string]string{}}
	flags := flag.NewFlagSet("redrive", flag.ContinueOnError)
	flags.SetOutput(out)
	from := flags.String("dlq", "", "the `URL or ARN` of the dead-letter queue")
	to := flags.String("queue", "", "the `URL or ARN` of the queue that the messages go to")
	flags.BoolVar(&m.dryRun, "dry-run", false, "show what would be done; in a FIFO queue, of the first ten messages of each group")
	flags.BoolVar(&m.force, "force", false, "move a message that cannot be read as it is: its request would be sent without a look-up")
	if err := flags.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return nil
		}
		return err
	}
	var err error
	if m.from, err = parseQueue(*from, getenv("AWS_REGION")); err != nil {
		return fmt.Errorf("-dlq: %w", err)
	}
	if m.to, err = parseQueue(*to, getenv("AWS_REGION")); err != nil {
		return fmt.Errorf("-queue: %w", err)
	}
	switch {
	case m.from.region != m.to.region || m.from.fifo() != m.to.fifo():
		return errors.New("-dlq and -queue: SQS has a dead-letter queue in the region of its queue, FIFO if that is; these are of two sorts")
	case m.from.account == m.to.account && m.from.name == m.to.name:
		return errors.New("-dlq and -queue are the same queue")
	case getenv("AWS_ACCESS_KEY_ID") == "" || getenv("AWS_SECRET_ACCESS_KEY") == "":
		return errors.New(`AWS_ACCESS_KEY_ID or AWS_SECRET_ACCESS_KEY is not set: eval "$(aws configure export-credentials --format env)"`)
	}
	m.sqs = &awsjson.Client{
		Service:  "sqs",
		Target:   "AmazonSQS",
		Version:  "1.0",
		Region:   m.from.region,
		Endpoint: cmp.Or(getenv("AWS_ENDPOINT_URL_SQS"), getenv("AWS_ENDPOINT_URL")),
		Credentials: aws.Credentials{
			AccessKeyID:     getenv("AWS_ACCESS_KEY_ID"),
			SecretAccessKey: getenv("AWS_SECRET_ACCESS_KEY"),
			SessionToken:    getenv("AWS_SESSION_TOKEN"),
		},
		HTTP:      &http.Client{Timeout: 30 * time.Second},
		UserAgent: "cbr-replicator-redrive",
	}
	return m.run(ctx)
}

// queue is where a queue is and how SQS names it.
type queue struct{ region, account, name, url string }

func (q queue) fifo() bool { return strings.HasSuffix(q.name, ".fifo") }

// regionOf finds the region in the host of a queue's URL.
var regionOf = regexp.MustCompile(`(?:^|\.)sqs\.([a-z0-9-]+)\.`)

// parseQueue reads a queue's ARN or URL (SQS developer guide, "Amazon SQS queue
// and message identifiers"). region is for a URL whose host names none.
func parseQueue(s, region string) (queue, error) {
	if a, err := arn.Parse(s); err == nil && a.Service == "sqs" {
		host := "sqs." + a.Region + "." + awsjson.DNSSuffix(a.Region)
		return queue{a.Region, a.AccountID, a.Resource, "https://" + host + "/" + a.AccountID + "/" + a.Resource}, nil
	}
	u, err := url.Parse(s)
	if err != nil || u.Host == "" {
		return queue{}, errors.New("expected the URL or the ARN of a queue")
	}
	path := strings.Split(strings.Trim(u.Path, "/"), "/")
	if len(path) != 2 {
		return queue{}, errors.New("expected the URL of a queue, which ends in /account/name")
	}
	if found := regionOf.FindStringSubmatch(u.Host); found != nil {
		region = found[1]
	}
	if region == "" {
		return queue{}, errors.New("the URL names no region, and AWS_REGION is not set")
	}
	return queue{region, path[0], path[1], s}, nil
}
