// Package docs_test holds the documents in this folder to the code.
package docs_test

import (
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"cbr-replicator/internal/kind"
)

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestAlarmsHaveSections: who is woken by an alarm finds what to do under its
// name.
func TestAlarmsHaveSections(t *testing.T) {
	t.Parallel()
	operations := read(t, "operations.md")
	alarms := regexp.MustCompile(`(?m)^  (\w+):\n    Type: AWS::CloudWatch::Alarm$`).FindAllStringSubmatch(read(t, "../template.yaml"), -1)
	if len(alarms) == 0 {
		t.Fatal("no alarms in template.yaml")
	}
	for _, alarm := range alarms {
		if !strings.Contains(operations, "\n### "+alarm[1]+"\n") {
			t.Errorf("operations.md has no section %s", alarm[1])
		}
	}
	for _, section := range regexp.MustCompile(`(?m)^### (\w+Alarm)$`).FindAllStringSubmatch(operations, -1) {
		if !slices.ContainsFunc(alarms, func(alarm []string) bool { return alarm[1] == section[1] }) {
			t.Errorf("template.yaml has no %s", section[1])
		}
	}
}

// TestAlarmTopicsKey: who encrypts the topic of the alarms reads in both places which
// key will not do, and what another one's policy must allow.
func TestAlarmTopicsKey(t *testing.T) {
	t.Parallel()
	_, alarms, _ := strings.Cut(read(t, "operations.md"), "\n## Alarms\n")
	_, statement, _ := strings.Cut(alarms, "```json\n")
	statement, _, _ = strings.Cut(statement, "```")
	var got struct {
		Principal struct{ Service string }
		Action    []string
	}
	if err := json.Unmarshal([]byte(statement), &got); err != nil || got.Principal.Service == "" || len(got.Action) == 0 {
		t.Fatalf("the statement %s of operations.md: %v", statement, err)
	}
	_, parameter, _ := strings.Cut(read(t, "../template.yaml"), "\n  AlarmTopicArn:\n")
	parameter, _, _ = strings.Cut(parameter, "\n  TicketTopicArn:\n")
	for _, want := range append(got.Action, got.Principal.Service, "alias/aws/sns") {
		if !strings.Contains(parameter, want) {
			t.Errorf("AlarmTopicArn does not speak of %s", want)
		}
	}
	if !strings.Contains(alarms, "alias/aws/sns") {
		t.Error("operations.md does not speak of alias/aws/sns")
	}
}

// TestQueries: a query that names a field which nobody logs finds nothing, and
// nobody notices.
func TestQueries(t *testing.T) {
	t.Parallel()
	logged := logLines(t)
	queries := regexp.MustCompile("(?s)```insights\n(.*?)```").FindAllStringSubmatch(read(t, "operations.md"), -1)
	if len(queries) == 0 {
		t.Fatal("no queries in operations.md")
	}
	for _, q := range queries {
		for _, problem := range check(q[1], logged) {
			t.Errorf("%s\n%s", problem, q[1])
		}
	}
}

// TestQueriesThatAreWrong: the check above can fail.
func TestQueriesThatAreWrong(t *testing.T) {
	t.Parallel()
	logged := map[string][]string{"delivery": {"vault_id", "kind", "status"}, "retrying": {"wait_ms"}}
	for _, tt := range []struct{ query, want string }{
		{`filter message = "delivery" and kind = "Throttled" | stats count(*) as n by vault_id | sort n desc`, ""},
		{`filter message = "delivered" | stats count(*)`, `no line is logged with the message "delivered"`},
		{`filter message = "delivery" | fields vault`, `no such field: vault`},
		{`filter message = "delivery" | fields wait_ms`, `no such field: wait_ms`},
		{`filter message in ["delivery", "retrying"] | fields wait_ms`, ""},
		{`fields wait_ms, vault_id`, ""},
		{`filter kind = "Slow"`, `no such kind: "Slow"`},
		{`filter status = "done"`, `no such status: "done"`},
		{`filter kind in ["Slow"]`, `no such kind: "Slow"`},
		{`select vault_id`, `no command of Logs Insights: select`},
	} {
		if got := strings.Join(check(tt.query, logged), "; "); got != tt.want {
			t.Errorf("%s: %q, want %q", tt.query, got, tt.want)
		}
	}
}

// Names that are not the function's (CloudWatch Logs user guide, "Logs Insights
// query syntax" and "Supported logs and discovered fields"; AWS Lambda developer
// guide, "Working with Lambda function logs", JSON format).
var (
	commands  = words("fields filter stats sort limit display dedup")
	keywords  = words("and or not in like as by asc desc")
	functions = words("avg bin count count_distinct latest max min pct strcontains sum")
	lambdas   = words("@timestamp @message @logStream timestamp level message requestId type record.requestId record.status " +
		"record.errorType record.metrics.durationMs record.metrics.maxMemoryUsedMB")
)

func words(s string) map[string]bool {
	m := map[string]bool{}
	for w := range strings.FieldsSeq(s) {
		m[w] = true
	}
	return m
}

var (
	// part is a string, a regular expression, a duration or number, or a name.
	part    = regexp.MustCompile(`"[^"]*"|/[^/ ][^/]*/|\d+\w*|[@A-Za-z_][\w.@]*\(?`)
	compare = regexp.MustCompile(`([\w.]+) (?:!?= "([^"]*)"|(?:not )?in \[([^\]]*)\])`)
)

// check returns what is wrong with a query over lines with these messages, which
// have these fields.
func check(query string, logged map[string][]string) (problems []string) {
	known := maps.Clone(lambdas)
	messages := slices.Collect(maps.Keys(logged))
	for _, c := range compare.FindAllStringSubmatch(query, -1) {
		values := []string{c[2]}
		if c[3] != "" {
			values = nil
			for _, v := range regexp.MustCompile(`"([^"]*)"`).FindAllStringSubmatch(c[3], -1) {
				values = append(values, v[1])
			}
		}
		if c[1] == "message" {
			messages = values
		}
		for _, v := range values {
			switch {
			case c[1] == "message" && logged[v] == nil:
				problems = append(problems, "no line is logged with the message "+strconv.Quote(v))
			case c[1] == "kind" && v != string(kind.Internal) && kind.Kind(v).Policy() == kind.Internal.Policy():
				problems = append(problems, "no such kind: "+strconv.Quote(v))
			case c[1] == "status" && v != "redelivered" && !slices.Contains([]kind.Status{kind.Accepted, kind.Unchanged, kind.Refused, kind.Failed, kind.Completed, kind.Partial, kind.InCopy, kind.Planned, kind.Current, kind.Aged}, kind.Status(v)):
				problems = append(problems, "no such status: "+strconv.Quote(v))
			}
		}
	}
	for _, m := range messages {
		for _, field := range logged[m] {
			known[field] = true
		}
	}
	for command := range strings.SplitSeq(query, "|") {
		before := ""
		for i, p := range part.FindAllString(strings.TrimSpace(command), -1) {
			name, isCall := strings.CutSuffix(p, "(")
			// A field may be an object, whose own fields have its name before theirs.
			object, _, _ := strings.Cut(name, ".")
			switch {
			case i == 0 && !commands[p]:
				problems = append(problems, "no command of Logs Insights: "+p)
			case i == 0, keywords[p], strings.ContainsAny(p[:1], `"/0123456789`), isCall && functions[name]:
			case before == "as":
				known[p] = true
			case !known[name] && !known[object]:
				problems = append(problems, "no such field: "+p)
			}
			before = p
		}
	}
	return problems
}

// logLines returns the fields of each line that the function may log, by its
// message: it reads the calls of log/slog in what the function is built from.
func logLines(t *testing.T) map[string][]string {
	t.Helper()
	list := exec.CommandContext(t.Context(), "go", "list", "-deps", "-f", "{{if not .Standard}}{{if .Module.Main}}{{.Dir}}{{end}}{{end}}", "cbr-replicator/function")
	out, err := list.Output()
	if err != nil {
		t.Fatalf("%v: %v", list, err)
	}
	lines := map[string][]string{}
	for dir := range strings.FieldsSeq(string(out)) {
		files, err := filepath.Glob(filepath.Join(dir, "*.go"))
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			if strings.HasSuffix(file, "_test.go") {
				continue
			}
			f, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
			if err != nil {
				t.Fatal(err)
			}
			for n := range ast.Preorder(f) {
				if call, ok := n.(*ast.CallExpr); ok {
					addLine(lines, call)
				}
			}
		}
	}
	if !slices.Contains(lines["delivery"], "cbr_request_id") {
		t.Fatalf("the line of a delivery was not found among %v", lines)
	}
	return lines
}

// addLine adds the message and the keys of a call of log/slog.
func addLine(lines map[string][]string, call *ast.CallExpr) {
	method, ok := call.Fun.(*ast.SelectorExpr)
	if !ok {
		return
	}
	// Where the message is among the arguments.
	at, ok := map[string]int{
		"Debug": 0, "Info": 0, "Warn": 0, "Error": 0,
		"DebugContext": 1, "InfoContext": 1, "WarnContext": 1, "ErrorContext": 1,
		"Log": 2, "LogAttrs": 2,
	}[method.Sel.Name]
	if !ok || len(call.Args) <= at {
		return
	}
	message, ok := text(call.Args[at])
	if !ok {
		return
	}
	// Not nil, for a line without fields is one, too.
	fields := append([]string{}, lines[message]...)
	if method.Sel.Name == "LogAttrs" {
		for _, attr := range call.Args[at+1:] {
			if attr, ok := attr.(*ast.CallExpr); ok {
				if field, ok := text(attr.Args[0]); ok {
					fields = append(fields, field)
				}
			}
		}
	} else {
		for i := at + 1; i < len(call.Args); i += 2 {
			if field, ok := text(call.Args[i]); ok {
				fields = append(fields, field)
			}
		}
	}
	lines[message] = fields
}

// text returns the value of a string that is written out.
func text(e ast.Expr) (string, bool) {
	literal, ok := e.(*ast.BasicLit)
	if !ok || literal.Kind != token.STRING {
		return "", false
	}
	s, err := strconv.Unquote(literal.Value)
	return s, err == nil
}
