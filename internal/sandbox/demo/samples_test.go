package demo

import (
	"path/filepath"
	"strings"
	"testing"
)

// TestEverySampleIsShown: each trigger has a scene.
func TestEverySampleIsShown(t *testing.T) {
	t.Parallel()
	shown := map[string]bool{}
	for _, s := range scenes() {
		shown[s.sample] = true
	}
	files, err := filepath.Glob("../../../events/*.json")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	graph, err := filepath.Glob("../../../events/functiongraph/*.json")
	if err != nil || len(graph) == 0 {
		t.Fatal(graph, err)
	}
	for _, file := range append(files, graph...) {
		name := strings.TrimSuffix(strings.TrimPrefix(filepath.ToSlash(file), "../../../events/"), ".json")
		if !strings.HasSuffix(name, ".schema") && !shown[name] {
			t.Errorf("events/%s.json has no scene", name)
		}
	}
}
