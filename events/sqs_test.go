package events

import (
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"cbr-replicator/internal/delivery"
	"cbr-replicator/internal/kind"
)

func TestSQSReply(t *testing.T) {
	t.Parallel()
	const first, second = `{"itemIdentifier":"11d6ee51-4cc7-4302-9e22-7cd8afdaadf5"}`, `{"itemIdentifier":"b3e0c6a4-2f57-4f0d-8a1e-6b0b4e4c7d52"}`
	of := func(k kind.Kind) delivery.Outcome { return delivery.Outcome{Err: &kind.Error{Kind: k}} }
	unpublished := delivery.Outcome{PublishErr: &kind.Error{Kind: kind.PublishFailed}}
	for name, tt := range map[string]struct {
		first, second delivery.Outcome
		want          string
	}{
		"accepted":      {delivery.Outcome{}, delivery.Outcome{}, ``},
		"final":         {of(kind.InvalidEvent), of(kind.AlreadyReplicated), ``},
		"handed back":   {of(kind.Throttled), of(kind.Blocked), first + "," + second},
		"second":        {delivery.Outcome{}, of(kind.InProgress), second},
		"not published": {unpublished, of(kind.Rejected), first},
		"unknown kind":  {of(kind.NotAllowed), of("Nonsense"), second},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := mustDecode(t, newDecoder(), sample(t, "sqs-fifo"))
			got, err := b.Reply([]delivery.Outcome{tt.first, tt.second, {}})
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(`{"batchItemFailures":[`+tt.want+`]}`, string(got)); diff != "" {
				t.Errorf("reply (-want +got):\n%s", diff)
			}
		})
	}
}

// TestSQSReplyNeedsAllOutcomes: if an outcome is missing, the reply is an error. An
// empty list of failures would delete the batch.
func TestSQSReplyNeedsAllOutcomes(t *testing.T) {
	t.Parallel()
	b := mustDecode(t, newDecoder(), sample(t, "sqs"))
	for n := range 4 {
		if _, err := b.Reply(make([]delivery.Outcome, n)); (err == nil) != (n == 2) {
			t.Errorf("reply to %d outcomes of 2: %v", n, err)
		}
	}
}

// TestSQSMessageTwice: a standard queue may deliver a message twice in a batch. It
// is handed back once, and not at all if one of the two deliveries is
// acknowledged: no message has a final result and is handed back.
func TestSQSMessageTwice(t *testing.T) {
	t.Parallel()
	payload := sampleWith(t, "sqs", func(e map[string]any) {
		records := e["Records"].([]any)
		e["Records"] = append(records, records[0], records[0])
	})
	b := mustDecode(t, newDecoder(), payload)
	for i, d := range b.Deliveries {
		if d.Redelivered != (i > 1) {
			t.Errorf("delivery %d may be the second: %t", i, d.Redelivered)
		}
	}
	busy := delivery.Outcome{Err: &kind.Error{Kind: kind.InProgress}}
	for _, tt := range []struct {
		first delivery.Outcome
		want  string
	}{
		{busy, `{"batchItemFailures":[{"itemIdentifier":"059f36b4-87a3-44ab-83d2-661975830a7d"}]}`},
		{delivery.Outcome{}, `{"batchItemFailures":[]}`},
	} {
		got, err := b.Reply([]delivery.Outcome{tt.first, {}, busy, busy})
		if err != nil || string(got) != tt.want {
			t.Errorf("reply %s, %v; want %s", got, err, tt.want)
		}
	}
}

func TestSQSRecord(t *testing.T) {
	t.Parallel()
	const fifo, standard = "arn:aws:sqs:eu-central-1:123456789012:q.fifo", "arn:aws:sqs:eu-central-1:123456789012:q"
	for name, tt := range map[string]struct {
		arn, count, group string
		wantGroup         string
		wantReceives      int
	}{
		"FIFO":                   {fifo, "1", "g", "g", 1},
		"fair queue":             {standard, "1", "g", "", 1},
		"fifo in the name alone": {standard + ".fifo.x", "1", "g", "", 1},
		"delivered often":        {standard, "1000", "", "", 1000},
		"no count":               {standard, "", "", "", 0},
		"no number":              {standard, "many", "", "", 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			payload := sampleWith(t, "sqs", func(e map[string]any) {
				record := e["Records"].([]any)[0].(map[string]any)
				record["eventSourceARN"] = tt.arn
				record["attributes"] = map[string]any{"ApproximateReceiveCount": tt.count, "MessageGroupId": tt.group}
			})
			got := mustDecode(t, newDecoder(), payload).Deliveries[0]
			if got.Source != tt.arn || got.Group != tt.wantGroup || got.Queue.Receives != tt.wantReceives || got.Final {
				t.Errorf("delivery %+v", got)
			}
		})
	}
}

// TestSQSBadBody: a bad body of one message affects no other.
func TestSQSBadBody(t *testing.T) {
	t.Parallel()
	for _, body := range []string{"", "null", "[]", `""`, "5", "hello", `{"replicate":`, strings.Repeat("[", 20_000)} {
		payload := sampleWith(t, "sqs", func(e map[string]any) {
			e["Records"].([]any)[0].(map[string]any)["body"] = body
		})
		got := mustDecode(t, newDecoder(), payload).Deliveries
		if got[0].Err == nil || got[1].Err != nil {
			t.Errorf("%.20q: errors %v, %v", body, got[0].Err, got[1].Err)
		}
	}
}

// TestSQSLargeBatch: a mapping may have batches of thousands.
func TestSQSLargeBatch(t *testing.T) {
	t.Parallel()
	const n = 1003
	payload := sampleWith(t, "sqs", func(e map[string]any) {
		record := e["Records"].([]any)[0].(map[string]any)
		records := make([]any, n)
		for i := range records {
			one := maps.Clone(record)
			one["messageId"], one["receiptHandle"] = fmt.Sprint("m", i), fmt.Sprint("r", i)
			records[i] = one
		}
		e["Records"] = records
	})
	b := mustDecode(t, newDecoder(), payload)
	if len(b.Deliveries) != n {
		t.Fatalf("%d deliveries of %d records", len(b.Deliveries), n)
	}
	for i, d := range b.Deliveries {
		if d.CausationID != fmt.Sprint("m", i) || d.Queue.ReceiptHandle != fmt.Sprint("r", i) || d.Redelivered || d.Err != nil {
			t.Errorf("delivery %d: %+v", i, d)
		}
	}
}

// TestSQSMembers: the order of a record's members does not matter, of two with the
// same name the last counts, case matters, and records share nothing.
func TestSQSMembers(t *testing.T) {
	t.Parallel()
	const record = `{"messageAttributes":{"correlation_id":{"dataType":"String","stringValue":"c","other":"x"},"x":{"stringValue":"y"}},` +
		`"attributes":{"MessageGroupId":"g","ApproximateReceiveCount":"7","ApproximateReceiveCount":"3","ApproximateFirstReceiveTimestamp":"1795399200000"},` +
		`"eventSourceARN":"arn:aws:sqs:eu-central-1:123456789012:q.fifo","receiptHandle":"r","messageId":"first","messageId":"last","MESSAGEID":"none",` +
		`"body":"{}","eventSource":"aws:sqs"}`
	const bare = `{"messageId":"bare","eventSource":"aws:sqs","eventSourceARN":"arn:aws:sqs:eu-central-1:123456789012:q.fifo",` +
		`"attributes":null,"messageAttributes":{"correlation_id":null}}`
	for _, payload := range []string{
		`{"Records":[` + record + `,` + bare + `]}`,
		`{"Records":[` + record + `,` + bare + `],"records":[],"RECORDS":[{"eventSource":"aws:s3"}]}`,
	} {
		d := newDecoder()
		d.Defaults = fullDefaults
		got := mustDecode(t, d, []byte(payload)).Deliveries
		const arn = "arn:aws:sqs:eu-central-1:123456789012:q.fifo"
		want := []delivery.Delivery{
			{
				Source: arn, CausationID: "last", CorrelationID: "c", Group: "g", Queue: delivery.Queue{ARN: arn, ReceiptHandle: "r", Receives: 3}, Redelivered: true,
				Since: time.UnixMilli(1795399200000), Request: requestFor(vaultA),
			},
			{Source: arn, CausationID: "bare", CorrelationID: "bare", Queue: delivery.Queue{ARN: arn}},
		}
		if got[1].Err == nil {
			t.Errorf("a record without a body is a valid request: %+v", got[1])
		}
		got[1].Err = nil
		if diff := cmp.Diff(want, got, notCarried); diff != "" {
			t.Errorf("%s (-want +got):\n%s", payload, diff)
		}
	}
}
