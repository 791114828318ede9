// Package demo shows the function at work on this machine: its real binary
// under a Lambda Runtime API, a queue, a result topic and a CBR, all on
// loopback, and then under FunctionGraph. It exits 0 only if every delivery ended as it should.
//
// With -event it sends one payload of the user's own instead, and with -live
// the binary gets the user's own HW_* environment and calls the real CBR.
package demo

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"cbr-replicator/internal/cbr/cbrtest"
	"cbr-replicator/internal/sandbox"
	"cbr-replicator/internal/sandbox/account"
)

// Run runs the demo that args choose, and shows it on out.
func Run(ctx context.Context, args []string, out io.Writer) error {
	flags := flag.NewFlagSet("run", flag.ExitOnError)
	event := flags.String("event", "", "a `file` with the payload to send instead of the samples")
	live := flags.Bool("live", false, "call the real CBR of the HW_* environment; needs -event")
	_ = flags.Parse(args) // it exits
	return run(ctx, out, *event, *live)
}

func run(ctx context.Context, out io.Writer, event string, live bool) error {
	var payload []byte
	if event != "" {
		var err error
		if payload, err = os.ReadFile(event); err != nil {
			return fmt.Errorf("reading the event: %w", err)
		}
	} else if live {
		return errors.New("say what to send: make live EVENT=my.json")
	}

	binary, err := sandbox.BuildFunction(ctx)
	if err != nil {
		return err
	}
	defer os.RemoveAll(filepath.Dir(binary))
	clock := &clock{}
	stack, err := sandbox.NewStack(sandbox.StackConfig{Topic: "cbr-replication-results", MaxReceiveCount: 3, Impatient: true, Now: clock.now})
	if err != nil {
		return err
	}
	defer stack.Close()
	show := show{screen: newScreen(out), binary: binary, clock: clock, stack: stack, address: newAddress()}
	if live {
		return show.sendLive(ctx, payload)
	}
	defer show.address.close()
	show.env = stack.Env(cbrtest.Env(show.address.url()), map[string]string{
		"RETRY_INITIAL_INTERVAL": "200ms",
		"RETRY_MAX_ELAPSED":      "5s",
	})
	show.heading("cbr-replicator on this machine. Both clouds' parts are on loopback.")
	show.line("The function is its real binary; nothing here leaves this machine.")
	if payload != nil {
		return show.sendOwn(ctx, payload)
	}
	return show.samples(ctx)
}

// show is the function with its surroundings.
type show struct {
	*screen
	binary  string
	env     map[string]string
	clock   *clock
	stack   *sandbox.Stack
	address *address // CBR's
}

// function is a new process, once it is invoked.
func (s *show) function() *sandbox.Function {
	return sandbox.NewFunction(sandbox.FunctionConfig{Path: s.binary, Env: s.env, Logs: s.screen})
}

// sendOwn sends the user's payload to a CBR that has all the vaults it names.
func (s *show) sendOwn(ctx context.Context, payload []byte) error {
	service := account.New(cbrtest.WithCopyTime(copyTime), cbrtest.WithClock(s.clock.now))
	project, region := service.Furnish(payload)
	if project != "" {
		s.env["HW_PROJECT_ID"] = project
		service.AddToken(cbrtest.Token, project)
	}
	s.env["ALLOWED_DESTINATIONS"] = "*/*"
	// A token is for one project, and this endpoint for one region: the payload's.
	s.env["HW_REGION_NAME"] = cmp.Or(region, cbrtest.SourceRegion)
	if err := s.address.open(service.CBR); err != nil {
		return err
	}
	function := s.function()
	defer function.Close()
	if err := s.send(ctx, function, payload); err != nil {
		return err
	}
	if len(s.stack.Follow.Messages()) > 0 {
		s.heading("The copies, by a clock that is put forward")
	}
	if err := s.follow(ctx, func(ctx context.Context, payload []byte) (sandbox.Response, error) {
		return s.invoke(ctx, function, payload)
	}); err != nil {
		return err
	}
	s.results(s.stack.Topic.Messages())
	return s.failures()
}

// sendLive sends the user's payload with the user's own environment.
func (s *show) sendLive(ctx context.Context, payload []byte) error {
	// CBR is the real one; the queues of the function's account are the sandbox's.
	s.env = map[string]string{"AWS_LAMBDA_LOG_FORMAT": "JSON", "AWS_ENDPOINT_URL_SQS": s.stack.SQS.URL()}
	for _, pair := range os.Environ() {
		name, value, _ := strings.Cut(pair, "=")
		if passedOn(name) {
			s.env[name] = value
		}
	}
	topic := s.env["RESULT_TOPIC_ARN"]
	if topic == "" {
		s.env["RESULT_TOPIC_ARN"], s.env["AWS_ENDPOINT_URL_SNS"] = s.stack.Topic.ARN(), s.stack.Topic.URL()
	}
	s.heading("cbr-replicator against the real CBR.")
	function := s.function()
	defer function.Close()
	if err := s.send(ctx, function, payload); err != nil {
		return err
	}
	if topic != "" {
		s.line("Results go to " + topic + ".")
	} else {
		s.results(s.stack.Topic.Messages())
	}
	return s.failures()
}

// passedOn reports whether the function gets a variable of the user: its own, AWS's
// credentials and endpoints, and Go's for proxies and root certificates.
func passedOn(name string) bool {
	for _, prefix := range []string{
		"HW_", "ALLOWED_", "ALLOW_", "RETRY_", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN",
		"AWS_ENDPOINT_URL", "RESULT_TOPIC_ARN", "CBR_TIMEOUT", "HTTP_TIMEOUT", "DEADLINE_RESERVE", "BATCH_CONCURRENCY",
		"MAX_RECEIVE_COUNT", "HTTPS_PROXY", "HTTP_PROXY", "NO_PROXY", "SSL_CERT_",
	} {
		if strings.HasPrefix(strings.ToUpper(name), prefix) {
			return true
		}
	}
	return false
}

// timeout is the template's.
const timeout = 120 * time.Second

// send invokes the function once with the user's payload and shows the answer.
func (s *show) send(ctx context.Context, function *sandbox.Function, payload []byte) error {
	response, err := s.invoke(ctx, function, payload)
	if err != nil {
		return err
	}
	s.document("The function's answer", response.Payload)
	if response.Error != nil && response.Error.Type != "" {
		s.fault(response.Error.Message)
	}
	return nil
}
