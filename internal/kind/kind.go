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
)

// Status is the status of a result. Its text is part of the contract.
type Status string

// The statuses of a result.
const (
	Accepted  Status = "accepted"  // CBR took the request: the copy has started, not finished.
	Unchanged Status = "unchanged" // CBR has nothing new to start.
	Refused   Status = "rejected"  // It can never work as it is.
	Failed    Status = "failed"    // Given up; the delivery is in a dead-letter queue or the caller knows.
	// Unpublished is for kinds that have no result event.
	Unpublished Status = ""
)

// EventTypePrefix begins the type of every result event; the status follows.
// "completed" and "partial" are reserved for the end of a copy.
const EventTypePrefix = "cbr.checkpoint.replication."

// replicaTypePrefix begins the types that are reserved for events about replicas.
const replicaTypePrefix = "cbr.replica."

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
	// Lookup: CBR may have taken the request, so it is sent again only after a
	// lookup. CBR has no idempotency token (CBR API reference).
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
	// GrowingForEffect: as Growing, but at least ForEffect, since CBR may have taken
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
	// An earlier delivery of its FIFO group was handed back. CBR was not called, so
	// there is nothing to publish. It needs no wait of its own: a queue delivers
	// nothing of a group while one of its messages is out of sight (SQS developer
	// guide, "Interleaving multiple ordered message groups").
	Blocked: {Never, true, AtOnce, http.StatusGatewayTimeout, 0, Unpublished, false},
	// CBR has answered, but the result could not be published.
	PublishFailed: {Backoff, true, GrowingForEffect, OwnAnswer, 0, Unpublished, false},
	Internal:      {Never, true, GrowingForEffect, http.StatusInternalServerError, 0, Failed, false},
}

// Policy returns what follows from k. A kind that is not in the table is treated as
// Internal, so that its delivery is not acknowledged.
func (k Kind) Policy() Policy {
	if p, ok := table[k]; ok {
		return p
	}
	return table[Internal]
}
