package main

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/kelseyhightower/envconfig"

	"cbr-replicator/events"
	"cbr-replicator/internal/allow"
	"cbr-replicator/internal/arn"
	"cbr-replicator/internal/cbr"
	"cbr-replicator/internal/huawei"
	"cbr-replicator/internal/queue"
	"cbr-replicator/internal/redact"
	"cbr-replicator/internal/token"
)

// config is the environment. A variable that is set but empty counts as not
// set, as CloudFormation has no way to leave one out.
type config struct {
	token.Fields
	AuthURL string `envconfig:"HW_AUTH_URL"`

	ProjectID            string `envconfig:"HW_PROJECT_ID"`
	Region               string `envconfig:"HW_REGION_NAME"`
	VaultID              string `envconfig:"HW_CBR_VAULT_ID"`
	DestinationVaultID   string `envconfig:"HW_CBR_DESTINATION_VAULT_ID"`
	DestinationProjectID string `envconfig:"HW_CBR_DESTINATION_PROJECT_ID"`
	DestinationRegion    string `envconfig:"HW_CBR_DESTINATION_REGION"`
	Cloud                string `envconfig:"HW_CLOUD"`
	Endpoint             string `envconfig:"HW_CBR_ENDPOINT"`
	EnterpriseProjectID  string `envconfig:"HW_ENTERPRISE_PROJECT_ID"`

	AllowedProjectIDs   list    `envconfig:"ALLOWED_PROJECT_IDS"`
	AllowedDestinations list    `envconfig:"ALLOWED_DESTINATIONS"`
	AllowedURNs         list    `envconfig:"ALLOWED_CROSS_ACCOUNT_URNS"`
	AllowAcceleration   boolean `envconfig:"ALLOW_ACCELERATION"`

	ResultTopicARN   string `envconfig:"RESULT_TOPIC_ARN"`
	RejectedQueueARN string `envconfig:"REJECTED_QUEUE_ARN"`

	CBRTimeout      duration `envconfig:"CBR_TIMEOUT"`
	HTTPTimeout     duration `envconfig:"HTTP_TIMEOUT"`
	RetryInitial    duration `envconfig:"RETRY_INITIAL_INTERVAL"`
	RetryMax        duration `envconfig:"RETRY_MAX_INTERVAL"`
	RetryAttempts   count    `envconfig:"RETRY_MAX_ATTEMPTS"`
	RetryElapsed    duration `envconfig:"RETRY_MAX_ELAPSED"`
	DeadlineReserve duration `envconfig:"DEADLINE_RESERVE"`

	BatchConcurrency count `envconfig:"BATCH_CONCURRENCY"`
	MaxReceiveCount  count `envconfig:"MAX_RECEIVE_COUNT"`

	// AWS's own.
	FunctionName        string `envconfig:"AWS_LAMBDA_FUNCTION_NAME"`
	AWSRegion           string `envconfig:"AWS_REGION"`
	MaxConcurrency      count  `envconfig:"AWS_LAMBDA_MAX_CONCURRENCY"` // invocations of one process
	EndpointSNS         string `envconfig:"AWS_ENDPOINT_URL_SNS"`
	EndpointEventBridge string `envconfig:"AWS_ENDPOINT_URL_EVENTBRIDGE"`
	EndpointSQS         string `envconfig:"AWS_ENDPOINT_URL_SQS"`
	EndpointSecrets     string `envconfig:"AWS_ENDPOINT_URL_SECRETS_MANAGER"`
	EndpointAWS         string `envconfig:"AWS_ENDPOINT_URL"`
	AccessKeyID         string `envconfig:"AWS_ACCESS_KEY_ID"`
	SecretAccessKey     string `envconfig:"AWS_SECRET_ACCESS_KEY"`
	SessionToken        string `envconfig:"AWS_SESSION_TOKEN"`
	// Go's own, read here for what net/http would ignore or must not show.
	HTTPSProxy string `envconfig:"HTTPS_PROXY"`
	HTTPProxy  string `envconfig:"HTTP_PROXY"`
	proxies    []variable
}

// variable is one of the environment, as it is spelled there.
type variable struct{ name, value string }

// allEnterpriseProjects has a look-up see every backup that the credential may
// (CBR API reference, ListBackups). Sister clouds may not know it.
const allEnterpriseProjects = "all_granted_eps"

func isEnterpriseProject(s string) bool {
	return s == "0" || s == allEnterpriseProjects || cbr.IsVaultID(s)
}

// defaults returns the values of variables that are not set.
func defaults() config {
	return config{
		AllowAcceleration: boolean{value: true},
		CBRTimeout:        duration{value: 30 * time.Second},
		HTTPTimeout:       duration{value: 27 * time.Second},
		RetryInitial:      duration{value: 500 * time.Millisecond},
		RetryMax:          duration{value: 20 * time.Second},
		RetryAttempts:     count{value: 6},
		RetryElapsed:      duration{value: 20 * time.Second},
		DeadlineReserve:   duration{value: 5 * time.Second},
		BatchConcurrency:  count{value: 10},
		MaxConcurrency:    count{value: 1},
		MaxReceiveCount:   count{value: 10},
	}
}

// settings is what the environment comes to, ready for the handler.
type settings struct {
	config
	sink       sinkKind
	sinkRegion string
	rejected   *queue.Name // nil: none
	endpoints  huawei.Endpoints
	iam        huawei.Endpoints
	allow      *allow.List
}

// load reads the environment. Its error lists all that is wrong, without the
// value of anything.
func load() (*settings, error) {
	s := &settings{config: defaults()}
	if err := envconfig.Process("", &s.config); err != nil {
		// Never err itself: it holds the value.
		return nil, errors.New("the environment cannot be read")
	}
	s.proxies = []variable{
		{"HTTPS_PROXY", s.HTTPSProxy},
		{"https_proxy", os.Getenv("https_proxy")},
		{"HTTP_PROXY", s.HTTPProxy},
		{"http_proxy", os.Getenv("http_proxy")},
	}
	var p problems
	s.trim()
	s.checkParsed(&p)
	s.checkForms(&p)
	s.checkCredential(&p)
	s.checkSink(&p)
	s.checkRejectedQueue(&p)
	s.checkEndpoints(&p)
	s.checkAllowed(&p)
	return s, p.err()
}

// problems gathers what is wrong by the variable's name.
type problems []error

func (p *problems) add(name, format string, args ...any) {
	*p = append(*p, fmt.Errorf("%s: %s", name, fmt.Sprintf(format, args...)))
}

func (p *problems) check(name string, err error) {
	if err != nil {
		p.add(name, "%v", err)
	}
}

func (p problems) err() error {
	return errors.Join(p...)
}

func (s *settings) trim() {
	for _, v := range []*string{&s.ProjectID, &s.DestinationProjectID, &s.ResultTopicARN, &s.RejectedQueueARN} {
		*v = strings.TrimSpace(*v)
	}
	if s.EnterpriseProjectID == "" && s.Cloud == "" && !s.foreign() {
		s.EnterpriseProjectID = allEnterpriseProjects
	}
	s.ProjectID, s.DestinationProjectID = strings.ToLower(s.ProjectID), strings.ToLower(s.DestinationProjectID)
}

func (s *settings) checkParsed(p *problems) {
	for _, v := range []struct {
		name    string
		problem string
	}{
		{"ALLOW_ACCELERATION", s.AllowAcceleration.problem},
		{"CBR_TIMEOUT", s.CBRTimeout.problem},
		{"HTTP_TIMEOUT", s.HTTPTimeout.problem},
		{"RETRY_INITIAL_INTERVAL", s.RetryInitial.problem},
		{"RETRY_MAX_INTERVAL", s.RetryMax.problem},
		{"RETRY_MAX_ATTEMPTS", s.RetryAttempts.problem},
		{"RETRY_MAX_ELAPSED", s.RetryElapsed.problem},
		{"DEADLINE_RESERVE", s.DeadlineReserve.problem},
		{"BATCH_CONCURRENCY", s.BatchConcurrency.problem},
		{"AWS_LAMBDA_MAX_CONCURRENCY", s.MaxConcurrency.problem},
		{"MAX_RECEIVE_COUNT", s.MaxReceiveCount.problem},
	} {
		if v.problem != "" {
			p.add(v.name, "%s", v.problem)
		}
	}
}

func (s *settings) checkForms(p *problems) {
	for _, v := range []struct {
		name, value string
		form        func(string) bool
		want        string
	}{
		{"HW_PROJECT_ID", s.ProjectID, huawei.IsProjectID, huawei.ProjectForm},
		{"HW_REGION_NAME", s.Region, huawei.IsRegion, huawei.RegionForm},
		{"HW_CBR_VAULT_ID", s.VaultID, cbr.IsVaultID, cbr.VaultForm},
		{"HW_CBR_DESTINATION_VAULT_ID", s.DestinationVaultID, cbr.IsVaultID, cbr.VaultForm},
		{"HW_CBR_DESTINATION_PROJECT_ID", s.DestinationProjectID, huawei.IsProjectID, huawei.ProjectForm},
		{"HW_CBR_DESTINATION_REGION", s.DestinationRegion, huawei.IsRegion, huawei.RegionForm},
		{"HW_ENTERPRISE_PROJECT_ID", s.EnterpriseProjectID, isEnterpriseProject, "0, a UUID or " + allEnterpriseProjects},
	} {
		if v.value != "" && !v.form(v.value) {
			p.add(v.name, "expected %s", v.want)
		}
	}
}

func (s *settings) checkCredential(p *problems) {
	for _, problem := range s.Fields.Check() {
		p.add(problem.Name, "%s", problem.Text)
	}
	if s.Token != "" && s.ProjectID == "" {
		p.add("HW_PROJECT_ID", "required with HW_AUTH_TOKEN: a token is good for one project")
	}
	if s.SecretID != "" && s.secretRegion() == "" {
		p.add("HW_AUTH_TOKEN_SECRET", "expected an ARN, since AWS_REGION is not set")
	}
	if s.foreign() && s.AuthURL == "" {
		// A password must not go to Huawei because nobody said where else.
		if s.UserName != "" {
			p.add("HW_AUTH_URL", "required with HW_USER_NAME, or HW_CLOUD, since HW_CBR_ENDPOINT is not Huawei's own")
		}
		return
	}
	var err error
	s.iam, err = huawei.NewIAMEndpoints(s.AuthURL, s.Cloud)
	p.check("HW_AUTH_URL", err)
}

// foreign: CBR may be another company's, of which nothing more is said.
func (s *settings) foreign() bool { return s.Cloud == "" && huawei.IsForeign(s.Endpoint) }

// secretRegion is the region of an ARN, else the function's own.
func (s *settings) secretRegion() string {
	if a, err := arn.Parse(s.SecretID, "secretsmanager"); err == nil {
		return a.Region
	}
	return s.AWSRegion
}

func (s *settings) checkRejectedQueue(p *problems) {
	if s.RejectedQueueARN == "" {
		return
	}
	name, err := queue.Parse(s.RejectedQueueARN)
	p.check("REJECTED_QUEUE_ARN", err)
	s.rejected = &name
}

func (s *settings) checkEndpoints(p *problems) {
	var err error
	s.endpoints, err = huawei.NewEndpoints("cbr", s.Endpoint, s.Cloud, s.Region)
	name := "HW_CBR_ENDPOINT"
	if s.Endpoint == "" {
		name = "HW_CLOUD"
	}
	p.check(name, err)
	for _, v := range []variable{
		{"AWS_ENDPOINT_URL_SNS", s.EndpointSNS},
		{"AWS_ENDPOINT_URL_EVENTBRIDGE", s.EndpointEventBridge},
		{"AWS_ENDPOINT_URL_SQS", s.EndpointSQS},
		{"AWS_ENDPOINT_URL_SECRETS_MANAGER", s.EndpointSecrets},
		{"AWS_ENDPOINT_URL", s.EndpointAWS},
	} {
		if u, err := url.Parse(v.value); v.value != "" && (err != nil || u.Host == "") {
			p.add(v.name, "expected a URL")
		}
	}
	for i, v := range s.proxies {
		// Of the two spellings of a name net/http takes the first that is set, and
		// would go without a proxy that it cannot read.
		if i%2 == 1 && s.proxies[i-1].value != "" {
			continue
		}
		if u := proxyURL(v.value); v.value != "" && (u == nil || u.Host == "") {
			p.add(v.name, "expected a URL, or host:port")
		}
	}
}

// proxyURL reads a proxy, whose scheme may be left out; nil if it is none.
func proxyURL(s string) *url.URL {
	if !strings.Contains(s, "://") {
		s = "http://" + s
	}
	u, err := url.Parse(s)
	if err != nil {
		return nil
	}
	return u
}

func (s *settings) checkAllowed(p *problems) {
	s.allow = &allow.List{URNs: s.AllowedURNs, Acceleration: s.AllowAcceleration.value}
	var err error
	switch {
	case len(s.AllowedProjectIDs) > 0:
		s.allow.Projects, err = allow.ParseProjects(s.AllowedProjectIDs)
		p.check("ALLOWED_PROJECT_IDS", err)
	case s.ProjectID != "":
		s.allow.Projects = []string{s.ProjectID}
	default:
		p.add("ALLOWED_PROJECT_IDS", "required without HW_PROJECT_ID: the source projects an event may name, or *")
	}
	switch {
	case len(s.AllowedDestinations) > 0:
		s.allow.Destinations, err = allow.ParseDestinations(s.AllowedDestinations)
		p.check("ALLOWED_DESTINATIONS", err)
	case s.DestinationRegion != "" && s.DestinationProjectID != "":
		s.allow.Destinations = []allow.Destination{{Region: s.DestinationRegion, ProjectID: s.DestinationProjectID}}
	default:
		p.add("ALLOWED_DESTINATIONS", "required without HW_CBR_DESTINATION_REGION and HW_CBR_DESTINATION_PROJECT_ID: region/project_id pairs, either part may be *")
	}
}

// hide masks all that is secret, and returns the names of the variables that hold
// what is too short to be masked everywhere.
func (s *settings) hide(r *redact.Redactor) (short []string) {
	short = s.Fields.Hide(r)
	for _, v := range []variable{{"AWS_SECRET_ACCESS_KEY", s.SecretAccessKey}, {"AWS_SESSION_TOKEN", s.SessionToken}} {
		if !r.Hide(v.value) {
			short = append(short, v.name)
		}
	}
	for _, v := range s.proxies {
		u := proxyURL(v.value)
		if u == nil {
			continue
		}
		password, _ := u.User.Password()
		if !r.Hide(password) {
			short = append(short, v.name)
			// A proxy gets it so, and may say so.
			pair := u.User.Username() + ":" + password
			r.Hide(pair)
			r.Hide(base64.StdEncoding.EncodeToString([]byte(pair)))
		}
	}
	return short
}

// requestDefaults are what an event need not say.
func (s *settings) requestDefaults() events.Defaults {
	return events.Defaults{
		ProjectID:            s.ProjectID,
		Region:               s.Region,
		VaultID:              s.VaultID,
		DestinationVaultID:   s.DestinationVaultID,
		DestinationProjectID: s.DestinationProjectID,
		DestinationRegion:    s.DestinationRegion,
	}
}

// The types below never fail to decode: envconfig stops at the first failure
// and prints the value. They keep what is wrong, for all of it to be reported,
// and what they hold already where the variable is empty.

// duration is a positive time.Duration.
type duration struct {
	value   time.Duration
	problem string
}

// Decode implements envconfig.Decoder.
func (d *duration) Decode(s string) error {
	if s == "" {
		return nil
	}
	v, err := time.ParseDuration(s)
	if err != nil || v <= 0 {
		d.problem = "expected a positive duration such as 500ms or 20s"
	}
	d.value = v
	return nil
}

// count is a positive int.
type count struct {
	value   int
	problem string
}

// Decode implements envconfig.Decoder.
func (c *count) Decode(s string) error {
	if s == "" {
		return nil
	}
	v, err := strconv.Atoi(s)
	if err != nil || v < 1 || v > 10_000 {
		c.problem = "expected a whole number from 1 to 10000"
	}
	c.value = v
	return nil
}

// boolean is true or false.
type boolean struct {
	value   bool
	problem string
}

// Decode implements envconfig.Decoder.
func (b *boolean) Decode(s string) error {
	if s == "" {
		return nil
	}
	v, err := strconv.ParseBool(s)
	if err != nil {
		b.problem = "expected true or false"
	}
	b.value = v
	return nil
}

// list is separated by commas; spaces around them and empty entries do not
// count.
type list []string

// Decode implements envconfig.Decoder.
func (l *list) Decode(s string) error {
	for entry := range strings.SplitSeq(s, ",") {
		if entry = strings.TrimSpace(entry); entry != "" {
			*l = append(*l, entry)
		}
	}
	return nil
}
