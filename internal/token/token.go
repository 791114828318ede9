// Package token has the sources of credentials for CBR: a token from the configuration
// ([Static]), tokens from IAM for a user ([User]), an access key that signs ([Key]), a
// secret in AWS Secrets Manager that holds one of these ([Secret]), and what an event of
// FunctionGraph brings ([Agency]). Each is a huawei.Authorizer: it puts its credential on
// a request and learns what the answer shows of it.
//
// Huawei locks a user after as few as 3 failed logins in 15 minutes, and an
// access key for 5 minutes after 5 wrong signatures in a row (IAM user guide;
// API Gateway FAQ). So a credential that was refused is not used for 15 minutes, or until
// the secret has a new version. A credential that has not worked yet is used by one
// request at a time. Both are per process.
package token

import (
	"fmt"
	"log/slog"
	"net/http"
	"sync/atomic"
	"time"

	"cbr-replicator/internal/huawei"
	"cbr-replicator/internal/kind"
	"cbr-replicator/internal/redact"
)

// Config is what a source needs. Fields that a source does not use may be zero.
type Config struct {
	Fields

	// ProjectID is the project that a token in Fields is valid for.
	ProjectID string
	// IAM is where [User] logs in; see huawei.NewIAMEndpoints.
	IAM huawei.Endpoints
	// HTTP makes calls to IAM.
	HTTP      *http.Client
	UserAgent string
	// SecretsManager is where [Secret] reads.
	SecretsManager SecretsManager
	// Redact masks every credential from the moment it is known.
	Redact *redact.Redactor
	Log    *slog.Logger
	// Now is the clock. It must be safe for concurrent use.
	Now func() time.Time

	// where names the place that Fields came from, for errors.
	where string
}

// New returns the source that c's Fields describe. Check must have found no fault in
// them. The source is safe for concurrent use. No fmt verb, JSON or log shows it.
// Nothing is fetched before the first request.
func New(c Config) huawei.Authorizer {
	c.Hide(c.Redact)
	switch {
	case c.SecretID != "":
		return newSecret(c)
	case c.AccessKey != "":
		return newKey(c)
	case c.UserName != "":
		return newUser(c)
	}
	return newStatic(c)
}

// Static is a token from the configuration or a secret. It cannot be renewed. Huawei's
// tokens are valid for one project and at most 24 hours (IAM API reference, "Obtaining a
// User Token"). Nobody counts requests with an expired token, so each delivery may use
// it. A token in a secret is used until it was refused twice in a row, since only a new
// version of the secret will help.
type Static struct {
	redact.Opaque
	config  Config
	breaker breaker
	strikes atomic.Int32 // refusals since the last request that went through
}

func newStatic(c Config) *Static {
	return &Static{config: c, breaker: breaker{now: c.Now}}
}

// Authorize sets X-Auth-Token. For another project than the token's its error is a
// NotAllowed, and nothing is sent.
func (s *Static) Authorize(req *http.Request, src huawei.Scope) (huawei.Report, error) {
	c := s.config
	switch {
	case c.ProjectID == "":
		return nil, &kind.Error{Kind: kind.Misconfigured, Message: c.origin("HW_AUTH_TOKEN") + ": HW_PROJECT_ID must say which project the token is good for"}
	case src.ProjectID != c.ProjectID:
		return nil, &kind.Error{
			Kind:    kind.NotAllowed,
			Message: fmt.Sprintf("project_id: the token of %s is good for HW_PROJECT_ID (%s) alone", c.origin("HW_AUTH_TOKEN"), c.ProjectID),
		}
	}
	if _, err := s.breaker.state(); err != nil {
		return nil, err
	}
	req.Header.Set(tokenHeader, c.Token)
	return s.report, nil
}

func (s *Static) report(r huawei.AuthResult) huawei.Advice {
	if r.Answered && !r.Refused {
		s.strikes.Store(0)
	}
	if !r.Refused {
		return huawei.Advice{}
	}
	advice := "the token of " + s.config.origin("HW_AUTH_TOKEN") + " was refused: a token lives for at most 24 hours; put a new one there"
	if s.config.where != "" && s.strikes.Add(1) > 1 {
		advice = s.breaker.trip(kind.Unauthorized, advice)
	}
	return huawei.Advice{Text: advice}
}

// tokenHeader carries a token (API Gateway user guide).
const tokenHeader = "X-Auth-Token"
