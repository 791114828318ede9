package cbrtest

import (
	"bytes"
	"encoding/json"
	"net/http"
	"slices"
	"time"
)

// DefaultLoginLimit is how many failed logins lock a user unless [WithLoginLimit] says otherwise: IAM's own default. An account's
// administrator can set 3.
const DefaultLoginLimit = 5

// lockTime is how long a user is locked, and how long a failed login counts (IAM user guide, "Account lockout").
const lockTime = 15 * time.Minute

// WithLoginLimit sets how many failed logins within 15 minutes lock a user for 15 minutes.
func WithLoginLimit(failed int) Option {
	return func(c *CBR) { c.loginLimit = failed }
}

// A User can log in at IAM with a password and gets tokens.
type User struct {
	Domain   string // the name of the account
	Name     string // unique in a [CBR]
	Password string
	Projects []string // it gets tokens for these; nil means all projects that were added
}

// A user is a User with what IAM remembers of its logins.
type user struct {
	User
	failed []time.Time // logins with a wrong password since the last success, oldest first
	locked time.Time   // until when
}

// A Login is one request for a token that named a user, and what became of it.
type Login struct {
	Time          time.Time
	User, Project string
	OK            bool // it got a token
	Locked        bool // the user was locked; the password may have been right
}

// AddUser adds a user, or replaces the user with its name and ends the lock. Tokens stay valid.
func (c *CBR) AddUser(u User) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.users[u.Name] = &user{User: u}
}

// ChangePassword gives a user another password and, as IAM does, revokes all its tokens: they get APIGW.0307. Inferred: a lock
// stays. An unknown user stays unknown.
func (c *CBR) ChangePassword(name, password string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if u, ok := c.users[name]; ok {
		u.Password = password
		c.revokeTokens(name)
	}
}

// RevokeUser deletes a user: its tokens get APIGW.0307, its logins 401.
func (c *CBR) RevokeUser(name string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.users, name)
	c.revokeTokens(name)
}

// Logins returns the logins so far, in order: all that reached IAM, even if their answer was lost.
func (c *CBR) Logins() []Login {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.logins)
}

// PeakLogins returns the largest number of requests for a token that were under way at once, as [CBR.PeakInFlight] counts them.
func (c *CBR) PeakLogins() int { return c.PeakInFlight(Tokens) }

// loginParam has the parameters of "Obtaining a User Token Through Password Authentication" (IAM API reference) that are
// modelled: a user by name, its password, and a project by id.
type loginParam struct {
	domain, user, password, project string
}

// readLoginParam reads and checks the body. Other fields of the reference, such as those of a one-time password, are not
// modelled.
func readLoginParam(body []byte) (loginParam, *refusal) {
	type named struct {
		Name string `json:"name"`
	}
	var root struct {
		Auth struct {
			Identity struct {
				Methods  []string `json:"methods"`
				Password struct {
					User struct {
						named
						Domain   named  `json:"domain"`
						Password string `json:"password"`
					} `json:"user"`
				} `json:"password"`
			} `json:"identity"`
			Scope struct {
				Project struct {
					named
					ID string `json:"id"`
				} `json:"project"`
			} `json:"scope"`
		} `json:"auth"`
	}
	if !json.Valid(body) {
		return loginParam{}, &refusal{http.StatusBadRequest, "", "The body is not JSON."}
	}
	decoder := json.NewDecoder(bytes.NewReader(body))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&root); err != nil {
		return loginParam{}, notModelled("A login with " + err.Error())
	}
	identity, scope := root.Auth.Identity, root.Auth.Scope
	p := loginParam{identity.Password.User.Domain.Name, identity.Password.User.Name, identity.Password.User.Password, fold(scope.Project.ID)}
	switch {
	case !slices.Equal(identity.Methods, []string{"password"}):
		return p, notModelled("A login by another method than a password")
	case scope.Project.Name != "" || p.project == "":
		return p, notModelled("A scope other than a project's id")
	case p.domain == "" || p.user == "" || p.password == "":
		return p, &refusal{http.StatusBadRequest, "", "The user's name, domain or password is missing."}
	}
	return p, nil
}

// createToken issues a token. The answer is the one of the IAM API reference, without roles, and without a catalog if nocatalog
// is set. A project has the name of its region, as the project has that each region begins with.
func (c *CBR) createToken(req request) (answer, *refusal) {
	for name := range req.query {
		if name != "nocatalog" {
			return answer{}, notModelled("The query parameter " + name)
		}
	}
	p, refused := readLoginParam(req.body)
	if refused != nil {
		return answer{}, refused
	}
	now := c.now()
	if refused := c.logIn(p, now); refused != nil {
		return answer{}, refused
	}
	expires := now.Add(c.tokenLife)
	domain := object{"id": hexID("domain", p.domain), "name": p.domain}
	issued := object{
		"expires_at": iamStamp(expires),
		"issued_at":  iamStamp(now),
		"methods":    []string{"password"},
		"project":    object{"domain": domain, "id": p.project, "name": c.regions[p.project]},
		"roles":      []object{},
		"user":       object{"domain": domain, "id": hexID("user", p.user), "name": p.user, "password_expires_at": ""},
	}
	if !req.query.Has("nocatalog") {
		issued["catalog"] = []object{}
	}
	return answer{
		status: http.StatusCreated,
		header: http.Header{"X-Subject-Token": {c.issue(p.user, p.project, expires)}},
		body:   encode(object{"token": issued}),
	}, nil
}

// logIn checks who asks for a token, and keeps the login. Status and form of a refusal are those of the IAM API reference.
// Inferred: the texts; a login during a lock does not count and does not make the lock longer; a right password for a project
// that the user may not use gets 401, as from Keystone, and does not count as failed.
func (c *CBR) logIn(p loginParam, now time.Time) *refusal {
	login := Login{Time: now, User: p.user, Project: p.project}
	defer func() { c.logins = append(c.logins, login) }()
	u, known := c.users[p.user]
	if !known || u.Domain != p.domain {
		return &refusal{http.StatusUnauthorized, "", "The username or password is wrong."}
	}
	if now.Before(u.locked) {
		login.Locked = true
		return &refusal{http.StatusUnauthorized, "", "The account is locked. Try again later."}
	}
	if u.Password != p.password {
		u.fail(now, c.loginLimit)
		return &refusal{http.StatusUnauthorized, "", "The username or password is wrong."}
	}
	u.failed = nil
	if _, added := c.regions[p.project]; !added || !allow(u.Projects, p.project) {
		return &refusal{http.StatusUnauthorized, "", "The user has no access to the project."}
	}
	login.OK = true
	return nil
}

// fail counts a wrong password, and locks the user if there were too many. At the end of the lock none of them counts any more.
func (u *user) fail(now time.Time, limit int) {
	u.failed = slices.DeleteFunc(u.failed, func(t time.Time) bool { return now.Sub(t) >= lockTime })
	u.failed = append(u.failed, now)
	if len(u.failed) >= limit {
		u.locked = now.Add(lockTime)
	}
}

// iamStamp writes a time as IAM does: 2020-01-04T09:05:22.701000Z.
func iamStamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000000Z") }
