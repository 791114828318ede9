package sandbox

import (
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
	// Reset cuts the connection before anything is done.
	Reset bool
	// Delay comes before everything else.
	Delay time.Duration
}

// Secrets is AWS Secrets Manager behind its own protocol, on 127.0.0.1. It answers GetSecretValue for the current version
// of a secret, to callers that sign for Secrets Manager in [Region]. Safe for concurrent use.
type Secrets struct {
	service[SecretsFault]

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
	return s, s.start("Secrets Manager", s.serve)
}

// Put makes value the current version of a secret, which it creates if there is none, and returns the secret's ARN. An
// ARN ends in six random characters, as AWS's do: a secret that was removed and is put once more has another ARN. Put panics
// where Secrets Manager would refuse: a name has at most 512 characters, a-z, A-Z, 0-9 and /_+=.@!-, a value 1 to 65,536 bytes.
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
	secretsProtocol.serve(w, r, outage{fault.Status, fault.Code, fault.Reset, fault.Delay}, map[string]func([]byte){
		"GetSecretValue": func(body []byte) { s.getSecretValue(w, body) },
	})
}

func (s *Secrets) getSecretValue(w http.ResponseWriter, body []byte) {
	var asked struct{ SecretID, VersionID, VersionStage string }
	if !secretsProtocol.decode(w, body, &asked) {
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
		secretsProtocol.answer(w, version, false)
	}
}

// find looks for a secret by its name, its ARN, or its ARN without the last six characters and the hyphen before them. A
// name that itself ends in a hyphen and six characters makes such an ARN ambiguous (Secrets Manager user guide, "Secrets
// Manager can't find a secret from a partial ARN"): the complete ARN wins.
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
