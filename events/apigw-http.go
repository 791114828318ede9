package events

import (
	"encoding/json"
	"strings"
	"time"
)

// apigwHTTP is an HTTP API of API Gateway and a function URL, which share the
// payload format 2.0 (API Gateway developer guide, "Create AWS Lambda proxy
// integrations for HTTP APIs"; AWS Lambda developer guide, "Invoking Lambda
// function URLs").
var apigwHTTP = trigger{
	samples: []string{"apigw-http", "function-url"},
	is:      func(s shape) bool { return s.keys["requestContext"] && s.keys["routeKey"] },
	decode:  decodeAPIGatewayHTTP,
}

// longestInvocation is Lambda's limit. A request that arrived longer ago is a
// sample that is sent again, or a clock that is wrong.
const longestInvocation = 15 * time.Minute

func decodeAPIGatewayHTTP(d *Decoder, payload []byte, inv Invocation) (*Batch, error) {
	var event struct {
		RawPath        string            `json:"rawPath"`
		Headers        map[string]string `json:"headers"`
		Body           string            `json:"body"`
		IsBase64       bool              `json:"isBase64Encoded"`
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
		method:   rc.HTTP.Method,
		path:     event.RawPath,
		header:   event.Headers,
		body:     event.Body,
		isBase64: event.IsBase64,
		delivery: Delivery{Source: rc.APIID, CausationID: rc.RequestID},
	}
	if rest, ok := strings.CutPrefix(req.path, "/"+rc.Stage); ok && (rest == "" || rest[0] == '/') {
		req.path = rest
	}
	// A function URL waits as long as the function may run.
	if !strings.Contains(rc.Domain, ".lambda-url.") {
		arrived := time.UnixMilli(rc.TimeEpoch)
		if age := inv.Began.Sub(arrived); age < 0 || age > longestInvocation {
			arrived = inv.Began
		}
		req.deadline = arrived.Add(d.HTTPTimeout)
	}
	return d.httpBatch(req, func(r httpResponse) ([]byte, error) {
		body, err := marshal(r.body)
		if err != nil {
			return nil, err
		}
		header := map[string]string{"Content-Type": "application/json"}
		for k, v := range r.header {
			header[k] = v
		}
		return marshal(struct {
			StatusCode int               `json:"statusCode"`
			Headers    map[string]string `json:"headers"`
			Body       string            `json:"body"`
			IsBase64   bool              `json:"isBase64Encoded"`
		}{r.status, header, string(body), false})
	})
}
