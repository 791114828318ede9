package events

import (
	"os"
	"strings"
	"testing"
)

// TestTriggersAreDocumented: the table of triggers links each sample, and no other.
func TestTriggersAreDocumented(t *testing.T) {
	t.Parallel()
	requests, err := os.ReadFile("../docs/requests.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, _ := strings.Cut(string(requests), "## Triggers\n\n")
	table, _, _ = strings.Cut(table, "\n\n")
	linked := strings.Count(table, "](../events/")
	for _, tr := range triggers {
		for _, name := range tr.samples {
			if !strings.Contains(table, "["+name+".json](../events/"+name+".json)") {
				t.Errorf("it lacks %s.json", name)
			}
			linked--
		}
	}
	if linked != 0 {
		t.Errorf("%d samples too many", linked)
	}
	for _, limit := range []string{"more than 10,000 records", "more than 1,000 headers", "an array of 1 to 1,000"} {
		if !strings.Contains(string(requests), limit) {
			t.Errorf("it does not say %q", limit)
		}
	}
	if maxRecords != 10_000 || maxHeaders != 1000 || maxDirectBatch != 1000 {
		t.Error("it says other limits")
	}
}
