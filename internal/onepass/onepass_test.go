package onepass_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"cbr-replicator/internal/onepass"
)

func read(r *onepass.Reader) (text string, members map[string]string, elements []int) {
	for name := range r.Members() {
		switch string(name) {
		case "text":
			r.Text(&text)
		case "members":
			members = map[string]string{}
			for name := range r.Members() {
				members[string(name)] = string(r.Value())
			}
		case "elements":
			for i := range r.Elements() {
				elements = append(elements, i)
			}
		}
	}
	return text, members, elements
}

func TestReader(t *testing.T) {
	t.Parallel()
	type found struct {
		Text     string
		Members  map[string]string
		Elements []int
	}
	for text, want := range map[string]found{
		`{}`:                              {},
		`null`:                            {},
		`{"text":null,"members":null}`:    {Members: map[string]string{}},
		` { "text" : "a\u00e9\/\ud800" }`: {Text: "aé/\ufffd"},
		"{\"text\":\"\xff\"}":             {Text: "\ufffd"},
		`{"te\u0078t":"x"}`:               {Text: "x"},
		`{"Text":"x","other":{"text":"x","members":{}}}`:         {},
		`{"text":"first","text":"last"}`:                         {Text: "last"},
		`{"elements":[1,{"a":[]},null],"text":"after"}`:          {Elements: []int{0, 1, 2}, Text: "after"},
		`{"members":{"a":{"b":[1, 2]},"\"":-1e9},"elements":[]}`: {Members: map[string]string{"a": `{"b":[1, 2]}`, `"`: "-1e9"}},
	} {
		r := onepass.New([]byte(text))
		var got found
		got.Text, got.Members, got.Elements = read(r)
		if err := r.End(); err != nil {
			t.Errorf("%s: %v", text, err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", text, diff)
		}
	}
}

func TestReaderSaysWhatIsWrong(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]struct {
		err    string
		offset int64
	}{
		``:                       {"EOF", 0},
		`[]`:                     {"$: expected an object", 2},
		`{"text":5}`:             {"/text: expected a string", 9},
		`{"members":[1]}`:        {"/members: expected an object", 14},
		`{"elements":{"a":"b"}}`: {"/elements: expected an array", 21},
		`{"text":{"a":tru}}`:     {"invalid character '}'", 16},
		`{"text":"x"`:            {"unexpected EOF", 11},
		`{"text":"x\q"}`:         {"invalid escape sequence", 10},
		`{"elements":[1,`:        {"unexpected EOF", 15},
		`{"elements":[1,]}`:      {"invalid character ','", 14},
		`{"elements":[1 2]}`:     {"invalid character '2'", 15},
		`{"members":{"a"}}`:      {"invalid character '}'", 15},
		`{"members":{a:1}}`:      {"invalid character 'a'", 12},
		`{} {}`:                  {"expected nothing more", 2},
		`{}}`:                    {"expected nothing more", 2}, `{} x`: {"expected nothing more", 2},
	} {
		r := onepass.New([]byte(text))
		read(r)
		if err := r.End(); err == nil || !strings.Contains(err.Error(), want.err) || r.Offset() != want.offset {
			t.Errorf("%s: %v after byte %d, want %s after byte %d", text, err, r.Offset(), want.err, want.offset)
		}
	}
}

func TestText(t *testing.T) {
	t.Parallel()
	for value, want := range map[string]string{`"a\n"`: "a\n", `""`: "", `null`: "none", `["a"]`: "none", ``: "none"} {
		got, ok := onepass.Text([]byte(value))
		if !ok {
			got = "none"
		}
		if got != want {
			t.Errorf("%s is %q, want %q", value, got, want)
		}
	}
}

// FuzzMembers: what encoding/json takes for an object is one here too, with the
// same members, and nothing else is.
func FuzzMembers(f *testing.F) {
	f.Add([]byte(` { "a" : "}\"\\" , "b":[1,{"c":[]}],"a":null,"\u00e9":-1e9 } `))
	f.Add([]byte(`{"a":"b`))
	f.Add([]byte(`null`))
	f.Add([]byte("{\"\xff\":\"\xff\"}"))
	f.Add([]byte(`{"a":1,}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		r, got := onepass.New(text), map[string]json.RawMessage{}
		for name := range r.Members() {
			got[string(name)] = r.Value()
		}
		err := r.End()
		want := map[string]json.RawMessage{}
		if wantErr := json.Unmarshal(text, &want); (wantErr == nil) != (err == nil) {
			t.Fatalf("%q: %v, with encoding/json %v", text, err, wantErr)
		}
		if diff := cmp.Diff(len(want), len(got)); err == nil && diff != "" {
			t.Fatalf("members of %q (-encoding/json +onepass):\n%s", text, diff)
		}
		for name, value := range want {
			if err == nil && string(got[name]) != string(value) {
				t.Errorf("%q of %q is %s, with encoding/json %s", name, text, got[name], value)
			}
		}
	})
}
