//go:build chain

// Package stepfunctions_test runs the state machines and the next step of this
// folder: `make chain`. moto's interpreter of the Amazon States Language (it is
// LocalStack's) executes the machines as they are, but for their waits and those
// before retries, which are noted and not waited for. Their Lambda tasks end in the
// function's built binary, with a CBR of package cbrtest behind it and moto's SNS for
// the results.
//
// moto deploys next-step.yaml, too. It does not make an AWS::SNS::Subscription of a
// template and does not run pipes: the test does both, with their properties in the
// template. Permissions are not checked.
package stepfunctions_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	gocmp "github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"

	"cbr-replicator/internal/awscall"
	"cbr-replicator/internal/cbr/cbrtest"
	"cbr-replicator/internal/sandbox"
	"cbr-replicator/internal/sandbox/moto"
)

// setup makes moto's Step Functions execute. It is formatted with a host: there they invoke Lambda, and there they report
// each wait instead of waiting.
const setup = `
import http.client
import types
import boto3
from moto.core.config import default_user_config
from moto.stepfunctions.parser.asl.component.common.retry import retrier_decl
from moto.stepfunctions.parser.asl.component.state.exec.state_task import lambda_eval_utils
from moto.stepfunctions.parser.asl.component.state.wait.wait_function.wait_function import WaitFunction

default_user_config["stepfunctions"]["execute_state_machine"] = True
host = %[1]q

def wait(seconds):
    connection = http.client.HTTPConnection(host)
    connection.request("POST", f"/waits/{seconds}")
    connection.getresponse().read()
    connection.close()

WaitFunction._wait_interval = lambda self, env, wait_seconds: wait(wait_seconds)
retrier_decl.time = types.SimpleNamespace(sleep=wait)
lambda_eval_utils.boto_client_for = lambda region, service, state_credentials=None: boto3.client(
    service, region_name=region, endpoint_url="http://" + host,
    aws_access_key_id="AKIDEXAMPLE", aws_secret_access_key="example")
`

const functionARN = "arn:aws:lambda:" + sandbox.Region + ":" + sandbox.Account + ":function:cbr-replicator"

var credentials = aws.Credentials{AccessKeyID: "AKIDEXAMPLE", SecretAccessKey: "example"}

// rig is an AWS account with the function, its topic and a CBR.
type rig struct {
	t     *testing.T
	url   string // moto's
	cbr   *cbrtest.Server
	topic string
	sns   *sns.Client
	sqs   *sqs.Client

	mu       sync.Mutex
	config   sandbox.FunctionConfig
	function *sandbox.Function // of the moment
	waits    []string          // in seconds
	// advances: CBR's clock goes on by the waits, slept by now.
	advances bool
	slept    atomic.Int64 // a time.Duration
}

func newRig(t *testing.T, copyTime time.Duration) *rig {
	t.Helper()
	r := &rig{t: t}
	r.cbr = cbrtest.NewServer(cbrtest.WithCopyTime(copyTime), cbrtest.WithClock(func() time.Time { return time.Now().Add(time.Duration(r.slept.Load())) }))
	t.Cleanup(r.cbr.Close)
	r.cbr.AddExample()
	calls := http.NewServeMux()
	calls.HandleFunc("POST /waits/{seconds}", r.wait)
	calls.HandleFunc("/", r.invoke)
	lambda := httptest.NewServer(calls)
	t.Cleanup(lambda.Close)
	r.url = moto.Start(t, fmt.Sprintf(setup, lambda.Listener.Addr().String()))
	provider := aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) { return credentials, nil })
	r.sns = sns.New(sns.Options{BaseEndpoint: &r.url, Region: sandbox.Region, Credentials: provider})
	r.sqs = sqs.New(sqs.Options{BaseEndpoint: &r.url, Region: sandbox.Region, Credentials: provider})
	topic, err := r.sns.CreateTopic(t.Context(), &sns.CreateTopicInput{Name: aws.String("results")})
	if err != nil {
		t.Fatal(err)
	}
	r.topic = *topic.TopicArn
	binary, err := sandbox.Build(t.Context(), t.TempDir(), "cbr-replicator/function")
	if err != nil {
		t.Fatal(err)
	}
	env := cbrtest.Env(r.cbr.URL)
	maps.Copy(env, cbrtest.DestinationEnv())
	maps.Copy(env, map[string]string{"RESULT_TOPIC_ARN": r.topic, "AWS_ENDPOINT_URL": r.url, "RETRY_MAX_ATTEMPTS": "1", "FOLLOW_QUEUE_ARN": arnOf("follow")})
	r.mu.Lock()
	defer r.mu.Unlock()
	r.config = sandbox.FunctionConfig{Path: binary, Env: env}
	r.function = r.newFunction()
	return r
}

// newFunction is the function in a process of its own, which ends with the test. After a wait there is another: nobody
// waits here, and a process remembers for a minute what it sent.
func (r *rig) newFunction() *sandbox.Function {
	function := sandbox.NewFunction(r.config)
	r.t.Cleanup(function.Close)
	return function
}

// wait notes a wait before a retry.
func (r *rig) wait(_ http.ResponseWriter, request *http.Request) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.waits = append(r.waits, request.PathValue("seconds"))
	if seconds, err := time.ParseDuration(request.PathValue("seconds") + "s"); err == nil && r.advances {
		r.slept.Add(int64(seconds))
	}
	r.function = r.newFunction()
}

// invoke is Lambda's Invoke API (Lambda API reference, "Invoke").
func (r *rig) invoke(w http.ResponseWriter, request *http.Request) {
	payload, err := io.ReadAll(request.Body)
	if err != nil {
		return
	}
	if want := "/2015-03-31/functions/" + functionARN + "/invocations"; request.URL.Path != want {
		r.t.Errorf("%s is called, want %s", request.URL.Path, want)
	}
	r.mu.Lock()
	function := r.function
	r.mu.Unlock()
	response, err := function.Invoke(r.t.Context(), payload, 30*time.Second)
	if err != nil {
		r.t.Errorf("the function: %v", err)
		w.WriteHeader(http.StatusInternalServerError)
		return
	}
	if response.Error != nil {
		w.Header().Set("X-Amz-Function-Error", "Unhandled")
	}
	_, _ = w.Write(response.Payload)
}

// call makes one call of a service that speaks AWS JSON.
func call[T any](r *rig, service, target, version, operation string, in any) (out T) {
	r.t.Helper()
	client := awscall.Client{
		Service: service, Target: target, Version: version, Region: sandbox.Region, Endpoint: r.url,
		Credentials: credentials, HTTP: http.DefaultClient,
	}
	if err := client.Call(r.t.Context(), operation, in, &out); err != nil {
		r.t.Fatal(err)
	}
	return out
}

func states[T any](r *rig, operation string, in any) T {
	r.t.Helper()
	return call[T](r, "states", "AWSStepFunctions", "1.0", operation, in)
}

type object = map[string]any

// collected is the output of the state Collect.
type collected struct {
	Replicated []struct {
		VaultID string `json:"vault_id"`
		Status  string `json:"status"`
	} `json:"replicated"`
	Failed []struct {
		Request json.RawMessage `json:"request"`
		Error   struct{ Error, Cause string }
	} `json:"failed"`
}

// outcomes are "vault status" and "vault error", sorted.
func (c collected) outcomes(t *testing.T) (all []string) {
	t.Helper()
	for _, item := range c.Replicated {
		all = append(all, item.VaultID+" "+item.Status)
	}
	for _, item := range c.Failed {
		var request struct {
			Replicate struct {
				VaultID string `json:"vault_id"`
			}
		}
		if err := json.Unmarshal(item.Request, &request); err != nil {
			t.Fatal(err)
		}
		all = append(all, request.Replicate.VaultID+" "+item.Error.Error)
	}
	slices.Sort(all)
	return all
}

// execution is a finished run of the state machine.
type execution struct {
	Status, Error, Cause string
	collected
}

// machine makes the state machine of a file.
func (r *rig) machine(name string) (arn string) {
	r.t.Helper()
	definition, err := os.ReadFile(name + ".asl.json")
	if err != nil {
		r.t.Fatal(err)
	}
	return states[struct{ StateMachineARN string }](r, "CreateStateMachine", object{
		"name": name, "roleArn": "arn:aws:iam::" + sandbox.Account + ":role/" + name,
		"definition": strings.NewReplacer("${Partition}", "aws", "${FunctionArn}", functionARN).Replace(string(definition)),
	}).StateMachineARN
}

// run runs a state machine to its end.
func (r *rig) run(machine, name string, in any) (e execution, arn string) {
	r.t.Helper()
	input, err := json.Marshal(in)
	if err != nil {
		r.t.Fatal(err)
	}
	started := states[struct{ ExecutionARN string }](r, "StartExecution", object{"stateMachineArn": machine, "name": name, "input": string(input)})
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(100 * time.Millisecond) {
		if e = states[execution](r, "DescribeExecution", object{"executionArn": started.ExecutionARN}); e.Status != "RUNNING" {
			return e, started.ExecutionARN
		}
		if time.Now().After(deadline) {
			r.t.Fatalf("execution %s does not end", name)
		}
	}
}

func (r *rig) execute(machine, name string, requests ...any) execution {
	r.t.Helper()
	e, arn := r.run(machine, name, object{"requests": requests})
	type history struct {
		Events []struct {
			StateExitedEventDetails struct{ Name, Output string }
		}
	}
	for _, event := range states[history](r, "GetExecutionHistory", object{"executionArn": arn}).Events {
		if exited := event.StateExitedEventDetails; exited.Name == "Collect" {
			if err := json.Unmarshal([]byte(exited.Output), &e.collected); err != nil {
				r.t.Fatal(err)
			}
			return e
		}
	}
	r.t.Fatalf("execution %s ended as %s without collecting: %s", name, e.Status, e.Cause)
	return e
}

// posts is how many requests to replicate a vault CBR got.
func (r *rig) posts(vault string) int {
	return len(slices.DeleteFunc(r.cbr.Calls(), func(c cbrtest.Call) bool { return c.Vault != vault }))
}

func request(vault string) object { return object{"replicate": object{"vault_id": vault}} }

// TestWait replicates vaults one by one, and waits until their copies have ended.
func TestWait(t *testing.T) {
	r := newRig(t, time.Hour)
	r.advances = true
	machine := r.machine("replicate-and-wait")
	vaults := r.cbr.AddVaults(cbrtest.SourceProject, 5, 2)
	there, broken, slow, gone, nothing := vaults[0], vaults[1], vaults[2], vaults[3], vaults[4]
	r.cbr.AddBackup(cbrtest.Backup{ID: "6e0b9f1a-7d52-4e4b-8c39-41d21a3c5f01", VaultID: broken, CopyError: "BackupService.6203"})
	r.cbr.Script(slow, cbrtest.Throttled(0))
	r.cbr.Script(gone, cbrtest.Refusal(404, "BackupService.6105", "no such vault"))
	if e, _ := r.run(machine, "before", request(nothing)); e.Status != "SUCCEEDED" {
		t.Fatalf("%+v", e)
	}
	for _, tt := range []struct{ name, vault, status, err, cause string }{
		{"all there", there, "SUCCEEDED", "", ""},
		{"one missing", broken, "FAILED", "CopiesMissing", "2 of 3 copies are there, 1 failed, 0 were skipped, 0 are unknown. The result on the topic names them."},
		{"throttled at first", slow, "SUCCEEDED", "", ""},
		{"rejected", gone, "FAILED", "CBR.Rejected", ""},
		{"all there already", nothing, "SUCCEEDED", "", ""},
	} {
		began := time.Duration(r.slept.Load())
		e, _ := r.run(machine, strings.ReplaceAll(tt.name, " ", "-"), request(tt.vault))
		if e.Status != tt.status || e.Error != tt.err || tt.cause != "" && e.Cause != tt.cause {
			t.Errorf("%s: ended as %s %s: %s", tt.name, e.Status, e.Error, e.Cause)
		}
		waited := time.Duration(r.slept.Load()) - began
		if copied := tt.vault != gone && tt.vault != nothing; copied != (waited >= time.Hour) || waited > 2*time.Hour {
			t.Errorf("%s: ended after %s, and a copy takes an hour", tt.name, waited)
		}
	}
	for _, vault := range []string{there, broken} {
		if n := r.posts(vault); n != 1 {
			t.Errorf("CBR was asked %d times for %s", n, vault)
		}
	}
}

// TestChain runs a list of vaults, and then a second time what has failed. The
// accepted results are followed, and the completed ones reach the next step.
func TestChain(t *testing.T) {
	r := newRig(t, 0)
	r.subscribe("follow", `{"status":["accepted"]}`)
	next := r.deployNextStep()
	machine := r.machine("replicate-list")

	vaults := r.cbr.AddVaults(cbrtest.SourceProject, 6, 1)
	fine, busy, slow, lost, gone, exhausted := vaults[0], vaults[1], vaults[2], vaults[3], vaults[4], vaults[5]
	inProgress := cbrtest.Refusal(400, "BackupService.6130", "busy")
	r.cbr.Script(busy, inProgress, inProgress, inProgress)
	r.cbr.Script(slow, cbrtest.Raw(500, ""))
	r.cbr.Script(lost, cbrtest.ResetAfter())
	r.cbr.Script(gone, cbrtest.Refusal(404, "BackupService.6105", "no such vault"))
	r.cbr.Script(exhausted, slices.Repeat([]cbrtest.Fault{cbrtest.Throttled(0)}, 11)...)

	first := r.execute(machine, "nightly", request(fine), request(busy), request(slow), request(lost), request(gone), request(exhausted))
	want := []string{
		fine + " accepted", busy + " accepted", slow + " accepted", lost + " accepted",
		gone + " CBR.Rejected", exhausted + " CBR.Throttled",
	}
	slices.Sort(want)
	if diff := gocmp.Diff(want, first.outcomes(t)); diff != "" {
		t.Errorf("collected (-want +got):\n%s", diff)
	}
	if first.Status != "FAILED" || !strings.HasPrefix(first.Cause, "2 of 6 requests were not replicated") {
		t.Errorf("ended as %s: %s", first.Status, first.Cause)
	}
	for vault, n := range map[string]int{fine: 1, busy: 4, slow: 2, lost: 1, gone: 1, exhausted: 11} {
		if got := r.posts(vault); got != n {
			t.Errorf("CBR was asked %d times for %s, want %d", got, vault, n)
		}
	}
	r.mu.Lock()
	for _, seconds := range []string{"900.0", "3600.0", "14400.0", "60.0"} {
		if !slices.Contains(r.waits, seconds) {
			t.Errorf("no retry waits %s s; they wait %v", seconds, r.waits)
		}
	}
	r.mu.Unlock()

	// What has failed, and a request that was accepted: that one does nothing, since
	// it has the first run's requested_at.
	rerun := []any{}
	for _, failed := range first.Failed {
		var sent struct {
			RequestedAt time.Time `json:"requested_at"`
			Correlation string    `json:"correlation_id"`
		}
		if err := json.Unmarshal(failed.Request, &sent); err != nil || sent.RequestedAt.IsZero() || sent.Correlation != "nightly" {
			t.Errorf("%s: %v", failed.Request, err)
		}
		rerun = append(rerun, failed.Request)
		repeated := request(fine)
		repeated["requested_at"] = sent.RequestedAt
		rerun = append(rerun, repeated)
	}
	second := r.execute(machine, "nightly-second", rerun...)
	if second.Status != "SUCCEEDED" || len(second.Replicated) != len(rerun) || len(second.Failed) != 0 {
		t.Errorf("the second run ended as %s: %v", second.Status, second.outcomes(t))
	}
	for vault, n := range map[string]int{fine: 1, gone: 2, exhausted: 12} {
		if got := r.posts(vault); got != n {
			t.Errorf("after the second run: CBR was asked %d times for %s, want %d", got, vault, n)
		}
	}

	r.follow()
	got := slices.Sorted(slices.Values(next.arrivals()))
	want = []string{
		fine + " nightly", busy + " nightly", slow + " nightly", lost + " nightly",
		gone + " nightly", exhausted + " nightly", // from the second run, with the first run's correlation id
		fine + " nightly-second", fine + " nightly-second", // published and followed once more, not replicated
	}
	slices.Sort(want)
	if diff := gocmp.Diff(want, got); diff != "" {
		t.Errorf("results at the next step (-want +got):\n%s", diff)
	}
}

// pipeTarget is how the pipe makes an event of a message.
type pipeTarget struct {
	Bus struct {
		Source     string `yaml:"Source"`
		DetailType string `yaml:"DetailType"`
	} `yaml:"EventBridgeEventBusParameters"`
	InputTemplate string `yaml:"InputTemplate"`
}

// nextStep is next-step.yaml, deployed.
type nextStep struct {
	*rig
	pipe            pipeTarget
	results, target string // queues' URLs
}

// deployNextStep deploys the template, with a queue for its target.
func (r *rig) deployNextStep() *nextStep {
	r.t.Helper()
	text, err := os.ReadFile("next-step.yaml")
	if err != nil {
		r.t.Fatal(err)
	}
	target, err := r.sqs.CreateQueue(r.t.Context(), &sqs.CreateQueueInput{QueueName: aws.String("target")})
	if err != nil {
		r.t.Fatal(err)
	}
	n := &nextStep{rig: r, target: *target.QueueUrl}
	r.cloudFormation(url.Values{
		"Action": {"CreateStack"}, "StackName": {"next"}, "TemplateBody": {string(text)},
		"Parameters.member.1.ParameterKey": {"ResultTopicArn"}, "Parameters.member.1.ParameterValue": {r.topic},
		"Parameters.member.2.ParameterKey": {"TargetArn"}, "Parameters.member.2.ParameterValue": {arnOf("target")},
	})
	made, err := r.sqs.ListQueues(r.t.Context(), &sqs.ListQueuesInput{QueueNamePrefix: aws.String("next-Results-")})
	if err != nil || len(made.QueueUrls) != 1 {
		r.t.Fatalf("queues of the stack: %v, %v", made, err)
	}
	n.results = made.QueueUrls[0]

	var template struct {
		Parameters struct {
			Status struct {
				Default string `yaml:"Default"`
			} `yaml:"Status"`
		} `yaml:"Parameters"`
		Resources struct {
			Subscription struct {
				Properties struct {
					RawMessageDelivery bool                `yaml:"RawMessageDelivery"`
					FilterPolicy       map[string][]string `yaml:"FilterPolicy"`
				} `yaml:"Properties"`
			} `yaml:"Subscription"`
			Pipe struct {
				Properties struct {
					TargetParameters pipeTarget `yaml:"TargetParameters"`
				} `yaml:"Properties"`
			} `yaml:"Pipe"`
		} `yaml:"Resources"`
	}
	if err := yaml.Unmarshal(text, &template); err != nil {
		r.t.Fatal(err)
	}
	n.pipe = template.Resources.Pipe.Properties.TargetParameters
	subscription := template.Resources.Subscription.Properties
	policy, err := json.Marshal(subscription.FilterPolicy)
	if err != nil {
		r.t.Fatal(err)
	}
	if !subscription.RawMessageDelivery {
		r.t.Fatal("the results come in notifications")
	}
	status := template.Parameters.Status.Default
	r.subscribeTo(arnOf(n.results[strings.LastIndex(n.results, "/")+1:]), strings.ReplaceAll(string(policy), `"Status"`, strconv.Quote(status))) // !Ref of the parameter
	return n
}

// subscribe makes a queue for some of the results.
func (r *rig) subscribe(queue, filter string) {
	r.t.Helper()
	if _, err := r.sqs.CreateQueue(r.t.Context(), &sqs.CreateQueueInput{QueueName: &queue}); err != nil {
		r.t.Fatal(err)
	}
	r.subscribeTo(arnOf(queue), filter)
}

// subscribeTo has the topic send a queue some of the results, raw.
func (r *rig) subscribeTo(queue, filter string) {
	r.t.Helper()
	if _, err := r.sns.Subscribe(r.t.Context(), &sns.SubscribeInput{
		TopicArn: &r.topic, Protocol: aws.String("sqs"), Endpoint: &queue,
		Attributes: map[string]string{"RawMessageDelivery": "true", "FilterPolicy": filter},
	}); err != nil {
		r.t.Fatal(err)
	}
}

// follow has the function follow what is in the follow queue, whose copies have ended.
func (r *rig) follow() {
	r.t.Helper()
	queue, err := r.sqs.GetQueueUrl(r.t.Context(), &sqs.GetQueueUrlInput{QueueName: aws.String("follow")})
	if err != nil {
		r.t.Fatal(err)
	}
	var records []object
	for i, body := range r.drain(*queue.QueueUrl) {
		records = append(records, object{
			"messageId": fmt.Sprint("accepted-", i), "receiptHandle": "r", "body": body, "attributes": object{"ApproximateReceiveCount": "1"},
			"eventSource": "aws:sqs", "eventSourceARN": arnOf("follow"), "awsRegion": sandbox.Region,
		})
	}
	payload, err := json.Marshal(object{"Records": records})
	if err != nil {
		r.t.Fatal(err)
	}
	r.mu.Lock()
	function := r.function
	r.mu.Unlock()
	response, err := function.Invoke(r.t.Context(), payload, 30*time.Second)
	if err != nil || string(response.Payload) != `{"batchItemFailures":[]}` {
		r.t.Errorf("following %d results: %s, %v", len(records), response.Payload, err)
	}
}

func arnOf(queue string) string {
	return "arn:aws:sqs:" + sandbox.Region + ":" + sandbox.Account + ":" + queue
}

// cloudFormation makes a call.
func (r *rig) cloudFormation(form url.Values) {
	r.t.Helper()
	post, err := http.NewRequestWithContext(r.t.Context(), http.MethodPost, r.url, strings.NewReader(form.Encode()))
	if err != nil {
		r.t.Fatal(err)
	}
	post.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	// Of a signature moto reads the scope alone, for the service and the region.
	post.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20261123/"+sandbox.Region+"/cloudformation/aws4_request, SignedHeaders=host, Signature=none")
	response, err := http.DefaultClient.Do(post)
	if err != nil {
		r.t.Fatal(err)
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != http.StatusOK {
		r.t.Fatalf("%s: %s %v\n%s", form.Get("Action"), response.Status, err, answer)
	}
}

// arrivals does the pipe's work for all messages in its queue. It returns "vault
// correlation" of the events that then reach the target.
func (n *nextStep) arrivals() (events []string) {
	n.t.Helper()
	if n.pipe.InputTemplate != "<$.body>" || n.pipe.Bus.DetailType != "$.body.type" {
		n.t.Fatalf("the stand-in for the pipe does not know %+v", n.pipe)
	}
	for _, body := range n.drain(n.results) {
		var event struct{ Type string }
		if err := json.Unmarshal([]byte(body), &event); err != nil {
			n.t.Fatalf("result %s: %v", body, err)
		}
		put := call[struct{ FailedEntryCount int }](n.rig, "events", "AWSEvents", "1.1", "PutEvents", object{"Entries": []object{{
			"EventBusName": "next-results", "Source": n.pipe.Bus.Source, "DetailType": event.Type, "Detail": body,
		}}})
		if put.FailedEntryCount != 0 {
			n.t.Errorf("the bus did not take %s", body)
		}
	}
	for _, body := range n.drain(n.target) {
		var arrived struct {
			Detail struct {
				Subject       string
				CorrelationID string
				Data          struct{ Status string }
			}
		}
		if err := json.Unmarshal([]byte(body), &arrived); err != nil {
			n.t.Fatalf("event %s: %v", body, err)
		}
		if arrived.Detail.Data.Status != "completed" {
			n.t.Errorf("came through the filter: %s", body)
		}
		events = append(events, strings.TrimPrefix(arrived.Detail.Subject, "vaults/")+" "+arrived.Detail.CorrelationID)
	}
	return events
}

// drain receives and deletes all that is in a queue.
func (r *rig) drain(queue string) (bodies []string) {
	r.t.Helper()
	for {
		received, err := r.sqs.ReceiveMessage(r.t.Context(), &sqs.ReceiveMessageInput{QueueUrl: &queue, MaxNumberOfMessages: 10})
		if err != nil {
			r.t.Fatal(err)
		}
		if len(received.Messages) == 0 {
			return bodies
		}
		for _, m := range received.Messages {
			bodies = append(bodies, *m.Body)
			if _, err := r.sqs.DeleteMessage(r.t.Context(), &sqs.DeleteMessageInput{QueueUrl: &queue, ReceiptHandle: m.ReceiptHandle}); err != nil {
				r.t.Fatal(err)
			}
		}
	}
}
