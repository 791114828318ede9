// Package smn takes results to a topic of Huawei Cloud's SMN. A topic has no
// order and drops no duplicates: consumers go by the event's id.
package smn

import (
	"context"
	"strings"

	"cbr-replicator/internal/kind"
	"cbr-replicator/internal/result"
	"cbr-replicator/internal/sink"
	"cbr-replicator/internal/smn"
)

// Client makes one call, as a smn.Client does.
type Client interface {
	Publish(context.Context, smn.URN, smn.Message) error
}

// Topic is an SMN topic. It is a sink.Sink.
type Topic struct {
	URN    smn.URN
	Client Client // without a time-out of its own: the publisher has one
}

// String is "the result topic".
func (*Topic) String() string { return "the result topic" }

// Limits are those of PublishMessage: one message a call (SMN API reference).
func (*Topic) Limits() sink.Limits { return sink.Limits{Entries: 1, Bytes: smn.MaxMessage} }

// Size is the text's alone: attributes have limits of their own.
func (*Topic) Size(m *result.Message) int { return len(m.Body) }

// Send calls PublishMessage.
func (t *Topic) Send(ctx context.Context, messages []*result.Message) []error {
	m := messages[0]
	err := t.Client.Publish(ctx, t.URN, smn.Message{Text: m.Body, Attributes: attributes(m)})
	if err == nil {
		return []error{nil}
	}
	e := *kind.As(err)
	e.Message = strings.TrimSpace(e.Code + " " + e.Message)
	if passes(&e) {
		return []error{sink.MayPass(&e)}
	}
	return []error{&e}
}

// passes reports whether an error may pass. A credential that was refused is
// worth another call where there is a newer one.
func passes(e *kind.Error) bool {
	switch e.Kind {
	case kind.Throttled, kind.Unavailable, kind.Unknown, kind.OutOfTime:
		return true
	}
	return e.Renewed
}

// attributes returns those of a message in SMN's alphabet, which has no hyphen:
// ids go without theirs, and all else has underscores. What is still not of the
// alphabet is left out: the event's type, which has dots, and content-type.
func attributes(m *result.Message) []smn.Attribute {
	var all []smn.Attribute
	for _, a := range m.Attributes {
		in := "_"
		if strings.HasSuffix(a.Name, "_id") {
			in = ""
		}
		b := smn.Attribute{Name: a.Name, Value: strings.ReplaceAll(a.Value, "-", in)}
		if b.Fits() && len(all) < smn.MaxAttributes {
			all = append(all, b)
		}
	}
	return all
}
