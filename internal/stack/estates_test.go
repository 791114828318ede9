package stack_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"cbr-replicator/events"
	"cbr-replicator/internal/delivery"
	"cbr-replicator/internal/kind"
	"cbr-replicator/internal/metrics"
	"cbr-replicator/internal/redact"
)

// scheduled are the parameters that a schedule sends as they are.
var scheduled = []string{"ScheduleRequest", "CheckRequest"}

// asSent is a schedule's request as Scheduler sends it: it fills in the time
// (EventBridge Scheduler user guide, "Adding context attributes").
func asSent(text string) string {
	return strings.ReplaceAll(text, "<aws.scheduler.scheduled-time>", "2026-11-23T02:00:00Z")
}

// decode is how the function reads a request, with the stack's defaults.
func (s *stack) decode(text string) (*events.Batch, error) {
	decoder := &events.Decoder{Now: func() time.Time { return time.Time{} }, Redact: &redact.Redactor{}, Defaults: events.Defaults{
		ProjectID: s.parameters["HuaweiProjectId"], Region: s.parameters["HuaweiRegion"], VaultID: s.parameters["VaultId"],
		DestinationVaultID: s.parameters["DestinationVaultId"], DestinationProjectID: s.parameters["DestinationProjectId"],
		DestinationRegion: s.parameters["DestinationRegion"], MaxAge: 30 * time.Hour,
	}}
	return decoder.Decode([]byte(text), delivery.Invocation{Began: time.Now()})
}

// override is one of SAM's --parameter-overrides whose value is in quotation marks (AWS
// SAM CLI, samcli/cli/types.py, CfnParameterOverridesType).
var override = regexp.MustCompile(` ([A-Za-z0-9]+)="((?:\\.|[^"\\]+)*)"`)

// overrides are the values that SAM reads.
func overrides(text string) map[string]string {
	all := map[string]string{}
	for _, found := range override.FindAllStringSubmatch(text, -1) {
		all[found[1]] = strings.ReplaceAll(found[2], `\"`, `"`)
	}
	return all
}

// TestDeployParameters: `make deploy` gives SAM the documented parameters as they are.
// In words of their own, values would lose their quotation marks, and end at a space.
func TestDeployParameters(t *testing.T) {
	t.Parallel()
	tool, err := exec.LookPath("make")
	if err != nil {
		t.Skip("make is not installed")
	}
	for _, file := range []string{"docs/deploy.md", "examples/schedule/README.md"} {
		found := regexp.MustCompile(`(?m)^\s*make deploy PARAMETERS='(.*ScheduleExpression=.*)'$`).FindStringSubmatch(read(t, file))
		if found == nil {
			t.Errorf("%s shows no schedule", file)
			continue
		}
		bin := t.TempDir()
		if err := os.WriteFile(bin+"/sam", []byte("#!/bin/sh\nfor word; do printf '%s\\n' \"$word\"; done\n"), 0o755); err != nil {
			t.Fatal(err)
		}
		deploy := exec.CommandContext(t.Context(), tool, "-s", "-C", root, "deploy", "VERSION=test", "PARAMETERS="+found[1])
		deploy.Env = append(os.Environ(), "PATH="+bin+":"+os.Getenv("PATH"))
		out, err := deploy.CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		_, given, _ := strings.Cut(string(out), "--parameter-overrides\n")
		if given != found[1]+"\n" {
			t.Errorf("%s: SAM gets %s", file, out)
		}
		expression := overrides(" " + given)["ScheduleExpression"]
		if !regexp.MustCompile(at(load(t).section("Parameters"), "ScheduleExpression", "AllowedPattern").(string)).MatchString(expression) || expression == "" {
			t.Errorf("%s: the schedule is %q", file, expression)
		}
	}
}

// documented are the requests that a schedule may send, by where they stand: the
// parameters' defaults, and the examples of their descriptions and of the documents.
func documented(t *testing.T) map[string]string {
	t.Helper()
	all := map[string]string{}
	for _, name := range scheduled {
		p := load(t).section("Parameters")[name]
		all[name] = at(p, "Default").(string)
		example := regexp.MustCompile(`such as\s(\{.*\}),`).FindStringSubmatch(at(p, "Description").(string))
		if example == nil {
			t.Fatalf("the description of %s has no example", name)
		}
		all["the description of "+name] = example[1]
	}
	for name, value := range overrides(read(t, "docs/deploy.md")) {
		if slices.Contains(scheduled, name) {
			all["docs/deploy.md, "+name] = value
		}
	}
	return all
}

// TestDocumentedRequests: the template takes what is documented as a schedule's request,
// and what comes of it is of the request's schema and a request for the function.
func TestDocumentedRequests(t *testing.T) {
	t.Parallel()
	schema, err := jsonschema.NewCompiler().Compile(root + "events/request.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	tpl := load(t)
	s := tpl.deploy(stacks["most"])
	requests := documented(t)
	if len(requests) != 6 {
		t.Errorf("%d requests are documented, those of docs/deploy.md with them", len(requests))
	}
	for place, text := range requests {
		tpl.deploy(with(stacks["most"], map[string]string{"ScheduleRequest": text, "CheckRequest": text}))
		value, err := jsonschema.UnmarshalJSON(strings.NewReader(asSent(text)))
		if err != nil {
			t.Errorf("%s: %v", place, err)
			continue
		}
		if err := schema.Validate(value); err != nil {
			t.Errorf("%s: %v", place, err)
		}
		batch, err := s.decode(asSent(text))
		if err != nil || len(batch.Deliveries) != 1 || batch.Deliveries[0].Err != nil {
			t.Errorf("%s: the function reads %+v, %v", place, batch, err)
		}
		_, isCheck := value.(map[string]any)["check"]
		if !isCheck && !strings.Contains(text, `"requested_at": "<aws.scheduler.scheduled-time>"`) {
			t.Errorf("%s has no time of its run: a message that comes twice is sent twice", place)
		}
	}
}

// TestRequestPattern: what a shell or an editor makes of JSON is refused before anything
// is deployed.
func TestRequestPattern(t *testing.T) {
	t.Parallel()
	tpl := load(t)
	for _, tt := range []struct {
		name, text string
		want       bool
	}{
		{"nothing in it", `{}`, true},
		{"spaces", " {\n \"select\" : { } } ", true},
		{"lists and names of any letters", `{"select":{"tags":[{"key":"Größe","values":["a,b","{\"c\":"]},{"key":"d"}]},"dry_run":false,"check":{"max_age":"30h"}}`, true},
		{"nothing", ``, false},
		{"no object", `[{}]`, false},
		{"a string", `"{}"`, false},
		{"quotation marks that the shell took", `{requested_at:<aws.scheduler.scheduled-time>}`, false},
		{"those around the names alone", `{select: {"vault_ids": []}}`, false},
		{"single quotation marks", `{'check': {}}`, false},
		{"typographic ones", `{“check”: {}}`, false},
		{"a string without an end", `{"check: {}}`, false},
		{"a comma too many", `{"check": {},}`, false},
		{"no value", `{"check": }`, false},
		{"cut short", `{"check": {}`, true}, // Release finds it
		{"cut shorter", `{"check": `, false},
		{"a comment", `{"check": {}} // hourly`, false},
	} {
		for _, name := range scheduled {
			refused := tpl.with(with(needed, map[string]string{name: tt.text})).refused()
			if got := !slices.Contains(refused, name); got != tt.want {
				t.Errorf("%s: %s takes %s: %t, want %t", tt.name, name, tt.text, got, tt.want)
			}
		}
	}
	// What is left to Release, it gets.
	given := at(load(t).section("Resources"), "Release", "Properties", "Scheduled")
	want := map[string]any{}
	for _, name := range scheduled {
		want[name] = map[string]any{"Ref": name}
	}
	if diff := cmp.Diff(any(want), given); diff != "" {
		t.Errorf("Release reads (-want +got):\n%s", diff)
	}
}

// TestSchedules: each schedule sends its request to the queue, and what it cannot send to
// the dead-letter queue. One of them alone is enough for the role.
func TestSchedules(t *testing.T) {
	t.Parallel()
	tpl := load(t)
	const request = `{"requested_at": "<aws.scheduler.scheduled-time>", "select": {}}`
	for _, tt := range []struct {
		name       string
		parameters map[string]string
		want       map[string]string // the schedules' requests
	}{
		{"none", nil, map[string]string{}},
		{"a plan", map[string]string{"ScheduleExpression": "rate(1 day)", "ScheduleRequest": request}, map[string]string{"Schedule": request}},
		{"checks", map[string]string{"CheckScheduleExpression": "rate(1 hour)", "CheckRequest": `{"select": {}, "check": {}}`}, map[string]string{"CheckSchedule": `{"select": {}, "check": {}}`}},
		{"both", stacks["most"], map[string]string{"Schedule": `{"requested_at": "<aws.scheduler.scheduled-time>"}`, "CheckSchedule": `{"check": {}}`}},
	} {
		s := tpl.deploy(with(needed, tt.parameters))
		got := map[string]string{}
		for _, name := range s.of("AWS::Scheduler::Schedule") {
			target := s.properties(name)["Target"]
			got[name] = at(target, "Input").(string)
			if at(target, "Arn") != "${Queue.Arn}" || at(target, "DeadLetterConfig", "Arn") != "${DeadLetterQueue.Arn}" || at(target, "RoleArn") != "${ScheduleRole.Arn}" {
				t.Errorf("%s: the target of %s is %v", tt.name, name, target)
			}
		}
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%s: requests (-want +got):\n%s", tt.name, diff)
		}
		if s.has("ScheduleRole") != (len(tt.want) > 0) {
			t.Errorf("%s: there is a role: %t", tt.name, s.has("ScheduleRole"))
		}
	}
}

// TestEstateVariables: the function takes what the template takes.
func TestEstateVariables(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		parameter, variable string
		right, wrong        []string
	}{
		{"PlanSpread", "PLAN_SPREAD", []string{"0s", "1m", "15m"}, []string{"", "0m", "16m", "90s", "15", "1h"}},
		{"MaxReplicaAge", "MAX_REPLICA_AGE", []string{"30h", "2d", "168h"}, []string{"", "0h", "30", "90m", "1.5h"}},
	} {
		tpl := load(t)
		for _, value := range tt.right {
			s := tpl.deploy(with(needed, map[string]string{tt.parameter: value}))
			if got := at(s.properties("Function"), "Environment", "Variables", tt.variable); got != value {
				t.Errorf("%s is %v, want %s", tt.variable, got, value)
			}
		}
		for _, value := range tt.wrong {
			if !slices.Contains(tpl.with(with(needed, map[string]string{tt.parameter: value})).refused(), tt.parameter) {
				t.Errorf("%s takes %q", tt.parameter, value)
			}
		}
	}
}

// TestNotChecked: if a check is scheduled, this alarm fires when no vault is checked,
// whatever else happens.
func TestNotChecked(t *testing.T) {
	t.Parallel()
	const name = "NotCheckedAlarm"
	tpl := load(t)
	if tpl.deploy(needed).has(name) {
		t.Error("it is made although no check is scheduled")
	}
	for _, hours := range []string{"1", "26", "168"} {
		alarm := tpl.deploy(with(stacks["most"], map[string]string{"CheckedWithinHours": hours})).properties(name)
		if period := number(t, alarm["Period"]); period*number(t, alarm["EvaluationPeriods"]) != hour*number(t, hours) || period < hour {
			t.Errorf("%s hours are %v periods of %v s", hours, alarm["EvaluationPeriods"], period)
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
			{"requests alone", situation{deliveries: []metrics.Delivery{{Published: kind.Accepted}}}, true},
			{"checks that cannot be made", situation{deliveries: []metrics.Delivery{{Kind: kind.Rejected, Published: kind.Refused}}}, true},
			{"a check", situation{deliveries: checked(kind.None, kind.Current)}, false},
			{"a check that finds old replicas", situation{deliveries: checked(kind.Stale, kind.Aged)}, false},
		} {
			values := world(t, tt.s)
			if got := fires(t, name, alarm, values, values); got != tt.want {
				t.Errorf("%s: it fires: %t, want %t", tt.name, got, tt.want)
			}
		}
	}
}

// checked is a check of one vault, with an age.
func checked(k kind.Kind, status kind.Status) []metrics.Delivery {
	return []metrics.Delivery{{DestinationRegion: "region2", Kind: k, Published: status, More: []metrics.Value{{Name: "VaultsChecked", Count: 1}, {Name: "ReplicaAge", Seconds: 20 * hour}}}}
}

// TestStaleStays: between two checks the alarm stays as it is. The metrics of both kinds
// are in each line of a check, so that one is never missing alone.
func TestStaleStays(t *testing.T) {
	t.Parallel()
	alarm := load(t).deploy(needed).properties("StaleReplicasAlarm")
	if alarm["TreatMissingData"] != "ignore" {
		t.Errorf("between two checks it is %v", alarm["TreatMissingData"])
	}
	// Checks of a plan that come after the first ones do not find it ended.
	if periods := number(t, alarm["EvaluationPeriods"]); periods < 2 || alarm["DatapointsToAlarm"] != "1" {
		t.Errorf("%v of %v hours", alarm["DatapointsToAlarm"], periods)
	}
	var out strings.Builder
	invocation := metrics.NewEmitter(&out, metrics.EMF, "f").Begin()
	for _, d := range checked(kind.None, kind.Current) {
		invocation.Count(d)
	}
	if err := invocation.Emit(); err != nil {
		t.Fatal(err)
	}
	var line map[string]any
	if err := json.Unmarshal([]byte(out.String()), &line); err != nil {
		t.Fatal(err)
	}
	for _, q := range alarm["Metrics"].([]any)[1:] {
		name := at(q, "MetricStat", "Metric", "MetricName").(string)
		if n, ok := line[name]; !ok || n != 0.0 {
			t.Errorf("a check that finds nothing writes %v as %s", n, name)
		}
	}
}
