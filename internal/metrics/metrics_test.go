package metrics_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"cbr-replicator/internal/kind"
	"cbr-replicator/internal/metrics"
)

func emit(t *testing.T, e *metrics.Emitter, out *bytes.Buffer, took time.Duration, deliveries ...metrics.Delivery) []map[string]any {
	t.Helper()
	inv := e.Begin()
	for _, d := range deliveries {
		inv.Count(d)
	}
	time.Sleep(took)
	out.Reset()
	if err := inv.Emit(); err != nil {
		t.Fatal(err)
	}
	var lines []map[string]any
	for line := range strings.Lines(out.String()) {
		var doc map[string]any
		if err := json.Unmarshal([]byte(line), &doc); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		lines = append(lines, doc)
	}
	return lines
}

func TestEmit(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		e := metrics.NewEmitter(&out, metrics.EMF, "replicator")
		lines := emit(t, e, &out, 412*time.Millisecond,
			metrics.Delivery{DestinationRegion: "region2", Published: kind.Accepted, More: retries(2)},
			metrics.Delivery{DestinationRegion: "region2", Kind: kind.AlreadyReplicated, Published: kind.Unchanged},
			metrics.Delivery{DestinationRegion: "region2", Kind: kind.Throttled, Redelivered: true, More: retries(5)},
			metrics.Delivery{DestinationRegion: "region2", Kind: kind.Unknown, Published: kind.Failed, Redelivered: true},
			metrics.Delivery{DestinationRegion: "region2", Kind: kind.Misconfigured, Redelivered: true},
			metrics.Delivery{DestinationRegion: "region2", Kind: kind.InProgress},
			metrics.Delivery{DestinationRegion: "region2", Kind: kind.InProgress, Redelivered: true},
			metrics.Delivery{DestinationRegion: "region2", Kind: kind.NotCovered, Published: kind.Refused},
			metrics.Delivery{Kind: kind.InvalidEvent, Published: kind.Refused, More: []metrics.Value{{Name: "RejectedNotKept", Count: 1}}},
			metrics.Delivery{DestinationRegion: "region2", PublishFailed: true, More: []metrics.Value{{Name: "LookupsRefused", Count: 1}}, Redelivered: true},
		)
		want := map[string]any{
			"service": "replicator", "destination_region": "region2",
			"Deliveries": 10.0, "Accepted": 1.0, "Unchanged": 1.0, "Rejected": 2.0, "Failed": 1.0,
			"Redelivered": 5.0, "RedeliveredBusy": 1.0, "Retries": 7.0, "Throttled": 1.0, "Unauthorized": 0.0, "Misconfigured": 1.0, "InProgress": 2.0,
			"Unknown": 1.0, "NotCovered": 1.0, "PublishFailures": 1.0, "LookupsRefused": 1.0, "RejectedNotKept": 1.0, "ErrorsReturned": 0.0, "ColdStart": 1.0, "Duration": 412.0,
		}
		if len(lines) != 1 {
			t.Fatalf("%d lines, want 1", len(lines))
		}
		aws := lines[0]["_aws"].(map[string]any)
		delete(lines[0], "_aws")
		if diff := cmp.Diff(want, lines[0]); diff != "" {
			t.Errorf("line (-want +got):\n%s", diff)
		}
		directive := aws["CloudWatchMetrics"].([]any)[0].(map[string]any)
		if diff := cmp.Diff([]any{[]any{"service"}, []any{"service", "destination_region"}}, directive["Dimensions"]); diff != "" {
			t.Errorf("dimensions (-want +got):\n%s", diff)
		}
		for _, m := range directive["Metrics"].([]any) {
			if name := m.(map[string]any)["Name"].(string); lines[0][name] == nil {
				t.Errorf("metric %s has no value in the line", name)
			}
		}
		if directive["Namespace"] != "CbrReplicator" || aws["Timestamp"] == nil {
			t.Errorf("_aws = %v", aws)
		}

		warm := emit(t, e, &out, 0)
		if len(warm) != 1 || warm[0]["ColdStart"] != 0.0 || warm[0]["Deliveries"] != 0.0 {
			t.Errorf("a second, empty invocation = %v", warm)
		}
	})
}

func TestEmitSeveralRegions(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	lines := emit(t, metrics.NewEmitter(&out, metrics.EMF, "replicator"), &out, 0,
		metrics.Delivery{DestinationRegion: "region3", Published: kind.Accepted},
		metrics.Delivery{DestinationRegion: "region2", Published: kind.Accepted},
		metrics.Delivery{Kind: kind.InvalidEvent, Published: kind.Refused},
	)
	if len(lines) != 2 || lines[0]["destination_region"] != "region2" || lines[1]["destination_region"] != "region3" {
		t.Fatalf("lines = %v", lines)
	}
	if lines[0]["Deliveries"] != 2.0 || lines[0]["Rejected"] != 1.0 || lines[1]["Deliveries"] != 1.0 {
		t.Errorf("counts = %v", lines)
	}
	if _, ok := lines[1]["Duration"]; ok {
		t.Error("the invocation's duration is counted twice")
	}
}

// TestLine compares lines byte for byte. The second line of an invocation has no
// Duration, neither as a value nor in the list of metrics.
func TestLine(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		inv := metrics.NewEmitter(&out, metrics.EMF, `a "service" of <Å> & \`).Begin()
		began := time.Now().UnixMilli()
		inv.Count(metrics.Delivery{DestinationRegion: "region3", Published: kind.Accepted})
		inv.Count(metrics.Delivery{DestinationRegion: "re\"gion\n2", Kind: kind.Unauthorized, More: retries(1)})
		inv.Count(metrics.Delivery{DestinationRegion: "re\"gion\n2", Kind: kind.InProgress, Redelivered: true})
		time.Sleep(2500 * time.Microsecond)
		if err := inv.Emit(); err != nil {
			t.Fatal(err)
		}
		const directive = `{"_aws":{"Timestamp":%d,"CloudWatchMetrics":[{"Namespace":"CbrReplicator",` +
			`"Dimensions":[["service"],["service","destination_region"]],"Metrics":[` +
			`{"Name":"Deliveries","Unit":"Count"},{"Name":"Accepted","Unit":"Count"},{"Name":"Unchanged","Unit":"Count"},` +
			`{"Name":"Rejected","Unit":"Count"},{"Name":"Failed","Unit":"Count"},{"Name":"Redelivered","Unit":"Count"},{"Name":"RedeliveredBusy","Unit":"Count"},` +
			`{"Name":"Retries","Unit":"Count"},{"Name":"Throttled","Unit":"Count"},{"Name":"Unauthorized","Unit":"Count"},` +
			`{"Name":"Misconfigured","Unit":"Count"},{"Name":"InProgress","Unit":"Count"},{"Name":"Unknown","Unit":"Count"},` +
			`{"Name":"NotCovered","Unit":"Count"},{"Name":"PublishFailures","Unit":"Count"},{"Name":"LookupsRefused","Unit":"Count"},{"Name":"RejectedNotKept","Unit":"Count"},{"Name":"ErrorsReturned","Unit":"Count"},` +
			`{"Name":"ColdStart","Unit":"Count"}%s]}]},"service":"a \"service\" of \u003cÅ\u003e \u0026 \\",`
		want := fmt.Sprintf(directive, began, `,{"Name":"Duration","Unit":"Milliseconds"}`) + `"destination_region":"re\"gion\n2",` +
			`"Deliveries":2,"Accepted":0,"Unchanged":0,"Rejected":0,"Failed":0,"Redelivered":1,"RedeliveredBusy":1,"Retries":1,"Throttled":0,"Unauthorized":1,` +
			`"Misconfigured":0,"InProgress":1,"Unknown":0,"NotCovered":0,"PublishFailures":0,"LookupsRefused":0,"RejectedNotKept":0,"ErrorsReturned":0,"ColdStart":1,"Duration":2}` + "\n" +
			fmt.Sprintf(directive, began, "") + `"destination_region":"region3",` +
			`"Deliveries":1,"Accepted":1,"Unchanged":0,"Rejected":0,"Failed":0,"Redelivered":0,"RedeliveredBusy":0,"Retries":0,"Throttled":0,"Unauthorized":0,` +
			`"Misconfigured":0,"InProgress":0,"Unknown":0,"NotCovered":0,"PublishFailures":0,"LookupsRefused":0,"RejectedNotKept":0,"ErrorsReturned":0,"ColdStart":0}` + "\n"
		if diff := cmp.Diff(want, out.String()); diff != "" {
			t.Errorf("lines (-want +got):\n%s", diff)
		}
	})
}

// TestNoRegion: without a region a line has no dimension for it, since each value costs
// money.
func TestNoRegion(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	lines := emit(t, metrics.NewEmitter(&out, metrics.EMF, "replicator"), &out, 0, metrics.Delivery{Kind: kind.InvalidEvent, Published: kind.Refused})
	if len(lines) != 1 || lines[0]["Rejected"] != 1.0 {
		t.Fatalf("lines = %v", lines)
	}
	if region, ok := lines[0]["destination_region"]; ok {
		t.Errorf("a region %q", region)
	}
	if !strings.Contains(out.String(), `"Dimensions":[["service"]],`) {
		t.Errorf("dimensions of %s", out.String())
	}
}

// TestErrorReturned: the error is counted in the invocation's first line, and for no region.
func TestErrorReturned(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	inv := metrics.NewEmitter(&out, metrics.EMF, "replicator").Begin()
	inv.Count(metrics.Delivery{DestinationRegion: "region2", Kind: kind.Unavailable, Redelivered: true})
	inv.ErrorReturned()
	if err := inv.Emit(); err != nil {
		t.Fatal(err)
	}
	var line map[string]any
	if err := json.Unmarshal(out.Bytes(), &line); err != nil {
		t.Fatalf("%s: %v", out.Bytes(), err)
	}
	if line["ErrorsReturned"] != 1.0 || line["Deliveries"] != 1.0 || line["destination_region"] != "region2" {
		t.Errorf("line = %v", line)
	}
}

// TestKindsAndStatuses: each is counted under its own name and under no other.
func TestKindsAndStatuses(t *testing.T) {
	t.Parallel()
	for name, d := range map[string]metrics.Delivery{
		"Accepted": {Published: kind.Accepted}, "Unchanged": {Published: kind.Unchanged}, "Rejected": {Published: kind.Refused}, "Failed": {Published: kind.Failed},
		"Throttled": {Kind: kind.Throttled}, "Unauthorized": {Kind: kind.Unauthorized}, "Misconfigured": {Kind: kind.Misconfigured},
		"InProgress": {Kind: kind.InProgress}, "Unknown": {Kind: kind.Unknown}, "NotCovered": {Kind: kind.NotCovered},
		"Redelivered": {Redelivered: true}, "PublishFailures": {PublishFailed: true}, "LookupsRefused": {More: []metrics.Value{{Name: "LookupsRefused", Count: 1}}}, "RejectedNotKept": {More: []metrics.Value{{Name: "RejectedNotKept", Count: 1}}}, "Retries": {More: retries(1)},
	} {
		var out bytes.Buffer
		line := emit(t, metrics.NewEmitter(&out, metrics.EMF, "replicator"), &out, 0, d)[0]
		for got, n := range line {
			want := 0.0
			switch got {
			case name, "Deliveries", "ColdStart":
				want = 1
			case "_aws", "service", "Duration":
				continue
			}
			if n != want {
				t.Errorf("%+v: %s is %v, want %v", d, got, n, want)
			}
		}
	}
}

// TestExpected: a look at a copy that goes on is no delivery to alarm about. Only what
// it adds itself counts.
func TestExpected(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	line := emit(t, metrics.NewEmitter(&out, metrics.EMF, "replicator"), &out, 0,
		metrics.Delivery{DestinationRegion: "region2", Kind: kind.Copying, Redelivered: true, More: []metrics.Value{{Name: "Followed", Count: 1}}})[0]
	if line["Deliveries"] != 0.0 || line["Redelivered"] != 0.0 || line["Followed"] != 1.0 {
		t.Errorf("line = %v", line)
	}
}

// TestManySeconds: a line has at most 100 values of a metric. The rest are in lines that
// count nothing again.
func TestManySeconds(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	var deliveries []metrics.Delivery
	for i := range 250 {
		deliveries = append(deliveries, metrics.Delivery{DestinationRegion: "region2", Published: kind.Completed, More: []metrics.Value{{Name: "ReplicaAge", Seconds: float64(i)}}})
	}
	var counted float64
	var sizes []int
	next := 0.0
	for _, line := range emit(t, metrics.NewEmitter(&out, metrics.EMF, "replicator"), &out, 0, deliveries...) {
		counted += line["Deliveries"].(float64)
		values := line["ReplicaAge"].([]any)
		sizes = append(sizes, len(values))
		for _, v := range values {
			if v != next {
				t.Fatalf("value %v, want %v", v, next)
			}
			next++
		}
	}
	if diff := cmp.Diff([]int{100, 100, 50}, sizes); diff != "" || counted != 250 {
		t.Errorf("%v deliveries, values in each line (-want +got):\n%s", counted, diff)
	}
}

// TestSideBySide: invocations share an emitter, and their lines do not mix. Only the first
// one was a cold start.
func TestSideBySide(t *testing.T) {
	t.Parallel()
	out := &pieces{}
	e := metrics.NewEmitter(out, metrics.EMF, "replicator")
	var invocations sync.WaitGroup
	for range 20 {
		invocations.Go(func() {
			inv := e.Begin()
			inv.Count(metrics.Delivery{DestinationRegion: "region2"})
			inv.Count(metrics.Delivery{DestinationRegion: "region3"})
			if err := inv.Emit(); err != nil {
				t.Error(err)
			}
		})
	}
	invocations.Wait()
	cold := 0.0
	for _, piece := range out.all {
		if n := strings.Count(piece, "\n"); n != 2 || !strings.HasSuffix(piece, "\n") {
			t.Errorf("%d lines at once: %s", n, piece)
		}
		for line := range strings.Lines(piece) {
			var doc map[string]any
			if err := json.Unmarshal([]byte(line), &doc); err != nil {
				t.Fatalf("%q: %v", line, err)
			}
			cold += doc["ColdStart"].(float64)
		}
	}
	if len(out.all) != 20 || cold != 1 {
		t.Errorf("%d invocations, %v cold starts", len(out.all), cold)
	}
}

// pieces keeps what is written to it. The race detector finds writes at the same time.
type pieces struct{ all []string }

func (p *pieces) Write(b []byte) (int, error) {
	p.all = append(p.all, string(b))
	return len(b), nil
}

// TestLost: if metrics cannot be written, there is an error.
func TestLost(t *testing.T) {
	t.Parallel()
	reader, writer := io.Pipe()
	reader.Close()
	if err := metrics.NewEmitter(writer, metrics.EMF, "replicator").Begin().Emit(); !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("error = %v", err)
	}
}

// retries returns the count of n retries.
func retries(n int) []metrics.Value { return []metrics.Value{{Name: "Retries", Count: n}} }
