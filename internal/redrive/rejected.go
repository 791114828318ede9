package redrive

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"maps"
	"regexp"
	"time"

	"cbr-replicator/internal/queue"
)

// restore turns a rejected body, as the function keeps it, into the message that came
// to the function: the body, and the attributes without those that say why it is
// kept. The message gets no requested_at, since it was never sent to CBR. With one,
// it would count as done if another request has copied the vault meanwhile.
func restore(msg message) (parcel, error) {
	p := parcel{body: msg.Body, attributes: maps.Clone(msg.MessageAttributes)}
	kind, encoding := attribute(msg, "kind"), attribute(msg, "encoding")
	for _, name := range []string{"kind", "causation_id", "encoding"} {
		delete(p.attributes, name)
	}
	switch encoding {
	case "":
	case "base64":
		body, err := base64.StdEncoding.DecodeString(msg.Body)
		if err != nil {
			return parcel{}, errors.New("its body is no base64, which its attribute encoding says")
		}
		if len(body) == 0 || !queue.IsText(body) {
			return parcel{}, errors.New("its body is no text that SQS takes")
		}
		p.body = string(body)
	default:
		return parcel{}, errors.New("its attribute encoding is not base64")
	}
	if !kindForm.MatchString(kind) {
		return p, errors.New("it has no attribute kind, so it is none that the function rejected")
	}
	if !carriesObject([]byte(p.body)) {
		return p, errors.New("its body is no JSON object")
	}
	_, r, err := stamp([]byte(p.body), time.Time{})
	if err != nil {
		r.vault = "-"
	}
	p.about = r.what() + ", rejected as " + kind
	return p, nil
}

// kindForm is the form of a kind's name, which the screen shows.
var kindForm = regexp.MustCompile(`^[A-Za-z]{1,40}$`)

// attribute returns a message attribute of type String, empty without it.
func attribute(msg message, name string) string {
	var a struct{ StringValue string }
	if json.Unmarshal(msg.MessageAttributes[name], &a) != nil {
		return ""
	}
	return a.StringValue
}

// carriesObject reports whether a text is a JSON object, or one in JSON strings, as
// the function reads it.
func carriesObject(text []byte) bool {
	_, _, err := inStrings(maxEnvelopes, func(text []byte) ([]byte, request, error) {
		_, err := parse(text)
		return text, request{}, err
	})(text)
	return err == nil
}
