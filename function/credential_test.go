package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"cbr-replicator/internal/cbr/cbrtest"
	"cbr-replicator/internal/sandbox"
)

// The credentials that the CBR of a rig knows, and wrong ones.
const (
	userPassword  = "correct-horse-battery"
	secretKey     = "SKEXAMPLE000000000000000000000000000000"
	tempSecretKey = "SKTEMP00000000000000000000000000000000"
	securityToken = "STTEMP-example-security-token"
	otherProject  = "00000000000000000000000000000001"
	wrongPassword = "wrong-horse-battery"
	wrongKey      = "SKWRONG0000000000000000000000000000000"
)

// credentials must be in no answer, log line or result.
var credentials = []string{
	cbrtest.Token, userPassword, secretKey, tempSecretKey, securityToken, wrongPassword, wrongKey, "wJalrXUtnFEMI/K7MDENG", "example-session-token",
}

func (r *rig) addCredentials() {
	r.cbr.AddUser(cbrtest.User{Domain: "example", Name: "replicator", Password: userPassword})
	r.cbr.AddKey(cbrtest.Key{Access: "AKEXAMPLE", Secret: secretKey})
	r.cbr.AddKey(cbrtest.Key{Access: "AKTEMP", Secret: tempSecretKey, SecurityToken: securityToken})
	r.cbr.AddProject(otherProject, cbrtest.SourceRegion)
	r.cbr.AddVault(cbrtest.Vault{ID: cbrtest.DestinationVault, ProjectID: cbrtest.DestinationProject, ProtectType: "replication", Size: 1 << 20})
}

// Credentials as variables, which are also what a secret may hold.
func user(password string) map[string]string {
	return map[string]string{"HW_USER_NAME": "replicator", "HW_USER_PASSWORD": password, "HW_DOMAIN_NAME": "example"}
}

func key(secret string) map[string]string {
	return map[string]string{"HW_ACCESS_KEY": "AKEXAMPLE", "HW_SECRET_KEY": secret}
}

// asSecret is the value of a secret with these fields.
func asSecret(fields map[string]string) string {
	value, _ := json.Marshal(fields) // strings always marshal
	return string(value)
}

// without returns an environment without HW_AUTH_TOKEN and with these variables.
func without(variables map[string]string) map[string]string {
	env := map[string]string{"HW_AUTH_TOKEN": "", "ALLOWED_PROJECT_IDS": "*"}
	maps.Copy(env, variables)
	return env
}

// batchFor returns an SQS batch with a request for each of these vaults.
func (r *rig) batchFor(project string, vaults []string) []byte {
	for _, vault := range vaults {
		body := strings.Replace(request(vault), "{", fmt.Sprintf(`{"project_id":%q,`, project), 1)
		r.stack.Requests.Send(body, nil, "")
	}
	return r.batch()
}

// failures returns how many deliveries an answer hands back.
func failures(t *testing.T, response sandbox.Response) int {
	t.Helper()
	return len(decode[struct{ BatchItemFailures []any }](t, string(response.Payload)).BatchItemFailures)
}

// TestCredentials: with each source of a credential a batch of ten is accepted, for
// two projects unless the credential is for one.
func TestCredentials(t *testing.T) {
	t.Parallel()
	inSecret := map[string]string{"HW_AUTH_TOKEN_SECRET": "huawei/credential"}
	temporary := map[string]string{"HW_ACCESS_KEY": "AKTEMP", "HW_SECRET_KEY": tempSecretKey, "HW_SECURITY_TOKEN": securityToken}
	for name, tt := range map[string]struct {
		env     map[string]string
		secret  string
		one     bool // it is for one project
		logins  int
		readers int
	}{
		"token":                  {map[string]string{"HW_AUTH_TOKEN": cbrtest.Token}, "", true, 0, 0},
		"user":                   {user(userPassword), "", false, 2, 0},
		"key":                    {key(secretKey), "", false, 0, 0},
		"temporary key":          {temporary, "", false, 0, 0},
		"a token in a secret":    {inSecret, cbrtest.Token, true, 0, 1},
		"a token in JSON":        {inSecret, asSecret(map[string]string{"token": cbrtest.Token}), true, 0, 1},
		"a user in a secret":     {inSecret, asSecret(user(userPassword)), false, 2, 1},
		"a key in a secret":      {inSecret, asSecret(temporary), false, 0, 1},
		"a secret for a project": {map[string]string{"HW_AUTH_TOKEN_SECRET": "huawei/{project_id}"}, "", false, 0, 2},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, "results", without(tt.env))
			r.cbr.AddToken("MII-of-the-other-project", otherProject)
			if tt.secret != "" {
				r.secrets.Put("huawei/credential", tt.secret)
			}
			r.secrets.Put("huawei/"+cbrtest.SourceProject, cbrtest.Token)
			r.secrets.Put("huawei/"+otherProject, "MII-of-the-other-project")
			projects := []string{cbrtest.SourceProject, otherProject}
			if tt.one {
				projects = projects[:1]
			}
			for _, project := range projects {
				if response := r.invoke(r.batchFor(project, r.cbr.AddVaults(project, 10, 1)), time.Minute); failures(t, response) > 0 {
					t.Errorf("handed back: %s", response.Payload)
				}
			}
			if n := len(r.topic.Messages()); n != 10*len(projects) {
				t.Errorf("%d results: %v", n, r.statuses())
			}
			if logins, reads := len(r.cbr.Logins()), r.secrets.Calls(); logins != tt.logins || reads != tt.readers {
				t.Errorf("%d logins and %d readings of secrets, want %d and %d", logins, reads, tt.logins, tt.readers)
			}
		})
	}
}

// TestTokenDiesInABatch: one renewal, ten accepted. The tokens have the length
// of the longest in Huawei's documentation.
func TestTokenDiesInABatch(t *testing.T) {
	t.Parallel()
	r := newRig(t, "results", without(user(userPassword)), cbrtest.WithTokenSize(12_008))
	vaults := r.cbr.AddVaults(cbrtest.SourceProject, 11, 1)
	r.invoke(r.batchFor(cbrtest.SourceProject, vaults[:1]), time.Minute)
	// It dies with the fourth request.
	for range 3 {
		r.cbr.Script(cbrtest.AnyVault, cbrtest.Fault{})
	}
	r.cbr.RevokeToken(r.cbr.IssuedTokens()[0])
	if response := r.invoke(r.batchFor(cbrtest.SourceProject, vaults[1:]), time.Minute); failures(t, response) > 0 {
		t.Errorf("handed back: %s", response.Payload)
	}
	statuses := r.statuses()
	if len(statuses) != 11 || slices.ContainsFunc(statuses, func(s string) bool { return !strings.Contains(s, "accepted") }) {
		t.Errorf("results: %v", statuses)
	}
	if n := len(r.cbr.Logins()); n != 2 {
		t.Errorf("%d logins, want one renewal", n-1)
	}
}

// TestRefusedCredential: of 100 deliveries only one tries a wrong credential, and all
// are handed back. With the next version of the secret the same process works.
func TestRefusedCredential(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		bad, good map[string]string
		revoke    bool
	}{
		"a wrong password": {bad: user(wrongPassword), good: user(userPassword)},
		"a wrong key":      {bad: key(wrongKey), good: key(secretKey)},
		"a revoked user":   {bad: user(userPassword), good: key(secretKey), revoke: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, "results", without(map[string]string{"HW_AUTH_TOKEN_SECRET": "huawei/credential"}))
			r.secrets.Put("huawei/credential", asSecret(tt.bad))
			if tt.revoke {
				r.invoke(r.batchFor(cbrtest.SourceProject, r.cbr.AddVaults(cbrtest.SourceProject, 1, 1)), time.Minute)
				r.cbr.RevokeUser("replicator")
			}
			for range 10 {
				vaults := r.cbr.AddVaults(cbrtest.SourceProject, 10, 1)
				if response := r.invoke(r.batchFor(cbrtest.SourceProject, vaults), time.Minute); failures(t, response) != 10 {
					t.Errorf("not all are handed back: %s", response.Payload)
				}
			}
			bad := r.cbr.BadSignatures("AKEXAMPLE")
			for _, login := range r.cbr.Logins() {
				if !login.OK {
					bad++
				}
			}
			if bad != 1 {
				t.Errorf("%d tries with the wrong credential over 100 deliveries, want 1", bad)
			}
			if lines := r.lines("delivery"); !strings.Contains(fmt.Sprint(lines[len(lines)-1]["error"]), "the secret huawei/credential") {
				t.Errorf("log line %v does not name the secret", lines[len(lines)-1])
			}
			r.secrets.Put("huawei/credential", asSecret(tt.good))
			vaults := r.cbr.AddVaults(cbrtest.SourceProject, 1, 1)
			for failures(t, r.invoke(r.batchFor(cbrtest.SourceProject, vaults), time.Minute)) > 0 {
				if t.Context().Err() != nil {
					t.Fatal("the new credential is never used")
				}
			}
			if statuses := r.statuses(); !strings.HasSuffix(statuses[len(statuses)-1], "accepted ") {
				t.Errorf("results: %v", statuses)
			}
		})
	}
}

// TestCredentialIsEchoed: CBR and IAM may repeat a password, or a token that the
// function got by itself. The rig checks that it is nowhere.
func TestCredentialIsEchoed(t *testing.T) {
	t.Parallel()
	t.Run("token", func(t *testing.T) {
		t.Parallel()
		r := newRig(t, "results", without(user(userPassword)))
		r.invoke(r.batchFor(cbrtest.SourceProject, r.cbr.AddVaults(cbrtest.SourceProject, 1, 1)), time.Minute)
		r.cbr.Script(cbrtest.AnyVault, cbrtest.Refusal(400, "BackupService.9900", "a bad "+r.cbr.IssuedTokens()[0]))
		r.invoke(r.batchFor(cbrtest.SourceProject, r.cbr.AddVaults(cbrtest.SourceProject, 1, 1)), time.Minute)
		if statuses := strings.Join(r.statuses(), " "); !strings.Contains(statuses, "rejected") {
			t.Errorf("results: %v", statuses)
		}
	})
	t.Run("password", func(t *testing.T) {
		t.Parallel()
		r := newRig(t, "results", without(user(userPassword)))
		r.cbr.Script(cbrtest.Tokens, cbrtest.Raw(401, `{"error":{"code":401,"message":"`+userPassword+`","title":"Unauthorized"}}`))
		if n := failures(t, r.invoke(r.batchFor(cbrtest.SourceProject, r.cbr.AddVaults(cbrtest.SourceProject, 1, 1)), time.Minute)); n != 1 {
			t.Errorf("%d handed back, want 1", n)
		}
	})
}
