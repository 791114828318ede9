package events

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"cbr-replicator/internal/delivery"
	"cbr-replicator/internal/kind"
	"cbr-replicator/internal/result"
)

// graphBatch decodes a payload as in FunctionGraph.
func graphBatch(t *testing.T, payload string, async bool) *Batch {
	t.Helper()
	d := newDecoder()
	d.FunctionGraph = true
	d.Defaults = Defaults{ProjectID: project, Region: region, VaultID: vaultA, DestinationVaultID: destinationVault, DestinationProjectID: destinationProject, DestinationRegion: destinationRegion}
	inv := invocation
	inv.Async = async
	b, err := d.Decode([]byte(payload), inv)
	if err != nil {
		t.Fatalf("%s: %v", payload, err)
	}
	return b
}

// TestInvokeTypes: what a delivery is by the way in which FunctionGraph called, and
// from when on records are its effect.
func TestInvokeTypes(t *testing.T) {
	t.Parallel()
	type call struct {
		Final, Last, Redelivered, Claimed, Undated bool
		Since                                      string
	}
	const dated = `{"requested_at":"2026-11-23T01:00:00Z","replicate":{}}`
	day := "2026-11-22T02:00:01" // one before the call
	for name, tt := range map[string]struct {
		payload     string
		sync, async call
	}{
		"direct":             {`{"replicate":{}}`, call{Final: true, Last: true}, call{Redelivered: true, Claimed: true, Undated: true, Since: day}},
		"direct, dated":      {dated, call{Final: true, Last: true}, call{Redelivered: true, Since: "2026-11-23T01:00:00"}},
		"batch":              {`[{"replicate":{}}]`, call{Final: true, Last: true}, call{Redelivered: true, Claimed: true, Undated: true, Since: day}},
		"cloudevent":         {string(sample(t, "cloudevent")), call{Final: true, Last: true}, call{Redelivered: true, Claimed: true, Undated: true, Since: day}},
		"apig":               {string(sample(t, "functiongraph/apig")), call{Final: true, Last: true}, call{Redelivered: true, Claimed: true, Undated: true, Since: day}},
		"smn":                {string(sample(t, "functiongraph/smn")), call{Final: true, Last: true, Since: "2026-11-23T02:00:00"}, call{Redelivered: true, Since: "2026-11-23T02:00:00"}},
		"smn, no time":       {strings.Replace(string(sample(t, "functiongraph/smn")), "2026-11-23T02:00:00Z", "", 1), call{Final: true, Last: true}, call{Redelivered: true, Claimed: true, Undated: true, Since: day}},
		"timer":              {string(sample(t, "functiongraph/timer")), call{Final: true, Last: true}, call{Redelivered: true, Since: "2026-11-23T02:00:00"}},
		"kafka":              {string(sample(t, "functiongraph/kafka")), call{Redelivered: true, Since: "2026-11-23T02:00:00"}, call{Redelivered: true, Since: "2026-11-23T02:00:00"}},
		"kafka, no time":     {`{"trigger_type":"KAFKA","messages":["{}"]}`, call{Redelivered: true, Claimed: true, Undated: true, Since: day}, call{Redelivered: true, Claimed: true, Undated: true, Since: day}},
		"eventgrid":          {string(sample(t, "functiongraph/eventgrid")), call{Final: true, Last: true, Claimed: true, Since: "2026-11-23T02:00:00"}, call{Redelivered: true, Claimed: true, Since: "2026-11-23T02:00:00"}},
		"destination record": {string(sample(t, "functiongraph/destination")), call{Final: true, Last: true, Redelivered: true, Claimed: true, Undated: true, Since: day}, call{Redelivered: true, Claimed: true, Undated: true, Since: day}},
	} {
		for _, async := range []bool{false, true} {
			want := tt.sync
			if async {
				want = tt.async
			}
			b := graphBatch(t, tt.payload, async)
			del := b.Deliveries[0]
			got := call{Final: del.Final, Last: del.Last, Redelivered: del.Redelivered, Claimed: del.Claimed, Undated: del.Undated}
			if !del.Since.IsZero() {
				got.Since = del.Since.UTC().Format("2006-01-02T15:04:05")
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("%s, async %t (-want +got):\n%s", name, async, diff)
			}
			if b.AtOnce != (async || strings.HasPrefix(name, "kafka")) {
				t.Errorf("%s, async %t: at once %t", name, async, b.AtOnce)
			}
		}
	}
}

// TestGraphReply: an error where anything is handed back, else the results.
func TestGraphReply(t *testing.T) {
	t.Parallel()
	accepted := delivery.Outcome{Data: result.Data{Status: kind.Accepted}}
	rejected := delivery.Outcome{Err: &kind.Error{Kind: kind.Rejected, Message: "full"}, Data: result.Data{Status: kind.Refused}}
	busy := delivery.Outcome{Err: &kind.Error{Kind: kind.InProgress, Message: "busy"}, Data: result.Data{Status: kind.Failed}}
	lost := delivery.Outcome{PublishErr: &kind.Error{Kind: kind.PublishFailed, Message: "no topic"}, Data: result.Data{Status: kind.Accepted}}
	kafka := `{"trigger_type":"KAFKA","messages":["{}","{}"]}`
	for name, tt := range map[string]struct {
		payload  string
		async    bool
		outcomes []delivery.Outcome
		want     string // what the answer has in it
		err      string
	}{
		"accepted":                  {payload: `{}`, async: true, outcomes: []delivery.Outcome{accepted}, want: `{"status":"accepted"`},
		"rejected":                  {payload: `{}`, async: true, outcomes: []delivery.Outcome{rejected}, want: `{"status":"rejected"`},
		"rejected, to its caller":   {payload: `{}`, outcomes: []delivery.Outcome{rejected}, err: "Rejected full"},
		"busy":                      {payload: `{}`, async: true, outcomes: []delivery.Outcome{busy}, err: "1 of 1 deliveries handed back, the first as InProgress busy"},
		"not published":             {payload: `{}`, async: true, outcomes: []delivery.Outcome{lost}, err: "1 of 1 deliveries handed back, the first as PublishFailed no topic"},
		"our own":                   {payload: `{}`, async: true, outcomes: []delivery.Outcome{{}}, want: "null"},
		"a batch":                   {payload: kafka, async: true, outcomes: []delivery.Outcome{accepted, rejected}, want: `},{"status":"rejected"`},
		"a batch, one of it busy":   {payload: kafka, async: true, outcomes: []delivery.Outcome{accepted, busy}, err: "1 of 2 deliveries handed back, the first as InProgress busy"},
		"a batch, sync":             {payload: kafka, outcomes: []delivery.Outcome{busy, busy}, err: "2 of 2 deliveries handed back, the first as InProgress busy"},
		"a health check, async too": {payload: `{"requestContext":{},"httpMethod":"GET","path":"/"}`, async: true, want: `"statusCode":200`},
	} {
		got, err := graphBatch(t, tt.payload, tt.async).Reply(tt.outcomes)
		switch {
		case tt.err != "":
			if err == nil || err.Error() != tt.err {
				t.Errorf("%s: %s, %v; want the error %s", name, got, err, tt.err)
			}
		case err != nil || !strings.Contains(string(got), tt.want):
			t.Errorf("%s: %s, %v; want %s", name, got, err, tt.want)
		}
	}
}

// TestFormsOfBrokers: the instance and the topic are at the top, or in each record.
func TestFormsOfBrokers(t *testing.T) {
	t.Parallel()
	type named struct{ Source, Vault string }
	body := func(vault string) string {
		return string(encode(t, `{"replicate":{"vault_id":"`+vault+`"}}`))
	}
	for payload, want := range map[string][]named{
		`{"trigger_type":"KAFKA","messages":[` + body(vaultA) + `,` + body(vaultB) + `],"instance_id":"i","topic_id":"t"}`:                        {{"i/t", vaultA}, {"i/t", vaultB}},
		`{"trigger_type":"KAFKA","instance_id":"i","records":[{"topic_id":"t","messages":[` + body(vaultA) + `]}]}`:                               {{"i/t", vaultA}},
		`{"trigger_type":"KAFKA","records":[{"messages":[` + body(vaultA) + `],"topic_id":"t","instance_id":"i"}],"instance_id":"other"}`:         {{"i/t", vaultA}},
		`{"trigger_type":"RABBITMQ","records":[{"messages":[` + body(vaultA) + `],"exchange":"x"},{"messages":[` + body(vaultB) + `]}],"a":null}`: {{"x", vaultA}, {invocation.FunctionARN, vaultB}},
		`{"trigger_type":"ROCKETMQ","event_time":null,"messages":[{"replicate":{"vault_id":"` + vaultC + `"}}]}`:                                  {{invocation.FunctionARN, vaultC}},
	} {
		var got []named
		for i, del := range graphBatch(t, payload, true).Deliveries {
			if del.Err != nil || del.CausationID != fmt.Sprintf("%s/%d", invocation.RequestID, i) {
				t.Errorf("%s: %s, %v", payload, del.CausationID, del.Err)
			}
			got = append(got, named{del.Source, del.Request.Replicate.VaultID})
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", payload, diff)
		}
	}
}

// TestTicks: a timer without a request asks for the defaults', as of its time, and
// one whose request says since when keeps that.
func TestTicks(t *testing.T) {
	t.Parallel()
	for event, want := range map[string]string{
		`""`: "2026-11-23T02:00:00Z", `"  "`: "2026-11-23T02:00:00Z", `null`: "2026-11-23T02:00:00Z", `"{}"`: "2026-11-23T02:00:00Z", `{}`: "2026-11-23T02:00:00Z",
		`"{\"requested_at\":\"2026-11-23T01:30:00Z\"}"`: "2026-11-23T01:30:00Z",
		`"nightly"`: "",
	} {
		del := graphBatch(t, `{"version":"v1.0","time":"2026-11-23T10:00:00+08:00","trigger_type":"TIMER","trigger_name":"n","user_event":`+event+`}`, false).Deliveries[0]
		got := ""
		if del.Err == nil {
			got = del.Request.RequestedAt.Format(time.RFC3339)
		}
		if got != want || del.CausationID != "n/2026-11-23T10:00:00+08:00" {
			t.Errorf("%s: %s of %s, want %s: %v", event, got, del.CausationID, want, del.Err)
		}
	}
	if del := graphBatch(t, `{"trigger_type":"TIMER","time":"soon","trigger_name":"n"}`, false).Deliveries[0]; del.Err != nil || !del.Request.RequestedAt.IsZero() {
		t.Errorf("a time that is none: %+v", del)
	}
}

// TestSMNAttributes: of all forms that they may have, only a correlation id counts.
func TestSMNAttributes(t *testing.T) {
	t.Parallel()
	for attributes, want := range map[string]string{
		`null`: "m", `"text"`: "m", `[1]`: "m", `{}`: "m", `{"correlation_id":null}`: "m", `{"correlation_id":[1]}`: "m", `{"correlation_id":{"value":5}}`: "m",
		`{"a":{"value":"b"},"correlation_id":"c"}`: "c", `{"correlation_id":{"type":"STRING","value":"c"}}`: "c",
	} {
		payload := `{"record":[{"event_source":"smn","smn":{"message_id":"m","topic_urn":"u","message":"{}","message_attributes":` + attributes + `}}]}`
		if del := graphBatch(t, payload, true).Deliveries[0]; del.CorrelationID != want || del.Err != nil {
			t.Errorf("%s: correlation %s, %v, want %s", attributes, del.CorrelationID, del.Err, want)
		}
	}
}

// TestGraphNotUnderstood: errors of the function, so that nothing is acknowledged.
func TestGraphNotUnderstood(t *testing.T) {
	t.Parallel()
	for payload, want := range map[string]string{
		`{"record":[{"event_source":"smn","smn":{}}]}`:                                      "a payload of the form of functiongraph/smn: record 0 has no message_id",
		`{"record":[{"event_source":"smn","smn":{"message_id":"m"}},{}]}`:                   `a payload of the form of functiongraph/smn: record 1 is not of smn but of ""`,
		`{"record":[{"event_source":"smn"}],"record":[]}`:                                   "a payload of the form of functiongraph/smn: record is given twice",
		`{"record":[{"event_source":"smn","smn":5}]}`:                                       "a payload of the form of functiongraph/smn: record.smn: expected an object",
		`{"trigger_type":"TIMER","trigger_name":"n"}`:                                       "a payload of the form of functiongraph/timer: no time",
		`{"trigger_type":"KAFKA","records":[]}`:                                             "a payload of the form of functiongraph/kafka: no messages",
		`{"trigger_type":"RABBITMQ","records":{}}`:                                          "a payload of the form of functiongraph/kafka: records: expected an array",
		`{"trigger_type":"ROCKETMQ","messages":"x"}`:                                        "a payload of the form of functiongraph/kafka: messages: expected an array",
		`{"request_context":{"condition":"c"},"request_payload":""}`:                        "a payload of the form of functiongraph/destination: no request_id",
		`{"request_context":{"request_id":"r"},"request_payload":""}`:                       "a payload of the form of functiongraph/destination: it has no condition",
		`{"specversion":"1.0","ttl":"4000","data":{}}`:                                      "a payload of the form of functiongraph/eventgrid: no id",
		`{"record":[{"event_source":"iot"}]}`:                                               `an event of the event_source "iot", which asks for nothing here`,
		`{"cts":{}}`:                                                                        "an event of CTS, which asks for nothing here",
		`{"trigger_type":"DMS","replicate":{}}`:                                             `an event of the trigger_type "DMS", which asks for nothing here`,
		`{"trigger_type":null}`:                                                             `an event of the trigger_type "", which asks for nothing here`,
		`{"Records":[{"eventSource":"aws:s3"}]}`:                                            "an event of OBS, which asks for nothing here",
		`{"records":[{"event_source":"dds"}]}`:                                              "an event of DDS, which asks for nothing here",
		`{"trigger_type":"KAFKA","messages":[` + strings.Repeat(`"",`, maxRecords) + `""]}`: "a payload of the form of functiongraph/kafka: more than 10000 records",
		`{"requestContext":{},"httpMethod":"POST","body":{}}`:                               "a payload of the form of functiongraph/apig: body: expected a string",
	} {
		d := newDecoder()
		d.FunctionGraph = true
		if _, err := d.Decode([]byte(payload), invocation); kind.As(err).Of() != kind.InvalidEvent || kind.As(err).Message != want {
			t.Errorf("%.200s: %v\nwant %s", payload, err, want)
		}
	}
}

// TestNothingChangesOnLambda: there the payloads of FunctionGraph are what they
// were, direct calls with a request that is wrong.
func TestNothingChangesOnLambda(t *testing.T) {
	t.Parallel()
	for _, payload := range []string{
		`{"record":[{"event_source":"smn","smn":{"message_id":"m","message":"x"}}]}`, `{"trigger_type":"KAFKA","messages":[]}`, `{"cts":{}}`, `{"lts":{}}`, `{"ShardID":"s"}`,
		`{"trigger_type":"IOTDA"}`, `{"records":[{"event_source":"dds"}]}`,
	} {
		if del := mustDecode(t, newDecoder(), []byte(payload)).Deliveries[0]; del.Err.Of() != kind.InvalidEvent || !del.Final || del.Source != invocation.FunctionARN {
			t.Errorf("%s: %+v", payload, del)
		}
	}
	for sampled, want := range map[string]string{"functiongraph/apig": "apigw-rest", "functiongraph/eventgrid": "cloudevent"} {
		s := detect(sample(t, sampled))
		for _, tr := range triggers {
			if tr.is(s) {
				if tr.samples[0] != want {
					t.Errorf("%s is taken for %s, want %s", sampled, tr.samples[0], want)
				}
				break
			}
		}
	}
}

// TestGraphEnvelopes: what the function could not do comes back, in whatever it
// was sent with, if it is one message.
func TestGraphEnvelopes(t *testing.T) {
	t.Parallel()
	record := func(payload string) string {
		return `{"request_context":{"condition":"c","request_id":"r","function_urn":"u"},"request_payload":` + string(encode(t, payload)) + `}`
	}
	smn := func(message string) string {
		return `{"record":[{"event_source":"smn","smn":{"message_id":"m","topic_urn":"u","message":` + string(encode(t, message)) + `}}]}`
	}
	request := string(encode(t, requestFor(vaultB)))
	two := `{"trigger_type":"KAFKA","messages":["{}","{}"]}`
	const form = "$: expected the form of an event of FunctionGraph; "
	for payload, want := range map[string]string{
		record(request):                                         "",
		record(smn(request)):                                    "",
		smn(record(smn(request))):                               "",
		record(`{"trigger_type":"TIMER","time":"t"}`):           "",
		record(`{"trigger_type":"ROCKETMQ","messages":["{}"]}`): "",
		record(two): form + "it has 2 messages, and exactly one is expected: send each by itself",
		record(`{"record":[{"event_source":"smn","smn":{"message_id":"1"}},{"event_source":"smn","smn":{"message_id":"2"}}]}`): form + "it has 2 messages, and exactly one is expected: send each by itself",
		record(`{"trigger_type":"IOTDA"}`):                      form + `the trigger_type "IOTDA" asks for nothing here`,
		smn(`{"request_context":{},"request_payload":"{}"}`):    "$: expected the form of a destination record of FunctionGraph; it has no condition",
		record(record(record(record(record(record(request)))))): "$: expected a request in at most 4 envelopes",
	} {
		del := graphBatch(t, payload, true).Deliveries[0]
		got := ""
		if del.Err != nil {
			got = del.Err.Message
		}
		if got != want {
			t.Errorf("%.300s: %s\nwant %s", payload, got, want)
		}
		if want == "" && !del.Redelivered {
			t.Errorf("%s: not redelivered", payload)
		}
	}
	own := ownEvent(t, kind.Accepted)
	for _, payload := range []string{smn(own), record(smn(own))} {
		if del := graphBatch(t, payload, true).Deliveries[0]; !del.Own {
			t.Errorf("%s: not known to be our own", payload)
		}
	}
}
