package stack_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestFollow: where copies are followed, accepted results come to a queue that keeps them
// until their copies have ended.
func TestFollow(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s *stack) {
		variables := at(s.properties("Function"), "Environment", "Variables")
		if s.parameters["Follow"] != "true" {
			if arn := at(variables, "FOLLOW_QUEUE_ARN"); arn != "" {
				t.Errorf("nothing is followed, but from %v", arn)
			}
			for name := range s.section("Resources") {
				if s.has(name) && strings.Contains(name, "Follow") || s.has(name) && strings.HasPrefix(name, "Accepted") {
					t.Errorf("nothing is followed, but there is %s", name)
				}
			}
			for _, mark := range []string{"Follow", "Copy", "Completed"} {
				if body := s.properties("Dashboard")["DashboardBody"].(string); strings.Contains(body, mark) {
					t.Errorf("nothing is followed, but the dashboard shows %s", mark)
				}
			}
			return
		}
		followed, source := s.properties("FollowQueue"), s.properties("FollowEventSource")
		for _, tt := range []struct {
			what      string
			got, want any
		}{
			{"the queue", at(variables, "FOLLOW_QUEUE_ARN"), "${FollowQueue.Arn}"},
			{"how long", at(variables, "FOLLOW_FOR"), s.parameters["FollowFor"]},
			{"FIFO", followed["FifoQueue"], nil},
			{"the first look", followed["DelaySeconds"], "300"},
			{"how long it keeps an event", followed["MessageRetentionPeriod"], "1209600"},
			{"a look's time", followed["VisibilityTimeout"], s.properties("Queue")["VisibilityTimeout"]},
			{"how many looks", at(followed, "RedrivePolicy", "maxReceiveCount"), "1000"},
			{"its dead letters", at(followed, "RedrivePolicy", "deadLetterTargetArn"), "${FollowDeadLetterQueue.Arn}"},
			{"how long it keeps dead letters", s.properties("FollowDeadLetterQueue")["MessageRetentionPeriod"], "1209600"},
			{"how long it keeps what did not come", s.properties("UnfollowedQueue")["MessageRetentionPeriod"], "1209600"},
			{"the source", source["EventSourceArn"], "${FollowQueue.Arn}"},
			{"the function", source["FunctionName"], "${Live}"},
			{"enabled", source["Enabled"], s.parameters["Enabled"]},
			{"concurrency", at(source, "ScalingConfig", "MaximumConcurrency"), "2"},
			{"partial answers", source["FunctionResponseTypes"], []any{"ReportBatchItemFailures"}},
		} {
			if diff := cmp.Diff(tt.want, tt.got); diff != "" {
				t.Errorf("%s (-want +got):\n%s", tt.what, diff)
			}
		}
		// Lambda API reference, CreateEventSourceMapping: a batch of more than ten needs a window.
		if window := number(t, source["MaximumBatchingWindowInSeconds"]); window < 1 || window > 300 {
			t.Errorf("a batching window of %v s", window)
		}
	})
}

// TestFeed: whatever takes the results, the accepted ones and no others come to the
// follow queue, as they are.
func TestFeed(t *testing.T) {
	t.Parallel()
	var accepted struct{ Attributes map[string]string }
	if err := json.Unmarshal([]byte(read(t, "internal/result/testdata/accepted.json")), &accepted); err != nil {
		t.Fatal(err)
	}
	attributes, undelivered := accepted.Attributes, "${UnfollowedQueue.Arn}"
	subscription := func(topic string, region any) map[string]any {
		p := map[string]any{
			"TopicArn": topic, "Protocol": "sqs", "Endpoint": "${FollowQueue.Arn}", "RawMessageDelivery": "true",
			"FilterPolicy":  map[string]any{"status": []any{attributes["status"]}},
			"RedrivePolicy": map[string]any{"deadLetterTargetArn": undelivered},
		}
		if region != nil {
			p["Region"] = region
		}
		return p
	}
	rule := func(bus string) map[string]any {
		return map[string]any{
			"Description": "Accepted results, whose copies cbr-replicator follows.", "EventBusName": bus,
			// What the function puts on a bus (package eventbridge).
			"EventPattern": map[string]any{"source": []any{"cbr-replicator"}, "detail-type": []any{attributes["type"]}},
			"Targets": []any{map[string]any{
				"Id": "follow", "Arn": "${FollowQueue.Arn}", "InputPath": "$.detail",
				"DeadLetterConfig": map[string]any{"Arn": undelivered},
			}},
		}
	}
	given := "arn:aws:sns:eu-central-1:210987654321:results"
	for name, tt := range map[string]struct {
		resultTopic, follow string
		subscription, rule  map[string]any
	}{
		"a topic that is made":            {"", "true", subscription("${ResultTopic}", nil), nil},
		"a topic of another account":      {given, "true", subscription(given, "eu-central-1"), nil},
		"a FIFO topic of another region":  {resultFIFO, "true", subscription(resultFIFO, "eu-west-1"), nil},
		"a bus":                           {resultBus, "true", nil, rule(resultBus)},
		"the default bus":                 {defaultBus, "true", nil, rule(defaultBus)},
		"nothing followed":                {"", "false", nil, nil},
		"nothing followed, from a bus":    {resultBus, "false", nil, nil},
		"nothing followed, a given topic": {given, "false", nil, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := load(t).deploy(with(needed, map[string]string{"ResultTopicArn": tt.resultTopic, "Follow": tt.follow}))
			if diff := cmp.Diff(tt.subscription, s.properties("AcceptedSubscription")); diff != "" {
				t.Errorf("the subscription (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tt.rule, s.properties("AcceptedRule")); diff != "" {
				t.Errorf("the rule (-want +got):\n%s", diff)
			}
		})
	}
	wait := at(load(t).section("Resources"), "AcceptedSubscription", "DependsOn")
	if diff := cmp.Diff([]any{"FollowQueuePolicy", "UnfollowedQueuePolicy"}, wait); diff != "" {
		t.Errorf("the subscription is made before the queues take anything (-want +got):\n%s", diff)
	}
}

// TestFollowsKey: who encrypts the queues reads in three places whom the key's policy must
// let use it, or no accepted result comes to the follow queue.
func TestFollowsKey(t *testing.T) {
	t.Parallel()
	parameter := at(load(t).section("Parameters"), "Follow", "Description").(string)
	_, changes, _ := strings.Cut(read(t, "CHANGELOG.md"), "`Follow`")
	changes, _, _ = strings.Cut(changes, "\n")
	_, operations, _ := strings.Cut(read(t, "docs/operations.md"), "\n### UnfollowedAlarm\n")
	operations, _, _ = strings.Cut(operations, "\n### ")
	for place, text := range map[string]string{"the parameter": parameter, "CHANGELOG.md": changes, "docs/operations.md": operations} {
		for _, want := range []string{"sns.amazonaws.com", "events.amazonaws.com", "kms:GenerateDataKey", "kms:Decrypt"} {
			if !strings.Contains(text, want) {
				t.Errorf("%s does not speak of %s", place, want)
			}
		}
	}
}
