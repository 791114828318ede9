// Command run shows the function at work on this machine: its real binary
// under a Lambda Runtime API, a queue, a result topic and a CBR, all on
// loopback. It exits 0 only if every delivery ended as it should.
//
// With -event it sends one payload of the user's own instead, and with -live
// the binary gets the user's own HW_* environment and calls the real CBR.
package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"time"

	"cbr-replicator/internal/cbr/cbrtest"
	"cbr-replicator/internal/sandbox"
	"cbr-replicator/internal/sandbox/account"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	event := flag.String("event", "", "a `file` with the payload to send instead of the samples")
	live := flag.Bool("live", false, "call the real CBR of the HW_* environment; needs -event")
	flag.Parse()
	if err := run(ctx, os.Stdout, *event, *live); err != nil {
		fmt.Fprintln(os.Stderr, "\n"+err.Error())
		os.Exit(1)
	}
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

	dir, err := os.MkdirTemp("", "cbr-replicator-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	binary, err := sandbox.Build(ctx, dir, "cbr-replicator/function")
	if err != nil {
		return err
	}
	screen := newScreen(out)
	topic, err := sandbox.NewTopic("cbr-replication-results", nil)
	if err != nil {
		return err
	}
	defer topic.Close()
	queues := newQueues()
	rejected := sandbox.NewQueue(sandbox.QueueConfig{Name: "rejected", Now: time.Now})
	sqs, err := sandbox.NewSQS(queues["sqs"].Queue, queues["sqs-fifo"].Queue, rejected)
	if err != nil {
		return err
	}
	defer sqs.Close()

	if live {
		return sendLive(ctx, screen, binary, topic, sqs, payload)
	}
	address := newAddress()
	defer address.close()
	env := map[string]string{
		"HW_AUTH_TOKEN":          cbrtest.Token,
		"HW_PROJECT_ID":          cbrtest.SourceProject,
		"HW_REGION_NAME":         cbrtest.SourceRegion,
		"HW_CBR_ENDPOINT":        address.url(),
		"ALLOWED_DESTINATIONS":   "*/*",
		"RESULT_TOPIC_ARN":       topic.ARN(),
		"REJECTED_QUEUE_ARN":     rejected.ARN(),
		"AWS_ENDPOINT_URL_SNS":   topic.URL(),
		"AWS_ENDPOINT_URL_SQS":   sqs.URL(),
		"AWS_LAMBDA_LOG_FORMAT":  "JSON",
		"RETRY_INITIAL_INTERVAL": "200ms",
		"RETRY_MAX_ELAPSED":      "5s",
		"MAX_RECEIVE_COUNT":      "3",
	}
	screen.heading("cbr-replicator on this machine. Lambda, SQS, SNS and CBR are on loopback.")
	screen.line("The function is its real binary; nothing here leaves this machine.")
	if payload != nil {
		return sendOwn(ctx, screen, binary, env, address, topic, payload)
	}
	return showSamples(ctx, screen, binary, env, address, topic, queues, rejected)
}

// sendOwn sends the user's payload to a CBR that has all the vaults it names.
func sendOwn(ctx context.Context, screen *screen, binary string, env map[string]string, address *address, topic *sandbox.Topic, payload []byte) error {
	service := account.New()
	project, region := service.Furnish(payload)
	if project != "" {
		env["HW_PROJECT_ID"] = project
		service.AddToken(cbrtest.Token, project)
	}
	// A token is for one project, and this endpoint for one region: those that
	// the payload names.
	env["HW_REGION_NAME"] = cmp.Or(region, cbrtest.SourceRegion)
	if err := address.open(service.CBR); err != nil {
		return err
	}
	function := sandbox.NewFunction(sandbox.FunctionConfig{Path: binary, Env: env, Logs: screen})
	defer function.Close()
	if err := send(ctx, screen, function, payload); err != nil {
		return err
	}
	screen.results(topic.Messages())
	return screen.verdict()
}

// sendLive sends the user's payload with the user's own environment.
func sendLive(ctx context.Context, screen *screen, binary string, topic *sandbox.Topic, sqs *sandbox.SQS, payload []byte) error {
	// CBR is the real one; the queues of the function's account are the sandbox's.
	env := map[string]string{"AWS_LAMBDA_LOG_FORMAT": "JSON", "AWS_ENDPOINT_URL_SQS": sqs.URL()}
	for _, pair := range os.Environ() {
		name, value, _ := strings.Cut(pair, "=")
		if passedOn(name) {
			env[name] = value
		}
	}
	own := env["RESULT_TOPIC_ARN"] != ""
	if !own {
		env["RESULT_TOPIC_ARN"], env["AWS_ENDPOINT_URL_SNS"] = topic.ARN(), topic.URL()
	}
	function := sandbox.NewFunction(sandbox.FunctionConfig{Path: binary, Env: env, Logs: screen})
	defer function.Close()
	screen.heading("cbr-replicator against the real CBR.")
	if err := send(ctx, screen, function, payload); err != nil {
		return err
	}
	if own {
		screen.line("Results go to " + env["RESULT_TOPIC_ARN"] + ".")
	} else {
		screen.results(topic.Messages())
	}
	return screen.verdict()
}

// passedOn reports whether a variable of the user's is the function's: all it
// knows, AWS's credentials and endpoints, and Go's own for proxies and roots.
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
func send(ctx context.Context, screen *screen, function *sandbox.Function, payload []byte) error {
	response, err := screen.invoke(ctx, function, payload)
	if err != nil {
		return err
	}
	if response.Error != nil && len(response.Error.Output) > 0 {
		return response.Error // the process ended: its output says why
	}
	screen.document("The function's answer", response.Payload)
	if response.Error != nil && response.Error.Type != "" {
		screen.ill(response.Error.Message)
	}
	return nil
}
