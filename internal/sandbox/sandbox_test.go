package sandbox

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"
)

// bootstrap builds the tests' function once.
var bootstrap = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "bootstrap-")
	if err != nil {
		return "", err
	}
	return Build(context.Background(), dir, "cbr-replicator/internal/sandbox/testdata/bootstrap")
})

func TestMain(m *testing.M) {
	// For TestEnvironment.
	if err := os.Setenv("ONLY_IN_THE_PARENT", "1"); err != nil {
		panic(err)
	}
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		if path, err := bootstrap(); err == nil {
			_ = os.RemoveAll(filepath.Dir(path))
		}
		os.Exit(code)
	}))
}

func TestBuildFails(t *testing.T) {
	t.Parallel()
	const pkg = "cbr-replicator/internal/sandbox/testdata/none"
	path, err := Build(t.Context(), t.TempDir(), pkg)
	if err == nil || !strings.Contains(err.Error(), "building "+pkg) {
		t.Errorf("Build = %q, %v", path, err)
	}
}
