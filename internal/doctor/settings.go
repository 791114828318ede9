package doctor

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"cbr-replicator/internal/allow"
	"cbr-replicator/internal/arn"
	"cbr-replicator/internal/awscall"
	"cbr-replicator/internal/cbr"
	"cbr-replicator/internal/huawei"
	"cbr-replicator/internal/redact"
	"cbr-replicator/internal/token"
)

// settings is what the function would do with the user's variables, as far as it is
// about Huawei Cloud. The function itself has checked them before: see start.go. So
// only what is missing here is said here.
type settings struct {
	fields         token.Fields
	source         huawei.Scope
	to             cbr.Replicate // the defaults of a request
	endpoints, iam huawei.Endpoints
	allow          allow.List
	enterprise     string
	foreign        bool // CBR may be another company's
	env            map[string]string
}

// userAgent is sent to Huawei Cloud.
const userAgent = "cbr-replicator/doctor"

// timeout bounds one try. The function's default is the same.
const timeout = 30 * time.Second

// readSettings reads variables as function/config.go does.
func readSettings(env map[string]string) (*settings, error) {
	get := func(name string) string { return strings.TrimSpace(env[name]) }
	endpoint, cloud := env["HW_CBR_ENDPOINT"], env["HW_CLOUD"]
	s := &settings{
		fields: token.Fields{
			Token: get("HW_AUTH_TOKEN"), SecretID: get("HW_AUTH_TOKEN_SECRET"),
			UserName: env["HW_USER_NAME"], Password: env["HW_USER_PASSWORD"], DomainName: env["HW_DOMAIN_NAME"],
			AccessKey: get("HW_ACCESS_KEY"), SecretKey: get("HW_SECRET_KEY"), SecurityToken: get("HW_SECURITY_TOKEN"),
		},
		source: huawei.Scope{ProjectID: strings.ToLower(get("HW_PROJECT_ID")), Region: env["HW_REGION_NAME"]},
		to: cbr.Replicate{
			VaultID:              strings.ToLower(env["HW_CBR_VAULT_ID"]),
			DestinationVaultID:   strings.ToLower(env["HW_CBR_DESTINATION_VAULT_ID"]),
			DestinationProjectID: strings.ToLower(get("HW_CBR_DESTINATION_PROJECT_ID")),
			DestinationRegion:    env["HW_CBR_DESTINATION_REGION"],
		},
		enterprise: env["HW_ENTERPRISE_PROJECT_ID"],
		foreign:    cloud == "" && huawei.IsForeign(endpoint),
		env:        env,
	}
	if s.enterprise == "" && cloud == "" && !s.foreign {
		s.enterprise = "all_granted_eps"
	}
	var errs [4]error
	s.endpoints, errs[0] = huawei.NewEndpoints("cbr", endpoint, cloud, s.source.Region)
	// A password of another company's cloud must not be sent to Huawei.
	if authURL := env["HW_AUTH_URL"]; !s.foreign || authURL != "" {
		s.iam, errs[1] = huawei.NewIAMEndpoints(authURL, cloud)
	}
	s.allow.Acceleration = true
	if s.allow.Projects, errs[2] = allow.ParseProjects(entries(env["ALLOWED_PROJECT_IDS"])); len(s.allow.Projects) == 0 {
		s.allow.Projects = []string{s.source.ProjectID}
	}
	s.allow.Destinations, errs[3] = allow.ParseDestinations(entries(env["ALLOWED_DESTINATIONS"]))
	if len(s.allow.Destinations) == 0 {
		s.allow.Destinations = []allow.Destination{{Region: s.to.DestinationRegion, ProjectID: s.to.DestinationProjectID}}
	}
	for _, problem := range s.fields.Check() {
		errs[0] = errors.Join(errs[0], fmt.Errorf("%s: %s", problem.Name, problem.Text))
	}
	return s, errors.Join(errs[:]...)
}

// entries returns the entries of a list, without empty ones.
func entries(list string) (entries []string) {
	for entry := range strings.SplitSeq(list, ",") {
		if entry = strings.TrimSpace(entry); entry != "" {
			entries = append(entries, entry)
		}
	}
	return entries
}

// credential says which credential it is, without any secret.
func (s *settings) credential() string {
	switch f := s.fields; {
	case f.SecretID != "":
		return "the secret of HW_AUTH_TOKEN_SECRET"
	case f.AccessKey != "":
		return "the access key of HW_ACCESS_KEY"
	case f.UserName != "":
		return "the user of HW_USER_NAME"
	}
	return "the token of HW_AUTH_TOKEN"
}

// client returns a client that calls CBR as the function does. Its answers' times go to
// clock.
func (s *settings) client(hidden *redact.Redactor, clock *clock) *cbr.Client {
	client := huawei.NewHTTPClient(2)
	watched := *client
	clock.next = client.Transport
	watched.Transport = clock
	credential := token.Config{
		Fields:    s.fields,
		ProjectID: s.source.ProjectID,
		IAM:       s.iam,
		HTTP:      &watched,
		UserAgent: userAgent,
		Redact:    hidden,
		Log:       slog.New(slog.DiscardHandler),
		Now:       time.Now,
	}
	if s.fields.SecretID != "" {
		credential.SecretsManager = &awscall.Client{
			Service: "secretsmanager", Target: "secretsmanager", Version: "1.1",
			Region:   s.secretRegion(),
			Endpoint: cmp.Or(s.env["AWS_ENDPOINT_URL_SECRETS_MANAGER"], s.env["AWS_ENDPOINT_URL"]),
			Credentials: aws.Credentials{
				AccessKeyID: s.env["AWS_ACCESS_KEY_ID"], SecretAccessKey: s.env["AWS_SECRET_ACCESS_KEY"], SessionToken: s.env["AWS_SESSION_TOKEN"],
			},
			HTTP: client, UserAgent: userAgent,
		}
	}
	c := cbr.NewClient(huawei.Service{
		HTTP:      &watched,
		Endpoints: s.endpoints,
		Auth:      token.New(credential),
		Redact:    hidden,
		UserAgent: userAgent,
		Timeout:   timeout,
	})
	c.EnterpriseProjectID = s.enterprise
	return c
}

func (s *settings) secretRegion() string {
	if a, err := arn.Parse(s.fields.SecretID, "secretsmanager"); err == nil {
		return a.Region
	}
	return s.env["AWS_REGION"]
}

// hide has r mask all secrets among the variables.
func (s *settings) hide(r *redact.Redactor) {
	s.fields.Hide(r)
	r.Hide(s.env["AWS_SECRET_ACCESS_KEY"])
	r.Hide(s.env["AWS_SESSION_TOKEN"])
	for name, value := range s.env {
		if !strings.HasSuffix(strings.ToUpper(name), "_PROXY") {
			continue
		}
		if !strings.Contains(value, "://") {
			value = "http://" + value
		}
		if u, err := url.Parse(value); err == nil {
			password, _ := u.User.Password()
			r.Hide(password)
		}
	}
}

// clock compares Huawei Cloud's clock with this machine's, by the Date of its answers. It
// is used by one request at a time.
type clock struct {
	next  http.RoundTripper
	known bool
	ahead time.Duration // theirs before ours; to about a second
}

// RoundTrip makes one request.
func (c *clock) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := c.next.RoundTrip(req)
	if err != nil {
		return resp, err
	}
	if date, err := http.ParseTime(resp.Header.Get("Date")); err == nil {
		c.known, c.ahead = true, time.Until(date).Round(time.Second)
	}
	return resp, nil
}
