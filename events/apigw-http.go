package events

import (
	"cmp"
	"encoding/json"
	"strings"

	"cbr-replicator/internal/delivery"
)

// apigwHTTP is an HTTP API of API Gateway, or a function URL. Both have the
// payload format 2.0 (API Gateway developer guide, "Create AWS Lambda proxy
// integrations for HTTP APIs"; AWS Lambda developer guide, "Invoking Lambda
// function URLs").
var apigwHTTP = trigger{
	samples: []string{"apigw-http", "function-url"},
	is:      func(f form) bool { return f.keys["requestContext"] && f.keys["routeKey"] },
	decode:  decodeAPIGatewayHTTP,
}

func decodeAPIGatewayHTTP(d *Decoder, payload []byte, inv delivery.Invocation) (*Batch, error) {
	var event struct {
		httpHeader
		RawPath        string `json:"rawPath"`
		Body           string `json:"body"`
		IsBase64       bool   `json:"isBase64Encoded"`
		RequestContext struct {
			APIID     string `json:"apiId"`
			Domain    string `json:"domainName"`
			RequestID string `json:"requestId"`
			Stage     string `json:"stage"`
			TimeEpoch int64  `json:"timeEpoch"`
			HTTP      struct {
				Method string `json:"method"`
			} `json:"http"`
		} `json:"requestContext"`
	}
	if err := json.Unmarshal(payload, &event); err != nil {
		return nil, err
	}
	rc := event.RequestContext
	req := httpRequest{
		method:    rc.HTTP.Method,
		path:      withoutStage(event.RawPath, rc.Stage),
		header:    event.httpHeader,
		body:      event.Body,
		isBase64:  event.IsBase64,
		limit:     maxReply,
		requestID: inv.RequestID,
		delivery:  delivery.Delivery{Source: rc.APIID, CausationID: cmp.Or(rc.RequestID, inv.RequestID)},
	}
	// A function URL waits as long as the function may run.
	if !strings.Contains(rc.Domain, ".lambda-url.") {
		req.deadline = d.httpDeadline(rc.TimeEpoch, inv)
	}
	return d.httpBatch(req, writeAPIGateway)
}
