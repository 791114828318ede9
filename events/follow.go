package events

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"cbr-replicator/internal/cbr"
	"cbr-replicator/internal/delivery"
	"cbr-replicator/internal/huawei"
	"cbr-replicator/internal/kind"
)

// followKey is the member of a direct call that asks for a look at copies.
const followKey = "follow"

// acceptedType is the type of the events that are followed.
const acceptedType = kind.EventTypePrefix + string(kind.Accepted) + ".v1"

// acceptedEvent is an accepted event of ours. It is read tolerantly: another
// version may have written it, and some of it may have been added on its way.
type acceptedEvent struct {
	ID            string          `json:"id"`
	Type          string          `json:"type"`
	Time          string          `json:"time"`
	CorrelationID string          `json:"correlationid"`
	Data          json.RawMessage `json:"data"`
}

// acceptedData is its data.
type acceptedData struct {
	Status  kind.Status `json:"status"`
	Request struct {
		ProjectID     string        `json:"project_id"`
		Region        string        `json:"region"`
		CorrelationID string        `json:"correlation_id"`
		RequestedAt   string        `json:"requested_at"`
		Replicate     cbr.Replicate `json:"replicate"`
	} `json:"request"`
	Since       string          `json:"since"`
	AcceptedAt  string          `json:"accepted_at"`
	DurationMS  int64           `json:"duration_ms"`
	Replication json.RawMessage `json:"replication"`
}

// tracked completes a delivery of the follow queue. Its receive count never makes it
// the last one: it ends when its copies have ended.
func (d *Decoder) tracked(del delivery.Delivery, correlation string) delivery.Delivery {
	body := del.Body()
	del.Tracked, del.Last = true, false
	in, err := unwrap(body, correlation)
	switch {
	case in.event == nil && err != nil:
		err.Message = d.Redact.Text(err.Message)
		del.Err = err
	case in.event == nil:
		del.Err = &kind.Error{Kind: kind.InvalidEvent, Message: "$: expected an accepted event of ours: this is the queue that copies are followed from"}
	default:
		event, text := d.readAccepted(in.event)
		if text == nil && event.Type != acceptedType {
			del.Own, del.Err = true, &kind.Error{Kind: kind.InvalidEvent, Message: "$: expected an accepted event"}
			break
		}
		del = d.follow(del, event, text, "")
		correlation = event.CorrelationID
	}
	return d.correlate(del, correlation)
}

// askedFor completes a direct delivery. It is a request, or it asks about the copies of
// an accepted event, given as the event or as its data.
func (d *Decoder) askedFor(body []byte, del delivery.Delivery) delivery.Delivery {
	if f := detect(body); !f.keys[followKey] || f.keys[replicateKey] || f.keys[checkKey] {
		return d.deliver(body, del, "")
	}
	var asked struct {
		Follow        json.RawMessage `json:"follow"`
		CorrelationID string          `json:"correlation_id"`
	}
	if err := json.Unmarshal(body, &asked); err != nil {
		return d.correlate(d.notFollowed(del, err, ""), "")
	}
	event, err := d.readAccepted(asked.Follow)
	if err == nil && event.Data == nil {
		event = acceptedEvent{Data: asked.Follow}
	}
	del = d.follow(del, event, err, followKey+".")
	return d.correlate(del, cmp.Or(event.CorrelationID, asked.CorrelationID))
}

func (d *Decoder) readAccepted(text []byte) (event acceptedEvent, err error) {
	err = readLoosely(text, &event)
	return event, err
}

// follow completes a delivery with the request and the copies of an event. within is
// the event's path in the payload.
func (d *Decoder) follow(del delivery.Delivery, event acceptedEvent, err error, within string) delivery.Delivery {
	var data acceptedData
	if err == nil && len(event.Data) > 0 {
		err = readLoosely(event.Data, &data)
	}
	if err != nil {
		return d.notFollowed(del, err, within)
	}
	// A direct caller can write anything there, and the result has both.
	event.ID, data.Replication = d.Redact.ID(event.ID), d.Redact.JSON(data.Replication)
	if event.ID != "" {
		del.CausationID = event.ID
		within += "data."
	} else if event.Type != "" {
		return d.notFollowed(del, errors.New("id: expected the event's"), within)
	}
	if data.Status != kind.Accepted && (data.Status != "" || event.Type != acceptedType) {
		return d.notFollowed(del, errors.New("status: expected accepted"), within)
	}
	r := delivery.Request{
		ProjectID:     strings.ToLower(data.Request.ProjectID),
		Region:        data.Request.Region,
		CorrelationID: d.Redact.ID(data.Request.CorrelationID),
		Replicate:     data.Request.Replicate,
		Action:        followKey,
	}
	to := &r.Replicate
	for _, id := range []*string{&to.VaultID, &to.BackupID, &to.DestinationVaultID, &to.DestinationProjectID} {
		*id = strings.ToLower(*id)
	}
	source := "replicate.vault_id"
	if to.BackupID != "" {
		source = "replicate.backup_id"
	}
	var problems []error
	for _, f := range []struct {
		name, value, want string
		is                func(string) bool
	}{
		{"project_id", r.ProjectID, huawei.ProjectForm, huawei.IsProjectID},
		{"region", r.Region, huawei.RegionForm, huawei.IsRegion},
		{source, to.SourceID(), cbr.VaultForm, cbr.IsVaultID},
		{"replicate.destination_vault_id", to.DestinationVaultID, cbr.VaultForm, cbr.IsVaultID},
		{"replicate.destination_project_id", to.DestinationProjectID, huawei.ProjectForm, huawei.IsProjectID},
		{"replicate.destination_region", to.DestinationRegion, huawei.RegionForm, huawei.IsRegion},
	} {
		if !f.is(f.value) {
			problems = append(problems, fmt.Errorf("request.%s: expected %s", f.name, f.want))
		}
	}
	at := firstTime(data.AcceptedAt, event.Time)
	if at.IsZero() {
		problems = append(problems, errors.New("accepted_at: expected a time such as 2026-11-23T02:00:00Z"))
	}
	if len(problems) > 0 {
		return d.notFollowed(del, errors.Join(problems...), within)
	}
	since := firstTime(data.Since, data.Request.RequestedAt)
	if since.IsZero() { // an event of an older version
		since = at.Add(-time.Duration(data.DurationMS) * time.Millisecond)
	}
	r.Followed = &delivery.Accepted{ID: event.ID, Since: since, At: at, Replication: data.Replication}
	del.Request, del.Err = r, nil
	return del
}

// notFollowed completes a delivery whose event cannot be followed.
func (d *Decoder) notFollowed(del delivery.Delivery, err error, within string) delivery.Delivery {
	texts := strings.Split(plain(err), "\n")
	for i := range texts {
		texts[i] = within + texts[i]
	}
	del.Err = &kind.Error{Kind: kind.InvalidEvent, Message: d.Redact.Text(strings.Join(texts, "; ")), Cause: err}
	return del
}

// readLoosely decodes an object into v. A member of another type is left out: what is
// missed of it is said by its name.
func readLoosely(text []byte, v any) error {
	err := json.Unmarshal(text, v)
	if e, ok := errors.AsType[*json.UnmarshalTypeError](err); ok && e.Field != "" {
		return nil
	}
	return err
}

// firstTime returns the first of the texts that is a time, zero if none is.
func firstTime(texts ...string) time.Time {
	for _, s := range texts {
		if t, err := time.Parse(time.RFC3339, s); err == nil && isTime(s) {
			return t
		}
	}
	return time.Time{}
}
