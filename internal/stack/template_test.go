package stack_test

import (
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

const root = "../../"

// template is template.yaml. All scalars are strings, as in CloudFormation, and tags
// are in their long form: !Ref X is {"Ref": "X"}.
type template struct {
	t    testing.TB
	body map[string]any
}

func load(t testing.TB) *template {
	t.Helper()
	var doc yaml.Node
	if err := yaml.Unmarshal([]byte(read(t, "template.yaml")), &doc); err != nil {
		t.Fatal(err)
	}
	return &template{t, plain(doc.Content[0]).(map[string]any)}
}

func read(t testing.TB, name string) string {
	t.Helper()
	text, err := os.ReadFile(root + name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func plain(n *yaml.Node) any {
	var v any
	switch n.Kind {
	case yaml.MappingNode:
		m := map[string]any{}
		for i := 0; i < len(n.Content); i += 2 {
			m[n.Content[i].Value] = plain(n.Content[i+1])
		}
		v = m
	case yaml.SequenceNode:
		list := []any{}
		for _, c := range n.Content {
			list = append(list, plain(c))
		}
		v = list
	default:
		v = n.Value
	}
	switch tag := n.ShortTag(); {
	case strings.HasPrefix(tag, "!!"):
		return v
	case tag == "!Ref", tag == "!Condition":
		return map[string]any{tag[1:]: v}
	default:
		return map[string]any{"Fn::" + tag[1:]: v}
	}
}

// section returns the entries of a section, such as Parameters.
func (t *template) section(name string) map[string]any {
	return t.body[name].(map[string]any)
}

// stack is the template with values for its parameters. A reference to a resource is
// written as in Fn::Sub: ${Queue}, ${Queue.Arn}.
type stack struct {
	*template
	parameters map[string]string
}

// pseudo are the parameters that CloudFormation sets.
var pseudo = map[string]string{
	"AWS::AccountId": "123456789012",
	"AWS::Partition": "aws",
	"AWS::Region":    "eu-central-1",
	"AWS::StackName": "cbr-replicator",
	"AWS::URLSuffix": "amazonaws.com",
}

// deploy makes a stack with these parameters and the others' defaults. The test fails
// if CloudFormation would refuse them.
func (t *template) deploy(given map[string]string) *stack {
	t.t.Helper()
	s := t.with(given)
	if refused := s.refused(); len(refused) > 0 {
		t.t.Fatalf("refused: %q", refused)
	}
	return s
}

func (t *template) with(given map[string]string) *stack {
	t.t.Helper()
	values := maps.Clone(pseudo)
	for name, p := range t.section("Parameters") {
		if value, ok := p.(map[string]any)["Default"]; ok {
			values[name] = value.(string)
		}
	}
	for name, value := range given {
		if t.section("Parameters")[name] == nil {
			t.t.Fatalf("there is no parameter %s", name)
		}
		values[name] = value
	}
	return &stack{t, values}
}

// refused returns what is wrong with the parameters: the names of those without a
// value or with one of another form, and the texts of the broken rules.
func (s *stack) refused() []string {
	var refused []string
	for name, p := range s.section("Parameters") {
		p := p.(map[string]any)
		value, ok := s.parameters[name]
		if pattern, has := p["AllowedPattern"]; has && !regexp.MustCompile(pattern.(string)).MatchString(value) {
			ok = false
		}
		if values, has := p["AllowedValues"]; has && !slices.Contains(values.([]any), any(value)) {
			ok = false
		}
		if n, err := strconv.ParseFloat(value, 64); p["Type"] == "Number" && (err != nil ||
			p["MinValue"] != nil && n < number(s.t, p["MinValue"]) || p["MaxValue"] != nil && n > number(s.t, p["MaxValue"])) {
			ok = false
		}
		if !ok {
			refused = append(refused, name)
		}
	}
	for _, r := range s.section("Rules") {
		r := r.(map[string]any)
		if condition, has := r["RuleCondition"]; has && s.resolve(condition) != true {
			continue
		}
		for _, a := range r["Assertions"].([]any) {
			a := a.(map[string]any)
			if s.resolve(a["Assert"]) != true {
				refused = append(refused, a["AssertDescription"].(string))
			}
		}
	}
	slices.Sort(refused)
	return refused
}

// has reports whether the resource is made.
func (s *stack) has(name string) bool {
	r, ok := s.section("Resources")[name].(map[string]any)
	if !ok {
		return false
	}
	condition, conditional := r["Condition"]
	return !conditional || s.resolve(map[string]any{"Condition": condition}) == true
}

// properties returns a resource's properties, nil if it is not made.
func (s *stack) properties(name string) map[string]any {
	if !s.has(name) {
		return nil
	}
	return s.resolve(s.section("Resources")[name].(map[string]any)["Properties"]).(map[string]any)
}

// of returns the names of the resources of that type that are made, in order.
func (s *stack) of(kind string) []string {
	var names []string
	for _, name := range slices.Sorted(maps.Keys(s.section("Resources"))) {
		if s.section("Resources")[name].(map[string]any)["Type"] == kind && s.has(name) {
			names = append(names, name)
		}
	}
	return names
}

// noValue is AWS::NoValue. A property with it is left out.
type noValue struct{}

// resolve returns v with the results of its functions.
func (s *stack) resolve(v any) any {
	switch v := v.(type) {
	case map[string]any:
		if len(v) == 1 {
			for name, argument := range v {
				if name == "Ref" || name == "Condition" || strings.HasPrefix(name, "Fn::") {
					return s.call(name, argument)
				}
			}
		}
		m := map[string]any{}
		for key, value := range v {
			if value := s.resolve(value); value != (noValue{}) {
				m[key] = value
			}
		}
		return m
	case []any:
		list := []any{}
		for _, value := range v {
			if value := s.resolve(value); value != (noValue{}) {
				list = append(list, value)
			}
		}
		return list
	}
	return v
}

// call calls an intrinsic function of CloudFormation (CloudFormation template
// reference, "Intrinsic functions"). It knows those that the template uses.
func (s *stack) call(name string, argument any) any {
	if name == "Fn::If" {
		if branches := argument.([]any); s.resolve(map[string]any{"Condition": branches[0]}) == true {
			return s.resolve(branches[1])
		} else {
			return s.resolve(branches[2])
		}
	}
	argument = s.resolve(argument)
	list, _ := argument.([]any)
	switch name {
	case "Ref", "Fn::GetAtt":
		return s.reference(argument.(string))
	case "Fn::Sub":
		text, isText := argument.(string)
		values := map[string]any{}
		if !isText {
			text, values = list[0].(string), list[1].(map[string]any)
		}
		return regexp.MustCompile(`\$\{[^}]+\}`).ReplaceAllStringFunc(text, func(mark string) string {
			name := mark[2 : len(mark)-1]
			if value, ok := values[name]; ok {
				return value.(string)
			}
			if text, ok := strings.CutPrefix(name, "!"); ok { // not Fn::Sub's
				return "${" + text + "}"
			}
			return s.reference(name).(string)
		})
	case "Fn::FindInMap":
		found := s.section("Mappings")[list[0].(string)].(map[string]any)[list[1].(string)]
		if found == nil {
			s.t.Fatalf("the mapping %s has no %s", list[0], list[1])
		}
		return found.(map[string]any)[list[2].(string)]
	case "Fn::Join":
		var parts []string
		for _, part := range list[1].([]any) {
			parts = append(parts, part.(string))
		}
		return strings.Join(parts, list[0].(string))
	case "Fn::Split":
		return texts(strings.Split(list[1].(string), list[0].(string)))
	case "Fn::Select":
		var i int
		fmt.Sscan(list[0].(string), &i)
		return list[1].([]any)[i]
	case "Condition":
		return s.resolve(s.section("Conditions")[argument.(string)])
	case "Fn::Equals":
		return list[0] == list[1]
	case "Fn::Not":
		return list[0] != true
	case "Fn::And":
		return !slices.Contains(list, any(false))
	case "Fn::Or":
		return slices.Contains(list, any(true))
	}
	s.t.Fatalf("%s is not known here", name)
	return nil
}

// reference returns the value of a parameter, or a resource as Fn::Sub writes it.
func (s *stack) reference(name string) any {
	if name == "AWS::NoValue" {
		return noValue{}
	}
	if value, ok := s.parameters[name]; ok {
		if p, ok := s.section("Parameters")[name].(map[string]any); ok && p["Type"] == "CommaDelimitedList" {
			return texts(strings.Split(value, ","))
		}
		return value
	}
	resource, _, _ := strings.Cut(name, ".")
	if !s.has(resource) {
		s.t.Errorf("%s is referred to, but not made", resource)
	}
	return "${" + name + "}"
}

func texts(list []string) []any {
	var values []any
	for _, s := range list {
		values = append(values, s)
	}
	return values
}

// at returns the value at that path of the maps in v, nil if there is none.
func at(v any, path ...string) any {
	for _, key := range path {
		m, ok := v.(map[string]any)
		if !ok {
			return nil
		}
		v = m[key]
	}
	return v
}

// needed are the parameters that every stack needs.
var needed = map[string]string{
	"AllowedDestinations": "region2/68589cac08274b82b4e254268a3862d8",
	"HuaweiProjectId":     "f841e01fd2b14e7fa41b6ae7aa6b0594",
	"TokenSecretArn":      "arn:aws:secretsmanager:eu-central-1:123456789012:secret:cbr/huawei-a1b2c3",
}

const (
	key          = "arn:aws:kms:eu-central-1:123456789012:key/0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0"
	boundary     = "arn:aws:iam::123456789012:policy/boundary"
	requestTopic = "arn:aws:sns:eu-central-1:123456789012:requests"
	alarmTopic   = "arn:aws:sns:eu-central-1:123456789012:operations"
	ticketTopic  = "arn:aws:sns:eu-central-1:123456789012:tickets"
	resultFIFO   = "arn:aws:sns:eu-west-1:123456789012:results.fifo"
	resultBus    = "arn:aws:events:eu-central-1:123456789012:event-bus/results"
	defaultBus   = "arn:aws:events:eu-central-1:123456789012:event-bus/default"
)

// stacks are sets of parameters. Each condition of the template is true with one of
// them and false with another.
var stacks = map[string]map[string]string{
	"least": needed,
	"most": with(needed, map[string]string{
		"TokenSecretArn":          "arn:aws:secretsmanager:eu-central-1:123456789012:secret:cbr/{project_id}",
		"TokenSecretKmsKeyArn":    "arn:aws:kms:eu-central-1:123456789012:key/secrets",
		"AllowedProjectIds":       "*",
		"HuaweiRegion":            "region1",
		"VaultId":                 "3b5816b5-f29c-4172-9d9a-76c719a659ce",
		"DestinationVaultId":      "0ca3eb86-8800-46da-9c37-9d657a825274",
		"DestinationProjectId":    "68589cac08274b82b4e254268a3862d8",
		"DestinationRegion":       "region2",
		"ScheduleExpression":      "cron(0 2 * * ? *)",
		"ScheduleFlexibleMinutes": "15",
		"PlanSpread":              "10m",
		"CheckScheduleExpression": "rate(1 hour)",
		"MaxReplicaAge":           "2d",
		"CheckedWithinHours":      "3",
		"RequestTopicArn":         requestTopic,
		"EventBusName":            "default",
		"ResultTopicArn":          resultFIFO,
		"FollowFor":               "7d",
		"AlarmTopicArn":           alarmTopic,
		"TicketTopicArn":          ticketTopic,
		"ExpectedWithinHours":     "26",
		"RunbookUrl":              "https://wiki.example.com/cbr-replicator",
		"Enabled":                 "false",
		"KmsKeyArn":               key,
		"SubnetIds":               "subnet-1,subnet-2",
		"SecurityGroupIds":        "sg-1",
		"PermissionsBoundaryArn":  boundary,
	}),
	"an event bus for the results":  with(needed, map[string]string{"ResultTopicArn": resultBus}),
	"the default bus for them":      with(needed, map[string]string{"ResultTopicArn": defaultBus, "KmsKeyArn": key}),
	"nothing followed":              with(needed, map[string]string{"Follow": "false"}),
	"one topic for all alarms":      with(needed, map[string]string{"AlarmTopicArn": alarmTopic}),
	"tickets alone":                 with(needed, map[string]string{"TicketTopicArn": ticketTopic}),
	"a topic of its own, encrypted": with(needed, map[string]string{"KmsKeyArn": key}),
}

func with(base, more map[string]string) map[string]string {
	all := maps.Clone(base)
	maps.Copy(all, more)
	return all
}

// each runs f for every one of stacks.
func each(t *testing.T, f func(*testing.T, *stack)) {
	for name, parameters := range stacks {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f(t, load(t).deploy(parameters))
		})
	}
}
