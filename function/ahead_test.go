package main

import (
	"encoding/pem"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/google/go-cmp/cmp"

	"cbr-replicator/internal/cbr/cbrtest"
)

// TestAhead: the connections ahead of the first call are to what the configuration
// names.
func TestAhead(t *testing.T) {
	const topic, service = "https://sns.eu-central-1.amazonaws.com", "https://cbr.region1.myhuaweicloud.com"
	for name, tt := range map[string]struct {
		set  map[string]string
		want []string
	}{
		"a token":            {map[string]string{"BATCH_CONCURRENCY": "2"}, []string{topic, service, service}},
		"one at a time":      {map[string]string{"BATCH_CONCURRENCY": "1"}, []string{topic, service}},
		"a thousand at once": {map[string]string{"BATCH_CONCURRENCY": "1000"}, []string{topic, service, service, service, service, service, service, service, service, service, service}},
		"a user": {
			map[string]string{"BATCH_CONCURRENCY": "1", "HW_AUTH_TOKEN": "", "HW_USER_NAME": "u", "HW_USER_PASSWORD": "p", "HW_DOMAIN_NAME": "d"},
			[]string{topic, "https://iam.region1.myhuaweicloud.com", service},
		},
		"a secret": {
			map[string]string{"BATCH_CONCURRENCY": "1", "HW_AUTH_TOKEN": "", "HW_AUTH_TOKEN_SECRET": "huawei", "AWS_REGION": "cn-north-1"},
			[]string{topic, "https://secretsmanager.cn-north-1.amazonaws.com.cn", service},
		},
		"an event bus of another region": {
			map[string]string{"BATCH_CONCURRENCY": "1", "AWS_REGION": "eu-central-1", "RESULT_TOPIC_ARN": "arn:aws:events:us-east-1:123456789012:event-bus/results"},
			[]string{"https://events.us-east-1.amazonaws.com", service},
		},
		"an event bus at an endpoint": {
			map[string]string{
				"BATCH_CONCURRENCY": "1", "RESULT_TOPIC_ARN": "arn:aws:events:us-east-1:123456789012:event-bus/results",
				"AWS_ENDPOINT_URL": "https://aws.example.com", "AWS_ENDPOINT_URL_SNS": "https://sns.example.com", "AWS_ENDPOINT_URL_EVENTBRIDGE": "https://events.example.com",
			},
			[]string{"https://events.example.com", service},
		},
		"an event bus at the endpoint of all services": {
			map[string]string{"BATCH_CONCURRENCY": "1", "RESULT_TOPIC_ARN": "arn:aws:events:us-east-1:123456789012:event-bus/results", "AWS_ENDPOINT_URL": "https://aws.example.com"},
			[]string{"https://aws.example.com", service},
		},
		"each request names its region": {map[string]string{"HW_REGION_NAME": ""}, []string{topic}},
		"other endpoints": {
			map[string]string{
				"BATCH_CONCURRENCY": "1", "HW_CBR_ENDPOINT": "https://cbr.example.com/api/", "AWS_ENDPOINT_URL": "https://aws.example.com",
				"AWS_ENDPOINT_URL_SECRETS_MANAGER": "https://secrets.example.com", "HW_AUTH_TOKEN": "", "HW_AUTH_TOKEN_SECRET": "huawei", "AWS_REGION": "eu-central-1",
			},
			[]string{"https://aws.example.com", "https://secrets.example.com", "https://cbr.example.com/api"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			setenv(t, tt.set)
			if diff := cmp.Diff(tt.want, mustLoad(t).ahead()); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// TestAheadOfTheSDK: the topic's host is the one that AWS's SDK calls.
func TestAheadOfTheSDK(t *testing.T) {
	for _, region := range []string{"eu-central-1", "us-east-1", "cn-north-1", "us-gov-west-1", "eusc-de-east-1", "us-iso-east-1", "us-isob-east-1"} {
		setenv(t, map[string]string{"RESULT_TOPIC_ARN": "arn:aws:sns:" + region + ":123456789012:results"})
		endpoint, err := sns.NewDefaultEndpointResolverV2().ResolveEndpoint(t.Context(), sns.EndpointParameters{Region: aws.String(region)}.WithDefaults())
		if err != nil {
			t.Fatal(err)
		}
		if got := mustLoad(t).ahead()[0]; got != endpoint.URI.String() {
			t.Errorf("%s, want %s", got, &endpoint.URI)
		}
	}
}

// overTLS serves h over TLS and counts the connections.
func overTLS(t *testing.T, connections *atomic.Int32, h http.HandlerFunc) *httptest.Server {
	t.Helper()
	server := httptest.NewUnstartedServer(h)
	server.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			connections.Add(1)
		}
	}
	server.StartTLS()
	t.Cleanup(server.Close)
	return server
}

// TestConnectsAhead: all connections are open before the first call.
func TestConnectsAhead(t *testing.T) {
	t.Parallel()
	var toCBR, toTopic atomic.Int32
	var plainTopic atomic.Pointer[httputil.ReverseProxy]
	topic := overTLS(t, &toTopic, func(w http.ResponseWriter, r *http.Request) { plainTopic.Load().ServeHTTP(w, r) })
	service := cbrtest.New()
	service.AddExample()
	server := overTLS(t, &toCBR, func(w http.ResponseWriter, r *http.Request) {
		if c, p := toCBR.Load(), toTopic.Load(); c < 3 || p < 1 {
			t.Errorf("%d connections to CBR and %d to the topic, want 3 and 1", c, p)
		}
		service.ServeHTTP(w, r)
	})
	authority := filepath.Join(t.TempDir(), "authority.pem")
	if err := os.WriteFile(authority, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	r := newRig(t, "results", map[string]string{
		"HW_CBR_ENDPOINT":      server.URL,
		"AWS_ENDPOINT_URL_SNS": topic.URL,
		"BATCH_CONCURRENCY":    "3",
		"SSL_CERT_FILE":        authority,
	})
	u, err := url.Parse(r.topic.URL())
	if err != nil {
		t.Fatal(err)
	}
	plainTopic.Store(httputil.NewSingleHostReverseProxy(u))
	if response := r.invoke(sample(t, "direct"), time.Minute); response.Error != nil {
		t.Errorf("answer: %v", response.Error)
	}
	if len(service.Calls()) != 1 || len(r.topic.Messages()) != 1 {
		t.Errorf("calls = %v, results = %v", service.Calls(), r.statuses())
	}
	if lines := r.lines("not connected ahead of the first call"); len(lines) > 0 {
		t.Errorf("log: %v", lines)
	}
}

// TestConnectsAheadInVain: if the function cannot connect ahead, that is logged once,
// and deliveries end as they would without it.
func TestConnectsAheadInVain(t *testing.T) {
	t.Parallel()
	nobody, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nobody.Close()
	r := newRig(t, "results", map[string]string{"HW_CBR_ENDPOINT": "https://" + nobody.Addr().String(), "RETRY_MAX_ATTEMPTS": "1"})
	if response := r.invoke(sample(t, "direct"), time.Minute); response.Error == nil || response.Error.Type != "CBR.Unavailable" {
		t.Errorf("answer: %s, %v", response.Payload, response.Error)
	}
	lines := r.lines("not connected ahead of the first call")
	if len(lines) != 1 || lines[0]["level"] != "DEBUG" || !strings.Contains(lines[0]["error"].(string), "refused") {
		t.Errorf("log: %v", lines)
	}
}
