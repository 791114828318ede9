package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"cbr-replicator/internal/cbr/cbrtest"
	"cbr-replicator/internal/kind"
	"cbr-replicator/internal/sandbox"
)

// The tests in this file run the built binary as FunctionGraph's runtime Custom
// does.

// graph is a rig with FunctionGraph in place of Lambda.
type graph struct {
	*rig
	function *sandbox.FunctionGraph
}

var (
	agencyKeys = sandbox.Agency{AccessKey: "AKTEMP", SecretKey: tempSecretKey, SecurityToken: securityToken}
	newerKeys  = sandbox.Agency{AccessKey: "AKTEMP", SecretKey: tempSecretKey, SecurityToken: securityToken, Newer: true}
	agencyAll  = sandbox.Agency{AccessKey: "AKTEMP", SecretKey: tempSecretKey, SecurityToken: securityToken, Token: cbrtest.Token}
	tokenAlone = sandbox.Agency{Token: cbrtest.Token}
)

// newGraph starts it with an agency. config says what differs.
func newGraph(t *testing.T, agency sandbox.Agency, config sandbox.FunctionGraphConfig, extra map[string]string, options ...cbrtest.Option) *graph {
	t.Helper()
	r := newRig(t, "results", extra, options...)
	env := maps.Clone(r.env)
	for _, name := range []string{"HW_AUTH_TOKEN", "HW_AUTH_URL", "HW_PROJECT_ID", "AWS_LAMBDA_LOG_FORMAT", "MAX_RECEIVE_COUNT", "REJECTED_QUEUE_ARN"} {
		delete(env, name)
	}
	maps.Copy(env, map[string]string{
		"AWS_ACCESS_KEY_ID": "ASIAIOSFODNN7EXAMPLE", "AWS_SECRET_ACCESS_KEY": "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", "AWS_SESSION_TOKEN": "example-session-token",
		// The API is never asked for through it.
		"HTTP_PROXY": "http://192.0.2.1:9", "NO_PROXY": "",
	})
	maps.Copy(env, extra)
	config.Path, config.Env, config.Logs = r.path, env, r
	g := &graph{rig: r, function: sandbox.NewFunctionGraph(config)}
	g.function.SetAgency(agency)
	t.Cleanup(func() {
		g.function.Close()
		if wrong := g.function.Wrong(); len(wrong) > 0 {
			t.Errorf("the runtime API was used wrongly: %v", wrong)
		}
	})
	return g
}

// took keeps what the function gave away, and waits for its log.
func (g *graph) took(tries ...sandbox.Response) {
	g.t.Helper()
	for _, response := range tries {
		if response.Error != nil && response.Error.Ended {
			continue
		}
		select {
		case <-g.seen:
		case <-time.After(time.Minute):
			g.t.Fatal("no metrics")
		}
		g.mu.Lock()
		g.given = append(g.given, string(response.Payload))
		g.mu.Unlock()
	}
}

func (g *graph) sync(payload []byte) sandbox.Response {
	g.t.Helper()
	response, err := g.function.Invoke(g.t.Context(), payload)
	if err != nil {
		g.t.Fatal(err)
	}
	g.took(response)
	return response
}

func (g *graph) async(payload []byte) sandbox.AsyncResult {
	g.t.Helper()
	result, err := g.function.InvokeAsync(g.t.Context(), payload)
	if err != nil {
		g.t.Fatal(err)
	}
	g.took(result.Tries...)
	return result
}

// graphSamples are those that a FunctionGraph function may get, with their vaults.
var graphSamples = map[string][]string{
	"direct":                    {cbrtest.SourceVault},
	"direct-batch":              {cbrtest.SourceVault, vaultB},
	"cloudevent":                {cbrtest.SourceVault},
	"functiongraph/apig":        {cbrtest.SourceVault},
	"functiongraph/smn":         {cbrtest.SourceVault},
	"functiongraph/timer":       {cbrtest.SourceVault},
	"functiongraph/kafka":       {cbrtest.SourceVault, vaultB},
	"functiongraph/rocketmq":    {cbrtest.SourceVault},
	"functiongraph/rabbitmq":    {cbrtest.SourceVault, vaultB},
	"functiongraph/eventgrid":   {cbrtest.SourceVault},
	"functiongraph/destination": {cbrtest.SourceVault},
}

// current is a sample whose times are of now: those of the sample are far from the
// clock of these tests.
func current(t *testing.T, name string) []byte {
	t.Helper()
	now := time.Now().Add(-time.Second)
	text := string(sample(t, name))
	for _, old := range []string{"2026-11-23T02:00:00Z", "2026-11-23T10:00:00+08:00", "2026-11-23T02:00:00.431167931Z"} {
		text = strings.ReplaceAll(text, old, now.UTC().Format(time.RFC3339))
	}
	return []byte(strings.ReplaceAll(text, "1795399200", fmt.Sprint(now.Unix())))
}

// TestFunctionGraphSamples sends every sample through, in both ways, and looks at
// all three ends.
func TestFunctionGraphSamples(t *testing.T) {
	t.Parallel()
	for name, vaults := range graphSamples {
		for _, async := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, async %t", name, async), func(t *testing.T) {
				t.Parallel()
				g := newGraph(t, agencyKeys, sandbox.FunctionGraphConfig{}, nil)
				var response sandbox.Response
				if async {
					response = g.async(current(t, name)).Tries[0]
				} else {
					response = g.sync(current(t, name))
				}
				if response.Error != nil {
					t.Fatal(response.Error)
				}
				var asked, told []string
				for _, call := range g.cbr.Calls() {
					if call.Operation == cbrtest.CopyCheckpoint {
						asked = append(asked, call.Vault)
					}
					if !strings.Contains(call.Header.Get("Authorization"), "Access=AKTEMP,") || call.Header.Get("X-Auth-Token") != "" {
						t.Errorf("%s is authorized by %q", call.Operation, call.Header.Get("Authorization"))
					}
				}
				for _, m := range g.topic.Messages() {
					e := decode[event](t, m.Message)
					told = append(told, strings.TrimPrefix(e.Subject, "vaults/"))
					if e.Data.Status != "accepted" || e.CausationID == "" || e.ID == "" {
						t.Errorf("event %s", m.Message)
					}
				}
				slices.Sort(asked)
				slices.Sort(told)
				want := slices.Sorted(slices.Values(vaults))
				if diff := cmp.Diff([][]string{want, want}, [][]string{asked, told}); diff != "" {
					t.Errorf("asked of CBR and told on the topic (-want +got):\n%s", diff)
				}
				answers := string(response.Payload)
				switch {
				case name == "functiongraph/apig" && !async:
					if a := decode[struct {
						StatusCode int
						Body       string
					}](t, answers); a.StatusCode != http.StatusOK || !strings.HasPrefix(a.Body, `{"replication":{`) {
						t.Errorf("answer %s", answers)
					}
				case len(vaults) > 1:
					if a := decode[[]struct{ Status string }](t, answers); len(a) != len(vaults) || a[0].Status != "accepted" || a[1].Status != "accepted" {
						t.Errorf("answer %s", answers)
					}
				default:
					if a := decode[struct{ Status string }](t, answers); a.Status != "accepted" {
						t.Errorf("answer %s", answers)
					}
				}
				for _, line := range g.lines("delivery") {
					for _, field := range []string{"timestamp", "level", "status", "causation_id", "requestId"} {
						if line[field] == nil || line[field] == "" {
							t.Errorf("no %s in %v", field, line)
						}
					}
					if line["requestId"] != response.RequestID {
						t.Errorf("the line is of the request %v, want %s", line["requestId"], response.RequestID)
					}
				}
				if metrics := g.lines("metrics"); len(metrics) == 0 || metrics[0]["Accepted"] != float64(len(vaults)) || metrics[0]["_aws"] != nil {
					t.Errorf("metrics %v", metrics)
				}
			})
		}
	}
}

// TestAgencyCredentials: what an event brings authorizes its requests, under both
// spellings; what is configured goes before it.
func TestAgencyCredentials(t *testing.T) {
	t.Parallel()
	const signed, byToken, refused = "signed", "token", "Unauthorized"
	half := tokenAlone
	half.AccessKey = "AKTEMP"
	for name, tt := range map[string]struct {
		agency sandbox.Agency
		extra  map[string]string
		want   string
	}{
		"keys":                       {agency: agencyKeys, want: signed},
		"keys, newer names":          {agency: newerKeys, want: signed},
		"keys and a token":           {agency: agencyAll, want: signed},
		"a token alone":              {agency: tokenAlone, want: byToken},
		"half of a key, and a token": {agency: half, want: byToken},
		"none":                       {want: refused},
		"none, but a key is set":     {extra: key(secretKey), want: signed},
		"a token is set beside keys": {agency: agencyKeys, extra: map[string]string{"HW_AUTH_TOKEN": cbrtest.Token}, want: byToken},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := newGraph(t, tt.agency, sandbox.FunctionGraphConfig{}, tt.extra)
			response := g.sync(sample(t, "direct"))
			got := ""
			if response.Error != nil {
				if got = strings.TrimPrefix(response.Error.Type, "CBR."); !strings.Contains(response.Error.Message, "agency") {
					t.Errorf("the agency is not named: %s", response.Error.Message)
				}
			}
			for _, call := range g.cbr.Calls() {
				got = signed
				if call.Header.Get("X-Auth-Token") != "" {
					got = byToken
				}
			}
			if got != tt.want {
				t.Errorf("%s, want %s: %s", got, tt.want, response.Payload)
			}
		})
	}
}

// TestTwoAgencies: each event's requests are authorized by what that event
// brought, also after one that was refused, and after one that brought nothing.
func TestTwoAgencies(t *testing.T) {
	t.Parallel()
	second := sandbox.Agency{AccessKey: "AKEXAMPLE", SecretKey: secretKey}
	wrong := sandbox.Agency{AccessKey: "AKTEMP", SecretKey: wrongKey, SecurityToken: securityToken}
	g := newGraph(t, sandbox.Agency{}, sandbox.FunctionGraphConfig{}, nil, cbrtest.WithCopyTime(0))
	vaults := g.cbr.AddVaults(cbrtest.SourceProject, 6, 1)
	for i, tt := range []struct {
		agency sandbox.Agency
		access string
		ok     bool
	}{
		{agencyKeys, "AKTEMP", true},
		{second, "AKEXAMPLE", true},
		{wrong, "AKTEMP", false},
		{agencyKeys, "AKTEMP", true},
		{sandbox.Agency{}, "", false},
		{second, "AKEXAMPLE", true},
	} {
		before := len(g.cbr.Calls())
		g.function.SetAgency(tt.agency)
		response := g.sync([]byte(request(vaults[i])))
		if ok := response.Error == nil; ok != tt.ok {
			t.Errorf("event %d: %s", i, response.Payload)
		}
		calls := g.cbr.Calls()[before:]
		if (len(calls) == 0) != (tt.access == "") {
			t.Errorf("event %d: %d calls", i, len(calls))
		}
		for _, call := range calls {
			if got := call.Header.Get("Authorization"); !strings.Contains(got, "Access="+tt.access+",") {
				t.Errorf("event %d is authorized by %q, want the key %s", i, got, tt.access)
			}
		}
	}
}

// TestCredentialOfAnEventIsEchoed: CBR, and the event itself, say it back. That it
// is nowhere is checked by every rig.
func TestCredentialOfAnEventIsEchoed(t *testing.T) {
	t.Parallel()
	g := newGraph(t, agencyAll, sandbox.FunctionGraphConfig{}, nil)
	for _, secret := range []string{tempSecretKey, securityToken, cbrtest.Token} {
		g.cbr.Script(cbrtest.AnyVault, cbrtest.Fault{Status: 400, Code: "BackupService.6120", Message: "no vault for " + secret})
		g.sync(sample(t, "direct"))
		g.sync([]byte(`{"correlation_id":"` + secret + `","` + secret + `":1}`))
		g.async([]byte(`{"trigger_type":"` + secret + `"}`))
	}
	if n := len(g.topic.Messages()); n != 6 {
		t.Errorf("%d results, want 6", n)
	}
}

// TestPolls: however a poll ends, the process asks again, and handles what comes
// in the end.
func TestPolls(t *testing.T) {
	t.Parallel()
	g := newGraph(t, agencyKeys, sandbox.FunctionGraphConfig{Idle: 20 * time.Millisecond}, nil)
	polls := []sandbox.Poll{sandbox.PollIdle, sandbox.PollBroken, sandbox.PollCut, sandbox.PollReset, sandbox.PollBroken, sandbox.PollSlow}
	g.function.Script(polls...)
	if response := g.sync(sample(t, "direct")); response.Error != nil {
		t.Fatal(response.Error)
	}
	// An idle process goes on asking.
	for before := g.function.Polls(); g.function.Polls() < before+3; {
		time.Sleep(10 * time.Millisecond)
	}
	if response := g.sync([]byte(request(vaultB))); response.Error != nil {
		t.Fatal(response.Error)
	}
	if n := len(g.topic.Messages()); n != 2 {
		t.Errorf("%d results, want 2", n)
	}
	// Two series of failures: a broken poll with those after it, as far as no idle
	// one came between.
	if n := len(g.lines("no event to be had, asking again")); n != 1 {
		t.Errorf("%d lines about failures, want 1", n)
	}
	if cold := len(slices.DeleteFunc(g.lines("metrics"), func(l map[string]any) bool { return l["ColdStart"] != 1.0 })); cold != 1 {
		t.Errorf("%d cold starts, want 1", cold)
	}
}

// TestDeathInFunctionGraph kills the process in the middle of a request. The same
// event comes again, with another request id or the same, and CBR makes one copy.
func TestDeathInFunctionGraph(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"direct", "cloudevent", "functiongraph/apig", "functiongraph/smn", "functiongraph/timer", "functiongraph/rocketmq", "functiongraph/eventgrid", "functiongraph/destination"} {
		for _, taken := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, taken %t", name, taken), func(t *testing.T) {
				t.Parallel()
				d := newDoor(t)
				g := newGraph(t, agencyKeys, sandbox.FunctionGraphConfig{Retries: 1, SameID: taken}, map[string]string{"HW_CBR_ENDPOINT": d.url}, cbrtest.WithCopyTime(0))
				d.leadsTo(t, g.cbr.URL)
				d.holds, d.answered = "checkpoints/replicate", taken
				g.function.SetAgency(tokenAlone) // a door has another host than what is signed
				go func() {
					<-d.held
					g.function.Kill()
				}()
				result := g.async(current(t, name))
				if n := len(result.Tries); n != 2 || result.Record != nil {
					t.Fatalf("%d tries, record %s", n, result.Record)
				}
				if made := copiesOf(t, g.rig, cbrtest.SourceVault); len(made) != len(cbrtest.ExampleBackups()) {
					t.Errorf("%d copies, want one of each backup: %v", len(made), made)
				}
				told := g.topic.Messages()
				if len(told) != 1 || told[0].Attributes["status"] != "accepted" {
					t.Errorf("results %v", told)
				}
			})
		}
	}
}

// TestAsyncTries: what cannot be done yet is tried as often as the policy says,
// and then given to the destination. No try publishes a failed. The record, sent to
// the function, is the same request.
func TestAsyncTries(t *testing.T) {
	t.Parallel()
	g := newGraph(t, agencyKeys, sandbox.FunctionGraphConfig{Retries: 2}, nil)
	busy := cbrtest.Refusal(400, "BackupService.6130", "The vault is being replicated.")
	g.cbr.Script(cbrtest.SourceVault, busy, busy, busy)
	result := g.async(current(t, "functiongraph/smn"))
	if len(result.Tries) != 3 || result.Record == nil {
		t.Fatalf("%d tries, record %s", len(result.Tries), result.Record)
	}
	for _, try := range result.Tries {
		if try.Error.Type != "CBR.InProgress" || !strings.Contains(try.Error.Message, "1 of 1 deliveries handed back") {
			t.Errorf("error %v", try.Error)
		}
	}
	if told := g.topic.Messages(); len(told) > 0 {
		t.Errorf("results %v, want none", told)
	}
	if again := g.async(result.Record); again.Record != nil {
		t.Errorf("the record is not done: %v", again.Tries[0].Error)
	}
	if diff := cmp.Diff([]string{cbrtest.SourceVault[:8] + " accepted "}, g.statuses()); diff != "" {
		t.Errorf("results (-want +got):\n%s", diff)
	}

	// One that can never work is told, and not tried again.
	never := g.async([]byte(`{"nonsense":true}`))
	if len(never.Tries) != 1 || never.Record != nil || !strings.Contains(string(never.Tries[0].Payload), `"status":"rejected"`) {
		t.Errorf("of nonsense: %+v", never)
	}
	// What a caller waits for is its last.
	g.cbr.Script(vaultB, busy)
	if response := g.sync([]byte(request(vaultB))); response.Error == nil || response.Error.Type != "CBR.InProgress" {
		t.Errorf("answer %s", response.Payload)
	}
	want := []string{" rejected InvalidEvent", cbrtest.SourceVault[:8] + " accepted ", vaultB[:8] + " failed InProgress"}
	if diff := cmp.Diff(want, g.statuses()); diff != "" {
		t.Errorf("results (-want +got):\n%s", diff)
	}
}

// TestUndated: where nobody says since when an event is, an earlier effect counts
// only if no backup is left without a replica; otherwise it is sent, unverified.
func TestUndated(t *testing.T) {
	t.Parallel()
	g := newGraph(t, agencyKeys, sandbox.FunctionGraphConfig{}, nil, cbrtest.WithCopyTime(0))
	backups := cbrtest.ExampleBackups()
	data := func() map[string]any {
		return decode[map[string]any](t, string(g.async(sample(t, "direct")).Tries[0].Payload))
	}
	for _, backup := range backups[:len(backups)-1] {
		g.cbr.AddRecord(backup, cbrtest.Record{CreatedAt: time.Now().Add(-time.Hour)})
	}
	if got := data(); got["status"] != "accepted" || got["unverified"] != true || got["attempts"] != 1.0 {
		t.Errorf("with a backup that has no replica: %v", got)
	}
	g.function.Kill() // what it remembers is another test's
	if got := data(); got["status"] != "accepted" || got["reconciled"] != true || got["unverified"] != nil || got["attempts"] != 0.0 && got["attempts"] != nil {
		t.Errorf("with replicas of all: %v", got)
	}
	calls := slices.DeleteFunc(g.cbr.Calls(), func(c cbrtest.Call) bool { return c.Operation != cbrtest.CopyCheckpoint })
	if len(calls) != 1 {
		t.Errorf("%d requests, want 1", len(calls))
	}
}

// TestRefusedTriggers: by name, an error also of an asynchronous call, and nothing
// is published.
func TestRefusedTriggers(t *testing.T) {
	t.Parallel()
	g := newGraph(t, agencyKeys, sandbox.FunctionGraphConfig{}, nil)
	for name, payload := range map[string]string{
		"CTS":                      `{"cts":{"trace_name":"createBackup"}}`,
		"LTS":                      `{"lts":{"data":"e30="}}`,
		"DIS":                      `{"ShardID":"shardId-0000000000","Message":{"records":[]},"Tag":"latest","StreamName":"s"}`,
		"DDS":                      `{"records":[{"event_name":"insert","event_source":"dds"}]}`,
		"OBS":                      `{"Records":[{"eventVersion":"2.0","eventSource":"aws:s3","s3":{}}]}`,
		`the trigger_type "IOTDA"`: `{"trigger_type":"IOTDA"}`,
	} {
		for _, response := range []sandbox.Response{g.sync([]byte(payload)), g.async([]byte(payload)).Tries[0]} {
			if response.Error == nil || response.Error.Type != "CBR.InvalidEvent" || !strings.Contains(response.Error.Message, "an event of "+name) {
				t.Errorf("%s: %s", name, response.Payload)
			}
		}
	}
	if told := g.topic.Messages(); len(told) > 0 {
		t.Errorf("results %v", told)
	}
}

// TestStartOnEvents: a finished backup starts the configured request. No id of the
// notification is read.
func TestStartOnEvents(t *testing.T) {
	t.Parallel()
	extra := cbrtest.DestinationEnv()
	extra["HW_CBR_VAULT_ID"] = vaultB
	extra["START_ON_EVENTS"] = "backupSucceeded, replicationFailed"
	g := newGraph(t, agencyKeys, sandbox.FunctionGraphConfig{}, extra)
	notification := func(event, status string) []byte {
		alarm, err := json.Marshal(map[string]any{
			"message_type": "alarm", "alarm_id": "al1", "alarm_status": status, "time": time.Now().UnixMilli(), "namespace": "SYS.CBR", "metric_name": event,
			"dimension": "instance_id:" + vaultC, "template_variable": map[string]string{"ResourceId": vaultC},
		})
		if err != nil {
			t.Fatal(err)
		}
		message, err := json.Marshal(string(alarm))
		if err != nil {
			t.Fatal(err)
		}
		return []byte(`{"record":[{"event_source":"smn","smn":{"topic_urn":"urn:smn:region1:p:alarms","message_id":"m-` + event + status + `","type":"notification","timestamp":"` +
			time.Now().UTC().Format(time.RFC3339) + `","message":` + string(message) + `}}]}`)
	}
	g.async(notification("backupSucceeded", "alarm"))
	g.async(notification("backupFailed", "alarm"))
	g.async(notification("backupSucceeded", "ok"))
	want := []string{" rejected InvalidEvent", " rejected InvalidEvent", vaultB[:8] + " accepted "}
	if diff := cmp.Diff(want, g.statuses()); diff != "" {
		t.Errorf("results (-want +got):\n%s", diff)
	}
}

// TestFunctionGraphMisconfigured: the process says all that is wrong and ends.
func TestFunctionGraphMisconfigured(t *testing.T) {
	t.Parallel()
	path, err := build()
	if err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		env  map[string]string
		want []string
	}{
		"nothing is set": {nil, []string{"HW_REGION_NAME", "RESULT_TOPIC_ARN", "ALLOWED_DESTINATIONS"}},
		"half of a key":  {map[string]string{"HW_ACCESS_KEY": "AKTEMP"}, []string{"HW_SECRET_KEY"}},
	} {
		g := sandbox.NewFunctionGraph(sandbox.FunctionGraphConfig{Path: path, Env: tt.env})
		t.Cleanup(g.Close)
		response, err := g.Invoke(t.Context(), sample(t, "direct"))
		if err != nil {
			t.Fatal(err)
		}
		if response.Error == nil || response.Error.Type != "Runtime.ExitError" {
			t.Fatalf("%s: response %+v", name, response)
		}
		for _, want := range tt.want {
			if !strings.Contains(response.Error.Error(), want) {
				t.Errorf("%s: %s is not named in %v", name, want, response.Error)
			}
		}
		if strings.Contains(response.Error.Error(), "HW_AUTH_TOKEN: required") || strings.Contains(response.Error.Error(), "HW_PROJECT_ID") {
			t.Errorf("%s: asked for what FunctionGraph brings: %v", name, response.Error)
		}
	}
}

// TestOverTime: the deadline is the receipt and the function's time-out.
func TestOverTime(t *testing.T) {
	t.Parallel()
	g := newGraph(t, agencyKeys, sandbox.FunctionGraphConfig{Timeout: 4 * time.Second, InEnvironment: true}, nil)
	g.cbr.Script(cbrtest.AnyVault, cbrtest.Late(time.Minute))
	if response := g.sync(sample(t, "direct")); response.Error == nil || response.Error.Type != "CBR.Unknown" {
		t.Errorf("answer %s, %v", response.Payload, response.Error)
	}
}

// TestAPIGOnFunctionGraph: paths below the API's own, and a request that FunctionGraph
// was told to make asynchronous.
func TestAPIGOnFunctionGraph(t *testing.T) {
	t.Parallel()
	g := newGraph(t, agencyKeys, sandbox.FunctionGraphConfig{}, nil)
	call := func(method, path, rest, body string) []byte {
		payload, err := json.Marshal(map[string]any{
			"requestContext": map[string]any{"requestId": path + method, "apiId": "a", "stage": "RELEASE"}, "httpMethod": method, "path": path,
			"pathParameters": map[string]string{"": rest}, "headers": map[string]any{"x-a": []string{"b"}}, "queryStringParameters": map[string]any{"q": []string{"1"}},
			"body": body, "isBase64Encoded": body == "",
		})
		if err != nil {
			t.Fatal(err)
		}
		return payload
	}
	for _, tt := range []struct {
		method, path, rest, body string
		want                     int
	}{
		{"GET", "/", "", "", 200},
		{"GET", "/cbr", "", "", 200},
		{"GET", "/cbr/", "", "", 200},
		{"POST", "/cbr/", "", request(vaultB), 200},
		{"GET", "/cbr/nothing", "nothing", "", 404},
		{"GET", "/cbr/v3/" + cbrtest.SourceProject + "/checkpoints/replicate", "v3/" + cbrtest.SourceProject + "/checkpoints/replicate", "", 405},
		{"POST", "/v3/" + cbrtest.SourceProject + "/checkpoints/replicate", "", request(vaultC), 200},
	} {
		response := g.sync(call(tt.method, tt.path, tt.rest, tt.body))
		if got := decode[struct{ StatusCode int }](t, string(response.Payload)); got.StatusCode != tt.want {
			t.Errorf("%s %s: %s, want %d", tt.method, tt.path, response.Payload, tt.want)
		}
	}
	if n := len(g.topic.Messages()); n != 2 {
		t.Errorf("%d results, want 2", n)
	}
}

// TestSMNOnFunctionGraph: on Huawei Cloud alone, with no key of AWS. Each event's
// results are published with what that event brought, and an event that brings
// nothing is not lost.
func TestSMNOnFunctionGraph(t *testing.T) {
	t.Parallel()
	g := newGraph(t, agencyKeys, sandbox.FunctionGraphConfig{Retries: 1}, map[string]string{
		"RESULT_TOPIC_ARN": "", "RESULT_TOPIC_URN": resultURN, "AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": "", "AWS_SESSION_TOKEN": "",
	})
	if response := g.async(current(t, "functiongraph/smn")).Tries[0]; response.Error != nil {
		t.Fatal(response.Error)
	}
	g.function.SetAgency(sandbox.Agency{AccessKey: "AKEXAMPLE", SecretKey: secretKey})
	g.async([]byte(request(vaultB)))
	g.function.SetAgency(sandbox.Agency{})
	if result := g.async([]byte(request(vaultC))); len(result.Tries) != 2 || result.Record == nil || result.Tries[0].Error.Type != "CBR.Unauthorized" {
		t.Errorf("without an agency: %+v", result.Tries)
	}
	g.function.SetAgency(tokenAlone)
	g.async([]byte(`{"nonsense":true}`))
	var signers []string
	for _, m := range g.smn.Messages() {
		_, access, _ := strings.Cut(m.Header.Get("Authorization"), "Access=")
		access, _, _ = strings.Cut(access, ",")
		signers = append(signers, access)
	}
	if want := []string{"AKTEMP", "AKEXAMPLE", ""}; !slices.Equal(signers, want) {
		t.Errorf("published with the keys %q, want %q", signers, want)
	}
	want := []string{cbrtest.SourceVault[:8] + " accepted", vaultB[:8] + " accepted", "rejected InvalidEvent"}
	slices.Sort(want)
	if diff := cmp.Diff(want, g.onSMN()); diff != "" || g.topic.Calls() > 0 {
		t.Errorf("%d calls to SNS; results (-want +got):\n%s", g.topic.Calls(), diff)
	}
}

// TestPlanOnFunctionGraph: a timer's plan is carried out through a topic that calls the
// function. A plan that is delivered twice replicates each vault once.
func TestPlanOnFunctionGraph(t *testing.T) {
	t.Parallel()
	g := newGraph(t, agencyKeys, sandbox.FunctionGraphConfig{}, map[string]string{"REQUEST_QUEUE_ARN": "", "REQUEST_TOPIC_URN": resultURN})
	g.asksOnSMN = true
	vaults := g.addEstate(50)
	var timer map[string]any
	if err := json.Unmarshal(current(t, "functiongraph/timer"), &timer); err != nil {
		t.Fatal(err)
	}
	timer["user_event"] = planOf("replicate", map[string]any{"project_id": cbrtest.SourceProject, "region": cbrtest.SourceRegion})
	plan, err := json.Marshal(timer)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if result := g.async(plan); len(result.Tries) != 1 || result.Record != nil {
			t.Fatalf("%+v", result)
		}
	}
	sent := g.smn.Messages()
	bodies := map[string]int{}
	for i, m := range sent {
		bodies[m.Message]++
		var event map[string]any
		if err := json.Unmarshal(current(t, "functiongraph/smn"), &event); err != nil {
			t.Fatal(err)
		}
		smn := event["record"].([]any)[0].(map[string]any)["smn"].(map[string]any)
		smn["message"], smn["message_id"] = m.Message, fmt.Sprint("m-", i)
		payload, _ := json.Marshal(event)
		if result := g.async(payload); result.Record != nil {
			t.Fatalf("%s: %+v", m.Message, result)
		}
	}
	if len(sent) != 100 || len(bodies) != 50 {
		t.Errorf("%d requests with %d bodies, want each of 50 twice", len(sent), len(bodies))
	}
	posts := g.posts()
	for _, vault := range vaults {
		if posts[vault] != 1 {
			t.Errorf("%s was replicated %d times", vault, posts[vault])
		}
	}
	if got := g.results("planned"); len(got) != 2 || got[0].ID != got[1].ID || got[0].Data.Plan.Requests != 50 {
		t.Errorf("%d results of plans", len(got))
	}

	g.addEstate(1)
	timer["trigger_name"] = "one more"
	plan, _ = json.Marshal(timer)
	g.async(plan)
	if got := g.results("rejected"); len(got) != 1 || got[0].Data.Error.Kind != kind.Rejected || !strings.Contains(got[0].Data.Error.Message, "a plan takes 50") {
		t.Errorf("rejected: %+v", got)
	}
	if n := len(g.smn.Messages()); n != 100 {
		t.Errorf("%d requests after a plan that is too large", n)
	}
}
