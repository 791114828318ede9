// Command bench measures the function side by side with what a user would
// otherwise write (see peers/): same event, same CBR and topic on loopback,
// same Runtime API, in turn. It prints Markdown. It needs Linux, for the
// processes' own clocks and peaks of memory, and Node.js with npm.
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
	rounds := flag.Int("rounds", 15, "how often each figure is taken, unless that takes long")
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
	progress("starts")
	if err := r.starts(); err != nil {
		return err
	}
	progress("one record")
	if err := r.oneRecord(); err != nil {
		return err
	}
	progress("far from here")
	authority, err := newAuthority(bin)
	if err != nil {
		return err
	}
	if err := r.afar(authority); err != nil {
		return err
	}
	progress("batches of 10")
	if out.costs, err = r.batchesOfTen(); err != nil {
		return err
	}
	progress("batches of 1,000")
	if err := r.batchesOfThousand(); err != nil {
		return err
	}
	progress("memory")
	if err := r.memory(); err != nil {
		return err
	}
	progress("the handler without the network")
	if out.handler, err = handler.run(*rounds, *benchTime); err != nil {
		return err
	}
	progress("growth with the batch")
	if out.byBatch, err = r.growWithBatch(); err != nil {
		return err
	}
	progress("growth with the concurrency")
	if out.byConcurrency, err = r.growWithConcurrency(); err != nil {
		return err
	}
	text := out.markdown()
	fmt.Print(text)
	if *docs == "" {
		return nil
	}
	return out.save(*docs, text)
}

// machine describes what the figures were taken on.
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
