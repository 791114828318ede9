package demo

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"cbr-replicator/internal/cbr/cbrtest"
	"cbr-replicator/internal/sandbox"
	"cbr-replicator/internal/sandbox/account"
)

// scene is one sample sent through, with what CBR does and how each delivery
// must end.
type scene struct {
	title  string
	sample string
	// closed: CBR refuses connections until the first try has failed.
	closed bool
	faults map[string][]cbrtest.Fault // by vault
	// replicated is how many of the example's backups have a replica before.
	replicated int
	// atOnce: a copy is done as soon as it is asked for.
	atOnce bool
	// want are the statuses on the topic, in any order.
	want []string
	// dead is how many messages are dead-lettered.
	dead int
	// wrong is the body of one message more, which is no request.
	wrong string
}

const (
	vaultB = "5a1c0a1e-3f0b-4a58-8f2c-2b7a4f6d9e01"
)

func scenes() []scene {
	return []scene{
		{
			title:  "SQS. CBR is down, then answers 503, then works",
			sample: "sqs",
			closed: true,
			faults: map[string][]cbrtest.Fault{cbrtest.AnyVault: {cbrtest.Unavailable()}},
			want:   []string{"accepted", "accepted"},
		},
		{
			title:  "SQS FIFO. CBR throttles; its group keeps its order",
			sample: "sqs-fifo",
			faults: map[string][]cbrtest.Fault{cbrtest.SourceVault: {cbrtest.Throttled(time.Minute)}},
			want:   []string{"accepted", "accepted", "accepted"},
		},
		{
			title:  "HTTP API. CBR throttles for a second",
			sample: "apigw-http",
			faults: map[string][]cbrtest.Fault{cbrtest.AnyVault: {cbrtest.Throttled(time.Second)}},
			want:   []string{"accepted"},
		},
		{
			title:      "Function URL. All backups have a replica already",
			sample:     "function-url",
			replicated: 3,
			want:       []string{"unchanged"},
		},
		{
			title:      "Function URL. CBR says so too, but one backup has none",
			sample:     "function-url",
			faults:     map[string][]cbrtest.Fault{cbrtest.AnyVault: {cbrtest.Verdict(400, "BackupService.1009", "The backup is being replicated or has been replicated to the destination region.")}},
			replicated: 2,
			want:       []string{"rejected"},
		},
		{
			title:  "SQS. CBR takes both requests, and both answers are lost",
			sample: "sqs",
			faults: map[string][]cbrtest.Fault{cbrtest.AnyVault: {cbrtest.ResetAfter(), cbrtest.ResetAfter()}},
			atOnce: true,
			want:   []string{"accepted", "accepted"},
		},
		{
			title:  "A direct call",
			sample: "direct",
			want:   []string{"accepted"},
		},
		{
			title:  "A direct batch. One destination vault is full",
			sample: "direct-batch",
			faults: map[string][]cbrtest.Fault{cbrtest.SourceVault: {cbrtest.Verdict(400, "BackupService.6129", "The destination vault has no capacity left.")}},
			want:   []string{"rejected", "accepted"},
		},
		{title: "EventBridge Pipes from SQS", sample: "pipes-sqs", want: []string{"accepted", "accepted"}},
		{title: "EventBridge Pipes from Kafka", sample: "pipes-kafka", want: []string{"accepted", "accepted", "accepted"}},
		{title: "EventBridge Pipes from RabbitMQ", sample: "pipes-rabbitmq", want: []string{"accepted", "accepted"}},
		{title: "EventBridge Pipes from ActiveMQ", sample: "pipes-activemq", want: []string{"accepted", "accepted"}},
		{title: "SNS", sample: "sns", want: []string{"accepted"}},
		{title: "EventBridge", sample: "eventbridge", want: []string{"accepted"}},
		{title: "A CloudEvent", sample: "cloudevent", want: []string{"accepted"}},
		{title: "Kafka", sample: "kafka", want: []string{"accepted", "accepted", "accepted"}},
		{title: "RabbitMQ", sample: "rabbitmq", want: []string{"accepted", "accepted"}},
		{title: "ActiveMQ", sample: "activemq", want: []string{"accepted", "accepted"}},
		{title: "REST API", sample: "apigw-rest", want: []string{"accepted"}},
		{title: "Application Load Balancer", sample: "alb", want: []string{"accepted"}},
		{
			title:  "SQS. One message more has a field that no request has",
			sample: "sqs",
			want:   []string{"accepted", "accepted", "rejected"},
			wrong:  `{"priority":"high","replicate":{"vault_id":"` + cbrtest.SourceVault + `"}}`,
		},
		{
			title:  "SQS. One vault stays busy: 3 deliveries, then dead letters",
			sample: "sqs",
			faults: map[string][]cbrtest.Fault{vaultB: slices.Repeat([]cbrtest.Fault{cbrtest.Verdict(400, "BackupService.6130", "The vault is being replicated.")}, 3)},
			want:   []string{"accepted", "failed"},
			dead:   1,
		},
	}
}

// queue is a queue with its dead letters.
type queue struct {
	*sandbox.Queue
	deadLetters *sandbox.Queue
}

// newQueues returns the queues by the samples that go through them.
func newQueues() map[string]queue {
	queues := map[string]queue{}
	for sample, suffix := range map[string]string{"sqs": "", "sqs-fifo": ".fifo"} {
		deadLetters := sandbox.NewQueue(sandbox.QueueConfig{Name: "dead-letters" + suffix, Now: time.Now})
		queues[sample] = queue{deadLetters: deadLetters, Queue: sandbox.NewQueue(sandbox.QueueConfig{
			Name:              "requests" + suffix,
			VisibilityTimeout: 6 * timeout,
			DeadLetters:       deadLetters,
			MaxReceiveCount:   3,
			Impatient:         true,
			Now:               time.Now,
		})}
	}
	return queues
}

// showSamples sends the samples through, one scene after another.
func showSamples(ctx context.Context, screen *screen, binary string, env map[string]string, address *address, topic *sandbox.Topic, queues map[string]queue, rejected *sandbox.Queue) error {
	env["ALLOWED_DESTINATIONS"] = cbrtest.DestinationRegion + "/" + cbrtest.DestinationProject
	var wrong []error
	deliveries := 0
	for n, s := range scenes() {
		screen.heading(fmt.Sprintf("%d. %s (events/%s.json)", n+1, s.title, s.sample))
		before := len(topic.Messages())
		// Each scene has an account of its own. A process remembers for a minute what
		// CBR took, so it has a process of its own as well.
		function := sandbox.NewFunction(sandbox.FunctionConfig{Path: binary, Env: env, Logs: screen})
		dead, err := s.play(ctx, screen, function, address, queues)
		function.Close()
		if err != nil {
			return fmt.Errorf("scene %d: %w", n+1, err)
		}
		var got []string
		for _, m := range topic.Messages()[before:] {
			got = append(got, m.Attributes["status"])
		}
		slices.Sort(got)
		want := slices.Sorted(slices.Values(s.want))
		if !slices.Equal(got, want) || dead != s.dead {
			wrong = append(wrong, fmt.Errorf("scene %d: %v on the topic and %d dead letters, expected %v and %d", n+1, got, dead, want, s.dead))
		}
		if dead > 0 {
			screen.line(fmt.Sprintf("  %d message in the dead-letter queue, with its body, to be redriven", dead))
		}
		var kept []string
		for _, m := range rejected.Messages() {
			screen.line(fmt.Sprintf("  %s: its body is in the queue for rejected bodies,\n  for when its sender is mended", m.Attributes["kind"]))
			kept = append(kept, m.Body)
		}
		rejected.Purge()
		if s.wrong != "" && !slices.Equal(kept, []string{s.wrong}) || s.wrong == "" && len(kept) > 0 {
			wrong = append(wrong, fmt.Errorf("scene %d: the bodies %q are kept, expected %q", n+1, kept, s.wrong))
		}
		deliveries += len(s.want)
	}
	screen.results(topic.Messages())
	if len(wrong) > 0 {
		return errors.Join(wrong...)
	}
	screen.heading(fmt.Sprintf("%d deliveries, each ended as it should; %d results in %d calls to the topic.",
		deliveries, len(topic.Messages()), topic.Calls()))
	return nil
}

// play sends one sample through and returns how many messages are dead.
func (s scene) play(ctx context.Context, screen *screen, function *sandbox.Function, address *address, queues map[string]queue) (dead int, err error) {
	payload, err := os.ReadFile(filepath.Join("events", s.sample+".json"))
	if err != nil {
		return 0, fmt.Errorf("reading the sample: %w", err)
	}
	copyTime := cbrtest.DefaultCopyTime
	if s.atOnce {
		copyTime = 0
	}
	service := account.New(cbrtest.WithCopyTime(copyTime))
	service.Furnish(payload)
	for _, backup := range cbrtest.ExampleBackups()[:s.replicated] {
		service.AddRecord(backup, cbrtest.Record{CreatedAt: time.Now().Add(-24 * time.Hour)})
	}
	for vault, faults := range s.faults {
		service.Script(vault, faults...)
	}
	screen.onRetry = func() {}
	if s.closed {
		address.place(service.CBR)
		screen.onRetry = func() { _ = address.open(service.CBR) }
	} else if err := address.open(service.CBR); err != nil {
		return 0, err
	}
	if q, ok := queues[s.sample]; ok {
		return q.deliver(ctx, screen, function, payload, s.wrong)
	}
	_, err = screen.invoke(ctx, function, payload)
	return 0, err
}

// deliver puts the sample's messages into the queue, and what is wrong if there
// is, and delivers them until it is empty, as Lambda's event source mapping does.
// It returns how many are dead.
func (q queue) deliver(ctx context.Context, screen *screen, function *sandbox.Function, payload []byte, wrong string) (dead int, err error) {
	sample, err := sandbox.ReadSQSEvent(payload)
	if err != nil {
		return 0, fmt.Errorf("reading the sample: %w", err)
	}
	defer q.deadLetters.Purge()
	for _, m := range sample {
		q.Send(m.Body, m.Attributes, m.Group)
	}
	if wrong != "" {
		q.Send(wrong, nil, "")
	}
	for {
		messages := q.Receive(10)
		if len(messages) == 0 {
			return len(q.deadLetters.Messages()), nil
		}
		event, err := sandbox.SQSEvent(q.Queue, messages)
		if err != nil {
			return 0, err
		}
		response, err := screen.invoke(ctx, function, event)
		if err != nil {
			return 0, err
		}
		if response.Error != nil && len(response.Error.Output) > 0 {
			return 0, response.Error
		}
		// Nobody at a prompt wants to wait for a visibility timeout.
		sandbox.Settle(q.Queue, messages, response, 0)
	}
}
