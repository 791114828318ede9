// Package result makes result events, which are CloudEvents 1.0 in structured JSON,
// and the messages that carry them to any sink.
package result

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"time"

	"cbr-replicator/internal/cbr"
	"cbr-replicator/internal/kind"
)

// contentType is that of a structured CloudEvent (CloudEvents JSON format, 3).
const contentType = "application/cloudevents+json"

// noVault is the group of results without a source: of plans and invalid requests.
const noVault = "invalid"

// Event is one result. Its JSON is the message's body.
type Event struct {
	SpecVersion     string `json:"specversion"`
	ID              string `json:"id"`
	Source          string `json:"source"`
	Type            string `json:"type"`
	Subject         string `json:"subject,omitempty"`
	Time            string `json:"time"`
	DataContentType string `json:"datacontenttype"`
	CorrelationID   string `json:"correlationid"`
	CausationID     string `json:"causationid"`
	Data            Data   `json:"data"`

	at time.Time
}

// Data is the content of the event. A direct call gets it as its answer.
type Data struct {
	Status kind.Status `json:"status"`
	// Stage is [StageCopy] if the result is about copies that were followed.
	Stage string `json:"stage,omitempty"`
	// Request is the validated request with all defaults filled in, so that it can be sent
	// to the function as it is. Nil if the request is not valid.
	Request any `json:"request,omitempty"`
	// Replication is CBR's response object, verbatim.
	Replication json.RawMessage `json:"replication,omitempty"`
	// Reconciled: Replication is made of CBR's replication records, since the response was
	// lost or went to an earlier delivery.
	Reconciled bool `json:"reconciled,omitempty"`
	// Unverified: a lookup was necessary, but not possible. So a redelivery may have
	// duplicated a copy, or "unchanged" could not be checked.
	Unverified bool `json:"unverified,omitempty"`
	// Coverage is nil if it was not looked up.
	Coverage *Coverage `json:"coverage,omitempty"`
	// Uncovered are available backups that have no replica there, newest first, the
	// first 100.
	Uncovered []string `json:"uncovered,omitempty"`
	Error     *Error   `json:"error,omitempty"`
	// Since is from when on replication records are an accepted request's effect,
	// AcceptedAt when that was known. Both are by our clock: the copies are
	// followed from then on.
	Since      time.Time `json:"since,omitzero"`
	AcceptedAt time.Time `json:"accepted_at,omitzero"`
	// AcceptedID is the id of the accepted event whose copies were followed.
	AcceptedID string `json:"accepted_id,omitempty"`
	// Copies counts the followed copies. Backups has each of them, and
	// BackupsTotal how many there were in a list that was cut.
	Copies       *Copies `json:"copies,omitempty"`
	Backups      []Copy  `json:"backups,omitempty"`
	BackupsTotal int     `json:"backups_total,omitempty"`
	// Plan is what a plan has selected.
	Plan *Plan `json:"plan,omitempty"`
	// Replica is how old the replicas of a vault are.
	Replica *Replica `json:"replica,omitempty"`
	// DurationS is how long the copies took, in seconds, to the look that saw them
	// ended.
	DurationS int64 `json:"duration_s,omitempty"`
	// Attempts counts the POSTs to CBR in this invocation.
	Attempts int `json:"attempts,omitempty"`
	// Deliveries is the receive count, zero if the trigger has none.
	Deliveries int   `json:"deliveries,omitempty"`
	DurationMS int64 `json:"duration_ms"`
	// RequestID is CBR's X-Request-Id, on success too.
	RequestID string `json:"request_id,omitempty"`
}

// shortText is the length of a text that is cut, in bytes.
const shortText = 128

func short(text string) string {
	if len(text) <= shortText {
		return text
	}
	return strings.ToValidUTF8(text[:shortText], "") + "..."
}

// Within returns the data's JSON, at most limit bytes of it, as the answer to a direct
// call. A list of backups that is too long is cut, see [cbr.Fit]. If that is not enough,
// the request and the replication are left out and texts are cut, so that any limit over
// 4 KiB can be kept.
func (d Data) Within(limit int) ([]byte, error) {
	text, err := d.fit(limit, func(d Data) ([]byte, error) { return json.Marshal(d) })
	if !errors.Is(err, cbr.ErrTooLong) {
		return text, err
	}
	d = d.cut(0, 1)
	d.Request, d.Replication, d.RequestID = nil, nil, short(d.RequestID)
	if e := d.Error; e != nil {
		d.Error = &Error{Kind: e.Kind, Code: short(e.Code), Message: short(e.Message), HTTPStatus: e.HTTPStatus, RequestID: short(e.RequestID), Retryable: e.Retryable}
	}
	if text, err = json.Marshal(d); err == nil && len(text) > limit {
		err = cbr.ErrTooLong
	}
	return text, err
}

// Coverage counts a vault's available backups, and those of them that have a
// replica at the destination or will have.
type Coverage struct {
	Backups    int `json:"backups"`
	Replicated int `json:"replicated"`
}

// Error is why a result is not "accepted".
type Error struct {
	Kind       kind.Kind `json:"kind"`
	Code       string    `json:"code,omitempty"`
	Message    string    `json:"message"`
	HTTPStatus int       `json:"http_status,omitempty"`
	RequestID  string    `json:"request_id,omitempty"`
	// Retryable: the delivery was handed back. The same request may succeed later.
	Retryable bool `json:"retryable"`
}

// ErrorOf returns what a result says of err, nil of none.
func ErrorOf(err *kind.Error) *Error {
	if err == nil {
		return nil
	}
	return &Error{
		Kind: err.Kind, Code: err.Code, Message: err.Message, HTTPStatus: err.HTTPStatus, RequestID: err.RequestID,
		Retryable: err.Kind.Policy().Redeliver,
	}
}

// Route is what a result is filtered and grouped by. It is empty if the request is not
// valid.
type Route struct {
	// Replica: it is about how old replicas are, not about a replication.
	Replica bool
	// One of these is the source's, neither is a plan's.
	VaultID, BackupID string
	SourceRegion      string
	DestinationRegion string
}

// ID returns the id of the result with a status of a delivery: the same
// delivery handled twice gives the same id, so that consumers can drop duplicates.
// Two deliveries never share an id. source is the trigger's (an ARN, an API id);
// causation identifies the delivery within it.
func ID(source, causation string, status kind.Status) string {
	all := make([]byte, 0, 256) // enough for any but the longest
	for _, part := range [...]string{source, causation, string(status)} {
		all = binary.BigEndian.AppendUint64(all, uint64(len(part)))
		all = append(all, part...)
	}
	sum := sha256.Sum256(all)
	return hex.EncodeToString(sum[:16])
}

// New returns an event of what the caller knows about its delivery.
func New(id, source, correlation, causation string, at time.Time, route Route, data Data) *Event {
	e := &Event{
		SpecVersion:     "1.0",
		ID:              id,
		Source:          source,
		Type:            kind.EventType(route.Replica, data.Status),
		Time:            Stamp(at).Format(time.RFC3339Nano),
		DataContentType: "application/json",
		CorrelationID:   correlation,
		CausationID:     causation,
		Data:            data,
		at:              at,
	}
	switch {
	case route.VaultID != "":
		e.Subject = "vaults/" + route.VaultID
	case route.BackupID != "":
		e.Subject = "backups/" + route.BackupID
	}
	return e
}

// Stamp returns a time as results have it: in UTC, to the millisecond before it.
func Stamp(t time.Time) time.Time { return t.UTC().Truncate(time.Millisecond) }

// LogValue returns the event's JSON, in Lambda's text format too: if no sink takes
// an event, it is only in the log.
func (e *Event) LogValue() slog.Value {
	message, err := e.text()
	if err != nil {
		return slog.StringValue(err.Error())
	}
	return slog.AnyValue(json.RawMessage(message))
}

// Message is an event to be sent, not yet in the form of a sink.
type Message struct {
	// ID is the event's. A result that is published twice has the same id, so that
	// the duplicate can be dropped.
	ID string
	// Type is the event's, Time when it was made.
	Type string
	Time time.Time
	// Attributes are what filters match on. Each has a value.
	Attributes []Attribute
	// Group: a sink that keeps an order keeps it within a group.
	Group string
	// Body is the event's JSON.
	Body string
}

// Attribute is a message attribute: a name and a text.
type Attribute struct{ Name, Value string }

// Message returns the event's message without its body. [Event.Encode] makes that,
// with the limit that the rest of the message leaves.
func (e *Event) Message(route Route) Message {
	return Message{
		ID:         e.ID,
		Type:       e.Type,
		Time:       e.at,
		Attributes: e.attributes(route),
		Group:      cmp.Or(route.VaultID, route.BackupID, noVault),
	}
}

// attributes returns what filter policies match on: SNS takes at most ten, and
// none without a value.
func (e *Event) attributes(route Route) []Attribute {
	all := []Attribute{
		{"type", e.Type},
		{"status", string(e.Data.Status)},
		{"vault_id", route.VaultID},
		{"backup_id", route.BackupID},
		{"source_region", route.SourceRegion},
		{"destination_region", route.DestinationRegion},
		{"content-type", contentType},
		{"stage", e.Data.Stage},
	}
	if err := e.Data.Error; err != nil {
		all = append(all, Attribute{"kind", string(err.Kind)})
		if e.Data.Stage == "" {
			all = append(all, Attribute{"retryable", strconv.FormatBool(err.Retryable)})
		}
	}
	return slices.DeleteFunc(all, func(a Attribute) bool { return a.Value == "" })
}

// Encode returns the event's JSON, at most limit bytes of it: a list of backups
// that is too long is cut, see [cbr.Fit].
func (e *Event) Encode(limit int) (string, error) {
	message, err := e.text()
	if err != nil || len(message) <= limit {
		return message, err
	}
	short := *e
	cut, err := e.Data.fit(limit, func(d Data) ([]byte, error) {
		short.Data = d
		text, err := short.text()
		return []byte(text), err
	})
	if err != nil {
		return "", fmt.Errorf("the result event does not fit %d bytes: %w", limit, err)
	}
	return string(cut), nil
}

// text returns the event's JSON, whatever its length.
func (e *Event) text() (string, error) {
	var b strings.Builder
	if err := json.NewEncoder(&b).Encode(e); err != nil {
		return "", fmt.Errorf("encode the result event: %w", err)
	}
	return strings.TrimSuffix(b.String(), "\n"), nil
}
