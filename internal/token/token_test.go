package token_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http/httptest"
	"strings"
	"testing"

	"cbr-replicator/internal/kind"
	"cbr-replicator/internal/redact"
	"cbr-replicator/internal/token"
)

const (
	secret  = "MIIDbQYJKoZIhvcNAQcCoIIDXjCC"
	project = "f841e01fd2b14e7fa41b6ae7aa6b0594"
)

func TestStatic(t *testing.T) {
	t.Parallel()
	var r redact.Redactor
	s := token.NewStatic(secret, project, &r)

	req := httptest.NewRequest("POST", "/", nil)
	if err := s.Authorize(req, project); err != nil || req.Header.Get("X-Auth-Token") != secret {
		t.Errorf("Authorize = %v, X-Auth-Token %q", err, req.Header.Get("X-Auth-Token"))
	}
	if s.Refused(req, project) {
		t.Error("a static token cannot be renewed")
	}

	other := httptest.NewRequest("POST", "/", nil)
	err := s.Authorize(other, strings.Repeat("0", 32))
	if e := kind.As(err); e == nil || e.Kind != kind.NotAllowed || !strings.Contains(e.Message, "HW_PROJECT_ID") {
		t.Errorf("Authorize for another project = %v, want a NotAllowed that says why", err)
	}
	if len(other.Header) != 0 {
		t.Errorf("headers %v on a request that must not be made", other.Header)
	}
	if !r.Contains(secret) {
		t.Error("the redactor was not told of the token")
	}
}

func TestStaticShowsItselfNowhere(t *testing.T) {
	t.Parallel()
	s := token.NewStatic(secret, project, new(redact.Redactor))
	var out bytes.Buffer
	for _, v := range []any{s, *s, []token.Static{*s}, struct{ S *token.Static }{s}} {
		fmt.Fprintf(&out, "%v %+v %#v %s", v, v, v, v)
	}
	if err := json.NewEncoder(&out).Encode(s); err != nil {
		t.Fatal(err)
	}
	slog.New(slog.NewJSONHandler(&out, nil)).Info("x", "token", s)
	slog.New(slog.NewTextHandler(&out, nil)).Info("x", "token", s)
	if strings.Contains(out.String(), secret) {
		t.Errorf("the token is in %s", out.String())
	}
}
