package sandbox

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"cbr-replicator/internal/cbr/cbrtest"
)

// newSMNTopic returns a topic and what calls it, with the account's token. The answer is its code, "" for a message that was
// taken.
func newSMNTopic(t *testing.T) (*SMNTopic, func(body any, change func(*http.Request)) (code string)) {
	t.Helper()
	account := cbrtest.New()
	account.AddExample()
	topic, err := NewSMNTopic("results", account)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(topic.Close)
	client := newHTTPClient(t)
	return topic, func(body any, change func(*http.Request)) (code string) {
		t.Helper()
		text, err := json.Marshal(body)
		if err != nil {
			t.Fatal(err)
		}
		path := "/v2/" + cbrtest.SourceProject + "/notifications/topics/" + topic.URN() + "/publish"
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, topic.URL()+path, bytes.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/json;charset=utf-8")
		req.Header.Set("X-Auth-Token", cbrtest.Token)
		if change != nil {
			change(req)
		}
		resp, err := client.Do(req)
		if errors.Is(err, io.EOF) {
			return "EOF"
		} else if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		var answer struct {
			RequestID string `json:"request_id"`
			MessageID string `json:"message_id"`
			Code      string `json:"code"`
			Gateway   string `json:"error_code"`
		}
		if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil || answer.RequestID == "" || (resp.StatusCode == 200) != (answer.MessageID != "") {
			t.Errorf("%s: %+v, %v", resp.Status, answer, err)
		}
		return answer.Code + answer.Gateway
	}
}

func smnAttributes(pairs ...string) []object {
	all := []object{}
	for i := 0; i < len(pairs); i += 2 {
		all = append(all, object{"name": pairs[i], "type": "STRING", "value": pairs[i+1]})
	}
	return all
}

func TestSMNPublish(t *testing.T) {
	t.Parallel()
	topic, call := newSMNTopic(t)
	if code := call(object{"message": "hello", "subject": "s", "time_to_live": "86400", "message_attributes": smnAttributes("status", "accepted")}, nil); code != "" {
		t.Fatal(code)
	}
	if code := call(object{"message": "again"}, func(r *http.Request) {
		r.URL.RawPath = strings.ReplaceAll(r.URL.Path, ":", "%3A")
	}); code != "" {
		t.Fatal(code)
	}
	messages := topic.Messages()
	if len(messages) != 2 || messages[0].ID == messages[1].ID || len(messages[0].ID) != 32 || topic.Calls() != 2 {
		t.Fatalf("%+v", messages)
	}
	if m := messages[0]; m.Message != "hello" || m.Subject != "s" || cmp.Diff(map[string]string{"status": "accepted"}, m.Attributes) != "" {
		t.Errorf("%+v", m)
	}
}

// TestSMNRefuses: what SMN takes, to the byte, and what it does not.
func TestSMNRefuses(t *testing.T) {
	t.Parallel()
	path := func(from, to string) func(*http.Request) {
		return func(r *http.Request) { r.URL.Path = strings.ReplaceAll(r.URL.Path, from, to) }
	}
	header := func(name, value string) func(*http.Request) {
		return func(r *http.Request) { r.Header.Set(name, value) }
	}
	attribute := func(name, value string) object {
		return object{"message": "m", "message_attributes": smnAttributes(name, value)}
	}
	eleven := []string{}
	for _, c := range "abcdefghijk" {
		eleven = append(eleven, string(c), "v")
	}
	const attributeFault = "SMN.0046"
	for name, tt := range map[string]struct {
		body   any
		change func(*http.Request)
		want   string
	}{
		"no token":                  {object{"message": "m"}, func(r *http.Request) { r.Header.Del("X-Auth-Token") }, "APIGW.0301"},
		"another token":             {object{"message": "m"}, header("X-Auth-Token", "MIIother"), "APIGW.0301"},
		"another project":           {object{"message": "m"}, path("/v2/"+cbrtest.SourceProject, "/v2/"+cbrtest.DestinationProject), "APIGW.0302"},
		"another topic":             {object{"message": "m"}, path(":results", ":other"), "SMN.0006"},
		"no URN":                    {object{"message": "m"}, path("urn:smn:", "urn:sns:"), "SMN.0005"},
		"another path":              {object{"message": "m"}, path("/publish", "/detail"), "APIGW.0101"},
		"another method":            {object{"message": "m"}, func(r *http.Request) { r.Method = http.MethodPut }, "APIGW.0101"},
		"another type of content":   {object{"message": "m"}, header("Content-Type", "text/plain"), "SMN.0126"},
		"no object":                 {[]int{1}, nil, "SMN.0046"},
		"what is not modelled":      {object{"message": "m", "message_template_name": "t"}, nil, "sandbox.NotModelled"},
		"no message":                {object{"subject": "s"}, nil, "SMN.0009"},
		"an empty message":          {object{"message": ""}, nil, "SMN.0009"},
		"256 KB":                    {object{"message": strings.Repeat("m", 256<<10)}, nil, ""},
		"256 KB of quotes":          {object{"message": strings.Repeat(`"`, 256<<10)}, nil, ""},
		"a byte more":               {object{"message": strings.Repeat("m", 256<<10+1)}, nil, "SMN.0009"},
		"a long subject":            {object{"message": "m", "subject": strings.Repeat("s", 512)}, nil, ""},
		"a longer one":              {object{"message": "m", "subject": strings.Repeat("s", 513)}, nil, "SMN.0008"},
		"a time of more than a day": {object{"message": "m", "time_to_live": "86401"}, nil, attributeFault},
		"a time that is no number":  {object{"message": "m", "time_to_live": "1h"}, nil, attributeFault},
		"a time that is no text":    {object{"message": "m", "time_to_live": 3600}, nil, attributeFault},
		"ten attributes":            {object{"message": "m", "message_attributes": smnAttributes(eleven[2:]...)}, nil, ""},
		"eleven":                    {object{"message": "m", "message_attributes": smnAttributes(eleven...)}, nil, attributeFault},
		"one twice":                 {object{"message": "m", "message_attributes": smnAttributes("a", "v", "a", "w")}, nil, attributeFault},
		"a long attribute":          {attribute(strings.Repeat("n", 32), strings.Repeat("v", 32)), nil, ""},
		"a longer name":             {attribute(strings.Repeat("n", 33), "v"), nil, attributeFault},
		"a longer value":            {attribute("n", strings.Repeat("v", 33)), nil, attributeFault},
		"a value in Chinese":        {attribute("n", "已接受"), nil, ""},
		"no value":                  {attribute("n", ""), nil, attributeFault},
		"no name":                   {attribute("", "v"), nil, attributeFault},
		"a hyphen in a name":        {attribute("content-type", "v"), nil, attributeFault},
		"a hyphen in a value":       {attribute("n", "cn-north-4"), nil, attributeFault},
		"a dot in a value":          {attribute("n", "v.1"), nil, attributeFault},
		"a capital in a name":       {attribute("N", "v"), nil, attributeFault},
		"a capital in a value":      {attribute("n", "NotCovered"), nil, ""},
		"an underscore at the end":  {attribute("n_", "v"), nil, attributeFault},
		"two underscores":           {attribute("a__b", "v"), nil, attributeFault},
		"a name of SMN's own":       {attribute("smn_protocol", "v"), nil, attributeFault},
		"a value that is no text":   {object{"message": "m", "message_attributes": []object{{"name": "n", "type": "STRING", "value": 1}}}, nil, attributeFault},
		"another type":              {object{"message": "m", "message_attributes": []object{{"name": "n", "type": "Number", "value": "1"}}}, nil, attributeFault},
		"a list":                    {object{"message": "m", "message_attributes": []object{{"name": "n", "type": "STRING_ARRAY", "value": []string{"v"}}}}, nil, "sandbox.NotModelled"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			topic, call := newSMNTopic(t)
			taken := 0
			code := call(tt.body, tt.change)
			if tt.want == "" {
				taken = 1
			}
			if code != tt.want || len(topic.Messages()) != taken {
				t.Errorf("%q, want %q; %d taken", code, tt.want, len(topic.Messages()))
			}
		})
	}
}

func TestSMNFaults(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		fault SMNFault
		taken int
		code  string
	}{
		"refused":         {SMNFault{Status: 403, Code: "SMN.0001"}, 0, "SMN.0001"},
		"reset":           {SMNFault{Reset: true}, 0, "EOF"},
		"its answer lost": {SMNFault{AnswerLost: true}, 1, "EOF"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			topic, call := newSMNTopic(t)
			topic.Script(tt.fault)
			if code := call(object{"message": "m"}, nil); code != tt.code || len(topic.Messages()) != tt.taken {
				t.Errorf("%s, %d taken", code, len(topic.Messages()))
			}
			if code := call(object{"message": "m"}, nil); code != "" || len(topic.Messages()) != tt.taken+1 || topic.PeakInFlight() != 1 {
				t.Errorf("after it: %s, %d taken, %d at once", code, len(topic.Messages()), topic.PeakInFlight())
			}
		})
	}
}
