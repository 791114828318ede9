package release

import (
	"archive/zip"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// makePackage runs `make package` in root, which is the project's folder under any name,
// and returns the files it made and what it printed.
func makePackage(t *testing.T, root, version string) (files map[string][]byte, printed string) {
	t.Helper()
	dist := t.TempDir()
	cmd := exec.CommandContext(t.Context(), "make", "--no-print-directory", "package", "VERSION="+version, "DIST="+dist)
	cmd.Dir = root
	// The variables of a make that runs this test are not for this one.
	for _, variable := range cmd.Environ() {
		if name, _, _ := strings.Cut(variable, "="); name != "MAKEFLAGS" && name != "MAKELEVEL" && name != "MFLAGS" {
			cmd.Env = append(cmd.Env, variable)
		}
	}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("make package: %v\n%s", err, out)
	}
	files = map[string][]byte{}
	for _, name := range []string{"cbr-replicator_" + version + "_linux_amd64.zip", "cbr-replicator_" + version + "_linux_arm64.zip", "SHA256SUMS"} {
		if files[name], err = os.ReadFile(filepath.Join(dist, name)); err != nil {
			t.Fatal(err)
		}
	}
	return files, string(out)
}

// TestPackage: the package has the same bytes from any folder, its sums are right, and its
// binary knows its version.
func TestPackage(t *testing.T) {
	t.Parallel()
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	elsewhere := filepath.Join(t.TempDir(), "elsewhere")
	if err := os.Symlink(root, elsewhere); err != nil {
		t.Fatal(err)
	}
	// Go keeps a test's success until a file changes that the test has opened.
	for _, name := range []string{"Makefile", "function/main.go"} {
		if _, err := os.ReadFile(filepath.Join(root, name)); err != nil {
			t.Fatal(err)
		}
	}
	const version = "v0.0.0-test"
	files, printed := makePackage(t, root, version)
	again, _ := makePackage(t, elsewhere, version)
	for name, content := range files {
		if !bytes.Equal(content, again[name]) {
			t.Errorf("%s is not the same when built again elsewhere", name)
		}
	}

	for line := range strings.Lines(string(files["SHA256SUMS"])) {
		sum, name, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "  ")
		if got := sha256.Sum256(files[name]); hex.EncodeToString(got[:]) != sum {
			t.Errorf("%s: SHA256SUMS says %s, it is %x", name, sum, got)
		}
		if !strings.Contains(printed, name) {
			t.Errorf("the size of %s is not in %q", name, printed)
		}
	}
	if n := bytes.Count(files["SHA256SUMS"], []byte("\n")); n != len(platforms) {
		t.Errorf("%d sums, want %d", n, len(platforms))
	}

	if runtime.GOOS == "linux" {
		path := filepath.Join(t.TempDir(), "bootstrap")
		if err := os.WriteFile(path, unzip(t, files["cbr-replicator_"+version+"_linux_"+runtime.GOARCH+".zip"]), 0o700); err != nil {
			t.Fatal(err)
		}
		// Without a configuration it ends at once, but says what it is.
		cmd := exec.CommandContext(t.Context(), path)
		cmd.Env = []string{"AWS_LAMBDA_LOG_FORMAT=JSON", "AWS_LAMBDA_RUNTIME_API=127.0.0.1:1"}
		out, _ := cmd.Output()
		var first struct{ Level, Message, Version string }
		if err := json.NewDecoder(bytes.NewReader(out)).Decode(&first); err != nil {
			t.Fatalf("%v in %s", err, out)
		}
		if first.Level != "INFO" || first.Message != "starting" || first.Version != version {
			t.Errorf("its first line is %+v", first)
		}
	}
}

// unzip returns the one file that an archive may hold, as Lambda wants it.
func unzip(t *testing.T, archive []byte) []byte {
	t.Helper()
	r, err := zip.NewReader(bytes.NewReader(archive), int64(len(archive)))
	if err != nil {
		t.Fatal(err)
	}
	if len(r.File) != 1 || r.File[0].Name != "bootstrap" || r.File[0].Mode() != 0o755 {
		t.Fatalf("the zip has %d files, first %s of mode %s", len(r.File), r.File[0].Name, r.File[0].Mode())
	}
	if at := r.File[0].Modified.UTC(); at != time.Date(1980, 1, 1, 0, 0, 0, 0, time.UTC) {
		t.Errorf("bootstrap is of %s", at)
	}
	file, err := r.File[0].Open()
	if err != nil {
		t.Fatal(err)
	}
	content, err := io.ReadAll(file)
	if err != nil {
		t.Fatal(err)
	}
	return content
}

// TestPack: modes and times of the binaries' files do not change the zips, and there is an
// error if something cannot be packed.
func TestPack(t *testing.T) {
	t.Parallel()
	files := func(mode os.FileMode, at time.Time) string {
		dir := t.TempDir()
		for _, platform := range platforms {
			path := filepath.Join(dir, platform, "bootstrap")
			if err := os.Mkdir(filepath.Dir(path), 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, []byte("the binary for "+platform), mode); err != nil {
				t.Fatal(err)
			}
			if err := os.Chtimes(path, at, at); err != nil {
				t.Fatal(err)
			}
		}
		return dir
	}
	var sums []string
	for _, dir := range []string{files(0o700, time.Unix(0, 0)), files(0o644, time.Now())} {
		if err := run([]string{"zip", dir, "v1.0.0"}, io.Discard); err != nil {
			t.Fatal(err)
		}
		content, err := os.ReadFile(filepath.Join(dir, "SHA256SUMS"))
		if err != nil {
			t.Fatal(err)
		}
		sums = append(sums, string(content))
		archive, err := os.ReadFile(filepath.Join(dir, "cbr-replicator_v1.0.0_linux_arm64.zip"))
		if err != nil {
			t.Fatal(err)
		}
		if got := string(unzip(t, archive)); got != "the binary for linux_arm64" {
			t.Errorf("bootstrap is %q", got)
		}
	}
	if diff := cmp.Diff(sums[0], sums[1]); diff != "" {
		t.Errorf("sums of files with another mode and time (-first +second):\n%s", diff)
	}

	for _, args := range [][]string{
		{"zip", t.TempDir(), "v1.0.0"},                      // no binaries
		{"zip", files(0o700, time.Now()), "../v1"},          // another folder
		{"zip", files(0o700, time.Now()), ""},               // no version
		{"zip", filepath.Join(t.TempDir(), "no"), "v1.0.0"}, // no folder
		{"zip"},
		{},
	} {
		if err := run(args, io.Discard); err == nil {
			t.Errorf("%q: no error", args)
		}
	}
}

func TestNotes(t *testing.T) {
	t.Parallel()
	const changelog = `# Changelog

## [Unreleased]

## [1.1.0] - 2027-01-02

### Added

- A thing. See [1.0.0].

## [1.1.0-rc.1] - 2027-01-01

- A thing to try.

## [1.0.1] - 2026-12-24

## [1.0.0]

- Not dated.

## [0.9.0] - 2026-11-01
- The last.

[1.1.0]: compare/v1.0.0...v1.1.0
`
	for _, tt := range []struct{ name, version, want, wantErr string }{
		{"in the midst", "v1.1.0", "### Added\n\n- A thing. See [1.0.0].", ""},
		{"a pre-release", "v1.1.0-rc.1", "- A thing to try.", ""},
		{"the last, before the links", "v0.9.0", "- The last.", ""},
		{"empty", "v1.0.1", "", "says nothing of 1.0.1"},
		{"without a date", "v1.0.0", "", `no heading "## [1.0.0] - YYYY-MM-DD"`},
		{"not there", "v2.0.0", "", `no heading "## [2.0.0]`},
		{"a dot is a dot", "v1.100", "", "is no version to release"},
		{"what git describe says between tags", "v1.0.0-3-g4eefb06", "", `no heading "## [1.0.0-3-g4eefb06]`},
		{"without a tag", "4eefb06-dirty", "", "is no version to release"},
		{"none", "", "", "is no version to release"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got, err := notes(changelog, tt.version)
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("notes (-want +got):\n%s", diff)
			}
			if tt.wantErr == "" != (err == nil) || err != nil && !strings.Contains(err.Error(), tt.wantErr) {
				t.Errorf("error %v, want %q", err, tt.wantErr)
			}
		})
	}
}
