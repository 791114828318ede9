package result_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"cbr-replicator/internal/cbr"
	requests "cbr-replicator/internal/delivery"
	"cbr-replicator/internal/kind"
	"cbr-replicator/internal/result"
)

var update = flag.Bool("update", false, "write the golden files anew")

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	queueARN = "arn:aws:sqs:eu-central-1:123456789012:requests"
	vault    = "3b5816b5-f29c-4172-9d9a-76c719a659ce"
)

// route is the one of the example in the CBR API reference.
var route = result.Route{VaultID: vault, SourceRegion: "region1", DestinationRegion: "region2"}

// limit is the most that an event may take here, in bytes.
const limit = 255 << 10

// sent is a message of an event.
type sent struct {
	result.Message
	Attributes map[string]string
	Event      result.Event
}

// send returns an event's message as a consumer reads it.
func send(t *testing.T, e *result.Event, r result.Route) sent {
	t.Helper()
	m := sent{Message: e.Message(r), Attributes: map[string]string{}}
	for _, a := range m.Message.Attributes {
		m.Attributes[a.Name] = a.Value
	}
	if len(m.Attributes) != len(m.Message.Attributes) {
		t.Errorf("attributes that are there twice: %v", m.Message.Attributes)
	}
	var err error
	if m.Body, err = e.Encode(limit); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal([]byte(m.Body), &m.Event); err != nil {
		t.Fatal(err)
	}
	return m
}

func exampleRequest() requests.Request {
	no := false
	return requests.Request{
		ProjectID: "f841e01fd2b14e7fa41b6ae7aa6b0594",
		Region:    "region1",
		Replicate: cbr.Replicate{
			VaultID:              vault,
			DestinationVaultID:   "0ca3eb86-8800-46da-9c37-9d657a825274",
			DestinationProjectID: "68589cac08274b82b4e254268a3862d8",
			DestinationRegion:    "region2",
			AutoTrigger:          &no,
		},
	}
}

// TestEvent compares message and attributes of each status with a golden file. They are
// the contract with every subscriber.
func TestEvent(t *testing.T) {
	t.Parallel()
	request := exampleRequest()
	const backup = "6df2b54c-dd62-4059-a07c-1b8f24f2725d"
	single, check := exampleRequest(), exampleRequest()
	single.Replicate.VaultID, single.Replicate.BackupID, single.Replicate.AutoTrigger = "", backup, nil
	check.Action, check.MaxAge, check.Replicate.AutoTrigger = "check", 30*time.Hour, nil
	plan, checks := exampleRequest(), check
	plan.Action, plan.Plans, plan.Replicate.VaultID = "plan", "replicate", ""
	plan.Replicate.DestinationVaultID = ""
	plan.Select = &requests.Select{Tags: []requests.Tag{{Key: "dr", Values: []string{"gold"}}}, DestinationVaultTag: "dr-vault"}
	checks.Action, checks.Plans, checks.Replicate.VaultID, checks.Select, checks.DryRun = "plan", "check", "", &requests.Select{}, true
	replica := route
	replica.Replica = true
	acceptedAt := time.Date(2026, 11, 23, 2, 0, 1, 0, time.UTC)
	refusal := func(k kind.Kind, code, message string, status int) *result.Error {
		return result.ErrorOf(&kind.Error{Kind: k, Code: code, Message: message, HTTPStatus: status, RequestID: "78e53b0e46ffcd7eb8a0b2a1d4e3b2b1"})
	}
	for _, tt := range []struct {
		name  string
		route result.Route
		data  result.Data
	}{
		{"accepted", route, result.Data{
			Status: kind.Accepted, Request: &request,
			Replication: json.RawMessage(`{"backups":[{"backup_id":"8b0851a8-adf3-4f4c-a914-dead08bf9664"}],"vault_id":"` + vault + `","extra":1e3}`),
			Attempts:    2, Deliveries: 1, DurationMS: 412, RequestID: "78e53b0e46ffcd7eb8a0b2a1d4e3b2b1",
		}},
		{"unchanged", route, result.Data{
			Status: kind.Unchanged, Request: &request, Error: refusal(kind.AlreadyReplicated, "BackupService.1009", "already replicated", 400),
			Attempts: 1, Deliveries: 3, DurationMS: 90, RequestID: "78e53b0e46ffcd7eb8a0b2a1d4e3b2b1",
		}},
		{"rejected", route, result.Data{
			Status: kind.Refused, Request: &request, Error: refusal(kind.Rejected, "BackupService.6105", "no such vault", 404),
			Attempts: 1, DurationMS: 85, RequestID: "78e53b0e46ffcd7eb8a0b2a1d4e3b2b1",
		}},
		{"rejected-invalid", result.Route{}, result.Data{
			Status: kind.Refused, Error: &result.Error{Kind: kind.InvalidEvent, Message: "replicate.vault_id: expected a UUID"},
		}},
		{"completed", route, result.Data{
			Status: kind.Completed, Stage: result.StageCopy, Request: &request, Replication: json.RawMessage(`{"backups":[],"vault_id":"` + vault + `"}`),
			Copies: &result.Copies{Total: 2, Succeeded: 1, Skipped: 1},
			Backups: []result.Copy{
				{BackupID: "b-1", ReplicationRecordID: "r-1", Status: "success", DestinationBackupID: "d-1", ResourceID: "s-1", ResourceName: "web", StartedAt: acceptedAt},
				{BackupID: "b-2", Status: "skip"},
			},
			AcceptedID: "3f6c", AcceptedAt: acceptedAt, DurationS: 5400, Deliveries: 14, DurationMS: 130,
		}},
		{"partial", route, result.Data{
			Status: kind.Partial, Stage: result.StageCopy, Request: &request, Error: result.ErrorOf(&kind.Error{Kind: kind.CopyIncomplete, Message: "1 of 2 copies is not there"}),
			Copies:     &result.Copies{Total: 2, Succeeded: 1, Failed: 1},
			Backups:    []result.Copy{{BackupID: "b-2", Status: "fail", FailCode: "BackupService.6203", FailReason: "busy"}, {BackupID: "b-1", Status: "success"}},
			AcceptedID: "3f6c", AcceptedAt: acceptedAt, DurationS: 5400, Deliveries: 14, DurationMS: 130,
		}},
		{"failed", route, result.Data{
			Status: kind.Failed, Request: &request, Error: refusal(kind.Throttled, "APIG.0308", "too many requests", 429),
			Attempts: 6, Deliveries: 10, DurationMS: 20100,
		}},
		{"accepted-backup", result.Route{BackupID: backup, SourceRegion: "region1", DestinationRegion: "region2"}, result.Data{
			Status: kind.Accepted, Request: &single, Since: acceptedAt, AcceptedAt: acceptedAt,
			Replication: json.RawMessage(`{"backup_id":"` + backup + `","replication_record_id":"1579a71e-8d8d-41e6-85dc-d77f5ce8d91a"}`),
			Attempts:    1, Deliveries: 1, DurationMS: 412, RequestID: "78e53b0e46ffcd7eb8a0b2a1d4e3b2b1",
		}},
		{"planned", result.Route{SourceRegion: "region1", DestinationRegion: "region2"}, result.Data{
			Status: kind.Planned, Request: &plan, Deliveries: 1, DurationMS: 230,
			Plan: &result.Plan{
				Seen: 9, Selected: 2, Requests: 1,
				Vaults:  []result.PlannedVault{{VaultID: vault, Name: "web", DestinationVaultID: request.Replicate.DestinationVaultID}},
				Skipped: []result.SkippedVault{{VaultID: "5a1c0a1e-3f0b-4a58-8f2c-2b7a4f6d9e01", Reason: "it has no tag dr-vault"}},
			},
		}},
		{"planned-checks", result.Route{Replica: true, SourceRegion: "region1", DestinationRegion: "region2"}, result.Data{
			Status: kind.Planned, Request: &checks, DurationMS: 230,
			Plan: &result.Plan{Seen: 1, Selected: 1, Requests: 1, DryRun: true, Vaults: []result.PlannedVault{{VaultID: vault, DestinationVaultID: request.Replicate.DestinationVaultID}}, Skipped: []result.SkippedVault{}},
		}},
		{"current", replica, result.Data{
			Status: kind.Current, Request: &check, Deliveries: 1, DurationMS: 130,
			Replica: &result.Replica{
				AgeS: new(int64(3600)), MaxAgeS: 108000, Resources: result.Resources{Total: 2, Current: 1, Pending: 1},
				Worst:            &result.WorstResource{ResourceID: "s-1", ResourceName: "web", AgeS: new(int64(3600))},
				NewestReplicated: &result.ReplicatedBackup{BackupID: "b-1", CreatedAt: acceptedAt, ReplicationRecordID: "r-1", DestinationBackupID: "d-1"},
				Newest:           &result.NewestBackup{BackupID: "b-2", CreatedAt: acceptedAt.Add(time.Minute), AgeS: 3540},
				Backups:          3, Replicated: 1, Copying: 1,
			},
		}},
		{"stale", replica, result.Data{
			Status: kind.Aged, Request: &check, Deliveries: 1, DurationMS: 130, Error: result.ErrorOf(&kind.Error{Kind: kind.NeverReplicated, Message: "1 of 1 resources have no replica there"}),
			Replica: &result.Replica{
				MaxAgeS: 108000, Resources: result.Resources{Total: 1, Never: 1}, Worst: &result.WorstResource{ResourceID: "s-1"},
				Newest: &result.NewestBackup{BackupID: "b-2", CreatedAt: acceptedAt, AgeS: 180000}, Backups: 1, Failed: 1,
			},
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			source := "https://cbr.region1.myhuaweicloud.com/v3/" + request.ProjectID
			if tt.data.Request == nil {
				source = "arn:aws:lambda:eu-central-1:123456789012:function:cbr-replicator"
			}
			// A zone that is not UTC, and more digits than the event has.
			at := time.Date(2026, 11, 23, 8, 0, 0, 120_456_789, time.FixedZone("CET", 3600))
			e := result.New(result.ID(queueARN, "m-1", tt.data.Status), source, "nightly-2026-11-23", "m-1", at, tt.route, tt.data)
			m := send(t, e, tt.route)
			got, err := json.MarshalIndent(struct {
				Attributes map[string]string `json:"attributes"`
				Message    json.RawMessage   `json:"message"`
			}{m.Attributes, json.RawMessage(m.Body)}, "", "  ")
			if err != nil {
				t.Fatal(err)
			}
			golden(t, filepath.Join("testdata", tt.name+".json"), append(got, '\n'))
		})
	}
}

func golden(t *testing.T, path string, got []byte) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s (-want +got; -update writes it anew):\n%s", path, diff)
	}
}

// TestID: the id depends on the delivery and the status, and on nothing else. Its parts
// cannot be mixed up.
func TestID(t *testing.T) {
	t.Parallel()
	type delivery struct {
		source, causation string
		status            kind.Status
	}
	part := rapid.OneOf(rapid.StringMatching(`[ab/:]{0,4}`), rapid.String())
	one := rapid.Custom(func(t *rapid.T) delivery {
		return delivery{part.Draw(t, "source"), part.Draw(t, "causation"), kind.Status(part.Draw(t, "status"))}
	})
	rapid.Check(t, func(t *rapid.T) {
		a := one.Draw(t, "a")
		b := one.Draw(t, "b")
		if rapid.Bool().Draw(t, "shifted") {
			// The same characters with the boundaries elsewhere.
			all := a.source + a.causation + string(a.status)
			cut := rapid.SliceOfN(rapid.IntRange(0, len(all)), 2, 2).Draw(t, "cuts")
			slices.Sort(cut)
			b = delivery{all[:cut[0]], all[cut[0]:cut[1]], kind.Status(all[cut[1]:])}
		}
		first, second := result.ID(a.source, a.causation, a.status), result.ID(b.source, b.causation, b.status)
		if (a == b) != (first == second) {
			t.Fatalf("%q has id %s, %q has %s", a, first, b, second)
		}
	})
}

// TestAttributes: with any kind, filter policies find the attributes of the contract, and
// none without a value.
func TestAttributes(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		kind  kind.Kind
		route result.Route
		want  string
	}{
		{kind.None, route, "content-type destination_region source_region status type vault_id"},
		{kind.Throttled, route, "content-type destination_region kind retryable source_region status type vault_id"},
		{kind.InvalidEvent, result.Route{}, "content-type kind retryable status type"},
	} {
		data := result.Data{Status: tt.kind.Policy().Status}
		if tt.kind != kind.None {
			data.Error = result.ErrorOf(&kind.Error{Kind: tt.kind, Message: "m"})
		}
		m := send(t, result.New("id", "s", "c", "c", time.Now(), tt.route, data), tt.route)
		if got := strings.Join(slices.Sorted(maps.Keys(m.Attributes)), " "); got != tt.want {
			t.Errorf("%q: attributes %s, want %s", tt.kind, got, tt.want)
		}
		if got, want := m.Attributes["retryable"], fmt.Sprint(tt.kind.Policy().Redeliver); tt.kind != kind.None && got != want {
			t.Errorf("%q: retryable %s, want %s", tt.kind, got, want)
		}
	}
}

// TestMessage: the results of a vault are in order, and so are those without a vault. A
// message has its event's id, type and time.
func TestMessage(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 11, 23, 8, 0, 0, 120_000_000, time.UTC)
	for _, tt := range []struct {
		route result.Route
		group string
	}{{route, vault}, {result.Route{}, "invalid"}} {
		got := send(t, result.New("the-id", "s", "c", "c", at, tt.route, result.Data{Status: kind.Refused}), tt.route).Message
		want := result.Message{ID: "the-id", Type: "cbr.checkpoint.replication.rejected.v1", Time: at, Group: tt.group}
		if diff := cmp.Diff(want, got, cmpopts.IgnoreFields(result.Message{}, "Attributes", "Body")); diff != "" {
			t.Errorf("message (-want +got):\n%s", diff)
		}
	}
}

// TestLongList: if a vault has more backups than a message takes, the message has as many
// as fit, each as CBR sent it, and the number of all.
func TestLongList(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		size func(i int) int // of the i-th backup's name
	}{
		{"alike", func(int) int { return 20 }},
		{"a long one first", func(i int) int { return max(0, 100_000-100_000*i) }},
		{"long ones last", func(i int) int { return i / 100 }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			const total = 15_000
			backups := make([]string, total)
			for i := range backups {
				backups[i] = fmt.Sprintf(`{"backup_id":"8b0851a8-adf3-4f4c-a914-%012d","size":4.0e1,"name":"%s"}`, i, strings.Repeat("x", tt.size(i)))
			}
			request := exampleRequest()
			e := result.New("id", "s", "c", "c", time.Now(), route, result.Data{
				Status: kind.Accepted, Request: &request,
				Replication: json.RawMessage(`{"backups":[` + strings.Join(backups, ",") + `],"project_id":"p","vault_id":"` + vault + `"}`),
			})
			m := send(t, e, route)
			var got struct {
				Backups []json.RawMessage
				Total   int    `json:"backups_total"`
				Vault   string `json:"vault_id"`
				Project string `json:"project_id"`
			}
			if err := json.Unmarshal(m.Event.Data.Replication, &got); err != nil {
				t.Fatal(err)
			}
			if got.Total != total || got.Vault != vault || got.Project != "p" {
				t.Errorf("backups_total %d, vault_id %s, project_id %s", got.Total, got.Vault, got.Project)
			}
			if n := len(m.Body); n > limit || n < limit-1000 {
				t.Errorf("%d backups in %d bytes, not in just under %d", len(got.Backups), n, limit)
			}
			for i, b := range got.Backups {
				if string(b) != backups[i] {
					t.Fatalf("backup %d is %s, CBR sent %s", i, b, backups[i])
				}
			}
			if !strings.HasPrefix(string(e.Data.Replication), `{"backups":[`) || strings.Contains(string(e.Data.Replication), "backups_total") {
				t.Error("the event that the caller holds was cut too")
			}
		})
	}
}

// TestLogged: an event that no sink took is complete in the log, in both of Lambda's log
// formats, since it is nowhere else then.
func TestLogged(t *testing.T) {
	t.Parallel()
	request := exampleRequest()
	e := result.New("id", "s", "c", "c", time.Now(), route, result.Data{
		Status: kind.Accepted, Request: &request, Replication: json.RawMessage(`{"backups":[{"backup_id":"b"}]}`),
	})
	want := send(t, e, route).Body

	var out bytes.Buffer
	slog.New(slog.NewJSONHandler(&out, nil)).Error("lost", "event", e)
	var line struct{ Event json.RawMessage }
	if err := json.Unmarshal(out.Bytes(), &line); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, string(line.Event)); diff != "" {
		t.Errorf("JSON (-want +got):\n%s", diff)
	}

	out.Reset()
	slog.New(slog.NewTextHandler(&out, nil)).Error("lost", "event", e)
	if quoted := fmt.Sprintf("event=%q\n", want); !strings.HasSuffix(out.String(), quoted) {
		t.Errorf("text: %s\nwant at the end: %s", out.String(), quoted)
	}
}

// TestWithin: a direct caller's answer keeps to any possible limit, and still says what
// the outcome was.
func TestWithin(t *testing.T) {
	t.Parallel()
	request := exampleRequest()
	long := strings.Repeat(`<é"`, 512)
	data := result.Data{
		Status: kind.Refused, Request: &request, Replication: json.RawMessage(`{"backups":[{"backup_id":"b"}],"vault_id":"` + vault + `"}`), RequestID: long,
		Error: &result.Error{Kind: kind.Rejected, Code: long, Message: long, RequestID: long},
	}
	before, err := json.Marshal(data)
	if err != nil {
		t.Fatal(err)
	}
	for _, limit := range []int{4 << 10, 5990, len(before) - 1, len(before), 240 << 10} {
		text, err := data.Within(limit)
		if err != nil {
			t.Fatal(err)
		}
		var got result.Data
		if err := json.Unmarshal(text, &got); err != nil {
			t.Fatal(err)
		}
		if len(text) > limit || got.Status != kind.Refused || got.Error.Kind != kind.Rejected || !strings.HasPrefix(got.Error.Message, `<é"<é"`) {
			t.Errorf("%d bytes of at most %d: %s", len(text), limit, text)
		}
		if limit >= len(before) && string(text) != string(before) {
			t.Errorf("it was cut to %s", text)
		}
	}
	if after, _ := json.Marshal(data); string(after) != string(before) {
		t.Error("the data that the caller holds was cut too")
	}
	if _, err := data.Within(10); err == nil {
		t.Error("a result in 10 bytes")
	}
}

// TestLongLists: a result with lists of its own is cut as one, and says how long
// they were.
func TestLongLists(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		n := func(name string) int { return rapid.IntRange(0, 40).Draw(t, name) }
		d := result.Data{Status: kind.Completed, Request: "r"}
		if k := n("copied"); k > 0 {
			d.Replication = json.RawMessage(`{"vault_id":"v","backups":[` + strings.Repeat(`{"backup_id":"b","more":"xxxxxxxxxxxxxxxxxxxxxxxx"},`, k-1) + `{"backup_id":"b"}]}`)
		}
		for range n("backups") {
			d.Backups = append(d.Backups, result.Copy{BackupID: "b", Status: "success", ResourceName: strings.Repeat("n", n("name"))})
		}
		plan := result.Plan{Vaults: make([]result.PlannedVault, n("vaults")), Skipped: make([]result.SkippedVault, n("skipped"))}
		if rapid.Bool().Draw(t, "a plan") {
			d.Plan = &plan
		}
		whole, err := json.Marshal(d)
		if err != nil {
			t.Fatal(err)
		}
		limit := rapid.IntRange(600, 6000).Draw(t, "limit")
		text, err := d.Within(limit)
		if err != nil || len(text) > limit {
			t.Fatalf("%d bytes of %d, limit %d, error %v", len(text), len(whole), limit, err)
		}
		if len(whole) <= limit && string(text) != string(whole) {
			t.Errorf("cut to %s", text)
		}
		var got result.Data
		if err := json.Unmarshal(text, &got); err != nil {
			t.Fatal(err)
		}
		check := func(list string, kept, was, total int) {
			if kept != was && total != was || kept == was && total != 0 && total != was {
				t.Errorf("%s: %d of %d, total %d", list, kept, was, total)
			}
		}
		check("backups", len(got.Backups), len(d.Backups), got.BackupsTotal)
		if d.Plan != nil {
			check("vaults", len(got.Plan.Vaults), len(plan.Vaults), got.Plan.VaultsTotal)
			check("skipped", len(got.Plan.Skipped), len(plan.Skipped), got.Plan.SkippedTotal)
		}
	})
}

// TestPlanFits: the lists of a plan of 10,000 vaults are cut so that the event fits, each
// by the same part, and their lengths are told.
func TestPlanFits(t *testing.T) {
	t.Parallel()
	request := exampleRequest()
	plan := &result.Plan{Seen: 15_000, Selected: 11_000, Requests: 10_000}
	for i := range 10_000 {
		plan.Vaults = append(plan.Vaults, result.PlannedVault{VaultID: vault, Name: fmt.Sprint("vault-", i), DestinationVaultID: vault})
		if i%10 == 0 {
			plan.Skipped = append(plan.Skipped, result.SkippedVault{VaultID: vault, Name: fmt.Sprint("vault-", i), Reason: "it has no tag dr-vault"})
		}
	}
	data := result.Data{Status: kind.Planned, Request: &request, Plan: plan}
	got := send(t, result.New("id", "source", "c", "m", time.Now(), result.Route{}, data), result.Route{}).Event.Data.Plan
	if got.VaultsTotal != 10_000 || got.SkippedTotal != 1000 || got.Requests != 10_000 || len(got.Vaults) < 1000 || len(got.Skipped) < 100 {
		t.Errorf("%d of %d vaults, %d of %d skipped", len(got.Vaults), got.VaultsTotal, len(got.Skipped), got.SkippedTotal)
	}
	if len(plan.Vaults) != 10_000 || plan.VaultsTotal != 0 {
		t.Error("the plan itself was cut")
	}
	text, err := data.Within(8 << 10)
	if err != nil || len(text) > 8<<10 {
		t.Errorf("%d bytes, %v", len(text), err)
	}
}
