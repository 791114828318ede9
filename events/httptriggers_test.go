package events

import (
	"cmp"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"cbr-replicator/internal/cbr"
	"cbr-replicator/internal/delivery"
	"cbr-replicator/internal/kind"
)

// httpTriggers are all HTTP triggers, each with its sample. A load balancer is two:
// its target group may have multi-value headers.
var httpTriggers = map[string]struct {
	sample string
	multi  bool
}{
	"HTTP API":             {sample: "apigw-http"},
	"function URL":         {sample: "function-url"},
	"REST API":             {sample: "apigw-rest"},
	"ALB":                  {sample: "alb"},
	"ALB with multi-value": {sample: "alb", multi: true},
}

// httpTriggerEvent is a request as an HTTP trigger brings it.
func httpTriggerEvent(t testing.TB, trigger, method, path string, body any, isBase64 bool) []byte {
	t.Helper()
	d := httpTriggers[trigger]
	return sampleWith(t, d.sample, func(e map[string]any) {
		e["body"], e["isBase64Encoded"] = body, isBase64
		rc := e["requestContext"].(map[string]any)
		if call, ok := rc["http"].(map[string]any); ok {
			e["rawPath"], call["path"], call["method"] = path, path, method
		} else {
			e["path"], e["httpMethod"] = path, method
		}
		if d.multi {
			multi := map[string]any{}
			for k, v := range e["headers"].(map[string]any) {
				multi[k] = []any{v}
			}
			e["multiValueHeaders"] = multi
			delete(e, "headers")
		}
	})
}

// httpTriggerReply reads a trigger's answer strictly: a field that only another
// trigger has is a fault.
func httpTriggerReply(t testing.TB, trigger string, reply []byte) httpReply {
	t.Helper()
	d := httpTriggers[trigger]
	var got struct {
		StatusCode        int                 `json:"statusCode"`
		StatusDescription string              `json:"statusDescription"`
		Headers           map[string]string   `json:"headers"`
		MultiValueHeaders map[string][]string `json:"multiValueHeaders"`
		Body              string              `json:"body"`
		IsBase64          *bool               `json:"isBase64Encoded"`
	}
	dec := json.NewDecoder(strings.NewReader(string(reply)))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&got); err != nil {
		t.Fatalf("%s: %v", reply, err)
	}
	description := ""
	if d.sample == "alb" {
		description = fmt.Sprintf("%d %s", got.StatusCode, http.StatusText(got.StatusCode))
	}
	if got.StatusDescription != description {
		t.Errorf("statusDescription %q, want %q", got.StatusDescription, description)
	}
	if got.IsBase64 == nil || *got.IsBase64 {
		t.Errorf("isBase64Encoded is wrong in %s", reply)
	}
	if (got.MultiValueHeaders != nil) != d.multi || (got.Headers != nil) == d.multi {
		t.Errorf("headers of the wrong form in %s", reply)
	}
	if d.multi {
		got.Headers = map[string]string{}
		for k, v := range got.MultiValueHeaders {
			got.Headers[k] = strings.Join(v, "|")
		}
	}
	return httpReply{StatusCode: got.StatusCode, Headers: got.Headers, Body: got.Body}
}

func TestHTTPTriggers(t *testing.T) {
	t.Parallel()
	const nothing, malformed = "$: expected a JSON object and nothing else; there is nothing", "$: expected a JSON object and nothing else; it "
	good := string(encode(t, map[string]any{"replicate": requestFor(vaultA).Replicate}))
	long := func(n int) string { return `{"x":"` + strings.Repeat("x", n) + `"}` }
	encoded := func(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }
	for name, tt := range map[string]struct {
		method   string // POST if empty
		path     string // "/" if empty
		body     any
		isBase64 bool
		wrong    string // with the request
		status   int    // of what asks for no replication
	}{
		"good":            {path: replicatePath, body: good},
		"good in base64":  {path: replicatePath, body: encoded(good), isBase64: true},
		"a request":       {body: `{}`},
		"below a stage":   {path: "/prod" + replicatePath, body: good},
		"bad JSON":        {path: replicatePath, body: `{"replicate":`, wrong: malformed + "breaks off at line 1, column 14"},
		"bad base64":      {path: replicatePath, body: "{}", isBase64: true, wrong: "$: expected base64"},
		"empty":           {body: "", wrong: nothing},
		"null":            {body: nil, wrong: nothing},
		"empty in base64": {body: "", isBase64: true, wrong: nothing},
		"1 MB":            {body: long(1 << 20), wrong: "unknown field x"},
		"6 MB":            {body: long(6 << 20), wrong: "unknown field x"},
		"health check":    {method: "GET", body: "", status: 200},
		"HEAD":            {method: "HEAD", status: 200},
		"wrong method":    {method: "GET", path: replicatePath, status: 405},
		"method of root":  {method: "DELETE", status: 405},
		"wrong path":      {path: "/v3/" + project + "/checkpoints", body: good, status: 404},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for trigger := range httpTriggers {
				b := mustDecode(t, httpDecoder(), httpTriggerEvent(t, trigger, cmp.Or(tt.method, "POST"), cmp.Or(tt.path, "/"), tt.body, tt.isBase64))
				var outcomes []delivery.Outcome
				want := tt.status
				if want == 0 {
					if len(b.Deliveries) != 1 {
						t.Fatalf("%s: %d deliveries", trigger, len(b.Deliveries))
					}
					del := b.Deliveries[0]
					if (del.Err == nil) != (tt.wrong == "") || del.Err != nil && del.Err.Message != tt.wrong {
						t.Errorf("%s: error %v, want %s", trigger, del.Err, tt.wrong)
					}
					outcomes, want = []delivery.Outcome{{Err: del.Err}}, 200
					if tt.wrong != "" {
						want = 400
					}
				}
				if len(b.Deliveries) != len(outcomes) {
					t.Fatalf("%s: deliveries %+v", trigger, b.Deliveries)
				}
				reply, err := b.Reply(outcomes)
				if err != nil {
					t.Fatalf("%s: a Lambda error, which is no HTTP answer: %v", trigger, err)
				}
				got := httpTriggerReply(t, trigger, reply)
				if got.StatusCode != want || got.Headers["Content-Type"] != "application/json" ||
					got.Headers["X-Request-Id"] != invocation.RequestID || !json.Valid([]byte(got.Body)) {
					t.Errorf("%s: answer %+v, want %d", trigger, got, want)
				}
			}
		})
	}
}

// TestHTTPRequestedAt: a time in the header counts like one in the body. Two times
// that differ are an error.
func TestHTTPRequestedAt(t *testing.T) {
	t.Parallel()
	const both = "requested_at: expected the same time as in X-Requested-At"
	at := time.Date(2026, 11, 23, 2, 0, 0, 0, time.UTC)
	for name, tt := range map[string]struct {
		header, path, body string
		want               time.Time
		wrong              string
	}{
		"none":                   {"", "/", `{}`, time.Time{}, ""},
		"header":                 {"2026-11-23T02:00:00Z", "/", `{}`, at, ""},
		"header, in lower case":  {"2026-11-23t02:00:00z", replicatePath, `{}`, at, ""},
		"body":                   {"", "/", `{"requested_at":"2026-11-23T02:00:00Z"}`, at, ""},
		"both, the same":         {"2026-11-23T03:00:00.0+01:00", "/", `{"requested_at":"2026-11-23T02:00:00Z"}`, at, ""},
		"both, not the same":     {"2026-11-23T02:00:01Z", "/", `{"requested_at":"2026-11-23T02:00:00Z"}`, time.Time{}, both},
		"no time":                {"yesterday", "/", `{}`, time.Time{}, "X-Requested-At: expected " + wantTime},
		"twice":                  {"2026-11-23T02:00:00Z,2026-11-23T02:00:00Z", "/", `{}`, time.Time{}, "X-Requested-At: expected " + wantTime},
		"within an envelope":     {"2026-11-23T02:00:00Z", "/", `{"Type":"Notification","Message":"{}"}`, at, ""},
		"not of a wrong request": {"yesterday", "/", `{"region":1}`, time.Time{}, "region: expected a string, " + wantRegion},
		"another project, too": {
			"yesterday", replicatePath, `{"project_id":"0123456789abcdef0123456789abcdef","correlation_id":"c"}`,
			time.Time{},
			"project_id: expected the one in the path; X-Requested-At: expected " + wantTime,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for trigger, form := range httpTriggers {
				var event map[string]any
				if err := json.Unmarshal(httpTriggerEvent(t, trigger, "POST", tt.path, tt.body, false), &event); err != nil {
					t.Fatal(err)
				}
				if form.multi {
					event["multiValueHeaders"].(map[string]any)["x-requested-at"] = []any{tt.header}
				} else {
					event["headers"].(map[string]any)["x-requested-at"] = tt.header
				}
				got := mustDecode(t, httpDecoder(), encode(t, event)).Deliveries[0]
				if (got.Err == nil) != (tt.wrong == "") || got.Err != nil && got.Err.Message != tt.wrong {
					t.Errorf("%s: error %v, want %s", trigger, got.Err, tt.wrong)
				}
				if !got.Request.RequestedAt.Equal(tt.want) {
					t.Errorf("%s: requested at %v, want %v", trigger, got.Request.RequestedAt, tt.want)
				}
			}
		})
	}
}

// TestHTTPGolden is each trigger's answer to the byte.
func TestHTTPGolden(t *testing.T) {
	t.Parallel()
	id := invocation.RequestID // if CBR gave none
	var (
		copies = `"body":"{\"replication\":{\"backups\":[]}}","isBase64Encoded":false}`
		fault  = `"body":"{\"error_code\":\"APIGW.0308\",\"error_msg\":\"slower\"}","isBase64Encoded":false}`
		gwOK   = `{"statusCode":200,"headers":{"Content-Type":"application/json","X-Request-Id":"r","X-Result-Published":"true"},` + copies
		gwBusy = `{"statusCode":429,"headers":{"Content-Type":"application/json","Retry-After":"30","X-Request-Id":"` + id + `","X-Result-Published":"true"},` + fault
	)
	for trigger, want := range map[string]struct{ accepted, throttled string }{
		"HTTP API":     {gwOK, gwBusy},
		"function URL": {gwOK, gwBusy},
		"REST API":     {gwOK, gwBusy},
		"ALB": {
			`{"statusCode":200,"statusDescription":"200 OK","headers":{"Content-Type":"application/json","X-Request-Id":"r","X-Result-Published":"true"},` + copies,
			`{"statusCode":429,"statusDescription":"429 Too Many Requests","headers":{"Content-Type":"application/json","Retry-After":"30","X-Request-Id":"` + id + `","X-Result-Published":"true"},` + fault,
		},
		"ALB with multi-value": {
			`{"statusCode":200,"statusDescription":"200 OK","multiValueHeaders":{"Content-Type":["application/json"],"X-Request-Id":["r"],"X-Result-Published":["true"]},` + copies,
			`{"statusCode":429,"statusDescription":"429 Too Many Requests","multiValueHeaders":{"Content-Type":["application/json"],"Retry-After":["30"],"X-Request-Id":["` + id + `"],"X-Result-Published":["true"]},` + fault,
		},
	} {
		b := mustDecode(t, httpDecoder(), httpTriggerEvent(t, trigger, "POST", replicatePath, "{}", false))
		for _, tt := range []struct {
			outcome delivery.Outcome
			want    string
		}{
			{delivery.Outcome{Answer: cbr.Answer{Status: 200, RequestID: "r", Replication: json.RawMessage(`{"backups":[]}`)}}, want.accepted},
			{delivery.Outcome{Err: &kind.Error{Kind: kind.Throttled, Code: "APIGW.0308", Message: "slower"}}, want.throttled},
		} {
			got, err := b.Reply([]delivery.Outcome{tt.outcome})
			if err != nil {
				t.Fatal(err)
			}
			if diff := gocmp.Diff(tt.want, string(got)); diff != "" {
				t.Errorf("%s (-want +got):\n%s", trigger, diff)
			}
		}
	}
}

// TestHTTPRoot: the root is below a stage or a base path, too.
func TestHTTPRoot(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		sample string
		change func(map[string]any)
		root   bool
	}{
		"REST API":                     {"apigw-rest", func(e map[string]any) { e["path"] = "/" }, true},
		"REST API below a base path":   {"apigw-rest", func(e map[string]any) { e["path"], e["resource"] = "/base/path", "/" }, true},
		"another resource of it":       {"apigw-rest", func(e map[string]any) { e["path"], e["resource"] = "/base/path", "/path" }, false},
		"an HTTP API's format 1.0":     {"apigw-rest", func(e map[string]any) { e["path"], e["resource"] = "/prod/", "$default" }, true},
		"a path like a longer stage":   {"apigw-rest", func(e map[string]any) { e["path"], e["resource"] = "/product", "/{proxy+}" }, false},
		"a load balancer has no stage": {"alb", func(e map[string]any) { e["path"] = "/prod" }, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			payload := sampleWith(t, tt.sample, func(e map[string]any) {
				e["body"] = "{}"
				tt.change(e)
			})
			if got := len(mustDecode(t, httpDecoder(), payload).Deliveries) == 1; got != tt.root {
				t.Errorf("is the root: %t, want %t", got, tt.root)
			}
		})
	}
	// A stage of the name that CBR's path begins with.
	payload := sampleWith(t, "apigw-rest", func(e map[string]any) { e["requestContext"].(map[string]any)["stage"] = "v3" })
	if got := mustDecode(t, httpDecoder(), payload); len(got.Deliveries) != 1 {
		t.Error("stage v3: no such path")
	}
}

func TestRESTDeadline(t *testing.T) {
	t.Parallel()
	for arrived, want := range map[time.Time]time.Time{
		invocation.Began.Add(-3 * time.Second): invocation.Began.Add(24 * time.Second),
		time.UnixMilli(0):                      invocation.Began.Add(27 * time.Second),
	} {
		payload := sampleWith(t, "apigw-rest", func(e map[string]any) {
			e["requestContext"].(map[string]any)["requestTimeEpoch"] = arrived.UnixMilli()
		})
		if got := mustDecode(t, httpDecoder(), payload).Deadline; !got.Equal(want) {
			t.Errorf("arrived at %v: deadline %v, want %v", arrived, got, want)
		}
	}
}

// TestALBWithoutTrace: no two deliveries share a name.
func TestALBWithoutTrace(t *testing.T) {
	t.Parallel()
	payload := sampleWith(t, "alb", func(e map[string]any) { delete(e["headers"].(map[string]any), "x-amzn-trace-id") })
	if got := mustDecode(t, httpDecoder(), payload).Deliveries[0].CausationID; got != invocation.RequestID {
		t.Errorf("causation id %s", got)
	}
}
