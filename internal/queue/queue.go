// Package queue knows how SQS names its queues (SQS developer guide, "Amazon SQS
// queue and message identifiers"). It imports nothing of the project but arn and
// awscall.
package queue

import (
	"bytes"
	"strings"
	"unicode/utf8"

	"cbr-replicator/internal/arn"
	"cbr-replicator/internal/awscall"
)

// Name names a queue of an account in a region.
type Name struct{ Partition, Region, Account, Queue string }

// maxName is the longest name of a queue, in bytes.
const maxName = 80

// Parse reads a queue's ARN. Its error says what was expected and does not show the ARN.
func Parse(s string) (Name, error) {
	a, err := arn.ParseName(s, "sqs", maxName)
	return Name{Partition: a.Partition, Region: a.Region, Account: a.Account, Queue: a.Resource}, err
}

// ARN returns the queue's ARN.
func (n Name) ARN() string {
	return "arn:" + n.Partition + ":sqs:" + n.Region + ":" + n.Account + ":" + n.Queue
}

// URL returns the queue's URL at SQS. A call names the queue by it, even if the call goes to
// another endpoint.
func (n Name) URL() string {
	return "https://sqs." + n.Region + "." + awscall.DNSSuffix(n.Region) + "/" + n.Account + "/" + n.Queue
}

// FIFO reports whether the queue is a FIFO queue.
func (n Name) FIFO() bool { return strings.HasSuffix(n.Queue, ".fifo") }

// IsText reports whether SQS keeps a body as it is. SQS accepts the characters of XML and
// stores U+FFFD in place of any other (SQS API reference, SendMessage).
func IsText(body []byte) bool {
	return utf8.Valid(body) && !bytes.ContainsFunc(body, func(c rune) bool {
		return c < ' ' && c != '\t' && c != '\n' && c != '\r' || c == '\ufffe' || c == '\uffff'
	})
}
