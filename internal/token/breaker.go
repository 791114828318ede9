package token

import (
	"context"
	"sync"
	"time"

	"cbr-replicator/internal/huawei"
	"cbr-replicator/internal/kind"
)

// pause is how long a credential is not used after it was refused: the time in which
// Huawei counts failed logins (IAM user guide, "Account Lockout").
const pause = 15 * time.Minute

// breaker stops the use of a credential that was refused. Only now is required; the
// other zero values mean that nothing is known of the credential yet. It is safe for
// concurrent use.
type breaker struct {
	now func() time.Time
	// oneByOne allows one request at a time with a credential that has not worked yet,
	// since Huawei counts wrong ones. always does so also with one that has worked, since
	// it may have been changed.
	oneByOne, always bool
	// once: the credential is of one event and is not used again after a refusal.
	once bool

	mu      sync.Mutex
	worked  bool
	refused *kind.Error // not nil: not to be used before until
	until   time.Time
	alone   chan struct{} // full while one request goes alone; made when first needed
}

// allow returns when the credential may be used. If another request is about to show
// whether it is good, allow waits, as long as ctx lives. If it was refused less than a
// pause ago, the error is that refusal. Without an error the caller calls done as soon
// as it knows the result; later calls do nothing. done gets the advice for a refusal,
// and after one it returns the advice with the time when the pause ends.
func (b *breaker) allow(ctx context.Context) (done func(r huawei.AuthResult, advice string) string, err error) {
	alone, err := b.enter(ctx)
	if err != nil {
		return nil, err
	}
	var once sync.Once
	return func(r huawei.AuthResult, advice string) (message string) {
		once.Do(func() {
			message = b.record(r, advice)
			if alone {
				<-b.alone
			}
		})
		return message
	}, nil
}

func (b *breaker) enter(ctx context.Context) (alone bool, err error) {
	if free, err := b.state(); free || err != nil {
		return false, err
	}
	select {
	case b.alone <- struct{}{}:
	case <-ctx.Done():
		return false, &kind.Error{Kind: kind.OutOfTime, Message: "another request was to show whether the credential is good", Cause: ctx.Err()}
	}
	free, err := b.state()
	if free || err != nil {
		<-b.alone
		return false, err
	}
	return true, nil
}

// state reports whether any number of requests may use the credential. The error is a
// refusal whose pause has not ended.
func (b *breaker) state() (free bool, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.alone == nil {
		b.alone = make(chan struct{}, 1)
	}
	if b.refused != nil && b.now().Before(b.until) {
		e := *b.refused
		return false, &e
	}
	return !b.oneByOne || b.worked && !b.always, nil
}

func (b *breaker) record(r huawei.AuthResult, advice string) (message string) {
	switch {
	case !r.Answered:
		return ""
	case r.Refused:
		return b.trip(kind.Unauthorized, advice)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.refused != nil && b.now().Before(b.until) {
		return "" // the request was sent before the refusal
	}
	b.worked, b.refused = true, nil
	return ""
}

// trip stops the use of the credential for the pause. It returns advice with the time
// when the pause ends.
func (b *breaker) trip(k kind.Kind, advice string) (message string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.worked, b.until = false, b.now().Add(pause)
	message = advice
	if !b.once {
		message += "; it is not used before " + b.until.UTC().Format(time.RFC3339)
	}
	b.refused = &kind.Error{Kind: k, Message: message}
	return message
}
