package smn_test

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"cbr-replicator/internal/huawei"
	"cbr-replicator/internal/kind"
	"cbr-replicator/internal/redact"
	"cbr-replicator/internal/smn"
)

const (
	project = "f841e01fd2b14e7fa41b6ae7aa6b0594"
	topic   = "urn:smn:region1:" + project + ":results"
)

// credential notes what it is told of itself.
type credential struct {
	scope   huawei.Scope
	results []huawei.AuthResult
}

func (c *credential) Authorize(req *http.Request, scope huawei.Scope) (huawei.Report, error) {
	c.scope = scope
	req.Header.Set("X-Auth-Token", "MIItoken-of-the-project")
	return func(r huawei.AuthResult) huawei.Advice {
		c.results = append(c.results, r)
		return huawei.Advice{}
	}, nil
}

// call is one that arrived.
type call struct {
	path string
	body map[string]any
}

// newClient returns a client of an SMN that gives one answer to all calls.
func newClient(t *testing.T, status int, answer string) (*smn.Client, *credential, *[]call) {
	t.Helper()
	var calls []call
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c := call{path: r.URL.EscapedPath()}
		if err := json.NewDecoder(r.Body).Decode(&c.body); err != nil {
			t.Error(err)
		}
		calls = append(calls, c)
		w.WriteHeader(status)
		_, _ = w.Write([]byte(answer))
	}))
	t.Cleanup(server.Close)
	endpoints, err := huawei.NewEndpoints(smn.Service, server.URL, "", "region1")
	if err != nil {
		t.Fatal(err)
	}
	hidden := &redact.Redactor{}
	hidden.Hide("MIItoken-of-the-project")
	client, auth := server.Client(), &credential{}
	return smn.NewClient(huawei.Service{HTTP: client, Endpoints: endpoints, Auth: auth, Redact: hidden}), auth, &calls
}

func mustParse(t *testing.T, text string) smn.URN {
	t.Helper()
	urn, ok := smn.ParseURN(text)
	if !ok {
		t.Fatalf("%s is no URN", text)
	}
	return urn
}

func TestParseURN(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]bool{
		topic: true,
		"urn:smn:cn-north-4:" + strings.ToUpper(project) + ":a_b-C9": true,
		"urn:smn:eu-de:" + project + ":" + strings.Repeat("n", 255):  true,
		"urn:smn:eu-de:" + project + ":" + strings.Repeat("n", 256):  false,
		topic + ":0b7a4f2e": false, // a subscription
		"":                  false, "results": false,
		"arn:aws:sns:eu-central-1:123456789012:results":   false,
		"urn:smn:region1:" + project:                      false,
		"urn:smn:region1:" + project + ":":                false,
		"urn:smn:region1:" + project + ":a/b":             false,
		"urn:smn:region1:" + project + ":a b":             false,
		"urn:smn:region1:" + project[1:] + ":results":     false,
		"urn:smn::" + project + ":results":                false,
		"urn:smn:Region1:" + project + ":results":         false,
		"urn:smn:evil.example/:" + project + ":results":   false,
		"urn:fss:region1:" + project + ":results":         false,
		"URN:smn:region1:" + project + ":results":         false,
		" urn:smn:region1:" + project + ":results":        false,
		"urn:smn:region1:" + project + ":results\r\nX: 1": false,
	} {
		u, ok := smn.ParseURN(text)
		if ok != want {
			t.Errorf("%q: %v", text, ok)
		}
		if ok && (u.String() != text || u.Scope.ProjectID != project || u.Scope.Region == "") {
			t.Errorf("%q is %+v", text, u)
		}
	}
}

func TestFits(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("a", 32)
	for _, tt := range []struct {
		name, value string
		want        bool
	}{
		{"status", "accepted", true},
		{long, long, true},
		{"kind", "NotCovered", true},
		{"a1_b", "3b5816b5f29c41729d9a76c719a659ce", true},
		{"source_region", "cn_north_4", true},
		{long + "a", "v", false},
		{"n", long + "a", false},
		{"", "v", false},
		{"n", "", false},
		{"content-type", "v", false},
		{"N", "v", false},
		{"_n", "v", false},
		{"n_", "v", false},
		{"a__b", "v", false},
		{"smn_a", "v", false},
		{"n", "a-b", false},
		{"n", "a.b", false},
		{"n", "a b", false},
		{"ä", "v", false},
	} {
		if got := (smn.Attribute{Name: tt.name, Value: tt.value}).Fits(); got != tt.want {
			t.Errorf("%s=%s fits: %v", tt.name, tt.value, got)
		}
	}
}

// TestPublish: what is on the wire. The colons are escaped, as the vendor's own
// clients send them.
func TestPublish(t *testing.T) {
	t.Parallel()
	c, auth, calls := newClient(t, 200, `{"request_id":"r","message_id":"m"}`)
	urn := mustParse(t, topic)
	if err := c.Publish(t.Context(), urn, smn.Message{Text: `{"a":1}`, Attributes: []smn.Attribute{{Name: "status", Value: "accepted"}}}); err != nil {
		t.Fatal(err)
	}
	if err := c.Publish(t.Context(), urn, smn.Message{Text: "bare"}); err != nil {
		t.Fatal(err)
	}
	path := "/v2/" + project + "/notifications/topics/urn%3Asmn%3Aregion1%3A" + project + "%3Aresults/publish"
	want := []call{
		{path, map[string]any{
			"message": `{"a":1}`, "time_to_live": "86400",
			"message_attributes": []any{map[string]any{"name": "status", "type": "STRING", "value": "accepted"}},
		}},
		{path, map[string]any{"message": "bare", "time_to_live": "86400"}},
	}
	if diff := cmp.Diff(want, *calls, cmp.AllowUnexported(call{})); diff != "" {
		t.Errorf("calls (-want +got):\n%s", diff)
	}
	if auth.scope != (huawei.Scope{ProjectID: project, Region: "region1"}) || !auth.results[0].Answered {
		t.Errorf("credential for %+v, told %+v", auth.scope, auth.results)
	}
}

// TestErrors: the kind of each answer, and what it says of the credential.
func TestErrors(t *testing.T) {
	t.Parallel()
	own := func(code, text string) string {
		return `{"request_id":"r","code":"` + code + `","message":"` + text + `"}`
	}
	const (
		nothing = iota // of the credential
		good
		refused
	)
	for name, tt := range map[string]struct {
		status int
		answer string
		want   kind.Kind
		auth   int
	}{
		"a database":                   {500, own("SMN.0016", "Database Exceptions."), kind.Unavailable, good},
		"an internal error":            {500, own("SMN.0018", "Service internal error."), kind.Unavailable, good},
		"a producer":                   {400, own("SMN.0019", "Producer Exceptions."), kind.Unavailable, good},
		"the billing system":           {500, own("SMN.0089", "An error occurred in the BSS system. Try again later."), kind.Unavailable, good},
		"flow control, by its text":    {403, own("SMN.9999", "The topic exceeds its flow control, please try again later."), kind.Throttled, good},
		"429":                          {429, own("SMN.9999", "slow down"), kind.Throttled, good},
		"the gateway's flow control":   {429, `{"error_code":"APIGW.0308","error_msg":"The throttling threshold has been reached"}`, kind.Throttled, nothing},
		"503":                          {503, "", kind.Unavailable, nothing},
		"502":                          {502, "<html>bad gateway</html>", kind.Unknown, nothing},
		"an answer that is none":       {200, "{}", kind.Unknown, nothing},
		"an answer that is no JSON":    {200, "ok", kind.Unknown, nothing},
		"no permission":                {403, own("SMN.0001", "No permission to request resources."), kind.Rejected, good},
		"a policy":                     {403, own("SMN.00308", "Policy doesn't allow smn:topic:publish to be performed."), kind.Rejected, good},
		"an account under restriction": {403, own("SMN.0070", "No permission to request resources. The role is op_restricted."), kind.Rejected, good},
		"no such topic":                {404, own("SMN.0006", "Topic not found."), kind.Rejected, good},
		"a message that is not valid":  {403, own("SMN.0009", "Parameter: Message is invalid."), kind.Rejected, good},
		"forbidden words":              {400, own("SMN.0227", "The message contains sensitive words."), kind.Rejected, good},
		"no money":                     {400, own("SMN.0261", "Check whether your account balance is sufficient."), kind.Rejected, good},
		"a 403 of nobody known":        {403, "<html>forbidden</html>", kind.Unauthorized, nothing},
		"the gateway's 403":            {403, `{"error_code":"APIGW.0302","error_msg":"The IAM user is not authorized"}`, kind.Unauthorized, nothing},
		"a signature that is wrong":    {401, `{"error_code":"APIGW.0301","error_msg":"verify aksk signature fail"}`, kind.Unauthorized, refused},
		"a token that has expired":     {401, `{"error_code":"APIGW.0307","error_msg":"The token must be updated"}`, kind.Unauthorized, refused},
		"another address":              {404, `{"error_code":"APIGW.0101","error_msg":"The API does not exist"}`, kind.Misconfigured, nothing},
		"too large":                    {413, "", kind.Misconfigured, nothing},
		"the credential comes back":    {400, own("SMN.0009", "MIItoken-of-the-project"), kind.Rejected, good},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, auth, _ := newClient(t, tt.status, tt.answer)
			err := c.Publish(t.Context(), mustParse(t, topic), smn.Message{Text: "m"})
			e, ok := errors.AsType[*kind.Error](err)
			if !ok || e.Kind != tt.want || strings.Contains(e.Error(), "MIItoken") {
				t.Errorf("%v, want %s", err, tt.want)
			}
			want := map[int]huawei.AuthResult{good: {Answered: true}, refused: {Answered: true, Refused: true}}[tt.auth]
			got := auth.results[0]
			got.Date = time.Time{}
			if got != want {
				t.Errorf("the credential is told %+v, want %+v", got, want)
			}
		})
	}
}
