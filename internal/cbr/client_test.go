package cbr_test

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"cbr-replicator/internal/cbr"
	"cbr-replicator/internal/cbr/cbrtest"
	"cbr-replicator/internal/huawei"
	"cbr-replicator/internal/kind"
)

// TestReplicateWire compares the request with a recorded one of huaweicloud-sdk-go-v3
// v0.1.207. Its bodies have a line feed at the end, too.
func TestReplicateWire(t *testing.T) {
	t.Parallel()
	all := replicate(cbrtest.SourceVault)
	all.AutoTrigger, all.EnableAcceleration, all.CrossAccountURN = new(bool), new(bool), new(string)
	*all.CrossAccountURN = "EXAMPLE-URN"
	for _, tt := range []struct {
		name string
		in   cbr.Replicate
		want string
		size int
	}{
		{
			"all fields", all,
			`{"replicate":{"auto_trigger":false,"destination_project_id":"68589cac08274b82b4e254268a3862d8","destination_region":"region2",` +
				`"destination_vault_id":"0ca3eb86-8800-46da-9c37-9d657a825274","enable_acceleration":false,` +
				`"vault_id":"3b5816b5-f29c-4172-9d9a-76c719a659ce","cross_account_urn":"EXAMPLE-URN"}}`, 301,
		},
		{
			"required fields", replicate(cbrtest.SourceVault),
			`{"replicate":{"destination_project_id":"68589cac08274b82b4e254268a3862d8","destination_region":"region2",` +
				`"destination_vault_id":"0ca3eb86-8800-46da-9c37-9d657a825274","vault_id":"3b5816b5-f29c-4172-9d9a-76c719a659ce"}}`, 218,
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			server := newServer(t)
			if _, err := newClient(t, server.URL).Replicate(t.Context(), source, tt.in); err != nil {
				t.Fatal(err)
			}
			calls := server.Calls()
			if len(calls) != 1 {
				t.Fatalf("%d calls, want 1", len(calls))
			}
			got := calls[0]
			if got.Method != "POST" || got.Path != "/v3/f841e01fd2b14e7fa41b6ae7aa6b0594/checkpoints/replicate" {
				t.Errorf("%s %s", got.Method, got.Path)
			}
			if diff := cmp.Diff(decode(t, tt.want), decode(t, got.Body)); diff != "" {
				t.Errorf("body (-SDK's +ours):\n%s", diff)
			}
			if len(got.Body) != tt.size {
				t.Errorf("body of %d bytes, want %d: %s", len(got.Body), tt.size, got.Body)
			}
			got.Header.Del("Content-Length")
			if diff := cmp.Diff(http.Header{
				"X-Auth-Token":    {cbrtest.Token},
				"User-Agent":      {"cbr-replicator/v0"},
				"Content-Type":    {"application/json;charset=UTF-8"},
				"Accept-Encoding": {"gzip"},
			}, got.Header); diff != "" {
				t.Errorf("header (-want +got):\n%s", diff)
			}
		})
	}
}

func decode(t *testing.T, s string) (v any) {
	t.Helper()
	if err := json.Unmarshal([]byte(s), &v); err != nil {
		t.Fatalf("%s: %v", s, err)
	}
	return v
}

func TestReplicateTaken(t *testing.T) {
	t.Parallel()
	server := newServer(t)
	client := newClient(t, server.URL)
	got, err := client.Replicate(t.Context(), source, replicate(cbrtest.SourceVault))
	if err != nil {
		t.Fatal(err)
	}
	var replication struct {
		SourceRegion string `json:"source_region"`
		Backups      []struct {
			RecordID string `json:"replication_record_id"`
		}
	}
	if err := json.Unmarshal(got.Replication, &replication); err != nil {
		t.Fatal(err)
	}
	if len(replication.Backups) != 3 || replication.Backups[0].RecordID == "" || replication.SourceRegion != cbrtest.SourceRegion {
		t.Errorf("replication = %s", got.Replication)
	}
	if !got.Sent || got.Status != 200 || got.RequestID != server.Calls()[0].RequestID {
		t.Errorf("answer = %+v", got)
	}

	// New fields, spaces, escapes and large numbers stay as they are.
	const verbatim = `{ "backups":[{"backup_id":"b","replication_record_id":"r","new":[12345678901234567890]}],
		"vault_id" : "3B5816B5-F29C-4172-9D9A-76C719A659CE", "note": "\u0041<&>" }`
	server.Script(cbrtest.SourceVault, cbrtest.Raw(201, `{"replication":`+verbatim+`}`))
	got, err = client.Replicate(t.Context(), source, replicate(cbrtest.SourceVault))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(verbatim, string(got.Replication)); diff != "" {
		t.Errorf("replication (-sent +got):\n%s", diff)
	}
}

// TestReplicateUncertain: the answer does not say whether CBR accepted the request. No
// layer below makes the call twice.
func TestReplicateUncertain(t *testing.T) {
	t.Parallel()
	server := newServer(t)
	client := newClient(t, server.URL)

	ok := func(body string) cbrtest.Fault { return cbrtest.Fault{Status: 200, Body: body, Taken: true} }
	const lost = "the answer was lost, CBR may have taken the request: "
	huge := `{"replication":{"vault_id":"VAULT","backups":[{}]}}`
	cutFault := cbrtest.Refusal(400, "BackupService.6130", "The vault is being replicated.")
	cutFault.Cut = true
	for _, tt := range []struct {
		name     string
		fault    cbrtest.Fault
		timeout  time.Duration // 0: the client's
		want     kind.Kind     // None: Unknown
		status   int           // 0: no answer
		message  string        // its beginning
		notTaken bool          // CBR did not start copies
	}{
		{name: "reset before", fault: cbrtest.ResetBefore(), message: lost, notTaken: true},
		{name: "reset after", fault: cbrtest.ResetAfter(), message: lost},
		{name: "too late", fault: cbrtest.Late(time.Hour), timeout: time.Second, message: "the answer was lost, CBR may have taken the request (timed out): "},
		{name: "cut short", fault: cbrtest.CutShort(), status: 200, message: "the answer was cut: unexpected EOF"},
		{name: "an error cut short", fault: cutFault, want: kind.Misconfigured, status: 400, message: "the answer was cut: unexpected EOF", notTaken: true},
		{name: "headers too long", fault: cbrtest.Fault{Status: 200, Taken: true, Header: http.Header{"X": {strings.Repeat("x", 100<<10)}}}, message: lost},
		{name: "nothing", fault: ok(""), status: 200, message: "the answer has no object replication"},
		{name: "no content", fault: cbrtest.Fault{Status: 204, Taken: true}, status: 204, message: "the answer has no object replication"},
		{name: "HTML", fault: ok("<html>Welcome</html>"), status: 200, message: "the answer has no object replication"},
		{name: "no replication", fault: ok(`{}`), status: 200, message: "the answer has no object replication"},
		{name: "a list for a replication", fault: ok(`{"replication":[]}`), status: 200, message: "the answer has no object replication"},
		{name: "more after the object", fault: ok(`{"replication":{"vault_id":"VAULT","backups":[{}]}} {}`), status: 200, message: "the answer has no object replication"},
		{name: "no vault", fault: ok(`{"replication":{"backups":[{}]}}`), status: 200, message: "the answer names no vault"},
		{name: "another vault", fault: ok(`{"replication":{"vault_id":"` + cbrtest.DestinationVault + `","backups":[{}]}}`), status: 200, message: "the answer speaks of another vault"},
		{name: "no list of backups", fault: ok(`{"replication":{"vault_id":"VAULT"}}`), status: 200, message: "the answer has no list of backups"},
		{name: "no backups", fault: ok(`{"replication":{"vault_id":"VAULT","backups":[]}}`), want: kind.NothingToReplicate, status: 200, message: "CBR found no backup to replicate"},
		{name: "null for no backups", fault: ok(`{"replication":{"vault_id":"VAULT","backups":null}}`), want: kind.NothingToReplicate, status: 200, message: "CBR found no backup to replicate"},
		{name: "over 8 MiB", fault: ok(huge + strings.Repeat(" ", 8<<20)), status: 200, message: "the answer was cut: it is longer than 8388608 bytes"},
		{name: "an error as 200", fault: ok(`{"error_code":"BackupService.6130","error_msg":"The vault is being replicated."}`), want: kind.InProgress, status: 200, message: "The vault is being replicated."},
		{name: "an error of no known code as 200", fault: ok(`{"error_code":"BackupService.7777","error_msg":"?"}`), status: 200, message: "?"},
	} {
		vault := server.AddVaults(cbrtest.SourceProject, 1, 1)[0]
		tt.fault.Body = strings.ReplaceAll(tt.fault.Body, "VAULT", vault)
		server.Script(vault, tt.fault)
		if tt.want == kind.None {
			tt.want = kind.Unknown
		}
		client := *client
		if tt.timeout > 0 {
			client.Timeout = tt.timeout
		}
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			answer, err := client.Replicate(t.Context(), source, replicate(vault))
			e := kind.As(err)
			if e.Of() != tt.want || !strings.HasPrefix(e.Message, tt.message) {
				t.Errorf("error = %v, want %s %s…", err, tt.want, tt.message)
			}
			if !answer.Sent || answer.Status != tt.status || e.HTTPStatus != tt.status {
				t.Errorf("answer = %+v, want Sent and status %d", answer, tt.status)
			}
			if (answer.Replication != nil) != (tt.want == kind.NothingToReplicate) {
				t.Errorf("replication = %s beside %v", answer.Replication, err)
			}
			var calls []cbrtest.Call
			for _, call := range server.Calls() {
				if call.Vault == vault {
					calls = append(calls, call)
				}
			}
			if len(calls) != 1 || calls[0].Taken == tt.notTaken {
				t.Errorf("calls = %v, want one, taken: %t", calls, !tt.notTaken)
			}
		})
	}
}

func TestReplicateUpTo8MiB(t *testing.T) {
	t.Parallel()
	server := newServer(t)
	body := `{"replication":{"vault_id":"` + cbrtest.SourceVault + `","backups":[{}]}}`
	server.Script(cbrtest.SourceVault, cbrtest.Raw(200, body+strings.Repeat(" ", 8<<20-len(body))))
	if _, err := newClient(t, server.URL).Replicate(t.Context(), source, replicate(cbrtest.SourceVault)); err != nil {
		t.Error(err)
	}
}

func TestReplicateNoConnection(t *testing.T) {
	t.Parallel()
	stranger := httptest.NewUnstartedServer(http.NotFoundHandler())
	stranger.Config.ErrorLog = log.New(io.Discard, "", 0) // it reports the failed handshake
	stranger.StartTLS()
	t.Cleanup(stranger.Close)
	for name, address := range map[string]string{
		"refused":                 "http://127.0.0.1:1", // tcpmux, which nobody runs
		"certificate not trusted": stranger.URL,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			answer, err := newClient(t, address).Replicate(t.Context(), source, replicate(cbrtest.SourceVault))
			if e := kind.As(err); e.Of() != kind.Unavailable || !strings.HasPrefix(e.Message, "no connection to CBR: ") {
				t.Errorf("error = %v, want an Unavailable", err)
			}
			if diff := cmp.Diff(cbr.Answer{Sent: true}, answer); diff != "" {
				t.Errorf("answer (-want +got):\n%s", diff)
			}
		})
	}
}

// TestReplicateFollowsNoRedirect: the token would go to the other server.
func TestReplicateFollowsNoRedirect(t *testing.T) {
	t.Parallel()
	elsewhere := newServer(t)
	server := newServer(t)
	client := newClient(t, server.URL)
	for _, status := range []int{301, 302, 303, 307, 308} {
		redirect := cbrtest.Redirect(elsewhere.URL + "/v3/" + cbrtest.SourceProject + "/checkpoints/replicate")
		redirect.Status = status
		server.Script(cbrtest.SourceVault, redirect)
		answer, err := client.Replicate(t.Context(), source, replicate(cbrtest.SourceVault))
		if e := kind.As(err); e.Of() != kind.Misconfigured || answer.Status != status {
			t.Errorf("%d: answer = %+v, error = %v, want a Misconfigured", status, answer, err)
		}
	}
	if calls := elsewhere.Calls(); len(calls) > 0 {
		t.Errorf("calls of the other server: %v", calls)
	}
}

// TestReplicateReusesConnections: if an answer was read to its end, the next call uses
// the same connection.
func TestReplicateReusesConnections(t *testing.T) {
	t.Parallel()
	server := newServer(t)
	server.Script(
		cbrtest.SourceVault,
		cbrtest.Unavailable(),
		cbrtest.Raw(502, strings.Repeat("<br>", 10<<10)),
		cbrtest.Raw(400, ""),
		cbrtest.Redirect("/"),
	)
	client := newClient(t, server.URL)
	for i := range 6 {
		var reused bool
		ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{
			GotConn: func(info httptrace.GotConnInfo) { reused = info.Reused },
		})
		answer, err := client.Replicate(ctx, source, replicate(cbrtest.SourceVault))
		if answer.Status == 0 {
			t.Fatal(err)
		}
		if reused != (i > 0) {
			t.Errorf("call %d: reused = %t", i, reused)
		}
	}
}

func TestReplicateReadsNoEndlessError(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusInternalServerError)
		for {
			if _, err := io.WriteString(w, "and so on "); err != nil {
				return
			}
		}
	}))
	t.Cleanup(server.Close)
	_, err := newClient(t, server.URL).Replicate(t.Context(), source, replicate(cbrtest.SourceVault))
	if e := kind.As(err); e.Of() != kind.Unknown || strings.Contains(e.Message, "and so on") {
		t.Errorf("error = %v, want an Unknown without the text, whose end may be half a credential", err)
	}
}

// TestReplicateAfterIdleDeath: a connection that the server closed while it was idle is
// replaced, and the request has one effect.
func TestReplicateAfterIdleDeath(t *testing.T) {
	t.Parallel()
	service := cbrtest.New()
	service.AddExample()
	vaults := service.AddVaults(cbrtest.SourceProject, 2, 1)
	server := httptest.NewServer(service)
	t.Cleanup(server.Close)
	client := newClient(t, server.URL)
	closed := make(chan struct{}, 2) // one for each connection
	dial := client.HTTP.Transport.(huawei.Transport).Transport.DialContext
	client.HTTP.Transport.(huawei.Transport).Transport.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := dial(ctx, network, address)
		return &watched{Conn: conn, closed: sync.OnceFunc(func() { closed <- struct{}{} })}, err
	}

	if _, err := client.Replicate(t.Context(), source, replicate(vaults[0])); err != nil {
		t.Fatal(err)
	}
	server.CloseClientConnections()
	<-closed
	if _, err := client.Replicate(t.Context(), source, replicate(vaults[1])); err != nil {
		t.Errorf("on a new connection: %v", err)
	}
	if calls := service.Calls(); len(calls) != 2 {
		t.Errorf("calls = %v, want one for each vault", calls)
	}
}

// watched is a connection that tells when the client has closed it.
type watched struct {
	net.Conn
	closed func()
}

func (c *watched) Close() error {
	defer c.closed()
	return c.Conn.Close()
}

// TestReplicateResetWhenReused: net/http repeats some requests by itself if a reused
// connection is reset. It must not repeat this one.
func TestReplicateResetWhenReused(t *testing.T) {
	t.Parallel()
	server := newServer(t)
	server.Script(cbrtest.SourceVault, cbrtest.Unavailable(), cbrtest.ResetBefore())
	client := newClient(t, server.URL)
	for _, want := range []kind.Kind{kind.Unavailable, kind.Unknown} {
		_, err := client.Replicate(t.Context(), source, replicate(cbrtest.SourceVault))
		if e := kind.As(err); e.Of() != want {
			t.Errorf("error = %v, want %s", err, want)
		}
	}
	if calls := server.Calls(); len(calls) != 2 {
		t.Errorf("calls = %v, want two", calls)
	}
}

// TestReplicateSpeaksHTTP1 also where the server offers HTTP/2.
func TestReplicateSpeaksHTTP1(t *testing.T) {
	t.Parallel()
	var protocol string
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { protocol = r.Proto }))
	server.EnableHTTP2 = true
	server.StartTLS()
	t.Cleanup(server.Close)
	client := newClient(t, server.URL)
	config := server.Client().Transport.(*http.Transport).TLSClientConfig.Clone()
	config.RootCAs = x509.NewCertPool()
	config.RootCAs.AddCert(server.Certificate())
	client.HTTP.Transport.(huawei.Transport).Transport.TLSClientConfig = config
	if answer, err := client.Replicate(t.Context(), source, replicate(cbrtest.SourceVault)); answer.Status != 200 {
		t.Fatal(err)
	}
	if protocol != "HTTP/1.1" {
		t.Errorf("protocol = %s", protocol)
	}
}

// TestReplicateTime: one try has Timeout, or half of the time that is left if that is
// less.
func TestReplicateTime(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name          string
		timeout, left time.Duration // left 0: no deadline
		want          time.Duration
	}{
		{"no deadline", 30 * time.Second, 0, 30 * time.Second},
		{"far", 30 * time.Second, 5 * time.Minute, 30 * time.Second},
		{"near", 30 * time.Second, 20 * time.Second, 10 * time.Second},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				ctx := t.Context()
				if tt.left != 0 {
					var cancel func()
					ctx, cancel = context.WithTimeout(ctx, tt.left)
					defer cancel()
				}
				client := newClient(t, "http://127.0.0.1:1")
				client.Timeout = tt.timeout
				client.HTTP.Transport = transport(func(req *http.Request) (*http.Response, error) {
					<-req.Context().Done()
					return nil, req.Context().Err()
				})
				began := time.Now()
				_, err := client.Replicate(ctx, source, replicate(cbrtest.SourceVault))
				if took := time.Since(began); took != tt.want {
					t.Errorf("the try took %v, want %v", took, tt.want)
				}
				if !strings.Contains(kind.As(err).Message, "(timed out)") {
					t.Errorf("error = %v, want one that says why", err)
				}
			})
		})
	}
}

// TestReplicateTooLate: a call that would have less than a second is not made.
func TestReplicateTooLate(t *testing.T) {
	t.Parallel()
	server := newServer(t)
	client := newClient(t, server.URL)
	ctx, cancel := context.WithTimeout(t.Context(), 1900*time.Millisecond)
	defer cancel()
	answer, err := client.Replicate(ctx, source, replicate(cbrtest.SourceVault))
	if e := kind.As(err); e.Of() != kind.OutOfTime || answer.Sent || len(server.Calls()) > 0 {
		t.Errorf("error = %v, Sent = %t, calls %v, want an OutOfTime and no call", err, answer.Sent, server.Calls())
	}
}

// keys is a credential source that keeps what was reported to it.
type keys struct {
	err   error
	fresh bool
	told  []string
}

func (k *keys) Authorize(req *http.Request, src huawei.Scope) (huawei.Report, error) {
	req.Header.Set("X-Auth-Token", "stale")
	if k.err != nil {
		return nil, k.err
	}
	var once sync.Once
	return func(r huawei.AuthResult) (advice huawei.Advice) {
		once.Do(func() {
			k.told = append(k.told, fmt.Sprintf("%s: answered %t, refused %t, dated %t", src.Region, r.Answered, r.Refused, !r.Date.IsZero()))
			advice = huawei.Advice{Fresh: k.fresh, Text: "correct it"}
		})
		return advice
	}, nil
}

func TestReplicateCredential(t *testing.T) {
	t.Parallel()
	none := &kind.Error{Kind: kind.NotAllowed, Message: "no credential"}
	const (
		refusal  = "region1: answered true, refused true, dated true"
		approval = "region1: answered true, refused false, dated true"
		unclear  = "region1: answered false, refused false, dated true"
		silence  = "region1: answered false, refused false, dated false"
	)
	for _, tt := range []struct {
		name    string
		err     error // of the credential's source
		noFresh bool  // the source has no newer credential
		fault   cbrtest.Fault
		want    kind.Kind
		renewed bool
		told    string // to the source; empty: no call is made
	}{
		{name: "none to be had", err: none, want: kind.NotAllowed},
		{name: "refused", noFresh: true, want: kind.Unauthorized, told: refusal},
		{name: "refused, another is there", want: kind.Unauthorized, renewed: true, told: refusal},
		{name: "expired", fault: cbrtest.Refusal(401, "APIG.0307", "The token must be updated"), want: kind.Unauthorized, renewed: true, told: refusal},
		{name: "expired, by its text alone", fault: cbrtest.Refusal(400, "APIG.9999", "the Token must be updated"), want: kind.Unauthorized, renewed: true, told: refusal},
		{name: "expired, sent as 500", fault: cbrtest.Refusal(500, "BackupService.9998", "authentication failed"), want: kind.Unauthorized, renewed: true, told: refusal},
		{name: "without permission", fault: cbrtest.Refusal(403, "APIGW.0302", "not authorized"), want: kind.Unauthorized, told: unclear},
		{name: "not refused", fault: cbrtest.Unavailable(), want: kind.Unavailable, told: unclear},
		{name: "refused by CBR", fault: cbrtest.Refusal(400, "BackupService.6130", "busy"), want: kind.InProgress, told: approval},
		{name: "no answer", fault: cbrtest.ResetAfter(), want: kind.Unknown, told: silence},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			server := newServer(t)
			server.Script(cbrtest.SourceVault, tt.fault)
			client := newClient(t, server.URL)
			keys := &keys{err: tt.err, fresh: !tt.noFresh}
			client.Auth = keys
			answer, err := client.Replicate(t.Context(), source, replicate(cbrtest.SourceVault))
			if e := kind.As(err); e.Of() != tt.want || e.Renewed != tt.renewed {
				t.Errorf("error = %+v, want %s, renewed: %t", e, tt.want, tt.renewed)
			}
			if tt.err != nil && !errors.Is(err, tt.err) {
				t.Errorf("error = %v, want the source's own", err)
			}
			if told := strings.Join(keys.told, "\n"); told != tt.told {
				t.Errorf("told: %s, want %s", told, tt.told)
			}
			if tt.told == refusal && !strings.HasSuffix(kind.As(err).Message, "; correct it") {
				t.Errorf("error = %v, want the advice in it", err)
			}
			want := 1
			if tt.told == "" {
				want = 0
			}
			if calls := server.Calls(); len(calls) != want || answer.Sent != (want > 0) {
				t.Errorf("calls = %v, Sent = %t, want %d", calls, answer.Sent, want)
			}
		})
	}
}

// TestReplicateNeverBecomesAURL: only a valid project and a valid region become part of
// an address, whatever was checked before.
func TestReplicateNeverBecomesAURL(t *testing.T) {
	t.Parallel()
	server := newServer(t)
	client := newClient(t, server.URL)
	for _, src := range []huawei.Scope{
		{ProjectID: "../" + cbrtest.SourceProject, Region: cbrtest.SourceRegion},
		{ProjectID: "", Region: cbrtest.SourceRegion},
		{ProjectID: cbrtest.SourceProject, Region: "evil.example/"},
	} {
		answer, err := client.Replicate(t.Context(), src, replicate(cbrtest.SourceVault))
		if e := kind.As(err); e.Of() != kind.InvalidEvent || answer.Sent {
			t.Errorf("%+v: error = %v, Sent = %t, want an InvalidEvent", src, err, answer.Sent)
		}
	}
	if calls := server.Calls(); len(calls) > 0 {
		t.Errorf("calls = %v", calls)
	}
}

// TestTokenIsShownNowhere: CBR may echo the token, in any encoding.
func TestTokenIsShownNowhere(t *testing.T) {
	t.Parallel()
	server := newServer(t)
	client := newClient(t, server.URL)
	escaped := `\u004d\u0049` + strings.ReplaceAll(cbrtest.Token[2:], "-", `\u002d`)
	fault := func(status int, body string) cbrtest.Fault {
		body = strings.NewReplacer("VAULT", cbrtest.SourceVault, "TOKEN", cbrtest.Token, "ESCAPED", escaped).Replace(body)
		return cbrtest.Raw(status, body)
	}
	header := fault(200, `{"replication":{"vault_id":"VAULT","backups":[{}]}}`)
	header.Header = http.Header{"X-Request-Id": {"id " + cbrtest.Token}}
	cut := fault(500, "decrypt token fail: TOKEN")
	cut.Cut = true
	for _, tt := range []struct {
		name  string
		fault cbrtest.Fault
		want  string
	}{
		{"message", fault(401, `{"error_code":"APIG.0301","error_msg":"decrypt token fail: TOKEN"}`), "decrypt token fail: [redacted]"},
		{"message, escaped", fault(401, `{"error_code":"APIG.0301","error_msg":"decrypt token fail: ESCAPED"}`), "decrypt token fail: [redacted]"},
		{"code", fault(401, `{"error_code":"TOKEN","error_msg":"?"}`), "[redacted]"},
		{"request id in the body", cbrtest.Fault{
			Status: 401, Body: `{"error_code":"APIG.0301","request_id":"` + cbrtest.Token + `"}`,
			Header: http.Header{"X-Request-Id": {""}},
		}, "[redacted]"},
		{"plain text", fault(502, "no TOKEN"), "no [redacted]"},
		{"JSON that is cut, escaped", fault(500, `{"error_msg":"ESCAPED`), "CBR answered 500 Internal Server Error without a message"},
		{"a list, escaped", fault(500, `["ESCAPED"]`), "CBR answered 500 Internal Server Error without a message"},
		{"in two halves", cut, "the answer was cut: unexpected EOF"},
		{"request id in the header", header, "id [redacted]"},
		{"replication", fault(200, `{"replication":{"vault_id":"VAULT","backups":[{"TOKEN":"TOKEN"}]}}`), `{"[redacted]":"[redacted]"}`},
		{"replication, escaped", fault(200, `{"replication":{"vault_id":"VAULT","backups":[{}],"a":[{"b":"ESCAPED"}]}}`), `{"b":"[redacted]"}`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			server.Script(cbrtest.SourceVault, tt.fault)
			answer, err := client.Replicate(t.Context(), source, replicate(cbrtest.SourceVault))
			shown := answer.RequestID + "\n" + string(answer.Replication)
			if e := kind.As(err); e != nil {
				shown += "\n" + strings.Join([]string{e.Code, e.Message, e.RequestID, e.Error()}, "\n")
			}
			if !strings.Contains(shown, tt.want) {
				t.Errorf("shown: %s\nwant in it: %s", shown, tt.want)
			}
			for _, part := range []string{cbrtest.Token[:10], cbrtest.Token[len(cbrtest.Token)-10:], escaped[12:30]} {
				if strings.Contains(shown, part) {
					t.Errorf("%s is in: %s", part, shown)
				}
			}
		})
	}
}

// answering returns a client without a network that gets one answer.
func answering(t testing.TB, status int, header http.Header, body []byte) *cbr.Client {
	t.Helper()
	client := newClient(t, "http://127.0.0.1:1")
	client.HTTP.Transport = transport(func(req *http.Request) (*http.Response, error) {
		return &http.Response{StatusCode: status, Header: header, Body: io.NopCloser(bytes.NewReader(body)), Request: req}, nil
	})
	return client
}
