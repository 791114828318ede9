package kind

import (
	"errors"
	"strings"
	"time"
)

// Error is how every room says that a delivery did not end in an accepted
// replication. Its texts have passed redact before they get here.
type Error struct {
	Kind Kind
	// Code is CBR's or the gateway's own ("BackupService.6130", "APIGW.0308");
	// empty where neither gave one.
	Code string
	// Message says what went wrong, for a person.
	Message string
	// HTTPStatus is that of CBR's answer; zero where there was none.
	HTTPStatus int
	// RequestID is CBR's X-Request-Id, which Huawei's support asks for.
	RequestID string
	// RetryAfter is how long CBR asks to wait; zero where it did not say.
	RetryAfter time.Duration
	// TokenExpired: an answer said that the token must be updated.
	TokenExpired bool
	// Renewed: the credential was refused and a fresh one is at hand.
	Renewed bool
	// Cause is what lies beneath, for errors.Is and errors.As; its text is not
	// part of Error's, since it has not passed redact.
	Cause error
}

// Error returns "<kind> <code> <message>", the message of a direct call's error.
func (e *Error) Error() string {
	parts := make([]string, 0, 3)
	for _, p := range []string{string(e.Kind), e.Code, e.Message} {
		if p != "" {
			parts = append(parts, p)
		}
	}
	return strings.Join(parts, " ")
}

// Of returns e's kind, None for a nil e.
func (e *Error) Of() Kind {
	if e == nil {
		return None
	}
	return e.Kind
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Cause }

// As returns err as an *Error. One of another type is a fault of ours: it
// becomes Internal, with err as its cause and none of err's text.
func As(err error) *Error {
	if err == nil {
		return nil
	}
	if e, ok := errors.AsType[*Error](err); ok {
		return e
	}
	return &Error{Kind: Internal, Message: "an unexpected error; see the function's log", Cause: err}
}
