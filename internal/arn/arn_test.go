package arn_test

import (
	"strings"
	"testing"

	"cbr-replicator/internal/arn"
)

func TestParse(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		service, arn string
		want         arn.ARN
	}{
		{"lambda", "arn:aws:lambda:eu-central-1:123456789012:function:cbr:live", arn.ARN{"aws", "eu-central-1", "123456789012", "function:cbr:live"}},
		{"secretsmanager", "arn:aws-cn:secretsmanager:cn-north-1:123456789012:secret:a/b-Xyz", arn.ARN{"aws-cn", "cn-north-1", "123456789012", "secret:a/b-Xyz"}},
		{"events", "arn:aws-us-gov:events:us-gov-west-1:123456789012:event-bus/default", arn.ARN{"aws-us-gov", "us-gov-west-1", "123456789012", "event-bus/default"}},
	} {
		if got, err := arn.Parse(tt.arn, tt.service); err != nil || got != tt.want {
			t.Errorf("Parse(%q) = %+v, %v; want %+v", tt.arn, got, err, tt.want)
		}
	}
}

func TestParseName(t *testing.T) {
	t.Parallel()
	const start = "arn:aws:sqs:eu-central-1:123456789012:"
	for _, name := range []string{"requests", "A_b-1.fifo", strings.Repeat("q", 80)} {
		want := arn.ARN{"aws", "eu-central-1", "123456789012", name}
		if got, err := arn.ParseName(start+name, "sqs", 80); err != nil || got != want {
			t.Errorf("ParseName(%q) = %+v, %v; want %+v", start+name, got, err, want)
		}
	}
	for _, s := range []string{
		"", "requests", "https://sqs.eu-central-1.amazonaws.com/123456789012/requests",
		"arn:aws:sns:eu-central-1:123456789012:requests", "arn:aws:sqs::123456789012:requests", "arn:aws:sqs:eu-central-1:12345:requests",
		"urn:smn:sqs:eu-central-1:123456789012:requests", "arn:aws:sqs:evil.example/:123456789012:a", " " + start + "requests",
		start, start + "a/b", start + "a:b", start + "a.fifo.fifo", start + "a\n", start + strings.Repeat("q", 81),
	} {
		got, err := arn.ParseName(s, "sqs", 80)
		if err == nil || got != (arn.ARN{}) || err.Error() != "expected arn:aws:sqs:REGION:ACCOUNT:NAME" {
			t.Errorf("ParseName(%q) = %+v, %v", s, got, err)
		}
	}
}
