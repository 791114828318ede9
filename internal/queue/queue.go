// Package queue knows how SQS names its queues (SQS developer guide, "Amazon SQS
// queue and message identifiers"). It imports nothing of the project but
// awsjson.
package queue

import (
	"errors"
	"regexp"
	"strings"

	"cbr-replicator/internal/awsjson"
)

// Name names a queue of an account in a region.
type Name struct{ Partition, Region, Account, Queue string }

// maxName is the longest name of a queue, in bytes. A repetition of as many in
// form would cost time at each start.
const maxName = 80

var form = regexp.MustCompile(`^arn:(aws[a-z-]*):sqs:([a-z]+(?:-[a-z0-9]+)+):([0-9]{12}):([A-Za-z0-9_-]+(?:\.fifo)?)$`)

// Parse reads a queue's ARN. Its error says what was expected, and nothing of
// the ARN.
func Parse(arn string) (Name, error) {
	m := form.FindStringSubmatch(arn)
	if m == nil || len(m[4]) > maxName {
		return Name{}, errors.New("expected arn:aws:sqs:REGION:ACCOUNT:NAME")
	}
	return Name{Partition: m[1], Region: m[2], Account: m[3], Queue: m[4]}, nil
}

// ARN is what Parse read.
func (n Name) ARN() string {
	return "arn:" + n.Partition + ":sqs:" + n.Region + ":" + n.Account + ":" + n.Queue
}

// URL is the queue's at SQS itself, by which a call names it wherever the call
// goes.
func (n Name) URL() string {
	return "https://sqs." + n.Region + "." + awsjson.DNSSuffix(n.Region) + "/" + n.Account + "/" + n.Queue
}

// FIFO reports whether the queue is one.
func (n Name) FIFO() bool { return strings.HasSuffix(n.Queue, ".fifo") }
