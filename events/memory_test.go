package events

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"cbr-replicator/internal/delivery"
	"cbr-replicator/internal/kind"
)

// list is an element n times, between open and end.
func list(open, element, end string, n int) string {
	return open + strings.TrimSuffix(strings.Repeat(element+",", n), ",") + end
}

// names is n members of different names.
func names(n int) string {
	var b strings.Builder
	for i := range n {
		b.WriteString(`"x` + strconv.Itoa(i) + `":"y",`)
	}
	return b.String()
}

// hostile are payloads of many thousand parts. Lambda takes payloads that are ten
// times as large, with the same ratio.
func hostile(t testing.TB) map[string]string {
	t.Helper()
	request := string(encode(t, encode(t, requestFor(vaultA))))
	const n = 50_000
	kafka := func(headers string) string {
		return `{"eventSource":"aws:kafka","eventSourceArn":"arn","records":{"t-0":[{"topic":"t","partition":0,"offset":15,"value":` + request + `,"headers":` + headers +
			`},{"topic":"t","partition":0,"offset":16,"value":` + request + `}]}}`
	}
	queue := func(fields string) string {
		return `{"Records":[{"eventSource":"aws:sqs","messageId":"m","body":"{}",` + fields + `}]}`
	}
	body := func(body string) string { return queue(`"body":` + string(encode(t, body))) }
	return map[string]string{
		"Kafka, headers":                kafka(list("[", `{"h":[1,-2]}`, "]", 100_000)),
		"Kafka, headers of its own":     kafka(list("[", `{"correlation_id":[97]}`, "]", n)),
		"Kafka, a header's bytes":       kafka(list(`[{"correlation_id":[`, "97", "]}]", 50_000)),
		"Kafka, a header's names":       kafka(`[{` + names(n) + `"z":[1]}]`),
		"Kafka, records":                list(`{"eventSource":"aws:kafka","records":{"t-0":[`, `{"offset":1}`, `]}}`, 200_000),
		"Kafka, partitions":             `{"eventSource":"aws:kafka","records":{` + list("", `"t-0":[]`, "", n) + `}}`,
		"pipe, Kafka's headers":         `[{"eventSource":"aws:kafka","topic":"t","offset":1,"value":` + request + `,"headers":` + list("[", `{"h":[1,-2]}`, "]", 100_000) + `}]`,
		"pipe, records":                 list("[", `{"eventSource":"aws:sqs"}`, "]", 100_000),
		"SQS, message attributes":       queue(`"messageAttributes":{` + names(n) + `"z":{}}`),
		"SQS, attributes":               queue(`"attributes":{` + names(n) + `"z":""}`),
		"SQS, records":                  list(`{"Records":[`, `{"eventSource":"aws:sqs","messageId":"m"}`, `]}`, 100_000),
		"SQS, empty records":            list(`{"Records":[{"eventSource":"aws:sqs","messageId":"m"},`, `{}`, `]}`, 400_000),
		"SNS, attributes":               `{"Records":[{"EventSource":"aws:sns","Sns":{"MessageId":"m","Message":"{}","MessageAttributes":{` + names(n) + `"z":{}}}}]}`,
		"SNS, records":                  list(`{"Records":[{"EventSource":"aws:sns"},`, `{}`, `]}`, 400_000),
		"RabbitMQ, headers":             `{"eventSource":"aws:rmq","rmqMessagesByQueue":{"q::/":[{"basicProperties":{"headers":{` + names(n) + `"z":{}}},"data":` + request + `}]}}`,
		"RabbitMQ, messages":            list(`{"rmqMessagesByQueue":{"q::/":[`, `{}`, `]}}`, 400_000),
		"ActiveMQ, properties":          `{"eventSource":"aws:mq","messages":[{"messageID":"m","properties":{` + names(n) + `"z":{}},"data":` + request + `}]}`,
		"ActiveMQ, messages":            list(`{"eventSource":"aws:mq","messages":[`, `{}`, `]}`, 400_000),
		"HTTP, headers":                 `{"requestContext":{"requestId":"r"},"routeKey":"","rawPath":"/","body":"{}","headers":{` + names(n) + `"z":""}}`,
		"load balancer, headers":        `{"requestContext":{"elb":{}},"httpMethod":"POST","path":"/","body":"{}","multiValueHeaders":` + list(`{"x":[`, `""`, `]}`, 50_000) + `}`,
		"load balancer, header names":   `{"requestContext":{"elb":{}},"httpMethod":"POST","path":"/","body":"{}","headers":{` + names(n) + `"z":""}}`,
		"EventBridge, names":            `{"detail-type":"x","id":"i",` + names(n) + `"detail":{}}`,
		"EventBridge, resources":        `{"detail-type":"x","id":"i","resources":` + list(`[`, `""`, `]`, 50_000) + `,"detail":{}}`,
		"direct, names":                 `{` + names(n) + `"z":1}`,
		"direct, one name":              `{` + list("", `"region":"region1"`, "", 50_000) + `}`,
		"direct, a batch":               list("[", "0", "]", 400_000),
		"body of names":                 body(`{` + names(n) + `"z":1}`),
		"body of objects":               body(strings.Repeat("{", 50_000)),
		"body of JSON lines":            body(strings.Repeat("{}\n", 50_000)),
		"body of texts":                 body(list("[", `"eyJhIjoxfQ=="`, "]", 50_000)),
		"body of envelopes":             body(strings.Repeat(`{"detail-type":"`+strings.Repeat("x", 200)+`","detail":`, 9_000)),
		"CloudEvent of names":           body(`{"specversion":"1.0",` + names(n) + `"data":{}}`),
		"CloudEvent of a result's type": body(`{"specversion":"1.0",` + list("", `"type":"x"`, "", n) + `,"data":{}}`),
		"Lambda destination's names":    body(`{"requestContext":{"condition":"x"},"requestPayload":{` + names(n) + `"z":1}}`),
		"SNS notification's attributes": body(`{"Type":"Notification","Message":"{}","MessageAttributes":{` + names(n) + `"z":{}}}`),
	}
}

// maxRatio is how many bytes may be allocated for each byte of a payload.
const maxRatio = 8

// TestMemory: the memory for a payload is bounded by its length, whatever is in it.
// It is not parallel, since the count is of the process.
func TestMemory(t *testing.T) {
	for name, text := range hostile(t) {
		payload := []byte(text)
		d := newDecoder()
		d.Defaults = fullDefaults
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, _ = d.Decode(payload, invocation)
		runtime.ReadMemStats(&after)
		if ratio := float64(after.TotalAlloc-before.TotalAlloc) / float64(len(payload)); ratio > maxRatio {
			t.Errorf("%s: %.1f bytes allocated for each of %d", name, ratio, len(payload))
		}
	}
}

// TestTooManyHeaders: a Kafka record with too many headers is rejected, and does
// not block its partition.
func TestTooManyHeaders(t *testing.T) {
	t.Parallel()
	const correlated = `,{"correlation_id":[97]}]`
	for n, rejected := range map[int]bool{0: false, maxHeaders - 1: false, maxHeaders: true, 500_000: true} {
		headers := strings.TrimPrefix(list("[", `{"h":[1]}`, "", n)+correlated, "[,")
		if n == 0 {
			headers = "[" + headers
		}
		for _, payload := range [][]byte{
			kafkaEvent(t, func(r map[string]any) { r["headers"] = json.RawMessage(headers) }),
			bytes.Join([][]byte{
				[]byte(`[{"eventSource":"aws:kafka","topic":"t","offset":1,"value":"` + base64.StdEncoding.EncodeToString(encode(t, requestFor(vaultA))) + `","headers":`), []byte(headers), []byte(`}]`),
			}, nil),
		} {
			b := mustDecode(t, newDecoder(), payload)
			got := b.Deliveries[0]
			if got.CorrelationID != "a" || (got.Err != nil) != rejected || rejected && (got.Err.Kind != kind.InvalidEvent || got.Err.Message != "headers: expected at most 1000") {
				t.Errorf("%d more: correlation id %s, error %v", n, got.CorrelationID, got.Err)
			}
			for _, next := range b.Deliveries[1:] {
				if next.Err != nil {
					t.Errorf("%d more: the next record: %v", n, next.Err)
				}
			}
			outcomes := make([]delivery.Outcome, len(b.Deliveries))
			outcomes[0].Err = got.Err
			if reply, err := b.Reply(outcomes); string(reply) != "null" || err != nil {
				t.Errorf("%d more: the partition is blocked: %s, %v", n, reply, err)
			}
		}
	}
}

// TestTooManyRecords: a payload may have as many records as Lambda's largest batch.
func TestTooManyRecords(t *testing.T) {
	t.Parallel()
	record := `{"eventSource":"aws:sqs","messageId":"m","body":"{}"}`
	for n, want := range map[int]string{maxRecords: "", maxRecords + 1: "a payload of the form of sqs: more than 10000 records"} {
		_, err := httpDecoder().Decode([]byte(list(`{"Records":[`, record, `]}`, n)), invocation)
		if got := kind.As(err); (got == nil) != (want == "") || got != nil && got.Message != want {
			t.Errorf("%d records: %v, want %s", n, err, want)
		}
	}
}
