package huawei

import (
	"net/http"
	"time"
)

// Authorizer puts credentials on requests. Implementations are safe for
// concurrent use.
type Authorizer interface {
	// Authorize puts the credential for scope on req, all of which but that is
	// ready to be sent. It may wait, for a fresh credential or for an answer to
	// another request, as long as req's context lives. Its error is a
	// *kind.Error and says which credential it could not have. Without an error
	// the caller calls report as soon as it knows the answer.
	Authorize(req *http.Request, scope Scope) (report Report, err error)
}

// Report tells what an answer said of the credential on its request. Called
// again with the zero AuthResult it does nothing.
type Report func(AuthResult) Advice

// AuthResult is what an answer says of the credential. The zero AuthResult
// stands for no answer, or one that does not tell.
type AuthResult struct {
	// Answered: the answer shows what the credential is worth.
	Answered bool
	// Refused: the credential itself is no good, which is not to say that its
	// owner may not do this.
	Refused bool
	// Date is the answer's own time, zero where it has none.
	Date time.Time
}

// Advice is what there is to do about a credential that was refused.
type Advice struct {
	// Fresh: another can be had, so that the call is worth one more try.
	Fresh bool
	// Text is for the person who has to mend it. It holds no secret.
	Text string
}
