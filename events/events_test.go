package events

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"cbr-replicator/internal/cbr"
	"cbr-replicator/internal/delivery"
	"cbr-replicator/internal/kind"
	"cbr-replicator/internal/redact"
	"cbr-replicator/internal/result"
)

// The ids of CopyCheckpoint's example in the CBR API reference, and two more
// vaults.
const (
	project            = "f841e01fd2b14e7fa41b6ae7aa6b0594"
	region             = "region1"
	vaultA             = "3b5816b5-f29c-4172-9d9a-76c719a659ce"
	vaultB             = "5a1c0a1e-3f0b-4a58-8f2c-2b7a4f6d9e01"
	vaultC             = "7c9e6679-7425-40de-944b-e07fc1f90ae7"
	destinationVault   = "0ca3eb86-8800-46da-9c37-9d657a825274"
	destinationProject = "68589cac08274b82b4e254268a3862d8"
	destinationRegion  = "region2"
)

// nightly is the time of the samples and what they are correlated by.
var nightly = time.Date(2026, 11, 23, 2, 0, 0, 0, time.UTC)

const nightlyID = "nightly-2026-11-23"

var invocation = delivery.Invocation{
	RequestID:   "8476a536-e9f4-11e8-9739-2dfe598c3fcd",
	FunctionARN: "arn:aws:lambda:eu-central-1:123456789012:function:cbr-replicator",
	Began:       nightly.Add(time.Second),
}

func newDecoder() *Decoder {
	return &Decoder{Redact: &redact.Redactor{}, HTTPTimeout: 27 * time.Second, MaxReceiveCount: 10}
}

// notCarried compares deliveries but for what they were carried in.
var notCarried = cmpopts.IgnoreFields(delivery.Delivery{}, "Carried")

// requestFor is the request that the samples make for a vault.
func requestFor(vault string) delivery.Request {
	return delivery.Request{
		Action:    "replicate",
		ProjectID: project,
		Region:    region,
		Replicate: cbr.Replicate{
			VaultID:              vault,
			DestinationVaultID:   destinationVault,
			DestinationProjectID: destinationProject,
			DestinationRegion:    destinationRegion,
		},
	}
}

func with(r delivery.Request, change func(*delivery.Request)) delivery.Request {
	change(&r)
	return r
}

func encode(t testing.TB, v any) []byte {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func sample(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(name + ".json")
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// sampleWith returns a sample with something changed in it.
func sampleWith(t testing.TB, name string, change func(map[string]any)) []byte {
	t.Helper()
	var event map[string]any
	if err := json.Unmarshal(sample(t, name), &event); err != nil {
		t.Fatal(err)
	}
	change(event)
	return encode(t, event)
}

func mustDecode(t testing.TB, d *Decoder, payload []byte) *Batch {
	t.Helper()
	b, err := d.Decode(payload, invocation)
	if err != nil {
		t.Fatalf("Decode: %v", err)
	}
	return b
}

// TestEverySampleHasItsTrigger: and every trigger its samples, each of which no
// trigger before it takes for its own.
func TestEverySampleHasItsTrigger(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("*.json")
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for i, tr := range triggers {
		names = append(names, tr.samples...)
		for _, name := range tr.samples {
			s := shapeOf(sample(t, name))
			if first := slices.IndexFunc(triggers, func(tr trigger) bool { return tr.is(s) }); first != i {
				t.Errorf("%s.json is told to be of trigger %d, want %d", name, first, i)
			}
		}
	}
	for i, name := range names {
		names[i] = name + ".json"
	}
	slices.Sort(names)
	files = slices.DeleteFunc(files, func(name string) bool { return strings.HasSuffix(name, ".schema.json") })
	if diff := cmp.Diff(names, files); diff != "" {
		t.Errorf("the triggers' samples and the files (-triggers +files):\n%s", diff)
	}
}

func TestSamples(t *testing.T) {
	t.Parallel()
	const (
		queue   = "arn:aws:sqs:eu-central-1:123456789012:cbr-replication-requests"
		cluster = "arn:aws:kafka:eu-central-1:123456789012:cluster/backups/751d2973-a626-431c-9d4e-d7975eb44dd7-2"
		broker  = "arn:aws:mq:eu-central-1:123456789012:broker:backups:b-9bcfa592-423a-4942-879d-eb284b418fc8"
		message = "ID:b-9bcfa592-423a-4942-879d-eb284b418fc8-1.mq.eu-central-1.amazonaws.com-37557-1234520418293-4:1:1:1:"
	)
	no := false
	correlated := func(r *delivery.Request) { r.CorrelationID = nightlyID }
	for name, want := range map[string]*Batch{
		"sqs": {Deliveries: []delivery.Delivery{
			{
				Source: queue, CausationID: "059f36b4-87a3-44ab-83d2-661975830a7d", CorrelationID: nightlyID, Queue: delivery.Queue{Receives: 1},
				Request: with(requestFor(vaultA), correlated),
			},
			{
				Source: queue, CausationID: "2e1424d4-f796-459a-8184-9c92662be6da", CorrelationID: "2e1424d4-f796-459a-8184-9c92662be6da", Queue: delivery.Queue{Receives: 1},
				Request: requestFor(vaultB),
			},
		}},
		"sqs-fifo": {Deliveries: []delivery.Delivery{
			{
				Source: queue + ".fifo", CausationID: "11d6ee51-4cc7-4302-9e22-7cd8afdaadf5", CorrelationID: nightlyID, Queue: delivery.Queue{Receives: 1}, Group: "production",
				Request: requestFor(vaultA),
			},
			{
				Source: queue + ".fifo", CausationID: "b3e0c6a4-2f57-4f0d-8a1e-6b0b4e4c7d52", CorrelationID: "b3e0c6a4-2f57-4f0d-8a1e-6b0b4e4c7d52", Queue: delivery.Queue{Receives: 1}, Group: "production",
				Request: requestFor(vaultB),
			},
			{
				Source: queue + ".fifo", CausationID: "7f0b8a9d-51c6-4d7e-a1f2-3c5d9e8b6a40", CorrelationID: "7f0b8a9d-51c6-4d7e-a1f2-3c5d9e8b6a40", Queue: delivery.Queue{Receives: 1}, Group: "archive",
				Request: requestFor(vaultC),
			},
		}},
		"apigw-http": {
			Deadline: nightly.Add(27 * time.Second),
			Deliveries: []delivery.Delivery{{
				Source: "a1b2c3d4e5", CausationID: "JKJaXmPLvHcESHA=", CorrelationID: nightlyID, Final: true,
				Request: with(requestFor(vaultA), func(r *delivery.Request) { r.Replicate.AutoTrigger = &no }),
			}},
		},
		"function-url": {Deliveries: []delivery.Delivery{{
			Source: "abcdefghijklmnopqrstuvwxyz012345", CausationID: "e1506fd5-9e7b-434f-bd42-4f8fa224b599", CorrelationID: nightlyID, Final: true,
			Request: with(requestFor(vaultA), correlated),
		}}},
		"pipes-sqs": {Deliveries: []delivery.Delivery{
			{
				Source: queue, CausationID: "059f36b4-87a3-44ab-83d2-661975830a7d", CorrelationID: nightlyID, Queue: delivery.Queue{Receives: 1},
				Request: with(requestFor(vaultA), correlated),
			},
			{
				Source: queue, CausationID: "2e1424d4-f796-459a-8184-9c92662be6da", CorrelationID: "2e1424d4-f796-459a-8184-9c92662be6da", Queue: delivery.Queue{Receives: 1},
				Request: requestFor(vaultB),
			},
		}},
		"sns": {Deliveries: []delivery.Delivery{{
			Source: "arn:aws:sns:eu-central-1:123456789012:replication-requests", CausationID: "95df01b4-ee98-5cb9-9903-4c221d41eb5e", CorrelationID: nightlyID,
			Request: requestFor(vaultA),
		}}},
		"eventbridge": {Deliveries: []delivery.Delivery{{
			Source: "123456789012/eu-central-1/example.backup-plans", CausationID: "17793124-05d4-b198-2fde-7ededc63b103", CorrelationID: nightlyID,
			Request: with(requestFor(vaultA), correlated),
		}}},
		"kafka": {Deliveries: []delivery.Delivery{
			{
				Source: cluster, CausationID: "replication-requests/0/15", CorrelationID: nightlyID, Group: "replication-requests/0",
				Request: requestFor(vaultA),
			},
			{
				Source: cluster, CausationID: "replication-requests/0/16", CorrelationID: "replication-requests/0/16", Group: "replication-requests/0",
				Request: requestFor(vaultB),
			},
			{
				Source: cluster, CausationID: "replication-requests/1/7", CorrelationID: "replication-requests/1/7", Group: "replication-requests/1",
				Request: requestFor(vaultC),
			},
		}},
		"rabbitmq": {Deliveries: []delivery.Delivery{
			{
				Source: broker + "/replication-requests::/", CausationID: "5f3c0f8a-6d0b-4d7e-9b54-2f4b5f3e6a10", CorrelationID: nightlyID,
				Request: requestFor(vaultA),
			},
			{
				Source: broker + "/replication-requests::/", CausationID: invocation.RequestID + "/1", CorrelationID: invocation.RequestID + "/1",
				Request: requestFor(vaultB),
			},
		}},
		"activemq": {Deliveries: []delivery.Delivery{
			{
				Source: broker, CausationID: message + "1", CorrelationID: nightlyID,
				Request: requestFor(vaultA),
			},
			{
				Source: broker, CausationID: message + "2", CorrelationID: message + "2",
				Request: requestFor(vaultB),
			},
		}},
		"pipes-kafka": {Deliveries: []delivery.Delivery{
			{
				Source: cluster, CausationID: "replication-requests/0/15", CorrelationID: nightlyID, Group: "replication-requests/0",
				Request: requestFor(vaultA),
			},
			{
				Source: cluster, CausationID: "replication-requests/0/16", CorrelationID: "replication-requests/0/16", Group: "replication-requests/0",
				Request: requestFor(vaultB),
			},
			{
				Source: cluster, CausationID: "replication-requests/1/7", CorrelationID: "replication-requests/1/7", Group: "replication-requests/1",
				Request: requestFor(vaultC),
			},
		}},
		"pipes-rabbitmq": {Deliveries: []delivery.Delivery{
			{
				Source: broker + "/replication-requests::/", CausationID: "5f3c0f8a-6d0b-4d7e-9b54-2f4b5f3e6a10", CorrelationID: nightlyID,
				Request: requestFor(vaultA),
			},
			{
				Source: broker + "/replication-requests::/", CausationID: invocation.RequestID + "/1", CorrelationID: invocation.RequestID + "/1",
				Request: requestFor(vaultB),
			},
		}},
		"pipes-activemq": {Deliveries: []delivery.Delivery{
			{
				Source: broker, CausationID: message + "1", CorrelationID: nightlyID,
				Request: requestFor(vaultA),
			},
			{
				Source: broker, CausationID: message + "2", CorrelationID: message + "2",
				Request: requestFor(vaultB),
			},
		}},
		"apigw-rest": {
			Deadline: nightly.Add(27 * time.Second),
			Deliveries: []delivery.Delivery{{
				Source: "q1w2e3r4t5", CausationID: "deef4878-7910-41e6-8f14-25afc3e9ae33", CorrelationID: nightlyID, Final: true,
				Request: requestFor(vaultA),
			}},
		},
		"alb": {
			Deadline: invocation.Began.Add(27 * time.Second),
			Deliveries: []delivery.Delivery{{
				Source:      "arn:aws:elasticloadbalancing:eu-central-1:123456789012:targetgroup/cbr-replicator/49e9d65c45c6791a",
				CausationID: "Root=1-6b03b820-00ca239424b68028d4c56d68", CorrelationID: nightlyID, Final: true,
				Request: requestFor(vaultA),
			}},
		},
		"cloudevent": {Deliveries: []delivery.Delivery{{
			Source: invocation.FunctionARN, CausationID: invocation.RequestID + "/0", CorrelationID: nightlyID, Final: true,
			Request: requestFor(vaultA),
		}}},
		"direct": {Deliveries: []delivery.Delivery{{
			Source: invocation.FunctionARN, CausationID: invocation.RequestID + "/0", CorrelationID: nightlyID, Final: true,
			Request: with(requestFor(vaultA), func(r *delivery.Request) {
				r.CorrelationID = nightlyID
				r.Replicate.AutoTrigger, r.Replicate.EnableAcceleration = &no, &no
			}),
		}}},
		"direct-batch": {Deliveries: []delivery.Delivery{
			{
				Source: invocation.FunctionARN, CausationID: invocation.RequestID + "/0", CorrelationID: nightlyID + "/1", Final: true,
				Request: with(requestFor(vaultA), func(r *delivery.Request) { r.CorrelationID = nightlyID + "/1" }),
			},
			{
				Source: invocation.FunctionARN, CausationID: invocation.RequestID + "/1", CorrelationID: nightlyID + "/2", Final: true,
				Request: with(requestFor(vaultB), func(r *delivery.Request) { r.CorrelationID = nightlyID + "/2" }),
			},
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newDecoder()
			d.Defaults.Region = region // CBR's own body does not name one
			got := mustDecode(t, d, sample(t, name))
			// See TestEarlierDeliveries.
			if diff := cmp.Diff(want.Deliveries, got.Deliveries, cmpopts.IgnoreFields(delivery.Delivery{}, "Queue.ReceiptHandle", "Queue.ARN", "Last", "Redelivered", "Since", "Claimed"), notCarried); diff != "" {
				t.Errorf("deliveries (-want +got):\n%s", diff)
			}
			if !got.Deadline.Equal(want.Deadline) {
				t.Errorf("deadline %v, want %v", got.Deadline, want.Deadline)
			}
		})
	}
}

// TestNewFieldsOfAWS: an envelope may have fields that nobody here has heard
// of, at every level.
func TestNewFieldsOfAWS(t *testing.T) {
	t.Parallel()
	var grow func(v any)
	grow = func(v any) {
		switch v := v.(type) {
		case []any:
			for _, e := range v {
				grow(e)
			}
		case map[string]any:
			for _, e := range v {
				grow(e)
			}
			// Maps from names to texts, or to lists, stay such.
			first := ""
			for _, e := range v {
				first = fmt.Sprintf("%T", e)
			}
			isMap := first == "string" || first == "[]interface {}"
			for _, e := range v {
				isMap = isMap && fmt.Sprintf("%T", e) == first
			}
			if !isMap {
				v["aNewField"] = map[string]any{"Records": []any{1, nil, "x"}}
			}
		}
	}
	for _, tr := range triggers {
		for _, name := range tr.samples {
			if strings.HasPrefix(name, "direct") || name == "cloudevent" {
				continue // no event of AWS
			}
			d := newDecoder()
			d.Defaults.Region = region
			var payload any
			if err := json.Unmarshal(sample(t, name), &payload); err != nil {
				t.Fatal(err)
			}
			if event, ok := payload.(map[string]any); ok && name == "eventbridge" {
				event["detail"] = string(encode(t, event["detail"])) // ours, not AWS's
			}
			grow(payload)
			want := mustDecode(t, d, sample(t, name)).Deliveries
			got := mustDecode(t, d, encode(t, payload)).Deliveries
			if diff := cmp.Diff(want, got, notCarried); diff != "" {
				t.Errorf("%s (-before +after):\n%s", name, diff)
			}
		}
	}
}

// TestNotUnderstood: what is no event of a known trigger is an error, so that
// nothing of it is acknowledged.
func TestNotUnderstood(t *testing.T) {
	t.Parallel()
	record := func(fields string) string {
		return `{"messageId":"m","eventSource":"aws:sqs","eventSourceARN":"arn:aws:sqs:eu-central-1:123456789012:q","body":"{}"` + fields + `}`
	}
	for name, tt := range map[string]struct{ payload, want string }{
		"S3":                       {`{"Records":[{"eventSource":"aws:s3","s3":{}}]}`, `no trigger has a payload of this form (Records from "aws:s3")`},
		"Kinesis":                  {`{"Records":[{"eventSource":"aws:kinesis","kinesis":{}}]}`, `no trigger has a payload of this form (Records from "aws:kinesis")`},
		"DynamoDB":                 {`{"Records":[{"eventSource":"aws:dynamodb","dynamodb":{}}]}`, `no trigger has a payload of this form (Records from "aws:dynamodb")`},
		"SES":                      {`{"Records":[{"eventSource":"aws:ses","ses":{}}]}`, `no trigger has a payload of this form (Records from "aws:ses")`},
		"SNS without an id":        {`{"Records":[{"EventSource":"aws:sns","Sns":{"Message":"{}"}}]}`, `a payload of the form of sns: record 0 has no MessageId`},
		"SNS and others":           {`{"Records":[{"EventSource":"aws:sns","Sns":{"MessageId":"m"}},{"eventSource":"aws:s3"}]}`, `a payload of the form of sns: record 1 is not of aws:sns but of ""`},
		"SNS, broken":              {`{"Records":[{"EventSource":"aws:sns","Sns":{"Message":{}}}]}`, `a payload of the form of sns: /Records/0/Sns/Message: expected a string`},
		"EventBridge without id":   {`{"detail-type":"x","detail":{}}`, `a payload of the form of eventbridge: no id`},
		"EventBridge, broken":      {`{"detail-type":"x","id":"i","detail":{}`, `a payload of the form of eventbridge: unexpected end of JSON input`},
		"Kafka, none":              {`{"eventSource":"aws:kafka","records":{"t-0":[]}}`, `a payload of the form of kafka: records is empty`},
		"Kafka, a list":            {`{"eventSource":"aws:kafka","records":[]}`, `a payload of the form of kafka: /records: expected an object`},
		"Kafka without a topic":    {`{"eventSource":"aws:kafka","records":{"":[{"offset":1,"value":"e30="}]}}`, `a payload of the form of kafka: record 0 has no topic`},
		"Kafka without an offset":  {`{"eventSource":"aws:kafka","records":{"t-0":[{"value":"e30="}]}}`, `a payload of the form of kafka: record 0 has no offset`},
		"Kafka, broken":            {`{"eventSource":"aws:kafka","records":{"t-0":{}}}`, `a payload of the form of kafka: /records/t-0: expected an array`},
		"Kafka, no number":         {`{"eventSource":"aws:kafka","records":{"t-0":[{"offset":1.5}]}}`, `a payload of the form of kafka: /records/t-0/0/offset: expected a whole number`},
		"RabbitMQ, none":           {`{"rmqMessagesByQueue":{}}`, `a payload of the form of rabbitmq: no messages`},
		"RabbitMQ, broken":         {`{"rmqMessagesByQueue":{"q::/":5}}`, `a payload of the form of rabbitmq: /rmqMessagesByQueue/q::~1: expected an array`},
		"ActiveMQ, none":           {`{"messages":[],"eventSource":"aws:mq"}`, `a payload of the form of activemq: no messages`},
		"ActiveMQ without an id":   {`{"messages":[{"data":"e30="}],"eventSource":"aws:mq"}`, `a payload of the form of activemq: message 0 has no messageID`},
		"REST, broken":             {`{"requestContext":{},"httpMethod":"POST","body":{}}`, `a payload of the form of apigw-rest: body: expected a string`},
		"ALB, broken":              {`{"requestContext":{"elb":{}},"httpMethod":5}`, `a payload of the form of alb: httpMethod: expected a string`},
		"no source":                {`{"Records":[{}]}`, `no trigger has a payload of this form (Records from "")`},
		"no records of a source":   {`{"eventSource":"aws:sqs","Records":[]}`, `no trigger has a payload of this form (Records is empty)`},
		"no records":               {`{"Records":[]}`, `no trigger has a payload of this form (Records is empty)`},
		"Records is no list":       {`{"Records":{"eventSource":"aws:sqs"}}`, `no trigger has a payload of this form (Records from "")`},
		"Records is no list, from": {`{"eventSource":"aws:sqs","Records":{}}`, `no trigger has a payload of this form (Records from "")`},
		"Records is null":          {`{"Records":null}`, `no trigger has a payload of this form (Records from "")`},
		"Records after others":     {`{"project_id":"x","Records":[{"eventSource":"aws:s3"}]}`, `no trigger has a payload of this form (Records from "aws:s3")`},
		"Pipes, broken":            {`[` + record("") + `,`, `a payload of the form of pipes-sqs: jsontext: unexpected EOF after offset 114`},
		"Pipes without an id":      {`[{"eventSource":"aws:sqs","body":"{}"}]`, `a payload of the form of pipes-sqs: record 0 has no messageId`},
		"control character":        {"{\"Records\":[{\"eventSource\":\"aws:\u007f\\u0000\\r\\nX\"}]}", `no trigger has a payload of this form (Records from "aws:\x7f\x00\r\nX")`},
		"mixed sources":            {`{"Records":[` + record("") + `,{"eventSource":"aws:s3"}]}`, `a payload of the form of sqs: record 1 is not of aws:sqs but of "aws:s3"`},
		"no messageId":             {`{"Records":[` + record("") + `,{"eventSource":"aws:sqs","body":"{}"}]}`, `a payload of the form of sqs: record 1 has no messageId`},
		"null record":              {`{"Records":[` + record("") + `,null]}`, `a payload of the form of sqs: record 1 is not of aws:sqs but of ""`},
		"records hidden by others": {`{"Records":[` + record("") + `],"Records":[]}`, `a payload of the form of sqs: Records is given twice`},
		"broken SQS":               {`{"Records":[` + record("") + `,`, `a payload of the form of sqs: jsontext: unexpected EOF within "/Records" after offset 125`},
		"body is no text":          {`{"Records":[` + record(`,"body":{}`) + `]}`, `a payload of the form of sqs: /Records/0/body: expected a string`},
		"broken batch":             {`[{},`, `a payload of the form of direct-batch: jsontext: unexpected EOF after offset 4`},
		"empty batch":              {`[]`, `a payload of the form of direct-batch: 0 requests, expected 1 to 1000`},
		"long batch":               {`[{}` + strings.Repeat(",{}", maxDirectBatch) + `]`, `a payload of the form of direct-batch: 1001 requests, expected 1 to 1000`},
		"broken HTTP":              {`{"requestContext":{},"routeKey":"$default"`, `a payload of the form of apigw-http: unexpected end of JSON input`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b, err := newDecoder().Decode([]byte(tt.payload), invocation)
			if err == nil {
				t.Fatalf("decoded as %+v", b.Deliveries)
			}
			e, ok := errors.AsType[*kind.Error](err)
			if !ok || e.Kind != kind.InvalidEvent {
				t.Errorf("error %v, want an InvalidEvent", err)
			} else if !strings.HasPrefix(e.Message, tt.want) {
				t.Errorf("message %s\nwant    %s", e.Message, tt.want)
			}
		})
	}
}

// TestToldApart: by exact names of the top level, in the order of the contract.
func TestToldApart(t *testing.T) {
	t.Parallel()
	for payload, want := range map[string]string{
		`[{"eventSource":"aws:sqs"},{"eventSource":"aws:s3"},{"eventSource":"aws:sqs"}]`: "",

		`[{"eventSource":"aws:s3"}]`:                                                          "",
		`[null]`:                                                                              "direct-batch",
		`[{"eventSource":"aws:sqs"}]`:                                                         "pipes-sqs",
		`[{"eventSource":"aws:rmq"}]`:                                                         "pipes-rabbitmq",
		`[{"eventSource":"aws:amq"}]`:                                                         "pipes-activemq",
		`[{"eventSource":"aws:mq"}]`:                                                          "pipes-activemq",
		`[{"eventSource":"aws:sqs"},{"eventSource":"aws:sqs"}]`:                               "pipes-sqs",
		`[{"eventSource":"aws:sqs"},{"eventSource":"aws:s3"}]`:                                "",
		`[{},{"eventSource":"aws:sqs"}]`:                                                      "",
		`{"Records":[{"EventSource":"aws:sns"}],"detail-type":""}`:                            "sns",
		`{"eventSource":"aws:sqs","Records":[{"EventSource":"aws:sns"}]}`:                     "sns",
		`{"requestContext":{},"httpMethod":"GET"}`:                                            "apigw-rest",
		`{"requestContext":{"elb":{}},"httpMethod":"GET"}`:                                    "alb",
		`{"httpMethod":"GET","requestContext":{"elb":{}}}`:                                    "alb",
		`{"requestContext":{"a":1,"elb":{},"b":2},"httpMethod":"GET"}`:                        "alb",
		`{"requestContext":"elb","httpMethod":"GET"}`:                                         "apigw-rest",
		`{"requestContext":5,"eventSource":"aws:kafka","records":{}}`:                         "kafka",
		`{"requestContext":{"a":{"elb":{}}},"httpMethod":"GET"}`:                              "apigw-rest",
		`{"requestContext":{},"routeKey":"","httpMethod":"","detail-type":""}`:                "apigw-http",
		`{"requestContext":{},"httpMethod":"","detail-type":""}`:                              "apigw-rest",
		`{"detail-type":"","specversion":"1.0"}`:                                              "eventbridge",
		`{"detail":{},"detailType":""}`:                                                       "direct",
		` [ [] ] `:                                                                            "direct-batch",
		`{"Records":[{"eventSource":"aws:sqs"}],"eventSource":"aws:kafka"}`:                   "sqs",
		`{"Records":[{"eventSource":"aws:sqs"}],"requestContext":{},"routeKey":0}`:            "sqs",
		`{"requestContext":{},"routeKey":0,"Records":[{"eventSource":"aws:sqs"}]}`:            "sqs",
		"\n{ \"Records\" : [ { \"a\" : [ { } , \"}\" ] , \"eventSource\" : \"aws:sqs\" } ] }": "sqs",
		`{"\u0052ecords":[{"eventSource":"aws:sqs"}]}`:                                        "sqs",
		`{"requestContext":{"routeKey":""},"routeKey":""}`:                                    "apigw-http",
		`{"requestContext":{"routeKey":""}}`:                                                  "direct",
		`{"records":[{"eventSource":"aws:sqs"}]}`:                                             "direct",
		`{"a":{"Records":[{"eventSource":"aws:sqs"}]}}`:                                       "direct",
		`{"a":"{\"Records\":[{\"eventSource\":\"aws:sqs\"}]}"}`:                               "direct",
		`null`:      "direct",
		`"Records"`: "direct",
		`1`:         "direct",
		`{`:         "direct",
		`}`:         "direct",
		`{"a"`:      "direct",
		`{,,,`:      "direct",
		``:          "direct",
	} {
		s := shapeOf([]byte(payload))
		got := ""
		for _, tr := range triggers {
			if tr.is(s) {
				got = tr.samples[0]
				break
			}
		}
		if got != want {
			t.Errorf("%s is told to be %q, want %q", payload, got, want)
		}
	}
}

// TestCorrelation: the body's own name goes before the envelope's, that before
// the delivery's.
func TestCorrelation(t *testing.T) {
	t.Parallel()
	body := func(id string) string {
		return string(encode(t, with(requestFor(vaultA), func(r *delivery.Request) { r.CorrelationID = id })))
	}
	const causation = "059f36b4-87a3-44ab-83d2-661975830a7d"
	long := strings.Repeat("x", 129)
	for name, tt := range map[string]struct{ body, envelope, want string }{
		"body":                      {body("own"), "", "own"},
		"body before envelope":      {body("own"), "envelope", "own"},
		"envelope":                  {body(""), "envelope", "envelope"},
		"delivery":                  {body(""), "", causation},
		"longest":                   {body(long[:128]), "", long[:128]},
		"envelope's is too long":    {body(""), long, causation},
		"envelope's has a space":    {body(""), "a b", causation},
		"envelope's has a control":  {body(""), "a\u007f", causation},
		"envelope's is not ASCII":   {body(""), "é", causation},
		"rejected, but correlated":  {`{"correlation_id":"own"}`, "envelope", "own"},
		"rejected, by the envelope": {`{}`, "envelope", "envelope"},
		"body's is bad":             {`{"correlation_id":"a b"}`, "envelope", "envelope"},
		"body's is given twice":     {`{"correlation_id":"one","correlation_id":"two"}`, "", "one"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			queue := sampleWith(t, "sqs", func(e map[string]any) {
				record := e["Records"].([]any)[0].(map[string]any)
				record["body"] = tt.body
				record["messageAttributes"] = map[string]any{"correlation_id": map[string]any{"stringValue": tt.envelope, "dataType": "String"}}
			})
			if got := mustDecode(t, newDecoder(), queue).Deliveries[0].CorrelationID; got != tt.want {
				t.Errorf("SQS: %q, want %q", got, tt.want)
			}
			topic := sampleWith(t, "sns", func(e map[string]any) {
				message := e["Records"].([]any)[0].(map[string]any)["Sns"].(map[string]any)
				message["Message"], message["MessageId"] = tt.body, causation
				message["MessageAttributes"] = map[string]any{"correlation_id": map[string]any{"Type": "String", "Value": tt.envelope}}
			})
			if got := mustDecode(t, newDecoder(), topic).Deliveries[0].CorrelationID; got != tt.want {
				t.Errorf("SNS: %q, want %q", got, tt.want)
			}
			http := sampleWith(t, "function-url", func(e map[string]any) {
				e["body"], e["isBase64Encoded"] = tt.body, false
				e["headers"].(map[string]any)["X-CORRELATION-id"] = tt.envelope
				e["requestContext"].(map[string]any)["requestId"] = causation
			})
			if got := mustDecode(t, newDecoder(), http).Deliveries[0].CorrelationID; got != tt.want {
				t.Errorf("HTTP: %q, want %q", got, tt.want)
			}
		})
	}
}

// TestCredentialComesIn: a credential that somebody sends is masked wherever a
// delivery shows it.
func TestCredentialComesIn(t *testing.T) {
	t.Parallel()
	const secret = "MIIDkgYJKoZIhvcNAQcCoIIDgzCC"
	d := newDecoder()
	d.Redact.Hide(secret)
	request := with(requestFor(vaultA), func(r *delivery.Request) {
		urn := "urn:" + secret
		r.CorrelationID, r.Replicate.CrossAccountURN = secret, &urn
	})
	for name, body := range map[string]string{
		"valid":      string(encode(t, request)),
		"field name": `{"correlation_id":"` + secret + `","` + secret + `":1}`,
	} {
		payload := sampleWith(t, "sqs", func(e map[string]any) {
			record := e["Records"].([]any)[0].(map[string]any)
			record["body"] = body
			record["messageId"] = secret
			record["messageAttributes"] = map[string]any{"correlation_id": map[string]any{"stringValue": secret}}
		})
		b := mustDecode(t, d, payload)
		if r := &b.Deliveries[0].Request; r.Replicate.CrossAccountURN != nil {
			if urn := *r.Replicate.CrossAccountURN; urn != "urn:"+secret {
				t.Errorf("%s: the URN to be compared and sent is %s", name, urn)
			}
			b.Deliveries[0].Request = *r.Shown(d.Redact)
		}
		if shown := string(encode(t, b.Deliveries)); strings.Contains(shown, secret) || !strings.Contains(shown, redact.Mask) {
			t.Errorf("%s: %s", name, shown)
		}
	}
}

// anyOutcomes makes outcomes of every kind out of a seed.
func anyOutcomes(n int, seed uint64) []delivery.Outcome {
	kinds := []kind.Kind{
		kind.None, kind.AlreadyReplicated, kind.NothingToReplicate, kind.NotCovered, kind.InProgress, kind.InvalidEvent, kind.NotAllowed,
		kind.Rejected, kind.Misconfigured, kind.Unauthorized, kind.Throttled, kind.Unavailable, kind.Unknown, kind.OutOfTime, kind.Blocked,
		kind.PublishFailed, kind.Internal, "Nonsense",
	}
	outcomes := make([]delivery.Outcome, n)
	for i := range outcomes {
		seed = seed*6364136223846793005 + 1442695040888963407
		bits := seed >> 32
		if k := kinds[bits%uint64(len(kinds))]; k != kind.None {
			outcomes[i].Err = &kind.Error{Kind: k, Message: "because", RetryAfter: time.Duration(bits % 7e9)}
		}
		if bits>>8&1 == 1 {
			outcomes[i].PublishErr = &kind.Error{Kind: kind.PublishFailed}
		}
		if bits>>9&1 == 1 {
			outcomes[i].Answer = cbr.Answer{Sent: true, Status: 200, Replication: json.RawMessage(`{}`), RequestID: "r"}
		}
		if bits>>10&1 == 1 {
			outcomes[i].Data = result.Data{Status: "x"}
		}
	}
	return outcomes
}

// FuzzDecode: whatever comes in, each delivery has a valid request or says why
// not, and can be answered.
func FuzzDecode(f *testing.F) {
	for _, tr := range triggers {
		for _, name := range tr.samples {
			f.Add(sample(f, name), uint64(1))
		}
	}
	for _, wrap := range wrappers {
		f.Add(inQueue(f, wrap(f, string(encode(f, requestFor(vaultA)))), ""), uint64(1))
		f.Add([]byte(wrap(f, ownEvent(f, kind.Accepted))), uint64(1))
	}
	f.Fuzz(func(t *testing.T, payload []byte, seed uint64) {
		d := newDecoder()
		b, err := d.Decode(payload, invocation)
		if err != nil {
			if e, ok := errors.AsType[*kind.Error](err); !ok || e.Kind != kind.InvalidEvent || !isPrintable(e.Error()) {
				t.Fatalf("error %q, want a printable InvalidEvent", err)
			}
			return
		}
		for _, del := range b.Deliveries {
			if del.Err == nil {
				checkRequest(t, d, del.Request)
				continue
			}
			if confirms := errors.Is(del.Err, errConfirmation) && del.Err.Kind == kind.Misconfigured; !confirms && del.Err.Kind != kind.InvalidEvent || !isPrintable(del.Err.Error()) {
				t.Errorf("error %q, want a printable InvalidEvent", del.Err)
			}
			if diff := cmp.Diff(delivery.Request{CorrelationID: del.Request.CorrelationID}, del.Request); diff != "" {
				t.Errorf("beside an error (-want +got):\n%s", diff)
			}
			if del.CorrelationID != "" && !isPrintable(del.CausationID+del.CorrelationID) {
				t.Errorf("ids %q %q", del.CausationID, del.CorrelationID)
			}
		}

		outcomes := anyOutcomes(len(b.Deliveries), seed)
		reply, err := b.Reply(outcomes)
		if err == nil && !json.Valid(reply) {
			t.Errorf("reply %s", reply)
		}
		if _, err := b.Reply(append(outcomes, delivery.Outcome{})); err == nil {
			t.Error("replied to one outcome too many")
		}
		s := shapeOf(payload)
		first := slices.IndexFunc(triggers, func(tr trigger) bool { return tr.is(s) })
		switch triggers[first].samples[0] {
		case "sns", "kafka", "rabbitmq", "activemq", "pipes-kafka", "pipes-rabbitmq", "pipes-activemq", "eventbridge":
			// One that brings all or nothing: null takes all as done.
			if goesBack := slices.ContainsFunc(outcomes, delivery.Outcome.HandedBack); goesBack != (err != nil) || !goesBack && string(reply) != "null" {
				t.Errorf("reply %s, %v", reply, err)
			}
		}
		if !sqs.is(s) {
			return
		}
		var event map[string][]map[string]any
		var answer struct {
			Failures []struct{ ItemIdentifier string } `json:"batchItemFailures"`
		}
		if err := json.Unmarshal(reply, &answer); err != nil || answer.Failures == nil {
			t.Fatalf("reply %s", reply)
		}
		_ = json.Unmarshal(payload, &event) // the rest of it may have any form
		want := map[string]bool{}
		for i, r := range event["Records"] {
			if outcomes[i].HandedBack() {
				want[r["messageId"].(string)] = true
			}
		}
		for i, r := range event["Records"] {
			if !outcomes[i].HandedBack() {
				delete(want, r["messageId"].(string)) // delivered twice, and one of the two came to its end
			}
		}
		for _, failure := range answer.Failures {
			if !want[failure.ItemIdentifier] {
				t.Errorf("%q is unknown, fine or reported twice", failure.ItemIdentifier)
			}
			delete(want, failure.ItemIdentifier)
		}
		if len(want) > 0 {
			t.Errorf("not reported: %v", want)
		}
	})
}

func isPrintable(s string) bool {
	return !strings.ContainsFunc(s, func(c rune) bool { return !unicode.IsPrint(c) })
}
