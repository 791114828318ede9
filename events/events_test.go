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

// nightly is the time of the samples.
var nightly = time.Date(2026, 11, 23, 2, 0, 0, 0, time.UTC)

// nightlyID is the correlation id of the samples.
const nightlyID = "nightly-2026-11-23"

var invocation = delivery.Invocation{
	RequestID:   "8476a536-e9f4-11e8-9739-2dfe598c3fcd",
	FunctionARN: "arn:aws:lambda:eu-central-1:123456789012:function:cbr-replicator",
	Began:       nightly.Add(time.Second),
}

// longAgo is a clock to which no request is old.
func longAgo() time.Time { return time.Time{} }

func newDecoder() *Decoder {
	return &Decoder{Redact: &redact.Redactor{}, HTTPTimeout: 27 * time.Second, MaxReceiveCount: 10, Now: longAgo}
}

// decoderOf is for the cloud that a sample is of.
func decoderOf(sample string) *Decoder {
	d := newDecoder()
	d.FunctionGraph = strings.HasPrefix(sample, "functiongraph/")
	return d
}

// notCarried compares deliveries without their bodies.
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

// TestEverySampleHasItsTrigger: each trigger has its samples, and is the first that
// takes them.
func TestEverySampleHasItsTrigger(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("*.json")
	if err != nil {
		t.Fatal(err)
	}
	more, err := filepath.Glob("functiongraph/*.json")
	if err != nil {
		t.Fatal(err)
	}
	files = append(files, more...)
	slices.Sort(files)
	var names []string
	for i, tr := range triggers {
		names = append(names, tr.samples...)
		for _, name := range tr.samples {
			f := detect(sample(t, name))
			f.functionGraph = decoderOf(name).FunctionGraph
			if first := slices.IndexFunc(triggers, func(tr trigger) bool { return tr.is(f) }); first != i {
				t.Errorf("%s.json is taken by trigger %d, want %d", name, first, i)
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

		targetGroup = "arn:aws:elasticloadbalancing:eu-central-1:123456789012:targetgroup/cbr-replicator/49e9d65c45c6791a"
	)
	no := false
	// A delivery of the request for a vault. A change makes it another.
	type change func(*delivery.Delivery)
	of := func(vault, source, causation string, changes ...change) delivery.Delivery {
		d := delivery.Delivery{Source: source, CausationID: causation, CorrelationID: causation, Request: requestFor(vault)}
		for _, change := range changes {
			change(&d)
		}
		return d
	}
	correlated := func(d *delivery.Delivery) { d.CorrelationID = nightlyID }                                // by the envelope
	named := func(d *delivery.Delivery) { d.CorrelationID, d.Request.CorrelationID = nightlyID, nightlyID } // by the request
	final := func(d *delivery.Delivery) { d.Final = true }
	first := func(d *delivery.Delivery) { d.Queue.Receives = 1 }
	group := func(name string) change { return func(d *delivery.Delivery) { d.Group = name } }
	numbered := func(n string) change {
		return func(d *delivery.Delivery) {
			d.CorrelationID, d.Request.CorrelationID = nightlyID+"/"+n, nightlyID+"/"+n
		}
	}
	noTrigger := func(d *delivery.Delivery) { d.Request.Replicate.AutoTrigger = &no }
	noAcceleration := func(d *delivery.Delivery) { d.Request.Replicate.EnableAcceleration = &no }
	batch := func(deliveries ...delivery.Delivery) *Batch { return &Batch{Deliveries: deliveries} }
	until := func(deadline time.Time, d delivery.Delivery) *Batch {
		return &Batch{Deadline: deadline, Deliveries: []delivery.Delivery{d}}
	}

	// A mapping and a pipe bring the same deliveries.
	ofQueue := batch(
		of(vaultA, queue, "059f36b4-87a3-44ab-83d2-661975830a7d", first, named),
		of(vaultB, queue, "2e1424d4-f796-459a-8184-9c92662be6da", first),
	)
	ofKafka := batch(
		of(vaultA, cluster, "replication-requests/0/15", group("replication-requests/0"), correlated),
		of(vaultB, cluster, "replication-requests/0/16", group("replication-requests/0")),
		of(vaultC, cluster, "replication-requests/1/7", group("replication-requests/1")),
	)
	ofRabbitMQ := batch(
		of(vaultA, broker+"/replication-requests::/", "5f3c0f8a-6d0b-4d7e-9b54-2f4b5f3e6a10", correlated),
		of(vaultB, broker+"/replication-requests::/", invocation.RequestID+"/1"),
	)
	ofActiveMQ := batch(
		of(vaultA, broker, message+"1", correlated),
		of(vaultB, broker, message+"2"),
	)
	answered := func(d *delivery.Delivery) { d.Answered = true }
	fromTopic := func(d *delivery.Delivery) { d.CorrelationID = "nightly_2026_11_23" } // SMN's attributes have no hyphens
	ofTick := func(d *delivery.Delivery) { d.Request.RequestedAt = nightly }
	const urn = "urn:fss:region1:" + project + ":function:default:cbr-replicator:latest"
	for name, want := range map[string]*Batch{
		"functiongraph/apig":  until(invocation.Began.Add(27*time.Second), of(vaultA, "cafe6a0b5d3f4c2e8a1b9d7c6e5f4a3b", "a31d3bb5bd5e4c9f9a8d0e1f2a3b4c5d", final, correlated)),
		"functiongraph/smn":   batch(of(vaultA, "urn:smn:region1:"+project+":replication-requests", "a51671f77d4a479cacb09e2cd591a983", final, fromTopic)),
		"functiongraph/timer": batch(of(vaultA, invocation.FunctionARN, "nightly/2026-11-23T10:00:00+08:00", final, named, ofTick)),
		"functiongraph/kafka": batch(
			of(vaultA, "08fd2b5c-7a34-4e4e-9f3a-1f6f2f0a7c11/replication-requests", invocation.RequestID+"/0", answered, named),
			of(vaultB, "08fd2b5c-7a34-4e4e-9f3a-1f6f2f0a7c11/replication-requests", invocation.RequestID+"/1", answered),
		),
		"functiongraph/rocketmq": batch(of(vaultA, "4c1a2d3e-5b6f-4a70-8c91-2d3e4f5a6b7c/replication-requests", invocation.RequestID+"/0", answered, named)),
		"functiongraph/rabbitmq": batch(
			of(vaultA, "9d8c7b6a-5f4e-4d3c-8b2a-1f0e9d8c7b6a/replication-requests", invocation.RequestID+"/0", answered, named),
			of(vaultB, "9d8c7b6a-5f4e-4d3c-8b2a-1f0e9d8c7b6a/replication-requests", invocation.RequestID+"/1", answered),
		),
		"functiongraph/eventgrid":   batch(of(vaultA, "backup-plans", "b27e6cbf-6d1c-4f37-9c58-0f2b1a3d4e5f", final, correlated)),
		"functiongraph/destination": batch(of(vaultA, urn, "c61f58df-2a0b-4b6f-9f57-0d3c1e2f4a5b", final, fromTopic)),

		"sqs":            ofQueue,
		"pipes-sqs":      ofQueue,
		"kafka":          ofKafka,
		"pipes-kafka":    ofKafka,
		"rabbitmq":       ofRabbitMQ,
		"pipes-rabbitmq": ofRabbitMQ,
		"activemq":       ofActiveMQ,
		"pipes-activemq": ofActiveMQ,
		"sqs-fifo": batch(
			of(vaultA, queue+".fifo", "11d6ee51-4cc7-4302-9e22-7cd8afdaadf5", first, group("production"), correlated),
			of(vaultB, queue+".fifo", "b3e0c6a4-2f57-4f0d-8a1e-6b0b4e4c7d52", first, group("production")),
			of(vaultC, queue+".fifo", "7f0b8a9d-51c6-4d7e-a1f2-3c5d9e8b6a40", first, group("archive")),
		),
		"sns":          batch(of(vaultA, "arn:aws:sns:eu-central-1:123456789012:replication-requests", "95df01b4-ee98-5cb9-9903-4c221d41eb5e", correlated)),
		"eventbridge":  batch(of(vaultA, "123456789012/eu-central-1/example.backup-plans", "17793124-05d4-b198-2fde-7ededc63b103", named)),
		"function-url": batch(of(vaultA, "abcdefghijklmnopqrstuvwxyz012345", "e1506fd5-9e7b-434f-bd42-4f8fa224b599", final, named)),
		"apigw-http":   until(nightly.Add(27*time.Second), of(vaultA, "a1b2c3d4e5", "JKJaXmPLvHcESHA=", final, correlated, noTrigger)),
		"apigw-rest":   until(nightly.Add(27*time.Second), of(vaultA, "q1w2e3r4t5", "deef4878-7910-41e6-8f14-25afc3e9ae33", final, correlated)),
		"alb":          until(invocation.Began.Add(27*time.Second), of(vaultA, targetGroup, "Root=1-6b03b820-00ca239424b68028d4c56d68", final, correlated)),
		"cloudevent":   batch(of(vaultA, invocation.FunctionARN, invocation.RequestID+"/0", final, correlated)),
		"direct":       batch(of(vaultA, invocation.FunctionARN, invocation.RequestID+"/0", final, named, noTrigger, noAcceleration)),
		"direct-batch": batch(
			of(vaultA, invocation.FunctionARN, invocation.RequestID+"/0", final, numbered("1")),
			of(vaultB, invocation.FunctionARN, invocation.RequestID+"/1", final, numbered("2")),
		),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := decoderOf(name)
			d.Defaults.Region = region // CBR's own body does not name one
			got := mustDecode(t, d, sample(t, name))
			// See TestEarlierDeliveries.
			if diff := cmp.Diff(want.Deliveries, got.Deliveries, cmpopts.IgnoreFields(delivery.Delivery{}, "Queue.ReceiptHandle", "Queue.ARN", "Last", "Redelivered", "Since", "Claimed", "Undated"), notCarried); diff != "" {
				t.Errorf("deliveries (-want +got):\n%s", diff)
			}
			if !got.Deadline.Equal(want.Deadline) {
				t.Errorf("deadline %v, want %v", got.Deadline, want.Deadline)
			}
		})
	}
}

// TestNewFieldsOfAWS: an event may have fields that are not known here, at every
// level.
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
			// A map from names to texts, or to lists, gets no member of another type.
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
				continue // no event of a cloud
			}
			d := decoderOf(name)
			d.Defaults.Region = region
			var payload any
			if err := json.Unmarshal(sample(t, name), &payload); err != nil {
				t.Fatal(err)
			}
			if event, ok := payload.(map[string]any); ok && name == "eventbridge" {
				event["detail"] = string(encode(t, event["detail"])) // ours, not AWS's
			} else if ok && name == "functiongraph/eventgrid" {
				event["data"] = string(encode(t, event["data"]))
			}
			grow(payload)
			want := mustDecode(t, d, sample(t, name)).Deliveries
			for _, del := range want {
				if del.Err != nil {
					t.Errorf("%s: %v", name, del.Err)
				}
			}
			got := mustDecode(t, d, encode(t, payload)).Deliveries
			if diff := cmp.Diff(want, got, notCarried); diff != "" {
				t.Errorf("%s (-before +after):\n%s", name, diff)
			}
		}
	}
}

// TestNotUnderstood: a payload of no known trigger is an error, so that nothing of
// it is acknowledged.
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

// TestDetect: a trigger is recognized by exact names of the top level, in the order
// of the contract.
func TestDetect(t *testing.T) {
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
		f := detect([]byte(payload))
		got := ""
		for _, tr := range triggers {
			if tr.is(f) {
				got = tr.samples[0]
				break
			}
		}
		if got != want {
			t.Errorf("%s: the trigger is %q, want %q", payload, got, want)
		}
	}
}

// TestCorrelation: the correlation id is the body's own, else the envelope's, else
// the causation id.
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

// TestCredentialInRequest: a credential in a request is masked wherever the
// delivery shows it.
func TestCredentialInRequest(t *testing.T) {
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

// FuzzDecode: of any payload, each delivery has a valid request or an error, and
// the batch can be answered.
func FuzzDecode(f *testing.F) {
	const ofFunctionGraph, asyncCall = uint64(1) << 63, uint64(1) << 62 // of a seed
	for _, tr := range triggers {
		for _, name := range tr.samples {
			f.Add(sample(f, name), uint64(1))
			f.Add(sample(f, name), ofFunctionGraph|1)
			f.Add(sample(f, name), ofFunctionGraph|asyncCall|1)
		}
	}
	for _, wrap := range wrappers {
		f.Add(inQueue(f, wrap(f, string(encode(f, requestFor(vaultA)))), ""), uint64(1))
		f.Add([]byte(wrap(f, ownEvent(f, kind.Accepted))), uint64(1))
	}
	f.Fuzz(func(t *testing.T, payload []byte, seed uint64) {
		d, inv := newDecoder(), invocation
		d.FunctionGraph = seed&ofFunctionGraph != 0
		d.StartOnEvents = []string{"backupSucceeded"}
		inv.Async = d.FunctionGraph && seed&asyncCall != 0
		b, err := d.Decode(payload, inv)
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
		if inv.Async {
			for _, del := range b.Deliveries {
				if del.Final || del.Last || !del.Redelivered || del.Since.IsZero() {
					t.Errorf("of an asynchronous call: %+v", del)
				}
			}
			if handedBack := slices.ContainsFunc(outcomes, delivery.Outcome.HandedBack); len(outcomes) > 0 && handedBack != (err != nil) {
				t.Errorf("reply %s, %v", reply, err)
			}
			return
		}
		f := detect(payload)
		f.functionGraph = d.FunctionGraph
		first := slices.IndexFunc(triggers, func(tr trigger) bool { return tr.is(f) })
		switch triggers[first].samples[0] {
		case "sns", "kafka", "rabbitmq", "activemq", "pipes-kafka", "pipes-rabbitmq", "pipes-activemq", "eventbridge":
			// All or nothing: null acknowledges all.
			if handedBack := slices.ContainsFunc(outcomes, delivery.Outcome.HandedBack); handedBack != (err != nil) || !handedBack && string(reply) != "null" {
				t.Errorf("reply %s, %v", reply, err)
			}
		}
		if !sqs.is(f) {
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
				delete(want, r["messageId"].(string)) // of two deliveries of a message one may be acknowledged
			}
		}
		for _, failure := range answer.Failures {
			if !want[failure.ItemIdentifier] {
				t.Errorf("%q is unknown, acknowledged or reported twice", failure.ItemIdentifier)
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
