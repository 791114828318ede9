package main

import (
	"archive/zip"
	"compress/flate"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// The account of CopyCheckpoint's example in the CBR API reference.
const (
	project            = "f841e01fd2b14e7fa41b6ae7aa6b0594"
	destinationProject = "68589cac08274b82b4e254268a3862d8"
	destinationVault   = "0ca3eb86-8800-46da-9c37-9d657a825274"
)

// memorySize is the function's, in MB, as template.yaml has it.
const memorySize = 256

// contestant is a function that is measured.
type contestant struct {
	name    string
	command []string
	env     []string
	// zip is the size of what is deployed to arm64, binary that of the
	// executable here, zero where there is none; in bytes.
	zip, binary int
}

// field is all contestants. hello is the least that a function costs: it handles no
// batch.
type field struct {
	hello, ours, usual, sdk, node *contestant
}

// batching are the contestants that handle batches.
func (f *field) batching() []*contestant { return []*contestant{f.ours, f.usual, f.sdk, f.node} }

func (f *field) all() []*contestant { return append([]*contestant{f.hello}, f.batching()...) }

// build builds the contestants into dir. The Go ones are built as the Makefile
// builds the function.
func build(dir string) (*field, error) {
	token := []string{"HW_AUTH_TOKEN=" + strings.Repeat("MIIDkgYJKoZIhvcNAQcCoIID", 50)}
	key := []string{"HW_ACCESS_KEY=HPUAAAAAAAAAAEXAMPLE", "HW_SECRET_KEY=examplesecretkeyexamplesecretkeyexample0"}
	f := &field{
		hello: &contestant{name: "hello"},
		ours:  &contestant{name: "cbr-replicator", env: token},
		usual: &contestant{name: "usual", env: token},
		sdk:   &contestant{name: "sdk", env: key},
		node:  &contestant{name: "node", env: token},
	}
	for _, g := range []struct {
		c       *contestant
		dir     string
		sources string
		tags    string
	}{
		{f.ours, root, "./function", "lambda.norpc,nethttpomithttp2"}, // as the Makefile builds it
		{f.hello, ".", "./peers/hello", "lambda.norpc"},
		{f.usual, ".", "./peers/usual", "lambda.norpc"},
		{f.sdk, ".", "./peers/sdk", "lambda.norpc"},
	} {
		here, there := filepath.Join(dir, g.c.name, "bootstrap"), filepath.Join(dir, g.c.name+"-arm64", "bootstrap")
		if err := goBuild(g.dir, g.sources, g.tags, here, "amd64"); err != nil {
			return nil, err
		}
		if err := goBuild(g.dir, g.sources, g.tags, there, "arm64"); err != nil {
			return nil, err
		}
		g.c.command = []string{here}
		var err error
		if g.c.binary, err = fileSize(here); err != nil {
			return nil, err
		}
		if g.c.zip, err = zipSize(there); err != nil {
			return nil, err
		}
	}
	return f, f.buildNode()
}

func goBuild(dir, sources, tags, target, arch string) error {
	cmd := exec.Command("go", "build", "-tags", tags, "-trimpath", "-ldflags", "-s -w -X main.version=bench", "-o", target, sources)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH="+arch)
	return execute(cmd)
}

// buildNode installs and bundles the Node.js peer. Its package has no runtime: Lambda
// has one.
func (f *field) buildNode() error {
	const dir = "peers/node"
	for _, args := range [][]string{{"ci", "--silent", "--no-audit", "--no-fund"}, {"run", "--silent", "build"}} {
		cmd := exec.Command("npm", args...)
		cmd.Dir = dir
		if err := execute(cmd); err != nil {
			return err
		}
	}
	runtime, err := filepath.Abs(filepath.Join(dir, "runtime.mjs"))
	if err != nil {
		return err
	}
	f.node.command = []string{"node", runtime}
	f.node.zip, err = zipSize(filepath.Join(dir, "dist", "index.mjs"))
	return err
}

func execute(cmd *exec.Cmd) error {
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w\n%s", cmd, err, out)
	}
	return nil
}

func fileSize(path string) (int, error) {
	info, err := os.Stat(path)
	if err != nil {
		return 0, err
	}
	return int(info.Size()), nil
}

// zipSize is the size of a package with that one file.
func zipSize(path string) (int, error) {
	in, err := os.Open(path)
	if err != nil {
		return 0, err
	}
	defer in.Close()
	var size counter
	z := zip.NewWriter(&size)
	z.RegisterCompressor(zip.Deflate, func(w io.Writer) (io.WriteCloser, error) { return flate.NewWriter(w, flate.BestCompression) })
	out, err := z.Create(filepath.Base(path))
	if err != nil {
		return 0, err
	}
	if _, err := io.Copy(out, in); err != nil {
		return 0, err
	}
	return int(size), z.Close()
}

// counter counts what is written to it.
type counter int

func (c *counter) Write(b []byte) (int, error) {
	*c += counter(len(b))
	return len(b), nil
}

// batches makes payloads from the sample that the function's tests and documents
// share.
type batches struct{ record map[string]any }

func readSample(path string) (*batches, error) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var event struct{ Records []map[string]any }
	if err := json.Unmarshal(raw, &event); err != nil {
		return nil, fmt.Errorf("reading %s: %w", path, err)
	}
	return &batches{event.Records[1]}, nil
}

// of returns an SQS event of n records, each for a vault of its own. Receipt
// handles are nearly as long as SQS's own: 5,000 records are 5 MB, and Lambda takes
// 6 MB.
func (b *batches) of(n int) ([]byte, error) {
	records := make([]map[string]any, n)
	for i := range records {
		record := maps.Clone(b.record)
		id := fmt.Sprintf("2e1424d4-f796-459a-8184-%012d", i)
		record["messageId"] = id
		record["receiptHandle"] = strings.Repeat("AQEBzWwaftRI0KuVm4tP", 12)
		record["body"] = `{"project_id":"` + project + `","region":"region1","replicate":{"vault_id":"` + id + `","destination_vault_id":"` + destinationVault +
			`","destination_project_id":"` + destinationProject + `","destination_region":"region2"}}`
		records[i] = record
	}
	return json.Marshal(map[string]any{"Records": records})
}
