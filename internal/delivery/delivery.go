// Package delivery is what all rooms speak of: a request as a trigger delivered
// it, how it ended, and the invocation that it was in. An action does the work
// of one delivery; it knows these types and nothing of triggers, runtimes and
// sinks.
package delivery

import (
	"context"
	"time"

	"cbr-replicator/internal/cbr"
	"cbr-replicator/internal/huawei"
	"cbr-replicator/internal/jsonscan"
	"cbr-replicator/internal/keyed"
	"cbr-replicator/internal/kind"
	"cbr-replicator/internal/metrics"
	"cbr-replicator/internal/redact"
	"cbr-replicator/internal/result"
)

// Action is one thing that a request can ask for.
type Action interface {
	// Key is the member of the request that asks for it: "replicate".
	Key() string
	// Open returns the work of one invocation: what its deliveries share.
	Open(Invocation) Work
}

// Work is an action's part of one invocation. It is safe for concurrent use.
type Work interface {
	// Keys are what no two deliveries that run at once may share, such as a vault.
	Keys(*Delivery) []keyed.Key
	// Do does the delivery's work, until ctx ends at the latest. The delivery has
	// a valid request that the operator allows. A panic is the caller's affair.
	Do(ctx context.Context, d *Delivery) Outcome
}

// Invocation is what the runtime says of one call of the function.
type Invocation struct {
	RequestID string
	// FunctionARN names the function, by its name alone where nothing more is
	// known.
	FunctionARN string
	// Began is when the call was here.
	Began time.Time
}

// Failure is an invocation's error, as its caller is told it: the runtime
// translates it. Its texts have passed redact.
type Failure struct {
	// Type is "CBR." and the kind: Step Functions matches it.
	Type    string
	Message string
}

// Error returns the message.
func (f Failure) Error() string { return f.Message }

// Delivery is one request as a trigger delivered it.
type Delivery struct {
	// Source and CausationID name the delivery: the queue's ARN and the
	// message's id, say. The same delivery made again has the same.
	Source      string
	CausationID string
	// CorrelationID is the caller's own name for it, else CausationID.
	CorrelationID string
	// Group is the FIFO group, whose deliveries are handled in order, else empty.
	Group string
	// Queue is where it came from, zero if that is no queue.
	Queue Queue
	// Redelivered: the request may have been sent before, by an earlier delivery.
	Redelivered bool
	// Since is when the trigger had the delivery first: nothing was sent for it
	// before. Zero where the trigger does not say.
	Since time.Time
	// Claimed: Since is the producer's word, who may write there what he likes.
	// One that is old need not mean that the delivery is a second one.
	Claimed bool
	// Final: the trigger never delivers again by itself; the caller is told.
	Final bool
	// Last: nobody delivers it again after this. It is what Final is, and the
	// delivery with which a queue gives up.
	Last bool
	// Request is valid if Err is nil; else it holds the correlation id alone,
	// if that is good.
	Request Request
	// Err is what is wrong with the request: an InvalidEvent, or Misconfigured
	// for what a queue must not lose although no request is in it.
	Err *kind.Error
	// Own: a result event of ours has come in again. It is to be acknowledged
	// and logged, its outcome is the zero one, and it is never published: that
	// would go round for ever. Err is set as well.
	Own bool
	// Carried is what the trigger carried the request in.
	Carried Carried
}

// Queue is the place of a message of SQS.
type Queue struct {
	ARN           string
	ReceiptHandle string
	// Receives is the receive count, zero where there is none.
	Receives int
}

// Carried is the text that a request came in: a part of the payload where it can
// be, for a batch may have thousands.
type Carried struct {
	Text   []byte
	Quoted bool // Text is a JSON string
}

// Bytes returns the text itself.
func (c Carried) Bytes() []byte {
	if c.Quoted {
		return jsonscan.Unquote(c.Text)
	}
	return c.Text
}

// Body returns what the trigger carried the request in, as it came: the body of
// a queue's message, an SNS message, an event of EventBridge whole, a broker's
// value or data out of its base64. As the body of a message in a queue that the
// function reads it is the same request again, but for a correlation id that was
// beside it. It is nil for a caller that learns the outcome, see Final.
func (d *Delivery) Body() []byte {
	if d.Final {
		return nil
	}
	return d.Carried.Bytes()
}

// Request is one request, validated, with the environment's defaults filled in.
// Its JSON is a request that can be sent again. The URN is as it came, to be
// compared and sent so; whoever shows it takes it from Shown.
type Request struct {
	// ProjectID and Region are the source's.
	ProjectID string `json:"project_id"`
	Region    string `json:"region"`
	// CorrelationID is the body's own, empty without one.
	CorrelationID string `json:"correlation_id,omitempty"`
	// RequestedAt: replication records to this destination made since then are
	// this request's own effect. Zero: not said.
	RequestedAt time.Time     `json:"requested_at,omitzero"`
	Replicate   cbr.Replicate `json:"replicate"`

	// Action is the key of the action that is asked for.
	Action string `json:"-"`
}

// Scope returns where the vault is.
func (r *Request) Scope() huawei.Scope {
	return huawei.Scope{ProjectID: r.ProjectID, Region: r.Region}
}

// Shown returns what may be shown of the request: the URN is free text, in which
// there may be a credential.
func (r *Request) Shown(hidden *redact.Redactor) *Request {
	urn := r.Replicate.CrossAccountURN
	if urn == nil || !hidden.Contains(*urn) {
		return r
	}
	shown, masked := *r, hidden.Text(*urn)
	shown.Replicate.CrossAccountURN = &masked
	return &shown
}

// Route returns what results of the request are filtered and grouped by.
func (r *Request) Route() result.Route {
	return result.Route{VaultID: r.Replicate.VaultID, SourceRegion: r.Region, DestinationRegion: r.Replicate.DestinationRegion}
}

// Outcome is how a delivery ended.
type Outcome struct {
	// Success is the status of the result where Err is nil: the action's own.
	Success kind.Status
	// Err says why it is not a success.
	Err *kind.Error
	// PublishErr says why no sink took the result, nil if one did or if there
	// was none.
	PublishErr *kind.Error
	// Wait is how long the delivery stays out of sight of its queue if it is handed
	// back; zero: as long as its kind says.
	Wait time.Duration
	// Hidden: there may be effects that nobody can see yet.
	Hidden bool
	// Answer is CBR's, as far as there was one.
	Answer cbr.Answer
	// Data is the result's. An action fills in what it alone knows.
	Data result.Data
	// Counts are metrics beside those that follow from status and kind.
	Counts []metrics.Value
}

// Status returns what is published of the outcome.
func (o Outcome) Status() kind.Status {
	if o.Err == nil {
		return o.Success
	}
	return o.Err.Kind.Policy().Status
}

// HandedBack reports whether the delivery is handed back to its source.
func (o Outcome) HandedBack() bool {
	return o.PublishErr != nil || o.Err.Of().Policy().Redeliver
}
