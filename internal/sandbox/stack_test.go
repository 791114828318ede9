package sandbox

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestStack: its SQS has its queues, and its variables name all of its parts.
func TestStack(t *testing.T) {
	t.Parallel()
	s := started(t, func() (*Stack, error) { return NewStack(StackConfig{}) })
	want := map[string]string{
		"RESULT_TOPIC_ARN":      "arn:aws:sns:eu-central-1:123456789012:results",
		"REJECTED_QUEUE_ARN":    "",
		"REQUEST_QUEUE_ARN":     "arn:aws:sqs:eu-central-1:123456789012:requests",
		"FOLLOW_QUEUE_ARN":      "arn:aws:sqs:eu-central-1:123456789012:follow",
		"MAX_RECEIVE_COUNT":     "10",
		"AWS_ENDPOINT_URL_SNS":  s.Topic.URL(),
		"AWS_ENDPOINT_URL_SQS":  s.SQS.URL(),
		"AWS_LAMBDA_LOG_FORMAT": "TEXT",
		"HW_REGION_NAME":        "region1",
	}
	got := s.Env(map[string]string{"HW_REGION_NAME": "region1", "AWS_LAMBDA_LOG_FORMAT": "JSON"}, map[string]string{"AWS_LAMBDA_LOG_FORMAT": "TEXT", "REJECTED_QUEUE_ARN": ""})
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("environment (-want +got):\n%s", diff)
	}
	for _, group := range []string{"", "a group"} {
		q := s.QueueOf(group)
		q.Send("a", nil, group)
		m := receive(t, q, "a")[0]
		if out, err := changeBatch(t, s.SQS, "/123456789012/"+q.config.Name, hide(m)...); err != nil || len(out.Successful) != 1 {
			t.Errorf("%s: %+v, %v", q.ARN(), out, err)
		}
		if q.DeadLetters() == nil || q.fifo() != (group != "") || q.fifo() != q.DeadLetters().fifo() {
			t.Errorf("a message of the group %q goes to %s", group, q.ARN())
		}
	}
}

// TestStackClock: a message is a dead letter after MaxReceiveCount receives, by the stack's clock.
func TestStackClock(t *testing.T) {
	t.Parallel()
	c := newClock()
	s := started(t, func() (*Stack, error) {
		return NewStack(StackConfig{Now: c.Now, MaxReceiveCount: 2, VisibilityTimeout: visibility})
	})
	send(s.Requests, "", "a")
	for range 2 {
		receive(t, s.Requests, "a")
		c.advance(visibility)
	}
	receive(t, s.Requests)
	if dead := s.Requests.DeadLetters().Messages(); len(dead) != 1 {
		t.Errorf("dead letters %v", dead)
	}
}
