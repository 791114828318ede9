package demo

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"cbr-replicator/internal/cbr/cbrtest"
	"cbr-replicator/internal/sandbox"
	"cbr-replicator/internal/sandbox/account"
)

// scene is one sample, with what CBR does and how each delivery must end.
type scene struct {
	title  string
	sample string
	// closed is whether CBR refuses connections until the first try has failed.
	closed bool
	faults map[string][]cbrtest.Fault // by vault
	// replicated is how many of the example's backups already have a replica.
	replicated int
	// atOnce is whether a copy is done as soon as it is requested.
	atOnce bool
	// lost is how many of the copies fail.
	lost int
	// want are the statuses of the requests' results on the topic, in any order.
	want []string
	// end is that of the results about the copies of each accepted request; empty: completed.
	end string
	// dead is how many messages are dead-lettered.
	dead int
	// wrong is the body of an additional message, which is no request.
	wrong string
	// async: FunctionGraph calls asynchronously.
	async bool
}

// onFunctionGraph reports whether a scene is on FunctionGraph, not on Lambda.
func (s scene) onFunctionGraph() bool { return strings.HasPrefix(s.sample, "functiongraph/") }

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
			faults:     map[string][]cbrtest.Fault{cbrtest.AnyVault: {cbrtest.Refusal(400, "BackupService.1009", "The backup is being replicated or has been replicated to the destination region.")}},
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
			title:  "A direct call. One of its three copies fails",
			sample: "direct",
			lost:   1,
			want:   []string{"accepted"},
			end:    "partial",
		},
		{
			title:  "A direct batch. One destination vault is full",
			sample: "direct-batch",
			faults: map[string][]cbrtest.Fault{cbrtest.SourceVault: {cbrtest.Refusal(400, "BackupService.6129", "The destination vault has no capacity left.")}},
			want:   []string{"rejected", "accepted"},
		},
		{title: "EventBridge Pipes from SQS", sample: "pipes-sqs", want: []string{"accepted", "accepted"}},
		{title: "EventBridge Pipes from Kafka", sample: "pipes-kafka", want: []string{"accepted", "accepted", "accepted"}},
		{title: "EventBridge Pipes from RabbitMQ", sample: "pipes-rabbitmq", want: []string{"accepted", "accepted"}},
		{title: "EventBridge Pipes from ActiveMQ", sample: "pipes-activemq", want: []string{"accepted", "accepted"}},
		{title: "SNS", sample: "sns", want: []string{"accepted"}},
		{title: "EventBridge. All copies fail", sample: "eventbridge", lost: 3, want: []string{"accepted"}, end: "failed"},
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
			faults: map[string][]cbrtest.Fault{cbrtest.VaultB: slices.Repeat([]cbrtest.Fault{cbrtest.Refusal(400, "BackupService.6130", "The vault is being replicated.")}, 3)},
			want:   []string{"accepted", "failed"},
			dead:   1,
		},
		{title: "FunctionGraph: APIG", sample: "functiongraph/apig", want: []string{"accepted"}},
		{title: "FunctionGraph: a timer", sample: "functiongraph/timer", want: []string{"accepted"}},
		{title: "FunctionGraph: EventGrid", sample: "functiongraph/eventgrid", want: []string{"accepted"}},
		{
			title:  "FunctionGraph: SMN. CBR takes the request, the answer is lost",
			sample: "functiongraph/smn",
			faults: map[string][]cbrtest.Fault{cbrtest.AnyVault: {cbrtest.ResetAfter()}},
			atOnce: true, async: true,
			want: []string{"accepted"},
		},
		{title: "FunctionGraph: Kafka", sample: "functiongraph/kafka", async: true, want: []string{"accepted", "accepted"}},
		{title: "FunctionGraph: RocketMQ", sample: "functiongraph/rocketmq", async: true, want: []string{"accepted"}},
		{title: "FunctionGraph: RabbitMQ", sample: "functiongraph/rabbitmq", async: true, want: []string{"accepted", "accepted"}},
		{
			title:  "FunctionGraph: SMN. The vault stays busy: 4 tries, then a record",
			sample: "functiongraph/smn",
			faults: map[string][]cbrtest.Fault{cbrtest.AnyVault: slices.Repeat([]cbrtest.Fault{cbrtest.Refusal(400, "BackupService.6130", "The vault is being replicated.")}, 4)},
			async:  true, dead: 1,
		},
		{title: "FunctionGraph: such a record, sent again", sample: "functiongraph/destination", async: true, want: []string{"accepted"}},
	}
}

// samples plays one scene after another.
func (s *show) samples(ctx context.Context) error {
	var wrong []error
	deliveries, copied := 0, 0
	topic, rejected := s.stack.Topic, s.stack.Rejected
	for n, scene := range scenes() {
		s.heading(fmt.Sprintf("%d. %s (events/%s.json)", n+1, scene.title, scene.sample))
		before := len(topic.Messages())
		dead, err := s.play(ctx, scene)
		if err != nil {
			return fmt.Errorf("scene %d: %w", n+1, err)
		}
		var got []string
		for _, m := range topic.Messages()[before:] {
			got = append(got, m.Attributes["status"])
		}
		slices.Sort(got)
		want := slices.Clone(scene.want)
		for _, status := range scene.want {
			if status == "accepted" && !scene.onFunctionGraph() {
				want = append(want, cmp.Or(scene.end, "completed"))
				copied++
			}
		}
		slices.Sort(want)
		if !slices.Equal(got, want) || dead != scene.dead {
			wrong = append(wrong, fmt.Errorf("scene %d: %v on the topic and %d dead letters, expected %v and %d", n+1, got, dead, want, scene.dead))
		}
		switch {
		case dead > 0 && scene.onFunctionGraph():
			s.line(fmt.Sprintf("  %d record at the destination for failures, with its payload", dead))
		case dead > 0:
			s.line(fmt.Sprintf("  %d message in the dead-letter queue, with its body, to be redriven", dead))
		}
		var kept []string
		for _, m := range rejected.Messages() {
			s.line(fmt.Sprintf("  %s: its body is in the queue for rejected bodies,\n  to be sent once more when its fault is corrected", m.Attributes["kind"]))
			kept = append(kept, m.Body)
		}
		rejected.Purge()
		if scene.wrong != "" && !slices.Equal(kept, []string{scene.wrong}) || scene.wrong == "" && len(kept) > 0 {
			wrong = append(wrong, fmt.Errorf("scene %d: the bodies %q are kept, expected %q", n+1, kept, scene.wrong))
		}
		deliveries += len(scene.want)
	}
	single := topic.Messages()
	delivered, followed, faults, err := s.estate(ctx, len(scenes()))
	if err != nil {
		return err
	}
	deliveries, copied, wrong = deliveries+delivered, copied+followed, append(wrong, faults...)
	s.results(single)
	if len(wrong) > 0 {
		return errors.Join(wrong...)
	}
	s.heading(fmt.Sprintf("%d deliveries, each ended as it should; the copies of %d followed to their end;\n%d results in %d calls to the topic.",
		deliveries, copied, len(topic.Messages()), topic.Calls()))
	return nil
}

// play plays a scene to the end of its copies and returns how many dead letters there are. Each scene has its own account, and also its own process,
// since a process remembers for a minute what CBR accepted.
func (s *show) play(ctx context.Context, scene scene) (dead int, err error) {
	payload, err := os.ReadFile(filepath.Join("events", scene.sample+".json"))
	if err != nil {
		return 0, fmt.Errorf("reading the sample: %w", err)
	}
	takes := copyTime
	if scene.atOnce {
		takes = 0
	}
	options := []cbrtest.Option{cbrtest.WithCopyTime(takes), cbrtest.WithClock(s.clock.now)}
	if scene.onFunctionGraph() {
		options = options[:1] // a signature is of the machine's time
	}
	service := account.New(options...)
	service.Furnish(payload)
	for _, backup := range cbrtest.ExampleBackups()[:scene.replicated] {
		service.AddRecord(backup, cbrtest.Record{CreatedAt: s.clock.now().Add(-24 * time.Hour)})
	}
	for vault, faults := range scene.faults {
		service.Script(vault, faults...)
	}
	s.onRetry = func() {}
	if scene.closed {
		s.address.place(service.CBR)
		s.onRetry = func() { _ = s.address.open(service.CBR) }
	} else if err := s.address.open(service.CBR); err != nil {
		return 0, err
	}
	if scene.onFunctionGraph() {
		defer s.stack.Follow.Purge() // no queue waits there for hours: single copies are not followed
		return s.playOnFunctionGraph(ctx, scene, service.CBR, payload)
	}
	function := s.function()
	defer function.Close()
	invoke := func(ctx context.Context, payload []byte) (sandbox.Response, error) {
		return s.invoke(ctx, function, payload)
	}
	if messages, e := sandbox.ReadSQSEvent(payload); e == nil {
		dead, err = s.deliver(ctx, messages, scene.wrong, invoke)
	} else {
		_, err = invoke(ctx, payload)
	}
	if err != nil {
		return dead, err
	}
	lost := 0
	for _, c := range service.Copies() {
		if lost < scene.lost && service.FailCopy(c.RecordID, "BackupService.1006") {
			lost++
		}
	}
	return dead, s.follow(ctx, invoke)
}

// deliver sends a sample's messages to their queue, and the wrong one if there is one, and delivers them until the queue is
// empty. It returns how many dead letters there are.
func (s *show) deliver(ctx context.Context, messages []sandbox.Message, wrong string, invoke func(context.Context, []byte) (sandbox.Response, error)) (dead int, err error) {
	queue := s.stack.QueueOf(messages[0].Group)
	defer queue.DeadLetters().Purge()
	for _, m := range messages {
		queue.Send(m.Body, m.Attributes, m.Group)
	}
	if wrong != "" {
		queue.Send(wrong, nil, "")
	}
	// Nobody at a prompt wants to wait for a visibility timeout.
	mapping := sandbox.Mapping{Queue: queue, Invoke: invoke}
	err = mapping.Drain(ctx)
	return len(queue.DeadLetters().Messages()), err
}
