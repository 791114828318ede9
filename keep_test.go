package replicator_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"

	"cbr-replicator/internal/awsjson"
	"cbr-replicator/internal/cbr/cbrtest"
	"cbr-replicator/internal/kind"
	"cbr-replicator/internal/queue"
	"cbr-replicator/internal/rejected"
	"cbr-replicator/internal/result"
)

const rejectedARN = "arn:aws:sqs:eu-central-1:123456789012:rejected"

// kept is a message in the rejected queue, its body out of its encoding.
type kept struct {
	Body, Kind, CausationID, CorrelationID, DeduplicationID string
}

// rejectedQueue is an SQS that fails with its faults, one a call, and then takes
// all. A nil fault takes one. What has a lost answer is taken, too.
type rejectedQueue struct {
	faults []error
	// onTake is called before a body is taken.
	onTake func()

	mu   sync.Mutex
	kept []kept
}

var errAnswerLost = errors.New("connection reset by peer")

func (s *rejectedQueue) Call(_ context.Context, operation string, in, out any) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var fault error
	if len(s.faults) > 0 {
		fault, s.faults = s.faults[0], s.faults[1:]
	}
	if fault != nil && !errors.Is(fault, errAnswerLost) {
		return fault
	}
	raw, err := json.Marshal(in)
	if err != nil || operation != "SendMessage" {
		return errors.Join(err, errors.New("no "+operation))
	}
	var m struct {
		QueueURL               string `json:"QueueUrl"`
		MessageBody            string
		MessageAttributes      map[string]struct{ DataType, StringValue string }
		MessageDeduplicationID string `json:"MessageDeduplicationId"`
	}
	if err := json.Unmarshal(raw, &m); err != nil || !strings.HasPrefix(m.QueueURL, "https://sqs.eu-central-1.amazonaws.com/123456789012/rejected") {
		return errors.Join(err, errors.New("no queue "+m.QueueURL))
	}
	body := []byte(m.MessageBody)
	if m.MessageAttributes["encoding"].StringValue == "base64" {
		if body, err = base64.StdEncoding.DecodeString(m.MessageBody); err != nil {
			return err
		}
	}
	if s.onTake != nil {
		s.onTake()
	}
	s.kept = append(s.kept, kept{
		string(body), m.MessageAttributes["kind"].StringValue, m.MessageAttributes["causation_id"].StringValue,
		m.MessageAttributes["correlation_id"].StringValue, m.MessageDeduplicationID,
	})
	if fault != nil {
		return fault
	}
	return json.Unmarshal([]byte(`{"MessageId":"m"}`), out)
}

// keepIn has r keep bodies in s.
func keepIn(r *rig, arn string, s *rejectedQueue) {
	r.t.Helper()
	name, err := queue.Parse(arn)
	if err != nil {
		r.t.Fatal(err)
	}
	r.Rejected = &rejected.Queue{Name: name, SQS: s, Retry: r.publishing.Do, Log: r.Log, Redact: r.Redact}
}

// metric is the sum of a metric in all that was written.
func (r *rig) metric(name string) (n float64) {
	for line := range strings.Lines(r.emf.String()) {
		v, _ := decode[map[string]any](r.t, line)[name].(float64)
		n += v
	}
	return n
}

// notAllowed is a request for a region that no list has.
func notAllowed(t tb) string {
	return request(t, cbrtest.SourceVault, object{"replicate.destination_region": "region9", "correlation_id": "nightly"})
}

// TestRejectedBodyIsKept, with what it was, before its result is published, and
// then it is acknowledged.
func TestRejectedBodyIsKept(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	s := &rejectedQueue{onTake: func() {
		if n := len(r.topic.Messages()); n > 0 {
			t.Errorf("%d results are out before the body is kept", n)
		}
	}}
	keepIn(r, rejectedARN+".fifo", s)
	r.BatchConcurrency = 1
	notAllowed := notAllowed(t)
	r.replicates.CBR = scripted(nil) // nobody asks it
	diff(t, "handed back", []string{}, r.handedBack(sqs(t, message{id: "a", body: "not json"})))
	s.onTake = nil
	diff(t, "handed back", []string{}, r.handedBack(sqs(t, message{id: "b", body: notAllowed})))
	diff(t, "published", []string{"a rejected InvalidEvent", "b rejected NotAllowed"}, r.published())
	diff(t, "kept", []kept{
		{"not json", "InvalidEvent", "a", "", result.ID(queueARN, "a", kind.Refused)},
		{notAllowed, "NotAllowed", "b", "nightly", result.ID(queueARN, "b", kind.Refused)},
	}, s.kept)
	diff(t, "RejectedNotKept", 0.0, r.metric("RejectedNotKept"))
}

// TestOnlyWhatIsLostOtherwiseIsKept: a caller that learns the outcome has its
// body, a result of ours is no request, and what CBR refuses is in the result.
func TestOnlyWhatIsLostOtherwiseIsKept(t *testing.T) {
	t.Parallel()
	server := newServer(t)
	r := newRig(t, server)
	s := &rejectedQueue{}
	keepIn(r, rejectedARN, s)
	server.Script(cbrtest.AnyVault, cbrtest.Verdict(400, "BackupService.6129", "The destination vault has no capacity left."))
	for _, payload := range [][]byte{
		[]byte(`{"no":"request"}`),
		[]byte(`[{"no":"request"}]`),
		[]byte(notAllowed(t)),
		overHTTP(t, "POST", replicatePath, "not json"),
		sqs(t, message{body: `{"specversion":"1.0","type":"cbr.checkpoint.replication.accepted.v1","data":{}}`}),
		sqs(t, message{body: ""}),
		sqs(t, message{body: request(t, cbrtest.SourceVault, nil)}),
	} {
		_, _ = r.invoke(payload)
	}
	diff(t, "kept", []kept{}, s.kept)
	diff(t, "RejectedNotKept", 0.0, r.metric("RejectedNotKept"))
}

// TestNoRejectedQueue: without one a rejected delivery is acknowledged.
func TestNoRejectedQueue(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	diff(t, "handed back", []string{}, r.handedBack(sqs(t, message{id: "a", body: "not json"})))
	diff(t, "published", []string{"a rejected InvalidEvent"}, r.published())
	diff(t, "RejectedNotKept", 0.0, r.metric("RejectedNotKept"))
}

// TestRejectedQueueOutOfReach: the delivery goes back until its body is kept,
// with the last one's body to the dead-letter queue.
func TestRejectedQueueOutOfReach(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	s := &rejectedQueue{faults: slices.Repeat([]error{errors.New("no route to host")}, 2*maxAttempts)}
	keepIn(r, rejectedARN, s)
	r.BatchConcurrency = 1
	delivery := func(receives int) []byte { return sqs(t, message{id: "a", body: notAllowed(t), receives: receives}) }
	diff(t, "handed back", []string{"a"}, r.handedBack(delivery(1)))
	diff(t, "published", []string{}, r.published())
	diff(t, "handed back with the last", []string{"a"}, r.handedBack(delivery(maxReceives)))
	diff(t, "published", []string{"a failed Unavailable"}, r.published())
	diff(t, "handed back at last", []string{}, r.handedBack(delivery(2)))
	diff(t, "published", []string{"a failed Unavailable", "a rejected NotAllowed"}, r.published())
	if len(s.kept) != 1 || r.metric("RejectedNotKept") > 0 || r.metric("Redelivered") != 2 {
		t.Errorf("kept %v, metrics %s", s.kept, r.emf.String())
	}
	// A sender must not make metrics by inventing regions.
	if strings.Contains(r.emf.String(), "region9") {
		t.Errorf("metrics of a region that is not allowed: %s", r.emf.String())
	}
	line := r.lines("delivery")[0]
	if text := line["error"].(string); !strings.Contains(text, "REJECTED_QUEUE_ARN") || !strings.Contains(text, "NotAllowed") {
		t.Errorf("the log's error is %q, want both reasons", text)
	}
}

// TestRejectedBodyTooLarge: it is acknowledged all the same, and counted.
func TestRejectedBodyTooLarge(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	s := &rejectedQueue{}
	keepIn(r, rejectedARN, s)
	diff(t, "handed back", []string{}, r.handedBack(sqs(t,
		message{id: "a", body: strings.Repeat("x", 1<<20)},
		message{id: "b", body: "not json"},
	)))
	diff(t, "published", []string{"a rejected InvalidEvent", "b rejected InvalidEvent"}, r.published())
	diff(t, "kept", []kept{{"not json", "InvalidEvent", "b", "", ""}}, s.kept)
	diff(t, "RejectedNotKept", 1.0, r.metric("RejectedNotKept"))
	diff(t, "lines", 1, len(r.lines("rejected body not kept")))
}

// TestBehindWhatIsNotKept: in a FIFO group nothing overtakes a delivery that goes
// back because its body is not kept.
func TestBehindWhatIsNotKept(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	s := &rejectedQueue{faults: []error{&awsjson.Error{Status: 403, Code: "AccessDeniedException"}}}
	keepIn(r, rejectedARN, s)
	diff(t, "handed back", []string{"a", "b"}, r.handedBack(sqs(t,
		message{id: "a", body: "not json", group: "g"}, message{id: "b", body: "nor this", group: "g"})))
	diff(t, "published", []string{}, r.published())
	diff(t, "Misconfigured", 1.0, r.metric("Misconfigured"))
}

// ways are the triggers that are not told of a rejection, each as a payload with
// a body, which it carries whole.
var ways = map[string]func(t tb, body string, receives int) (payload []byte, carried string){
	"sqs": func(t tb, body string, receives int) ([]byte, string) {
		return sqs(t, message{body: body, receives: receives}), body
	},
	"fifo": func(t tb, body string, receives int) ([]byte, string) {
		return sqs(t, message{body: body, receives: receives, group: "g"}), body
	},
	"pipes": func(t tb, body string, receives int) ([]byte, string) {
		records := decode[map[string]json.RawMessage](t, string(sqs(t, message{body: body, receives: receives})))["Records"]
		return records, body
	},
	"sns": func(t tb, body string, _ int) ([]byte, string) {
		return encode(t, object{"Records": []object{{"EventSource": "aws:sns", "Sns": object{"MessageId": "m", "Message": body}}}}), body
	},
	"eventbridge": func(t tb, body string, _ int) ([]byte, string) {
		event := encode(t, object{"detail-type": "Replication Requested", "id": "e", "detail": body})
		return event, string(event)
	},
	"kafka": func(t tb, body string, _ int) ([]byte, string) {
		value := base64.StdEncoding.EncodeToString([]byte(body))
		return encode(t, object{"eventSource": "aws:kafka", "records": object{"t-0": []object{{"topic": "t", "value": value}}}}), body
	},
	"rabbitmq": func(t tb, body string, _ int) ([]byte, string) {
		data := base64.StdEncoding.EncodeToString([]byte(body))
		return encode(t, object{"rmqMessagesByQueue": object{"q": []object{{"basicProperties": object{}, "data": data}}}}), body
	},
	"activemq": func(t tb, body string, _ int) ([]byte, string) {
		data := base64.StdEncoding.EncodeToString([]byte(body))
		return encode(t, object{"eventSource": "aws:mq", "messages": []object{{"messageID": "m", "data": data}}}), body
	},
}

// TestNoRejectedBodyIsLost: whatever the body, the trigger and the faults of the
// rejected queue, the delivery goes back, or the body is kept byte for byte, or
// it is counted that it never can be. It is never in what the function says.
func TestNoRejectedBodyIsLost(t *testing.T) {
	t.Parallel()
	const marker = "never to be logged"
	refusals := []error{
		nil,
		errAnswerLost,
		errors.New("no route to host"),
		&awsjson.Error{Status: 500, Code: "InternalFailure"},
		&awsjson.Error{Status: 400, Code: "RequestThrottled"},
		&awsjson.Error{Status: 403, Code: "AccessDeniedException", Message: marker},
		&awsjson.Error{Status: 400, Code: "QueueDoesNotExist"},
		&awsjson.Error{Status: 400, Code: "InvalidParameterValueException", Message: marker},
		&awsjson.Error{Status: 400, Code: "InvalidMessageContents", Message: marker},
	}
	names := make([]string, 0, len(ways))
	for name := range ways {
		names = append(names, name)
	}
	slices.Sort(names)
	rapid.Check(t, func(t *rapid.T) {
		r := newRig(t, nil)
		way := rapid.SampledFrom(names).Draw(t, "trigger")
		receives := rapid.SampledFrom([]int{1, 2, maxReceives}).Draw(t, "receives")
		body, want := notAllowed(t), kind.NotAllowed
		if rapid.Bool().Draw(t, "invalid") {
			want = kind.InvalidEvent
			body = marker + string(rapid.SliceOf(rapid.Byte()).Draw(t, "body"))
			if !utf8.ValidString(body) && way != "kafka" && way != "rabbitmq" && way != "activemq" {
				body = strings.ToValidUTF8(body, "\ufffd") // the others carry text
			}
		}
		s := &rejectedQueue{faults: rapid.SliceOfN(rapid.SampledFrom(refusals), 0, maxAttempts+1).Draw(t, "faults")}
		keepIn(r, rejectedARN, s)
		payload, carried := ways[way](t, body, receives)
		reply, failure := r.invoke(payload)
		counts := way == "sqs" || way == "fifo" || way == "pipes"
		handedBack := failure != nil
		if counts && !handedBack {
			handedBack = len(batchItemFailures(t, reply)) > 0
		}
		isKept := slices.ContainsFunc(s.kept, func(k kept) bool { return k.Body == carried && k.Kind == string(want) })
		notKept := r.metric("RejectedNotKept")
		if !handedBack && !isKept && notKept != 1 {
			t.Fatalf("%q is lost", carried)
		}
		if notKept > 0 && handedBack {
			t.Error("it is counted as gone and goes back")
		}
		var published []string
		for _, m := range r.topic.Messages() {
			published = append(published, m.Attributes["status"]+" "+m.Attributes["kind"])
		}
		switch {
		case !handedBack:
			diff(t, "published", []string{"rejected " + string(want)}, published)
		case counts && receives == maxReceives:
			if len(published) != 1 || !strings.HasPrefix(published[0], "failed ") {
				t.Errorf("the last delivery publishes %q", published)
			}
		default:
			diff(t, "published", []string{}, published)
		}
		said := r.log.String() + r.emf.String() + strings.Join(r.replies, "\n")
		for _, m := range r.topic.Messages() {
			said += m.Raw
		}
		if strings.Contains(said, marker) {
			t.Errorf("the body is in %s", said)
		}
	})
}
