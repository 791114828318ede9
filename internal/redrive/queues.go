package redrive

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation"

	"cbr-replicator/internal/queue"
)

// regionOf finds the region in the host of a queue's URL.
var regionOf = regexp.MustCompile(`(?:^|\.)sqs\.([a-z0-9-]+)\.`)

// parseQueue reads a queue's ARN or URL (SQS developer guide, "Amazon SQS queue
// and message identifiers"). region is for a URL whose host names none. The name
// that it returns has no partition, since a URL has none: so ARN and URL of one
// queue are equal.
func parseQueue(s, region string) (queue.Name, error) {
	n, err := queue.Parse(s)
	if err != nil {
		if n, err = parseURL(s, region); err != nil {
			return n, err
		}
	}
	n.Partition = ""
	return n, nil
}

func parseURL(s, region string) (queue.Name, error) {
	u, err := url.Parse(s)
	if err != nil || u.Host == "" {
		return queue.Name{}, errors.New("expected the URL or the ARN of a queue")
	}
	if found := regionOf.FindStringSubmatch(u.Host); found != nil {
		region = found[1]
	}
	if region == "" {
		return queue.Name{}, errors.New("the URL names no region, and AWS_REGION is not set")
	}
	account, name, _ := strings.Cut(strings.Trim(u.Path, "/"), "/")
	n, err := queue.Parse("arn:aws:sqs:" + region + ":" + account + ":" + name)
	if err != nil {
		return n, errors.New("expected the URL of a queue, which ends in /account/name")
	}
	return n, nil
}

// complete takes the queues that the options do not name from the outputs of the
// stack (template.yaml). SQS itself says whose dead letters are in a queue.
func (o *options) complete(ctx context.Context, cfg aws.Config) error {
	const ofStack = "1"
	wanted := map[string]*string{}
	switch {
	case o.dlq != "" && o.rejected != "":
		return errors.New("-dlq and -rejected: expected one of them")
	case o.followed != "" && (o.dlq != "" || o.rejected != ""):
		return errors.New("-followed: expected neither -dlq nor -rejected beside it")
	case o.rejected == ofStack && o.stack == "":
		return errors.New("-rejected: expected the URL or the ARN of a queue, or -stack beside 1")
	case o.followed == ofStack && o.stack == "":
		return errors.New("-followed: expected the URL or the ARN of a queue, or -stack beside 1")
	case o.dlq != "" || o.stack == "":
		return nil
	case o.followed == ofStack:
		wanted["FollowDeadLetterQueueUrl"], wanted["UnfollowedQueueUrl"] = &o.followed, &o.unfollowed
	case o.rejected == ofStack:
		wanted["RejectedQueueUrl"] = &o.rejected
	case o.rejected == "" && o.followed == "":
		wanted["DeadLetterQueueUrl"] = &o.dlq
	}
	switch {
	case o.queue != "":
	case o.followed != "":
		wanted["FollowQueueUrl"] = &o.queue
	default:
		wanted["QueueUrl"] = &o.queue
	}
	if len(wanted) == 0 {
		return nil
	}
	outputs, err := outputsOf(ctx, cfg, o.stack)
	if err != nil {
		return fmt.Errorf("-stack: %w", err)
	}
	for _, name := range slices.Sorted(maps.Keys(wanted)) {
		value := wanted[name]
		if *value = outputs[name]; *value == "" {
			return fmt.Errorf("-stack: %s has no output %s", o.stack, name)
		}
	}
	return nil
}

func outputsOf(ctx context.Context, cfg aws.Config, stack string) (map[string]string, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	described, err := cloudformation.NewFromConfig(cfg).DescribeStacks(ctx, &cloudformation.DescribeStacksInput{StackName: &stack})
	if err != nil {
		return nil, err
	}
	outputs := map[string]string{}
	for _, s := range described.Stacks {
		for _, output := range s.Outputs {
			outputs[aws.ToString(output.OutputKey)] = aws.ToString(output.OutputValue)
		}
	}
	return outputs, nil
}

// source is the flag that names the queue that is emptied.
func (m *mover) source() string {
	switch {
	case m.rejected:
		return "-rejected"
	case m.followed:
		return "-followed"
	}
	return "-dlq"
}

// guard refuses to empty a queue that the function takes from. It also finds the
// queue that the messages go to, if none is named. What may be emptied is a
// dead-letter queue, the queue of rejected bodies, and the queue of accepted results
// that never came to the follow queue. The last two are no dead-letter queues of SQS
// and have none, while a queue that the function takes from has one.
func (m *mover) guard(ctx context.Context) error {
	feeding, err := m.feeding(ctx)
	if err != nil {
		return fmt.Errorf("%s: %w", m.source(), err)
	}
	names := make([]string, len(feeding))
	for i, q := range feeding {
		names[i] = q.URL()
	}
	all := strings.Join(names, ", ")
	switch {
	case m.rejected && len(feeding) > 0:
		return fmt.Errorf("-rejected: %s is the dead-letter queue of %s, whose messages may have been sent to CBR: name it as -dlq (make: DLQ=)", m.from.Queue, all)
	case m.followed && m.to.Queue == "" && len(feeding) == 0:
		return errors.New("-queue: expected the follow queue")
	case m.rejected, m.followed && len(feeding) == 0:
		return m.guardKept(ctx)
	case len(feeding) == 0:
		return fmt.Errorf("-dlq: %s is no queue's dead-letter queue: are -dlq and -queue (make: DLQ= and QUEUE=) swapped? Nothing was moved", m.from.Queue)
	case m.to.Queue == "" && len(feeding) > 1:
		return fmt.Errorf("-queue: expected one of the queues whose dead letters are in %s: %s", m.from.Queue, all)
	case m.to.Queue == "":
		m.to = feeding[0]
	case !slices.Contains(feeding, m.to):
		return fmt.Errorf("-queue: the dead letters of %s are not in %s, which keeps those of %s. Nothing was moved", m.to.Queue, m.from.Queue, all)
	}
	return nil
}

func (m *mover) guardKept(ctx context.Context) error {
	source := m.source()
	switch has, err := m.hasDeadLetters(ctx, m.to); {
	case err != nil:
		return fmt.Errorf("-queue: %w", err)
	case !has:
		return fmt.Errorf("-queue: %s has no dead-letter queue, as a queue that the function takes from has: are %s and -queue (make: %s= and QUEUE=) swapped? Nothing was moved", m.to.Queue, source, strings.ToUpper(source[1:]))
	}
	switch has, err := m.hasDeadLetters(ctx, m.from); {
	case err != nil:
		return fmt.Errorf("%s: %w", source, err)
	case has:
		return fmt.Errorf("%s: %s has a dead-letter queue, so it is a queue that the function takes from. Nothing was moved", source, m.from.Queue)
	}
	return nil
}

// maxPages bounds how many pages of a list are read. A page has a thousand queues.
const maxPages = 100

// feeding are the queues whose dead-letter queue is the one that is emptied.
func (m *mover) feeding(ctx context.Context) ([]queue.Name, error) {
	var all []queue.Name
	in := map[string]any{"QueueUrl": m.from.URL(), "MaxResults": 1000}
	for range maxPages {
		var out struct {
			QueueURLs []string `json:"queueUrls"`
			NextToken string
		}
		if err := m.call(ctx, brief, "ListDeadLetterSourceQueues", in, &out); err != nil {
			return nil, err
		}
		for _, u := range out.QueueURLs {
			q, err := parseQueue(u, m.from.Region)
			if err != nil {
				return nil, fmt.Errorf("ListDeadLetterSourceQueues: %w", err)
			}
			all = append(all, q)
		}
		if out.NextToken == "" {
			return all, nil
		}
		in["NextToken"] = out.NextToken
	}
	return nil, fmt.Errorf("ListDeadLetterSourceQueues: expected at most %d pages", maxPages)
}

// hasDeadLetters reports whether a queue has a dead-letter queue.
func (m *mover) hasDeadLetters(ctx context.Context, q queue.Name) (bool, error) {
	var out struct {
		Attributes struct{ RedrivePolicy string }
	}
	in := map[string]any{"QueueUrl": q.URL(), "AttributeNames": []string{"RedrivePolicy"}}
	if err := m.call(ctx, brief, "GetQueueAttributes", in, &out); err != nil {
		return false, err
	}
	if out.Attributes.RedrivePolicy == "" {
		return false, nil
	}
	var policy struct {
		Target string `json:"deadLetterTargetArn"`
	}
	if err := json.Unmarshal([]byte(out.Attributes.RedrivePolicy), &policy); err != nil {
		return false, fmt.Errorf("GetQueueAttributes: the RedrivePolicy of %s cannot be read", q.Queue)
	}
	return policy.Target != "", nil
}
