package main

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"
)

// report is the result of a run.
type report struct {
	run              *run
	command, machine string
	costs            costs
	handler          handlerFigures
	byBatch          *growth
	byConcurrency    *growth
}

// A run writes between these two lines of docs/benchmarks.md.
const (
	beginMark = "<!-- from here on written by make bench -->\n"
	endMark   = "<!-- to here -->\n"
)

// save writes the result into benchmarks.md of a directory, and its plots beside it.
func (r *report) save(dir, text string) error {
	path := filepath.Join(dir, "benchmarks.md")
	old, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	before, rest, begins := strings.Cut(string(old), beginMark)
	_, after, ends := strings.Cut(rest, endMark)
	if !begins || !ends {
		return fmt.Errorf("%s has no place for the result", path)
	}
	for name, content := range map[string]string{
		"benchmarks.md":              before + beginMark + text + endMark + after,
		"benchmarks-batch.svg":       r.byBatch.batchPlot(),
		"benchmarks-concurrency.svg": r.byConcurrency.concurrencyPlot(),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o644); err != nil {
			return err
		}
	}
	return nil
}

func (r *report) markdown() string {
	var s strings.Builder
	fmt.Fprintf(&s, "%s, `%s`, %s, %s.\n\n", time.Now().UTC().Format(time.DateOnly), r.command, r.machine, runtime.Version())
	r.table(&s)
	r.handlerTable(&s)
	r.budgets(&s)
	r.money(&s)
	r.growthTables(&s)
	return s.String()
}

func (r *report) table(s *strings.Builder) {
	f := r.run.field
	s.WriteString("| |")
	columns := append([]*contestant{f.ours, f.hello}, f.batching()[1:]...)
	for _, c := range columns {
		s.WriteString(" " + c.name + " |")
	}
	s.WriteString("\n|---|" + strings.Repeat("---|", len(columns)) + "\n")
	for _, l := range r.run.lines {
		s.WriteString("| " + l.name + " |")
		for _, c := range columns {
			s.WriteString(" " + l.cell(c, f.ours) + " |")
		}
		s.WriteString("\n")
	}
	s.WriteString("\n")
}

// cell is a contestant's figure and, for a peer, how many times ours is as much.
func (l *line) cell(c, ours *contestant) string {
	v := l.values[c]
	switch {
	case l.instead[c] != "":
		return l.instead[c]
	case len(v) == 0:
		return "–"
	case c == ours || len(l.values[ours]) == 0:
		return v.text(l.unit)
	}
	return fmt.Sprintf("**×%s** %s", number(l.ratio(ours, c)), v.text(l.unit))
}

func (r *report) handlerTable(s *strings.Builder) {
	h := r.handler
	s.WriteString("| the handler's own work on a batch of 10, no network, one processor | handled | decoded once into `events.SQSEvent` | ratio |\n|---|---|---|---|\n")
	for _, l := range []struct {
		name, unit     string
		invoke, decode series
	}{
		{"time", "µs", h.invoke.microseconds, h.decode.microseconds},
		{"allocations", "", h.invoke.allocations, h.decode.allocations},
		{"allocated", "bytes", h.invoke.bytes, h.decode.bytes},
	} {
		fmt.Fprintf(s, "| %s | %s | %s | **×%s** |\n", l.name, l.invoke.text(l.unit), l.decode.text(l.unit), number(l.invoke.median()/l.decode.median()))
	}
	s.WriteString("\n")
}

// budgets compares the run with the budgets of the function's design.
func (r *report) budgets(s *strings.Builder) {
	f, held := r.run.field, r.run.held
	ours := func(l *line) float64 { return l.values[f.ours].median() }
	s.WriteString("| budget | measured | at most | met |\n|---|---|---|---|\n")
	for _, b := range []struct {
		name   string
		value  float64
		budget float64
		unit   string
	}{
		{"exec → first poll, by hello's", held.start.ratio(f.ours, f.hello), 1.4, ""},
		{"arm64 zip, by hello's", held.zip.ratio(f.ours, f.hello), 1.35, ""},
		{"the handler's own work on a batch of 10, by decoding it once", r.handler.invoke.microseconds.median() / r.handler.decode.microseconds.median(), 2, ""},
		{"a batch of 10 by one record, CBR takes 300 ms", ours(r.costs.wall) / ours(held.oneSlow), 1.2, ""},
		{"peak memory of a batch of 5,000, over an idle function", ours(held.thousands) - ours(held.idle), 48, " MB"},
		{"calls to SNS per 1,000 results", ours(held.calls), 120, ""},
		{"CPU time per delivery, batches of 10, CBR takes 5 ms, by the usual function's", held.cpuQuick.ratio(f.ours, f.usual), 0.35, ""},
		{"the same, CBR takes 300 ms", r.costs.cpu.ratio(f.ours, f.usual), 0.35, ""},
		{"one warm record, by the usual function's", held.oneQuick.ratio(f.ours, f.usual), 1.05, ""},
	} {
		met := "yes"
		if !(b.value <= b.budget) { // also if nothing was measured: NaN
			met = "**no**"
		}
		value := number(b.value)
		if b.value < 10 {
			value = fmt.Sprintf("%.3f", b.value) // two decimals may not show on which side it is
		}
		fmt.Fprintf(s, "| %s | %s%s | %s%s | %s |\n", b.name, value, b.unit, number(b.budget), b.unit, met)
	}
	s.WriteString("\n")
}

// List prices in US dollars, us-east-1, without free tiers (AWS, "AWS Lambda
// pricing", "Amazon SNS pricing", "Amazon SQS pricing", "Amazon CloudWatch
// pricing", as of mid-2026).
const (
	perInvocation = 0.20 / 1e6
	perGBSecond   = 0.0000133334 // arm64
	perSNSRequest = 0.50 / 1e6
	perSQSRequest = 0.40 / 1e6
	perLogGB      = 0.50

	// megabytesPerCPU is the memory size that has one processor (AWS Lambda developer
	// guide, "Configure Lambda function memory").
	megabytesPerCPU = 1769.0
)

// money is the price of a million deliveries in batches of ten with a CBR that takes
// 300 ms. The time billed is the measured time, with the CPU time extended by the
// share of a processor that the memory size has.
func (r *report) money(s *strings.Builder) {
	const deliveries, batch = 1e6, 10
	const batches = deliveries / batch
	names := []string{"Lambda, invocations", "Lambda, time", "SNS", "SQS, a receive and a delete per batch", "CloudWatch Logs", "all"}
	amounts := make([][]float64, len(names))
	for _, c := range r.run.field.batching() {
		cpu := batch * r.costs.cpu.values[c].median()
		seconds := (r.costs.wall.values[c].median() + cpu*(megabytesPerCPU/memorySize-1)) / 1000
		all := 0.0
		for i, amount := range []float64{
			batches * perInvocation,
			batches * seconds * memorySize / 1024 * perGBSecond,
			batches * r.costs.snsBilled.values[c].median() * perSNSRequest,
			batches * 2 * perSQSRequest,
			deliveries * r.costs.logs.values[c].median() / (1 << 30) * perLogGB,
		} {
			amounts[i] = append(amounts[i], amount)
			all += amount
		}
		amounts[len(names)-1] = append(amounts[len(names)-1], all)
	}
	s.WriteString("| a million replications, in batches of 10, CBR takes 300 ms |")
	for _, c := range r.run.field.batching() {
		s.WriteString(" " + c.name + " |")
	}
	s.WriteString("\n|---|" + strings.Repeat("---|", len(r.run.field.batching())) + "\n")
	for i, name := range names {
		s.WriteString("| " + name + " |")
		for _, amount := range amounts[i] {
			fmt.Fprintf(s, " $%.2f |", amount)
		}
		s.WriteString("\n")
	}
	s.WriteString("\n")
}

func (r *report) growthTables(s *strings.Builder) {
	fmt.Fprintf(s, "How it grows with the batch (CBR takes %d ms, `BATCH_CONCURRENCY` 10):\n\n", quick.Milliseconds())
	r.byBatch.table(s, "records")
	fmt.Fprintf(s, "From 100 records on, each figure grows as the batch to the power of: time %s, CPU %s, memory above that of one record %s. The knee is at %s records: up to there a batch takes at most 1.5 times as long as one record.\n\n",
		number(r.byBatch.exponent(r.byBatch.wall)), number(r.byBatch.exponent(r.byBatch.cpu)), number(r.byBatch.exponent(above(r.byBatch.peak))), number(r.byBatch.batchKnee()))
	s.WriteString("![Time, CPU time and peak memory by batch size](benchmarks-batch.svg)\n\n")
	fmt.Fprintf(s, "And with the concurrency (a batch of %d, CBR takes %d ms):\n\n", inFlight, concurrencyLatency.Milliseconds())
	r.byConcurrency.table(s, "`BATCH_CONCURRENCY`")
	fmt.Fprintf(s, "The knee is at %s: up to there the time is at most a quarter above what it would be if CBR alone took any (dashed).\n\n", number(r.byConcurrency.concurrencyKnee()))
	s.WriteString("![Time, CPU time and peak memory by concurrency](benchmarks-concurrency.svg)\n")
}

func (g *growth) table(s *strings.Builder, of string) {
	fmt.Fprintf(s, "| %s | time | CPU time | peak memory |\n|---|---|---|---|\n", of)
	for i, x := range g.x {
		fmt.Fprintf(s, "| %.0f | %s | %s | %s |\n", x, g.wall[i].text("ms"), g.cpu[i].text("ms"), g.peak[i].text("MB"))
	}
	s.WriteString("\n")
}

// exponent is the power of x with which y grows, from 100 on.
func (g *growth) exponent(y []series) float64 {
	from := 0
	for g.x[from] < 100 {
		from++
	}
	return slope(g.x[from:], medians(y[from:]))
}

// above is how much each value is above the first.
func above(s []series) []series {
	out := make([]series, len(s))
	for i := range s {
		for _, v := range s[i] {
			out[i] = append(out[i], v-s[0].median())
		}
	}
	return out
}

// batchKnee is the largest batch that takes at most 1.5 times as long as one record.
func (g *growth) batchKnee() (knee float64) {
	for i, wall := range medians(g.wall) {
		if wall <= 1.5*g.wall[0].median() {
			knee = g.x[i]
		}
	}
	return knee
}

// idealWalls are the times if only CBR took time.
func (g *growth) idealWalls() []float64 {
	ideal := make([]float64, len(g.x))
	for i, c := range g.x {
		ideal[i] = inFlight / c * milliseconds(concurrencyLatency)
	}
	return ideal
}

func (g *growth) concurrencyKnee() (knee float64) {
	for i, ideal := range g.idealWalls() {
		if g.wall[i].median() > 1.25*ideal {
			break
		}
		knee = g.x[i]
	}
	return knee
}

func (g *growth) batchPlot() string {
	return plot("records in the batch", g.x, panel{title: "time", unit: "ms", y: medians(g.wall)},
		panel{title: "CPU time", unit: "ms", y: medians(g.cpu)}, panel{title: "peak memory", unit: "MB", y: medians(g.peak)})
}

func (g *growth) concurrencyPlot() string {
	return plot("BATCH_CONCURRENCY", g.x, panel{title: "time", unit: "ms", y: medians(g.wall), ideal: g.idealWalls()},
		panel{title: "CPU time", unit: "ms", y: medians(g.cpu)}, panel{title: "peak memory", unit: "MB", y: medians(g.peak)})
}
