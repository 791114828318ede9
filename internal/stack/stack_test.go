package stack_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"cbr-replicator/events"
	"cbr-replicator/internal/delivery"
)

// TestSurface holds the names of parameters and outputs to the contract.
func TestSurface(t *testing.T) {
	t.Parallel()
	tpl := load(t)
	for section, names := range map[string]string{
		"Parameters": `AllowedDestinations AllowedProjectIds TokenSecretArn TokenSecretKmsKeyArn HuaweiRegion HuaweiCloud HuaweiProjectId
			EnterpriseProjectId VaultId DestinationVaultId DestinationProjectId DestinationRegion ScheduleExpression ScheduleRequest
			ScheduleTimezone ScheduleFlexibleMinutes PlanSpread CheckScheduleExpression CheckRequest MaxReplicaAge RequestTopicArn EventBusName ResultTopicArn Follow FollowFor AlarmTopicArn
			TicketTopicArn ExpectedWithinHours CheckedWithinHours RunbookUrl Enabled MaximumConcurrency MemorySize
			Timeout LogLevel LogRetentionInDays KmsKeyArn SubnetIds SecurityGroupIds PermissionsBoundaryArn`,
		"Outputs": `QueueUrl QueueArn DeadLetterQueueUrl RejectedQueueUrl FollowQueueUrl FollowDeadLetterQueueUrl
			UnfollowedQueueUrl ResultTopicArn HttpApiUrl FunctionArn DashboardUrl`,
	} {
		var got []string
		for name, entry := range tpl.section(section) {
			got = append(got, name)
			if at(entry, "Description") == nil {
				t.Errorf("%s has no description", name)
			}
		}
		if diff := cmp.Diff(strings.Fields(names), got, cmpopts.SortSlices(strings.Compare)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", section, diff)
		}
	}
	each(t, func(t *testing.T, s *stack) {
		for name, output := range s.section("Outputs") {
			if condition := at(output, "Condition"); condition != nil && s.call("Condition", condition) != true {
				continue
			}
			if value, _ := s.resolve(at(output, "Value")).(string); value == "" {
				t.Errorf("the output %s has no value", name)
			}
		}
	})
}

// TestStacks: in the stacks of these tests each condition is true once and false once.
func TestStacks(t *testing.T) {
	t.Parallel()
	tpl := load(t)
	for name := range tpl.section("Conditions") {
		seen := map[any]bool{}
		for _, parameters := range stacks {
			seen[tpl.with(parameters).call("Condition", name)] = true
		}
		if len(seen) != 2 {
			t.Errorf("%s is never both true and false", name)
		}
	}
}

func TestRefused(t *testing.T) {
	t.Parallel()
	tpl := load(t)
	daily := with(needed, map[string]string{"ScheduleExpression": "rate(1 day)"})
	for _, tt := range []struct {
		name       string
		parameters map[string]string
		want       string // the beginning of one of the problems
	}{
		{"no destinations", map[string]string{}, "AllowedDestinations"},
		{"no credential", with(needed, map[string]string{"TokenSecretArn": ""}), "TokenSecretArn must be given"},
		{"a secret by its name", with(needed, map[string]string{"TokenSecretArn": "cbr/huawei"}), "TokenSecretArn"},
		{"a secret without its last characters", with(needed, map[string]string{"TokenSecretArn": "arn:aws:secretsmanager:eu-central-1:123456789012:secret:huawei"}), "TokenSecretArn"},
		{"no source project", with(needed, map[string]string{"HuaweiProjectId": ""}), "Without AllowedProjectIds"},
		{"a schedule of nothing", daily, "The default ScheduleRequest names nothing"},
		{"checks of nothing", with(needed, map[string]string{"CheckScheduleExpression": "rate(1 hour)"}), "The default CheckRequest names nothing"},
		{"checks within no hour", with(needed, map[string]string{"CheckedWithinHours": "0"}), "CheckedWithinHours"},
		{"checks within more than a week", with(needed, map[string]string{"CheckedWithinHours": "169"}), "CheckedWithinHours"},
		{"a level without metrics", with(needed, map[string]string{"LogLevel": "WARN"}), "LogLevel"},
		{"a topic in a queue's place", with(needed, map[string]string{"RequestTopicArn": "arn:aws:sqs:eu-central-1:123456789012:q"}), "RequestTopicArn"},
		{"results to a queue", with(needed, map[string]string{"ResultTopicArn": "arn:aws:sqs:eu-central-1:123456789012:q"}), "ResultTopicArn"},
		{"results to a bus by its name", with(needed, map[string]string{"ResultTopicArn": "event-bus/results"}), "ResultTopicArn"},
		{"results to a rule", with(needed, map[string]string{"ResultTopicArn": "arn:aws:events:eu-central-1:123456789012:rule/r"}), "ResultTopicArn"},
		{"alarms to a bus", with(needed, map[string]string{"AlarmTopicArn": resultBus}), "AlarmTopicArn"},
		{"tickets to a bus", with(needed, map[string]string{"TicketTopicArn": resultBus}), "TicketTopicArn"},
		{"more hours than a week has", with(needed, map[string]string{"ExpectedWithinHours": "169"}), "ExpectedWithinHours"},
		{"hours less than none", with(needed, map[string]string{"ExpectedWithinHours": "-1"}), "ExpectedWithinHours"},
		{"following that is neither on nor off", with(needed, map[string]string{"Follow": "yes"}), "Follow"},
		{"following for more than a week", with(needed, map[string]string{"FollowFor": "169h"}), "FollowFor"},
		{"and in days", with(needed, map[string]string{"FollowFor": "8d"}), "FollowFor"},
		{"following for no time", with(needed, map[string]string{"FollowFor": "0h"}), "FollowFor"},
		{"a runbook with spaces", with(needed, map[string]string{"RunbookUrl": "the wiki"}), "RunbookUrl"},
	} {
		refused := tpl.with(tt.parameters).refused()
		if !slices.ContainsFunc(refused, func(s string) bool { return strings.HasPrefix(s, tt.want) }) {
			t.Errorf("%s: refused %q, want %q", tt.name, refused, tt.want)
		}
	}
}

// TestQueue: the queue, Lambda's event source and the function must agree (Lambda
// developer guide, "Using Lambda with Amazon SQS").
func TestQueue(t *testing.T) {
	t.Parallel()
	tpl := load(t)
	for _, timeout := range at(tpl.section("Parameters"), "Timeout", "AllowedValues").([]any) {
		s := tpl.deploy(with(needed, map[string]string{"Timeout": timeout.(string)}))
		function := number(t, s.properties("Function")["Timeout"])
		if visibility := number(t, s.properties("Queue")["VisibilityTimeout"]); visibility < 6*function {
			t.Errorf("a function of %v s and a visibility timeout of %v s, which is less than six times that", function, visibility)
		}
	}
	each(t, func(t *testing.T, s *stack) {
		queue, source := s.properties("Queue"), s.properties("EventSource")
		variables := at(s.properties("Function"), "Environment", "Variables")
		for _, tt := range []struct {
			what      string
			got, want any
		}{
			{"maxReceiveCount", at(queue, "RedrivePolicy", "maxReceiveCount"), at(variables, "MAX_RECEIVE_COUNT")},
			{"the dead-letter queue", at(queue, "RedrivePolicy", "deadLetterTargetArn"), "${DeadLetterQueue.Arn}"},
			{"the queue of requests", at(variables, "REQUEST_QUEUE_ARN"), source["EventSourceArn"]},
			{"the queue for rejected bodies", at(variables, "REJECTED_QUEUE_ARN"), "${RejectedQueue.Arn}"},
			{"how long it keeps them", s.properties("RejectedQueue")["MessageRetentionPeriod"], "1209600"},
			{"the batch size", source["BatchSize"], at(variables, "BATCH_CONCURRENCY")},
			{"partial answers", source["FunctionResponseTypes"], []any{"ReportBatchItemFailures"}},
			{"the source", source["EventSourceArn"], "${Queue.Arn}"},
			{"the function", source["FunctionName"], "${Live}"},
			{"enabled", source["Enabled"], s.parameters["Enabled"]},
			{"concurrency", at(source, "ScalingConfig", "MaximumConcurrency"), s.parameters["MaximumConcurrency"]},
		} {
			if diff := cmp.Diff(tt.want, tt.got); diff != "" {
				t.Errorf("%s (-want +got):\n%s", tt.what, diff)
			}
		}
		kept, dead := number(t, queue["MessageRetentionPeriod"]), number(t, s.properties("DeadLetterQueue")["MessageRetentionPeriod"])
		if kept >= dead {
			t.Errorf("a message is kept for %v s and as a dead letter for %v s in all: it may be gone when it gets there", kept, dead)
		}
	})
}

func number(t testing.TB, v any) float64 {
	t.Helper()
	text, _ := v.(string)
	n, err := strconv.ParseFloat(text, 64)
	if err != nil {
		t.Fatalf("%v is no number", v)
	}
	return n
}

// TestLongestName: the stack's name is a part of other names. If one of them is too
// long, the deployment fails half way. docs/deploy.md says how long it may be.
func TestLongestName(t *testing.T) {
	t.Parallel()
	// In characters, by property (SQS API reference, CreateQueue; CloudWatch Logs API
	// reference, CreateLogGroup; API Gateway V2 API reference, "Apis").
	limits := map[string]int{"QueueName": 80, "LogGroupName": 512, "Name": 128}
	longest := 128 // of a stack's name (CloudFormation API reference, CreateStack)
	const mark = "THE-STACK"
	s := load(t).with(stacks["most"])
	s.parameters["AWS::StackName"] = mark
	for name := range s.section("Resources") {
		for property, value := range s.properties(name) {
			text, _ := value.(string)
			if !strings.Contains(text, mark) {
				continue
			}
			limit, ok := limits[property]
			if !ok {
				t.Errorf("%s: this test does not know how long %s may be", name, property)
				continue
			}
			longest = min(longest, limit-len(text)+len(mark))
		}
	}
	if want := fmt.Sprintf("It has at most %d characters", longest); !strings.Contains(read(t, "docs/deploy.md"), want) {
		t.Errorf("docs/deploy.md does not say of a stack's name: %s", want)
	}
}

// TestHTTP: every route needs IAM, and only the API's routes call the function.
func TestHTTP(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s *stack) {
		var routes []string
		for _, name := range s.of("AWS::ApiGatewayV2::Route") {
			route := s.properties(name)
			routes = append(routes, route["RouteKey"].(string))
			if route["AuthorizationType"] != "AWS_IAM" || route["ApiId"] != "${HttpApi}" || route["Target"] != "integrations/${HttpApiIntegration}" {
				t.Errorf("%s = %v", name, route)
			}
		}
		want := []string{"$default", "GET /", "POST /", "POST /v3/{project_id}/backups/{backup_id}/replicate", "POST /v3/{project_id}/checkpoints/replicate"}
		if diff := cmp.Diff(want, routes, cmpopts.SortSlices(strings.Compare)); diff != "" {
			t.Errorf("routes (-want +got):\n%s", diff)
		}
		if uri := s.properties("HttpApiIntegration")["IntegrationUri"]; uri != "${Live}" {
			t.Errorf("the API calls %v", uri)
		}
		for _, kind := range []string{"AWS::Serverless::HttpApi", "AWS::Serverless::Api", "AWS::ApiGateway::RestApi", "AWS::Lambda::Url"} {
			if names := s.of(kind); len(names) > 0 {
				t.Errorf("%v are ways to call the function that this test does not know", names)
			}
		}
		function := s.properties("Function")
		if function["Events"] != nil || function["FunctionUrlConfig"] != nil {
			t.Error("the function has ways in of its own, that do not go through its alias")
		}
		for _, name := range s.of("AWS::Lambda::Permission") {
			source, _ := s.properties(name)["SourceArn"].(string)
			if source != "arn:aws:execute-api:eu-central-1:123456789012:${HttpApi}/*" {
				t.Errorf("%s lets %q call the function", name, source)
			}
		}
	})
}

func TestEncryption(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s *stack) {
		own := s.parameters["KmsKeyArn"]
		for _, name := range s.of("AWS::SQS::Queue") {
			p := s.properties(name)
			if own != "" && p["KmsMasterKeyId"] != own || own == "" && p["SqsManagedSseEnabled"] != "true" {
				t.Errorf("%s is not encrypted with %q: %v", name, own, p)
			}
		}
		for _, name := range s.of("AWS::SNS::Topic") {
			want := own
			if want == "" {
				want = "alias/aws/sns"
			}
			if got := s.properties(name)["KmsMasterKeyId"]; got != want {
				t.Errorf("%s is encrypted with %v, want %v", name, got, want)
			}
		}
		// Without a key in the parameters, both are encrypted with a key of AWS.
		for _, name := range s.of("AWS::Logs::LogGroup") {
			if got, _ := s.properties(name)["KmsKeyId"].(string); got != own {
				t.Errorf("%s is encrypted with %q, want %q", name, got, own)
			}
		}
		if got, _ := s.properties("Function")["KmsKeyArn"].(string); got != own {
			t.Errorf("the function's environment is encrypted with %q, want %q", got, own)
		}
	})
}

// secretNames are names of variables and parameters that would hold a secret.
var secretNames = regexp.MustCompile(`(?i)(token|password|secret|secretkey|accesskey|secret_key|access_key)$`)

func TestNoSecretInPlainSight(t *testing.T) {
	t.Parallel()
	tpl := load(t)
	for name, p := range tpl.section("Parameters") {
		// A NoEcho parameter is in the clear where it is used.
		if secretNames.MatchString(name) || at(p, "NoEcho") != nil {
			t.Errorf("the parameter %s is a secret", name)
		}
	}
	if strings.Contains(read(t, "template.yaml"), "{{resolve:") {
		t.Error("a dynamic reference is resolved where the resource is made, and stands there in the clear")
	}
	each(t, func(t *testing.T, s *stack) {
		for _, kind := range []string{"AWS::Serverless::Function", "AWS::Lambda::Function"} {
			for _, name := range s.of(kind) {
				variables, _ := at(s.properties(name), "Environment", "Variables").(map[string]any)
				for variable := range variables {
					if secretNames.MatchString(variable) && variable != "HW_AUTH_TOKEN_SECRET" {
						t.Errorf("%s has a secret in %s", name, variable)
					}
				}
			}
		}
		if got := at(s.properties("Function"), "Environment", "Variables", "HW_AUTH_TOKEN_SECRET"); got != s.parameters["TokenSecretArn"] {
			t.Errorf("HW_AUTH_TOKEN_SECRET = %v, which is an id and no secret, want TokenSecretArn's", got)
		}
	})
}

// TestVariables: the function knows every variable that the template sets.
func TestVariables(t *testing.T) {
	t.Parallel()
	source := read(t, "function/config.go") + read(t, "internal/token/fields.go")
	for name := range at(load(t).section("Resources"), "Function", "Properties", "Environment", "Variables").(map[string]any) {
		if !strings.Contains(source, "`envconfig:\""+name+"\"") {
			t.Errorf("the function does not know %s", name)
		}
	}
}

// TestWaysIn: schedule, topic and event bus send to the queue. What they cannot deliver
// goes to the dead-letter queue.
func TestWaysIn(t *testing.T) {
	t.Parallel()
	tpl := load(t)
	s := tpl.deploy(stacks["most"])

	subscription := map[string]any{
		"TopicArn": requestTopic, "Protocol": "sqs", "Endpoint": "${Queue.Arn}",
		"RedrivePolicy": map[string]any{"deadLetterTargetArn": "${DeadLetterQueue.Arn}"},
	}
	if diff := cmp.Diff(subscription, s.properties("RequestSubscription")); diff != "" {
		t.Errorf("the subscription (-want +got):\n%s", diff)
	}

	rule := s.properties("RequestRule")
	targets := []any{map[string]any{"Id": "queue", "Arn": "${Queue.Arn}", "DeadLetterConfig": map[string]any{"Arn": "${DeadLetterQueue.Arn}"}}}
	if diff := cmp.Diff(targets, rule["Targets"]); diff != "" {
		t.Errorf("the rule's targets (-want +got):\n%s", diff)
	}
	var sample map[string]any
	if err := json.Unmarshal([]byte(read(t, "events/eventbridge.json")), &sample); err != nil {
		t.Fatal(err)
	}
	pattern := map[string]any{"detail-type": []any{sample["detail-type"]}}
	if diff := cmp.Diff(pattern, rule["EventPattern"]); diff != "" {
		t.Errorf("the rule's pattern and the sample's (-want +got):\n%s", diff)
	}

	target := s.properties("Schedule")["Target"]
	if at(target, "Arn") != "${Queue.Arn}" || at(target, "DeadLetterConfig", "Arn") != "${DeadLetterQueue.Arn}" {
		t.Errorf("the schedule's target = %v", target)
	}
	window := map[string]any{"Mode": "FLEXIBLE", "MaximumWindowInMinutes": "15"}
	if diff := cmp.Diff(window, s.properties("Schedule")["FlexibleTimeWindow"]); diff != "" {
		t.Errorf("the schedule's window (-want +got):\n%s", diff)
	}
	onTime := tpl.deploy(with(stacks["most"], map[string]string{"ScheduleFlexibleMinutes": "0"}))
	if diff := cmp.Diff(map[string]any{"Mode": "OFF"}, onTime.properties("Schedule")["FlexibleTimeWindow"]); diff != "" {
		t.Errorf("a window that is none (-want +got):\n%s", diff)
	}
	batch, err := s.decode(asSent(at(target, "Input").(string)))
	if err != nil || len(batch.Deliveries) != 1 || batch.Deliveries[0].Err != nil || batch.Deliveries[0].Request.RequestedAt.IsZero() {
		t.Errorf("the schedule's request = %+v, %v", batch, err)
	}

	for _, name := range []string{"RequestSubscription", "RequestRule", "Schedule", "CheckSchedule", "ScheduleRole"} {
		if tpl.deploy(needed).has(name) {
			t.Errorf("%s is made without its parameter", name)
		}
	}
}

// TestRelease: every change of the function makes a new version, which is called before
// the alias moves to it.
func TestRelease(t *testing.T) {
	t.Parallel()
	tpl := load(t)
	resources := tpl.section("Resources")
	function := at(resources, "Function", "Properties")
	release := at(resources, "Release", "Properties").(map[string]any)

	known := map[string]bool{}
	values(release["Configuration"], known)
	used := map[string]bool{}
	values(function, used)
	for value := range used {
		if name, ok := strings.CutPrefix(value, "Ref "); ok && tpl.section("Parameters")[name] == nil {
			continue // a resource: its name does not change
		}
		if !known[value] {
			t.Errorf("%s changes the function, but makes no new version: it is not in Release's Configuration", value)
		}
	}
	if at(function, "AutoPublishAlias") == nil || at(function, "AutoPublishAliasAllProperties") != "true" || at(release["Code"], "Ref") != "Function.Version" {
		t.Error("new code makes no new version")
	}
	if version := at(resources, "Live", "Properties", "FunctionVersion", "Fn::GetAtt"); version != "Release.Version" {
		t.Errorf("the alias's version is %v", version)
	}
	if output := at(tpl.section("Outputs"), "FunctionArn", "Value", "Ref"); output != "Live" {
		t.Errorf("the output FunctionArn is %v", output)
	}

	batch, err := (&events.Decoder{}).Decode([]byte(release["Request"].(string)), delivery.Invocation{Began: time.Now()})
	if err != nil {
		t.Fatal(err)
	}
	if len(batch.Deliveries) != 0 {
		t.Error("the call asks something of CBR")
	}
	reply, err := batch.Reply(nil)
	var answer struct{ StatusCode int }
	if err != nil || json.Unmarshal(reply, &answer) != nil || answer.StatusCode != 200 {
		t.Errorf("the call is answered with %s, %v", reply, err)
	}
}

// values adds to into the parameters and mappings that v is made of.
func values(v any, into map[string]bool) {
	switch v := v.(type) {
	case map[string]any:
		for key, value := range v {
			switch key {
			case "Ref":
				if !strings.HasPrefix(value.(string), "AWS::") {
					into["Ref "+value.(string)] = true
				}
			case "Fn::FindInMap":
				var path []string
				for _, part := range value.([]any) {
					text, _ := part.(string)
					path = append(path, text)
				}
				into["FindInMap "+strings.Join(path, ".")] = true
			}
			values(value, into)
		}
	case []any:
		for _, value := range v {
			values(value, into)
		}
	}
}

// awsModules stand in for the modules that Lambda gives the release function.
const awsModules = `
import io, json, sys, types

ANSWER, EVENT = sys.argv[1], json.loads(sys.argv[2])

class Client:
    def publish_version(self, FunctionName):
        return {"Version": "7"}
    def get_waiter(self, name):
        return types.SimpleNamespace(wait=lambda **_: None)
    def invoke(self, FunctionName, Qualifier, Payload):
        json.loads(Payload)
        assert (FunctionName, Qualifier) == ("f", "7")
        return {"Payload": io.BytesIO(ANSWER.encode())}

def send(event, context, status, data, physical_id, noEcho=False, reason=None):
    print(json.dumps([status, data, physical_id, reason]))

sys.modules["boto3"] = types.SimpleNamespace(client=lambda service: Client())
sys.modules["cfnresponse"] = types.SimpleNamespace(SUCCESS="SUCCESS", FAILED="FAILED", send=send)
`

// TestReleaseFunction runs the code of the release function.
func TestReleaseFunction(t *testing.T) {
	t.Parallel()
	python, err := exec.LookPath("python3")
	if err != nil {
		t.Skip("python3 is not installed")
	}
	code := at(load(t).section("Resources"), "ReleaseFunction", "Properties", "Code", "ZipFile").(string)
	const (
		properties = `"ResourceProperties":{"FunctionName":"f","Request":"{}","Scheduled":{"ScheduleRequest":"{\"a\": []}","CheckRequest":"{}"}}`
		cutShort   = `"ResourceProperties":{"FunctionName":"f","Request":"{}","Scheduled":{"ScheduleRequest":"{}","CheckRequest":"{\"check\": {}"}}`
	)
	for _, tt := range []struct{ name, answer, event, want string }{
		{"it answers", `{"statusCode":200}`, `{"RequestType":"Create",` + properties + `}`, `["SUCCESS", {"Version": "7"}, "live", null]`},
		{"it does not start", `{"errorMessage":"exit status 1"}`, `{"RequestType":"Update",` + properties + `}`, `["FAILED", {}, "live", "version 7 answers`},
		{"nothing comes", ``, `{"RequestType":"Update",` + properties + `}`, `["FAILED", {}, "live", "`},
		{"a schedule's request that is no JSON", `{"statusCode":200}`, `{"RequestType":"Update",` + cutShort + `}`, `["FAILED", {}, "live", "CheckRequest is no JSON: `},
		{"the stack goes", ``, `{"RequestType":"Delete",` + properties + `}`, `["SUCCESS", {}, "live", null]`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			out, err := exec.CommandContext(ctx, python, "-c", awsModules+code+"\nhandler(EVENT, None)\n", tt.answer, tt.event).CombinedOutput()
			if err != nil || !strings.HasPrefix(string(out), tt.want) {
				t.Errorf("it writes %s (%v), want %s", out, err, tt.want)
			}
		})
	}
}
