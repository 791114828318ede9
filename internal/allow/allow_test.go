package allow_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"cbr-replicator/internal/allow"
	"cbr-replicator/internal/cbr"
	"cbr-replicator/internal/huawei"
	"cbr-replicator/internal/kind"
)

const (
	ours   = "f841e01fd2b14e7fa41b6ae7aa6b0594"
	theirs = "68589cac08274b82b4e254268a3862d8"
)

func TestParseProjects(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		in   []string
		want []string
		err  string
	}{
		{"none", nil, nil, ""},
		{"two", []string{ours, theirs}, []string{ours, theirs}, ""},
		{"any", []string{"*"}, []string{"*"}, ""},
		{"upper case", []string{strings.ToUpper(ours)}, []string{ours}, ""},
		{"no id", []string{ours, "secret"}, nil, "entry 2 is neither 32 hex digits nor *"},
		{"a pattern", []string{"f841*"}, nil, "entry 1 is neither 32 hex digits nor *"},
		{"empty", []string{""}, nil, "entry 1 is neither 32 hex digits nor *"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got, err := allow.ParseProjects(tt.in)
			check(t, tt.want, got, tt.err, err)
		})
	}
}

func TestParseDestinations(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		in   []string
		want []allow.Destination
		err  string
	}{
		{"none", nil, nil, ""},
		{"pairs", []string{"eu-de/" + ours, "*/" + theirs, "eu-nl/*", "*/*"}, []allow.Destination{{"eu-de", ours}, {"*", theirs}, {"eu-nl", "*"}, {"*", "*"}}, ""},
		{"upper case", []string{"eu-de/" + strings.ToUpper(ours)}, []allow.Destination{{"eu-de", ours}}, ""},
		{"a region alone", []string{"eu-de"}, nil, "entry 1 is not region/project_id"},
		{"any, but of what", []string{"*"}, nil, "entry 1 is not region/project_id"},
		{"no region", []string{"EU/" + ours}, nil, "entry 1 names neither a region nor *"},
		{"an empty region", []string{"/" + ours}, nil, "entry 1 names neither a region nor *"},
		{"no project", []string{"*/*", "eu-de/secret"}, nil, "entry 2 names neither a project of 32 hex digits nor *"},
		{"three parts", []string{"eu-de/" + ours + "/*"}, nil, "entry 1 names neither a project of 32 hex digits nor *"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got, err := allow.ParseDestinations(tt.in)
			check(t, tt.want, got, tt.err, err)
		})
	}
}

func check[T any](t *testing.T, want, got T, wantErr string, err error) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if (err == nil) != (wantErr == "") || err != nil && err.Error() != wantErr {
		t.Errorf("error = %v, want %q", err, wantErr)
	}
}

func TestCheck(t *testing.T) {
	t.Parallel()
	list := &allow.List{
		Projects:     []string{ours},
		Destinations: []allow.Destination{{"eu-nl", theirs}, {"eu-de", ours}},
		URNs:         []string{"urn:one"},
	}
	const (
		noProject      = "project_id: not in ALLOWED_PROJECT_IDS"
		noDestination  = "replicate.destination_region with destination_project_id: not in ALLOWED_DESTINATIONS"
		noURN          = "replicate.cross_account_urn: not in ALLOWED_CROSS_ACCOUNT_URNS"
		noAcceleration = "replicate.enable_acceleration: ALLOW_ACCELERATION is false"
	)
	urn := func(s string) func(*cbr.Replicate) { return func(r *cbr.Replicate) { r.CrossAccountURN = &s } }
	accelerated := func(b bool) func(*cbr.Replicate) { return func(r *cbr.Replicate) { r.EnableAcceleration = &b } }
	to := func(region, project string) func(*cbr.Replicate) {
		return func(r *cbr.Replicate) { r.DestinationRegion, r.DestinationProjectID = region, project }
	}
	for _, tt := range []struct {
		name    string
		list    *allow.List
		project string
		change  func(*cbr.Replicate)
		want    string
	}{
		{"all on the lists", list, ours, to("eu-nl", theirs), ""},
		{"another project", list, theirs, to("eu-nl", theirs), noProject},
		{"another region", list, ours, to("eu-fr", theirs), noDestination},
		{"halves of two pairs", list, ours, to("eu-nl", ours), noDestination},
		{"a URN on the list", list, ours, urn("urn:one"), ""},
		{"a URN that begins so", list, ours, urn("urn:one/two"), noURN},
		{"an empty URN", list, ours, urn(""), noURN},
		{"acceleration", list, ours, accelerated(true), noAcceleration},
		{"acceleration, not asked for", list, ours, accelerated(false), ""},
		{"a star is not a project", list, "*", to("eu-nl", theirs), noProject},
		{"a star is not a destination", list, ours, to("*", "*"), noDestination},
		{"two things", list, theirs, accelerated(true), noProject + "; " + noAcceleration},
		{"the zero list", &allow.List{}, ours, urn("urn:one"), noProject + "; " + noDestination + "; " + noURN},
		{
			"any", &allow.List{Projects: []string{"*"}, Destinations: []allow.Destination{{"*", "*"}}, Acceleration: true},
			theirs, accelerated(true), "",
		},
		{"any URN is no setting", &allow.List{Projects: []string{"*"}, Destinations: []allow.Destination{{"*", "*"}}, URNs: []string{"*"}}, ours, urn("urn:one"), noURN},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := cbr.Replicate{DestinationRegion: "eu-nl", DestinationProjectID: theirs}
			tt.change(&r)
			err := tt.list.Check(huawei.Scope{ProjectID: tt.project, Region: "eu-de"}, r)
			switch e := kind.As(err); {
			case tt.want == "" && err != nil:
				t.Errorf("Check = %v", err)
			case tt.want != "" && (e.Of() != kind.NotAllowed || e.Message != tt.want):
				t.Errorf("Check = %v, want NotAllowed %s", err, tt.want)
			}
		})
	}
}

// TestEveryPartIsOnAList: a request is allowed if and only if each of its parts is.
func TestEveryPartIsOnAList(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		// Few values, so that many requests are allowed.
		one := func(of ...string) *rapid.Generator[string] { return rapid.SampledFrom(of) }
		projects, regions, urns := []string{"a", "b"}, []string{"r", "s"}, []string{"u", "v"}
		list := &allow.List{
			Projects: rapid.SliceOfN(one(append(projects, "*")...), 0, 2).Draw(t, "projects"),
			Destinations: rapid.SliceOfN(rapid.Custom(func(t *rapid.T) allow.Destination {
				return allow.Destination{one(append(regions, "*")...).Draw(t, "region"), one(append(projects, "*")...).Draw(t, "project")}
			}), 0, 2).Draw(t, "destinations"),
			URNs:         rapid.SliceOfN(one(urns...), 0, 2).Draw(t, "URNs"),
			Acceleration: rapid.Bool().Draw(t, "acceleration"),
		}
		src := huawei.Scope{ProjectID: one(projects...).Draw(t, "project"), Region: one(regions...).Draw(t, "region")}
		r := cbr.Replicate{
			DestinationRegion:    one(regions...).Draw(t, "destination region"),
			DestinationProjectID: one(projects...).Draw(t, "destination project"),
			EnableAcceleration:   rapid.Ptr(rapid.Bool(), true).Draw(t, "accelerated"),
			CrossAccountURN:      rapid.Ptr(one(urns...), true).Draw(t, "URN"),
		}

		project := false
		for _, p := range list.Projects {
			project = project || p == "*" || p == src.ProjectID
		}
		destination := false
		for _, region := range []string{"*", r.DestinationRegion} {
			for _, id := range []string{"*", r.DestinationProjectID} {
				destination = destination || slices.Contains(list.Destinations, allow.Destination{Region: region, ProjectID: id})
			}
		}
		urn := r.CrossAccountURN == nil || slices.Contains(list.URNs, *r.CrossAccountURN)
		acceleration := list.Acceleration || r.EnableAcceleration == nil || !*r.EnableAcceleration

		want := project && destination && urn && acceleration
		if err := list.Check(src, r); (err == nil) != want {
			t.Errorf("Check = %v, want pass: %t", err, want)
		}
	})
}
