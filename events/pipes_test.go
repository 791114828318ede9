package events

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"cbr-replicator/internal/delivery"
	"cbr-replicator/internal/kind"
)

// TestArrayOfAnotherSource: a pipe sends an array for any source, and takes any
// answer but an error for success. So an array with a record in it is never a
// direct batch.
func TestArrayOfAnotherSource(t *testing.T) {
	t.Parallel()
	const message = `{"eventSource":"aws:sqs","messageId":"m","eventSourceARN":"arn","receiptHandle":"r","body":"{}"}`
	for name, tt := range map[string]struct{ payload, want string }{
		"Kinesis":                  {`[{"eventSource":"aws:kinesis","data":"e30=","sequenceNumber":"1"}]`, `an array of records from "aws:kinesis"`},
		"DynamoDB":                 {`[{"eventSource":"aws:dynamodb","dynamodb":{}},{"eventSource":"aws:dynamodb","dynamodb":{}}]`, `an array of records from "aws:dynamodb"`},
		"unheard of":               {`[{"eventSource":"aws:new"}]`, `an array of records from "aws:new"`},
		"SNS":                      {`[{"EventSource":"aws:sns","Sns":{}}]`, `an array of records from "aws:sns"`},
		"no text":                  {`[{"eventSource":null}]`, `an array of records from ""`},
		"a number":                 {`[{"eventSource":5}]`, `an array of records from ""`},
		"SQS, then none":           {`[` + message + `,{"messageId":"n","body":"{}"}]`, "not all are records of one source"},
		"none, then SQS":           {`[{"messageId":"n","body":"{}"},` + message + `]`, "not all are records of one source"},
		"SQS and a request":        {`[` + message + `,{"replicate":{}}]`, "not all are records of one source"},
		"a request and Kafka":      {`[{},{"eventSource":"aws:kafka"}]`, "not all are records of one source"},
		"SQS and Kafka":            {`[` + message + `,{"eventSource":"aws:kafka"}]`, "not all are records of one source"},
		"SQS and no object":        {`[` + message + `,null,5]`, "not all are records of one source"},
		"SQS without any source":   {`[{"messageId":"m","receiptHandle":"r","body":"{}"}]`, `an array of records from ""`},
		"Kafka without any source": {`[{"eventSourceKey":"t-0","topic":"t","value":"e30="}]`, `an array of records from ""`},
		"Kafka, no topic":          {`[{"eventSource":"aws:kafka","offset":1,"value":"e30="}]`, "record 0 has no topic"},
		"Kafka, no offset":         {`[{"eventSource":"aws:kafka","topic":"t","value":"e30="}]`, "record 0 has no offset"},
		"ActiveMQ, no id":          {`[{"eventSource":"aws:amq","data":"e30="}]`, "message 0 has no messageID"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newDecoder()
			d.Defaults = fullDefaults
			b, err := d.Decode([]byte(tt.payload), invocation)
			if err == nil {
				t.Fatalf("decoded as %+v", b.Deliveries)
			}
			if e := kind.As(err); e.Kind != kind.InvalidEvent || !strings.Contains(e.Message, tt.want) {
				t.Errorf("error %v\nwant  %s", err, tt.want)
			}
		})
	}
}

// TestPipesAsMapped: a pipe and an event source mapping bring the same deliveries
// of a source, and get the same answer.
func TestPipesAsMapped(t *testing.T) {
	t.Parallel()
	for _, source := range []string{"sqs", "kafka", "rabbitmq", "activemq"} {
		mapped, piped := mustDecode(t, newDecoder(), sample(t, source)), mustDecode(t, newDecoder(), sample(t, "pipes-"+source))
		if diff := cmp.Diff(mapped.Deliveries, piped.Deliveries, notCarried); diff != "" {
			t.Errorf("%s (-mapped +piped):\n%s", source, diff)
		}
		outcomes := make([]delivery.Outcome, len(piped.Deliveries))
		outcomes[0].Err = &kind.Error{Kind: kind.InProgress}
		want, wantErr := mapped.Reply(outcomes)
		got, err := piped.Reply(outcomes)
		if string(got) != string(want) || cmp.Diff(wantErr, err) != "" || piped.AtOnce != mapped.AtOnce {
			t.Errorf("%s: replied %s, %v, want %s, %v", source, got, err, want, wantErr)
		}
	}
}

// TestPipesKafkaForms: records of a self-managed cluster, and records as AWS's
// pages write them, which its events do not.
func TestPipesKafkaForms(t *testing.T) {
	t.Parallel()
	request := string(encode(t, encode(t, requestFor(vaultA)))) // in base64
	for name, tt := range map[string]struct{ record, source, causation string }{
		"self-managed":        {`{"eventSource":"SelfManagedKafka","bootstrapServers":"b-1:9092","eventSourceKey":"t-0","topic":"t","partition":0,"offset":15,`, "b-1:9092", "t/0/15"},
		"partition is a text": {`{"eventSource":"aws:kafka","eventSourceArn":"arn","bootstrapServers":"b","eventSourceKey":"t-3","topic":"t","partition":"3","offset":15,`, "arn", "t/3/15"},
		"no topic":            {`{"eventSource":"aws:kafka","eventSourceArn":"arn","eventSourceKey":"a-topic-12","partition":12,"offset":7,`, "arn", "a-topic/12/7"},
		"of the issue":        {`{"eventSource":"aws:kafka","topic":"t","partition":0,"offset":1,`, "", "t/0/1"},
	} {
		got := mustDecode(t, newDecoder(), []byte(`[`+tt.record+`"value":`+request+`}]`)).Deliveries[0]
		want := delivery.Delivery{Source: tt.source, CausationID: tt.causation, CorrelationID: tt.causation, Group: tt.causation[:strings.LastIndex(tt.causation, "/")], Redelivered: true, Request: requestFor(vaultA)}
		if diff := cmp.Diff(want, got, cmpopts.EquateEmpty(), notCarried); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

// TestNothingHidden: a payload with two members of one name is an error, since one
// of the two would be lost.
func TestNothingHidden(t *testing.T) {
	t.Parallel()
	twice := func(name, member string) string {
		var event map[string]json.RawMessage
		if err := json.Unmarshal(sample(t, name), &event); err != nil {
			t.Fatal(err)
		}
		value := event[member]
		delete(event, member)
		rest := encode(t, event)
		return string(rest[:len(rest)-1]) + map[bool]string{true: ","}[len(event) > 0] + `"` + member + `":` + string(value) + `,"` + member + `":` + string(value) + `}`
	}
	for name, member := range map[string]string{
		"sqs": "Records", "sqs-fifo": "Records", "sns": "Records", "kafka": "records", "rabbitmq": "rmqMessagesByQueue", "activemq": "messages",
		"eventbridge": "detail", "apigw-http": "body", "function-url": "body", "apigw-rest": "body", "alb": "body",
	} {
		b, err := newDecoder().Decode([]byte(twice(name, member)), invocation)
		if err == nil {
			t.Errorf("%s: decoded as %+v", name, b.Deliveries)
			continue
		}
		if want := "a payload of the form of " + strings.NewReplacer("sqs-fifo", "sqs", "function-url", "apigw-http").Replace(name) + ": " + member + " is given twice"; kind.As(err).Message != want {
			t.Errorf("%s: %v, want %s", name, err, want)
		}
	}
	for _, payload := range []string{
		twice("cloudevent", "data"),
		`{"replicate":{},"replicate":{}}`,
	} {
		if got := mustDecode(t, newDecoder(), []byte(payload)).Deliveries[0]; got.Err.Of() != kind.InvalidEvent {
			t.Errorf("%s: %v", payload, got.Err)
		}
	}
}
