package report

import (
	"cmp"
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"time"

	"cbr-replicator/internal/kind"
)

//go:embed page.html
var pageText string

var page = template.Must(template.New("page").Parse(pageText))

// HTML writes a page that needs nothing from elsewhere.
func (r *Report) HTML(to io.Writer) error {
	view := struct {
		Groups []group
		Rows   []row
		From   string // the oldest check
		Until  string // the newest
	}{}
	counts := map[string]int{}
	var from, until time.Time
	for _, v := range r.Vaults() {
		row := rowOf(v)
		view.Rows = append(view.Rows, row)
		counts[row.Class]++
		if from.IsZero() || v.Checked.Before(from) {
			from = v.Checked
		}
		if v.Checked.After(until) {
			until = v.Checked
		}
	}
	for _, g := range []group{{"never", "never replicated", 0}, {"stale", "too old", 0}, {"unknown", "not checked", 0}, {"current", "current", 0}} {
		g.Count = counts[g.Class]
		view.Groups = append(view.Groups, g)
	}
	view.From, view.Until = stamp(from), stamp(until)
	return page.Execute(to, view)
}

// group is how many vaults are in one state.
type group struct {
	Class, Name string
	Count       int
}

// row is a vault as the page shows it.
type row struct {
	*Vault
	Class string
	State string
	// Age is the age of the oldest of the newest replicas, Limit what is allowed.
	Age, Limit string
	// Percent of the limit, at most 100, for the bar. Over: it is more.
	Percent int
	Over    bool
	Worst   string
	When    string
}

func rowOf(v *Vault) row {
	r := row{Vault: v, When: stamp(v.Checked), Class: "unknown", State: string(v.Status)}
	switch v.Status {
	case kind.Current:
		r.Class = "current"
	case kind.Aged:
		if r.Class, r.State = "stale", "too old"; v.Kind == kind.NeverReplicated {
			r.Class, r.State = "never", "never replicated"
		}
	}
	p := v.Replica
	if p == nil {
		return r
	}
	r.Limit = duration(p.MaxAgeS)
	if p.AgeS != nil {
		r.Age = duration(*p.AgeS)
		if p.MaxAgeS > 0 {
			r.Percent = int(min(*p.AgeS*100/p.MaxAgeS, 100))
			r.Over = *p.AgeS > p.MaxAgeS
		}
	}
	if w := p.Worst; w != nil && v.Status != kind.Current {
		r.Worst = cmp.Or(w.ResourceName, w.ResourceID)
	}
	return r
}

// duration is a number of seconds for people.
func duration(seconds int64) string {
	minutes := seconds / 60
	switch {
	case minutes >= 48*60:
		return fmt.Sprintf("%d d %d h", minutes/(24*60), minutes/60%24)
	case minutes >= 60:
		return fmt.Sprintf("%d h %d min", minutes/60, minutes%60)
	}
	return fmt.Sprintf("%d min", minutes)
}

func stamp(t time.Time) string { return t.UTC().Format("2006-01-02 15:04 UTC") }
