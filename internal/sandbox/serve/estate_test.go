package serve

import (
	"io/fs"
	"testing"
	"time"

	"cbr-replicator/internal/sandbox/account"
)

// untilShown waits until the page's view of that name is as wanted, and returns it.
func untilShown[T any](s *site, name string, is func(T) bool) T {
	s.Helper()
	for {
		e := s.next()
		if e.name != name {
			continue
		}
		if shown := decode[T](s, e.data); is(shown) {
			return shown
		}
	}
}

// byStatus counts vaults by what the page says of them.
func byStatus(p shownPlan) map[string]int {
	counts := map[string]int{}
	for _, v := range p.Vaults {
		counts[v.Status]++
	}
	return counts
}

func payload(t *testing.T, name string) string {
	t.Helper()
	text, err := fs.ReadFile(account.Estate(), name+".json")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestEstate: the page shows a dry run, a plan whose copies end, and replicas that grow old.
func TestEstate(t *testing.T) {
	s := open(t, pace{copyTime: time.Second, delay: 50 * time.Millisecond, look: 100 * time.Millisecond, followed: time.Minute})
	s.post(invocations, payload(t, "plan-dry-run"))
	dry := untilShown(s, "plan", func(p shownPlan) bool { return p.ID != "" })
	if got := byStatus(dry); got["planned"] != 22 || got["skipped"] != 2 {
		t.Errorf("a dry run: %v", got)
	}
	s.post("/queue", payload(t, "plan"))
	untilShown(s, "plan", func(p shownPlan) bool { return byStatus(p)["copying"] > 0 })
	untilShown(s, "plan", func(p shownPlan) bool { return byStatus(p)["completed"] == 22 })

	checked := func(want map[string]int) []shownCheck {
		t.Helper()
		s.post("/queue", payload(t, "plan-check"))
		return untilShown(s, "checks", func(all []shownCheck) bool {
			got := map[string]int{}
			for _, c := range all {
				got[c.Status]++
			}
			for status, n := range want {
				if got[status] != n {
					return false
				}
			}
			return true
		})
	}
	first := checked(map[string]int{"never": 1, "current": 22})
	if c := first[0]; c.Status != "never" || c.Age != nil || c.Limit != 30*60 {
		t.Errorf("the worst: %+v", c)
	}
	s.post("/time", "")
	untilShown(s, "checks", func(all []shownCheck) bool {
		for _, c := range all {
			if c.Status == "current" && c.Age != nil && *c.Age > c.Limit && c.Checked >= 12*60 {
				return true // it has grown old, and no check says so yet
			}
		}
		return false
	})
	checked(map[string]int{"never": 1, "stale": 11, "current": 11})
	s.post("/start-over", "")
	untilShown(s, "checks", func(all []shownCheck) bool { return len(all) == 0 })
}
