package contract

import (
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v3"
)

// root is the URL of the project's files, for the compiler of schemas.
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
	if err := d.compiler.AddResource(root+d.file, d.value); err != nil {
		t.Fatal(err)
	}
	return d
}

// readYAML reads a file of the project, YAML or JSON, into the types of a JSON
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

// asJSON returns v in the types that the schemas take.
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

// find follows references and returns the value at a pointer, with its own pointer. ok
// is false if there is none.
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

// TestReferences: each reference leads to a place in its own file. Generators and
// validators do not resolve others.
func TestReferences(t *testing.T) {
	t.Parallel()
	for _, file := range []string{"docs/openapi.yaml", "docs/asyncapi.yaml", "events/request.schema.json", "events/result.schema.json"} {
		d := &document{t: t, file: file, value: readYAML(t, file)}
		rewrite(d.value, func(ref string) string {
			if _, _, ok := d.find(ref); !ok || !strings.HasPrefix(ref, "#/") {
				t.Errorf("%s: %s leads nowhere in it", file, ref)
			}
			return ref
		})
	}
}

// TestSchemas: the documents have the schemas of events/ in them, word for word,
// and the result's schema has the request's.
func TestSchemas(t *testing.T) {
	t.Parallel()
	schema := func(name string) map[string]any {
		s := object(t, readYAML(t, "events/"+name+".schema.json"))
		delete(s, "$schema")
		delete(s, "$id")
		return s
	}
	field := func(name string) any { return object(t, schema("request")["properties"])[name] }
	within := func(at string) func(string) string {
		return func(ref string) string { return at + strings.TrimPrefix(ref, "#") }
	}
	const result = "#/components/schemas/Result"
	for _, tt := range []struct {
		file, at string
		want     any
		but      []string // members that it has of its own, or has not
	}{
		{"docs/asyncapi.yaml", "#/components/schemas/Request", schema("request"), nil},
		{"docs/asyncapi.yaml", result, rewrite(schema("result"), within(result)), nil},
		{"docs/openapi.yaml", "#/components/schemas/ReplicationRequest", schema("request"), []string{"title"}},
		{"docs/openapi.yaml", "#/components/parameters/ProjectId/schema", field("project_id"), []string{"description"}},
		// No format, since some generators take no time as a header.
		{"docs/openapi.yaml", "#/components/parameters/RequestedAt/schema", field("requested_at"), []string{"description", "format"}},
		{"events/result.schema.json", "#/$defs/data/properties/request", schema("request"), []string{"title", "description"}},
	} {
		d := &document{t: t, file: tt.file, value: readYAML(t, tt.file)}
		got, _, _ := d.find(tt.at)
		for _, member := range tt.but {
			delete(object(t, got), member)
			delete(object(t, tt.want), member)
		}
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%s: %s (-schema +there):\n%s", tt.file, tt.at, diff)
		}
	}
}

// rewrite returns v with each of its references as name says.
func rewrite(v any, name func(ref string) string) any {
	switch v := v.(type) {
	case []any:
		for i := range v {
			v[i] = rewrite(v[i], name)
		}
	case map[string]any:
		for key := range v {
			if ref, ok := v[key].(string); ok && key == "$ref" {
				v[key] = name(ref)
			} else {
				v[key] = rewrite(v[key], name)
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
