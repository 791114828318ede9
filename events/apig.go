package events

import "encoding/json"

// apig is a dedicated or shared gateway of APIG (FunctionGraph user guide, "Using
// an APIG Trigger"). It writes as a REST API of AWS's API Gateway does, but says
// neither when a request arrived nor which path it is bound to.
var apig = trigger{
	samples: []string{"functiongraph/apig"},
	is:      func(f form) bool { return f.functionGraph && f.keys["requestContext"] && f.keys["httpMethod"] },
	decode:  decodeAPIGatewayREST,
}

// withoutAPI makes a path of APIG that is the API's own the root. What is below the
// API's path is the path parameter without a name. CBR's paths are matched as
// suffixes, whatever stands before them.
func withoutAPI(path string, parameters json.RawMessage) string {
	var below map[string]any
	_ = json.Unmarshal(parameters, &below) // of another form there are none
	if _, _, isReplicate := replicatePlace(path); isReplicate || below[""] != nil && below[""] != "" {
		return path
	}
	return "/"
}
