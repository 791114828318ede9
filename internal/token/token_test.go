package token_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"cbr-replicator/internal/awscall"
	"cbr-replicator/internal/cbr"
	"cbr-replicator/internal/cbr/cbrtest"
	"cbr-replicator/internal/huawei"
	"cbr-replicator/internal/kind"
	"cbr-replicator/internal/redact"
	"cbr-replicator/internal/sandbox"
	"cbr-replicator/internal/token"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	password     = "correct-horse-battery"
	secretKey    = "SKEXAMPLE000000000000000000000000000000"
	otherProject = "00000000000000000000000000000001"
)

var (
	user    = token.Fields{UserName: "replicator", Password: password, DomainName: "example"}
	key     = token.Fields{AccessKey: "AKEXAMPLE0000000000", SecretKey: secretKey}
	tempKey = token.Fields{AccessKey: "AKTEMP", SecretKey: "SKTEMP-secret", SecurityToken: "STTEMP-token"}
)

// rig is a CBR with an IAM, a Secrets Manager, and one clock for all.
type rig struct {
	t       *testing.T
	cbr     *cbrtest.Server
	secrets *sandbox.Secrets
	hidden  *redact.Redactor
	log     lockedBuffer

	mu  sync.Mutex
	now time.Time
}

func newRig(t *testing.T, options ...cbrtest.Option) *rig {
	t.Helper()
	r := &rig{t: t, hidden: new(redact.Redactor), now: time.Date(2026, 11, 23, 2, 0, 0, 0, time.UTC)}
	r.cbr = cbrtest.NewServer(append([]cbrtest.Option{cbrtest.WithClock(r.clock), cbrtest.WithCopyTime(0)}, options...)...)
	t.Cleanup(r.cbr.Close)
	r.cbr.AddExample()
	r.cbr.AddVault(cbrtest.Vault{ID: cbrtest.DestinationVault, ProjectID: cbrtest.DestinationProject, ProtectType: "replication", Size: 1 << 20})
	r.cbr.AddProject(otherProject, cbrtest.SourceRegion)
	r.cbr.AddUser(cbrtest.User{Domain: user.DomainName, Name: user.UserName, Password: password})
	r.cbr.AddKey(cbrtest.Key{Access: key.AccessKey, Secret: secretKey})
	r.cbr.AddKey(cbrtest.Key{Access: tempKey.AccessKey, Secret: tempKey.SecretKey, SecurityToken: tempKey.SecurityToken})
	var err error
	if r.secrets, err = sandbox.NewSecrets(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.secrets.Close)
	return r
}

func (r *rig) clock() time.Time {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.now
}

func (r *rig) pass(d time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.now = r.now.Add(d)
}

// config is for a source with these fields.
func (r *rig) config(f token.Fields) token.Config {
	r.t.Helper()
	if problems := f.Check(); len(problems) > 0 {
		r.t.Fatalf("fields: %v", problems)
	}
	iam, err := huawei.NewIAMEndpoints(r.cbr.URL+"/v3", "")
	if err != nil {
		r.t.Fatal(err)
	}
	client := huawei.NewHTTPClient(10)
	r.t.Cleanup(client.CloseIdleConnections)
	return token.Config{
		Fields: f, ProjectID: cbrtest.SourceProject, IAM: iam, HTTP: client, UserAgent: "cbr-replicator/test",
		SecretsManager: &awscall.Client{
			Service: "secretsmanager", Target: "secretsmanager", Version: "1.1", Region: sandbox.Region, Endpoint: r.secrets.URL(),
			Credentials: aws.Credentials{AccessKeyID: "AKIDEXAMPLE", SecretAccessKey: "wJalrXUtnFEMI"}, HTTP: client,
		},
		Redact: r.hidden,
		Log:    slog.New(slog.NewTextHandler(&r.log, nil)),
		Now:    r.clock,
	}
}

// client is CBR's, with that source.
func (r *rig) client(f token.Fields) *cbr.Client {
	r.t.Helper()
	config := r.config(f)
	endpoints, err := huawei.NewEndpoints("cbr", r.cbr.URL, "", cbrtest.SourceRegion)
	if err != nil {
		r.t.Fatal(err)
	}
	return cbr.NewClient(huawei.Service{
		HTTP: config.HTTP, Endpoints: endpoints, Auth: token.New(config), Redact: r.hidden, UserAgent: "cbr-replicator/test", Timeout: 30 * time.Second,
	})
}

// vaults makes n vaults with a backup each.
func (r *rig) vaults(project string, n int) []string { return r.cbr.AddVaults(project, n, 1) }

// deliver replicates a vault as a delivery does: once more with a new credential if
// there is one.
func deliver(ctx context.Context, c *cbr.Client, project, vault string) *kind.Error {
	for retried := false; ; retried = true {
		_, err := c.Replicate(ctx, huawei.Scope{ProjectID: project, Region: cbrtest.SourceRegion}, cbr.Replicate{
			VaultID: vault, DestinationVaultID: cbrtest.DestinationVault,
			DestinationProjectID: cbrtest.DestinationProject, DestinationRegion: cbrtest.DestinationRegion,
		})
		e := kind.As(err)
		if e == nil || !e.Renewed || retried {
			return e
		}
	}
}

// deliverAll delivers side by side, ten at a time, and returns what failed.
func deliverAll(ctx context.Context, c *cbr.Client, project string, vaults []string) (failed []*kind.Error) {
	var mu sync.Mutex
	var wait sync.WaitGroup
	next := make(chan string)
	for range 10 {
		wait.Go(func() {
			for vault := range next {
				if e := deliver(ctx, c, project, vault); e != nil {
					mu.Lock()
					failed = append(failed, e)
					mu.Unlock()
				}
			}
		})
	}
	for _, vault := range vaults {
		next <- vault
	}
	close(next)
	wait.Wait()
	return failed
}

// inSecret is f as the value of a secret.
func inSecret(f token.Fields) string {
	value := map[string]string{}
	for name, v := range map[string]string{
		"token": f.Token, "HW_USER_NAME": f.UserName, "HW_USER_PASSWORD": f.Password, "HW_DOMAIN_NAME": f.DomainName,
		"HW_ACCESS_KEY": f.AccessKey, "HW_SECRET_KEY": f.SecretKey, "HW_SECURITY_TOKEN": f.SecurityToken,
	} {
		if v != "" {
			value[name] = v
		}
	}
	text, _ := json.Marshal(value) // strings always marshal
	return string(text)
}

// TestSources: with each source deliveries are accepted, side by side, and it fetches no
// more than it needs.
func TestSources(t *testing.T) {
	t.Parallel()
	static := token.Fields{Token: cbrtest.Token}
	for _, tt := range []struct {
		name          string
		fields        token.Fields
		secret        string
		logins, reads int
	}{
		{"token", static, "", 0, 0},
		{"user", user, "", 1, 0},
		{"key", key, "", 0, 0},
		{"temporary key", tempKey, "", 0, 0},
		{"secret, a token", token.Fields{SecretID: "huawei"}, cbrtest.Token + "\n", 0, 1},
		{"secret, a token in JSON", token.Fields{SecretID: "huawei"}, inSecret(static), 0, 1},
		{"secret, a user", token.Fields{SecretID: "huawei"}, inSecret(user), 1, 1},
		{"secret, a key", token.Fields{SecretID: "huawei"}, inSecret(key), 0, 1},
		{"secret, a temporary key", token.Fields{SecretID: "huawei"}, inSecret(tempKey), 0, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			if tt.secret != "" {
				r.secrets.Put("huawei", tt.secret)
			}
			if failed := deliverAll(t.Context(), r.client(tt.fields), cbrtest.SourceProject, r.vaults(cbrtest.SourceProject, 30)); len(failed) > 0 {
				t.Errorf("failed: %v", failed)
			}
			if logins, reads := len(r.cbr.Logins()), r.secrets.Calls(); logins != tt.logins || reads != tt.reads {
				t.Errorf("%d logins, %d readings of the secret, want %d and %d", logins, reads, tt.logins, tt.reads)
			}
		})
	}
}

// TestLife: a token is used for 80 % of its life. Then a new one is fetched, once for
// all who wait for it.
func TestLife(t *testing.T) {
	t.Parallel()
	r := newRig(t, cbrtest.WithTokenLife(10*time.Hour), cbrtest.WithTokenSize(12_008))
	c := r.client(user)
	deliverHours := func(hours float64, logins int) {
		t.Helper()
		r.pass(time.Duration(hours * float64(time.Hour)))
		if failed := deliverAll(t.Context(), c, cbrtest.SourceProject, r.vaults(cbrtest.SourceProject, 10)); len(failed) > 0 {
			t.Errorf("failed: %v", failed)
		}
		if n := len(r.cbr.Logins()); n != logins {
			t.Errorf("%d logins, want %d", n, logins)
		}
	}
	deliverHours(0, 1)
	deliverHours(7.9, 1)
	deliverHours(0.2, 2)
	for _, call := range r.cbr.Calls() {
		if len(call.Header.Get("X-Auth-Token")) != 12_008 || call.Status != 200 {
			t.Fatalf("a token of %d characters, %v", len(call.Header.Get("X-Auth-Token")), call)
		}
	}

	// IAM is out of reach: the token is used until its life ends, and IAM is asked only
	// once a minute.
	r.pass(8 * time.Hour)
	r.cbr.Script(cbrtest.Tokens, cbrtest.Unavailable(), cbrtest.ResetBefore())
	deliverHours(0, 2)
	deliverHours(0.02, 2)
	if !strings.Contains(r.log.String(), "token not renewed") {
		t.Errorf("log: %s", r.log.String())
	}
	r.pass(2 * time.Hour)
	// Those who wait for the same login get its error.
	r.cbr.Script(cbrtest.Tokens, cbrtest.Unavailable())
	if failed := deliverAll(t.Context(), c, cbrtest.SourceProject, r.vaults(cbrtest.SourceProject, 10)); len(failed) != 10 {
		t.Errorf("%d of 10 failed", len(failed))
	}
	r.pass(time.Second)
	r.cbr.Script(cbrtest.Tokens, cbrtest.Unavailable())
	if e := deliver(t.Context(), c, cbrtest.SourceProject, r.vaults(cbrtest.SourceProject, 1)[0]); e.Of() != kind.Unavailable {
		t.Errorf("error = %v, want Unavailable", e)
	}
	deliverHours(0.01, 3)
}

// TestDeadTokensAreForgotten: a process that runs for weeks does not search all text for
// all tokens that it ever had. A token is masked until a day after its life, refused or
// not.
func TestDeadTokensAreForgotten(t *testing.T) {
	t.Parallel()
	r := newRig(t, cbrtest.WithTokenLife(10*time.Hour))
	c := r.client(user)
	masked := func(want ...bool) {
		t.Helper()
		if e := deliver(t.Context(), c, cbrtest.SourceProject, r.vaults(cbrtest.SourceProject, 1)[0]); e != nil {
			t.Fatal(e)
		}
		var got []bool
		for _, text := range r.cbr.IssuedTokens() {
			got = append(got, r.hidden.Contains("a "+text+" b"))
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("masked tokens, in their order (-want +got):\n%s", diff)
		}
	}
	masked(true)
	r.cbr.RevokeToken(r.cbr.IssuedTokens()[0])
	masked(true, true)
	r.pass(10 * time.Hour)
	masked(true, true, true)
	r.pass(23 * time.Hour)
	masked(true, true, true, true)
	r.pass(9 * time.Hour)
	masked(false, false, true, true, true)
	if got := r.hidden.Text(password); got != redact.Mask {
		t.Errorf("the password shows as %q", got)
	}
}

// TestRevokedInTheMiddle: a token is revoked in the middle of a batch. There is one
// renewal, and all ten deliveries are accepted.
func TestRevokedInTheMiddle(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name   string
		fields token.Fields
		secret string
	}{{"user", user, ""}, {"a user in a secret", token.Fields{SecretID: "huawei"}, inSecret(user)}} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			if tt.secret != "" {
				r.secrets.Put("huawei", tt.secret)
			}
			c := r.client(tt.fields)
			vaults := r.vaults(cbrtest.SourceProject, 11)
			if e := deliver(t.Context(), c, cbrtest.SourceProject, vaults[0]); e != nil {
				t.Fatal(e)
			}
			r.cbr.RevokeToken(r.cbr.IssuedTokens()[0])
			if failed := deliverAll(t.Context(), c, cbrtest.SourceProject, vaults[1:]); len(failed) > 0 {
				t.Errorf("failed: %v", failed)
			}
			if n := len(r.cbr.Logins()); n != 2 {
				t.Errorf("%d logins, want one renewal", n-1)
			}
		})
	}
}

// TestNoLockOut: a refused credential is used once in a quarter of an hour, however many
// deliveries there are. A new version of the secret is used at once.
func TestNoLockOut(t *testing.T) {
	t.Parallel()
	badUser, badKey, unknown := user, key, key
	badUser.Password, badKey.SecretKey, unknown.AccessKey = "wrong-password", "wrong-secret-key", "AKNOBODY"
	failedLogins := func(r *rig) (n int) {
		for _, l := range r.cbr.Logins() {
			if !l.OK {
				n++
			}
		}
		return n
	}
	wrongSignatures := func(r *rig) (n int) {
		for _, c := range r.cbr.Calls() {
			if c.Status == 401 {
				n++
			}
		}
		return n
	}
	const (
		login  = "the login of the user of"
		signed = "the signature with the access key of"
	)
	for _, tt := range []struct {
		name   string
		fields token.Fields
		harm   func(r *rig) // if set: after a first, good delivery
		good   token.Fields // for the new version of the secret
		says   string
	}{
		{name: "a wrong password", fields: badUser, good: user, says: login},
		{name: "a wrong secret key", fields: badKey, good: key, says: signed},
		{name: "an unknown key", fields: unknown, good: key, says: signed},
		{name: "a user revoked later", fields: user, harm: func(r *rig) { r.cbr.RevokeUser(user.UserName) }, good: key, says: login},
		{
			name: "a password changed later", fields: user, harm: func(r *rig) { r.cbr.ChangePassword(user.UserName, "new-password") },
			good: token.Fields{UserName: user.UserName, Password: "new-password", DomainName: user.DomainName}, says: login,
		},
	} {
		counted := failedLogins // by Huawei
		if tt.says == signed {
			counted = wrongSignatures
		}
		for _, inSecretToo := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, in a secret: %t", tt.name, inSecretToo), func(t *testing.T) {
				t.Parallel()
				r := newRig(t)
				fields := tt.fields
				if inSecretToo {
					r.secrets.Put("huawei", inSecret(tt.fields))
					fields = token.Fields{SecretID: "huawei"}
				}
				c := r.client(fields)
				if tt.harm != nil {
					if e := deliver(t.Context(), c, cbrtest.SourceProject, r.vaults(cbrtest.SourceProject, 1)[0]); e != nil {
						t.Fatal(e)
					}
					tt.harm(r)
				}
				vaults := r.vaults(cbrtest.SourceProject, 100)
				failed := deliverAll(t.Context(), c, cbrtest.SourceProject, vaults)
				if n := counted(r); n != 1 || len(failed) != len(vaults) {
					t.Errorf("%d of 100 failed, with %d bad attempts, want all with 1", len(failed), n)
				}
				for _, e := range failed {
					if e.Kind != kind.Unauthorized || !strings.Contains(e.Message, tt.says) {
						t.Fatalf("error = %v", e)
					}
				}
				before := counted(r)
				r.pass(14 * time.Minute)
				deliverAll(t.Context(), c, cbrtest.SourceProject, vaults)
				if n := counted(r); n != before {
					t.Errorf("%d more bad attempts within 15 minutes", n-before)
				}
				if inSecretToo {
					r.pass(time.Second)
					r.secrets.Put("huawei", inSecret(tt.good))
					r.pass(time.Second)
					if failed := deliverAll(t.Context(), c, cbrtest.SourceProject, vaults); len(failed) > 0 {
						t.Errorf("with a new version of the secret: %v", failed[0])
					}
					return
				}
				r.pass(2 * time.Minute)
				deliverAll(t.Context(), c, cbrtest.SourceProject, vaults)
				if n := counted(r) - before; n != 1 {
					t.Errorf("%d bad attempts after 15 minutes, want 1", n)
				}
			})
		}
	}
}

// TestDeadToken: each delivery may use an expired token of the environment. One in a
// secret is used until it was refused twice, or the secret has a new version.
func TestDeadToken(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	dead := token.Fields{Token: "MII-dead-token"}
	c := r.client(dead)
	vaults := r.vaults(cbrtest.SourceProject, 20)
	for i, vault := range vaults {
		e := deliver(t.Context(), c, cbrtest.SourceProject, vault)
		if e.Of() != kind.Unauthorized || !strings.Contains(e.Message, "the token of HW_AUTH_TOKEN was refused") || len(r.cbr.Calls()) != i+1 {
			t.Fatalf("error = %v after %d calls", e, len(r.cbr.Calls()))
		}
	}
	r.secrets.Put("huawei", dead.Token)
	c = r.client(token.Fields{SecretID: "huawei"})
	before := len(r.cbr.Calls())
	for _, vault := range vaults {
		e := deliver(t.Context(), c, cbrtest.SourceProject, vault)
		if e.Of() != kind.Unauthorized || !strings.Contains(e.Message, "the token of the secret huawei was refused") {
			t.Fatalf("error = %v", e)
		}
	}
	if n := len(r.cbr.Calls()) - before; n != 2 {
		t.Errorf("%d calls with the dead token of a secret, want 2", n)
	}
	r.pass(time.Minute)
	r.secrets.Put("huawei", cbrtest.Token)
	r.pass(time.Minute)
	if failed := deliverAll(t.Context(), c, cbrtest.SourceProject, vaults); len(failed) > 0 {
		t.Errorf("with a new version of the secret: %v", failed[0])
	}
}

// TestNoSuccessYet: an answer that was made before the signature was checked does not
// show whether the key is good.
func TestNoSuccessYet(t *testing.T) {
	t.Parallel()
	wrong := key
	wrong.SecretKey = "wrong-secret-key"
	for _, fault := range []cbrtest.Fault{cbrtest.Throttled(0), cbrtest.Unavailable(), cbrtest.Raw(404, "<html>"), cbrtest.Refusal(404, "APIG.0101", "no such API")} {
		r := newRig(t, cbrtest.WithLatency(10*time.Millisecond))
		r.cbr.Script(cbrtest.AnyVault, fault)
		deliverAll(t.Context(), r.client(wrong), cbrtest.SourceProject, r.vaults(cbrtest.SourceProject, 30))
		if n := r.cbr.BadSignatures(key.AccessKey); n != 1 {
			t.Errorf("after %+v: %d bad signatures", fault, n)
		}
	}
}

// TestLateAnswer: a good answer to a request that was sent before the refusal does not
// end the pause.
func TestLateAnswer(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	source := token.New(r.config(key))
	authorize := func() (huawei.Report, error) {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, r.cbr.URL, nil)
		if err != nil {
			t.Fatal(err)
		}
		return source.Authorize(req, huawei.Scope{ProjectID: cbrtest.SourceProject, Region: cbrtest.SourceRegion})
	}
	must := func() huawei.Report {
		t.Helper()
		report, err := authorize()
		if err != nil {
			t.Fatal(err)
		}
		return report
	}
	must()(huawei.AuthResult{Answered: true})
	slow, refused := must(), must()
	refused(huawei.AuthResult{Answered: true, Refused: true})
	slow(huawei.AuthResult{Answered: true})
	if _, err := authorize(); kind.As(err).Of() != kind.Unauthorized {
		t.Errorf("error = %v, want the refusal", err)
	}
}

// TestManyProjectsOnePassword: the password of a user is changed after a good login.
// Five projects need a token, and one of them logs in.
func TestManyProjectsOnePassword(t *testing.T) {
	t.Parallel()
	r := newRig(t, cbrtest.WithLatency(10*time.Millisecond))
	c := r.client(user)
	var wait sync.WaitGroup
	vaults := map[string][]string{}
	for i := range 5 {
		project := fmt.Sprintf("%032x", 0x100+i)
		r.cbr.AddProject(project, cbrtest.SourceRegion)
		vaults[project] = r.vaults(project, 2)
		if e := deliver(t.Context(), c, project, vaults[project][0]); e != nil {
			t.Fatal(e)
		}
	}
	r.cbr.ChangePassword(user.UserName, "new-password")
	for project, v := range vaults {
		wait.Go(func() {
			if e := deliver(t.Context(), c, project, v[1]); e.Of() != kind.Unauthorized {
				t.Errorf("error = %v", e)
			}
		})
	}
	wait.Wait()
	if n := len(r.cbr.Logins()); n != 6 {
		t.Errorf("%d logins, want five that worked and one that failed", n)
	}
}

// TestNoPartInAProject: IAM refuses a project with the same answer as a password. One
// event that names such a project does not stop the others.
func TestNoPartInAProject(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	c := r.client(user)
	vaults := r.vaults(cbrtest.SourceProject, 2)
	if e := deliver(t.Context(), c, cbrtest.SourceProject, vaults[0]); e != nil {
		t.Fatal(e)
	}
	for range 3 {
		e := deliver(t.Context(), c, "00000000000000000000000000000009", vaults[0])
		if e.Of() != kind.Unauthorized || !strings.Contains(e.Message, "has it a part in the project?") {
			t.Errorf("error = %v", e)
		}
	}
	r.cbr.RevokeToken(r.cbr.IssuedTokens()[0])
	if e := deliver(t.Context(), c, cbrtest.SourceProject, vaults[1]); e != nil {
		t.Errorf("the other project: %v", e)
	}
	if n := len(r.cbr.Logins()); n != 3 {
		t.Errorf("%d logins, want 3", n)
	}
}

// TestKindIsOfUnmaskedAnswer: a password may be a word of CBR's answer. The kind does not
// depend on that.
func TestKindIsOfUnmaskedAnswer(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.cbr.AddUser(cbrtest.User{Domain: "example", Name: "short", Password: "token"})
	c := r.client(token.Fields{UserName: "short", Password: "token", DomainName: "example"})
	r.cbr.Script(cbrtest.AnyVault, cbrtest.Refusal(403, "X.1", "The token must be updated"))
	e := deliver(t.Context(), c, cbrtest.SourceProject, r.vaults(cbrtest.SourceProject, 1)[0])
	if logins := len(r.cbr.Logins()); e != nil || logins != 2 {
		t.Errorf("%d logins, error %v; want another token, and no error", logins, e)
	}
}

// TestLongAnswerOfIAM: a text that is as long as the limit is cut, and the advice after
// it stays.
func TestLongAnswerOfIAM(t *testing.T) {
	t.Parallel()
	for _, status := range []int{401, 404, 503} {
		r := newRig(t)
		r.cbr.Script(cbrtest.Tokens, cbrtest.Refusal(status, "IAM.0001", strings.Repeat("x", redact.MaxText)))
		e := deliver(t.Context(), r.client(user), cbrtest.SourceProject, r.vaults(cbrtest.SourceProject, 1)[0])
		if len(e.Error()) > redact.MaxText {
			t.Errorf("%d: %d bytes", status, len(e.Error()))
		}
		if want := "take these off the user, or sign with an access key; it is not used before"; status == 401 && !strings.Contains(e.Message, want) {
			t.Errorf("error = %v", e)
		}
	}
}

// TestNowhereToLogIn: a user without the address of an IAM.
func TestNowhereToLogIn(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	config := r.config(user)
	config.IAM = huawei.Endpoints{}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, r.cbr.URL, nil)
	if err != nil {
		t.Fatal(err)
	}
	_, err = token.New(config).Authorize(req, huawei.Scope{ProjectID: cbrtest.SourceProject, Region: cbrtest.SourceRegion})
	if kind.As(err).Of() != kind.Misconfigured || !strings.Contains(err.Error(), "HW_AUTH_URL") {
		t.Errorf("error = %v", err)
	}
}

// TestFreshTokenRefused: if CBR refuses a user's new tokens, there are two logins, and
// not one for each delivery.
func TestFreshTokenRefused(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	c := r.client(user)
	for range 100 {
		r.cbr.Script(cbrtest.AnyVault, cbrtest.Refusal(401, "APIG.0301", "decrypt token fail"))
	}
	for _, vault := range r.vaults(cbrtest.SourceProject, 20) {
		if e := deliver(t.Context(), c, cbrtest.SourceProject, vault); e.Of() != kind.Unauthorized {
			t.Errorf("error = %v", e)
		}
	}
	if n, calls := len(r.cbr.Logins()), len(r.cbr.Calls()); n != 2 || calls != 2 {
		t.Errorf("%d logins and %d calls, want two each", n, calls)
	}
}

// TestRefusedOnce: a refusal may be the gateway's mistake. A token is fetched anew and
// used once more. A key is not, since wrong signatures are counted.
func TestRefusedOnce(t *testing.T) {
	t.Parallel()
	inSecretID := token.Fields{SecretID: "huawei"}
	for _, tt := range []struct {
		name   string
		fields token.Fields
		secret string
		calls  int
		want   kind.Kind
	}{
		{"token", token.Fields{Token: cbrtest.Token}, "", 1, kind.Unauthorized},
		{"user", user, "", 2, kind.None},
		{"key", key, "", 1, kind.Unauthorized},
		{"a token in a secret", inSecretID, cbrtest.Token, 2, kind.None},
		{"a user in a secret", inSecretID, inSecret(user), 2, kind.None},
		{"a key in a secret", inSecretID, inSecret(key), 1, kind.Unauthorized},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			if tt.secret != "" {
				r.secrets.Put("huawei", tt.secret)
			}
			r.cbr.Script(cbrtest.AnyVault, cbrtest.Refusal(401, "APIGW.0307", "The token must be updated"))
			e := deliver(t.Context(), r.client(tt.fields), cbrtest.SourceProject, r.vaults(cbrtest.SourceProject, 1)[0])
			if calls := len(r.cbr.Calls()); e.Of() != tt.want || calls != tt.calls {
				t.Errorf("error = %v after %d calls, want %q after %d", e, calls, tt.want, tt.calls)
			}
		})
	}
}

// TestNotAllowedIsNoRefusal: a 403 is about what the credential's owner may do. The
// credential stays in use.
func TestNotAllowedIsNoRefusal(t *testing.T) {
	t.Parallel()
	for _, f := range []token.Fields{user, key, {Token: cbrtest.Token}} {
		r := newRig(t)
		c := r.client(f)
		vaults := r.vaults(cbrtest.SourceProject, 2)
		r.cbr.Script(cbrtest.AnyVault, cbrtest.Refusal(403, "APIGW.0302", "not authorized"))
		if e := deliver(t.Context(), c, cbrtest.SourceProject, vaults[0]); e.Of() != kind.Unauthorized {
			t.Errorf("error = %v", e)
		}
		if e := deliver(t.Context(), c, cbrtest.SourceProject, vaults[1]); e != nil || len(r.cbr.Logins()) > 1 {
			t.Errorf("error = %v, %d logins", e, len(r.cbr.Logins()))
		}
	}
}

// TestTwoProjects: two projects, two tokens.
func TestTwoProjects(t *testing.T) {
	t.Parallel()
	perProject := token.Fields{SecretID: "huawei/{project_id}/token"}
	for _, f := range []token.Fields{user, key, perProject} {
		r := newRig(t)
		r.cbr.AddToken("MII-of-the-other", otherProject)
		r.secrets.Put("huawei/"+cbrtest.SourceProject+"/token", cbrtest.Token)
		r.secrets.Put("huawei/"+otherProject+"/token", "MII-of-the-other")
		c := r.client(f)
		for _, project := range []string{cbrtest.SourceProject, otherProject, cbrtest.SourceProject} {
			if failed := deliverAll(t.Context(), c, project, r.vaults(project, 10)); len(failed) > 0 {
				t.Errorf("%v: %v", f.SecretID, failed[0])
			}
		}
		if n := len(r.cbr.Logins()); n != 0 && n != 2 {
			t.Errorf("%d logins for two projects", n)
		}
		if f.SecretID != "" && r.secrets.Calls() != 2 {
			t.Errorf("%d readings of two secrets", r.secrets.Calls())
		}
	}
}

// TestTokenOfOneProject: a token is used only for its own project.
func TestTokenOfOneProject(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.secrets.Put("huawei", cbrtest.Token)
	vault := r.vaults(otherProject, 1)[0]
	for _, f := range []token.Fields{{Token: cbrtest.Token}, {SecretID: "huawei"}} {
		e := deliver(t.Context(), r.client(f), otherProject, vault)
		if e.Of() != kind.NotAllowed || !strings.Contains(e.Message, "HW_PROJECT_ID") {
			t.Errorf("error = %v, want a NotAllowed that says why", e)
		}
		config := r.config(f)
		config.ProjectID = ""
		req, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, r.cbr.URL, nil)
		_, err := token.New(config).Authorize(req, huawei.Scope{ProjectID: otherProject})
		if kind.As(err).Of() != kind.Misconfigured || !strings.Contains(err.Error(), "HW_PROJECT_ID") {
			t.Errorf("without HW_PROJECT_ID: %v", err)
		}
	}
	if calls := r.cbr.Calls(); len(calls) > 0 {
		t.Errorf("calls %v", calls)
	}
}

// TestSkew: if a signature is refused for its time, the message says so.
func TestSkew(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	config := r.config(key)
	config.Now = func() time.Time { return r.clock().Add(-20 * time.Minute) }
	c := r.client(key)
	c.Auth = token.New(config)
	e := deliver(t.Context(), c, cbrtest.SourceProject, r.vaults(cbrtest.SourceProject, 1)[0])
	if e.Of() != kind.Unauthorized || !strings.Contains(e.Message, "clock and the cloud's are 20m0s apart") {
		t.Errorf("error = %v", e)
	}
}

// TestShortSecretIsNamed: once for each version, the log names the fields of a secret
// whose values are not masked everywhere.
func TestShortSecretIsNamed(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	short := user
	short.Password = "pa55"
	for version := 1; version <= 2; version++ {
		r.secrets.Put("huawei", inSecret(short))
		c := r.client(token.Fields{SecretID: "huawei"})
		for range 3 {
			_ = deliver(t.Context(), c, cbrtest.SourceProject, r.vaults(cbrtest.SourceProject, 1)[0])
			r.pass(6 * time.Minute)
		}
		if log := r.log.String(); strings.Count(log, "only where it stands alone") != version || !strings.Contains(log, "fields=HW_USER_PASSWORD") || strings.Contains(log, "pa55") {
			t.Errorf("log: %s", log)
		}
	}
}

// TestSecretTroubles: if a secret cannot be read, the message names it and says what to
// do. It is read at most once a second.
func TestSecretTroubles(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name  string
		value string
		fault sandbox.SecretsFault
		want  kind.Kind
		says  string
	}{
		{"denied", "x", sandbox.SecretsFault{Status: 400, Code: "AccessDeniedException"}, kind.Misconfigured, "secretsmanager:GetSecretValue"},
		{"no key", "x", sandbox.SecretsFault{Status: 400, Code: "DecryptionFailure"}, kind.Misconfigured, "kms:Decrypt"},
		{"not there", "", sandbox.SecretsFault{}, kind.Misconfigured, "no such secret"},
		{"throttled", "x", sandbox.SecretsFault{Status: 400, Code: "ThrottlingException"}, kind.Unavailable, "Throttling"},
		{"broken", "x", sandbox.SecretsFault{Status: 500, Code: "InternalServiceError"}, kind.Unavailable, "InternalServiceError"},
		{"reset", "x", sandbox.SecretsFault{Reset: true}, kind.Unavailable, "cannot be read"},
		{"half", `{"HW_ACCESS_KEY":"abc-access"}`, sandbox.SecretsFault{}, kind.Misconfigured, "HW_SECRET_KEY: required with HW_ACCESS_KEY"},
		{"two", `{"token":"tok-en","HW_ACCESS_KEY":"abc-access","HW_SECRET_KEY":"s"}`, sandbox.SecretsFault{}, kind.Misconfigured, "token, HW_ACCESS_KEY: set one"},
		{"none", `{"password":"hunter22"}`, sandbox.SecretsFault{}, kind.Misconfigured, "the secret huawei: expected HW_ACCESS_KEY with HW_SECRET_KEY, or HW_USER_NAME with HW_USER_PASSWORD and HW_DOMAIN_NAME, or token"},
		{"no strings", `{"token":1234567}`, sandbox.SecretsFault{}, kind.Misconfigured, "neither a token nor a JSON object"},
		{"no header", "two words", sandbox.SecretsFault{}, kind.Misconfigured, "printable ASCII"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			if tt.value != "" {
				r.secrets.Put("huawei", tt.value)
			}
			r.secrets.Script(tt.fault)
			failed := deliverAll(t.Context(), r.client(token.Fields{SecretID: "huawei"}), cbrtest.SourceProject, r.vaults(cbrtest.SourceProject, 20))
			if len(failed) != 20 || r.secrets.Calls() != 1 {
				t.Errorf("%d of 20 failed with %d readings", len(failed), r.secrets.Calls())
			}
			for _, e := range failed {
				if e.Kind != tt.want || !strings.Contains(e.Message, tt.says) || !strings.Contains(e.Message, "the secret huawei") {
					t.Errorf("error = %v, want %s with %q", e, tt.want, tt.says)
				}
				if tt.value != "" && tt.value != "x" && strings.Contains(e.Message, tt.value[len(tt.value)-6:len(tt.value)-2]) {
					t.Errorf("a part of the value is in %v", e)
				}
			}
			r.pass(time.Minute)
			r.secrets.Put("huawei", cbrtest.Token)
			if e := deliver(t.Context(), r.client(token.Fields{SecretID: "huawei"}), cbrtest.SourceProject, r.vaults(cbrtest.SourceProject, 1)[0]); e != nil {
				t.Errorf("after it was mended: %v", e)
			}
		})
	}
}

// TestRotation: a new version is used within five minutes, before the old one is
// refused. While the secret cannot be read, the old one is used.
func TestRotation(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.cbr.AddToken("MII-next-token", cbrtest.SourceProject)
	r.secrets.Put("huawei", cbrtest.Token)
	c := r.client(token.Fields{SecretID: "huawei"})
	send := func(want string, reads int) {
		t.Helper()
		if e := deliver(t.Context(), c, cbrtest.SourceProject, r.vaults(cbrtest.SourceProject, 1)[0]); e != nil {
			t.Fatal(e)
		}
		calls := r.cbr.Calls()
		if got := calls[len(calls)-1].Header.Get("X-Auth-Token"); got != want || r.secrets.Calls() != reads {
			t.Errorf("token %.8s with %d readings, want %.8s with %d", got, r.secrets.Calls(), want, reads)
		}
	}
	send(cbrtest.Token, 1)
	r.secrets.Put("huawei", "MII-next-token")
	r.pass(4 * time.Minute)
	send(cbrtest.Token, 1)
	r.pass(61 * time.Second)
	r.secrets.Script(sandbox.SecretsFault{Status: 500, Code: "InternalServiceError"})
	send(cbrtest.Token, 2)
	r.pass(30 * time.Second)
	send(cbrtest.Token, 2)
	r.pass(31 * time.Second)
	send("MII-next-token", 3)

	// After a refusal the secret is read at once.
	r.cbr.AddToken("MII-third-token", cbrtest.SourceProject)
	r.secrets.Put("huawei", "MII-third-token")
	r.cbr.RevokeToken("MII-next-token")
	r.pass(time.Minute)
	send("MII-third-token", 4)
}

// TestShownNowhere: no fmt verb, no encoder and no log shows a credential.
func TestShownNowhere(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	secrets := []string{"wJalrXUtnFEMI", cbrtest.Token, password, secretKey, tempKey.SecretKey, tempKey.SecurityToken}
	for _, f := range []token.Fields{{Token: cbrtest.Token}, user, key, tempKey, {SecretID: "huawei"}} {
		source := token.New(r.config(f))
		var out bytes.Buffer
		for _, v := range []any{source, f, &f, []any{source, f}, struct{ F token.Fields }{f}, r.config(f), r.hidden, r.config(f).SecretsManager} {
			fmt.Fprintf(&out, "%v %+v %#v %s %q", v, v, v, v, v)
			slog.New(slog.NewJSONHandler(&out, nil)).Info("x", "v", v)
			slog.New(slog.NewTextHandler(&out, nil)).Info("x", "v", v)
		}
		for _, v := range []any{source, f, struct{ F token.Fields }{f}} {
			if err := json.NewEncoder(&out).Encode(v); err != nil {
				t.Fatal(err)
			}
		}
		for _, secret := range secrets {
			if strings.Contains(out.String(), secret) {
				t.Errorf("%T shows a credential: %s", source, out.String())
			}
		}
		for _, secret := range []string{f.Token, f.Password, f.SecretKey, f.SecurityToken} {
			if secret != "" && !r.hidden.Contains(secret) {
				t.Error("the redactor was not told of a credential")
			}
		}
	}
}

// lockedBuffer is a log that may be read while it is written.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// TestNoEmptyToken: tokens are revoked as fast as they are issued. A request has a token
// or is not made.
func TestNoEmptyToken(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	source := token.New(r.config(user))
	src := huawei.Scope{ProjectID: cbrtest.SourceProject, Region: cbrtest.SourceRegion}
	var wait sync.WaitGroup
	for range 16 {
		wait.Go(func() {
			for i := range 200 {
				req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, r.cbr.URL, nil)
				if err != nil {
					t.Error(err)
					return
				}
				report, err := source.Authorize(req, src)
				if err != nil {
					t.Error(err)
					return
				}
				if req.Header.Get("X-Auth-Token") == "" {
					t.Error("a request without a token")
				}
				// Never twice in a row, which would stop the logins.
				report(huawei.AuthResult{Answered: true})
				if i%4 == 0 {
					report(huawei.AuthResult{Answered: true, Refused: true})
				}
			}
		})
	}
	wait.Wait()
}

// TestLifeByIAMsClock: the clocks of the two clouds are hours apart. A token's life is
// equally long by both, and the token is renewed at 80 % of it.
func TestLifeByIAMsClock(t *testing.T) {
	t.Parallel()
	for _, apart := range []time.Duration{-5 * time.Hour, 5 * time.Hour} {
		r := newRig(t, cbrtest.WithTokenLife(10*time.Hour))
		config := r.config(user)
		config.Now = func() time.Time { return r.clock().Add(apart) }
		c := r.client(user)
		c.Auth = token.New(config)
		for i, wait := range []time.Duration{0, 7*time.Hour + 50*time.Minute, 20 * time.Minute} {
			r.pass(wait)
			if e := deliver(t.Context(), c, cbrtest.SourceProject, r.vaults(cbrtest.SourceProject, 1)[0]); e != nil {
				t.Error(e)
			}
			if n, want := len(r.cbr.Logins()), []int{1, 1, 2}[i]; n != want {
				t.Errorf("%v apart: %d logins after another %v, want %d", apart, n, wait, want)
			}
		}
		if calls := r.cbr.Calls(); len(calls) != 3 {
			t.Errorf("%v apart: %d calls, want 3 without a refusal", apart, len(calls))
		}
	}
}

// TestNoCatalog: the catalog is most of IAM's answer and nobody reads it.
func TestNoCatalog(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	config := r.config(user)
	logins := 0
	next := config.HTTP.Transport
	config.HTTP.Transport = transport(func(req *http.Request) (*http.Response, error) {
		if req.URL.Path == "/v3/auth/tokens" {
			if logins++; req.Method != http.MethodPost || !req.URL.Query().Has("nocatalog") {
				t.Errorf("%s %s", req.Method, req.URL)
			}
		}
		return next.RoundTrip(req)
	})
	t.Cleanup(func() { next.(interface{ CloseIdleConnections() }).CloseIdleConnections() })
	c := r.client(user)
	c.Auth = token.New(config)
	if e := deliver(t.Context(), c, cbrtest.SourceProject, r.vaults(cbrtest.SourceProject, 1)[0]); e != nil || logins != 1 {
		t.Errorf("error = %v after %d logins", e, logins)
	}
}

// transport answers in place of a network.
type transport func(*http.Request) (*http.Response, error)

func (f transport) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }

// TestRefusedNowAndThen: two refusals in a row stop a token. A good request between them
// resets the count.
func TestRefusedNowAndThen(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name   string
		fields token.Fields
		secret string
	}{
		{"user", user, ""},
		{"a user in a secret", token.Fields{SecretID: "huawei"}, inSecret(user)},
		{"a token in a secret", token.Fields{SecretID: "huawei"}, cbrtest.Token},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			if tt.secret != "" {
				r.secrets.Put("huawei", tt.secret)
			}
			c := r.client(tt.fields)
			for i, vault := range r.vaults(cbrtest.SourceProject, 5) {
				r.cbr.Script(vault, cbrtest.Refusal(401, "APIGW.0307", "The token must be updated"))
				if e := deliver(t.Context(), c, cbrtest.SourceProject, vault); e != nil {
					t.Errorf("refusal %d: %v", i+1, e)
				}
				r.pass(2 * time.Second) // a secret is read at most once a second
			}
			if n := len(r.cbr.Calls()); n != 10 {
				t.Errorf("%d calls, want five that were refused and five that were not", n)
			}
		})
	}
}

// TestIAMsWords: the message of a failed login has IAM's answer and what to do about it.
// An answer that shows nothing of the password does not stop logins.
func TestIAMsWords(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name   string
		fault  cbrtest.Fault
		want   kind.Kind
		says   []string
		logins int // by a second delivery, two seconds later
	}{
		{"a redirect", cbrtest.Fault{Status: 301}, kind.Misconfigured, []string{"IAM answered 301 Moved Permanently without a message"}, 1},
		{"no status that has a name", cbrtest.Fault{Status: 499}, kind.Misconfigured, []string{"IAM answered 499 without a message"}, 1},
		{"a failure", cbrtest.Raw(502, "<html>bad</html>"), kind.Unavailable, []string{"IAM answered 502: <html>bad</html>"}, 2},
		{
			"a refusal", cbrtest.Raw(401, `{"error":{"code":401,"message":"The username or password is wrong.","title":"Unauthorized"}}`), kind.Unauthorized,
			[]string{"(IAM answered 401: The username or password is wrong.)", "check name, password and domain", "MFA or login protection"},
			1,
		},
		{"a number that CBR has, too", cbrtest.Raw(400, `{"error_code":1005,"error_msg":"m"}`), kind.Misconfigured, []string{"IAM answered 400: m"}, 1},
		{"a number that CBR has, too, with 401", cbrtest.Raw(401, `{"error_code":"1005","error_msg":"m"}`), kind.Unauthorized, []string{"IAM answered 401: m"}, 1},
		{"a token that must be updated", cbrtest.Refusal(401, "APIGW.0307", "The token must be updated"), kind.Unavailable, []string{"IAM answered 401: The token must be updated"}, 2},
		{"the same by its code alone", cbrtest.Refusal(403, "APIG.0307", "no"), kind.Unavailable, []string{"IAM answered 403: no"}, 2},
		{"the same in words", cbrtest.Raw(401, `{"message":"the token must be updated."}`), kind.Unavailable, []string{"the token must be updated."}, 2},
		{"too many", cbrtest.Throttled(0), kind.Throttled, []string{"IAM answered 429: "}, 2},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			c := r.client(user)
			vault := r.vaults(cbrtest.SourceProject, 1)[0]
			r.cbr.Script(cbrtest.Tokens, tt.fault)
			e := deliver(t.Context(), c, cbrtest.SourceProject, vault)
			if e.Of() != tt.want || strings.Contains(e.Message, "CBR answered") {
				t.Errorf("error = %v, want %s", e, tt.want)
			}
			for _, text := range tt.says {
				if e != nil && !strings.Contains(e.Message, text) {
					t.Errorf("error = %v, want %q in it", e, text)
				}
			}
			r.pass(2 * time.Second)
			e = deliver(t.Context(), c, cbrtest.SourceProject, vault)
			// Faults come before IAM counts a login.
			if asked := 1 + len(r.cbr.Logins()); asked != tt.logins || (e == nil) != (tt.logins == 2) {
				t.Errorf("%d logins, then %v; want %d", asked, e, tt.logins)
			}
		})
	}
}

// TestAuthURLOfTheCall: the URL may be the one of the call itself, as in IAM's reference.
func TestAuthURLOfTheCall(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	config := r.config(user)
	var err error
	if config.IAM, err = huawei.NewIAMEndpoints(r.cbr.URL+"/v3/auth/tokens?nocatalog=true", ""); err != nil {
		t.Fatal(err)
	}
	c := r.client(user)
	c.Auth = token.New(config)
	if e := deliver(t.Context(), c, cbrtest.SourceProject, r.vaults(cbrtest.SourceProject, 1)[0]); e != nil {
		t.Error(e)
	}
}
