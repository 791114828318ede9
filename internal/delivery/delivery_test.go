package delivery_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"cbr-replicator/internal/cbr"
	"cbr-replicator/internal/delivery"
)

// TestAsked: an event is followed though its URN or its acceleration is no longer on
// the operator's lists. Its copies have started, and to follow them costs nothing.
func TestAsked(t *testing.T) {
	t.Parallel()
	urn, accelerated := "iam::account:agency", true
	r := delivery.Request{Replicate: cbr.Replicate{VaultID: "vault", DestinationRegion: "region2", CrossAccountURN: &urn, EnableAcceleration: &accelerated}}
	if diff := cmp.Diff(r.Replicate, r.Asked()); diff != "" {
		t.Errorf("a request to replicate (-want +got):\n%s", diff)
	}
	r.Followed = &delivery.Accepted{}
	if diff := cmp.Diff(cbr.Replicate{VaultID: "vault", DestinationRegion: "region2"}, r.Asked()); diff != "" {
		t.Errorf("a request to follow (-want +got):\n%s", diff)
	}
	if r.Replicate.CrossAccountURN == nil || r.Replicate.EnableAcceleration == nil {
		t.Error("the request itself has lost what its results show")
	}
}
