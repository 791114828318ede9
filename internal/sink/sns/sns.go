// Package sns publishes results to an SNS topic.
package sns

import (
	"context"
	"errors"
	"strconv"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws/arn"

	"cbr-replicator/internal/awscall"
	"cbr-replicator/internal/result"
	"cbr-replicator/internal/sink"
)

const (
	// Service is SNS in an ARN, in a signature and in a host's name.
	Service = "sns"
	// Version is that of its API, for an awscall.Client.
	Version = "2010-03-31"
	// Form is that of a topic's ARN.
	Form = "arn:aws:sns:REGION:ACCOUNT:NAME"
)

// IsTopic reports whether a's resource has the form of a topic. A subscription's has one
// more part.
func IsTopic(a arn.ARN) bool { return a.Resource != "" && !strings.Contains(a.Resource, ":") }

// Client makes one call, as an awscall.Client does.
type Client interface {
	Query(ctx context.Context, operation string, form awscall.Form) (awscall.XML, error)
}

// Topic is an SNS topic, standard or FIFO. It is a sink.Sink.
type Topic struct {
	ARN    string
	Client Client
}

// String is "the result topic".
func (*Topic) String() string { return "the result topic" }

// Limits are those of PublishBatch (SNS API reference).
func (*Topic) Limits() sink.Limits { return sink.Limits{Entries: 10, Bytes: 256 << 10} }

// dataType is that of all attributes.
const dataType = "String"

// Size counts a message's attributes with their types, as SNS does (SNS API
// reference, PublishBatch).
func (*Topic) Size(m *result.Message) int {
	size := len(m.Body)
	for i := range m.Attributes {
		size += len(m.Attributes[i].Name) + len(dataType) + len(m.Attributes[i].Value)
	}
	return size
}

// Send calls PublishBatch.
func (t *Topic) Send(ctx context.Context, messages []*result.Message) []error {
	answer, err := t.Client.Query(ctx, "PublishBatch", t.form(messages))
	errs := make([]error, len(messages))
	if err != nil {
		err = classify(err)
		for i := range errs {
			errs[i] = err
		}
		return errs
	}
	for i := range errs {
		errs[i] = errUnnamed
	}
	for failed := range answer.Element("Failed").All("member") {
		set(errs, failed, refusal(failed))
	}
	for published := range answer.Element("Successful").All("member") {
		set(errs, published, nil)
	}
	return errs
}

var errUnnamed = sink.MayPass(errors.New("the answer does not name it"))

// set sets the error of an entry. The entry's id is its index.
func set(errs []error, entry awscall.XML, err error) {
	if i, bad := strconv.Atoi(entry.Text("Id")); bad == nil && i >= 0 && i < len(errs) {
		errs[i] = err
	}
}

// form is PublishBatch's. Only for a FIFO topic an entry has a group and a deduplication
// id.
func (t *Topic) form(messages []*result.Message) awscall.Form {
	// As long as a form of our results is, so that it is not copied while it grows: JSON is
	// less than twice as long when it is escaped, and an attribute's names are 230 bytes.
	size := 256
	for _, m := range messages {
		size += 256 + 2*t.Size(m) + 230*len(m.Attributes)
	}
	form := make(awscall.Form, 0, size).Add(t.ARN, "TopicArn")
	isFIFO := strings.HasSuffix(t.ARN, ".fifo")
	const entry, attribute = "PublishBatchRequestEntries.member.", ".MessageAttributes.entry."
	for i, m := range messages {
		n := strconv.Itoa(i + 1)
		form = form.Add(strconv.Itoa(i), entry, n, ".Id").Add(m.Body, entry, n, ".Message")
		for j := range m.Attributes {
			a, at := &m.Attributes[j], strconv.Itoa(j+1)
			form = form.Add(a.Name, entry, n, attribute, at, ".Name").
				Add(dataType, entry, n, attribute, at, ".Value.DataType").
				Add(a.Value, entry, n, attribute, at, ".Value.StringValue")
		}
		if isFIFO {
			form = form.Add(m.Group, entry, n, ".MessageGroupId").Add(m.ID, entry, n, ".MessageDeduplicationId")
		}
	}
	return form
}

// refusal returns why SNS did not take one message of a call. For SNS throttling is the
// sender's fault.
func refusal(entry awscall.XML) error {
	code := entry.Text("Code")
	err := errors.New(code + " " + entry.Text("Message"))
	if entry.Text("SenderFault") == "true" && !awscall.Throttles(code) {
		return err
	}
	return sink.MayPass(err)
}

// classify returns the error of a call that failed for all its messages, marked with what
// can be done. A call without an answer may succeed later. A topic's own limit of a call may
// be lower than the service's (SNS developer guide, MaximumMessageSize).
func classify(err error) error {
	answer, ok := errors.AsType[*awscall.Error](err)
	if !ok || answer.Passes() {
		return sink.MayPass(err)
	}
	switch strings.TrimSuffix(answer.Code, "Exception") {
	case "BatchRequestTooLong", "TooManyEntriesInBatchRequest":
		return sink.TooLarge(err)
	}
	return err
}
