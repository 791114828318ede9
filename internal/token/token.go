// Package token holds the sources of what authorizes a request to CBR. Each
// implements cbr.Authorizer: it puts its credential on a request and can be
// told that the credential was refused.
package token

import (
	"fmt"
	"log/slog"
	"net/http"

	"cbr-replicator/internal/kind"
	"cbr-replicator/internal/redact"
)

// Static is a token that was handed over once and cannot be renewed. Huawei's
// tokens are good for one project and live for at most 24 hours (IAM API
// reference, "Obtaining a User Token"). It is safe for concurrent use and
// shows itself nowhere: not under any fmt verb, in JSON or in a log.
type Static struct {
	token     string
	projectID string
}

// NewStatic returns the source of a token that is good for projectID alone.
// From then on r masks the token.
func NewStatic(token, projectID string, r *redact.Redactor) *Static {
	r.Hide(token)
	return &Static{token: token, projectID: projectID}
}

// Authorize sets X-Auth-Token. For another project than the token's it is a
// NotAllowed, before anything is sent.
func (s *Static) Authorize(req *http.Request, projectID string) error {
	if projectID != s.projectID {
		return &kind.Error{
			Kind:    kind.NotAllowed,
			Message: fmt.Sprintf("project_id: HW_AUTH_TOKEN is good for HW_PROJECT_ID (%s) alone", s.projectID),
		}
	}
	req.Header.Set("X-Auth-Token", s.token)
	return nil
}

// Refused reports false: there is no other token.
func (s *Static) Refused(*http.Request, string) bool { return false }

// String returns what s is, not what it holds.
func (s Static) String() string { return redact.Mask }

// GoString is String, for %#v.
func (s Static) GoString() string { return redact.Mask }

// MarshalText is String, for JSON.
func (s Static) MarshalText() ([]byte, error) { return []byte(redact.Mask), nil }

// LogValue is String, for slog.
func (s Static) LogValue() slog.Value { return slog.StringValue(redact.Mask) }
