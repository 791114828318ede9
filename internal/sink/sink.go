// Package sink publishes result events. A [Sink] makes single calls to a place that takes
// them, such as an SNS topic. This package has what all sinks share: an [Outbox] gathers
// an invocation's results, and a [Publisher] makes the calls, with retries. Each result
// has its own outcome.
package sink

import (
	"context"

	"cbr-replicator/internal/result"
)

// Sink is a place that takes results. It is safe for concurrent use.
type Sink interface {
	// String names it in messages, such as "the result topic".
	String() string
	// Limits are those of one call. They do not change.
	Limits() Limits
	// Size returns how many bytes of a call a message takes: the length of its body
	// and what else the place counts.
	Size(*result.Message) int
	// Send makes exactly one call, with messages that are within the limits. It returns
	// an error for each message, in their order. nil: it is published. [MayPass]: it is
	// not published, or that is not known, and a later call may succeed. [TooLarge]: a
	// call with fewer messages may succeed. Any other: refused for good.
	Send(context.Context, []*result.Message) []error
}

// Limits are what one call takes at most.
type Limits struct {
	Entries int // messages
	Bytes   int // the sizes of all of them together
}

// MayPass marks err as one that may pass, such as throttling or no answer: a later
// call may succeed.
func MayPass(err error) error { return &classified{err, mayPass} }

// TooLarge marks err as that of a call with too much in it.
func TooLarge(err error) error { return &classified{err, tooLarge} }

// class is what can be done about an error.
type class int

const (
	refused class = iota
	mayPass
	tooLarge
)

type classified struct {
	error
	class class
}

func (c *classified) Unwrap() error { return c.error }
