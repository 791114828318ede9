package contract

import (
	"path/filepath"
	"testing"
)

// The message of each channel.
const (
	requestMessage = "#/channels/requests/messages/request"
	resultMessage  = "#/channels/results/messages/result"
)

// message holds a message with its attributes to the one at a pointer.
func (d *document) message(what, at string, payload any, attributes map[string]any) {
	d.t.Helper()
	_, at, ok := d.find(at)
	if !ok {
		d.t.Fatalf("%s has no %s", d.file, at)
	}
	_, headers, _ := d.find(at + "/headers")
	_, body, _ := d.find(at + "/payload/schema")
	d.check(what, body, payload)
	d.check(what+": attributes", headers, attributes)
}

// TestGoldens: each golden result is as described. With an attribute that is not
// described, or without a required one, it is refused.
func TestGoldens(t *testing.T) {
	t.Parallel()
	d := open(t, "asyncapi.yaml")
	goldens, err := filepath.Glob("../result/testdata/*.json")
	if err != nil || len(goldens) < 4 {
		t.Fatalf("%d goldens, %v", len(goldens), err)
	}
	_, headers, _ := d.find(resultMessage + "/headers")
	schema := d.schema(headers)
	for _, golden := range goldens {
		result := object(t, readYAML(t, "internal/contract/"+golden))
		attributes := object(t, result["attributes"])
		d.message(golden, resultMessage, result["message"], attributes)
		attributes["undescribed"] = "x"
		if schema.Validate(attributes) == nil {
			t.Errorf("%s passes with an attribute that is not described", golden)
		}
		delete(attributes, "undescribed")
		delete(attributes, "status")
		if schema.Validate(attributes) == nil {
			t.Errorf("%s passes without a status", golden)
		}
	}
}

// TestQueueSamples: the messages in the samples of SQS are as described.
func TestQueueSamples(t *testing.T) {
	t.Parallel()
	d := open(t, "asyncapi.yaml")
	for _, sample := range []string{"events/sqs.json", "events/sqs-fifo.json"} {
		records, _ := object(t, readYAML(t, sample))["Records"].([]any)
		if len(records) == 0 {
			t.Errorf("%s has no records", sample)
		}
		for _, record := range records {
			record := object(t, record)
			attributes := map[string]any{}
			for name, attribute := range object(t, record["messageAttributes"]) {
				attributes[name] = object(t, attribute)["stringValue"]
			}
			body, _ := record["body"].(string)
			d.message(sample, requestMessage, parse(t, body), attributes)
		}
	}
}
