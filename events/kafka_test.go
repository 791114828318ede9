package events

import (
	"encoding/base64"
	"slices"
	"testing"

	"cbr-replicator/internal/delivery"
	"cbr-replicator/internal/kind"
)

func kafkaEvent(t testing.TB, change func(record map[string]any)) []byte {
	t.Helper()
	return sampleWith(t, "kafka", func(e map[string]any) {
		change(e["records"].(map[string]any)["replication-requests-0"].([]any)[0].(map[string]any))
	})
}

// TestKafkaOrder: each partition is a group, in the order of its offsets.
func TestKafkaOrder(t *testing.T) {
	t.Parallel()
	var want []string
	payload := `{"eventSource":"SelfManagedKafka","bootstrapServers":"b-1:9092,b-2:9092","records":{`
	for _, partition := range []string{"0", "1"} {
		if partition == "1" {
			payload += ","
		}
		payload += `"t-1-` + partition + `":[`
		for i, offset := range []string{"9", "10", "11", "100"} {
			if i > 0 {
				payload += ","
			}
			payload += `{"topic":"t-1","partition":` + partition + `,"offset":` + offset + `,"value":"e30="}`
			want = append(want, "t-1/"+partition+" t-1/"+partition+"/"+offset)
		}
		payload += "]"
	}
	var got []string
	for _, del := range mustDecode(t, httpDecoder(), []byte(payload+"}}")).Deliveries {
		got = append(got, del.Group+" "+del.CausationID)
		if del.Source != "b-1:9092,b-2:9092" || del.Err != nil || del.Final || del.Queue.Receives != 0 {
			t.Errorf("delivery %+v", del)
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("order %v\nwant  %v", got, want)
	}
}

// TestKafkaPoison: a record that can never work is acknowledged. Otherwise it would
// block its partition for ever.
func TestKafkaPoison(t *testing.T) {
	t.Parallel()
	for name, value := range map[string]any{
		"no request":  base64.StdEncoding.EncodeToString([]byte(`{"a":1}`)),
		"no JSON":     base64.StdEncoding.EncodeToString([]byte("\x00\x00\x01")),
		"no base64":   "{}",
		"empty":       "",
		"a tombstone": nil,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := mustDecode(t, newDecoder(), kafkaEvent(t, func(r map[string]any) { r["value"] = value }))
			if d := b.Deliveries; d[0].Err.Of() != kind.InvalidEvent || d[1].Err != nil || d[2].Err != nil {
				t.Fatalf("deliveries %+v", d)
			}
			if got, err := b.Reply([]delivery.Outcome{{Err: b.Deliveries[0].Err}, {}, {}}); err != nil || string(got) != "null" {
				t.Errorf("reply %s, %v", got, err)
			}
		})
	}
}

// TestKafkaItemFailures: a record that is handed back is named by its key in the
// payload and its offset. The list is never one that Lambda would take for success.
func TestKafkaItemFailures(t *testing.T) {
	t.Parallel()
	busy := delivery.Outcome{Err: &kind.Error{Kind: kind.InProgress}}
	blocked := delivery.Outcome{Err: &kind.Error{Kind: kind.Blocked}}
	wrong := delivery.Outcome{Err: &kind.Error{Kind: kind.InvalidEvent}}
	untold := delivery.Outcome{PublishErr: &kind.Error{Kind: kind.PublishFailed}}
	item := func(partition, offset string) string {
		return `{"itemIdentifier":{"partition":"replication-requests-` + partition + `","offset":` + offset + `}}`
	}
	for name, tt := range map[string]struct {
		outcomes []delivery.Outcome
		want     string
	}{
		"all done":            {[]delivery.Outcome{{}, wrong, {}}, `{"batchItemFailures":[]}`},
		"the last of one":     {[]delivery.Outcome{{}, busy, {}}, `{"batchItemFailures":[` + item("0", "16") + `]}`},
		"all of one":          {[]delivery.Outcome{busy, blocked, {}}, `{"batchItemFailures":[` + item("0", "15") + `,` + item("0", "16") + `]}`},
		"of both":             {[]delivery.Outcome{{}, untold, busy}, `{"batchItemFailures":[` + item("0", "16") + `,` + item("1", "7") + `]}`},
		"the other partition": {[]delivery.Outcome{wrong, {}, busy}, `{"batchItemFailures":[` + item("1", "7") + `]}`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newDecoder()
			d.KafkaItemFailures = true
			b := mustDecode(t, d, sample(t, "kafka"))
			if got, err := b.Reply(tt.outcomes); err != nil || string(got) != tt.want || !b.AtOnce {
				t.Errorf("reply %s, %v\nwant  %s", got, err, tt.want)
			}
			// Without it Lambda would lose what the same answer names. A pipe takes no such
			// answer from Kafka.
			goesBack := slices.ContainsFunc(tt.outcomes, delivery.Outcome.HandedBack)
			for _, other := range []struct {
				d      *Decoder
				sample string
			}{{newDecoder(), "kafka"}, {d, "pipes-kafka"}} {
				if got, err := mustDecode(t, other.d, sample(t, other.sample)).Reply(tt.outcomes); (err != nil) != goesBack || err == nil && string(got) != "null" {
					t.Errorf("%s: reply %s, %v", other.sample, got, err)
				}
			}
		})
	}
}

func TestKafkaHeaders(t *testing.T) {
	t.Parallel()
	const causation = "replication-requests/0/15"
	header := func(value any) map[string]any { return map[string]any{"correlation_id": value} }
	for name, tt := range map[string]struct {
		headers any
		want    string
	}{
		"none":            {nil, causation},
		"bytes":           {[]any{header([]int{97, 98})}, "ab"},
		"the last counts": {[]any{header([]int{97}), map[string]any{"x": []int{1}}, header([]int{98})}, "b"},
		"not ASCII":       {[]any{header([]int{97, -61, -87})}, causation},
		"unsigned":        {[]any{header([]int{97, 195, 169})}, causation},
		"text":            {[]any{header("ab")}, causation},
		"others' values":  {[]any{map[string]any{"x": map[string]any{}}, header([]int{97})}, "a"},
		"null":            {[]any{nil, header(nil)}, causation},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			payload := kafkaEvent(t, func(r map[string]any) { r["headers"] = tt.headers })
			if got := mustDecode(t, newDecoder(), payload).Deliveries[0].CorrelationID; got != tt.want {
				t.Errorf("correlation id %q, want %q", got, tt.want)
			}
		})
	}
}
