package kind

import (
	"testing"
)

// TestPromises holds the table to what is promised for all rows. What follows from
// a single row is tested where it is used.
func TestPromises(t *testing.T) {
	t.Parallel()
	for k, p := range table {
		if p.Redeliver && (p.Status == Accepted || p.Status == Unchanged || p.Status == Refused) {
			t.Errorf("%q is published as %s and handed back", k, p.Status)
		}
		if !p.Redeliver && (p.Status == Failed && !p.Answer || p.Status == Unpublished) {
			t.Errorf("%q is acknowledged without a final result: it would be lost", k)
		}
		if p.Retry == Backoff && !p.Redeliver {
			t.Errorf("%q is retried in place, but not handed back", k)
		}
		if p.RetryAfter > 0 && !p.Redeliver {
			t.Errorf("%q advises to wait for something that cannot change", k)
		}
		if p.Wait != AtOnce && !p.Redeliver {
			t.Errorf("%q waits in a queue to which it is not handed back", k)
		}
		if p.Expected && (!p.Redeliver || !p.Answer) {
			t.Errorf("%q has not ended, and is no answer or not handed back", k)
		}
		if p.KeepBody && p.Status != Refused {
			t.Errorf("%q is %s: its body is kept although it is not rejected", k, p.Status)
		}
		if p.Wait == AtOnce && p.Redeliver && k != OutOfTime && k != Blocked {
			t.Errorf("%q is redelivered at once, while nothing has changed", k)
		}
	}
}

func TestUnknownKindIsHandedBack(t *testing.T) {
	t.Parallel()
	if p := Kind("Nonsense").Policy(); !p.Redeliver || p.HTTPStatus != 500 {
		t.Errorf("Policy of a kind nobody knows = %+v, want Internal's", p)
	}
}

// TestIsResult: by the beginning of the type alone.
func TestIsResult(t *testing.T) {
	t.Parallel()
	for eventType, want := range map[string]bool{
		EventTypePrefix + "accepted.v1": true, EventTypePrefix + "x": true, "cbr.replica.stale.v1": true,
		"": false, "x." + EventTypePrefix + "accepted.v1": false, "cbr.checkpoint.x": false, "cbr.replicas.x": false, "CBR.replica.x": false,
	} {
		if got := IsResult(eventType); got != want {
			t.Errorf("%q: %t", eventType, got)
		}
	}
}
