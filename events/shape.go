package events

// shape is what of a payload's form tells its trigger.
type shape struct {
	array bool
	keys  map[string]bool // of the top level
	// source is the eventSource of the payload itself, of the first of its
	// Records, or of all elements of an array: empty where they differ.
	source string
	elb    bool // requestContext is a load balancer's
}

// shapeOf reads as little of a payload as tells its form: of Records no more
// than the first. What is no JSON may have any shape; the trigger that it seems
// to be of says what is wrong with it.
func shapeOf(payload []byte) shape {
	s := shape{keys: map[string]bool{}}
	c := cursor{payload}
	if c.take('[') {
		s.array, s.source = true, sourceOf(c.value())
		for s.source != "" && c.take(',') {
			if sourceOf(c.value()) != s.source {
				s.source = ""
			}
		}
	}
	for more := c.take('{'); more; more = c.take(',') {
		name, _ := unquote(c.value())
		c.take(':')
		s.keys[name] = true
		if name == "Records" {
			s.source = ""
			if c.take('[') {
				s.source = sourceOf(c.value())
			}
			break // it comes before all others in the order of triggers
		}
		switch value := c.value(); name {
		case "eventSource":
			s.source, _ = unquote(value)
		case "requestContext":
			for name := range members(value) {
				s.elb = s.elb || name == "elb"
			}
		}
	}
	return s
}

// sourceOf returns the eventSource of a record.
func sourceOf(record []byte) string {
	for name, value := range members(record) {
		// SNS alone writes it with a capital.
		if name == "eventSource" || name == "EventSource" {
			source, _ := unquote(value)
			return source
		}
	}
	return ""
}
