// Package kind lists how a delivery can end. One table says what follows from each
// kind: whether the call is retried in place, whether the delivery is handed back
// to its source, what an HTTP caller gets and what is published. All other
// packages ask this table. None compares a status or a code. It imports nothing of
// the project.
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

	// The kinds of a copy that is followed.
	Copying        Kind = "Copying"
	CopyIncomplete Kind = "CopyIncomplete"
	CopyFailed     Kind = "CopyFailed"
	NotFollowed    Kind = "NotFollowed"

	// NothingSelected: a plan has no request to send.
	NothingSelected Kind = "NothingSelected"

	// The kinds of a check of replicas.
	Stale           Kind = "Stale"
	NeverReplicated Kind = "NeverReplicated"
)

// Status is the status of a result. Its text is part of the contract.
type Status string

// The statuses of a result.
const (
	Accepted  Status = "accepted"  // CBR took the request: the copy has started, not finished.
	Unchanged Status = "unchanged" // CBR has nothing new to start.
	Refused   Status = "rejected"  // It can never work as it is.
	Failed    Status = "failed"    // Given up: the delivery is in a dead-letter queue, the caller knows, or the copies failed.
	Completed Status = "completed" // Every copy has arrived.
	Partial   Status = "partial"   // The copies have ended, and some of them have arrived.
	Planned   Status = "planned"   // For each vault that was selected there is a request.
	Current   Status = "current"   // The newest replica is not older than allowed.
	Aged      Status = "stale"     // It is older than allowed, or there is none.
	// InCopy is for a direct caller alone: the copies have not ended.
	InCopy Status = "copying"
	// Unpublished is for kinds that have no result event.
	Unpublished Status = ""
)

// EventTypePrefix begins the type of every result event but those about replicas;
// the status follows.
const EventTypePrefix = "cbr.checkpoint.replication."

// replicaTypePrefix begins the types of events about how old replicas are.
const replicaTypePrefix = "cbr.replica."

// EventType returns the type of a result's event. replica: it is about how old
// replicas are.
func EventType(replica bool, s Status) string {
	prefix := EventTypePrefix
	if replica {
		prefix = replicaTypePrefix
	}
	return prefix + string(s) + ".v1"
}

// IsResult reports whether an event of that type is one of our own results.
func IsResult(eventType string) bool {
	return strings.HasPrefix(eventType, EventTypePrefix) || strings.HasPrefix(eventType, replicaTypePrefix)
}

// Retry says when the call may be retried in place.
type Retry int

// The ways to retry in place.
const (
	Never Retry = iota
	// Backoff: the request certainly had no effect, and a retry may succeed.
	Backoff
	// FreshCredential: once, if the credential's source has a newer one.
	FreshCredential
	// Lookup: CBR may have accepted the request, so that it is not sent a second
	// time without a lookup. CBR has no idempotency token (CBR API reference).
	Lookup
)

// Wait says how long a delivery that is handed back to a queue stays out of sight.
// internal/visibility has the times.
type Wait int

// The ways to wait in the queue.
const (
	// AtOnce: there is nothing to wait for, or the delivery is not handed back.
	AtOnce Wait = iota
	// Growing: half a minute, more with each receive. The fault may pass by itself,
	// or an operator must act.
	Growing
	// ForEffect: until an effect of the request can be seen.
	ForEffect
	// GrowingForEffect: as Growing, but at least ForEffect, since CBR may have accepted
	// the request before the fault.
	GrowingForEffect
	// ForCopy: a quarter of an hour, then hours, since a copy may take as long.
	ForCopy
)

// OwnAnswer as an HTTP status stands for CBR's own status and body.
const OwnAnswer = 0

// Policy is all that follows from a kind.
type Policy struct {
	Retry Retry
	// Redeliver: the delivery is handed back to its source. Otherwise it is
	// acknowledged. A result has it as "retryable".
	Redeliver bool
	// Wait is how long a queue keeps it out of sight then.
	Wait Wait
	// HTTPStatus is what an HTTP caller gets. OwnAnswer is CBR's own.
	HTTPStatus int
	// RetryAfter is how long an HTTP caller should wait if CBR does not say. Zero:
	// no such header.
	RetryAfter time.Duration
	// Status is published. If Redeliver is set, that is only after the last
	// delivery.
	Status Status
	// KeepBody: the request is only in the delivery's body, and may be valid once
	// the sender or the configuration is corrected. If the trigger has no caller
	// to answer, the body is kept before the delivery is acknowledged.
	KeepBody bool
	// Answer: a direct caller gets it as an answer and not as an error.
	Answer bool
	// Expected: it has not ended, and nothing is wrong. It counts in no metric of
	// requests and is logged at INFO.
	Expected bool
}

var table = map[Kind]Policy{
	None:               {Status: Accepted, Answer: true},
	AlreadyReplicated:  {Status: Unchanged, Answer: true},
	NothingToReplicate: {Status: Unchanged, Answer: true},
	NotCovered:         {Status: Refused},
	// A vault may be busy for hours: waiting in place would be paid for in vain.
	InProgress:    {Redeliver: true, Wait: ForCopy, HTTPStatus: http.StatusConflict, RetryAfter: 15 * time.Minute, Status: Failed},
	InvalidEvent:  {HTTPStatus: http.StatusBadRequest, Status: Refused, KeepBody: true},
	NotAllowed:    {HTTPStatus: http.StatusForbidden, Status: Refused, KeepBody: true},
	Rejected:      {Status: Refused},
	Misconfigured: {Redeliver: true, Wait: Growing, HTTPStatus: http.StatusBadGateway, Status: Failed},
	Unauthorized:  {Retry: FreshCredential, Redeliver: true, Wait: Growing, HTTPStatus: http.StatusBadGateway, Status: Failed},
	Throttled:     {Retry: Backoff, Redeliver: true, Wait: Growing, HTTPStatus: http.StatusTooManyRequests, RetryAfter: 30 * time.Second, Status: Failed},
	Unavailable:   {Retry: Backoff, Redeliver: true, Wait: Growing, HTTPStatus: http.StatusServiceUnavailable, RetryAfter: 30 * time.Second, Status: Failed},
	Unknown:       {Retry: Lookup, Redeliver: true, Wait: ForEffect, HTTPStatus: http.StatusGatewayTimeout, Status: Failed},
	OutOfTime:     {Redeliver: true, HTTPStatus: http.StatusGatewayTimeout, Status: Failed},
	// An earlier delivery of its FIFO group was handed back. CBR was not called, so
	// there is nothing to publish. It needs no wait of its own: a queue delivers
	// nothing of a group while one of its messages is out of sight (SQS developer
	// guide, "Interleaving multiple ordered message groups").
	Blocked: {Redeliver: true, HTTPStatus: http.StatusGatewayTimeout},
	// CBR has answered, but the result could not be published.
	PublishFailed: {Retry: Backoff, Redeliver: true, Wait: GrowingForEffect},
	Internal:      {Redeliver: true, Wait: GrowingForEffect, HTTPStatus: http.StatusInternalServerError, Status: Failed},

	// The action says how long it waits.
	Copying:        {Redeliver: true, Wait: Growing, Status: InCopy, Answer: true, Expected: true},
	CopyIncomplete: {Status: Partial, Answer: true},
	CopyFailed:     {Status: Failed, Answer: true},
	NotFollowed:    {Status: Failed, Answer: true},

	Stale:           {HTTPStatus: http.StatusOK, Status: Aged, Answer: true},
	NeverReplicated: {HTTPStatus: http.StatusOK, Status: Aged, Answer: true},

	// A misspelt tag must not pass for success.
	NothingSelected: {HTTPStatus: http.StatusBadRequest, Status: Refused},
}

// Policy returns what follows from k. A kind that is not in the table is treated as
// Internal, so that its delivery is not acknowledged.
func (k Kind) Policy() Policy {
	if p, ok := table[k]; ok {
		return p
	}
	return table[Internal]
}
