package huawei

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"regexp"
	"strings"

	"cbr-replicator/internal/kind"
)

// Endpoints says which host serves a region. The zero value serves none; make
// one with [NewEndpoints]. It is safe for concurrent use.
type Endpoints struct {
	template string // base URL, "{region}" and "{cloud}" to be filled in
	cloud    string // empty: Huawei's own, by region
	only     string // the region that a template without {region} serves
}

// LoginPath is where IAM gives tokens (IAM API reference, "Obtaining a User
// Token Through Password Authentication").
const LoginPath = "/v3/auth/tokens"

const regionMark, cloudMark = "{region}", "{cloud}"

var domain = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)+$`)

// NewEndpoints makes Endpoints of a service, "cbr" for one, and an operator's
// settings. An empty endpoint is https://{service}.{region}.{cloud}; an empty
// cloud is Huawei's own domain. An endpoint without {region} serves the home
// region alone.
func NewEndpoints(service, endpoint, cloud, home string) (Endpoints, error) {
	if cloud != "" && !domain.MatchString(cloud) {
		return Endpoints{}, errors.New("the cloud is not a domain name such as myhuaweicloud.com")
	}
	e := Endpoints{template: strings.TrimRight(endpoint, "/"), cloud: cloud}
	if endpoint == "" {
		e.template = "https://" + service + "." + regionMark + "." + cloudMark
		return e, nil
	}
	if err := e.check(); err != nil {
		return Endpoints{}, err
	}
	if !strings.Contains(e.template, regionMark) {
		if home == "" {
			return Endpoints{}, errors.New("an endpoint without " + regionMark + " serves the home region alone, and none is set")
		}
		e.only = home
	}
	return e, nil
}

// NewIAMEndpoints makes Endpoints of IAM. An empty authURL is
// https://iam.{region}.{cloud}. One without {region} serves every region, as
// IAM's global endpoint does; a /v3 at its end, as Terraform's provider takes
// it, is left out, and so is the path of the call itself, as IAM's API
// reference has it, with its query.
func NewIAMEndpoints(authURL, cloud string) (Endpoints, error) {
	base := authURL
	if url, _, _ := strings.Cut(authURL, "?"); strings.HasSuffix(strings.TrimRight(url, "/"), LoginPath) {
		base = strings.TrimSuffix(strings.TrimRight(url, "/"), strings.TrimPrefix(LoginPath, "/v3"))
	}
	e := Endpoints{template: strings.TrimRight(strings.TrimSuffix(strings.TrimRight(base, "/"), "/v3"), "/"), cloud: cloud}
	if authURL == "" {
		e.template = "https://iam." + regionMark + "." + cloudMark
		return e, nil
	}
	return e, e.check()
}

// check returns an error if a credential must not be sent to the template's address.
func (e Endpoints) check() error {
	u, err := url.Parse(e.fill("region-1"))
	switch {
	case err != nil || u.Hostname() == "":
		return errors.New("the endpoint is not a URL such as https://cbr." + regionMark + ".example.com")
	case u.User != nil || strings.ContainsAny(e.template, "?#"):
		return errors.New("the endpoint must be scheme, host and path alone")
	case u.Scheme != "https" && (u.Scheme != "http" || !isLoopback(u.Hostname())):
		return errors.New("the endpoint must be https, or http on a loopback host")
	}
	return nil
}

// IsForeign reports whether an operator's endpoint for CBR may belong to another
// company than Huawei: it is neither in one of Huawei's domains nor on this machine.
func IsForeign(endpoint string) bool {
	u, err := url.Parse(Endpoints{template: endpoint}.fill("region-1"))
	if endpoint == "" || err != nil {
		return false
	}
	host := u.Hostname()
	return !isLoopback(host) && !strings.HasSuffix(host, ".myhuaweicloud.com") && !strings.HasSuffix(host, ".myhuaweicloud.eu")
}

// For returns the base URL of a region, without a slash at its end; empty for
// the zero Endpoints. The error is an InvalidEvent for what cannot be a region, a
// NotAllowed for a region that the configuration does not serve.
func (e Endpoints) For(region string) (string, error) {
	if !IsRegion(region) {
		return "", &kind.Error{Kind: kind.InvalidEvent, Message: "region: expected lower-case letters, digits and hyphens"}
	}
	if e.only != "" && region != e.only {
		return "", &kind.Error{Kind: kind.NotAllowed, Message: fmt.Sprintf("region: the configured endpoint serves %s alone", e.only)}
	}
	return e.fill(region), nil
}

func (e Endpoints) fill(region string) string {
	cloud := e.cloud
	if cloud == "" {
		cloud = "myhuaweicloud.com"
		// Huawei's European cloud has a domain of its own (Terraform's provider
		// and most SDKs; the Go and Python SDKs still say .com).
		if strings.HasPrefix(region, "eu-west-1") {
			cloud = "myhuaweicloud.eu"
		}
	}
	return strings.ReplaceAll(strings.ReplaceAll(e.template, regionMark, region), cloudMark, cloud)
}

func isLoopback(host string) bool {
	if host == "localhost" {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}
