package metrics_test

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"cbr-replicator/internal/kind"
	"cbr-replicator/internal/metrics"
)

func emit(t *testing.T, e *metrics.Emitter, out *bytes.Buffer, took time.Duration, deliveries ...metrics.Delivery) []map[string]any {
	t.Helper()
	inv := e.Begin()
	for _, d := range deliveries {
		inv.Count(d)
	}
	time.Sleep(took)
	out.Reset()
	if err := inv.Emit(); err != nil {
		t.Fatal(err)
	}
	var lines []map[string]any
	for line := range strings.Lines(out.String()) {
		var doc map[string]any
		if err := json.Unmarshal([]byte(line), &doc); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		lines = append(lines, doc)
	}
	return lines
}

func TestEmit(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		e := metrics.NewEmitter(&out, "replicator")
		lines := emit(t, e, &out, 412*time.Millisecond,
			metrics.Delivery{DestinationRegion: "region2", Published: kind.Accepted, Attempts: 3},
			metrics.Delivery{DestinationRegion: "region2", Kind: kind.AlreadyReplicated, Published: kind.Unchanged, Attempts: 1},
			metrics.Delivery{DestinationRegion: "region2", Kind: kind.Throttled, Redelivered: true, Attempts: 6},
			metrics.Delivery{DestinationRegion: "region2", Kind: kind.Unknown, Published: kind.Failed, Redelivered: true, Attempts: 1},
			metrics.Delivery{DestinationRegion: "region2", Kind: kind.Misconfigured, Redelivered: true, Attempts: 1},
			metrics.Delivery{DestinationRegion: "region2", Kind: kind.NotCovered, Published: kind.Refused, Attempts: 1},
			metrics.Delivery{Kind: kind.InvalidEvent, Published: kind.Refused},
			metrics.Delivery{DestinationRegion: "region2", PublishFailed: true, LookupRefused: true, Redelivered: true, Attempts: 1},
		)
		want := map[string]any{
			"service": "replicator", "destination_region": "region2",
			"Deliveries": 8.0, "Accepted": 1.0, "Unchanged": 1.0, "Rejected": 2.0, "Failed": 1.0,
			"Redelivered": 4.0, "Retries": 7.0, "Throttled": 1.0, "Unauthorized": 0.0, "Misconfigured": 1.0, "InProgress": 0.0,
			"Unknown": 1.0, "NotCovered": 1.0, "PublishFailures": 1.0, "LookupsRefused": 1.0, "ColdStart": 1.0, "Duration": 412.0,
		}
		if len(lines) != 1 {
			t.Fatalf("%d lines, want 1", len(lines))
		}
		aws := lines[0]["_aws"].(map[string]any)
		delete(lines[0], "_aws")
		if diff := cmp.Diff(want, lines[0]); diff != "" {
			t.Errorf("line (-want +got):\n%s", diff)
		}
		directive := aws["CloudWatchMetrics"].([]any)[0].(map[string]any)
		if diff := cmp.Diff([]any{[]any{"service"}, []any{"service", "destination_region"}}, directive["Dimensions"]); diff != "" {
			t.Errorf("dimensions (-want +got):\n%s", diff)
		}
		for _, m := range directive["Metrics"].([]any) {
			if name := m.(map[string]any)["Name"].(string); lines[0][name] == nil {
				t.Errorf("metric %s has no value in the line", name)
			}
		}
		if directive["Namespace"] != "CbrReplicator" || aws["Timestamp"] == nil {
			t.Errorf("_aws = %v", aws)
		}

		warm := emit(t, e, &out, 0)
		if len(warm) != 1 || warm[0]["ColdStart"] != 0.0 || warm[0]["Deliveries"] != 0.0 {
			t.Errorf("a second, empty invocation = %v", warm)
		}
	})
}

func TestEmitSeveralRegions(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	lines := emit(t, metrics.NewEmitter(&out, "replicator"), &out, 0,
		metrics.Delivery{DestinationRegion: "region3", Published: kind.Accepted},
		metrics.Delivery{DestinationRegion: "region2", Published: kind.Accepted},
		metrics.Delivery{Kind: kind.InvalidEvent, Published: kind.Refused},
	)
	if len(lines) != 2 || lines[0]["destination_region"] != "region2" || lines[1]["destination_region"] != "region3" {
		t.Fatalf("lines = %v", lines)
	}
	if lines[0]["Deliveries"] != 2.0 || lines[0]["Rejected"] != 1.0 || lines[1]["Deliveries"] != 1.0 {
		t.Errorf("counts = %v", lines)
	}
	if _, ok := lines[1]["Duration"]; ok {
		t.Error("the invocation's duration is counted twice")
	}
}
