package sandbox

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

// maxQueueEntries is the most that SQS takes in a batch (SQS API reference, ChangeMessageVisibilityBatch and SendMessageBatch).
const maxQueueEntries = 10

var sqsProtocol = jsonProtocol{version: "1.0", service: "sqs", target: "AmazonSQS", text: "message"}

// SQS puts queues behind SQS's own protocol, on 127.0.0.1. It does what a function calls by itself,
// ChangeMessageVisibilityBatch, SendMessage and SendMessageBatch, for callers that sign for SQS in [Region]. A queue's URL is AWS's,
// https://sqs.REGION.amazonaws.com/ACCOUNT/NAME, or its path alone. Safe for concurrent use.
type SQS struct {
	service[SQSFault]
	queues map[string]*Queue // by name

	mu    sync.Mutex
	dedup map[string]sentOnce // what FIFO queues were sent, by queue and deduplication id
}

// NewSQS starts an SQS with these queues.
func NewSQS(queues ...*Queue) (*SQS, error) {
	s := &SQS{queues: map[string]*Queue{}, dedup: map[string]sentOnce{}}
	for _, q := range queues {
		s.queues[q.config.Name] = q
	}
	return s, s.start("SQS", s.serve)
}

// changeVisibilityBatch is what ChangeMessageVisibilityBatch asks for.
type changeVisibilityBatch struct {
	Entries []changeVisibilityEntry
}

type changeVisibilityEntry struct {
	ID                string
	ReceiptHandle     string
	VisibilityTimeout int32 // seconds
}

// changeVisibilityBatchResult is its answer.
type changeVisibilityBatchResult struct {
	Successful []batchResult
	Failed     []batchResultErrorEntry
}

type batchResult struct {
	ID string `json:"Id"`
}

func (s *SQS) serve(w http.ResponseWriter, r *http.Request) {
	fault := s.next()
	sqsProtocol.serve(w, r, outage{fault.Status, fault.Code, fault.Reset, fault.Delay}, map[string]func([]byte){
		"ChangeMessageVisibilityBatch": func(body []byte) { s.changeVisibilityBatch(w, body, fault) },
		"SendMessageBatch":             func(body []byte) { s.sendMessageBatch(w, body, fault) },
		"SendMessage":                  func(body []byte) { s.sendMessage(w, body, fault) },
	})
}

// read reads a call and returns the queue that it is for, or answers what is wrong with it: nil.
func (s *SQS) read(w http.ResponseWriter, body []byte, call any) *Queue {
	var of struct{ QueueURL string }
	if !sqsProtocol.decode(w, body, &of) || !sqsProtocol.decode(w, body, call) {
		return nil
	}
	name, ours := strings.CutPrefix(strings.TrimPrefix(of.QueueURL, "https://sqs."+Region+".amazonaws.com"), "/"+Account+"/")
	queue := s.queues[name]
	switch {
	case !ours:
		refuseSQS(w, http.StatusNotFound, "InvalidAddress", "The address "+of.QueueURL+" is not valid for this endpoint.")
	case queue == nil:
		refuseSQS(w, http.StatusBadRequest, "QueueDoesNotExist", "The specified queue does not exist.")
	}
	return queue
}

func (s *SQS) changeVisibilityBatch(w http.ResponseWriter, body []byte, fault SQSFault) {
	var call changeVisibilityBatch
	queue := s.read(w, body, &call)
	if queue == nil {
		return
	}
	ids := make([]string, len(call.Entries))
	for i, e := range call.Entries {
		ids[i] = e.ID
	}
	if batchHasForm(w, "ChangeMessageVisibilityBatchRequestEntry", ids) {
		answer := changeVisibilities(queue, call.Entries, fault)
		sqsProtocol.answer(w, answer, fault.AnswerLost)
	}
}

// batchHasForm reports whether a batch has entries with these ids as SQS takes them, or answers what is wrong. name is that of
// an entry's type.
func batchHasForm(w http.ResponseWriter, name string, ids []string) bool {
	distinct := map[string]bool{}
	for _, id := range ids {
		distinct[id] = true
	}
	switch {
	case len(ids) == 0:
		refuseSQS(w, http.StatusBadRequest, "EmptyBatchRequest", "There should be at least one "+name+" in the request.")
	case len(ids) > maxQueueEntries:
		refuseSQS(w, http.StatusBadRequest, "TooManyEntriesInBatchRequest",
			fmt.Sprintf("Maximum number of entries per request are %d. You have sent %d.", maxQueueEntries, len(ids)))
	case slices.ContainsFunc(ids, func(id string) bool { return !entryID.MatchString(id) }):
		refuseSQS(w, http.StatusBadRequest, "InvalidBatchEntryId", "A batch entry id can only contain alphanumeric characters, hyphens and underscores. It can be at most 80 letters long.")
	case len(distinct) < len(ids):
		refuseSQS(w, http.StatusBadRequest, "BatchEntryIdsNotDistinct", "Two or more batch entries in the request have the same Id.")
	default:
		return true
	}
	return false
}

// changeVisibilities does what the entries ask for, except those that are scripted to fail.
func changeVisibilities(q *Queue, entries []changeVisibilityEntry, fault SQSFault) changeVisibilityBatchResult {
	answer := changeVisibilityBatchResult{Successful: []batchResult{}, Failed: []batchResultErrorEntry{}}
	for i, e := range entries {
		scripted, ok := fault.refuses(i, e.ID, "InvalidParameterValue")
		var refused *VisibilityError
		switch {
		case ok:
			answer.Failed = append(answer.Failed, scripted)
		case errors.As(q.ChangeVisibility(e.ReceiptHandle, time.Duration(e.VisibilityTimeout)*time.Second), &refused):
			answer.Failed = append(answer.Failed, batchResultErrorEntry{e.ID, refused.Code, refused.Text, true})
		default:
			answer.Successful = append(answer.Successful, batchResult{e.ID})
		}
	}
	return answer
}

// refuseSQS adds the code that the error had in SQS's older protocol, which AWS's clients still report (Smithy,
// "awsQueryCompatible trait").
func refuseSQS(w http.ResponseWriter, status int, code, text string) {
	old := "AWS.SimpleQueueService." + code
	switch code {
	case "QueueDoesNotExist":
		old = "AWS.SimpleQueueService.NonExistentQueue"
	case "InvalidAddress":
		old = code
	case "InvalidParameterValue", "MissingParameter": // of AWS's framework, not of SQS's model
		old, code = code, "com.amazon.coral.service#"+code+"Exception"
	}
	w.Header().Set("X-Amzn-Query-Error", old+";Sender")
	sqsProtocol.refuse(w, status, code, text)
}
