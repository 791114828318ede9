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

// config is the environment. A variable that is set but empty counts as not set,
// since CloudFormation cannot leave one out.
//
// The table in docs/configuration.md is made of the tags. desc is what a variable
// is for. unset is what counts if it is not set, for one without a default. A desc
// of "ditto" puts a variable into the row of the one before it. A variable without
// a desc has no row. |x| stands for code, since a tag cannot have a backquote.
type config struct {
	token.Fields
	AuthURL string `envconfig:"HW_AUTH_URL" unset:"|https://iam.{region}.{cloud}|" desc:"where the function gets the tokens of a user, with or without |/v3| or |/v3/auth/tokens|. Only https, except on loopback. Required for a user if |HW_CBR_ENDPOINT| is not in Huawei's domains and |HW_CLOUD| is not set"`

	ProjectID            string `envconfig:"HW_PROJECT_ID" desc:"the source project, if the request names none. Required with |HW_AUTH_TOKEN|"`
	Region               string `envconfig:"HW_REGION_NAME" desc:"the source region, if the request names none"`
	VaultID              string `envconfig:"HW_CBR_VAULT_ID" desc:"defaults for the request's fields"`
	DestinationVaultID   string `envconfig:"HW_CBR_DESTINATION_VAULT_ID" desc:"ditto"`
	DestinationProjectID string `envconfig:"HW_CBR_DESTINATION_PROJECT_ID" desc:"ditto"`
	DestinationRegion    string `envconfig:"HW_CBR_DESTINATION_REGION" desc:"ditto"`
	Cloud                string `envconfig:"HW_CLOUD" unset:"|myhuaweicloud.com|; |myhuaweicloud.eu| for |eu-west-1…|" desc:"the domain of a sister cloud, such as |otc.t-systems.com|. The region |eu-ch2| of Open Telekom Cloud needs |sc.otc.t-systems.com|, and for a user |HW_AUTH_URL=https://iam-pub.eu-ch2.sc.otc.t-systems.com/v3|"`
	Endpoint             string `envconfig:"HW_CBR_ENDPOINT" unset:"|https://cbr.{region}.{cloud}|" desc:"without |{region}| it serves only |HW_REGION_NAME|. Only https, except on loopback"`
	EndpointSMN          string `envconfig:"HW_SMN_ENDPOINT" unset:"|https://smn.{region}.{cloud}|" desc:"only https, except on loopback. Required with |RESULT_TOPIC_URN| if |HW_CBR_ENDPOINT| is not in Huawei's domains and |HW_CLOUD| is not set"`
	EnterpriseProjectID  string `envconfig:"HW_ENTERPRISE_PROJECT_ID" unset:"|all_granted_eps|; none with |HW_CLOUD| or another company's |HW_CBR_ENDPOINT|" desc:"whose backups a lookup sees: |0|, the id of an enterprise project, or all that the credential may see"`

	AllowedProjectIDs   []string `envconfig:"ALLOWED_PROJECT_IDS" unset:"|HW_PROJECT_ID|" desc:"the source projects that a request may name, comma-separated, or |*|"`
	AllowedDestinations []string `envconfig:"ALLOWED_DESTINATIONS" unset:"the |HW_CBR_DESTINATION_*| region and project, else required" desc:"|region/project_id| pairs, comma-separated; either part may be |*|"`
	AllowedURNs         []string `envconfig:"ALLOWED_CROSS_ACCOUNT_URNS" unset:"none" desc:"comma-separated"`
	AllowAcceleration   bool     `envconfig:"ALLOW_ACCELERATION" default:"true" desc:"|false| refuses requests that ask for it"`

	ResultTopicARN   string `envconfig:"RESULT_TOPIC_ARN" unset:"this or |RESULT_TOPIC_URN| is required" desc:"where results go: an SNS topic, or an EventBridge event bus (|arn:aws:events:…:event-bus/NAME|). Its region is the ARN's"`
	ResultTopicURN   string `envconfig:"RESULT_TOPIC_URN" unset:"none" desc:"in place of it, a topic of Huawei Cloud's SMN (|urn:smn:REGION:PROJECT:NAME|). Region and project are the URN's, and the credential is [the one for CBR](credentials.md#permissions). With |HW_AUTH_TOKEN| the project must be |HW_PROJECT_ID|"`
	RejectedQueueARN string `envconfig:"REJECTED_QUEUE_ARN" unset:"none: rejected bodies are not kept" desc:"an SQS queue that [keeps rejected bodies](operations.md#rejected-bodies). Its region is the ARN's"`

	RequestQueueARN string `envconfig:"REQUEST_QUEUE_ARN" unset:"none" desc:"the SQS queue of requests that triggers the function"`
	RequestTopicURN string `envconfig:"REQUEST_TOPIC_URN" unset:"none" desc:"in place of it, a topic of Huawei Cloud's SMN that calls the function. A plan then takes at most 50 vaults"`
	FollowQueueARN  string `envconfig:"FOLLOW_QUEUE_ARN" unset:"none: copies are not followed" desc:"the SQS queue that |accepted| events come from, to be [followed to their end](guarantees.md#followed-to-the-end)"`
	FollowFor       days   `envconfig:"FOLLOW_FOR" default:"72h" desc:"how long copies are followed, at most |7d|. A duration, or days such as |3d|"`

	PlanSpread    time.Duration `envconfig:"PLAN_SPREAD" default:"0s" desc:"over how long the requests of a plan become visible, evenly, at most |15m|. Not on a FIFO queue"`
	MaxReplicaAge days          `envconfig:"MAX_REPLICA_AGE" default:"30h" desc:"how old a replica may be, if a check does not say. A duration, or days such as |2d|"`

	StartOnEvents []string `envconfig:"START_ON_EVENTS" unset:"none" desc:"on FunctionGraph: the ids of Cloud Eye's events that start the configured request, comma-separated, such as |backupSucceeded|"`

	// Other endpoints of AWS, under its own names.
	EndpointSNS         string `envconfig:"AWS_ENDPOINT_URL_SNS" desc:"other endpoints of AWS; AWS's own names"`
	EndpointEventBridge string `envconfig:"AWS_ENDPOINT_URL_EVENTBRIDGE" desc:"ditto"`
	EndpointSQS         string `envconfig:"AWS_ENDPOINT_URL_SQS" desc:"ditto"`
	EndpointSecrets     string `envconfig:"AWS_ENDPOINT_URL_SECRETS_MANAGER" desc:"ditto"`
	EndpointAWS         string `envconfig:"AWS_ENDPOINT_URL" desc:"ditto"`

	CBRTimeout      time.Duration `envconfig:"CBR_TIMEOUT" default:"30s" desc:"the time for one try. Never more than half of the time that is left"`
	HTTPTimeout     time.Duration `envconfig:"HTTP_TIMEOUT" default:"27s" desc:"the time for an HTTP answer, from the request's arrival at API Gateway, which gives up after 30 s. Behind a load balancer: from the start of the invocation"`
	RetryInitial    time.Duration `envconfig:"RETRY_INITIAL_INTERVAL" default:"500ms" desc:"the wait before a retry, see [failures](failures.md#retries-in-place)"`
	RetryMax        time.Duration `envconfig:"RETRY_MAX_INTERVAL" default:"20s" desc:"ditto"`
	RetryAttempts   int           `envconfig:"RETRY_MAX_ATTEMPTS" default:"6" desc:"how many tries, and how long all waits together"`
	RetryElapsed    time.Duration `envconfig:"RETRY_MAX_ELAPSED" default:"20s" desc:"ditto"`
	DeadlineReserve time.Duration `envconfig:"DEADLINE_RESERVE" default:"5s" desc:"the time of an invocation that is kept for publishing and replying. At most a quarter of the invocation"`

	BatchConcurrency int `envconfig:"BATCH_CONCURRENCY" default:"10" desc:"how many deliveries of a batch run at once. The file descriptors of the process limit it, with a line in the log at |WARN|: 396 with Lambda's 1,024"`
	MaxReceiveCount  int `envconfig:"MAX_RECEIVE_COUNT" default:"10" desc:"the queue's |maxReceiveCount|"`

	KafkaItemFailures bool `envconfig:"KAFKA_BATCH_ITEM_FAILURES" default:"false" desc:"|true|: a batch of Kafka is answered with batch item failures. Only if every event source mapping of Kafka that invokes the function has |ReportBatchItemFailures|: another one [loses records](requests.md#kafka)"`

	// AWS's own.
	FunctionName    string `envconfig:"AWS_LAMBDA_FUNCTION_NAME"`
	AWSRegion       string `envconfig:"AWS_REGION"`
	MaxConcurrency  int    `envconfig:"AWS_LAMBDA_MAX_CONCURRENCY" default:"1"` // invocations of one process
	AccessKeyID     string `envconfig:"AWS_ACCESS_KEY_ID"`
	SecretAccessKey string `envconfig:"AWS_SECRET_ACCESS_KEY"`
	SessionToken    string `envconfig:"AWS_SESSION_TOKEN"`
	// FunctionGraph's own.
	RuntimeProjectID string `envconfig:"RUNTIME_PROJECT_ID"`
	RuntimeFunction  string `envconfig:"RUNTIME_FUNC_NAME"`
	// Go's own. They are read here to check them, which net/http does not, and to
	// mask their passwords.
	HTTPSProxy string `envconfig:"HTTPS_PROXY"`
	HTTPProxy  string `envconfig:"HTTP_PROXY"`
	proxies    []variable
}

// variable is a variable of the environment, as it is spelled there.
type variable struct{ name, value string }

// allEnterpriseProjects lets a lookup see all backups that the credential may see
// (CBR API reference, ListBackups). A sister cloud may not know it.
const allEnterpriseProjects = "all_granted_eps"

func isEnterpriseProject(s string) bool {
	return s == "0" || s == allEnterpriseProjects || cbr.IsVaultID(s)
}

// settings is the environment, read and checked.
type settings struct {
	config
	sink place
	// Queues are nil where there is none.
	rejected, requests, followed *queue.Name
	requestTopic                 *smnTopic // nil: none
	endpoints                    huawei.Endpoints
	iam                          huawei.Endpoints
	allow                        *allow.List
	// functionGraph: this is FunctionGraph, not Lambda. agency: the credential is that
	// of the event.
	functionGraph, agency bool
}

// load reads the environment. Its error lists all that is wrong, without any value.
func load() (*settings, error) {
	s := &settings{functionGraph: isFunctionGraph()}
	var p problems
	if err := s.read(&p); err != nil {
		return nil, err
	}
	s.proxies = []variable{
		{"HTTPS_PROXY", s.HTTPSProxy},
		{"https_proxy", os.Getenv("https_proxy")},
		{"HTTP_PROXY", s.HTTPProxy},
		{"http_proxy", os.Getenv("http_proxy")},
	}
	s.trim()
	if s.functionGraph {
		s.ofFunctionGraph(&p)
	}
	s.checkBounds(&p)
	s.checkForms(&p)
	s.checkCredential(&p)
	s.checkSink(&p)
	s.checkQueues(&p)
	s.checkEndpoints(&p)
	s.checkAllowed(&p)
	return s, p.err()
}

// problems are what is wrong, each with the variable's name.
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

const (
	durationForm = "expected a positive duration such as 500ms or 20s"
	daysForm     = "expected a positive duration such as 72h or 3d, at most 7d"
	countForm    = "expected a whole number from 1 to 10000"
	maxCount     = 10_000
)

// days is a duration that may be written in days.
type days time.Duration

// maxFollowFor leaves a follow queue, which keeps a message for 14 days, time for
// a redrive.
const maxFollowFor = days(7 * 24 * time.Hour)

// maxSpread is the longest delay of a message (SQS API reference, SendMessage).
const maxSpread = 15 * time.Minute

// Decode reads a duration, for envconfig.
func (d *days) Decode(s string) error {
	if n, ok := strings.CutSuffix(s, "d"); ok {
		count, err := strconv.ParseFloat(n, 64)
		if err != nil || !(count > 0 && count <= 10_000) {
			return errors.New("no number of days")
		}
		*d = days(count * 24 * float64(time.Hour))
		return nil
	}
	duration, err := time.ParseDuration(s)
	*d = days(duration)
	return err
}

// forms are what is expected of a value that envconfig cannot read, by its type.
var forms = map[string]string{"time.Duration": durationForm, "main.days": daysForm, "int": countForm, "bool": "expected true or false"}

// count is a variable that holds a whole number.
type count struct {
	name  string
	value int
}

func (c *config) counts() []count {
	return []count{
		{"RETRY_MAX_ATTEMPTS", c.RetryAttempts},
		{"BATCH_CONCURRENCY", c.BatchConcurrency},
		{"AWS_LAMBDA_MAX_CONCURRENCY", c.MaxConcurrency},
		{"MAX_RECEIVE_COUNT", c.MaxReceiveCount},
	}
}

// read fills c in with envconfig, which stops at the first variable that it cannot
// read. An empty one may be such. That variable is removed from the environment
// and envconfig is called once more, until it can read all. At the end all are put
// back. Until then nothing else should read the environment.
func (c *config) read(p *problems) error {
	for _, v := range c.counts() {
		// envconfig would read 010 as 8, as Go does.
		if value := os.Getenv(v.name); strings.HasPrefix(strings.TrimPrefix(value, "+"), "0") {
			p.add(v.name, countForm)
			os.Unsetenv(v.name)
			defer os.Setenv(v.name, value)
		}
	}
	for {
		err := envconfig.Process("", c)
		if err == nil {
			return nil
		}
		// Only the name is shown, since err has the value in it.
		fault, ok := errors.AsType[*envconfig.ParseError](err)
		if !ok {
			return errors.New("the environment cannot be read")
		}
		value, set := os.LookupEnv(fault.KeyName)
		if !set {
			return fmt.Errorf("%s: its default cannot be read", fault.KeyName)
		}
		os.Unsetenv(fault.KeyName)
		defer os.Setenv(fault.KeyName, value)
		if value != "" {
			p.add(fault.KeyName, "%s", forms[fault.TypeName])
		}
	}
}

func (s *settings) trim() {
	for _, v := range []*string{&s.ProjectID, &s.DestinationProjectID, &s.ResultTopicARN, &s.ResultTopicURN, &s.RejectedQueueARN, &s.RequestQueueARN, &s.RequestTopicURN, &s.FollowQueueARN} {
		*v = strings.TrimSpace(*v)
	}
	for _, list := range []*[]string{&s.AllowedProjectIDs, &s.AllowedDestinations, &s.AllowedURNs, &s.StartOnEvents} {
		*list = entries(*list)
	}
	if s.EnterpriseProjectID == "" && s.Cloud == "" && !s.foreign() {
		s.EnterpriseProjectID = allEnterpriseProjects
	}
	s.ProjectID, s.DestinationProjectID = strings.ToLower(s.ProjectID), strings.ToLower(s.DestinationProjectID)
}

// entries returns the entries of a list without the spaces around them, and without
// empty ones.
func entries(list []string) (entries []string) {
	for _, entry := range list {
		if entry = strings.TrimSpace(entry); entry != "" {
			entries = append(entries, entry)
		}
	}
	return entries
}

func (s *settings) checkBounds(p *problems) {
	for _, v := range []struct {
		name  string
		value time.Duration
	}{
		{"CBR_TIMEOUT", s.CBRTimeout},
		{"HTTP_TIMEOUT", s.HTTPTimeout},
		{"RETRY_INITIAL_INTERVAL", s.RetryInitial},
		{"RETRY_MAX_INTERVAL", s.RetryMax},
		{"RETRY_MAX_ELAPSED", s.RetryElapsed},
		{"DEADLINE_RESERVE", s.DeadlineReserve},
	} {
		if v.value <= 0 {
			p.add(v.name, durationForm)
		}
	}
	if s.RetryInitial > s.RetryMax && s.RetryMax > 0 {
		p.add("RETRY_INITIAL_INTERVAL", "expected at most RETRY_MAX_INTERVAL")
	}
	if s.PlanSpread < 0 || s.PlanSpread > maxSpread {
		p.add("PLAN_SPREAD", "expected a duration such as 10m, at most 15m")
	}
	if age := time.Duration(s.MaxReplicaAge); age <= 0 || age%time.Second != 0 {
		p.add("MAX_REPLICA_AGE", "expected a positive duration of whole seconds such as 30h or 2d")
	}
	if s.FollowFor <= 0 || s.FollowFor > maxFollowFor {
		p.add("FOLLOW_FOR", daysForm)
	}
	for _, v := range s.counts() {
		if v.value < 1 || v.value > maxCount {
			p.add(v.name, countForm)
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
	if s.agency = s.functionGraph && s.Fields.IsZero(); s.agency {
		return
	}
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
		// A password of another company's cloud must not be sent to Huawei.
		if s.UserName != "" {
			p.add("HW_AUTH_URL", "required with HW_USER_NAME, or HW_CLOUD, since HW_CBR_ENDPOINT is not Huawei's own")
		}
		return
	}
	var err error
	s.iam, err = huawei.NewIAMEndpoints(s.AuthURL, s.Cloud)
	p.check("HW_AUTH_URL", err)
}

// foreign reports whether CBR may be another company's whose domain is not given.
func (s *settings) foreign() bool { return s.Cloud == "" && huawei.IsForeign(s.Endpoint) }

// secretRegion returns the region in the secret's ARN, else the function's own.
func (s *settings) secretRegion() string {
	if a, err := arn.Parse(s.SecretID, "secretsmanager"); err == nil {
		return a.Region
	}
	return s.AWSRegion
}

func (s *settings) checkQueues(p *problems) {
	for _, q := range []struct {
		variable, arn string
		to            **queue.Name
	}{
		{"REJECTED_QUEUE_ARN", s.RejectedQueueARN, &s.rejected},
		{"REQUEST_QUEUE_ARN", s.RequestQueueARN, &s.requests},
		{"FOLLOW_QUEUE_ARN", s.FollowQueueARN, &s.followed},
	} {
		if q.arn == "" {
			continue
		}
		name, err := queue.Parse(q.arn)
		p.check(q.variable, err)
		*q.to = &name
	}
	switch {
	case s.RequestTopicURN == "":
	case s.RequestQueueARN != "":
		p.add("REQUEST_QUEUE_ARN, REQUEST_TOPIC_URN", "set one of them: each says where plans send requests")
	case s.RequestTopicURN == s.ResultTopicURN:
		p.add("REQUEST_TOPIC_URN", "expected another topic than RESULT_TOPIC_URN: its subscribers would get the requests, too")
	default:
		s.requestTopic, _ = s.smnTopic(p, "REQUEST_TOPIC_URN", s.RequestTopicURN)
	}
	if s.FollowQueueARN != "" && s.FollowQueueARN == s.RequestQueueARN {
		p.add("FOLLOW_QUEUE_ARN", "expected another queue than REQUEST_QUEUE_ARN: what comes from it is followed, and nothing else")
	}
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
		// net/http takes the first spelling that is set. If it cannot read the value,
		// it uses no proxy.
		if i%2 == 1 && s.proxies[i-1].value != "" {
			continue
		}
		if u := proxyURL(v.value); v.value != "" && (u == nil || u.Host == "") {
			p.add(v.name, "expected a URL, or host:port")
		}
	}
}

// proxyURL reads a proxy. Its scheme may be left out. It is nil if s is none.
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
	s.allow = &allow.List{URNs: s.AllowedURNs, Acceleration: s.AllowAcceleration}
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

// hide has r mask all secrets. It returns the names of the variables whose secret
// is too short to be masked everywhere.
func (s *settings) hide(r *redact.Redactor) (short []string) {
	short = s.Fields.Hide(r)
	for _, v := range []variable{{"AWS_SECRET_ACCESS_KEY", s.SecretAccessKey}, {"AWS_SESSION_TOKEN", s.SessionToken}} {
		r.Hide(v.value)
		if redact.IsShort(v.value) {
			short = append(short, v.name)
		}
	}
	for _, v := range s.proxies {
		u := proxyURL(v.value)
		if u == nil {
			continue
		}
		password, _ := u.User.Password()
		r.Hide(password)
		if redact.IsShort(password) {
			short = append(short, v.name)
			// This is sent to the proxy, which may repeat it.
			pair := u.User.Username() + ":" + password
			r.Hide(pair)
			r.Hide(base64.StdEncoding.EncodeToString([]byte(pair)))
		}
	}
	return short
}

// requestDefaults returns the defaults for the fields of a request.
func (s *settings) requestDefaults() events.Defaults {
	return events.Defaults{
		ProjectID:            s.ProjectID,
		Region:               s.Region,
		VaultID:              s.VaultID,
		DestinationVaultID:   s.DestinationVaultID,
		DestinationProjectID: s.DestinationProjectID,
		DestinationRegion:    s.DestinationRegion,
		MaxAge:               time.Duration(s.MaxReplicaAge),
	}
}
