package events

import (
	"errors"
	"testing"

	"cbr-replicator/internal/delivery"
	"cbr-replicator/internal/kind"
)

// TestAllOrNothingReply: a trigger that takes back all or none gets null or a
// Lambda error.
func TestAllOrNothingReply(t *testing.T) {
	t.Parallel()
	of := func(k kind.Kind) delivery.Outcome {
		return delivery.Outcome{Err: &kind.Error{Kind: k, Message: "because\r\n\x7f"}}
	}
	unpublished := delivery.Outcome{PublishErr: &kind.Error{Kind: kind.PublishFailed, Message: "the topic is gone"}}
	for name, tt := range map[string]struct {
		outcomes          [3]delivery.Outcome
		errType, errorMsg string
	}{
		"accepted":       {},
		"final":          {outcomes: [3]delivery.Outcome{of(kind.InvalidEvent), of(kind.AlreadyReplicated), of(kind.Rejected)}},
		"one":            {[3]delivery.Outcome{{}, of(kind.InProgress), {}}, "CBR.InProgress", "1 of 3 deliveries handed back, the first as InProgress because"},
		"all":            {[3]delivery.Outcome{of(kind.Throttled), of(kind.Blocked), of(kind.Unknown)}, "CBR.Throttled", "3 of 3 deliveries handed back, the first as Throttled because"},
		"behind a final": {[3]delivery.Outcome{of(kind.NotAllowed), of(kind.Internal), of(kind.Throttled)}, "CBR.Internal", "2 of 3 deliveries handed back, the first as Internal because"},
		"not published":  {[3]delivery.Outcome{{}, {}, unpublished}, "CBR.PublishFailed", "1 of 3 deliveries handed back, the first as PublishFailed the topic is gone"},
		"unknown kind":   {[3]delivery.Outcome{of("Nonsense"), {}, {}}, "CBR.Nonsense", "1 of 3 deliveries handed back, the first as Nonsense because"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			payload := sampleWith(t, "sns", func(e map[string]any) {
				record := e["Records"].([]any)[0]
				e["Records"] = []any{record, record, record}
			})
			got, err := mustDecode(t, newDecoder(), payload).Reply(tt.outcomes[:])
			if tt.errType == "" && (err != nil || string(got) != "null") {
				t.Fatalf("reply %s, %v; want null", got, err)
			}
			answer, _ := errors.AsType[delivery.Failure](err)
			if answer.Type != tt.errType || len(got) > 0 && err != nil {
				t.Errorf("reply %s, error %v, want %s", got, err, tt.errType)
			}
			if len(answer.Message) > 0 && answer.Message[:len(tt.errorMsg)] != tt.errorMsg || !isPrintable(answer.Message) {
				t.Errorf("message %q\nwant    %q", answer.Message, tt.errorMsg)
			}
		})
	}
}
