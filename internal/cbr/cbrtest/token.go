package cbrtest

import "net/http"

// A token authorizes requests for the one project that it is scoped to.
type token struct {
	project string
	revoked bool
}

// AddToken makes CBR accept text as the X-Auth-Token of requests for the project.
func (c *CBR) AddToken(text, projectID string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.tokens[text] = token{project: projectID}
}

// RevokeToken makes a token that was added one that has expired, or whose user lost it: it gets APIGW.0307 from now on. A token
// that was never added stays unknown.
func (c *CBR) RevokeToken(text string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if t, ok := c.tokens[text]; ok {
		t.revoked = true
		c.tokens[text] = t
	}
}

// authorize is the gateway's check. Codes, statuses and texts are those of the API Gateway error code table. Which code a token
// of another project gets is inferred: 0302 is the one for a user without permission.
func (c *CBR) authorize(text, project string) *refusal {
	t, known := c.tokens[text]
	switch {
	case text == "":
		return &refusal{http.StatusUnauthorized, "APIGW.0301", "Incorrect IAM authentication information: x-auth-token not found"}
	case !known:
		return &refusal{http.StatusUnauthorized, "APIGW.0301", "Incorrect IAM authentication information: decrypt token fail"}
	case t.revoked:
		return &refusal{http.StatusUnauthorized, "APIGW.0307", "The token must be updated"}
	case t.project != project:
		return &refusal{http.StatusForbidden, "APIGW.0302", "The IAM user is not authorized to access the API"}
	}
	return nil
}
