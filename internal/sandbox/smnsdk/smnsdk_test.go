//go:build smnsdk

package smnsdk

import (
	"bytes"
	"encoding/json"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"cbr-replicator/internal/cbr/cbrtest"
	"cbr-replicator/internal/huawei"
	"cbr-replicator/internal/redact"
	"cbr-replicator/internal/sandbox"
	"cbr-replicator/internal/smn"
	"cbr-replicator/internal/token"
)

type object = map[string]any

const text = `{"specversion":"1.0","id":"ä & <b>","data":{"status":"accepted"}}`

var (
	key        = cbrtest.Key{Access: "AKEXAMPLE", Secret: "SKEXAMPLE000000000000000000000000000000"}
	temporary  = cbrtest.Key{Access: "AKTEMP", Secret: "SKTEMP00000000000000000000000000000000", SecurityToken: "STTEMP-example-security-token"}
	attributes = map[string]string{"status": "accepted", "vault_id": "3b5816b5f29c41729d9a76c719a659ce"}
)

func newTopic(t *testing.T) *sandbox.SMNTopic {
	t.Helper()
	account := cbrtest.New()
	account.AddExample()
	account.AddKey(key)
	account.AddKey(temporary)
	topic, err := sandbox.NewSMNTopic("results", account)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(topic.Close)
	return topic
}

// python runs a program with its input, and returns what it prints.
func python(t *testing.T, program string, in object) string {
	t.Helper()
	path := os.Getenv("SMN_PYTHON")
	if path == "" {
		t.Fatal("SMN_PYTHON is not set: run make smn")
	}
	body, err := json.Marshal(in)
	if err != nil {
		t.Fatal(err)
	}
	command := exec.CommandContext(t.Context(), path, "-B", program)
	command.Env = append(os.Environ(), "NO_PROXY=127.0.0.1")
	command.Stdin = bytes.NewReader(body)
	var said bytes.Buffer
	command.Stderr = &said
	out, err := command.Output()
	if err != nil {
		t.Fatalf("%s: %v\n%s", program, err, &said)
	}
	return strings.TrimSpace(string(out))
}

// publish has the SDK publish, with changes to a call that is in order, and
// returns what it makes of the answer.
func publish(t *testing.T, topic *sandbox.SMNTopic, changes object) (answer struct {
	MessageID string `json:"message_id"`
	Status    int    `json:"status"`
	Code      string `json:"code"`
},
) {
	t.Helper()
	call := object{
		"access": key.Access, "secret": key.Secret, "project": cbrtest.SourceProject, "endpoint": topic.URL(), "topic": topic.URN(),
		"message": text, "attributes": attributes,
	}
	for name, value := range changes {
		call[name] = value
	}
	if err := json.Unmarshal([]byte(python(t, "publish.py", call)), &answer); err != nil {
		t.Fatal(err)
	}
	return answer
}

// newClient is the client of SMN here, with a key.
func newClient(t *testing.T, topic *sandbox.SMNTopic, k cbrtest.Key) (*smn.Client, smn.URN) {
	t.Helper()
	urn, ok := smn.ParseURN(topic.URN())
	if !ok {
		t.Fatal(topic.URN())
	}
	endpoints, err := huawei.NewEndpoints(smn.Service, topic.URL(), "", urn.Scope.Region)
	if err != nil {
		t.Fatal(err)
	}
	hidden := &redact.Redactor{}
	return smn.NewClient(huawei.Service{HTTP: http.DefaultClient, Endpoints: endpoints, Redact: hidden, Auth: token.New(token.Config{
		Fields: token.Fields{AccessKey: k.Access, SecretKey: k.Secret, SecurityToken: k.SecurityToken}, Redact: hidden, Now: time.Now,
	})}), urn
}

// TestSDKPublishes: the stand-in verifies the SDK's signature, and takes from it
// what the client here sends: the same path and the same body.
func TestSDKPublishes(t *testing.T) {
	topic := newTopic(t)
	if answer := publish(t, topic, nil); answer.MessageID == "" || answer.MessageID != topic.Messages()[0].ID {
		t.Fatalf("answer %+v", answer)
	}
	if answer := publish(t, topic, object{"access": temporary.Access, "secret": temporary.Secret, "security_token": temporary.SecurityToken}); answer.MessageID == "" {
		t.Fatalf("answer %+v", answer)
	}
	client, urn := newClient(t, topic, key)
	if err := client.Publish(t.Context(), urn, smn.Message{Text: text, Attributes: []smn.Attribute{
		{Name: "status", Value: attributes["status"]}, {Name: "vault_id", Value: attributes["vault_id"]},
	}}); err != nil {
		t.Fatal(err)
	}
	messages := topic.Messages()
	theirs, ours := messages[0], messages[2]
	if theirs.Path != ours.Path || !strings.Contains(ours.Path, "urn%3Asmn%3A") {
		t.Errorf("path %s, the SDK's is %s", ours.Path, theirs.Path)
	}
	var want, got any
	if err := json.Unmarshal([]byte(theirs.Body), &want); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal([]byte(ours.Body), &got); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("body (-of the SDK +ours):\n%s", diff)
	}
	for _, name := range []string{"Content-Type", "X-Project-Id"} {
		if !strings.EqualFold(theirs.Header.Get(name), ours.Header.Get(name)) {
			t.Errorf("%s: %s, the SDK's is %s", name, ours.Header.Get(name), theirs.Header.Get(name))
		}
	}
}

// TestSDKIsRefused: the SDK reads the stand-in's errors as it does SMN's and the
// gateway's.
func TestSDKIsRefused(t *testing.T) {
	topic := newTopic(t)
	for name, tt := range map[string]struct {
		change object
		status int
		code   string
	}{
		"another secret":             {object{"secret": "SKWRONG"}, 401, "APIGW.0301"},
		"another topic":              {object{"topic": topic.URN() + "2"}, 404, "SMN.0006"},
		"an attribute with a hyphen": {object{"attributes": object{"source_region": "cn-north-4"}}, 400, "SMN.0046"},
		"a byte too much":            {object{"message": strings.Repeat("x", smn.MaxMessage+1)}, 403, "SMN.0009"},
	} {
		if answer := publish(t, topic, tt.change); answer.Status != tt.status || answer.Code != tt.code {
			t.Errorf("%s: %+v", name, answer)
		}
	}
	if n := len(topic.Messages()); n != 0 {
		t.Errorf("%d messages taken", n)
	}
}

// TestSDKSignsTheSame: the SDK's signer makes our signature of our request.
func TestSDKSignsTheSame(t *testing.T) {
	for _, k := range []cbrtest.Key{key, temporary} {
		topic := newTopic(t)
		client, urn := newClient(t, topic, k)
		if err := client.Publish(t.Context(), urn, smn.Message{Text: text, Attributes: []smn.Attribute{{Name: "status", Value: "accepted"}}}); err != nil {
			t.Fatal(err)
		}
		m := topic.Messages()[0]
		ours := m.Header.Get("Authorization")
		_, rest, _ := strings.Cut(ours, "SignedHeaders=")
		signed, _, _ := strings.Cut(rest, ",")
		headers := object{}
		for _, name := range strings.Split(signed, ";") {
			headers[name] = m.Header.Get(name)
		}
		headers["host"] = strings.TrimPrefix(topic.URL(), "http://") // net/http keeps it apart
		theirs := python(t, "sign.py", object{
			"access": k.Access, "secret": k.Secret, "method": http.MethodPost, "path": m.Path, "headers": headers, "body": m.Body,
		})
		if theirs != ours || !strings.Contains(ours, "Signature=") {
			t.Errorf("signature %s, the SDK's is %s", ours, theirs)
		}
	}
}
