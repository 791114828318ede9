package visibility_test

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	gocmp "github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"cbr-replicator/internal/awscall"
	"cbr-replicator/internal/kind"
	"cbr-replicator/internal/redact"
	"cbr-replicator/internal/visibility"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	function = "arn:aws:lambda:eu-central-1:123456789012:function:replicator"
	queue    = "arn:aws:sqs:eu-central-1:123456789012:requests"
	queueURL = "https://sqs.eu-central-1.amazonaws.com/123456789012/requests"
	secret   = "AQEB" // begins every receipt handle
)

// call is a ChangeMessageVisibilityBatch as the queue's service read it.
type call struct {
	QueueURL string           `json:"QueueUrl"`
	Entries  []map[string]any // by the names of the API reference
}

// brief returns a call's entries as "ID HANDLE=SECONDS".
func (c call) brief() []string {
	var all []string
	for _, e := range c.Entries {
		all = append(all, fmt.Sprint(e["Id"], " ", e["ReceiptHandle"], "=", e["VisibilityTimeout"]))
	}
	return all
}

// service is an SQS that records calls and answers them in AWS JSON 1.0 (Smithy,
// "AWS JSON 1.0 protocol").
type service struct {
	*httptest.Server
	// answer answers the call with this number, from 0; nil takes all messages.
	answer func(w http.ResponseWriter, r *http.Request, number int, c call)

	mu    sync.Mutex
	calls []call
}

func newService(t *testing.T, answer func(http.ResponseWriter, *http.Request, int, call)) *service {
	s := &service{answer: answer}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var c call
		if err := json.NewDecoder(r.Body).Decode(&c); err != nil {
			t.Errorf("body: %v", err)
		}
		for name, want := range map[string]string{
			"X-Amz-Target": "AmazonSQS.ChangeMessageVisibilityBatch",
			"Content-Type": "application/x-amz-json-1.0",
		} {
			if got := r.Header.Get(name); r.Method != http.MethodPost || r.URL.Path != "/" || got != want {
				t.Errorf("%s %s with %s %q, want %q", r.Method, r.URL.Path, name, got, want)
			}
		}
		s.mu.Lock()
		number := len(s.calls)
		s.calls = append(s.calls, c)
		s.mu.Unlock()
		if s.answer == nil {
			_, _ = w.Write([]byte(`{"Successful":[],"Failed":[]}`))
			return
		}
		s.answer(w, r, number, c)
	}))
	t.Cleanup(s.Close)
	return s
}

// recorded returns the calls so far.
func (s *service) recorded() []call {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.calls)
}

// changer returns a Changer that calls s, and what it logs.
func (s *service) changer() (*visibility.Changer, *bytes.Buffer) {
	return changer(&awscall.Client{
		Service: "sqs", Target: "AmazonSQS", Version: "1.0", Region: "eu-central-1", Endpoint: s.URL,
		Credentials: aws.Credentials{AccessKeyID: "id", SecretAccessKey: "key"},
		HTTP:        s.Client(),
	})
}

func changer(client visibility.SQS) (*visibility.Changer, *bytes.Buffer) {
	log := &bytes.Buffer{}
	return &visibility.Changer{
		SQS:    client,
		Log:    slog.New(slog.NewJSONHandler(log, nil)),
		Redact: &redact.Redactor{},
		Rand:   func() float64 { return 0 },
	}, log
}

// line is a line of the log.
type line struct {
	Level, Msg, Error string
	Messages          int
}

// lines reads a log, in which there must be no receipt handle.
func lines(t *testing.T, log *bytes.Buffer) (all []line) {
	t.Helper()
	if strings.Contains(log.String(), secret) {
		t.Errorf("a receipt handle is in the log:\n%s", log)
	}
	for text := range strings.Lines(log.String()) {
		var l line
		if err := json.Unmarshal([]byte(text), &l); err != nil {
			t.Errorf("line %q: %v", text, err)
		}
		all = append(all, l)
	}
	return all
}

func notChanged(messages int, why string) []line {
	return []line{{Level: "WARN", Msg: "visibility not changed", Messages: messages, Error: why}}
}

// messages returns n messages of a queue. They stay out of sight for no time.
func messages(n int) []visibility.Message {
	all := make([]visibility.Message, n)
	for i := range all {
		all[i] = visibility.Message{QueueARN: queue, ReceiptHandle: secret + strconv.Itoa(i), Kind: kind.OutOfTime}
	}
	return all
}

func TestChange(t *testing.T) {
	t.Parallel()
	s := newService(t, nil)
	c, log := s.changer()
	c.Change(t.Context(), function, []visibility.Message{
		{QueueARN: queue, ReceiptHandle: "AQEBa", Kind: kind.Throttled, RetryAfter: 40 * time.Second, Receives: 1},
		{QueueARN: queue, ReceiptHandle: "AQEBb", Kind: kind.Unavailable, RetryAfter: 1500 * time.Millisecond, Receives: 2},
		{QueueARN: queue, ReceiptHandle: "AQEBc", Kind: kind.InProgress, RetryAfter: 0, Receives: 5},
		{QueueARN: queue, ReceiptHandle: "AQEBd", Kind: kind.Unknown, RetryAfter: 90*time.Second + 1, Receives: 1},
		{QueueARN: queue, ReceiptHandle: "AQEBe", Kind: kind.OutOfTime, RetryAfter: 0, Receives: 3},
		{QueueARN: queue, ReceiptHandle: "AQEBf", Kind: kind.Throttled, RetryAfter: 1000 * time.Hour, Receives: 3},
		{QueueARN: queue, ReceiptHandle: "AQEBg", Kind: kind.InProgress, Receives: 10, Last: true},
	})
	if len(s.recorded()) != 1 || s.recorded()[0].QueueURL != queueURL || log.Len() > 0 {
		t.Fatalf("calls = %v, log %q; want one call for %s and no log", s.recorded(), log, queueURL)
	}
	if diff := gocmp.Diff([]string{"0 AQEBa=40", "1 AQEBb=60", "2 AQEBc=39600", "3 AQEBd=91", "4 AQEBe=0", "5 AQEBf=42300", "6 AQEBg=60"}, s.recorded()[0].brief()); diff != "" {
		t.Errorf("entries (-want +got):\n%s", diff)
	}
}

func TestNothingToChange(t *testing.T) {
	t.Parallel()
	s := newService(t, nil)
	c, log := s.changer()
	c.Change(t.Context(), "", nil)
	if len(s.recorded()) > 0 || log.Len() > 0 {
		t.Errorf("%d calls, log %q; want neither", len(s.recorded()), log)
	}
}

// TestBatches: ten messages of one queue make a call, however they are mixed.
func TestBatches(t *testing.T) {
	t.Parallel()
	s := newService(t, nil)
	c, log := s.changer()
	all := messages(36)
	for i := range all {
		if i%3 == 0 {
			all[i].QueueARN = queue + ".fifo"
		}
	}
	c.Change(t.Context(), function, all)
	got, handles := map[string]int{}, map[any]bool{}
	for _, call := range s.recorded() {
		got[fmt.Sprint(call.QueueURL, " ", len(call.Entries))]++
		ids := map[any]bool{}
		for _, e := range call.Entries {
			ids[e["Id"]], handles[e["ReceiptHandle"]] = true, true
		}
		if len(ids) != len(call.Entries) {
			t.Errorf("%d ids for %d entries", len(ids), len(call.Entries))
		}
	}
	want := map[string]int{queueURL + " 10": 2, queueURL + " 4": 1, queueURL + ".fifo 10": 1, queueURL + ".fifo 2": 1}
	if diff := gocmp.Diff(want, got); diff != "" {
		t.Errorf("calls (-want +got):\n%s", diff)
	}
	if len(handles) != len(all) || log.Len() > 0 {
		t.Errorf("%d messages changed of %d, log %q", len(handles), len(all), log)
	}
}

// TestPartitions: a queue's URL has its partition's domain.
func TestPartitions(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ partition, region, want string }{
		{"aws", "ap-southeast-3", "https://sqs.ap-southeast-3.amazonaws.com"},
		{"aws-cn", "cn-north-1", "https://sqs.cn-north-1.amazonaws.com.cn"},
		{"aws-us-gov", "us-gov-west-1", "https://sqs.us-gov-west-1.amazonaws.com"},
		{"aws-eusc", "eusc-de-east-1", "https://sqs.eusc-de-east-1.amazonaws.eu"},
		{"aws-iso-b", "us-isob-east-1", "https://sqs.us-isob-east-1.sc2s.sgov.gov"},
	} {
		t.Run(tt.partition, func(t *testing.T) {
			t.Parallel()
			s := newService(t, nil)
			c, log := s.changer()
			own := func(service, name string) string {
				return strings.Join([]string{"arn", tt.partition, service, tt.region, "123456789012", name}, ":")
			}
			c.Change(t.Context(), own("lambda", "function:replicator:live"), []visibility.Message{
				{QueueARN: own("sqs", "requests.fifo"), ReceiptHandle: secret},
				{QueueARN: queue, ReceiptHandle: secret},
			})
			if len(s.recorded()) != 1 || s.recorded()[0].QueueURL != tt.want+"/123456789012/requests.fifo" || len(s.recorded()[0].Entries) != 1 {
				t.Errorf("calls = %v, want one message of a queue at %s", s.recorded(), tt.want)
			}
			if got := lines(t, log); len(got) != 1 || got[0].Messages != 1 {
				t.Errorf("log = %v, want one line of the queue elsewhere", got)
			}
		})
	}
}

// TestForeign: an event may name any queue. Only queues of the function's own
// account and region are called.
func TestForeign(t *testing.T) {
	t.Parallel()
	s := newService(t, nil)
	c, log := s.changer()
	own := queue[:len(queue)-len("requests")]
	all := []visibility.Message{
		{QueueARN: queue, ReceiptHandle: secret},
		{QueueARN: own + strings.Repeat("q", 80), ReceiptHandle: secret},
		{QueueARN: own + strings.Repeat("q", 75) + ".fifo", ReceiptHandle: secret},
		{QueueARN: queue, ReceiptHandle: ""},
	}
	for _, arn := range []string{
		"",
		"requests",
		"arn:aws:sqs:eu-central-1:210987654321:requests",
		"arn:aws:sqs:eu-west-1:123456789012:requests",
		"arn:aws-cn:sqs:eu-central-1:123456789012:requests",
		"arn:aws:sns:eu-central-1:123456789012:requests",
		"arn:aws:sqs:eu-central-1::requests",
		"arn:aws:sqs:eu-central-1.evil.example/:123456789012:requests",
		" " + queue,
		own,
		own + "../210987654321/requests",
		own + "requests/x",
		own + "requests?x",
		own + "requests:x",
		own + "requests.fif",
		own + "requests.fifo.fifo",
		own + ".fifo",
		own + "requests\n",
		own + "réquests",
		own + strings.Repeat("q", 81),
		own + strings.Repeat("q", 76) + ".fifo",
	} {
		all = append(all, visibility.Message{QueueARN: arn, ReceiptHandle: secret})
	}
	c.Change(t.Context(), function, all)
	if len(s.recorded()) != 3 {
		t.Errorf("%d calls, want 3: %v", len(s.recorded()), s.recorded())
	}
	want := slices.Concat(
		notChanged(1, "the event has no receipt handle"),
		notChanged(len(all)-7, "the event names no queue"),
		notChanged(1, "the queue is in the region eu-west-1, the function in eu-central-1"),
		notChanged(2, "the queue is of another account than the function"),
	)
	if diff := gocmp.Diff(want, lines(t, log)); diff != "" {
		t.Errorf("log (-want +got):\n%s", diff)
	}
}

// TestNoFunction: without the function's ARN no queue is called.
func TestNoFunction(t *testing.T) {
	t.Parallel()
	for _, arn := range []string{
		"", "cbr-replicator", queue,
		"arn:aws:lambda:eu-central-1:12345678901:function:replicator",
		"arn:aws:lambda:evil.example/:123456789012:function:replicator",
		"arn:evil:lambda:eu-central-1:123456789012:function:replicator",
	} {
		t.Run(arn, func(t *testing.T) {
			t.Parallel()
			s := newService(t, nil)
			c, log := s.changer()
			c.Change(t.Context(), arn, messages(12))
			if len(s.recorded()) > 0 {
				t.Errorf("calls = %v, want none", s.recorded())
			}
			if diff := gocmp.Diff(notChanged(12, "the function's ARN is not known"), lines(t, log)); diff != "" {
				t.Errorf("log (-want +got):\n%s", diff)
			}
		})
	}
}

// answer is one that a script has.
type answer struct {
	status int
	body   string // "": the connection is cut
}

func refusal(status int, code string) answer {
	return answer{status, `{"__type":"com.amazonaws.sqs#` + code + `","message":"the receipt handle AQEB0 is not liked"}`}
}

// failed returns an answer in which the entries of these ids fail.
func failed(code string, senderFault bool, ids ...string) answer {
	var entries []string
	for _, id := range ids {
		entries = append(entries, fmt.Sprintf(`{"Id":%q,"Code":%q,"SenderFault":%t,"Message":"AQEB0 is not liked"}`, id, code, senderFault))
	}
	return answer{http.StatusOK, `{"Successful":[],"Failed":[` + strings.Join(entries, ",") + `]}`}
}

func TestFaults(t *testing.T) {
	t.Parallel()
	both, one := []string{"0 AQEB0=0", "1 AQEB1=0"}, []string{"1 AQEB1=0"}
	ok := failed("", false)
	for _, tt := range []struct {
		name    string
		answers []answer
		calls   [][]string
		log     []line
	}{
		{"passes", []answer{refusal(500, "InternalFailure"), ok}, [][]string{both, both}, nil},
		{"stays", []answer{refusal(500, "InternalFailure"), refusal(503, "ServiceUnavailable")}, [][]string{both, both}, notChanged(2, "ServiceUnavailable")},
		{"throttled", []answer{refusal(400, "RequestThrottled"), ok}, [][]string{both, both}, nil},
		{"cut off", []answer{{}, ok}, [][]string{both, both}, nil},
		{"refused", []answer{refusal(400, "AccessDeniedException")}, [][]string{both}, notChanged(2, "AccessDeniedException")},
		{"passes, then refused", []answer{refusal(500, "InternalFailure"), refusal(403, "AccessDenied")}, [][]string{both, both}, notChanged(2, "AccessDenied")},
		{"an entry passes", []answer{failed("InternalError", false, "1"), ok}, [][]string{both, one}, nil},
		{"an entry stays", []answer{failed("InternalError", false, "1"), failed("Busy", false, "1")}, [][]string{both, one}, notChanged(1, "Busy")},
		{"an entry is refused", []answer{failed("ReceiptHandleIsInvalid", true, "0")}, [][]string{both}, notChanged(1, "ReceiptHandleIsInvalid")},
		{"all are", []answer{failed("InvalidParameterValue", true, "0", "1")}, [][]string{both}, notChanged(2, "InvalidParameterValue")},
		{"one is refused, one passes", []answer{{200, `{"Failed":[{"Id":"0","Code":"ReceiptHandleIsInvalid","SenderFault":true},{"Id":"1","Code":"InternalError"}]}`}, ok}, [][]string{both, one}, notChanged(1, "ReceiptHandleIsInvalid")},
		{"an entry nobody knows", []answer{failed("Nonsense", false, "7")}, [][]string{both}, notChanged(1, "Nonsense")},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := newService(t, func(w http.ResponseWriter, _ *http.Request, number int, _ call) {
				if number >= len(tt.answers) {
					t.Errorf("call %d, want %d", number+1, len(tt.answers))
					return
				}
				a := tt.answers[number]
				if a.body == "" {
					panic(http.ErrAbortHandler)
				}
				w.Header().Set("Content-Type", "application/x-amz-json-1.0")
				w.WriteHeader(a.status)
				_, _ = w.Write([]byte(a.body))
			})
			c, log := s.changer()
			c.Change(t.Context(), function, messages(2))
			var got [][]string
			for _, c := range s.recorded() {
				got = append(got, c.brief())
			}
			if diff := gocmp.Diff(tt.calls, got); diff != "" {
				t.Errorf("calls (-want +got):\n%s", diff)
			}
			if diff := gocmp.Diff(tt.log, lines(t, log)); diff != "" {
				t.Errorf("log (-want +got):\n%s", diff)
			}
		})
	}
}

// TestManyFaults: the faults of many calls are one log line, with the first reason.
// A fault that passed is not in it.
func TestManyFaults(t *testing.T) {
	t.Parallel()
	var passed atomic.Bool
	s := newService(t, func(w http.ResponseWriter, _ *http.Request, _ int, c call) {
		switch first := c.Entries[0]["ReceiptHandle"]; {
		case first == secret+"0" && passed.CompareAndSwap(false, true):
			w.WriteHeader(http.StatusInternalServerError)
		case first == secret+"0":
			_, _ = w.Write([]byte(`{}`))
		default:
			_, _ = w.Write([]byte(failed("ReceiptHandleIsInvalid", true, "0", "1").body))
		}
	})
	c, log := s.changer()
	c.Change(t.Context(), function, messages(1000))
	if diff := gocmp.Diff(notChanged(2*99, "ReceiptHandleIsInvalid"), lines(t, log)); diff != "" || len(s.recorded()) != 101 {
		t.Errorf("%d calls, want 101; log (-want +got):\n%s", len(s.recorded()), diff)
	}
}

// TestEnds: when ctx ends, running calls end and no other begins.
func TestEnds(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	s := newService(t, func(_ http.ResponseWriter, r *http.Request, _ int, _ call) {
		cancel()
		<-r.Context().Done()
	})
	c, log := s.changer()
	c.Change(ctx, function, messages(1000))
	if len(s.recorded()) > 8 {
		t.Errorf("%d calls after the end", len(s.recorded()))
	}
	got := lines(t, log)
	if len(got) != 1 || got[0].Messages != 1000 || !strings.Contains(got[0].Error, context.Canceled.Error()) {
		t.Errorf("log = %v, want one line of 1000 messages", got)
	}

	s = newService(t, nil)
	c, log = s.changer()
	c.Change(ctx, function, messages(20))
	if diff := gocmp.Diff(notChanged(20, context.Canceled.Error()), lines(t, log)); diff != "" || len(s.recorded()) > 0 {
		t.Errorf("%d calls without time; log (-want +got):\n%s", len(s.recorded()), diff)
	}
}

// slow is an SQS that answers after a while.
type slow struct {
	takes time.Duration
	mu    sync.Mutex
	began []time.Time
}

func (s *slow) Call(ctx context.Context, _ string, _, _ any) error {
	s.mu.Lock()
	s.began = append(s.began, time.Now())
	s.mu.Unlock()
	select {
	case <-time.After(s.takes):
		return nil
	case <-ctx.Done():
		return fmt.Errorf("no answer: %w", ctx.Err())
	}
}

// TestSideBySide: eight calls at once, no more and no fewer.
func TestSideBySide(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		s := &slow{takes: time.Second}
		c, log := changer(s)
		c.Change(t.Context(), function, messages(10_000))
		if took := time.Since(start); took != 1000/8*time.Second || len(s.began) != 1000 || log.Len() > 0 {
			t.Errorf("%d calls of a second took %v, log %q; want 1000 in %v", len(s.began), took, log, 1000/8*time.Second)
		}
	})
}

// TestHanging: a call without an answer leaves time for another.
func TestHanging(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ left, second, end time.Duration }{
		{4 * time.Second, 2 * time.Second, 3 * time.Second},
		{time.Minute, 5 * time.Second, 10 * time.Second},
		{0, 5 * time.Second, 10 * time.Second}, // no deadline
	} {
		t.Run(cmp.Or(tt.left, -1).String(), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				ctx := t.Context()
				if tt.left > 0 {
					var cancel func()
					ctx, cancel = context.WithTimeout(ctx, tt.left)
					defer cancel()
				}
				start := time.Now()
				s := &slow{takes: time.Hour}
				c, log := changer(s)
				c.Change(ctx, function, messages(1))
				if len(s.began) != 2 || s.began[1].Sub(start) != tt.second || time.Since(start) != tt.end {
					t.Errorf("calls at %v, ended after %v; want the second after %v and the end after %v", s.began, time.Since(start), tt.second, tt.end)
				}
				if got := lines(t, log); len(got) != 1 || got[0].Messages != 1 {
					t.Errorf("log = %v, want one line", got)
				}
			})
		})
	}
}
