package events

import (
	"testing"

	"cbr-replicator/internal/kind"
)

func TestEventBridgeDetail(t *testing.T) {
	t.Parallel()
	const malformed = "$: expected a JSON object and nothing else; it is malformed at line 1, column "
	for name, tt := range map[string]struct {
		detail any
		wrong  string
	}{
		"object":           {map[string]any{"region": "region3"}, ""},
		"text":             {`{"region":"region3"}`, ""},
		"a schedule's":     {`{}`, ""},
		"empty":            {map[string]any{}, ""},
		"twice text":       {`"{}"`, ""},
		"no JSON":          {`hello`, malformed + "1"},
		"empty text":       {``, "$: expected a JSON object and nothing else; there is nothing"},
		"null":             {nil, "$: expected an object"},
		"a list":           {[]any{}, "$: expected an object"},
		"something else's": {map[string]any{"state": "x"}, "unknown field state"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newDecoder()
			d.Defaults = fullDefaults
			got := mustDecode(t, d, sampleWith(t, "eventbridge", func(e map[string]any) { e["detail"] = tt.detail })).Deliveries[0]
			if (got.Err == nil) != (tt.wrong == "") || got.Err != nil && (got.Err.Kind != kind.InvalidEvent || got.Err.Message != tt.wrong) {
				t.Errorf("error %v, want %s", got.Err, tt.wrong)
			}
		})
	}
	got := mustDecode(t, newDecoder(), sampleWith(t, "eventbridge", func(e map[string]any) { delete(e, "detail") })).Deliveries[0]
	if got.Err.Of() != kind.InvalidEvent {
		t.Errorf("no detail: %v", got.Err)
	}
}
