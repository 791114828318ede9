package redrive

import (
	"encoding/json"
	"maps"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const kept = `{"a":{"DataType":"Number","StringValue":"1"},"correlation_id":{"DataType":"String","StringValue":"nightly"}}`

// rejectedMessage is a body as the function keeps it.
func rejectedMessage(id, body, kind string, encoding ...string) *stored {
	text := func(s string) any { return map[string]string{"DataType": "String", "StringValue": s} }
	attributes := map[string]any{"causation_id": text("59f1c6e7-0b4f-4b7e-8f6a-3d6b8a1f2c11"), "kind": text(kind)}
	for _, e := range encoding {
		attributes["encoding"] = text(e)
	}
	var others map[string]any
	_ = json.Unmarshal([]byte(kept), &others)
	maps.Copy(attributes, others)
	all, _ := json.Marshal(attributes)
	return &stored{id: id, body: body, attributes: all}
}

// TestRunRejected: a rejected body is moved as it came, without the attributes that
// the function added. It was never sent to CBR, so it gets no requested_at.
func TestRunRejected(t *testing.T) {
	t.Parallel()
	const (
		odd   = `{"replicate":{"vault_id":"` + vault + `"},"new_field":1}`
		timed = `{"requested_at":"2026-01-01T00:00:00Z","replicate":{}}`
		text  = `not json`

		plan   = `{"select":{"tags":[{"key":"dr"}]}}`
		check  = `{"check":{"vault_id":"` + vault + `"}}`
		backup = `{"replicate":{"backup_id":"` + vault + `"}}`
	)
	dead := func() []*stored {
		return []*stored{
			rejectedMessage("good", good, "NotAllowed"),
			rejectedMessage("odd", odd, "InvalidEvent"),
			rejectedMessage("timed", timed, "InvalidEvent"),
			rejectedMessage("encoded", b64(good), "InvalidEvent", "base64"),
			rejectedMessage("quoted", string(quote([]byte(good))), "InvalidEvent"),
			rejectedMessage("plan", plan, "NotAllowed"),
			rejectedMessage("check", check, "NotAllowed"),
			rejectedMessage("backup", backup, "NotAllowed"),
			rejectedMessage("text", text, "InvalidEvent"),
			rejectedMessage("array", `[{}]`, "InvalidEvent"),
			rejectedMessage("binary", b64("{\x00}"), "InvalidEvent", "base64"),
			rejectedMessage("latin", b64("{\"\xe9\":1}"), "InvalidEvent", "base64"),
			rejectedMessage("damaged", "{}", "InvalidEvent", "base64"),
			rejectedMessage("zipped", "{}", "InvalidEvent", "gzip"),
			rejectedMessage("unkind", good, "\x1b[31m"),
			{id: "bare", body: good},
		}
	}
	moved := []string{good, odd, timed, good, string(quote([]byte(good))), plan, check, backup}
	lines := []string{
		"good  moved: vault " + vault + ", rejected as NotAllowed",
		"odd  moved: vault -, rejected as InvalidEvent",
		"timed  moved: vault -, rejected as InvalidEvent",
		"encoded  moved: vault " + vault + ", rejected as InvalidEvent",
		"quoted  moved: vault " + vault + ", rejected as InvalidEvent",
		"plan  moved: a plan, rejected as NotAllowed",
		"check  moved: check of vault " + vault + ", rejected as NotAllowed",
		"backup  moved: backup " + vault + ", rejected as NotAllowed",
	}
	hopeless := []string{
		"binary  left: its body is no text that SQS takes",
		"latin  left: its body is no text that SQS takes",
		"damaged  left: its body is no base64, which its attribute encoding says",
		"zipped  left: its attribute encoding is not base64",
	}
	for _, suffix := range []string{"", ".fifo"} {
		for _, force := range []bool{false, true} {
			name, args, want := "standard"+suffix, []string{"-rejected", base + "rejected" + suffix, "-queue", base + "live" + suffix}, lines
			unread := []string{"text  left: its body is no JSON object", "array  left: its body is no JSON object"}
			last := []string{
				"unkind  left: it has no attribute kind, so it is none that the function rejected",
				"bare  left: it has no attribute kind, so it is none that the function rejected",
				"8 moved, 8 left in the queue of rejected bodies",
			}
			bodies := moved
			if force {
				name, args = name+" by force", append(args, "-force")
				for i := range unread {
					unread[i] = strings.Replace(unread[i], "left", "moved as it is", 1)
				}
				last[0], last[1] = strings.Replace(last[0], "left", "moved as it is", 1), strings.Replace(last[1], "left", "moved as it is", 1)
				last[2] = "12 moved, 4 left in the queue of rejected bodies"
				bodies = append(append([]string{}, moved...), text, `[{}]`, good, good)
			}
			want = append(append(append(append([]string{}, want...), unread...), hopeless...), last...)
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				f := &fake{queues: map[string][]*stored{base + "rejected" + suffix: dead()}, policies: map[string]string{base + "live" + suffix: policy}}
				for _, l := range f.queues[base+"rejected"+suffix] {
					if suffix != "" && l.id != "odd" { // of a standard queue there may be no group
						l.group = "a group"
					}
				}
				out, err := f.run(t, t.Context(), args...)
				if err == nil || !strings.HasPrefix(err.Error(), "messages are left") {
					t.Errorf("error %v", err)
				}
				if diff := cmp.Diff(want, strings.Split(strings.TrimSuffix(out, "\n"), "\n")); diff != "" {
					t.Errorf("output (-want +got):\n%s", diff)
				}
				var sent []string
				for _, l := range f.queues[base+"live"+suffix] {
					sent = append(sent, l.body)
					if l.attributes != nil && string(l.attributes) != kept {
						t.Errorf("attributes of %s: %s", l.body, l.attributes)
					}
					switch {
					case suffix == "" && (l.group != "" || l.dedup != ""):
						t.Errorf("a standard queue's message has the group %q", l.group)
					case suffix != "" && l.body == odd && l.group != "redrive-odd":
						t.Errorf("without a group it has the group %q", l.group)
					case suffix != "" && l.body != odd && l.group != "a group" || suffix != "" && !strings.HasPrefix(l.dedup, "redrive-"):
						t.Errorf("a FIFO queue's message has the group %q and deduplication id %q", l.group, l.dedup)
					}
				}
				if diff := cmp.Diff(bodies, sent); diff != "" {
					t.Errorf("messages (-want +got):\n%s", diff)
				}
				for _, l := range f.queues[base+"rejected"+suffix] {
					if l.hidden {
						t.Errorf("%s is out of sight", l.id)
					}
				}
			})
		}
	}
}
