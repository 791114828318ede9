package main

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
)

// handlerBench is the test binary with the handler's own benchmarks, which use no
// network.
type handlerBench struct{ binary string }

// goFigure is go test's figures of a benchmark.
type goFigure struct{ microseconds, bytes, allocations series }

// handlerFigures are of a batch of ten: handled, and decoded once into
// aws-lambda-go's own type.
type handlerFigures struct{ invoke, decode goFigure }

func buildHandlerBench(dir string) (handlerBench, error) {
	h := handlerBench{filepath.Join(dir, "handler.test")}
	cmd := exec.Command("go", "test", "-c", "-o", h.binary, ".")
	cmd.Dir = root
	return h, execute(cmd)
}

// run runs both benchmarks in turn, on one processor, so that the time is the work.
func (h handlerBench) run(rounds int, benchTime string) (f handlerFigures, err error) {
	for range rounds {
		cmd := exec.Command(h.binary, "-test.run", "^$", "-test.bench", "^Benchmark(Invoke|Decode)$", "-test.benchmem", "-test.cpu", "1", "-test.benchtime", benchTime)
		cmd.Dir = root
		out, err := cmd.CombinedOutput()
		if err != nil {
			return f, fmt.Errorf("%s: %w\n%s", cmd, err, out)
		}
		for line := range strings.Lines(string(out)) {
			switch {
			case strings.HasPrefix(line, "BenchmarkInvoke"):
				err = f.invoke.add(line)
			case strings.HasPrefix(line, "BenchmarkDecode"):
				err = f.decode.add(line)
			}
			if err != nil {
				return f, err
			}
		}
	}
	if len(f.invoke.microseconds) != rounds || len(f.decode.microseconds) != rounds {
		return f, fmt.Errorf("the handler's benchmarks are not where they were: found %d and %d of %d", len(f.invoke.microseconds), len(f.decode.microseconds), rounds)
	}
	return f, nil
}

// add reads a line such as
// "BenchmarkInvoke  10000  486639 ns/op  116958 B/op  1347 allocs/op".
func (g *goFigure) add(line string) error {
	fields := strings.Fields(line)
	for i := 2; i+1 < len(fields); i += 2 {
		v, err := strconv.ParseFloat(fields[i], 64)
		if err != nil {
			return fmt.Errorf("reading %q: %w", line, err)
		}
		switch fields[i+1] {
		case "ns/op":
			g.microseconds = append(g.microseconds, v/1000)
		case "B/op":
			g.bytes = append(g.bytes, v)
		case "allocs/op":
			g.allocations = append(g.allocations, v)
		}
	}
	return nil
}
