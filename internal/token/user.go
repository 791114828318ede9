package token

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"cbr-replicator/internal/deadline"
	"cbr-replicator/internal/huawei"
	"cbr-replicator/internal/kind"
	"cbr-replicator/internal/redact"
)

const (
	// defaultLife is the longest life of a token, and its life if IAM does not say (IAM
	// API reference, "Obtaining a User Token").
	defaultLife = 24 * time.Hour
	// loginTimeout bounds one login.
	loginTimeout = 10 * time.Second
	// failurePause is how long the error of a failed login is returned to all who wait
	// for it.
	failurePause = time.Second
	// renewalPause is how long a credential that could not be renewed is used before the
	// next renewal.
	renewalPause = time.Minute
	// maskedAfter is how long a token is masked after its life. A call that is under way
	// may still show it, and the cloud may accept it for a while.
	maskedAfter = 24 * time.Hour
)

// User is an IAM user, for whom there is a token for each project. A token is
// fetched at first use and renewed at 80 % of its life, or when it is refused,
// never by two requests at once.
type User struct {
	redact.Opaque
	config Config
	// logins stops logins after the password was refused.
	logins breaker

	mu       sync.Mutex
	projects map[string]*issue
	// worked: the last login was successful.
	worked bool
}

// issue is the token of one project.
type issue struct {
	// renewing is full while a request renews the token.
	renewing chan struct{}
	// tokens stops logins for the project after its tokens were refused.
	tokens breaker

	mu             sync.Mutex
	failure        *kind.Error // of the last login, if it may pass
	failed         time.Time
	text           string // empty: to be fetched
	number         int    // of the token; the next one has another
	strikes        int    // tokens refused since the last request that went through
	renew, expires time.Time
	masked         []masked // the token, and those before it
}

// masked is a token that texts are searched for.
type masked struct {
	forget func()
	until  time.Time
}

func newUser(c Config) *User {
	return &User{config: c, logins: breaker{now: c.Now, oneByOne: true, always: true}, projects: map[string]*issue{}}
}

func (u *User) project(id string) *issue {
	u.mu.Lock()
	defer u.mu.Unlock()
	p, ok := u.projects[id]
	if !ok {
		p = &issue{renewing: make(chan struct{}, 1), tokens: breaker{now: u.config.Now}}
		u.projects[id] = p
	}
	return p
}

// Authorize sets X-Auth-Token. It may log in for it.
func (u *User) Authorize(req *http.Request, src huawei.Scope) (huawei.Report, error) {
	p := u.project(src.ProjectID)
	text, number, due := p.get(u.config.Now())
	for due {
		if err := u.renew(req.Context(), src, p); err != nil {
			return nil, err
		}
		text, number, _ = p.get(u.config.Now())
		due = text == "" // another request's was refused meanwhile
	}
	req.Header.Set(tokenHeader, text)
	return func(r huawei.AuthResult) huawei.Advice { return u.report(p, number, r) }, nil
}

// get returns the token, and whether it is time to renew it.
func (p *issue) get(now time.Time) (text string, number int, due bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.text, p.number, p.text == "" || !now.Before(p.renew)
}

// renew fetches a token for p, unless another request has done so meanwhile. If that
// fails, the old token is used until its life ends.
func (u *User) renew(ctx context.Context, src huawei.Scope, p *issue) error {
	select {
	case p.renewing <- struct{}{}:
		defer func() { <-p.renewing }()
	case <-ctx.Done():
		return &kind.Error{Kind: kind.OutOfTime, Message: "another request was about to renew the token", Cause: ctx.Err()}
	}
	if _, _, due := p.get(u.config.Now()); !due {
		return nil
	}
	_, err := p.tokens.state()
	if err == nil {
		err = p.lately(u.config.Now())
	}
	if err == nil {
		var text string
		var life time.Duration
		if text, life, err = u.login(ctx, src, p); err == nil {
			p.put(text, u.config.Redact.Hide(text), u.config.Now(), life)
			return nil
		}
		p.keep(err, u.config.Now())
	}
	e := kind.As(err)
	if expires, ok := p.extend(u.config.Now()); ok {
		u.config.Log.WarnContext(ctx, "token not renewed", "error", e.Message, "expires", expires)
		return nil
	}
	return err
}

// put keeps a new token. Tokens that ended long ago need no mask any more. A token that
// was refused early stays masked, since it may still be valid elsewhere.
func (p *issue) put(text string, forget func(), now time.Time, life time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.text, p.number, p.failure = text, p.number+1, nil
	p.renew, p.expires = now.Add(life*8/10), now.Add(life)
	p.masked = append(slices.DeleteFunc(p.masked, func(m masked) bool {
		dead := now.After(m.until)
		if dead {
			m.forget()
		}
		return dead
	}), masked{forget, p.expires.Add(maskedAfter)})
}

// lately returns the error of a login that failed less than failurePause ago.
func (p *issue) lately(now time.Time) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.failure == nil || now.Sub(p.failed) >= failurePause {
		return nil
	}
	e := *p.failure
	return &e
}

// keep remembers an error that may pass, for those who wait for the same login.
func (p *issue) keep(err error, now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if e := kind.As(err); e.Kind == kind.Unavailable || e.Kind == kind.Throttled {
		p.failure, p.failed = e, now
	}
}

// extend delays the renewal of a token that has not expired.
func (p *issue) extend(now time.Time) (expires time.Time, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.text == "" || !now.Before(p.expires) {
		return p.expires, false
	}
	p.renew = now.Add(renewalPause)
	return p.expires, true
}

// report counts the answer to a request with a token of p.
func (u *User) report(p *issue, number int, r huawei.AuthResult) huawei.Advice {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case !r.Answered:
		return huawei.Advice{}
	case !r.Refused:
		p.strikes = 0
		return huawei.Advice{}
	case number != p.number || p.text == "":
		// Another request has dropped it already.
		return huawei.Advice{Fresh: true}
	}
	p.text = ""
	if p.strikes++; p.strikes == 1 {
		return huawei.Advice{Fresh: true}
	}
	return huawei.Advice{Text: p.tokens.trip(kind.Unauthorized, "a token that IAM had just given for the user of "+u.config.origin("HW_USER_NAME")+
		" was refused: is the user still there, and has it a part in the project?")}
}

// login gets a token and its life (IAM API reference, "Obtaining a User Token Through
// Password Authentication"). Logins are made one after another. After one was refused
// there is a pause.
func (u *User) login(ctx context.Context, src huawei.Scope, p *issue) (text string, life time.Duration, err error) {
	base, err := u.config.IAM.For(src.Region)
	if err != nil {
		return "", 0, err
	}
	if base == "" {
		return "", 0, &kind.Error{Kind: kind.Misconfigured, Message: "HW_AUTH_URL or HW_CLOUD must say where the user of " +
			u.config.origin("HW_USER_NAME") + " logs in, since HW_CBR_ENDPOINT is not Huawei's own"}
	}
	done, err := u.logins.allow(ctx)
	if err != nil {
		return "", 0, err
	}
	defer done(huawei.AuthResult{}, "")

	ctx, cancel := context.WithTimeout(ctx, deadline.Half(ctx, loginTimeout))
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, base+huawei.LoginPath+"?nocatalog=true", bytes.NewReader(u.loginBody(src.ProjectID)))
	if err != nil {
		return "", 0, fmt.Errorf("make the request to IAM: %w", err)
	}
	req.Header.Set("Content-Type", "application/json;charset=UTF-8")
	req.Header.Set("User-Agent", u.config.UserAgent)
	resp, err := u.config.HTTP.Do(req)
	if err != nil {
		return "", 0, &kind.Error{Kind: kind.Unavailable, Message: u.config.Redact.Text("IAM is out of reach: " + err.Error()), Cause: err}
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxLoginAnswer))
	text = resp.Header.Get("X-Subject-Token")
	switch {
	case resp.StatusCode >= 200 && resp.StatusCode <= 299 && text != "":
		// The body is read as far as possible.
	case err != nil:
		return "", 0, &kind.Error{Kind: kind.Unavailable, Message: u.config.Redact.Text("IAM's answer was cut: " + err.Error()), Cause: err}
	default:
		return "", 0, u.noToken(resp, body, src, p, func(advice string) string { return done(huawei.AuthResult{Answered: true, Refused: true}, advice) })
	}
	u.loggedIn(true)
	done(huawei.AuthResult{Answered: true}, "")
	return text, lifeOf(body, resp.Header, u.config.Now()), nil
}

// noToken returns the error of a login without a token. refuse stops logins for a while,
// and returns the message for that.
func (u *User) noToken(resp *http.Response, body []byte, src huawei.Scope, p *issue, refuse func(advice string) string) *kind.Error {
	e := iamFault(resp, body, u.config.Redact)
	answer := e.Message
	switch refused := resp.StatusCode == http.StatusUnauthorized || resp.StatusCode == http.StatusForbidden; {
	case e.TokenExpired:
		// A login has no token yet, so this shows nothing of the password.
		e.Kind = kind.Unavailable
	case refused && u.loggedIn(false) && p.first():
		// IAM gives the same answer for a project in which the user has no part. The
		// first such answer is read so, so that one event does not stop all projects. The
		// next one is read as a wrong password.
		e.Kind = kind.Unauthorized
		e.Message = p.tokens.trip(e.Kind, u.config.Redact.Message(fmt.Sprintf("a token for project %s was refused to the user of %s (%s): has it a part in the project?",
			src.ProjectID, u.config.origin("HW_USER_NAME"), answer)))
	case refused:
		e.Kind = kind.Unauthorized
		e.Message = refuse(u.config.Redact.Message(fmt.Sprintf("the login of the user of %s was refused (%s): check name, password and domain, and that the user may use the API; "+
			"IAM refuses a right password, too, of a user with MFA or login protection: take these off the user, or sign with an access key", u.config.origin("HW_USER_NAME"), answer)))
	case e.Kind == kind.Misconfigured:
		e.Message = p.tokens.trip(e.Kind, u.config.Redact.Message(answer))
	case e.Kind != kind.Throttled:
		e.Kind = kind.Unavailable
	}
	return e
}

// iamFault reads an error's answer of IAM, which has the same forms as those of other
// services. Its message begins with IAM's status.
func iamFault(resp *http.Response, body []byte, r *redact.Redactor) *kind.Error {
	e := huawei.Codes{}.ReadFault(resp, body, r)
	if e.Message == "" {
		e.Message = "IAM answered " + huawei.StatusLine(e.HTTPStatus) + " without a message"
	} else {
		e.Message = r.Message(fmt.Sprintf("IAM answered %d: %s", e.HTTPStatus, e.Message))
	}
	return e
}

// loggedIn keeps whether the last login was successful, and reports whether the one
// before was.
func (u *User) loggedIn(now bool) (before bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	before, u.worked = u.worked, now
	return before
}

// first reports whether there was no token for the project yet.
func (p *issue) first() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.number == 0
}

// maxLoginAnswer bounds IAM's answer; a catalog would be the largest part of it.
const maxLoginAnswer = 256 << 10

func (u *User) loginBody(projectID string) []byte {
	type named struct {
		Name string `json:"name"`
	}
	var r struct {
		Auth struct {
			Identity struct {
				Methods  []string `json:"methods"`
				Password struct {
					User struct {
						Name     string `json:"name"`
						Password string `json:"password"`
						Domain   named  `json:"domain"`
					} `json:"user"`
				} `json:"password"`
			} `json:"identity"`
			Scope struct {
				Project struct {
					ID string `json:"id"`
				} `json:"project"`
			} `json:"scope"`
		} `json:"auth"`
	}
	r.Auth.Identity.Methods = []string{"password"}
	user := &r.Auth.Identity.Password.User
	user.Name, user.Password, user.Domain.Name = u.config.UserName, u.config.Password, u.config.DomainName
	r.Auth.Scope.Project.ID = projectID
	body, _ := json.Marshal(r) // strings always marshal
	return body
}

// lifeOf returns the life of a token. It begins with the answer's own time, since the
// clocks of two clouds may differ.
func lifeOf(body []byte, header http.Header, now time.Time) time.Duration {
	var answer struct {
		Token struct {
			ExpiresAt string `json:"expires_at"`
		} `json:"token"`
	}
	_ = json.Unmarshal(body, &answer)
	expires, err := time.Parse(time.RFC3339, strings.TrimSpace(answer.Token.ExpiresAt))
	if err != nil {
		return defaultLife
	}
	if date, err := http.ParseTime(header.Get("Date")); err == nil {
		now = date
	}
	return cmp.Or(min(max(expires.Sub(now), 0), defaultLife), defaultLife)
}
