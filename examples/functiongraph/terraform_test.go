// Package functiongraph_test holds main.tf to what its provider publishes of its
// resources, as far as facts of that are copied here: nothing here can reach
// Terraform's registry.
package functiongraph_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// schema is of a resource or of a block in it: the arguments that main.tf uses and
// all that are required, with their types. schema.json has it from
// docs/json/resources of github.com/huaweicloud/terraform-provider-huaweicloud at
// a0345b8dcc.
type schema struct {
	Arguments map[string]string  // "string, required"
	Exports   map[string]string  // what other resources refer to, and nobody sets
	Blocks    map[string]*schema // nested
	Required  bool               // of a block
	Most      int                // of it, if not 0
}

// block is one of HCL.
type block struct {
	kind   string
	labels []string
	args   map[string]string // expressions, as they are written
	blocks []*block
}

var (
	begins   = regexp.MustCompile(`^(\w+)((?: "[^"]*")*) \{$`)
	argument = regexp.MustCompile(`^(\w+) += (.*)$`)
	quoted   = regexp.MustCompile(`"([^"]*)"`)
	text     = regexp.MustCompile(`"(?:[^"\\]|\\.)*"`)
)

// depth is how many brackets of a line stay open, outside of texts.
func depth(line string) int {
	line = text.ReplaceAllString(line, "")
	return strings.Count(line, "(") + strings.Count(line, "[") + strings.Count(line, "{") -
		strings.Count(line, ")") - strings.Count(line, "]") - strings.Count(line, "}")
}

// parse reads the part of HCL that main.tf is written in, formatted as by
// `terraform fmt`.
func parse(t *testing.T, file string) *block {
	t.Helper()
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	root := &block{args: map[string]string{}}
	open := []*block{root}
	lines := strings.Split(string(content), "\n")
	for i := 0; i < len(lines); i++ {
		line := strings.TrimSpace(lines[i])
		here := open[len(open)-1]
		switch {
		case line == "" || strings.HasPrefix(line, "#"):
		case line == "}":
			open = open[:len(open)-1]
		case begins.MatchString(line):
			m := begins.FindStringSubmatch(line)
			b := &block{kind: m[1], args: map[string]string{}}
			for _, label := range quoted.FindAllStringSubmatch(m[2], -1) {
				b.labels = append(b.labels, label[1])
			}
			here.blocks, open = append(here.blocks, b), append(open, b)
		case argument.MatchString(line):
			m := argument.FindStringSubmatch(line)
			expression := m[2]
			for left := depth(expression); left > 0; left = depth(expression) {
				i++
				expression += "\n" + strings.TrimSpace(lines[i])
			}
			here.args[m[1]] = expression
		default:
			t.Fatalf("%s:%d: %s", file, i+1, line)
		}
	}
	if len(open) != 1 {
		t.Fatalf("%s: a block does not end", file)
	}
	return root
}

// file is main.tf with what it refers to.
type file struct {
	*block
	schemas   map[string]*schema
	variables map[string]string // their types
}

func load(t *testing.T) *file {
	t.Helper()
	f := &file{block: parse(t, "main.tf"), schemas: map[string]*schema{}, variables: map[string]string{}}
	content, err := os.ReadFile("schema.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(content, &f.schemas); err != nil {
		t.Fatal(err)
	}
	for _, b := range f.blocks {
		if b.kind == "variable" {
			f.variables[b.labels[0]] = b.args["type"]
		}
	}
	return f
}

var reference = regexp.MustCompile(`^huaweicloud_\w+\.\w+(?:\[0\])?\.(\w+)$`)

// typeOf is an expression's type; empty for one that is not understood.
func (f *file) typeOf(expression string) string {
	switch e := expression; {
	case regexp.MustCompile(`^"(?:[^"\\]|\\.)*"$`).MatchString(e),
		regexp.MustCompile(`^(?s)(jsonencode|filebase64|basename|replace|join)\(.*\)$`).MatchString(e),
		e == "local.project", e == "local.label":
		return "string"
	case regexp.MustCompile(`^[0-9.]+$`).MatchString(e):
		return "number"
	case e == "true", e == "false":
		return "bool"
	case strings.HasPrefix(e, "[") && strings.HasSuffix(e, "]"):
		return "list(" + f.typeOf(strings.TrimSpace(e[1:len(e)-1])) + ")"
	case strings.HasPrefix(e, "var."):
		return f.variables[strings.TrimPrefix(e, "var.")]
	case reference.MatchString(e):
		resource, _, _ := strings.Cut(e, ".")
		name := reference.FindStringSubmatch(e)[1]
		if s := f.schemas[resource]; s != nil {
			kind, _, _ := strings.Cut(s.Arguments[name], ",")
			return kind + s.Exports[name]
		}
	}
	return ""
}

// metas are arguments and blocks of Terraform's own.
var metas = []string{"count", "depends_on"}

// check holds a block to its schema.
func (f *file) check(t *testing.T, where string, b *block, s *schema) {
	t.Helper()
	for name, expression := range b.args {
		want, _, _ := strings.Cut(s.Arguments[name], ",")
		got := f.typeOf(expression)
		switch {
		case slices.Contains(metas, name) && s.Arguments[name] == "":
		case want == "":
			t.Errorf("%s: no argument %s", where, name)
		case got != want && strings.Replace(got, "list(", "set(", 1) != want:
			t.Errorf("%s: %s is a %s, not %q: %s", where, name, want, got, expression)
		}
	}
	for name, kind := range s.Arguments {
		if _, ok := b.args[name]; !ok && strings.HasSuffix(kind, ", required") {
			t.Errorf("%s: %s is missing", where, name)
		}
	}
	count := map[string]int{}
	for _, inner := range b.blocks {
		count[inner.kind]++
		if s.Blocks[inner.kind] == nil {
			t.Errorf("%s: no block %s", where, inner.kind)
			continue
		}
		f.check(t, where+"."+inner.kind, inner, s.Blocks[inner.kind])
	}
	for name, inner := range s.Blocks {
		if inner.Required && count[name] == 0 || inner.Most > 0 && count[name] > inner.Most {
			t.Errorf("%s: %d blocks %s", where, count[name], name)
		}
	}
}

// TestSchema: the arguments of each resource are there, all that are required are
// given, and each has its type. What is referred to is there, too.
func TestSchema(t *testing.T) {
	t.Parallel()
	f := load(t)
	declared := map[string]bool{}
	for _, b := range f.blocks {
		if b.kind != "resource" {
			continue
		}
		where := strings.Join(b.labels, ".")
		declared[where] = true
		if f.schemas[b.labels[0]] == nil {
			t.Errorf("%s: schema.json has no such resource", where)
			continue
		}
		f.check(t, where, b, f.schemas[b.labels[0]])
	}
	if len(declared) < 14 {
		t.Errorf("only %d resources", len(declared))
	}
	content, err := os.ReadFile("main.tf")
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range regexp.MustCompile(`(huaweicloud_\w+)\.(\w+)(\[0\])?\.?(\w*)`).FindAllStringSubmatch(string(content), -1) {
		if !declared[m[1]+"."+m[2]] || m[4] != "" && f.typeOf(m[0]) == "" {
			t.Errorf("%s is not there", m[0])
		}
	}
	for _, m := range regexp.MustCompile(`var\.(\w+)`).FindAllStringSubmatch(string(content), -1) {
		if f.variables[m[1]] == "" {
			t.Errorf("%s is not declared", m[0])
		}
	}
}

// TestSchemaIsHeld: the test can fail.
func TestSchemaIsHeld(t *testing.T) {
	t.Parallel()
	f := load(t)
	topic := f.schemas["huaweicloud_smn_topic"]
	for expression, want := range map[string]string{
		`"a"`: "string", "1": "number", "true": "bool", `["a"]`: "list(string)", "var.schedule": "string", "var.start_on_backup": "bool",
		"var.none": "", "huaweicloud_smn_topic.results.topic_urn": "string", "huaweicloud_smn_topic.results.none": "", "a + b": "",
	} {
		if got := f.typeOf(expression); got != want {
			t.Errorf("%s is a %q, want %q", expression, got, want)
		}
	}
	if topic.Arguments["name"] != "string, required" || f.schemas["huaweicloud_fgs_function"].Arguments["timeout"] != "number, required" {
		t.Errorf("schemas %+v", topic)
	}
}

// encoded are the names in what is encoded as JSON for a service: of a trigger and
// of an asynchronous destination (FunctionGraph API reference, "Creating a
// Trigger", TriggerEventDataRequestBody; the provider's documents).
var encoded = map[string][]string{
	"SMN":   {"topic_urn"},
	"TIMER": {"name", "schedule", "schedule_type", "sync_execution", "user_event"},
	"OBS":   {"bucket", "expires", "prefix"},
}

// TestEncoded: no schema holds what is in a text.
func TestEncoded(t *testing.T) {
	t.Parallel()
	names := func(expression string) []string {
		var all []string
		for _, m := range regexp.MustCompile(`(?m)(?:^|\{ )(\w+) += `).FindAllStringSubmatch(strings.TrimPrefix(expression, "jsonencode("), -1) {
			all = append(all, m[1])
		}
		slices.Sort(all)
		return all
	}
	found := 0
	var walk func(*block)
	walk = func(b *block) {
		kind, what := b.args["type"], b.args["event_data"]
		if b.kind == "on_failure" {
			kind, what = b.args["destination"], b.args["param"]
		}
		if what != "" {
			found++
			if diff := cmp.Diff(encoded[strings.Trim(kind, `"`)], names(what)); diff != "" {
				t.Errorf("%s (-want +got):\n%s", kind, diff)
			}
		}
		for _, inner := range b.blocks {
			walk(inner)
		}
	}
	walk(load(t).block)
	if found != 3 {
		t.Errorf("%d are encoded", found)
	}
}

// TestVariables: the function knows each variable that it is given, and the agency
// has the permissions that are documented and no more.
func TestVariables(t *testing.T) {
	t.Parallel()
	read := func(name string) string {
		content, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		return string(content)
	}
	main, configuration := read("main.tf"), read("../../docs/configuration.md")
	set := regexp.MustCompile(`\b([A-Z][A-Z0-9_]{4,})\b +=`).FindAllStringSubmatch(main, -1)
	if len(set) < 8 {
		t.Errorf("only %d variables", len(set))
	}
	for _, m := range set {
		if !strings.Contains(configuration, "`"+m[1]+"`") {
			t.Errorf("configuration.md has no %s", m[1])
		}
	}
	_, documented, _ := strings.Cut(read("../../docs/credentials.md"), "**Huawei Cloud.**")
	documented, _, _ = strings.Cut(documented, "**AWS.**")
	var want, got []string
	for line := range strings.Lines(documented) {
		if !strings.HasPrefix(line, "- ") && !strings.HasPrefix(line, "With ") {
			continue // about the doctor
		}
		for _, m := range regexp.MustCompile("`((?:cbr|smn):[a-z:]+)`").FindAllStringSubmatch(line, -1) {
			want = append(want, m[1])
		}
	}
	list := regexp.MustCompile(`Action = \[(.*)\]`).FindStringSubmatch(main)
	if list == nil {
		t.Fatal("no actions")
	}
	for _, m := range quoted.FindAllStringSubmatch(list[1], -1) {
		got = append(got, m[1])
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("actions (-documented +granted):\n%s", diff)
	}
}

// TestRedrive: the README's filter makes requests of a record in the bucket, with
// the time since when they may have been sent.
func TestRedrive(t *testing.T) {
	t.Parallel()
	jq, err := exec.LookPath("jq")
	if err != nil {
		t.Skip(err)
	}
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	filter := regexp.MustCompile(`jq -c '([^']+)'`).FindSubmatch(readme)
	if filter == nil {
		t.Fatal("README.md has no filter")
	}
	message := func(body string) map[string]any {
		return map[string]any{"event_source": "smn", "smn": map[string]any{"message": body, "timestamp": "2026-11-23T07:00:00Z", "message_id": "a516"}}
	}
	payload, err := json.Marshal(map[string]any{"record": []any{
		message(`{"replicate":{"vault_id":"v"}}`), message(`{"requested_at":"2026-11-22T00:00:00Z","replicate":{}}`),
	}})
	if err != nil {
		t.Fatal(err)
	}
	record, err := json.Marshal(map[string]any{
		"timestamp": "2026-11-23T09:00:00+02:00", "request_context": map[string]any{"condition": "UnhandledInvocationError"}, "request_payload": string(payload),
	})
	if err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(t.TempDir(), "record.json")
	if err := os.WriteFile(name, record, 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.CommandContext(t.Context(), jq, "-c", string(filter[1]), name).CombinedOutput()
	want := `{"replicate":{"vault_id":"v"},"requested_at":"2026-11-23T07:00:00Z"}` + "\n" + `{"requested_at":"2026-11-22T00:00:00Z","replicate":{}}` + "\n"
	if diff := cmp.Diff(want, string(out)); diff != "" || err != nil {
		t.Errorf("%v; requests (-want +got):\n%s", err, diff)
	}
}
