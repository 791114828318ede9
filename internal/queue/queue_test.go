package queue_test

import (
	"strings"
	"testing"

	"cbr-replicator/internal/queue"
)

func TestParse(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("q", 80)
	for _, tt := range []struct {
		arn, url string
		fifo     bool
	}{
		{"arn:aws:sqs:eu-central-1:123456789012:requests", "https://sqs.eu-central-1.amazonaws.com/123456789012/requests", false},
		{"arn:aws:sqs:us-gov-west-1:123456789012:A_b-1.fifo", "https://sqs.us-gov-west-1.amazonaws.com/123456789012/A_b-1.fifo", true},
		{"arn:aws-cn:sqs:cn-north-1:123456789012:q", "https://sqs.cn-north-1.amazonaws.com.cn/123456789012/q", false},
		{"arn:aws:sqs:eu-central-1:123456789012:" + long, "https://sqs.eu-central-1.amazonaws.com/123456789012/" + long, false},
	} {
		n, err := queue.Parse(tt.arn)
		if err != nil || n.URL() != tt.url || n.ARN() != tt.arn || n.FIFO() != tt.fifo {
			t.Errorf("Parse(%s) = %s, %s, FIFO %t, %v; want %s, itself, %t", tt.arn, n.URL(), n.ARN(), n.FIFO(), err, tt.url, tt.fifo)
		}
	}
}

// TestParseRefuses has a few cases only, since package arn tests the rest.
func TestParseRefuses(t *testing.T) {
	t.Parallel()
	for _, s := range []string{"", "arn:aws:sns:eu-central-1:123456789012:requests", "arn:aws:sqs:eu-central-1:123456789012:" + strings.Repeat("q", 81)} {
		if n, err := queue.Parse(s); err == nil || n != (queue.Name{}) {
			t.Errorf("Parse(%q) = %+v, want an error", s, n)
		}
	}
}

func TestIsText(t *testing.T) {
	t.Parallel()
	for body, want := range map[string]bool{
		"": true, "not json": true, "\t\n\r ": true, "\x7f\u0080\ufffd": true, "\U0001fffe": true, "ä𝄞": true,
		"\x00": false, "\x1f": false, "\ufffe": false, "\uffff": false, "\xff": false, "\xed\xa0\x80": false,
	} {
		if got := queue.IsText([]byte(body)); got != want {
			t.Errorf("IsText(%q) = %t", body, got)
		}
	}
}
