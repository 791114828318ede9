package contract

import (
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v3"
)

// root is where the project's files are, for their references to each other.
const root = "file:///project/"

// document is one of the documents under docs.
type document struct {
	t        *testing.T
	file     string
	value    any
	compiler *jsonschema.Compiler
}

func open(t *testing.T, file string) *document {
	t.Helper()
	d := &document{t: t, file: "docs/" + file, compiler: jsonschema.NewCompiler()}
	d.value = readYAML(t, d.file)
	d.compiler.DefaultDraft(jsonschema.Draft2020)
	d.compiler.AssertFormat()
	for name, value := range map[string]any{
		d.file:                       d.value,
		"events/request.schema.json": readYAML(t, "events/request.schema.json"),
	} {
		if err := d.compiler.AddResource(root+name, value); err != nil {
			t.Fatal(err)
		}
	}
	return d
}

// readYAML reads a file of the project, JSON too, as the values of a JSON
// decoder.
func readYAML(t *testing.T, file string) any {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", file))
	if err != nil {
		t.Fatal(err)
	}
	var v any
	if err := yaml.Unmarshal(text, &v); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	return asJSON(t, v)
}

// asJSON returns v as the schemas want it.
func asJSON(t *testing.T, v any) any {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return parse(t, string(text))
}

func parse(t *testing.T, text string) any {
	t.Helper()
	v, err := jsonschema.UnmarshalJSON(strings.NewReader(text))
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return v
}

// pointer is a JSON pointer (RFC 6901) to the names, one after another.
func pointer(names ...string) string {
	p := "#"
	for _, name := range names {
		p += "/" + strings.NewReplacer("~", "~0", "/", "~1").Replace(name)
	}
	return p
}

// find returns the value at a pointer and the pointer to it after all
// references; ok is false where there is none.
func (d *document) find(at string) (value any, resolved string, ok bool) {
	d.t.Helper()
	value, resolved = d.value, "#"
	for name := range strings.SplitSeq(strings.TrimPrefix(strings.TrimPrefix(at, "#"), "/"), "/") {
		object, isObject := value.(map[string]any)
		name = strings.NewReplacer("~1", "/", "~0", "~").Replace(name)
		if value, ok = object[name]; !isObject || !ok {
			return nil, "", false
		}
		resolved += "/" + strings.NewReplacer("~", "~0", "/", "~1").Replace(name)
		if object, isObject = value.(map[string]any); isObject {
			if ref, _ := object["$ref"].(string); strings.HasPrefix(ref, "#/") {
				if value, resolved, ok = d.find(ref); !ok {
					d.t.Fatalf("%s: %s leads nowhere", d.file, ref)
				}
			}
		}
	}
	return value, resolved, true
}

// schema compiles the schema at a pointer.
func (d *document) schema(at string) *jsonschema.Schema {
	d.t.Helper()
	schema, err := d.compiler.Compile(root + d.file + "#" + url.PathEscape(strings.TrimPrefix(at, "#")))
	if err != nil {
		d.t.Fatal(err)
	}
	return schema
}

// check holds a value to the schema at a pointer.
func (d *document) check(what, at string, value any) {
	d.t.Helper()
	if err := d.schema(at).Validate(value); err != nil {
		d.t.Errorf("%s: %s%s: %v", what, d.file, at, err)
	}
}

// TestReferences: each leads somewhere, and none out of the project.
func TestReferences(t *testing.T) {
	t.Parallel()
	for _, file := range []string{"openapi.yaml", "asyncapi.yaml"} {
		d := open(t, file)
		var follow func(any)
		follow = func(v any) {
			switch v := v.(type) {
			case []any:
				for _, item := range v {
					follow(item)
				}
			case map[string]any:
				for _, item := range v {
					follow(item)
				}
				ref, ok := v["$ref"].(string)
				if !ok {
					return
				}
				target, at, _ := strings.Cut(ref, "#")
				other := d
				if target != "" {
					target = path.Join("docs", target)
					other = &document{t: t, file: target, value: readYAML(t, target)}
				}
				if _, _, ok := other.find("#" + at); at != "" && !ok {
					t.Errorf("%s: %s leads nowhere", file, ref)
				}
			}
		}
		follow(d.value)
	}
}

// TestResultSchema: asyncapi.yaml has events/result.schema.json in it, word for
// word.
func TestResultSchema(t *testing.T) {
	t.Parallel()
	embedded, _, _ := open(t, "asyncapi.yaml").find("#/components/schemas/Result")
	want, _ := readYAML(t, "events/result.schema.json").(map[string]any)
	delete(want, "$schema")
	delete(want, "$id")
	got := rewrite(embedded, strings.NewReplacer(
		"#/components/schemas/Result/", "#/",
		"../events/request.schema.json", "urn:cbr-replicator:request:v1",
	))
	if diff := cmp.Diff(any(want), got); diff != "" {
		t.Errorf("components.schemas.Result (-schema +document):\n%s", diff)
	}
}

// rewrite returns v with all its references rewritten.
func rewrite(v any, names *strings.Replacer) any {
	switch v := v.(type) {
	case []any:
		for i := range v {
			v[i] = rewrite(v[i], names)
		}
	case map[string]any:
		for name := range v {
			if ref, ok := v[name].(string); ok && name == "$ref" {
				v[name] = names.Replace(ref)
			} else {
				v[name] = rewrite(v[name], names)
			}
		}
	}
	return v
}

// object asserts that v is a JSON object.
func object(t *testing.T, v any) map[string]any {
	t.Helper()
	o, ok := v.(map[string]any)
	if !ok {
		t.Fatalf("%s is no object", fmt.Sprint(v))
	}
	return o
}
