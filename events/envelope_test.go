package events

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"cbr-replicator/internal/delivery"
	"cbr-replicator/internal/kind"
	"cbr-replicator/internal/result"
)

// wrappers put a body, a JSON value, into each envelope as its sender does.
var wrappers = map[string]func(t testing.TB, body string) string{
	"SNS": func(t testing.TB, body string) string {
		return string(encode(t, map[string]any{
			"Type": "Notification", "MessageId": "95df01b4-ee98-5cb9-9903-4c221d41eb5e", "TopicArn": "arn:aws:sns:eu-central-1:123456789012:t",
			"Message": body, "Timestamp": "2026-11-23T02:00:00.012Z", "SignatureVersion": "1", "Signature": "RVhBTVBMRQ==", "aNewField": []any{nil},
		}))
	},
	"EventBridge": func(t testing.TB, body string) string {
		return string(encode(t, map[string]any{
			"version": "0", "id": "17793124-05d4-b198-2fde-7ededc63b103", "detail-type": "x", "source": "s", "account": "123456789012",
			"region": "eu-central-1", "time": "2026-11-23T02:00:00Z", "resources": []string{}, "detail": json.RawMessage(body), "aNewField": 1,
		}))
	},
	"EventBridge, text": func(t testing.TB, body string) string {
		return string(encode(t, map[string]any{"id": "i", "detail-type": "Scheduled Event", "source": "aws.scheduler", "detail": body}))
	},
	"CloudEvent": func(t testing.TB, body string) string {
		return string(encode(t, map[string]any{
			"specversion": "1.0", "id": "1", "source": "/s", "type": "com.example.x", "data": json.RawMessage(body), "anextension": true,
		}))
	},
	"CloudEvent, text": func(t testing.TB, body string) string {
		return string(encode(t, map[string]any{"specversion": "1.0", "id": "1", "source": "/s", "type": "x", "datacontenttype": "text/plain", "data": body}))
	},
	"CloudEvent, base64": func(t testing.TB, body string) string {
		return string(encode(t, map[string]any{"specversion": "1.0", "id": "1", "source": "/s", "type": "x", "data_base64": []byte(body)}))
	},
	"JSON text": func(t testing.TB, body string) string {
		return string(encode(t, map[string]any{"id": "i", "detail-type": "x", "detail": string(encode(t, body))}))
	},
	"CloudEvent, each member": func(t testing.TB, body string) string {
		return string(encode(t, map[string]any{"specversion": "1.0", "id": "1", "source": "/s", "type": "x", "data": nil, "data_base64": []byte(body)}))
	},
	"SNS dead letter": func(t testing.TB, body string) string {
		return string(sampleWith(t, "sns", func(e map[string]any) {
			e["Records"].([]any)[0].(map[string]any)["Sns"].(map[string]any)["Message"] = body
			delete(e["Records"].([]any)[0].(map[string]any)["Sns"].(map[string]any), "MessageAttributes")
		}))
	},
	"SQS dead letter": func(t testing.TB, body string) string {
		return string(encode(t, map[string]any{"Records": []any{map[string]any{"eventSource": "aws:sqs", "messageId": "m", "body": body}}}))
	},
	"Lambda destination": func(t testing.TB, body string) string {
		return string(encode(t, map[string]any{
			"version": "1.0", "timestamp": "2026-11-23T02:03:00.131Z",
			"requestContext": map[string]any{
				"requestId": "e4b46cbf-b738-xmpl-8880-a18cdf61200e", "functionArn": "arn:aws:lambda:eu-central-1:123456789012:function:f:$LATEST",
				"condition": "RetriesExhausted", "approximateInvokeCount": 3,
			},
			"requestPayload":  json.RawMessage(body),
			"responseContext": map[string]any{"statusCode": 200, "executedVersion": "$LATEST", "functionError": "Unhandled"},
			"responsePayload": map[string]any{"errorMessage": "timed out"},
		}))
	},
}

// inQueue is a body in a message of the SQS sample.
func inQueue(t testing.TB, body, correlation string) []byte {
	t.Helper()
	return sampleWith(t, "sqs", func(e map[string]any) {
		record := e["Records"].([]any)[0].(map[string]any)
		record["body"] = body
		record["messageAttributes"] = map[string]any{"correlation_id": map[string]any{"stringValue": correlation, "dataType": "String"}}
	})
}

// everyWay returns payloads with a body in it, one of each trigger.
func everyWay(t testing.TB, body string) map[string][]byte {
	t.Helper()
	text := []byte(body)
	encoded := base64.StdEncoding.EncodeToString(text)
	ways := map[string][]byte{
		"sqs":       inQueue(t, body, ""),
		"pipes-sqs": encode(t, []any{map[string]any{"eventSource": "aws:sqs", "eventSourceARN": "arn", "messageId": "m", "body": body}}),
		"sns": sampleWith(t, "sns", func(e map[string]any) {
			e["Records"].([]any)[0].(map[string]any)["Sns"].(map[string]any)["Message"] = body
		}),
		"kafka": kafkaEvent(t, func(r map[string]any) { r["value"] = encoded }),
		"rabbitmq": sampleWith(t, "rabbitmq", func(e map[string]any) {
			e["rmqMessagesByQueue"].(map[string]any)["replication-requests::/"].([]any)[0].(map[string]any)["data"] = encoded
		}),
		"activemq":       sampleWith(t, "activemq", func(e map[string]any) { e["messages"].([]any)[0].(map[string]any)["data"] = encoded }),
		"pipes-kafka":    encode(t, []any{map[string]any{"eventSource": "aws:kafka", "topic": "t", "offset": 1, "value": encoded}}),
		"pipes-rabbitmq": encode(t, []any{map[string]any{"eventSource": "aws:rmq", "eventSourceKey": "q::/", "data": encoded}}),
		"pipes-activemq": encode(t, []any{map[string]any{"eventSource": "aws:amq", "messageID": "m", "data": encoded}}),
		"eventbridge":    sampleWith(t, "eventbridge", func(e map[string]any) { e["detail"] = json.RawMessage(text) }),
		"direct":         text,
		"direct-batch":   encode(t, []any{json.RawMessage(text)}),
	}
	for trigger := range httpTriggers {
		ways[trigger] = httpTriggerEvent(t, trigger, "POST", "/", encoded, true)
	}
	return ways
}

func TestEnvelopes(t *testing.T) {
	t.Parallel()
	request := string(encode(t, requestFor(vaultB)))
	for outer, wrapOuter := range wrappers {
		for inner, wrapInner := range wrappers {
			body := wrapOuter(t, wrapInner(t, request))
			for way, payload := range everyWay(t, body) {
				got := mustDecode(t, newDecoder(), payload).Deliveries[0]
				if diff := cmp.Diff(requestFor(vaultB), got.Request); diff != "" || got.Err != nil || got.Own {
					t.Errorf("%s in %s in %s: %v (-want +got):\n%s", inner, outer, way, got.Err, diff)
				}
			}
		}
	}
}

// TestEnvelopeName: the causation id is that of the outermost message.
func TestEnvelopeName(t *testing.T) {
	t.Parallel()
	request := string(encode(t, requestFor(vaultB)))
	for name, wrap := range wrappers {
		got := mustDecode(t, newDecoder(), inQueue(t, wrap(t, request), "")).Deliveries[0]
		if want := "059f36b4-87a3-44ab-83d2-661975830a7d"; got.CausationID != want || got.CorrelationID != want {
			t.Errorf("%s: causation %s, correlation %s", name, got.CausationID, got.CorrelationID)
		}
	}
}

func TestEnvelopeDepth(t *testing.T) {
	t.Parallel()
	request := string(encode(t, requestFor(vaultB)))
	for name, wrap := range wrappers {
		body := request
		for n := range 8 {
			got := mustDecode(t, newDecoder(), inQueue(t, body, "")).Deliveries[0]
			if n <= 4 && got.Err != nil {
				t.Errorf("%s, %d deep: %v", name, n, got.Err)
			}
			if n > 4 && (got.Err == nil || got.Err.Message != "$: expected a request in at most 4 envelopes") {
				t.Errorf("%s, %d deep: %v", name, n, got.Err)
			}
			body = wrap(t, body)
		}
	}
}

// TestEnvelopeCorrelation: of the valid correlation ids the innermost counts. The
// request's own counts first.
func TestEnvelopeCorrelation(t *testing.T) {
	t.Parallel()
	notification := func(id, body string) string {
		return string(encode(t, map[string]any{
			"Type": "Notification", "Message": body,
			"MessageAttributes": map[string]any{"correlation_id": map[string]any{"Type": "String", "Value": id}, "n": map[string]any{"Type": "Number", "Value": "1"}},
		}))
	}
	event := func(id, body string) string {
		return string(encode(t, map[string]any{"specversion": "1.0", "correlationid": id, "data": json.RawMessage(body)}))
	}
	request := func(id string) string {
		return string(encode(t, with(requestFor(vaultA), func(r *delivery.Request) { r.CorrelationID = id })))
	}
	for name, tt := range map[string]struct{ body, want string }{
		"queue":            {event("", request("")), "queue"},
		"CloudEvent":       {event("event", request("")), "event"},
		"SNS":              {notification("sns", request("")), "sns"},
		"body":             {notification("sns", event("event", request("own"))), "own"},
		"innermost":        {notification("sns", event("event", request(""))), "event"},
		"innermost is SNS": {event("event", notification("sns", request(""))), "sns"},
		"inner is bad":     {notification("sns", event("a b", request(""))), "sns"},
		"inner has none":   {notification("sns", wrappers["EventBridge"](t, request(""))), "sns"},
		"rejected":         {notification("sns", event("event", `{}`)), "event"},
		"broken":           {notification("sns", `{"specversion":`), "sns"},
	} {
		got := mustDecode(t, newDecoder(), inQueue(t, tt.body, "queue")).Deliveries[0]
		if got.CorrelationID != tt.want {
			t.Errorf("%s: %s, want %s", name, got.CorrelationID, tt.want)
		}
	}
}

// TestNoEnvelope: the error of a body that looks like an envelope and is none
// names the envelope.
func TestNoEnvelope(t *testing.T) {
	t.Parallel()
	const form, nothing, malformed = "$: expected the form of ", "$: expected a JSON object and nothing else; there is nothing", "$: expected a JSON object and nothing else; it is malformed at line 1, column "
	for body, want := range map[string]string{
		`{"Type":"Another","Message":"{}","Token":"t"}`:                              form + "an SNS notification; it has another Type",
		`{"Type":"Notification","Message":{}}`:                                       form + "an SNS notification; /Message: expected a string",
		`{"Type":"Notification","Message":"{}"`:                                      form + "an SNS notification; jsontext: unexpected EOF after offset 37",
		`{"Type":"Notification","Message":"{}","Message":"{}"}`:                      form + "an SNS notification; Message is given twice",
		`{"detail-type":"x","detail":{},"detail":{}}`:                                form + "an EventBridge event; detail is given twice",
		`{"Type":"Notification","Message":"hello"}`:                                  malformed + "1",
		`{"Type":"Notification"}`:                                                    "unknown field Type",
		`{"type":"Notification","message":"{}"}`:                                     "unknown field type; unknown field message",
		`{"requestContext":{},"requestPayload":{}}`:                                  form + "a Lambda destination record; it has no condition",
		`{"requestContext":{"condition":"Success"},"requestPayload":{"Records":[]}}`: form + "a trigger's event of Records; a record of aws:sns or aws:sqs is expected, not of \"\"",
		`{"Records":[{"eventSource":"aws:s3","s3":{}}]}`:                             form + "a trigger's event of Records; a record of aws:sns or aws:sqs is expected, not of \"aws:s3\"",
		`{"requestContext":{"condition":"Success"},"requestPayload":[{}]}`:           "$: expected an object",
		`{"specversion":"1.0","id":"1","type":"x"}`:                                  nothing,
		`{"specversion":"1.0","id":"1","type":"x","data":null}`:                      "$: expected an object",
		`{"specversion":"1.0","data":[{}]}`:                                          "$: expected an object",
		`{"specversion":"1.0","data":{"a":1},"data_base64":"e30="}`:                  "unknown field a",
		`{"specversion":"1.0","data_base64":"{}"}`:                                   form + "a CloudEvent; illegal base64 data at input byte 0",
		`{"specversion":"1.0","type":5,"data":{}}`:                                   form + "a CloudEvent; type: expected a string",
		`{"detail-type":"x"}`:                                                        nothing,
		`{"detail-type":"x","account":5,"detail":{}}`:                                form + "an EventBridge event; account: expected a string",
		`{"detail":{}}`: "unknown field detail",
	} {
		got := mustDecode(t, httpDecoder(), inQueue(t, body, "")).Deliveries[0]
		if got.Err == nil || got.Err.Kind != kind.InvalidEvent || got.Err.Message != want || got.Own {
			t.Errorf("%s: error %v, want %s", body, got.Err, want)
		}
	}
}

// ownEvent is a result of ours, whatever its status.
func ownEvent(t testing.TB, status kind.Status) string {
	t.Helper()
	return string(encode(t, result.New("id", "/source", nightlyID, "m", time.Unix(0, 0), result.Route{VaultID: vaultA}, result.Data{
		Status: status, Request: requestFor(vaultA), Error: &result.Error{Kind: kind.InvalidEvent, Message: "because"},
	})))
}

// TestNoLoop: of a result that is received as a request nothing is published, with
// any trigger and in any envelope.
func TestNoLoop(t *testing.T) {
	t.Parallel()
	for _, status := range []kind.Status{kind.Accepted, kind.Failed, "completed"} {
		for way, payload := range everyWay(t, ownEvent(t, status)) {
			checkSkipped(t, way+" "+string(status), payload)
		}
	}
	for name, wrap := range wrappers {
		body := ownEvent(t, kind.Failed)
		for n := range 7 {
			checkSkipped(t, strings.Repeat(name+", ", n), inQueue(t, body, ""))
			body = wrap(t, body)
		}
	}
	for _, body := range []string{
		`{"unheard of":` + ownEvent(t, kind.Failed) + `}`,
		`[` + ownEvent(t, kind.Failed) + `]`,
		wrappers["Lambda destination"](t, string(kafkaEvent(t, func(r map[string]any) { r["value"] = []byte(ownEvent(t, kind.Failed)) }))),
		wrappers["Lambda destination"](t, `{"Records":[{"eventSource":"aws:s3","x":`+ownEvent(t, kind.Failed)+`},{}]}`),
		`{"unheard of":` + string(encode(t, `{"in it":`+string(encode(t, ownEvent(t, kind.Failed)))+`}`)) + `}`,
		`Your event: ` + ownEvent(t, kind.Failed) + ` (end)`,
		`{"a":1}` + "\n" + ownEvent(t, kind.Failed) + "\n",
		ownEvent(t, kind.Failed)[:300],
		`{"type":"cbr.replica.stale.v1","specversion":"1.0","data":{}}`,
		`{"event":{"data":{"replicate":{}},"type":"cbr.replica.current.v1","specversion":"1.0"}}`,
		`{"specversion":"1.0","type":"cbr.checkpoint.replication.x","data":{}}`,
		`{"specversion":"1.0","type":"cbr.checkpoint.replication.x"}`,
	} {
		checkSkipped(t, body, inQueue(t, body, ""))
	}
}

func checkSkipped(t *testing.T, name string, payload []byte) {
	t.Helper()
	b := mustDecode(t, httpDecoder(), payload)
	del := b.Deliveries[0]
	if !del.Own || del.Err.Of() != kind.InvalidEvent {
		t.Errorf("%s: own %t, error %v", name, del.Own, del.Err)
		return
	}
	reply, err := b.Reply(make([]delivery.Outcome, len(b.Deliveries)))
	if err != nil {
		t.Errorf("%s: not acknowledged: %v", name, err)
	}
	if b.Deliveries[0].Final && bytes.Contains(reply, []byte("statusCode")) && !bytes.Contains(reply, []byte(`"body":"{\"status\":\"ignored\"}"`)) {
		t.Errorf("%s: reply %s", name, reply)
	}
}

// TestNotOurs: a valid request is never taken for a result, whatever its
// correlation id. Neither is another program's CloudEvent.
func TestNotOurs(t *testing.T) {
	t.Parallel()
	named := string(encode(t, with(requestFor(vaultA), func(r *delivery.Request) { r.CorrelationID = kind.EventTypePrefix + "accepted.v1" })))
	for _, body := range []string{
		named,
		wrappers["CloudEvent"](t, named),
		`{"specversion":"1.0","type":"x.cbr.checkpoint.replication.accepted.v1","data":` + named + `}`,
	} {
		if got := mustDecode(t, newDecoder(), inQueue(t, body, "")).Deliveries[0]; got.Own || got.Err != nil {
			t.Errorf("%s: own %t, error %v", body, got.Own, got.Err)
		}
	}
}

// TestMentioned: only the type of a CloudEvent makes a result. A body that mentions
// a result elsewhere is rejected like any other, and its sender is told.
func TestMentioned(t *testing.T) {
	t.Parallel()
	const accepted = kind.EventTypePrefix + "accepted.v1"
	for _, body := range []string{
		`{"comment":"` + accepted + `"}`,
		`{"comment":"after {\"type\":\"` + accepted + `\"}","replicate":{}}`,
		`{"correlation_id":"` + accepted + `","replicate":{"vault_id":"x"}}`,
		`{"` + accepted + `":1}`,
		`{"type":"` + accepted + `"}`,
		`{"kind":{"type":"` + accepted + `"},"specversion":"1.0","type":"com.example.x","data":{"a":1}}`,
		`{"specversion":"1.0","type":"com.example.x","subject":"` + accepted + `","data":{"a":1}}`,
		`{"specversion":"1.0","type":"x.` + accepted + `","data":{"a":1}}`,
		`{"specversion":"1.0","type":"com.example.x","data":{"note":"type: ` + accepted + `, specversion: 1.0"}}`,
		`{"replicate":{"vault_id":"x"},"because_of":` + ownEvent(t, kind.Failed) + `}`,
		`"` + accepted + `"`,
		accepted,
		`{"detail-type":"` + accepted + `","detail":{"a":1}}`,
		`{"Type":"Notification","Message":"{}","Subject":"` + accepted + `","MessageAttributes":{"type":{"Type":"String","Value":"` + accepted + `"}}}`,
	} {
		for way, payload := range everyWay(t, string(encode(t, body))) {
			got := mustDecode(t, newDecoder(), payload).Deliveries[0]
			if got.Own || got.Err.Of() != kind.InvalidEvent {
				t.Errorf("%s in %s: own %t, error %v", body, way, got.Own, got.Err)
			}
		}
	}
}

// TestBodyTwiceEncoded: a body may be JSON in a string of JSON with any trigger, up
// to four times.
func TestBodyTwiceEncoded(t *testing.T) {
	t.Parallel()
	body := string(encode(t, requestFor(vaultB)))
	for n := range 6 {
		for way, payload := range everyWay(t, " "+body+"\n") {
			got := mustDecode(t, newDecoder(), payload).Deliveries[0]
			if n > 4 {
				if got.Err == nil || got.Err.Message != "$: expected an object" {
					t.Errorf("%d deep in %s: %v", n, way, got.Err)
				}
			} else if diff := cmp.Diff(requestFor(vaultB), got.Request); diff != "" || got.Err != nil {
				t.Errorf("%d deep in %s: %v (-want +got):\n%s", n, way, got.Err, diff)
			}
		}
		body = string(encode(t, body))
	}
}

// TestDeadLetterOfOne: a dead-letter queue gets the event that a function failed
// to handle, and a destination gets it in a record. Its one request is taken.
func TestDeadLetterOfOne(t *testing.T) {
	t.Parallel()
	request := string(encode(t, requestFor(vaultB)))
	one := map[string]string{
		"SNS": string(sampleWith(t, "sns", func(e map[string]any) {
			e["Records"].([]any)[0].(map[string]any)["Sns"].(map[string]any)["Message"] = request
		})),
		"SQS":         `{"Records":[{"eventSource":"aws:sqs","messageId":"m","body":` + string(encode(t, request)) + `,"messageAttributes":{"correlation_id":{"stringValue":"` + nightlyID + `"}}}]}`,
		"EventBridge": wrappers["EventBridge"](t, request),
	}
	for name, event := range one {
		for how, body := range map[string]string{"bare": event, "in a record": wrappers["Lambda destination"](t, event)} {
			got := mustDecode(t, newDecoder(), inQueue(t, body, "")).Deliveries[0]
			if diff := cmp.Diff(requestFor(vaultB), got.Request); diff != "" || got.Err != nil {
				t.Errorf("%s %s: %v (-want +got):\n%s", name, how, got.Err, diff)
			}
			if name == "EventBridge" {
				continue // bare, it may be a first delivery
			}
			if !got.Redelivered || !got.Since.IsZero() || got.CorrelationID != nightlyID {
				t.Errorf("%s %s: %+v", name, how, got)
			}
		}
	}
	const form = "$: expected the form of a trigger's event of Records; "
	record := `{"eventSource":"aws:sqs","messageId":"m","body":"{}"}`
	for event, want := range map[string]string{
		`{"Records":[` + record + `,` + record + `]}`:             form + "it has 2 records, and exactly one is expected: send each as a message of its own",
		`{"Records":[` + record + `],"Records":[` + record + `]}`: form + "Records is given twice",
		`{"Records":[` + record + `,{"eventSource":"aws:s3"}]}`:   form + "it has 2 records, and exactly one is expected: send each as a message of its own",
		`{"Records":[` + record:                                   form + `jsontext: unexpected EOF within "/Records" after offset 65`,
	} {
		got := mustDecode(t, newDecoder(), inQueue(t, event, "")).Deliveries[0]
		if got.Err == nil || got.Err.Message != want || got.Err.Kind != kind.InvalidEvent {
			t.Errorf("%s: %v, want %s", event, got.Err, want)
		}
	}
}

// TestSubscriptionConfirmation: its link is nowhere else, so that a queue gets it
// handed back. The link is in no error and in no request.
func TestSubscriptionConfirmation(t *testing.T) {
	t.Parallel()
	const link, token = "https://sns.eu-central-1.amazonaws.com/?Action=ConfirmSubscription", "2336412f37fb687f5d51e6e2425c464de2"
	for _, of := range []string{"SubscriptionConfirmation", "UnsubscribeConfirmation"} {
		confirmation := string(encode(t, map[string]any{
			"Type": of, "MessageId": "165545c9-2a5c-472c-8df2-7ff2be2b3b1b", "Token": token, "TopicArn": "arn:aws:sns:eu-central-1:123456789012:t",
			"Message": "You have chosen to subscribe to the topic. To confirm, visit the SubscribeURL included in this message.", "SubscribeURL": link + "&Token=" + token,
			"Timestamp": "2026-11-23T02:00:00.012Z", "SignatureVersion": "1", "Signature": "RVhBTVBMRQ==", "SigningCertURL": "https://sns.eu-central-1.amazonaws.com/x.pem",
		}))
		for _, body := range []string{confirmation, wrappers["EventBridge"](t, confirmation), string(encode(t, confirmation))} {
			for way, payload := range everyWay(t, body) {
				b := mustDecode(t, newDecoder(), payload)
				got := b.Deliveries[0]
				want := kind.InvalidEvent // handed back, it would block a broker; other triggers keep nothing
				if way == "sqs" || way == "pipes-sqs" {
					want = kind.Misconfigured
				}
				if got.Err.Of() != want || got.Own {
					t.Errorf("%s in %s: %v, want %s", of, way, got.Err, want)
					continue
				}
				if said := string(encode(t, got)); !strings.Contains(got.Err.Message, "it is a"+map[bool]string{true: "n"}[of[0] == 'U']+" "+of) || !strings.Contains(said, "SubscribeURL") ||
					strings.Contains(said, token) || strings.Contains(said, "https:") {
					t.Errorf("%s in %s: %s", of, way, said)
				}
				if want != kind.Misconfigured {
					continue
				}
				outcomes := make([]delivery.Outcome, len(b.Deliveries))
				outcomes[0].Err = got.Err
				if reply, err := b.Reply(outcomes); err != nil || !strings.Contains(string(reply), got.CausationID) {
					t.Errorf("%s in %s: not handed back: %s, %v", of, way, reply, err)
				}
			}
		}
	}
}
