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
	maxQueueDelay      = 900 // seconds
)

// sendMessage is what SendMessage asks for.
type sendMessage struct {
	MessageBody            string
	MessageAttributes      map[string]struct{ DataType, StringValue string }
	MessageGroupID         string
	MessageDeduplicationID string
	DelaySeconds           *int // nil: the queue's
}

// sendMessageBatch is what SendMessageBatch asks for.
type sendMessageBatch struct {
	Entries []struct {
		ID string
		sendMessage
	}
}

// sendMessageBatchResult is its answer.
type sendMessageBatchResult struct {
	Successful []sendMessageBatchResultEntry
	Failed     []batchResultErrorEntry
}

type sendMessageBatchResultEntry struct {
	ID string `json:"Id"`
	sendMessageResult
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
	sqsProtocol.answer(w, s.take(queue, call), fault.AnswerLost)
}

// sendMessageBatch takes the messages that are valid. Only a batch that has not its form, or is too long, is refused as a whole.
func (s *SQS) sendMessageBatch(w http.ResponseWriter, body []byte, fault SQSFault) {
	var call sendMessageBatch
	queue := s.read(w, body, &call)
	if queue == nil {
		return
	}
	ids, size := make([]string, len(call.Entries)), 0
	for i, e := range call.Entries {
		ids[i] = e.ID
		size += e.size()
	}
	switch {
	case !batchHasForm(w, "SendMessageBatchRequestEntry", ids):
		return
	case size > maxQueueMessage:
		refuseSQS(w, http.StatusBadRequest, "BatchRequestTooLong",
			fmt.Sprintf("Batch requests cannot be longer than %d bytes. You have sent %d bytes.", maxQueueMessage, size))
		return
	}
	answer := sendMessageBatchResult{Successful: []sendMessageBatchResultEntry{}, Failed: []batchResultErrorEntry{}}
	for i, e := range call.Entries {
		scripted, refused := fault.refuses(i, e.ID, "InvalidParameterValue")
		code, text := e.problem(queue)
		switch {
		case refused:
			answer.Failed = append(answer.Failed, scripted)
		case code != "":
			answer.Failed = append(answer.Failed, batchResultErrorEntry{e.ID, code, text, true})
		default:
			answer.Successful = append(answer.Successful, sendMessageBatchResultEntry{e.ID, s.take(queue, e.sendMessage)})
		}
	}
	sqsProtocol.answer(w, answer, fault.AnswerLost)
}

// take puts a valid message into its queue, and returns what SQS says of it.
func (s *SQS) take(q *Queue, call sendMessage) sendMessageResult {
	attributes := map[string]string{}
	for name, a := range call.MessageAttributes {
		attributes[name] = a.StringValue
	}
	text := asStored(call.MessageBody)
	sum := md5.Sum([]byte(text)) // SQS's own check of the body, no secret
	return sendMessageResult{s.send(q, text, attributes, call), hex.EncodeToString(sum[:])}
}

// size is how long a message is, in bytes.
func (m sendMessage) size() int {
	size := len(m.MessageBody)
	for name, a := range m.MessageAttributes {
		size += len(name) + len(a.DataType) + len(a.StringValue)
	}
	return size
}

// problem is why SQS refuses a message, empty if it does not.
func (m sendMessage) problem(q *Queue) (code, text string) {
	for name, a := range m.MessageAttributes {
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
	case m.size() > maxQueueMessage:
		return "InvalidParameterValue", fmt.Sprintf("One or more parameters are invalid. Reason: Message must be shorter than %d bytes.", maxQueueMessage)
	case m.DelaySeconds != nil && (q.fifo() || *m.DelaySeconds < 0 || *m.DelaySeconds > maxQueueDelay):
		return "InvalidParameterValue", fmt.Sprintf("Value %d for parameter DelaySeconds is invalid.", *m.DelaySeconds)
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
		delay := q.config.Delay
		if call.DelaySeconds != nil {
			delay = time.Duration(*call.DelaySeconds) * time.Second
		}
		return q.send(text, attributes, "", delay)
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
