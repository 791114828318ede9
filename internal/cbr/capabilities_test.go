package cbr_test

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"cbr-replicator/internal/cbr"
	"cbr-replicator/internal/cbr/cbrtest"
	"cbr-replicator/internal/kind"
)

func TestReplicationDestinations(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name   string
		fault  cbrtest.Fault
		want   []string
		known  bool
		kind   kind.Kind
		denied bool
	}{
		{name: "CBR's answer", want: []string{cbrtest.DestinationRegion}, known: true},
		{name: "of another region", fault: cbrtest.Raw(200, `{"regions":[{"name":"southchina","replication_destinations":["cn-hk1"]}]}`)},
		{name: "odd members", fault: cbrtest.Raw(200, `{"regions":[null,7,{"name":"region1","replication_destinations":["a",null],"more":{}}],"more":[]}`), want: []string{"a", ""}, known: true},
		{name: "no list", fault: cbrtest.Raw(200, `{"regions":null}`)},
		{name: "no JSON", fault: cbrtest.Raw(200, `<html>`), kind: kind.Unavailable},
		{name: "not allowed", fault: cbrtest.Raw(403, `{"error":{"code":403,"message":"no","title":"Forbidden"}}`), kind: kind.Unauthorized, denied: true},
		{name: "not there", fault: cbrtest.Refusal(404, "APIGW.0101", "The API does not exist"), kind: kind.Misconfigured},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := newServer(t)
			s.Script(cbrtest.Capabilities, tt.fault)
			got, known, err := newClient(t, s.URL).ReplicationDestinations(t.Context(), source)
			if diff := cmp.Diff(tt.want, got); diff != "" || known != tt.known {
				t.Errorf("known %v, regions (-want +got):\n%s", known, diff)
			}
			if e := kind.As(err); e.Of() != tt.kind || errors.Is(err, cbr.ErrListRefused) != tt.denied {
				t.Errorf("error %v, want %q, denied %v", err, tt.kind, tt.denied)
			}
		})
	}
}

func TestListVaultsSaysWhatTheyAre(t *testing.T) {
	t.Parallel()
	const odd = "77777777-2222-4333-8444-555555555555"
	s := newServer(t)
	s.AddVault(cbrtest.Vault{ID: odd, ProjectID: cbrtest.SourceProject, ProtectType: "hybrid", ObjectType: "disk", Status: "lock", Size: 7, Used: 9})
	got := map[string]cbr.Vault{}
	if err := newClient(t, s.URL).ListVaults(t.Context(), source, nil, func(v *cbr.Vault) { got[v.ID] = *v }); err != nil {
		t.Fatal(err)
	}
	want := map[string]cbr.Vault{
		odd: {ID: odd, Name: "vault-" + odd, ProtectType: "hybrid", ObjectType: "disk", Status: "lock", Size: 7, Used: 9},
		cbrtest.SourceVault: {
			ID: cbrtest.SourceVault, Name: "vault-" + cbrtest.SourceVault, Backup: true,
			ProtectType: "backup", ObjectType: "server", Status: "available", Size: 1000,
		},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("vaults (-want +got):\n%s", diff)
	}
}
