package main

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"cbr-replicator/internal/cbr/cbrtest"
	"cbr-replicator/internal/sandbox"
)

func TestMostSideBySide(t *testing.T) {
	t.Parallel()
	for descriptors, want := range map[uint64]int{0: 1, 20: 1, 33: 1, 64: 12, 256: 88, 1024: 396, 1 << 20: 10_000, math.MaxUint64: 10_000} {
		if got := sideBySide(descriptors); got != want {
			t.Errorf("with %d descriptors %d, want %d", descriptors, got, want)
		}
	}
}

// TestFewFileDescriptors: if BATCH_CONCURRENCY needs more file descriptors than there
// are, all results are still on the topic.
func TestFewFileDescriptors(t *testing.T) {
	t.Parallel()
	if runtime.GOOS == "windows" {
		t.Skip("there is no such bound")
	}
	binary, err := build()
	if err != nil {
		t.Fatal(err)
	}
	limited := filepath.Join(t.TempDir(), "bootstrap")
	if err := os.WriteFile(limited, fmt.Appendf(nil, "#!/bin/sh\nulimit -n 64\nexec '%s'\n", binary), 0o700); err != nil {
		t.Fatal(err)
	}
	const deliveries = 300
	r := newRig(t, "results", map[string]string{"BATCH_CONCURRENCY": "1000"}, cbrtest.WithLatency(50*time.Millisecond))
	r.function.Close()
	r.function = sandbox.NewFunction(sandbox.FunctionConfig{Path: limited, Env: r.env, Logs: r})
	var messages []sandbox.Message
	for _, vault := range r.cbr.AddVaults(cbrtest.SourceProject, deliveries, 1) {
		r.stack.Requests.Send(request(vault), nil, "")
		messages = append(messages, r.stack.Requests.Receive(1)...)
	}
	payload := sandbox.SQSEvent(r.stack.Requests.ARN(), messages)
	if response := r.invoke(payload, time.Minute); string(response.Payload) != `{"batchItemFailures":[]}` {
		t.Errorf("answer: %.300s, %v", response.Payload, response.Error)
	}
	if n := len(r.topic.Messages()); n != deliveries {
		t.Errorf("%d of %d results are on the topic", n, deliveries)
	}
	lines := r.lines("BATCH_CONCURRENCY is more than there are file descriptors for and is bounded")
	if len(lines) != 1 || lines[0]["level"] != "WARN" || lines[0]["bounded_to"] != 12.0 {
		t.Errorf("log: %v", lines)
	}
}
