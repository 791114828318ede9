package stack_test

import (
	"bytes"
	stdcmp "cmp"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"cbr-replicator/internal/kind"
	"cbr-replicator/internal/metrics"
)

// world returns a value for each metric, by its namespace, name and dimension. The
// function's metrics are those that package metrics writes.
func world(t testing.TB, s situation) map[string]float64 {
	t.Helper()
	var out bytes.Buffer
	emitter := metrics.NewEmitter(&out, metrics.EMF, "f")
	invocation := emitter.Begin()
	for _, d := range s.deliveries {
		invocation.Count(d)
	}
	for range s.returned {
		invocation.ErrorReturned()
	}
	if err := invocation.Emit(); err != nil {
		t.Fatal(err)
	}
	// What only looks, plans and checks write is missing otherwise.
	looks := emitter.Begin()
	more := []metrics.Value{{Name: "Followed", Count: 1}, {Name: "Planned", Count: 1}, {Name: "VaultsChecked", Count: 1}}
	for _, name := range []string{"FollowAge", "CopyDuration", "ReplicaAge"} {
		more = append(more, metrics.Value{Name: name})
	}
	looks.Count(metrics.Delivery{Kind: kind.Copying, More: more})
	if err := looks.Emit(); err != nil {
		t.Fatal(err)
	}
	var line, look map[string]any
	for i, into := range []*map[string]any{&line, &look} {
		if err := json.Unmarshal(bytes.Split(out.Bytes(), []byte("\n"))[i], into); err != nil {
			t.Fatal(err)
		}
	}
	all := map[string]float64{
		"AWS/Lambda Errors FunctionName ${Function}":                                        s.errors,
		"AWS/SQS ApproximateNumberOfMessagesVisible QueueName ${DeadLetterQueue.QueueName}": s.dead,
		"AWS/SQS ApproximateNumberOfMessagesVisible QueueName ${RejectedQueue.QueueName}":   s.bodies,
		"AWS/SQS ApproximateNumberOfMessagesVisible QueueName ${Queue.QueueName}":           s.visible,
		"AWS/SQS ApproximateNumberOfMessagesNotVisible QueueName ${Queue.QueueName}":        s.invisible,
		"AWS/SQS NumberOfMessagesReceived QueueName ${Queue.QueueName}":                     s.received,
		"AWS/SQS ApproximateAgeOfOldestMessage QueueName ${Queue.QueueName}":                s.age,

		"AWS/SQS ApproximateNumberOfMessagesVisible QueueName ${FollowQueue.QueueName}":           s.followVisible,
		"AWS/SQS NumberOfMessagesReceived QueueName ${FollowQueue.QueueName}":                     s.looks,
		"AWS/SQS ApproximateNumberOfMessagesNotVisible QueueName ${FollowQueue.QueueName}":        s.copying,
		"AWS/SQS ApproximateNumberOfMessagesVisible QueueName ${FollowDeadLetterQueue.QueueName}": s.followDead,
		"AWS/SQS ApproximateNumberOfMessagesVisible QueueName ${UnfollowedQueue.QueueName}":       s.unfollowed,
		"AWS/SQS NumberOfMessagesSent QueueName ${UnfollowedQueue.QueueName}":                     s.arrived,
	}
	for _, feed := range feeds {
		all[feed.redriven], all[feed.lost] = s.redriven, s.lost
	}
	for i, written := range []map[string]any{look, line} {
		directive := written["_aws"].(map[string]any)["CloudWatchMetrics"].([]any)[0]
		for _, m := range at(directive, "Metrics").([]any) {
			name := at(m, "Name").(string)
			value, _ := written[name].(float64)
			if values, ok := written[name].([]any); ok {
				value = values[0].(float64)
			}
			if i == 0 {
				value = 0 // only the name is of interest
			}
			all[metrics.Namespace+" "+name+" service ${Function}"] = value
		}
	}
	return all
}

// feeds are what SNS and EventBridge count of what they could not bring to the follow
// queue, by ResultTopicArn (SNS developer guide, "Monitoring Amazon SNS topics using
// CloudWatch"; EventBridge user guide, "Monitoring Amazon EventBridge").
var feeds = map[string]struct{ redriven, lost string }{
	"":         ofTopic("${ResultTopic.TopicName}"),
	resultFIFO: ofTopic("results.fifo"),
	resultBus:  ofRule("EventBusName results RuleName ${AcceptedRule}"),
	defaultBus: ofRule("RuleName ${AcceptedRule}"),
}

func ofTopic(name string) struct{ redriven, lost string } {
	return struct{ redriven, lost string }{
		"AWS/SNS NumberOfNotificationsRedrivenToDlq TopicName " + name, "AWS/SNS NumberOfNotificationsFailedToRedriveToDlq TopicName " + name,
	}
}

func ofRule(dimensions string) struct{ redriven, lost string } {
	return struct{ redriven, lost string }{
		"AWS/Events InvocationsSentToDlq " + dimensions, "AWS/Events InvocationsFailedToBeSentToDlq " + dimensions,
	}
}

// situation is what happens in a quarter of an hour, and the alarms that fire if it
// goes on.
type situation struct {
	name                                            string
	deliveries                                      []metrics.Delivery
	returned                                        int // errors that are answers, which are among errors
	errors, dead, visible, invisible, received, age float64
	deadBefore                                      float64 // a minute ago
	bodies                                          float64 // in the queue for rejected ones
	copying                                         float64 // out of sight in the follow queue
	followVisible, looks                            float64 // in sight there, and received
	followDead, followDeadBefore                    float64
	unfollowed                                      float64 // in their queue
	arrived, redriven, lost                         float64 // accepted results on their way to the follow queue
	want                                            []string
}

const hour = 3600

// datum is a metric's value now and a period ago.
type datum struct{ now, before float64 }

// expressions are the metric math of the alarms, as CloudWatch evaluates it. FILL does
// nothing here, since a missing metric is 0. DIFF is the rise since the period before.
var expressions = map[string]func(map[string]datum) float64{
	"errors - FILL(returned, 0)": func(m map[string]datum) float64 { return m["errors"].now - m["returned"].now },
	"IF(dead - DIFF(dead) > 0, DIFF(dead), 0)": func(m map[string]datum) float64 {
		if rise := m["dead"].now - m["dead"].before; m["dead"].now-rise > 0 {
			return rise
		}
		return 0
	},
	"IF(visible > 0 AND FILL(received, 0) == 0, age, 0)": func(m map[string]datum) float64 {
		if m["visible"].now > 0 && m["received"].now == 0 {
			return m["age"].now
		}
		return 0
	},
	"FILL(redelivered, 0) - FILL(busy, 0)": func(m map[string]datum) float64 { return m["redelivered"].now - m["busy"].now },
	"FILL(accepted, 0) + FILL(unchanged, 0) + FILL(completed, 0)": func(m map[string]datum) float64 {
		return m["accepted"].now + m["unchanged"].now + m["completed"].now
	},
	"IF(FILL(received, 0) == 0, visible, 0)": func(m map[string]datum) float64 {
		if m["received"].now == 0 {
			return m["visible"].now
		}
		return 0
	},
	"stale + never":                      func(m map[string]datum) float64 { return m["stale"].now + m["never"].now },
	"FILL(failed, 0) + FILL(partial, 0)": func(m map[string]datum) float64 { return m["failed"].now + m["partial"].now },
	"FILL(arrived, 0) + FILL(redriven, 0) + FILL(lost, 0)": func(m map[string]datum) float64 {
		return m["arrived"].now + m["redriven"].now + m["lost"].now
	},
}

// comparisons are the comparison operators of the alarms.
var comparisons = map[any]func(value, threshold float64) bool{
	"GreaterThanThreshold": func(value, threshold float64) bool { return value > threshold },
	"LessThanThreshold":    func(value, threshold float64) bool { return value < threshold },
}

func TestAlarms(t *testing.T) {
	t.Parallel()
	s := load(t).deploy(needed)
	handedBack := func(k kind.Kind) []metrics.Delivery {
		return []metrics.Delivery{{DestinationRegion: "region2", Kind: k, Redelivered: true}}
	}
	ended := func(k kind.Kind, status kind.Status) []metrics.Delivery {
		return []metrics.Delivery{{DestinationRegion: "region2", Kind: k, Published: status}}
	}
	looked := func(k kind.Kind, status kind.Status, metric string, seconds float64) []metrics.Delivery {
		more := []metrics.Value{{Name: "Followed", Count: 1}}
		if metric != "" {
			more = append(more, metrics.Value{Name: metric, Seconds: seconds})
		}
		return []metrics.Delivery{{DestinationRegion: "region2", Kind: k, Published: status, More: more}}
	}
	for _, tt := range []situation{
		// All is well, even if it is slow.
		{name: "nothing to do"},
		{name: "accepted", deliveries: ended(kind.None, kind.Accepted), received: 1},
		{name: "unchanged", deliveries: ended(kind.AlreadyReplicated, kind.Unchanged), received: 1},
		{name: "a vault that is busy for hours, when it is redelivered", deliveries: handedBack(kind.InProgress), received: 1, age: 9 * hour},
		{name: "and while it waits", invisible: 1, age: 20 * hour},
		{name: "many at once", deliveries: ended(kind.None, kind.Accepted), visible: 5000, invisible: 50, received: 600, age: 2 * hour},
		{name: "a batch of a topic that is handed back", deliveries: handedBack(kind.InProgress), errors: 1, returned: 1},
		{name: "busy vaults, of which callers are told", deliveries: slices.Concat(handedBack(kind.InProgress), ended(kind.InProgress, kind.Failed)), errors: 1, returned: 1},
		{name: "dead letters that are taken away", dead: 1, deadBefore: 5, want: []string{"DeadLetterAlarm"}},
		{name: "a few retries", deliveries: []metrics.Delivery{{DestinationRegion: "region2", Published: kind.Accepted, More: []metrics.Value{{Name: "Retries", Count: 4}}}}, received: 1},

		// Something is wrong.
		{name: "a wrong request", deliveries: ended(kind.InvalidEvent, kind.Refused), received: 1, want: []string{"RejectedAlarm"}},
		{name: "and once its body is kept", bodies: 1},
		{
			name: "a wrong request whose body is not kept", received: 1,
			deliveries: []metrics.Delivery{{Kind: kind.InvalidEvent, Published: kind.Refused, More: []metrics.Value{{Name: "RejectedNotKept", Count: 1}}}},
			want:       []string{"RejectedAlarm", "RejectedNotKeptAlarm"},
		},
		{name: "backups without a replica", deliveries: ended(kind.NotCovered, kind.Refused), received: 1, want: []string{"RejectedAlarm"}},
		{name: "a dead credential", deliveries: handedBack(kind.Unauthorized), received: 1, want: []string{"RedeliveredAlarm", "UnauthorizedAlarm"}},
		{name: "a wrong endpoint", deliveries: handedBack(kind.Misconfigured), received: 1, want: []string{"MisconfiguredAlarm", "RedeliveredAlarm"}},
		{name: "throttled for an hour", deliveries: handedBack(kind.Throttled), received: 1, want: []string{"RedeliveredAlarm", "ThrottledAlarm"}},
		{name: "out of reach for an hour", deliveries: handedBack(kind.Unavailable), received: 1, want: []string{"RedeliveredAlarm"}},
		{name: "busy vaults among them", deliveries: slices.Concat(handedBack(kind.InProgress), handedBack(kind.Unknown)), received: 2, want: []string{"RedeliveredAlarm"}},
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
		{
			name:       "requests that are handed back while callers are told of busy vaults",
			deliveries: slices.Concat(handedBack(kind.Unavailable), ended(kind.InProgress, kind.Failed), ended(kind.InProgress, kind.Failed)),
			want:       []string{"RedeliveredAlarm"},
		},
		{name: "a process that does not start", errors: 3, received: 1, want: []string{"FunctionErrorAlarm"}},
		{name: "a crash while others are accepted", deliveries: ended(kind.None, kind.Accepted), errors: 1, received: 2, want: []string{"FunctionErrorAlarm"}},
		{name: "a crash while a caller is told of a rejection", deliveries: ended(kind.Rejected, kind.Refused), errors: 2, returned: 1, want: []string{"FunctionErrorAlarm", "RejectedAlarm"}},
		{name: "a caller that is told of a rejection", deliveries: ended(kind.Rejected, kind.Refused), errors: 1, returned: 1, want: []string{"RejectedAlarm"}},
		{name: "nobody takes the messages", visible: 3, age: hour, want: []string{"OldestMessageAlarm"}},
		{name: "dead letters", dead: 1, want: []string{"DeadLetterAlarm"}},
		{name: "many at once", dead: 20, want: []string{"DeadLetterAlarm"}},
		{name: "dead letters that nobody has looked at", dead: 1, deadBefore: 1, want: []string{"DeadLetterAlarm"}},
		{name: "one more", dead: 2, deadBefore: 1, want: []string{"DeadLetterAlarm", "MoreDeadLettersAlarm"}},

		// Plans and checks.
		{name: "a plan", deliveries: ended(kind.None, kind.Planned)},
		{name: "replicas that are new enough", deliveries: checked(kind.None, kind.Current)},
		{name: "replicas that are too old", deliveries: checked(kind.Stale, kind.Aged), want: []string{"StaleReplicasAlarm"}},
		{name: "no replica", deliveries: checked(kind.NeverReplicated, kind.Aged), want: []string{"StaleReplicasAlarm"}},
		{name: "one among others", deliveries: slices.Concat(checked(kind.None, kind.Current), checked(kind.Stale, kind.Aged)), want: []string{"StaleReplicasAlarm"}},
		{name: "a plan that selects nothing", deliveries: ended(kind.NothingSelected, kind.Refused), want: []string{"NothingSelectedAlarm", "RejectedAlarm"}},
		{
			name: "a plan that skips some", want: []string{"PlanSkippedAlarm"},
			deliveries: []metrics.Delivery{{Published: kind.Planned, More: []metrics.Value{{Name: "PlanSkipped", Count: 3}}}},
		},

		// Copies that are followed.
		{name: "copies that run for hours", deliveries: looked(kind.Copying, kind.Unpublished, "FollowAge", 23*hour), copying: 40},
		{name: "copies that are there", deliveries: looked(kind.None, kind.Completed, "CopyDuration", 30*hour)},
		{name: "results of another deployment", deliveries: []metrics.Delivery{{More: []metrics.Value{{Name: "NotMine", Count: 3}}}}},
		{name: "some copies that are not there", deliveries: looked(kind.CopyIncomplete, kind.Partial, "CopyDuration", hour), want: []string{"CopyFailedAlarm"}},
		{name: "no copy that is there", deliveries: looked(kind.CopyFailed, kind.Failed, "CopyDuration", hour), want: []string{"CopyFailedAlarm"}},
		{name: "an end that cannot be seen", deliveries: looked(kind.NotFollowed, kind.Failed, "", 0), want: []string{"NotFollowedAlarm"}},
		{name: "copies that run for more than a day", deliveries: looked(kind.Copying, kind.Unpublished, "FollowAge", 25*hour), copying: 1, want: []string{"CopyAgeAlarm"}},
		{
			name: "looks that fail for an hour", copying: 7, want: []string{"RedeliveredAlarm"},
			deliveries: []metrics.Delivery{{Kind: kind.Unavailable, Redelivered: true, More: []metrics.Value{{Name: "FollowFaults", Count: 1}}}},
		},
		{name: "more copies than looks", followVisible: 500, copying: 100, looks: 40},
		{name: "nobody looks at copies", followVisible: 3, want: []string{"FollowStoppedAlarm"}},
		{name: "dead letters of the follow queue", followDead: 1, want: []string{"FollowDeadLetterAlarm"}},
		{name: "that nobody has looked at", followDead: 1, followDeadBefore: 1, want: []string{"FollowDeadLetterAlarm"}},
		{name: "and one more", followDead: 2, followDeadBefore: 1, want: []string{"FollowDeadLetterAlarm", "MoreFollowDeadLettersAlarm"}},
		{name: "a topic that does not reach the follow queue", arrived: 1, redriven: 1, unfollowed: 1, want: []string{"UnfollowedAlarm"}},
		{name: "a topic of another region that does not", arrived: 1, unfollowed: 1, want: []string{"UnfollowedAlarm"}},
		{name: "nor the queue for that", lost: 1, want: []string{"UnfollowedAlarm"}},
		{name: "what it did not reach, later", unfollowed: 5},
	} {
		values, before := world(t, tt), world(t, situation{dead: tt.deadBefore, followDead: tt.followDeadBefore})
		var fired []string
		for _, name := range s.of("AWS::CloudWatch::Alarm") {
			alarm := s.properties(name)
			if fires(t, name, alarm, values, before) {
				fired = append(fired, name)
			}
		}
		if diff := cmp.Diff(tt.want, fired); diff != "" {
			t.Errorf("%s: alarms (-want +got):\n%s", tt.name, diff)
		}
	}
}

// fires reports whether a period with these values breaks the alarm's threshold.
func fires(t testing.TB, name string, alarm map[string]any, values, before map[string]float64) bool {
	t.Helper()
	value, ok := alarmValue(t, alarm, values, before)
	if !ok {
		t.Fatalf("%s watches a metric that nobody writes, or in a way that this test does not know", name)
	}
	breaks := comparisons[alarm["ComparisonOperator"]]
	if breaks == nil {
		t.Fatalf("%s compares as this test does not know", name)
	}
	return breaks(value, number(t, alarm["Threshold"]))
}

// alarmValue returns what the alarm compares with its threshold.
func alarmValue(t testing.TB, alarm any, values, before map[string]float64) (float64, bool) {
	t.Helper()
	queries, isMath := at(alarm, "Metrics").([]any)
	if !isMath {
		value, ok := values[metricOf(alarm)]
		return value, ok
	}
	byID, expression := map[string]datum{}, ""
	for _, q := range queries {
		if text, ok := at(q, "Expression").(string); ok {
			expression = text
			continue
		}
		metric := metricOf(at(q, "MetricStat", "Metric"))
		value, ok := values[metric]
		if !ok || at(q, "ReturnData") != "false" {
			return 0, false
		}
		byID[at(q, "Id").(string)] = datum{value, before[metric]}
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

// TestNothingReplicated: if its parameter is set, this alarm fires when no result is
// accepted, unchanged or completed, whether or not there are requests or metrics.
func TestNothingReplicated(t *testing.T) {
	t.Parallel()
	const name = "NothingReplicatedAlarm"
	tpl := load(t)
	if tpl.deploy(needed).has(name) {
		t.Error("it is made although nothing is expected")
	}
	for _, hours := range []string{"1", "26", "168"} {
		alarm := tpl.deploy(with(needed, map[string]string{"ExpectedWithinHours": hours})).properties(name)
		// CloudWatch API reference, PutMetricAlarm, Period.
		const week = 7 * 24 * hour
		period := number(t, at(alarm["Metrics"].([]any)[1], "MetricStat", "Period"))
		if within := period * number(t, alarm["EvaluationPeriods"]); within != hour*number(t, hours) || within > week || period < hour {
			t.Errorf("%s hours are %v s", hours, within)
		}
		if alarm["TreatMissingData"] != "breaching" || alarm["DatapointsToAlarm"] != nil {
			t.Error("it does not fire if nothing is written at all, or for less than all of its hours")
		}
		for _, tt := range []struct {
			name string
			s    situation
			want bool
		}{
			{"nothing sent", situation{}, true},
			{"all rejected", situation{deliveries: []metrics.Delivery{{Kind: kind.InvalidEvent, Published: kind.Refused}}}, true},
			{"all handed back", situation{deliveries: []metrics.Delivery{{Kind: kind.Unauthorized, Redelivered: true}}}, true},
			{"accepted", situation{deliveries: []metrics.Delivery{{Published: kind.Accepted}}}, false},
			{"completed", situation{deliveries: []metrics.Delivery{{Published: kind.Completed, More: []metrics.Value{{Name: "Followed", Count: 1}}}}}, false},
			{"unchanged", situation{deliveries: []metrics.Delivery{{Kind: kind.NothingToReplicate, Published: kind.Unchanged}}}, false},
		} {
			values := world(t, tt.s)
			if got := fires(t, name, alarm, values, values); got != tt.want {
				t.Errorf("%s: it fires: %t, want %t", tt.name, got, tt.want)
			}
		}
	}
}

// TestCost: docs/operations.md has the number of metrics that cost money.
func TestCost(t *testing.T) {
	t.Parallel()
	operations := read(t, "docs/operations.md")
	written := 0
	for name := range world(t, situation{}) {
		if strings.HasPrefix(name, metrics.Namespace+" ") {
			written++
		}
	}
	s := load(t).deploy(stacks["most"])
	alarms, watched := s.of("AWS::CloudWatch::Alarm"), 0
	for _, name := range alarms {
		watched++
		if queries, ok := s.properties(name)["Metrics"].([]any); ok {
			watched += len(queries) - 2 // the expression is none
		}
	}
	for _, want := range []string{
		fmt.Sprintf("| metrics: %d, ", written),
		fmt.Sprintf("all hours: %d × 0.30 = %.2f;", 2*written, 0.3*float64(2*written)),
		fmt.Sprintf("| alarms: %d, with %d metrics | %.2f;", len(alarms), watched, 0.1*float64(watched)),
	} {
		if !strings.Contains(operations, want) {
			t.Errorf("docs/operations.md does not say %q", want)
		}
	}
}

// tickets are alarms that can wait until morning. Nothing is lost meanwhile, and what
// may follow has an alarm of its own.
var tickets = []string{
	"CopyAgeAlarm", "FollowStoppedAlarm", "LookupsRefusedAlarm", "NotCheckedAlarm", "NotFollowedAlarm", "NothingSelectedAlarm",
	"PlanSkippedAlarm", "RedeliveredAlarm", "RejectedAlarm", "RejectedNotKeptAlarm", "ThrottledAlarm",
}

// absent is what alarms do without data, if they do not take it for a good sign: the
// first two fire, and the last stays as it is until the next check.
var absent = map[string]string{"NothingReplicatedAlarm": "breaching", "NotCheckedAlarm": "breaching", "StaleReplicasAlarm": "ignore"}

func TestAlarmsTell(t *testing.T) {
	t.Parallel()
	_, severities, _ := strings.Cut(read(t, "docs/operations.md"), "**Two severities.**")
	severities, _, _ = strings.Cut(severities, "They notify")
	if diff := cmp.Diff(tickets, slices.Sorted(slices.Values(regexp.MustCompile(`\w+Alarm`).FindAllString(severities, -1)))); diff != "" {
		t.Errorf("what can wait until morning, by docs/operations.md (-want +got):\n%s", diff)
	}
	// These pass by themselves more often than not: nobody is woken at once.
	patient := map[string]float64{"ThrottledAlarm": hour, "RedeliveredAlarm": hour, "OldestMessageAlarm": hour / 2, "FollowStoppedAlarm": hour / 2}
	each(t, func(t *testing.T, s *stack) {
		for _, name := range s.of("AWS::CloudWatch::Alarm") {
			alarm := s.properties(name)
			text, _ := alarm["AlarmDescription"].(string)
			if link := s.parameters["RunbookUrl"] + "#" + strings.ToLower(name); !strings.HasSuffix(text, ". Runbook: "+link) && !strings.HasSuffix(text, "? Runbook: "+link) {
				t.Errorf("%s says %q, which does not end with its section %s", name, text, link)
			}
			if len(text) > 1024 { // CloudWatch API reference, PutMetricAlarm
				t.Errorf("%s says more than CloudWatch takes", name)
			}
			if got, want := alarm["TreatMissingData"], stdcmp.Or(absent[name], "notBreaching"); got != want {
				t.Errorf("%s without data is %v, want %s", name, got, want)
			}
			topic := s.parameters["AlarmTopicArn"]
			if slices.Contains(tickets, name) {
				topic = stdcmp.Or(s.parameters["TicketTopicArn"], topic)
			}
			var want any
			if topic != "" {
				want = []any{topic}
			}
			for _, actions := range []string{"AlarmActions", "OKActions"} {
				if diff := cmp.Diff(want, alarm[actions]); diff != "" {
					t.Errorf("%s: %s (-want +got):\n%s", name, actions, diff)
				}
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
