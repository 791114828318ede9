package stack_test

import (
	"cmp"
	"encoding/json"
	"flag"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "redraw docs/dashboard.svg")

// widget is a widget of a dashboard body (CloudWatch API reference, "Dashboard body
// structure and syntax").
type widget struct {
	Type                string
	X, Y, Width, Height int
	Properties          struct {
		Title, View, Stat, Query, Region string
		SetPeriodToTimeRange             bool
		Period                           int
		Alarms                           []string
		Metrics                          [][]any
	}
}

// series is a line of a metric widget, without abbreviations.
type series struct {
	metric             string // as world names it
	label, stat, yAxis string
}

func (s *stack) dashboard() []widget {
	s.t.Helper()
	var body struct{ Widgets []widget }
	decoder := json.NewDecoder(strings.NewReader(s.properties("Dashboard")["DashboardBody"].(string)))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&body); err != nil {
		s.t.Fatal(err)
	}
	return body.Widgets
}

// series returns a widget's metrics without abbreviations: "." stands for the value
// at this place in the line before, "..." for all its values up to the ones that
// follow.
func (w *widget) series(t testing.TB) []series {
	t.Helper()
	var all []series
	var before []string
	for _, line := range w.Properties.Metrics {
		var parts []string
		options := map[string]any{}
		for i, v := range line {
			switch v := v.(type) {
			case map[string]any:
				options = v
				if text, ok := v["expression"].(string); ok {
					parts, options["stat"] = searched(t, text)
				}
			case string:
				switch {
				case v == "...":
					rest := 0
					for _, v := range line[i+1:] {
						if _, ok := v.(string); ok {
							rest++
						}
					}
					parts = append(parts, before[:len(before)-rest]...)
				case v == ".":
					parts = append(parts, before[len(parts)])
				default:
					parts = append(parts, v)
				}
			}
		}
		before = parts
		text := func(key, otherwise string) string {
			v, _ := options[key].(string)
			return cmp.Or(v, otherwise)
		}
		all = append(all, series{
			metric: strings.Join(parts, " "), label: text("label", parts[1]),
			stat: text("stat", w.Properties.Stat), yAxis: text("yAxis", "left"),
		})
	}
	return all
}

// search is a search for the metrics of all values of a dimension (CloudWatch user
// guide, "CloudWatch search expression syntax").
var search = regexp.MustCompile(`^SEARCH\('\{(\w+),(\w+),(\w+)\} (\w+)="([^"]+)" MetricName="(\w+)"', '(\w+)'\)$`)

// searched returns what a search finds: the metric that is summed over the dimension
// that is left open, and the statistic.
func searched(t testing.TB, expression string) (metric []string, stat string) {
	t.Helper()
	found := search.FindStringSubmatch(expression)
	if found == nil || found[2] != found[4] || found[3] != "destination_region" {
		t.Fatalf("a search that this test does not know: %s", expression)
	}
	return []string{found[1], found[6], found[2], found[5]}, found[7]
}

// TestDashboardAnswers: its first row says if the replicas are there.
func TestDashboardAnswers(t *testing.T) {
	t.Parallel()
	var shown []string
	for _, w := range load(t).deploy(stacks["most"]).dashboard() {
		if w.Y > 0 {
			continue
		}
		for _, line := range w.series(t) {
			shown = append(shown, line.stat+" "+line.metric)
		}
	}
	want := []string{
		"Maximum CbrReplicator ReplicaAge service ${Function}", "Sum CbrReplicator StaleReplicas service ${Function}",
		"Sum CbrReplicator NeverReplicated service ${Function}", "Sum CbrReplicator VaultsChecked service ${Function}",
	}
	if diff := gocmp.Diff(want, shown); diff != "" {
		t.Errorf("the first row (-want +got):\n%s", diff)
	}
}

func TestDashboard(t *testing.T) {
	t.Parallel()
	each(t, checkDashboard)
}

func checkDashboard(t *testing.T, s *stack) {
	known := world(t, situation{})
	var alarms []string
	cells := map[[2]int]string{}
	for _, w := range s.dashboard() {
		title := w.Properties.Title
		for x := w.X; x < w.X+w.Width; x++ {
			for y := w.Y; y < w.Y+w.Height; y++ {
				if other, ok := cells[[2]int{x, y}]; ok {
					t.Fatalf("%q lies over %q", title, other)
				}
				cells[[2]int{x, y}] = title
			}
		}
		if w.X+w.Width > 24 {
			t.Errorf("%q is beyond the dashboard's 24 columns", title)
		}
		if w.Type != "alarm" && w.Properties.Region != s.parameters["AWS::Region"] {
			t.Errorf("%q is of the region %q", title, w.Properties.Region)
		}
		for _, line := range w.series(t) {
			if _, ok := known[line.metric]; !ok {
				t.Errorf("%q shows %s, which nobody writes", title, line.metric)
			}
			if line.stat == "" {
				t.Errorf("%q: %s has no statistic", title, line.label)
			}
		}
		alarms = append(alarms, w.Properties.Alarms...)
	}
	var want []string
	for _, name := range s.of("AWS::CloudWatch::Alarm") {
		want = append(want, "${"+name+".Arn}")
	}
	slices.Sort(alarms)
	if diff := gocmp.Diff(want, alarms); diff != "" {
		t.Errorf("alarms (-want +got):\n%s", diff)
	}
}

// statsBy is what a query of CloudWatch Logs Insights counts, and by which fields.
var statsBy = regexp.MustCompile(`\| stats (.*) by ([^|]*) \|`)

// TestDashboardQuery: the queries ask only for fields that the function logs. Another
// one would be an empty column.
func TestDashboardQuery(t *testing.T) {
	t.Parallel()
	source := read(t, "tell.go")
	for _, w := range load(t).deploy(needed).dashboard() {
		if w.Type != "log" {
			continue
		}
		if !strings.HasPrefix(w.Properties.Query, "SOURCE '${FunctionLogGroup}' | filter message = 'delivery' and status ") {
			t.Errorf("%q asks for other lines than the function's one a delivery: %s", w.Properties.Title, w.Properties.Query)
		}
		counted := statsBy.FindStringSubmatch(w.Properties.Query)
		if counted == nil {
			t.Fatalf("%q is asked in a way that this test does not know: %s", w.Properties.Title, w.Properties.Query)
		}
		for _, field := range append(strings.Split(counted[2], ", "), "status", "error") {
			if !strings.Contains(source, `"`+field+`", `) {
				t.Errorf("%q asks for %s, which is not logged", w.Properties.Title, field)
			}
		}
	}
}

// TestPicture holds the picture to the template's dashboard, or redraws it.
func TestPicture(t *testing.T) {
	t.Parallel()
	const name = root + "docs/dashboard.svg"
	drawn := draw(t, load(t).deploy(needed).dashboard())
	if *update {
		if err := os.WriteFile(name, []byte(drawn), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	kept, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if drawn != string(kept) {
		t.Error("docs/dashboard.svg is not the template's dashboard any more: go test ./internal/stack -update")
	}
}
