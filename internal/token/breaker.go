package token

import (
	"context"
	"sync"
	"time"

	"cbr-replicator/internal/huawei"
	"cbr-replicator/internal/kind"
)

// pause is how long a credential that was refused is not tried again: the time
// in which Huawei counts failed logins (IAM user guide, "Account Lockout").
const pause = 15 * time.Minute

// breaker is what a process knows of one credential. The zero value but for now
// is of one that nothing is known of yet. It is safe for concurrent use.
type breaker struct {
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

// allow asks for leave to use the credential. It waits, as long as ctx lives,
// where another request is about to show what the credential is worth. The
// error is an Unauthorized where it was refused lately. Without an error the
// caller calls done once it knows more; calls after the first do nothing.
// done's advice, for the case of a refusal, comes back with what follows from
// it.
func (b *breaker) allow(ctx context.Context) (done func(r huawei.AuthResult, advice string) string, err error) {
	alone, err := b.enter(ctx)
	if err != nil {
		return nil, err
	}
	var once sync.Once
	return func(r huawei.AuthResult, advice string) (said string) {
		once.Do(func() {
			said = b.record(r, advice)
			if alone {
				<-b.turn
			}
		})
		return said
	}, nil
}

func (b *breaker) enter(ctx context.Context) (alone bool, err error) {
	if free, err := b.state(); free || err != nil {
		return false, err
	}
	select {
	case b.turn <- struct{}{}:
	case <-ctx.Done():
		return false, &kind.Error{Kind: kind.OutOfTime, Message: "another request was to show whether the credential is good", Cause: ctx.Err()}
	}
	free, err := b.state()
	if free || err != nil {
		<-b.turn
		return false, err
	}
	return true, nil
}

// state reports whether anyone may go ahead, or the refusal that stands.
func (b *breaker) state() (free bool, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.turn == nil {
		b.turn = make(chan struct{}, 1)
	}
	if b.refused != nil && b.now().Before(b.until) {
		e := *b.refused
		return false, &e
	}
	return !b.oneByOne || b.worked && !b.always, nil
}

func (b *breaker) record(r huawei.AuthResult, advice string) (said string) {
	switch {
	case !r.Answered:
		return ""
	case r.Refused:
		return b.trip(kind.Unauthorized, advice)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.refused != nil && b.now().Before(b.until) {
		return "" // to a request from before the refusal
	}
	b.worked, b.refused = true, nil
	return ""
}

// trip keeps the credential from being tried for a while. It returns advice
// with the time when that ends.
func (b *breaker) trip(k kind.Kind, advice string) (said string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.worked, b.until = false, b.now().Add(pause)
	said = advice + "; it is not tried again before " + b.until.UTC().Format(time.RFC3339)
	b.refused = &kind.Error{Kind: k, Message: said}
	return said
}
