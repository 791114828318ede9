// Package eventbridge publishes results to an EventBridge event bus. A bus has no order
// and drops no duplicates: consumers use the event's id.
package eventbridge

import (
	"context"
	"errors"
	"net/http"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws/arn"

	"cbr-replicator/internal/awscall"
	"cbr-replicator/internal/result"
	"cbr-replicator/internal/sink"
)

const (
	// Service is EventBridge in an ARN, in a signature and in a host's name.
	Service = "events"
	// Target and Version are those of its protocol, for an awscall.Client.
	Target, Version = "AWSEvents", "1.1"
	// Form is that of a bus's ARN.
	Form = "arn:aws:events:REGION:ACCOUNT:event-bus/NAME"

	// source is the "source" that rules match. The CloudEvent's own source is another.
	source = "cbr-replicator"
)

// IsBus reports whether a's resource has the form of a bus.
func IsBus(a arn.ARN) bool {
	name, ok := strings.CutPrefix(a.Resource, "event-bus/")
	return ok && name != "" && !strings.Contains(name, ":")
}

// Client makes one call, as an awscall.Client does.
type Client interface {
	Call(ctx context.Context, operation string, in, out any) error
}

// Bus is an event bus. It is a sink.Sink.
type Bus struct {
	ARN    string
	Client Client
}

// String is "the result event bus".
func (*Bus) String() string { return "the result event bus" }

// Limits are those of PutEvents (EventBridge API reference).
func (*Bus) Limits() sink.Limits { return sink.Limits{Entries: 10, Bytes: 256 << 10} }

// Size returns an entry's size by EventBridge's rule: a time is 14 bytes, and a missing
// field is none (EventBridge user guide, "Calculating PutEvents event entry size").
func (*Bus) Size(m *result.Message) int {
	return 14 + len(source) + len(m.Type) + len(m.Body)
}

// request is PutEvents'.
type request struct{ Entries []entry }

type entry struct {
	Time         float64 // seconds since 1970
	Source       string
	DetailType   string
	Detail       string
	EventBusName string
}

// response is PutEvents'. An entry's result is at the entry's index.
type response struct {
	Entries []struct {
		EventID                 string `json:"EventId"`
		ErrorCode, ErrorMessage string
	}
}

// Send calls PutEvents.
func (b *Bus) Send(ctx context.Context, messages []*result.Message) []error {
	in := request{make([]entry, len(messages))}
	for i, m := range messages {
		in.Entries[i] = entry{
			Time:         float64(m.Time.UnixMilli()) / 1000,
			Source:       source,
			DetailType:   m.Type,
			Detail:       m.Body,
			EventBusName: b.ARN,
		}
	}
	var out response
	err := b.Client.Call(ctx, "PutEvents", in, &out)
	errs := make([]error, len(messages))
	if err != nil {
		err = classify(err)
		for i := range errs {
			errs[i] = err
		}
		return errs
	}
	for i := range errs {
		if i >= len(out.Entries) {
			errs[i] = sink.MayPass(errors.New("the answer does not name it"))
			continue
		}
		switch e := &out.Entries[i]; {
		case e.EventID != "":
		case e.ErrorCode == "", passes(e.ErrorCode):
			errs[i] = sink.MayPass(errors.New(e.ErrorCode + " " + e.ErrorMessage))
		default:
			errs[i] = errors.New(e.ErrorCode + " " + e.ErrorMessage)
		}
	}
	return errs
}

// passes reports whether an entry that failed with code may succeed later (EventBridge API
// reference, PutEventsResultEntry). All other codes are final.
func passes(code string) bool {
	return awscall.Throttles(code) || code == "InternalFailure" || code == "InternalException" || strings.HasPrefix(code, "ServiceUnavailable")
}

// classify returns the error of a call that failed for all its messages, marked with what
// can be done. A call without an answer may succeed later.
func classify(err error) error {
	answer, ok := errors.AsType[*awscall.Error](err)
	switch {
	case !ok || answer.Passes():
		return sink.MayPass(err)
	case isTooLarge(answer):
		return sink.TooLarge(err)
	}
	return err
}

// isTooLarge knows the two answers to a call that is too large: one has no text, the other
// no code of its own (boto3, issue 3411).
func isTooLarge(e *awscall.Error) bool {
	return e.Status == http.StatusRequestEntityTooLarge ||
		e.Code == "ValidationException" && strings.HasPrefix(e.Message, "Total size of the entries")
}
