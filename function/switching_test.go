package main

import (
	"io"
	"strings"
	"testing"
	"time"

	"cbr-replicator/internal/cbr/cbrtest"
)

// switching starts a server that answers every request with 101, Switching
// Protocols, and nothing after that. It returns its URL.
func switching(t *testing.T) string {
	t.Helper()
	s := cbrtest.NewRawServer(func(w io.Writer) {
		_, _ = io.WriteString(w, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n")
	})
	t.Cleanup(s.Close)
	return s.URL
}

// TestAnswerUnder200: if a service answers with 101, the invocation ends in time, and
// its deliveries are handed back.
func TestAnswerUnder200(t *testing.T) {
	t.Parallel()
	url := switching(t)
	busy := cbrtest.Refusal(400, "BackupService.6130", "busy")
	for name, tt := range map[string]struct {
		env        map[string]string
		faults     []cbrtest.Fault
		kind, text string // of the error
	}{
		"CBR": {map[string]string{"HW_CBR_ENDPOINT": url}, nil, "Unknown", "CBR may have taken the request"},
		"IAM": {
			without(map[string]string{"HW_AUTH_URL": url, "HW_USER_NAME": "replicator", "HW_USER_PASSWORD": userPassword, "HW_DOMAIN_NAME": "example"}),
			nil, "Unavailable", "IAM is out of reach",
		},
		"SNS": {map[string]string{"AWS_ENDPOINT_URL_SNS": url}, nil, "PublishFailed", "the result topic did not take the result"},
		"SQS": {map[string]string{"AWS_ENDPOINT_URL_SQS": url}, []cbrtest.Fault{busy, busy}, "InProgress", "busy"},
		"Secrets Manager": {
			without(map[string]string{"HW_AUTH_TOKEN_SECRET": "huawei", "AWS_ENDPOINT_URL_SECRETS_MANAGER": url}),
			nil, "Unavailable", "cannot be read",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, "results", tt.env)
			r.cbr.Script(cbrtest.AnyVault, tt.faults...)
			response := r.invoke(sample(t, "sqs"), 20*time.Second)
			if response.Error != nil || failures(t, response) != 2 {
				t.Errorf("answer %s, error %v; want two handed back", response.Payload, response.Error)
			}
			for _, line := range r.lines("delivery") {
				if text, _ := line["error"].(string); line["kind"] != tt.kind || !strings.Contains(text, tt.text) {
					t.Errorf("%v %v, want %s with %q", line["kind"], text, tt.kind, tt.text)
				}
			}
		})
	}
}
