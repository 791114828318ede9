package sandbox

import (
	"encoding/xml"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"sync"
	"time"
)

// Limits of SNS (SNS API reference, PublishBatch).
const (
	maxTopicEntries = 10
	maxTopicBytes   = 256 << 10
	dedupWindow     = 5 * time.Minute
)

var (
	// entryID is the id of an entry of a batch, to SNS and to SQS alike.
	entryID = regexp.MustCompile(`^[A-Za-z0-9_-]{1,80}$`)
	// attributeName is the form of a message attribute's name. Its length, at most 256 characters, and the reserved prefixes
	// are checked beside it (SNS developer guide, "Amazon SNS message attributes").
	attributeName     = regexp.MustCompile(`^[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*$`)
	attributeReserved = regexp.MustCompile(`(?i)^(aws|amazon)\.`)
)

// TopicFault is how the topic fails one call, instead of or besides doing what it asks for.
type TopicFault struct {
	// Status and Code refuse the call.
	Status int
	Code   string
	// Entries refuses these entries of a batch, by index: true is the sender's fault.
	Entries map[int]bool
	// Reset cuts the connection before anything is done.
	Reset bool
	// AnswerLost does what the call asks for, then cuts the connection: the caller cannot know that it was done.
	AnswerLost bool
	// Delay comes before everything else.
	Delay time.Duration
}

// SQSFault is how SQS fails one call: in the same ways as a topic.
type SQSFault = TopicFault

// refuses returns the error of a batch's entry, if the fault refuses the entry.
// code is that of an error that is the sender's fault.
func (f TopicFault) refuses(index int, id, code string) (refused batchResultErrorEntry, ok bool) {
	senderFault, ok := f.Entries[index]
	if !senderFault {
		code = "InternalError"
	}
	return batchResultErrorEntry{id, code, "scripted", senderFault}, ok
}

// Published is a message on the topic.
type Published struct {
	ID              string
	Message         string
	Attributes      map[string]string
	Group           string
	DeduplicationID string
	Time            time.Time
}

// Topic is an SNS topic behind SNS's own protocol, on 127.0.0.1. It holds publishers to SNS's limits. Safe for
// concurrent use.
type Topic struct {
	service[TopicFault]
	name    string
	observe func(Published)
	forgets bool

	mu        sync.Mutex
	published []Published
	dedup     map[string]time.Time
}

// NewTopic starts a topic. A name that ends in .fifo makes a FIFO topic. observe, which may be nil, is called with each
// message, in the order of publishing; it must not call the topic.
func NewTopic(name string, observe func(Published), options ...TopicOption) (*Topic, error) {
	t := &Topic{name: name, observe: observe, dedup: map[string]time.Time{}}
	for _, option := range options {
		option(t)
	}
	return t, t.start("SNS", t.serve)
}

// TopicOption is an option of [NewTopic].
type TopicOption func(*Topic)

// WithoutMessages makes a topic that keeps no messages, so that it does not grow while it runs. Only its observer gets them,
// and [Topic.Messages] is empty.
func WithoutMessages() TopicOption { return func(t *Topic) { t.forgets = true } }

// ARN is the topic's ARN.
func (t *Topic) ARN() string { return arn("sns", t.name) }

func (t *Topic) fifo() bool { return isFIFO(t.name) }

// Messages returns what was published, in order.
func (t *Topic) Messages() []Published {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Clone(t.published)
}

func (t *Topic) serve(w http.ResponseWriter, r *http.Request) {
	fault := t.next()
	// First of all: before the body is read, net/http does not notice that a caller is gone.
	if err := r.ParseForm(); err != nil {
		refuse(w, http.StatusBadRequest, "InvalidParameter", err.Error())
		return
	}
	if !wait(r, fault.Delay) {
		return
	}
	if fault.Reset {
		cut()
	}
	switch action := r.Form.Get("Action"); {
	case fault.Status != 0:
		refuse(w, fault.Status, fault.Code, "scripted")
	case r.Form.Get("TopicArn") != t.ARN():
		refuse(w, http.StatusNotFound, "NotFound", "Topic does not exist")
	case action == "PublishBatch":
		t.publishBatch(w, r.Form, fault)
	default:
		refuse(w, http.StatusBadRequest, "InvalidAction", "the sandbox has no action "+action)
	}
}

// entry is one message of a call.
type entry struct {
	id        string
	published Published
	size      int
	// What is wrong with it.
	code, problem string
}

// publishBatch refuses the call if one entry is not valid, as SNS does.
func (t *Topic) publishBatch(w http.ResponseWriter, form url.Values, fault TopicFault) {
	var entries []entry
	ids := map[string]bool{}
	total := 0
	for i := 1; form.Has(fmt.Sprintf("PublishBatchRequestEntries.member.%d.Id", i)); i++ {
		e := t.entry(form, fmt.Sprintf("PublishBatchRequestEntries.member.%d.", i))
		entries = append(entries, e)
		ids[e.id] = true
		total += e.size
	}
	invalid := slices.IndexFunc(entries, func(e entry) bool { return e.code != "" })
	switch {
	case len(entries) == 0:
		refuse(w, http.StatusBadRequest, "EmptyBatchRequest", "The batch request doesn't contain any entries.")
	case len(entries) > maxTopicEntries:
		refuse(w, http.StatusBadRequest, "TooManyEntriesInBatchRequest", "The batch request contains more entries than permissible.")
	case slices.ContainsFunc(entries, func(e entry) bool { return !entryID.MatchString(e.id) }):
		refuse(w, http.StatusBadRequest, "InvalidBatchEntryId", "The Id of a batch entry in a batch request doesn't abide by the specification.")
	case len(ids) < len(entries):
		refuse(w, http.StatusBadRequest, "BatchEntryIdsNotDistinct", "Two or more batch entries in the request have the same Id.")
	case total > maxTopicBytes:
		refuse(w, http.StatusBadRequest, "BatchRequestTooLong", "The length of all the messages put together is more than the limit.")
	case invalid >= 0:
		refuse(w, http.StatusBadRequest, entries[invalid].code, entries[invalid].problem)
	default:
		answer := t.publish(entries, fault)
		if fault.AnswerLost {
			cut()
		}
		respond(w, http.StatusOK, answer)
	}
}

// publishBatchResponse is PublishBatch's answer.
type publishBatchResponse struct {
	XMLName    xml.Name                `xml:"PublishBatchResponse"`
	Successful []publishBatchResult    `xml:"PublishBatchResult>Successful>member"`
	Failed     []batchResultErrorEntry `xml:"PublishBatchResult>Failed>member"`
	RequestID  string                  `xml:"ResponseMetadata>RequestId"`
}

type publishBatchResult struct {
	ID        string `xml:"Id"`
	MessageID string `xml:"MessageId"`
}

// batchResultErrorEntry is an entry that failed, to SNS and to SQS alike.
type batchResultErrorEntry struct {
	ID          string `xml:"Id" json:"Id"`
	Code        string
	Message     string
	SenderFault bool
}

// publish puts the entries on the topic, except those that are scripted to fail.
func (t *Topic) publish(entries []entry, fault TopicFault) publishBatchResponse {
	answer := publishBatchResponse{RequestID: newUUID()}
	t.mu.Lock()
	defer t.mu.Unlock()
	maps.DeleteFunc(t.dedup, func(_ string, at time.Time) bool { return time.Since(at) >= dedupWindow })
	for i, e := range entries {
		if refused, ok := fault.refuses(i, e.id, "InvalidParameter"); ok {
			answer.Failed = append(answer.Failed, refused)
		} else {
			answer.Successful = append(answer.Successful, publishBatchResult{e.id, t.add(e.published)})
		}
	}
	return answer
}

// add puts a message on the topic, unless a FIFO topic has it already. The caller holds mu.
func (t *Topic) add(p Published) (id string) {
	p.ID, p.Time = newUUID(), time.Now()
	if t.fifo() {
		if _, ok := t.dedup[p.DeduplicationID]; ok {
			return p.ID
		}
		t.dedup[p.DeduplicationID] = p.Time
	}
	if !t.forgets {
		t.published = append(t.published, p)
	}
	if t.observe != nil {
		t.observe(p)
	}
	return p.ID
}

func (t *Topic) entry(form url.Values, prefix string) entry {
	e := entry{
		id: form.Get(prefix + "Id"),
		published: Published{
			Message:         form.Get(prefix + "Message"),
			Attributes:      map[string]string{},
			Group:           form.Get(prefix + "MessageGroupId"),
			DeduplicationID: form.Get(prefix + "MessageDeduplicationId"),
		},
	}
	e.size = len(e.published.Message)
	if e.size == 0 {
		e.code, e.problem = "InvalidParameter", "Invalid parameter: Empty message"
	}
	for i := 1; ; i++ {
		at := prefix + "MessageAttributes.entry." + strconv.Itoa(i) + "."
		if !form.Has(at + "Name") {
			break
		}
		name, kind, value := form.Get(at+"Name"), form.Get(at+"Value.DataType"), form.Get(at+"Value.StringValue")
		e.size += len(name) + len(kind) + len(value)
		_, twice := e.published.Attributes[name]
		e.published.Attributes[name] = value
		if twice || len(name) > 256 || !attributeName.MatchString(name) || attributeReserved.MatchString(name) {
			e.code = "ParameterValueInvalid"
			e.problem = "Invalid message attribute name: '" + name + "'"
		}
		if kind != "String" || value == "" {
			e.code = "ParameterValueInvalid"
			e.problem = "The message attribute '" + name + "' must contain non-empty message attribute value for message attribute type 'String'."
		}
	}
	switch {
	case t.fifo() && e.published.Group == "":
		e.code, e.problem = "InvalidParameter", "Invalid parameter: The MessageGroupId parameter is required for FIFO topics"
	case t.fifo() && e.published.DeduplicationID == "":
		e.code, e.problem = "InvalidParameter", "Invalid parameter: The topic should either have ContentBasedDeduplication enabled or MessageDeduplicationId provided explicitly"
	}
	return e
}

func refuse(w http.ResponseWriter, status int, code, message string) {
	type fault struct{ Type, Code, Message string }
	var answer struct {
		XMLName   xml.Name `xml:"ErrorResponse"`
		Error     fault
		RequestID string `xml:"RequestId"`
	}
	answer.Error = fault{Type: "Sender", Code: code, Message: message}
	if status >= 500 {
		answer.Error.Type = "Receiver"
	}
	answer.RequestID = newUUID()
	respond(w, status, answer)
}

func respond(w http.ResponseWriter, status int, answer any) {
	w.Header().Set("Content-Type", "text/xml")
	w.WriteHeader(status)
	_ = xml.NewEncoder(w).Encode(answer) // fails only if the caller is gone
}
