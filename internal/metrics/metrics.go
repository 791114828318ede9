// Package metrics counts the outcomes of an invocation's deliveries and writes them in
// CloudWatch's embedded metric format. Alarms watch these: with partial batch answers
// Lambda's own metric Errors stays zero.
package metrics

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"cbr-replicator/internal/kind"
)

// Namespace is the CloudWatch namespace of all metrics.
const Namespace = "CbrReplicator"

// names are the counts of a line, in its order; they are part of the contract.
// Each is in every line, zero or not, so that no alarm lacks data.
var names = []string{
	"Deliveries", "Accepted", "Unchanged", "Rejected", "Failed", "Redelivered", "RedeliveredBusy", "Retries",
	"Throttled", "Unauthorized", "Misconfigured", "InProgress", "Unknown", "NotCovered",
	"PublishFailures", "LookupsRefused", "RejectedNotKept", "ErrorsReturned", "ColdStart",
}

// ofStatus and ofKind name what a delivery is counted as besides "Deliveries".
var (
	ofStatus = map[kind.Status]string{
		kind.Accepted:  "Accepted",
		kind.Unchanged: "Unchanged",
		kind.Refused:   "Rejected",
		kind.Failed:    "Failed",
	}
	ofKind = map[kind.Kind]string{
		kind.Throttled:     "Throttled",
		kind.Unauthorized:  "Unauthorized",
		kind.Misconfigured: "Misconfigured",
		kind.InProgress:    "InProgress",
		kind.Unknown:       "Unknown",
		kind.NotCovered:    "NotCovered",
	}
)

// Format appends a line for one destination region, or for none, to b. The cold start and
// the duration are the invocation's, not a region's, so they are only in its first line.
type Format func(b []byte, l Line) []byte

// Line is the content of one line.
type Line struct {
	Service string // the function's name, in quotes
	// Region is the destination's, empty for none.
	Region string
	Began  time.Time
	// Counts are by name. A name that is missing counts zero.
	Counts map[string]int
	// First is the invocation's first line.
	First bool
}

// Emitter writes metrics, a line at a time. It is safe for concurrent use.
type Emitter struct {
	format  Format
	service string // in quotes
	warm    atomic.Bool
	mu      sync.Mutex
	out     io.Writer
}

// NewEmitter returns an emitter that writes to out in a format, with service as
// the value of the dimension of that name.
func NewEmitter(out io.Writer, format Format, service string) *Emitter {
	return &Emitter{out: out, format: format, service: quoted(service)}
}

// Invocation counts the deliveries of one invocation. It is safe for
// concurrent use.
type Invocation struct {
	emitter *Emitter
	began   time.Time
	mu      sync.Mutex
	regions map[string]map[string]int
}

// Begin returns the counts of an invocation that begins now.
func (e *Emitter) Begin() *Invocation {
	return &Invocation{emitter: e, began: time.Now(), regions: map[string]map[string]int{}}
}

// Delivery is what is counted for one delivery.
type Delivery struct {
	// DestinationRegion is empty if the request is not valid or not allowed: each value is
	// a metric that costs money.
	DestinationRegion string
	Kind              kind.Kind
	// Published is the status of the published result, empty without one.
	Published     kind.Status
	Redelivered   bool
	PublishFailed bool
	// More are counts that do not follow from the fields above.
	More []Value
}

// Value is a count. Its name is one that every line has.
type Value struct {
	Name  string
	Count int
}

// Count adds one delivery.
func (i *Invocation) Count(d Delivery) {
	i.mu.Lock()
	defer i.mu.Unlock()
	c := i.of(d.DestinationRegion)
	c["Deliveries"]++
	if name, ok := ofStatus[d.Published]; ok {
		c[name]++
	}
	if name, ok := ofKind[d.Kind]; ok {
		c[name]++
	}
	if d.Redelivered {
		c["Redelivered"]++
		// InProgress also counts errors that went to a caller, where nothing is handed back.
		if d.Kind == kind.InProgress {
			c["RedeliveredBusy"]++
		}
	}
	if d.PublishFailed {
		c["PublishFailures"]++
	}
	for _, v := range d.More {
		c[v.Name] += v.Count
	}
}

// ErrorReturned counts that the invocation ends with an error as its answer: that of a
// rejected direct call, or of a batch that is handed back as a whole. Lambda counts such
// an error among its Errors, as it does a crash.
func (i *Invocation) ErrorReturned() {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.of("")["ErrorsReturned"]++
}

// of returns the counts of a region. The caller holds mu.
func (i *Invocation) of(region string) map[string]int {
	c := i.regions[region]
	if c == nil {
		c = map[string]int{}
		i.regions[region] = c
	}
	return c
}

// Emit writes the invocation's lines, one for each destination region, since a line can
// have only one value of a dimension. Usually there is one region.
func (i *Invocation) Emit() error {
	i.mu.Lock()
	defer i.mu.Unlock()
	if len(i.regions) == 0 {
		i.regions[""] = map[string]int{}
	}
	order := slices.Sorted(maps.Keys(i.regions))
	// Deliveries without a region are counted in the first region's line.
	if len(order) > 1 && order[0] == "" {
		for name, n := range i.regions[""] {
			i.regions[order[1]][name] += n
		}
		order = order[1:]
	}
	var lines []byte
	for n, region := range order {
		of := i.regions[region]
		if n == 0 && i.emitter.warm.CompareAndSwap(false, true) {
			of["ColdStart"] = 1
		}
		lines = i.emitter.format(lines, Line{Service: i.emitter.service, Region: region, Began: i.began, Counts: of, First: n == 0})
	}
	i.emitter.mu.Lock()
	defer i.emitter.mu.Unlock()
	if _, err := i.emitter.out.Write(lines); err != nil {
		return fmt.Errorf("write the metrics: %w", err)
	}
	return nil
}

// EMF appends one document of CloudWatch's embedded metric format to b
// (CloudWatch user guide, "Embedded metric format specification").
func EMF(b []byte, l Line) []byte {
	dimensions, metrics := `["service"]`, counts
	if l.Region != "" {
		dimensions += `,["service","destination_region"]`
	}
	if l.First {
		metrics += `,{"Name":"Duration","Unit":"Milliseconds"}`
	}
	b = fmt.Appendf(b, `{"_aws":{"Timestamp":%d,"CloudWatchMetrics":[{"Namespace":"%s","Dimensions":[%s],"Metrics":[%s]}]},"service":%s`,
		l.Began.UnixMilli(), Namespace, dimensions, metrics, l.Service)
	if l.Region != "" {
		b = fmt.Appendf(b, `,"destination_region":%s`, quoted(l.Region))
	}
	for _, name := range names {
		b = append(append(append(b, `,"`...), name...), `":`...)
		b = strconv.AppendInt(b, int64(l.Counts[name]), 10)
	}
	if l.First {
		b = fmt.Appendf(b, `,"Duration":%d`, time.Since(l.Began).Milliseconds())
	}
	return append(b, "}\n"...)
}

// counts is the list of names and units in each line.
var counts = func() string {
	var all []string
	for _, name := range names {
		all = append(all, `{"Name":"`+name+`","Unit":"Count"}`)
	}
	return strings.Join(all, ",")
}()

func quoted(text string) string {
	q, _ := json.Marshal(text) // a string always marshals
	return string(q)
}
