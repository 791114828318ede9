package cbr_test

import (
	"net/http"
	"testing"
	"time"

	"go.uber.org/goleak"

	"cbr-replicator/internal/cbr"
	"cbr-replicator/internal/cbr/cbrtest"
	"cbr-replicator/internal/huawei"
	"cbr-replicator/internal/redact"
	"cbr-replicator/internal/token"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// newServer starts a CBR with the example's account.
func newServer(t *testing.T, options ...cbrtest.Option) *cbrtest.Server {
	t.Helper()
	s := cbrtest.NewServer(options...)
	t.Cleanup(s.Close)
	s.AddExample()
	return s
}

// newClient returns a client as the function makes it, for one address.
func newClient(t testing.TB, address string) *cbr.Client {
	t.Helper()
	endpoints, err := huawei.NewEndpoints("cbr", address, "", cbrtest.SourceRegion)
	if err != nil {
		t.Fatal(err)
	}
	client := huawei.NewHTTPClient(10)
	t.Cleanup(client.CloseIdleConnections)
	hidden := new(redact.Redactor)
	return cbr.NewClient(huawei.Service{
		HTTP:      client,
		Endpoints: endpoints,
		Auth:      token.New(token.Config{Fields: token.Fields{Token: cbrtest.Token}, ProjectID: cbrtest.SourceProject, Redact: hidden, Now: time.Now}),
		Redact:    hidden,
		UserAgent: "cbr-replicator/v0",
		Timeout:   30 * time.Second,
	})
}

var source = huawei.Scope{ProjectID: cbrtest.SourceProject, Region: cbrtest.SourceRegion}

// replicate is the example's request, with another source vault.
func replicate(vault string) cbr.Replicate {
	return cbr.Replicate{
		VaultID:              vault,
		DestinationVaultID:   cbrtest.DestinationVault,
		DestinationProjectID: cbrtest.DestinationProject,
		DestinationRegion:    cbrtest.DestinationRegion,
	}
}

// transport answers in place of a network.
type transport func(*http.Request) (*http.Response, error)

func (f transport) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }
