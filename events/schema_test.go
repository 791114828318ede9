package events_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"cbr-replicator/events"
	"cbr-replicator/internal/delivery"
	"cbr-replicator/internal/redact"
)

// schemas compiles the two schemas, with formats asserted.
func schemas(t *testing.T) (request, result *jsonschema.Schema) {
	t.Helper()
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	for id, file := range map[string]string{
		"urn:cbr-replicator:request:v1": "request.schema.json",
		"urn:cbr-replicator:result:v1":  "result.schema.json",
	} {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if err := c.AddResource(id, unmarshal(t, string(text))); err != nil {
			t.Fatal(err)
		}
	}
	return c.MustCompile("urn:cbr-replicator:request:v1"), c.MustCompile("urn:cbr-replicator:result:v1")
}

func unmarshal(t *testing.T, text string) any {
	t.Helper()
	v, err := jsonschema.UnmarshalJSON(strings.NewReader(text))
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return v
}

// TestSchemaOfSamples: the requests of all samples are of the schema, as a result
// repeats them.
func TestSchemaOfSamples(t *testing.T) {
	t.Parallel()
	schema, _ := schemas(t)
	samples, err := filepath.Glob("*.json")
	if err != nil {
		t.Fatal(err)
	}
	d := &events.Decoder{Redact: new(redact.Redactor), Defaults: events.Defaults{ProjectID: strings.Repeat("0", 32), Region: "region1"}}
	checked := 0
	for _, sample := range samples {
		if strings.HasSuffix(sample, ".schema.json") {
			continue
		}
		payload, err := os.ReadFile(sample)
		if err != nil {
			t.Fatal(err)
		}
		batch, err := d.Decode(payload, delivery.Invocation{RequestID: "r", FunctionARN: "f"})
		if err != nil {
			t.Fatal(err)
		}
		for _, del := range batch.Deliveries {
			if del.Err != nil {
				t.Errorf("%s: %v", sample, del.Err)
				continue
			}
			text, err := json.Marshal(del.Request)
			if err != nil {
				t.Fatal(err)
			}
			if err := schema.Validate(unmarshal(t, string(text))); err != nil {
				t.Errorf("%s: %v", sample, err)
			}
			checked++
		}
	}
	if checked < 9 {
		t.Errorf("only %d requests checked", checked)
	}
}

// TestSchemaAgreesWithDecoder: the schema and the decoder refuse the same requests.
func TestSchemaAgreesWithDecoder(t *testing.T) {
	t.Parallel()
	schema, _ := schemas(t)
	d := &events.Decoder{Redact: new(redact.Redactor), Defaults: events.Defaults{
		ProjectID: strings.Repeat("0", 32), Region: "region1", VaultID: "3b5816b5-f29c-4172-9d9a-76c719a659ce",
		DestinationVaultID:   "0ca3eb86-8800-46da-9c37-9d657a825274",
		DestinationProjectID: strings.Repeat("1", 32), DestinationRegion: "region2",
	}}
	for _, request := range []string{
		`{}`,
		`{"replicate":{}}`,
		`{"replicate":{"auto_trigger":true,"enable_acceleration":false,"cross_account_urn":"urn"}}`,
		`{"correlation_id":"nightly-2026-11-23","requested_at":"2026-11-23T02:00:00Z"}`,
		`{"requested_at":"2026-11-23T02:00:00.123+08:00"}`,
		`{"project_id":"F841E01FD2B14E7FA41B6AE7AA6B0594"}`,
		`[]`, `null`, `"x"`, `1`,
		`{"project_id":null}`,
		`{"project_id":"../"}`,
		`{"region":"evil.example.com"}`,
		`{"region":"Region1"}`,
		`{"region":""}`,
		`{"Region":"region1"}`,
		`{"correlation_id":"two words"}`,
		`{"correlation_id":""}`,
		`{"requested_at":"yesterday"}`,
		`{"requested_at":"2026-11-23"}`,
		`{"replicate":null}`,
		`{"replicate":{"vault_id":"3b5816b5"}}`,
		`{"replicate":{"auto_trigger":"true"}}`,
		`{"replicate":{"enable_acceleration":null}}`,
		`{"replicate":{"cross_account_urn":""}}`,
		`{"replicate":{"checkpoint_id":"x"}}`,
	} {
		batch, err := d.Decode([]byte(`[`+request+`]`), delivery.Invocation{RequestID: "r", FunctionARN: "f"})
		if err != nil {
			t.Fatalf("%s: %v", request, err)
		}
		decoder := batch.Deliveries[0].Err
		if err := schema.Validate(unmarshal(t, request)); (err == nil) != (decoder == nil) {
			t.Errorf("%s: the schema says %v, the decoder %v", request, err, decoder)
		}
	}
}

// TestSchemaOfResults: the golden results are of the schema, and broken ones are
// not.
func TestSchemaOfResults(t *testing.T) {
	t.Parallel()
	_, schema := schemas(t)
	goldens, err := filepath.Glob("../internal/result/testdata/*.json")
	if err != nil {
		t.Fatal(err)
	}
	for _, golden := range goldens {
		text, err := os.ReadFile(golden)
		if err != nil {
			t.Fatal(err)
		}
		event, ok := unmarshal(t, string(text)).(map[string]any)["message"].(map[string]any)
		if !ok {
			t.Fatalf("%s has no message", golden)
		}
		if err := schema.Validate(event); err != nil {
			t.Errorf("%s: %v", golden, err)
		}
		for _, required := range []string{"id", "source", "type", "data", "causationid"} {
			saved := event[required]
			delete(event, required)
			if schema.Validate(event) == nil {
				t.Errorf("%s passes without %s", golden, required)
			}
			event[required] = saved
		}
		event["data"].(map[string]any)["status"] = "copied"
		if schema.Validate(event) == nil {
			t.Errorf("%s passes with a status that is none", golden)
		}
	}
	if len(goldens) < 4 {
		t.Errorf("only %d goldens", len(goldens))
	}
}
