package main

import (
	"fmt"
	"maps"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"cbr-replicator/internal/cbr/cbrtest"
	"cbr-replicator/internal/sandbox"
)

// resultURN is the topic of a rig.
const resultURN = "urn:smn:" + cbrtest.SourceRegion + ":" + cbrtest.SourceProject + ":results"

// newSMNRig is a rig whose results go to a topic of SMN.
func newSMNRig(t *testing.T, extra map[string]string) *rig {
	t.Helper()
	env := map[string]string{"RESULT_TOPIC_ARN": "", "RESULT_TOPIC_URN": resultURN}
	maps.Copy(env, extra)
	r := newRig(t, "results", env)
	t.Cleanup(func() {
		if n := r.topic.Calls(); n > 0 {
			t.Errorf("%d calls to SNS", n)
		}
	})
	return r
}

// onSMN returns vault, status and kind of each result on the topic, by its
// attributes, sorted.
func (r *rig) onSMN() []string {
	all := []string{}
	for _, m := range r.smn.Messages() {
		a := m.Attributes
		all = append(all, strings.TrimSpace(fmt.Sprintf("%.8s %s %s", a["vault_id"], a["status"], a["kind"])))
	}
	slices.Sort(all)
	return all
}

// TestSMN: results go to a topic of SMN, with the credential that CBR gets, each
// by itself and with what subscriptions filter by.
func TestSMN(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		env    map[string]string
		header string // that the credential is in
		logins int
	}{
		"token":             {map[string]string{"HW_AUTH_TOKEN": cbrtest.Token}, "X-Auth-Token", 0},
		"key":               {key(secretKey), "Authorization", 0},
		"temporary key":     {map[string]string{"HW_ACCESS_KEY": "AKTEMP", "HW_SECRET_KEY": tempSecretKey, "HW_SECURITY_TOKEN": securityToken}, "X-Security-Token", 0},
		"user":              {user(userPassword), "X-Auth-Token", 1},
		"a key in a secret": {map[string]string{"HW_AUTH_TOKEN_SECRET": "huawei/credential"}, "Authorization", 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newSMNRig(t, without(tt.env))
			r.secrets.Put("huawei/credential", asSecret(key(secretKey)))
			r.cbr.Script(vaultB, cbrtest.Refusal(400, "BackupService.6120", "no such vault"))
			for _, body := range []string{request(cbrtest.SourceVault), request(vaultB), request(vaultC), `{"nonsense":true}`} {
				r.stack.Requests.Send(body, nil, "")
			}
			if failed := r.deliver(); len(failed) > 0 {
				t.Errorf("handed back %v", failed)
			}
			want := []string{
				cbrtest.SourceVault[:8] + " accepted",
				vaultB[:8] + " rejected Rejected",
				vaultC[:8] + " accepted",
				"rejected InvalidEvent",
			}
			slices.Sort(want)
			if diff := cmp.Diff(want, r.onSMN()); diff != "" || r.smn.Calls() != 4 {
				t.Errorf("%d calls; results (-want +got):\n%s", r.smn.Calls(), diff)
			}
			for _, m := range r.smn.Messages() {
				result := decode[event](t, m.Message)
				if m.Header.Get(tt.header) == "" || !strings.HasPrefix(m.Header.Get("User-Agent"), "cbr-replicator/") || m.Attributes["status"] != result.Data.Status {
					t.Errorf("%v with %v", m.Header, m.Attributes)
				}
				if result.Data.Status == "accepted" && (m.Attributes["source_region"] != "region1" || m.Attributes["vault_id"] != strings.ReplaceAll(result.Data.Replication.VaultID, "-", "")) {
					t.Errorf("attributes %v of %s", m.Attributes, m.Message)
				}
			}
			if n := len(r.cbr.Logins()); n != tt.logins {
				t.Errorf("%d logins, want %d", n, tt.logins)
			}
		})
	}
}

// TestSMNForbids: SMN's 403 says nothing of the credential. The request goes back
// to the queue, since nobody was told, and CBR is called for the next all the
// same: with a key, whose refusal would stop all of the process.
func TestSMNForbids(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string]sandbox.SMNFault{
		"SMN's own":     {Status: 403, Code: "SMN.0001", Text: "No permission to request resources."},
		"the gateway's": {Status: 403, Code: "APIGW.0302", Text: "The IAM user is not authorized to access the API"},
		"of IAM":        {Status: 403, Code: "PAP5.0012", Text: "access denied"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newSMNRig(t, without(key(secretKey)))
			r.smn.Script(fault, fault)
			for i, vault := range []string{cbrtest.SourceVault, vaultB, vaultC} {
				r.stack.Requests.Send(request(vault), nil, "")
				want := 1
				if i == 2 {
					want = 0
				}
				failed := r.deliver()
				if len(failed) != want || len(r.cbr.Calls()) != i+1 {
					t.Errorf("%s: %d handed back, %d calls to CBR", vault, len(failed), len(r.cbr.Calls()))
				}
				r.stack.Requests.Purge()
			}
			if n := r.smn.Calls(); n != 3 {
				t.Errorf("%d calls to SMN, want 3: a refusal is not retried", n)
			}
			lines := r.lines("result not published")
			if len(lines) != 2 || lines[0]["error"] != "the result topic did not take the result: "+fault.Code+" "+fault.Text {
				t.Errorf("log %v", lines)
			}
			if n := r.cbr.BadSignatures("AKEXAMPLE"); n != 0 {
				t.Errorf("%d bad signatures", n)
			}
		})
	}
}

// TestSMNFails: what may pass is retried. After a lost answer the same result may
// be there twice, with the same id.
func TestSMNFails(t *testing.T) {
	t.Parallel()
	r := newSMNRig(t, nil)
	r.smn.Script(
		sandbox.SMNFault{Status: 429, Code: "APIGW.0308"},
		sandbox.SMNFault{Status: 400, Code: "SMN.0019"},
		sandbox.SMNFault{Reset: true},
		sandbox.SMNFault{AnswerLost: true},
	)
	r.stack.Requests.Send(request(cbrtest.SourceVault), nil, "")
	if n := len(r.deliver()); n != 0 {
		t.Errorf("%d handed back", n)
	}
	messages := r.smn.Messages()
	if len(messages) != 2 || messages[0].Message != messages[1].Message || messages[0].ID == messages[1].ID || r.smn.Calls() != 5 {
		t.Errorf("%d calls, messages %v", r.smn.Calls(), messages)
	}
}

// TestSMNTokenExpires: a token that SMN finds expired is fetched again, once.
func TestSMNTokenExpires(t *testing.T) {
	t.Parallel()
	r := newSMNRig(t, without(user(userPassword)))
	r.invoke(r.batchFor(cbrtest.SourceProject, r.cbr.AddVaults(cbrtest.SourceProject, 1, 1)), time.Minute)
	r.smn.Script(sandbox.SMNFault{Status: 401, Code: "APIGW.0307", Text: "The token must be updated"})
	if n := failures(t, r.invoke(r.batchFor(cbrtest.SourceProject, r.cbr.AddVaults(cbrtest.SourceProject, 1, 1)), time.Minute)); n != 0 {
		t.Errorf("%d handed back", n)
	}
	if results, logins := len(r.smn.Messages()), len(r.cbr.Logins()); results != 2 || logins != 2 {
		t.Errorf("%d results and %d logins, want 2 and 2", results, logins)
	}
}

// TestSMNSideBySide: ten results are ten calls at once, not one after another.
func TestSMNSideBySide(t *testing.T) {
	t.Parallel()
	r := newSMNRig(t, nil)
	for range 10 {
		r.smn.Script(sandbox.SMNFault{Delay: 300 * time.Millisecond})
	}
	payload := r.batchFor(cbrtest.SourceProject, r.cbr.AddVaults(cbrtest.SourceProject, 10, 1))
	if n := failures(t, r.invoke(payload, time.Minute)); n != 0 || len(r.smn.Messages()) != 10 {
		t.Errorf("%d handed back, %d results", n, len(r.smn.Messages()))
	}
	if peak := r.smn.PeakInFlight(); peak < 5 {
		t.Errorf("%d calls at once", peak)
	}
}

// TestSMNNoLoop: results that come in again make no result.
func TestSMNNoLoop(t *testing.T) {
	t.Parallel()
	r := newSMNRig(t, nil)
	r.invoke(sample(t, "direct"), time.Minute)
	for _, m := range r.smn.Messages() {
		r.stack.Requests.Send(m.Message, nil, "")
	}
	if response := r.invoke(r.batch(), time.Minute); string(response.Payload) != `{"batchItemFailures":[]}` || len(r.smn.Messages()) != 1 {
		t.Errorf("answer %s, %d results", response.Payload, len(r.smn.Messages()))
	}
}

// TestSMNStart: what is wrong with the topic's name ends the process at its
// start, with the variables' names.
func TestSMNStart(t *testing.T) {
	t.Parallel()
	path, err := build()
	if err != nil {
		t.Fatal(err)
	}
	const topicARN = "arn:aws:sns:eu-central-1:123456789012:results"
	for name, tt := range map[string]struct{ arn, urn, want string }{
		"both":               {topicARN, resultURN, "RESULT_TOPIC_ARN, RESULT_TOPIC_URN: set one of them: each says where results go"},
		"neither":            {"", "", "RESULT_TOPIC_ARN: required, or RESULT_TOPIC_URN"},
		"no URN":             {"", topicARN, "RESULT_TOPIC_URN: expected urn:smn:REGION:PROJECT:NAME"},
		"of another project": {"", strings.Replace(resultURN, cbrtest.SourceProject, otherProject, 1), "RESULT_TOPIC_URN: its project is not HW_PROJECT_ID, and the token of HW_AUTH_TOKEN is good for that alone"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			command := exec.CommandContext(t.Context(), path)
			command.Env = []string{"AWS_LAMBDA_RUNTIME_API=127.0.0.1:1"}
			env := cbrtest.Env("http://127.0.0.1:1")
			env["RESULT_TOPIC_ARN"], env["RESULT_TOPIC_URN"] = tt.arn, tt.urn
			for name, value := range env {
				command.Env = append(command.Env, name+"="+value)
			}
			out, err := command.CombinedOutput()
			if err == nil || !strings.Contains(string(out), `error="`+tt.want+`"`) {
				t.Errorf("%v: %s", err, out)
			}
		})
	}
}
