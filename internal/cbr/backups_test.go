package cbr_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/google/go-cmp/cmp"

	"cbr-replicator/internal/cbr"
	"cbr-replicator/internal/cbr/cbrtest"
	"cbr-replicator/internal/kind"
)

// lister returns a client of a server that answers each lookup with answer.
func lister(t testing.TB, answer http.HandlerFunc) *cbr.Client {
	t.Helper()
	server := httptest.NewServer(answer)
	t.Cleanup(server.Close)
	return newClient(t, server.URL)
}

// list returns the backups of a lookup.
func list(ctx context.Context, client *cbr.Client) ([]cbr.Backup, cbr.Clocks, error) {
	var got []cbr.Backup
	at, err := client.ListBackups(ctx, source, cbrtest.SourceVault, func(b *cbr.Backup) { got = append(got, *b) })
	return got, at, err
}

// answer answers every lookup with one body.
func answer(body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, body) }
}

// vault is a list of backups that ListBackups pages through.
type vault struct {
	ids   []string // newest first
	limit int      // the largest page; 0: as asked
	// edit changes an answer; change changes the list after it.
	edit   func(answer map[string]any)
	change func(v *vault)
	asked  []string // offsets
}

func newVault(n int) *vault {
	v := &vault{}
	for i := range n {
		v.ids = append(v.ids, fmt.Sprintf("backup-%05d", i))
	}
	return v
}

func (v *vault) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	v.asked = append(v.asked, q.Get("offset"))
	offset, _ := strconv.Atoi(q.Get("offset"))
	limit, _ := strconv.Atoi(q.Get("limit"))
	if v.limit > 0 {
		limit = min(limit, v.limit)
	}
	backups := []any{}
	for _, id := range v.ids[min(offset, len(v.ids)):min(offset+limit, len(v.ids))] {
		backups = append(backups, map[string]any{"id": id, "status": "available", "replication_records": []any{}})
	}
	answer := map[string]any{"backups": backups, "count": len(v.ids), "offset": offset, "limit": limit}
	if v.edit != nil {
		v.edit(answer)
	}
	json.NewEncoder(w).Encode(answer)
	if v.change != nil {
		v.change(v)
	}
}

// TestListBackupsWire compares the request with the CBR API reference.
func TestListBackupsWire(t *testing.T) {
	t.Parallel()
	var got []string
	client := lister(t, func(w http.ResponseWriter, r *http.Request) {
		got = append(got, r.Method+" "+r.URL.RequestURI(), r.Header.Get("X-Auth-Token"), r.Header.Get("User-Agent"))
		answer(`{"backups":[],"count":0}`)(w, r)
	})
	client.EnterpriseProjectID = "a&b"
	if _, _, err := list(t.Context(), client); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{
		"GET /v3/f841e01fd2b14e7fa41b6ae7aa6b0594/backups?enterprise_project_id=a%26b&limit=1000&offset=0&show_replication=true" +
			"&vault_id=3b5816b5-f29c-4172-9d9a-76c719a659ce",
		cbrtest.Token,
		"cbr-replicator/v0",
	}, got); diff != "" {
		t.Errorf("request (-want +got):\n%s", diff)
	}

	if _, err := client.ListBackups(t.Context(), source, "../vaults", nil); kind.As(err).Of() != kind.InvalidEvent {
		t.Errorf("error = %v for what is no vault id", err)
	}
}

// TestListBackupsOfCBR lists the backups of the stand-in of CBR.
func TestListBackupsOfCBR(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 23, 7, 0, 0, 123456000, time.UTC)
	server := newServer(t, cbrtest.WithClock(func() time.Time { return now }), cbrtest.WithCopyTime(0))
	client := newClient(t, server.URL)
	if _, err := client.Replicate(t.Context(), source, replicate(cbrtest.SourceVault)); err != nil {
		t.Fatal(err)
	}
	before := time.Now()
	got, at, err := list(t.Context(), client)
	if err != nil {
		t.Fatal(err)
	}
	if !at.Theirs.Equal(now.Truncate(time.Second)) || at.Ours.Before(before) || at.Ours.After(time.Now()) {
		t.Errorf("clocks = %+v", at)
	}
	if len(got) != 3 {
		t.Fatalf("%d backups, want 3", len(got))
	}
	want := cbr.ReplicationRecord{
		Status:               cbr.Replicated,
		CreatedAt:            now,
		Zoneless:             true,
		SourceRegion:         cbrtest.SourceRegion,
		SourceProjectID:      cbrtest.SourceProject,
		DestinationRegion:    cbrtest.DestinationRegion,
		DestinationProjectID: cbrtest.DestinationProject,
		DestinationVaultID:   cbrtest.DestinationVault,
		Progress:             100,
	}
	for _, b := range got {
		if b.ID == "" || b.ProviderID == "" || !b.Available || len(b.Records) != 1 || b.Records[0].ID == "" {
			t.Fatalf("backup = %+v", b)
		}
		if b.Records[0].DestinationBackupID == "" || b.ResourceID == "" {
			t.Errorf("no id of the replica or of the resource: %+v", b)
		}
		want.ID, want.DestinationBackupID = b.Records[0].ID, b.Records[0].DestinationBackupID
		if diff := cmp.Diff(want, b.Records[0]); diff != "" {
			t.Errorf("record (-want +got):\n%s", diff)
		}
	}
}

// TestListBackupsForms has every known form of an answer: of recorded answers, of the
// CBR API reference, of Terraform's provider.
func TestListBackupsForms(t *testing.T) {
	t.Parallel()
	const id = `{"backups":[{"id":"b","status":"available",`
	none := []cbr.Backup{{ID: "b", Available: true, Records: []cbr.ReplicationRecord{}}}
	one := func(r cbr.ReplicationRecord) []cbr.Backup {
		r.ID = "r"
		return []cbr.Backup{{ID: "b", Available: true, Records: []cbr.ReplicationRecord{r}}}
	}
	created := func(s string) string { return id + `"replication_records":[{"id":"r","created_at":` + s + `}]}]}` }
	when := time.Date(2019, 5, 23, 14, 31, 36, 39365000, time.UTC)
	at := one(cbr.ReplicationRecord{CreatedAt: when})
	zoneless := one(cbr.ReplicationRecord{CreatedAt: when, Zoneless: true})
	seconds := one(cbr.ReplicationRecord{CreatedAt: when.Truncate(time.Second)})
	undated := one(cbr.ReplicationRecord{})
	there := one(cbr.ReplicationRecord{DestinationVaultID: "v"})
	for _, tt := range []struct {
		name, body string
		want       []cbr.Backup
	}{
		{"no backups", `{"backups":[]}`, nil},
		{"null for no backups", `{"count":0,"backups":null}`, nil},
		{"no records", id + `"replication_records":[]}]}`, none},
		{"null for no records", id + `"replication_records":null}]}`, none},
		{"records under the singular", id + `"replication_record":[{"id":"r"}]}]}`, one(cbr.ReplicationRecord{})},
		{"the singular beside an empty plural", id + `"replication_record":[{"id":"r"}],"replication_records":[]}]}`, one(cbr.ReplicationRecord{})},
		{"no zone", created(`"2019-05-23T14:31:36.039365"`), zoneless},
		{"Z", created(`"2019-05-23T14:31:36.039365Z"`), at},
		{"zone", created(`"2019-05-23T14:31:36.039365+00:00"`), at},
		{"another zone", created(`"2019-05-23T16:31:36.039365+02:00"`), at},
		{"a zone without a colon", created(`"2019-05-23T16:31:36.039365+0200"`), at},
		{"a zone of hours", created(`"2019-05-23T12:31:36.039365-02"`), at},
		{"lower case", created(`"2019-05-23t14:31:36.039365z"`), at},
		{"space", created(`"2019-05-23 14:31:36.039365"`), zoneless},
		{"space and zone", created(`"2019-05-23 14:31:36.039365+00:00"`), at},
		{"no fraction of a second", created(`"2019-05-23T14:31:36"`), one(cbr.ReplicationRecord{CreatedAt: when.Truncate(time.Second), Zoneless: true})},
		{"seconds since 1970", created(`1558621896`), seconds},
		{"milliseconds since 1970", created(`1558621896000`), seconds},
		{"a number as text", created(`"1558621896"`), seconds},
		{"null for a time", created(`null`), undated},
		{"no text for a time", created(`""`), undated},
		{"a time that is none", created(`"yesterday"`), undated},
		{"the zero time", created(`"0001-01-01T00:00:00"`), undated},
		{"zero", created(`0`), undated},
		{"a negative number", created(`-5`), undated},
		{"a number out of reach", created(`1e400`), undated},
		{"true for a time", created(`true`), undated},
		{"an object for a time", created(`{"at":[1]}`), undated},
		{
			"fields of other types", id + `"provider_id":{},"vault_id":[],"replication_records":[{"id":7,"status":{},"destination_region":["x"],"extra_info":""}]}]}`,
			[]cbr.Backup{{ID: "b", Available: true, Records: []cbr.ReplicationRecord{{ID: "7"}}}},
		},
		{"no record", id + `"replication_records":[null,"x",3,[]]}]}`, []cbr.Backup{{ID: "b", Available: true, Records: make([]cbr.ReplicationRecord, 4)}}},
		{"no record id", id + `"replication_records":[{"status":"SUCCESS","destination_vault_id":"v"}]}]}`, []cbr.Backup{{
			ID: "b", Available: true, Records: []cbr.ReplicationRecord{{Status: cbr.Replicated, DestinationVaultID: "v"}},
		}}},
		{"a text that is too long", id + `"replication_records":[{"id":"r","destination_vault_id":"` + strings.Repeat("v", 129) + `"}]}]}`, undated},
		{"a backup's own time", `{"backups":[{"id":"b","created_at":"2019-05-23T14:31:36Z","replication_records":[]}]}`, []cbr.Backup{{
			ID: "b", CreatedAt: when.Truncate(time.Second), Records: []cbr.ReplicationRecord{},
		}}},
		{"records of one backup alone", `{"backups":[{"id":"a"},{"id":"b","status":"available","replication_records":[]}]}`, []cbr.Backup{
			{ID: "a", Records: []cbr.ReplicationRecord{}}, none[0],
		}},
		{"the vault in the record", id + `"replication_records":[{"id":"r","destination_vault_id":"v","extra_info":null}]}]}`, there},
		{"misspelt", id + `"replication_records":[{"id":"r","destinatio_vault_id":"v"}]}]}`, there},
		{"in extra_info alone", id + `"replication_records":[{"id":"r","destination_vault_id":null,"extra_info":{"progress":"3 %","destination_vault_id":"v"}}]}]}`, there},
		{
			"a copy that failed", id + `"resource_id":"r","resource_name":"web","replication_records":[{"id":"r","status":"FAIL","destination_backup_id":"d","extra_info":{"progress":40,"fail_code":"BackupService.6203","fail_reason":"busy"}}]}]}`,
			[]cbr.Backup{{ID: "b", Available: true, ResourceID: "r", ResourceName: "web", Records: []cbr.ReplicationRecord{
				{ID: "r", Status: cbr.Failed, DestinationBackupID: "d", Progress: 40, FailCode: "BackupService.6203", FailReason: "busy"},
			}}},
		},
		{"misspelt in extra_info alone", id + `"replication_records":[{"id":"r","extra_info":{"destinatio_vault_id":"v"}}]}]}`, there},
		{
			"nulls, and fields of tomorrow", `{"new":{"backups":[{"id":"no"}]},"backups":[{"id":"b","status":null,"provider_id":null,"vault_id":null,"children":[{"id":"c"}],
				"replication_records":[{"id":"r","status":null,"destination_region":null,"new":[1e999]}]}],"count":null,"limit":"many"}` + "\n",
			[]cbr.Backup{{ID: "b", Records: []cbr.ReplicationRecord{{ID: "r"}}}},
		},
		{"a backup of another vault", `{"backups":[{"id":"b","vault_id":"` + cbrtest.DestinationVault + `","replication_records":[]}]}`, nil},
		{"the vault in capitals", `{"backups":[{"id":"b","status":"available","vault_id":"` + strings.ToUpper(cbrtest.SourceVault) + `","replication_records":[]}]}`, none},
		{"one backup twice", `{"backups":[{"id":"b","status":"available","replication_records":[]},{"id":"b"}]}`, none},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got, _, err := list(t.Context(), lister(t, answer(tt.body)))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("backups (-want +got):\n%s", diff)
			}
		})
	}
}

// TestListBackupsUnreadable: an answer that cannot be read is not an empty list.
func TestListBackupsUnreadable(t *testing.T) {
	t.Parallel()
	const record = `{"backups":[{"id":"b","replication_records":[`
	for _, tt := range []struct{ name, body, want string }{
		{"nothing", ``, "unexpected EOF"},
		{"HTML", `<html>`, "jsontext: invalid character '<' at start of value"},
		{"no object", `[]`, "$: expected an object"},
		{"no list", `{"count":0}`, "it has none"},
		{"an error", `{"error_code":"BackupService.9910","error_msg":"?"}`, "it has none"},
		{"an object for the list", `{"backups":{}}`, "/backups: expected an array"},
		{"cut before the list", `{"backups"`, `jsontext: unexpected EOF within "/backups" after offset 10`},
		{"cut in the list", `{"backups":[{"id":"b"}`, `jsontext: unexpected EOF within "/backups" after offset 22`},
		{"cut after the list", `{"backups":[{"id":"b"}]`, "jsontext: unexpected EOF after offset 23"},
		{"cut in a backup", `{"backups":[{"id":"b"`, `jsontext: unexpected EOF within "/backups/0" after offset 21`},
		{"more after the object", `{"backups":[]} {}`, "expected nothing more"},
		{"no backup", `{"backups":[null]}`, "a backup has no id"},
		{"an id that cannot be shown", `{"backups":[{"id":"\u0000"}]}`, "a backup has no id"},
		{"an id that is too long", `{"backups":[{"id":"` + strings.Repeat("b", 129) + `"}]}`, "a backup has no id"},
		{"an object for the records", `{"backups":[{"id":"b","replication_records":{}}]}`, "/backups/0/replication_records: expected an array"},
		{"too many records", record + strings.Repeat("{},", 200_000) + `{}]}]}`, "there are more than 200000 replication records"},
		{"too long", `{"backups":[],"new":"` + strings.Repeat("x", 16<<20) + `"}`, "it is longer than 16777216 bytes"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, _, err := list(t.Context(), lister(t, answer(tt.body)))
			e := kind.As(err)
			if e.Of() != kind.Unavailable || e.Message != "the list of backups cannot be read: "+tt.want || e.HTTPStatus != 200 {
				t.Errorf("error = %v, want an Unavailable: %s", err, tt.want)
			}
		})
	}
}

func TestListBackupsPages(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name  string
		n     int
		limit int
		edit  func(answer map[string]any)
		asked []string
	}{
		{"none", 0, 0, nil, []string{"0"}},
		{"one", 1, 0, nil, []string{"0"}},
		{"less than a page", 999, 0, nil, []string{"0"}},
		{"a page", 1000, 0, nil, []string{"0", "990"}},
		{"more", 2500, 0, nil, []string{"0", "990", "1980"}},
		{"smaller pages than asked for", 250, 100, nil, []string{"0", "90", "180"}},
		{"smaller pages than asked for, unsaid", 250, 100, func(a map[string]any) { delete(a, "limit") }, []string{"0", "90", "180"}},
		{"tiny pages", 5, 2, nil, []string{"0", "1", "2", "3", "4"}},
		{"the count is the page's", 2500, 0, func(a map[string]any) { a["count"] = len(a["backups"].([]any)) }, []string{"0", "990", "1980"}},
		{"no count", 2500, 0, func(a map[string]any) { delete(a, "count") }, []string{"0", "990", "1980"}},
		{"the count is more than there is", 250, 0, func(a map[string]any) { a["count"] = 9000 }, []string{"0", "240"}},
		{"one, the count is more", 1, 0, func(a map[string]any) { a["count"] = 5 }, []string{"0", "1"}},
		{"few are shown of many", 12, 0, func(a map[string]any) {
			a["count"] = 30
			if a["offset"] != 0 {
				a["backups"] = []any{}
			}
		}, []string{"0", "6"}},
		{"the count is less than there is", 2500, 0, func(a map[string]any) { a["count"] = 3 }, []string{"0", "990", "1980"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			v := newVault(tt.n)
			v.limit, v.edit = tt.limit, tt.edit
			got, _, err := list(t.Context(), lister(t, v.ServeHTTP))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(newVault(tt.n).ids, ids(got)); diff != "" {
				t.Errorf("backups (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tt.asked, v.asked); diff != "" {
				t.Errorf("offsets (-want +got):\n%s", diff)
			}
		})
	}
}

func ids(backups []cbr.Backup) (out []string) {
	for _, b := range backups {
		out = append(out, b.ID)
	}
	return out
}

// TestListBackupsWhileTheListChanges: a backup that is there all the time is not missed,
// or the lookup fails.
func TestListBackupsWhileTheListChanges(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name   string
		change func(v *vault)
		torn   bool
	}{
		{"a new backup", func(v *vault) { v.ids = slices.Insert(v.ids, 0, fmt.Sprintf("new-%d", len(v.ids))) }, false},
		{"the oldest goes", func(v *vault) { v.ids = v.ids[:len(v.ids)-1] }, false},
		{"one of the first goes", func(v *vault) { v.ids = slices.Delete(v.ids, 3, 4) }, false},
		{"nine of the first go", func(v *vault) { v.ids = slices.Delete(v.ids, 3, 12) }, false},
		{"ten of the first go", func(v *vault) { v.ids = slices.Delete(v.ids, 3, 13) }, true},
		{"hundreds come and go", func(v *vault) {
			v.ids = slices.Concat(newVault(500).ids, v.ids[300:])
			for i := range 500 {
				v.ids[i] = fmt.Sprintf("new-%d-%d", len(v.asked), i)
			}
		}, false},
		{"all but a few go", func(v *vault) { v.ids = v.ids[:5] }, true},
		{"all go", func(v *vault) { v.ids = nil }, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			v := newVault(3000)
			v.change = tt.change
			got, _, err := list(t.Context(), lister(t, v.ServeHTTP))
			if tt.torn {
				if e := kind.As(err); e.Of() != kind.Unavailable || e.Message != "the list of backups changed while it was read" {
					t.Errorf("error = %v, want an Unavailable", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			found := map[string]int{}
			for _, id := range ids(got) {
				found[id]++
				if found[id] > 1 {
					t.Errorf("%s came twice", id)
				}
			}
			for _, id := range v.ids {
				if found[id] == 0 && !strings.HasPrefix(id, "new-") {
					t.Errorf("%s was missed", id)
				}
			}
		})
	}
}

// TestListBackupsEnds: a lookup ends, whatever the server answers.
func TestListBackupsEnds(t *testing.T) {
	t.Parallel()
	const twice = "CBR gave the same page of backups twice"
	for name, tt := range map[string]struct {
		answer func(offset int) string
		want   string
	}{
		"offset ignored":             {func(int) string { return `{"backups":[{"id":"a"},{"id":"b"}],"limit":2}` }, twice},
		"offset ignored, limit, too": {func(int) string { return `{"backups":[{"id":"a"},{"id":"b"}],"count":9}` }, twice},
		"no end": {
			func(offset int) string {
				return fmt.Sprintf(`{"backups":[{"id":"%d"},{"id":"%d"}],"limit":2}`, offset, offset+1)
			},
			"the list of backups did not end after 64 pages",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, _, err := list(t.Context(), lister(t, func(w http.ResponseWriter, r *http.Request) {
				offset, _ := strconv.Atoi(r.URL.Query().Get("offset"))
				io.WriteString(w, tt.answer(offset))
			}))
			if e := kind.As(err); e.Of() != kind.Unavailable || e.Message != tt.want {
				t.Errorf("error = %v, want an Unavailable: %s", err, tt.want)
			}
		})
	}
}

// TestListBackupsClocks: the clocks are the first Date, and our time of that moment.
func TestListBackupsClocks(t *testing.T) {
	t.Parallel()
	var asked []time.Time
	v := newVault(2500)
	_, at, err := list(t.Context(), lister(t, func(w http.ResponseWriter, r *http.Request) {
		asked = append(asked, time.Now())
		w.Header()["Date"] = nil
		if len(asked) > 1 {
			w.Header().Set("Date", time.Date(2026, 11, 23, 7, 0, len(asked), 0, time.UTC).Format(http.TimeFormat))
		}
		v.ServeHTTP(w, r)
	}))
	if err != nil {
		t.Fatal(err)
	}
	if want := time.Date(2026, 11, 23, 7, 0, 2, 0, time.UTC); !at.Theirs.Equal(want) || at.Ours.Before(asked[1]) || at.Ours.After(asked[2]) {
		t.Errorf("clocks = %+v, want %v between %v and %v", at, want, asked[1], asked[2])
	}
	for _, date := range []string{"", "soon"} {
		_, at, err := list(t.Context(), lister(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header()["Date"] = []string{date}
			io.WriteString(w, `{"backups":[]}`)
		}))
		if err != nil || !at.Theirs.IsZero() {
			t.Errorf("Date %q: clocks = %+v, error %v, want no time", date, at, err)
		}
	}
}

// TestListBackupsFaults: no answer to a lookup decides about a replication, and none is
// Unknown.
func TestListBackupsFaults(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name  string
		fault cbrtest.Fault
		want  kind.Kind
		cause error // nil: neither ErrListRefused nor ErrNoVault
	}{
		{"not allowed", cbrtest.Refusal(403, "BackupService.9997", "Policy doesn't allow cbr:backups:list"), kind.Misconfigured, cbr.ErrListRefused},
		{"not allowed, in IAM's words", cbrtest.Raw(403, `{"error":{"code":403,"message":"You are not authorized to perform the requested action.","title":"Forbidden"}}`), kind.Unauthorized, cbr.ErrListRefused},
		{"not allowed, by a code of IAM's", cbrtest.Refusal(403, "PAP5.0001", "access denied"), kind.Unauthorized, cbr.ErrListRefused},
		{"not allowed, by an older code of IAM's", cbrtest.Refusal(403, "IAM.0003", "You are not authorized."), kind.Unauthorized, cbr.ErrListRefused},
		{"not allowed, by an identity policy", cbrtest.Raw(403, `{"error_code":"XXX.0001","error_msg":"access denied","encoded_authorization_message":"Egpjbi1ub"}`), kind.Unauthorized, cbr.ErrListRefused},
		{"a black list", cbrtest.Refusal(403, "APIGW.0302", "not authorized"), kind.Unauthorized, nil},
		{"a black list, by the other prefix", cbrtest.Refusal(403, "APIG.0302", "not authorized"), kind.Unauthorized, nil},
		{"a project that is unavailable", cbrtest.Refusal(403, "APIGW.0310", "project unavailable"), kind.Unauthorized, nil},
		{"an address of the gateway's", cbrtest.Refusal(403, "APIGW.0404", "no"), kind.Misconfigured, nil},
		{"the gateway, with a message of IAM's", cbrtest.Raw(403, `{"error_code":"APIGW.0302","error_msg":"m","encoded_authorization_message":"x"}`), kind.Unauthorized, nil},
		{"a firewall's page", cbrtest.Raw(403, "<html><title>Forbidden</title></html>"), kind.Unauthorized, nil},
		{"a word", cbrtest.Raw(403, "policy"), kind.Unauthorized, nil},
		{"nothing", cbrtest.Raw(403, ""), kind.Unauthorized, nil},
		{"a JSON of somebody's", cbrtest.Raw(403, `{"message":"Forbidden"}`), kind.Unauthorized, nil},
		{"a code of somebody's", cbrtest.Raw(403, `{"code":403,"message":"Forbidden","title":"Forbidden"}`), kind.Unauthorized, nil},
		{"an error of somebody's", cbrtest.Raw(403, `{"error":{"code":403,"message":"blocked"}}`), kind.Unauthorized, nil},
		{"an empty message of IAM's", cbrtest.Raw(403, `{"error_code":"WAF.1","error_msg":"m","encoded_authorization_message":""}`), kind.Unauthorized, nil},
		{"a number", cbrtest.Raw(403, `{"error_code":1005,"error_msg":"m"}`), kind.Unauthorized, nil},
		{"IAM's words, cut short", cbrtest.Fault{Status: 403, Body: `{"error":{"code":403,"title":"Forbidden"}}` + strings.Repeat(" ", 100), Cut: true}, kind.Unauthorized, nil},
		{"credential refused", cbrtest.Refusal(401, "APIGW.0301", "decrypt token fail"), kind.Unauthorized, nil},
		{"credential refused as 403", cbrtest.Refusal(403, "APIGW.0307", "The token must be updated"), kind.Unauthorized, nil},
		{"no such vault", cbrtest.Refusal(404, "BackupService.6105", "The vault does not exist."), kind.Misconfigured, cbr.ErrNoVault},
		{"no such API", cbrtest.Refusal(404, "APIGW.0101", "The API does not exist"), kind.Misconfigured, nil},
		{"a parameter", cbrtest.Refusal(400, "BackupService.9900", "Parameter verification failed."), kind.Misconfigured, nil},
		{"nothing there", cbrtest.Refusal(400, "BackupService.0001", "No resource is available."), kind.Misconfigured, nil},
		{"there already", cbrtest.Refusal(400, "BackupService.1009", "It has been replicated."), kind.Misconfigured, nil},
		{"throttled", cbrtest.Refusal(429, "APIGW.0308", "slow down"), kind.Throttled, nil},
		{"unknown error", cbrtest.Refusal(500, "BackupService.9910", "Unknown error."), kind.Unavailable, nil},
		{"gateway", cbrtest.Raw(502, "<html>"), kind.Unavailable, nil},
		{"redirect", cbrtest.Redirect("/"), kind.Misconfigured, nil},
		{"cut short", cbrtest.Fault{Status: 200, Body: `{"backups":[],"count":0}`, Cut: true}, kind.Unavailable, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			server := newServer(t)
			server.Script(cbrtest.Lookups, tt.fault)
			k := keys{fresh: true}
			client := newClient(t, server.URL)
			client.Auth = &k
			_, _, err := list(t.Context(), client)
			e := kind.As(err)
			if e.Of() != tt.want || e.Message == "" || e.Renewed || e.HTTPStatus != tt.fault.Status {
				t.Errorf("error = %+v, want %s, status %d", e, tt.want, tt.fault.Status)
			}
			if !e.Kind.Policy().Redeliver {
				t.Errorf("error = %v would be acknowledged", err)
			}
			for _, cause := range []error{cbr.ErrListRefused, cbr.ErrNoVault} {
				if got, want := errors.Is(err, cause), errors.Is(tt.cause, cause); got != want {
					t.Errorf("error = %v, %q is in its chain: %t, want %t", err, cause, got, want)
				}
			}
		})
	}
}

// TestListBackupsWithoutAnswer: a lookup that was cut off had no effect.
func TestListBackupsWithoutAnswer(t *testing.T) {
	t.Parallel()
	_, _, err := list(t.Context(), lister(t, func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }))
	if e := kind.As(err); e.Of() != kind.Unavailable || !strings.HasPrefix(e.Message, "no answer to the lookup: ") || strings.Contains(e.Message, "taken") {
		t.Errorf("error = %v, want an Unavailable", err)
	}

	client := newClient(t, "http://127.0.0.1:1")
	_, _, err = list(t.Context(), client)
	if e := kind.As(err); e.Of() != kind.Unavailable || !strings.HasPrefix(e.Message, "no connection to CBR: ") {
		t.Errorf("error = %v, want an Unavailable", err)
	}

	none := &kind.Error{Kind: kind.Unauthorized, Message: "no credential", HTTPStatus: 403}
	client.Auth = &keys{err: none}
	if _, _, err = list(t.Context(), client); !errors.Is(err, none) || errors.Is(err, cbr.ErrListRefused) {
		t.Errorf("error = %v, want the source's own", err)
	}
}

// TestListBackupsShowsNoCredential: a server may echo the token.
func TestListBackupsShowsNoCredential(t *testing.T) {
	t.Parallel()
	echo := `{"backups":[{"id":"b-TOKEN","provider_id":"TOKEN\n","replication_records":[{"id":"TOKEN","source_region":"TOKEN","source_project_id":"TOKEN"}]}],"count":1}`
	got, _, err := list(t.Context(), lister(t, answer(strings.ReplaceAll(echo, "TOKEN", cbrtest.Token))))
	if s := fmt.Sprintf("%+v", got); err != nil || strings.Contains(s, cbrtest.Token) || strings.Contains(s, "\n") || !strings.Contains(s, "[redacted]") {
		t.Errorf("backups = %s, error %v", s, err)
	}
}

// TestListBackupsReusesConnections: pages are read to their end.
func TestListBackupsReusesConnections(t *testing.T) {
	t.Parallel()
	from := map[string]bool{}
	v := newVault(2500)
	_, _, err := list(t.Context(), lister(t, func(w http.ResponseWriter, r *http.Request) {
		from[r.RemoteAddr] = true
		v.ServeHTTP(w, r)
	}))
	if err != nil || len(from) != 1 {
		t.Errorf("%d connections for 3 pages, error %v", len(from), err)
	}
}

// TestListBackupsOfManyPagesIsBounded: a list that somebody made too long is not kept
// as a whole.
func TestListBackupsOfManyPagesIsBounded(t *testing.T) {
	t.Parallel()
	records := strings.TrimSuffix(strings.Repeat(`{"id":"r","status":"success"},`, 500), ",")
	pages := 0
	answer := func(w http.ResponseWriter, r *http.Request) {
		offset, _ := strconv.Atoi(r.URL.Query().Get("offset"))
		pages++
		io.WriteString(w, `{"backups":[`)
		for i := range 1000 {
			fmt.Fprintf(w, `{"id":"%d","replication_records":[%s]},`, offset+i, records)
		}
		fmt.Fprintf(w, `{"id":"%d"}]}`, offset+1000)
	}
	kept := 0
	_, err := lister(t, answer).ListBackups(t.Context(), source, cbrtest.SourceVault, func(b *cbr.Backup) { kept += len(b.Records) })
	if e := kind.As(err); e.Of() != kind.Unavailable || pages != 1 || kept > 200_000 {
		t.Errorf("%d pages, %d records, error %v; want an Unavailable", pages, kept, err)
	}
}

// FuzzListBackups: with any answer the lookup ends, each backup has an id of its own,
// and only JSON is read as a list.
func FuzzListBackups(f *testing.F) {
	for _, seed := range []string{
		`{"backups":[],"count":0,"offset":0,"limit":1000}`,
		`{"backups":null}`,
		`{"backups":[{"id":"b","replication_records":[]},{"id":"c","replication_records":null},{"id":"d"}],"count":3}`,
		`{"backups":[{"id":"b","status":"available","replication_record":[{"id":"r","status":"success","created_at":"2019-05-23 14:31:36.039365+00:00"}]}]}`,
		`{"backups":[{"id":"b","replication_records":[{"id":"r","created_at":"2019-05-23T14:31:36.039365","destinatio_vault_id":"v"}]}]}`,
		`{"backups":[{"id":"b","replication_records":[{"id":"r","created_at":"2019-05-23T14:31:36Z","extra_info":{"destinatio_vault_id":"v"}}]}]}`,
		`{"backups":[{"id":"b","replication_records":[{"id":"r","status":"waiting_replicate","created_at":null,"extra_info":{"destination_vault_id":"v"}}]}]}`,
		`{"backups":[{"id":"b","replication_records":[{"id":7,"created_at":1558621896,"extra_info":""},null,3]}]}`,
		`{"backups":[{"id":"b","replication_records":[{"id":"r","created_at":"2019-05-23T14:31:36+0000"}]}]}`,
		`{"backups":[{"id":"\u0000"}]}`,
		`{"count":9,"limit":1,"backups":[{"id":"a"}],"backups":[{"id":"a"},{"id":"b"}]}`,
		`{"error_code":"BackupService.9910","error_msg":"?"}`,
		`{"backups":[{"id":"b"`,
		`<html>`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		got, _, err := list(t.Context(), answering(t, 200, nil, body))
		if e := kind.As(err); err != nil && (!e.Kind.Policy().Redeliver || e.Message == "" || strings.ContainsFunc(e.Message, func(c rune) bool { return !unicode.IsPrint(c) })) {
			t.Errorf("error = %+v", e)
		}
		seen := map[string]bool{}
		for _, b := range got {
			if b.ID == "" || seen[b.ID] {
				t.Errorf("id %q is empty or was there before", b.ID)
			}
			seen[b.ID] = true
		}
		if err == nil && !json.Valid(body) {
			t.Error("no error for what is not JSON")
		}
	})
}

// BenchmarkListBackups reads a page of 1,000 backups in the form of a recorded one, with
// a replication record each, and the short page that ends the list.
func BenchmarkListBackups(b *testing.B) {
	const format = `{"children":[],"checkpoint_id":"9cbb020e-f89b-4579-8f86-84f3d4216970","created_at":"2025-03-25T06:32:07.951164","description":"","expired_at":null,` +
		`"extend_info":{"auto_trigger":false,"bootable":null,"os_images_data":null,"progress":null,"snapshot_id":null,"support_lld":true,"supported_restore_mode":"backup",` +
		`"system_disk":false,"app_consistency":{"app_consistency":"0","app_consistency_error_message":""},"contain_system_disk":true,"encrypted":false},` +
		`"id":"924c9b1f-9056-4a13-8ac2-%012d","image_type":"backup","name":"server-backup","parent_id":null,"provider_id":"0daac4c5-6707-4851-97ba-169e36266b66",` +
		`"resource_id":"bf624d88-d268-423c-8206-934120da9e43","status":"available","vault_id":"` + cbrtest.SourceVault + `","version":3,` +
		`"replication_records":[{"id":"0daac4c5-6707-4851-97ba-%012[1]d","status":"success","created_at":"2025-03-25T06:42:07.951164","source_region":"region1",` +
		`"destination_region":"region2","destination_project_id":"` + cbrtest.DestinationProject + `","extra_info":{"progress":100,"destination_vault_id":"` + cbrtest.DestinationVault + `"}}]}`
	backups := make([]string, 1000)
	for i := range backups {
		backups[i] = fmt.Sprintf(format, i)
	}
	pages := map[string]string{
		"0":   `{"backups":[` + strings.Join(backups, ",") + `]}`,
		"990": `{"backups":[` + strings.Join(backups[990:], ",") + `]}`,
	}
	client := newClient(b, "http://127.0.0.1:1")
	client.HTTP.Transport = transport(func(req *http.Request) (*http.Response, error) {
		page := pages[req.URL.Query().Get("offset")]
		return &http.Response{StatusCode: 200, Body: io.NopCloser(strings.NewReader(page)), Request: req}, nil
	})
	b.SetBytes(int64(len(pages["0"])))
	b.ReportAllocs()
	for b.Loop() {
		n := 0
		if _, err := client.ListBackups(b.Context(), source, cbrtest.SourceVault, func(*cbr.Backup) { n++ }); err != nil || n != 1000 {
			b.Fatal(n, err)
		}
	}
}

// TestListBackupsWithoutRecords: a cloud that shows no replication records is not
// mistaken for a vault without any.
func TestListBackupsWithoutRecords(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		answer http.HandlerFunc
		want   bool
	}{
		"no backup has the field":     {answer(`{"backups":[{"id":"a"},{"id":"b","status":"available"}]}`), true},
		"one has":                     {answer(`{"backups":[{"id":"a"},{"id":"b","replication_records":[]}]}`), false},
		"one has null":                {answer(`{"backups":[{"id":"a","replication_records":null}]}`), false},
		"another vault's has":         {answer(`{"backups":[{"id":"a","vault_id":"x","replication_records":[]}]}`), false},
		"there are no backups":        {answer(`{"backups":[],"count":0}`), false},
		"the parameter is refused":    {refusal(400, "BackupService.9900", "The parameter Show_Replication is invalid."), true},
		"another parameter is":        {refusal(400, "BackupService.9900", "Parameter verification failed."), false},
		"refused without CBR's code":  {refusal(400, "APIGW.0201", "show_replication"), false},
		"an error that speaks of it":  {refusal(500, "BackupService.9910", "show_replication"), false},
		"an empty page after the end": {newVault(1000).ServeHTTP, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, _, err := list(t.Context(), lister(t, tt.answer))
			if got := errors.Is(err, cbr.ErrNoRecords); got != tt.want {
				t.Errorf("error = %v, no records: %t, want %t", err, got, tt.want)
			}
			if e := kind.As(err); err != nil && !e.Kind.Policy().Redeliver {
				t.Errorf("error = %v would be acknowledged", err)
			}
		})
	}
}

func refusal(status int, code, message string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		fmt.Fprintf(w, `{"error_code":%q,"error_msg":%q}`, code, message)
	}
}

// TestListBackupsNewest: the newest times of a list. Times after the answer do not
// count.
func TestListBackupsNewest(t *testing.T) {
	t.Parallel()
	_, at, err := list(t.Context(), lister(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Date", "Mon, 23 Nov 2026 07:00:00 GMT")
		io.WriteString(w, `{"backups":[
			{"id":"a","created_at":"2026-11-23T05:00:00","updated_at":"2026-11-23T06:00:00","replication_records":[{"created_at":"2026-11-23T06:50:00Z"}]},
			{"id":"b","created_at":"2026-11-23T04:00:00","protected_at":"2026-11-23T07:02:01","replication_records":[{"created_at":"2026-11-23T06:20:00"},{"created_at":"?"}]}]}`)
	}))
	if err != nil {
		t.Fatal(err)
	}
	clock := func(hour, minute int) time.Time { return time.Date(2026, 11, 23, hour, minute, 0, 0, time.UTC) }
	if !at.Newest.Equal(clock(6, 50)) || !at.NewestZoneless.Equal(clock(6, 20)) {
		t.Errorf("newest %v, without a zone %v", at.Newest, at.NewestZoneless)
	}
}
