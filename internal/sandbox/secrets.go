package sandbox

import (
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"sync"
	"time"
)

// maxSecret is the most that a secret holds, in bytes (Secrets Manager API reference, PutSecretValue).
const maxSecret = 64 << 10

var (
	secretName = regexp.MustCompile(`^[A-Za-z0-9/_+=.@!-]{1,512}$`)
	secretID   = regexp.MustCompile(`^[A-Za-z0-9/_+=.@!:-]+$`) // a name or an ARN
)

var secretsProtocol = jsonProtocol{version: "1.1", service: "secretsmanager", target: "secretsmanager", text: "Message"}

// SecretsFault is how Secrets Manager fails one call, instead of or before answering.
type SecretsFault struct {
	// Status and Code refuse the call. The codes a caller of GetSecretValue meets are AccessDeniedException,
	// ThrottlingException and DecryptionFailure with 400, and InternalServiceError with 500.
	Status int
	Code   string
	// Reset cuts the connection before the call is taken.
	Reset bool
	// Delay comes before everything else.
	Delay time.Duration
}

// Secrets is AWS Secrets Manager behind its own protocol, on 127.0.0.1. It answers GetSecretValue for the current version
// of a secret, to callers that sign for Secrets Manager in [Region]. Safe for concurrent use.
type Secrets struct {
	script[SecretsFault]
	server *server

	mu      sync.Mutex
	secrets map[string]secretVersion // by name
}

// secretVersion is a secret's current version, as GetSecretValue answers with it.
type secretVersion struct {
	ARN           string
	Name          string
	VersionID     string `json:"VersionId"`
	SecretString  string
	VersionStages []string
	CreatedDate   float64 // seconds since 1970
}

// NewSecrets starts a Secrets Manager without secrets.
func NewSecrets() (*Secrets, error) {
	s := &Secrets{secrets: map[string]secretVersion{}}
	var err error
	if s.server, err = serve(http.HandlerFunc(s.serve)); err != nil {
		return nil, fmt.Errorf("serving Secrets Manager: %w", err)
	}
	return s, nil
}

// Close ends the server.
func (s *Secrets) Close() { s.server.close() }

// URL is for AWS_ENDPOINT_URL_SECRETS_MANAGER.
func (s *Secrets) URL() string { return "http://" + s.server.addr }

// Put makes value the current version of a secret, which it creates if there is none, and returns the secret's ARN. An
// ARN ends in six characters at random, as AWS's do: a secret that was removed and put again has another one. Put panics
// where Secrets Manager would refuse: a name has at most 512 letters, digits and /_+=.@!-, a value 1 to 65,536 bytes.
func (s *Secrets) Put(name, value string) string {
	if !secretName.MatchString(name) || value == "" || len(value) > maxSecret {
		panic(fmt.Sprintf("sandbox: Put(%q, a value of %d bytes)", name, len(value)))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	version := s.secrets[name]
	if version.ARN == "" {
		version.ARN = arn("secretsmanager", "secret:"+name+"-"+randomHex(3))
	}
	version.Name, version.VersionID, version.SecretString = name, newUUID(), value
	version.VersionStages, version.CreatedDate = []string{"AWSCURRENT"}, float64(time.Now().UnixMilli())/1000
	s.secrets[name] = version
	return version.ARN
}

// Remove deletes a secret at once; one that is not there is no error.
func (s *Secrets) Remove(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.secrets, name)
}

func (s *Secrets) serve(w http.ResponseWriter, r *http.Request) {
	fault := s.next()
	action, body, ok := secretsProtocol.open(w, r, outage{fault.Status, fault.Code, fault.Reset, fault.Delay})
	if !ok {
		return
	}
	if action != "GetSecretValue" {
		secretsProtocol.refuse(w, http.StatusBadRequest, "UnknownOperationException", "the sandbox has no action "+action)
		return
	}
	var asked struct{ SecretID, VersionID, VersionStage string }
	if err := json.Unmarshal(body, &asked); err != nil {
		secretsProtocol.refuse(w, http.StatusBadRequest, "SerializationException", err.Error())
		return
	}
	version, found := s.find(asked.SecretID)
	switch {
	case !secretID.MatchString(asked.SecretID):
		secretsProtocol.refuse(w, http.StatusBadRequest, "ValidationException",
			"Invalid name. Must be a valid name containing alphanumeric characters, or any of the following: -/_+=.@!")
	case !found:
		secretsProtocol.refuse(w, http.StatusBadRequest, "ResourceNotFoundException", "Secrets Manager can't find the specified secret.")
	case asked.VersionID != "" && asked.VersionID != version.VersionID:
		secretsProtocol.refuse(w, http.StatusBadRequest, "ResourceNotFoundException",
			"Secrets Manager can't find the specified secret value for VersionId: "+asked.VersionID)
	case asked.VersionStage != "" && asked.VersionStage != "AWSCURRENT":
		secretsProtocol.refuse(w, http.StatusBadRequest, "ResourceNotFoundException",
			"Secrets Manager can't find the specified secret value for staging label: "+asked.VersionStage)
	default:
		secretsProtocol.respond(w, http.StatusOK, version)
	}
}

// find looks for a secret by its name, its ARN, or its ARN without the last six characters and the hyphen before them. A
// name that itself ends in a hyphen and six characters makes such an ARN doubtful (Secrets Manager user guide, "Secrets
// Manager can't find a secret from a partial ARN"): the whole ARN wins.
func (s *Secrets) find(id string) (version secretVersion, found bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	const suffix = len("-abcdef")
	for _, v := range s.secrets {
		switch id {
		case v.Name, v.ARN:
			return v, true
		case v.ARN[:len(v.ARN)-suffix]:
			version, found = v, true
		}
	}
	return version, found
}
