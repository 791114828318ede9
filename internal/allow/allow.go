// Package allow has the operator's allow-lists: which projects may be copied from, and to
// which destinations. Others write to the queues that requests come from. Without the
// lists, anybody who may send a message could copy a vault's backups to an own account.
package allow

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"cbr-replicator/internal/cbr"
	"cbr-replicator/internal/huawei"
	"cbr-replicator/internal/kind"
)

// anyValue stands for every value in a list.
const anyValue = "*"

// List is what is allowed. The zero value allows nothing. It is safe for concurrent use
// once it is filled in.
type List struct {
	Projects     []string // ids, or "*"
	Destinations []Destination
	URNs         []string
	Acceleration bool // it costs extra
}

// Destination is a region and a project in it; either may be "*".
type Destination struct{ Region, ProjectID string }

// ParseProjects reads a list of project ids, of which one may be "*".
func ParseProjects(list []string) ([]string, error) {
	var out []string
	for i, s := range list {
		if s != anyValue && !huawei.IsProjectID(s) {
			return nil, fmt.Errorf("entry %d is neither 32 hex digits nor *", i+1)
		}
		out = append(out, strings.ToLower(s))
	}
	return out, nil
}

// ParseDestinations reads a list of region/project_id pairs.
func ParseDestinations(list []string) ([]Destination, error) {
	var out []Destination
	for i, s := range list {
		region, project, ok := strings.Cut(s, "/")
		switch {
		case !ok:
			return nil, fmt.Errorf("entry %d is not region/project_id", i+1)
		case region != anyValue && !huawei.IsRegion(region):
			return nil, fmt.Errorf("entry %d names neither a region nor *", i+1)
		case project != anyValue && !huawei.IsProjectID(project):
			return nil, fmt.Errorf("entry %d names neither a project of 32 hex digits nor *", i+1)
		}
		out = append(out, Destination{region, strings.ToLower(project)})
	}
	return out, nil
}

// Check returns nil if a validated request is allowed. Otherwise the error is a
// *kind.Error of the kind NotAllowed. It names each field that is not allowed, and the
// setting that would allow it.
func (l *List) Check(src huawei.Scope, r cbr.Replicate) error {
	var refused []error
	if !slices.Contains(l.Projects, anyValue) && !slices.Contains(l.Projects, src.ProjectID) {
		refused = append(refused, errors.New("project_id: not in ALLOWED_PROJECT_IDS"))
	}
	if !slices.ContainsFunc(l.Destinations, func(d Destination) bool {
		return (d.Region == anyValue || d.Region == r.DestinationRegion) &&
			(d.ProjectID == anyValue || d.ProjectID == r.DestinationProjectID)
	}) {
		refused = append(refused, errors.New("replicate.destination_region with destination_project_id: not in ALLOWED_DESTINATIONS"))
	}
	if r.CrossAccountURN != nil && !slices.Contains(l.URNs, *r.CrossAccountURN) {
		refused = append(refused, errors.New("replicate.cross_account_urn: not in ALLOWED_CROSS_ACCOUNT_URNS"))
	}
	if r.EnableAcceleration != nil && *r.EnableAcceleration && !l.Acceleration {
		refused = append(refused, errors.New("replicate.enable_acceleration: ALLOW_ACCELERATION is false"))
	}
	if len(refused) == 0 {
		return nil
	}
	return &kind.Error{
		Kind:    kind.NotAllowed,
		Message: strings.ReplaceAll(errors.Join(refused...).Error(), "\n", "; "),
	}
}
