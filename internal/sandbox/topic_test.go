package sandbox

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/aws/aws-sdk-go-v2/service/sns/types"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func newTopic(t *testing.T, name string) *Topic {
	t.Helper()
	return observedTopic(t, name, nil)
}

func observedTopic(t *testing.T, name string, observe func(Published), options ...TopicOption) *Topic {
	t.Helper()
	return started(t, func() (*Topic, error) { return NewTopic(name, observe, options...) })
}

func newClient(t *testing.T, topic *Topic) *sns.Client {
	t.Helper()
	return sns.NewFromConfig(clientConfig(t, topic.URL(), Region))
}

// batch makes entries with the ids 0, 1, … and these messages.
func batch(messages ...string) []types.PublishBatchRequestEntry {
	entries := make([]types.PublishBatchRequestEntry, len(messages))
	for i, message := range messages {
		entries[i] = types.PublishBatchRequestEntry{Id: aws.String(fmt.Sprint(i)), Message: aws.String(message)}
	}
	return entries
}

// with changes an entry.
func with(e types.PublishBatchRequestEntry, change func(*types.PublishBatchRequestEntry)) types.PublishBatchRequestEntry {
	change(&e)
	return e
}

func attribute(name, kind, value string) func(*types.PublishBatchRequestEntry) {
	return func(e *types.PublishBatchRequestEntry) {
		e.MessageAttributes = map[string]types.MessageAttributeValue{
			name: {DataType: aws.String(kind), StringValue: aws.String(value)},
		}
	}
}

func group(group, dedup string) func(*types.PublishBatchRequestEntry) {
	return func(e *types.PublishBatchRequestEntry) {
		if group != "" {
			e.MessageGroupId = aws.String(group)
		}
		if dedup != "" {
			e.MessageDeduplicationId = aws.String(dedup)
		}
	}
}

func publish(t *testing.T, topic *Topic, entries ...types.PublishBatchRequestEntry) (*sns.PublishBatchOutput, error) {
	t.Helper()
	return newClient(t, topic).PublishBatch(t.Context(), &sns.PublishBatchInput{
		TopicArn: aws.String(topic.ARN()), PublishBatchRequestEntries: entries,
	})
}

func messagesOn(topic *Topic) (all []string) {
	for _, m := range topic.Messages() {
		all = append(all, m.Message)
	}
	return all
}

func TestPublishBatch(t *testing.T) {
	t.Parallel()
	var observed []Published
	topic := observedTopic(t, "results", func(p Published) { observed = append(observed, p) })

	var entries []types.PublishBatchRequestEntry
	var want []Published
	for i := range maxTopicEntries {
		message := fmt.Sprintf(`{"n":%d,"text":"<&> ä\n"}`, i)
		entries = append(entries, types.PublishBatchRequestEntry{
			Id:      aws.String(fmt.Sprint("id-", i)),
			Message: aws.String(message),
			MessageAttributes: map[string]types.MessageAttributeValue{
				"status": {DataType: aws.String("String"), StringValue: aws.String("accepted & ü")},
				"number": {DataType: aws.String("String"), StringValue: aws.String(fmt.Sprint(i))},
			},
			MessageGroupId: aws.String("vault-a"), // a standard topic passes it on to fair queues
		})
		want = append(want, Published{
			Message: message, Group: "vault-a",
			Attributes: map[string]string{"status": "accepted & ü", "number": fmt.Sprint(i)},
		})
	}
	before := time.Now()
	out, err := publish(t, topic, entries...)
	if err != nil {
		t.Fatal(err)
	}
	got := topic.Messages()
	if diff := cmp.Diff(want, got, cmpopts.IgnoreFields(Published{}, "ID", "Time")); diff != "" {
		t.Fatalf("messages (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(got, observed); diff != "" {
		t.Errorf("observed (-messages +observed):\n%s", diff)
	}
	if len(out.Failed) != 0 || len(out.Successful) != len(entries) {
		t.Fatalf("%d successful, %d failed", len(out.Successful), len(out.Failed))
	}
	for i, s := range out.Successful {
		if aws.ToString(s.Id) != fmt.Sprint("id-", i) || aws.ToString(s.MessageId) != got[i].ID || got[i].ID == "" {
			t.Errorf("entry %d: id %s, message id %s, published as %s", i, aws.ToString(s.Id), aws.ToString(s.MessageId), got[i].ID)
		}
		if got[i].Time.Before(before) || got[i].Time.After(time.Now()) {
			t.Errorf("entry %d: published at %v", i, got[i].Time)
		}
	}
	if topic.Calls() != 1 {
		t.Errorf("%d calls", topic.Calls())
	}
}

// as reports whether err is a T.
func as[T error](err error) bool {
	var target T
	return errors.As(err, &target)
}

// TestRefusals: the calls that SNS refuses, and the errors of AWS's client.
func TestRefusals(t *testing.T) {
	t.Parallel()
	const standard, fifo = "results", "results.fifo"
	kib := func(n int) string { return strings.Repeat("x", n<<10) }
	tests := []struct {
		name, topic string
		entries     []types.PublishBatchRequestEntry
		code        string
		is          func(error) bool
	}{
		{"no entry", standard, batch(), "EmptyBatchRequest", as[*types.EmptyBatchRequestException]},
		{"11 entries", standard, batch(make([]string, 11)...), "TooManyEntriesInBatchRequest", as[*types.TooManyEntriesInBatchRequestException]},
		{
			"equal ids", standard, append(batch("a"), batch("b")...), "BatchEntryIdsNotDistinct",
			as[*types.BatchEntryIdsNotDistinctException],
		},
		{
			"an id of other characters", standard,
			append(batch("a"), with(batch("", "b")[1], func(e *types.PublishBatchRequestEntry) { e.Id = aws.String("a b") })),
			"InvalidBatchEntryId", as[*types.InvalidBatchEntryIdException],
		},
		{
			"a long id", standard,
			[]types.PublishBatchRequestEntry{with(batch("a")[0], func(e *types.PublishBatchRequestEntry) { e.Id = aws.String(strings.Repeat("a", 81)) })},
			"InvalidBatchEntryId", as[*types.InvalidBatchEntryIdException],
		},
		{"a message above 256 KiB", standard, batch(kib(256) + "x"), "BatchRequestTooLong", as[*types.BatchRequestTooLongException]},
		{
			"messages above 256 KiB together", standard, batch(kib(128), kib(128), "x"), "BatchRequestTooLong",
			as[*types.BatchRequestTooLongException],
		},
		{
			"an attribute above 256 KiB", standard,
			[]types.PublishBatchRequestEntry{with(batch(kib(256) + "x")[0], func(e *types.PublishBatchRequestEntry) {
				attribute("a", "String", (*e.Message)[7:])(e)
				e.Message = aws.String("x")
			})},
			"BatchRequestTooLong", as[*types.BatchRequestTooLongException],
		},
		{
			"an attribute without a value", standard, append(batch("good"), with(batch("", "a")[1], attribute("kind", "String", ""))),
			"ParameterValueInvalid", as[*types.InvalidParameterValueException],
		},
		{
			"an attribute of another type", standard, append(batch("good"), with(batch("", "a")[1], attribute("kind", "Number", "1"))),
			"ParameterValueInvalid", as[*types.InvalidParameterValueException],
		},
		{"an empty message", standard, batch("good", ""), "InvalidParameter", as[*types.InvalidParameterException]},
		{
			"FIFO without a group", fifo,
			[]types.PublishBatchRequestEntry{with(batch("a")[0], group("g", "1")), with(batch("", "a")[1], group("", "2"))},
			"InvalidParameter", as[*types.InvalidParameterException],
		},
		{
			"FIFO without a deduplication id", fifo,
			[]types.PublishBatchRequestEntry{with(batch("a")[0], group("g", ""))},
			"InvalidParameter", as[*types.InvalidParameterException],
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			topic := newTopic(t, tt.topic)
			_, err := publish(t, topic, tt.entries...)
			wantAPIError(t, err, 400, tt.code, smithy.FaultClient)
			if !tt.is(err) {
				t.Errorf("another type of error: %v", err)
			}
			if len(topic.Messages()) != 0 {
				t.Errorf("published %q", messagesOn(topic))
			}
			if topic.Calls() != 1 {
				t.Errorf("%d calls", topic.Calls())
			}
		})
	}
}

// TestAttributeNames: SNS developer guide, "Amazon SNS message attributes".
func TestAttributeNames(t *testing.T) {
	t.Parallel()
	topic := newTopic(t, "results")
	tests := []struct {
		name string
		ok   bool
	}{
		{"vault_id", true},
		{"content-type", true},
		{"Source.region.2", true},
		{"awsome", true},
		{strings.Repeat("a", 256), true},
		{strings.Repeat("a", 257), false},
		{"", false},
		{"vault id", false},
		{"größe", false},
		{".a", false},
		{"a.", false},
		{"a..b", false},
		{"AWS.a", false},
		{"amazoN.a", false},
	}
	for _, tt := range tests {
		_, err := publish(t, topic, with(batch("a")[0], attribute(tt.name, "String", "v")))
		if tt.ok != (err == nil) || !tt.ok && !as[*types.InvalidParameterValueException](err) {
			t.Errorf("%.20q: %v", tt.name, err)
		}
	}
}

func wantAPIError(t *testing.T, err error, status int, code string, fault smithy.ErrorFault) {
	t.Helper()
	var apiError smithy.APIError
	if !errors.As(err, &apiError) {
		t.Fatalf("no API error: %v", err)
	}
	var response *smithyhttp.ResponseError
	if !errors.As(err, &response) || response.HTTPStatusCode() != status {
		t.Errorf("want status %d: %v", status, err)
	}
	if apiError.ErrorCode() != code || apiError.ErrorFault() != fault {
		t.Errorf("code %s, fault %v, want %s and %v", apiError.ErrorCode(), apiError.ErrorFault(), code, fault)
	}
}

// TestBatchLimit: a batch may have 256 KiB, attributes included.
func TestBatchLimit(t *testing.T) {
	t.Parallel()
	topic := newTopic(t, "results")
	counted := len("status" + "String" + "accepted")
	e := with(batch(strings.Repeat("x", maxTopicBytes-counted))[0], attribute("status", "String", "accepted"))
	if _, err := publish(t, topic, e); err != nil {
		t.Error(err)
	}
	*e.Message += "x"
	if _, err := publish(t, topic, e); !as[*types.BatchRequestTooLongException](err) {
		t.Errorf("one byte more: %v", err)
	}
}

func TestWrongTopic(t *testing.T) {
	t.Parallel()
	topic := newTopic(t, "results")
	_, err := newClient(t, topic).PublishBatch(t.Context(), &sns.PublishBatchInput{
		TopicArn: aws.String(topic.ARN() + "x"), PublishBatchRequestEntries: batch("a"),
	})
	wantAPIError(t, err, 404, "NotFound", smithy.FaultClient)
	if !as[*types.NotFoundException](err) {
		t.Errorf("another type of error: %v", err)
	}
}

func TestUnknownAction(t *testing.T) {
	t.Parallel()
	topic := newTopic(t, "results")
	_, err := newClient(t, topic).Publish(t.Context(), &sns.PublishInput{TopicArn: aws.String(topic.ARN()), Message: aws.String("a")})
	wantAPIError(t, err, 400, "InvalidAction", smithy.FaultUnknown)
}

func TestDeduplication(t *testing.T) {
	t.Parallel()
	topic := newTopic(t, "results.fifo")
	send := func(messages ...string) {
		t.Helper()
		entries := batch(messages...)
		for i, message := range messages {
			group("vault-a", "dedup-"+message)(&entries[i])
		}
		out, err := publish(t, topic, entries...)
		if err != nil || len(out.Successful) != len(messages) {
			t.Fatalf("publishing %q: %+v, %v", messages, out, err)
		}
	}
	send("a", "b", "a")
	send("a", "c")
	if diff := cmp.Diff([]string{"a", "b", "c"}, messagesOn(topic)); diff != "" {
		t.Errorf("messages (-want +got):\n%s", diff)
	}
	if first := topic.Messages()[0]; first.Group != "vault-a" || first.DeduplicationID != "dedup-a" {
		t.Errorf("message %+v", first)
	}
	// The window runs from the first message.
	topic.mu.Lock()
	topic.dedup["dedup-a"] = time.Now().Add(-dedupWindow)
	topic.mu.Unlock()
	send("a", "b")
	if diff := cmp.Diff([]string{"a", "b", "c", "a"}, messagesOn(topic)); diff != "" {
		t.Errorf("messages after the window (-want +got):\n%s", diff)
	}
}

// TestNoDeduplication: a standard topic publishes equal messages.
func TestNoDeduplication(t *testing.T) {
	t.Parallel()
	topic := newTopic(t, "results")
	e := with(batch("a")[0], group("", "same"))
	for range 2 {
		if _, err := publish(t, topic, e); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff([]string{"a", "a"}, messagesOn(topic)); diff != "" {
		t.Errorf("messages (-want +got):\n%s", diff)
	}
}

func TestScriptedCall(t *testing.T) {
	t.Parallel()
	tests := []struct {
		status int
		code   string
		fault  smithy.ErrorFault
		is     func(error) bool
	}{
		{403, "AuthorizationError", smithy.FaultClient, as[*types.AuthorizationErrorException]},
		{400, "KMSThrottling", smithy.FaultClient, as[*types.KMSThrottlingException]},
		{500, "InternalError", smithy.FaultServer, as[*types.InternalErrorException]},
		{400, "Throttling", smithy.FaultUnknown, as[*smithy.GenericAPIError]},
		{503, "ServiceUnavailable", smithy.FaultUnknown, as[*smithy.GenericAPIError]},
	}
	topic := newTopic(t, "results")
	for _, tt := range tests {
		topic.Script(TopicFault{Status: tt.status, Code: tt.code})
	}
	for _, tt := range tests { // one fault for each call, in order
		_, err := publish(t, topic, batch("a")...)
		wantAPIError(t, err, tt.status, tt.code, tt.fault)
		if !tt.is(err) {
			t.Errorf("another type of error: %v", err)
		}
	}
	if _, err := publish(t, topic, batch("b")...); err != nil {
		t.Error(err)
	}
	if diff := cmp.Diff([]string{"b"}, messagesOn(topic)); diff != "" {
		t.Errorf("messages (-want +got):\n%s", diff)
	}
	if topic.Calls() != len(tests)+1 {
		t.Errorf("%d calls", topic.Calls())
	}
}

func TestScriptedEntries(t *testing.T) {
	t.Parallel()
	topic := newTopic(t, "results")
	topic.Script(TopicFault{Entries: map[int]bool{0: true, 2: false}})
	out, err := publish(t, topic, batch("a", "b", "c", "d")...)
	if err != nil {
		t.Fatal(err)
	}
	var successful []string
	for _, s := range out.Successful {
		successful = append(successful, *s.Id)
	}
	if diff := cmp.Diff([]string{"1", "3"}, successful); diff != "" {
		t.Errorf("successful (-want +got):\n%s", diff)
	}
	want := []types.BatchResultErrorEntry{
		{Id: aws.String("0"), Code: aws.String("InvalidParameter"), Message: aws.String("scripted"), SenderFault: true},
		{Id: aws.String("2"), Code: aws.String("InternalError"), Message: aws.String("scripted"), SenderFault: false},
	}
	if diff := cmp.Diff(want, out.Failed, cmpopts.IgnoreUnexported(types.BatchResultErrorEntry{})); diff != "" {
		t.Errorf("failed (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"b", "d"}, messagesOn(topic)); diff != "" {
		t.Errorf("messages (-want +got):\n%s", diff)
	}
}

func TestScriptedReset(t *testing.T) {
	t.Parallel()
	topic := newTopic(t, "results")
	topic.Script(TopicFault{Reset: true})
	_, err := publish(t, topic, batch("a")...)
	if !as[*smithyhttp.RequestSendError](err) || as[smithy.APIError](err) {
		t.Errorf("err = %v", err)
	}
	if len(topic.Messages()) != 0 || topic.Calls() != 1 {
		t.Errorf("%d calls, published %q", topic.Calls(), messagesOn(topic))
	}
	if _, err := publish(t, topic, batch("a")...); err != nil {
		t.Errorf("after the reset: %v", err)
	}
}

// TestAnswerLost: the caller sees a reset, but the message is published.
func TestAnswerLost(t *testing.T) {
	t.Parallel()
	topic := newTopic(t, "results")
	topic.Script(TopicFault{AnswerLost: true})
	if _, err := publish(t, topic, batch("a", "b")...); !as[*smithyhttp.RequestSendError](err) || as[smithy.APIError](err) {
		t.Errorf("err = %v", err)
	}
	if diff := cmp.Diff([]string{"a", "b"}, messagesOn(topic)); diff != "" {
		t.Errorf("messages (-want +got):\n%s", diff)
	}
	if _, err := publish(t, topic, batch("c")...); err != nil {
		t.Errorf("after it: %v", err)
	}
}

func TestWithoutMessages(t *testing.T) {
	t.Parallel()
	var observed []string
	topic := observedTopic(t, "results", func(p Published) { observed = append(observed, p.Message) }, WithoutMessages())
	if _, err := publish(t, topic, batch("a", "b")...); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"a", "b"}, observed); diff != "" {
		t.Errorf("observed (-want +got):\n%s", diff)
	}
	if kept := topic.Messages(); len(kept) != 0 {
		t.Errorf("kept %v", kept)
	}
}

func TestScriptedDelay(t *testing.T) {
	t.Parallel()
	topic := newTopic(t, "results")
	const delay = 20 * time.Millisecond
	topic.Script(TopicFault{Delay: delay})
	before := time.Now()
	if _, err := publish(t, topic, batch("a")...); err != nil {
		t.Error(err)
	}
	if took := time.Since(before); took < delay {
		t.Errorf("answered after %v", took)
	}
}

// TestCloseInDelay: Close does not wait for a delay, and the delayed call publishes nothing.
func TestCloseInDelay(t *testing.T) {
	t.Parallel()
	topic := newTopic(t, "results")
	topic.Script(TopicFault{Delay: time.Hour})
	client := newClient(t, topic)
	failed := make(chan error, 1)
	go func() {
		_, err := client.PublishBatch(t.Context(), &sns.PublishBatchInput{
			TopicArn: aws.String(topic.ARN()), PublishBatchRequestEntries: batch("a"),
		})
		failed <- err
	}()
	for topic.Calls() == 0 {
		time.Sleep(time.Millisecond)
	}
	topic.Close()
	if err := <-failed; !as[*smithyhttp.RequestSendError](err) {
		t.Errorf("err = %v", err)
	}
	if len(topic.Messages()) != 0 {
		t.Errorf("published %q", messagesOn(topic))
	}
}

func TestPublishersSideBySide(t *testing.T) {
	t.Parallel()
	topic := newTopic(t, "results")
	client := newClient(t, topic)
	const publishers, calls = 5, 4
	var wg sync.WaitGroup
	for range publishers {
		wg.Go(func() {
			for range calls {
				if _, err := client.PublishBatch(t.Context(), &sns.PublishBatchInput{
					TopicArn: aws.String(topic.ARN()), PublishBatchRequestEntries: batch("a", "b"),
				}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if len(topic.Messages()) != 2*publishers*calls || topic.Calls() != publishers*calls {
		t.Errorf("%d messages in %d calls", len(topic.Messages()), topic.Calls())
	}
}
