package events

import (
	"testing"

	"cbr-replicator/internal/delivery"
	"cbr-replicator/internal/kind"
)

// TestRabbitMQNames: a publisher's id belongs to its queue. A message without an id
// is named after the invocation.
func TestRabbitMQNames(t *testing.T) {
	t.Parallel()
	payload := []byte(`{"eventSource":"aws:rmq","eventSourceArn":"arn","rmqMessagesByQueue":{
		"b::/":[{"basicProperties":{"messageId":"1"},"data":"e30="},{"basicProperties":null,"data":"e30="}],
		"a::/":[{"basicProperties":{"messageId":"1","correlationId":"c"},"data":"e30="},{"data":"e30="}]}}`)
	want := [][3]string{
		{"arn/b::/", "1", "1"},
		{"arn/b::/", invocation.RequestID + "/1", invocation.RequestID + "/1"},
		{"arn/a::/", "1", "c"},
		{"arn/a::/", invocation.RequestID + "/3", invocation.RequestID + "/3"},
	}
	for i, del := range mustDecode(t, httpDecoder(), payload).Deliveries {
		if got := [3]string{del.Source, del.CausationID, del.CorrelationID}; got != want[i] {
			t.Errorf("delivery %d: %q, want %q", i, got, want[i])
		}
		if del.Err != nil || del.Group != "" || del.Final {
			t.Errorf("delivery %d: %+v", i, del)
		}
	}
}

// TestActiveMQSource: AWS spells the source in two ways.
func TestActiveMQSource(t *testing.T) {
	t.Parallel()
	for _, source := range []string{"aws:mq", "aws:amq"} {
		got := mustDecode(t, newDecoder(), sampleWith(t, "activemq", func(e map[string]any) { e["eventSource"] = source })).Deliveries
		if len(got) != 2 || got[0].Err != nil || got[0].Final {
			t.Errorf("%s: %+v", source, got)
		}
	}
}

// TestMQPoison: bad data of one message affects no other.
func TestMQPoison(t *testing.T) {
	t.Parallel()
	for name, messages := range map[string]func(map[string]any) any{
		"activemq": func(e map[string]any) any { return e["messages"] },
		"rabbitmq": func(e map[string]any) any { return e["rmqMessagesByQueue"].(map[string]any)["replication-requests::/"] },
	} {
		for _, data := range []any{"{}", "", nil, "aGVsbG8="} {
			b := mustDecode(t, newDecoder(), sampleWith(t, name, func(e map[string]any) {
				messages(e).([]any)[0].(map[string]any)["data"] = data
			}))
			if d := b.Deliveries; d[0].Err.Of() != kind.InvalidEvent || d[1].Err != nil {
				t.Fatalf("%s: %v: deliveries %+v", name, data, d)
			}
			if got, err := b.Reply([]delivery.Outcome{{Err: b.Deliveries[0].Err}, {}}); err != nil || string(got) != "null" {
				t.Errorf("%s: reply %s, %v", name, got, err)
			}
		}
	}
}
