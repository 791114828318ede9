package sandbox

import (
	"crypto/md5"
	"encoding/hex"
	"fmt"
	"net/http"
	"strings"
	"time"
)

// Limits of SQS for a message (SQS developer guide, "Amazon SQS message quotas").
const (
	maxQueueMessage    = 1 << 20 // bytes, attributes included
	maxQueueAttributes = 10
)

// sendMessage is what SendMessage asks for.
type sendMessage struct {
	MessageBody            string
	MessageAttributes      map[string]struct{ DataType, StringValue string }
	MessageGroupID         string
	MessageDeduplicationID string
}

// sendMessageResult is its answer. Clients check the sum.
type sendMessageResult struct {
	MessageID        string `json:"MessageId"`
	MD5OfMessageBody string
}

// sentOnce is a message of a FIFO queue.
type sentOnce struct {
	id string
	at time.Time
}

func (s *SQS) sendMessage(w http.ResponseWriter, body []byte, fault SQSFault) {
	var call sendMessage
	queue := s.read(w, body, &call)
	if queue == nil {
		return
	}
	if code, text := call.problem(queue); code != "" {
		refuseSQS(w, http.StatusBadRequest, code, text)
		return
	}
	attributes := map[string]string{}
	for name, a := range call.MessageAttributes {
		attributes[name] = a.StringValue
	}
	text := asStored(call.MessageBody)
	sum := md5.Sum([]byte(text)) // SQS's own check of the body, no secret
	answer := sendMessageResult{s.send(queue, text, attributes, call), hex.EncodeToString(sum[:])}
	sqsProtocol.answer(w, answer, fault.AnswerLost)
}

// problem is why SQS refuses a message, empty if it does not.
func (m sendMessage) problem(q *Queue) (code, text string) {
	size := len(m.MessageBody)
	for name, a := range m.MessageAttributes {
		size += len(name) + len(a.DataType) + len(a.StringValue)
		switch {
		case a.DataType != "String":
			return "InvalidParameterValue", "the sandbox has attributes of type String alone"
		case a.StringValue == "":
			return "InvalidParameterValue", "Message (user) attribute '" + name + "' must contain a non-empty value of type 'String'."
		case !attributeName.MatchString(name) || attributeReserved.MatchString(name) || len(name) > 256:
			return "InvalidParameterValue", "Message (user) attribute name is invalid."
		}
	}
	switch {
	case m.MessageBody == "":
		return "MissingParameter", "The request must contain the parameter MessageBody."
	case len(m.MessageAttributes) > maxQueueAttributes:
		return "InvalidParameterValue", fmt.Sprintf("Number of message attributes exceeds the allowed maximum (%d).", maxQueueAttributes)
	case size > maxQueueMessage:
		return "InvalidParameterValue", fmt.Sprintf("One or more parameters are invalid. Reason: Message must be shorter than %d bytes.", maxQueueMessage)
	case q.fifo() && m.MessageGroupID == "":
		return "MissingParameter", "The request must contain the parameter MessageGroupId."
	case q.fifo() && m.MessageDeduplicationID == "":
		return "InvalidParameterValue", "The queue should either have ContentBasedDeduplication enabled or MessageDeduplicationId provided explicitly"
	}
	return "", ""
}

// asStored returns a body as SQS keeps it: SQS replaces characters that it does not allow (SQS API reference, SendMessage).
func asStored(body string) string {
	return strings.Map(func(c rune) rune {
		if c < ' ' && c != '\t' && c != '\n' && c != '\r' || c == '\ufffe' || c == '\uffff' {
			return '\ufffd'
		}
		return c
	}, body)
}

// send puts a message into its queue, unless a FIFO queue has it already, and returns its id.
func (s *SQS) send(q *Queue, text string, attributes map[string]string, call sendMessage) string {
	if !q.fifo() {
		return q.Send(text, attributes, "")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	key, now := q.config.Name+" "+call.MessageDeduplicationID, q.config.Now()
	if before, ok := s.dedup[key]; ok && now.Sub(before.at) < dedupWindow {
		return before.id
	}
	id := q.Send(text, attributes, call.MessageGroupID)
	s.dedup[key] = sentOnce{id, now}
	return id
}
