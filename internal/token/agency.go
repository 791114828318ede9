package token

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"cbr-replicator/internal/huawei"
	"cbr-replicator/internal/kind"
	"cbr-replicator/internal/redact"
)

// AgencyCredential is what an event of FunctionGraph brings: a temporary access
// key of the function's agency, a token of it, or both. FunctionGraph puts fresh
// ones on each event (FunctionGraph user guide, "Custom Runtime"). The zero
// AgencyCredential is that of a function without an agency.
type AgencyCredential struct {
	redact.Opaque

	AccessKey, SecretKey, SecurityToken string
	Token                               string
}

// Agency authorizes each request with the credential of the event that it is
// made for, which its context holds: see [WithAgency]. It keeps none.
type Agency struct {
	redact.Opaque
	project string
}

// NewAgency returns an Agency. A token of the agency is good for that project, the
// function's own; empty: not known.
func NewAgency(project string) *Agency { return &Agency{project: project} }

// brought is the credential of one event in use.
type brought struct {
	redact.Opaque
	key     *Key   // nil: none
	token   string // empty: none
	breaker breaker
}

type broughtKey struct{}

// WithAgency returns a context for the handling of one event, with the credential
// that it brought. now is the clock.
func WithAgency(ctx context.Context, c AgencyCredential, now func() time.Time) context.Context {
	b := &brought{token: c.Token, breaker: breaker{now: now, once: true}}
	if c.AccessKey != "" && c.SecretKey != "" {
		b.key = newKey(Config{Fields: Fields{AccessKey: c.AccessKey, SecretKey: c.SecretKey, SecurityToken: c.SecurityToken}, Now: now})
		b.key.breaker.once = true
		b.key.advice = "the signature with the key of the function's agency was refused; the next event brings another. " + checkAgency
	}
	return context.WithValue(ctx, broughtKey{}, b)
}

const checkAgency = "Check the agency and its permissions; a change of it takes some ten minutes to show"

// Authorize signs req with the event's key, or else sets its token.
func (a *Agency) Authorize(req *http.Request, src huawei.Scope) (huawei.Report, error) {
	b, _ := req.Context().Value(broughtKey{}).(*brought)
	switch {
	case b == nil || b.key == nil && b.token == "":
		return nil, &kind.Error{
			Kind: kind.Unauthorized,
			Message: "the event brought no credential: the function has no agency. Give it one (app_agency) that may call CBR, " +
				"or set HW_AUTH_TOKEN or another credential",
		}
	case b.key != nil:
		return b.key.Authorize(req, src)
	case a.project != "" && src.ProjectID != a.project:
		return nil, &kind.Error{
			Kind:    kind.NotAllowed,
			Message: fmt.Sprintf("project_id: the token of the function's agency is good for the function's own project (%s) alone, and the event brought no access key", a.project),
		}
	}
	done, err := b.breaker.allow(req.Context())
	if err != nil {
		return nil, err
	}
	req.Header.Set(tokenHeader, b.token)
	return func(r huawei.AuthResult) huawei.Advice {
		return huawei.Advice{Text: done(r, "the token of the function's agency was refused; the next event brings another. "+checkAgency)}
	}, nil
}
