// Command bench compares the function with what a user would otherwise write (see
// peers/): in turn, with the same event, the same CBR and topic on loopback and the
// same Runtime API. It prints Markdown. It needs Linux, to read the CPU time and the
// peak memory of a process, and Node.js with npm.
package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// root is the function's module, from here.
const root = "../.."

func main() {
	if err := bench(); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func bench() error {
	rounds := flag.Int("rounds", 15, "how often each figure is measured, unless that takes long")
	benchTime := flag.String("benchtime", "0.5s", "of each round of the Go benchmarks")
	docs := flag.String("docs", "", "directory of benchmarks.md, to write the result there, too")
	flag.Parse()

	bin, err := os.MkdirTemp("", "cbr-replicator-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(bin)
	progress := func(what string) { fmt.Fprintln(os.Stderr, time.Now().Format(time.TimeOnly), what) }
	progress("building")
	r := &run{rounds: *rounds, progress: progress}
	if r.field, err = build(bin); err != nil {
		return err
	}
	handler, err := buildHandlerBench(bin)
	if err != nil {
		return err
	}
	if r.batches, err = readSample(filepath.Join(root, "events", "sqs.json")); err != nil {
		return err
	}
	// As many file descriptors as a process on Lambda has.
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &syscall.Rlimit{Cur: 1024, Max: 1024}); err != nil {
		return fmt.Errorf("set the limit of file descriptors: %w", err)
	}

	out := &report{run: r, command: "make bench ROUNDS=" + fmt.Sprint(*rounds) + " BENCHTIME=" + *benchTime, machine: machine()}
	r.packages()
	authority, err := newAuthority(bin)
	if err != nil {
		return err
	}
	for _, step := range []struct {
		what string
		do   func() error
	}{
		{"starts", r.starts},
		{"one record", r.oneRecord},
		{"far from here", func() error { return r.afar(authority) }},
		{"batches of 10", func() (err error) { out.costs, err = r.batchesOfTen(); return err }},
		{"batches of 1,000", r.batchesOfThousand},
		{"memory", r.memory},
		{"the handler without the network", func() (err error) { out.handler, err = handler.run(*rounds, *benchTime); return err }},
		{"growth with the batch", func() (err error) { out.byBatch, err = r.growWithBatch(); return err }},
		{"growth with the concurrency", func() (err error) { out.byConcurrency, err = r.growWithConcurrency(); return err }},
	} {
		progress(step.what)
		if err := step.do(); err != nil {
			return err
		}
	}
	text := out.markdown()
	fmt.Print(text)
	if *docs == "" {
		return nil
	}
	return out.save(*docs, text)
}

// machine describes the machine that the figures are of.
func machine() string {
	model := "unknown processor"
	cores := 0
	info, _ := os.ReadFile("/proc/cpuinfo") // without it the report says unknown
	for line := range strings.Lines(string(info)) {
		if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
			model, cores = strings.TrimSpace(value), cores+1
		}
	}
	return fmt.Sprintf("%s, %d cores", model, cores)
}
