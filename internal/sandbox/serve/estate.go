package serve

import (
	"cmp"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"time"

	"cbr-replicator/internal/kind"
	"cbr-replicator/internal/report"
)

// moveBy is by how much the button moves CBR's time on.
const moveBy = 12 * time.Hour

// plans knows the latest plan with what became of its requests, and the newest check of each vault. Its zero value is ready. It is
// safe for concurrent use.
type plans struct {
	mu     sync.Mutex
	latest planResult
	states map[string]vaultState // of the latest plan's requests, by vault
	checks report.Report
	seen   map[string]time.Time // when a check was seen by CBR's clock, by vault and destination
}

// planResult is what the page needs of the result of a plan, and of the results of its requests.
type planResult struct {
	ID            string
	CorrelationID string
	Data          struct {
		Status  string
		Stage   string
		Request struct {
			Check struct {
				VaultID            string `json:"vault_id"`
				DestinationVaultID string `json:"destination_vault_id"`
			}
			Replicate struct {
				VaultID string `json:"vault_id"`
			}
		}
		Error  struct{ Kind string }
		Copies counts
		Plan   *struct {
			Seen, Selected, Requests int
			DryRun                   bool `json:"dry_run"`
			Vaults                   []struct {
				VaultID            string `json:"vault_id"`
				Name               string
				DestinationVaultID string `json:"destination_vault_id"`
			}
			Skipped []struct {
				VaultID      string `json:"vault_id"`
				Name, Reason string
			}
		}
	}
}

// vaultState is what became of a plan's request.
type vaultState struct {
	status, text string
	accepted     string // the id of the accepted event
}

// see takes a result that was published at a time of CBR's clock.
func (p *plans) see(message string, at time.Time) {
	var e planResult
	if json.Unmarshal([]byte(message), &e) != nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if e.Data.Plan != nil {
		p.latest, p.states = e, map[string]vaultState{}
		return
	}
	vault := e.Data.Request.Replicate.VaultID
	if check := e.Data.Request.Check; check.VaultID != "" {
		vault = check.VaultID
		if p.seen == nil {
			p.seen = map[string]time.Time{}
		}
		p.seen[check.VaultID+check.DestinationVaultID] = at
		_ = p.checks.Read(strings.NewReader(message)) // it was read above
	}
	if p.latest.Data.Plan == nil || e.CorrelationID != p.latest.CorrelationID || vault == "" {
		return
	}
	state := vaultState{status: e.Data.Status, text: e.Data.Error.Kind}
	switch {
	case e.Data.Stage == stageCopy:
		state.text = e.Data.Copies.String()
	case e.Data.Status == "accepted":
		state.accepted = e.ID
	}
	p.states[vault] = state
}

// handedBack takes a delivery of the latest plan's requests that is to be redelivered.
func (p *plans) handedBack(vault, why string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.states[vault].status == "" && p.states != nil {
		p.states[vault] = vaultState{status: "redelivered", text: why}
	}
}

func (p *plans) clear() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.latest, p.states, p.checks, p.seen = planResult{}, nil, report.Report{}, nil
}

// shownPlan is the latest plan, as the page shows it.
type shownPlan struct {
	ID     string       `json:"id"`
	Text   string       `json:"text"`
	Vaults []shownVault `json:"vaults"`
}

// shownVault is a vault of a plan.
type shownVault struct {
	ID          string `json:"id"`
	Name        string `json:"name"`
	Destination string `json:"destination"`
	Status      string `json:"status"`
	Text        string `json:"text"`
}

// shownCheck is the newest check of a vault.
type shownCheck struct {
	ID          string `json:"id"`
	Vault       string `json:"vault"`
	Destination string `json:"destination"`
	Status      string `json:"status"` // current, stale, never, or failed or rejected
	Age         *int64 `json:"age"`    // of the replica, now, in minutes
	Limit       int64  `json:"limit"`  // in minutes, 0 if the check could not be made
	Checked     int64  `json:"checked"`
	Text        string `json:"text"`
}

// showEstate tells the pages of the latest plan and of the checks. The caller holds showing.
func (r *rig) showEstate() {
	progress, copies := map[string]int{}, map[string]int{} // by accepted event
	for _, c := range r.account.Load().Copies() {
		accepted, _ := r.trackers.of(c.RecordID)
		progress[accepted] += c.Progress
		copies[accepted]++
	}
	r.plans.mu.Lock()
	defer r.plans.mu.Unlock()
	r.journal.show("plan", r.plans.plan(func(accepted string) string {
		return fmt.Sprintf("%d copies, %d %%", copies[accepted], progress[accepted]/max(copies[accepted], 1))
	}))
	r.journal.show("checks", r.plans.ages(r.now()))
}

// plan shows the latest plan. copying says how far the copies of an accepted request are. The caller holds mu.
func (p *plans) plan(copying func(accepted string) string) shownPlan {
	shown := shownPlan{ID: p.latest.ID, Vaults: []shownVault{}}
	plan := p.latest.Data.Plan
	if plan == nil {
		return shown
	}
	shown.Text = fmt.Sprintf("%d vaults seen, %d selected: %d requests, %d skipped", plan.Seen, plan.Selected, plan.Requests, len(plan.Skipped))
	if plan.DryRun {
		shown.Text += ". A dry run: nothing was sent"
	}
	for _, v := range plan.Vaults {
		state := p.states[v.VaultID]
		if state.accepted != "" {
			state.status, state.text = "copying", copying(state.accepted)
		}
		shown.Vaults = append(shown.Vaults, shownVault{v.VaultID, v.Name, v.DestinationVaultID, cmp.Or(state.status, "planned"), state.text})
	}
	for _, v := range plan.Skipped {
		shown.Vaults = append(shown.Vaults, shownVault{v.VaultID, v.Name, "", "skipped", v.Reason})
	}
	return shown
}

// ages shows how old the replicas are that the checks have seen, at a time of CBR's clock. The caller holds mu.
func (p *plans) ages(now time.Time) []shownCheck {
	shown := []shownCheck{}
	for _, v := range p.checks.Vaults() {
		since := now.Sub(p.seen[v.VaultID+v.DestinationVaultID])
		c := shownCheck{
			ID: v.VaultID + v.DestinationVaultID, Vault: v.VaultID, Destination: v.DestinationVaultID,
			Status: string(v.Status), Checked: int64(since.Minutes()), Text: string(v.Kind),
		}
		if v.Kind == kind.NeverReplicated {
			c.Status = "never"
		}
		if v.Replica != nil {
			c.Limit = v.Replica.MaxAgeS / 60
			if age := v.Replica.AgeS; age != nil {
				c.Age = new(int64((time.Duration(*age)*time.Second + since).Minutes()))
			}
		}
		shown = append(shown, c)
	}
	return shown
}

// now is CBR's time. The function's own is the machine's.
func (r *rig) now() time.Time { return time.Now().Add(time.Duration(r.ahead.Load())) }

// moveOn moves CBR's time on, so that replicas grow old.
func (r *rig) moveOn() error {
	ahead := time.Duration(r.ahead.Add(int64(moveBy)))
	r.journal.add(entry{Step: stepSwitch, Text: fmt.Sprintf("CBR's time is moved on by %.0f h, to %.0f h ahead", moveBy.Hours(), ahead.Hours())})
	r.showCopies()
	return nil
}
