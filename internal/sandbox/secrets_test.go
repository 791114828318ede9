package sandbox

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager/types"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"
	"github.com/google/go-cmp/cmp"
)

func newSecrets(t *testing.T) *Secrets {
	t.Helper()
	return started(t, NewSecrets)
}

func newSecretsClient(t *testing.T, s *Secrets, region string) *secretsmanager.Client {
	t.Helper()
	return secretsmanager.NewFromConfig(clientConfig(t, s.URL(), region))
}

func getSecret(t *testing.T, s *Secrets, id string) (*secretsmanager.GetSecretValueOutput, error) {
	t.Helper()
	return newSecretsClient(t, s, Region).GetSecretValue(t.Context(), &secretsmanager.GetSecretValueInput{SecretId: aws.String(id)})
}

// TestSecretIDs: a secret is found by each of its ids, and by nothing else.
func TestSecretIDs(t *testing.T) {
	t.Parallel()
	s := newSecrets(t)
	before := time.Now().Truncate(time.Millisecond)
	arn := s.Put("cbr/token", "value")
	s.Put("cbr", "another")
	partial := arn[:len(arn)-len("-abcdef")]
	if want := "arn:aws:secretsmanager:eu-central-1:123456789012:secret:cbr/token"; partial != want {
		t.Errorf("ARN %s, want %s and six characters", arn, want)
	}
	for _, id := range []string{"cbr/token", arn, partial} {
		out, err := getSecret(t, s, id)
		if err != nil {
			t.Errorf("%s: %v", id, err)
			continue
		}
		got := []string{aws.ToString(out.ARN), aws.ToString(out.Name), aws.ToString(out.SecretString), strings.Join(out.VersionStages, " ")}
		if diff := cmp.Diff([]string{arn, "cbr/token", "value", "AWSCURRENT"}, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", id, diff)
		}
		if created := aws.ToTime(out.CreatedDate); created.Before(before) || created.After(time.Now()) {
			t.Errorf("%s: created at %v", id, created)
		}
	}
	for _, id := range []string{"token", "cbr/token-abcdef", arn + "x", partial + "-", strings.Replace(arn, Region, "eu-west-1", 1)} {
		_, err := getSecret(t, s, id)
		wantAPIError(t, err, 400, "ResourceNotFoundException", smithy.FaultClient)
		if !as[*types.ResourceNotFoundException](err) {
			t.Errorf("%s: another type of error: %v", id, err)
		}
	}
	_, err := getSecret(t, s, "cbr/{project_id}")
	wantAPIError(t, err, 400, "ValidationException", smithy.FaultUnknown)
}

// TestAmbiguousARN: a complete ARN wins over the partial ARN of another secret.
func TestAmbiguousARN(t *testing.T) {
	t.Parallel()
	s := newSecrets(t)
	arn := s.Put("a", "of the complete ARN")
	_, name, _ := strings.Cut(arn, ":secret:")
	s.Put(name, "of the partial ARN")
	for range 20 { // whatever the order of the search
		out, err := getSecret(t, s, arn)
		if err != nil || aws.ToString(out.SecretString) != "of the complete ARN" {
			t.Fatalf("%v, %v", out, err)
		}
	}
}

func TestSecretVersions(t *testing.T) {
	t.Parallel()
	s := newSecrets(t)
	client := newSecretsClient(t, s, Region)
	get := func(version, stage string) (*secretsmanager.GetSecretValueOutput, error) {
		in := &secretsmanager.GetSecretValueInput{SecretId: aws.String("token")}
		if version != "" {
			in.VersionId = aws.String(version)
		}
		if stage != "" {
			in.VersionStage = aws.String(stage)
		}
		return client.GetSecretValue(t.Context(), in)
	}
	arn := s.Put("token", "first")
	first, err := get("", "AWSCURRENT")
	if err != nil {
		t.Fatal(err)
	}
	if second := s.Put("token", "second"); second != arn {
		t.Errorf("ARN %s after the second version, %s before", second, arn)
	}
	second, err := get("", "")
	if err != nil {
		t.Fatal(err)
	}
	if *second.SecretString != "second" || *second.VersionId == *first.VersionId {
		t.Errorf("version %s has %q, the one before was %s", *second.VersionId, *second.SecretString, *first.VersionId)
	}
	if _, err := get(*second.VersionId, ""); err != nil {
		t.Errorf("the current version by its id: %v", err)
	}
	if _, err := get(*first.VersionId, ""); !as[*types.ResourceNotFoundException](err) {
		t.Errorf("a version that is gone: %v", err)
	}
	if _, err := get("", "AWSPREVIOUS"); !as[*types.ResourceNotFoundException](err) {
		t.Errorf("another stage: %v", err)
	}
	s.Remove("token")
	s.Remove("token")
	if _, err := get("", ""); !as[*types.ResourceNotFoundException](err) {
		t.Errorf("removed: %v", err)
	}
	if s.Put("token", "third") == arn {
		t.Errorf("the ARN of the secret that was removed")
	}
}

func TestSecretLimits(t *testing.T) {
	t.Parallel()
	s := newSecrets(t)
	long := strings.Repeat("x", maxSecret)
	s.Put("long", long)
	// Not with AWS's client. Now and then an answer comes before that has seen the end of its own request. It then closes the
	// connection and loses what it has not read.
	if _, body := plainCall(t, s, scope+"secretsmanager/aws4_request, SignedHeaders=host, Signature=0", "long"); !strings.Contains(body, `"`+long+`"`) {
		t.Errorf("64 KB: answer of %d bytes", len(body))
	}
	for _, put := range [][2]string{{"long", long + "x"}, {"empty", ""}, {"", "x"}, {"a name", "x"}} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("took %d bytes for %q", len(put[1]), put[0])
				}
			}()
			s.Put(put[0], put[1])
		}()
	}
}

func TestSecretsFaults(t *testing.T) {
	t.Parallel()
	s := newSecrets(t)
	s.Put("token", "value")
	const delay = 20 * time.Millisecond
	s.Script(
		SecretsFault{Status: 400, Code: "AccessDeniedException"},
		SecretsFault{Status: 400, Code: "DecryptionFailure"},
		SecretsFault{Status: 400, Code: "ThrottlingException"},
		SecretsFault{Status: 500, Code: "InternalServiceError"},
		SecretsFault{Reset: true},
		SecretsFault{},
		SecretsFault{Delay: delay},
	)
	for _, want := range []struct {
		status int
		code   string
		fault  smithy.ErrorFault
	}{
		{400, "AccessDeniedException", smithy.FaultUnknown},
		{400, "DecryptionFailure", smithy.FaultClient},
		{400, "ThrottlingException", smithy.FaultUnknown},
		{500, "InternalServiceError", smithy.FaultServer},
	} {
		_, err := getSecret(t, s, "token")
		wantAPIError(t, err, want.status, want.code, want.fault)
	}
	if _, err := getSecret(t, s, "token"); !as[*smithyhttp.RequestSendError](err) {
		t.Errorf("reset: %v", err)
	}
	if _, err := getSecret(t, s, "token"); err != nil {
		t.Errorf("no fault: %v", err)
	}
	before := time.Now()
	if _, err := getSecret(t, s, "token"); err != nil || time.Since(before) < delay {
		t.Errorf("delay: %v after %v", err, time.Since(before))
	}
	if s.Calls() != 7 {
		t.Errorf("%d calls", s.Calls())
	}
}

// scope is the beginning of a signature.
const scope = "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20261123/eu-central-1/"

// plainCall asks for a secret without AWS's client.
func plainCall(t *testing.T, s *Secrets, authorization, id string) (header http.Header, body string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.URL(), strings.NewReader(`{"SecretId":"`+id+`"}`))
	if err != nil {
		t.Fatal(err)
	}
	req.Header = http.Header{
		"Authorization": {authorization}, "Content-Type": {"application/x-amz-json-1.1"},
		"X-Amz-Target": {"secretsmanager.GetSecretValue"},
	}
	resp, err := newHTTPClient(t).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(resp.Body)
	if err = errors.Join(err, resp.Body.Close()); err != nil {
		t.Fatal(err)
	}
	return resp.Header, string(text)
}

// TestSignature: a call that is not signed, or is signed for another service or region, is refused.
func TestSignature(t *testing.T) {
	t.Parallel()
	s := newSecrets(t)
	s.Put("token", "value")
	_, err := newSecretsClient(t, s, "eu-west-1").GetSecretValue(t.Context(), &secretsmanager.GetSecretValueInput{SecretId: aws.String("token")})
	wantAPIError(t, err, 400, "InvalidSignatureException", smithy.FaultUnknown)

	tests := []struct{ name, authorization, code string }{
		{"none", "", "MissingAuthenticationTokenException"},
		{"another scheme", "Bearer token", "InvalidSignatureException"},
		{"another service", scope + "sns/aws4_request, SignedHeaders=host, Signature=0", "InvalidSignatureException"},
		{"no signature", scope + "secretsmanager/aws4_request", "InvalidSignatureException"},
		{"signed", scope + "secretsmanager/aws4_request, SignedHeaders=host, Signature=0", ""},
	}
	for _, tt := range tests {
		header, body := plainCall(t, s, tt.authorization, "token")
		if got := strings.Contains(body, `"value"`); got != (tt.code == "") || !strings.Contains(body, tt.code) {
			t.Errorf("%s: answer %s", tt.name, body)
		}
		if header.Get("X-Amzn-Requestid") == "" {
			t.Errorf("%s: no request id", tt.name)
		}
	}
}

func TestUnknownSecretsAction(t *testing.T) {
	t.Parallel()
	s := newSecrets(t)
	_, err := newSecretsClient(t, s, Region).DescribeSecret(t.Context(), &secretsmanager.DescribeSecretInput{SecretId: aws.String("token")})
	wantAPIError(t, err, 400, "UnknownOperationException", smithy.FaultUnknown)
}
