package events

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"cbr-replicator/internal/cbr"
	"cbr-replicator/internal/delivery"
	"cbr-replicator/internal/kind"
	"cbr-replicator/internal/result"
)

func TestDirectReply(t *testing.T) {
	t.Parallel()
	unpublished := &kind.Error{Kind: kind.PublishFailed, Message: "the topic is gone"}
	for name, tt := range map[string]struct {
		outcome           delivery.Outcome
		want              string
		errType, errorMsg string
	}{
		"accepted": {
			outcome: delivery.Outcome{Data: result.Data{Status: kind.Accepted, Replication: json.RawMessage(`{"backups":[]}`), Attempts: 1, DurationMS: 412, RequestID: "r"}},
			want:    `{"status":"accepted","replication":{"backups":[]},"attempts":1,"duration_ms":412,"request_id":"r"}`,
		},
		"unchanged": {
			outcome: delivery.Outcome{Err: &kind.Error{Kind: kind.AlreadyReplicated}, Data: result.Data{Status: kind.Unchanged}},
			want:    `{"status":"unchanged","duration_ms":0}`,
		},
		"not published": {
			outcome: delivery.Outcome{PublishErr: unpublished, Data: result.Data{Status: kind.Accepted, DurationMS: 1}},
			want:    `{"status":"accepted","duration_ms":1,"result_published":false}`,
		},
		"unchanged and not published": {
			outcome: delivery.Outcome{Err: &kind.Error{Kind: kind.NothingToReplicate}, PublishErr: unpublished, Data: result.Data{Status: kind.Unchanged}},
			want:    `{"status":"unchanged","duration_ms":0,"result_published":false}`,
		},
		"rejected": {
			outcome: delivery.Outcome{Err: &kind.Error{Kind: kind.Rejected, Code: "BackupService.6120", Message: "No vault."}},
			errType: "CBR.Rejected", errorMsg: "Rejected BackupService.6120 No vault.",
		},
		"failed": {
			outcome: delivery.Outcome{Err: &kind.Error{Kind: kind.Unknown, Message: "the answer was lost"}},
			errType: "CBR.Unknown", errorMsg: "Unknown the answer was lost",
		},
		"not covered, not published": {
			outcome: delivery.Outcome{Err: &kind.Error{Kind: kind.NotCovered, Code: "BackupService.1009"}, PublishErr: unpublished},
			errType: "CBR.NotCovered", errorMsg: "NotCovered BackupService.1009",
		},
		"fit for a header": {
			outcome: delivery.Outcome{Err: &kind.Error{Kind: kind.Internal, Message: "a\x7f\r\nb"}},
			errType: "CBR.Internal", errorMsg: "Internal a  b",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := mustDecode(t, newDecoder(), sample(t, "direct")).Reply([]delivery.Outcome{tt.outcome})
			if diff := cmp.Diff(tt.want, string(got)); diff != "" {
				t.Errorf("reply (-want +got):\n%s", diff)
			}
			answer, _ := errors.AsType[delivery.Failure](err)
			if answer.Type != tt.errType || answer.Message != tt.errorMsg {
				t.Errorf("error %v, want %s: %s", err, tt.errType, tt.errorMsg)
			}
		})
	}
}

// TestDirectPayload: what is no event of AWS is a request, valid or not.
func TestDirectPayload(t *testing.T) {
	t.Parallel()
	d := newDecoder()
	d.Defaults = fullDefaults
	for _, payload := range []string{`{}`, `"{}"`} {
		if del := mustDecode(t, d, []byte(payload)).Deliveries[0]; del.Err != nil {
			t.Errorf("a schedule's %s: %v", payload, del.Err)
		}
	}
	for _, payload := range []string{``, `null`, `""`, `0`, `true`, `{`, `{"replicate":{}`, `{}{}`, "\x00", `{"records":[]}`, `{"requestContext":{}}`} {
		b := mustDecode(t, d, []byte(payload))
		if len(b.Deliveries) != 1 || b.Deliveries[0].Err.Of() != kind.InvalidEvent || !b.Deliveries[0].Final {
			t.Errorf("%q: %+v", payload, b.Deliveries)
		}
	}
}

func TestDirectBatch(t *testing.T) {
	t.Parallel()
	d := newDecoder()
	d.Defaults = fullDefaults
	b := mustDecode(t, d, []byte(`[{}, null, [], "", 5, {"messageId":"m"}, {"region":"region3"}]`))
	for i, del := range b.Deliveries {
		if valid := i == 0 || i == 6; (del.Err == nil) != valid || !del.Final {
			t.Errorf("element %d: %+v", i, del)
		}
	}
	if got := b.Deliveries[6].CausationID; got != invocation.RequestID+"/6" {
		t.Errorf("causation id %s", got)
	}
	if n := len(mustDecode(t, d, []byte(`[{}`+strings.Repeat(`,{}`, maxDirectBatch-1)+`]`)).Deliveries); n != maxDirectBatch {
		t.Errorf("%d deliveries, want %d", n, maxDirectBatch)
	}

	b = mustDecode(t, d, sample(t, "direct-batch"))
	got, err := b.Reply([]delivery.Outcome{
		{Err: &kind.Error{Kind: kind.Throttled}, Data: result.Data{Status: kind.Failed, Error: &result.Error{Kind: kind.Throttled, Message: "slower"}}},
		{PublishErr: &kind.Error{Kind: kind.PublishFailed}, Answer: cbr.Answer{Status: 200}, Data: result.Data{Status: kind.Accepted}},
	})
	if err != nil {
		t.Fatal(err)
	}
	want := `[{"status":"failed","error":{"kind":"Throttled","message":"slower","retryable":false},"duration_ms":0},` +
		`{"status":"accepted","duration_ms":0,"result_published":false}]`
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Errorf("reply (-want +got):\n%s", diff)
	}
}
