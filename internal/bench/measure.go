package main

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"
)

// run is one run of the bench.
type run struct {
	field   *field
	batches *batches
	// rounds is how often each figure of each contestant is measured.
	rounds int
	lines  []*line
	// held are the lines that have a budget.
	held struct{ start, zip, oneQuick, oneSlow, cpuQuick, idle, thousands, calls *line }
	// progress prints what is being measured.
	progress func(string)
}

// line is a figure of each contestant that has it.
type line struct {
	name, unit string
	values     map[*contestant]series
	// instead is the text for a contestant without a value.
	instead map[*contestant]string
}

func newLine(name, unit string) *line {
	return &line{name: name, unit: unit, values: map[*contestant]series{}, instead: map[*contestant]string{}}
}

// line begins the next line of the table.
func (r *run) line(name, unit string) *line {
	l := newLine(name, unit)
	r.lines = append(r.lines, l)
	return l
}

func (l *line) add(c *contestant, v float64) { l.values[c] = append(l.values[c], v) }

// ratio is a's median by b's.
func (l *line) ratio(a, b *contestant) float64 { return l.values[a].median() / l.values[b].median() }

// turns measures contestants in turn, so that a disturbance affects all of them. It
// stops early if it takes long, but not before three rounds.
func (r *run) turns(contestants []*contestant, measure func(*contestant) error) error {
	const patience, least = 12 * time.Second, 3
	began := time.Now()
	for round := range r.rounds {
		if round >= least && time.Since(began) > patience {
			return nil
		}
		for _, c := range contestants {
			if err := measure(c); err != nil {
				return fmt.Errorf("%s: %w", c.name, err)
			}
		}
	}
	return nil
}

func (r *run) packages() {
	zip, binary := r.line("package for arm64, zip", "MB"), r.line("binary for amd64", "MB")
	r.held.zip = zip
	for _, c := range r.field.all() {
		zip.add(c, megabytes(c.zip))
		if c.binary > 0 {
			binary.add(c, megabytes(c.binary))
		}
	}
}

func (r *run) starts() error {
	l := r.line("exec → first poll", "ms")
	r.held.start = l
	// Short, and with much noise: three times as often as the other figures.
	return r.turns(slices.Repeat(r.field.all(), 3), func(c *contestant) error {
		p, err := launch(c, place{})
		if err != nil {
			return err
		}
		defer p.stop()
		l.add(c, milliseconds(p.start))
		return nil
	})
}

// quick is the latency of the fastest CBR of the table, with which a function's own
// time matters most.
const quick = 5 * time.Millisecond

func (r *run) oneRecord() error {
	first, warm := r.line("one record, first invocation, CBR takes 5 ms", "ms"), r.line("one record, warm, CBR takes 5 ms", "ms")
	r.held.oneQuick = warm
	payload, err := r.batches.of(1)
	if err != nil {
		return err
	}
	return r.turns(r.field.batching(), func(c *contestant) error {
		p, err := launch(c, place{latency: quick})
		if err != nil {
			return err
		}
		defer p.stop()
		u, err := p.invoke(payload, 1)
		if err != nil {
			return err
		}
		first.add(c, milliseconds(u.wall))
		var walls series
		for range 20 {
			if u, err = p.invoke(payload, 1); err != nil {
				return err
			}
			walls = append(walls, milliseconds(u.wall))
		}
		warm.add(c, walls.median())
		return nil
	})
}

// afar measures what connections cost over TLS, at a distance.
func (r *run) afar(authority *authority) error {
	at := place{latency: quick, authority: authority}
	where := fmt.Sprintf("TLS, %d ms away", roundTrip.Milliseconds())
	first := fmt.Sprintf("first invocation, CBR takes %d ms, %s", quick.Milliseconds(), where)
	start := r.line("exec → first poll, "+where, "ms")
	one, oneCPU := r.line("one record, "+first, "ms"), r.line("CPU time of that first record", "ms")
	answer := r.line("exec → first answer, "+where, "ms")
	ten, tenCPU := r.line("batch of 10, "+first, "ms"), r.line("CPU time of that first batch", "ms")
	launched := func(c *contestant, n int) (start time.Duration, u usage, err error) {
		payload, err := r.batches.of(n)
		if err != nil {
			return start, u, err
		}
		p, err := launch(c, at)
		if err != nil {
			return start, u, err
		}
		defer p.stop()
		if c != r.field.hello {
			u, err = p.invoke(payload, n)
		}
		return p.start, u, err
	}
	return r.turns(r.field.all(), func(c *contestant) error {
		polled, u, err := launched(c, 1)
		if err != nil {
			return err
		}
		start.add(c, milliseconds(polled))
		if c == r.field.hello {
			return nil
		}
		one.add(c, milliseconds(u.wall))
		oneCPU.add(c, milliseconds(u.cpu))
		answer.add(c, milliseconds(polled+u.wall))
		if _, u, err = launched(c, 10); err != nil {
			return err
		}
		ten.add(c, milliseconds(u.wall))
		tenCPU.add(c, milliseconds(u.cpu))
		return nil
	})
}

// warm has a process of each contestant handle batches of n, in turn, many times.
// take gets the usages of each turn, fewer than invocations if they take long.
func (r *run) warm(n int, latency time.Duration, invocations int, take func(*contestant, []usage)) error {
	payload, err := r.batches.of(n)
	if err != nil {
		return err
	}
	processes := map[*contestant]*process{}
	defer func() {
		for _, p := range processes {
			p.stop()
		}
	}()
	for _, c := range r.field.batching() {
		if processes[c], err = launch(c, place{latency: latency}); err != nil {
			delete(processes, c)
			return err
		}
		for range 2 {
			if _, err := processes[c].invoke(payload, n); err != nil {
				return fmt.Errorf("%s: %w", c.name, err)
			}
		}
	}
	return r.turns(r.field.batching(), func(c *contestant) error {
		const long = 2 * time.Second
		var usages []usage
		for began := time.Now(); len(usages) < invocations && time.Since(began) < long; {
			u, err := processes[c].invoke(payload, n)
			if err != nil {
				return err
			}
			usages = append(usages, u)
		}
		take(c, usages)
		return nil
	})
}

func medianWall(usages []usage) float64 {
	var walls series
	for _, u := range usages {
		walls = append(walls, milliseconds(u.wall))
	}
	return walls.median()
}

// costs are the figures from which the price is calculated: of batches of ten, with
// time and CPU time of the slowest CBR.
type costs struct{ wall, cpu, logs, snsBilled *line }

func (r *run) batchesOfTen() (c costs, err error) {
	one := r.line("one record, warm, CBR takes 300 ms", "ms")
	r.held.oneSlow = one
	if err := r.warm(1, 300*time.Millisecond, 1, func(c *contestant, u []usage) { one.add(c, medianWall(u)) }); err != nil {
		return c, err
	}
	c.logs, c.snsBilled = newLine("log per delivery, batches of 10", "bytes"), newLine("requests to SNS as billed, per batch of 10", "")
	for _, at := range []struct {
		latency     time.Duration
		invocations int
	}{{quick, 20}, {50 * time.Millisecond, 5}, {300 * time.Millisecond, 10}} {
		name := fmt.Sprintf(", batches of 10, CBR takes %d ms", at.latency.Milliseconds())
		c.wall, c.cpu = r.line("time per batch"+name, "ms"), r.line("CPU time per delivery"+name, "ms")
		if at.latency == quick {
			r.held.cpuQuick = c.cpu
		}
		err := r.warm(10, at.latency, at.invocations, func(who *contestant, usages []usage) {
			var cpu time.Duration
			logs, billed := 0, 0
			for _, u := range usages {
				cpu, logs, billed = cpu+u.cpu, logs+u.logs, billed+u.snsBilled
			}
			deliveries := float64(10 * len(usages))
			c.wall.add(who, medianWall(usages))
			c.cpu.add(who, milliseconds(cpu)/deliveries)
			c.logs.add(who, float64(logs)/deliveries)
			c.snsBilled.add(who, float64(billed)/float64(len(usages)))
		})
		if err != nil {
			return c, err
		}
	}
	r.lines = append(r.lines, c.logs, c.snsBilled)
	return c, nil
}

// like50 makes the function run as many deliveries at once as the Node.js peer makes
// connections.
const like50 = "BATCH_CONCURRENCY=50"

func (r *run) batchesOfThousand() error {
	const n = 1000
	payload, err := r.batches.of(n)
	if err != nil {
		return err
	}
	once := func(c *contestant, latency time.Duration, env ...string) (usage, error) {
		p, err := launch(c, place{latency: latency}, env...)
		if err != nil {
			return usage{}, err
		}
		defer p.stop()
		return p.invoke(payload, n)
	}
	connections, calls := newLine("connections opened, a batch of 1,000", ""), newLine("calls to SNS per 1,000 results", "")
	r.held.calls = calls
	// What takes minutes is measured once, all at the same time: it mostly sleeps.
	type outcome struct {
		line *line
		c    *contestant
		usage
		err error
	}
	var slow sync.WaitGroup
	defer slow.Wait()
	outcomes := make(chan outcome, 6)
	for _, latency := range []time.Duration{quick, 50 * time.Millisecond, 300 * time.Millisecond} {
		name := fmt.Sprintf("batch of 1,000, CBR takes %d ms", latency.Milliseconds())
		wall, wall50 := r.line(name, "s"), r.line(name+", "+like50, "s")
		inTurn := []*contestant{r.field.node}
		if latency == quick {
			inTurn = r.field.batching()
		} else {
			for _, c := range []*contestant{r.field.ours, r.field.usual, r.field.sdk} {
				slow.Go(func() {
					u, err := once(c, latency)
					outcomes <- outcome{wall, c, u, err}
				})
			}
		}
		err := r.turns(inTurn, func(c *contestant) error {
			u, err := once(c, latency)
			if err != nil {
				return err
			}
			wall.add(c, u.wall.Seconds())
			if latency == quick {
				connections.add(c, float64(u.cbrConnections+u.snsConnections))
				calls.add(c, float64(u.snsCalls))
			}
			if c != r.field.node {
				return nil
			}
			wall50.add(c, u.wall.Seconds())
			if u, err = once(r.field.ours, latency, like50); err != nil {
				return fmt.Errorf("with %s: %w", like50, err)
			}
			wall50.add(r.field.ours, u.wall.Seconds())
			return nil
		})
		if err != nil {
			return err
		}
	}
	r.lines = append(r.lines, connections, calls)
	slow.Wait()
	close(outcomes)
	for o := range outcomes {
		switch {
		case errors.Is(o.err, errTimedOut):
			o.line.instead[o.c] = fmt.Sprintf("over %.0f s: timed out", timeout.Seconds())
		case o.err != nil:
			return fmt.Errorf("%s: %w", o.c.name, o.err)
		default:
			o.line.add(o.c, o.wall.Seconds())
		}
	}
	return nil
}

func (r *run) memory() error {
	idle := r.line("peak memory, idle", "MB")
	ten, thousands := r.line("peak memory, a batch of 10", "MB"), r.line("peak memory, a batch of 5,000", "MB")
	connections := r.line("connections opened, a batch of 10", "")
	r.held.idle, r.held.thousands = idle, thousands
	steps := []struct {
		n       int
		latency time.Duration
		line    *line
	}{{0, 0, idle}, {10, quick, ten}, {5000, 0, thousands}}
	return r.turns(r.field.all(), func(c *contestant) error {
		for _, step := range steps {
			if step.n > 0 && c == r.field.hello {
				continue
			}
			u, peak, err := r.fresh(c, step.n, step.latency)
			if err != nil {
				return err
			}
			step.line.add(c, megabytes(peak))
			if step.n == 10 {
				connections.add(c, float64(u.cbrConnections+u.snsConnections))
			}
		}
		return nil
	})
}

// fresh has a new process handle one batch of n, if n is not 0.
func (r *run) fresh(c *contestant, n int, latency time.Duration, env ...string) (u usage, peak int, err error) {
	p, err := launch(c, place{latency: latency}, env...)
	if err != nil {
		return u, 0, err
	}
	defer p.stop()
	if n > 0 {
		payload, err := r.batches.of(n)
		if err != nil {
			return u, 0, err
		}
		if u, err = p.invoke(payload, n); err != nil {
			return u, 0, err
		}
	}
	peak, err = p.peak()
	return u, peak, err
}

// growth is how the function's figures grow with something.
type growth struct {
	of              string
	x               []float64
	wall, cpu, peak []series // ms, ms, MB
}

// grow measures the function at each x, in turn. Runs of more than five seconds are
// made once, shorter ones as often as the other figures, but at most five times.
func (r *run) grow(of string, xs []int, latency time.Duration, batch func(x int) (n int, env []string)) (*growth, error) {
	g := &growth{of: of, wall: make([]series, len(xs)), cpu: make([]series, len(xs)), peak: make([]series, len(xs))}
	for _, x := range xs {
		g.x = append(g.x, float64(x))
	}
	const long = 5000 // ms
	for round := range min(r.rounds, 5) {
		for i, x := range xs {
			if round > 0 && g.wall[i].median() > long {
				continue
			}
			n, env := batch(x)
			u, peak, err := r.fresh(r.field.ours, n, latency, env...)
			if err != nil {
				return nil, fmt.Errorf("%s %d: %w", of, x, err)
			}
			g.wall[i] = append(g.wall[i], milliseconds(u.wall))
			g.cpu[i] = append(g.cpu[i], milliseconds(u.cpu))
			g.peak[i] = append(g.peak[i], megabytes(peak))
		}
	}
	return g, nil
}

// growWithBatch goes up to the largest batch of any event source.
func (r *run) growWithBatch() (*growth, error) {
	return r.grow("batch", []int{1, 3, 10, 30, 100, 300, 1000, 3000, 10_000}, quick, func(n int) (int, []string) { return n, nil })
}

// inFlight is the batch size for which the concurrency is varied, and
// concurrencyLatency is CBR's latency then.
const (
	inFlight           = 500
	concurrencyLatency = 50 * time.Millisecond
)

func (r *run) growWithConcurrency() (*growth, error) {
	return r.grow("concurrency", []int{1, 2, 5, 10, 20, 50, 100, 200}, concurrencyLatency, func(c int) (int, []string) {
		return inFlight, []string{fmt.Sprintf("BATCH_CONCURRENCY=%d", c)}
	})
}

func medians(s []series) []float64 {
	out := make([]float64, len(s))
	for i := range s {
		out[i] = s[i].median()
	}
	return out
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
func megabytes(n int) float64              { return float64(n) / (1 << 20) }
