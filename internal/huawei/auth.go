package huawei

import (
	"net/http"
	"time"
)

// Authorizer puts credentials on requests. Implementations are safe for
// concurrent use.
type Authorizer interface {
	// Authorize puts the credential for scope on req, which is otherwise ready to be
	// sent. It may wait for a new credential or for the answer to another request, as
	// long as req's context lives. Its error is a *kind.Error and names the credential
	// that is missing. Without an error the caller calls report as soon as it knows the
	// answer.
	Authorize(req *http.Request, scope Scope) (report Report, err error)
}

// Report tells what an answer shows of the credential on its request. After the first
// call, a call with the zero AuthResult does nothing.
type Report func(AuthResult) Advice

// AuthResult is what an answer shows of the credential. The zero AuthResult stands for
// no answer, or for one that shows nothing.
type AuthResult struct {
	// Answered: the answer shows whether the credential is good.
	Answered bool
	// Refused: the credential itself is bad. A good one whose owner may not do this is
	// not Refused.
	Refused bool
	// Date is the answer's own time, zero if it has none.
	Date time.Time
}

// Advice is what to do about a credential that was refused.
type Advice struct {
	// Fresh: there may be a newer credential, so the call is worth one more try.
	Fresh bool
	// Text is for the person who must correct it. It holds no secret.
	Text string
}
