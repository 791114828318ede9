package jsonscan_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/go-cmp/cmp"

	"cbr-replicator/internal/jsonscan"
)

func read(r *jsonscan.Reader) (text string, members map[string]string, elements []int) {
	for name := range r.Members {
		switch string(name) {
		case "text":
			r.Text(&text)
		case "members":
			members = map[string]string{}
			for name := range r.Members {
				members[string(name)] = string(r.Value())
			}
		case "elements":
			for i := range r.Elements {
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
		r := jsonscan.New([]byte(text))
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
		r := jsonscan.New([]byte(text))
		read(r)
		if err := r.End(); err == nil || !strings.Contains(err.Error(), want.err) || r.Offset() != want.offset {
			t.Errorf("%s: %v after byte %d, want %s after byte %d", text, err, r.Offset(), want.err, want.offset)
		}
	}
}

func TestText(t *testing.T) {
	t.Parallel()
	for value, want := range map[string]string{`"a\n"`: "a\n", `""`: "", `null`: "none", `["a"]`: "none", ``: "none"} {
		got, ok := jsonscan.Text([]byte(value))
		if !ok {
			got = "none"
		}
		if got != want {
			t.Errorf("%s is %q, want %q", value, got, want)
		}
	}
}

// FuzzMembers: a text is an object here if and only if it is one for encoding/json, and it
// has the same members.
func FuzzMembers(f *testing.F) {
	f.Add([]byte(` { "a" : "}\"\\" , "b":[1,{"c":[]}],"a":null,"\u00e9":-1e9 } `))
	f.Add([]byte(`{"a":"b`))
	f.Add([]byte(`null`))
	f.Add([]byte("{\"\xff\":\"\xff\"}"))
	f.Add([]byte(`{"a":1,}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		r, got := jsonscan.New(text), map[string]json.RawMessage{}
		for name := range r.Members {
			got[string(name)] = r.Value()
		}
		err := r.End()
		want := map[string]json.RawMessage{}
		if wantErr := json.Unmarshal(text, &want); (wantErr == nil) != (err == nil) {
			t.Fatalf("%q: %v, with encoding/json %v", text, err, wantErr)
		}
		if diff := cmp.Diff(len(want), len(got)); err == nil && diff != "" {
			t.Fatalf("members of %q (-encoding/json +jsonscan):\n%s", text, diff)
		}
		for name, value := range want {
			if err == nil && string(got[name]) != string(value) {
				t.Errorf("%q of %q is %s, with encoding/json %s", name, text, got[name], value)
			}
		}
	})
}

// TestFirstErrorStays: a loop ends after the first error.
func TestFirstErrorStays(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]struct {
		err    string
		offset int64
	}{
		`["a",5,"b"]`: {"/1: expected a string", 6},
		`["a",5,]`:    {"/1: expected a string", 6},
		`["a",[],{}]`: {"/1: expected a string", 7},
		`["a",tru]`:   {"invalid character ']'", 8},
		`["a",]`:      {"invalid character ','", 4},
		`["a","b"`:    {"unexpected EOF", 8},
	} {
		r := jsonscan.New([]byte(text))
		var got []string
		for range r.Elements {
			var element string
			if r.Text(&element); element != "" {
				got = append(got, element)
			}
		}
		if err := r.End(); err == nil || !strings.Contains(err.Error(), want.err) || r.Offset() != want.offset {
			t.Errorf("%s: %v after byte %d, want %s after byte %d", text, err, r.Offset(), want.err, want.offset)
		}
		if first := got[0]; first != "a" || len(got) > 2 {
			t.Errorf("%s: read %q", text, got)
		}
		if next, value := r.Peek(), r.Value(); next != jsontext.KindInvalid || value != nil {
			t.Errorf("%s: %v and %s are found after the error", text, next, value)
		}
	}
}

// TestNull: null leaves the value that was there, and an empty string does not.
func TestNull(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{`null`: "before", `""`: "", `"after"`: "after"} {
		r, got := jsonscan.New([]byte(text)), "before"
		r.Text(&got)
		if err := r.End(); err != nil || got != want {
			t.Errorf("Text of %s is %q, want %q, %v", text, got, want, err)
		}
		r.Reset([]byte(text))
		bytes := []byte("before")
		r.Bytes(&bytes)
		if err := r.End(); err != nil || string(bytes) != want {
			t.Errorf("Bytes of %s is %q, want %q, %v", text, bytes, want, err)
		}
	}
}

// TestReset: a reader keeps nothing of the text before, wherever reading ended.
func TestReset(t *testing.T) {
	t.Parallel()
	var r jsonscan.Reader // also with its zero value
	for _, before := range []string{
		``, `null`, `{"text":"a"}`, `{"text":"a"`, `{"text":5}`, `{"elements":[1,`, `{"text":"\q"}`, `[]`, `{} {}`, `}`, `{"text":{"a":{"b":[`,
	} {
		r.Reset([]byte(before))
		read(&r)
		_ = r.End()
		for _, after := range []string{`{"text":"b"}`, `{"text":true}`} {
			r.Reset([]byte(after))
			fresh := jsonscan.New([]byte(after))
			got, _, _ := read(&r)
			want, _, _ := read(fresh)
			if err, wantErr := r.End(), fresh.End(); got != want || (err == nil) != (wantErr == nil) || r.Offset() != fresh.Offset() {
				t.Errorf("%s after %s: %q, %v after byte %d, want %q, %v after byte %d", after, before, got, err, r.Offset(), want, wantErr, fresh.Offset())
			}
		}
	}
	// Reading ends in the middle of a value.
	r.Reset([]byte(`{"members":{"a":[1,2]},"text":"a"}`))
	for range r.Members {
		for range r.Members {
			break
		}
		break
	}
	r.Reset(nil)
	if err := r.End(); err != nil {
		t.Errorf("a reader of nothing: %v", err)
	}
}

// TestBreak: after a break out of a loop nothing more is read.
func TestBreak(t *testing.T) {
	t.Parallel()
	r := jsonscan.New([]byte(`[{"a":1},2]`))
	for range r.Elements {
		break
	}
	if r.Offset() != 1 {
		t.Errorf("read up to byte %d", r.Offset())
	}
	r = jsonscan.New([]byte(`{"a":1}`))
	for range r.Members {
		break
	}
	if r.Offset() != 4 {
		t.Errorf("read up to byte %d", r.Offset())
	}
}

// TestNoCopies: a payload may have megabytes, and most of its text need not be copied.
func TestNoCopies(t *testing.T) {
	t.Parallel()
	text := []byte(`{"a":"plain é","b":[1, 2]}`)
	r := jsonscan.New(text)
	var a, b []byte
	for name := range r.Members {
		if string(name) == "a" {
			r.Bytes(&a)
		} else {
			b = r.Value()
		}
	}
	if err := r.End(); err != nil || string(a) != "plain é" || &a[0] != &text[6] || string(b) != "[1, 2]" || &b[0] != &text[20] {
		t.Errorf("%q and %q, %v, are not parts of the text", a, b, err)
	}
}

// TestInt: an integer as a number or as a string, and nothing else.
func TestInt(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]struct {
		n   int64
		err string
	}{
		`15`: {15, ""}, `-1`: {-1, ""}, `"15"`: {15, ""}, `null`: {7, ""}, `9223372036854775807`: {9223372036854775807, ""},
		`1.5`: {7, "$: expected a whole number"}, `1e3`: {7, "$: expected a whole number"}, `""`: {7, "$: expected a whole number"},
		`true`: {7, "$: expected a whole number"}, `{"a":1}`: {7, "$: expected a whole number"}, `9223372036854775808`: {7, "$: expected a whole number"},
	} {
		got := int64(7)
		r := jsonscan.New([]byte(text))
		r.Int(&got)
		err := ""
		if e := r.End(); e != nil {
			err = e.Error()
		}
		if got != want.n || err != want.err {
			t.Errorf("%s: %d, %s, want %d, %s", text, got, err, want.n, want.err)
		}
	}
}
