// Package kind holds the closed vocabulary of how a delivery can end and, in
// one table, all that follows from each end: whether the call is tried again
// in place, whether the delivery goes back to its source, what an HTTP caller
// is told and what is published. Every other room asks this table; none
// compares a status or a code again. It imports nothing of the project.
package kind

import (
	"net/http"
	"strings"
	"time"
)

// Kind says why a delivery did not end in an accepted replication. The zero
// value, [None], is the accepted one. Its text is part of the contract: it is
// in results, logs and, after "CBR.", in the errorType of a direct call.
type Kind string

// The kinds. Each is explained by its row in the table below.
const (
	None               Kind = ""
	AlreadyReplicated  Kind = "AlreadyReplicated"
	NothingToReplicate Kind = "NothingToReplicate"
	NotCovered         Kind = "NotCovered"
	InProgress         Kind = "InProgress"
	InvalidEvent       Kind = "InvalidEvent"
	NotAllowed         Kind = "NotAllowed"
	Rejected           Kind = "Rejected"
	Misconfigured      Kind = "Misconfigured"
	Unauthorized       Kind = "Unauthorized"
	Throttled          Kind = "Throttled"
	Unavailable        Kind = "Unavailable"
	Unknown            Kind = "Unknown"
	OutOfTime          Kind = "OutOfTime"
	Blocked            Kind = "Blocked"
	PublishFailed      Kind = "PublishFailed"
	Internal           Kind = "Internal"
)

// Status is what is published of a delivery. Its text is part of the contract.
type Status string

// The statuses of a result.
const (
	Accepted  Status = "accepted"  // CBR took the request: the copy has started, not finished.
	Unchanged Status = "unchanged" // CBR has nothing new to start.
	Refused   Status = "rejected"  // It can never work as it is.
	Failed    Status = "failed"    // Given up; the delivery is in a dead-letter queue or the caller knows.
	// Unpublished stands for the kinds that no result event speaks of.
	Unpublished Status = ""
)

// EventTypePrefix begins the type of every result event; the status follows.
// "completed" and "partial" are reserved for the end of a copy.
const EventTypePrefix = "cbr.checkpoint.replication."

// replicaTypePrefix begins the types that are reserved for what is said of
// replicas themselves.
const replicaTypePrefix = "cbr.replica."

// IsResult reports whether an event of that type is a result of ours.
func IsResult(eventType string) bool {
	return strings.HasPrefix(eventType, EventTypePrefix) || strings.HasPrefix(eventType, replicaTypePrefix)
}

// Retry says when a call that ended so may be made again within the invocation.
type Retry int

// The ways to try again in place.
const (
	Never Retry = iota
	// Backoff: the request certainly had no effect and a later one may have.
	Backoff
	// FreshCredential: once, if the credential's source can give another one.
	FreshCredential
	// Lookup: the request may have been taken, so only what a lookup finds
	// can allow another; CBR has no idempotency token (CBR API reference).
	Lookup
)

// Wait says how long a delivery that goes back to a queue stays out of sight
// there. How long that is in hours and seconds is for internal/visibility.
type Wait int

// The ways to wait in the queue.
const (
	// AtOnce: there is nothing to wait for, or the delivery does not go back.
	AtOnce Wait = iota
	// Growing: half a minute, more with each receive. What is wrong may pass by
	// itself, or an operator must see to it.
	Growing
	// ForEffect: as long as an effect of the request may take to be seen.
	ForEffect
	// GrowingForEffect: as Growing, but not less than ForEffect, since CBR may
	// have taken the request before things went wrong.
	GrowingForEffect
	// ForCopy: a quarter of an hour, then hours: as long as a copy may take.
	ForCopy
)

// OwnAnswer as an HTTP status stands for CBR's own status and body.
const OwnAnswer = 0

// Policy is all that follows from a kind.
type Policy struct {
	Retry Retry
	// Redeliver: the delivery goes back to its source, which is also what
	// "retryable" in a result means. Otherwise it is acknowledged.
	Redeliver bool
	// Wait is how long it stays out of sight then, where the source is a queue.
	Wait Wait
	// HTTPStatus is told to an HTTP caller; OwnAnswer is CBR's own.
	HTTPStatus int
	// RetryAfter is what an HTTP caller is advised to wait where CBR did not
	// say; zero: no advice.
	RetryAfter time.Duration
	// Status is published: for a kind that is redelivered only with its last
	// delivery.
	Status Status
	// KeepBody: what was asked for is nowhere but in the delivery's body, and may
	// be right once sender or configuration are mended. Where nobody is told, the
	// body is kept before the delivery is acknowledged.
	KeepBody bool
}

var table = map[Kind]Policy{
	None:               {Never, false, AtOnce, OwnAnswer, 0, Accepted, false},
	AlreadyReplicated:  {Never, false, AtOnce, OwnAnswer, 0, Unchanged, false},
	NothingToReplicate: {Never, false, AtOnce, OwnAnswer, 0, Unchanged, false},
	NotCovered:         {Never, false, AtOnce, OwnAnswer, 0, Refused, false},
	// A vault may be busy for hours: waiting in place would be paid for in vain.
	InProgress:    {Never, true, ForCopy, http.StatusConflict, 15 * time.Minute, Failed, false},
	InvalidEvent:  {Never, false, AtOnce, http.StatusBadRequest, 0, Refused, true},
	NotAllowed:    {Never, false, AtOnce, http.StatusForbidden, 0, Refused, true},
	Rejected:      {Never, false, AtOnce, OwnAnswer, 0, Refused, false},
	Misconfigured: {Never, true, Growing, http.StatusBadGateway, 0, Failed, false},
	Unauthorized:  {FreshCredential, true, Growing, http.StatusBadGateway, 0, Failed, false},
	Throttled:     {Backoff, true, Growing, http.StatusTooManyRequests, 30 * time.Second, Failed, false},
	Unavailable:   {Backoff, true, Growing, http.StatusServiceUnavailable, 30 * time.Second, Failed, false},
	Unknown:       {Lookup, true, ForEffect, http.StatusGatewayTimeout, 0, Failed, false},
	OutOfTime:     {Never, true, AtOnce, http.StatusGatewayTimeout, 0, Failed, false},
	// Behind a delivery of its FIFO group that was handed back: nothing was
	// asked of CBR for it, so there is nothing to tell. At once means with that
	// delivery: a queue holds a group back while any of it is out of sight (SQS
	// developer guide, "Interleaving multiple ordered message groups"), so a wait
	// of its own could only make the whole group's longer.
	Blocked: {Never, true, AtOnce, http.StatusGatewayTimeout, 0, Unpublished, false},
	// CBR's outcome stands, but nobody could be told of it.
	PublishFailed: {Backoff, true, GrowingForEffect, OwnAnswer, 0, Unpublished, false},
	Internal:      {Never, true, GrowingForEffect, http.StatusInternalServerError, 0, Failed, false},
}

// Policy returns what follows from k. A kind that is not in the table is
// treated as Internal, so that nothing is acknowledged that was not understood.
func (k Kind) Policy() Policy {
	if p, ok := table[k]; ok {
		return p
	}
	return table[Internal]
}
