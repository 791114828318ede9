package events

import (
	"strings"
	"testing"
	"time"

	"cbr-replicator/internal/delivery"

	"github.com/google/go-cmp/cmp"
)

// TestEarlierDeliveries: the trigger's event shows which deliveries may be
// redeliveries, and since when there is the request.
func TestEarlierDeliveries(t *testing.T) {
	t.Parallel()
	type earlier struct {
		Redelivered bool
		Since       string
		Receipt     string
	}
	replaced := func(old, now string) func(string) string {
		return func(payload string) string {
			if !strings.Contains(payload, old) {
				t.Errorf("the sample has no %s", old)
			}
			return strings.Replace(payload, old, now, 1)
		}
	}
	const (
		once    = `"ApproximateReceiveCount": "1"`
		twice   = `"ApproximateReceiveCount": "2"`
		receipt = "AQEBwJnKyrHigUMZj6rYigCgxlaS3SLy0a"
	)
	for name, tt := range map[string]struct {
		sample string
		change func(string) string
		late   time.Duration // how long after the event the function is called
		want   earlier       // of the first delivery
	}{
		"sqs":                    {"sqs", nil, 0, earlier{false, "02:00:00.031", receipt}},
		"sqs, received twice":    {"sqs", replaced(once, twice), 0, earlier{true, "02:00:00.031", receipt}},
		"sqs, no first time":     {"sqs", replaced("1795399200031", "x"), 0, earlier{false, "", receipt}},
		"pipes":                  {"pipes-sqs", replaced(once, twice), 0, earlier{true, "02:00:00.031", receipt}},
		"sns":                    {"sns", nil, 50 * time.Second, earlier{false, "02:00:00.012", ""}},
		"sns, late":              {"sns", nil, 61 * time.Second, earlier{true, "02:00:00.012", ""}},
		"sns, no time":           {"sns", replaced("2026-11-23T02:00:00.012Z", ""), 0, earlier{true, "", ""}},
		"eventbridge":            {"eventbridge", nil, 59 * time.Second, earlier{false, "02:00:00.000", ""}},
		"eventbridge, late":      {"eventbridge", nil, time.Hour, earlier{true, "02:00:00.000", ""}},
		"kafka":                  {"kafka", nil, 0, earlier{true, "02:00:00.012", ""}},
		"kafka, no time":         {"kafka", replaced("1795399200012", "-1"), 0, earlier{true, "", ""}},
		"rabbitmq":               {"rabbitmq", nil, 0, earlier{true, "02:00:00.000", ""}},
		"rabbitmq, narrow space": {"rabbitmq", replaced("2:00:00 AM", "2:00:00\u202fAM"), 0, earlier{true, "02:00:00.000", ""}},
		"rabbitmq, no time":      {"rabbitmq", replaced(`"Nov 23, 2026, 2:00:00 AM"`, "null"), 0, earlier{true, "", ""}},
		"activemq":               {"activemq", nil, 0, earlier{true, "02:00:00.012", ""}},
		"http":                   {"apigw-http", nil, time.Hour, earlier{}},
		"direct":                 {"direct", nil, time.Hour, earlier{}},
		"cloudevent":             {"cloudevent", nil, time.Hour, earlier{}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			payload := string(sample(t, tt.sample))
			if tt.change != nil {
				payload = tt.change(payload)
			}
			d := newDecoder()
			d.Defaults.Region = region
			b, err := d.Decode([]byte(payload), delivery.Invocation{RequestID: "r", FunctionARN: "f", Began: nightly.Add(tt.late)})
			if err != nil {
				t.Fatal(err)
			}
			first := b.Deliveries[0]
			got := earlier{Redelivered: first.Redelivered, Receipt: first.Queue.ReceiptHandle}
			if !first.Since.IsZero() {
				got.Since = first.Since.UTC().Format("15:04:05.000")
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("earlier deliveries (-want +got):\n%s", diff)
			}
		})
	}
}
