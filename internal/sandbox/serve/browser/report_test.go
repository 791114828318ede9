//go:build browser

package browser_test

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/chromedp/chromedp"
)

// checks are results of checks, as the function publishes them: a vault without a replica, two whose replicas are too old, one
// that could not be checked, and some that are current.
func checks() string {
	type object = map[string]any
	const limit = 30 * 3600
	var lines []string
	add := func(vault, status, kind, message string, replica object) {
		data := object{"status": status, "request": object{
			"project_id": "f841e01fd2b14e7fa41b6ae7aa6b0594", "region": "region1",
			"check": object{"vault_id": vault, "destination_vault_id": "0ca3eb86-8800-46da-9c37-9d657a825274", "destination_region": "region2"},
		}}
		if replica != nil {
			replica["max_age_s"] = limit
			data["replica"] = replica
		}
		if kind != "" {
			data["error"] = object{"kind": kind, "message": message}
		}
		line, _ := json.Marshal(object{"specversion": "1.0", "time": "2026-11-28T06:00:00Z", "data": data})
		lines = append(lines, string(line))
	}
	worst := func(name string) object { return object{"resource_id": "r", "resource_name": name} }
	add("149128a7-39f0-4c1e-8d1b-5f3c6d0a7e11", "stale", "NeverReplicated", "1 of 1 resources have no replica there", object{
		"resources": object{"total": 1, "never": 1}, "worst": worst("test-01"), "backups": 2, "failed": 1,
	})
	add("0b24a3ba-7a0c-4d54-b8f0-1c5d2e9f3a22", "stale", "Stale", "too old", object{
		"age_s": 4*86400 + 15*3600, "resources": object{"total": 3, "current": 2, "stale": 1}, "worst": worst("db-04"), "backups": 12, "replicated": 7, "failed": 2,
	})
	add("50a95e16-1d3f-4b72-9c11-8e0a4b7d6c33", "stale", "Stale", "too old", object{
		"age_s": 32 * 3600, "resources": object{"total": 1, "stale": 1}, "worst": worst("db-02"), "backups": 6, "replicated": 5, "copying": 1,
	})
	add("62f3847c-5e2d-4f80-a7b3-2d9c1e6f5b44", "failed", "Throttled", "CBR throttles, and no time is left", nil)
	for i, hours := range []int{26, 14, 3} {
		add(fmt.Sprintf("%d82d2ff5-4c6b-4a3d-9e57-7b1f0d8c2a5%d", i, i), "current", "", "", object{
			"age_s": hours * 3600, "resources": object{"total": 1 + i, "current": 1 + i}, "backups": 14, "replicated": 14 - i, "copying": i,
		})
	}
	return strings.Join(lines, "\n")
}

// TestReport: the page of `make report` needs nothing from elsewhere, and can be read in light, in dark, on paper and on a small
// screen.
func TestReport(t *testing.T) {
	dir := t.TempDir()
	in, out := filepath.Join(dir, "results.json"), filepath.Join(dir, "report.html")
	if err := os.WriteFile(in, []byte(checks()), 0o644); err != nil {
		t.Fatal(err)
	}
	report := exec.Command("go", "run", "./cmd/report", "-out", out, in)
	report.Dir = root
	if text, err := report.CombinedOutput(); err != nil {
		t.Fatalf("making the report: %v\n%s", err, text)
	}
	var mu sync.Mutex
	var requests []string
	p := tab{t, browse(t, func(url string) {
		mu.Lock()
		defer mu.Unlock()
		requests = append(requests, url)
	})}
	address := "file://" + out
	p.do("opening the report", chromedp.EmulateViewport(1280, 640), chromedp.Navigate(address))
	scheme(p, "light")
	states := eval[[]string](p, `[...document.querySelectorAll('tbody .state')].map((e) => e.textContent)`)
	if want := []string{"never replicated", "too old", "too old", "failed", "current", "current", "current"}; !slices.Equal(states, want) {
		t.Errorf("states %q, want %q", states, want)
	}
	if summary := eval[string](p, `[...document.querySelectorAll('ul b')].map((e) => e.textContent).join()`); summary != "1,2,1,3" {
		t.Errorf("summary %s", summary)
	}
	if bars := eval[[]float64](p, `[...document.querySelectorAll('.bar span')].map((e) => Math.round(100 * e.offsetWidth / e.parentElement.clientWidth))`); !slices.Equal(bars, []float64{100, 100, 87, 47, 10}) && !slices.Equal(bars, []float64{100, 100, 86, 46, 10}) {
		t.Errorf("the bars are %v percent long", bars)
	}
	p.picture("report.png", "one vault was never replicated, two replicas are too old, one check failed, three vaults are current", 120_000)
	grounds := map[string]bool{}
	for _, m := range [][2]string{{"screen", "light"}, {"screen", "dark"}, {"print", "light"}, {"print", "dark"}} {
		media(p, m[0], m[1])
		checkContrast(p, strings.Join(m[:], " "))
		ground := eval[string](p, `getComputedStyle(document.body).backgroundColor`)
		if m[0] == "print" && ground != "rgb(255, 255, 255)" {
			t.Errorf("on paper in %s the ground is %s", m[1], ground)
		}
		grounds[ground] = true
	}
	if len(grounds) != 3 {
		t.Errorf("light, dark and paper have the grounds %v", grounds)
	}
	scheme(p, "light")
	p.do("a small screen", chromedp.EmulateViewport(360, 667))
	if got := eval[int64](p, `document.documentElement.scrollWidth`); got > 360 {
		t.Errorf("at 360 px the page is %d px wide", got)
	}
	p.tabTo(".table") // it scrolls, so the keyboard must get there
	mu.Lock()
	defer mu.Unlock()
	if want := []string{address}; !slices.Equal(requests, want) {
		t.Errorf("requests %q, want %q", requests, want)
	}
}
