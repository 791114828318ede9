package events

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"cbr-replicator/internal/cbr"
	"cbr-replicator/internal/delivery"
	"cbr-replicator/internal/kind"
	"cbr-replicator/internal/result"
)

// replicationOf is CBR's answer for a vault with n backups.
func replicationOf(n int, name string) json.RawMessage {
	backups := make([]string, n)
	for i := range backups {
		backups[i] = fmt.Sprintf(`{"backup_id":"8b0851a8-adf3-4f4c-a914-%012d","replication_record_id":"2e5b2b4e-1c5e-4f7e-9b5a-%012d","name":"%s"}`, i, i, name)
	}
	return json.RawMessage(`{"vault_id":"` + vaultA + `","backups":[` + strings.Join(backups, ",") + `]}`)
}

func accepted(n int, name string) delivery.Outcome {
	request := requestFor(vaultA)
	replication := replicationOf(n, name)
	return delivery.Outcome{
		Answer: cbr.Answer{Status: 200, Replication: replication, RequestID: "r"},
		Data:   result.Data{Status: kind.Accepted, Request: &request, Replication: replication, Attempts: 1, DurationMS: 412, RequestID: "r"},
	}
}

// callersResult is a result as a caller reads it.
type callersResult struct {
	Status      kind.Status
	Published   *bool `json:"result_published"`
	Request     *delivery.Request
	Error       *result.Error
	Replication struct {
		Vault   string            `json:"vault_id"`
		Backups []json.RawMessage `json:"backups"`
		Total   int               `json:"backups_total"`
	}
}

func read(t testing.TB, text []byte, to any) {
	t.Helper()
	if err := json.Unmarshal(text, to); err != nil {
		t.Fatalf("%.200s: %v", text, err)
	}
}

// TestDirectAnswerFits: a state machine gets as much of a long list as Step
// Functions takes, and its length. A shorter list is not cut.
func TestDirectAnswerFits(t *testing.T) {
	t.Parallel()
	const limit = 240 << 10
	b := mustDecode(t, newDecoder(), sample(t, "direct"))
	for _, n := range []int{0, 60, 1000, 2300, 15_000} {
		for _, publishErr := range []*kind.Error{nil, {Kind: kind.PublishFailed}} {
			o := accepted(n, "a")
			o.PublishErr = publishErr
			text, err := b.Reply([]delivery.Outcome{o})
			if err != nil {
				t.Fatal(err)
			}
			var got callersResult
			read(t, text, &got)
			if len(text) > limit || got.Status != kind.Accepted || got.Request == nil || got.Replication.Vault != vaultA || (got.Published != nil) != (publishErr != nil) {
				t.Errorf("%d backups: %d bytes, %+v", n, len(text), got)
			}
			if cut := n > 1000; cut != (got.Replication.Total != 0) || cut && (got.Replication.Total != n || len(text) < limit-1000) || !cut && len(got.Replication.Backups) != n {
				t.Errorf("%d backups: %d of %d in %d bytes", n, len(got.Replication.Backups), got.Replication.Total, len(text))
			}
		}
	}
}

// TestBatchAnswerFits: Lambda takes 6 MB and ends a process that answers more. All
// results are in the answer, in their order. The short ones are not cut.
func TestBatchAnswerFits(t *testing.T) {
	t.Parallel()
	const limit = 6_000_000
	short, longer, longest := accepted(3, "a"), accepted(2300, "a"), accepted(60_000, "a")
	typical, named, some := accepted(60, "a"), accepted(60, strings.Repeat("<", 40)), accepted(20, "a")
	long := strings.Repeat(`<"&\`, 512)
	for name, tt := range map[string]struct {
		outcome func(i int) delivery.Outcome
		backups func(i int) int // of the i-th result, -1 if it may be cut
	}{
		"60 each":        {outcome: func(int) delivery.Outcome { return typical }},
		"60 each, named": {outcome: func(int) delivery.Outcome { return named }},
		"one is long": {
			outcome: func(i int) delivery.Outcome { return map[bool]delivery.Outcome{true: longest, false: some}[i == 500] },
			backups: func(i int) int { return map[bool]int{true: -1, false: 20}[i == 500] },
		},
		"some are long": {
			outcome: func(i int) delivery.Outcome { return map[bool]delivery.Outcome{true: longer, false: short}[i%25 == 0] },
			backups: func(i int) int { return map[bool]int{true: -1, false: 3}[i%25 == 0] },
		},
		"as long as texts get": {outcome: func(int) delivery.Outcome {
			return delivery.Outcome{PublishErr: &kind.Error{Kind: kind.PublishFailed}, Err: &kind.Error{Kind: kind.Rejected}, Data: result.Data{
				Status: kind.Refused, Request: requestFor(vaultA), RequestID: long,
				Error: &result.Error{Kind: kind.Rejected, Code: long, Message: long, RequestID: long},
			}}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newDecoder()
			d.Defaults = fullDefaults
			b := mustDecode(t, d, []byte(list("[", "{}", "]", maxDirectBatch)))
			outcomes := make([]delivery.Outcome, maxDirectBatch)
			for i := range outcomes {
				outcomes[i] = tt.outcome(i)
			}
			text, err := b.Reply(outcomes)
			if err != nil {
				t.Fatal(err)
			}
			var raw []json.RawMessage
			read(t, text, &raw)
			if len(text) > limit || len(raw) != len(outcomes) {
				t.Fatalf("%d results in %d bytes", len(raw), len(text))
			}
			most := len(slices.MaxFunc(raw, func(a, b json.RawMessage) int { return len(a) - len(b) }))
			if most > 240<<10 {
				t.Errorf("a result of %d bytes", most)
			}
			for i, text := range raw {
				var got callersResult
				read(t, text, &got)
				if got.Status == "" {
					t.Fatalf("result %d: %s", i, text)
				}
				if tt.backups != nil && tt.backups(i) >= 0 && (len(got.Replication.Backups) != tt.backups(i) || got.Replication.Total != 0) {
					t.Errorf("result %d, a short one, is cut: %.200s", i, text)
				}
			}
		})
	}
}

// TestFairShare: sizes under the share are not cut, the others share the rest, and
// no room is left that one of them could use.
func TestFairShare(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		sizes := rapid.SliceOfN(rapid.IntRange(1, 1000), 1, 50).Draw(t, "sizes")
		room := rapid.IntRange(len(sizes), 20_000).Draw(t, "room")
		total := 0
		for _, size := range sizes {
			total += size
		}
		if total <= room {
			t.Skip("all fit")
		}
		share := fairShare(slices.Clone(sizes), room)
		used, cut := 0, 0
		for _, size := range sizes {
			used += min(size, share)
			if size > share {
				cut++
			}
		}
		if used > room || used+cut <= room {
			t.Fatalf("a share of %d uses %d of %d", share, used, room)
		}
	})
}

// TestHTTPAnswerFits: an answer over HTTP is JSON in a string of JSON, so that each
// of its quotes takes two bytes.
func TestHTTPAnswerFits(t *testing.T) {
	t.Parallel()
	for trigger, d := range httpTriggers {
		limit := 6_000_000
		if d.sample == "alb" {
			limit = 1_000_000
		}
		b := mustDecode(t, httpDecoder(), httpTriggerEvent(t, trigger, "POST", "/", "{}", false))
		for n, name := range map[int]string{3: "a", limit / 150: `<&\"`} {
			text, err := b.Reply([]delivery.Outcome{accepted(n, name)})
			if err != nil {
				t.Fatal(err)
			}
			reply := httpTriggerReply(t, trigger, text)
			var got callersResult
			read(t, []byte(reply.Body), &got)
			r := got.Replication
			if len(text) > limit || reply.StatusCode != 200 || r.Vault != vaultA {
				t.Errorf("%s: %d in %d bytes", trigger, reply.StatusCode, len(text))
			}
			if cut := n > 3; cut && (r.Total != n || len(text) < limit/256*255) || !cut && len(r.Backups) != n {
				t.Errorf("%s: %d of %d, %d backups in %d bytes", trigger, len(r.Backups), r.Total, n, len(text))
			}
		}
	}
}
