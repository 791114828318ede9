package redrive

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"cbr-replicator/events"
	"cbr-replicator/internal/cbr/cbrtest"
	"cbr-replicator/internal/delivery"
	"cbr-replicator/internal/redact"
)

const vault = cbrtest.SourceVault

// sent is when the messages of these tests were first sent.
var sent = time.Date(2026, 11, 23, 3, 0, 0, 123e6, time.FixedZone("", 3600))

const stamped = `"requested_at":"2026-11-23T02:00:00.123Z"`

func b64(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }

func TestStamp(t *testing.T) {
	t.Parallel()
	const (
		plain = `{ "replicate" : {"vault_id":"` + vault + `", "vault":"é<&>\u00e9"}}`
		done  = `{` + stamped + `, "replicate" : {"vault_id":"` + vault + `", "vault":"é<&>\u00e9"}}`
	)
	quoted := func(s string) string { return string(quote([]byte(s))) }
	tests := []struct{ name, body, want string }{
		{"a request", "\n " + plain + " ", "\n " + done + " "},
		{"all from the environment", ` {} `, ` {` + stamped + `} `},
		{"an SNS notification", `{"Type":"Notification","Message":` + quoted(plain) + `, "n":1.0}`, `{"Type":"Notification","Message":` + quoted(done) + `, "n":1.0}`},
		{"an EventBridge event", `{"detail-type":"x","detail": ` + plain + ` ,"a":[]}`, `{"detail-type":"x","detail": ` + done + ` ,"a":[]}`},
		{"an EventBridge event with a string", `{"detail":` + quoted(plain) + `,"detail-type":"x"}`, `{"detail":` + quoted(done) + `,"detail-type":"x"}`},
		{"a CloudEvent", `{"specversion":"1.0","data":` + plain + `}`, `{"specversion":"1.0","data":` + done + `}`},
		{"a CloudEvent in base64", `{"data_base64":"` + b64(plain) + `","specversion":"1.0"}`, `{"data_base64":"` + b64(done) + `","specversion":"1.0"}`},
		{
			"a destination record", `{"requestContext":{"condition":"x"},"requestPayload":` + plain + `,"responsePayload":{}}`,
			`{"requestContext":{"condition":"x"},"requestPayload":` + done + `,"responsePayload":{}}`,
		},
		{"JSON in a JSON string", "\n" + quoted(plain) + " ", "\n" + quoted(done) + " "},
		{"JSON in a JSON string in an envelope", nest(1, quoted(plain)), nest(1, quoted(done))},
		{"an envelope in a JSON string", quoted(nest(4, plain)), quoted(nest(4, done))},
		{
			"a CloudEvent in base64 with no data", `{"specversion":"1.0","data":null,"data_base64":"` + b64(plain) + `"}`,
			`{"specversion":"1.0","data":null,"data_base64":"` + b64(done) + `"}`,
		},
		{
			"a destination record of one of SNS's", destination(` { "Records" : [ {"EventSource":"aws:sns","Sns":{"Type":"Notification","Message":` + quoted(plain) + ` }} ] }`),
			destination(` { "Records" : [ {"EventSource":"aws:sns","Sns":{"Type":"Notification","Message":` + quoted(done) + ` }} ] }`),
		},
		{
			"a destination record of one of SQS's", destination(`{"Records":[{"messageId":"1","body":` + quoted(plain) + `,"eventSource":"aws:sqs"}]}`),
			destination(`{"Records":[{"messageId":"1","body":` + quoted(done) + `,"eventSource":"aws:sqs"}]}`),
		},
		{
			"a destination record of EventBridge's event", destination(`{"detail-type":"x","detail":` + plain + `}`),
			destination(`{"detail-type":"x","detail":` + done + `}`),
		},
		{
			"one record of SQS's, with the time that it was sent", `{"Records":[{"body":"{}","attributes":{"SentTimestamp":"` + fmt.Sprint(sent.Add(-time.Hour).UnixMilli()) + `"},"eventSource":"aws:sqs"}]}`,
			`{"Records":[{"body":` + quoted(`{"requested_at":"2026-11-23T01:00:00.123Z"}`) + `,"attributes":{"SentTimestamp":"` + fmt.Sprint(sent.Add(-time.Hour).UnixMilli()) + `"},"eventSource":"aws:sqs"}]}`,
		},
		{
			"one record of SNS's, with the time that it was sent", `{"Records":[{"EventSource":"aws:sns","Sns":{"Message":"{}","Timestamp":"2026-11-23T01:00:00Z"}}]}`,
			`{"Records":[{"EventSource":"aws:sns","Sns":{"Message":` + quoted(`{"requested_at":"2026-11-23T01:00:00Z"}`) + `,"Timestamp":"2026-11-23T01:00:00Z"}}]}`,
		},
		{
			"one record of a later time", `{"Records":[{"EventSource":"aws:sns","Sns":{"Message":"{}","Timestamp":"2027-01-01T00:00:00Z"}}]}`,
			`{"Records":[{"EventSource":"aws:sns","Sns":{"Message":` + quoted(`{`+stamped+`}`) + `,"Timestamp":"2027-01-01T00:00:00Z"}}]}`,
		},
		{"JSON in four JSON strings", quoted(quoted(quoted(quoted(plain)))), quoted(quoted(quoted(quoted(done))))},
		{
			"a destination record of one record, in a string", destination(quoted(`{"Records":[{"body":"{}","eventSource":"aws:sqs"}]}`)),
			destination(quoted(`{"Records":[{"body":` + quoted(`{`+stamped+`}`) + `,"eventSource":"aws:sqs"}]}`)),
		},
		{"four envelopes", nest(4, plain), nest(4, done)},
		{"a plan", `{"select":{"tags":[{"key":"dr"}]},"dry_run":false}`, `{` + stamped + `,"select":{"tags":[{"key":"dr"}]},"dry_run":false}`},
		{"a plan of checks", `{"select":{},"check":{}}`, `{` + stamped + `,"select":{},"check":{}}`},
		{"a check", `{"check":{"max_age":"30h"}}`, `{` + stamped + `,"check":{"max_age":"30h"}}`},
		{"one backup", `{"replicate":{"backup_id":"` + vault + `","name":"n"}}`, `{` + stamped + `,"replicate":{"backup_id":"` + vault + `","name":"n"}}`},
		{"a plan's own time stays", `{"select":{},"requested_at":"2026-01-01T00:00:00Z"}`, `{"select":{},"requested_at":"2026-01-01T00:00:00Z"}`},
		{"its own time stays", `{"replicate":{},"requested_at":"2026-01-01T00:00:00Z"}`, `{"replicate":{},"requested_at":"2026-01-01T00:00:00Z"}`},
		{"its own time stays in envelopes", `{"detail-type":"x","detail":"{\u0022requested_at\u0022:\u0022soon\u0022}"}`, `{"detail-type":"x","detail":"{\u0022requested_at\u0022:\u0022soon\u0022}"}`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got, _, err := stamp([]byte(tt.body), sent)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, string(got)); diff != "" {
				t.Errorf("body (-want +got):\n%s", diff)
			}
		})
	}
}

// destination puts a payload into a Lambda destination record.
func destination(payload string) string {
	return `{"requestContext":{"condition":"RetriesExhausted"},"requestPayload":` + payload + `,"responsePayload":null}`
}

// nest puts a text into n SNS notifications.
func nest(n int, text string) string {
	for range n {
		text = `{"Type":"Notification","Message":` + string(quote([]byte(text))) + `}`
	}
	return text
}

func TestStampShows(t *testing.T) {
	t.Parallel()
	for body, want := range map[string]string{
		`{"replicate":{"vault_id":"` + vault + `"}}`:                                        "vault " + vault + ", requested_at 2026-11-23T02:00:00.123Z",
		`{"requested_at":"2026-01-01T01:00:00+01:00"}`:                                      "vault -, requested_at 2026-01-01T01:00:00+01:00",
		`{"requested_at":"2026-01-01t01:00:00z"}`:                                           "vault -, requested_at 2026-01-01T01:00:00Z",
		`{"requested_at":"a secret","replicate":"a secret"}`:                                "vault -, requested_at -",
		`{"replicate":{"backup_id":"` + vault + `"}}`:                                       "backup " + vault + ", requested_at 2026-11-23T02:00:00.123Z",
		`{"replicate":{"backup_id":"a secret"}}`:                                            "backup -, requested_at 2026-11-23T02:00:00.123Z",
		`{"select":{"vault_ids":["a secret"]}}`:                                             "a plan, requested_at 2026-11-23T02:00:00.123Z",
		`{"select":{},"check":{}}`:                                                          "check of a plan, requested_at 2026-11-23T02:00:00.123Z",
		`{"check":{"vault_id":"` + vault + `"}}`:                                            "check of vault " + vault + ", requested_at 2026-11-23T02:00:00.123Z",
		`{"check":"a secret"}`:                                                              "check of vault -, requested_at 2026-11-23T02:00:00.123Z",
		`{"replicate":{"vault_id":"a secret"}}`:                                             "vault -, requested_at 2026-11-23T02:00:00.123Z",
		accepted(""):                                                                        "vault " + vault + ", accepted_at 2026-11-23T02:00:01Z",
		`{"specversion":"1.0","type":"` + acceptedType + `","time":"2026-11-23T02:00:00Z"}`: "vault -, accepted_at 2026-11-23T02:00:00Z",
		`{"specversion":"1.0","type":"` + acceptedType + `","time":"a secret","data":{"request":{"replicate":"a secret"}}}`: "vault -, accepted_at -",
	} {
		if _, got, err := stamp([]byte(body), sent); err != nil || got.about() != want {
			t.Errorf("%s: %s, %v, want %s", body, got.about(), err, want)
		}
	}
}

// accepted is an accepted result with more in it.
func accepted(more string) string {
	return ` { "specversion":"1.0", "type":"cbr.checkpoint.replication.accepted.v1", "id":"e-1"` + more + `,
		"data":{"status":"accepted","accepted_at":"2026-11-23T02:00:01Z","request":{"replicate":{"vault_id":"` + vault + `"}}}} `
}

// TestStampAccepted: what is followed has its time in it, and stays as it is.
func TestStampAccepted(t *testing.T) {
	t.Parallel()
	quoted := func(s string) string { return string(quote([]byte(s))) }
	for name, body := range map[string]string{
		"alone":                  accepted(""),
		"of a later version":     accepted(`,"new":1`),
		"in a notification":      nest(1, accepted("")),
		"in EventBridge's event": `{"detail-type":"cbr.checkpoint.replication.accepted.v1","detail":` + accepted("") + `}`,
		"in a string":            quoted(accepted("")),
	} {
		got, r, err := stamp([]byte(body), sent)
		if err != nil || string(got) != body || r.acceptedAt == "" {
			t.Errorf("%s: %s, %+v, %v", name, got, r, err)
		}
	}
}

func TestStampLeaves(t *testing.T) {
	t.Parallel()
	const request = `{"replicate":{}}`
	for name, body := range map[string]string{
		"nothing":                       ``,
		"no JSON":                       `replicate`,
		"cut short":                     `{"replicate":{}`,
		"more after it":                 request + `{}`,
		"an array":                      `[` + request + `]`,
		"a field of its own":            `{"replicate":{},"secret":1}`,
		"another case":                  `{"Replicate":{}}`,
		"a trigger's event of two":      `{"Records":[{"eventSource":"aws:sqs","body":"{}"},{"eventSource":"aws:sqs","body":"{}"}]}`,
		"a trigger's event in a string": `{"Records":"[{\"eventSource\":\"aws:sqs\",\"body\":\"{}\"}]"}`,
		"Records twice":                 `{"Records":[{"eventSource":"aws:sqs","body":"{}"}],"records":[]}`,
		"an HTTP request":               `{"requestContext":{},"body":"{}"}`,
		"five envelopes":                nest(5, request),
		"two messages":                  `{"Type":"Notification","Message":"{}","message":"{}"}`,
		"no detail":                     `{"detail-type":"x"}`,
		"no data":                       `{"specversion":"1.0","data":null}`,
		"no data at all":                `{"specversion":"1.0","data":null,"data_base64":null}`,
		"a string of no JSON":           `"replicate"`,
		"five strings in each other":    string(quote(quote(quote(quote(quote([]byte(request))))))),
		"only a quotation mark":         `"`,
		"spaces":                        " \n",
		"two records":                   destination(`{"Records":[{"eventSource":"aws:sqs","body":"{}"},{"eventSource":"aws:sqs","body":"{}"}]}`),
		"a record of another source":    destination(`{"Records":[{"eventSource":"aws:s3","body":"{}"}]}`),
		"a record that is none":         destination(`{"Records":[[]]}`),
		"Records that are none":         destination(`{"Records":{}}`),
		"a notification that is none":   destination(`{"Records":[{"EventSource":"aws:sns","Sns":"secret"}]}`),
		"a record with two bodies":      destination(`{"Records":[{"eventSource":"aws:sqs","body":"{}","Body":"{}"}]}`),
		"no base64":                     `{"specversion":"1.0","data_base64":"{}"}`,
		"a payload in Records":          `{"requestContext":{"condition":"x"},"requestPayload":{"Records":[]}}`,
		"a result of another type":      `{"specversion":"1.0","type":"cbr.checkpoint.replication.failed.v1","data":{"status":"failed","request":{}}}`,
		"data twice, which is the one?": `{"specversion":"1.0","data":{},"Data":{}}`,
	} {
		got, _, err := stamp([]byte(body), sent)
		if err == nil || string(got) != body {
			t.Errorf("%s: %s, %v", name, got, err)
		}
		if err != nil && strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v gives the body away", name, err)
		}
	}
}

// FuzzStamp compares the command with the function: a request that this command
// moves is the same request for the function, with requested_at.
func FuzzStamp(f *testing.F) {
	samples, err := filepath.Glob("../../events/*.json")
	if err != nil || len(samples) == 0 {
		f.Fatal("no samples", err)
	}
	for _, sample := range samples {
		text, err := os.ReadFile(sample)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(text))
		f.Add(nest(2, string(text)))
	}
	for _, body := range []string{
		`{"select":{},"dry_run":true}`, `{"select":{"vault_ids":["` + vault + `"]},"check":{}}`, `{"check":{}}`, `{"replicate":{"backup_id":"` + vault + `"}}`,
		`{}`, `{"requested_at":"2026-01-01T00:00:00Z","replicate":{}}`, `{"requested_at":null}`,
		`{"detail-type":"x","Detail":"{}"}`, `{"specversion":"1.0","data_base64":"e30="}`, `{"specversion":"1.0","DATA":{},"data_base64":"e30="}`,
		`{"requestContext":{"condition":"x"},"requestPayload":{}}`, `"{}"`, `{"specversion":"1.0","data":null,"data_base64":"e30="}`,
		destination(`{"Records":[{"EventSource":"aws:sns","Sns":{"Type":"Notification","Message":"{}"}}]}`),
		accepted(""), nest(1, accepted("")),
		destination(`{"Records":[{"eventSource":"aws:sqs","body":"{}"}]}`), "{\"Type\":\"Notification\",\"Meſſage\":\"{}\",\"Message\":\"{}\"}",
	} {
		f.Add(body)
	}
	f.Fuzz(func(t *testing.T, body string) {
		out, shown, err := stamp([]byte(body), sent)
		if err != nil {
			if string(out) != body {
				t.Fatalf("left, but not as it was: %s", out)
			}
			return
		}
		if !json.Valid(out) {
			t.Fatalf("no JSON: %s", out)
		}
		second, _, err := stamp(out, sent.Add(time.Hour))
		if err != nil || string(second) != string(out) {
			t.Fatalf("moved a second time it is %s, %v\nthe first time %s", second, err, out)
		}
		if shown.acceptedAt != "" {
			if string(out) != body || !read(t, body).Own {
				t.Fatalf("an accepted result is not moved as it is, or the function takes it for none: %s", out)
			}
			return
		}
		before, after := read(t, body), read(t, string(out))
		if before.Err != nil {
			return
		}
		if shown.check { // which has no time
			if !after.Request.RequestedAt.IsZero() {
				t.Fatalf("requested_at of a check is %v", after.Request.RequestedAt)
			}
			shown.requestedAt = after.Request.RequestedAt.Format(time.RFC3339Nano)
		} else if before.Request.RequestedAt.IsZero() {
			// A record may have an earlier time of its own.
			before.Request.RequestedAt = after.Request.RequestedAt
			if after.Request.RequestedAt.IsZero() || after.Request.RequestedAt.After(sent) {
				t.Fatalf("requested_at is %v", after.Request.RequestedAt)
			}
		} else if string(out) != body {
			t.Fatalf("its own time is lost: %s", out)
		}
		if diff := cmp.Diff(before, after, cmpopts.IgnoreFields(delivery.Delivery{}, "Carried")); diff != "" {
			t.Fatalf("the function reads another delivery (-want +got):\n%s", diff)
		}
		if shown.requestedAt != after.Request.RequestedAt.Format(time.RFC3339Nano) {
			t.Fatalf("shown %+v of %+v", shown, after.Request)
		}
	})
}

// read is how the function reads a body.
func read(t *testing.T, body string) delivery.Delivery {
	t.Helper()
	record := map[string]string{"eventSource": "aws:sqs", "eventSourceARN": "arn:aws:sqs:eu-central-1:123456789012:requests", "messageId": "1", "body": body}
	payload, err := json.Marshal(map[string]any{"Records": []any{record}})
	if err != nil {
		t.Fatal(err)
	}
	d := events.Decoder{Now: func() time.Time { return time.Time{} }, Redact: new(redact.Redactor), Defaults: events.Defaults{
		ProjectID: strings.Repeat("a", 32), Region: "region1", VaultID: vault,
		DestinationVaultID: vault, DestinationProjectID: strings.Repeat("b", 32), DestinationRegion: "region2",
	}}
	batch, err := d.Decode(payload, delivery.Invocation{})
	if err != nil {
		t.Fatal(err)
	}
	return batch.Deliveries[0]
}
