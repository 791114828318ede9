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

// followed are the counts of copies that are followed. They are in the lines of
// invocations that followed some: each metric is paid for.
var followed = []string{"Completed", "Partial", "CopyFailed", "NotFollowed", "NotMine", "Followed", "FollowFaults"}

// planned and checked are those of plans and of checks, in their lines alone.
var (
	planned = []string{"Planned", "PlanSkipped", "NothingSelected"}
	checked = []string{"VaultsChecked", "StaleReplicas", "NeverReplicated"}
)

// maxSeconds is how many values of a metric one line has (CloudWatch user guide,
// "Embedded metric format specification").
const maxSeconds = 100

// ofStatus and ofKind name what a delivery is counted as besides "Deliveries".
var (
	ofStatus = map[kind.Status]string{
		kind.Accepted:  "Accepted",
		kind.Unchanged: "Unchanged",
		kind.Refused:   "Rejected",
		kind.Failed:    "Failed",
		kind.Completed: "Completed",
		kind.Planned:   "Planned",
	}
	ofKind = map[kind.Kind]string{
		kind.Throttled:     "Throttled",
		kind.Unauthorized:  "Unauthorized",
		kind.Misconfigured: "Misconfigured",
		kind.InProgress:    "InProgress",
		kind.Unknown:       "Unknown",
		kind.NotCovered:    "NotCovered",

		kind.NothingSelected: "NothingSelected",
		kind.Stale:           "StaleReplicas",
		kind.NeverReplicated: "NeverReplicated",
	}
	// ofEnd names the ends of copies, which count as nothing else: "Failed" is of
	// requests.
	ofEnd = map[kind.Kind]string{
		kind.CopyIncomplete: "Partial",
		kind.CopyFailed:     "CopyFailed",
		kind.NotFollowed:    "NotFollowed",
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
	// Seconds are of metrics that have a value for each delivery, at most 100 each.
	Seconds []Seconds
	// First is the invocation's first line.
	First bool
}

// Seconds are a metric's values.
type Seconds struct {
	Name   string
	Values []float64
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
	regions map[string]*region
}

// region is what is counted for one destination region.
type region struct {
	counts  map[string]int
	seconds map[string][]float64
}

// Begin returns the counts of an invocation that begins now.
func (e *Emitter) Begin() *Invocation {
	return &Invocation{emitter: e, began: time.Now(), regions: map[string]*region{}}
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

// Value is a count, of one of the names that lines have, or a metric of its own with a
// value in seconds.
type Value struct {
	Name    string
	Count   int
	Seconds float64 // if Count is zero
}

// Count adds one delivery.
func (i *Invocation) Count(d Delivery) {
	i.mu.Lock()
	defer i.mu.Unlock()
	r := i.region(d.DestinationRegion)
	c := r.counts
	for _, v := range d.More {
		if v.Count > 0 {
			c[v.Name] += v.Count
		} else {
			r.seconds[v.Name] = append(r.seconds[v.Name], v.Seconds)
		}
	}
	if d.Kind.Policy().Expected {
		return
	}
	c["Deliveries"]++
	if name, ok := ofEnd[d.Kind]; ok && d.Published != kind.Unpublished {
		c[name]++
	} else if name, ok := ofStatus[d.Published]; ok {
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
}

// region returns what is counted for a region. The caller holds mu.
func (i *Invocation) region(name string) *region {
	r := i.regions[name]
	if r == nil {
		r = &region{counts: map[string]int{}, seconds: map[string][]float64{}}
		i.regions[name] = r
	}
	return r
}

// ErrorReturned counts that the invocation ends with an error as its answer: that of a
// rejected direct call, or of a batch that is handed back as a whole. Lambda counts such
// an error among its Errors, as it does a crash.
func (i *Invocation) ErrorReturned() {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.region("").counts["ErrorsReturned"]++
}

// Emit writes the invocation's lines, one for each destination region, since a line can
// have only one value of a dimension. Usually there is one region.
func (i *Invocation) Emit() error {
	i.mu.Lock()
	defer i.mu.Unlock()
	if len(i.regions) == 0 {
		i.region("")
	}
	order := slices.Sorted(maps.Keys(i.regions))
	// Deliveries without a region are counted in the first region's line.
	if len(order) > 1 && order[0] == "" {
		for name, n := range i.regions[""].counts {
			i.regions[order[1]].counts[name] += n
		}
		order = order[1:]
	}
	var lines []byte
	for n, region := range order {
		of := i.regions[region]
		if n == 0 && i.emitter.warm.CompareAndSwap(false, true) {
			of.counts["ColdStart"] = 1
		}
		line := Line{Service: i.emitter.service, Region: region, Began: i.began, Counts: of.counts, First: n == 0}
		line.Seconds = of.take()
		lines = i.emitter.format(lines, line)
		for line.Seconds = of.take(); line.Seconds != nil; line.Seconds = of.take() {
			line.Counts, line.First = nil, false
			lines = i.emitter.format(lines, line)
		}
	}
	i.emitter.mu.Lock()
	defer i.emitter.mu.Unlock()
	if _, err := i.emitter.out.Write(lines); err != nil {
		return fmt.Errorf("write the metrics: %w", err)
	}
	return nil
}

// take takes as many values as one line has, nil if none are left.
func (r *region) take() (all []Seconds) {
	for _, name := range slices.Sorted(maps.Keys(r.seconds)) {
		values := r.seconds[name]
		n := min(len(values), maxSeconds)
		all = append(all, Seconds{name, values[:n]})
		if r.seconds[name] = values[n:]; n == len(values) {
			delete(r.seconds, name)
		}
	}
	return all
}

// EMF appends one document of CloudWatch's embedded metric format to b
// (CloudWatch user guide, "Embedded metric format specification").
func EMF(b []byte, l Line) []byte {
	dimensions, metrics := `["service"]`, counts
	if more := l.more(); len(more) > 0 {
		metrics += "," + definitions(more)
	}
	if l.Region != "" {
		dimensions += `,["service","destination_region"]`
	}
	if l.First {
		metrics += `,{"Name":"Duration","Unit":"Milliseconds"}`
	}
	for _, s := range l.Seconds {
		metrics += `,{"Name":"` + s.Name + `","Unit":"Seconds"}`
	}
	b = fmt.Appendf(b, `{"_aws":{"Timestamp":%d,"CloudWatchMetrics":[{"Namespace":"%s","Dimensions":[%s],"Metrics":[%s]}]},`,
		l.Began.UnixMilli(), Namespace, dimensions, metrics)
	return l.append(b)
}

// more returns the names of counts that are not in every line, but in this one.
func (l Line) more() (names []string) {
	for _, group := range [][]string{followed, planned, checked} {
		if slices.ContainsFunc(group, func(name string) bool { return l.Counts[name] > 0 }) {
			names = append(names, group...)
		}
	}
	return names
}

// append appends the figures, and what they are of, as members of a JSON object, and
// ends it and the line.
func (l Line) append(b []byte) []byte {
	b = fmt.Appendf(b, `"service":%s`, l.Service)
	if l.Region != "" {
		b = fmt.Appendf(b, `,"destination_region":%s`, quoted(l.Region))
	}
	for _, name := range slices.Concat(names, l.more()) {
		b = append(append(append(b, `,"`...), name...), `":`...)
		b = strconv.AppendInt(b, int64(l.Counts[name]), 10)
	}
	if l.First {
		b = fmt.Appendf(b, `,"Duration":%d`, time.Since(l.Began).Milliseconds())
	}
	for _, s := range l.Seconds {
		b = append(append(append(b, `,"`...), s.Name...), `":[`...)
		for i, v := range s.Values {
			if i > 0 {
				b = append(b, ',')
			}
			b = strconv.AppendFloat(b, v, 'f', 3, 64)
		}
		b = append(b, ']')
	}
	return append(b, "}\n"...)
}

// counts is the list of names and units in each line.
var counts = definitions(names)

func definitions(names []string) string {
	var all []string
	for _, name := range names {
		all = append(all, `{"Name":"`+name+`","Unit":"Count"}`)
	}
	return strings.Join(all, ",")
}

func quoted(text string) string {
	q, _ := json.Marshal(text) // a string always marshals
	return string(q)
}
