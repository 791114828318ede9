package cbrtest

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"net/http"
	"slices"
	"time"
)

const (
	// DefaultTokenSize is the length of a token without [WithTokenSize]: that of one in IAM's own examples (MIIE5g…).
	DefaultTokenSize = 1680
	// DefaultTokenLife is how long a token lives without [WithTokenLife], as in the IAM API reference.
	DefaultTokenLife = 24 * time.Hour
)

// WithTokenSize sets the length of the tokens that IAM issues, in characters. IAM's own examples have from 1,176 to 12,008; the
// gateway accepts up to 32 KiB.
func WithTokenSize(characters int) Option {
	return func(c *CBR) { c.tokenSize = characters }
}

// WithTokenLife sets how long the tokens live that IAM issues.
func WithTokenLife(d time.Duration) Option {
	return func(c *CBR) { c.tokenLife = d }
}

// A token authorizes requests for the one project that it is scoped to.
type token struct {
	project string
	user    string    // the user that IAM issued it to; empty for a token that was added
	expires time.Time // the zero time means never
	revoked bool
}

// AddToken makes CBR accept text as the X-Auth-Token of requests for the project.
func (c *CBR) AddToken(text, projectID string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.tokens[text] = token{project: fold(projectID)}
}

// RevokeToken ends a token that was added or issued, as if it had expired or its user had changed the password: it gets
// APIGW.0307 from now on. An unknown token stays unknown.
func (c *CBR) RevokeToken(text string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if t, ok := c.tokens[text]; ok {
		t.revoked = true
		c.tokens[text] = t
	}
}

// IssuedTokens returns the tokens that IAM issued so far, in order, even if the answer was lost.
func (c *CBR) IssuedTokens() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.issued)
}

// issue makes a token. Its text looks like the base64 of a CMS message, as a real token's does.
func (c *CBR) issue(user, project string, expires time.Time) string {
	text := []byte("MII")
	for i := 0; len(text) < c.tokenSize; i++ {
		sum := sha256.Sum256(fmt.Appendf(nil, "%q", []any{"token", user, project, len(c.issued), i}))
		text = base64.RawStdEncoding.AppendEncode(text, sum[:])
	}
	issued := string(text[:c.tokenSize])
	c.tokens[issued] = token{project: project, user: user, expires: expires}
	c.issued = append(c.issued, issued)
	return issued
}

// revokeTokens revokes all tokens of a user.
func (c *CBR) revokeTokens(user string) {
	for text, t := range c.tokens {
		if t.user == user {
			t.revoked = true
			c.tokens[text] = t
		}
	}
}

// unauthentic is the gateway's answer to a credential that is not valid (error code table, 0301).
func unauthentic(why string) *refusal {
	return &refusal{http.StatusUnauthorized, "APIGW.0301", "Incorrect IAM authentication information: " + why}
}

// forbidden is the gateway's answer to a valid credential without the permission (error code table, 0302). Inferred: a
// credential for another project gets it.
func forbidden() *refusal {
	return &refusal{http.StatusForbidden, "APIGW.0302", "The IAM user is not authorized to access the API"}
}

// authorize is the gateway's check of a credential. Codes, statuses and texts are those of the API Gateway error code table.
// Inferred: if there is a token and a signature, the token counts. The official SDK sends both if it is given a token.
func (c *CBR) authorize(req request) *refusal {
	text, signed := req.from.Header.Get("X-Auth-Token"), req.from.Header.Get("Authorization")
	if text == "" && signed != "" {
		return c.checkSignature(req, signed)
	}
	t, known := c.tokens[text]
	switch {
	case text == "":
		return unauthentic("x-auth-token not found")
	case !known:
		return unauthentic("decrypt token fail")
	case t.revoked, !t.expires.IsZero() && !c.now().Before(t.expires):
		return &refusal{http.StatusUnauthorized, "APIGW.0307", "The token must be updated"}
	case t.project != req.project:
		return forbidden()
	}
	return nil
}
