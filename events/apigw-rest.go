package events

import (
	"cmp"
	"encoding/json"

	"cbr-replicator/internal/delivery"
)

// apigwREST is a REST API of API Gateway, or an HTTP API with the payload
// format 1.0 (API Gateway developer guide, "Input format of a Lambda function
// for proxy integration").
var apigwREST = trigger{
	samples: []string{"apigw-rest"},
	is:      func(f form) bool { return f.keys["requestContext"] && f.keys["httpMethod"] && !f.elb },
	decode:  decodeAPIGatewayREST,
}

// consoleTest is the request id of every test in API Gateway's console. It does
// not tell one test from another.
const consoleTest = "test-invoke-request"

func decodeAPIGatewayREST(d *Decoder, payload []byte, inv delivery.Invocation) (*Batch, error) {
	var event struct {
		httpHeader
		Method         string          `json:"httpMethod"`
		Resource       string          `json:"resource"`
		Path           string          `json:"path"`
		PathParameters json.RawMessage `json:"pathParameters"`
		Body           string          `json:"body"`
		IsBase64       bool            `json:"isBase64Encoded"`
		RequestContext struct {
			APIID     string `json:"apiId"`
			RequestID string `json:"requestId"`
			Stage     string `json:"stage"`
			TimeEpoch int64  `json:"requestTimeEpoch"`
		} `json:"requestContext"`
	}
	if err := json.Unmarshal(payload, &event); err != nil {
		return nil, err
	}
	rc := event.RequestContext
	if rc.RequestID == consoleTest {
		rc.RequestID = ""
	}
	req := httpRequest{
		method:    event.Method,
		path:      withoutStage(event.Path, rc.Stage),
		header:    event.httpHeader,
		body:      event.Body,
		isBase64:  event.IsBase64,
		limit:     maxReply,
		requestID: inv.RequestID,
		delivery:  delivery.Delivery{Source: rc.APIID, CausationID: cmp.Or(rc.RequestID, inv.RequestID)},
		deadline:  d.httpDeadline(rc.TimeEpoch, inv),
	}
	if event.Resource == "/" {
		req.path = "/" // with a custom domain, the path begins with the base path
	}
	if d.FunctionGraph {
		req.path = withoutAPI(event.Path, event.PathParameters)
	}
	return d.httpBatch(req, writeAPIGateway)
}
