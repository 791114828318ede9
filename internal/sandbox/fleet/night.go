package fleet

import (
	"math"
	"math/rand/v2"
	"time"

	"cbr-replicator/internal/kind"
	"cbr-replicator/internal/reconcile"
	"cbr-replicator/internal/retry"
	"cbr-replicator/internal/visibility"
)

// plan describes a night.
type plan struct {
	name               string
	vaults             int
	maximumConcurrency int
	limit              int     // requests a minute that the gateway lets through; 0: any
	down, topicDown    outage  // of CBR, of the topic
	noise              float64 // share of CBR's calls that fail or lose their answer by chance
	busy               float64 // share of vaults that an earlier copy keeps busy
	followers          int     // the follow queue's MaximumConcurrency; 0: copies are not followed
}

// outage is a time in which a service answers 503.
type outage struct{ from, to time.Duration }

func (o outage) at(now time.Duration) bool { return o.from <= now && now < o.to }

// The settings: the defaults of the configuration and of template.yaml.
const (
	batchSize       = 10 // and BATCH_CONCURRENCY
	maxReceiveCount = 10
	timeout         = 120 * time.Second
	reserve         = 5 * time.Second
	sideBySide      = 2 // lookups of a process; internal/reconcile
)

// policy is the configuration's default, without a budget, as it is for results.
func policy(rng *rand.Rand) retry.Policy {
	return retry.Policy{
		Initial:     500 * time.Millisecond,
		Max:         20 * time.Second,
		MaxAttempts: 6,
		MaxElapsed:  20 * time.Second,
		Rand:        rng.Float64,
	}
}

// The world. All but the quota are assumptions, none was measured.
const (
	// maxInFlight is how many messages of a standard queue may be received and not
	// deleted. At this quota a receive gets none (SQS developer guide, "Quotas
	// related to queues"). A message that was handed back and is out of sight
	// counts, too.
	maxInFlight = 120_000

	replicates = 300 * time.Millisecond // median; log-normal, as is the next
	lists      = 150 * time.Millisecond
	spread     = 0.5 // sigma: the 99th percentile is 3.2 medians
	refuses    = 20 * time.Millisecond
	publishes  = 20 * time.Millisecond
	changes    = 15 * time.Millisecond // visibilities
	polls      = 30 * time.Millisecond // from the end of a batch to the start of the next

	longestCopy = 2 * time.Hour // how long an earlier copy keeps a vault busy at the most
)

// vault is a source vault. Its request is in the queue when the night begins.
type vault struct {
	receives int
	ends     int           // how often it was accepted or dead-lettered: once, in the end
	busy     time.Duration // until then an earlier copy runs
	accepted bool          // CBR has started the copy
	shows    time.Duration // when the copy is in the list of backups, if accepted
	began    time.Duration // when CBR started it
}

// night is one run of a plan.
type night struct {
	clock
	plan
	tally
	rng      *rand.Rand
	fleet    []vault
	visible  []*vault // messages in sight
	inFlight int
	idle     []*environment // found nothing to receive
	ended    int
	copies   *following // nil if they are not followed
	// The gateway counts by the clock's minute.
	minute time.Duration
	passed int
}

// tally is what is counted of a night.
type tally struct {
	// mostly and finished are when 99 % and when all of the vaults had ended.
	mostly, finished time.Duration

	calls, lookups, retries int // calls are those of replicate, retries those in place
	deliveries, invocations int
	dead                    int
	billed                  time.Duration // of all invocations together
	sqs, sns                int           // requests
}

// simulate runs a plan to its end.
func simulate(p plan, seed uint64) *night {
	n := &night{plan: p, rng: rand.New(rand.NewPCG(seed, 0)), fleet: make([]vault, p.vaults)}
	for i := range n.fleet {
		v := &n.fleet[i]
		if n.rng.Float64() < p.busy {
			v.busy = time.Duration(n.rng.Float64() * float64(longestCopy))
		}
		n.visible = append(n.visible, v)
	}
	for range p.maximumConcurrency {
		e := &environment{night: n, calling: policy(n.rng), publishing: policy(n.rng)}
		e.calling.MinTry = 2 * time.Second
		e.calling.Budget = retry.NewBudget()
		n.idle = append(n.idle, e)
	}
	for range p.maximumConcurrency {
		n.wake()
	}
	if p.followers > 0 {
		n.copies = &following{night: n}
	}
	for range p.followers {
		e := &follower{following: n.copies, reads: policy(n.rng)}
		e.reads.MinTry = 2 * time.Second
		e.reads.Budget = retry.NewBudget()
		n.copies.idle = append(n.copies.idle, e)
	}
	n.run()
	return n
}

// wake lets an idle environment receive.
func (n *night) wake() {
	if last := len(n.idle) - 1; last >= 0 {
		e := n.idle[last]
		n.idle = n.idle[:last]
		e.receive()
	}
}

// lasts draws the duration of a call.
func (n *night) lasts(median time.Duration) time.Duration {
	return time.Duration(float64(median) * math.Exp(spread*n.rng.NormFloat64()))
}

// gateway returns why a request does not reach CBR; nil if it does.
func (n *night) gateway() error {
	if minute := n.now.Truncate(time.Minute); minute != n.minute {
		n.minute, n.passed = minute, 0
	}
	if n.limit > 0 && n.passed >= n.limit {
		return &kind.Error{Kind: kind.Throttled, Code: "APIG.0308"}
	}
	n.passed++
	if n.down.at(n.now) || n.rng.Float64() < n.noise {
		return &kind.Error{Kind: kind.Unavailable, HTTPStatus: 503}
	}
	return nil
}

// replicate is CBR's answer and how long it takes.
func (n *night) replicate(v *vault) (time.Duration, error) {
	n.calls++
	if err := n.gateway(); err != nil {
		return refuses, err
	}
	if v.accepted || v.busy > n.now {
		return refuses, &kind.Error{Kind: kind.InProgress, Code: "BackupService.6130"}
	}
	v.accepted, v.began = true, n.now
	v.shows = n.now + time.Duration(n.rng.Float64()*float64(reconcile.EffectTime))
	if n.rng.Float64() < n.noise {
		return n.lasts(replicates), &kind.Error{Kind: kind.Unknown}
	}
	return n.lasts(replicates), nil
}

// environment is a process of the function, with its own retry budget.
type environment struct {
	*night
	calling, publishing retry.Policy
	looking             int      // lookups that run
	waiting             []func() // lookups that wait
}

// receive begins an invocation, if there is a message. A standard queue keeps no
// order.
func (e *environment) receive() {
	size := min(batchSize, len(e.visible), maxInFlight-e.inFlight)
	if size <= 0 {
		e.idle = append(e.idle, e)
		return
	}
	e.inFlight += size
	e.sqs++
	inv := &invocation{environment: e, open: size}
	for range size {
		i, last := e.rng.IntN(len(e.visible)), len(e.visible)-1
		inv.batch = append(inv.batch, e.visible[i])
		e.visible[i] = e.visible[last]
		e.visible = e.visible[:last]
	}
	e.after(polls, inv.run)
}

// lookup asks CBR whether an earlier call for v had its effect.
func (e *environment) lookup(v *vault, then func(found bool, err error)) {
	if e.looking == sideBySide {
		e.waiting = append(e.waiting, func() { e.lookup(v, then) })
		return
	}
	e.looking++
	e.lookups++
	takes, err := refuses, e.gateway()
	if err == nil {
		takes = e.lasts(lists)
	}
	found := err == nil && v.accepted && v.shows <= e.now
	e.after(takes, func() {
		e.looking--
		if len(e.waiting) > 0 {
			next := e.waiting[0]
			e.waiting = e.waiting[1:]
			next()
		}
		then(found, err)
	})
}

// invocation is a batch on its way through the handler.
type invocation struct {
	*environment
	began      time.Duration
	batch      []*vault
	open       int // deliveries that have not ended
	handedBack []handedBack
	outbox     []*vault // their results wait for the topic
	sending    bool     // a call to the topic is on its way
}

// handedBack is a delivery that is handed back.
type handedBack struct {
	*vault
	why kind.Kind
}

func (inv *invocation) run() {
	inv.began = inv.now
	inv.invocations++
	for _, v := range inv.batch {
		v.receives++
		inv.deliveries++
		if v.receives == 1 {
			inv.send(v)
			continue
		}
		inv.lookup(v, func(found bool, err error) {
			switch {
			case err != nil:
				inv.handBack(v, err)
			case found:
				inv.publish(v)
			default:
				inv.send(v)
			}
		})
	}
}

// left is how much of the invocation's time is left for CBR.
func (inv *invocation) left() time.Duration { return inv.began + timeout - reserve - inv.now }

// send calls CBR as retry.Policy.Do would, without sleeping.
func (inv *invocation) send(v *vault) {
	call := inv.calling.Begin()
	var try func()
	try = func() {
		takes, err := inv.replicate(v)
		inv.after(takes, func() {
			if wait, retry := call.Next(err, inv.left()); retry {
				inv.retries++
				inv.after(wait, try)
				return
			}
			call.End(err)
			inv.resolve(v, err)
		})
	}
	try()
}

// resolve ends a delivery by CBR's answer, or by a lookup if the answer leaves it open.
func (inv *invocation) resolve(v *vault, err error) {
	k := kind.As(err).Of()
	switch {
	case k == kind.None:
		inv.publish(v)
	case k == kind.Unknown, k == kind.InProgress && v.receives > 1:
		inv.lookup(v, func(found bool, _ error) {
			if found {
				inv.publish(v)
				return
			}
			inv.handBack(v, err)
		})
	default:
		inv.handBack(v, err)
	}
}

// publish puts a result into the outbox. The results that come while a call to
// the topic is on its way are sent together after it.
func (inv *invocation) publish(v *vault) {
	inv.outbox = append(inv.outbox, v)
	inv.flush()
}

func (inv *invocation) flush() {
	if inv.sending || len(inv.outbox) == 0 {
		return
	}
	batch := inv.outbox
	inv.outbox, inv.sending = nil, true
	call := inv.publishing.Begin()
	var try func()
	try = func() {
		inv.sns++
		var err error
		if inv.topicDown.at(inv.now) {
			err = &kind.Error{Kind: kind.PublishFailed}
		}
		inv.after(publishes, func() {
			if wait, retry := call.Next(err, inv.left()+reserve*4/5); retry {
				inv.after(wait, try)
				return
			}
			for _, v := range batch {
				if err != nil {
					inv.handBack(v, err)
					continue
				}
				inv.end(v)
				if inv.copies != nil {
					inv.copies.accept(v)
				}
				inv.close()
			}
			inv.sending = false
			inv.flush()
		})
	}
	try()
}

func (inv *invocation) handBack(v *vault, err error) {
	inv.handedBack = append(inv.handedBack, handedBack{v, kind.As(err).Kind})
	inv.close()
}

// close ends a delivery. The last one ends the invocation.
func (inv *invocation) close() {
	if inv.open--; inv.open > 0 {
		return
	}
	if len(inv.handedBack) == 0 {
		inv.reply()
		return
	}
	inv.sqs++ // ChangeMessageVisibilityBatch
	inv.after(changes, inv.reply)
}

func (inv *invocation) reply() {
	inv.billed += inv.now - inv.began
	if done := len(inv.batch) - len(inv.handedBack); done > 0 {
		inv.inFlight -= done
		inv.sqs++ // DeleteMessageBatch
	}
	for _, r := range inv.handedBack {
		delay := visibility.Delay(r.why, r.receives, 0, inv.rng.Float64())
		if r.receives >= maxReceiveCount {
			delay = min(delay, 30*time.Second) // internal/visibility's maximum after the last delivery
		}
		// In whole seconds, rounded up.
		inv.after((delay + time.Second - 1).Truncate(time.Second), func() { inv.reappear(r.vault) })
	}
	inv.receive()
}

// reappear makes a message visible. If it was received too often, SQS then makes
// it a dead letter.
func (n *night) reappear(v *vault) {
	n.inFlight--
	if v.receives >= maxReceiveCount {
		n.dead++
		n.end(v)
	} else {
		n.visible = append(n.visible, v)
	}
	n.wake()
}

func (n *night) end(v *vault) {
	v.ends++
	n.ended++
	n.finished = n.now
	if n.ended == n.vaults-n.vaults/100 {
		n.mostly = n.now
	}
}
