package docs_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestMakeFuzz: a target fails for a cause, and the end of its time is none.
func TestMakeFuzz(t *testing.T) {
	t.Parallel()
	const failed = "FAIL\nexit status 1\nFAIL\tp\t2.1s\n"
	for _, tt := range []struct {
		name, says string // what Go says of the target, before it ends with an error
		ok         bool
	}{
		{"its deadline", "fuzz: elapsed: 2s, execs: 812\n--- FAIL: FuzzA (2.10s)\n    context deadline exceeded\n" + failed, true},
		{"a finding", "--- FAIL: FuzzA (0.02s)\n    --- FAIL: FuzzA (0.00s)\n        a_test.go:9: context deadline exceeded\n    \n" +
			"    Failing input written to testdata/fuzz/FuzzA/0a1b\n" + failed, false},
		{"a finding at the deadline", "--- FAIL: FuzzA (2.02s)\n    context deadline exceeded\n    Failing input written to testdata/fuzz/FuzzA/0a1b\n" + failed, false},
		{"a seed", "--- FAIL: FuzzA (0.00s)\n    --- FAIL: FuzzA/seed#0 (0.00s)\n        a_test.go:9: context deadline exceeded\n" + failed, false},
		{"a process that ended", "--- FAIL: FuzzA (1.00s)\n    fuzzing process hung or terminated unexpectedly: exit status 2\n" + failed, false},
		{"code that does not build", "# p\na.go:1:1: context deadline exceeded\nFAIL\tp [build failed]\n", false},
		{"nothing", "", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			said := filepath.Join(dir, "said")
			if err := os.WriteFile(said, []byte(tt.says), 0o600); err != nil {
				t.Fatal(err)
			}
			script := "#!/bin/sh\ncase \"$*\" in\nlist*) echo p;;\n*-list*) echo FuzzA;;\n*) cat '" + said + "'; exit 1;;\nesac\n"
			if err := os.WriteFile(filepath.Join(dir, "go"), []byte(script), 0o700); err != nil { //nolint:gosec // it is a program
				t.Fatal(err)
			}
			fuzz := exec.CommandContext(t.Context(), "make", "--no-print-directory", "-C", "..", "fuzz", "FUZZTIME=2s")
			fuzz.Env = append(os.Environ(), "PATH="+dir+string(os.PathListSeparator)+os.Getenv("PATH"))
			out, err := fuzz.CombinedOutput()
			if ok := err == nil; ok != tt.ok {
				t.Errorf("make fuzz ends well: %v, want %v (%v):\n%s", ok, tt.ok, err, out)
			}
			if !strings.Contains(string(out), tt.says) {
				t.Errorf("what Go says is not shown:\n%s", out)
			}
		})
	}
}
