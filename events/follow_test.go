package events

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"cbr-replicator/internal/delivery"
	"cbr-replicator/internal/kind"
	"cbr-replicator/internal/redact"
)

const followQueue = "arn:aws:sqs:eu-central-1:123456789012:follow"

// acceptedSample returns an accepted event of ours with a change.
func acceptedSample(t testing.TB, change func(event, data map[string]any)) map[string]any {
	t.Helper()
	data := map[string]any{
		"status": "accepted", "since": "2026-11-23T02:00:00.5Z", "accepted_at": "2026-11-23T02:00:01.25Z", "attempts": 1, "duration_ms": 750,
		"request":     map[string]any{"project_id": project, "region": region, "correlation_id": "nightly", "requested_at": "2026-11-23T01:00:00Z", "replicate": requestFor(vaultA).Replicate},
		"replication": map[string]any{"vault_id": vaultA, "backups": []any{map[string]any{"backup_id": "b", "replication_record_id": "r"}}},
	}
	event := map[string]any{
		"specversion": "1.0", "id": "the-event", "source": "https://cbr.example.com", "type": acceptedType, "time": "2026-11-23T02:00:02Z",
		"correlationid": "nightly", "causationid": "m-1", "data": data,
	}
	if change != nil {
		change(event, data)
	}
	return event
}

// fromFollowQueue decodes a message of the follow queue.
func fromFollowQueue(t testing.TB, body string) delivery.Delivery {
	t.Helper()
	d := newDecoder()
	d.FollowQueueARN = followQueue
	payload := sampleWith(t, "sqs", func(e map[string]any) {
		record := e["Records"].([]any)[0].(map[string]any)
		record["body"], record["eventSourceARN"] = body, followQueue
		record["attributes"].(map[string]any)["ApproximateReceiveCount"] = "999"
		e["Records"] = []any{record}
	})
	return mustDecode(t, d, payload).Deliveries[0]
}

func followed(t testing.TB, event map[string]any) *delivery.Accepted {
	t.Helper()
	return &delivery.Accepted{
		ID: "the-event", Since: time.Date(2026, 11, 23, 2, 0, 0, 500_000_000, time.UTC), At: time.Date(2026, 11, 23, 2, 0, 1, 250_000_000, time.UTC),
		Replication: encode(t, event["data"].(map[string]any)["replication"]),
	}
}

// TestFollowQueue: of the messages in the follow queue only accepted events are
// followed, raw or in envelopes, and none is replicated.
func TestFollowQueue(t *testing.T) {
	t.Parallel()
	event := acceptedSample(t, nil)
	raw := string(encode(t, event))
	want := requestFor(vaultA)
	want.Action, want.CorrelationID, want.Followed = "follow", "nightly", followed(t, event)
	for name, body := range map[string]string{
		"raw":            raw,
		"an SNS message": string(encode(t, map[string]any{"Type": "Notification", "MessageId": "n", "TopicArn": "arn:aws:sns:eu-central-1:123456789012:results", "Message": raw})),
		"a bus's event":  string(encode(t, map[string]any{"version": "0", "id": "e", "detail-type": acceptedType, "source": "cbr-replicator", "account": "1", "time": "2026-11-23T02:00:03Z", "region": "eu-central-1", "detail": event})),
		"encoded twice":  string(encode(t, raw)),
		"of tomorrow":    string(encode(t, acceptedSample(t, func(e, data map[string]any) { e["new"], data["new"] = 1, 2 }))),
		"members of other types": string(encode(t, acceptedSample(t, func(e, data map[string]any) {
			e["time"], data["duration_ms"], data["status"] = 5, "long", nil
			data["request"].(map[string]any)["requested_at"] = []any{}
		}))),
		"ids in capitals": string(encode(t, acceptedSample(t, func(_, data map[string]any) {
			r := requestFor(strings.ToUpper(vaultA)).Replicate
			data["request"].(map[string]any)["replicate"] = r
		}))),
	} {
		got := fromFollowQueue(t, body)
		if got.Err != nil || got.Own || !got.Tracked || got.Last || got.CausationID != "the-event" || got.CorrelationID != "nightly" {
			t.Errorf("%s: own %t, error %v", name, got.Own, got.Err)
		}
		if diff := cmp.Diff(want, got.Request); diff != "" {
			t.Errorf("%s: request (-want +got):\n%s", name, diff)
		}
	}

	for name, tt := range map[string]struct {
		body    string
		own     bool
		message string
	}{
		"another of ours":     {string(encode(t, acceptedSample(t, func(e, _ map[string]any) { e["type"] = kind.EventTypePrefix + "completed.v1" }))), true, "$: expected an accepted event"},
		"a request":           {string(encode(t, requestFor(vaultA))), false, "$: expected an accepted event of ours: this is the queue that copies are followed from"},
		"nonsense":            {"nonsense", false, "$: expected an accepted event of ours: this is the queue that copies are followed from"},
		"nothing":             {"", false, "$: expected an accepted event of ours: this is the queue that copies are followed from"},
		"another's event":     {string(encode(t, acceptedSample(t, func(e, _ map[string]any) { e["type"] = "com.example.accepted.v1" }))), false, "$: expected an accepted event of ours: this is the queue that copies are followed from"},
		"asked for":           {string(encode(t, map[string]any{"follow": event})), false, "$: expected an accepted event of ours: this is the queue that copies are followed from"},
		"no request":          {string(encode(t, acceptedSample(t, func(_, data map[string]any) { delete(data, "request") }))), false, "data.request.project_id: expected 32 hex digits; data.request.region: expected"},
		"no vault":            {string(encode(t, acceptedSample(t, func(_, data map[string]any) { data["request"].(map[string]any)["replicate"] = map[string]any{} }))), false, "data.request.replicate.vault_id: expected a UUID; data.request.replicate.destination_vault_id"},
		"no time":             {string(encode(t, acceptedSample(t, func(e, data map[string]any) { delete(e, "time"); data["accepted_at"] = "soon" }))), false, "data.accepted_at: expected a time such as 2026-11-23T02:00:00Z"},
		"no id":               {string(encode(t, acceptedSample(t, func(e, _ map[string]any) { delete(e, "id") }))), false, "id: expected the event's"},
		"a status of another": {string(encode(t, acceptedSample(t, func(_, data map[string]any) { data["status"] = "failed" }))), false, "data.status: expected accepted"},
		"data of another":     {string(encode(t, acceptedSample(t, func(e, _ map[string]any) { e["data"] = "text" }))), false, "$: expected an object"},
	} {
		got := fromFollowQueue(t, tt.body)
		if got.Own != tt.own || got.Err.Of() != kind.InvalidEvent || !strings.HasPrefix(got.Err.Message, tt.message) {
			t.Errorf("%s: own %t, error %v, want %s", name, got.Own, got.Err, tt.message)
		}
		if got.Request.Followed != nil || got.Last {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

// TestFollowOneBackup: the event of a single backup is followed by the backup's id.
func TestFollowOneBackup(t *testing.T) {
	t.Parallel()
	const backup = "6df2b54c-dd62-4059-a07c-1b8f24f2725d"
	of := func(id string) string {
		return string(encode(t, acceptedSample(t, func(_, data map[string]any) {
			r := requestFor("").Replicate
			r.BackupID, r.Name = id, "gap"
			data["request"].(map[string]any)["replicate"] = r
			data["replication"] = map[string]any{"backup_id": id, "replication_record_id": "r"}
		})))
	}
	got := fromFollowQueue(t, of(strings.ToUpper(backup)))
	if r := got.Request; got.Err != nil || r.Replicate.BackupID != backup || r.Replicate.VaultID != "" || r.Followed == nil || r.Route().BackupID != backup {
		t.Errorf("%+v, error %v", got.Request, got.Err)
	}
	if got := fromFollowQueue(t, of("6df2b54c")); got.Err.Of() != kind.InvalidEvent || !strings.Contains(got.Err.Message, "data.request.replicate.backup_id: expected a UUID") {
		t.Errorf("error %v", got.Err)
	}
}

// TestFollowAnOlderEvent: an event of an older version has no times, and is followed.
func TestFollowAnOlderEvent(t *testing.T) {
	t.Parallel()
	older := func(requested bool) delivery.Delivery {
		return fromFollowQueue(t, string(encode(t, acceptedSample(t, func(_, data map[string]any) {
			delete(data, "since")
			delete(data, "accepted_at")
			if !requested {
				delete(data["request"].(map[string]any), "requested_at")
			}
		}))))
	}
	at := time.Date(2026, 11, 23, 2, 0, 2, 0, time.UTC)
	for requested, since := range map[bool]time.Time{true: time.Date(2026, 11, 23, 1, 0, 0, 0, time.UTC), false: at.Add(-750 * time.Millisecond)} {
		if f := older(requested).Request.Followed; f == nil || !f.At.Equal(at) || !f.Since.Equal(since) {
			t.Errorf("requested_at %t: %+v", requested, f)
		}
	}
}

// TestAskedToFollow: only a direct call can ask to follow, with an event or its data.
func TestAskedToFollow(t *testing.T) {
	t.Parallel()
	event := acceptedSample(t, nil)
	d := newDecoder()
	for name, tt := range map[string]struct{ follow, causation, id string }{
		"the event": {string(encode(t, event)), "the-event", "the-event"},
		"its data":  {string(encode(t, event["data"])), invocation.RequestID + "/0", ""},
	} {
		for _, payload := range []string{`{"follow":` + tt.follow + `}`, `[{"follow":` + tt.follow + `}]`} {
			got := mustDecode(t, d, []byte(payload)).Deliveries[0]
			if got.Err != nil || got.Own || got.Tracked || !got.Final || got.CausationID != tt.causation || got.Request.Action != "follow" || got.Request.Followed.ID != tt.id {
				t.Errorf("%s: own %t, error %v", name, got.Own, got.Err)
			}
		}
	}
	for payload, want := range map[string]string{
		`{"follow":null}`:                 "follow.status: expected accepted",
		`{"follow":{}}`:                   "follow.status: expected accepted",
		`{"follow":"text"}`:               "$: expected an object",
		`{"follow":{"status":"copying"}}`: "follow.status: expected accepted",
		`{"follow":` + string(encode(t, acceptedSample(t, func(e, data map[string]any) { delete(data, "request") }))) + `}`: "follow.data.request.project_id: expected",
		`{"check":{},"follow":` + string(encode(t, event)) + `}`:                                                            "unknown field follow",
		`{"replicate":{},"follow":` + string(encode(t, event)) + `}`:                                                        "unknown field follow",
	} {
		got := mustDecode(t, d, []byte(payload)).Deliveries[0]
		if got.Err.Of() != kind.InvalidEvent || !strings.Contains(got.Err.Message, want) {
			t.Errorf("%s: %v, want %s", payload, got.Err, want)
		}
	}
	queued := sampleWith(t, "sqs", func(e map[string]any) {
		record := e["Records"].([]any)[0].(map[string]any)
		record["body"] = `{"follow":` + string(encode(t, event)) + `}`
	})
	if got := mustDecode(t, d, queued).Deliveries[0]; got.Err.Of() != kind.InvalidEvent || got.Own || got.Request.Followed != nil {
		t.Errorf("from a queue: own %t, error %v", got.Own, got.Err)
	}
}

// TestFollowHidesCredentials: what an event says is published, and it may come from
// anyone who can call the function.
func TestFollowHidesCredentials(t *testing.T) {
	t.Parallel()
	const credential = "MIIEvTestCredential0123456789"
	d := newDecoder()
	d.Redact.Hide(credential)
	event := acceptedSample(t, func(e, data map[string]any) {
		e["id"] = credential + strings.Repeat("x", 10_000)
		data["replication"] = map[string]any{"backups": []any{map[string]any{"backup_id": credential}}}
	})
	got := mustDecode(t, d, []byte(`{"follow":`+string(encode(t, event))+`}`)).Deliveries[0]
	if got.Err != nil {
		t.Fatal(got.Err)
	}
	followed := got.Request.Followed
	if followed.ID == "" || len(followed.ID) > redact.MaxText || strings.Contains(followed.ID+string(followed.Replication), credential) || !strings.Contains(string(followed.Replication), "backup_id") {
		t.Errorf("id of %d bytes, replication %s", len(followed.ID), followed.Replication)
	}
}

// FuzzFollow: any message of the follow queue is followed, ours or refused, and never
// a request.
func FuzzFollow(f *testing.F) {
	f.Add(string(encode(f, acceptedSample(f, nil))))
	f.Add(`{"specversion":"1.0","type":"` + acceptedType + `","data":{"status":"accepted","request":{"replicate":{"vault_id":1}}}}`)
	f.Add(string(encode(f, requestFor(vaultA))))
	f.Fuzz(func(t *testing.T, body string) {
		quoted, err := json.Marshal(body)
		if err != nil {
			t.Skip()
		}
		d := newDecoder()
		d.FollowQueueARN = followQueue
		batch, err := d.Decode([]byte(`{"Records":[{"messageId":"m","eventSource":"aws:sqs","eventSourceARN":"`+followQueue+`","body":`+string(quoted)+`}]}`), invocation)
		if err != nil {
			t.Fatal(err)
		}
		got := batch.Deliveries[0]
		if (got.Err == nil) != (got.Request.Followed != nil) || got.Last || got.Err == nil && (got.Request.Followed.At.IsZero() || got.Request.Followed.ID == "") {
			t.Errorf("%+v", got)
		}
	})
}
