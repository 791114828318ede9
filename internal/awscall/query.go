package awscall

import (
	"context"
	"fmt"
	"iter"
	"net/http"
	"strings"
)

// Form is the parameters of a call with the AWS Query protocol: a body of the type
// application/x-www-form-urlencoded.
type Form []byte

// Add returns the form with one more parameter. Its name is given in parts, which are not
// escaped. The result may share the form's memory, as that of append does.
func (f Form) Add(value string, name ...string) Form {
	if len(f) > 0 {
		f = append(f, '&')
	}
	for _, part := range name {
		f = append(f, part...)
	}
	f = append(f, '=')
	for i := range len(value) {
		switch c := value[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '-', c == '_', c == '.', c == '~':
			f = append(f, c)
		default:
			const digits = "0123456789ABCDEF"
			f = append(f, '%', digits[c>>4], digits[c&15])
		}
	}
	return f
}

// Query makes exactly one call with the AWS Query protocol. It returns what is in the
// answer's result, such as PublishBatchResult. The form is used up. Its error is an *Error
// if the answer is one, and ErrUnread if the answer is success but cannot be read or is
// longer than MaxAnswer.
func (c *Client) Query(ctx context.Context, operation string, form Form) (XML, error) {
	form = form.Add(operation, "Action").Add(c.Version, "Version")
	header := http.Header{}
	header.Set("Content-Type", "application/x-www-form-urlencoded")
	answer, err := c.post(ctx, operation, header, form, queryFault)
	if err != nil {
		return "", err
	}
	for result := range XML(answer).All(operation + "Result") {
		return result, nil
	}
	return "", fmt.Errorf("%s: %w: it has no %[1]sResult", operation, ErrUnread)
}

// queryFault reads an error's answer (Smithy, "AWS Query protocol", Operation error
// serialization).
func queryFault(e *Error, body []byte) {
	answer := XML(body)
	e.Code, e.Message = answer.Element("Error").Text("Code"), answer.Element("Error").Text("Message")
	e.RequestID = answer.Text("RequestId")
}

// XML is what is between the tags of an element. It reads the XML that AWS writes in
// answers, and no more of XML: elements have neither attributes nor a prefix, and none is in
// another of the same name. encoding/xml takes 33 µs for an answer to ten messages, and
// 39 KB of the function's package.
type XML string

// All returns each element of that name, in order, however deep it is.
func (x XML) All(name string) iter.Seq[XML] {
	return func(yield func(XML) bool) {
		for rest := string(x); ; {
			_, after, begins := strings.Cut(rest, "<"+name+">")
			inner, next, ends := strings.Cut(after, "</"+name+">")
			if !begins || !ends || !yield(XML(inner)) {
				return
			}
			rest = next
		}
	}
}

// Element returns the first element of that name. Without one it is empty.
func (x XML) Element(name string) XML {
	for inner := range x.All(name) {
		return inner
	}
	return ""
}

// Text returns the text of the first element of that name. Numeric character references
// stay as they are.
func (x XML) Text(name string) string {
	text := string(x.Element(name))
	if !strings.Contains(text, "&") {
		return text
	}
	return strings.NewReplacer("&lt;", "<", "&gt;", ">", "&quot;", `"`, "&apos;", "'", "&amp;", "&").Replace(text)
}
