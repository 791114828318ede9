package sandbox

import (
	"context"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"go.uber.org/goleak"
)

// bootstrap builds the tests' function once.
var bootstrap = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "bootstrap-")
	if err != nil {
		return "", err
	}
	return Build(context.Background(), dir, "cbr-replicator/internal/sandbox/testdata/bootstrap")
})

func TestMain(m *testing.M) {
	// For TestEnvironment.
	if err := os.Setenv("ONLY_IN_THE_PARENT", "1"); err != nil {
		panic(err)
	}
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		for _, built := range []func() (string, error){bootstrap, custom} {
			if path, err := built(); err == nil {
				_ = os.RemoveAll(filepath.Dir(path))
			}
		}
		os.Exit(code)
	}))
}

// started starts a service that ends with the test.
func started[T interface{ Close() }](t *testing.T, start func() (T, error)) T {
	t.Helper()
	service, err := start()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(service.Close)
	return service
}

// clientConfig configures AWS's own clients to call a service once, without retries.
func clientConfig(t *testing.T, url, region string) aws.Config {
	t.Helper()
	return aws.Config{
		Region:       region,
		BaseEndpoint: &url,
		HTTPClient:   newHTTPClient(t),
		Retryer:      func() aws.Retryer { return aws.NopRetryer{} },
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: "AKIAIOSFODNN7EXAMPLE", SecretAccessKey: "example"}, nil
		}),
	}
}

// newHTTPClient returns a client whose connections end with the test.
func newHTTPClient(t *testing.T) *http.Client {
	t.Helper()
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

func TestBuildFails(t *testing.T) {
	t.Parallel()
	const pkg = "cbr-replicator/internal/sandbox/testdata/none"
	path, err := Build(t.Context(), t.TempDir(), pkg)
	if err == nil || !strings.Contains(err.Error(), "building "+pkg) {
		t.Errorf("Build = %q, %v", path, err)
	}
}

// TestServerClose: close ends the requests under way and waits for their handlers.
func TestServerClose(t *testing.T) {
	t.Parallel()
	began, ended := make(chan struct{}), false
	s, err := serve(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		close(began)
		<-r.Context().Done()
		time.Sleep(5 * time.Millisecond) // time for close to be too early
		ended = true
	}))
	if err != nil {
		t.Fatal(err)
	}
	conn, err := net.Dial("tcp", s.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, "GET / HTTP/1.1\r\nHost: sandbox\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	<-began
	s.close()
	if !ended {
		t.Error("close returned before the handler")
	}
}
