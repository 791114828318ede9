package stack_test

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// statement is a statement of a policy.
type statement struct {
	in                 string // the resource that has the policy
	sid, effect        string
	actions, resources []string
	principal          any
	condition          any
}

// statements returns the statements of the policies of resources of these types.
func (s *stack) statements(kinds ...string) []statement {
	var all []statement
	for _, kind := range kinds {
		for _, name := range s.of(kind) {
			p := s.properties(name)
			documents := []any{p["PolicyDocument"]}
			if kind == "AWS::IAM::Role" {
				documents = []any{p["AssumeRolePolicyDocument"]}
				for _, policy := range p["Policies"].([]any) {
					documents = append(documents, at(policy, "PolicyDocument"))
				}
			}
			for _, d := range documents {
				for _, v := range at(d, "Statement").([]any) {
					sid, _ := at(v, "Sid").(string)
					all = append(all, statement{
						name, sid, at(v, "Effect").(string), oneOrMore(at(v, "Action")), oneOrMore(at(v, "Resource")),
						at(v, "Principal"), at(v, "Condition"),
					})
				}
			}
		}
	}
	return all
}

// oneOrMore returns a list that a policy may also write as one text.
func oneOrMore(v any) []string {
	if text, ok := v.(string); ok {
		return []string{text}
	}
	var texts []string
	list, _ := v.([]any)
	for _, v := range list {
		texts = append(texts, v.(string))
	}
	return texts
}

func TestLeastPrivilege(t *testing.T) {
	t.Parallel()
	// The template has the reason beside each.
	wildcards := map[string]bool{
		"FunctionRole/JoinVpc": true, "FunctionRole/ReadCredential": true, "ReleaseRole/Call": true,
	}
	each(t, func(t *testing.T, s *stack) {
		for _, st := range s.statements("AWS::IAM::Role", "AWS::SQS::QueuePolicy", "AWS::SNS::TopicPolicy") {
			name := st.in + "/" + st.sid
			if st.effect == "Deny" {
				continue
			}
			for _, action := range st.actions {
				if strings.ContainsAny(action, "*?") {
					t.Errorf("%s allows %s", name, action)
				}
			}
			for _, resource := range st.resources {
				if strings.ContainsAny(resource, "*?") && !wildcards[name] {
					t.Errorf("%s is for %s", name, resource)
				}
			}
			if principal, ok := st.principal.(string); ok {
				t.Errorf("%s is for %s", name, principal)
			}
			if strings.HasSuffix(st.in, "Policy") && at(st.condition, "ArnEquals", "aws:SourceArn") == nil {
				t.Errorf("%s does not name the source for which the service may send", name)
			}
		}
		for _, name := range s.of("AWS::IAM::Role") {
			if p := s.properties(name); p["ManagedPolicyArns"] != nil {
				t.Errorf("%s has policies that this test does not check", name)
			} else if got, _ := p["PermissionsBoundary"].(string); got != s.parameters["PermissionsBoundaryArn"] {
				t.Errorf("%s has the permissions boundary %q", name, got)
			}
		}
		for _, name := range s.of("AWS::Serverless::Function") {
			if p := s.properties(name); p["Policies"] != nil || p["Role"] == nil {
				t.Errorf("%s has a role that SAM makes", name)
			}
		}
	})
}

// grants returns the actions that a role allows, each with its resources.
func (s *stack) grants(role string) map[string][]string {
	all := map[string][]string{}
	for _, st := range s.statements("AWS::IAM::Role") {
		if st.in != role || st.effect != "Allow" || st.principal != nil {
			continue
		}
		for _, action := range st.actions {
			all[action] = append(all[action], st.resources...)
		}
	}
	return all
}

func TestGrants(t *testing.T) {
	t.Parallel()
	tpl := load(t)
	least, most := tpl.deploy(needed), tpl.deploy(stacks["most"])
	logs := []string{"${FunctionLogGroup.Arn}"}
	queues := []string{"${Queue.Arn}", "${FollowQueue.Arn}"}
	function := map[string][]string{
		"sqs:ReceiveMessage":            queues,
		"sqs:DeleteMessage":             queues,
		"sqs:GetQueueAttributes":        queues,
		"sqs:ChangeMessageVisibility":   queues,
		"sqs:SendMessage":               {"${RejectedQueue.Arn}", "${Queue.Arn}"},
		"sns:Publish":                   {"${ResultTopic}"},
		"secretsmanager:GetSecretValue": {needed["TokenSecretArn"]},
		"logs:CreateLogStream":          logs,
		"logs:PutLogEvents":             logs,
	}
	if diff := cmp.Diff(function, least.grants("FunctionRole")); diff != "" {
		t.Errorf("the function (-want +got):\n%s", diff)
	}

	bus := with(needed, map[string]string{"ResultTopicArn": resultBus})
	onBus := maps.Clone(function)
	delete(onBus, "sns:Publish")
	onBus["events:PutEvents"] = []string{resultBus}
	if diff := cmp.Diff(onBus, tpl.deploy(bus).grants("FunctionRole")); diff != "" {
		t.Errorf("the function with an event bus (-want +got):\n%s", diff)
	}

	alone := maps.Clone(function)
	for action, resources := range alone {
		if slices.Equal(resources, queues) {
			alone[action] = queues[:1]
		}
	}
	if diff := cmp.Diff(alone, tpl.deploy(stacks["nothing followed"]).grants("FunctionRole")); diff != "" {
		t.Errorf("the function that follows nothing (-want +got):\n%s", diff)
	}

	project := strings.Repeat("?", 32)
	function = maps.Clone(function)
	function["sns:Publish"] = []string{most.parameters["ResultTopicArn"]}
	function["secretsmanager:GetSecretValue"] = []string{"arn:aws:secretsmanager:eu-central-1:123456789012:secret:cbr/" + project + "-??????"}
	function["kms:Decrypt"] = []string{most.parameters["TokenSecretKmsKeyArn"], key}
	function["kms:GenerateDataKey"] = []string{key}
	for _, action := range []string{
		"CreateNetworkInterface", "DescribeNetworkInterfaces", "DescribeSubnets", "DeleteNetworkInterface",
		"AssignPrivateIpAddresses", "UnassignPrivateIpAddresses",
	} {
		function["ec2:"+action] = []string{"*"}
	}
	if diff := cmp.Diff(function, most.grants("FunctionRole")); diff != "" {
		t.Errorf("the function with all parameters (-want +got):\n%s", diff)
	}

	schedule := map[string][]string{
		"sqs:SendMessage":     {"${Queue.Arn}", "${DeadLetterQueue.Arn}"},
		"kms:Decrypt":         {key},
		"kms:GenerateDataKey": {key},
	}
	if diff := cmp.Diff(schedule, most.grants("ScheduleRole")); diff != "" {
		t.Errorf("the schedule (-want +got):\n%s", diff)
	}

	release := map[string][]string{
		"lambda:PublishVersion":           {"${Function.Arn}"},
		"lambda:GetFunctionConfiguration": {"${Function.Arn}:*"},
		"lambda:InvokeFunction":           {"${Function.Arn}:*"},
		"logs:CreateLogStream":            logs,
		"logs:PutLogEvents":               logs,
	}
	if diff := cmp.Diff(release, least.grants("ReleaseRole")); diff != "" {
		t.Errorf("the release (-want +got):\n%s", diff)
	}
}

// TestSenders: of AWS's services only the topic and the rule in the parameters may
// send requests, only the topic or bus of the results what is followed, and nobody
// without TLS.
func TestSenders(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s *stack) {
		want := []string{}
		if s.parameters["RequestTopicArn"] != "" {
			want = append(want, "sns.amazonaws.com "+requestTopic)
		}
		if s.parameters["EventBusName"] != "" {
			want = append(want, "events.amazonaws.com ${RequestRule.Arn}")
		}
		policies := map[string]string{
			"QueuePolicy": "${Queue.Arn}", "DeadLetterQueuePolicy": "${DeadLetterQueue.Arn}", "RejectedQueuePolicy": "${RejectedQueue.Arn}",
		}
		// No service sends there but SQS itself, only the function, by its role.
		silent := map[string]bool{"ResultTopicPolicy": true, "RejectedQueuePolicy": true, "FollowDeadLetterQueuePolicy": true}
		followed := map[string]bool{"FollowQueuePolicy": true, "UnfollowedQueuePolicy": true}
		if s.parameters["Follow"] == "true" {
			for _, queue := range []string{"FollowQueue", "FollowDeadLetterQueue", "UnfollowedQueue"} {
				policies[queue+"Policy"] = "${" + queue + ".Arn}"
			}
		}
		if s.has("ResultTopic") {
			policies["ResultTopicPolicy"] = "${ResultTopic}"
		}
		senders, tls := map[string][]string{}, map[string]bool{}
		for _, st := range s.statements("AWS::SQS::QueuePolicy", "AWS::SNS::TopicPolicy") {
			if !slices.Equal(st.resources, []string{policies[st.in]}) {
				t.Errorf("%s is for %v", st.in, st.resources)
			}
			if st.effect == "Deny" {
				tls[st.in] = st.principal == "*" && at(st.condition, "Bool", "aws:SecureTransport") == "false"
				continue
			}
			if !slices.Equal(st.actions, []string{"sqs:SendMessage"}) {
				t.Errorf("%s allows %v", st.in, st.actions)
			}
			senders[st.in] = append(senders[st.in], at(st.principal, "Service").(string)+" "+at(st.condition, "ArnEquals", "aws:SourceArn").(string))
		}
		for policy := range policies {
			if !tls[policy] {
				t.Errorf("%s allows calls without TLS", policy)
			}
			want := want
			if silent[policy] {
				want = nil
			}
			if followed[policy] {
				want = []string{s.acceptedFrom()}
			}
			if !slices.Equal(senders[policy], want) {
				t.Errorf("%s lets %q send, want %q", policy, senders[policy], want)
			}
		}
	})
}

// acceptedFrom is who sends the accepted results that are followed.
func (s *stack) acceptedFrom() string {
	switch arn := s.parameters["ResultTopicArn"]; {
	case arn == "":
		return "sns.amazonaws.com ${ResultTopic}"
	case strings.Contains(arn, ":event-bus/"):
		return "events.amazonaws.com ${AcceptedRule.Arn}"
	default:
		return "sns.amazonaws.com " + arn
	}
}
