package huawei_test

import (
	"strings"
	"testing"

	"cbr-replicator/internal/huawei"
	"cbr-replicator/internal/kind"
)

func TestEndpoints(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name                  string
		endpoint, cloud, home string
		region, want          string
	}{
		{"Huawei's own", "", "", "", "cn-north-4", "https://cbr.cn-north-4.myhuaweicloud.com"},
		{"Huawei's European one", "", "", "", "eu-west-101", "https://cbr.eu-west-101.myhuaweicloud.eu"},
		{"only a part of a prefix", "", "", "", "eu-west-0", "https://cbr.eu-west-0.myhuaweicloud.com"},
		{"a sister cloud", "", "otc.t-systems.com", "", "eu-de", "https://cbr.eu-de.otc.t-systems.com"},
		{"a sister cloud's eu-west-1", "", "prod-cloud-ocb.orange-business.com", "", "eu-west-1", "https://cbr.eu-west-1.prod-cloud-ocb.orange-business.com"},
		{"a template", "https://{region}.example.com:8443/cbr/", "", "", "eu-de", "https://eu-de.example.com:8443/cbr"},
		{"a template with the cloud", "https://backup.{region}.{cloud}//", "g42cloud.com", "", "ae-ad-1", "https://backup.ae-ad-1.g42cloud.com"},
		{"the home region alone", "https://cbr.example.com", "", "eu-de", "eu-de", "https://cbr.example.com"},
		{"a loopback name", "http://localhost:8080", "", "eu-de", "eu-de", "http://localhost:8080"},
		{"a loopback address", "http://127.0.0.2/{region}", "", "", "eu-de", "http://127.0.0.2/eu-de"},
		{"a loopback address, IPv6", "http://[::1]:80", "", "eu-de", "eu-de", "http://[::1]:80"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			e, err := huawei.NewEndpoints("cbr", tt.endpoint, tt.cloud, tt.home)
			if err != nil {
				t.Fatal(err)
			}
			if got, err := e.For(tt.region); got != tt.want || err != nil {
				t.Errorf("For(%q) = %q, %v, want %q", tt.region, got, err, tt.want)
			}
		})
	}
}

func TestIAMEndpoints(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ authURL, cloud, want string }{
		{"", "", "https://iam.cn-north-4.myhuaweicloud.com"},
		{"", "otc.t-systems.com", "https://iam.cn-north-4.otc.t-systems.com"},
		{"https://iam.myhuaweicloud.com/v3", "", "https://iam.myhuaweicloud.com"},
		{"https://iam.myhuaweicloud.com/v3/", "", "https://iam.myhuaweicloud.com"},
		{"https://iam.{region}.example.com", "", "https://iam.cn-north-4.example.com"},
		{"http://127.0.0.1:8080/v3", "", "http://127.0.0.1:8080"},
		{"https://iam.myhuaweicloud.com/v3/auth/tokens", "", "https://iam.myhuaweicloud.com"},
		{"https://iam.myhuaweicloud.com/v3/auth/tokens/", "", "https://iam.myhuaweicloud.com"},
		{"https://iam.myhuaweicloud.com/v3/auth/tokens?nocatalog=true", "", "https://iam.myhuaweicloud.com"},
		{"https://iam.{region}.example.com/iam/v3/auth/tokens/?nocatalog=true", "", "https://iam.cn-north-4.example.com/iam"},
		{"https://iam.example.com//v3//", "", "https://iam.example.com"},
	} {
		e, err := huawei.NewIAMEndpoints(tt.authURL, tt.cloud)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := e.For("cn-north-4"); got != tt.want || err != nil {
			t.Errorf("%q, %q: %q, %v, want %q", tt.authURL, tt.cloud, got, err, tt.want)
		}
	}
	for _, authURL := range []string{"http://iam.example.com/v3", "iam.example.com", "https://user:pass@iam.example.com", "https://iam.example.com?a=b", "https://iam.example.com/v3?a=b", "https://iam.example.com/v3/auth/tokens#a", "https://iam.example.com/?a=/v3/auth/tokens"} {
		if _, err := huawei.NewIAMEndpoints(authURL, ""); err == nil || strings.Contains(err.Error(), "pass") {
			t.Errorf("%s: error = %v", authURL, err)
		}
	}
}

func TestNewEndpointsRefuses(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, endpoint, cloud, home string }{
		{"a cloud that is no domain", "", "localhost", ""},
		{"a cloud with a path", "", "example.com/x", ""},
		{"a cloud with a port", "", "example.com:443", ""},
		{"a cloud with an upper-case letter", "", "Example.com", ""},
		{"no scheme", "cbr.{region}.example.com", "", ""},
		{"another scheme", "ftp://cbr.{region}.example.com", "", ""},
		{"no encryption", "http://cbr.{region}.example.com", "", ""},
		{"no encryption, a name that begins like a loopback address", "http://127.0.0.1.example.com", "", "eu-de"},
		{"no host", "https:///cbr/{region}", "", ""},
		{"a port alone", "https://:443/{region}", "", ""},
		{"an opaque URL", "https:cbr.{region}.example.com", "", ""},
		{"nothing but a slash", "/", "", ""},
		{"a user", "https://me:secret@cbr.{region}.example.com", "", ""},
		{"a query", "https://cbr.{region}.example.com/?secret=1", "", ""},
		{"an empty query", "https://cbr.{region}.example.com?", "", ""},
		{"a fragment", "https://cbr.{region}.example.com/#secret", "", ""},
		{"an empty fragment", "https://cbr.{region}.example.com#", "", ""},
		{"a line break", "https://cbr.{region}.example.com\n", "", ""},
		{"an unknown mark", "https://cbr.{zone}.example.com", "", "eu-de"},
		{"no region and no home", "https://cbr.example.com", "", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, err := huawei.NewEndpoints("cbr", tt.endpoint, tt.cloud, tt.home)
			if err == nil {
				t.Fatal("no error")
			}
			if strings.Contains(err.Error(), "secret") {
				t.Errorf("the setting is in the error: %v", err)
			}
		})
	}
}

func TestForRefuses(t *testing.T) {
	t.Parallel()
	everywhere, err := huawei.NewEndpoints("cbr", "", "", "")
	if err != nil {
		t.Fatal(err)
	}
	for _, region := range []string{
		"", "evil.example/", "evil.example#", "a@evil.example", "../x", "a/../b", "a.b", "a:80", "CN-North-4", "-a", "a b", "a\n", "ä",
		"{cloud}", strings.Repeat("a", 64),
	} {
		got, err := everywhere.For(region)
		if e := kind.As(err); got != "" || e.Of() != kind.InvalidEvent {
			t.Errorf("For(%q) = %q, %v, want an InvalidEvent", region, got, err)
		}
	}

	home, err := huawei.NewEndpoints("cbr", "https://cbr.example.com", "", "eu-de")
	if err != nil {
		t.Fatal(err)
	}
	got, err := home.For("eu-nl")
	if e := kind.As(err); got != "" || e.Of() != kind.NotAllowed || !strings.Contains(e.Message, "eu-de") {
		t.Errorf("For(%q) = %q, %v, want a NotAllowed that says what is served", "eu-nl", got, err)
	}
}
