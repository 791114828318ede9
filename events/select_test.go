package events

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"cbr-replicator/internal/cbr"
	"cbr-replicator/internal/delivery"
	"cbr-replicator/internal/kind"
	"cbr-replicator/internal/result"
)

// estate has all defaults.
func estate() *Decoder {
	d := newDecoder()
	d.Defaults = Defaults{
		ProjectID: project, Region: region, VaultID: vaultA, DestinationVaultID: destinationVault,
		DestinationProjectID: destinationProject, DestinationRegion: destinationRegion, MaxAge: 30 * time.Hour,
	}
	return d
}

// TestPlanAndCheckRequests: each action with what it has of its own, and which
// defaults it takes.
func TestPlanAndCheckRequests(t *testing.T) {
	t.Parallel()
	const backup = "6df2b54c-dd62-4059-a07c-1b8f24f2725d"
	to := cbr.Replicate{DestinationVaultID: destinationVault, DestinationProjectID: destinationProject, DestinationRegion: destinationRegion}
	of := func(change func(*delivery.Request)) delivery.Request {
		return with(delivery.Request{ProjectID: project, Region: region, Action: "plan", Plans: "replicate", Replicate: to, Select: &delivery.Select{}}, change)
	}
	for body, want := range map[string]delivery.Request{
		`{"select":{}}`: of(func(*delivery.Request) {}),
		`{"select":{},"dry_run":true,"correlation_id":"c"}`:            of(func(r *delivery.Request) { r.DryRun, r.CorrelationID = true, "c" }),
		`{"select":{},"dry_run":false}`:                                of(func(*delivery.Request) {}),
		`{"select":{"tags":[{"key":"dr"}]},"replicate":{}}`:            of(func(r *delivery.Request) { r.Select.Tags = []delivery.Tag{{Key: "dr"}} }),
		`{"select":{"tags":[{"key":"dr","values":[]}]}}`:               of(func(r *delivery.Request) { r.Select.Tags = []delivery.Tag{{Key: "dr"}} }),
		`{"select":{"tags":[{"values":["a",""],"key":"k"}]}}`:          of(func(r *delivery.Request) { r.Select.Tags = []delivery.Tag{{Key: "k", Values: []string{"a", ""}}} }),
		`{"select":{"vault_ids":["` + strings.ToUpper(vaultA) + `"]}}`: of(func(r *delivery.Request) { r.Select.VaultIDs = []string{vaultA} }),
		`{"replicate":{"auto_trigger":true},"select":{"destination_vault_tag":"dr-vault"}}`: of(func(r *delivery.Request) {
			r.Select.DestinationVaultTag, r.Replicate.DestinationVaultID, r.Replicate.AutoTrigger = "dr-vault", "", new(true)
		}),
		`{"check":{}}`: of(func(r *delivery.Request) {
			r.Select, r.Action, r.Plans, r.MaxAge, r.Replicate.VaultID = nil, "check", "", 30*time.Hour, vaultA
		}),
		`{"check":{"max_age":"2d","vault_id":"` + vaultB + `"},"requested_at":"2020-01-01T00:00:00Z"}`: of(func(r *delivery.Request) {
			r.Select, r.Action, r.Plans, r.MaxAge, r.Replicate.VaultID = nil, "check", "", 48*time.Hour, vaultB
		}),
		`{"check":{"max_age":"90m"},"select":{}}`: of(func(r *delivery.Request) { r.Plans, r.MaxAge = "check", 90*time.Minute }),
		`{"replicate":{"backup_id":"` + strings.ToUpper(backup) + `","name":"n","description":"d"}}`: of(func(r *delivery.Request) {
			r.Select, r.Action, r.Plans = nil, "replicate", ""
			r.Replicate.BackupID, r.Replicate.Name, r.Replicate.Description = backup, "n", "d"
		}),
	} {
		got := mustDecode(t, estate(), []byte(`[`+body+`]`)).Deliveries[0]
		if got.Err != nil {
			t.Errorf("%s: %v", body, got.Err)
		}
		if diff := cmp.Diff(want, got.Request); diff != "" {
			t.Errorf("%s (-want +got):\n%s", body, diff)
		}
		again, err := json.Marshal(got.Request)
		if err != nil {
			t.Fatal(err)
		}
		if repeated := mustDecode(t, newDecoder(), []byte(`[`+string(again)+`]`)).Deliveries[0]; repeated.Err != nil || cmp.Diff(got.Request, repeated.Request) != "" {
			t.Errorf("%s encodes as %s: %v", body, again, repeated.Err)
		}
	}

	for body, want := range map[string]string{
		`{"select":5}`:                                                     "select: expected an object",
		`{"select":{"tags":[]}}`:                                           "select.tags: expected 1 to 100 elements",
		`{"select":{"tags":{}}}`:                                           "select.tags: expected a list",
		`{"select":{"tags":[5]}}`:                                          "select.tags[0]: expected an object",
		`{"select":{"tags":[{}]}}`:                                         "select.tags[0].key: expected a tag's key",
		`{"select":{"tags":[{"key":""}]}}`:                                 "select.tags[0].key: expected 1 to 128 characters",
		`{"select":{"tags":[{"key":"k","x":1}]}}`:                          "unknown field select.tags[0].x",
		`{"select":{"tags":[{"key":"k","values":[1]}]}}`:                   "select.tags[0].values[0]: expected a string of at most 255 characters",
		`{"select":{"vault_ids":[]}}`:                                      "select.vault_ids: expected 1 to 1000 elements",
		`{"select":{"vault_ids":["x"]}}`:                                   "select.vault_ids[0]: expected a UUID",
		`{"select":{"vault_ids":["` + vaultA + `"],"tags":[{"key":"k"}]}}`: "select.vault_ids: expected none beside tags",
		`{"select":{},"replicate":{"vault_id":"` + vaultA + `"}}`:          "replicate.vault_id: expected none beside select",
		`{"select":{},"replicate":{"backup_id":"` + vaultA + `"}}`:         "replicate.backup_id: expected none beside select",
		`{"select":{"destination_vault_tag":"t"},"replicate":{"destination_vault_id":"` + vaultA + `"}}`: "replicate.destination_vault_id: expected none beside select.destination_vault_tag",
		`{"dry_run":true}`:                "dry_run: expected select beside it",
		`{"replicate":{},"check":{}}`:     "check: expected none beside replicate",
		`{"check":{"max_age":"0h"}}`:      "check.max_age: expected a whole number of seconds, minutes, hours or days such as 30h",
		`{"check":{"max_age":"1w"}}`:      "check.max_age: expected a whole number of seconds, minutes, hours or days such as 30h",
		`{"check":{"auto_trigger":true}}`: "unknown field check.auto_trigger",
		`{"replicate":{"backup_id":"` + vaultB + `","vault_id":"` + vaultA + `"}}`: "replicate.vault_id: expected none beside backup_id",
		`{"replicate":{"backup_id":"` + vaultB + `","auto_trigger":true}}`:         "replicate.auto_trigger: expected none beside backup_id",

		`{"replicate":{"name":"n"}}`:                                       "replicate.name: expected backup_id beside it",
		`{"replicate":{"backup_id":"` + vaultB + `","description":"<b>"}}`: "replicate.description: expected at most 255 characters without < and >",
	} {
		got := mustDecode(t, estate(), []byte(`[`+body+`]`)).Deliveries[0]
		if got.Err.Of() != kind.InvalidEvent || !strings.Contains(got.Err.Message, want) {
			t.Errorf("%s: %v, want %s", body, got.Err, want)
		}
		if replicas := strings.Contains(body, `"check"`) && !strings.Contains(body, `"replicate"`); got.Request.OfReplicas() != replicas {
			t.Errorf("%s: about replicas: %t", body, got.Request.OfReplicas())
		}
	}
}

// TestOldRequest: a constant in a schedule would stop replication without a word.
func TestOldRequest(t *testing.T) {
	t.Parallel()
	d := estate()
	d.Now = func() time.Time { return time.Date(2026, 12, 21, 2, 0, 0, 0, time.UTC) }
	const old = "expected a time of the last 28 days; a constant would stop replication"
	for at, want := range map[string]string{"2026-11-23T02:00:00Z": "", "2026-11-23T01:59:59Z": "requested_at: " + old} {
		got := mustDecode(t, d, []byte(`[{"requested_at":"`+at+`"}]`)).Deliveries[0]
		if text := ""; got.Err != nil && got.Err.Message != want || (got.Err == nil) != (want == text) {
			t.Errorf("%s: %v, want %s", at, got.Err, want)
		}
	}
}

// TestHTTPPlace: CBR's own path of one backup, and the answers that have data.
func TestHTTPPlace(t *testing.T) {
	t.Parallel()
	const backup = "6df2b54c-dd62-4059-a07c-1b8f24f2725d"
	path := "/v3/" + project + "/backups/" + backup + "/replicate"
	for body, want := range map[string]string{
		`{}`: "", `{"replicate":{"name":"n"}}`: "", `{"replicate":{"backup_id":"` + backup + `"}}`: "",
		`{"replicate":{"backup_id":"` + vaultA + `"}}`: "replicate.backup_id: expected the one in the path",
		`{"replicate":{"vault_id":"` + vaultA + `"}}`:  "replicate.vault_id: expected none beside backup_id",
		`{"check":{}}`:  "replicate.backup_id: expected the one in the path",
		`{"select":{}}`: "select: expected none beside the backup in the path",
	} {
		got := mustDecode(t, estate(), httpTriggerEvent(t, "HTTP API", "POST", path, body, false)).Deliveries[0]
		if (got.Err == nil) != (want == "") || got.Err != nil && got.Err.Message != want {
			t.Errorf("%s: %v, want %s", body, got.Err, want)
		}
		if want == "" && got.Request.Replicate.BackupID != backup {
			t.Errorf("%s: %+v", body, got.Request.Replicate)
		}
	}
	if got := mustDecode(t, estate(), httpTriggerEvent(t, "HTTP API", "POST", "/v3/"+project+"/backups/x/replicate", `{}`, false)).Deliveries[0]; got.Err == nil || got.Err.Message != "replicate.backup_id: expected a UUID" {
		t.Errorf("no id: %v", got.Err)
	}

	vaults := make([]result.PlannedVault, 20_000)
	for name, tt := range map[string]struct {
		outcome delivery.Outcome
		status  int
		body    string
	}{
		"planned": {delivery.Outcome{Data: result.Data{Status: kind.Planned, Plan: &result.Plan{Vaults: vaults}}}, 200, `{"data":{"status":"planned",`},
		"current": {delivery.Outcome{Data: result.Data{Status: kind.Current, Replica: &result.Replica{}}}, 200, `{"data":{"status":"current",`},
		"stale":   {delivery.Outcome{Err: &kind.Error{Kind: kind.Stale}, Data: result.Data{Status: kind.Aged, Replica: &result.Replica{}}}, 200, `{"data":{"status":"stale",`},
		"nothing": {delivery.Outcome{Err: &kind.Error{Kind: kind.NothingSelected, Message: "m"}, Data: result.Data{Plan: &result.Plan{}}}, 400, `{"error_code":"NothingSelected","error_msg":"m"}`},
	} {
		for trigger := range httpTriggers {
			batch := mustDecode(t, estate(), httpTriggerEvent(t, trigger, "POST", "/", `{"select":{}}`, false))
			reply, err := batch.Reply([]delivery.Outcome{tt.outcome})
			if err != nil {
				t.Fatal(err)
			}
			got := httpTriggerReply(t, trigger, reply)
			if got.StatusCode != tt.status || !strings.HasPrefix(got.Body, tt.body) || !json.Valid([]byte(got.Body)) || len(reply) > maxALBReply {
				t.Errorf("%s by %s: %d, %d bytes, %.80s", name, trigger, got.StatusCode, len(reply), got.Body)
			}
		}
	}
}
