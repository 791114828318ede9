package events

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"cbr-replicator/internal/kind"
)

func TestSQSReply(t *testing.T) {
	t.Parallel()
	const first, second = `{"itemIdentifier":"11d6ee51-4cc7-4302-9e22-7cd8afdaadf5"}`, `{"itemIdentifier":"b3e0c6a4-2f57-4f0d-8a1e-6b0b4e4c7d52"}`
	of := func(k kind.Kind) Outcome { return Outcome{Err: &kind.Error{Kind: k}} }
	unpublished := Outcome{PublishErr: &kind.Error{Kind: kind.PublishFailed}}
	for name, tt := range map[string]struct {
		first, second Outcome
		want          string
	}{
		"accepted":      {Outcome{}, Outcome{}, ``},
		"final":         {of(kind.InvalidEvent), of(kind.AlreadyReplicated), ``},
		"handed back":   {of(kind.Throttled), of(kind.Blocked), first + "," + second},
		"second":        {Outcome{}, of(kind.InProgress), second},
		"not published": {unpublished, of(kind.Rejected), first},
		"unknown kind":  {of(kind.NotAllowed), of("Nonsense"), second},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := mustDecode(t, newDecoder(), sample(t, "sqs-fifo"))
			got, err := b.Reply([]Outcome{tt.first, tt.second, {}})
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(`{"batchItemFailures":[`+tt.want+`]}`, string(got)); diff != "" {
				t.Errorf("reply (-want +got):\n%s", diff)
			}
		})
	}
}

// TestSQSReplyNeedsAllOutcomes: an empty list after a fault of ours would
// delete the whole batch.
func TestSQSReplyNeedsAllOutcomes(t *testing.T) {
	t.Parallel()
	b := mustDecode(t, newDecoder(), sample(t, "sqs"))
	for n := range 4 {
		if _, err := b.Reply(make([]Outcome, n)); (err == nil) != (n == 2) {
			t.Errorf("reply to %d outcomes of 2: %v", n, err)
		}
	}
}

// TestSQSMessageTwice: a standard queue may deliver a message twice in a batch.
// It goes back once, and not at all if one of the two came to its end: nothing
// is both published as final and handed back.
func TestSQSMessageTwice(t *testing.T) {
	t.Parallel()
	payload := sampleWith(t, "sqs", func(e map[string]any) {
		records := e["Records"].([]any)
		e["Records"] = append(records, records[0], records[0])
	})
	b := mustDecode(t, newDecoder(), payload)
	busy := Outcome{Err: &kind.Error{Kind: kind.InProgress}}
	for _, tt := range []struct {
		first Outcome
		want  string
	}{
		{busy, `{"batchItemFailures":[{"itemIdentifier":"059f36b4-87a3-44ab-83d2-661975830a7d"}]}`},
		{Outcome{}, `{"batchItemFailures":[]}`},
	} {
		got, err := b.Reply([]Outcome{tt.first, {}, busy, busy})
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
			if got.Source != tt.arn || got.Group != tt.wantGroup || got.Receives != tt.wantReceives || got.Final {
				t.Errorf("delivery %+v", got)
			}
		})
	}
}

// TestSQSBadBody: one message's body is its own affair.
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
