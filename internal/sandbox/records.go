package sandbox

import (
	"encoding/json"
	"errors"
	"fmt"
)

// ReadSQSEvent is the reverse of [SQSEvent]: it reads what to send so that such an event comes of it. That is the body, the
// attributes of type String and the group of each message. A payload that is no SQS event is an error.
func ReadSQSEvent(payload []byte) ([]Message, error) {
	var event struct {
		Records []struct {
			EventSource       string
			Body              string
			Attributes        map[string]string
			MessageAttributes map[string]struct{ StringValue string }
		}
	}
	if err := json.Unmarshal(payload, &event); err != nil {
		return nil, fmt.Errorf("reading an SQS event: %w", err)
	}
	if len(event.Records) == 0 {
		return nil, errors.New("reading an SQS event: no Records")
	}
	messages := make([]Message, len(event.Records))
	for i, r := range event.Records {
		if r.EventSource != "aws:sqs" {
			return nil, fmt.Errorf("reading an SQS event: Records[%d] is not of aws:sqs", i)
		}
		attributes := map[string]string{}
		for name, a := range r.MessageAttributes {
			attributes[name] = a.StringValue
		}
		messages[i] = Message{Body: r.Body, Attributes: attributes, Group: r.Attributes["MessageGroupId"]}
	}
	return messages, nil
}
