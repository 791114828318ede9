package demo

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"cbr-replicator/internal/cbr/cbrtest"
)

func TestLivePayload(t *testing.T) {
	t.Parallel()
	const plan, request, queued = `{"select":{},"replicate":{}}`, `{"replicate":{}}`, `{"Records":[{"body":"{\"select\":{}}"}]}`
	for _, tt := range []struct {
		name, payload, dryRun, want string
		carryOut, fails             bool
	}{
		{name: "a plan", payload: plan, want: `{"dry_run":true,"replicate":{},"select":{}}`},
		{name: "a plan that says otherwise", payload: `{"select":{},"dry_run":false}`, want: `{"dry_run":true,"select":{}}`},
		{name: "a plan to be shown", payload: plan, dryRun: "1", want: `{"dry_run":true,"replicate":{},"select":{}}`},
		{name: "a plan to be carried out", payload: plan, dryRun: "0", want: `{"dry_run":false,"replicate":{},"select":{}}`, carryOut: true},
		{name: "a request", payload: request, want: request},
		{name: "a plan in an envelope, for which there is no queue", payload: queued, want: queued},
		{name: "no JSON", payload: `select`, want: `select`},
		{name: "a request that may not be carried out", payload: request, dryRun: "1", fails: true},
		{name: "a request with a word for plans", payload: request, dryRun: "0", fails: true},
		{name: "an unknown word", payload: plan, dryRun: "no", fails: true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got, carryOut, err := livePayload([]byte(tt.payload), tt.dryRun)
			if diff := cmp.Diff(tt.want, string(got)); diff != "" || carryOut != tt.carryOut || err != nil != tt.fails {
				t.Errorf("carried out: %v, error %v, payload (-want +got):\n%s", carryOut, err, diff)
			}
		})
	}
}

// TestLivePlan: the built function shows a plan against another CBR than the sandbox's, and carries it out only if it is told so.
func TestLivePlan(t *testing.T) {
	const plan = `{"select":{"tags":[{"key":"dr","values":[]}]},"dry_run":false}`
	for _, tt := range []struct {
		name, payload, dryRun string
		want                  string // in the output
		copies                int
		fails                 bool
	}{
		{name: "shown", payload: plan, want: `"dry_run": true`},
		{name: "carried out", payload: plan, dryRun: "0", want: "The plan's requests", copies: 2},
		{name: "in an envelope", payload: `{"Records":[{"messageId":"059f36b4-87a3-44ab-83d2-661975830a7d","receiptHandle":"r","body":"{\"select\":{},\"replicate\":{}}","attributes":{"ApproximateReceiveCount":"1"},"messageAttributes":{},"eventSource":"aws:sqs","eventSourceARN":"arn:aws:sqs:eu-central-1:123456789012:requests","awsRegion":"eu-central-1"}]}`, want: "REQUEST_QUEUE_ARN", fails: true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := cbrtest.NewServer()
			defer s.Close()
			s.AddExample()
			for _, id := range s.AddVaults(cbrtest.SourceProject, 2, 1) {
				s.AddVault(cbrtest.Vault{ID: id, ProjectID: cbrtest.SourceProject, Tags: []cbrtest.Tag{{Key: "dr"}}})
			}
			for _, env := range []map[string]string{cbrtest.Env(s.URL), cbrtest.DestinationEnv()} {
				for name, value := range env {
					t.Setenv(name, value)
				}
			}
			t.Setenv("REQUEST_QUEUE_ARN", "arn:aws:sqs:eu-central-1:123456789012:the-users-own")
			file := filepath.Join(t.TempDir(), "plan.json")
			if err := os.WriteFile(file, []byte(tt.payload), 0o600); err != nil {
				t.Fatal(err)
			}
			var out strings.Builder
			err := run(t.Context(), &out, file, true, tt.dryRun)
			text := out.String()
			if err != nil {
				text += err.Error()
			}
			if err != nil != tt.fails || !strings.Contains(text, tt.want) {
				t.Errorf("error %v, output without %q:\n%s", err, tt.want, text)
			}
			if n := len(s.Calls()); n != tt.copies {
				t.Errorf("%d calls for copies, want %d:\n%s", n, tt.copies, text)
			}
		})
	}
}
