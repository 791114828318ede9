//go:build integration

package integration

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	snstypes "github.com/aws/aws-sdk-go-v2/service/sns/types"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	sqstypes "github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/google/go-cmp/cmp"

	"cbr-replicator/internal/cbr/cbrtest"
	"cbr-replicator/internal/sandbox"
)

// TestMoto runs each scenario with resources of its own, all in one moto.
func TestMoto(t *testing.T) {
	account := newAccount(t)
	function, err := sandbox.Build(t.Context(), t.TempDir(), "cbr-replicator/function")
	if err != nil {
		t.Fatal(err)
	}
	redrive, err := sandbox.Build(t.Context(), t.TempDir(), "cbr-replicator/cmd/redrive")
	if err != nil {
		t.Fatal(err)
	}
	for name, scenario := range map[string]func(*testing.T, *setting){
		"filter":           testFilter,
		"handed-back":      testHandedBack,
		"dead-letter":      testDeadLetter,
		"redrive":          testRedrive,
		"rejected":         testRejected,
		"redrive-fifo":     testRedriveFIFO,
		"redrive-stack":    testRedriveStack,
		"redrive-large":    testRedriveLarge,
		"redrive-rejected": testRedriveRejected,
		"secrets":          testSecrets,
		"sns-to-sqs":       testSNSToSQS,
		"event-bus":        testEventBus,
		"plan":             testPlan,
		"follow":           testFollow,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			scenario(t, &setting{account: account, name: name, function: function, redrive: redrive})
		})
	}
}

// setting is what a scenario builds its stack in.
type setting struct {
	*account
	name              string
	function, redrive string // the binaries
}

// receives is the maxReceiveCount of every queue.
const receives = 3

// stack is what template.yaml makes, as far as these tests need it, with a CBR.
type stack struct {
	*source
	cbr      *cbrtest.Server
	function *sandbox.Function
	dead     queue
	topic    string
	// all gets every result, as it was published.
	all queue

	results []result
	mu      sync.Mutex
	starts  int
}

// result is a result event, as far as these tests look at it.
type result struct {
	CorrelationID string `json:"correlationid"`
	Data          struct {
		Status     string
		Deliveries int
		Reconciled bool
		Error      struct{ Kind string }
		Request    struct {
			RequestedAt time.Time `json:"requested_at"`
			Replicate   struct {
				VaultID string `json:"vault_id"`
			}
		}
	}
}

func (r result) String() string {
	return strings.TrimSpace(fmt.Sprintf("%s %s %s", r.Data.Request.Replicate.VaultID, r.Data.Status, r.Data.Error.Kind))
}

func newStack(t *testing.T, s *setting, extra map[string]string) *stack {
	t.Helper()
	st := &stack{cbr: cbrtest.NewServer()}
	t.Cleanup(st.cbr.Close)
	st.cbr.AddExample()
	st.dead = s.newQueue(t, s.name+"-dead", nil)
	requests := s.newQueue(t, s.name+"-requests", map[string]string{
		"VisibilityTimeout": "5",
		"RedrivePolicy":     redrivePolicy(st.dead),
	})
	st.topic = s.newTopic(t, s.name+"-results")
	st.all = s.newQueue(t, s.name+"-all", nil)
	s.subscribe(t, st.topic, st.all, map[string]string{"RawMessageDelivery": "true"})
	env := cbrtest.Env(st.cbr.URL)
	maps.Copy(env, cbrtest.DestinationEnv())
	maps.Copy(env, map[string]string{
		"RESULT_TOPIC_ARN":       st.topic,
		"REQUEST_QUEUE_ARN":      requests.arn,
		"AWS_ENDPOINT_URL":       s.url,
		"AWS_LAMBDA_LOG_FORMAT":  "JSON",
		"RETRY_INITIAL_INTERVAL": "10ms",
		"RETRY_MAX_ATTEMPTS":     "2",
		"MAX_RECEIVE_COUNT":      strconv.Itoa(receives),
	})
	maps.Copy(env, extra)
	st.source = &source{account: s.account, t: t, queue: requests}
	st.function = sandbox.NewFunction(sandbox.FunctionConfig{Path: s.function, Env: env, Logs: st})
	t.Cleanup(st.function.Close)
	return st
}

// Write takes a line of the function's log, which a test that fails shows.
func (st *stack) Write(line []byte) (int, error) {
	var metrics struct{ ColdStart *int }
	if json.Unmarshal(line, &metrics) != nil || metrics.ColdStart == nil {
		st.t.Logf("%s", line)
		return len(line), nil
	}
	st.mu.Lock()
	defer st.mu.Unlock()
	st.starts += *metrics.ColdStart
	return len(line), nil
}

// processes is how many processes the function has had, by its own metrics.
func (st *stack) processes() int {
	st.mu.Lock()
	defer st.mu.Unlock()
	return st.starts
}

// poll delivers a batch, if there is one within a second.
func (st *stack) poll() {
	st.t.Helper()
	mapping := sandbox.Mapping{Queue: st, Invoke: func(ctx context.Context, payload []byte) (sandbox.Response, error) {
		response, err := st.function.Invoke(ctx, payload, invocationTimeout)
		if err == nil && response.Error != nil {
			err = response.Error
		}
		return response, err
	}}
	if batch := st.Receive(sandbox.BatchSize); len(batch) > 0 {
		if _, err := mapping.Deliver(st.t.Context(), batch); err != nil {
			st.t.Fatal(err)
		}
	}
}

// until polls the queue until there are n results, and returns them all.
func (st *stack) until(n int) []result {
	st.t.Helper()
	return st.pollUntil(fmt.Sprintf("%d results", n), func() bool { return len(st.results) >= n })
}

// pollUntil polls the queue until done, and returns all results so far.
func (st *stack) pollUntil(what string, done func() bool) []result {
	st.t.Helper()
	for deadline := time.Now().Add(time.Minute); ; {
		for _, body := range st.drain(st.t, st.all) {
			var r result
			if err := json.Unmarshal([]byte(body), &r); err != nil {
				st.t.Fatalf("result %s: %v", body, err)
			}
			st.results = append(st.results, r)
		}
		if done() {
			return st.results
		}
		if time.Now().After(deadline) {
			st.t.Fatalf("waited in vain for %s; the results are %v", what, st.results)
		}
		st.poll()
	}
}

// expect compares results, in any order.
func (st *stack) expect(got []result, want ...string) {
	st.t.Helper()
	var all []string
	for _, r := range got {
		all = append(all, r.String())
	}
	slices.Sort(all)
	if diff := cmp.Diff(slices.Sorted(slices.Values(want)), all); diff != "" {
		st.t.Errorf("results (-want +got):\n%s", diff)
	}
}

// calls are the requests to replicate a vault.
func (st *stack) calls(vault string) []cbrtest.Call {
	return slices.DeleteFunc(st.cbr.Calls(), func(c cbrtest.Call) bool { return c.Vault != vault })
}

// request is a body that leaves the destination to the environment.
func request(vault string) string { return fmt.Sprintf(`{"replicate":{"vault_id":%q}}`, vault) }

// correlated is the message attribute that names the caller's correlation id.
func correlated(id string) map[string]sqstypes.MessageAttributeValue {
	return map[string]sqstypes.MessageAttributeValue{"correlation_id": {DataType: aws.String("String"), StringValue: &id}}
}

// testFilter: a subscriber with a filter policy gets the results it asked for and
// no others.
func testFilter(t *testing.T, s *setting) {
	st := newStack(t, s, nil)
	accepted := s.newQueue(t, s.name+"-accepted", nil)
	s.subscribe(t, st.topic, accepted, map[string]string{"RawMessageDelivery": "true", "FilterPolicy": `{"status":["accepted"]}`})
	var want []string
	for _, vault := range st.cbr.AddVaults(cbrtest.SourceProject, 10, 1) {
		st.send(t, st.queue, request(vault), nil)
		want = append(want, vault+" accepted")
	}
	st.send(t, st.queue, `{"replicate":{}}`, nil)
	elsewhere := strings.Replace(request(cbrtest.SourceVault), `{"vault_id"`, `{"destination_region":"region9","vault_id"`, 1)
	st.send(t, st.queue, elsewhere, nil)

	st.expect(st.until(12), append(want, "rejected InvalidEvent", cbrtest.SourceVault+" rejected NotAllowed")...)
	var passed []result
	for _, body := range s.drain(t, accepted) {
		var r result
		if err := json.Unmarshal([]byte(body), &r); err != nil {
			t.Fatal(err)
		}
		passed = append(passed, r)
	}
	st.expect(passed, want...)
	if dead := st.drain(t, st.dead); len(dead) > 0 {
		t.Errorf("dead letters %v", dead)
	}
}

// testHandedBack: a vault is throttled for longer than the function retries in
// place. It is redelivered when the function has chosen.
func testHandedBack(t *testing.T, s *setting) {
	st := newStack(t, s, nil)
	vaults := st.cbr.AddVaults(cbrtest.SourceProject, 2, 1)
	st.cbr.Script(vaults[0], cbrtest.Throttled(0), cbrtest.Throttled(0))
	for _, vault := range vaults {
		st.send(t, st.queue, request(vault), nil)
	}
	results := st.until(2)
	st.expect(results, vaults[0]+" accepted", vaults[1]+" accepted")
	if n := results[1].Data.Deliveries; n != 2 {
		t.Errorf("the throttled vault was delivered %d times, want 2", n)
	}
	// Half a minute, of which the last fifth is random; the queue's own visibility
	// timeout is five seconds.
	if calls := st.calls(vaults[0]); len(calls) != 3 || calls[2].Time.Sub(calls[1].Time) < 23*time.Second {
		t.Errorf("calls %v", calls)
	}
}

// testDeadLetter: a request that never works becomes a dead letter with its body,
// and its result is published.
func testDeadLetter(t *testing.T, s *setting) {
	st := newStack(t, s, nil)
	st.impatient = true
	vault := st.cbr.AddVaults(cbrtest.SourceProject, 1, 1)[0]
	st.cbr.Script(vault, slices.Repeat([]cbrtest.Fault{cbrtest.Throttled(0)}, 2*receives)...)
	st.send(t, st.queue, request(vault), nil)
	var dead []string
	results := st.pollUntil("a dead letter", func() bool {
		dead = append(dead, st.drain(t, st.dead)...)
		return len(dead) > 0
	})
	if diff := cmp.Diff([]string{request(vault)}, dead); diff != "" {
		t.Errorf("dead letters (-want +got):\n%s", diff)
	}
	st.expect(results, vault+" failed Throttled")
	if n := results[0].Data.Deliveries; n != receives {
		t.Errorf("failed with delivery %d, want %d", n, receives)
	}
}

// testRedrive: CBR accepts a request, its answer is lost and every lookup fails,
// until the message is a dead letter. The redrive sets requested_at, so that the
// request is not sent twice. A request that CBR never accepted is sent.
func testRedrive(t *testing.T, s *setting) {
	st := newStack(t, s, nil)
	st.impatient = true
	accepted, refused := st.cbr.AddVaults(cbrtest.SourceProject, 2, 1)[0], cbrtest.SourceVault
	st.cbr.Script(accepted, cbrtest.ResetAfter())
	st.cbr.Script(refused, cbrtest.Throttled(0), cbrtest.Throttled(0))
	// Two tries for each vault and delivery, but for the one that CBR answered.
	st.cbr.Script(cbrtest.Lookups, slices.Repeat([]cbrtest.Fault{cbrtest.Unavailable()}, 2*(2*receives-1))...)
	began := time.Now().Truncate(time.Millisecond)
	for _, vault := range []string{accepted, refused} {
		st.send(t, st.queue, request(vault), correlated("nightly"))
	}
	sent := time.Now()
	st.expect(st.until(2), accepted+" failed Unavailable", refused+" failed Unavailable")
	st.pollUntil("two dead letters", func() bool { return s.count(t, st.dead) == 2 })
	const foreign = `{"nonsense":"of another sender"}`
	st.send(t, st.dead, foreign, nil)

	args := []string{"-dlq", st.dead.arn, "-queue", st.queue.url}
	if out, code := s.runRedrive(t, append(args, "-dry-run")...); code != 1 || !strings.Contains(out, "2 would be moved, 1 left") || s.count(t, st.dead) != 3 {
		t.Errorf("the dry run left %d dead letters, ended with %d:\n%s", s.count(t, st.dead), code, out)
	}
	if out, code := s.runRedrive(t, args...); code != 1 || !strings.Contains(out, "2 moved, 1 left") {
		t.Errorf("the redrive ended with %d:\n%s", code, out)
	}
	if diff := cmp.Diff([]string{foreign}, st.drain(t, st.dead)); diff != "" {
		t.Errorf("dead letters (-want +got):\n%s", diff)
	}

	results := st.until(4)[2:]
	st.expect(results, accepted+" accepted", refused+" accepted")
	for _, r := range results {
		vault, at := r.Data.Request.Replicate.VaultID, r.Data.Request.RequestedAt
		if r.Data.Reconciled != (vault == accepted) || r.CorrelationID != "nightly" || at.Before(began) || at.After(sent) {
			t.Errorf("sent between %v and %v: result %+v", began, sent, r)
		}
	}
	if n := len(st.calls(accepted)); n != 1 {
		t.Errorf("CBR got %d requests for the vault that it had accepted", n)
	}
}

// testRejected: the body of a rejected request is in the queue for rejected
// bodies, with its kind, and in a FIFO queue in its own group. A body that is too
// long for that queue is acknowledged. While the queue does not exist, the message
// is handed back.
func testRejected(t *testing.T, s *setting) {
	rejected := s.newQueue(t, s.name+"-bodies.fifo", map[string]string{"FifoQueue": "true", "MaximumMessageSize": "1024"})
	st := newStack(t, s, map[string]string{"REJECTED_QUEUE_ARN": rejected.arn})
	const invalid = `{"priority":"high"}`
	forbidden := strings.Replace(request(cbrtest.SourceVault), `"replicate":{`, `"replicate":{"destination_region":"region9",`, 1)
	st.send(t, st.queue, invalid, nil)
	st.send(t, st.queue, forbidden, correlated("nightly"))
	st.send(t, st.queue, strings.Repeat("x", 1025), nil)
	st.expect(st.until(3), "rejected InvalidEvent", "rejected InvalidEvent", cbrtest.SourceVault+" rejected NotAllowed")
	st.pollUntil("an empty queue", func() bool { return s.count(t, st.queue) == 0 })

	got := map[string]string{}
	for _, m := range st.receive(t, rejected, 1) {
		var all []string
		for name, a := range m.MessageAttributes {
			if name != "causation_id" {
				all = append(all, name+"="+*a.StringValue)
			}
		}
		slices.Sort(all)
		got[*m.Body] = strings.Join(all, " ")
		if m.MessageAttributes["causation_id"].StringValue == nil || m.Attributes["MessageGroupId"] == "" || m.Attributes["MessageGroupId"] != m.Attributes["MessageDeduplicationId"] {
			t.Errorf("%s is kept as %v", *m.Body, m.Attributes)
		}
	}
	if diff := cmp.Diff(map[string]string{invalid: "kind=InvalidEvent", forbidden: "correlation_id=nightly kind=NotAllowed"}, got); diff != "" {
		t.Errorf("bodies (-want +got):\n%s", diff)
	}
	if n := len(st.calls(cbrtest.SourceVault)); n != 0 {
		t.Errorf("CBR was asked %d times", n)
	}

	if _, err := s.sqs.DeleteQueue(t.Context(), &sqs.DeleteQueueInput{QueueUrl: &rejected.url}); err != nil {
		t.Fatal(err)
	}
	st.send(t, st.queue, invalid, nil)
	const hidden = sqstypes.QueueAttributeNameApproximateNumberOfMessagesNotVisible
	st.pollUntil("a message that was handed back", func() bool {
		got, err := s.sqs.GetQueueAttributes(t.Context(), &sqs.GetQueueAttributesInput{QueueUrl: &st.queue.url, AttributeNames: []sqstypes.QueueAttributeName{hidden}})
		if err != nil {
			t.Fatal(err)
		}
		return s.count(t, st.queue) == 0 && got.Attributes[string(hidden)] == "1"
	})
	if len(st.results) != 3 {
		t.Errorf("results %v of a message that was handed back", st.results[3:])
	}
}

// testRedriveFIFO: a message gets a new deduplication id, since a FIFO queue drops
// a message with one that it knows.
func testRedriveFIFO(t *testing.T, s *setting) {
	dead := s.newQueue(t, s.name+"-dead.fifo", map[string]string{"FifoQueue": "true"})
	requests := s.newQueue(t, s.name+"-requests.fifo", map[string]string{"FifoQueue": "true", "RedrivePolicy": redrivePolicy(dead)})
	_, err := s.sqs.SendMessage(t.Context(), &sqs.SendMessageInput{
		QueueUrl: &dead.url, MessageBody: aws.String(request(cbrtest.SourceVault)),
		MessageGroupId: aws.String("a-group"), MessageDeduplicationId: aws.String("of-the-first-send"),
	})
	if err != nil {
		t.Fatal(err)
	}
	if out, code := s.runRedrive(t, "-dlq", dead.url, "-queue", requests.url); code != 0 || !strings.Contains(out, "1 moved, 0 left") {
		t.Errorf("the redrive ended with %d:\n%s", code, out)
	}
	messages := s.receive(t, requests, 1)
	if len(messages) != 1 || s.count(t, dead) != 0 {
		t.Fatalf("%d messages and %d dead letters", len(messages), s.count(t, dead))
	}
	m := messages[0]
	if m.Attributes["MessageGroupId"] != "a-group" || m.Attributes["MessageDeduplicationId"] == "of-the-first-send" || !strings.Contains(*m.Body, `"requested_at":"`) {
		t.Errorf("moved as %s %v", *m.Body, m.Attributes)
	}
}

// redrivePolicy is that of a queue with this dead-letter queue.
func redrivePolicy(dead queue) string {
	return fmt.Sprintf(`{"deadLetterTargetArn":%q,"maxReceiveCount":%d}`, dead.arn, receives)
}

// testRedriveStack: the stack's outputs name the queues. If the two are swapped,
// nothing is moved.
func testRedriveStack(t *testing.T, s *setting) {
	dead := s.newQueue(t, s.name+"-dead", nil)
	live := s.newQueue(t, s.name+"-live", map[string]string{"RedrivePolicy": redrivePolicy(dead)})
	other := s.newQueue(t, s.name+"-other", nil)
	template := fmt.Sprintf(`{"Resources":{"Topic":{"Type":"AWS::SNS::Topic"}},"Outputs":{"QueueUrl":{"Value":%q},"DeadLetterQueueUrl":{"Value":%q}}}`, live.url, dead.url)
	if _, err := s.formation.CreateStack(t.Context(), &cloudformation.CreateStackInput{StackName: &s.name, TemplateBody: &template}); err != nil {
		t.Fatal(err)
	}
	s.send(t, live, request(cbrtest.SourceVault), nil)
	s.send(t, dead, request(cbrtest.SourceVault), nil)
	for want, args := range map[string][]string{
		"is no queue's dead-letter queue": {"-dlq", live.url, "-queue", dead.url},
		"keeps those of https://sqs." + sandbox.Region + ".amazonaws.com/" + sandbox.Account + "/" + s.name + "-live": {"-dlq", dead.arn, "-queue", other.arn},
		"has no dead-letter queue":    {"-rejected", live.url, "-queue", other.url},
		"is the dead-letter queue of": {"-rejected", dead.url, "-queue", live.url},
		"does not exist":              {"-stack", "nobody"},
	} {
		if out, code := s.runRedrive(t, args...); code != 1 || !strings.Contains(out, want) {
			t.Errorf("%v: ended with %d:\n%s", args, code, out)
		}
	}
	if live, dead := s.count(t, live), s.count(t, dead); live != 1 || dead != 1 {
		t.Errorf("%d messages and %d dead letters", live, dead)
	}
	if out, code := s.runRedrive(t, "-stack", s.name); code != 0 || !strings.Contains(out, "1 moved, 0 left") || s.count(t, live) != 2 {
		t.Errorf("the redrive ended with %d:\n%s", code, out)
	}
}

// testRedriveLarge: ten dead letters that are more than 1 MiB together, and one
// that is too long for its queue with requested_at.
func testRedriveLarge(t *testing.T, s *setting) {
	const size = 200_000
	dead := s.newQueue(t, s.name+"-dead", map[string]string{"MaximumMessageSize": strconv.Itoa(size)})
	live := s.newQueue(t, s.name+"-live", map[string]string{"MaximumMessageSize": strconv.Itoa(size), "RedrivePolicy": redrivePolicy(dead)})
	body := request(cbrtest.SourceVault)
	long := body + strings.Repeat(" ", size-len(body))
	s.send(t, dead, long, nil)
	for range 10 {
		s.send(t, dead, long[:size-100], nil)
	}
	if out, code := s.runRedrive(t, "-dlq", dead.url); code != 1 || !strings.Contains(out, "10 moved, 1 left") || !strings.Contains(out, "the queue does not take its") {
		t.Errorf("the redrive ended with %d:\n%s", code, out)
	}
	if live, dead := s.count(t, live), s.count(t, dead); live != 10 || dead != 1 {
		t.Errorf("%d messages and %d dead letters", live, dead)
	}
	if out, code := s.runRedrive(t, "-dlq", dead.url, "-force"); code != 0 || !strings.Contains(out, "moved as it is") || s.count(t, live) != 11 {
		t.Errorf("the redrive by force ended with %d:\n%s", code, out)
	}
}

// testRedriveRejected: rejected bodies are moved as they came, with the correlation
// id and without the attributes that the function added.
func testRedriveRejected(t *testing.T, s *setting) {
	dead := s.newQueue(t, s.name+"-dead", nil)
	live := s.newQueue(t, s.name+"-live", map[string]string{"RedrivePolicy": redrivePolicy(dead)})
	rejected := s.newQueue(t, s.name+"-rejected", nil)
	body := request(cbrtest.SourceVault)
	attributes := func(encoding string) map[string]sqstypes.MessageAttributeValue {
		all := correlated("nightly")
		for name, value := range map[string]string{"kind": "NotAllowed", "causation_id": "1-2-3", "encoding": encoding} {
			if value != "" {
				all[name] = sqstypes.MessageAttributeValue{DataType: aws.String("String"), StringValue: &value}
			}
		}
		return all
	}
	s.send(t, rejected, body, attributes(""))
	s.send(t, rejected, base64.StdEncoding.EncodeToString([]byte(body)), attributes("base64"))
	s.send(t, rejected, "nonsense", attributes(""))
	if out, code := s.runRedrive(t, "-rejected", rejected.url, "-queue", live.url); code != 1 || !strings.Contains(out, "2 moved, 1 left in the queue of rejected bodies") {
		t.Errorf("the redrive ended with %d:\n%s", code, out)
	}
	messages := s.receive(t, live, 1)
	for _, m := range messages {
		if *m.Body != body || len(m.MessageAttributes) != 1 || aws.ToString(m.MessageAttributes["correlation_id"].StringValue) != "nightly" {
			t.Errorf("moved as %s %v", *m.Body, m.MessageAttributes)
		}
	}
	if left := s.count(t, rejected); len(messages) != 2 || left != 1 {
		t.Errorf("%d messages and %d rejected bodies", len(messages), left)
	}
}

// runRedrive runs the command and returns its output and exit status.
func (s *setting) runRedrive(t *testing.T, args ...string) (out string, code int) {
	t.Helper()
	command := exec.CommandContext(t.Context(), s.redrive, args...)
	command.Env = []string{"AWS_REGION=" + sandbox.Region, "AWS_ACCESS_KEY_ID=AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY=a-secret-key", "AWS_ENDPOINT_URL=" + s.url}
	output, err := command.CombinedOutput()
	if _, ok := errors.AsType[*exec.ExitError](err); err != nil && !ok {
		t.Fatal(err)
	}
	for _, unwanted := range []string{"nonsense", "a-secret-key"} {
		if strings.Contains(string(output), unwanted) {
			t.Errorf("%q is in the redrive's output:\n%s", unwanted, output)
		}
	}
	return string(output), command.ProcessState.ExitCode()
}

// testSecrets: a secret for each project. After a wrong password, the same process
// uses a new version of the secret.
func testSecrets(t *testing.T, s *setting) {
	const other = "00000000000000000000000000000001"
	st := newStack(t, s, map[string]string{
		"HW_AUTH_TOKEN": "", "HW_AUTH_TOKEN_SECRET": s.name + "/{project_id}", "ALLOWED_PROJECT_IDS": "*",
	})
	st.cbr.AddUser(cbrtest.User{Domain: "example", Name: "replicator", Password: "right-password"})
	st.cbr.AddProject(other, cbrtest.SourceRegion)
	st.cbr.AddToken("MII-of-the-other-project", other)
	user := func(password string) *string {
		return aws.String(fmt.Sprintf(`{"HW_USER_NAME":"replicator","HW_USER_PASSWORD":%q,"HW_DOMAIN_NAME":"example"}`, password))
	}
	id := s.name + "/" + cbrtest.SourceProject
	for name, value := range map[string]*string{id: user("wrong-password"), s.name + "/" + other: aws.String("MII-of-the-other-project")} {
		if _, err := s.secrets.CreateSecret(t.Context(), &secretsmanager.CreateSecretInput{Name: &name, SecretString: value}); err != nil {
			t.Fatal(err)
		}
	}
	vault, otherVault := st.cbr.AddVaults(cbrtest.SourceProject, 1, 1)[0], st.cbr.AddVaults(other, 1, 1)[0]
	st.send(t, st.queue, request(vault), nil)
	st.send(t, st.queue, strings.Replace(request(otherVault), "{", fmt.Sprintf(`{"project_id":%q,`, other), 1), nil)
	st.pollUntil("a login", func() bool { return len(st.cbr.Logins()) > 0 })
	if _, err := s.secrets.PutSecretValue(t.Context(), &secretsmanager.PutSecretValueInput{SecretId: &id, SecretString: user("right-password")}); err != nil {
		t.Fatal(err)
	}
	st.expect(st.until(2), vault+" accepted", otherVault+" accepted")
	var logins []bool
	for _, login := range st.cbr.Logins() {
		logins = append(logins, login.OK)
	}
	if diff := cmp.Diff([]bool{false, true}, logins); diff != "" {
		t.Errorf("logins that went well (-want +got):\n%s", diff)
	}
	if n := st.processes(); n != 1 {
		t.Errorf("%d processes, want one", n)
	}
}

// testSNSToSQS: a request that is published to a topic is in the queue in SNS's
// envelope.
func testSNSToSQS(t *testing.T, s *setting) {
	st := newStack(t, s, nil)
	requests := s.newTopic(t, s.name+"-requests")
	s.subscribe(t, requests, st.queue, nil)
	vault := st.cbr.AddVaults(cbrtest.SourceProject, 1, 1)[0]
	_, err := s.sns.Publish(t.Context(), &sns.PublishInput{
		TopicArn: &requests, Message: aws.String(request(vault)),
		MessageAttributes: map[string]snstypes.MessageAttributeValue{"correlation_id": {DataType: aws.String("String"), StringValue: aws.String("nightly")}},
	})
	if err != nil {
		t.Fatal(err)
	}
	results := st.until(1)
	st.expect(results, vault+" accepted")
	if got := results[0].CorrelationID; got != "nightly" {
		t.Errorf("correlation id %q, want nightly", got)
	}
}

// testPlan: a plan whose process dies after it has sent its requests is delivered
// again, and replicates each vault once.
func testPlan(t *testing.T, s *setting) {
	st := newStack(t, s, nil)
	vaults := st.cbr.AddVaults(cbrtest.SourceProject, 12, 1)
	for _, vault := range vaults {
		st.cbr.AddVault(cbrtest.Vault{ID: vault, ProjectID: cbrtest.SourceProject, Tags: []cbrtest.Tag{{Key: "dr", Value: "gold"}}})
	}
	st.send(t, st.queue, `{"correlation_id":"nightly","select":{"tags":[{"key":"dr"}]}}`, nil)
	plan := st.Receive(1)
	for len(plan) == 0 {
		plan = st.Receive(1)
	}
	payload := sandbox.SQSEvent(st.queue.arn, plan)
	for range 2 {
		if response, err := st.function.Invoke(t.Context(), payload, invocationTimeout); err != nil || response.Error != nil {
			t.Fatal(response, err)
		}
	}
	st.Finish([]string{plan[0].Receipt}, nil, 0)

	want := map[string]bool{}
	st.pollUntil("all vaults", func() bool {
		for _, r := range st.results {
			if r.Data.Status == "accepted" {
				want[r.Data.Request.Replicate.VaultID] = true
			}
		}
		return len(want) == len(vaults) && st.count(t, st.queue) == 0
	})
	for _, vault := range vaults {
		if n := len(st.calls(vault)); n != 1 {
			t.Errorf("%s was replicated %d times", vault, n)
		}
	}
}

// testFollow: SNS's filter brings accepted results to the follow queue, and the function
// publishes their end.
func testFollow(t *testing.T, s *setting) {
	followed := s.newQueue(t, s.name+"-followed", map[string]string{"VisibilityTimeout": "5"})
	st := newStack(t, s, map[string]string{"FOLLOW_QUEUE_ARN": followed.arn})
	s.subscribe(t, st.topic, followed, map[string]string{"RawMessageDelivery": "true", "FilterPolicy": `{"status":["accepted"]}`})
	vault := st.cbr.AddVaults(cbrtest.SourceProject, 1, 2)[0]
	st.send(t, st.queue, request(vault), nil)
	st.expect(st.until(1), vault+" accepted")
	follow := &source{account: s.account, t: t, queue: followed, impatient: true}
	mapping := sandbox.Mapping{Queue: follow, Invoke: func(ctx context.Context, payload []byte) (sandbox.Response, error) {
		return st.function.Invoke(ctx, payload, invocationTimeout)
	}}
	results := st.pollUntil("the end of the copies", func() bool {
		if batch := follow.Receive(sandbox.BatchSize); len(batch) > 0 {
			if _, err := mapping.Deliver(t.Context(), batch); err != nil {
				t.Fatal(err)
			}
		}
		return len(st.results) > 1
	})
	st.expect(results, vault+" accepted", vault+" completed")
	if left := s.count(t, followed); left != 0 {
		t.Errorf("%d messages are left in the follow queue", left)
	}
}

// testEventBus: a result is put on an event bus, and a rule sends it to a queue.
func testEventBus(t *testing.T, s *setting) {
	bus := fmt.Sprintf("arn:aws:events:%s:%s:event-bus/%s", sandbox.Region, sandbox.Account, s.name)
	st := newStack(t, s, map[string]string{"RESULT_TOPIC_ARN": bus})
	followed := s.newQueue(t, s.name+"-followed", nil)
	s.events(t, "CreateEventBus", map[string]any{"Name": s.name})
	s.events(t, "PutRule", map[string]any{
		"Name": "follow", "EventBusName": s.name,
		"EventPattern": `{"source":["cbr-replicator"],"detail-type":[{"prefix":"cbr.checkpoint.replication."}]}`,
	})
	s.events(t, "PutTargets", map[string]any{
		"Rule": "follow", "EventBusName": s.name, "Targets": []any{map[string]string{"Id": "followed", "Arn": followed.arn}},
	})
	vault := st.cbr.AddVaults(cbrtest.SourceProject, 1, 1)[0]
	s.send(t, st.queue, request(vault), correlated("nightly"))
	var told []string
	began := time.Now().Truncate(time.Second)
	st.pollUntil("an event", func() bool {
		told = append(told, st.drain(t, followed)...)
		return len(told) > 0
	})
	var event struct {
		Source     string
		DetailType string `json:"detail-type"`
		Time       time.Time
		Detail     result
	}
	if err := json.Unmarshal([]byte(told[0]), &event); err != nil {
		t.Fatal(err)
	}
	if event.Source != "cbr-replicator" || event.DetailType != "cbr.checkpoint.replication.accepted.v1" || event.Time.Before(began) || event.Time.After(time.Now()) ||
		event.Detail.String() != vault+" accepted" || event.Detail.CorrelationID != "nightly" || len(told) != 1 {
		t.Errorf("events %q", told)
	}
}
