package awscall_test

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/google/go-cmp/cmp"

	"cbr-replicator/internal/awscall"
)

// newQueryClient returns a client of a service that answers each call so.
func newQueryClient(t *testing.T, status int, answer string) *awscall.Client {
	t.Helper()
	c := newClient(t, func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		_, _ = io.WriteString(w, answer)
	})
	c.Service, c.Target, c.Version = "sns", "", "2010-03-31"
	return c
}

// kept is a transport that keeps the request as it was signed.
type kept struct {
	http.RoundTripper
	request *http.Request
}

func (k *kept) RoundTrip(r *http.Request) (*http.Response, error) {
	k.request = r.Clone(r.Context())
	return k.RoundTripper.RoundTrip(r)
}

// TestQuery: the request has the form that the protocol requires, and the SDK's signer makes
// the same signature of it.
func TestQuery(t *testing.T) {
	t.Parallel()
	c := newQueryClient(t, 200, `<?xml version="1.0"?><DoResponse xmlns="http://x/"><DoResult><A>1</A></DoResult><A>2</A></DoResponse>`)
	k := &kept{RoundTripper: c.HTTP.Transport}
	c.HTTP.Transport = k
	got, err := c.Query(t.Context(), "Do", awscall.Form(nil).Add("a b+c&d=é", "Name").Add("~-_.", "List.", "1"))
	if err != nil || got != "<A>1</A>" {
		t.Errorf("answer %q, %v", got, err)
	}
	body, err := k.request.GetBody()
	if err != nil {
		t.Fatal(err)
	}
	form, err := io.ReadAll(body)
	if err != nil {
		t.Fatal(err)
	}
	if want := "Name=a%20b%2Bc%26d%3D%C3%A9&List.1=~-_.&Action=Do&Version=2010-03-31"; string(form) != want {
		t.Errorf("form %s, want %s", form, want)
	}
	values, err := url.ParseQuery(string(form))
	if want := (url.Values{"Name": {"a b+c&d=é"}, "List.1": {"~-_."}, "Action": {"Do"}, "Version": {"2010-03-31"}}); err != nil || !cmp.Equal(values, want) {
		t.Errorf("form %v, %v", values, err)
	}
	if got, want := k.request.Header.Get("Content-Type"), "application/x-www-form-urlencoded"; got != want {
		t.Errorf("Content-Type %s, want %s", got, want)
	}
	at, err := time.Parse("20060102T150405Z", k.request.Header.Get("X-Amz-Date"))
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(form)
	again := k.request.Clone(t.Context())
	again.Header.Del("Authorization")
	if err := v4.NewSigner().SignHTTP(t.Context(), c.Credentials, again, hex.EncodeToString(sum[:]), "sns", "eu-central-1", at); err != nil {
		t.Fatal(err)
	}
	if got, want := k.request.Header.Get("Authorization"), again.Header.Get("Authorization"); got != want || !strings.Contains(got, "SignedHeaders=content-length;content-type;host;x-amz-date;x-amz-security-token,") {
		t.Errorf("Authorization %s, want %s", got, want)
	}
}

func TestQueryFails(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		status int
		answer string
		want   awscall.Error
		text   string
		passes bool
	}{
		"refused": {
			403, `<ErrorResponse xmlns="http://x/"><Error><Type>Sender</Type><Code>AuthorizationError</Code><Message>not &lt;you&gt;</Message></Error><RequestId>r-1</RequestId></ErrorResponse>`,
			awscall.Error{Status: 403, Code: "AuthorizationError", Message: "not <you>", RequestID: "r-1"},
			"AuthorizationError: not <you> (request r-1)", false,
		},
		"throttled": {400, `<ErrorResponse><Error><Code>Throttled</Code></Error></ErrorResponse>`, awscall.Error{Status: 400, Code: "Throttled"}, "Throttled", true},
		"too slow":  {400, `<ErrorResponse><Error><Code>RequestTimeout</Code></Error></ErrorResponse>`, awscall.Error{Status: 400, Code: "RequestTimeout"}, "RequestTimeout", true},
		"broken":    {500, `<ErrorResponse><Error><Code>InternalError</Code></Error></ErrorResponse>`, awscall.Error{Status: 500, Code: "InternalError"}, "InternalError", true},
		"no error":  {503, `<html><body>Service Unavailable</body></html>`, awscall.Error{Status: 503}, "Service Unavailable", true},
		"cut":       {400, `<ErrorResponse><Error><Code>Thr`, awscall.Error{Status: 400}, "Bad Request", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := newQueryClient(t, tt.status, tt.answer).Query(t.Context(), "Do", nil)
			answer, ok := errors.AsType[*awscall.Error](err)
			if !ok || *answer != tt.want || err.Error() != tt.text || answer.Passes() != tt.passes {
				t.Errorf("error = %#v, %v", answer, err)
			}
		})
	}
	for name, answer := range map[string]string{
		"nothing":             "",
		"cut":                 "<DoResponse><DoResult><A>1</A></DoRes",
		"another operation's": "<TellResponse><TellResult></TellResult></TellResponse>",
		"a page":              "<html><body>secret</body></html>",
	} {
		if _, err := newQueryClient(t, 200, answer).Query(t.Context(), "Do", nil); !errors.Is(err, awscall.ErrUnread) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v", name, err)
		}
	}
	// Of a call that has no result the answer is an empty one.
	if got, err := newQueryClient(t, 200, "<DoResponse><DoResult></DoResult></DoResponse>").Query(t.Context(), "Do", nil); got != "" || err != nil {
		t.Errorf("answer %q, %v", got, err)
	}
}

func TestXML(t *testing.T) {
	t.Parallel()
	x := awscall.XML("<List>\n <member><Id>1</Id><MessageId>m</MessageId></member>\n <member/> <member></member><member><Id>2 &amp;lt; &quot;3&apos; &gt; &#10;</Id></member><member><Id>cut</List><Empty/>")
	var ids []string
	for member := range x.Element("List").All("member") {
		ids = append(ids, member.Text("Id"))
	}
	if want := []string{"1", "", `2 &lt; "3' > &#10;`}; !slices.Equal(ids, want) {
		t.Errorf("ids %q, want %q", ids, want)
	}
	for name, want := range map[string]awscall.XML{"Empty": "", "None": "", "MessageId": "m", "List>": ""} {
		if got := x.Element(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
}

// FuzzXML: no text is a fault of the reader, and what it finds is in the text.
func FuzzXML(f *testing.F) {
	f.Add("<R><member><Id>1</Id></member><member/></R>")
	f.Add("<R><R></R>&amp;</R>")
	f.Add("<member><Id>&lt;")
	f.Fuzz(func(t *testing.T, text string) {
		for member := range awscall.XML(text).All("member") {
			if !strings.Contains(text, "<member>"+string(member)+"</member>") {
				t.Errorf("%q is not in %q", member, text)
			}
			_ = member.Text("Id")
		}
	})
}
