package events

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net/http"

	"cbr-replicator/internal/delivery"
)

// alb is an Application Load Balancer's target group (Elastic Load Balancing
// user guide, "Use Lambda functions as targets of an Application Load Balancer").
var alb = trigger{
	samples: []string{"alb"},
	is:      func(f form) bool { return f.keys["requestContext"] && f.elb },
	decode:  decodeALB,
}

func decodeALB(d *Decoder, payload []byte, inv delivery.Invocation) (*Batch, error) {
	var event struct {
		httpHeader
		Method         string `json:"httpMethod"`
		Path           string `json:"path"`
		Body           string `json:"body"`
		IsBase64       bool   `json:"isBase64Encoded"`
		RequestContext struct {
			ELB struct {
				TargetGroupARN string `json:"targetGroupArn"`
			} `json:"elb"`
		} `json:"requestContext"`
	}
	if err := json.Unmarshal(payload, &event); err != nil {
		return nil, err
	}
	req := httpRequest{
		method:    event.Method,
		path:      event.Path,
		header:    event.httpHeader,
		body:      event.Body,
		isBase64:  event.IsBase64,
		limit:     maxALBReply,
		requestID: inv.RequestID,
		delivery: delivery.Delivery{
			Source: event.RequestContext.ELB.TargetGroupARN,
			// It is new for each request: the load balancer adds a part of its own
			// to the trace id that a client sends.
			CausationID: cmp.Or(event.trace(), inv.RequestID),
		},
		// The event has no time of arrival. The load balancer closes the
		// connection after its idle timeout, 60 s by default.
		deadline: inv.Began.Add(d.HTTPTimeout),
	}
	return d.httpBatch(req, func(r httpResponse) ([]byte, error) {
		body, err := marshal(r.body)
		if err != nil {
			return nil, err
		}
		reply := albResponse{
			StatusCode:        r.status,
			StatusDescription: fmt.Sprintf("%d %s", r.status, http.StatusText(r.status)),
			Body:              string(body),
		}
		// A target group reads only one of the two forms of headers.
		if !event.Multi.given {
			reply.Headers = r.allHeaders()
			return marshal(reply)
		}
		reply.MultiValueHeaders = map[string][]string{}
		for k, v := range r.allHeaders() {
			reply.MultiValueHeaders[k] = []string{v}
		}
		return marshal(reply)
	})
}

type albResponse struct {
	StatusCode        int                 `json:"statusCode"`
	StatusDescription string              `json:"statusDescription"`
	Headers           map[string]string   `json:"headers,omitempty"`
	MultiValueHeaders map[string][]string `json:"multiValueHeaders,omitempty"`
	Body              string              `json:"body"`
	IsBase64          bool                `json:"isBase64Encoded"`
}
