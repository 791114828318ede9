package main

import (
	"cmp"
	"net/http"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws/arn"

	"cbr-replicator/internal/awsjson"
	"cbr-replicator/internal/sink"
	"cbr-replicator/internal/sink/eventbridge"
	"cbr-replicator/internal/sink/sns"
)

// sinkKind is a kind of place that RESULT_TOPIC_ARN may name.
type sinkKind struct {
	service  string             // in its ARN and in its host name
	form     string             // of its ARN, in words
	is       func(arn.ARN) bool // for an ARN of that service
	endpoint func(*config) string
	open     func(*settings, *http.Client, string) sink.Sink
}

// sinkKinds returns all kinds of sinks.
func sinkKinds() []sinkKind {
	return []sinkKind{
		{
			sns.Service, sns.Form, sns.IsTopic,
			func(c *config) string { return c.EndpointSNS },
			func(s *settings, client *http.Client, _ string) sink.Sink {
				return &sns.Topic{
					ARN:    s.ResultTopicARN,
					Client: sns.NewClient(s.sinkRegion, cmp.Or(s.EndpointSNS, s.EndpointAWS), s.credentials(), client),
				}
			},
		},
		{
			eventbridge.Service, eventbridge.Form, eventbridge.IsBus,
			func(c *config) string { return c.EndpointEventBridge },
			func(s *settings, client *http.Client, userAgent string) sink.Sink {
				return &eventbridge.Bus{
					ARN:    s.ResultTopicARN,
					Client: s.aws(eventbridge.Service, eventbridge.Target, eventbridge.Version, s.sinkRegion, s.EndpointEventBridge, client, userAgent),
				}
			},
		},
	}
}

func (s *settings) checkSink(p *problems) {
	if s.ResultTopicARN == "" {
		p.add("RESULT_TOPIC_ARN", "required")
		return
	}
	var forms []string
	a, err := arn.Parse(s.ResultTopicARN)
	for _, k := range sinkKinds() {
		if err == nil && a.Region != "" && a.Service == k.service && k.is(a) {
			s.sink, s.sinkRegion = k, a.Region
			return
		}
		forms = append(forms, k.form)
	}
	p.add("RESULT_TOPIC_ARN", "expected %s", strings.Join(forms, " or "))
}

// sinkURL is where results go.
func (s *settings) sinkURL() string {
	return cmp.Or(s.sink.endpoint(&s.config), s.EndpointAWS, awsjson.Endpoint(s.sink.service, s.sinkRegion))
}
