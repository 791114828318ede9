package redrive

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// policy is the redrive policy of a queue that has a dead-letter queue.
const policy = `{"deadLetterTargetArn":"` + bases + `dead","maxReceiveCount":10}`

// account is the queues of a stack, each with one message: the requests' queue,
// its dead letters, rejected bodies, and a queue of others with its own.
func account() *fake {
	return &fake{
		queues: map[string][]*stored{
			base + "live":     messagesOf(good),
			base + "dead":     messagesOf(good),
			base + "rejected": {rejectedMessage("id-0", good, "InvalidEvent")},
			base + "other":    messagesOf(good),
		},
		sources:  map[string][]string{base + "dead": {base + "live"}, base + "shared": {base + "other", base + "live"}, base + "follow-dead": {base + "follow"}},
		policies: map[string]string{base + "live": policy, base + "other": policy, base + "empty": "{}", base + "follow": policy},
		outputs: map[string]string{
			"QueueUrl": base + "live", "DeadLetterQueueUrl": base + "dead", "RejectedQueueUrl": base + "rejected",
			"FollowQueueUrl": base + "follow", "FollowDeadLetterQueueUrl": base + "follow-dead", "UnfollowedQueueUrl": base + "unfollowed",
		},
	}
}

// TestGuard: no run empties a queue of requests, and a run that is refused moves
// nothing.
func TestGuard(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		args []string
		err  string // empty: one message is moved to the live queue
	}{
		"dead letters":                 {[]string{"-dlq", bases + "dead", "-queue", base + "live"}, ""},
		"dead letters of one queue":    {[]string{"-dlq", base + "dead"}, ""},
		"swapped":                      {[]string{"-dlq", base + "live", "-queue", base + "dead"}, "-dlq: live is no queue's dead-letter queue: are -dlq and -queue (make: DLQ= and QUEUE=) swapped?"},
		"another queue":                {[]string{"-dlq", base + "dead", "-queue", base + "other"}, "-queue: the dead letters of other are not in dead, which keeps those of " + base + "live"},
		"the same name elsewhere":      {[]string{"-dlq", base + "dead", "-queue", "arn:aws:sqs:eu-central-1:000000000000:live"}, "-queue: the dead letters of live are not in dead"},
		"dead letters of two queues":   {[]string{"-dlq", base + "shared"}, "-queue: expected one of the queues whose dead letters are in shared: " + base + "other, " + base + "live"},
		"one of two, on a second page": {[]string{"-dlq", base + "shared", "-queue", base + "live"}, "none"},
		"rejected as dead letters":     {[]string{"-dlq", base + "rejected", "-queue", base + "live"}, "-dlq: rejected is no queue's dead-letter queue"},
		"rejected":                     {[]string{"-rejected", base + "rejected", "-queue", base + "live"}, ""},
		"rejected, swapped":            {[]string{"-rejected", base + "live", "-queue", base + "rejected"}, "-queue: rejected has no dead-letter queue, as a queue that the function takes from has: are -rejected and -queue (make: REJECTED= and QUEUE=) swapped?"},
		"rejected, of a live queue":    {[]string{"-rejected", base + "other", "-queue", base + "live"}, "-rejected: other has a dead-letter queue, so it is a queue that the function takes from"},
		"rejected, of dead letters":    {[]string{"-rejected", base + "dead", "-queue", base + "live"}, "-rejected: dead is the dead-letter queue of " + base + "live"},
		"rejected, an empty policy":    {[]string{"-rejected", base + "rejected", "-queue", base + "empty"}, "-queue: empty has no dead-letter queue"},
		"a stack":                      {[]string{"-stack", "stack"}, ""},
		"a stack's rejected":           {[]string{"-stack", "stack", "-rejected", "1"}, ""},
		"a stack's queue, another's":   {[]string{"-stack", "stack", "-dlq", base + "live", "-queue", base + "dead"}, "-dlq: live is no queue's"},
		"a queue beside the stack's":   {[]string{"-stack", "stack", "-queue", base + "other"}, "-queue: the dead letters of other are not in dead"},
		"no need of a stack":           {[]string{"-stack", "nobody", "-dlq", base + "dead"}, ""},
		"no need of one, rejected":     {[]string{"-stack", "nobody", "-rejected", base + "rejected", "-queue", base + "live"}, ""},
		"a stack's queue, rejected":    {[]string{"-stack", "stack", "-rejected", base + "rejected"}, ""},
		"followed as well":             {[]string{"-followed", base + "follow-dead", "-dlq", base + "dead"}, "-followed: expected neither -dlq nor -rejected beside it"},
		"followed, of no stack":        {[]string{"-followed", "1"}, "-followed: expected the URL or the ARN of a queue, or -stack beside 1"},
		"followed, a live queue":       {[]string{"-followed", base + "live", "-queue", base + "follow"}, "-followed: live has a dead-letter queue, so it is a queue that the function takes from"},
		"followed, swapped":            {[]string{"-followed", base + "follow", "-queue", base + "unfollowed"}, "-queue: unfollowed has no dead-letter queue, as a queue that the function takes from has: are -followed and -queue (make: FOLLOWED= and QUEUE=) swapped?"},
		"followed, to the wrong queue": {[]string{"-followed", base + "follow-dead", "-queue", base + "live"}, "-queue: the dead letters of live are not in follow-dead"},
		"followed, to no queue":        {[]string{"-followed", base + "unfollowed"}, "-queue: expected the follow queue"},
		"no such stack":                {[]string{"-stack", "nobody"}, "-stack: "},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := account()
			out, err := f.run(t, t.Context(), tt.args...)
			want := account().queues
			switch {
			case tt.err == "none": // let through, with nothing to move
				if err != nil || !strings.Contains(out, "0 moved, 0 left") {
					t.Errorf("%v\n%s", err, out)
				}
			case tt.err == "":
				if err != nil || !strings.Contains(out, "\n1 moved, 0 left") || len(f.queues[base+"live"]) != 2 {
					t.Errorf("%v\n%s", err, out)
				}
				return
			case err == nil || !strings.HasPrefix(err.Error(), tt.err):
				t.Errorf("error %v, want %s", err, tt.err)
			}
			if diff := cmp.Diff(want, f.queues, cmp.AllowUnexported(stored{})); diff != "" {
				t.Errorf("queues (-before +after):\n%s", diff)
			}
		})
	}
}

// TestGuardFails: if SQS does not say whose dead-letter queue it is, nothing is
// moved.
func TestGuardFails(t *testing.T) {
	t.Parallel()
	for operation, args := range map[string][]string{
		"ListDeadLetterSourceQueues": {"-dlq", base + "dead", "-queue", base + "live"},
		"GetQueueAttributes":         {"-rejected", base + "rejected", "-queue", base + "live"},
	} {
		t.Run(operation, func(t *testing.T) {
			t.Parallel()
			f := account()
			f.before = func(o string) error {
				if o == operation {
					return coded{"AccessDeniedException", "no " + o}
				}
				return nil
			}
			if _, err := f.run(t, t.Context(), args...); err == nil || !strings.HasSuffix(err.Error(), "AccessDeniedException: no "+operation) {
				t.Errorf("error %v", err)
			}
			if diff := cmp.Diff(account().queues, f.queues, cmp.AllowUnexported(stored{})); diff != "" {
				t.Errorf("queues (-before +after):\n%s", diff)
			}
		})
	}
}

func TestStackLacksOutput(t *testing.T) {
	t.Parallel()
	for output, args := range map[string][]string{
		"QueueUrl":           {"-stack", "stack"},
		"DeadLetterQueueUrl": {"-stack", "stack"},
		"RejectedQueueUrl":   {"-stack", "stack", "-rejected", "1"},
		"FollowQueueUrl":     {"-stack", "stack", "-followed", "1"},
		"UnfollowedQueueUrl": {"-stack", "stack", "-followed", "1"},
	} {
		f := account()
		delete(f.outputs, output)
		if _, err := f.run(t, t.Context(), args...); err == nil || err.Error() != "-stack: stack has no output "+output || len(f.calls) > 0 {
			t.Errorf("%s: error %v, calls %v", output, err, f.calls)
		}
	}
}
