package token_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"cbr-replicator/internal/cbr"
	"cbr-replicator/internal/cbr/cbrtest"
	"cbr-replicator/internal/huawei"
	"cbr-replicator/internal/kind"
	"cbr-replicator/internal/token"
)

// agencyKey is what an event brings of an agency.
var agencyKey = token.AgencyCredential{AccessKey: tempKey.AccessKey, SecretKey: tempKey.SecretKey, SecurityToken: tempKey.SecurityToken}

// agencyClient is CBR's, with what events bring.
func (r *rig) agencyClient(project string) *cbr.Client {
	r.t.Helper()
	c := r.client(user)
	c.Auth = token.NewAgency(project)
	return c
}

func TestAgency(t *testing.T) {
	t.Parallel()
	both := agencyKey
	both.Token = cbrtest.Token
	half := token.AgencyCredential{AccessKey: tempKey.AccessKey, Token: cbrtest.Token}
	for name, tt := range map[string]struct {
		credential token.AgencyCredential
		project    string
		want       kind.Kind
		signed     bool
		text       string
	}{
		"a key":                    {credential: agencyKey, project: cbrtest.SourceProject, signed: true},
		"a key, another project":   {credential: agencyKey, project: otherProject, signed: true},
		"a key and a token":        {credential: both, project: cbrtest.SourceProject, signed: true},
		"a token":                  {credential: token.AgencyCredential{Token: cbrtest.Token}, project: cbrtest.SourceProject},
		"half of a key, a token":   {credential: half, project: cbrtest.SourceProject},
		"a token, another project": {credential: half, project: otherProject, want: kind.NotAllowed, text: "agency"},
		"none":                     {project: cbrtest.SourceProject, want: kind.Unauthorized, text: "app_agency"},
		"a wrong key": {
			credential: token.AgencyCredential{AccessKey: tempKey.AccessKey, SecretKey: "SKTEMP-another", SecurityToken: tempKey.SecurityToken},
			project:    cbrtest.SourceProject, want: kind.Unauthorized, signed: true, text: "the next event brings another",
		},
		"a dead token": {credential: token.AgencyCredential{Token: "MII-of-yesterday"}, project: cbrtest.SourceProject, want: kind.Unauthorized, text: "the next event brings another"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			ctx := token.WithAgency(t.Context(), tt.credential, r.clock)
			err := deliver(ctx, r.agencyClient(cbrtest.SourceProject), tt.project, r.vaults(tt.project, 1)[0])
			if err.Of() != tt.want || err != nil && !strings.Contains(err.Message, tt.text) {
				t.Errorf("error %v, want %s that says %q", err, tt.want, tt.text)
			}
			for _, call := range r.cbr.Calls() {
				if signed := strings.HasPrefix(call.Header.Get("Authorization"), "SDK-HMAC-SHA256 Access="+tempKey.AccessKey); signed != tt.signed {
					t.Errorf("signed: %t, want %t", signed, tt.signed)
				}
				if given := call.Header.Get("X-Auth-Token"); (given == "") != tt.signed {
					t.Errorf("X-Auth-Token: %q", given)
				}
			}
		})
	}
}

// TestAgencyOfEachEvent: the second event's credential is used for the second,
// whatever became of the first's, and what has none gets none.
func TestAgencyOfEachEvent(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.cbr.AddKey(cbrtest.Key{Access: "AKSECOND", Secret: "SKSECOND-secret", SecurityToken: "STSECOND"})
	client := r.agencyClient(cbrtest.SourceProject)
	vaults := r.vaults(cbrtest.SourceProject, 4)
	wrong := token.AgencyCredential{AccessKey: tempKey.AccessKey, SecretKey: "SKTEMP-another", SecurityToken: tempKey.SecurityToken}
	second := token.AgencyCredential{AccessKey: "AKSECOND", SecretKey: "SKSECOND-secret", SecurityToken: "STSECOND"}
	for i, tt := range []struct {
		ctx    context.Context
		access string
		want   kind.Kind
	}{
		{token.WithAgency(t.Context(), wrong, r.clock), tempKey.AccessKey, kind.Unauthorized},
		{token.WithAgency(t.Context(), second, r.clock), "AKSECOND", kind.None},
		{token.WithAgency(t.Context(), agencyKey, r.clock), tempKey.AccessKey, kind.None},
		{t.Context(), "", kind.Unauthorized},
	} {
		before := len(r.cbr.Calls())
		if err := deliver(tt.ctx, client, cbrtest.SourceProject, vaults[i]); err.Of() != tt.want {
			t.Errorf("event %d: %v, want %s", i, err, tt.want)
		}
		for _, call := range r.cbr.Calls()[before:] {
			if got := call.Header.Get("Authorization"); !strings.Contains(got, "Access="+tt.access+",") {
				t.Errorf("event %d is authorized by %s", i, got)
			}
		}
	}
}

// TestAgencyRefusedOnce: a batch of one event does not lock its key.
func TestAgencyRefusedOnce(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	wrong := token.AgencyCredential{AccessKey: tempKey.AccessKey, SecretKey: "SKTEMP-another", SecurityToken: tempKey.SecurityToken}
	ctx := token.WithAgency(t.Context(), wrong, r.clock)
	failed := deliverAll(ctx, r.agencyClient(""), cbrtest.SourceProject, r.vaults(cbrtest.SourceProject, 20))
	if n := r.cbr.BadSignatures(tempKey.AccessKey); n != 1 || len(failed) != 20 {
		t.Errorf("%d bad signatures of %d failures, want 1 of 20", n, len(failed))
	}
	for _, err := range failed {
		if strings.Contains(err.Message, "not used before") {
			t.Errorf("an event does not last so long: %v", err)
		}
	}
}

// TestAgencyIsShownNowhere: neither by what holds it nor by a context.
func TestAgencyIsShownNowhere(t *testing.T) {
	t.Parallel()
	c := agencyKey
	c.Token = cbrtest.Token
	ctx := token.WithAgency(t.Context(), c, nil)
	shown := fmt.Sprintf("%v %+v %#v %v %+v %#v %v", c, c, []any{c}, ctx, ctx, ctx, token.NewAgency("p"))
	for _, secret := range []string{c.AccessKey, c.SecretKey, c.SecurityToken, c.Token} {
		if strings.Contains(shown, secret) {
			t.Errorf("%s is in %s", secret, shown)
		}
	}
}

// TestAgencyOutOfTime: of two deliveries one waits to see if the key is good.
func TestAgencyOutOfTime(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	a := token.NewAgency("")
	ctx = token.WithAgency(ctx, agencyKey, (&rig{}).clock)
	authorize := func() error {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://cbr.example.com/", nil)
		if err != nil {
			t.Fatal(err)
		}
		_, err = a.Authorize(req, huawei.Scope{})
		return err
	}
	if err := authorize(); err != nil {
		t.Fatal(err)
	}
	cancel()
	if err := kind.As(authorize()); err.Of() != kind.OutOfTime {
		t.Errorf("error %v, want %s", err, kind.OutOfTime)
	}
}
