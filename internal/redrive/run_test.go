package redrive

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/google/go-cmp/cmp"

	"cbr-replicator/internal/queue"
)

// stored is a message in a queue of the fake SQS.
type stored struct {
	id, body, group, dedup string
	attributes             json.RawMessage
	hidden                 bool
}

// fake is as much of SQS as the command uses (SQS API reference). A receipt is
// the message's id.
type fake struct {
	mu     sync.Mutex
	queues map[string][]*stored // by the queue's URL
	// sources are the queues whose dead letters come to a queue, policies the
	// queues' redrive policies, both by URL.
	sources  map[string][]string
	policies map[string]string
	outputs  map[string]string // of the stack named stack
	calls    []string
	asked    []int // how many messages, by each ReceiveMessage
	// size is the longest body that SendMessage takes; 0: 1 MiB.
	size int
	// before is called with each operation, and may refuse it.
	before func(operation string) error
	// cut is called with each operation that was done, and may cut its answer.
	cut func(operation string) bool
}

// coded is an error of SQS's.
type coded struct{ code, text string }

func (c coded) Error() string { return c.text }

func (f *fake) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	_, operation, _ := strings.Cut(r.Header.Get("X-Amz-Target"), "AmazonSQS.")
	if operation == "" {
		f.describeStacks(w, r)
		return
	}
	var in struct {
		QueueUrl, MessageBody, MessageGroupId, MessageDeduplicationId, NextToken string
		MessageAttributes                                                        json.RawMessage
		MaxNumberOfMessages, WaitTimeSeconds                                     int
		Entries                                                                  []entry
	}
	if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	f.calls = append(f.calls, operation)
	if err := f.before(operation); err != nil {
		refuse(w, err)
		return
	}
	answer := map[string]any{}
	switch operation {
	case "ListDeadLetterSourceQueues": // one a page
		page, _ := strconv.Atoi(in.NextToken)
		if all := f.sources[in.QueueUrl]; page < len(all) {
			answer["queueUrls"] = all[page : page+1]
			if page+1 < len(all) {
				answer["NextToken"] = strconv.Itoa(page + 1)
			}
		}
	case "GetQueueAttributes":
		if policy := f.policies[in.QueueUrl]; policy != "" {
			answer["Attributes"] = map[string]string{"RedrivePolicy": policy}
		}
	case "ReceiveMessage":
		f.asked = append(f.asked, in.MaxNumberOfMessages)
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
		size := 1 << 20
		if f.size > 0 {
			size = f.size
		}
		if len(in.MessageBody) > size {
			refuse(w, coded{"InvalidParameterValueException", fmt.Sprintf("One or more parameters are invalid. Reason: Message must be shorter than %d bytes.", size)})
			return
		}
		l := &stored{"sent-" + fmt.Sprint(len(f.queues[in.QueueUrl])), in.MessageBody, in.MessageGroupId, in.MessageDeduplicationId, in.MessageAttributes, false}
		f.queues[in.QueueUrl] = append(f.queues[in.QueueUrl], l)
		answer["MessageId"] = l.id
	case "DeleteMessageBatch":
		f.queues[in.QueueUrl] = slices.DeleteFunc(f.queues[in.QueueUrl], func(l *stored) bool { return l.id == in.Entries[0].Receipt })
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
	text, _ := json.Marshal(answer)
	if f.cut != nil && f.cut(operation) {
		w.Header().Set("Content-Length", strconv.Itoa(len(text)))
		text = text[:len(text)/2]
	}
	_, _ = w.Write(text)
}

func refuse(w http.ResponseWriter, err error) {
	c, ok := errors.AsType[coded](err)
	if !ok {
		c.code = "Refused"
	}
	w.WriteHeader(http.StatusBadRequest)
	fmt.Fprintf(w, `{"__type":"com.amazonaws.sqs#%s","message":%q}`, c.code, err)
}

// describeStacks is the one operation of CloudFormation (CloudFormation API
// reference, DescribeStacks).
func (f *fake) describeStacks(w http.ResponseWriter, r *http.Request) {
	if r.FormValue("Action") != "DescribeStacks" || r.FormValue("StackName") != "stack" {
		w.WriteHeader(http.StatusBadRequest)
		fmt.Fprintf(w, `<ErrorResponse><Error><Code>ValidationError</Code><Message>Stack with id %s does not exist</Message></Error></ErrorResponse>`, r.FormValue("StackName"))
		return
	}
	fmt.Fprint(w, `<DescribeStacksResponse><DescribeStacksResult><Stacks><member><StackName>stack</StackName><Outputs>`)
	for name, value := range f.outputs {
		fmt.Fprintf(w, `<member><OutputKey>%s</OutputKey><OutputValue>%s</OutputValue></member>`, name, value)
	}
	fmt.Fprint(w, `</Outputs></member></Stacks></DescribeStacksResult></DescribeStacksResponse>`)
}

const (
	base  = "https://sqs.eu-central-1.amazonaws.com/123456789012/"
	bases = "arn:aws:sqs:eu-central-1:123456789012:"
)

// redrive runs the command with these dead letters.
func (f *fake) redrive(t *testing.T, suffix string, dead []*stored, extra ...string) (out string, err error) {
	t.Helper()
	f.queues = map[string][]*stored{base + "dead" + suffix: dead}
	f.sources = map[string][]string{base + "dead" + suffix: {base + "live" + suffix}}
	return f.run(t, t.Context(), append([]string{"-dlq", bases + "dead" + suffix, "-queue", base + "live" + suffix}, extra...)...)
}

// withDeadLetters has these dead letters of the queue live.
func withDeadLetters(bodies ...string) *fake {
	return &fake{queues: map[string][]*stored{base + "dead": messagesOf(bodies...)}, sources: map[string][]string{base + "dead": {base + "live"}}}
}

// run runs the command.
func (f *fake) run(t *testing.T, ctx context.Context, args ...string) (out string, err error) {
	t.Helper()
	if f.before == nil {
		f.before = func(string) error { return nil }
	}
	server := httptest.NewServer(f)
	defer server.Close()
	var text strings.Builder
	err = run(ctx, args, configured(server.URL), &text)
	if strings.Contains(text.String(), "secret") || err != nil && strings.Contains(err.Error(), "secret") {
		t.Errorf("the output gives something away:\n%s%v", &text, err)
	}
	return text.String(), err
}

// configured is AWS's configuration with this endpoint.
func configured(endpoint string) func(context.Context) (aws.Config, error) {
	return func(context.Context) (aws.Config, error) {
		return aws.Config{
			Region: "eu-central-1", BaseEndpoint: &endpoint,
			Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
				return aws.Credentials{AccessKeyID: "AKIDEXAMPLE", SecretAccessKey: "a secret"}, nil
			}),
		}, nil
	}
}

// messagesOf makes messages with the ids id-0, id-1, …
func messagesOf(bodies ...string) []*stored {
	var all []*stored
	for i, body := range bodies {
		all = append(all, &stored{id: fmt.Sprintf("id-%d", i), body: body})
	}
	return all
}

// wantBodies compares the bodies in the queues dead and live. One that is out of
// sight begins with hidden.
func (f *fake) wantBodies(t *testing.T, dead, live []string) {
	t.Helper()
	for name, want := range map[string][]string{"dead": dead, "live": live} {
		if diff := cmp.Diff(want, f.bodies(name)); diff != "" {
			t.Errorf("%s (-want +got):\n%s\ncalls %v", name, diff, f.calls)
		}
	}
}

func (f *fake) bodies(name string) []string {
	var all []string
	for _, m := range f.queues[base+name] {
		if m.hidden {
			all = append(all, hidden+m.body)
		} else {
			all = append(all, m.body)
		}
	}
	return all
}

const hidden = "hidden: "

const (
	good = `{"replicate":{"vault_id":"` + vault + `"}}`
	told = `{` + stamped + `,"replicate":{"vault_id":"` + vault + `"}}`
	odd  = `{"secret":1}`
)

func TestRun(t *testing.T) {
	t.Parallel()
	const left = "messages are left, and their lines say why"
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
			out, err := f.redrive(t, "", messagesOf(good, odd), tt.extra...)
			if !strings.HasPrefix(fmt.Sprint(err), tt.err) || (err == nil) != (tt.err == "") {
				t.Errorf("error %v", err)
			}
			if diff := cmp.Diff(tt.out, out); diff != "" {
				t.Errorf("output (-want +got):\n%s", diff)
			}
			f.wantBodies(t, tt.dead, tt.live)
		})
	}
}

// TestRunMany: more messages than one call receives, and more than one batch makes
// visible.
func TestRunMany(t *testing.T) {
	t.Parallel()
	f := &fake{}
	all := slices.Concat(slices.Repeat([]string{good}, 25), slices.Repeat([]string{odd}, 25))
	if out, err := f.redrive(t, "", messagesOf(all...)); err == nil || !strings.Contains(out, "\n25 moved, 25 left") {
		t.Errorf("%v\n%s", err, out)
	}
	f.wantBodies(t, all[25:], slices.Repeat([]string{told}, 25))
}

// TestRunFIFO: group and attributes stay. The deduplication id is new, and always
// the same for the same dead letter.
func TestRunFIFO(t *testing.T) {
	t.Parallel()
	f := &fake{}
	attributes := json.RawMessage(`{"correlation_id":{"DataType":"String","StringValue":"nightly"}}`)
	out, err := f.redrive(t, ".fifo", []*stored{{id: "id-0", body: good, group: "a group", attributes: attributes}})
	if err != nil || !strings.Contains(out, "does not keep when") {
		t.Fatalf("%v\n%s", err, out)
	}
	want := []*stored{{"sent-0", told, "a group", "redrive-id-0", attributes, false}}
	if diff := cmp.Diff(want, f.queues[base+"live.fifo"], cmp.AllowUnexported(stored{})); diff != "" {
		t.Errorf("messages (-want +got):\n%s", diff)
	}
}

// TestRunFails: SQS refuses at each step. Nothing is lost, and the received
// messages are visible again.
func TestRunFails(t *testing.T) {
	t.Parallel()
	for operation, live := range map[string][]string{
		"ReceiveMessage":     nil,
		"SendMessage":        nil,
		"DeleteMessageBatch": {told},
	} {
		t.Run(operation, func(t *testing.T) {
			t.Parallel()
			f := &fake{before: func(o string) error {
				if o == operation {
					return fmt.Errorf("no %s today", o)
				}
				return nil
			}}
			out, err := f.redrive(t, "", messagesOf(good, good))
			if err == nil || !strings.Contains(err.Error(), "no "+operation+" today") || !strings.Contains(out, "0 moved") {
				t.Errorf("%v\n%s", err, out)
			}
			f.wantBodies(t, []string{good, good}, live)
		})
	}
}

// TestRunTwice: a message is received twice while the command runs. It stays where
// it is: one that could not be read, and one that is a dead letter once more.
func TestRunTwice(t *testing.T) {
	t.Parallel()
	f := &fake{}
	f.before = func(operation string) error {
		dead, live := base+"dead", base+"live"
		if operation == "ReceiveMessage" && len(f.queues[live]) == 1 && f.queues[live][0].id == "sent-0" {
			f.queues[dead] = append(f.queues[dead], f.queues[live]...)
			f.queues[dead][0].hidden = false
			f.queues[live] = []*stored{{id: "other", body: "{}"}}
		}
		return nil
	}
	out, err := f.redrive(t, "", messagesOf(odd, good))
	if err == nil || !strings.Contains(out, "1 moved, 1 left") {
		t.Errorf("%v\n%s", err, out)
	}
	f.wantBodies(t, []string{odd, told}, []string{"{}"})
}

// TestRunInterrupted: an interrupt comes between messages, never between the two
// steps of one.
func TestRunInterrupted(t *testing.T) {
	t.Parallel()
	ctx, interrupt := context.WithCancel(t.Context())
	f := withDeadLetters(good, good)
	f.before = func(operation string) error {
		if operation == "SendMessage" {
			interrupt()
		}
		return nil
	}
	if _, err := f.run(t, ctx, "-dlq", base+"dead", "-queue", base+"live"); !errors.Is(err, context.Canceled) {
		t.Errorf("an interrupted run is no success: %v", err)
	}
	f.wantBodies(t, []string{good}, []string{told})
}

// TestRunInterruptedReceive: an interrupt does not cut an answer. Its messages would
// be out of sight for as long as they are held.
func TestRunInterruptedReceive(t *testing.T) {
	t.Parallel()
	ctx, interrupt := context.WithCancel(t.Context())
	f := withDeadLetters(good, good)
	f.cut = func(operation string) bool {
		if operation == "ReceiveMessage" {
			interrupt()
		}
		return false
	}
	if out, err := f.run(t, ctx, "-dlq", base+"dead"); !errors.Is(err, context.Canceled) || !strings.Contains(out, "0 moved, 0 left") {
		t.Errorf("%v\n%s", err, out)
	}
	f.wantBodies(t, []string{good, good}, nil)
}

// TestRunMovesTenOfTheLargest: an answer may have ten messages of 1 MiB, and JSON
// may write each byte of them as six.
func TestRunMovesTenOfTheLargest(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		fill  string // encoding/json writes < as \u003c
		size  int
		extra []string
		out   string
		live  int
	}{
		"plain":   {"x", 1 << 18, nil, "\n10 moved, 0 left in the dead-letter queue\n", 10},
		"escaped": {"<", 1 << 20, []string{"-dry-run"}, "\n10 would be moved, 0 left in the dead-letter queue\n", 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			frame := strings.Replace(good, `{"vault_id"`, `{"description":"","vault_id"`, 1)
			room := tt.size - len(frame) - len(stamped) - len(",")
			large := strings.Replace(frame, `"description":"`, `"description":"`+strings.Repeat(tt.fill, room), 1)
			f := &fake{}
			out, err := f.redrive(t, "", messagesOf(slices.Repeat([]string{large}, 10)...), tt.extra...)
			if err != nil || !strings.HasSuffix(out, tt.out) || len(f.queues[base+"live"]) != tt.live {
				t.Errorf("%v\n%s", err, out)
			}
			if diff := cmp.Diff([]int{10, 10}, f.asked); diff != "" {
				t.Errorf("asked for (-want +got):\n%s", diff)
			}
			for _, body := range f.bodies("live") {
				if len(body) != tt.size {
					t.Errorf("a message of %d bytes", len(body))
				}
			}
		})
	}
}

// TestRunLostAnswer: the messages of an answer that cannot be read are out of sight.
// The run says so, and asks for fewer from then on.
func TestRunLostAnswer(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		lost  int // answers
		asked []int
		dead  []string
		out   []string
		err   string
	}{
		"one": {
			1,
			[]int{10, 5, 5, 5, 5},
			slices.Repeat([]string{hidden + good}, 10),
			[]string{"Next are 5 messages at once: ReceiveMessage: the answer cannot be read: it was cut", "\n14 moved, 0 left in the dead-letter queue\n"},
			"up to 10 more messages may be out of sight for 15m0s",
		},
		"each": {
			99,
			[]int{10, 5, 2, 1},
			slices.Concat(slices.Repeat([]string{hidden + good}, 18), slices.Repeat([]string{good}, 6)),
			[]string{"Next are 1 messages at once", "\n0 moved, 0 left in the dead-letter queue\n"},
			"dead: ReceiveMessage: the answer cannot be read: it was cut: unexpected EOF\nup to 18 more messages may be out of sight for 15m0s",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := &fake{}
			f.cut = func(operation string) bool { return operation == "ReceiveMessage" && len(f.asked) <= tt.lost }
			out, err := f.redrive(t, "", messagesOf(slices.Repeat([]string{good}, 24)...))
			if err == nil || !strings.HasPrefix(err.Error(), tt.err) {
				t.Errorf("error %v", err)
			}
			for _, want := range tt.out {
				if !strings.Contains(out, want) {
					t.Errorf("the output has no %q:\n%s", want, out)
				}
			}
			if diff := cmp.Diff([]any{tt.asked, tt.dead}, []any{f.asked, f.bodies("dead")}); diff != "" {
				t.Errorf("asked for, dead letters (-want +got):\n%s", diff)
			}
		})
	}
}

// TestRunLeavesWhatTheQueueRefuses: if SQS refuses one message, for example because
// requested_at makes it too long, the others are moved.
func TestRunLeavesWhatTheQueueRefuses(t *testing.T) {
	t.Parallel()
	long := strings.Replace(good, `}}`, `}`+strings.Repeat(" ", 100)+`}`, 1)
	reason := fmt.Sprintf("the queue does not take its %d bytes: InvalidParameterValueException: One or more parameters are invalid. Reason: Message must be shorter than %d bytes.",
		len(long)+len(stamped)+len(","), len(long))
	for name, tt := range map[string]struct {
		extra      []string
		dead, live []string
		out        string
	}{
		"left":           {nil, []string{long}, []string{told}, "id-0  left: " + reason},
		"moved by force": {[]string{"-force"}, nil, []string{long, told}, "id-0  moved as it is: " + reason},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := &fake{size: len(long)}
			out, err := f.redrive(t, "", messagesOf(long, good), tt.extra...)
			if (err == nil) != (tt.dead == nil) || !strings.HasPrefix(out, tt.out+"\nid-1  moved: ") {
				t.Errorf("%v\n%s", err, out)
			}
			f.wantBodies(t, tt.dead, tt.live)
		})
	}
	for code, moves := range map[string]bool{
		"InvalidMessageContents": true, "InvalidParameterValue": true,
		"AccessDeniedException": false, "QueueDoesNotExist": false, "ThrottlingException": false, "KmsDisabled": false,
	} {
		t.Run(code, func(t *testing.T) {
			t.Parallel()
			f := &fake{}
			sends := 0
			f.before = func(operation string) error {
				if operation == "SendMessage" {
					if sends++; sends == 1 {
						return coded{code, "no"}
					}
				}
				return nil
			}
			if out, err := f.redrive(t, "", messagesOf(good, good)); err == nil || strings.Contains(out, "1 moved, 1 left") != moves {
				t.Errorf("%v\n%s", err, out)
			}
			for _, body := range f.bodies("dead") {
				if body != good {
					t.Errorf("dead letter %s", body)
				}
			}
		})
	}
}

// TestRunLostSend: a message may have been sent although the answer is lost.
func TestRunLostSend(t *testing.T) {
	t.Parallel()
	f := &fake{cut: func(operation string) bool { return operation == "SendMessage" }}
	if out, err := f.redrive(t, "", messagesOf(good, good)); err == nil || !strings.Contains(err.Error(), "message id-0: it may have been sent, and is still in dead") {
		t.Errorf("%v\n%s", err, out)
	}
	f.wantBodies(t, []string{good, good}, []string{told})
}

// TestRunRefuses: what is refused before any call to AWS.
func TestRunRefuses(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		args []string
		want string
	}{
		"nothing":                 {nil, "-dlq: expected the URL or the ARN"},
		"a topic":                 {[]string{"-dlq", "arn:aws:sns:eu-central-1:123456789012:dead"}, "-dlq: expected the URL or the ARN"},
		"an endpoint":             {[]string{"-dlq", "https://sqs.eu-central-1.amazonaws.com"}, "-dlq: expected the URL of a queue"},
		"the same":                {[]string{"-dlq", bases + "dead", "-queue", base + "dead"}, "-dlq and -queue are the same queue"},
		"the same, rejected":      {[]string{"-rejected", bases + "dead", "-queue", base + "dead"}, "-rejected and -queue are the same queue"},
		"another region":          {[]string{"-dlq", bases + "dead", "-queue", "arn:aws:sqs:eu-west-1:123456789012:live"}, "-dlq and -queue: expected queues of one region"},
		"an unknown flag":         {[]string{"-all"}, "flag provided"},
		"no flag":                 {[]string{"-dry-run", base + "dead"}, "expected flags alone"},
		"two at once":             {[]string{"-dlq", bases + "dead", "-rejected", bases + "rejected"}, "-dlq and -rejected: expected one of them"},
		"rejected without stack":  {[]string{"-rejected", "1", "-queue", bases + "live"}, "-rejected: expected the URL or the ARN"},
		"rejected without -queue": {[]string{"-rejected", bases + "rejected"}, "-queue: expected the URL or the ARN"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := &fake{}
			if _, err := f.run(t, t.Context(), tt.args...); err == nil || !strings.HasPrefix(err.Error(), tt.want) || len(f.calls) > 0 {
				t.Errorf("error %v, want %s; calls %v", err, tt.want, f.calls)
			}
		})
	}
}

// TestRunConfiguration: faults of AWS's configuration.
func TestRunConfiguration(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		cfg  aws.Config
		err  error
		dlq  string
		want string
	}{
		"no profile": {aws.Config{}, errors.New("no profile"), bases + "dead", "AWS configuration: no profile"},
		"no region":  {aws.Config{}, nil, "http://127.0.0.1:5000/1/dead", "-dlq: the URL names no region"},
		"no credentials": {aws.Config{Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{}, errors.New("the login has expired")
		})}, nil, bases + "dead", "-dlq: AWS credentials: the login has expired"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			load := func(context.Context) (aws.Config, error) { return tt.cfg, tt.err }
			if err := run(t.Context(), []string{"-dlq", tt.dlq}, load, io.Discard); err == nil || !strings.HasPrefix(err.Error(), tt.want) {
				t.Errorf("error %v, want %s", err, tt.want)
			}
		})
	}
}

// endpoints is a source of configuration, such as a profile.
type endpoints map[string]string

func (e endpoints) GetServiceBaseEndpoint(_ context.Context, sdkID string) (string, bool, error) {
	endpoint, ok := e[sdkID]
	return endpoint, ok, nil
}

func TestNewClientEndpoint(t *testing.T) {
	t.Parallel()
	general := "https://general.example"
	for want, cfg := range map[string]aws.Config{
		"":                    {},
		general:               {BaseEndpoint: &general, ConfigSources: []any{1, endpoints{"SNS": "https://sns.example"}}},
		"https://sqs.example": {BaseEndpoint: &general, ConfigSources: []any{1, endpoints{}, endpoints{"SQS": "https://sqs.example"}, endpoints{"SQS": "https://later.example"}}},
	} {
		if c, err := newClient(t.Context(), cfg, "eu-central-1"); err != nil || c.Endpoint != want {
			t.Errorf("endpoint %s, %v, want %s", c.Endpoint, err, want)
		}
	}
}

func TestParseQueue(t *testing.T) {
	t.Parallel()
	dead := func(region string) queue.Name {
		return queue.Name{Region: region, Account: "123456789012", Queue: "dead"}
	}
	for in, want := range map[string]queue.Name{
		bases + "dead": dead("eu-central-1"),
		base + "dead":  dead("eu-central-1"),
		base + "dead/": dead("eu-central-1"),
		"arn:aws-cn:sqs:cn-north-1:123456789012:dead":                            dead("cn-north-1"),
		"https://sqs.cn-north-1.amazonaws.com.cn/123456789012/dead":              dead("cn-north-1"),
		"https://vpce-1a2b-x.sqs.eu-west-1.vpce.amazonaws.com/123456789012/dead": dead("eu-west-1"),
		"http://127.0.0.1:5000/123456789012/dead":                                dead("of-the-environment"),
	} {
		if got, err := parseQueue(in, "of-the-environment"); err != nil || got != want {
			t.Errorf("parseQueue(%s) = %+v, %v, want %+v", in, got, err, want)
		}
	}
}

func TestParseQueueRefuses(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ in, region, err string }{
		{"", "eu-central-1", "expected the URL or the ARN of a queue"},
		{"dead", "eu-central-1", "expected the URL or the ARN of a queue"},
		{"arn:aws:sns:eu-central-1:123456789012:dead", "eu-central-1", "expected the URL or the ARN of a queue"},
		{"http://127.0.0.1:5000/123456789012/dead", "", "the URL names no region, and AWS_REGION is not set"},
		{base, "", "expected the URL of a queue, which ends in /account/name"},
		{base + "dead/more", "", "expected the URL of a queue, which ends in /account/name"},
		{"https://sqs.eu-central-1.amazonaws.com/dead", "", "expected the URL of a queue, which ends in /account/name"},
	} {
		if got, err := parseQueue(tt.in, tt.region); err == nil || err.Error() != tt.err {
			t.Errorf("parseQueue(%q) = %+v, %v, want %s", tt.in, got, err, tt.err)
		}
	}
}
