package cbrtest

import (
	"fmt"
	"net/http"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestListVault(t *testing.T) {
	t.Parallel()
	const disk, tagged, other = "22222222-2222-4333-8444-555555555555", "44444444-2222-4333-8444-555555555555", "66666666-2222-4333-8444-555555555555"
	s, _ := newExample(t)
	s.AddVault(Vault{ID: disk, ProjectID: SourceProject, ObjectType: "disk"})
	s.AddVault(Vault{ID: tagged, ProjectID: SourceProject, Tags: []Tag{{"dr", "gold"}, {"empty", ""}}})
	s.AddVault(Vault{ID: other, ProjectID: SourceProject, ProtectType: "replication", EnterpriseProjectID: other})
	s.AddVault(Vault{ID: "77777777-2222-4333-8444-555555555555", ProjectID: SourceProject})
	s.RemoveVault("77777777-2222-4333-8444-555555555555")
	s.RemoveVault("never added")
	for _, tt := range []struct {
		query         string
		want          []string
		count         int
		limit, offset int
	}{
		{"", []string{disk, SourceVault, tagged, other}, 4, 1000, 0},
		{"limit=2", []string{disk, SourceVault}, 4, 2, 0},
		{"limit=2&offset=3", []string{other}, 4, 2, 3},
		{"offset=4", []string{}, 4, 1000, 4},
		{"id=" + tagged, []string{tagged}, 1, 1000, 0},
		{"id=" + tagged + "&id=unknown&id=" + disk, []string{disk, tagged}, 2, 1000, 0},
		{"id=" + DestinationVault, []string{}, 0, 1000, 0},
		{"protect_type=replication", []string{other}, 1, 1000, 0},
		{"enterprise_project_id=0", []string{disk, SourceVault, tagged}, 3, 1000, 0},
		{"enterprise_project_id=" + other, []string{other}, 1, 1000, 0},
		{"enterprise_project_id=all_granted_eps", []string{disk, SourceVault, tagged, other}, 4, 1000, 0},
	} {
		t.Run(tt.query, func(t *testing.T) {
			t.Parallel()
			got := s.send(t, http.MethodGet, vaultsPath+"?"+tt.query, Token, "")
			ids := []string{}
			for _, v := range got.body["vaults"].([]any) {
				ids = append(ids, v.(map[string]any)["id"].(string))
			}
			if diff := cmp.Diff(tt.want, ids); diff != "" {
				t.Errorf("ids (-want +got):\n%s", diff)
			}
			paging := fmt.Sprint(got.body["count"], got.body["limit"], got.body["offset"])
			if want := fmt.Sprint(float64(tt.count), float64(tt.limit), float64(tt.offset)); paging != want {
				t.Errorf("count, limit, offset: %s, want %s", paging, want)
			}
		})
	}
	for query, want := range map[string]int{"limit=0": 400, "limit=1001": 400, "limit=x": 400, "offset=-1": 400, "name=x": 501, "tags=dr": 501} {
		if got := s.send(t, http.MethodGet, vaultsPath+"?"+query, Token, ""); got.status != want {
			t.Errorf("%s: %d %s, want %d", query, got.status, got.raw, want)
		}
	}
	listed := s.send(t, http.MethodGet, vaultsPath+"?id="+tagged, Token, "").body["vaults"].([]any)[0].(map[string]any)
	shown := s.send(t, http.MethodGet, vaultsPath+"/"+tagged, Token, "").body["vault"]
	if diff := cmp.Diff(listed, shown); diff != "" {
		t.Errorf("listed and shown differ:\n%s", diff)
	}
	tags := []any{map[string]any{"key": "dr", "value": "gold"}, map[string]any{"key": "empty", "value": ""}}
	if diff := cmp.Diff(tags, listed["tags"].([]any)); diff != "" {
		t.Errorf("tags (-want +got):\n%s", diff)
	}
	if calls := s.VaultCalls(); len(calls) == 0 || len(s.LookupCalls()) != 1 {
		t.Errorf("%d lists of vaults, %d lookups, want one: ShowVault", len(calls), len(s.LookupCalls()))
	}
}

func TestShowReplicationCapabilities(t *testing.T) {
	t.Parallel()
	s, _ := newExample(t)
	s.AddProject("00000000000000000000000000000001", DestinationRegion)
	s.AddProject("00000000000000000000000000000002", SourceRegion)
	s.AddProject("00000000000000000000000000000003", "region3")
	s.Script(Capabilities, Unavailable())
	path := "/v3/" + SourceProject + "/replication-capabilities"
	if got := s.send(t, http.MethodGet, path, Token, ""); got.status != http.StatusServiceUnavailable {
		t.Errorf("scripted: %d", got.status)
	}
	want := []any{map[string]any{"name": SourceRegion, "replication_destinations": []any{DestinationRegion, "region3"}}}
	if diff := cmp.Diff(want, s.send(t, http.MethodGet, path, Token, "").body["regions"]); diff != "" {
		t.Errorf("regions (-want +got):\n%s", diff)
	}
}
