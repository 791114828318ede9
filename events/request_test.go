package events

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"cbr-replicator/internal/cbr"
	"cbr-replicator/internal/delivery"
	"cbr-replicator/internal/huawei"
	"cbr-replicator/internal/kind"
	"cbr-replicator/internal/redact"
)

var fullDefaults = Defaults{
	ProjectID: project, Region: region, VaultID: vaultA,
	DestinationVaultID: destinationVault, DestinationProjectID: destinationProject, DestinationRegion: destinationRegion,
}

// What is expected of each field, in words.
const (
	wantProject     = "32 hex digits"
	wantRegion      = "a region, in lower-case letters, digits and hyphens, such as cn-north-4"
	wantVault       = "a UUID"
	wantCorrelation = "1 to 128 printable ASCII characters without spaces"
	wantTime        = "a time such as 2026-11-23T02:00:00Z"
	wantURN         = "1 to 512 printable ASCII characters"
	wantBool        = "true or false"
)

func missing(want, variable string) string {
	return want + " (it is missing, and " + variable + " is not set)"
}

// parseWith parses with other defaults than d's.
func (d *Decoder) parseWith(body []byte, defaults Defaults) (delivery.Request, *kind.Error) {
	here := *d
	here.Defaults = defaults
	return here.parse(body)
}

func TestRequest(t *testing.T) {
	t.Parallel()
	yes, no, urn := true, false, "urn:example:agency"
	body := func(change func(*delivery.Request)) string {
		return string(encode(t, with(requestFor(vaultA), change)))
	}
	nothing := func(*delivery.Request) {}
	for name, tt := range map[string]struct {
		body     string
		defaults Defaults
		want     delivery.Request
	}{
		"all fields": {
			body: `{
				"project_id": "` + project + `", "region": "region1", "correlation_id": "<a&b>", "requested_at": "2026-11-23T03:00:00.5+01:00",
				"replicate": {
					"vault_id": "` + vaultA + `", "destination_vault_id": "` + destinationVault + `", "destination_project_id": "` + destinationProject + `",
					"destination_region": "region2", "auto_trigger": true, "enable_acceleration": false, "cross_account_urn": "` + urn + `"
				}
			}` + "\r\n\t ",
			want: with(requestFor(vaultA), func(r *delivery.Request) {
				r.CorrelationID, r.RequestedAt = "<a&b>", nightly.Add(500*time.Millisecond)
				r.Replicate.AutoTrigger, r.Replicate.EnableAcceleration, r.Replicate.CrossAccountURN = &yes, &no, &urn
			}),
		},
		"required alone":     {body: body(nothing), want: requestFor(vaultA)},
		"defaults for all":   {body: `{}`, defaults: fullDefaults, want: requestFor(vaultA)},
		"defaults for some":  {body: `{"region":"region3","replicate":{"vault_id":"` + vaultB + `"}}`, defaults: fullDefaults, want: with(requestFor(vaultB), func(r *delivery.Request) { r.Region = "region3" })},
		"an empty replicate": {body: `{"replicate":{}}`, defaults: fullDefaults, want: requestFor(vaultA)},
		"CBR's own body": {
			body:     string(encode(t, map[string]any{"replicate": requestFor(vaultB).Replicate})),
			defaults: Defaults{ProjectID: project, Region: region, VaultID: vaultA},
			want:     requestFor(vaultB),
		},
		"hex digits in both cases": {
			body: body(func(r *delivery.Request) {
				for _, id := range []*string{&r.ProjectID, &r.Replicate.VaultID, &r.Replicate.DestinationVaultID, &r.Replicate.DestinationProjectID} {
					*id = strings.ToUpper(*id)
				}
			}),
			want: requestFor(vaultA),
		},
		"defaults in upper case": {body: `{}`, defaults: with2(fullDefaults, func(d *Defaults) { d.VaultID = strings.ToUpper(vaultA) }), want: requestFor(vaultA)},
		"escapes":                {body: strings.Replace(body(nothing), `"project_id":"f`, `"\u0070roject_id":"\u0066`, 1), want: requestFor(vaultA)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := newDecoder().parseWith([]byte(tt.body), tt.defaults)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("request (-want +got):\n%s", diff)
			}
		})
	}
}

func with2(d Defaults, change func(*Defaults)) Defaults {
	change(&d)
	return d
}

// TestRequestIsWrong: all that is wrong is listed at once, each with its path and
// what was expected, and nothing else is listed.
func TestRequestIsWrong(t *testing.T) {
	t.Parallel()
	none := []string{
		"project_id: expected " + missing(wantProject, "HW_PROJECT_ID"),
		"region: expected " + missing(wantRegion, "HW_REGION_NAME"),
		"replicate.vault_id: expected " + missing(wantVault, "HW_CBR_VAULT_ID"),
		"replicate.destination_vault_id: expected " + missing(wantVault, "HW_CBR_DESTINATION_VAULT_ID"),
		"replicate.destination_project_id: expected " + missing(wantProject, "HW_CBR_DESTINATION_PROJECT_ID"),
		"replicate.destination_region: expected " + missing(wantRegion, "HW_CBR_DESTINATION_REGION"),
	}
	notOne := func(why string) []string { return []string{"$: expected a JSON object and nothing else; " + why} }
	malformedAt := func(line, column int) []string {
		return notOne(fmt.Sprintf("it is malformed at line %d, column %d", line, column))
	}
	for name, tt := range map[string]struct {
		body     string
		defaults Defaults
		want     []string
	}{
		"empty":                      {"", fullDefaults, notOne("there is nothing")},
		"white space":                {" \n", fullDefaults, notOne("there is nothing")},
		"broken off":                 {`{"replicate":{"vault_id":"x`, fullDefaults, notOne("it breaks off at line 1, column 28")},
		"broken off in a later line": {"{\r\n  \"correlation_id\": \"é\",\n  \"region\": \"", fullDefaults, notOne("it breaks off at line 3, column 14")},
		"a comma in a later line":    {"{\n  \"region\": \"region1\",\n}", fullDefaults, malformedAt(2, 22)},
		"an accent before it":        {`{"correlation_id": "é" x}`, fullDefaults, malformedAt(1, 24)},
		"data in a later line":       {"{}\n\n  {}", fullDefaults, notOne("something follows it at line 3, column 3")},
		"trailing comma":             {`{"replicate":{},}`, fullDefaults, malformedAt(1, 16)},
		"no comma":                   {`{"replicate":{} "region":"x"}`, fullDefaults, malformedAt(1, 17)},
		"trailing data":              {`{} {}`, fullDefaults, notOne("something follows it at line 1, column 4")},
		"byte order mark":            {"\ufeff{}", fullDefaults, notOne("it begins with a byte order mark")},
		"vertical tab":               {"\v{}", fullDefaults, malformedAt(1, 1)},
		"single quotes":              {`{'region':'x'}`, fullDefaults, malformedAt(1, 2)},
		"null":                       {`null`, Defaults{}, []string{"$: expected an object"}},
		"a list":                     {`[{}]`, Defaults{}, []string{"$: expected an object"}},
		"a string":                   {`"{}"`, Defaults{}, []string{"$: expected an object"}},
		"a number":                   {`1`, Defaults{}, []string{"$: expected an object"}},
		"nothing in it":              {`{}`, Defaults{}, none},
		"nothing further in":         {`{"replicate":{}}`, Defaults{}, slices.Concat(none[2:], none[:2])},
		"replicate is null":          {`{"replicate":null}`, Defaults{}, append([]string{"replicate: expected an object"}, none[:2]...)},
		"replicate is text":          {`{"replicate":"{}"}`, fullDefaults, []string{"replicate: expected an object"}},
		"replicate is a list, with more in it": {
			`{"replicate":[{"vault_id":1}],"x":{"y":[1,{"z":2}]}}`, fullDefaults,
			[]string{"replicate: expected an object", "unknown field x"},
		},
		"names in other cases": {
			`{"Project_id":"x","REGION":"x","replicate":{"Vault_ID":"x"},"Replicate":{}}`, fullDefaults,
			[]string{
				"unknown field Project_id; did you mean project_id?", "unknown field REGION; did you mean region?",
				"unknown field replicate.Vault_ID; did you mean vault_id?", "unknown field Replicate; did you mean replicate?",
			},
		},
		"names that are nearly right": {
			`{"regoin":"x","correlationId":"x","x-region":1,"replicate":{"vaultid":1,"destination-region":1,"destination_valt_id":1}}`, fullDefaults,
			[]string{
				"unknown field regoin; did you mean region?", "unknown field correlationId; did you mean correlation_id?",
				"unknown field x-region; did you mean region?", "unknown field replicate.vaultid; did you mean vault_id?",
				"unknown field replicate.destination-region; did you mean destination_region?",
				"unknown field replicate.destination_valt_id; did you mean destination_vault_id?",
			},
		},
		"names that are like none": {
			`{"tag":1,"id":1,"":1,"replicate":{"vault":1,"vault_name":1,"` + strings.Repeat("vault_id", 100) + `":1}}`, fullDefaults,
			[]string{"unknown field tag", "unknown field id", "unknown field ", "unknown field replicate.vault", "unknown field replicate.vault_name", "unknown field replicate." + strings.Repeat("vault_id", 100)},
		},
		"fields out of place": {
			`{"vault_id":"x","replicate.vault_id":"` + vaultB + `","replicate":{"project_id":"x","replicate":{}},"":1}`, fullDefaults,
			[]string{
				"unknown field vault_id; did you mean replicate.vault_id?", "unknown field replicate.vault_id",
				"unknown field replicate.project_id; did you mean project_id beside replicate?",
				"unknown field replicate.replicate", "unknown field ",
			},
		},
		"duplicates": {
			`{"region":"region1","region":"region1","replicate":{"vault_id":"` + vaultA + `","vault_id":1},"replicate":{"x":1},"x":1,"x":1}`, fullDefaults,
			[]string{
				"region: expected to be given once", "replicate.vault_id: expected to be given once", "replicate: expected to be given once",
				"unknown field x",
			},
		},
		"a duplicate behind an escape": {`{"region":"region1","\u0072egion":"region1"}`, fullDefaults, []string{"region: expected to be given once"}},
		"a duplicate of a wrong one": {
			`{"correlation_id":1,"correlation_id":"x"}`, fullDefaults,
			[]string{"correlation_id: expected a string, " + wantCorrelation, "correlation_id: expected to be given once"},
		},
		"wrong types": {
			`{"project_id":1,"region":null,"correlation_id":{"a":1},"requested_at":1795399200,"replicate":{"vault_id":[1],"destination_vault_id":true,` +
				`"destination_project_id":null,"destination_region":{},"auto_trigger":"true","enable_acceleration":0,"cross_account_urn":null}}`, fullDefaults,
			[]string{
				"project_id: expected a string, " + wantProject,
				"region: expected a string, " + wantRegion,
				"correlation_id: expected a string, " + wantCorrelation,
				"requested_at: expected a string, " + wantTime,
				"replicate.vault_id: expected a string, " + wantVault,
				"replicate.destination_vault_id: expected a string, " + wantVault,
				"replicate.destination_project_id: expected a string, " + wantProject,
				"replicate.destination_region: expected a string, " + wantRegion,
				"replicate.auto_trigger: expected " + wantBool,
				"replicate.enable_acceleration: expected " + wantBool,
				"replicate.cross_account_urn: expected a string, " + wantURN,
			},
		},
		"null booleans": {
			`{"replicate":{"auto_trigger":null,"enable_acceleration":[]}}`, fullDefaults,
			[]string{"replicate.auto_trigger: expected " + wantBool, "replicate.enable_acceleration: expected " + wantBool},
		},
		// An empty text is given, so that its default is not used.
		"empty texts": {
			`{"project_id":"","region":"","correlation_id":"","requested_at":"","replicate":{"vault_id":"","cross_account_urn":""}}`, fullDefaults,
			[]string{
				"project_id: expected " + wantProject, "region: expected " + wantRegion, "correlation_id: expected " + wantCorrelation,
				"requested_at: expected " + wantTime, "replicate.vault_id: expected " + wantVault, "replicate.cross_account_urn: expected " + wantURN,
			},
		},
		"wrong, missing and unknown": {
			`{"region":"Region1","replicate":{"vault_id":"` + project + `","priority":true}}`,
			Defaults{ProjectID: project, DestinationVaultID: destinationVault},
			[]string{
				"region: expected " + wantRegion, "replicate.vault_id: expected " + wantVault, "unknown field replicate.priority",
				none[4], none[5],
			},
		},
		"a bad default": {`{}`, with2(fullDefaults, func(d *Defaults) { d.Region = "no region" }), []string{"region: expected " + wantRegion}},
		"control characters in a name": {
			"{\"a\u007fb\":1,\"c\\u0000\\r\\nd\":1,\"e\\u202ef\":1}", fullDefaults,
			[]string{"unknown field ab", "unknown field c  d", "unknown field ef"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, err := newDecoder().parseWith([]byte(tt.body), tt.defaults)
			if err == nil {
				t.Fatalf("accepted as %+v", r)
			}
			if err.Kind != kind.InvalidEvent {
				t.Errorf("kind %s", err.Kind)
			}
			if diff := cmp.Diff(strings.Join(tt.want, "; "), err.Message); diff != "" {
				t.Errorf("problems (-want +got):\n%s", diff)
			}
		})
	}
}

// TestParserIsEmptied: a parser that is not in use holds nothing of a request. The
// test is not parallel, since another could get the same parser.
func TestParserIsEmptied(t *testing.T) {
	for _, body := range []string{
		`{"correlation_id":"c","requested_at":"2026-11-23T02:00:00Z","replicate":{"auto_trigger":true,"enable_acceleration":true,"cross_account_urn":"u"}}`,
		`{"x":1,"region":1}`, `{"region":"region3"`, ``,
	} {
		p := new(parser)
		p.body.Reset([]byte(body))
		p.defaults = fullDefaults.draft()
		p.object("$", "", requestFields)
		p.done()
		if !reflect.DeepEqual(p.got, draft{}) || !reflect.DeepEqual(p.defaults, draft{}) || p.problems != nil {
			t.Errorf("after %s: %+v, %+v, %v", body, p.got, p.defaults, p.problems)
		}
		if err := p.body.End(); err != nil || p.body.Offset() != 0 {
			t.Errorf("after %s: %v after byte %d of what is still there", body, err, p.body.Offset())
		}
	}
}

// TestNothingOfTheLast: a request is parsed the same, whatever was parsed before.
func TestNothingOfTheLast(t *testing.T) {
	t.Parallel()
	full := string(encode(t, with(requestFor(vaultB), func(r *delivery.Request) {
		r.Region, r.CorrelationID, r.RequestedAt = "region3", "c", nightly
		r.Replicate.AutoTrigger, r.Replicate.EnableAcceleration, r.Replicate.CrossAccountURN = new(true), new(true), new("urn")
	})))
	d := newDecoder()
	for _, before := range []string{full, full[:len(full)-1], full + "x", `{"x":1,"correlation_id":"c"}`, `{"correlation_id":"c"`, `null`, ``} {
		for range 10 { // a pool may return a new parser
			_, _ = d.parseWith([]byte(before), with2(fullDefaults, func(d *Defaults) { d.Region = "region3" }))
			if got, err := d.parseWith([]byte(`{}`), fullDefaults); err != nil || !cmp.Equal(got, requestFor(vaultA)) {
				t.Errorf("{} after %s: %+v, %v", before, got, err)
			}
			_, _ = d.parseWith([]byte(before), fullDefaults)
			if got, err := d.parseWith([]byte(`{"region":"region1"}`), Defaults{}); err == nil || got != (delivery.Request{}) || strings.Count(err.Message, ";") != 4 {
				t.Errorf("no defaults after %s: %+v, %v", before, got, err)
			}
		}
	}
}

// TestWhatARejectionHolds: a rejected request has only its correlation id. If the
// body breaks off, it has not even that, since the id may be incomplete.
func TestWhatARejectionHolds(t *testing.T) {
	t.Parallel()
	for body, want := range map[string]string{
		`{"correlation_id":"c","region":1}`:                             "c",
		`{"region":"REGION","correlation_id":"c"}`:                      "c",
		`{"correlation_id":"c","correlation_id":"d"}`:                   "c",
		`{"correlation_id":"no spaces","project_id":"` + project + `"}`: "",
		`{"correlation_id":"c"`:                                         "",
		`{"correlation_id":"c"} x`:                                      "",
		`{"correlation_id":"c","region":"region1",}`:                    "",
	} {
		got, err := newDecoder().parseWith([]byte(body), fullDefaults)
		if err == nil || !cmp.Equal(got, delivery.Request{CorrelationID: want}) {
			t.Errorf("%s: %+v, %v; want no more than the correlation id %q", body, got, err, want)
		}
	}
}

// TestForms: ids and regions become parts of a path and of a host name, so that
// only their exact forms are accepted.
func TestForms(t *testing.T) {
	t.Parallel()
	hosts := []string{
		"", " ", "../region1", "region1/..", "region1%2f..", "region1.evil.example", "evil.example#", "evil.example?", "evil.example:443", "user@evil.example",
		"//evil.example", `\evil`, "-region1", "Region1", "région1", "region1\n", "region1\x00", " region1", "region 1", strings.Repeat("r", 64), "{region}",
	}
	projects := []string{
		project[:31], project + "0", project[:31] + "g", project[:30] + "/.", "../" + project[3:], "%2e%2e%2f" + project[9:], project + "\n", " " + project[1:], vaultA,
	}
	vaults := []string{
		strings.ReplaceAll(vaultA, "-", ""), "{" + vaultA + "}", vaultA[:35] + "g", vaultA + "0", vaultA + "\n", "urn:uuid:" + vaultA, vaultA[:8] + "_" + vaultA[9:],
	}
	for path, values := range map[string]struct {
		good, bad []string
		want      string
	}{
		"project_id":                       {[]string{project, strings.ToUpper(project)}, projects, wantProject},
		"region":                           {[]string{"r", "0", "cn-north-4", "eu-west-101", strings.Repeat("r", 63)}, hosts, wantRegion},
		"replicate.vault_id":               {[]string{vaultA, strings.ToUpper(vaultB)}, vaults, wantVault},
		"replicate.destination_vault_id":   {[]string{vaultA}, vaults, wantVault},
		"replicate.destination_project_id": {[]string{destinationProject}, projects, wantProject},
		"replicate.destination_region":     {[]string{"region2"}, hosts, wantRegion},
		"correlation_id":                   {[]string{"!", "~", strings.Repeat("x", 128)}, []string{"", "a b", "é", "\t", "\u007f", strings.Repeat("x", 129)}, wantCorrelation},
		"replicate.cross_account_urn":      {[]string{"u", "urn with spaces", strings.Repeat("~", 512)}, []string{"", "a\n", "\u0000", "é", "\u200b", "\ufffd", strings.Repeat("u", 513)}, wantURN},
		"requested_at": {
			[]string{
				"2026-11-23T02:00:00Z", "2026-11-23t02:00:00.5z", "2026-11-23T02:00:00.123456789+23:59", "2026-11-23T02:00:00-00:00",
				"1000-01-01T00:00:00Z", "2026-11-23T02:00:00.1234567891234Z",
			},
			[]string{
				"", "2026-11-23", "2026-11-23T02:00:00", "2026-11-23 02:00:00Z", "2026-11-23T02:00:00+24:00",
				"2026-02-30T02:00:00Z", "0001-01-01T00:00:00Z", "1795399200", "2026-11-23T02:00:00,5Z", "2026-11-23T2:00:00Z", "2026-11-23T02:00:00.Z",
				"2026-11-23T02:00:00+10:60", "2026-11-23T02:00:60Z", "2026-11-23T02:00:00Z\n", "0999-12-31T23:59:59Z",
			},
			wantTime,
		},
	} {
		t.Run(path, func(t *testing.T) {
			t.Parallel()
			for _, value := range slices.Concat(values.good, values.bad) {
				text := string(encode(t, value))
				body := fmt.Sprintf(`{%q:%s}`, path, text)
				if inner, ok := strings.CutPrefix(path, "replicate."); ok {
					body = fmt.Sprintf(`{"replicate":{%q:%s}}`, inner, text)
				}
				r, err := newDecoder().parseWith([]byte(body), fullDefaults)
				if slices.Contains(values.good, value) {
					if err != nil {
						t.Errorf("%q: %v", value, err)
					} else {
						checkRequest(t, newDecoder(), r)
					}
					continue
				}
				if want := path + ": expected " + values.want; err == nil || err.Message != want {
					t.Errorf("%q: error %v, want %s", value, err, want)
				}
			}
		})
	}
}

// TestAbsentStaysAbsent: an optional field that is not given is not sent, since
// sister clouds do not know every field.
func TestAbsentStaysAbsent(t *testing.T) {
	t.Parallel()
	want := `{"project_id":"` + project + `","region":"region1","replicate":{"vault_id":"` + vaultA + `","destination_vault_id":"` + destinationVault +
		`","destination_project_id":"` + destinationProject + `","destination_region":"region2"}}`
	r, err := newDecoder().parseWith([]byte(`{}`), fullDefaults)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, string(encode(t, r))); diff != "" {
		t.Errorf("encoded (-want +got):\n%s", diff)
	}
}

// TestManyProblems: the message is bounded, however much is wrong.
func TestManyProblems(t *testing.T) {
	t.Parallel()
	body := "{" + strings.Repeat(`"x":1,`, 100_000) + strings.Repeat(`"y":[`, 9_000) + strings.Repeat(`]`, 9_000) + "}"
	body = strings.ReplaceAll(body, `["y":`, `[`)
	_, err := newDecoder().parseWith([]byte(body), fullDefaults)
	if err == nil || err.Message != "unknown field x; unknown field y" {
		t.Errorf("error %.100v", err)
	}
	var many strings.Builder
	for i := range 10_000 {
		fmt.Fprintf(&many, `"x%d":1,`, i)
	}
	body = "{" + many.String() + `"y":1}`
	_, err = newDecoder().parseWith([]byte(body), fullDefaults)
	if err == nil || len(err.Message) > redact.MaxText || !strings.HasPrefix(err.Message, "unknown field x0; unknown field x1; ") {
		t.Errorf("error %.100v", err)
	}
}

// checkRequest holds an accepted request to the forms of its fields, and to what
// it is after it was encoded and parsed a second time.
func checkRequest(t testing.TB, d *Decoder, r delivery.Request) {
	t.Helper()
	to := r.Replicate
	lower := r.ProjectID + to.VaultID + to.DestinationVaultID + to.DestinationProjectID
	if !huawei.IsProjectID(r.ProjectID) || !huawei.IsRegion(r.Region) || !cbr.IsVaultID(to.VaultID) || !cbr.IsVaultID(to.DestinationVaultID) ||
		!huawei.IsProjectID(to.DestinationProjectID) || !huawei.IsRegion(to.DestinationRegion) || lower != strings.ToLower(lower) {
		t.Errorf("accepted %+v", r)
	}
	if r.CorrelationID != "" && !regexp.MustCompile(`^[\x21-\x7e]{1,128}$`).MatchString(r.CorrelationID) {
		t.Errorf("accepted correlation_id %q", r.CorrelationID)
	}
	second, err := d.parseWith(encode(t, r), Defaults{})
	if err != nil {
		t.Fatalf("%+v, parsed a second time: %v", r, err)
	}
	if diff := cmp.Diff(r, second); diff != "" {
		t.Errorf("parsed a second time (-first +second):\n%s", diff)
	}
}

func TestRoundTrip(t *testing.T) {
	t.Parallel()
	hex := func(n int) *rapid.Generator[string] { return rapid.StringMatching(fmt.Sprintf(`[0-9a-f]{%d}`, n)) }
	uuid := rapid.StringMatching(`[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}`)
	regions := rapid.StringMatching(`[a-z0-9][a-z0-9-]{0,62}`)
	printable := rapid.StringOfN(rapid.Rune().Filter(func(c rune) bool { return isURN(string(c)) }), 1, 512, -1)
	rapid.Check(t, func(t *rapid.T) {
		want := delivery.Request{
			Action:        "replicate",
			ProjectID:     hex(32).Draw(t, "project"),
			Region:        regions.Draw(t, "region"),
			CorrelationID: rapid.StringMatching(`[!-~]{0,128}`).Draw(t, "correlation"),
			Replicate: cbr.Replicate{
				VaultID:              uuid.Draw(t, "vault"),
				DestinationVaultID:   uuid.Draw(t, "destination vault"),
				DestinationProjectID: hex(32).Draw(t, "destination project"),
				DestinationRegion:    regions.Draw(t, "destination region"),
				AutoTrigger:          rapid.Ptr(rapid.Bool(), true).Draw(t, "auto"),
				EnableAcceleration:   rapid.Ptr(rapid.Bool(), true).Draw(t, "acceleration"),
				CrossAccountURN:      rapid.Ptr(printable, true).Draw(t, "urn"),
			},
		}
		if rapid.Bool().Draw(t, "has a time") {
			zone := time.FixedZone("", 60*rapid.IntRange(-23*60, 23*60).Draw(t, "zone"))
			want.RequestedAt = time.Unix(rapid.Int64Range(0, 4e9).Draw(t, "s"), rapid.Int64Range(0, 1e9-1).Draw(t, "ns")).In(zone)
		}
		body, err := json.Marshal(want)
		if err != nil {
			t.Fatal(err)
		}
		got, problem := newDecoder().parseWith(body, Defaults{})
		if problem != nil {
			t.Fatalf("%s: %v", body, problem)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("(-want +got):\n%s", diff)
		}
	})
}

// expectations are all texts that a message may have after a name.
var expectations = func() map[string]bool {
	all := map[string]bool{
		"an object": true, "to be given once": true, wantBool: true,
		missing(wantProject, "HW_PROJECT_ID"): true, missing(wantProject, "HW_CBR_DESTINATION_PROJECT_ID"): true,
		missing(wantRegion, "HW_REGION_NAME"): true, missing(wantRegion, "HW_CBR_DESTINATION_REGION"): true,
		missing(wantVault, "HW_CBR_VAULT_ID"): true, missing(wantVault, "HW_CBR_DESTINATION_VAULT_ID"): true,
	}
	for _, want := range []string{wantProject, wantRegion, wantVault, wantCorrelation, wantTime, wantURN} {
		all[want], all["a string, "+want] = true, true
	}
	return all
}()

var malformed = regexp.MustCompile(`^\$: expected a JSON object and nothing else; (there is nothing|it begins with a byte order mark|(something follows it|it breaks off|it is malformed) at line \d+, column \d+)$`)

// FuzzRequest: an accepted request is valid, and the message of a rejected one has
// only names of fields and our own words, never a value.
func FuzzRequest(f *testing.F) {
	f.Add(sample(f, "direct"), true)
	f.Add(encode(f, map[string]any{"replicate": requestFor(vaultA).Replicate}), true)
	f.Add([]byte(`{"region":"secret value","replicate":{"vault_id":["secret value"]},"x\u007f":{"secret":"value"}}`), false)
	f.Fuzz(func(t *testing.T, body []byte, defaults bool) {
		d := newDecoder()
		var or Defaults
		if defaults {
			or = fullDefaults
		}
		r, err := d.parseWith(body, or)
		if err == nil {
			if !json.Valid(body) {
				t.Fatalf("accepted, but is no JSON")
			}
			checkRequest(t, d, r)
			return
		}
		if !isPrintable(err.Message) {
			t.Errorf("message %q", err.Message)
		}
		if !json.Valid(body) {
			if !malformed.MatchString(err.Message) {
				t.Errorf("message %q", err.Message)
			}
			return
		}
		paths := map[string]bool{"$": true}
		for _, name := range []string{"project_id", "region", "vault_id", "destination_vault_id", "destination_project_id", "destination_region"} {
			paths[name] = true // may be missing
		}
		for _, name := range namesIn(t, body) {
			if strings.ContainsAny(name, ":;") {
				return // such a message cannot be split
			}
			paths[d.Redact.Text(name)] = true
		}
		if len(err.Message) >= redact.MaxText {
			return // cut
		}
		for problem := range strings.SplitSeq(err.Message, "; ") {
			if meant, ok := strings.CutPrefix(problem, "did you mean "); ok {
				if !suggestions[meant] {
					t.Errorf("suggestion %q", meant)
				}
				continue
			}
			path, isUnknown := strings.CutPrefix(problem, "unknown field ")
			want := wantTime // an unknown field has no expectation of its own
			if !isUnknown {
				path, want, _ = strings.Cut(problem, ": expected ")
			}
			if !paths[path] && !paths[strings.TrimPrefix(path, "replicate.")] {
				t.Errorf("path %q", path)
			}
			if !expectations[want] {
				t.Errorf("expectation %q", want)
			}
		}
	})
}

// suggestions are all texts after "did you mean".
var suggestions = func() map[string]bool {
	all := map[string]bool{}
	for _, f := range requestFields {
		all[f.name+"?"], all[f.name+" beside replicate?"] = true, true
		for _, inner := range f.fields {
			all[inner.name+"?"], all[f.name+"."+inner.name+"?"] = true, true
		}
	}
	return all
}()

// namesIn returns the field names in a JSON text, at every depth.
func namesIn(t testing.TB, text []byte) []string {
	t.Helper()
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.UseNumber()
	var value any
	if err := dec.Decode(&value); err != nil {
		t.Fatal(err)
	}
	var names []string
	var walk func(any)
	walk = func(v any) {
		switch v := v.(type) {
		case []any:
			for _, e := range v {
				walk(e)
			}
		case map[string]any:
			for name, e := range v {
				names = append(names, name)
				walk(e)
			}
		}
	}
	walk(value)
	return names
}
