package token

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"cbr-replicator/internal/awscall"
	"cbr-replicator/internal/deadline"
	"cbr-replicator/internal/huawei"
	"cbr-replicator/internal/kind"
	"cbr-replicator/internal/redact"
)

const (
	// projectMark in a secret's id stands for the source project.
	projectMark = "{project_id}"
	// secretAge is how long a secret is used before it is read again. So a new version is
	// used before the old credential ends. AWS's own caches for Lambda keep a secret as
	// long.
	secretAge = 5 * time.Minute
	// secretPause is how long the result of one reading, good or bad, is used for all
	// requests, even if the credential was refused meanwhile.
	secretPause = time.Second
	// readTimeout bounds one reading.
	readTimeout = 5 * time.Second
)

// SecretsManager makes a call to AWS Secrets Manager; awscall.Client does.
type SecretsManager interface {
	Call(ctx context.Context, operation string, in, out any) error
}

// Secret is a secret in AWS Secrets Manager, or one for each project, that holds a token,
// a user or an access key. It is read at first use, then at most every five minutes,
// and when its credential was refused. So a new version is used without a restart.
type Secret struct {
	redact.Opaque
	config Config

	mu      sync.Mutex
	secrets map[string]*held
}

// held is one secret.
type held struct {
	id string
	// reading is full while a request reads the secret.
	reading chan struct{}

	mu      sync.Mutex
	source  huawei.Authorizer // nil before the first reading
	version string
	stale   bool      // the source was refused since the last reading
	read    time.Time // the last reading, or the last attempt
	err     error     // of that attempt
}

func newSecret(c Config) *Secret { return &Secret{config: c, secrets: map[string]*held{}} }

func (s *Secret) secret(projectID string) *held {
	id := strings.ReplaceAll(s.config.SecretID, projectMark, projectID)
	s.mu.Lock()
	defer s.mu.Unlock()
	h, ok := s.secrets[id]
	if !ok {
		h = &held{id: id, reading: make(chan struct{}, 1)}
		s.secrets[id] = h
	}
	return h
}

// Authorize uses the source that the secret holds. If that was refused, it looks for a
// new version.
func (s *Secret) Authorize(req *http.Request, src huawei.Scope) (huawei.Report, error) {
	h := s.secret(src.ProjectID)
	source, version, err := s.current(req.Context(), src, h, secretAge)
	if err != nil {
		return nil, err
	}
	report, err := source.Authorize(req, src)
	if kind.As(err).Of() == kind.Unauthorized {
		next, nextVersion, readErr := s.current(req.Context(), src, h, secretPause)
		if readErr != nil || nextVersion == version {
			return nil, err
		}
		version = nextVersion
		report, err = next.Authorize(req, src)
	}
	if err != nil {
		return nil, err
	}
	return func(r huawei.AuthResult) huawei.Advice {
		advice := report(r)
		if r.Refused {
			// The next reading shows if there is a new version.
			h.expire(version)
			advice.Fresh = true
		}
		return advice
	}, nil
}

// current returns the source that the secret holds, read at most maxAge ago.
func (s *Secret) current(ctx context.Context, src huawei.Scope, h *held, maxAge time.Duration) (huawei.Authorizer, string, error) {
	if source, version, err, ok := h.get(s.config.Now(), maxAge); ok {
		return source, version, err
	}
	select {
	case h.reading <- struct{}{}:
		defer func() { <-h.reading }()
	case <-ctx.Done():
		return nil, "", &kind.Error{Kind: kind.OutOfTime, Message: "another request was about to read the secret", Cause: ctx.Err()}
	}
	if source, version, err, ok := h.get(s.config.Now(), maxAge); ok {
		return source, version, err
	}
	source, version, err := s.read(ctx, src, h)
	h.put(source, version, s.config.Now(), err)
	source, version, stillErr, _ := h.get(s.config.Now(), maxAge)
	if err != nil && stillErr == nil {
		s.config.Log.WarnContext(ctx, "secret not read again", "error", kind.As(err).Message)
	}
	return source, version, stillErr
}

// get returns what was read, or the error of reading. ok is false if it is time to read.
func (h *held) get(now time.Time, maxAge time.Duration) (source huawei.Authorizer, version string, err error, ok bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case h.stale, h.err != nil && h.source == nil:
		maxAge = secretPause
	case h.err != nil:
		maxAge = renewalPause
	}
	if h.read.IsZero() || now.Sub(h.read) > maxAge {
		return nil, "", nil, false
	}
	if h.source == nil {
		return nil, "", h.err, true
	}
	return h.source, h.version, nil, true
}

// expire has the secret read by the next request if it still has that version.
func (h *held) expire(version string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.stale = h.stale || version == h.version
}

// isNew reports whether a version differs from the one that was read last.
func (h *held) isNew(version string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.source == nil || version != h.version
}

// put keeps what was read. For the same version it keeps the source, which has a token or
// knows of a refusal.
func (h *held) put(source huawei.Authorizer, version string, now time.Time, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.read, h.err, h.stale = now, err, false
	if err == nil && (h.source == nil || version != h.version) {
		h.source, h.version = source, version
	}
}

// read reads the secret (Secrets Manager API reference, GetSecretValue).
func (s *Secret) read(ctx context.Context, src huawei.Scope, h *held) (huawei.Authorizer, string, error) {
	ctx, cancel := context.WithTimeout(ctx, deadline.Half(ctx, readTimeout))
	defer cancel()
	where := "the secret " + s.config.Redact.Text(h.id)
	var out struct {
		SecretString string
		VersionID    string `json:"VersionId"`
	}
	if err := s.config.SecretsManager.Call(ctx, "GetSecretValue", map[string]string{"SecretId": h.id}, &out); err != nil {
		return nil, "", s.unread(where, err)
	}
	fields, err := parse(out.SecretString)
	if err != nil {
		return nil, "", &kind.Error{Kind: kind.Misconfigured, Message: where + ": " + err.Error()}
	}
	if short := fields.Hide(s.config.Redact); len(short) > 0 && h.isNew(out.VersionID) {
		s.config.Log.WarnContext(ctx, "a secret of fewer than eight characters is masked only where it stands alone",
			"secret", s.config.Redact.Text(h.id), "fields", inSecret(strings.Join(short, ", ")))
	}
	c := s.config
	c.Fields, c.where = fields, where
	if strings.Contains(s.config.SecretID, projectMark) {
		c.ProjectID = src.ProjectID
	}
	return New(c), out.VersionID, nil
}

// lasting are the errors of Secrets Manager that do not pass by themselves, with what to
// do about them.
var lasting = map[string]string{
	"AccessDeniedException":     "let the function's role call secretsmanager:GetSecretValue for it, and kms:Decrypt for its key",
	"DecryptionFailure":         "let the function's role call kms:Decrypt for its key",
	"ResourceNotFoundException": "there is no such secret in this account and region, or it has no value",
	"InvalidRequestException":   "it may be marked for deletion",
	"ValidationException":       "it is no id of a secret",
	"InvalidParameterException": "it is no id of a secret",
}

// unread returns the error of a secret that could not be read: Misconfigured if an
// operator must correct something, otherwise Unavailable.
func (s *Secret) unread(where string, err error) error {
	e := &kind.Error{Kind: kind.Unavailable, Cause: err}
	text := err.Error()
	if answer, ok := errors.AsType[*awscall.Error](err); ok {
		if todo, ok := lasting[answer.Code]; ok {
			e.Kind, text = kind.Misconfigured, text+" ("+todo+")"
		}
	}
	e.Message = s.config.Redact.Message(fmt.Sprintf("%s cannot be read: %s", where, text))
	return e
}
