package events

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"cbr-replicator/internal/delivery"
	"cbr-replicator/internal/jsonscan"
)

// huaweiSourceOf reads an array of records and returns the event_source of the
// first: FunctionGraph's triggers write it so.
func huaweiSourceOf(r *jsonscan.Reader) (source string) {
	for i := range r.Elements {
		if i > 0 || r.Peek() != jsontext.KindBeginObject {
			continue
		}
		for name := range r.Members {
			if string(name) == "event_source" {
				source, _ = jsonscan.Text(r.Value())
			}
		}
	}
	return source
}

// refused names a trigger of FunctionGraph whose events ask for nothing: they are
// not to be taken for a request that is wrong, and acknowledged. Empty: it is
// none (FunctionGraph user guide, "Supported Event Sources").
func (f form) refused() string {
	switch {
	case !f.functionGraph || f.array:
		return ""
	case f.keys["cts"]:
		return "CTS"
	case f.keys["lts"]:
		return "LTS"
	case f.keys["ShardID"]:
		return "DIS"
	case f.huawei == "dds":
		return "DDS"
	case f.keys["Records"] && f.source == "aws:s3": // OBS writes as S3 does
		return "OBS"
	case f.keys["record"] && f.huawei != smnSource:
		return `the event_source "` + f.huawei + `"`
	case f.keys["trigger_type"] && f.triggerType != timerType && !f.isDMS():
		return `the trigger_type "` + f.triggerType + `"`
	}
	return ""
}

// maxAsyncAge is how long FunctionGraph tries an asynchronous invocation at most
// (FunctionGraph API reference, max_async_event_age_in_seconds).
const maxAsyncAge = 24 * time.Hour

// undated completes a delivery that may have been made before a time. Only its
// request may say since when.
func undated(del *delivery.Delivery, before time.Time) {
	del.Since, del.Claimed, del.Undated = del.Request.RequestedAt, false, false
	if del.Since.IsZero() {
		del.Since, del.Claimed, del.Undated = before.Add(-maxAsyncAge), true, true
	}
}

// makeAsync makes b one of an asynchronous invocation: each delivery may have been
// made before, and comes again after an error.
func (d *Decoder) makeAsync(b *Batch, inv delivery.Invocation) {
	if len(b.Deliveries) == 0 {
		return
	}
	for i := range b.Deliveries {
		del := &b.Deliveries[i]
		del.Final, del.Last, del.Redelivered, del.Answered = false, false, true, true
		if del.Since.IsZero() {
			undated(del, inv.Began)
		}
	}
	// How long FunctionGraph waits before it tries again is not documented.
	b.AtOnce, b.reply = true, d.wholeReply
}

// wholeReply is an error if any delivery is handed back, else the result, or the
// results of several.
func (d *Decoder) wholeReply(outcomes []delivery.Outcome) ([]byte, error) {
	switch _, err := d.nullReply(outcomes); {
	case err != nil:
		return nil, err
	case len(outcomes) == 1:
		return answerOf(outcomes[0], maxAnswer)
	}
	return replies(outcomes)
}

// graphMessage is one message of an event of SMN, a timer or a broker.
type graphMessage struct {
	source      string // empty: the function
	id          string // empty: the invocation's, with its place
	body        []byte
	correlation string
	since       time.Time // see delivery.Delivery
	requestedAt time.Time // if the request does not say
}

// readGraph reads the messages of such an event.
func (f form) readGraph(payload []byte) ([]graphMessage, error) {
	switch {
	case f.huawei == smnSource:
		return readSMN(payload)
	case f.triggerType == timerType:
		return readTimer(payload)
	case f.isDMS():
		return readDMS(payload)
	}
	return nil, fmt.Errorf("the trigger_type %q asks for nothing here", f.triggerType)
}

func decodeGraph(d *Decoder, payload []byte, inv delivery.Invocation) (*Batch, error) {
	f := detect(payload)
	messages, err := f.readGraph(payload)
	if err == nil && len(messages) == 0 {
		err = errors.New("no messages")
	}
	if err != nil {
		return nil, err
	}
	broker := f.isDMS()
	b := &Batch{Deliveries: make([]delivery.Delivery, len(messages)), AtOnce: broker, reply: d.wholeReply}
	if !broker && len(messages) == 1 {
		b.reply = d.directReply
	}
	for i, m := range messages {
		del := d.deliver(m.body, delivery.Delivery{
			Source:      cmp.Or(m.source, inv.FunctionARN),
			CausationID: cmp.Or(m.id, inv.RequestID+"/"+strconv.Itoa(i)),
			Since:       m.since,
			Carried:     delivery.Carried{Text: m.body},
			// Others are, if FunctionGraph calls synchronously, as direct calls are.
			Redelivered: broker, Answered: broker, Final: !broker, Last: !broker,
		}, m.correlation)
		if del.Err == nil && del.Request.RequestedAt.IsZero() && !m.requestedAt.IsZero() {
			del.Request.RequestedAt = m.requestedAt.UTC()
		}
		if broker && del.Since.IsZero() {
			undated(&del, inv.Began)
		}
		b.Deliveries[i] = del
	}
	return b, nil
}

// openFunctionGraph: what the function could not do comes back as the event that
// it was called with, within a record or as it is. Each of its messages would be a
// delivery of its own, so that there must be one.
func openFunctionGraph(message []byte) (content, error) {
	messages, err := detect(message).readGraph(message)
	if err == nil && len(messages) != 1 {
		err = fmt.Errorf("it has %d messages, and exactly one is expected: send each by itself", len(messages))
	}
	if err != nil {
		return content{}, err
	}
	return content{body: messages[0].body, correlation: messages[0].correlation, redelivered: true}, nil
}

// textOf returns the text of a string, or the JSON of any other value; nothing of
// null.
func textOf(value json.RawMessage) []byte {
	switch {
	case string(value) == "null":
		return nil
	case len(value) > 0 && value[0] == '"':
		return jsonscan.Unquote(value)
	}
	return value
}
