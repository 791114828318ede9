package report_test

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"cbr-replicator/internal/kind"
	"cbr-replicator/internal/report"
	"cbr-replicator/internal/result"
)

// check is a result event of a check, as the function publishes it.
func check(vault string, status kind.Status, k kind.Kind, at time.Time, replica *result.Replica) string {
	data := map[string]any{
		"status":  status,
		"request": map[string]any{"project_id": "p", "region": "r1", "check": map[string]any{"vault_id": vault, "destination_vault_id": "d", "destination_region": "r2", "max_age": "108000s"}},
	}
	if replica != nil {
		data["replica"] = replica
	}
	if k != kind.None {
		data["error"] = result.ErrorOf(&kind.Error{Kind: k, Message: "because of <b>"})
	}
	text, _ := json.Marshal(map[string]any{"specversion": "1.0", "type": kind.EventType(true, status), "time": at, "data": data})
	return string(text)
}

func aged(age int64, change ...func(*result.Replica)) *result.Replica {
	r := &result.Replica{AgeS: &age, MaxAgeS: 108_000, Resources: result.Resources{Total: 1}, Backups: 3, Replicated: 2}
	for _, c := range change {
		c(r)
	}
	return r
}

var noon = time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)

func quoted(text string) string {
	q, _ := json.Marshal(text)
	return string(q)
}

// stream has results of six vaults in all envelopes, and what is none.
func stream() string {
	return strings.Join([]string{
		check("v-current", kind.Current, "", noon, aged(7200)),
		check("v-twice", kind.Aged, kind.Stale, noon.Add(-time.Hour), aged(200_000)),
		`{"Type":"Notification","Message":` + quoted(check("v-twice", kind.Current, "", noon, aged(3600))) + `}`,
		`{"Messages":[{"Body":` + quoted(check("v-old", kind.Aged, kind.Stale, noon, aged(120_000))) + `},{"Body":"none"}]}`,
		`[` + check("v-older", kind.Aged, kind.Stale, noon, aged(400_000, func(r *result.Replica) {
			r.Worst = &result.WorstResource{ResourceID: "s", ResourceName: "=web"}
		})) + `]`,
		`{"detail-type":"x","detail":` + check("v-never", kind.Aged, kind.NeverReplicated, noon, &result.Replica{MaxAgeS: 108_000, Resources: result.Resources{Total: 2, Never: 2}}) + `}`,
		check("v-failed", kind.Failed, kind.Throttled, noon, nil),
		`{"specversion":"1.0","type":"cbr.checkpoint.replication.accepted.v1","data":{"status":"accepted"}}`, `5`, `null`, `"text"`, `{"data":5}`,
	}, "\n")
}

// TestReport: the newest of each vault, the worst first, as page and as CSV.
func TestReport(t *testing.T) {
	t.Parallel()
	var r report.Report
	if err := r.Read(strings.NewReader(stream())); err != nil {
		t.Fatal(err)
	}
	var order []string
	for _, v := range r.Vaults() {
		order = append(order, v.VaultID+" "+string(v.Status))
	}
	want := []string{"v-never stale", "v-older stale", "v-old stale", "v-failed failed", "v-current current", "v-twice current"}
	if diff := cmp.Diff(want, order); diff != "" {
		t.Errorf("order (-want +got):\n%s", diff)
	}

	var table, page bytes.Buffer
	if err := r.CSV(&table); err != nil {
		t.Fatal(err)
	}
	lines, err := csv.NewReader(&table).ReadAll()
	if err != nil || len(lines) != 7 {
		t.Fatalf("%d lines, %v", len(lines), err)
	}
	if got := lines[2]; got[0] != "v-older" || got[7] != "400000" || got[12] != "'=web" || got[17] != "2026-11-28T12:00:00Z" {
		t.Errorf("line %q", got)
	}

	if err := r.HTML(&page); err != nil {
		t.Fatal(err)
	}
	text := page.String()
	for _, want := range []string{
		`<li class="never"><b>1</b> never replicated</li>`, `<li class="stale"><b>2</b> too old</li>`, `<li class="unknown"><b>1</b> not checked</li>`, `<li class="current"><b>2</b> current</li>`,
		"4 d 15 h of 30 h 0 min, over the limit", "2 h 0 min of 30 h 0 min<", "no replica yet, limit 30 h 0 min", "Throttled: because of &lt;b&gt;", "worst: =web", `style="width:6%"`,
	} {
		if !strings.Contains(text, want) {
			t.Errorf("the page lacks %s", want)
		}
	}
	for _, not := range []string{"http://", "https://", "<script", "<link", "<b>\"", "url("} {
		if strings.Contains(text, not) {
			t.Errorf("the page has %s", not)
		}
	}
}

// TestOrderOfReading: in whatever order results come, the report is the same.
func TestOrderOfReading(t *testing.T) {
	t.Parallel()
	lines := strings.Split(stream(), "\n")
	page := func(lines []string) string {
		var r report.Report
		var b bytes.Buffer
		if err := r.Read(strings.NewReader(strings.Join(lines, "\n"))); err != nil {
			t.Fatal(err)
		}
		if err := r.HTML(&b); err != nil {
			t.Fatal(err)
		}
		return b.String()
	}
	want := page(lines)
	rapid.Check(t, func(t *rapid.T) {
		if got := page(rapid.Permutation(lines).Draw(t, "lines")); got != want {
			t.Error("another page")
		}
	})
}

// FuzzRead: nothing panics, and what is kept can be shown.
func FuzzRead(f *testing.F) {
	f.Add(stream())
	f.Fuzz(func(t *testing.T, text string) {
		var r report.Report
		if r.Read(strings.NewReader(text)) != nil {
			return
		}
		if err := r.HTML(&bytes.Buffer{}); err != nil {
			t.Error(err)
		}
		if err := r.CSV(&bytes.Buffer{}); err != nil {
			t.Error(err)
		}
	})
}

// TestRun: files in, a file or standard output out, and errors that name what is wrong.
func TestRun(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	in, broken, empty, out := filepath.Join(dir, "in.json"), filepath.Join(dir, "broken.json"), filepath.Join(dir, "empty.json"), filepath.Join(dir, "out.html")
	for name, text := range map[string]string{in: stream(), broken: `{"type":`, empty: `{"data":{"status":"accepted"}}`} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var b bytes.Buffer
	if err := report.Run(t.Context(), []string{"-out", out, in}, &b); err != nil || b.Len() > 0 {
		t.Errorf("%v, %s", err, &b)
	}
	if page, err := os.ReadFile(out); err != nil || !bytes.HasPrefix(page, []byte("<!doctype html>")) {
		t.Errorf("%v: %.40s", err, page)
	}
	if err := report.Run(t.Context(), []string{"-csv", in, in}, &b); err != nil || strings.Count(b.String(), "\n") != 7 {
		t.Errorf("%v: %s", err, &b)
	}
	for want, args := range map[string][]string{
		"no result of a check among 1 events": {empty},
		"no such file":                        {filepath.Join(dir, "none")},
		"broken.json: after 0 events":         {broken},
		"-queue: expected no files beside it": {"-queue", "u", in},
	} {
		if err := report.Run(t.Context(), args, &b); err == nil || !strings.Contains(fmt.Sprint(err), want) {
			t.Errorf("%v: %v, want %s", args, err, want)
		}
	}
}
