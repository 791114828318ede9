package events

// cloudEvent is a direct call with a CloudEvent in structured JSON, whose data
// is the request (CloudEvents 1.0, "JSON Event Format").
var cloudEvent = trigger{
	samples: []string{"cloudevent"},
	is:      isCloudEvent,
	decode:  decodeDirect,
}

func isCloudEvent(s shape) bool { return s.keys["specversion"] }
