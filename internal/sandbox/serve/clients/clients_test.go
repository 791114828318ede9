// Package clients holds the function's HTTP API and its schemas against programs
// of others: clients that generators make of docs/openapi.yaml, Huawei's official
// SDKs, and a validator. Each client makes calls that succeed and calls that do
// not against `make serve`. What it needs of Python and Node.js is installed by
// `make clients`.
package clients

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/huaweicloud/huaweicloud-sdk-go-v3/core/auth/basic"
	"github.com/huaweicloud/huaweicloud-sdk-go-v3/core/sdkerr"
	cbr "github.com/huaweicloud/huaweicloud-sdk-go-v3/services/cbr/v1"
	"github.com/huaweicloud/huaweicloud-sdk-go-v3/services/cbr/v1/model"
)

// The account of CopyCheckpoint's example in the CBR API reference, which the
// sandbox's CBR has.
const (
	project            = "f841e01fd2b14e7fa41b6ae7aa6b0594"
	vault              = "3b5816b5-f29c-4172-9d9a-76c719a659ce"
	destinationVault   = "0ca3eb86-8800-46da-9c37-9d657a825274"
	destinationProject = "68589cac08274b82b4e254268a3862d8"
)

// call is what each client sends.
const call = `{"project_id": "` + project + `", "replicate": {"vault_id": "` + vault +
	`", "destination_vault_id": "` + destinationVault + `", "destination_project_id": "` + destinationProject + `", "destination_region": "region2"}}`

// root is the project's folder. Python and Node.js are below .tools in it.
var root = sync.OnceValue(func() string {
	root, err := filepath.Abs("../../../..")
	if err != nil {
		panic(err)
	}
	return root
})

func python(command string) string {
	return filepath.Join(root(), ".tools", "clients-python", "bin", command)
}

func node(command string) string {
	return filepath.Join(root(), ".tools", "clients-node", "node_modules", ".bin", command)
}

func openapi() string { return filepath.Join(root(), "docs", "openapi.yaml") }

// run runs a command in a folder.
func run(t *testing.T, dir string, command ...string) {
	t.Helper()
	if out, err := tryRun(t, dir, command...); err != nil {
		t.Fatalf("%s: %v\n%s", command, err, out)
	}
}

func tryRun(t *testing.T, dir string, command ...string) (string, error) {
	t.Helper()
	c := exec.CommandContext(t.Context(), command[0], command[1:]...)
	c.Dir = dir
	out, err := c.CombinedOutput()
	return string(out), err
}

// copyTo copies files into a folder.
func copyTo(t *testing.T, dir string, files ...string) {
	t.Helper()
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, filepath.Base(file)), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// TestOpenAPIPythonClient: Python, with openapi-python-client.
func TestOpenAPIPythonClient(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	copyTo(t, dir, "python/generated.py", "python/config.yml")
	run(t, dir, python("openapi-python-client"), "generate", "--path", openapi(), "--config", "config.yml", "--meta", "none", "--output-path", "api", "--fail-on-warning")
	run(t, dir, python("python"), "-B", "generated.py", serve(t), call)
}

// TestOpenAPITypeScript: TypeScript, with openapi-typescript and openapi-fetch.
func TestOpenAPITypeScript(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	copyTo(t, dir, "typescript/client.ts", "typescript/tsconfig.json", "typescript/package.json")
	if err := os.Symlink(filepath.Dir(filepath.Dir(node("tsc"))), filepath.Join(dir, "node_modules")); err != nil {
		t.Fatal(err)
	}
	run(t, dir, node("openapi-typescript"), openapi(), "--output", "schema.d.ts")
	run(t, dir, node("tsc"))
	run(t, dir, "node", "client.js", serve(t), call)
}

// TestOgen: Go, with ogen.
func TestOgen(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	copyTo(t, dir, "ogen/go.mod", "ogen/go.sum", "ogen/main.go")
	run(t, dir, "go", "tool", "ogen", "--target", "api", "--package", "api", openapi())
	run(t, dir, "go", "run", ".", serve(t), call)
}

// TestHuaweiPythonSDK: a client of CBR that is pointed at the function.
func TestHuaweiPythonSDK(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	copyTo(t, dir, "python/huawei.py")
	run(t, dir, "env", "HOME="+dir, python("python"), "-B", "huawei.py", serve(t), call) // the SDK writes an id of its own there
}

// TestCheckJSONSchema: a validator that resolves no references takes both
// schemas, the samples that are requests, and the golden results; and it takes
// none that is not good.
func TestCheckJSONSchema(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	schema := func(name string) string { return filepath.Join(root(), "events", name+".schema.json") }
	run(t, dir, python("check-jsonschema"), "--check-metaschema", schema("request"), schema("result"))

	requests := write(t, dir, "request", append([]json.RawMessage{}, samples(t)...))
	if len(requests) < 5 {
		t.Errorf("only %d requests", len(requests))
	}
	run(t, dir, append([]string{python("check-jsonschema"), "--schemafile", schema("request")}, requests...)...)
	goldens, err := filepath.Glob(filepath.Join(root(), "internal", "result", "testdata", "*.json"))
	if err != nil || len(goldens) < 4 {
		t.Fatalf("%d golden results, %v", len(goldens), err)
	}
	var results []json.RawMessage
	for _, golden := range goldens {
		results = append(results, read[struct{ Message json.RawMessage }](t, golden).Message)
	}
	run(t, dir, append([]string{python("check-jsonschema"), "--schemafile", schema("result")}, write(t, dir, "result", results)...)...)

	for i, tt := range []struct{ schema, text string }{
		{"request", `{"requested_at": "2026-11-23T02:00:00,5Z"}`},
		{"request", `{"requested_at": "2026-02-30T02:00:00Z"}`},
		{"request", `{"replicate": {"vault_id": "no id"}}`},
		{"result", `{}`},
	} {
		bad := write(t, dir, fmt.Sprintf("bad-%d", i), []json.RawMessage{json.RawMessage(tt.text)})
		if out, err := tryRun(t, dir, append([]string{python("check-jsonschema"), "--schemafile", schema(tt.schema)}, bad...)...); err == nil {
			t.Errorf("%s passes as a %s: %s", tt.text, tt.schema, out)
		}
	}
}

// read reads a JSON file.
func read[T any](t *testing.T, file string) (v T) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &v); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	return v
}

// write writes each text into a file of its own.
func write(t *testing.T, dir, name string, texts []json.RawMessage) (files []string) {
	t.Helper()
	for i, text := range texts {
		file := filepath.Join(dir, fmt.Sprintf("%s-%d.json", name, i))
		if err := os.WriteFile(file, text, 0o600); err != nil {
			t.Fatal(err)
		}
		files = append(files, file)
	}
	return files
}

// samples are the requests in events/: a direct call's payload is one, and
// messages of SQS hold them.
func samples(t *testing.T) []json.RawMessage {
	t.Helper()
	file := func(name string) string { return filepath.Join(root(), "events", name) }
	requests := append(read[[]json.RawMessage](t, file("direct-batch.json")), read[json.RawMessage](t, file("direct.json")))
	for _, name := range []string{"sqs.json", "sqs-fifo.json"} {
		for _, record := range read[struct{ Records []struct{ Body string } }](t, file(name)).Records {
			requests = append(requests, json.RawMessage(record.Body))
		}
	}
	return append(requests, read[struct{ Detail json.RawMessage }](t, file("eventbridge.json")).Detail,
		read[struct{ Data json.RawMessage }](t, file("cloudevent.json")).Data)
}

var build = sync.OnceValues(func() (binary string, err error) {
	dir, err := os.MkdirTemp("", "serve")
	if err != nil {
		return "", err
	}
	binary = filepath.Join(dir, "serve")
	command := exec.Command("go", "build", "-o", binary, "./cmd/serve")
	command.Dir = root()
	if out, err := command.CombinedOutput(); err != nil {
		return "", fmt.Errorf("%w\n%s", err, out)
	}
	return binary, nil
})

func TestMain(m *testing.M) {
	code := m.Run()
	if binary, err := build(); err == nil {
		_ = os.RemoveAll(filepath.Dir(binary))
	}
	os.Exit(code)
}

// serve starts `make serve` on a free port of 127.0.0.1 and returns its address.
func serve(t *testing.T) string {
	t.Helper()
	binary, err := build()
	if err != nil {
		t.Fatal(err)
	}
	command := exec.CommandContext(t.Context(), binary, "-port", "0")
	command.Dir = root()
	command.Cancel = func() error { return command.Process.Signal(os.Interrupt) } // so that it ends the function, too
	out, err := command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = command.Wait() })
	for lines := bufio.NewScanner(out); lines.Scan(); {
		if _, address, ok := strings.Cut(lines.Text(), "http://"); ok {
			return "http://" + address
		}
	}
	t.Fatal("the sandbox named no address")
	return ""
}

func newClient(t *testing.T, url string) *cbr.CbrClient {
	t.Helper()
	credentials, err := basic.NewCredentialsBuilder().WithAk("ak").WithSk("sk").WithProjectId(project).SafeBuild()
	if err != nil {
		t.Fatal(err)
	}
	client, err := cbr.CbrClientBuilder().WithEndpoints([]string{url}).WithCredential(credentials).SafeBuild()
	if err != nil {
		t.Fatal(err)
	}
	return cbr.NewCbrClient(client)
}

func replicate(vault string) *model.CopyCheckpointRequest {
	return &model.CopyCheckpointRequest{Body: &model.CheckpointReplicateReq{Replicate: &model.CheckpointReplicateParam{
		VaultId: vault, DestinationVaultId: destinationVault, DestinationProjectId: destinationProject, DestinationRegion: "region2",
	}}}
}

func copyBackup(id string) *model.CopyBackupRequest {
	return &model.CopyBackupRequest{BackupId: id, Body: &model.BackupReplicateReq{Replicate: &model.BackupReplicateReqBody{
		DestinationVaultId: destinationVault, DestinationProjectId: destinationProject, DestinationRegion: "region2",
	}}}
}

// TestHuaweiGoSDK: a client of CBR that is pointed at the function. It is not
// parallel, since it sets HOME.
func TestHuaweiGoSDK(t *testing.T) {
	url := serve(t)
	t.Setenv("HOME", t.TempDir()) // the SDK writes an id of its own there
	client := newClient(t, url)

	at := map[string]string{"X-Requested-At": time.Now().UTC().Format(time.RFC3339)}
	for range 2 { // the second call starts nothing more
		invoker := client.CopyCheckpointInvoker(replicate(vault))
		invoker.AddHeaders(at)
		response, err := invoker.Invoke()
		if err != nil {
			t.Fatal(err)
		}
		r := response.Replication
		if r == nil || r.VaultId != vault || r.DestinationVaultId != destinationVault || r.ProjectId != project ||
			len(r.Backups) != 3 || r.Backups[0].ReplicationRecordId == "" {
			t.Errorf("typed response %+v", response)
		}
	}

	for _, tt := range []struct {
		name, vault, code string
		status            int
	}{
		{"the vault is busy now", vault, "BackupService.6130", 409},
		{"no vault's id", "vault", "InvalidEvent", 400},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := client.CopyCheckpoint(replicate(tt.vault))
			var e *sdkerr.ServiceResponseError
			if !errors.As(err, &e) || e.ErrorCode != tt.code || e.StatusCode != tt.status || e.ErrorMessage == "" || e.RequestId == "" {
				t.Errorf("typed error %#v (%v), want %s with %d", e, err, tt.code, tt.status)
			}
		})
	}
}

// TestHuaweiGoSDKOneBackup: CBR's other call, on its own path. It is not parallel,
// since it sets HOME.
func TestHuaweiGoSDKOneBackup(t *testing.T) {
	url := serve(t)
	t.Setenv("HOME", t.TempDir()) // the SDK writes an id of its own there
	client := newClient(t, url)
	const backup = "6df2b54c-dd62-4059-a07c-1b8f24f2725d"
	at := map[string]string{"X-Requested-At": time.Now().UTC().Format(time.RFC3339)}
	records := map[string]bool{}
	for range 2 { // the second call starts nothing more
		invoker := client.CopyBackupInvoker(copyBackup(backup))
		invoker.AddHeaders(at)
		response, err := invoker.Invoke()
		if err != nil {
			t.Fatal(err)
		}
		r := response.Replication
		if r == nil || *r.BackupId != backup || *r.DestinationVaultId != destinationVault {
			t.Fatalf("typed response %+v", response)
		}
		records[*r.ReplicationRecordId] = true
	}
	if len(records) != 1 {
		t.Errorf("replication records %v", records)
	}
	_, err := client.CopyBackup(copyBackup("0b0851a8-adf3-4f4c-a914-dead08bf9664"))
	var e *sdkerr.ServiceResponseError
	if !errors.As(err, &e) || e.ErrorCode != "BackupService.6200" || e.StatusCode != 404 {
		t.Errorf("typed error %#v (%v)", e, err)
	}
}
