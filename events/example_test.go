package events_test

import (
	"fmt"
	"os"
	"time"

	"cbr-replicator/events"
	"cbr-replicator/internal/delivery"
	"cbr-replicator/internal/kind"
	"cbr-replicator/internal/redact"
)

func Example() {
	payload, err := os.ReadFile("sqs.json")
	if err != nil {
		fmt.Println(err)
		return
	}
	d := &events.Decoder{Redact: &redact.Redactor{}, HTTPTimeout: 27 * time.Second}
	batch, err := d.Decode(payload, delivery.Invocation{Began: time.Now()})
	if err != nil {
		fmt.Println(err)
		return
	}
	outcomes := make([]delivery.Outcome, len(batch.Deliveries))
	for _, d := range batch.Deliveries {
		fmt.Println(d.CorrelationID, d.Request.Replicate.VaultID)
	}
	// The first was accepted. The second is handed back to the queue.
	outcomes[1].Err = &kind.Error{Kind: kind.Throttled}
	reply, err := batch.Reply(outcomes)
	fmt.Println(string(reply), err)
	// Output:
	// nightly-2026-11-23 3b5816b5-f29c-4172-9d9a-76c719a659ce
	// 2e1424d4-f796-459a-8184-9c92662be6da 5a1c0a1e-3f0b-4a58-8f2c-2b7a4f6d9e01
	// {"batchItemFailures":[{"itemIdentifier":"2e1424d4-f796-459a-8184-9c92662be6da"}]} <nil>
}
