package events

import (
	"cmp"
	"encoding/base64"
	"encoding/json"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"cbr-replicator/internal/cbr"
	"cbr-replicator/internal/delivery"
	"cbr-replicator/internal/kind"
)

const replicatePath = "/v3/" + project + "/checkpoints/replicate"

// httpEvent is a request to an HTTP API.
func httpEvent(t testing.TB, method, path string, body any) []byte {
	t.Helper()
	return sampleWith(t, "apigw-http", func(e map[string]any) {
		e["rawPath"], e["body"] = path, body
		call := e["requestContext"].(map[string]any)["http"].(map[string]any)
		call["method"], call["path"] = method, path
	})
}

func httpDecoder() *Decoder {
	d := newDecoder()
	d.Defaults = fullDefaults
	return d
}

// httpReply is an answer in the payload format 2.0.
type httpReply struct {
	StatusCode      int
	Headers         map[string]string
	Body            string
	IsBase64Encoded *bool
}

func reply(t testing.TB, b *Batch, outcomes ...delivery.Outcome) httpReply {
	t.Helper()
	got, err := b.Reply(outcomes)
	if err != nil {
		t.Fatalf("a Lambda error, which is no HTTP answer: %v", err)
	}
	var r httpReply
	if err := json.Unmarshal(got, &r); err != nil {
		t.Fatalf("%s: %v", got, err)
	}
	if r.IsBase64Encoded == nil || *r.IsBase64Encoded {
		t.Errorf("isBase64Encoded is wrong in %s", got)
	}
	return r
}

// TestHTTPReply is the HTTP column of the table of kinds.
func TestHTTPReply(t *testing.T) {
	t.Parallel()
	const requestID = "7a1ab7b5b5d3465b93ab6dd13dbd21d6"
	replication := json.RawMessage(`{"vault_id":"` + vaultA + `","backups":[{"backup_id":"b"}]}`)
	answered := func(status int, k kind.Kind, code string) delivery.Outcome {
		return delivery.Outcome{
			Err:    &kind.Error{Kind: k, Code: code, Message: "Because.", HTTPStatus: status},
			Answer: cbr.Answer{Sent: true, Status: status, RequestID: requestID},
		}
	}
	unanswered := func(k kind.Kind) delivery.Outcome {
		return delivery.Outcome{Err: &kind.Error{Kind: k, Message: "Because."}}
	}
	change := func(o delivery.Outcome, f func(*delivery.Outcome)) delivery.Outcome { f(&o); return o }
	fault := func(code string) string { return `{"error_code":"` + code + `","error_msg":"Because."}` }

	for name, tt := range map[string]struct {
		outcome    delivery.Outcome
		status     int
		body       string
		retryAfter string
		noID       bool // CBR was not called, or gave no id
		published  string
	}{
		"accepted": {
			outcome: delivery.Outcome{Answer: cbr.Answer{Sent: true, Status: 200, RequestID: requestID, Replication: replication}},
			status:  200, body: `{"replication":` + string(replication) + `}`,
		},
		"accepted with 202": {
			outcome: delivery.Outcome{Answer: cbr.Answer{Sent: true, Status: 202, RequestID: requestID, Replication: replication}},
			status:  200, body: `{"replication":` + string(replication) + `}`,
		},
		"accepted, not published": {
			outcome: delivery.Outcome{
				Answer:     cbr.Answer{Sent: true, Status: 200, RequestID: requestID, Replication: replication},
				PublishErr: &kind.Error{Kind: kind.PublishFailed, Message: "the topic is gone"},
			},
			status: 200, body: `{"replication":` + string(replication) + `}`, published: "false",
		},
		"AlreadyReplicated": {outcome: answered(400, kind.AlreadyReplicated, "BackupService.1009"), status: 400, body: fault("BackupService.1009")},
		"NothingToReplicate": {
			outcome: answered(400, kind.NothingToReplicate, "BackupService.0001"), status: 400, body: fault("BackupService.0001"),
		},
		"NothingToReplicate with 200": {
			outcome: change(answered(200, kind.NothingToReplicate, ""), func(o *delivery.Outcome) { o.Answer.Replication = json.RawMessage(`{"backups":[]}`) }),
			status:  200, body: `{"replication":{"backups":[]}}`,
		},
		"NotCovered":             {outcome: answered(400, kind.NotCovered, "BackupService.1009"), status: 400, body: fault("BackupService.1009")},
		"InProgress":             {outcome: answered(400, kind.InProgress, "BackupService.6130"), status: 409, body: fault("BackupService.6130"), retryAfter: "900"},
		"InvalidEvent":           {outcome: unanswered(kind.InvalidEvent), status: 400, body: fault("InvalidEvent"), noID: true},
		"NotAllowed":             {outcome: unanswered(kind.NotAllowed), status: 403, body: fault("NotAllowed"), noID: true},
		"Rejected":               {outcome: answered(404, kind.Rejected, "BackupService.6105"), status: 404, body: fault("BackupService.6105")},
		"Rejected with 500":      {outcome: answered(500, kind.Rejected, "BackupService.1005"), status: 500, body: fault("BackupService.1005")},
		"Misconfigured":          {outcome: answered(404, kind.Misconfigured, "APIGW.0101"), status: 502, body: fault("APIGW.0101")},
		"Unauthorized":           {outcome: answered(401, kind.Unauthorized, "APIGW.0307"), status: 502, body: fault("APIGW.0307")},
		"Unauthorized, no code":  {outcome: answered(403, kind.Unauthorized, ""), status: 502, body: fault("Unauthorized")},
		"Throttled":              {outcome: answered(429, kind.Throttled, "APIGW.0308"), status: 429, body: fault("APIGW.0308"), retryAfter: "30"},
		"Unavailable":            {outcome: answered(503, kind.Unavailable, ""), status: 503, body: fault("Unavailable"), retryAfter: "30"},
		"Unavailable, no answer": {outcome: unanswered(kind.Unavailable), status: 503, body: fault("Unavailable"), retryAfter: "30", noID: true},
		"Unknown":                {outcome: answered(500, kind.Unknown, "BackupService.9910"), status: 504, body: fault("BackupService.9910")},
		"Unknown, cut 200":       {outcome: answered(200, kind.Unknown, ""), status: 504, body: fault("Unknown")},
		"OutOfTime":              {outcome: unanswered(kind.OutOfTime), status: 504, body: fault("OutOfTime"), noID: true},
		"Internal":               {outcome: unanswered(kind.Internal), status: 500, body: fault("Internal"), noID: true},
		"a kind nobody knows":    {outcome: unanswered("Nonsense"), status: 500, body: fault("Nonsense"), noID: true},
		"failed, not published": {
			outcome: change(unanswered(kind.Internal), func(o *delivery.Outcome) { o.PublishErr = &kind.Error{Kind: kind.PublishFailed} }),
			status:  500, body: fault("Internal"), noID: true, published: "false",
		},
		// CBR's own Retry-After counts before ours, and is rounded up.
		"CBR says when": {
			outcome: change(answered(429, kind.Throttled, "APIGW.0308"), func(o *delivery.Outcome) { o.Err.RetryAfter = 1200 * time.Millisecond }),
			status:  429, body: fault("APIGW.0308"), retryAfter: "2",
		},
		"CBR says when, in vain": {
			outcome: change(answered(404, kind.Rejected, "BackupService.6105"), func(o *delivery.Outcome) { o.Err.RetryAfter = time.Minute }),
			status:  404, body: fault("BackupService.6105"),
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			want := httpReply{StatusCode: tt.status, Body: tt.body, Headers: map[string]string{
				"Content-Type": "application/json", "X-Request-Id": requestID, "X-Result-Published": "true",
			}}
			if tt.noID {
				want.Headers["X-Request-Id"] = invocation.RequestID
			}
			if tt.retryAfter != "" {
				want.Headers["Retry-After"] = tt.retryAfter
			}
			if tt.published != "" {
				want.Headers["X-Result-Published"] = tt.published
			}
			for _, name := range []string{"apigw-http", "function-url"} {
				got := reply(t, mustDecode(t, httpDecoder(), sample(t, name)), tt.outcome)
				got.IsBase64Encoded = nil
				if diff := gocmp.Diff(want, got); diff != "" {
					t.Errorf("%s (-want +got):\n%s", name, diff)
				}
			}
		})
	}
}

func TestHTTPReplyVerbatim(t *testing.T) {
	t.Parallel()
	got, err := mustDecode(t, httpDecoder(), sample(t, "apigw-http")).Reply([]delivery.Outcome{{
		Answer: cbr.Answer{Status: 200, RequestID: "r", Replication: json.RawMessage(`{"backups":[]}`)},
	}})
	want := `{"statusCode":200,"headers":{"Content-Type":"application/json","X-Request-Id":"r","X-Result-Published":"true"},` +
		`"body":"{\"replication\":{\"backups\":[]}}","isBase64Encoded":false}`
	if err != nil || string(got) != want {
		t.Errorf("reply %s, %v\nwant  %s", got, err, want)
	}
}

func TestHTTPRoutes(t *testing.T) {
	t.Parallel()
	const (
		notFound  = `{"error_code":"NotFound","error_msg":"no such path; expected POST /v3/{project_id}/checkpoints/replicate, POST /v3/{project_id}/backups/{backup_id}/replicate or POST /"}`
		fault     = `{"error_code":"MethodNotAllowed","error_msg":"expected `
		ok        = `{"status":"ok"}`
		replicate = "replicate" // asks for a replication
	)
	for _, tt := range []struct {
		method, path string
		stage        string // $default if empty
		status       int
		allow, body  string
	}{
		{method: "POST", path: replicatePath, body: replicate},
		{method: "POST", path: replicatePath + "/", body: replicate},
		{method: "POST", path: "/prod" + replicatePath, stage: "prod", body: replicate},
		{method: "POST", path: "/base/path" + replicatePath, stage: "prod", body: replicate},
		{method: "POST", path: strings.TrimPrefix(replicatePath, "/"), body: replicate},
		{method: "POST", path: "/", body: replicate},
		{method: "POST", path: "", body: replicate},
		{method: "POST", path: "/prod", stage: "prod", body: replicate},
		{method: "POST", path: "/prod/", stage: "prod", body: replicate},
		{method: "GET", path: "/", status: 200, body: ok},
		{method: "HEAD", path: "/", status: 200, body: ok},
		{method: "GET", path: "/prod/", stage: "prod", status: 200, body: ok},
		{method: "GET", path: replicatePath, status: 405, allow: "POST", body: fault + `POST"}`},
		{method: "DELETE", path: "/prod" + replicatePath, stage: "prod", status: 405, allow: "POST", body: fault + `POST"}`},
		{method: "PUT", path: "/", status: 405, allow: "GET, HEAD, POST", body: fault + `GET, HEAD, POST"}`},
		{method: "post", path: "/", status: 405, allow: "GET, HEAD, POST", body: fault + `GET, HEAD, POST"}`},
		{method: "POST", path: "/product", stage: "prod", status: 404, body: notFound},
		{method: "POST", path: "/prod" + strings.TrimPrefix(replicatePath, "/"), stage: "prod", status: 404, body: notFound},
		{method: "POST", path: "/other", status: 404, body: notFound},
		{method: "GET", path: "/favicon.ico", status: 404, body: notFound},
		{method: "POST", path: "/v3//checkpoints/replicate", status: 404, body: notFound},
		{method: "POST", path: "/v3/checkpoints/replicate", status: 404, body: notFound},
		{method: "POST", path: replicatePath + "//", status: 404, body: notFound},
		{method: "POST", path: replicatePath + "/x", status: 404, body: notFound},
		{method: "POST", path: "/v2/" + project + "/checkpoints/replicate", status: 404, body: notFound},
		{method: "POST", path: "/V3/" + project + "/checkpoints/replicate", status: 404, body: notFound},
		{method: "POST", path: "/v3/" + project + "/checkpoints/sync", status: 404, body: notFound},
	} {
		t.Run(tt.method+" "+tt.path, func(t *testing.T) {
			t.Parallel()
			payload := sampleWith(t, "apigw-http", func(e map[string]any) {
				e["rawPath"], e["body"] = tt.path, "{}"
				call := e["requestContext"].(map[string]any)
				call["stage"] = cmp.Or(tt.stage, "$default")
				call["http"].(map[string]any)["method"] = tt.method
			})
			b := mustDecode(t, httpDecoder(), payload)
			if tt.body == replicate {
				if len(b.Deliveries) != 1 || b.Deliveries[0].Err != nil {
					t.Errorf("deliveries %+v", b.Deliveries)
				}
				return
			}
			if len(b.Deliveries) != 0 {
				t.Fatalf("deliveries %+v", b.Deliveries)
			}
			want := httpReply{StatusCode: tt.status, Body: tt.body, Headers: map[string]string{"Content-Type": "application/json", "X-Request-Id": invocation.RequestID}}
			if tt.allow != "" {
				want.Headers["Allow"] = tt.allow
			}
			got := reply(t, b)
			got.IsBase64Encoded = nil
			if diff := gocmp.Diff(want, got); diff != "" {
				t.Errorf("answer (-want +got):\n%s", diff)
			}
		})
	}
}

// TestHTTPProject: the project in the path counts. The body may only repeat it.
func TestHTTPProject(t *testing.T) {
	t.Parallel()
	const other = "0123456789abcdef0123456789abcdef"
	for name, tt := range map[string]struct{ project, body, want, wrong string }{
		"path before default":  {other, `{}`, other, ""},
		"body says the same":   {other, `{"project_id":"` + other + `"}`, other, ""},
		"in another case":      {strings.ToUpper(other), `{"project_id":"` + other + `"}`, other, ""},
		"body says another":    {other, `{"project_id":"` + project + `"}`, "", "project_id: expected the one in the path"},
		"no id":                {"..", `{}`, "", "project_id: expected 32 hex digits"},
		"an encoded slash":     {"%2e%2e%2f" + other, `{}`, "", "project_id: expected 32 hex digits"},
		"a URL":                {"user@evil.example:443?x#", `{}`, "", "project_id: expected 32 hex digits"},
		"no id, but body's is": {"x", `{"project_id":"` + project + `"}`, "", "project_id: expected the one in the path"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			payload := httpEvent(t, "POST", "/v3/"+tt.project+"/checkpoints/replicate", tt.body)
			got := mustDecode(t, httpDecoder(), payload).Deliveries[0]
			if got.Request.ProjectID != tt.want {
				t.Errorf("project %s, want %s", got.Request.ProjectID, tt.want)
			}
			if (got.Err == nil) != (tt.wrong == "") || got.Err != nil && got.Err.Message != tt.wrong {
				t.Errorf("error %v, want %s", got.Err, tt.wrong)
			}
		})
	}
}

func TestHTTPBody(t *testing.T) {
	t.Parallel()
	long := `{"x":"` + strings.Repeat("x", 1<<20) + `"}`
	for name, tt := range map[string]struct {
		body   any
		base64 bool
		wrong  string
	}{
		"plain":                 {`{}`, false, ""},
		"base64":                {base64.StdEncoding.EncodeToString([]byte(`{}`)), true, ""},
		"base64 said, not done": {`{}`, true, "$: expected base64"},
		"base64 done, not said": {base64.StdEncoding.EncodeToString([]byte(`{}`)), false, "$: expected a JSON object and nothing else; it is malformed at line 1, column 1"},
		"empty":                 {"", false, "$: expected a JSON object and nothing else; there is nothing"},
		"empty base64":          {"", true, "$: expected a JSON object and nothing else; there is nothing"},
		"none":                  {nil, false, "$: expected a JSON object and nothing else; there is nothing"},
		"1 MB":                  {long, false, "unknown field x"},
		"1 MB in base64":        {base64.StdEncoding.EncodeToString([]byte(long)), true, "unknown field x"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			payload := sampleWith(t, "function-url", func(e map[string]any) {
				e["body"], e["isBase64Encoded"] = tt.body, tt.base64
			})
			b := mustDecode(t, httpDecoder(), payload)
			del := b.Deliveries[0]
			if (del.Err == nil) != (tt.wrong == "") || del.Err != nil && del.Err.Message != tt.wrong {
				t.Fatalf("error %v, want %s", del.Err, tt.wrong)
			}
			if del.Err != nil {
				if got := reply(t, b, delivery.Outcome{Err: del.Err}); got.StatusCode != 400 || !strings.HasPrefix(got.Body, `{"error_code":"InvalidEvent","error_msg":"`) {
					t.Errorf("answer %+v", got)
				}
			}
		})
	}
}

// TestHTTPDeadline: API Gateway gives up 30 s after the request's arrival, which
// may have been long before the invocation. A function URL waits.
func TestHTTPDeadline(t *testing.T) {
	t.Parallel()
	began := invocation.Began
	for name, tt := range map[string]struct {
		sample  string
		arrived time.Time
		want    time.Time
	}{
		"just now":              {"apigw-http", began, began.Add(27 * time.Second)},
		"a cold start ago":      {"apigw-http", began.Add(-3 * time.Second), began.Add(24 * time.Second)},
		"too long ago":          {"apigw-http", began.Add(-time.Minute), began.Add(-33 * time.Second)},
		"a sample, sent later":  {"apigw-http", began.Add(-time.Hour), began.Add(27 * time.Second)},
		"in the future":         {"apigw-http", began.Add(time.Second), began.Add(27 * time.Second)},
		"no time":               {"apigw-http", time.UnixMilli(0), began.Add(27 * time.Second)},
		"a time out of reason":  {"apigw-http", time.UnixMilli(1 << 62), began.Add(27 * time.Second)},
		"a function URL":        {"function-url", began, time.Time{}},
		"a function URL, later": {"function-url", began.Add(-time.Second), time.Time{}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			payload := sampleWith(t, tt.sample, func(e map[string]any) {
				e["requestContext"].(map[string]any)["timeEpoch"] = tt.arrived.UnixMilli()
			})
			if got := mustDecode(t, httpDecoder(), payload).Deadline; !got.Equal(tt.want) {
				t.Errorf("deadline %v, want %v", got, tt.want)
			}
		})
	}
	if got := mustDecode(t, httpDecoder(), httpEvent(t, "GET", "/", "")).Deadline; !got.IsZero() {
		t.Errorf("a health check has the deadline %v", got)
	}
}

// TestConsoleTest: API Gateway's console gives each of its tests the same request
// id, and an event may have none. Then Lambda's request id names the delivery.
func TestConsoleTest(t *testing.T) {
	t.Parallel()
	for trigger, id := range map[string]any{"apigw-rest": "test-invoke-request", "apigw-http": "", "function-url": nil} {
		payload := sampleWith(t, trigger, func(e map[string]any) { e["requestContext"].(map[string]any)["requestId"] = id })
		for _, request := range []string{"e1506fd5", "8476a536"} {
			b, err := httpDecoder().Decode(payload, delivery.Invocation{RequestID: request, Began: nightly})
			if err != nil {
				t.Fatal(err)
			}
			if got := b.Deliveries[0].CausationID; got != request {
				t.Errorf("%s: causation id %q, want Lambda's request id %s", trigger, got, request)
			}
		}
	}
}
