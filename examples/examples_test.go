// Package examples_test checks the examples against the request's schema, the
// result's message attributes and template.yaml.
package examples_test

import (
	"context"
	"encoding/json"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v3"

	"cbr-replicator/internal/cbr/cbrtest"
	"cbr-replicator/internal/result"
	"cbr-replicator/internal/sink/eventbridge"
)

const (
	vaultA = cbrtest.SourceVault
	vaultB = cbrtest.VaultB
)

func read(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// yamlFile decodes a file. A tag such as !Ref leaves its value.
func yamlFile[T any](t *testing.T, file string) (v T) {
	t.Helper()
	if err := yaml.Unmarshal([]byte(read(t, file)), &v); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	return v
}

// checkRequest checks a message's body against the request's schema.
func checkRequest(t *testing.T, body string) {
	t.Helper()
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	request, err := jsonschema.UnmarshalJSON(strings.NewReader(body))
	if err != nil {
		t.Fatalf("%s: %v", body, err)
	}
	schema, err := c.Compile("../events/request.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := schema.Validate(request); err != nil {
		t.Errorf("%s: %v", body, err)
	}
}

// TestSchedule: what a schedule sends after Scheduler and CloudFormation have set
// the values.
func TestSchedule(t *testing.T) {
	t.Parallel()
	input := regexp.MustCompile(`Input: !Sub '(.*)'`).FindStringSubmatch(read(t, "schedule/template.yaml"))
	if input == nil {
		t.Fatal("no input")
	}
	checkRequest(t, strings.NewReplacer("<aws.scheduler.scheduled-time>", "2026-11-23T02:30:00Z", "${VaultId}", vaultA).Replace(input[1]))
}

// TestEstates: the plans and checks that schedules send.
func TestEstates(t *testing.T) {
	t.Parallel()
	inputs := regexp.MustCompile(`Input: !Sub '(.*)'`).FindAllStringSubmatch(read(t, "estates/template.yaml"), -1)
	if len(inputs) != 3 {
		t.Fatalf("%d inputs", len(inputs))
	}
	for _, input := range inputs {
		checkRequest(t, strings.NewReplacer("<aws.scheduler.scheduled-time>", "2026-11-23T02:30:00Z", "${TagKey}", "dr", "${DestinationTag}", "dr-vault",
			"${SecondDestinationTag}", "dr-vault-2", "${SecondRegion}", "region3", "${SecondProjectId}", "68589cac08274b82b4e254268a3862d8").Replace(input[1]))
	}
}

// TestWeeklyReport runs the script with stand-ins for Go and for the AWS CLI.
func TestWeeklyReport(t *testing.T) {
	t.Parallel()
	for _, tool := range []string{"bash", "jq"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skip(err)
		}
	}
	dir := t.TempDir()
	for name, script := range map[string]string{
		"go":  `[ "$1 $2 $3 $4 $5" = "run ./cmd/report -queue https://queue -out" ] && printf '<p>"<&' > "$6"`,
		"aws": `[ "$1 $2 $3" = "sesv2 send-email --cli-input-json" ] && cat "${4#file://}" > "` + dir + `/sent"`,
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("#!/usr/bin/env bash\n"+script+"\n"), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	script := exec.CommandContext(t.Context(), "bash", "weekly-report/send.sh", "https://queue", "from@example.com", "to@example.com")
	script.Env = append(os.Environ(), "PATH="+dir+string(os.PathListSeparator)+os.Getenv("PATH"))
	if out, err := script.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	var mail struct {
		FromEmailAddress string
		Destination      struct{ ToAddresses []string }
		Content          struct {
			Simple struct {
				Subject, Body struct {
					Data string
					HTML struct{ Data string } `json:"Html"`
				}
			}
		}
	}
	if err := json.Unmarshal([]byte(read(t, filepath.Join(dir, "sent"))), &mail); err != nil {
		t.Fatal(err)
	}
	if mail.FromEmailAddress != "from@example.com" || !slices.Equal(mail.Destination.ToAddresses, []string{"to@example.com"}) || mail.Content.Simple.Body.HTML.Data != `<p>"<&` {
		t.Errorf("mail %+v", mail)
	}
}

// TestSend runs the script with a stand-in for the AWS CLI. The stand-in writes down
// the entries of each call and prints how many of them failed.
func TestSend(t *testing.T) {
	t.Parallel()
	for _, tool := range []string{"bash", "jq"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skip(err)
		}
	}
	send := func(t *testing.T, list, failed string) (batches [][]string, err error) {
		t.Helper()
		dir := t.TempDir()
		stub := `#!/usr/bin/env bash
while [ "$1" != --entries ]; do shift; done
echo "$2" >> "` + dir + `/calls"
echo ` + failed
		if err := os.WriteFile(filepath.Join(dir, "aws"), []byte(stub), 0o700); err != nil {
			t.Fatal(err)
		}
		script := exec.CommandContext(t.Context(), "bash", "from-a-list/send.sh", "https://queue", "2026-11-23T02:00:00Z")
		script.Env = append(os.Environ(), "PATH="+dir+string(os.PathListSeparator)+os.Getenv("PATH"))
		script.Stdin = strings.NewReader(list)
		out, err := script.CombinedOutput()
		t.Logf("%s", out)
		calls, readErr := os.ReadFile(filepath.Join(dir, "calls"))
		if readErr != nil {
			return nil, err
		}
		for line := range strings.Lines(string(calls)) {
			var entries []struct{ ID, MessageBody string }
			if err := json.Unmarshal([]byte(line), &entries); err != nil {
				t.Fatalf("%s: %v", line, err)
			}
			var bodies []string
			ids := map[string]bool{}
			for _, e := range entries {
				ids[e.ID] = true
				bodies = append(bodies, e.MessageBody)
			}
			if len(ids) != len(entries) {
				t.Errorf("ids that are not distinct: %s", line)
			}
			batches = append(batches, bodies)
		}
		return batches, err
	}
	t.Run("the example's list", func(t *testing.T) {
		t.Parallel()
		batches, err := send(t, read(t, "from-a-list/vaults.txt"), "0")
		want := [][]string{{
			`{"requested_at":"2026-11-23T02:00:00Z","replicate":{"vault_id":"` + vaultA + `","destination_vault_id":"0ca3eb86-8800-46da-9c37-9d657a825274"}}`,
			`{"requested_at":"2026-11-23T02:00:00Z","replicate":{"vault_id":"` + vaultB + `"}}`,
		}}
		if diff := cmp.Diff(want, batches); diff != "" || err != nil {
			t.Fatalf("%v; sent (-want +got):\n%s", err, diff)
		}
		for _, body := range batches[0] {
			checkRequest(t, body)
		}
	})
	t.Run("a long list", func(t *testing.T) {
		t.Parallel()
		batches, err := send(t, strings.Repeat(vaultA+"\n", 23), "0")
		var sizes []int
		for _, batch := range batches {
			sizes = append(sizes, len(batch))
		}
		if !slices.Equal(sizes, []int{10, 10, 3}) || err != nil {
			t.Errorf("batches of %v, %v", sizes, err)
		}
	})
	t.Run("an empty list", func(t *testing.T) {
		t.Parallel()
		if batches, err := send(t, "# none\n\n", "0"); len(batches) != 0 || err == nil {
			t.Errorf("%d calls, %v", len(batches), err)
		}
	})
	t.Run("a message fails", func(t *testing.T) {
		t.Parallel()
		if batches, err := send(t, strings.Repeat(vaultA+"\n", 23), "1"); len(batches) != 1 || err == nil {
			t.Errorf("%d calls, %v", len(batches), err)
		}
	})
}

// TestFilterPolicies: each names an attribute that results have, and values that it
// can have. A parameter's values are its AllowedValues.
func TestFilterPolicies(t *testing.T) {
	t.Parallel()
	enums := map[string][]string{}
	schema := yamlFile[struct {
		Defs struct {
			Data struct {
				Properties struct {
					Status struct{ Enum []string }
					Error  struct {
						Properties struct{ Kind struct{ Enum []string } }
					}
				}
			}
		} `yaml:"$defs"`
	}](t, "../events/result.schema.json")
	enums["status"] = schema.Defs.Data.Properties.Status.Enum
	enums["kind"] = schema.Defs.Data.Properties.Error.Properties.Kind.Enum

	templates, err := filepath.Glob("*/*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	policies := 0
	for _, file := range templates {
		var check func(any)
		template := yamlFile[map[string]any](t, file)
		parameters, _ := template["Parameters"].(map[string]any)
		check = func(v any) {
			switch v := v.(type) {
			case []any:
				for _, item := range v {
					check(item)
				}
			case map[string]any:
				for name, item := range v {
					if name != "FilterPolicy" {
						check(item)
						continue
					}
					policies++
					for attribute, values := range item.(map[string]any) {
						for _, value := range values.([]any) {
							allowed := []any{value}
							if parameter, ok := parameters[value.(string)].(map[string]any); ok {
								allowed, _ = parameter["AllowedValues"].([]any)
							}
							for _, value := range allowed {
								if !slices.Contains(enums[attribute], value.(string)) {
									t.Errorf("%s: no result has %s %v", file, attribute, value)
								}
							}
						}
					}
				}
			}
		}
		check(template)
	}
	if policies < 4 {
		t.Errorf("only %d filter policies", policies)
	}
}

// TestRules: a rule on the results' bus matches every event that the function puts
// there, with the default prefix of types.
func TestRules(t *testing.T) {
	t.Parallel()
	types := yamlFile[struct {
		Properties struct{ Type struct{ Enum []string } }
	}](t, "../events/result.schema.json").Properties.Type.Enum
	if len(types) < 4 {
		t.Fatalf("types %q", types)
	}
	put := &captured{}
	(&eventbridge.Bus{Client: put}).Send(t.Context(), []*result.Message{{Type: types[0]}})
	for _, file := range []string{"event-bus/template.yaml", "step-functions/next-step.yaml"} {
		template := yamlFile[struct {
			Parameters map[string]struct {
				Default        string `yaml:"Default"`
				AllowedPattern string `yaml:"AllowedPattern"`
			} `yaml:"Parameters"`
			Resources map[string]struct {
				Type       string `yaml:"Type"`
				Properties struct {
					EventPattern struct {
						Source     []string            `yaml:"source"`
						DetailType []map[string]string `yaml:"detail-type"`
					} `yaml:"EventPattern"`
				} `yaml:"Properties"`
			} `yaml:"Resources"`
		}](t, file)
		rules := 0
		for name, r := range template.Resources {
			if r.Type != "AWS::Events::Rule" {
				continue
			}
			rules++
			pattern := r.Properties.EventPattern
			if !slices.Equal(pattern.Source, []string{put.Entries[0].Source}) || len(pattern.DetailType) != 1 {
				t.Errorf("%s: %s matches %+v, events are %+v", file, name, pattern, put.Entries)
				continue
			}
			prefix := pattern.DetailType[0]["prefix"]
			if p, ok := template.Parameters[prefix]; ok {
				prefix = p.Default
				for _, kind := range append(types, prefix) {
					if !regexp.MustCompile(p.AllowedPattern).MatchString(kind) {
						t.Errorf("%s: a parameter cannot be %s", file, kind)
					}
				}
			}
			for _, kind := range types {
				if strings.HasPrefix(kind, "cbr.replica.") {
					continue // the default is about replications
				}
				if !strings.HasPrefix(kind, prefix) {
					t.Errorf("%s: %s does not match %s", file, name, kind)
				}
			}
		}
		if rules != 1 {
			t.Errorf("%s: %d rules", file, rules)
		}
	}
}

// captured is what is put on a bus.
type captured struct {
	Entries []struct{ Source, DetailType string }
}

func (c *captured) Call(_ context.Context, _ string, in, _ any) error {
	body, err := json.Marshal(in)
	if err != nil {
		return err
	}
	return json.Unmarshal(body, c)
}

// TestOutputs: the outputs that the examples' parameters name are outputs of
// template.yaml.
func TestOutputs(t *testing.T) {
	t.Parallel()
	stack := yamlFile[struct {
		Outputs map[string]any `yaml:"Outputs"`
	}](t, "../template.yaml")
	files, err := filepath.Glob("*/*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for _, file := range files {
		for _, match := range regexp.MustCompile(`The outputs? ([A-Z]\w+)`).FindAllStringSubmatch(read(t, file), -1) {
			found++
			if stack.Outputs[match[1]] == nil {
				t.Errorf("%s: the stack has no output %s", file, match[1])
			}
		}
	}
	if found < 4 {
		t.Errorf("only %d outputs are asked for", found)
	}
}

// TestTerraformKeepsStep: what main.tf and its README say of the stack is so.
func TestTerraformKeepsStep(t *testing.T) {
	t.Parallel()
	stack := yamlFile[struct {
		Parameters map[string]any `yaml:"Parameters"`
		Outputs    map[string]any `yaml:"Outputs"`
	}](t, "../template.yaml")
	main := read(t, "terraform/main.tf")
	_, outputs, _ := strings.Cut(main, "output \"stack\"")
	outputs, _, _ = strings.Cut(outputs, "value ")
	if diff := cmp.Diff(slices.Sorted(maps.Keys(stack.Outputs)), slices.Sorted(slices.Values(regexp.MustCompile(`[A-Z][a-z]+[A-Z]\w+`).FindAllString(outputs, -1)))); diff != "" {
		t.Errorf("outputs (-template.yaml +main.tf):\n%s", diff)
	}
	_, given, _ := strings.Cut(read(t, "terraform/README.md"), "'parameters={")
	given, _, _ = strings.Cut(given, "}'")
	names := regexp.MustCompile(`(?m)^  (\w+) +=`).FindAllStringSubmatch(given, -1)
	_, required, _ := strings.Cut(main, "\"Parameters of template.yaml.")
	required, _, _ = strings.Cut(required, "\n")
	for _, name := range regexp.MustCompile(`[A-Z][a-z]+[A-Z]\w+`).FindAllString(required, -1) {
		names = append(names, []string{"", name})
	}
	if len(names) < 8 {
		t.Errorf("only the parameters %q", names)
	}
	for _, name := range names {
		if stack.Parameters[name[1]] == nil {
			t.Errorf("the stack has no parameter %s", name[1])
		}
	}
	if limit := regexp.MustCompile(`length\(var\.name\) <= (\d+)`).FindStringSubmatch(main); limit == nil || !strings.Contains(read(t, "../docs/deploy.md"), "It has at most "+limit[1]+" characters") {
		t.Errorf("main.tf's limit of the stack's name is %q, which is not that of docs/deploy.md", limit)
	}
}

// TestTerraform evaluates the expressions of main.tf that need no provider.
func TestTerraform(t *testing.T) {
	t.Parallel()
	terraform, err := exec.LookPath("terraform")
	if err != nil {
		t.Skip(err)
	}
	_, text, _ := strings.Cut(read(t, "terraform/main.tf"), "variable \"name\"")
	text, _, found := strings.Cut(text, "data \"aws_s3_bucket\"")
	if !found {
		t.Fatal("main.tf has not the form that this test expects")
	}
	dir := t.TempDir()
	for name, content := range map[string]string{"main.tf": "variable \"name\"" + text, "function.zip": "a zip", "template.yaml": read(t, "../template.yaml")} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	console := exec.CommandContext(t.Context(), terraform, "-chdir="+dir, "console",
		"-var", "bucket=releases", "-var", "zip=function.zip", "-var", "template=template.yaml", "-var", "parameters={}")
	console.Env = append(os.Environ(), "CHECKPOINT_DISABLE=1", "TF_CLI_CONFIG_FILE="+filepath.Join(dir, "none"))
	if err := os.WriteFile(filepath.Join(dir, "none"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	console.Stdin = strings.NewReader("jsonencode(local.template)\n")
	out, err := console.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	// A string that the console prints is quoted, and so is the JSON in it.
	var quoted, template string
	if err := json.Unmarshal(out, &quoted); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if err := json.Unmarshal([]byte(quoted), &template); err != nil {
		t.Fatalf("%v\n%s", err, quoted)
	}
	got := regexp.MustCompile(`s3://releases/cbr-replicator/[0-9a-f]{64}\.zip`).ReplaceAllString(template, ".")
	if diff := cmp.Diff(read(t, "../template.yaml"), got); diff != "" || got == template {
		t.Errorf("template.yaml with the zip in place (-want +got):\n%s", diff)
	}
}
