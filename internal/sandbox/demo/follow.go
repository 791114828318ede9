package demo

import (
	"context"
	"encoding/json"
	"fmt"
	"sync/atomic"
	"time"

	"cbr-replicator/internal/sandbox"
)

const (
	// copyTime is how long a copy takes, by the sandbox's clock: it has not ended when it is looked at first.
	copyTime = 8 * time.Minute
	// tick is by how much the clock is put forward at a time while copies are followed.
	tick = 10 * time.Second
	// followed is how long copies are followed before something is wrong, by the sandbox's clock.
	followed = time.Hour
)

// clock is the sandbox's: of CBR, its copies and the queues. It is put forward so that nobody waits for copies. The function's own
// is the machine's. It is safe for concurrent use.
type clock struct{ ahead atomic.Int64 }

// now is the time.
func (c *clock) now() time.Time { return time.Now().Add(time.Duration(c.ahead.Load())) }

func (c *clock) forward(d time.Duration) { c.ahead.Add(int64(d)) }

// end is what is shown of the end of a request's copies.
type end struct {
	Data struct {
		Status     string
		Deliveries int
		Copies     struct{ Total, Succeeded int }
		Backups    []struct {
			BackupID   string `json:"backup_id"`
			Status     string
			FailCode   string `json:"fail_code"`
			FailReason string `json:"fail_reason"`
		}
	}
}

// follow follows the copies of all accepted results to their end, and shows when that was.
func (s *show) follow(ctx context.Context, invoke func(context.Context, []byte) (sandbox.Response, error)) error {
	// The waits are those that the function has chosen.
	mapping := sandbox.Mapping{Queue: s.stack.Follow, Invoke: invoke, Delay: followed}
	shown := len(s.stack.Topic.Messages())
	began := s.clock.now()
	for len(s.stack.Follow.Messages()) > 0 {
		s.clock.forward(tick)
		if err := mapping.Drain(ctx); err != nil {
			return err
		}
		after := s.clock.now().Sub(began)
		for _, m := range s.stack.Topic.Messages()[shown:] {
			s.end(m, after)
			shown++
		}
		if after > followed {
			return fmt.Errorf("%d accepted results have no end after %s", len(s.stack.Follow.Messages()), followed)
		}
	}
	return nil
}

// end shows a result about copies.
func (s *show) end(m sandbox.Published, after time.Duration) {
	var e end
	_ = json.Unmarshal([]byte(m.Message), &e) // an event that cannot be read shows as empty
	vault, looks := m.Attributes["vault_id"], "1 look"
	if e.Data.Deliveries != 1 {
		looks = fmt.Sprintf("%d looks", e.Data.Deliveries)
	}
	s.row(vault, fmt.Sprintf("=> %.0f min", after.Minutes()),
		fmt.Sprintf("%s, %d of %d copies are there", e.Data.Status, e.Data.Copies.Succeeded, e.Data.Copies.Total), looks)
	for _, b := range e.Data.Backups {
		if e.Data.Status != "completed" && b.Status != "success" {
			s.row(vault, "missing", fmt.Sprintf("backup %.8s: %s %s", b.BackupID, b.FailCode, b.FailReason), "")
		}
	}
}

// ofCopies reports whether a line of the log is about a look at copies. Their end is shown from its result.
func ofCopies(l sandbox.LogLine) bool {
	switch {
	case l.Message != "delivery":
		return false
	case l.Kind == "CopyFailed" || l.Kind == "NotFollowed":
		return true
	}
	return l.Status == "copying" || l.Status == "completed" || l.Status == "partial"
}
