package sandbox

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
)

// BuildFunction builds the function, as [Build] does, into a folder of its own, which is the caller's to remove.
func BuildFunction(ctx context.Context, flags ...string) (path string, err error) {
	dir, err := os.MkdirTemp("", "cbr-replicator-")
	if err != nil {
		return "", err
	}
	if path, err = Build(ctx, dir, "cbr-replicator/function", flags...); err != nil {
		_ = os.RemoveAll(dir)
	}
	return path, err
}

// Build builds the package main of the given import path into dir, for this machine, with the flags that are used for
// Lambda and those given, and returns the binary's path. It must run within the module.
func Build(ctx context.Context, dir, pkg string, flags ...string) (string, error) {
	path := filepath.Join(dir, "bootstrap")
	args := append([]string{"build", "-tags", "lambda.norpc,nethttpomithttp2", "-trimpath", "-ldflags", "-s -w", "-o", path}, flags...)
	build := exec.CommandContext(ctx, "go", append(args, pkg)...)
	cgo := "CGO_ENABLED=0"
	if slices.Contains(flags, "-race") {
		cgo = "CGO_ENABLED=1" // the detector is C
	}
	build.Env = append(os.Environ(), cgo)
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("building %s: %w\n%s", pkg, err, out)
	}
	return path, nil
}
