// Package delivery has the types that all other packages share: a request as a
// trigger delivered it, its outcome, and its invocation. An action works with
// these types. It knows nothing of triggers, runtimes and sinks.
package delivery

import (
	"context"
	"encoding/json"
	"strconv"
	"strings"
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
	// Open returns the Work of one invocation, which its deliveries share.
	Open(Invocation) Work
}

// Work is an action's part of one invocation. It is safe for concurrent use.
type Work interface {
	// Keys returns the delivery's keys, such as its vault. Two deliveries that
	// share one do not run at once.
	Keys(*Delivery) []keyed.Key
	// Do does the delivery's work and returns when ctx ends at the latest. The
	// request is valid and allowed. The caller recovers from a panic.
	Do(ctx context.Context, d *Delivery) Outcome
}

// Invocation is what the runtime knows about one call of the function.
type Invocation struct {
	RequestID string
	// FunctionARN is the function's ARN, or its name if the ARN is not known.
	FunctionARN string
	// Began is when the call arrived.
	Began time.Time
	// Async: nobody waits for the answer, and after an error the runtime delivers
	// the payload again. It may have delivered it before, and does not say so.
	Async bool
}

// Failure is the error of an invocation, as its caller sees it. The runtime
// translates it. Its texts are redacted.
type Failure struct {
	// Type is "CBR." and the kind: Step Functions matches it.
	Type    string
	Message string
}

// Error returns the message.
func (f Failure) Error() string { return f.Message }

// Delivery is one request as a trigger delivered it.
type Delivery struct {
	// Source and CausationID identify the delivery, such as a queue's ARN and a
	// message's id. A redelivery has the same.
	Source      string
	CausationID string
	// CorrelationID is the sender's own name for the request, else CausationID.
	CorrelationID string
	// Group is the FIFO group, whose deliveries are handled in order, else empty.
	Group string
	// Queue is where it came from, zero if that is no queue.
	Queue Queue
	// Redelivered: the request may have been sent before, by an earlier delivery.
	Redelivered bool
	// Since is when the trigger first had the delivery. Nothing was sent for it
	// before. Zero if the trigger does not say.
	Since time.Time
	// Claimed: Since comes from the producer, who may write any time there. An
	// old time does not prove a redelivery.
	Claimed bool
	// Undated: nobody says since when. Since is the earliest that it can be, and
	// Claimed is set.
	Undated bool
	// Final: the trigger never redelivers, and its caller gets the outcome.
	Final bool
	// Answered: the reply has the outcome, though the trigger redelivers.
	Answered bool
	// Last: nobody redelivers it, because it is Final, or because the queue gives the
	// message up after this delivery.
	Last bool
	// Request is valid if Err is nil. Otherwise it has at most a correlation id.
	Request Request
	// Err says what is wrong with the request. It is an InvalidEvent, or
	// Misconfigured for a message without a request that a queue must not lose.
	Err *kind.Error
	// Own: this is a result event of our own. It is acknowledged and logged with
	// the zero outcome. It is never published, since that could repeat for ever.
	// Err is set as well.
	Own bool
	// Tracked: it is an accepted event from the follow queue. Each deployment that
	// shares a result topic gets it.
	Tracked bool
	// Carried is the text that held the request.
	Carried Carried
}

// Queue says where a message of SQS came from.
type Queue struct {
	ARN           string
	ReceiptHandle string
	// Receives is the receive count, zero where there is none.
	Receives int
}

// Carried is the text that a request came in. Where possible it is a part of the
// payload and no copy, since a batch may have thousands.
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

// Body returns the text that held the request, unchanged: the body of a queue's
// message, an SNS message, a whole EventBridge event, or a broker's value or data
// without its base64. Sent to a queue that the function reads, it is the same
// request, but without a correlation id that was beside it. It is nil if the
// delivery is Final.
func (d *Delivery) Body() []byte {
	if d.Final {
		return nil
	}
	return d.Carried.Bytes()
}

// Request is one validated request, with the environment's defaults filled in.
// Its JSON is a request that can be sent to the function. The URN is unchanged,
// since it is compared and sent. To show a request, use Shown.
type Request struct {
	// ProjectID and Region are the source's.
	ProjectID string `json:"project_id"`
	Region    string `json:"region"`
	// CorrelationID is the body's own, empty without one.
	CorrelationID string `json:"correlation_id,omitempty"`
	// RequestedAt: replication records to this destination since then are this
	// request's effect. Zero if the request does not say.
	RequestedAt time.Time `json:"requested_at,omitzero"`
	// Select makes the request a plan: each vault that is selected gets a request of
	// its own, whose action is Plans. DryRun: no request is sent.
	Select    *Select       `json:"select,omitempty"`
	DryRun    bool          `json:"dry_run,omitempty"`
	Replicate cbr.Replicate `json:"replicate"`
	Plans     string        `json:"-"`
	// MaxAge is how old a replica may be, of a check.
	MaxAge time.Duration `json:"-"`

	// Action is the key of the action that the request asks for.
	Action string `json:"-"`
	// Followed is what a request to follow is about. Such a request has no time of
	// its own.
	Followed *Accepted `json:"-"`
}

// Accepted is what an accepted event says of the copies that have started. The
// request that it was about is the delivery's.
type Accepted struct {
	// ID is the event's, empty if only its data was given.
	ID string
	// Since is from when on replication records are the request's effect, At when
	// it was known to be accepted, by our clock.
	Since, At time.Time
	// Replication is CBR's response object, as the event has it.
	Replication json.RawMessage
}

// MarshalJSON encodes the request as a body.
func (r Request) MarshalJSON() ([]byte, error) { return json.Marshal(r.Form()) }

// Form returns a value whose JSON is the request's, and shares its memory. Inside of
// another value it is encoded at once. What MarshalJSON returns is checked and copied.
func (r *Request) Form() any {
	f := &form{ProjectID: r.ProjectID, Region: r.Region, CorrelationID: r.CorrelationID, Select: r.Select, DryRun: r.DryRun}
	if !r.RequestedAt.IsZero() {
		f.RequestedAt = &r.RequestedAt
	}
	if to := &r.Replicate; r.OfReplicas() {
		f.Check = &check{to.VaultID, to.DestinationVaultID, to.DestinationProjectID, to.DestinationRegion, ageText(r.MaxAge)}
	} else {
		f.Replicate = to
	}
	return f
}

type form struct {
	ProjectID     string         `json:"project_id"`
	Region        string         `json:"region"`
	CorrelationID string         `json:"correlation_id,omitempty"`
	RequestedAt   *time.Time     `json:"requested_at,omitempty"`
	Select        *Select        `json:"select,omitempty"`
	DryRun        bool           `json:"dry_run,omitempty"`
	Replicate     *cbr.Replicate `json:"replicate,omitempty"`
	Check         *check         `json:"check,omitempty"`
}

type check struct {
	VaultID              string `json:"vault_id,omitempty"`
	DestinationVaultID   string `json:"destination_vault_id,omitempty"`
	DestinationProjectID string `json:"destination_project_id"`
	DestinationRegion    string `json:"destination_region"`
	MaxAge               string `json:"max_age"`
}

// ageText writes an age of whole seconds as a request has it: in the largest unit
// that leaves no rest, so that it is never longer than it was there.
func ageText(age time.Duration) string {
	unit, name := time.Second, "s"
	for _, larger := range []struct {
		unit time.Duration
		name string
	}{{time.Minute, "m"}, {time.Hour, "h"}, {24 * time.Hour, "d"}} {
		if age%larger.unit == 0 {
			unit, name = larger.unit, larger.name
		}
	}
	return strconv.Itoa(int(age/unit)) + name
}

// MaxCorrelationID is how long a correlation id may be.
const MaxCorrelationID = 128

// IsCorrelationID reports whether a request may have s as its correlation id.
func IsCorrelationID(s string) bool {
	return s != "" && len(s) <= MaxCorrelationID && !strings.ContainsFunc(s, notInCorrelationID)
}

func notInCorrelationID(c rune) bool { return c < '!' || c > '~' }

// Scope returns where the vault is.
func (r *Request) Scope() huawei.Scope {
	return huawei.Scope{ProjectID: r.ProjectID, Region: r.Region}
}

// Asked returns what the operator's lists must allow. To follow a copy asks for
// nothing that is billed or trusted: only its places count.
func (r *Request) Asked() cbr.Replicate {
	asked := r.Replicate
	if r.Followed != nil {
		asked.CrossAccountURN, asked.EnableAcceleration = nil, nil
	}
	return asked
}

// OfReplicas reports whether the request asks about replicas, and not for any.
func (r *Request) OfReplicas() bool { return r.Action == checkKey || r.Plans == checkKey }

// checkKey is the action that is about replicas.
const checkKey = "check"

// Shown returns the request as it may be shown. The URN is free text, which may
// hold a credential: that is masked.
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
	return result.Route{
		Replica: r.OfReplicas(), VaultID: r.Replicate.VaultID, BackupID: r.Replicate.BackupID,
		SourceRegion: r.Region, DestinationRegion: r.Replicate.DestinationRegion,
	}
}

// Outcome is how a delivery ended.
type Outcome struct {
	// Success is the status of the result where Err is nil: the action's own.
	Success kind.Status
	// Err says why it is not a success.
	Err *kind.Error
	// PublishErr says why the sink did not take the result. It is nil if it did, or
	// if there was no result.
	PublishErr *kind.Error
	// Wait is the visibility timeout of a delivery that is handed back to a queue.
	// Zero: what its kind says.
	Wait time.Duration
	// Hidden: there may be effects that cannot be seen yet.
	Hidden bool
	// Worthless: it is acknowledged after the last delivery, although its kind is
	// handed back. Nobody needs it as a dead letter.
	Worthless bool
	// Silent: nothing is published of it.
	Silent bool
	// ResultID is the result's id, if the action has its own. Empty: it follows from
	// the delivery and the status.
	ResultID string
	// Answer is CBR's answer, zero if there was none.
	Answer cbr.Answer
	// Data is the result's. The action fills in what only it knows.
	Data result.Data
	// Counts are metrics besides those that follow from status and kind.
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
	return o.PublishErr != nil || o.Err.Of().Policy().Redeliver && !o.Worthless
}
