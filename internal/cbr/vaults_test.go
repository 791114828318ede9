package cbr_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"cbr-replicator/internal/cbr"
	"cbr-replicator/internal/cbr/cbrtest"
	"cbr-replicator/internal/kind"
)

// listVaults returns the vaults of a list.
func listVaults(ctx context.Context, client *cbr.Client, ids ...string) (got []cbr.Vault, err error) {
	err = client.ListVaults(ctx, source, ids, func(v *cbr.Vault) { got = append(got, *v) })
	return got, err
}

// TestListVaultsOfCBR reads 2,500 vaults and their tags, each once.
func TestListVaultsOfCBR(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	want := map[string]string{cbrtest.SourceVault: ""}
	for i, id := range s.AddVaults(cbrtest.SourceProject, 2499, 0) {
		tag := strconv.Itoa(i)
		s.AddVault(cbrtest.Vault{ID: id, ProjectID: cbrtest.SourceProject, Name: "name-" + tag, Tags: []cbrtest.Tag{{Key: "n", Value: tag}}})
		want[id] = tag
	}
	got, err := listVaults(t.Context(), newClient(t, s.URL))
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]string{}
	for _, v := range got {
		tag, _ := v.Tag("n")
		if !v.Backup || v.Name == "" {
			t.Errorf("vault %+v", v)
		}
		seen[v.ID] = tag
	}
	if diff := cmp.Diff(want, seen); diff != "" || len(got) != len(want) {
		t.Errorf("%d vaults (-want +got):\n%s", len(got), diff)
	}
	calls := s.VaultCalls()
	if len(calls) != 3 || calls[0].Path != "/v3/"+cbrtest.SourceProject+"/vaults?limit=1000&offset=0" {
		t.Errorf("calls %v", calls)
	}
	if other, err := listVaults(t.Context(), newClient(t, s.URL), cbrtest.DestinationVault); err != nil || len(other) != 0 {
		t.Errorf("another project's vault: %v, %v", other, err)
	}
}

// TestListVaultsByID asks for 100 ids a call, in the enterprise project that is set.
func TestListVaultsByID(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	ids := s.AddVaults(cbrtest.SourceProject, 250, 0)
	s.AddVaults(cbrtest.SourceProject, 10, 0)
	client := newClient(t, s.URL)
	client.EnterpriseProjectID = "all_granted_eps"
	got, err := listVaults(t.Context(), client, append(ids, "00000000-0000-4000-8000-000000000000")...)
	if err != nil || len(got) != len(ids) {
		t.Errorf("%d vaults, %v, want %d", len(got), err, len(ids))
	}
	var asked []int
	for _, call := range s.VaultCalls() {
		u, err := url.Parse(call.Path)
		if err != nil {
			t.Fatal(err)
		}
		q := u.Query()
		asked = append(asked, len(q["id"]))
		if q.Get("enterprise_project_id") != "all_granted_eps" || q.Get("offset") != "0" {
			t.Errorf("call %s", call.Path)
		}
	}
	if !slices.Equal(asked, []int{100, 100, 51}) {
		t.Errorf("asked for %v ids", asked)
	}
}

// TestListVaultsForms: any field may be absent, null or of another type. What is no tag
// is left out.
func TestListVaultsForms(t *testing.T) {
	t.Parallel()
	type tags = []cbr.Tag
	for name, tt := range map[string]struct {
		vault string
		want  cbr.Vault
	}{
		"nothing but an id":        {`{"id":"v"}`, cbr.Vault{ID: "v"}},
		"all null":                 {`{"id":"v","name":null,"billing":null,"tags":null}`, cbr.Vault{ID: "v"}},
		"all of another type":      {`{"id":"v","name":[],"billing":"backup","tags":{"dr":"gold"}}`, cbr.Vault{ID: "v"}},
		"a vault with backups":     {`{"id":"v","name":"n","billing":{"protect_type":"backup"},"tags":[]}`, cbr.Vault{ID: "v", Name: "n", Backup: true, ProtectType: "backup"}},
		"in capitals":              {`{"id":"V","billing":{"protect_type":"BACKUP"}}`, cbr.Vault{ID: "V", Backup: true, ProtectType: "backup"}},
		"of replicas":              {`{"id":"v","billing":{"protect_type":"replication"}}`, cbr.Vault{ID: "v", ProtectType: "replication"}},
		"hybrid":                   {`{"id":"v","billing":{"protect_type":"hybrid"}}`, cbr.Vault{ID: "v", ProtectType: "hybrid"}},
		"of a type that is null":   {`{"id":"v","billing":{"protect_type":null}}`, cbr.Vault{ID: "v"}},
		"the type is elsewhere":    {`{"id":"v","protect_type":"backup"}`, cbr.Vault{ID: "v"}},
		"a tag":                    {`{"id":"v","tags":[{"key":"dr","value":"gold"}]}`, cbr.Vault{ID: "v", Tags: tags{{Key: "dr", Value: "gold"}}}},
		"a tag without a value":    {`{"id":"v","tags":[{"key":"a"},{"key":"b","value":""},{"key":"c","value":null}]}`, cbr.Vault{ID: "v", Tags: tags{{Key: "a"}, {Key: "b"}, {Key: "c"}}}},
		"a tag without a key":      {`{"id":"v","tags":[{"value":"gold"},{"key":"","value":"gold"},{"key":null,"value":"gold"}]}`, cbr.Vault{ID: "v"}},
		"numbers and truth values": {`{"id":"v","tags":[{"key":1,"value":2.5},{"key":"b","value":true}]}`, cbr.Vault{ID: "v", Tags: tags{{Key: "1", Value: "2.5"}, {Key: "b"}}}},
		"the same key twice":       {`{"id":"v","tags":[{"key":"dr","value":"gold"},{"key":"dr","value":"silver"}]}`, cbr.Vault{ID: "v", Tags: tags{{Key: "dr", Value: "gold"}, {Key: "dr", Value: "silver"}}}},
		"no tags at all":           {`{"id":"v","tags":["dr",null,1,["x"],{}]}`, cbr.Vault{ID: "v"}},
		"more in a tag":            {`{"id":"v","tags":[{"value":"gold","kind":{"key":"no"},"key":"dr"}]}`, cbr.Vault{ID: "v", Tags: tags{{Key: "dr", Value: "gold"}}}},
		"rules are no tags":        {`{"id":"v","bind_rules":{"tags":[{"key":"dr","value":"gold"}]},"resources":[{"id":"r","tags":[{"key":"dr"}]}]}`, cbr.Vault{ID: "v"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := listVaults(t.Context(), lister(t, answer(`{"count":1,"vaults":[`+tt.vault+`]}`)))
			if err != nil || len(got) != 1 {
				t.Fatalf("%v, %v", got, err)
			}
			if diff := cmp.Diff(tt.want, got[0]); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
	for name, body := range map[string]string{
		"no list": `{"count":0}`, "no id": `{"vaults":[{"name":"n"}]}`, "an id of another type": `{"vaults":[{"id":{}}]}`,
		"half": `{"vaults":[{"id":"v"}`, "HTML": "<html>", "nothing": "", "of null": `{"vaults":[null]}`,
	} {
		if got, err := listVaults(t.Context(), lister(t, answer(body))); kind.As(err).Of() != kind.Unavailable {
			t.Errorf("%s: %v, %v, want Unavailable", name, got, err)
		}
	}
}

// TestListVaultsFaults: no answer to a list decides about a plan.
func TestListVaultsFaults(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		fault cbrtest.Fault
		want  kind.Kind
	}{
		{cbrtest.Throttled(0), kind.Throttled},
		{cbrtest.Unavailable(), kind.Unavailable},
		{cbrtest.Refusal(500, "BackupService.9910", "Unknown error."), kind.Unavailable},
		{cbrtest.Refusal(400, "BackupService.9900", "Parameter verification failed."), kind.Misconfigured},
		{cbrtest.Refusal(404, "APIGW.0101", "The API does not exist."), kind.Misconfigured},
		{cbrtest.Refusal(401, "APIGW.0307", "The token must be updated"), kind.Unauthorized},
		{cbrtest.CutShort(), kind.Unavailable},
	} {
		s := newServer(t)
		s.Script(cbrtest.Vaults, tt.fault)
		if _, err := listVaults(t.Context(), newClient(t, s.URL)); kind.As(err).Of() != tt.want || !tt.want.Policy().Redeliver {
			t.Errorf("%+v: %v, want %s", tt.fault, err, tt.want)
		}
	}
}

// estate is a list of vaults that changes between its pages.
type estate struct {
	ids    []string
	limit  int
	change func(e *estate)
}

func (e *estate) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	offset, _ := strconv.Atoi(r.URL.Query().Get("offset"))
	page := []map[string]any{}
	for _, id := range e.ids[min(offset, len(e.ids)):min(offset+e.limit, len(e.ids))] {
		page = append(page, map[string]any{"id": id})
	}
	_ = json.NewEncoder(w).Encode(map[string]any{"vaults": page, "count": len(e.ids), "limit": e.limit, "offset": offset})
	e.change(e)
}

// TestListVaultsWhileTheListChanges: vaults that are added or deleted between two pages
// never hide one that was there all the time. Then the list is complete, or it is said
// that it changed.
func TestListVaultsWhileTheListChanges(t *testing.T) {
	t.Parallel()
	e := &estate{}
	client := lister(t, func(w http.ResponseWriter, r *http.Request) { e.ServeHTTP(w, r) })
	changed, complete := 0, 0
	rapid.Check(t, func(t *rapid.T) {
		next := 0
		add := func(at int) {
			e.ids = slices.Insert(e.ids, at, fmt.Sprint("vault-", next))
			next++
		}
		// Pages of one vault could not overlap.
		*e = estate{limit: rapid.IntRange(2, 12).Draw(t, "limit")}
		for range rapid.IntRange(0, 30).Draw(t, "vaults") {
			add(len(e.ids))
		}
		always := slices.Clone(e.ids)
		// What happens after each page: at an even place one is deleted, at an odd one added.
		pages := rapid.SliceOfN(rapid.SliceOfN(rapid.IntRange(0, 99), 0, 2), 0, 12).Draw(t, "changes")
		e.change = func(e *estate) {
			if len(pages) == 0 {
				return
			}
			for _, place := range pages[0] {
				if n := len(e.ids); place%2 == 1 || n == 0 {
					add(place % (n + 1))
				} else {
					gone := e.ids[place%n]
					e.ids = slices.DeleteFunc(e.ids, func(id string) bool { return id == gone })
					always = slices.DeleteFunc(always, func(id string) bool { return id == gone })
				}
			}
			pages = pages[1:]
		}
		got, err := listVaults(context.Background(), client)
		seen := map[string]int{}
		for _, v := range got {
			if seen[v.ID]++; seen[v.ID] > 1 {
				t.Fatalf("%s comes twice", v.ID)
			}
		}
		if err != nil {
			if kind.As(err).Of() != kind.Unavailable {
				t.Fatal(err)
			}
			changed++
			return
		}
		complete++
		for _, id := range always {
			if seen[id] == 0 {
				t.Fatalf("%s was there all the time and is missing in %v", id, got)
			}
		}
	})
	if changed == 0 || complete == 0 {
		t.Errorf("%d changed, %d complete", changed, complete)
	}
}

// oneBackup is a request for one backup.
func oneBackup(id string) cbr.Replicate {
	r := replicate("")
	r.BackupID = id
	return r
}

// TestReplicateOneBackup: CopyBackup's path and body have no id of a vault and nothing
// of CopyCheckpoint's own.
func TestReplicateOneBackup(t *testing.T) {
	t.Parallel()
	s := newServer(t, cbrtest.WithCopyTime(0))
	client := newClient(t, s.URL)
	r := oneBackup(cbrtest.ExampleBackups()[0])
	got, err := client.Replicate(t.Context(), source, r)
	if err != nil || !got.Sent || got.RequestID == "" || got.Status != 200 {
		t.Fatalf("%+v, %v", got, err)
	}
	var replication map[string]string
	if err := json.Unmarshal(got.Replication, &replication); err != nil || replication["backup_id"] != r.BackupID || replication["replication_record_id"] == "" {
		t.Errorf("replication %s, %v", got.Replication, err)
	}
	r = oneBackup(cbrtest.ExampleBackups()[1])
	r.Name, r.Description = "gap", "of Monday"
	r.EnableAcceleration, r.CrossAccountURN = new(false), new("urn")
	if _, err := client.Replicate(t.Context(), source, r); err != nil {
		t.Error(err)
	}
	const required = `"destination_vault_id":"` + cbrtest.DestinationVault + `","destination_project_id":"` + cbrtest.DestinationProject + `","destination_region":"` + cbrtest.DestinationRegion + `"`
	for i, want := range []string{
		`{"replicate":{` + required + `}}`,
		`{"replicate":{"name":"gap","description":"of Monday",` + required + `,"enable_acceleration":false,"cross_account_urn":"urn"}}`,
	} {
		call := s.Calls()[i]
		if call.Path != "/v3/"+cbrtest.SourceProject+"/backups/"+cbrtest.ExampleBackups()[i]+"/replicate" {
			t.Errorf("path %s", call.Path)
		}
		if diff := cmp.Diff(decode(t, want), decode(t, call.Body)); diff != "" {
			t.Errorf("body (-want +got):\n%s", diff)
		}
	}
	if _, err := client.Replicate(t.Context(), source, r); kind.As(err).Of() != kind.AlreadyReplicated {
		t.Errorf("once more: %v", err)
	}
	if _, err := client.Replicate(t.Context(), source, oneBackup(cbrtest.DestinationVault)); kind.As(err).Of() != kind.Rejected {
		t.Errorf("no such backup: %v", err)
	}
}

// TestReplicateOneBackupAnswers: what does not say that this backup is being copied may
// have been taken, and is not proven.
func TestReplicateOneBackupAnswers(t *testing.T) {
	t.Parallel()
	backup := cbrtest.ExampleBackups()[0]
	for name, tt := range map[string]struct {
		body string
		want kind.Kind // empty: taken
	}{
		"the backup":              {`{"replication":{"backup_id":"` + strings.ToUpper(backup) + `","replication_record_id":"r"}}`, ""},
		"with more":               {`{"replication":{"new":{},"backup_id":"` + backup + `","replication_record_id":"r","vault_id":null,"backups":[]}}`, ""},
		"another backup":          {`{"replication":{"backup_id":"` + cbrtest.ExampleBackups()[1] + `","replication_record_id":"r"}}`, kind.Unknown},
		"no record":               {`{"replication":{"backup_id":"` + backup + `"}}`, kind.Unknown},
		"an empty record":         {`{"replication":{"backup_id":"` + backup + `","replication_record_id":""}}`, kind.Unknown},
		"a record of null":        {`{"replication":{"backup_id":"` + backup + `","replication_record_id":null}}`, kind.Unknown},
		"no backup":               {`{"replication":{"replication_record_id":"r"}}`, kind.Unknown},
		"CopyCheckpoint's answer": {`{"replication":{"vault_id":"` + cbrtest.SourceVault + `","backups":[{"backup_id":"` + backup + `","replication_record_id":"r"}]}}`, kind.Unknown},
		"nothing":                 {`{}`, kind.Unknown},
		"half":                    {`{"replication":{"backup_id":"` + backup + `","replica`, kind.Unknown},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := lister(t, answer(tt.body)).Replicate(t.Context(), source, oneBackup(backup))
			if kind.As(err).Of() != tt.want || !got.Sent || (got.Replication != nil) != (err == nil) {
				t.Errorf("%s, %v; want %q", got.Replication, err, tt.want)
			}
		})
	}
	s := newServer(t)
	s.Script(backup, cbrtest.ResetAfter(), cbrtest.Throttled(0))
	for _, want := range []kind.Kind{kind.Unknown, kind.Throttled} {
		if _, err := newClient(t, s.URL).Replicate(t.Context(), source, oneBackup(backup)); kind.As(err).Of() != want {
			t.Errorf("%v, want %s", err, want)
		}
	}
}

// show returns what ShowBackup gives.
func show(ctx context.Context, client *cbr.Client, id string) (got []cbr.Backup, at cbr.Clocks, err error) {
	at, err = client.ShowBackup(ctx, source, id, func(b *cbr.Backup) { got = append(got, *b) })
	return got, at, err
}

// TestShowBackup: it has what ListBackups has of the same backup.
func TestShowBackup(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	client := newClient(t, s.URL)
	if _, err := client.Replicate(t.Context(), source, replicate(cbrtest.SourceVault)); err != nil {
		t.Fatal(err)
	}
	listed, _, err := list(t.Context(), client)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range listed {
		got, at, err := show(t.Context(), client, strings.ToUpper(want.ID))
		if err != nil || at.Theirs.IsZero() || at.Ours.IsZero() || at.Newest.IsZero() {
			t.Fatalf("clocks %+v, %v", at, err)
		}
		if diff := cmp.Diff([]cbr.Backup{want}, got); diff != "" {
			t.Errorf("(-listed +shown):\n%s", diff)
		}
	}
	s.RemoveBackup(listed[0].ID)
	if _, _, err := show(t.Context(), client, listed[0].ID); !errors.Is(err, cbr.ErrNoVault) || !kind.As(err).Of().Policy().Redeliver {
		t.Errorf("a backup that is gone: %v", err)
	}
	if _, _, err := show(t.Context(), client, "../vaults"); kind.As(err).Of() != kind.InvalidEvent {
		t.Errorf("an id that is none: %v", err)
	}
}

// TestShowBackupForms: what cannot be read is no answer, and a backup without the field
// for records is of a cloud that shows none.
func TestShowBackupForms(t *testing.T) {
	t.Parallel()
	id := cbrtest.ExampleBackups()[0]
	for name, tt := range map[string]struct {
		body  string
		want  kind.Kind
		cause error
	}{
		"without the field":    {`{"backup":{"id":"` + id + `"}}`, kind.Misconfigured, cbr.ErrNoRecords},
		"of null":              {`{"backup":{"id":"` + id + `","replication_records":null}}`, "", nil},
		"of none":              {`{"backup":{"id":"` + id + `","replication_records":[]}}`, "", nil},
		"under its other name": {`{"backup":{"id":"` + id + `","replication_record":[]}}`, "", nil},
		"another backup":       {`{"backup":{"id":"` + cbrtest.ExampleBackups()[1] + `","replication_records":[]}}`, kind.Unavailable, nil},
		"no backup":            {`{}`, kind.Unavailable, nil},
		"a backup of null":     {`{"backup":null}`, kind.Unavailable, nil},
		"half":                 {`{"backup":{"id":"` + id + `"`, kind.Unavailable, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, _, err := show(t.Context(), lister(t, answer(tt.body)), id)
			if kind.As(err).Of() != tt.want || tt.cause != nil && !errors.Is(err, tt.cause) || err == nil && len(got) != 1 {
				t.Errorf("%v, %v; want %q, %v", got, err, tt.want, tt.cause)
			}
		})
	}
	for _, tt := range []struct {
		fault cbrtest.Fault
		want  kind.Kind
	}{
		{cbrtest.Throttled(0), kind.Throttled},
		{cbrtest.CutShort(), kind.Unavailable},
		{cbrtest.Refusal(400, "BackupService.9900", "Parameter verification failed."), kind.Misconfigured},
	} {
		s := newServer(t)
		s.Script(cbrtest.Lookups, tt.fault)
		if _, _, err := show(t.Context(), newClient(t, s.URL), id); kind.As(err).Of() != tt.want || errors.Is(err, cbr.ErrNoVault) {
			t.Errorf("%+v: %v, want %s", tt.fault, err, tt.want)
		}
	}
}
