// Package sinktest is a sink that runs in the process, for tests of what is published,
// when, and in how many calls. The test fails if the publisher breaks a rule, even if the
// publisher would recover.
package sinktest

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"sync"
	"time"
	"unicode/utf8"

	"cbr-replicator/internal/result"
	"cbr-replicator/internal/sink"
)

// maxAttributes is the most that SNS delivers with raw delivery (SNS developer guide,
// "Amazon SNS message attributes").
const maxAttributes = 10

// Sink is a sink. Its exported fields are set before its first use. It is safe
// for concurrent use.
type Sink struct {
	// T gets an error for each breach of the rules.
	T interface {
		Errorf(format string, args ...any)
	}
	// Latency is how long each call takes.
	Latency time.Duration
	// Most, if set, is how many bytes it takes in a call. It may be less than the limits,
	// as an SNS topic's owner may set. A larger call is too large, but breaks no rule, since
	// the publisher cannot know.
	Most int
	// Fault, if set, returns the error of a call by its number, from 0. nil: the call does
	// not fail.
	Fault func(call int) error
	// Refuse, if set, returns why a single message is refused. nil: it is not.
	Refuse func(Message) error

	mu    sync.Mutex
	calls []Call
	took  []Message
}

// Call is one call.
type Call struct {
	At       time.Time
	Messages []Message
}

// Message is a message of a call.
type Message struct {
	ID         string
	Event      result.Event
	Raw        string // the event as it was sent
	Attributes map[string]string
	Group      string
}

// Calls returns all calls so far, failed ones too, in the order in which they
// began.
func (s *Sink) Calls() []Call {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.calls)
}

// Messages returns what the sink took, in that order.
func (s *Sink) Messages() []Message {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.took)
}

// String is "the result sink".
func (*Sink) String() string { return "the result sink" }

// Limits are SNS's.
func (*Sink) Limits() sink.Limits { return sink.Limits{Entries: 10, Bytes: 256 << 10} }

// Size counts body and attributes.
func (*Sink) Size(m *result.Message) int {
	size := len(m.Body)
	for _, a := range m.Attributes {
		size += len(a.Name) + len(a.Value)
	}
	return size
}

// Send is one call.
func (s *Sink) Send(ctx context.Context, sent []*result.Message) []error {
	if err := ctx.Err(); err != nil {
		s.T.Errorf("sink: a call after its deadline: %v", err)
	}
	messages, size := s.check(sent)
	s.mu.Lock()
	number := len(s.calls)
	s.calls = append(s.calls, Call{At: time.Now(), Messages: messages})
	s.mu.Unlock()

	if s.Latency > 0 {
		timer := time.NewTimer(s.Latency)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-ctx.Done():
			return slices.Repeat([]error{sink.MayPass(ctx.Err())}, len(sent))
		}
	}
	if s.Fault != nil {
		if err := s.Fault(number); err != nil {
			return slices.Repeat([]error{err}, len(sent))
		}
	}
	if s.Most > 0 && size > s.Most {
		return slices.Repeat([]error{sink.TooLarge(errors.New("too large"))}, len(sent))
	}
	errs := make([]error, len(sent))
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, m := range messages {
		if s.Refuse != nil {
			errs[i] = s.Refuse(m)
		}
		if errs[i] == nil {
			s.took = append(s.took, m)
		}
	}
	return errs
}

// check reads a call's messages, and their size together, and reports every
// breach.
func (s *Sink) check(sent []*result.Message) (messages []Message, size int) {
	limits := s.Limits()
	if len(sent) < 1 || len(sent) > limits.Entries {
		s.T.Errorf("sink: %d messages in a call, allowed are 1 to %d", len(sent), limits.Entries)
	}
	messages = make([]Message, len(sent))
	for i, raw := range sent {
		m := Message{ID: raw.ID, Raw: raw.Body, Attributes: map[string]string{}, Group: raw.Group}
		size += s.Size(raw)
		if len(raw.Attributes) > maxAttributes {
			s.T.Errorf("sink: %d attributes, allowed are %d", len(raw.Attributes), maxAttributes)
		}
		for _, a := range raw.Attributes {
			if _, twice := m.Attributes[a.Name]; twice || a.Value == "" || !utf8.ValidString(a.Value) {
				s.T.Errorf("sink: attribute %s is of value %q, or there twice", a.Name, a.Value)
			}
			m.Attributes[a.Name] = a.Value
		}
		if !utf8.ValidString(m.Raw) {
			s.T.Errorf("sink: message %q is no UTF-8", m.Raw)
		}
		if err := json.Unmarshal([]byte(m.Raw), &m.Event); err != nil {
			s.T.Errorf("sink: message %.200q is no result event: %v", m.Raw, err)
		}
		if m.Group == "" || m.ID == "" || m.ID != m.Event.ID || raw.Type != m.Event.Type || raw.Time.IsZero() {
			s.T.Errorf("sink: group %q, id %q, type %q, time %v with the event %+v", m.Group, m.ID, raw.Type, raw.Time, m.Event)
		}
		messages[i] = m
	}
	if size > limits.Bytes {
		s.T.Errorf("sink: %d bytes in a call, allowed are %d", size, limits.Bytes)
	}
	return messages, size
}
