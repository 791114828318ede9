// Package sink takes result events to where subscribers find them. A [Sink] is
// one such place, an SNS topic say, and makes single calls to it. What is common
// to all of them is here: an [Outbox] gathers an invocation's results, and a
// [Publisher] makes the calls, again where that may help, and brings each result
// to an end of its own.
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
	// Size is how many of a call's bytes a message takes: its body's length, and
	// what the place counts besides.
	Size(*result.Message) int
	// Send makes one call with messages that are within the limits, and no other.
	// It returns an error for each of them, in their order. nil: taken. One of
	// [MayPass]: not taken, or nobody knows, and a later call may succeed. One of
	// [TooLarge]: fewer messages in a call may. Any other: refused for good.
	Send(context.Context, []*result.Message) []error
}

// Limits are what one call takes at most.
type Limits struct {
	Entries int // messages
	Bytes   int // the sizes of all of them together
}

// MayPass returns err as that of a message which a later call may bring in:
// throttling, say, or no answer.
func MayPass(err error) error { return &classified{err, mayPass} }

// TooLarge returns err as that of a message which was in a call with too much
// in it.
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
