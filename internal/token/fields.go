package token

import (
	"encoding/json"
	"errors"
	"strings"

	"cbr-replicator/internal/redact"
)

// Fields are the parts of a credential, with the names of Terraform's Huawei provider.
// The environment and a secret use the same names.
type Fields struct {
	redact.Opaque

	// Token goes into X-Auth-Token as it is. In a secret its name is "token".
	Token string `envconfig:"HW_AUTH_TOKEN" json:"token" desc:"a token for |X-Auth-Token|. It is valid only for |HW_PROJECT_ID|"`
	// SecretID is the name or ARN of a secret in AWS Secrets Manager. "{project_id}" in
	// it stands for the source project.
	SecretID string `envconfig:"HW_AUTH_TOKEN_SECRET" json:"-" desc:"name or ARN of a Secrets Manager secret that holds the credential; |{project_id}| in it is the source project"`
	// UserName, Password and DomainName are an IAM user's.
	UserName   string `envconfig:"HW_USER_NAME" json:"HW_USER_NAME" desc:"an IAM user. The function gets tokens for it"`
	Password   string `envconfig:"HW_USER_PASSWORD" json:"HW_USER_PASSWORD" desc:"ditto"`
	DomainName string `envconfig:"HW_DOMAIN_NAME" json:"HW_DOMAIN_NAME" desc:"ditto"`
	// AccessKey and SecretKey sign requests. A temporary key has a SecurityToken too.
	AccessKey     string `envconfig:"HW_ACCESS_KEY" json:"HW_ACCESS_KEY" desc:"an access key that signs requests; the third for a temporary one"`
	SecretKey     string `envconfig:"HW_SECRET_KEY" json:"HW_SECRET_KEY" desc:"ditto"`
	SecurityToken string `envconfig:"HW_SECURITY_TOKEN" json:"HW_SECURITY_TOKEN" desc:"ditto"`
}

// Problem is one fault of Fields.
type Problem struct {
	Name string // the field's
	Text string // without any value
}

// field is one of Fields.
type field struct {
	name     string
	value    *string
	optional bool
}

// sources returns the fields of each source.
func (f *Fields) sources() [][]field {
	return [][]field{
		{{name: "HW_AUTH_TOKEN", value: &f.Token}},
		{{name: "HW_AUTH_TOKEN_SECRET", value: &f.SecretID}},
		{{name: "HW_USER_NAME", value: &f.UserName}, {name: "HW_USER_PASSWORD", value: &f.Password}, {name: "HW_DOMAIN_NAME", value: &f.DomainName}},
		{{name: "HW_ACCESS_KEY", value: &f.AccessKey}, {name: "HW_SECRET_KEY", value: &f.SecretKey}, {name: "HW_SECURITY_TOKEN", value: &f.SecurityToken, optional: true}},
	}
}

// IsZero reports whether no field of any source is set.
func (f *Fields) IsZero() bool {
	return strings.TrimSpace(f.Token+f.SecretID+f.UserName+f.Password+f.DomainName+f.AccessKey+f.SecretKey+f.SecurityToken) == ""
}

// The sources, in the order of docs/credentials.md: first the field that names a secret,
// then those that hold the credential itself.
const (
	secretField = "HW_AUTH_TOKEN_SECRET"
	inPlain     = "HW_ACCESS_KEY with HW_SECRET_KEY, or HW_USER_NAME with HW_USER_PASSWORD and HW_DOMAIN_NAME, or HW_AUTH_TOKEN"
)

// Check removes spaces around values that cannot have any, and returns what is wrong: no
// source, two sources, half of one, or a value that cannot go into a header.
func (f *Fields) Check() []Problem {
	for _, v := range []*string{&f.Token, &f.SecretID, &f.AccessKey, &f.SecretKey, &f.SecurityToken} {
		*v = strings.TrimSpace(*v)
	}
	var problems []Problem
	var given []string // the first field of each source that is set
	for _, source := range f.sources() {
		var set, missing []string
		for _, field := range source {
			if *field.value != "" {
				set = append(set, field.name)
			} else if !field.optional {
				missing = append(missing, field.name)
			}
		}
		if len(set) == 0 {
			continue
		}
		given = append(given, set[0])
		for _, name := range missing {
			problems = append(problems, Problem{name, "required with " + set[0]})
		}
	}
	switch {
	case len(given) == 0:
		problems = append(problems, Problem{secretField, "required, or " + inPlain})
	case len(given) > 1:
		problems = append(problems, Problem{strings.Join(given, ", "), "set one of them: each says where the credential comes from"})
	}
	for _, v := range []field{
		{name: "HW_AUTH_TOKEN", value: &f.Token},
		{name: "HW_ACCESS_KEY", value: &f.AccessKey},
		{name: "HW_SECURITY_TOKEN", value: &f.SecurityToken},
	} {
		if strings.ContainsFunc(*v.value, func(c rune) bool { return c <= ' ' || c > '~' }) {
			problems = append(problems, Problem{v.name, "expected printable ASCII without spaces, as it goes into a header"})
		}
	}
	return problems
}

// parse reads a secret's value: a token, or a JSON object with fields.
func parse(value string) (Fields, error) {
	value = strings.TrimSpace(value)
	if !strings.HasPrefix(value, "{") {
		if value == "" {
			return Fields{}, errors.New("its value is empty")
		}
		return checked(Fields{Token: value})
	}
	var f Fields
	if err := json.Unmarshal([]byte(value), &f); err != nil {
		// Never err itself: it may hold a part of the value.
		return Fields{}, errors.New(`its value is neither a token nor a JSON object of strings ("token", or the HW_ variables of a user or an access key)`)
	}
	return checked(f)
}

func checked(f Fields) (Fields, error) {
	var texts []string
	for _, p := range f.Check() {
		text := p.Name + ": " + p.Text
		if p.Name == secretField { // a secret holds no other secret's name
			text = "expected " + inPlain
		}
		texts = append(texts, inSecret(text))
	}
	if len(texts) > 0 {
		return Fields{}, errors.New(strings.Join(texts, "; "))
	}
	return f, nil
}

// inSecret returns a text with the names of variables as the fields of a secret.
func inSecret(name string) string { return strings.ReplaceAll(name, "HW_AUTH_TOKEN", "token") }

// Hide masks the secret values of f. It returns the names of those that are too short to
// be masked everywhere. A secret's id and a user's name are not secret.
func (f *Fields) Hide(r *redact.Redactor) (short []string) {
	for _, v := range []field{
		{name: "HW_AUTH_TOKEN", value: &f.Token},
		{name: "HW_USER_PASSWORD", value: &f.Password},
		{name: "HW_ACCESS_KEY", value: &f.AccessKey},
		{name: "HW_SECRET_KEY", value: &f.SecretKey},
		{name: "HW_SECURITY_TOKEN", value: &f.SecurityToken},
	} {
		r.Hide(*v.value)
		if redact.IsShort(*v.value) {
			short = append(short, v.name)
		}
	}
	return short
}

// origin returns where the credential was found, for errors: the variable, or the secret
// that holds it.
func (c *Config) origin(variable string) string {
	if c.where != "" {
		return c.where
	}
	return variable
}
