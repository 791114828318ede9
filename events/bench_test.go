package events_test

import (
	"encoding/json"
	"os"
	"strings"
	"testing"
	"time"

	awsevents "github.com/aws/aws-lambda-go/events"

	"cbr-replicator/events"
	"cbr-replicator/internal/delivery"
	"cbr-replicator/internal/redact"
)

// BenchmarkDecodeSQS decodes a batch of ten. It is compared with one plain decoding
// of the same payload, which does not read the bodies.
func BenchmarkDecodeSQS(b *testing.B) {
	text, err := os.ReadFile("sqs.json")
	if err != nil {
		b.Fatal(err)
	}
	var sample struct{ Records []json.RawMessage }
	if err := json.Unmarshal(text, &sample); err != nil {
		b.Fatal(err)
	}
	payload := []byte(`{"Records":[` + strings.Repeat(string(sample.Records[0])+",", 9) + string(sample.Records[1]) + `]}`)
	d := &events.Decoder{Redact: &redact.Redactor{}, HTTPTimeout: 27 * time.Second}
	b.Run("Decode", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := d.Decode(payload, delivery.Invocation{}); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("SQSEvent", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			var event awsevents.SQSEvent
			if err := json.Unmarshal(payload, &event); err != nil {
				b.Fatal(err)
			}
		}
	})
}
