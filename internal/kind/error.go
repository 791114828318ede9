package kind

import (
	"errors"
	"strings"
	"time"
)

// Error says why a delivery did not end as a success. All packages use it. Its
// texts are redacted.
type Error struct {
	Kind Kind
	// Code is CBR's or the gateway's own ("BackupService.6130", "APIG.0308");
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
	// Renewed: the credential was refused and there is a newer one.
	Renewed bool
	// Cause is for errors.Is and errors.As. Error does not show its text, which is
	// not redacted.
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

// As returns err as an *Error. An error of another type is a fault of the function:
// it becomes Internal, with err as its cause and without err's text.
func As(err error) *Error {
	if err == nil {
		return nil
	}
	if e, ok := errors.AsType[*Error](err); ok {
		return e
	}
	return &Error{Kind: Internal, Message: "an unexpected error; see the function's log", Cause: err}
}
