package fleet

import (
	"math"
	"time"

	"cbr-replicator/internal/follow"
	"cbr-replicator/internal/kind"
	"cbr-replicator/internal/retry"
	"cbr-replicator/internal/visibility"
)

// The follow queue: template.yaml's and the configuration's defaults.
const (
	followDelay = 5 * time.Minute
	followBatch = 50
	followFor   = 72 * time.Hour
	batchLimit  = 10 // ends in a call of the topic
)

// A copy takes medianCopy; log-normal, the 99th percentile is 10 medians. None takes
// longer than slowestCopy. Assumed.
const (
	medianCopy  = 20 * time.Minute
	copySpread  = 1.0
	slowestCopy = 12 * time.Hour
)

// following is the copies of a night and the queue that they are followed from.
type following struct {
	*night
	visible  []*copied
	inFlight int
	idle     []*follower // found nothing to receive
	notes    told
}

// told is what is counted of it.
type told struct {
	accepted, ended int
	notFollowed     int // older than followFor
	looks           int
	busiest, passed int // looks in a minute: the most, and those of the minute
	minute          time.Duration
	last            time.Duration   // when the last end was seen, since the night began
	late            []time.Duration // how long after its end a copy was seen to have ended
	invocations     int
	billed          time.Duration
	sqs, sns        int
}

// copied is a copy: the vault's backups count as one.
type copied struct {
	began, ends time.Duration
	at          time.Duration // when it was known to be accepted
	receives    int
}

// accept lets a copy be followed whose request was accepted.
func (f *following) accept(v *vault) {
	f.notes.accepted++
	c := &copied{began: v.began, at: f.now}
	c.ends = c.began + min(time.Duration(float64(medianCopy)*math.Exp(copySpread*f.rng.NormFloat64())), slowestCopy)
	f.after(followDelay, func() { f.show(c) })
}

// show makes a message visible.
func (f *following) show(c *copied) {
	f.visible = append(f.visible, c)
	if last := len(f.idle) - 1; last >= 0 {
		e := f.idle[last]
		f.idle = f.idle[:last]
		e.receive()
	}
}

// follower is a process that looks, with a retry budget of its own.
type follower struct {
	*following
	reads retry.Policy
}

// receive begins an invocation, if there is a message.
func (e *follower) receive() {
	size := min(followBatch, len(e.visible), maxInFlight-e.inFlight)
	if size <= 0 {
		e.idle = append(e.idle, e)
		return
	}
	e.inFlight += size
	e.notes.sqs++
	l := &looking{follower: e, open: size}
	for range size {
		i, last := e.rng.IntN(len(e.visible)), len(e.visible)-1
		l.waiting = append(l.waiting, e.visible[i])
		e.visible[i] = e.visible[last]
		e.visible = e.visible[:last]
	}
	e.after(polls, l.run)
}

// looking is an invocation.
type looking struct {
	*follower
	began       time.Duration
	waiting     []*copied // not looked at yet
	open        int
	ended, back int
}

func (l *looking) run() {
	l.began = l.now
	l.notes.invocations++
	for range min(sideBySide, len(l.waiting)) {
		l.next()
	}
}

// next looks at the next copy, with retries.
func (l *looking) next() {
	if len(l.waiting) == 0 {
		return
	}
	c := l.waiting[0]
	l.waiting = l.waiting[1:]
	c.receives++
	call := l.reads.Begin()
	var try func()
	try = func() {
		l.count()
		takes, err := refuses, l.gateway()
		if err == nil {
			takes = l.lasts(lists)
		}
		l.after(takes, func() {
			if wait, retry := call.Next(err, l.began+timeout-reserve-l.now); retry {
				l.after(wait, try)
				return
			}
			call.End(err)
			l.look(c, err)
			l.next()
		})
	}
	try()
}

func (f *following) count() {
	n := &f.notes
	n.looks++
	if minute := f.now.Truncate(time.Minute); minute != n.minute {
		n.minute, n.passed = minute, 0
	}
	n.passed++
	n.busiest = max(n.busiest, n.passed)
}

// look decides what a look at a copy means.
func (l *looking) look(c *copied, err error) {
	age := l.now - c.at
	var wait time.Duration
	switch {
	case err != nil:
		wait = visibility.Delay(kind.As(err).Of(), c.receives, 0, l.rng.Float64())
	case l.now >= c.ends, age >= followFor:
		if l.now < c.ends {
			l.notes.notFollowed++
		}
		l.notes.ended++
		l.notes.last = l.now
		l.notes.late = append(l.notes.late, l.now-c.ends)
		l.ended++
		l.close()
		return
	default:
		wait = follow.Wait(age, c.promise(l.now), l.rng.Float64())
	}
	l.back++
	// The function counts it from the end of the invocation, some seconds later.
	l.after(wait, func() {
		l.inFlight--
		l.show(c)
	})
	l.close()
}

// promise is the rest of the copy's time by its progress, in whole percent.
func (c *copied) promise(now time.Duration) time.Duration {
	passed := now - c.began
	progress := 100 * passed / (c.ends - c.began)
	if progress <= 0 {
		return 0
	}
	return time.Duration(int64(passed) * int64(100-progress) / int64(progress))
}

// close ends a delivery. The last one ends the invocation.
func (l *looking) close() {
	if l.open--; l.open > 0 {
		return
	}
	var takes time.Duration
	if l.ended > 0 {
		l.notes.sns += (l.ended + batchLimit - 1) / batchLimit
		takes += publishes
	}
	if l.back > 0 {
		l.notes.sqs += (l.back + batchLimit - 1) / batchLimit
		takes += changes
	}
	l.after(takes, func() {
		l.notes.billed += l.now - l.began
		if l.ended > 0 {
			l.inFlight -= l.ended
			l.notes.sqs += (l.ended + batchLimit - 1) / batchLimit // DeleteMessageBatch
		}
		l.receive()
	})
}
