package awscall

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
)

// Call makes exactly one call with the AWS JSON protocol. in is encoded to JSON, and out is
// decoded from the answer. Its error is an *Error if the answer is one, and ErrUnread if
// the answer is success but cannot be read or is longer than MaxAnswer.
func (c *Client) Call(ctx context.Context, operation string, in, out any) error {
	body, err := json.Marshal(in)
	if err != nil {
		return fmt.Errorf("encode the request of %s: %w", operation, err)
	}
	header := http.Header{}
	header.Set("Content-Type", "application/x-amz-json-"+c.Version)
	header.Set("X-Amz-Target", c.Target+"."+operation)
	answer, err := c.post(ctx, operation, header, body, jsonFault)
	if err != nil {
		return err
	}
	if json.Unmarshal(answer, out) != nil {
		// Without the decoder's error, which may quote a secret from the answer.
		return fmt.Errorf("%s: %w", operation, ErrUnread)
	}
	return nil
}

// jsonFault reads an error's answer. Its type may have a namespace and a URI (Smithy, "AWS
// JSON protocol", Operation error serialization).
func jsonFault(e *Error, body []byte) {
	var f struct {
		Type string `json:"__type"`
		// Written in either case; encoding/json takes both.
		Message string `json:"message"`
	}
	if json.Unmarshal(body, &f) == nil {
		code, _, _ := strings.Cut(f.Type, ":")
		e.Code, e.Message = code[strings.LastIndexByte(code, '#')+1:], f.Message
	}
}
