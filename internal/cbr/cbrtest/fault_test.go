package cbrtest

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// outcome is what a client gets for one request.
type outcome struct {
	Status     int
	Body       string // as far as it came
	RetryAfter string
	Reset, Cut bool
}

func (s example) outcome(t *testing.T) outcome {
	t.Helper()
	resp, err := s.try(t, http.MethodPost, replicatePath, Token, body(t, fields{"replicate": exampleFields(nil)}))
	if err != nil {
		if !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("no answer, but no reset either: %v", err)
		}
		return outcome{Reset: true}
	}
	defer func() { _ = resp.Body.Close() }()
	raw, err := io.ReadAll(resp.Body)
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("reading the answer: %v", err)
	}
	return outcome{Status: resp.StatusCode, Body: string(raw), RetryAfter: resp.Header.Get("Retry-After"), Cut: err != nil}
}

func TestFaults(t *testing.T) {
	t.Parallel()
	const requestID = "REQUEST-ID"
	for _, tt := range []struct {
		name  string
		fault Fault
		want  outcome // an empty Body is not compared where CBR wrote it
		taken bool
	}{
		{"none", Fault{}, outcome{Status: 200}, true},
		{"late", Late(time.Millisecond), outcome{Status: 200}, true},
		{"throttled", Throttled(1500 * time.Millisecond), outcome{
			Status: 429, RetryAfter: "2",
			Body: `{"error_code":"APIG.0308","error_msg":"The throttling threshold has been reached: policy user over ratelimit,limit:100,time:1 minute","request_id":"REQUEST-ID"}`,
		}, false},
		{"throttled without a hint", Throttled(0), outcome{
			Status: 429,
			Body:   `{"error_code":"APIG.0308","error_msg":"The throttling threshold has been reached: policy user over ratelimit,limit:100,time:1 minute","request_id":"REQUEST-ID"}`,
		}, false},
		{"unavailable", Unavailable(), outcome{
			Status: 503,
			Body:   `{"error_code":"APIG.0613","error_msg":"The IAM service is currently unavailable","request_id":"REQUEST-ID"}`,
		}, false},
		{"refusal", Refusal(400, "BackupService.6118", "x"), outcome{Status: 400, Body: `{"error_code":"BackupService.6118","error_msg":"x"}`}, false},
		{"refusal cut", Fault{Status: 500, Code: "A", Message: "b", Cut: true}, outcome{Status: 500, Body: `{"error_code":"A"`, Cut: true}, false},
		{"html", Raw(502, "<html>"), outcome{Status: 502, Body: "<html>"}, false},
		{"empty", Raw(504, ""), outcome{Status: 504}, false},
		{"taken, and the gateway gave up", Fault{Status: 504, Body: "x", Taken: true}, outcome{Status: 504, Body: "x"}, true},
		{"reset before", ResetBefore(), outcome{Reset: true}, false},
		{"reset after", ResetAfter(), outcome{Reset: true}, true},
		{"reset after a delay", Fault{Reset: true, Delay: time.Millisecond}, outcome{Reset: true}, false},
		{"cut", CutShort(), outcome{Status: 200, Cut: true}, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s, _ := newExample(t)
			s.Script(SourceVault, tt.fault)
			got := s.outcome(t)
			call := s.Calls()[0]
			got.Body = strings.ReplaceAll(got.Body, call.RequestID, requestID)
			if tt.want.Body == "" && got.Status == 200 {
				got.Body = ""
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if call.Status != tt.want.Status || call.Taken != tt.taken {
				t.Errorf("kept as %s", call)
			}
			if queued := len(s.records(t, "id")) > 0; queued != tt.taken {
				t.Errorf("copies queued: %t, want %t", queued, tt.taken)
			}
			want := outcome{Status: 200}
			if tt.taken {
				want.Status = 400
			}
			if next := s.outcome(t); next.Status != want.Status || next.Reset || next.Cut {
				t.Errorf("the script is used up, and then: %+v", next)
			}
		})
	}
}

func TestRedirect(t *testing.T) {
	t.Parallel()
	s, _ := newExample(t)
	s.Script(AnyVault, Redirect("https://elsewhere.invalid/"))
	client := s.Client()
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	resp, err := s.try(t, http.MethodPost, replicatePath, Token, "")
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusTemporaryRedirect || resp.Header.Get("Location") != "https://elsewhere.invalid/" {
		t.Errorf("%d to %q", resp.StatusCode, resp.Header.Get("Location"))
	}
}

// A vault's own queue comes before the one of any vault, lookups have a queue of their own, and a header can be added to CBR's
// own answer.
func TestScriptOrder(t *testing.T) {
	t.Parallel()
	s, _ := newExample(t)
	vault := s.AddVaults(SourceProject, 1, 1)[0]
	s.Script(AnyVault, Raw(501, "{}"), Raw(502, "{}"))
	s.Script(SourceVault, Raw(503, "{}"), Fault{})
	s.Script(Lookups, Raw(504, "{}"))
	var got []int
	for _, id := range []string{SourceVault, SourceVault, vault, SourceVault, vault} {
		resp, err := s.try(t, http.MethodPost, replicatePath, Token, body(t, fields{"replicate": exampleFields(fields{"vault_id": id})}))
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		got = append(got, resp.StatusCode)
	}
	for range 2 {
		resp, err := s.try(t, http.MethodGet, "/v3/"+SourceProject+"/vaults/"+vault, Token, "")
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		got = append(got, resp.StatusCode)
	}
	if diff := cmp.Diff([]int{503, 200, 501, 502, 200, 504, 200}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestDelayEnds(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		end  func(s example, leave context.CancelFunc)
	}{
		{"with the client", func(_ example, leave context.CancelFunc) { leave() }},
		{"with the server", func(s example, _ context.CancelFunc) { s.Close() }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			decided := make(chan struct{})
			s, _ := newExample(t, WithObserver(func(Call) { close(decided) }))
			s.Script(AnyVault, Late(time.Hour))
			ctx, leave := context.WithCancel(t.Context())
			defer leave()
			req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.URL+replicatePath, strings.NewReader(change(t, "auto_trigger", true)))
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("X-Auth-Token", Token)
			ended := make(chan error, 1)
			go func() {
				resp, err := s.Client().Do(req)
				if err == nil {
					_ = resp.Body.Close()
				}
				ended <- err
			}()
			<-decided
			tt.end(s, leave)
			if err := <-ended; err == nil {
				t.Error("an answer that nobody waited for")
			}
			// Close waits for the handler, and goleak for its goroutine.
			s.Close()
			if calls := s.Calls(); len(calls) != 1 || !calls[0].Taken {
				t.Errorf("kept as %v", calls)
			}
		})
	}
}
