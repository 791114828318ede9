package events

import (
	"testing"

	"cbr-replicator/internal/delivery"
	"cbr-replicator/internal/kind"
)

// TestWarmUps: the calls of well-known tools are no wrong requests.
func TestWarmUps(t *testing.T) {
	t.Parallel()
	for name, payload := range map[string]string{
		"serverless-plugin-warmup":        `{"source":"serverless-plugin-warmup"}`,
		"serverless-plugin-lambda-warmup": `{ "source" : "serverless-plugin-lambda-warmup" }`,
		"lambda-warmer":                   `{"warmer":true,"concurrency":3}`,
		"lambda-warmer to its copies":     `{"warmer":true,"__WARMER_INVOCATION__":2,"__WARMER_CONCURRENCY__":3,"__WARMER_CORRELATIONID__":"1700000000000-0042"}`,
		"by hand":                         `{"warmup":true}`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := mustDecode(t, newDecoder(), []byte(payload))
			reply, err := b.Reply([]delivery.Outcome{})
			if !b.WarmUp || len(b.Deliveries) != 0 || err != nil || string(reply) != "null" {
				t.Errorf("%+v is answered with %s, %v", b, reply, err)
			}
		})
	}
}

// TestNoWarmUps: a request with a mistake is no warm-up. Neither is one that is
// complete with the defaults.
func TestNoWarmUps(t *testing.T) {
	t.Parallel()
	for name, payload := range map[string]string{
		"nothing":                   ``,
		"an empty object":           `{}`,
		"broken off":                `{"warmup":true`,
		"something after it":        `{"warmup":true} {}`,
		"not true":                  `{"warmup":false}`,
		"a text":                    `{"warmup":"true"}`,
		"another source":            `{"source":"aws.events"}`,
		"one of two sources":        `{"source":"serverless-plugin-warmup","source":"x"}`,
		"what stands beside it":     `{"concurrency":3}`,
		"a request beside it":       `{"warmup":true,"replicate":{}}`,
		"a mistake beside it":       `{"warmup":true,"vault":"x"}`,
		"an array":                  `[{"warmup":true}]`,
		"a rule's scheduled event":  `{"version":"0","id":"i","detail-type":"Scheduled Event","source":"aws.events","time":"2026-11-23T02:00:00Z","detail":{}}`,
		"a message, not an invoke":  string(inQueue(t, `{"warmup":true}`, "")),
		"the name in another case":  `{"WarmUp":true}`,
		"an HTTP request's body":    string(sampleWith(t, "function-url", func(e map[string]any) { e["body"], e["isBase64Encoded"] = `{"warmup":true}`, false })),
		"a source that is an array": `{"source":["serverless-plugin-warmup"]}`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := mustDecode(t, newDecoder(), []byte(payload))
			if b.WarmUp || len(b.Deliveries) == 0 || b.Deliveries[0].Err.Of() != kind.InvalidEvent {
				t.Errorf("%+v", b)
			}
		})
	}
	d := newDecoder()
	d.Defaults = fullDefaults
	for _, payload := range []string{`{}`, `{"id":"i","detail-type":"Scheduled Event","source":"aws.events","detail":{}}`} {
		if b := mustDecode(t, d, []byte(payload)); b.WarmUp || len(b.Deliveries) != 1 || b.Deliveries[0].Err != nil {
			t.Errorf("with all defaults %s is %+v", payload, b)
		}
	}
}
