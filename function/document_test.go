package main

import (
	"flag"
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "rewrite the table of docs/configuration.md")

// row is a row of the table in docs/configuration.md.
type row struct {
	names, defaults []string
	desc            string
}

// rows returns the rows of the variables that have a desc.
func rows(spec reflect.Type) (rows []row) {
	code := strings.NewReplacer("|", "`")
	for _, field := range reflect.VisibleFields(spec) {
		tag := field.Tag
		desc, ok := tag.Lookup("desc")
		if !ok {
			continue
		}
		if desc != "ditto" {
			rows = append(rows, row{desc: code.Replace(desc)})
		}
		r := &rows[len(rows)-1]
		r.names = append(r.names, "`"+tag.Get("envconfig")+"`")
		if value, ok := tag.Lookup("default"); ok {
			r.defaults = append(r.defaults, "`"+value+"`")
		} else if unset, ok := tag.Lookup("unset"); ok {
			r.defaults = append(r.defaults, code.Replace(unset))
		}
	}
	return rows
}

// table returns the table of these rows.
func table(rows []row) string {
	var b strings.Builder
	b.WriteString("| variable | default | |\n|---|---|---|\n")
	for _, r := range rows {
		b.WriteString("| " + strings.Join(r.names, ", ") + " | ")
		if len(r.defaults) > 0 {
			b.WriteString(strings.Join(r.defaults, ", ") + " ")
		}
		b.WriteString("| " + r.desc + " |\n")
	}
	return b.String()
}

// TestConfigurationTable holds the table of docs/configuration.md to the tags of
// config, or rewrites it.
func TestConfigurationTable(t *testing.T) {
	t.Parallel()
	const (
		file  = "../docs/configuration.md"
		start = "-run TestConfigurationTable -update -->\n\n"
		end   = "\n<!-- The end of the table. -->\n"
	)
	document, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(document), start)
	got, after, closed := strings.Cut(rest, end)
	if !ok || !closed {
		t.Fatal("configuration.md has no table between its marks")
	}
	want := table(rows(reflect.TypeFor[config]()))
	if *update {
		if err := os.WriteFile(file, []byte(before+start+want+end+after), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("table (-of the tags +of configuration.md), -update rewrites it:\n%s", diff)
	}
}

// TestEveryVariableIsDocumented: every variable has a desc and is in the document,
// unless it is a cloud's or Go's own.
func TestEveryVariableIsDocumented(t *testing.T) {
	t.Parallel()
	document, err := os.ReadFile("../docs/configuration.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, field := range reflect.VisibleFields(reflect.TypeFor[config]()) {
		name := field.Tag.Get("envconfig")
		_, described := field.Tag.Lookup("desc")
		switch name {
		case "": // a struct that others are in
			continue
		case "AWS_REGION", "AWS_LAMBDA_FUNCTION_NAME", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "HTTP_PROXY":
			continue // users do not set these
		case "AWS_LAMBDA_MAX_CONCURRENCY", "HTTPS_PROXY", "RUNTIME_PROJECT_ID", "RUNTIME_FUNC_NAME":
			described = true // below the table
		}
		if !described || !strings.Contains(string(document), "`"+name+"`") {
			t.Errorf("%s has no desc, or configuration.md does not name it", name)
		}
	}
}
