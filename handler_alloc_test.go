package replicator_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	lambdaevents "github.com/aws/aws-lambda-go/events"
	awssns "github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/aws/aws-sdk-go-v2/service/sns/types"

	"cbr-replicator/internal/cbr"
	"cbr-replicator/internal/cbr/cbrtest"
	"cbr-replicator/internal/delivery"
	"cbr-replicator/internal/huawei"
	"cbr-replicator/internal/metrics"
	"cbr-replicator/internal/sink"
	"cbr-replicator/internal/sink/sns"
)

// maxBatchAllocations is the ceiling for what a batch of ten allocates with the
// network taken out: a count, unlike a time, does not depend on the machine.
// docs/benchmarks.md has the figures; the race detector adds a hundred, since it
// makes pools forget.
const maxBatchAllocations = 600

// TestAllocationsPerBatch runs by itself: the count is the whole process's.
func TestAllocationsPerBatch(t *testing.T) {
	invoke := withoutNetwork(t)
	payload := batchOf(t, 10)
	invoke(t, payload)
	got := testing.AllocsPerRun(100, func() { invoke(t, payload) })
	if got > maxBatchAllocations {
		t.Errorf("a batch of ten allocates %.0f times, at most %d are allowed", got, maxBatchAllocations)
	}
}

// BenchmarkInvoke is the handler's own work on a batch of ten.
func BenchmarkInvoke(b *testing.B) {
	invoke := withoutNetwork(b)
	payload := batchOf(b, 10)
	b.ReportAllocs()
	for b.Loop() {
		invoke(b, payload)
	}
}

// BenchmarkDecode is what BenchmarkInvoke is held against: the same batch, read
// once into aws-lambda-go's own type.
func BenchmarkDecode(b *testing.B) {
	payload := batchOf(b, 10)
	b.ReportAllocs()
	for b.Loop() {
		var event lambdaevents.SQSEvent
		if err := json.Unmarshal(payload, &event); err != nil {
			b.Fatal(err)
		}
	}
}

// withoutNetwork returns a handler between a CBR and a topic that
// answer at once. Logs and metrics are made, and go nowhere.
func withoutNetwork(t tb) func(tb, []byte) {
	r := newRig(t, nil)
	log := slog.New(slog.NewJSONHandler(io.Discard, nil))
	r.replicates.Log = log
	r.replicates.CBR, r.Log = &acceptingCBR{batch: 10, all: make(chan struct{})}, log
	topic := &sns.Topic{ARN: "arn:aws:sns:eu-central-1:123456789012:results", Client: acceptingSNS{}}
	r.Results = sink.NewPublisher(topic, r.replicates.Retry.Do, log, r.Redact)
	r.Metrics = metrics.NewEmitter(io.Discard, metrics.EMF, "cbr-replicator")
	return func(t tb, payload []byte) {
		reply, err := r.Handle(t.Context(), delivery.Invocation{RequestID: "request-1", FunctionARN: functionARN, Began: time.Now()}, payload)
		if string(reply) != `{"batchItemFailures":[]}` || err != nil {
			t.Fatalf("reply %s, error %v", reply, err)
		}
	}
}

// batchOf is the sample's event with n records, each for a vault of its own.
func batchOf(t tb, n int) []byte {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join("events", "sqs.json"))
	if err != nil {
		t.Fatal(err)
	}
	var event struct{ Records []map[string]any }
	if err := json.Unmarshal(raw, &event); err != nil {
		t.Fatal(err)
	}
	first := event.Records[0]
	event.Records = nil
	for i := range n {
		record := maps.Clone(first)
		id := fmt.Sprintf("059f36b4-87a3-44ab-83d2-%012d", i)
		record["messageId"] = id
		record["body"] = fmt.Sprintf(`{"project_id":"%s","region":"region1","replicate":{"vault_id":"%s","destination_vault_id":"%s","destination_project_id":"%s","destination_region":"region2"}}`,
			cbrtest.SourceProject, id, cbrtest.DestinationVault, cbrtest.DestinationProject)
		event.Records = append(event.Records, record)
	}
	payload, err := json.Marshal(event)
	if err != nil {
		t.Fatal(err)
	}
	return payload
}

// acceptingCBR answers the calls of a batch when all of them are there, as they
// are side by side with any network: else each would be done before the next
// began, and its result on its way alone.
type acceptingCBR struct {
	batch int
	mu    sync.Mutex
	here  int
	all   chan struct{}
}

// took is what it answers, made once: it is no work of the handler's.
var took = cbr.Answer{
	Status: 200, RequestID: "e8ce426dc05c2416330d890b6f989ff3", Sent: true,
	Replication: json.RawMessage(`{"backups":[{"backup_id":"a","replication_record_id":"b"}],"vault_id":"3b5816b5-f29c-4172-9d9a-76c719a659ce"}`),
}

func (c *acceptingCBR) Replicate(context.Context, huawei.Scope, cbr.Replicate) (cbr.Answer, error) {
	c.mu.Lock()
	all := c.all
	if c.here++; c.here == c.batch {
		close(all)
		c.here, c.all = 0, make(chan struct{})
	}
	c.mu.Unlock()
	<-all
	return took, nil
}

type acceptingSNS struct{}

func (acceptingSNS) PublishBatch(_ context.Context, in *awssns.PublishBatchInput, _ ...func(*awssns.Options)) (*awssns.PublishBatchOutput, error) {
	out := &awssns.PublishBatchOutput{Successful: make([]types.PublishBatchResultEntry, len(in.PublishBatchRequestEntries))}
	for i, e := range in.PublishBatchRequestEntries {
		out.Successful[i].Id = e.Id
	}
	return out, nil
}
