// Package plan is the action of a request with select: it chooses vaults of a
// project, and sends one request for each to the function's own queue. A plan that
// is carried out twice sends the same requests twice, each with the time of the
// first try: so what the first began is looked up, and nothing is replicated twice.
package plan

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"cbr-replicator/internal/allow"
	"cbr-replicator/internal/cbr"
	"cbr-replicator/internal/delivery"
	"cbr-replicator/internal/huawei"
	"cbr-replicator/internal/keyed"
	"cbr-replicator/internal/kind"
	"cbr-replicator/internal/metrics"
	"cbr-replicator/internal/redact"
	"cbr-replicator/internal/result"
	"cbr-replicator/internal/retry"
)

// Key is the action of a request that has select.
const Key = "plan"

const (
	// maxVaults is how many vaults a plan may select.
	maxVaults = 10_000
	// oldest is how old a producer's word for the time of the first try may be. An
	// older one may be the time of something else.
	oldest = 15 * time.Minute
)

// Vaults lists the vaults of a project; cbr.Client does.
type Vaults interface {
	ListVaults(ctx context.Context, src huawei.Scope, ids []string, each func(*cbr.Vault)) error
}

// Sender sends requests to the function itself.
type Sender interface {
	// Most is how many requests a plan may send.
	Most() int
	// Send sends all of them, or returns a *kind.Error. Then some may be sent.
	Send(context.Context, []Message) error
}

// Message is a request that is to be sent.
type Message struct {
	// Group is the vault. A queue that keeps an order keeps it within a group, and a
	// fair one serves groups in turn.
	Group string
	Body  string
}

// Action carries out plans. All fields but Requests are required. It is safe for
// concurrent use.
type Action struct {
	Vaults Vaults
	// Requests is where requests are sent, nil if only dry runs are possible.
	Requests Sender
	Allow    *allow.List
	// Reads is for lists of vaults.
	Reads  retry.Policy
	Log    *slog.Logger
	Redact *redact.Redactor
}

// Key is the action's.
func (a *Action) Key() string { return Key }

// Open returns the work of one invocation. Its deliveries share nothing.
func (a *Action) Open(inv delivery.Invocation) delivery.Work { return &work{a, inv} }

type work struct {
	*Action
	inv delivery.Invocation
}

// Keys returns none: what a plan sends may be sent twice.
func (w *work) Keys(*delivery.Delivery) []keyed.Key { return nil }

// Do carries out a plan.
func (w *work) Do(ctx context.Context, d *delivery.Delivery) delivery.Outcome {
	c := &carrying{work: w, d: d, plan: result.Plan{DryRun: d.Request.DryRun, Vaults: []result.PlannedVault{}, Skipped: []result.SkippedVault{}}}
	err := c.carryOut(ctx)
	o := delivery.Outcome{Success: kind.Planned, Err: err}
	if !err.Of().Policy().Redeliver {
		o.Data = result.Data{Plan: &c.plan}
		if n := len(c.plan.Skipped); n > 0 && !d.Request.DryRun {
			o.Counts = append(o.Counts, metrics.Value{Name: "PlanSkipped", Count: n})
		}
	}
	return o
}

// carrying is the work on one delivery.
type carrying struct {
	*work
	d        *delivery.Delivery
	plan     result.Plan
	messages []Message
}

func (c *carrying) carryOut(ctx context.Context) *kind.Error {
	dry := c.d.Request.DryRun
	if c.Requests == nil && !dry {
		return &kind.Error{Kind: kind.Misconfigured, Message: "neither REQUEST_QUEUE_ARN nor REQUEST_TOPIC_URN is set: without one of them only a dry run is possible"}
	}
	if err := c.choose(ctx); err != nil {
		return err
	}
	most := maxVaults
	if !dry {
		most = min(most, c.Requests.Most())
	}
	switch {
	case len(c.messages) == 0:
		return &kind.Error{Kind: kind.NothingSelected, Message: c.nothing()}
	case len(c.messages) > most:
		return &kind.Error{Kind: kind.Rejected, Message: fmt.Sprintf("the plan has %d vaults, and a plan takes %d: split it by tags", len(c.messages), most)}
	}
	c.plan.Requests = len(c.messages)
	if dry {
		return nil
	}
	return kind.As(c.Requests.Send(ctx, c.messages))
}

func (c *carrying) nothing() string {
	if n := len(c.plan.Skipped); n > 0 {
		return fmt.Sprintf("all %d selected vaults were skipped, the first because of: %s", n, c.plan.Skipped[0].Reason)
	}
	return fmt.Sprintf("none of %d vaults with backups is selected: compare the tags with those of the vaults", c.plan.Seen)
}

// choose reads the list of vaults and makes the requests.
func (c *carrying) choose(ctx context.Context) *kind.Error {
	r := &c.d.Request
	at := c.requestedAt()
	err := c.Reads.Do(ctx, func(ctx context.Context) error {
		c.plan.Seen, c.plan.Selected = 0, 0
		c.plan.Vaults, c.plan.Skipped, c.messages = c.plan.Vaults[:0], c.plan.Skipped[:0], nil
		missing := make(map[string]bool, len(r.Select.VaultIDs))
		for _, id := range r.Select.VaultIDs {
			missing[id] = true
		}
		err := c.Vaults.ListVaults(ctx, r.Scope(), r.Select.VaultIDs, func(v *cbr.Vault) {
			if !v.Backup || len(r.Select.VaultIDs) > 0 && !missing[strings.ToLower(v.ID)] {
				return
			}
			delete(missing, strings.ToLower(v.ID))
			c.plan.Seen++
			if r.Select.Takes(v.Tags) {
				c.take(v, at)
			}
		})
		if err != nil {
			return err
		}
		for _, id := range r.Select.VaultIDs {
			if missing[id] {
				delete(missing, id) // once
				c.skip(id, "", "no vault with backups of the project has this id")
			}
		}
		return nil
	}, c.d.LogRetry(ctx, c.Log, nil))
	return kind.As(err)
}

// take makes the request for a vault that is selected.
func (c *carrying) take(v *cbr.Vault, at time.Time) {
	r := c.d.Request.Planned(strings.ToLower(v.ID), c.d.CorrelationID)
	if !r.OfReplicas() {
		r.RequestedAt = at
	}
	if !cbr.IsVaultID(v.ID) {
		c.skip(v.ID, v.Name, "its id is not "+cbr.VaultForm)
		return
	}
	if name := c.d.Request.Select.DestinationVaultTag; name != "" {
		value, ok := v.Tag(name)
		switch {
		case !ok:
			c.skip(r.Replicate.VaultID, v.Name, "it has no tag "+name)
			return
		case !cbr.IsVaultID(value):
			c.skip(r.Replicate.VaultID, v.Name, "its tag "+name+" is no vault id")
			return
		}
		r.Replicate.DestinationVaultID = strings.ToLower(value)
	}
	if err := kind.As(c.Allow.Check(r.Scope(), r.Replicate)); err != nil {
		c.skip(r.Replicate.VaultID, v.Name, err.Message)
		return
	}
	body, err := json.Marshal(r)
	if err != nil {
		c.skip(r.Replicate.VaultID, v.Name, "its request cannot be encoded")
		return
	}
	c.plan.Selected++
	c.plan.Vaults = append(c.plan.Vaults, result.PlannedVault{VaultID: r.Replicate.VaultID, Name: c.Redact.Text(v.Name), DestinationVaultID: r.Replicate.DestinationVaultID})
	c.messages = append(c.messages, Message{Group: r.Replicate.VaultID, Body: string(body)})
}

func (c *carrying) skip(id, name, reason string) {
	c.plan.Selected++
	c.plan.Skipped = append(c.plan.Skipped, result.SkippedVault{VaultID: id, Name: c.Redact.Text(name), Reason: c.Redact.Text(reason)})
}

// requestedAt is the time of the first try that all requests of the plan have. It
// is the same when the plan is delivered again, as far as its trigger can say. A
// queue says when it first handed the plan out, others only when the producer sent it.
func (c *carrying) requestedAt() time.Time {
	d := c.d
	switch now := time.Now(); {
	case !d.Request.RequestedAt.IsZero():
		return d.Request.RequestedAt
	case !d.Since.IsZero() && (d.Queue.ARN != "" || now.Sub(d.Since) <= oldest && !d.Since.After(now)):
		return result.Stamp(d.Since)
	default:
		return result.Stamp(now)
	}
}
