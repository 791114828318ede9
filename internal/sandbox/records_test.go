package sandbox

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// TestReadSQSEvent: what was sent to a queue can be read back from its event.
func TestReadSQSEvent(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"requests", "requests.fifo"} {
		q := NewQueue(QueueConfig{Name: name, VisibilityTimeout: time.Minute, Now: time.Now})
		want := []Message{
			{Body: `{"a":1}`, Attributes: map[string]string{"correlation_id": "one"}},
			{Body: "no JSON", Attributes: map[string]string{}},
		}
		for i := range want {
			if q.fifo() {
				want[i].Group = string(rune('a' + i))
			}
			q.Send(want[i].Body, want[i].Attributes, want[i].Group)
		}
		got, err := ReadSQSEvent(SQSEvent(q.ARN(), q.Receive(10)))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-sent +read):\n%s", name, diff)
		}
	}
	for _, wrong := range []string{"", "[]", "{}", `{"Records":[]}`, `{"Records":[{"body":"x","eventSource":"aws:sns"}]}`, `{"Records":[{"body":7}]}`} {
		if got, err := ReadSQSEvent([]byte(wrong)); err == nil {
			t.Errorf("ReadSQSEvent(%s) = %v", wrong, got)
		}
	}
}
