package events

import (
	"cmp"
	"encoding/json"

	"cbr-replicator/internal/delivery"
)

// apigwREST is a REST API of API Gateway, and an HTTP API with the payload
// format 1.0 (API Gateway developer guide, "Input format of a Lambda function
// for proxy integration").
var apigwREST = trigger{
	samples: []string{"apigw-rest"},
	is:      func(s shape) bool { return s.keys["requestContext"] && s.keys["httpMethod"] && !s.elb },
	decode:  decodeAPIGatewayREST,
}

// consoleTest is the request id of each test in API Gateway's console, which
// names none of them.
const consoleTest = "test-invoke-request"

func decodeAPIGatewayREST(d *Decoder, payload []byte, inv delivery.Invocation) (*Batch, error) {
	var event struct {
		httpHeader
		Method         string `json:"httpMethod"`
		Resource       string `json:"resource"`
		Path           string `json:"path"`
		Body           string `json:"body"`
		IsBase64       bool   `json:"isBase64Encoded"`
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
		req.path = "/" // a custom domain's path has its base path before it
	}
	return d.httpBatch(req, writeAPIGateway)
}
