package main

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	replicator "cbr-replicator"
	"cbr-replicator/internal/allow"
	"cbr-replicator/internal/awscall"
	"cbr-replicator/internal/cbr"
	"cbr-replicator/internal/cbr/cbrtest"
	"cbr-replicator/internal/huawei"
	"cbr-replicator/internal/kind"
	"cbr-replicator/internal/metrics"
	"cbr-replicator/internal/plan"
	"cbr-replicator/internal/redact"
	"cbr-replicator/internal/replicate"
)

const (
	project     = cbrtest.SourceProject
	destination = cbrtest.DestinationProject
	secret      = "MIIDbQYJKoZIhvcNAQcCoIIDXjCC"
)

// setenv sets what every configuration needs, and then extra.
func setenv(t *testing.T, extra map[string]string) {
	t.Helper()
	for name, value := range map[string]string{
		"HW_AUTH_TOKEN":        secret,
		"HW_PROJECT_ID":        project,
		"HW_REGION_NAME":       "region1",
		"ALLOWED_DESTINATIONS": "region2/" + destination,
		"RESULT_TOPIC_ARN":     "arn:aws:sns:eu-central-1:123456789012:results",
	} {
		t.Setenv(name, value)
	}
	for name, value := range extra {
		t.Setenv(name, value)
	}
}

func TestLoadDefaults(t *testing.T) {
	setenv(t, nil)
	s, err := load()
	if err != nil {
		t.Fatal(err)
	}
	want := &allow.List{
		Projects:     []string{project},
		Destinations: []allow.Destination{{Region: "region2", ProjectID: destination}},
		Acceleration: true,
	}
	if diff := cmp.Diff(want, s.allow); diff != "" {
		t.Errorf("allowed (-want +got):\n%s", diff)
	}
	if s.sink.region != "eu-central-1" || s.CBRTimeout != 30*time.Second || s.HTTPTimeout != 27*time.Second ||
		s.RetryInitial != 500*time.Millisecond || s.RetryMax != 20*time.Second || s.RetryAttempts != 6 ||
		s.RetryElapsed != 20*time.Second || s.DeadlineReserve != 5*time.Second ||
		s.BatchConcurrency != 10 || s.MaxReceiveCount != 10 {
		t.Errorf("defaults = %+v", s.config)
	}
	if base, err := s.endpoints.For("cn-north-4"); err != nil || base != "https://cbr.cn-north-4.myhuaweicloud.com" {
		t.Errorf("endpoint = %s, %v", base, err)
	}
}

// TestLoadEmptyIsUnset: CloudFormation sets a variable without a value to "".
func TestLoadEmptyIsUnset(t *testing.T) {
	setenv(t, map[string]string{
		"CBR_TIMEOUT": "", "RETRY_MAX_ATTEMPTS": "", "ALLOW_ACCELERATION": "", "HW_CLOUD": "", "HW_CBR_ENDPOINT": "",
		"ALLOWED_PROJECT_IDS": "", "ALLOWED_CROSS_ACCOUNT_URNS": "", "AWS_ENDPOINT_URL": "",
		"ALLOWED_DESTINATIONS": "", "HW_CBR_DESTINATION_REGION": "region2", "HW_CBR_DESTINATION_PROJECT_ID": destination,
	})
	s, err := load()
	if err != nil {
		t.Fatal(err)
	}
	if s.CBRTimeout != 30*time.Second || s.RetryAttempts != 6 || !s.AllowAcceleration {
		t.Errorf("settings = %+v", s.config)
	}
	if diff := cmp.Diff([]allow.Destination{{Region: "region2", ProjectID: destination}}, s.allow.Destinations); diff != "" {
		t.Errorf("destinations (-want +got):\n%s", diff)
	}
}

func TestLoadReportsAllProblemsAtOnce(t *testing.T) {
	setenv(t, map[string]string{
		"HW_AUTH_TOKEN":                 secret + "\nX-Evil: 1",
		"HW_PROJECT_ID":                 "badproject",
		"HW_REGION_NAME":                "evil.example.com/",
		"HW_CBR_VAULT_ID":               "badvault",
		"HW_CBR_DESTINATION_VAULT_ID":   "badvault",
		"HW_CBR_DESTINATION_PROJECT_ID": "badproject",
		"HW_CBR_DESTINATION_REGION":     "Bad_Region",
		"HW_CBR_ENDPOINT":               "http://evil.example.com",
		"ALLOWED_PROJECT_IDS":           "*,badproject",
		"ALLOWED_DESTINATIONS":          "badregion",
		"ALLOW_ACCELERATION":            "badbool",
		"RESULT_TOPIC_ARN":              "badtopic",
		"REJECTED_QUEUE_ARN":            "badqueue",
		"CBR_TIMEOUT":                   "badduration",
		"HTTP_TIMEOUT":                  "-27s",
		"RETRY_INITIAL_INTERVAL":        "500",
		"RETRY_MAX_INTERVAL":            "0s",
		"RETRY_MAX_ATTEMPTS":            "badcount",
		"RETRY_MAX_ELAPSED":             "badduration",
		"DEADLINE_RESERVE":              "badduration",
		"BATCH_CONCURRENCY":             "0",
		"MAX_RECEIVE_COUNT":             "1e3",
		"AWS_ENDPOINT_URL_SNS":          "badurl",
		"AWS_ENDPOINT_URL_EVENTBRIDGE":  "badurl",
		"AWS_ENDPOINT_URL":              "badurl",

		"AWS_ENDPOINT_URL_SECRETS_MANAGER": "badurl",

		"HW_AUTH_URL": "http://evil.example.com",
		"HTTPS_PROXY": "http://bad proxy:bad",
	})
	_, err := load()
	if err == nil {
		t.Fatal("load accepts it all")
	}
	for _, name := range []string{
		"HW_AUTH_TOKEN", "HW_PROJECT_ID", "HW_REGION_NAME", "HW_CBR_VAULT_ID", "HW_CBR_DESTINATION_VAULT_ID",
		"HW_CBR_DESTINATION_PROJECT_ID", "HW_CBR_DESTINATION_REGION", "HW_CBR_ENDPOINT", "ALLOWED_PROJECT_IDS",
		"ALLOWED_DESTINATIONS", "ALLOW_ACCELERATION", "RESULT_TOPIC_ARN", "REJECTED_QUEUE_ARN", "CBR_TIMEOUT", "HTTP_TIMEOUT",
		"RETRY_INITIAL_INTERVAL", "RETRY_MAX_INTERVAL", "RETRY_MAX_ATTEMPTS", "RETRY_MAX_ELAPSED", "DEADLINE_RESERVE",
		"BATCH_CONCURRENCY", "MAX_RECEIVE_COUNT", "AWS_ENDPOINT_URL_SNS", "AWS_ENDPOINT_URL_EVENTBRIDGE", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_SECRETS_MANAGER", "HW_AUTH_URL", "HTTPS_PROXY",
	} {
		if n := strings.Count("\n"+err.Error(), "\n"+name+": "); n != 1 {
			t.Errorf("%s is named %d times in:\n%v", name, n, err)
		}
	}
	for _, value := range []string{secret, "badproject", "badvault", "badregion", "badqueue", "badbool", "badduration", "badcount", "evil", "bad proxy"} {
		if strings.Contains(err.Error(), value) {
			t.Errorf("the value %q is in:\n%v", value, err)
		}
	}
}

// TestLoadSaysWhatIsExpected: a wrong value is reported once, with what its type
// expects, also if it can be read but is out of bounds.
func TestLoadSaysWhatIsExpected(t *testing.T) {
	const (
		duration = "expected a positive duration such as 500ms or 20s"
		count    = "expected a whole number from 1 to 10000"
	)
	for _, tt := range []struct{ name, value, want string }{
		{"CBR_TIMEOUT", "soon", duration},
		{"CBR_TIMEOUT", "30", duration},
		{"HTTP_TIMEOUT", "0s", duration},
		{"RETRY_MAX_INTERVAL", "0s", duration},
		{"DEADLINE_RESERVE", "-5s", duration},
		{"DEADLINE_RESERVE", " ", duration},
		{"BATCH_CONCURRENCY", "0", count},
		{"BATCH_CONCURRENCY", "-1", count},
		{"BATCH_CONCURRENCY", "010", count}, // not 8
		{"BATCH_CONCURRENCY", "+010", count},
		{"BATCH_CONCURRENCY", "08", count},
		{"BATCH_CONCURRENCY", "0x10", count},
		{"MAX_RECEIVE_COUNT", "10001", count},
		{"MAX_RECEIVE_COUNT", "99999999999999999999", count},
		{"AWS_LAMBDA_MAX_CONCURRENCY", "many", count},
		{"RETRY_MAX_ATTEMPTS", "1.5", count},
		{"ALLOW_ACCELERATION", "yes", "expected true or false"},
		{"MAX_RECEIVE_COUNT", "10000", ""},
		{"ALLOW_ACCELERATION", "F", ""},
	} {
		setenv(t, map[string]string{tt.name: tt.value})
		got, want := "", ""
		if _, err := load(); err != nil {
			got = err.Error()
		}
		if tt.want != "" {
			want = tt.name + ": " + tt.want
		}
		if got != want {
			t.Errorf("%s=%q: error %q, want %q", tt.name, tt.value, got, want)
		}
		t.Setenv(tt.name, "")
	}
}

// TestLoadComparesIntervals: the first interval must not be longer than the longest
// one, or it would have no effect.
func TestLoadComparesIntervals(t *testing.T) {
	for _, tt := range []struct{ initial, longest, want string }{
		{"20s", "20s", ""},
		{"20001ms", "", "RETRY_INITIAL_INTERVAL: expected at most RETRY_MAX_INTERVAL"},
		{"", "499ms", "RETRY_INITIAL_INTERVAL: expected at most RETRY_MAX_INTERVAL"},
		{"2s", "-1s", "RETRY_MAX_INTERVAL: expected a positive duration such as 500ms or 20s"},
	} {
		setenv(t, map[string]string{"RETRY_INITIAL_INTERVAL": tt.initial, "RETRY_MAX_INTERVAL": tt.longest})
		got := ""
		if _, err := load(); err != nil {
			got = err.Error()
		}
		if got != tt.want {
			t.Errorf("from %q to %q: error %q, want %q", tt.initial, tt.longest, got, tt.want)
		}
	}
}

// TestLoadNamesTheRecommendedFirst: without a credential, the error first names the one
// that docs/credentials.md recommends.
func TestLoadNamesTheRecommendedFirst(t *testing.T) {
	setenv(t, map[string]string{"HW_AUTH_TOKEN": ""})
	const want = "HW_AUTH_TOKEN_SECRET: required, or HW_ACCESS_KEY with HW_SECRET_KEY, or HW_USER_NAME with HW_USER_PASSWORD and HW_DOMAIN_NAME, or HW_AUTH_TOKEN"
	if _, err := load(); err == nil || err.Error() != want {
		t.Errorf("error %v, want %s", err, want)
	}
}

// TestLoadLeavesTheEnvironment: load puts back the variables that it removed while
// it read the others.
func TestLoadLeavesTheEnvironment(t *testing.T) {
	setenv(t, map[string]string{
		"CBR_TIMEOUT": "", "HTTP_TIMEOUT": "soon", "BATCH_CONCURRENCY": "010", "MAX_RECEIVE_COUNT": "", "ALLOW_ACCELERATION": "yes",
	})
	want := slices.Sorted(slices.Values(os.Environ()))
	if _, err := load(); err == nil {
		t.Error("load accepts it")
	}
	if diff := cmp.Diff(want, slices.Sorted(slices.Values(os.Environ()))); diff != "" {
		t.Errorf("environment (-before +after):\n%s", diff)
	}
}

// TestLoadLists: spaces around entries and empty entries do not count.
func TestLoadLists(t *testing.T) {
	setenv(t, map[string]string{"ALLOWED_CROSS_ACCOUNT_URNS": " , urn:a ,,urn:b\n,", "ALLOWED_PROJECT_IDS": " , "})
	s := mustLoad(t)
	if diff := cmp.Diff(&allow.List{
		Projects:     []string{project}, // HW_PROJECT_ID's
		Destinations: s.allow.Destinations,
		URNs:         []string{"urn:a", "urn:b"},
		Acceleration: true,
	}, s.allow); diff != "" {
		t.Errorf("allowed (-want +got):\n%s", diff)
	}
}

func TestLoadRequires(t *testing.T) {
	all := []string{"HW_AUTH_TOKEN", "HW_PROJECT_ID", "HW_REGION_NAME", "ALLOWED_DESTINATIONS", "RESULT_TOPIC_ARN"}
	for name, tt := range map[string]struct {
		unset []string
		set   map[string]string
		want  []string
	}{
		"nothing is set":                      {unset: all, want: []string{"HW_AUTH_TOKEN_SECRET", "RESULT_TOPIC_ARN", "ALLOWED_PROJECT_IDS", "ALLOWED_DESTINATIONS"}},
		"a token without its project":         {unset: []string{"HW_PROJECT_ID"}, set: map[string]string{"ALLOWED_PROJECT_IDS": "*"}, want: []string{"HW_PROJECT_ID"}},
		"a secret":                            {unset: []string{"HW_AUTH_TOKEN", "HW_PROJECT_ID"}, set: map[string]string{"HW_AUTH_TOKEN_SECRET": "huawei", "AWS_REGION": "eu-central-1", "ALLOWED_PROJECT_IDS": "*"}},
		"a secret of no region":               {unset: []string{"HW_AUTH_TOKEN"}, set: map[string]string{"HW_AUTH_TOKEN_SECRET": "huawei", "AWS_REGION": ""}, want: []string{"HW_AUTH_TOKEN_SECRET"}},
		"a secret by its ARN":                 {unset: []string{"HW_AUTH_TOKEN"}, set: map[string]string{"HW_AUTH_TOKEN_SECRET": "arn:aws:secretsmanager:eu-central-1:123456789012:secret:huawei-AbCdEf", "AWS_REGION": ""}},
		"a user":                              {unset: []string{"HW_AUTH_TOKEN"}, set: map[string]string{"HW_USER_NAME": "u", "HW_USER_PASSWORD": "p", "HW_DOMAIN_NAME": "d"}},
		"half a user":                         {unset: []string{"HW_AUTH_TOKEN"}, set: map[string]string{"HW_USER_PASSWORD": "p"}, want: []string{"HW_USER_NAME", "HW_DOMAIN_NAME"}},
		"a key":                               {unset: []string{"HW_AUTH_TOKEN"}, set: map[string]string{"HW_ACCESS_KEY": "a", "HW_SECRET_KEY": "s"}},
		"half a key":                          {unset: []string{"HW_AUTH_TOKEN"}, set: map[string]string{"HW_SECURITY_TOKEN": "t", "HW_ACCESS_KEY": "a"}, want: []string{"HW_SECRET_KEY"}},
		"two sources":                         {set: map[string]string{"HW_ACCESS_KEY": "a", "HW_SECRET_KEY": "s"}, want: []string{"HW_AUTH_TOKEN, HW_ACCESS_KEY"}},
		"a user of another company":           {unset: []string{"HW_AUTH_TOKEN"}, set: map[string]string{"HW_USER_NAME": "u", "HW_USER_PASSWORD": "p", "HW_DOMAIN_NAME": "d", "HW_CBR_ENDPOINT": "https://cbr.eu-de.otc.t-systems.com"}, want: []string{"HW_AUTH_URL"}},
		"a user of a named company":           {unset: []string{"HW_AUTH_TOKEN"}, set: map[string]string{"HW_USER_NAME": "u", "HW_USER_PASSWORD": "p", "HW_DOMAIN_NAME": "d", "HW_CBR_ENDPOINT": "https://cbr.eu-de.otc.t-systems.com", "HW_CLOUD": "otc.t-systems.com"}},
		"a user at Huawei's own endpoint":     {unset: []string{"HW_AUTH_TOKEN"}, set: map[string]string{"HW_USER_NAME": "u", "HW_USER_PASSWORD": "p", "HW_DOMAIN_NAME": "d", "HW_CBR_ENDPOINT": "https://cbr.{region}.myhuaweicloud.com"}},
		"IAM elsewhere":                       {set: map[string]string{"HW_AUTH_URL": "https://iam.eu-de.otc.t-systems.com/v3"}},
		"an endpoint for no region":           {unset: []string{"HW_REGION_NAME"}, set: map[string]string{"HW_CBR_ENDPOINT": "https://cbr.example.com"}, want: []string{"HW_CBR_ENDPOINT"}},
		"an endpoint with all regions":        {unset: []string{"HW_REGION_NAME"}, set: map[string]string{"HW_CBR_ENDPOINT": "https://cbr.{region}.example.com"}},
		"a cloud that is no domain":           {set: map[string]string{"HW_CLOUD": "https://otc.t-systems.com"}, want: []string{"HW_CLOUD"}},
		"a sister cloud":                      {set: map[string]string{"HW_CLOUD": "otc.t-systems.com"}},
		"loopback may be http":                {set: map[string]string{"HW_CBR_ENDPOINT": "http://127.0.0.1:8080"}},
		"half of a destination is not enough": {unset: []string{"ALLOWED_DESTINATIONS"}, set: map[string]string{"HW_CBR_DESTINATION_REGION": "region2"}, want: []string{"ALLOWED_DESTINATIONS"}},
	} {
		t.Run(name, func(t *testing.T) {
			setenv(t, tt.set)
			for _, v := range tt.unset {
				t.Setenv(v, "")
			}
			_, err := load()
			var got []string
			if err != nil {
				for line := range strings.Lines(err.Error()) {
					variable, _, _ := strings.Cut(line, ":")
					got = append(got, variable)
				}
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("problems (-want +got):\n%s\n%v", diff, err)
			}
		})
	}
}

// TestResultTopicARN: it names a topic or an event bus, of any region.
func TestResultTopicARN(t *testing.T) {
	const (
		topic = "arn:aws:sns:eu-central-1:123456789012:results"
		bus   = "arn:aws:events:eu-central-1:123456789012:event-bus/results"
	)
	for name, want := range map[string]string{
		topic:             "the result topic in eu-central-1",
		topic + ".fifo":   "the result topic in eu-central-1",
		" " + topic + " ": "the result topic in eu-central-1",
		"arn:aws-cn:sns:cn-north-1:123456789012:results": "the result topic in cn-north-1",

		bus: "the result event bus in eu-central-1",
		"arn:aws-cn:events:cn-north-1:123456789012:event-bus/default": "the result event bus in cn-north-1",

		"results": "", "arn:aws:sns:eu-central-1": "",
		"arn:aws:sqs:eu-central-1:123456789012:results":       "",
		"arn:aws:sns::123456789012:results":                   "",
		"arn:aws:sns:eu-central-1:1234:":                      "",
		topic + ":0b7a4f2e-a-subscription":                    "",
		"urn:smn:sns:eu-central-1:1234:result":                "",
		"arn:aws:events:eu-central-1:123456789012:results":    "",
		"arn:aws:events::123456789012:event-bus/results":      "",
		"arn:aws:events:eu-central-1:123456789012:event-bus/": "",
		"arn:aws:events:eu-central-1:123456789012:rule/a/b":   "",
		"arn:aws:sns:eu-central-1:123456789012:event-bus/a:b": "",
	} {
		setenv(t, map[string]string{"RESULT_TOPIC_ARN": name})
		s, err := load()
		got := ""
		if err == nil {
			got = s.sink.open(huawei.Service{}).String() + " in " + s.sink.region
		} else if want := "RESULT_TOPIC_ARN: expected arn:aws:sns:REGION:ACCOUNT:NAME or arn:aws:events:REGION:ACCOUNT:event-bus/NAME"; err.Error() != want {
			t.Errorf("%q: %v", name, err)
		}
		if got != want {
			t.Errorf("%q is %q, want %q", name, got, want)
		}
	}
}

// TestResultTopicURN: it names a topic of SMN, whose region and project are its
// own, in place of the ARN.
func TestResultTopicURN(t *testing.T) {
	const (
		topic = "urn:smn:cn-north-4:" + project + ":results"
		form  = "RESULT_TOPIC_URN: expected urn:smn:REGION:PROJECT:NAME"
	)
	for name, tt := range map[string]struct {
		set  map[string]string
		want string // an address, or an error
	}{
		"a topic":              {map[string]string{"RESULT_TOPIC_URN": " " + topic + " "}, "https://smn.cn-north-4.myhuaweicloud.com"},
		"a European one":       {map[string]string{"RESULT_TOPIC_URN": "urn:smn:eu-west-101:" + project + ":results"}, "https://smn.eu-west-101.myhuaweicloud.eu"},
		"of a sister cloud":    {map[string]string{"RESULT_TOPIC_URN": topic, "HW_CLOUD": "otc.t-systems.com"}, "https://smn.cn-north-4.otc.t-systems.com"},
		"at an endpoint":       {map[string]string{"RESULT_TOPIC_URN": topic, "HW_SMN_ENDPOINT": "https://smn.example.com/"}, "https://smn.example.com"},
		"at one by region":     {map[string]string{"RESULT_TOPIC_URN": topic, "HW_SMN_ENDPOINT": "https://smn.{region}.example.com"}, "https://smn.cn-north-4.example.com"},
		"on this machine":      {map[string]string{"RESULT_TOPIC_URN": topic, "HW_SMN_ENDPOINT": "http://127.0.0.1:1"}, "http://127.0.0.1:1"},
		"not encrypted":        {map[string]string{"RESULT_TOPIC_URN": topic, "HW_SMN_ENDPOINT": "http://smn.example.com"}, "HW_SMN_ENDPOINT: the endpoint must be https, or http on a loopback host"},
		"no URL":               {map[string]string{"RESULT_TOPIC_URN": topic, "HW_SMN_ENDPOINT": "smn"}, "HW_SMN_ENDPOINT: the endpoint is not a URL such as https://cbr.{region}.example.com"},
		"of no known cloud":    {map[string]string{"RESULT_TOPIC_URN": topic, "HW_CBR_ENDPOINT": "https://cbr.example.com"}, "HW_SMN_ENDPOINT: required with RESULT_TOPIC_URN, or HW_CLOUD, since HW_CBR_ENDPOINT is not Huawei's own"},
		"of one that is said":  {map[string]string{"RESULT_TOPIC_URN": topic, "HW_CBR_ENDPOINT": "https://cbr.example.com", "HW_SMN_ENDPOINT": "https://smn.example.com"}, "https://smn.example.com"},
		"a cloud that is none": {map[string]string{"RESULT_TOPIC_URN": topic, "HW_CLOUD": "cloud"}, "HW_CLOUD: the cloud is not a domain name such as myhuaweicloud.com"},
		"both":                 {map[string]string{"RESULT_TOPIC_URN": topic, "RESULT_TOPIC_ARN": "arn:aws:sns:eu-central-1:123456789012:results"}, "RESULT_TOPIC_ARN, RESULT_TOPIC_URN: set one of them: each says where results go"},
		"neither":              {nil, "RESULT_TOPIC_ARN: required, or RESULT_TOPIC_URN"},
		"an ARN":               {map[string]string{"RESULT_TOPIC_URN": "arn:aws:sns:eu-central-1:123456789012:results"}, form},
		"a subscription":       {map[string]string{"RESULT_TOPIC_URN": topic + ":0b7a4f2e"}, form},
		"a function":           {map[string]string{"RESULT_TOPIC_URN": "urn:fss:cn-north-4:" + project + ":results"}, form},
		"no project":           {map[string]string{"RESULT_TOPIC_URN": "urn:smn:cn-north-4:1:results"}, form},
		"another project, with a token": {
			map[string]string{"RESULT_TOPIC_URN": "urn:smn:cn-north-4:" + destination + ":results"},
			"RESULT_TOPIC_URN: its project is not HW_PROJECT_ID, and the token of HW_AUTH_TOKEN is good for that alone",
		},
		"another project, with a key": {
			map[string]string{"RESULT_TOPIC_URN": "urn:smn:cn-north-4:" + destination + ":results", "HW_AUTH_TOKEN": "", "HW_ACCESS_KEY": "a", "HW_SECRET_KEY": "s"},
			"https://smn.cn-north-4.myhuaweicloud.com",
		},
		"the same project in capitals": {map[string]string{"RESULT_TOPIC_URN": strings.Replace(topic, project, strings.ToUpper(project), 1)}, "https://smn.cn-north-4.myhuaweicloud.com"},
	} {
		t.Run(name, func(t *testing.T) {
			setenv(t, map[string]string{"RESULT_TOPIC_ARN": ""})
			for name, value := range tt.set {
				t.Setenv(name, value)
			}
			s, err := load()
			var got string
			if err != nil {
				got = err.Error()
			} else {
				got = s.sink.url
				if name := s.sink.open(huawei.Service{}).String(); name != "the result topic" || s.ahead()[0] != got {
					t.Errorf("%s at %s", name, s.ahead()[0])
				}
			}
			if got != tt.want {
				t.Errorf("%s, want %s", got, tt.want)
			}
		})
	}
}

func mustLoad(t *testing.T) *settings {
	t.Helper()
	s, err := load()
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestEnterpriseProject: the default is all enterprise projects, if the cloud is
// Huawei's own.
func TestEnterpriseProject(t *testing.T) {
	for name, tt := range map[string]struct {
		set  map[string]string
		want string
	}{
		"Huawei's own":   {nil, "all_granted_eps"},
		"a sister cloud": {map[string]string{"HW_CLOUD": "otc.t-systems.com"}, ""},
		"an unknown one": {map[string]string{"HW_CBR_ENDPOINT": "https://cbr.example.com"}, ""},
		"set":            {map[string]string{"HW_CLOUD": "otc.t-systems.com", "HW_ENTERPRISE_PROJECT_ID": "0"}, "0"},
	} {
		t.Run(name, func(t *testing.T) {
			setenv(t, tt.set)
			h := newHandler(mustLoad(t), huawei.NewHTTPClient(1), io.Discard, metrics.EMF, slog.New(slog.DiscardHandler))
			if got := replicates(h).CBR.(*cbr.Client).EnterpriseProjectID; got != tt.want {
				t.Errorf("enterprise project %q, want %q", got, tt.want)
			}
			if writes, reads := replicates(h).Retry.Budget, replicates(h).Reads.Budget; writes == nil || reads == nil || writes == reads {
				t.Error("retries of calls that replicate and of lookups have no budget each")
			}
		})
	}
	setenv(t, map[string]string{"HW_ENTERPRISE_PROJECT_ID": "x&y=z"})
	if _, err := load(); err == nil || !strings.HasPrefix(err.Error(), "HW_ENTERPRISE_PROJECT_ID: ") {
		t.Errorf("error = %v", err)
	}
}

// TestRejectedQueue: without a variable there is no queue. Its region is the ARN's,
// not the function's.
func TestRejectedQueue(t *testing.T) {
	const arn = "arn:aws:sqs:eu-west-1:210987654321:rejected"
	for name, tt := range map[string]struct {
		set      map[string]string
		arn      string // of the queue, empty for none
		endpoint string
	}{
		"not set":          {nil, "", ""},
		"empty":            {map[string]string{"REJECTED_QUEUE_ARN": ""}, "", ""},
		"set":              {map[string]string{"REJECTED_QUEUE_ARN": " " + arn + "\n"}, arn, ""},
		"FIFO":             {map[string]string{"REJECTED_QUEUE_ARN": arn + ".fifo"}, arn + ".fifo", ""},
		"elsewhere":        {map[string]string{"REJECTED_QUEUE_ARN": arn, "AWS_ENDPOINT_URL": "http://127.0.0.1:1"}, arn, "http://127.0.0.1:1"},
		"SQS elsewhere":    {map[string]string{"REJECTED_QUEUE_ARN": arn, "AWS_ENDPOINT_URL": "http://127.0.0.1:1", "AWS_ENDPOINT_URL_SQS": "http://127.0.0.1:2"}, arn, "http://127.0.0.1:2"},
		"only an endpoint": {map[string]string{"AWS_ENDPOINT_URL_SQS": "http://127.0.0.1:2"}, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("AWS_REGION", "eu-central-1")
			setenv(t, tt.set)
			h := newHandler(mustLoad(t), huawei.NewHTTPClient(1), io.Discard, metrics.EMF, slog.New(slog.DiscardHandler))
			if tt.arn == "" {
				if h.Rejected != nil {
					t.Errorf("bodies are kept in %v", h.Rejected.Name)
				}
				return
			}
			client := h.Rejected.SQS.(*awscall.Client)
			if h.Rejected.Name.ARN() != tt.arn || client.Region != "eu-west-1" || client.Endpoint != tt.endpoint {
				t.Errorf("bodies go to %s at %q in %s", h.Rejected.Name.ARN(), client.Endpoint, client.Region)
			}
		})
	}
	for _, arn := range []string{
		"https://sqs.eu-west-1.amazonaws.com/210987654321/rejected", "arn:aws:sns:eu-west-1:210987654321:rejected", "rejected",
	} {
		setenv(t, map[string]string{"REJECTED_QUEUE_ARN": arn})
		if _, err := load(); err == nil || err.Error() != "REJECTED_QUEUE_ARN: expected arn:aws:sqs:REGION:ACCOUNT:NAME" {
			t.Errorf("%s: error = %v", arn, err)
		}
	}
}

func TestNewHandlerHidesEveryCredential(t *testing.T) {
	setenv(t, map[string]string{
		"AWS_SECRET_ACCESS_KEY": "wJalrXUtnFEMIK7MDENG",
		"AWS_SESSION_TOKEN":     "IQoJb3JpZ2luX2VjE",
		"HTTPS_PROXY":           "http://user:proxy-password@proxy.example.com:3128",
	})
	var out bytes.Buffer
	h := newHandler(mustLoad(t), huawei.NewHTTPClient(1), &out, metrics.EMF, slog.New(slog.DiscardHandler))
	for _, credential := range []string{secret, "wJalrXUtnFEMIK7MDENG", "IQoJb3JpZ2luX2VjE", "proxy-password"} {
		if got := h.Redact.Text("x" + credential + "y"); strings.Contains(got, credential) {
			t.Errorf("%q is not masked", credential)
		}
	}
	// A token is for its own project, even if the allow-list has others.
	_, err := replicates(h).CBR.Replicate(t.Context(), huawei.Scope{ProjectID: destination, Region: "region1"}, cbr.Replicate{})
	if e := kind.As(err); e == nil || e.Kind != kind.NotAllowed {
		t.Errorf("another project: %v", err)
	}
}

// TestProxiesInEitherCase: net/http takes a proxy's variable in capitals or, if that
// is not set, in small letters. Both are masked, and the one that counts is checked.
func TestProxiesInEitherCase(t *testing.T) {
	const bad, good = "http://bad proxy:bad", "proxy.example.com:3128"
	for name, tt := range map[string]struct {
		set  map[string]string
		want string
	}{
		"small https":            {map[string]string{"https_proxy": bad}, "https_proxy"},
		"small http":             {map[string]string{"http_proxy": bad}, "http_proxy"},
		"capitals":               {map[string]string{"HTTP_PROXY": bad, "http_proxy": good}, "HTTP_PROXY"},
		"small does not count":   {map[string]string{"HTTPS_PROXY": good, "https_proxy": bad}, ""},
		"capitals, set to empty": {map[string]string{"HTTPS_PROXY": "", "https_proxy": bad}, "https_proxy"},
	} {
		t.Run(name, func(t *testing.T) {
			setenv(t, tt.set)
			_, err := load()
			if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.HasPrefix(err.Error(), tt.want+": ")) || err != nil && strings.Contains(err.Error(), "bad") {
				t.Errorf("error = %v", err)
			}
		})
	}

	setenv(t, map[string]string{
		"HTTPS_PROXY": "http://me:a%2Fcapital%20password@proxy.example.com:3128",
		"https_proxy": "http://me:a-small-password@proxy.example.com:3128",
		"HTTP_PROXY":  "",
		"http_proxy":  "me:pw%26@proxy.example.com:3128",
	})
	h := newHandler(mustLoad(t), huawei.NewHTTPClient(1), io.Discard, metrics.EMF, slog.New(slog.DiscardHandler))
	for _, shown := range []string{
		"http://me:a%2Fcapital%20password@proxy.example.com:3128", "a/capital password", "a%2fcapital+password", "a-small-password",
		"Basic " + base64.StdEncoding.EncodeToString([]byte("me:a-small-password")), "http://me:pw%26@proxy", "{me:pw\\u0026}",
		"Basic " + base64.StdEncoding.EncodeToString([]byte("me:pw&")),
	} {
		got := h.Redact.Text(shown)
		for _, part := range []string{"pital", "small", "pw", "26", "bWU6cHcm", "c21hbGw", "zbWFsb", "NtYWxs"} {
			if strings.Contains(got, part) {
				t.Errorf("%s is shown as %s", shown, got)
			}
		}
		if !strings.Contains(got, redact.Mask) {
			t.Errorf("%s is shown as %s", shown, got)
		}
	}
}

// TestShortSecretsAreNamed: the log names the variables whose secret is too short to
// be masked everywhere, without their values.
func TestShortSecretsAreNamed(t *testing.T) {
	setenv(t, map[string]string{
		"HW_AUTH_TOKEN": "", "HW_USER_NAME": "u", "HW_USER_PASSWORD": "pa55", "HW_DOMAIN_NAME": "d",
		"AWS_SECRET_ACCESS_KEY": "test", "AWS_SESSION_TOKEN": "example-session-token", "http_proxy": "http://me:backup@proxy.example.com:3128",
	})
	var out bytes.Buffer
	newHandler(mustLoad(t), huawei.NewHTTPClient(1), io.Discard, metrics.EMF, slog.New(slog.NewTextHandler(&out, nil)))
	const want = `level=WARN msg="a secret of fewer than eight characters is masked only where it stands alone" variables="HW_USER_PASSWORD, AWS_SECRET_ACCESS_KEY, http_proxy"` + "\n"
	if _, got, _ := strings.Cut(out.String(), " "); got != want {
		t.Errorf("log: %s", out.String())
	}
	out.Reset()
	setenv(t, map[string]string{"HW_USER_PASSWORD": "pa55word", "AWS_SECRET_ACCESS_KEY": "", "http_proxy": "http://proxy.example.com"})
	t.Setenv("HW_AUTH_TOKEN", "")
	newHandler(mustLoad(t), huawei.NewHTTPClient(1), io.Discard, metrics.EMF, slog.New(slog.NewTextHandler(&out, nil)))
	if out.Len() > 0 {
		t.Errorf("log: %s", out.String())
	}
}

// TestRequestTopicURN: it takes the place of the queue for a plan's requests, and is
// read as the topic of results is.
func TestRequestTopicURN(t *testing.T) {
	const (
		topic = "urn:smn:cn-north-4:" + project + ":requests"
		queue = "arn:aws:sqs:eu-central-1:123456789012:requests"
	)
	for name, tt := range map[string]struct {
		set  map[string]string
		want string // the sender's type, or an error
	}{
		"a topic": {map[string]string{"REQUEST_TOPIC_URN": topic}, "*plan.Topic"},
		"a queue": {map[string]string{"REQUEST_QUEUE_ARN": queue}, "*plan.Queue"},
		"neither": {nil, "<nil>"},
		"both":    {map[string]string{"REQUEST_TOPIC_URN": topic, "REQUEST_QUEUE_ARN": queue}, "REQUEST_QUEUE_ARN, REQUEST_TOPIC_URN: set one of them: each says where plans send requests"},
		"an ARN":  {map[string]string{"REQUEST_TOPIC_URN": queue}, "REQUEST_TOPIC_URN: expected urn:smn:REGION:PROJECT:NAME"},
		"another project, with a token": {
			map[string]string{"REQUEST_TOPIC_URN": "urn:smn:cn-north-4:" + destination + ":requests"},
			"REQUEST_TOPIC_URN: its project is not HW_PROJECT_ID, and the token of HW_AUTH_TOKEN is good for that alone",
		},
		"the topic of results": {
			map[string]string{"REQUEST_TOPIC_URN": topic, "RESULT_TOPIC_URN": topic, "RESULT_TOPIC_ARN": ""},
			"REQUEST_TOPIC_URN: expected another topic than RESULT_TOPIC_URN: its subscribers would get the requests, too",
		},
		"of no known cloud": {
			map[string]string{"REQUEST_TOPIC_URN": topic, "HW_CBR_ENDPOINT": "https://cbr.example.com"},
			"HW_SMN_ENDPOINT: required with REQUEST_TOPIC_URN, or HW_CLOUD, since HW_CBR_ENDPOINT is not Huawei's own",
		},
	} {
		t.Run(name, func(t *testing.T) {
			setenv(t, tt.set)
			s, err := load()
			got := fmt.Sprint(err)
			if err == nil {
				h := newHandler(s, huawei.NewHTTPClient(1), io.Discard, metrics.EMF, slog.New(slog.DiscardHandler))
				for _, a := range h.Actions {
					if p, ok := a.(*plan.Action); ok {
						got = fmt.Sprintf("%T", p.Requests)
					}
				}
			}
			if got != tt.want {
				t.Errorf("%s, want %s", got, tt.want)
			}
		})
	}
}

// TestNothingFeedsTheFollowQueue: with results on a topic of SMN the log says that a
// follow queue gets nothing from it.
func TestNothingFeedsTheFollowQueue(t *testing.T) {
	const queue = "arn:aws:sqs:eu-central-1:123456789012:follow"
	for name, tt := range map[string]struct {
		arn, urn, queue string
		want            int
	}{
		"a topic of SNS":               {"arn:aws:sns:eu-central-1:123456789012:results", "", queue, 0},
		"a topic of SMN":               {"", resultURN, queue, 1},
		"a topic of SMN, not followed": {"", resultURN, "", 0},
	} {
		t.Run(name, func(t *testing.T) {
			setenv(t, map[string]string{"RESULT_TOPIC_ARN": tt.arn, "RESULT_TOPIC_URN": tt.urn, "FOLLOW_QUEUE_ARN": tt.queue})
			var out bytes.Buffer
			newHandler(mustLoad(t), huawei.NewHTTPClient(1), io.Discard, metrics.EMF, slog.New(slog.NewTextHandler(&out, nil)))
			if got := strings.Count(out.String(), `level=WARN msg="nothing here feeds FOLLOW_QUEUE_ARN`); got != tt.want {
				t.Errorf("%d warnings, want %d\n%s", got, tt.want, out.String())
			}
		})
	}
}

// replicates is the handler's first action.
func replicates(h *replicator.Handler) *replicate.Action { return h.Actions[0].(*replicate.Action) }
