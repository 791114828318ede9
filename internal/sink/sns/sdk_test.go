package sns_test

import (
	"cmp"
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	awssns "github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/aws/aws-sdk-go-v2/service/sns/types"
	"github.com/aws/smithy-go"
	gocmp "github.com/google/go-cmp/cmp"

	"cbr-replicator/internal/awscall"
	"cbr-replicator/internal/result"
	"cbr-replicator/internal/sink/sns"
)

// The tests of this file hold the room to the SDK's own client of SNS.

var credentials = aws.Credentials{AccessKeyID: "AKIAIOSFODNN7EXAMPLE", SecretAccessKey: "secret-key", SessionToken: strings.Repeat("session", 100)}

// service is SNS without a network. It has one answer, and keeps the last request.
type service struct {
	status int
	answer string

	header http.Header
	body   string
	url    string
}

func (s *service) RoundTrip(r *http.Request) (*http.Response, error) {
	body := make([]byte, r.ContentLength)
	if _, err := io.ReadFull(r.Body, body); err != nil {
		return nil, err
	}
	s.header, s.body, s.url = r.Header, string(body), r.URL.String()
	return &http.Response{
		StatusCode: cmp.Or(s.status, 200), Header: http.Header{"Content-Type": {"text/xml"}},
		Body: io.NopCloser(strings.NewReader(s.answer)), Request: r,
	}, nil
}

func (s *service) topic(name string) *sns.Topic {
	return &sns.Topic{ARN: name, Client: &awscall.Client{
		Service: sns.Service, Version: sns.Version, Region: "eu-central-1", Credentials: credentials, HTTP: &http.Client{Transport: s},
	}}
}

// sdk returns the SDK's client, without retries.
func (s *service) sdk() *awssns.Client {
	return awssns.New(awssns.Options{
		Region: "eu-central-1", HTTPClient: &http.Client{Transport: s}, Retryer: aws.NopRetryer{},
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) { return credentials, nil }),
	})
}

// batch is a call for the SDK's client.
func batch(topic string, messages []*result.Message) *awssns.PublishBatchInput {
	in := &awssns.PublishBatchInput{TopicArn: &topic}
	for i, m := range messages {
		e := types.PublishBatchRequestEntry{Id: aws.String(strconv.Itoa(i)), Message: &m.Body, MessageAttributes: map[string]types.MessageAttributeValue{}}
		for _, a := range m.Attributes {
			e.MessageAttributes[a.Name] = types.MessageAttributeValue{DataType: aws.String("String"), StringValue: &a.Value}
		}
		if strings.HasSuffix(topic, ".fifo") {
			e.MessageGroupId, e.MessageDeduplicationId = &m.Group, &m.ID
		}
		in.PublishBatchRequestEntries = append(in.PublishBatchRequestEntries, e)
	}
	return in
}

// response is an answer of success.
func response(result string) string {
	return `<?xml version="1.0"?><PublishBatchResponse xmlns="http://sns.amazonaws.com/doc/2010-03-31/">` + "\n  <PublishBatchResult>" + result +
		"</PublishBatchResult>\n  <ResponseMetadata><RequestId>2a3d8b1c-7f4e-5c0a-9e6b-d9f1c7b2a4e6</RequestId></ResponseMetadata></PublishBatchResponse>"
}

// TestSendsAsTheSDK: the call is the one that the SDK makes, whatever is in a message.
func TestSendsAsTheSDK(t *testing.T) {
	t.Parallel()
	for _, name := range []string{topicARN, topicARN + ".fifo"} {
		all := messages(10)
		var every strings.Builder
		for c := range 128 {
			every.WriteByte(byte(c))
		}
		all[3].Body, all[4].Attributes[1].Value = every.String()+"äöü 世界 \U0001f600", "a=b&c+d e%20;/?"
		ours, theirs := &service{answer: response(string(successful(10)))}, &service{answer: response(string(successful(10)))}
		if err := errors.Join(ours.topic(name).Send(t.Context(), all)...); err != nil {
			t.Fatal(err)
		}
		if _, err := theirs.sdk().PublishBatch(t.Context(), batch(name, all)); err != nil {
			t.Fatal(err)
		}
		got, err := url.ParseQuery(ours.body)
		if err != nil {
			t.Fatal(err)
		}
		want, err := url.ParseQuery(theirs.body)
		if err != nil {
			t.Fatal(err)
		}
		// The SDK orders a message's attributes as a map does.
		if diff := gocmp.Diff(byName(want), byName(got)); diff != "" || ours.url != theirs.url {
			t.Errorf("%s, want %s; form (-want +got):\n%s", ours.url, theirs.url, diff)
		}
		for _, header := range []string{"Content-Type", "X-Amz-Security-Token"} {
			if got, want := ours.header.Get(header), theirs.header.Get(header); got != want {
				t.Errorf("%s: %q, want %q", header, got, want)
			}
		}
		scope := func(h http.Header) string {
			credential, _, _ := strings.Cut(h.Get("Authorization"), ", ")
			return credential[strings.Index(credential, "/")+len("/20261123/"):]
		}
		if got, want := scope(ours.header), scope(theirs.header); got != want || got != "eu-central-1/sns/aws4_request" {
			t.Errorf("scope %q, want %q", got, want)
		}
	}
}

// byName returns the form with its attributes under their names instead of their numbers.
func byName(form url.Values) url.Values {
	named := url.Values{}
	for key, values := range form {
		entry, rest, ok := strings.Cut(key, ".entry.")
		if number, field, _ := strings.Cut(rest, "."); ok {
			key = entry + "." + form.Get(entry+".entry."+number+".Name") + "." + field
		}
		named[key] = values
	}
	return named
}

// TestReadsAsTheSDK: an answer says the same to the SDK's client.
func TestReadsAsTheSDK(t *testing.T) {
	t.Parallel()
	refused := func(status int, code, message string) service {
		return service{status: status, answer: `<ErrorResponse xmlns="http://sns.amazonaws.com/doc/2010-03-31/"><Error><Type>Sender</Type><Code>` + code +
			`</Code><Message>` + message + `</Message></Error><RequestId>2a3d8b1c</RequestId></ErrorResponse>`}
	}
	for name, s := range map[string]service{
		"all":  {answer: response(string(successful(3)))},
		"none": {answer: response("<Failed/><Successful/>")},
		"one failed": {answer: response("<Successful><member><Id>0</Id></member><member><Id>2</Id></member></Successful>" +
			"<Failed><member><Id>1</Id><Code>InvalidParameter</Code><Message>Invalid &lt;&quot;a&apos;&gt; &amp;lt; ä</Message><SenderFault>true</SenderFault></member></Failed>")},
		"two failed, on lines": {answer: response("\n<Successful>\n  <member>\n    <Id>1</Id>\n  </member>\n</Successful>\n" +
			"<Failed>\n<member>\n<SenderFault>false</SenderFault>\n<Id>0</Id><Code>InternalError</Code></member>\n<member><Id>2</Id><Code>KMSThrottling</Code><SenderFault>true</SenderFault></member></Failed>\n")},
		"a call refused":        refused(403, "AuthorizationError", "User: arn &amp; role is not authorized"),
		"a call throttled":      refused(400, "Throttled", "Rate exceeded"),
		"a topic that is gone":  refused(404, "NotFound", "Topic does not exist"),
		"broken":                refused(500, "InternalError", ""),
		"too long":              refused(400, "BatchRequestTooLong", "too long"),
		"an unknown credential": refused(403, "InvalidClientTokenId", "The security token included in the request is invalid."),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			all := messages(3)
			ours, theirs := s, s
			var want []string
			out, err := theirs.sdk().PublishBatch(t.Context(), batch(topicARN, all))
			if answer, ok := errors.AsType[smithy.APIError](err); ok {
				response, _ := errors.AsType[*awshttp.ResponseError](err)
				text := answer.ErrorMessage()
				if text == "UnknownError" {
					text = ""
				}
				want = []string{strconv.Itoa(response.HTTPStatusCode()), strings.TrimSuffix(answer.ErrorCode(), "Exception"), text, response.ServiceRequestID()}
				got, ok := errors.AsType[*awscall.Error](ours.topic(topicARN).Send(t.Context(), all)[0])
				if !ok {
					t.Fatal("no answer")
				}
				if diff := gocmp.Diff(want, []string{strconv.Itoa(got.Status), got.Code, got.Message, got.RequestID}); diff != "" {
					t.Errorf("error (-want +got):\n%s", diff)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			want = []string{"the answer does not name it", "the answer does not name it", "the answer does not name it"}
			at := func(id *string) *string {
				i, err := strconv.Atoi(*id)
				if err != nil {
					t.Fatal(err)
				}
				return &want[i]
			}
			for _, e := range out.Successful {
				*at(e.Id) = ""
			}
			for _, e := range out.Failed {
				*at(e.Id) = *e.Code + " " + aws.ToString(e.Message)
			}
			var got []string
			for _, err := range ours.topic(topicARN).Send(t.Context(), all) {
				text := ""
				if err != nil {
					text = err.Error()
				}
				got = append(got, text)
			}
			if diff := gocmp.Diff(want, got); diff != "" {
				t.Errorf("errors (-want +got):\n%s", diff)
			}
		})
	}
}

// BenchmarkSend is one call with ten messages, without a network, beside the same call by
// the SDK's client.
func BenchmarkSend(b *testing.B) {
	// As long as accepted results, with as many attributes.
	all := messages(10)
	for _, m := range all {
		m.Body = `{` + strings.Repeat(`"vault_id":"3b5816b5-f29c-4172-9d9a-76c719a659ce",`, 20) + `}`
		for i := range 6 {
			m.Attributes = append(m.Attributes, result.Attribute{Name: "attribute_" + strconv.Itoa(i), Value: "3b5816b5-f29c-4172-9d9a-76c719a659ce"})
		}
	}
	b.Run("ours", func(b *testing.B) {
		topic := (&service{answer: response(string(successful(10)))}).topic(topicARN)
		b.ReportAllocs()
		for b.Loop() {
			if err := errors.Join(topic.Send(b.Context(), all)...); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("SDK", func(b *testing.B) {
		client := (&service{answer: response(string(successful(10)))}).sdk()
		b.ReportAllocs()
		for b.Loop() {
			out, err := client.PublishBatch(b.Context(), batch(topicARN, all))
			if err != nil || len(out.Successful) != len(all) {
				b.Fatal(err)
			}
		}
	})
}
