package events

import (
	"encoding/base64"
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestBodyIsTheSameRequestInTheQueue: the body that is kept of a delivery, sent to
// the queue with its correlation id, is the same request.
func TestBodyIsTheSameRequestInTheQueue(t *testing.T) {
	t.Parallel()
	for _, tr := range triggers {
		for _, name := range tr.samples {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				d := decoderOf(name)
				d.Defaults.Region = region
				for _, del := range mustDecode(t, d, sample(t, name)).Deliveries {
					if del.Final {
						if del.Body() != nil {
							t.Errorf("%s: a body is kept although the caller gets the outcome", del.CausationID)
						}
						continue
					}
					redriven := mustDecode(t, d, queued(t, string(del.Body()), del.CorrelationID)).Deliveries[0]
					if diff := cmp.Diff(del.Request, redriven.Request); diff != "" || redriven.Err != nil {
						t.Errorf("%s: %v, request (-first +redriven):\n%s", del.CausationID, redriven.Err, diff)
					}
					if redriven.CorrelationID != del.CorrelationID {
						t.Errorf("%s: correlation id %q, want %q", del.CausationID, redriven.CorrelationID, del.CorrelationID)
					}
				}
			})
		}
	}
}

// queued is a batch of the queue with one message.
func queued(t *testing.T, body, correlation string) []byte {
	t.Helper()
	type object = map[string]any
	payload, err := json.Marshal(object{"Records": []object{{
		"eventSource": "aws:sqs", "eventSourceARN": "arn:aws:sqs:eu-central-1:123456789012:requests", "messageId": "m", "body": body,
		"messageAttributes": object{"correlation_id": object{"stringValue": correlation}},
	}}})
	if err != nil {
		t.Fatal(err)
	}
	return payload
}

// TestBodyIsAsItCame, whatever is in it.
func TestBodyIsAsItCame(t *testing.T) {
	t.Parallel()
	encoded := func(body string) string { return base64.StdEncoding.EncodeToString([]byte(body)) }
	quoted := func(body string) string {
		text, err := json.Marshal(body)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	for _, body := range []string{
		"not json", ` {"a": "\u00e4"} `, "<&>\u2028\n\t\r\"\\", "\x00\x01", "", "ä𝄞\ufffd", `"text"`, strings.Repeat("x", 70_000),
	} {
		for name, payload := range map[string]string{
			"sqs":      string(queued(t, body, "")),
			"pipes":    "[" + strings.TrimSuffix(strings.TrimPrefix(string(queued(t, body, "")), `{"Records":[`), "]}") + "]",
			"sns":      `{"Records":[{"EventSource":"aws:sns","Sns":{"MessageId":"m","Message":` + quoted(body) + `}}]}`,
			"kafka":    `{"eventSource":"aws:kafka","records":{"t-0":[{"topic":"t","partition":0,"offset":1,"value":"` + encoded(body) + `"}]}}`,
			"rabbitmq": `{"eventSource":"aws:rmq","rmqMessagesByQueue":{"q":[{"basicProperties":{},"data":"` + encoded(body) + `"}]}}`,
			"activemq": `{"eventSource":"aws:mq","messages":[{"messageID":"m","data":"` + encoded(body) + `"}]}`,
		} {
			del := mustDecode(t, newDecoder(), []byte(payload)).Deliveries[0]
			if got := string(del.Body()); got != body || del.Err == nil {
				t.Errorf("%s: body %.100q, %v; want %.100q, an InvalidEvent", name, got, del.Err, body)
			}
		}
	}
	// What is not base64 is kept as the broker gave it. Of an event of a bus all is
	// kept, not only the detail.
	event := ` {"detail-type":"x","id":"i","detail":[1]}`
	for payload, want := range map[string]string{
		`{"eventSource":"aws:kafka","records":{"t-0":[{"topic":"t","offset":1,"value":"no base64!"}]}}`: "no base64!",
		event: event,
	} {
		del := mustDecode(t, newDecoder(), []byte(payload)).Deliveries[0]
		if got := string(del.Body()); got != want || del.Err == nil {
			t.Errorf("body %q, %v; want %q, an InvalidEvent", got, del.Err, want)
		}
	}
}
