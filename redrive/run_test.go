package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// letter is a message in a queue of the fake SQS.
type letter struct {
	id, body, group, dedup string
	attributes             json.RawMessage
	hidden                 bool
}

// fake is as much of SQS as the command uses (SQS API reference). A receipt is
// the message's id.
type fake struct {
	mu     sync.Mutex
	queues map[string][]*letter // by the queue's URL
	calls  []string
	// before is called with each operation, and may refuse it.
	before func(operation string) error
}

func (f *fake) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	_, operation, _ := strings.Cut(r.Header.Get("X-Amz-Target"), "AmazonSQS.")
	var in struct {
		QueueUrl, MessageBody, MessageGroupId, MessageDeduplicationId string
		MessageAttributes                                             json.RawMessage
		MaxNumberOfMessages, WaitTimeSeconds                          int
		Entries                                                       []entry
	}
	if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	f.calls = append(f.calls, operation)
	if err := f.before(operation); err != nil {
		w.WriteHeader(http.StatusBadRequest)
		fmt.Fprintf(w, `{"__type":"com.amazonaws.sqs#Refused","message":%q}`, err)
		return
	}
	answer := map[string]any{}
	switch operation {
	case "ReceiveMessage":
		messages := []any{}
		for _, l := range f.queues[in.QueueUrl] {
			if l.hidden || len(messages) == in.MaxNumberOfMessages {
				continue
			}
			l.hidden = true
			m := map[string]any{
				"MessageId": l.id, "ReceiptHandle": l.id, "Body": l.body,
				"Attributes": map[string]string{"SentTimestamp": fmt.Sprint(sent.UnixMilli()), "MessageGroupId": l.group},
			}
			if l.attributes != nil {
				m["MessageAttributes"] = l.attributes
			}
			messages = append(messages, m)
		}
		answer["Messages"] = messages
	case "SendMessage":
		l := &letter{"sent-" + fmt.Sprint(len(f.queues[in.QueueUrl])), in.MessageBody, in.MessageGroupId, in.MessageDeduplicationId, in.MessageAttributes, false}
		f.queues[in.QueueUrl] = append(f.queues[in.QueueUrl], l)
		answer["MessageId"] = l.id
	case "DeleteMessageBatch":
		f.queues[in.QueueUrl] = slices.DeleteFunc(f.queues[in.QueueUrl], func(l *letter) bool { return l.id == in.Entries[0].Receipt })
	case "ChangeMessageVisibilityBatch":
		for _, e := range in.Entries {
			for _, l := range f.queues[in.QueueUrl] {
				l.hidden = l.hidden && (l.id != e.Receipt || *e.VisibilityTimeout > 0)
			}
		}
	default:
		http.Error(w, operation, http.StatusNotImplemented)
		return
	}
	_ = json.NewEncoder(w).Encode(answer)
}

const (
	base  = "https://sqs.eu-central-1.amazonaws.com/123456789012/"
	bases = "arn:aws:sqs:eu-central-1:123456789012:"
)

// redrive runs the command with a dead-letter queue of these letters.
func redrive(t *testing.T, f *fake, suffix string, dead []*letter, extra ...string) (out string, err error) {
	t.Helper()
	f.queues = map[string][]*letter{base + "dead" + suffix: dead}
	if f.before == nil {
		f.before = func(string) error { return nil }
	}
	server := httptest.NewServer(f)
	defer server.Close()
	env := map[string]string{"AWS_ACCESS_KEY_ID": "AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY": "a secret", "AWS_ENDPOINT_URL": server.URL}
	var text strings.Builder
	err = run(t.Context(), append([]string{"-dlq", bases + "dead" + suffix, "-queue", base + "live" + suffix}, extra...), func(name string) string { return env[name] }, &text)
	if strings.Contains(text.String(), "secret") {
		t.Errorf("the output gives something away:\n%s", &text)
	}
	return text.String(), err
}

func letters(bodies ...string) []*letter {
	var all []*letter
	for i, body := range bodies {
		all = append(all, &letter{id: fmt.Sprintf("id-%d", i), body: body})
	}
	return all
}

func bodies(letters []*letter) []string {
	var all []string
	for _, l := range letters {
		if l.hidden {
			all = append(all, "hidden: "+l.body)
		} else {
			all = append(all, l.body)
		}
	}
	return all
}

const (
	good = `{"replicate":{"vault_id":"` + vault + `"}}`
	told = `{` + stamped + `,"replicate":{"vault_id":"` + vault + `"}}`
	odd  = `{"secret":1}`
)

func TestRun(t *testing.T) {
	t.Parallel()
	const left = "messages are left that cannot be read"
	for name, tt := range map[string]struct {
		extra      []string
		dead, live []string
		out, err   string
	}{
		"moves what it can read": {
			nil,
			[]string{odd},
			[]string{told},
			"id-0  moved: vault " + vault + ", requested_at 2026-11-23T02:00:00.123Z\nid-1  left: its body has a field that no request has\n1 moved, 1 left in the dead-letter queue\n", left,
		},
		"only shows": {
			[]string{"-dry-run"},
			[]string{good, odd},
			nil,
			"id-0  would move: vault " + vault + ", requested_at 2026-11-23T02:00:00.123Z\nid-1  left: its body has a field that no request has\n1 would be moved, 1 left in the dead-letter queue\n", left,
		},
		"moves all by force": {
			[]string{"-force"},
			nil,
			[]string{told, odd},
			"id-0  moved: vault " + vault + ", requested_at 2026-11-23T02:00:00.123Z\nid-1  moved as it is: its body has a field that no request has\n2 moved, 0 left in the dead-letter queue\n", "",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := &fake{}
			out, err := redrive(t, f, "", letters(good, odd), tt.extra...)
			if !strings.HasPrefix(fmt.Sprint(err), tt.err) || (err == nil) != (tt.err == "") {
				t.Errorf("error %v", err)
			}
			if diff := cmp.Diff([]any{tt.dead, tt.live, tt.out}, []any{bodies(f.queues[base+"dead"]), bodies(f.queues[base+"live"]), out}); diff != "" {
				t.Errorf("dead letters, messages, output (-want +got):\n%s", diff)
			}
		})
	}
}

// TestRunMany: more than one call brings, and more than one batch makes visible.
func TestRunMany(t *testing.T) {
	t.Parallel()
	f := &fake{}
	all := slices.Concat(slices.Repeat([]string{good}, 25), slices.Repeat([]string{odd}, 25))
	if out, err := redrive(t, f, "", letters(all...)); err == nil || !strings.Contains(out, "\n25 moved, 25 left") {
		t.Errorf("%v\n%s", err, out)
	}
	if diff := cmp.Diff(all[25:], bodies(f.queues[base+"dead"])); diff != "" {
		t.Errorf("dead letters (-want +got):\n%s", diff)
	}
}

// TestRunFIFO: group and attributes go along, and the deduplication id is a new
// one, the same for the same dead letter.
func TestRunFIFO(t *testing.T) {
	t.Parallel()
	f := &fake{}
	attributes := json.RawMessage(`{"correlation_id":{"DataType":"String","StringValue":"nightly"}}`)
	out, err := redrive(t, f, ".fifo", []*letter{{id: "id-0", body: good, group: "a group", attributes: attributes}})
	if err != nil || !strings.Contains(out, "does not keep when") {
		t.Fatalf("%v\n%s", err, out)
	}
	want := []*letter{{"sent-0", told, "a group", "redrive-id-0", attributes, false}}
	if diff := cmp.Diff(want, f.queues[base+"live.fifo"], cmp.AllowUnexported(letter{})); diff != "" {
		t.Errorf("messages (-want +got):\n%s", diff)
	}
}

// TestRunFails: SQS refuses at each step. Nothing is lost, and what was received
// is visible again.
func TestRunFails(t *testing.T) {
	t.Parallel()
	for operation, want := range map[string][]string{
		"ReceiveMessage":     {good, good},
		"SendMessage":        {good, good},
		"DeleteMessageBatch": {good, good},
	} {
		t.Run(operation, func(t *testing.T) {
			t.Parallel()
			f := &fake{before: func(o string) error {
				if o == operation {
					return fmt.Errorf("no %s today", o)
				}
				return nil
			}}
			out, err := redrive(t, f, "", letters(good, good))
			if err == nil || !strings.Contains(err.Error(), "no "+operation+" today") || !strings.Contains(out, "0 moved") {
				t.Errorf("%v\n%s", err, out)
			}
			if diff := cmp.Diff(want, bodies(f.queues[base+"dead"])); diff != "" {
				t.Errorf("dead letters (-want +got):\n%s", diff)
			}
		})
	}
}

// TestRunTwice: a message that is seen again while the command runs stays where
// it is: one that could not be read, and one that died again.
func TestRunTwice(t *testing.T) {
	t.Parallel()
	f := &fake{}
	f.before = func(operation string) error {
		dead, live := base+"dead", base+"live"
		if operation == "ReceiveMessage" && len(f.queues[live]) == 1 && f.queues[live][0].id == "sent-0" {
			f.queues[dead] = append(f.queues[dead], f.queues[live]...)
			f.queues[dead][0].hidden = false
			f.queues[live] = []*letter{{id: "other", body: "{}"}}
		}
		return nil
	}
	out, err := redrive(t, f, "", letters(odd, good))
	if err == nil || !strings.Contains(out, "1 moved, 1 left") {
		t.Errorf("%v\n%s", err, out)
	}
	if diff := cmp.Diff([]string{odd, told}, bodies(f.queues[base+"dead"])); diff != "" {
		t.Errorf("dead letters (-want +got):\n%s", diff)
	}
}

// TestRunInterrupted: an interrupt comes between messages, never between the two
// steps of one.
func TestRunInterrupted(t *testing.T) {
	t.Parallel()
	ctx, interrupt := context.WithCancel(t.Context())
	f := &fake{queues: map[string][]*letter{base + "dead": letters(good, good)}}
	f.before = func(operation string) error {
		if operation == "SendMessage" {
			interrupt()
		}
		return nil
	}
	server := httptest.NewServer(f)
	defer server.Close()
	env := map[string]string{"AWS_ACCESS_KEY_ID": "AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY": "a secret", "AWS_ENDPOINT_URL_SQS": server.URL}
	var out strings.Builder
	if err := run(ctx, []string{"-dlq", base + "dead", "-queue", base + "live"}, func(name string) string { return env[name] }, &out); err == nil {
		t.Error("an interrupted run is no success")
	}
	if diff := cmp.Diff([]any{[]string{good}, []string{told}}, []any{bodies(f.queues[base+"dead"]), bodies(f.queues[base+"live"])}); diff != "" {
		t.Errorf("dead letters and messages (-want +got):\n%s\ncalls %v", diff, f.calls)
	}
}

func TestRunRefuses(t *testing.T) {
	t.Parallel()
	credentials := map[string]string{"AWS_ACCESS_KEY_ID": "AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY": "a secret"}
	for name, tt := range map[string]struct {
		args []string
		env  map[string]string
		want string
	}{
		"nothing":           {nil, credentials, "-dlq: expected the URL or the ARN"},
		"no queue":          {[]string{"-dlq", bases + "dead"}, credentials, "-queue: expected the URL or the ARN"},
		"a topic":           {[]string{"-dlq", "arn:aws:sns:eu-central-1:123456789012:dead"}, credentials, "-dlq: expected the URL or the ARN"},
		"an endpoint":       {[]string{"-dlq", "https://sqs.eu-central-1.amazonaws.com"}, credentials, "-dlq: expected the URL of a queue"},
		"no region":         {[]string{"-dlq", "http://127.0.0.1:5000/1/dead"}, credentials, "-dlq: the URL names no region"},
		"the same":          {[]string{"-dlq", bases + "dead", "-queue", base + "dead"}, credentials, "-dlq and -queue are the same queue"},
		"another region":    {[]string{"-dlq", bases + "dead", "-queue", "arn:aws:sqs:eu-west-1:123456789012:live"}, credentials, "-dlq and -queue: SQS has"},
		"standard for FIFO": {[]string{"-dlq", bases + "dead.fifo", "-queue", bases + "live"}, credentials, "-dlq and -queue: SQS has"},
		"no credentials":    {[]string{"-dlq", bases + "dead", "-queue", bases + "live"}, nil, "AWS_ACCESS_KEY_ID or"},
		"an unknown flag":   {[]string{"-all"}, credentials, "flag provided"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var out strings.Builder
			if err := run(t.Context(), tt.args, func(name string) string { return tt.env[name] }, &out); err == nil || !strings.HasPrefix(err.Error(), tt.want) {
				t.Errorf("error %v, want %s", err, tt.want)
			}
		})
	}
}

func TestParseQueue(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]queue{
		bases + "dead.fifo": {"eu-central-1", "123456789012", "dead.fifo", base + "dead.fifo"},
		base + "dead":       {"eu-central-1", "123456789012", "dead", base + "dead"},
		"arn:aws-cn:sqs:cn-north-1:123456789012:dead":                 {"cn-north-1", "123456789012", "dead", "https://sqs.cn-north-1.amazonaws.com.cn/123456789012/dead"},
		"https://vpce-1a2b-x.sqs.eu-west-1.vpce.amazonaws.com/1/dead": {"eu-west-1", "1", "dead", "https://vpce-1a2b-x.sqs.eu-west-1.vpce.amazonaws.com/1/dead"},
		"http://127.0.0.1:5000/123456789012/dead":                     {"of-the-environment", "123456789012", "dead", "http://127.0.0.1:5000/123456789012/dead"},
	} {
		if got, err := parseQueue(in, "of-the-environment"); err != nil || got != want {
			t.Errorf("parseQueue(%s) = %+v, %v, want %+v", in, got, err, want)
		}
	}
}
