package events_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"pgregory.net/rapid"

	"cbr-replicator/events"
	"cbr-replicator/internal/delivery"
	"cbr-replicator/internal/redact"
)

// schemas compiles the two schemas, with formats asserted.
func schemas(t testing.TB) (request, result *jsonschema.Schema) {
	t.Helper()
	compile := func(file string) *jsonschema.Schema {
		c := jsonschema.NewCompiler() // one for each, since neither refers to the other
		c.AssertFormat()
		schema, err := c.Compile(file)
		if err != nil {
			t.Fatal(err)
		}
		return schema
	}
	return compile("request.schema.json"), compile("result.schema.json")
}

func unmarshal(t testing.TB, text string) any {
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

// agreement compares the schema with the decoder.
type agreement struct {
	schema *jsonschema.Schema
	d      *events.Decoder
}

func newAgreement(t testing.TB) agreement {
	t.Helper()
	schema, _ := schemas(t)
	return agreement{schema, &events.Decoder{Now: func() time.Time { return time.Time{} }, Redact: new(redact.Redactor), Defaults: events.Defaults{
		ProjectID: strings.Repeat("0", 32), Region: "region1", VaultID: "3b5816b5-f29c-4172-9d9a-76c719a659ce",
		DestinationVaultID:   "0ca3eb86-8800-46da-9c37-9d657a825274",
		DestinationProjectID: strings.Repeat("1", 32), DestinationRegion: "region2", MaxAge: time.Hour,
	}}}
}

// fataler is a *testing.T or a *rapid.T.
type fataler interface {
	Fatalf(format string, args ...any)
}

// check returns whether a request is valid. It decodes it in a direct batch, so that
// it is not taken for an envelope.
func (a agreement) check(t fataler, request string) bool {
	batch, err := a.d.Decode([]byte(`[`+request+`]`), delivery.Invocation{RequestID: "r", FunctionARN: "f"})
	if err != nil {
		t.Fatalf("%s: %v", request, err)
	}
	value, err := jsonschema.UnmarshalJSON(strings.NewReader(request))
	if err != nil {
		t.Fatalf("%s: %v", request, err)
	}
	decoder := batch.Deliveries[0].Err
	if err := a.schema.Validate(value); (err == nil) != (decoder == nil) {
		t.Fatalf("%s: the schema says %v, the decoder %v", request, err, decoder)
	}
	return decoder == nil
}

// texts are the fields of a request that are texts, with valid ones.
var texts = []struct {
	field string
	good  []string
}{
	{"project_id", []string{"f841e01fd2b14e7fa41b6ae7aa6b0594"}},
	{"region", []string{"region1", "eu-west-101"}},
	{"correlation_id", []string{"nightly-2026-11-23", "!~"}},
	{"requested_at", []string{
		"2026-11-23T02:00:00Z", "2024-02-29t23:59:59z", "2026-11-23T02:00:00.123456789+08:00", "1000-01-01T00:00:00-23:59", "9999-12-31T23:59:59.5-00:00",
	}},
	{"replicate.vault_id", []string{"3b5816b5-f29c-4172-9d9a-76c719a659ce"}},
	{"replicate.destination_vault_id", []string{"0CA3EB86-8800-46da-9c37-9d657a825274"}},
	{"replicate.destination_project_id", []string{"68589cac08274b82b4e254268a3862d8"}},
	{"replicate.destination_region", []string{"region2"}},
	{"replicate.cross_account_urn", []string{"urn of the other account's vault", "~"}},
	{"replicate.backup_id", []string{"7558e1a3-7046-4787-95cd-14b0ad0642a8"}},
	{"replicate.name", []string{"replica", strings.Repeat("é", 64)}},
	{"replicate.description", []string{"before the migration", "", strings.Repeat("é", 255)}},
	{"check.vault_id", []string{"3b5816b5-f29c-4172-9d9a-76c719a659ce"}},
	{"check.destination_vault_id", []string{"0CA3EB86-8800-46da-9c37-9d657a825274"}},
	{"check.destination_project_id", []string{"68589cac08274b82b4e254268a3862d8"}},
	{"check.destination_region", []string{"region2"}},
	{"check.max_age", []string{"30h", "90m", "9999999999d", "1s"}},
	{"select.destination_vault_tag", []string{"dr-vault", strings.Repeat("é", 128)}},
	{"select.tags.key", []string{"dr", strings.Repeat("é", 128)}},
	{"select.tags.values", []string{"gold", "", strings.Repeat("é", 255)}},
	{"select.vault_ids", []string{"3b5816b5-f29c-4172-9d9a-76c719a659ce"}},
}

// requestWith returns a request with one field.
func requestWith(field, text string) string {
	value, _ := json.Marshal(text) // a string always encodes
	switch field {
	case "replicate.name", "replicate.description":
		return fmt.Sprintf(`{"replicate":{"backup_id":"7558e1a3-7046-4787-95cd-14b0ad0642a8",%q:%s}}`, strings.TrimPrefix(field, "replicate."), value)
	case "select.tags.key":
		return fmt.Sprintf(`{"select":{"tags":[{"key":"first"},{"key":%s}]}}`, value)
	case "select.tags.values":
		return fmt.Sprintf(`{"select":{"tags":[{"key":"dr","values":["first",%s]}]}}`, value)
	case "select.vault_ids":
		return fmt.Sprintf(`{"select":{"vault_ids":[%s]}}`, value)
	}
	if object, inner, ok := strings.Cut(field, "."); ok {
		return fmt.Sprintf(`{%q:{%q:%s}}`, object, inner, value)
	}
	return fmt.Sprintf(`{%q:%s}`, field, value)
}

// values are texts of JSON for each field, some of them of the wrong type or form.
var values = map[string][]string{
	"project_id": {`"f841e01fd2b14e7fa41b6ae7aa6b0594"`}, "correlation_id": {`"c"`}, "requested_at": {`"2026-11-23T02:00:00Z"`},
	"dry_run": {`true`, `false`, `"true"`, `null`, `1`},
	"select":  {`{}`, `[]`, `null`, `"all"`}, "replicate": {`null`, `[]`}, "check": {`null`, `""`},

	"vault_id": {`"3b5816b5-f29c-4172-9d9a-76c719a659ce"`, `null`}, "backup_id": {`"7558e1a3-7046-4787-95cd-14b0ad0642a8"`, `1`},
	"name": {`"n"`, `""`}, "description": {`"d"`, `""`, `"<"`}, "auto_trigger": {`true`, `null`}, "enable_acceleration": {`false`},
	"destination_vault_id": {`"0ca3eb86-8800-46da-9c37-9d657a825274"`}, "max_age": {`"2d"`, `30`, `"1h30m"`}, "destination_region": {`"region2"`},

	"tags": {
		`[{"key":"dr"}]`, `[{"key":"dr","values":[]}]`, `[{"key":"dr","values":["gold","silver"]},{"key":"dr"}]`, `[]`, `null`, `{"dr":"gold"}`, `["dr"]`,
		`[{"values":["gold"]}]`, `[{"key":"dr","value":"gold"}]`, `[{"key":"dr","values":"gold"}]`, `[{"key":"dr","values":[1]}]`, `[{"key":"dr","values":null}]`,
		`[` + strings.Repeat(`{"key":"dr"},`, 99) + `{"key":"dr"}]`, `[` + strings.Repeat(`{"key":"dr"},`, 100) + `{"key":"dr"}]`,
	},
	"vault_ids": {
		`["3b5816b5-f29c-4172-9d9a-76c719a659ce","3b5816b5-f29c-4172-9d9a-76c719a659ce"]`, `[]`, `null`, `"3b5816b5-f29c-4172-9d9a-76c719a659ce"`, `[null]`,
		`[` + strings.Repeat(`"3b5816b5-f29c-4172-9d9a-76c719a659ce",`, 999) + `"3b5816b5-f29c-4172-9d9a-76c719a659ce"]`,
		`[` + strings.Repeat(`"3b5816b5-f29c-4172-9d9a-76c719a659ce",`, 1000) + `"3b5816b5-f29c-4172-9d9a-76c719a659ce"]`,
	},
	"destination_vault_tag": {`"dr-vault"`, `""`, `null`},
}

// objectOf draws an object of some of the fields. Most values are the first of values.
func objectOf(t *rapid.T, name string, inner map[string]string, fields ...string) string {
	var members []string
	for _, field := range fields {
		if !rapid.Bool().Draw(t, name+field) {
			continue
		}
		value := values[field][0]
		if object, ok := inner[field]; ok {
			value = object
		}
		if rapid.IntRange(0, 4).Draw(t, "odd") == 0 {
			value = rapid.SampledFrom(values[field]).Draw(t, "value")
		}
		members = append(members, strconv.Quote(field)+":"+value)
	}
	return "{" + strings.Join(members, ",") + "}"
}

// TestSchemaAgreesOnObjects: the schema and the decoder refuse the same combinations
// of fields.
func TestSchemaAgreesOnObjects(t *testing.T) {
	t.Parallel()
	a := newAgreement(t)
	valid := 0
	rapid.Check(t, func(t *rapid.T) {
		request := objectOf(t, "", map[string]string{
			"select":    objectOf(t, "select.", nil, "tags", "vault_ids", "destination_vault_tag"),
			"replicate": objectOf(t, "replicate.", nil, "vault_id", "backup_id", "name", "description", "auto_trigger", "enable_acceleration", "destination_vault_id", "destination_region"),
			"check":     objectOf(t, "check.", nil, "vault_id", "destination_vault_id", "destination_region", "max_age"),
		}, "project_id", "correlation_id", "requested_at", "select", "dry_run", "replicate", "check")
		if a.check(t, request) {
			valid++
		}
	})
	if valid < 3 {
		t.Errorf("only %d requests were valid", valid)
	}
}

// TestSchemaAgreesOnTexts: the schema and the decoder accept the same texts of each
// field. Each text is a valid one with a few places changed.
func TestSchemaAgreesOnTexts(t *testing.T) {
	t.Parallel()
	a := newAgreement(t)
	piece := rapid.OneOf(
		rapid.StringMatching(`[0-9]{1,3}`),
		rapid.StringMatching(`[a-zA-Z:.,+ -]`),
		rapid.SampledFrom([]string{"", "24", "60", "00", "-00:00", "+24:00", "+10:60", ".", ",5", "\n", "\x00", "\x7f", "é", "０", "ı", "\u200b", "\ufffd", "\U0001f600"}),
		rapid.StringN(0, 2, -1),
	)
	for _, f := range texts {
		t.Run(f.field, func(t *testing.T) {
			t.Parallel()
			for _, text := range f.good {
				if !a.check(t, requestWith(f.field, text)) {
					t.Errorf("%q is refused", text)
				}
			}
			rapid.Check(t, func(t *rapid.T) {
				text := []rune(rapid.SampledFrom(f.good).Draw(t, "text"))
				for range rapid.IntRange(1, 3).Draw(t, "changes") {
					at := rapid.IntRange(0, len(text)).Draw(t, "at")
					end := rapid.IntRange(at, min(at+2, len(text))).Draw(t, "end")
					text = slices.Concat(text[:at], []rune(piece.Draw(t, "piece")), text[end:])
				}
				a.check(t, requestWith(f.field, string(text)))
			})
		})
	}
}

// FuzzSchemaAgrees is TestSchemaAgreesOnTexts for any texts.
func FuzzSchemaAgrees(f *testing.F) {
	for i, field := range texts {
		for _, text := range append(field.good, "", " ", strings.Repeat("a", 64), strings.Repeat("~", 513)) {
			f.Add(uint8(i), text)
		}
	}
	for _, text := range []string{
		"2026-11-23T02:00:00,5Z", "2026-11-23T3:59:00Z", "2026-11-23T02:00:00.Z", "2026-11-23T24:00:00Z", "2026-11-23T02:00:60Z", "2016-12-31T23:59:60Z",
		"2026-11-23T02:00:00+24:00", "2026-11-23T02:00:00+10:60", "2026-02-29T02:00:00Z", "2026-11-00T02:00:00Z", "0001-01-01T00:00:00Z", "2026-11-23 02:00:00Z",
		"2026-11-23T02:00:00", "2026-11-23T02:00:00+0800", "2026-11-23T02:00:00Z\n", "2026-11-23T02:60:00Z", "2026-13-23T02:00:00Z", "2100-02-29T02:00:00Z",
	} {
		f.Add(uint8(3), text)
	}
	a := newAgreement(f)
	f.Fuzz(func(t *testing.T, field uint8, text string) {
		a.check(t, requestWith(texts[int(field)%len(texts)].field, text))
	})
}

// TestSchemaAgreesWithDecoder: the schema and the decoder refuse the same requests.
func TestSchemaAgreesWithDecoder(t *testing.T) {
	t.Parallel()
	a := newAgreement(t)
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
		`{"check":{}}`, `{"check":{"max_age":"30h"},"requested_at":"2026-11-23T02:00:00Z"}`, `{"check":{},"replicate":{}}`,
		`{"check":{"backup_id":"7558e1a3-7046-4787-95cd-14b0ad0642a8"}}`, `{"check":{"auto_trigger":true}}`,
		`{"select":{}}`, `{"select":{},"check":{}}`, `{"select":{},"dry_run":true}`, `{"dry_run":true}`,
		`{"select":{"all":true}}`, `{"select":{"tags":[{"key":"dr"}],"vault_ids":["3b5816b5-f29c-4172-9d9a-76c719a659ce"]}}`,
		`{"select":{"destination_vault_tag":"dr"},"replicate":{"destination_vault_id":"0ca3eb86-8800-46da-9c37-9d657a825274"}}`,
		`{"select":{"destination_vault_tag":"dr"},"check":{"destination_vault_id":"0ca3eb86-8800-46da-9c37-9d657a825274"}}`,
		`{"select":{},"replicate":{"vault_id":"3b5816b5-f29c-4172-9d9a-76c719a659ce"}}`, `{"select":{},"check":{"vault_id":"3b5816b5-f29c-4172-9d9a-76c719a659ce"}}`,
	} {
		a.check(t, request)
	}
	// The limits of lists are rarely drawn at random.
	for _, list := range []string{"tags", "vault_ids"} {
		for _, value := range values[list] {
			a.check(t, fmt.Sprintf(`{"select":{%q:%s}}`, list, value))
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
