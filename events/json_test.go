package events

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// FuzzMembers: of valid JSON, members sees what encoding/json sees.
func FuzzMembers(f *testing.F) {
	f.Add([]byte(` { "a" : "}\"\\" , "b":[1,{"c":[]}],"a":null,"\u00e9":-1e9 } `))
	f.Add([]byte(`{"a":"b`))
	f.Add([]byte("{\"\xff\":\"\xff\"}"))
	f.Fuzz(func(t *testing.T, text []byte) {
		got := map[string]json.RawMessage{}
		for name, value := range members(text) {
			got[name] = value
		}
		if !json.Valid(text) {
			return // it has come to an end, which is all that is asked
		}
		want := map[string]json.RawMessage{}
		if isObject(text) {
			if err := json.Unmarshal(text, &want); err != nil {
				t.Fatal(err)
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("members of %q (-encoding/json +members):\n%s", text, diff)
		}
	})
}
