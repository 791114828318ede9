package sandbox

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

type object = map[string]any

func newEventBus(t *testing.T) (*EventBus, func(operation string, in, out any) (code string)) {
	t.Helper()
	b := started(t, func() (*EventBus, error) { return NewEventBus("results") })
	client := newHTTPClient(t)
	// Without AWS's own client, which would be a module for one test.
	return b, func(operation string, in, out any) (code string) {
		t.Helper()
		body, err := json.Marshal(in)
		if err != nil {
			t.Fatal(err)
		}
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, b.URL()+"/", bytes.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/x-amz-json-1.1")
		req.Header.Set("X-Amz-Target", "AWSEvents."+operation)
		req.Header.Set("Authorization", scope+"events/aws4_request, SignedHeaders=host, Signature=0")
		resp, err := client.Do(req)
		if errors.Is(err, io.EOF) {
			return "EOF"
		} else if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		if resp.StatusCode == http.StatusOK {
			if err := json.NewDecoder(resp.Body).Decode(out); err != nil {
				t.Error(err)
			}
			return ""
		}
		var answer struct {
			Type string `json:"__type"`
		}
		if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil || answer.Type == "" {
			t.Errorf("status %s: %v", resp.Status, err)
		}
		return answer.Type
	}
}

// entryWith is a valid entry with changes; nil leaves a member out.
func entryWith(changes object) object {
	e := object{"EventBusName": arn("events", "event-bus/results"), "Source": "s", "DetailType": "t", "Detail": `{"a":1}`}
	for name, value := range changes {
		if e[name] = value; value == nil {
			delete(e, name)
		}
	}
	return e
}

func TestPutEvents(t *testing.T) {
	t.Parallel()
	b, call := newEventBus(t)
	var out putEventsResponse
	if code := call("PutEvents", object{"Entries": []object{
		entryWith(object{"Time": 1795417200.12}),
		entryWith(object{"Detail": "[]"}),
		entryWith(object{"EventBusName": "results", "Resources": []string{"r"}}),
	}}, &out); code != "" {
		t.Fatal(code)
	}
	events := b.Events()
	want := []BusEvent{
		{Version: "0", DetailType: "t", Source: "s", Account: Account, Region: Region, Resources: []string{}, Detail: []byte(`{"a":1}`), Time: time.Date(2026, 11, 23, 7, 0, 0, 0, time.UTC)},
		{Version: "0", DetailType: "t", Source: "s", Account: Account, Region: Region, Resources: []string{"r"}, Detail: []byte(`{"a":1}`)},
	}
	if diff := cmp.Diff(want, events, cmpopts.IgnoreFields(BusEvent{}, "ID"), cmpopts.IgnoreFields(BusEvent{}, "Time")); diff != "" {
		t.Fatalf("events (-want +got):\n%s", diff)
	}
	if !events[0].Time.Equal(want[0].Time) {
		t.Errorf("time %v", events[0].Time)
	}
	wantOut := putEventsResponse{1, []putEventsResult{{EventID: events[0].ID}, {ErrorCode: "MalformedDetail", ErrorMessage: "Detail is malformed."}, {EventID: events[1].ID}}}
	if diff := cmp.Diff(wantOut, out); diff != "" || events[0].ID == events[1].ID {
		t.Errorf("answer (-want +got):\n%s", diff)
	}
}

// TestBusEntries: a wrong entry does not affect the others.
func TestBusEntries(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		change object
		want   string
	}{
		{nil, ""},
		{object{"EventBusName": "other"}, "InvalidArgument"},
		{object{"EventBusName": nil}, "InvalidArgument"},
		{object{"Source": nil}, "InvalidArgument"},
		{object{"Source": "aws.s3"}, "NotAuthorizedForSourceException"},
		{object{"DetailType": nil}, "InvalidArgument"},
		{object{"DetailType": strings.Repeat("t", 129)}, "InvalidArgument"},
		{object{"Detail": nil}, "InvalidArgument"},
		{object{"Detail": "{"}, "MalformedDetail"},
		{object{"Detail": "null"}, "MalformedDetail"},
	} {
		b, call := newEventBus(t)
		var out putEventsResponse
		if code := call("PutEvents", object{"Entries": []object{entryWith(tt.change), entryWith(nil)}}, &out); code != "" {
			t.Fatal(code)
		}
		valid := 2
		if tt.want != "" {
			valid = 1
		}
		if out.Entries[0].ErrorCode != tt.want || out.Entries[1].ErrorCode != "" || out.FailedEntryCount != 2-valid || len(b.Events()) != valid {
			t.Errorf("%v: %+v", tt.change, out)
		}
	}
}

func TestBusRefusals(t *testing.T) {
	t.Parallel()
	// 14 for the time, and source and type.
	full := strings.Repeat("x", maxBusBytes-14-len("s")-len("t")-len(`{"a":""}`))
	for name, tt := range map[string]struct {
		entries []object
		want    string // the code
	}{
		"no entries":                 {nil, "ValidationException"},
		"eleven":                     {make([]object, 11), "ValidationException"},
		"full to the byte":           {[]object{entryWith(object{"Time": 1, "Detail": `{"a":"` + full + `"}`})}, ""},
		"one byte more":              {[]object{entryWith(object{"Time": 1, "Detail": `{"a":"` + full + `x"}`})}, "ValidationException"},
		"full to the byte with more": {[]object{entryWith(object{"Detail": `{"a":"` + full[1:] + `"}`, "Resources": []string{strings.Repeat("r", 15)}})}, ""},
		"a resource's byte too much": {[]object{entryWith(object{"Detail": `{"a":"` + full[1:] + `"}`, "Resources": []string{strings.Repeat("r", 16)}})}, "ValidationException"},
		"too much, in two":           {[]object{entryWith(nil), entryWith(object{"Time": 1, "Detail": `{"a":"` + full + `"}`})}, "ValidationException"},
		"entries that are no list":   {nil, "SerializationException"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b, call := newEventBus(t)
			in := object{"Entries": tt.entries}
			if tt.want == "SerializationException" {
				in["Entries"] = 1
			}
			code := call("PutEvents", in, new(any))
			if code != tt.want || len(b.Events()) > 0 != (code == "") {
				t.Errorf("%s, %d events", code, len(b.Events()))
			}
		})
	}
	_, call := newEventBus(t)
	if code := call("PutRule", object{}, new(any)); code != "UnknownOperationException" {
		t.Error(code)
	}
}

func TestBusFaults(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		fault EventBusFault
		put   int
		code  string
	}{
		"refused":         {EventBusFault{Status: 400, Code: "ThrottlingException"}, 0, "ThrottlingException"},
		"reset":           {EventBusFault{Reset: true}, 0, "EOF"},
		"its answer lost": {EventBusFault{AnswerLost: true}, 1, "EOF"},
		"an entry":        {EventBusFault{Entries: map[int]string{0: "InternalFailure"}}, 0, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b, call := newEventBus(t)
			b.Script(tt.fault)
			in := object{"Entries": []object{entryWith(nil)}}
			var out putEventsResponse
			if code := call("PutEvents", in, &out); code != tt.code {
				t.Error(code)
			}
			if tt.code == "" && (out.FailedEntryCount != 1 || out.Entries[0].ErrorCode != "InternalFailure") {
				t.Errorf("answer %+v", out)
			}
			if got := len(b.Events()); got != tt.put {
				t.Errorf("%d events", got)
			}
			if code := call("PutEvents", in, &out); code != "" || len(b.Events()) != tt.put+1 || b.Calls() != 2 {
				t.Errorf("after it: %s, %d events, %d calls", code, len(b.Events()), b.Calls())
			}
		})
	}
}
