package cbrtest

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var alice = User{Domain: "account", Name: "alice", Password: "right"}

// loginBody is the body of "Obtaining a User Token Through Password Authentication" in the IAM API reference.
func loginBody(domain, user, password, project string) string {
	return fmt.Sprintf(`{"auth":{"identity":{"methods":["password"],"password":{"user":{"domain":{"name":%q},"name":%q,"password":%q}}},"scope":{"project":{"id":%q}}}}`,
		domain, user, password, project)
}

// login asks for a token for the example's project.
func (s example) login(t *testing.T, password string) reply {
	t.Helper()
	return s.send(t, http.MethodPost, tokensPath+"?nocatalog=true", "", loginBody("account", "alice", password, SourceProject))
}

// token returns the token of a login, which must succeed.
func (s example) token(t *testing.T) string {
	t.Helper()
	got := s.login(t, "right")
	if got.status != http.StatusCreated {
		t.Fatalf("login: %d %s", got.status, got.raw)
	}
	return got.header.Get("X-Subject-Token")
}

// code is the error code of a lookup with the token.
func (s example) code(t *testing.T, token string) string {
	t.Helper()
	return s.send(t, http.MethodGet, backupsPath+"?limit=1", token, "").code()
}

// iamMessage returns the message of an answer in Keystone's form.
func iamMessage(r reply) string {
	e, _ := r.body["error"].(map[string]any)
	message, _ := e["message"].(string)
	return message
}

func TestCreateToken(t *testing.T) {
	t.Parallel()
	s, now := newExample(t)
	s.AddUser(alice)
	got := s.send(t, http.MethodPost, tokensPath, "", loginBody("account", "alice", "right", SourceProject))
	domain := map[string]any{"id": hexID("domain", "account"), "name": "account"}
	want := map[string]any{"token": map[string]any{
		"catalog":    []any{},
		"expires_at": "2026-11-24T07:00:00.123456Z",
		"issued_at":  "2026-11-23T07:00:00.123456Z",
		"methods":    []any{"password"},
		"project":    map[string]any{"domain": domain, "id": SourceProject, "name": SourceRegion},
		"roles":      []any{},
		"user":       map[string]any{"domain": domain, "id": hexID("user", "alice"), "name": "alice", "password_expires_at": ""},
	}}
	if diff := cmp.Diff(want, got.body); diff != "" || got.status != http.StatusCreated {
		t.Errorf("status %d, body (-want +got):\n%s", got.status, diff)
	}
	if diff := cmp.Diff([]string{got.header.Get("X-Subject-Token")}, s.IssuedTokens()); diff != "" {
		t.Errorf("tokens issued (-header +kept):\n%s", diff)
	}
	if diff := cmp.Diff([]Login{{Time: now.Now(), User: "alice", Project: SourceProject, OK: true}}, s.Logins()); diff != "" {
		t.Errorf("logins (-want +got):\n%s", diff)
	}
	if token := s.login(t, "right").body["token"].(map[string]any); token["catalog"] != nil {
		t.Error("a catalog in spite of nocatalog")
	}
}

// Two logins of the same user for the same project get two tokens, both good, of the length that was set.
func TestIssuedTokens(t *testing.T) {
	t.Parallel()
	for _, size := range []int{DefaultTokenSize, 12_008} {
		s, _ := newExample(t, WithTokenSize(size))
		s.AddUser(alice)
		first, second := s.token(t), s.token(t)
		if first == second {
			t.Error("the same token twice")
		}
		for _, token := range []string{first, second} {
			if len(token) != size || !strings.HasPrefix(token, "MII") {
				t.Errorf("%d characters beginning %.3s, want %d beginning MII", len(token), token, size)
			}
			if code := s.code(t, token); code != "" {
				t.Errorf("the token gets %s", code)
			}
			if got := s.send(t, http.MethodGet, "/v3/"+DestinationProject+"/backups", token, ""); got.code() != "APIGW.0302" {
				t.Errorf("for another project the token gets %d %s", got.status, got.raw)
			}
		}
	}
}

func TestTokenEnds(t *testing.T) {
	t.Parallel()
	const life = time.Hour
	for _, tt := range []struct {
		name string
		end  func(s example, now *clock, token string)
		want string
	}{
		{"not a moment too early", func(_ example, now *clock, _ string) { now.advance(life - 1) }, ""},
		{"expired", func(_ example, now *clock, _ string) { now.advance(life) }, "APIGW.0307"},
		{"revoked", func(s example, _ *clock, token string) { s.RevokeToken(token) }, "APIGW.0307"},
		{"password changed", func(s example, _ *clock, _ string) { s.ChangePassword("alice", "new") }, "APIGW.0307"},
		{"user revoked", func(s example, _ *clock, _ string) { s.RevokeUser("alice") }, "APIGW.0307"},
		{"another's password changed", func(s example, _ *clock, _ string) { s.ChangePassword("bob", "new") }, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s, now := newExample(t, WithTokenLife(life))
			s.AddUser(alice)
			token := s.token(t)
			tt.end(s, now, token)
			if got := s.code(t, token); got != tt.want {
				t.Errorf("the token gets %q, want %q", got, tt.want)
			}
			if got := s.code(t, Token); got != "" {
				t.Errorf("a token that was added gets %q", got)
			}
		})
	}
}

func TestLoginRefused(t *testing.T) {
	t.Parallel()
	const wrong = "The username or password is wrong."
	right := loginBody("account", "alice", "right", SourceProject)
	for _, tt := range []struct {
		name, query, body string
		status            int
		text              string // "" is not compared
		logins            int
	}{
		{"wrong password", "", loginBody("account", "alice", "x", SourceProject), 401, wrong, 1},
		{"unknown user", "", loginBody("account", "bob", "right", SourceProject), 401, wrong, 1},
		{"another account", "", loginBody("other", "alice", "right", SourceProject), 401, wrong, 1},
		{"unknown project", "", loginBody("account", "alice", "right", "unknown"), 401, "The user has no access to the project.", 1},
		{"another's project", "", loginBody("account", "alice", "right", DestinationProject), 401, "The user has no access to the project.", 1},
		{"no JSON", "", "{", 400, "", 0},
		{"no password", "", loginBody("account", "alice", "", SourceProject), 400, "", 0},
		{"no domain", "", loginBody("", "alice", "right", SourceProject), 400, "", 0},
		{"project by name", "", strings.Replace(right, `"id"`, `"name"`, 1), 501, "", 0},
		{"no scope", "", strings.Replace(right, SourceProject, "", 1), 501, "", 0},
		{"scope of a domain", "", strings.Replace(right, `"project"`, `"domain"`, 1), 501, "", 0},
		{"one-time password", "", strings.Replace(right, `["password"]`, `["password","totp"]`, 1), 501, "", 0},
		{"another query", "?x=1", right, 501, "", 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s, _ := newExample(t)
			u := alice
			u.Projects = []string{SourceProject}
			s.AddUser(u)
			got := s.send(t, http.MethodPost, tokensPath+tt.query, "", tt.body)
			if got.status != tt.status || tt.text != "" && iamMessage(got) != tt.text {
				t.Errorf("%d %s, want %d %s", got.status, got.raw, tt.status, tt.text)
			}
			if logins := s.Logins(); len(logins) != tt.logins || tt.logins > 0 && logins[0].OK {
				t.Errorf("logins %v, want %d that failed", logins, tt.logins)
			}
			if tokens := s.IssuedTokens(); len(tokens) > 0 {
				t.Errorf("%d tokens issued", len(tokens))
			}
		})
	}
}

func TestLock(t *testing.T) {
	t.Parallel()
	type step struct {
		after    time.Duration
		password string
		ok       bool
		locked   bool
	}
	const limit = 3
	wrong, right := step{password: "wrong"}, step{password: "right", ok: true}
	met := func(s step) step { s.ok, s.locked = false, true; return s }
	later := func(d time.Duration, s step) step { s.after = d; return s }
	for _, tt := range []struct {
		name  string
		steps []step
	}{
		{"one too many", []step{wrong, wrong, wrong, met(right), met(wrong)}},
		{"a success resets the count", []step{wrong, wrong, right, wrong, wrong, right}},
		{"a failure is forgotten", []step{wrong, later(time.Minute, wrong), later(14*time.Minute, wrong), right}},
		{"a failure is remembered", []step{wrong, later(time.Minute, wrong), later(14*time.Minute-1, wrong), met(right)}},
		{"a lock ends, and the count with it", []step{
			wrong, wrong, wrong, met(wrong), later(15*time.Minute-1, met(right)), later(1, wrong), wrong, right,
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s, now := newExample(t, WithLoginLimit(limit))
			s.AddUser(alice)
			var want []Login
			for _, step := range tt.steps {
				now.advance(step.after)
				got := s.login(t, step.password)
				if locked := strings.Contains(iamMessage(got), "account is locked"); locked != step.locked {
					t.Errorf("login %d: %s", len(want), got.raw)
				}
				want = append(want, Login{Time: now.Now(), User: "alice", Project: SourceProject, OK: step.ok, Locked: step.locked})
			}
			if diff := cmp.Diff(want, s.Logins()); diff != "" {
				t.Errorf("logins (-want +got):\n%s", diff)
			}
		})
	}
}

// What an administrator can change.
func TestUserChanges(t *testing.T) {
	t.Parallel()
	s, _ := newExample(t, WithLoginLimit(1))
	s.AddUser(alice)
	s.ChangePassword("alice", "new")
	s.ChangePassword("unknown", "new")
	if got := s.login(t, "new"); got.status != http.StatusCreated {
		t.Errorf("with the new password: %d %s", got.status, got.raw)
	}
	if got := s.login(t, "right"); got.status != http.StatusUnauthorized {
		t.Errorf("with the old password: %d %s", got.status, got.raw)
	}
	s.ChangePassword("alice", "newer")
	if got := s.login(t, "newer"); !strings.Contains(iamMessage(got), "locked") {
		t.Errorf("the lock ended with the password: %d %s", got.status, got.raw)
	}
	s.RevokeUser("alice")
	if got := s.login(t, "newer"); got.status != http.StatusUnauthorized || strings.Contains(iamMessage(got), "locked") {
		t.Errorf("revoked: %d %s", got.status, got.raw)
	}
	s.AddUser(alice)
	s.token(t)
}

// Logins have a script of their own, and a token whose answer was lost was issued all the same.
func TestLoginFaults(t *testing.T) {
	t.Parallel()
	var seen []Call
	s, _ := newExample(t, WithObserver(func(c Call) { seen = append(seen, c) }))
	s.AddUser(alice)
	s.Script(AnyVault, Unavailable())
	s.Script(Lookups, Unavailable())
	s.Script(Tokens, Throttled(0), ResetBefore(), ResetAfter(), Fault{Header: http.Header{"X-Subject-Token": {"another"}}})

	if got := s.login(t, "right"); got.status != http.StatusTooManyRequests || got.header.Get("X-Subject-Token") != "" {
		t.Errorf("throttled: %d %s", got.status, got.raw)
	}
	for range 2 {
		if resp, err := s.try(t, http.MethodPost, tokensPath, "", loginBody("account", "alice", "right", SourceProject)); err == nil {
			_ = resp.Body.Close()
			t.Errorf("no reset, but %s", resp.Status)
		}
	}
	if got := s.login(t, "right"); got.status != http.StatusCreated || got.header.Get("X-Subject-Token") != "another" {
		t.Errorf("with another header: %d %v", got.status, got.header)
	}
	if logins, tokens := s.Logins(), s.IssuedTokens(); len(logins) != 2 || len(tokens) != 2 {
		t.Errorf("%d logins and %d tokens, want 2 and 2", len(logins), len(tokens))
	}
	if calls := s.Calls(); len(calls) > 0 {
		t.Errorf("kept among the calls: %v", calls)
	}
	for _, call := range seen {
		if call.Operation != CreateToken || call.Body != "" {
			t.Errorf("observed with the body %q as %s", call.Body, call)
		}
	}
}

func TestPeakLogins(t *testing.T) {
	t.Parallel()
	const clients = 4
	var arrived sync.WaitGroup
	arrived.Add(clients)
	s, _ := newExample(t, WithObserver(func(Call) {
		arrived.Done()
		arrived.Wait()
	}))
	s.AddUser(alice)
	var wg sync.WaitGroup
	for range clients {
		wg.Go(func() { s.login(t, "right") })
	}
	wg.Wait()
	if peak := s.PeakLogins(); peak != clients {
		t.Errorf("peak %d, want %d", peak, clients)
	}
}
