package redrive

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestRunFollowed: accepted results go to the follow queue as they are, from its
// dead-letter queue and from the queue of those that never came to it.
func TestRunFollowed(t *testing.T) {
	t.Parallel()
	one, two := accepted(""), nest(1, accepted(`,"n":1`))
	for name, tt := range map[string]struct {
		args                   []string
		dead, unfollowed, live []string
		out                    []string
		left                   bool
	}{
		"a stack's": {
			[]string{"-stack", "stack", "-followed", "1"},
			[]string{good},
			nil,
			[]string{one, two},
			[]string{"id-0  moved: vault " + vault + ", accepted_at 2026-11-23T02:00:01Z", "id-1  left: it is no accepted result", "1 moved, 1 left in follow-dead", "1 moved, 0 left in unfollowed"},
			true,
		},
		"a stack's, only shown": {
			[]string{"-stack", "stack", "-followed", "1", "-dry-run"},
			[]string{one, good},
			[]string{two},
			nil,
			[]string{"id-0  would move: vault " + vault, "1 would be moved, 1 left in follow-dead", "1 would be moved, 0 left in unfollowed"},
			true,
		},
		"dead letters": {
			[]string{"-followed", base + "follow-dead"},
			[]string{good},
			[]string{two},
			[]string{one},
			[]string{"1 moved, 1 left in follow-dead"},
			true,
		},
		"dead letters, as such": {
			[]string{"-dlq", base + "follow-dead", "-force"},
			nil,
			[]string{two},
			[]string{one, told},
			[]string{"id-0  moved: vault " + vault + ", accepted_at 2026-11-23T02:00:01Z", "2 moved, 0 left in the dead-letter queue"},
			false,
		},
		"what never came": {
			[]string{"-followed", bases + "unfollowed", "-queue", base + "follow"},
			[]string{one, good},
			nil,
			[]string{two},
			[]string{"1 moved, 0 left in unfollowed"},
			false,
		},
		"all by force": {
			[]string{"-stack", "stack", "-followed", "1", "-force"},
			nil, nil,
			[]string{one, good, two},
			[]string{"id-1  moved as it is: it is no accepted result"},
			false,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := account()
			f.queues = map[string][]*stored{base + "follow-dead": messagesOf(one, good), base + "unfollowed": messagesOf(two)}
			out, err := f.run(t, t.Context(), tt.args...)
			if (err != nil) != tt.left {
				t.Errorf("error %v", err)
			}
			want := []any{tt.dead, tt.unfollowed, tt.live}
			got := []any{f.bodies("follow-dead"), f.bodies("unfollowed"), f.bodies("follow")}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("dead letters, what never came, messages (-want +got):\n%s", diff)
			}
			for _, line := range tt.out {
				if !strings.Contains(out, line) {
					t.Errorf("no line %q in\n%s", line, out)
				}
			}
		})
	}
}
