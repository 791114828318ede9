package main

import (
	"cmp"
	"net/http"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws/arn"

	"cbr-replicator/internal/awscall"
	"cbr-replicator/internal/huawei"
	"cbr-replicator/internal/sink"
	"cbr-replicator/internal/sink/eventbridge"
	"cbr-replicator/internal/sink/smn"
	"cbr-replicator/internal/sink/sns"
	smnapi "cbr-replicator/internal/smn"
)

// place is where results go.
type place struct {
	region string
	url    string
	// open returns the sink. Its calls are made with service.
	open func(service huawei.Service) sink.Sink
}

// arnKind is a kind of place that RESULT_TOPIC_ARN may name.
type arnKind struct {
	service  string             // in its ARN and in its host name
	form     string             // of its ARN, in words
	is       func(arn.ARN) bool // for an ARN of that service
	endpoint func(*config) string
	open     func(s *settings, client *http.Client, userAgent string) sink.Sink
}

// arnKinds returns all kinds.
func arnKinds() []arnKind {
	return []arnKind{
		{
			sns.Service, sns.Form, sns.IsTopic,
			func(c *config) string { return c.EndpointSNS },
			func(s *settings, client *http.Client, userAgent string) sink.Sink {
				return &sns.Topic{
					ARN:    s.ResultTopicARN,
					Client: s.aws(sns.Service, "", sns.Version, s.sink.region, s.EndpointSNS, client, userAgent),
				}
			},
		},
		{
			eventbridge.Service, eventbridge.Form, eventbridge.IsBus,
			func(c *config) string { return c.EndpointEventBridge },
			func(s *settings, client *http.Client, userAgent string) sink.Sink {
				return &eventbridge.Bus{
					ARN:    s.ResultTopicARN,
					Client: s.aws(eventbridge.Service, eventbridge.Target, eventbridge.Version, s.sink.region, s.EndpointEventBridge, client, userAgent),
				}
			},
		},
	}
}

// checkSink finds where results go. Exactly one of the variables must say it.
func (s *settings) checkSink(p *problems) {
	switch {
	case s.ResultTopicARN == "" && s.ResultTopicURN == "":
		p.add("RESULT_TOPIC_ARN", "required, or RESULT_TOPIC_URN")
	case s.ResultTopicARN != "" && s.ResultTopicURN != "":
		p.add("RESULT_TOPIC_ARN, RESULT_TOPIC_URN", "set one of them: each says where results go")
	case s.ResultTopicURN != "":
		s.checkURN(p)
	default:
		s.checkARN(p)
	}
}

func (s *settings) checkARN(p *problems) {
	var forms []string
	a, err := arn.Parse(s.ResultTopicARN)
	for _, k := range arnKinds() {
		if err == nil && a.Region != "" && a.Service == k.service && k.is(a) {
			s.sink = place{
				region: a.Region,
				url:    cmp.Or(k.endpoint(&s.config), s.EndpointAWS, awscall.Endpoint(k.service, a.Region)),
				open:   func(service huawei.Service) sink.Sink { return k.open(s, service.HTTP, service.UserAgent) },
			}
			return
		}
		forms = append(forms, k.form)
	}
	p.add("RESULT_TOPIC_ARN", "expected %s", strings.Join(forms, " or "))
}

func (s *settings) checkURN(p *problems) {
	t, ok := s.smnTopic(p, "RESULT_TOPIC_URN", s.ResultTopicURN)
	if !ok {
		return
	}
	url, err := t.endpoints.For(t.urn.Scope.Region)
	p.check("RESULT_TOPIC_URN", err)
	s.sink = place{
		region: t.urn.Scope.Region,
		url:    url,
		open: func(service huawei.Service) sink.Sink {
			service.Timeout = 0 // the publisher's is the one
			return &smn.Topic{URN: t.urn, Client: t.client(service)}
		},
	}
}

// smnTopic is a topic of SMN, and where SMN is.
type smnTopic struct {
	urn       smnapi.URN
	endpoints huawei.Endpoints
}

// client is SMN's, with what CBR's client has.
func (t *smnTopic) client(service huawei.Service) *smnapi.Client {
	service.Endpoints = t.endpoints
	return smnapi.NewClient(service)
}

// smnTopic reads the topic that a variable names. If it cannot be used, it notes why.
func (s *settings) smnTopic(p *problems, variable, text string) (*smnTopic, bool) {
	urn, ok := smnapi.ParseURN(text)
	if !ok {
		p.add(variable, "expected %s", smnapi.Form)
		return nil, false
	}
	if s.Token != "" && s.ProjectID != "" && urn.Scope.ProjectID != s.ProjectID {
		p.add(variable, "its project is not HW_PROJECT_ID, and the token of HW_AUTH_TOKEN is good for that alone")
	}
	if s.foreign() && s.EndpointSMN == "" {
		// A credential must not go to Huawei because nobody said where else.
		p.add("HW_SMN_ENDPOINT", "required with %s, or HW_CLOUD, since HW_CBR_ENDPOINT is not Huawei's own", variable)
		return nil, false
	}
	endpoints, err := huawei.NewEndpoints(smnapi.Service, s.EndpointSMN, s.Cloud, urn.Scope.Region)
	if err != nil {
		if s.EndpointSMN != "" { // else it is the cloud, of which checkEndpoints speaks
			p.add("HW_SMN_ENDPOINT", "%v", err)
		}
		return nil, false
	}
	return &smnTopic{urn, endpoints}, true
}
