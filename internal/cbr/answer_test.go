package cbr_test

import (
	"encoding/json"
	"fmt"
	"math/big"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"cbr-replicator/internal/cbr/cbrtest"
	"cbr-replicator/internal/kind"
	"cbr-replicator/internal/redact"
)

// TestKinds has every error code that is documented for this call, with each of its
// HTTP statuses, and statuses without a code.
// Sources: CBR API reference, "Error Codes"; the OTC error code table; API
// Gateway user guide, "Error Codes".
func TestKinds(t *testing.T) {
	t.Parallel()
	type row struct {
		status int
		code   string
		want   kind.Kind
	}
	rows := []row{
		{400, "BackupService.0001", kind.NothingToReplicate},
		{500, "BackupService.0002", kind.InProgress},
		{400, "BackupService.1002", kind.Rejected},
		{400, "BackupService.1003", kind.Rejected},
		{400, "BackupService.1005", kind.Rejected},
		{500, "BackupService.1005", kind.Rejected},
		{500, "BackupService.1006", kind.Unknown},
		{400, "BackupService.1009", kind.AlreadyReplicated},
		{400, "BackupService.1011", kind.Rejected},
		{400, "BackupService.1012", kind.Rejected},
		{500, "BackupService.4005", kind.Unavailable},
		{404, "BackupService.6105", kind.Rejected},
		{400, "BackupService.6105", kind.Rejected},
		{400, "BackupService.6110", kind.InProgress},
		{400, "BackupService.6112", kind.InProgress},
		{400, "BackupService.6118", kind.Unavailable},
		{400, "BackupService.6119", kind.Rejected},
		{400, "BackupService.6120", kind.Rejected},
		{400, "BackupService.6122", kind.Rejected},
		{400, "BackupService.6123", kind.InProgress},
		{400, "BackupService.6125", kind.InProgress},
		{400, "BackupService.6128", kind.Rejected},
		{400, "BackupService.6129", kind.Rejected},
		{400, "BackupService.6130", kind.InProgress},
		{400, "BackupService.6134", kind.InProgress},
		{404, "BackupService.6200", kind.Rejected},
		{400, "BackupService.6203", kind.InProgress},
		{404, "BackupService.6217", kind.Rejected},
		{400, "BackupService.7302", kind.InProgress},
		{403, "BackupService.8600", kind.Rejected},
		{400, "BackupService.9900", kind.Rejected},
		{500, "BackupService.9910", kind.Unknown},
		{500, "BackupService.9998", kind.Unauthorized},
		// Codes that nobody knows yet.
		{400, "BackupService.7777", kind.Rejected},
		{403, "BackupService.7777", kind.Rejected},
		{429, "BackupService.7777", kind.Throttled},
		{500, "BackupService.7777", kind.Unknown},
		{503, "BackupService.7777", kind.Unavailable},
		{403, "PAP5.0016", kind.Unauthorized},
		{400, "IAM.0011", kind.Misconfigured},

		{301, "", kind.Misconfigured},
		{400, "", kind.Misconfigured},
		{401, "", kind.Unauthorized},
		{403, "", kind.Unauthorized},
		{404, "", kind.Misconfigured},
		{408, "", kind.Unknown},
		{413, "", kind.Misconfigured},
		{418, "", kind.Misconfigured},
		{429, "", kind.Throttled},
		{500, "", kind.Unknown},
		{502, "", kind.Unknown},
		{503, "", kind.Unavailable},
		{504, "", kind.Unknown},
	}
	for _, gateway := range []row{
		{404, "0101", kind.Misconfigured},
		{404, "0103", kind.Misconfigured},
		{500, "0103", kind.Unknown},
		{400, "0201", kind.Misconfigured},
		{413, "0201", kind.Misconfigured},
		{414, "0201", kind.Misconfigured},
		{494, "0201", kind.Misconfigured},
		{500, "0201", kind.Unknown},
		{502, "0201", kind.Unknown},
		{504, "0201", kind.Unknown},
		{401, "0301", kind.Unauthorized},
		{403, "0302", kind.Unauthorized},
		{401, "0303", kind.Unauthorized},
		{401, "0305", kind.Unauthorized},
		{401, "0307", kind.Unauthorized},
		{429, "0308", kind.Throttled},
		{403, "0310", kind.Unauthorized},
		{403, "0401", kind.Misconfigured},
		{403, "0402", kind.Misconfigured},
		{403, "0404", kind.Misconfigured},
		{405, "0501", kind.Misconfigured},
		{405, "0502", kind.Misconfigured},
		{500, "0601", kind.Unknown},
		{400, "0602", kind.Misconfigured},
		{500, "0605", kind.Unknown},
		{500, "0606", kind.Unknown},
		{500, "0607", kind.Unknown},
		{500, "0608", kind.Unknown},
		{500, "0609", kind.Unknown},
		{500, "0610", kind.Unknown},
		{502, "0611", kind.Unknown},
		{504, "0612", kind.Unknown},
		{503, "0613", kind.Unavailable},
		{500, "0705", kind.Unknown},
		{403, "0802", kind.Unauthorized},
	} {
		rows = append(rows,
			row{gateway.status, "APIG." + gateway.code, gateway.want},
			row{gateway.status, "APIGW." + gateway.code, gateway.want})
	}

	rows = append(rows,
		// A number without its prefix is CBR's only if it is in the table with that
		// status.
		row{400, "6130", kind.InProgress},
		row{401, "6130", kind.Unauthorized},
		row{403, "6130", kind.Unauthorized},
		row{404, "6130", kind.Misconfigured},
		row{429, "6130", kind.Throttled},
		row{503, "6130", kind.Unavailable},
		row{500, "0002", kind.InProgress},
		row{400, "0002", kind.Misconfigured},
		row{400, "1005", kind.Rejected},
		row{500, "1005", kind.Rejected},
		row{401, "1005", kind.Unauthorized},
		row{403, "1005", kind.Unauthorized},
		row{403, "1009", kind.Unauthorized},
		row{401, "0001", kind.Unauthorized},
		row{404, "6105", kind.Rejected},
		row{403, "6105", kind.Unauthorized},
		row{403, "8600", kind.Rejected},
		row{401, "8600", kind.Unauthorized},
		row{500, "9998", kind.Unauthorized},
		row{400, "9998", kind.Misconfigured},
		row{401, "1101", kind.Unauthorized},
		row{400, "7777", kind.Misconfigured},
		row{400, " BackupService.6130 ", kind.InProgress})

	server := newServer(t)
	client := newClient(t, server.URL)
	for i, tt := range rows {
		// Each row has a vault and a script of its own, so rows may run side by side.
		vault := fmt.Sprintf("%08d-0000-4000-8000-000000000000", i)
		server.Script(vault, cbrtest.Refusal(tt.status, tt.code, "a message"))
		t.Run(fmt.Sprint(tt.status, " ", tt.code), func(t *testing.T) {
			t.Parallel()
			answer, err := client.Replicate(t.Context(), source, replicate(vault))
			e := kind.As(err)
			if e.Of() != tt.want || e.Code != tt.code || e.HTTPStatus != tt.status {
				t.Errorf("error = %+v, want %s", e, tt.want)
			}
			if !answer.Sent || answer.Status != tt.status || answer.RequestID == "" || answer.RequestID != e.RequestID {
				t.Errorf("answer = %+v beside %+v", answer, e)
			}
		})
	}
}

// TestStatesThatPass: a request that the vault's state forbids waits until the state
// passes. It is rejected if the text names a state that does not pass.
func TestStatesThatPass(t *testing.T) {
	t.Parallel()
	for message, want := range map[string]kind.Kind{
		"":                                                         kind.InProgress,
		"Invalid vault status.":                                    kind.InProgress,
		"The vault cannot be updated.":                             kind.InProgress,
		"Backups are being synchronized.":                          kind.InProgress,
		"The status lock of vault is invalid":                      kind.InProgress,
		"Invalid vault status: locked":                             kind.InProgress,
		"The vault is being expanded.":                             kind.InProgress,
		"Vault status is PROCESSING, expected available":           kind.InProgress,
		"Error: the vault is busy":                                 kind.InProgress,
		"Vault status error.":                                      kind.InProgress, // "is wrong" as well as "is error"
		"An error occurred in the status check":                    kind.InProgress,
		"The vault is locked; a frozen vault cannot be replicated": kind.InProgress,
		"存储库状态不正确":                                                 kind.InProgress,

		"The vault is frozen.":                                   kind.Rejected,
		"Invalid vault status: FROZEN":                           kind.Rejected,
		"The status [deleting] of the vault does not allow this": kind.Rejected,
		"The vault is being deleted.":                            kind.Rejected,
		"Invalid vault status (error)":                           kind.Rejected,
		"Vault status is error":                                  kind.Rejected,
		"vault in error state":                                   kind.Rejected,
		`status "error-deleting" of vault`:                       kind.Rejected,
		"status=error":                                           kind.Rejected,
		"The account is in arrears.":                             kind.Rejected,
		"The vault has expired.":                                 kind.Rejected,
	} {
		body, err := json.Marshal(map[string]string{"error_msg": message})
		if err != nil {
			t.Fatal(err)
		}
		for _, code := range []string{"BackupService.6110", "BackupService.6112", "BackupService.7302", "6112"} {
			client := answering(t, 400, nil, fmt.Appendf(nil, `{"error_code":%q,%s`, code, body[1:]))
			_, err := client.Replicate(t.Context(), source, replicate(cbrtest.SourceVault))
			if e := kind.As(err); e.Of() != want || e.Code != code {
				t.Errorf("%s %q: %v, want %s", code, message, err, want)
			}
		}
		// The text of another code decides nothing.
		client := answering(t, 400, nil, fmt.Appendf(nil, `{"error_code":"BackupService.6130",%s`, body[1:]))
		if _, err := client.Replicate(t.Context(), source, replicate(cbrtest.SourceVault)); kind.As(err).Of() != kind.InProgress {
			t.Errorf(".6130 %q: %v", message, err)
		}
	}
}

// TestErrorBodies has every known form of an error, and bodies that no service should
// send.
func TestErrorBodies(t *testing.T) {
	t.Parallel()
	type failure struct {
		Kind                     kind.Kind
		Code, Message, RequestID string
	}
	const silent = "CBR answered 400 Bad Request without a message"
	for _, tt := range []struct {
		name string
		body string
		want failure
	}{
		{"CBR's", `{"error_code":"BackupService.6100","error_msg":"m"}`, failure{kind.Rejected, "BackupService.6100", "m", "header"}},
		{"the gateway's", `{"error_msg":"m","error_code":"APIGW.0308","request_id":"body"}`, failure{kind.Throttled, "APIGW.0308", "m", "header"}},
		{"IAM's", `{"error":{"code":401,"message":"m","title":"Unauthorized"}}`, failure{kind.Misconfigured, "401", "m", "header"}},
		{"a policy's denial", `{"error_code":"PAP5.0016","error_msg":"m","encoded_authorization_message":"x","details":[{"code":"1","message":"2"}]}`, failure{kind.Misconfigured, "PAP5.0016", "m", "header"}},
		{"SMN's", `{"request_id":"body","code":"SMN.0001","message":"m"}`, failure{kind.Misconfigured, "SMN.0001", "m", "header"}},
		{"camel case", `{"errorCode":"BackupService.1009","errorMsg":"m"}`, failure{kind.AlreadyReplicated, "BackupService.1009", "m", "header"}},
		{"a number for a code", `{"error_code":6130,"error_msg":"m"}`, failure{kind.InProgress, "6130", "m", "header"}},
		{"CBR's, nested", `{"error":{"error_code":"BackupService.6130","error_msg":"m","request_id":"body"}}`, failure{kind.InProgress, "BackupService.6130", "m", "header"}},
		{"two nested", `{"b":{"code":"B","message":"b"},"a":{"code":"A","message":"a"}}`, failure{kind.Misconfigured, "A", "a", "header"}},
		{"a code alone", `{"error_code":"BackupService.6130"}`, failure{kind.InProgress, "BackupService.6130", silent, "header"}},
		{"a message alone", `{"error_msg":"m"}`, failure{kind.Misconfigured, "", "m", "header"}},
		{"nulls", `{"error_code":null,"code":"BackupService.6130","error_msg":null}`, failure{kind.InProgress, "BackupService.6130", silent, "header"}},
		{"other types", `{"error_code":["x"],"error_msg":{"x":1},"request_id":true}`, failure{kind.Misconfigured, "", silent, "header"}},
		{"an object of something else", `{"status":"down"}`, failure{kind.Misconfigured, "", silent, "header"}},
		{"plain text", "404 page not found\n", failure{kind.Misconfigured, "", "404 page not found", "header"}},
		{"HTML", "<html>\r\n<h1>502</h1></html>", failure{kind.Misconfigured, "", "<html>  <h1>502</h1></html>", "header"}},
		{"nothing that prints", "{\"error_msg\":\"\\u007f\\n\"}", failure{kind.Misconfigured, "", silent, "header"}},
		{"nothing", "", failure{kind.Misconfigured, "", silent, "header"}},
		{"null", "null", failure{kind.Misconfigured, "", "null", "header"}},
		{"a list", `["a"]`, failure{kind.Misconfigured, "", `["a"]`, "header"}},
		{"cut JSON", `{"error_code":"BackupService.6130","error_m`, failure{kind.Misconfigured, "", `{"error_code":"BackupService.6130","error_m`, "header"}},
		{"control characters", "{\"error_code\":\"Backup\\u0000Service.6130\",\"error_msg\":\"a\\u007fb\\r\\nc\\u202ed\"}", failure{kind.InProgress, "BackupService.6130", "ab  cd", "header"}},
		{"no UTF-8", "a\xff\xfeb", failure{kind.Misconfigured, "", "ab", "header"}},
		{"deep", strings.Repeat("[", 20_000), failure{kind.Misconfigured, "", strings.Repeat("[", redact.MaxText-3) + "...", "header"}},
		{
			"huge", `{"error_code":"BackupService.6130","error_msg":"` + strings.Repeat("é", 10_000) + `"}`,
			failure{kind.InProgress, "BackupService.6130", strings.Repeat("é", redact.MaxText/2-2) + "...", "header"},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			client := answering(t, 400, http.Header{"X-Request-Id": {"header"}}, []byte(tt.body))
			answer, err := client.Replicate(t.Context(), source, replicate(cbrtest.SourceVault))
			e := kind.As(err)
			if diff := cmp.Diff(tt.want, failure{e.Of(), e.Code, e.Message, e.RequestID}); diff != "" {
				t.Errorf("error (-want +got):\n%s", diff)
			}
			if answer.RequestID != e.RequestID {
				t.Errorf("answer's request id = %q, error's = %q", answer.RequestID, e.RequestID)
			}
		})
	}
}

// TestReplication: a 2xx with the object "replication", in any order and with any other
// members, is accepted. If a name is there twice, the last one counts.
func TestReplication(t *testing.T) {
	t.Parallel()
	const vault = cbrtest.SourceVault
	good := func(backups string) string { return `{"backups":` + backups + `,"vault_id":"` + vault + `"}` }
	for body, want := range map[string]string{
		`{"replication":` + good(`[{}]`) + `}`:                                                         good(`[{}]`),
		`{"a":{"replication":1},"replication":` + good(`[{},{"backups":[]}]`) + `,"z":{"vault_id":1}}`: good(`[{},{"backups":[]}]`),
		`{"replication":{"vault_id":"x"},"replication":` + good(`[1]`) + `}`:                           good(`[1]`),
		`{"replication":` + good(`[1]`) + `,"Replication":{},"REPLICATION":1}`:                         good(`[1]`),
		`{"replication":{"backups":[],"vault_id":"x","backups":[{}],"vault_id":"` + vault + `"}}`:      `{"backups":[],"vault_id":"x","backups":[{}],"vault_id":"` + vault + `"}`,
		`{"replication":{"Backups":1,"VAULT_ID":2,"backups":[{}],"vault_id":"` + vault + `"}}`:         `{"Backups":1,"VAULT_ID":2,"backups":[{}],"vault_id":"` + vault + `"}`,

		`{"replication":{"backups":[{},{}],"backups":[],"vault_id":"` + vault + `"}}`: "NothingToReplicate: CBR found no backup to replicate",
		`{"replication":` + good(`[{}]`) + `,"replication":` + good(`[]`) + `}`:       "NothingToReplicate: CBR found no backup to replicate",
		`{"replication":` + good(`[{}]`) + `,"replication":{}}`:                       "Unknown: the answer names no vault",
		`{}`:                                                                      "Unknown: the answer has no object replication",
		`{"replications":` + good(`[{}]`) + `}`:                                   "Unknown: the answer has no object replication",
		`{"Replication":` + good(`[{}]`) + `}`:                                    "Unknown: the answer has no object replication",
		`{"x":{"replication":` + good(`[{}]`) + `}}`:                              "Unknown: the answer has no object replication",
		`[{"replication":` + good(`[{}]`) + `}]`:                                  "Unknown: the answer has no object replication",
		`{"replication":` + good(`[{}]`) + ``:                                     "Unknown: the answer has no object replication",
		`{"replication":` + good(`[{}]`) + `,"x":}`:                               "Unknown: the answer has no object replication",
		`{"replication":null}`:                                                    "Unknown: the answer names no vault",
		`{"replication":"` + vault + `"}`:                                         "Unknown: the answer has no object replication of the form that is known: $: expected an object",
		`{"replication":{"vault_id":5,"backups":[{}]}}`:                           "Unknown: the answer has no object replication of the form that is known: /vault_id: expected a string",
		`{"replication":` + good(`{"a":"b"}`) + `}`:                               "Unknown: the answer has no object replication of the form that is known: /backups: expected an array",
		`{"replication":{"vault_id":null,"backups":[{}]}}`:                        "Unknown: the answer names no vault",
		`{"replication":{"vault_id":"` + vault + `","vault_id":"","backups":[]}}`: "Unknown: the answer names no vault",
		`{"replication":{"vault_id":"` + vault + ` ","backups":[{}]}}`:            "Unknown: the answer speaks of another vault",
		`{"replication":{"vault_id":"` + vault + `","Backups":[{}]}}`:             "Unknown: the answer has no list of backups",
	} {
		answer, err := answering(t, 200, nil, []byte(body)).Replicate(t.Context(), source, replicate(vault))
		got := string(answer.Replication)
		if e := kind.As(err); e != nil {
			got = fmt.Sprint(e.Kind, ": ", e.Message)
		}
		if got != want {
			t.Errorf("%s\n got %s\nwant %s", body, got, want)
		}
	}
}

func TestRequestIDOfTheBody(t *testing.T) {
	t.Parallel()
	for _, body := range []string{
		`{"error_code":"APIG.0308","error_msg":"m","request_id":"body"}`,
		`{"requestId":"body"}`,
		`{"error":{"code":"C","message":"m","request_id":"body"}}`,
		`{"error":{"code":"C","message":"m"},"request_id":"body"}`,
	} {
		answer, err := answering(t, 429, nil, []byte(body)).Replicate(t.Context(), source, replicate(cbrtest.SourceVault))
		if e := kind.As(err); answer.RequestID != "body" || e.RequestID != "body" {
			t.Errorf("%s: request id = %q and %q", body, answer.RequestID, e.RequestID)
		}
	}
}

func TestRetryAfter(t *testing.T) {
	t.Parallel()
	const date = "Mon, 23 Nov 2026 07:00:00 GMT"
	for _, tt := range []struct {
		name        string
		value, date string
		want        time.Duration
	}{
		{"none", "", date, 0},
		{"seconds", "120", date, 2 * time.Minute},
		{"seconds, spaces", " 120\t", "", 2 * time.Minute},
		{"zero", "0", date, 0},
		{"a date, held against the answer's own", "Mon, 23 Nov 2026 07:01:30 GMT", date, 90 * time.Second},
		{"a date as in RFC 850", "Monday, 23-Nov-26 07:01:30 GMT", date, 90 * time.Second},
		{"a date that is past", "Mon, 23 Nov 2026 06:59:59 GMT", date, 0},
		{"a date far off", "Mon, 23 Nov 2099 06:59:59 GMT", date, 12 * time.Hour},
		{"a date, held against our clock", "Fri, 31 Dec 9999 23:59:59 GMT", "", 12 * time.Hour},
		{"a past date, held against our clock", "Thu, 01 Jan 1970 00:00:00 GMT", "today", 0},
		{"more than a queue can wait", "86400", date, 12 * time.Hour},
		{"more than 31 bits", "99999999999", date, 12 * time.Hour},
		{"more than 64 bits", strings.Repeat("9", 40), date, 12 * time.Hour},
		{"negative", "-1", date, 0},
		{"signed", "+1", date, 0},
		{"a fraction", "1.5", date, 0},
		{"garbage", "soon", date, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if got := retryAfter(t, tt.value, tt.date); got != tt.want {
				t.Errorf("RetryAfter = %v, want %v", got, tt.want)
			}
		})
	}
}

func retryAfter(t *testing.T, value, date string) time.Duration {
	t.Helper()
	client := answering(t, 429, http.Header{"Retry-After": {value}, "Date": {date}}, nil)
	_, err := client.Replicate(t.Context(), source, replicate(cbrtest.SourceVault))
	return kind.As(err).RetryAfter
}

func FuzzRetryAfter(f *testing.F) {
	digits := regexp.MustCompile(`^[0-9]+$`)
	f.Fuzz(func(t *testing.T, value, date string) {
		got := retryAfter(t, value, date)
		if got < 0 || got > 12*time.Hour {
			t.Errorf("RetryAfter = %v", got)
		}
		if n, _ := new(big.Int).SetString(value, 10); digits.MatchString(value) {
			want := 12 * time.Hour
			if n.Cmp(big.NewInt(int64(want/time.Second))) < 0 {
				want = time.Duration(n.Int64()) * time.Second
			}
			if got != want {
				t.Errorf("RetryAfter = %v, want %v", got, want)
			}
		}
	})
}

// TestLongMessageKeepsAdvice: a text of CBR's that is as long as the limit is cut, and
// the advice after it stays.
func TestLongMessageKeepsAdvice(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{"just under": strings.Repeat("x", redact.MaxText), "far over": strings.Repeat("é", 20_000)} {
		body := fmt.Sprintf(`{"error_code":"APIGW.0301","error_msg":"the token is wrong: %s"}`, text)
		_, err := answering(t, 401, nil, []byte(body)).Replicate(t.Context(), source, replicate(cbrtest.SourceVault))
		e := kind.As(err)
		if !strings.HasPrefix(e.Message, "the token is wrong: ") || !strings.HasSuffix(e.Message, "was refused: a token lives for at most 24 hours; put a new one there") ||
			len(e.Error()) > redact.MaxText || !utf8.ValidString(e.Message) {
			t.Errorf("%s: %d bytes: %s", name, len(e.Error()), e.Message)
		}
	}
}

// FuzzParseFault: any body becomes an error that is safe in a header and holds no
// credential.
func FuzzParseFault(f *testing.F) {
	f.Add(uint16(101), []byte(`{"error_code":"APIGW.0301","error_msg":"`+strings.Repeat("x", 3000)+`"}`))
	f.Fuzz(func(t *testing.T, status uint16, body []byte) {
		client := answering(t, 300+int(status)%300, nil, body)
		answer, err := client.Replicate(t.Context(), source, replicate(cbrtest.SourceVault))
		e := kind.As(err)
		if k := e.Of(); k == kind.None || k == kind.Internal {
			t.Fatalf("error = %v", err)
		}
		if e.Message == "" {
			t.Error("no message")
		}
		for _, s := range []string{e.Code, e.Message, e.RequestID, answer.RequestID} {
			if len(s) > redact.MaxText || !utf8.ValidString(s) || strings.ContainsFunc(s, func(c rune) bool { return !unicode.IsPrint(c) }) {
				t.Errorf("%q is not safe to show", s)
			}
			if strings.Contains(s, cbrtest.Token) {
				t.Errorf("%q holds the token", s)
			}
		}
	})
}
