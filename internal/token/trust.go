package token

import (
	"context"
	"sync"
	"time"

	"cbr-replicator/internal/cbr"
	"cbr-replicator/internal/kind"
)

// pause is how long a credential that was refused is not tried again: the time
// in which Huawei counts failed logins (IAM user guide, "Account Lockout").
const pause = 15 * time.Minute

// trust is what a process knows of one credential. The zero value but for now
// is of one that nothing is known of yet. It is safe for concurrent use.
type trust struct {
	now func() time.Time
	// oneByOne lets one request at a time go with a credential that has not
	// worked yet, because a wrong one is counted; always also with one that has,
	// because it may have been changed.
	oneByOne, always bool

	mu      sync.Mutex
	worked  bool
	refused *kind.Error // not nil: not to be tried before the time below
	until   time.Time
	turn    chan struct{} // held by the one request; made when first needed
}

// begin asks for leave to use the credential. It waits, as long as ctx lives,
// where another request is about to show what the credential is worth. The
// error is an Unauthorized where it was refused lately. Without an error the
// caller calls settle once it knows more; calls after the first do nothing.
// settle's advice, for the case of a refusal, comes back with what follows from
// it.
func (t *trust) begin(ctx context.Context) (settle func(v cbr.Verdict, advice string) string, err error) {
	alone, err := t.enter(ctx)
	if err != nil {
		return nil, err
	}
	var once sync.Once
	return func(v cbr.Verdict, advice string) (said string) {
		once.Do(func() {
			said = t.learn(v, advice)
			if alone {
				<-t.turn
			}
		})
		return said
	}, nil
}

func (t *trust) enter(ctx context.Context) (alone bool, err error) {
	if free, err := t.known(); free || err != nil {
		return false, err
	}
	select {
	case t.turn <- struct{}{}:
	case <-ctx.Done():
		return false, &kind.Error{Kind: kind.OutOfTime, Message: "another request was to show whether the credential is good", Cause: ctx.Err()}
	}
	free, err := t.known()
	if free || err != nil {
		<-t.turn
		return false, err
	}
	return true, nil
}

// known reports whether anyone may go ahead, or the refusal that stands.
func (t *trust) known() (free bool, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.turn == nil {
		t.turn = make(chan struct{}, 1)
	}
	if t.refused != nil && t.now().Before(t.until) {
		e := *t.refused
		return false, &e
	}
	return !t.oneByOne || t.worked && !t.always, nil
}

func (t *trust) learn(v cbr.Verdict, advice string) (said string) {
	switch {
	case !v.Answered:
		return ""
	case v.Refused:
		return t.refuse(kind.Unauthorized, advice)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.refused != nil && t.now().Before(t.until) {
		return "" // to a request from before the refusal
	}
	t.worked, t.refused = true, nil
	return ""
}

// refuse keeps the credential from being tried for a while. It returns advice
// with the time when that ends.
func (t *trust) refuse(k kind.Kind, advice string) (said string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.worked, t.until = false, t.now().Add(pause)
	said = advice + "; it is not tried again before " + t.until.UTC().Format(time.RFC3339)
	t.refused = &kind.Error{Kind: k, Message: said}
	return said
}
