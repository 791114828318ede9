package stack_test

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"cbr-replicator/internal/kind"
	"cbr-replicator/internal/metrics"
)

// world has a value for each metric that there is, by namespace, name and what
// its dimension says. The function's are those that package metrics writes.
func world(t testing.TB, s situation) map[string]float64 {
	t.Helper()
	var out bytes.Buffer
	invocation := metrics.NewEmitter(&out, metrics.EMF, "f").Begin()
	for _, d := range s.deliveries {
		invocation.Count(d)
	}
	if err := invocation.Emit(); err != nil {
		t.Fatal(err)
	}
	var line map[string]any
	if err := json.Unmarshal(out.Bytes(), &line); err != nil {
		t.Fatal(err)
	}
	all := map[string]float64{
		"AWS/Lambda Errors FunctionName ${Function}":                                        s.errors,
		"AWS/SQS ApproximateNumberOfMessagesVisible QueueName ${DeadLetterQueue.QueueName}": s.dead,
		"AWS/SQS ApproximateNumberOfMessagesVisible QueueName ${RejectedQueue.QueueName}":   s.bodies,
		"AWS/SQS ApproximateNumberOfMessagesVisible QueueName ${Queue.QueueName}":           s.visible,
		"AWS/SQS ApproximateNumberOfMessagesNotVisible QueueName ${Queue.QueueName}":        s.invisible,
		"AWS/SQS NumberOfMessagesReceived QueueName ${Queue.QueueName}":                     s.received,
		"AWS/SQS ApproximateAgeOfOldestMessage QueueName ${Queue.QueueName}":                s.age,
	}
	directive := line["_aws"].(map[string]any)["CloudWatchMetrics"].([]any)[0]
	for _, m := range at(directive, "Metrics").([]any) {
		name := at(m, "Name").(string)
		all[metrics.Namespace+" "+name+" service ${Function}"] = line[name].(float64)
	}
	return all
}

// situation is what a quarter of an hour brings, and the alarms that fire if it
// goes on like that.
type situation struct {
	name                                            string
	deliveries                                      []metrics.Delivery
	errors, dead, visible, invisible, received, age float64
	bodies                                          float64 // in the queue for rejected ones
	want                                            []string
}

const hour = 3600

// expressions are the metric math of the alarms, as CloudWatch understands it.
// FILL has nothing to do here: a metric that is not there is 0.
var expressions = map[string]func(map[string]float64) float64{
	"IF(FILL(deliveries, 0) == 0, errors, 0)": func(m map[string]float64) float64 {
		if m["deliveries"] == 0 {
			return m["errors"]
		}
		return 0
	},
	"IF(visible > 0 AND FILL(received, 0) == 0, age, 0)": func(m map[string]float64) float64 {
		if m["visible"] > 0 && m["received"] == 0 {
			return m["age"]
		}
		return 0
	},
	"FILL(redelivered, 0) - FILL(busy, 0)": func(m map[string]float64) float64 { return m["redelivered"] - m["busy"] },
}

func TestAlarms(t *testing.T) {
	t.Parallel()
	s := load(t).deploy(needed)
	again := func(k kind.Kind) []metrics.Delivery {
		return []metrics.Delivery{{DestinationRegion: "region2", Kind: k, Redelivered: true}}
	}
	ended := func(k kind.Kind, status kind.Status) []metrics.Delivery {
		return []metrics.Delivery{{DestinationRegion: "region2", Kind: k, Published: status}}
	}
	for _, tt := range []situation{
		// What is as it should be, slow as it may be.
		{name: "nothing to do"},
		{name: "accepted", deliveries: ended(kind.None, kind.Accepted), received: 1},
		{name: "unchanged", deliveries: ended(kind.AlreadyReplicated, kind.Unchanged), received: 1},
		{name: "a vault that is busy for hours, as it comes again", deliveries: again(kind.InProgress), received: 1, age: 9 * hour},
		{name: "and while it waits", invisible: 1, age: 20 * hour},
		{name: "many at once", deliveries: ended(kind.None, kind.Accepted), visible: 5000, invisible: 50, received: 600, age: 2 * hour},
		{name: "a few retries", deliveries: []metrics.Delivery{{DestinationRegion: "region2", Published: kind.Accepted, More: []metrics.Value{{Name: "Retries", Count: 4}}}}, received: 1},

		// What is not.
		{name: "a wrong request", deliveries: ended(kind.InvalidEvent, kind.Refused), received: 1, want: []string{"RejectedAlarm"}},
		{name: "and once its body is kept", bodies: 1},
		{
			name: "a wrong request whose body is not kept", received: 1,
			deliveries: []metrics.Delivery{{Kind: kind.InvalidEvent, Published: kind.Refused, More: []metrics.Value{{Name: "RejectedNotKept", Count: 1}}}},
			want:       []string{"RejectedAlarm", "RejectedNotKeptAlarm"},
		},
		{name: "backups without a replica", deliveries: ended(kind.NotCovered, kind.Refused), received: 1, want: []string{"RejectedAlarm"}},
		{name: "a dead credential", deliveries: again(kind.Unauthorized), received: 1, want: []string{"RedeliveredAlarm", "UnauthorizedAlarm"}},
		{name: "a wrong endpoint", deliveries: again(kind.Misconfigured), received: 1, want: []string{"MisconfiguredAlarm", "RedeliveredAlarm"}},
		{name: "throttled for an hour", deliveries: again(kind.Throttled), received: 1, want: []string{"RedeliveredAlarm", "ThrottledAlarm"}},
		{name: "out of reach for an hour", deliveries: again(kind.Unavailable), received: 1, want: []string{"RedeliveredAlarm"}},
		{name: "busy vaults among them", deliveries: slices.Concat(again(kind.InProgress), again(kind.Unknown)), received: 2, want: []string{"RedeliveredAlarm"}},
		{
			name: "a topic that refuses", received: 1,
			deliveries: []metrics.Delivery{{DestinationRegion: "region2", Kind: kind.PublishFailed, PublishFailed: true, Redelivered: true}},
			want:       []string{"PublishFailuresAlarm", "RedeliveredAlarm"},
		},
		{
			name: "lookups that are refused", received: 1,
			deliveries: []metrics.Delivery{{DestinationRegion: "region2", Published: kind.Accepted, More: []metrics.Value{{Name: "LookupsRefused", Count: 1}}}},
			want:       []string{"LookupsRefusedAlarm"},
		},
		{name: "a process that does not start", errors: 3, received: 1, want: []string{"FunctionErrorAlarm"}},
		{name: "a caller that is told of a rejection", deliveries: ended(kind.Rejected, kind.Refused), errors: 1, want: []string{"RejectedAlarm"}},
		{name: "nobody takes the messages", visible: 3, age: hour, want: []string{"OldestMessageAlarm"}},
		{name: "dead letters", dead: 1, want: []string{"DeadLetterAlarm"}},
	} {
		values := world(t, tt)
		var fired []string
		for _, name := range s.of("AWS::CloudWatch::Alarm") {
			alarm := s.properties(name)
			value, ok := alarmValue(t, alarm, values)
			if !ok {
				t.Fatalf("%s watches a metric that nobody writes, or in a way that this test does not know", name)
			}
			if alarm["ComparisonOperator"] != "GreaterThanThreshold" {
				t.Fatalf("%s compares as this test does not know", name)
			}
			if value > number(t, alarm["Threshold"]) {
				fired = append(fired, name)
			}
		}
		if diff := cmp.Diff(tt.want, fired); diff != "" {
			t.Errorf("%s: alarms (-want +got):\n%s", tt.name, diff)
		}
	}
}

// alarmValue is what the alarm compares with its threshold.
func alarmValue(t testing.TB, alarm any, values map[string]float64) (float64, bool) {
	t.Helper()
	queries, isMath := at(alarm, "Metrics").([]any)
	if !isMath {
		value, ok := values[metricOf(alarm)]
		return value, ok
	}
	byID, expression := map[string]float64{}, ""
	for _, q := range queries {
		if text, ok := at(q, "Expression").(string); ok {
			expression = text
			continue
		}
		value, ok := values[metricOf(at(q, "MetricStat", "Metric"))]
		if !ok || at(q, "ReturnData") != "false" {
			return 0, false
		}
		byID[at(q, "Id").(string)] = value
	}
	evaluate := expressions[expression]
	if evaluate == nil {
		return 0, false
	}
	return evaluate(byID), true
}

// metricOf names a metric as world does.
func metricOf(m any) string {
	parts := []string{at(m, "Namespace").(string), at(m, "MetricName").(string)}
	for _, d := range at(m, "Dimensions").([]any) {
		parts = append(parts, at(d, "Name").(string), at(d, "Value").(string))
	}
	return strings.Join(parts, " ")
}

func TestAlarmsTell(t *testing.T) {
	t.Parallel()
	// These pass by themselves more often than not: nobody is woken at once.
	patient := map[string]float64{"ThrottledAlarm": hour, "RedeliveredAlarm": hour, "OldestMessageAlarm": hour / 2}
	each(t, func(t *testing.T, s *stack) {
		for _, name := range s.of("AWS::CloudWatch::Alarm") {
			alarm := s.properties(name)
			if at(alarm, "AlarmDescription") == nil || at(alarm, "TreatMissingData") != "notBreaching" {
				t.Errorf("%s says nothing, or takes an idle function for a fault", name)
			}
			var want any
			if topic := s.parameters["AlarmTopicArn"]; topic != "" {
				want = []any{topic}
			}
			if diff := cmp.Diff(want, alarm["AlarmActions"]); diff != "" {
				t.Errorf("%s notifies (-want +got):\n%s", name, diff)
			}
			period := at(alarm, "Period")
			if queries, ok := at(alarm, "Metrics").([]any); ok {
				period = at(queries[1], "MetricStat", "Period")
			}
			if after := number(t, period) * number(t, at(alarm, "EvaluationPeriods")); after < patient[name] {
				t.Errorf("%s fires after %v s, want %v", name, after, patient[name])
			}
		}
	})
}
