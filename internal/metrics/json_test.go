package metrics_test

import (
	"bytes"
	"encoding/json"
	"maps"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"cbr-replicator/internal/kind"
	"cbr-replicator/internal/metrics"
)

// TestJSON: one line of JSON a region, with the figures that EMF has, and nothing
// that only CloudWatch reads.
func TestJSON(t *testing.T) {
	t.Parallel()
	figures := func(format metrics.Format) (lines []map[string]any) {
		var out bytes.Buffer
		inv := metrics.NewEmitter(&out, format, "cbr-replicator").Begin()
		inv.Count(metrics.Delivery{DestinationRegion: "region2", Published: kind.Accepted, More: []metrics.Value{{Name: "Retries", Count: 2}}})
		inv.Count(metrics.Delivery{DestinationRegion: "region3", Kind: kind.Throttled, Redelivered: true})
		if err := inv.Emit(); err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(out.String()) {
			var fields map[string]any
			if err := json.Unmarshal([]byte(line), &fields); err != nil {
				t.Fatalf("%s: %v", line, err)
			}
			delete(fields, "Duration")
			lines = append(lines, fields)
		}
		return lines
	}
	want := figures(metrics.EMF)
	for _, line := range want {
		delete(line, "_aws")
	}
	got := figures(metrics.JSON)
	for _, line := range got {
		if line["message"] != "metrics" || line["level"] != "INFO" || line["timestamp"] == "" || line["namespace"] != metrics.Namespace {
			t.Errorf("line %v", line)
		}
		maps.DeleteFunc(line, func(name string, _ any) bool {
			return strings.ToLower(name) == name && name != "service" && name != "destination_region"
		})
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-EMF +JSON):\n%s", diff)
	}
	if len(got) != 2 || got[0]["Retries"] != 2.0 || got[1]["Redelivered"] != 1.0 {
		t.Errorf("lines %v", got)
	}
}
