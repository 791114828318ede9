// Package report turns the results of checks into something that people look at: one
// HTML page without outside resources, or CSV: `make report`. It takes results as they
// come from a topic, a queue, a bus or a log, and keeps the newest of each vault and
// destination.
package report

import (
	"bytes"
	"cmp"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"cbr-replicator/internal/kind"
	"cbr-replicator/internal/result"
)

// Run makes a report as args say: of the files that are named, or of standard input,
// or of the messages of a queue. It is written to out, or to the file of -out.
func Run(ctx context.Context, args []string, out io.Writer) error {
	var asCSV bool
	var queue, file string
	flags := flag.NewFlagSet("report", flag.ContinueOnError)
	flags.SetOutput(out)
	flags.BoolVar(&asCSV, "csv", false, "write CSV, not HTML")
	flags.StringVar(&queue, "queue", "", "the `URL` of a queue that is subscribed to the result topic; its messages are read, and stay")
	flags.StringVar(&file, "out", "", "the `file` to write")
	if err := flags.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return nil
		}
		return err
	}
	var r Report
	switch {
	case queue != "" && flags.NArg() > 0:
		return errors.New("-queue: expected no files beside it")
	case queue != "":
		if err := r.readQueue(ctx, queue); err != nil {
			return err
		}
	case flags.NArg() == 0:
		if err := r.Read(os.Stdin); err != nil {
			return fmt.Errorf("standard input: %w", err)
		}
	}
	for _, name := range flags.Args() {
		f, err := os.Open(name)
		if err != nil {
			return err
		}
		err = r.Read(f)
		f.Close()
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	if len(r.Vaults()) == 0 {
		return fmt.Errorf("no result of a check among %d events", r.events)
	}
	write := r.HTML
	if asCSV {
		write = r.CSV
	}
	var b bytes.Buffer
	if err := write(&b); err != nil {
		return err
	}
	if file == "" {
		_, err := out.Write(b.Bytes())
		return err
	}
	return os.WriteFile(file, b.Bytes(), 0o644) //nolint:gosec // a report is for others to read
}

// Report has the newest result of a check for each vault and destination. The zero
// Report is empty. It is not safe for concurrent use.
type Report struct {
	newest map[place]*Vault
	events int
}

type place struct{ vault, destination, region string }

// Vault is what the newest check of a vault says of one destination.
type Vault struct {
	VaultID            string
	SourceRegion       string
	ProjectID          string
	DestinationVaultID string
	DestinationRegion  string
	// Status is current, stale, rejected or failed.
	Status  kind.Status
	Kind    kind.Kind
	Message string
	Checked time.Time
	// Replica is nil if the check could not be made.
	Replica *result.Replica
}

// event is as much of a result event as a report needs. What carries one has a text
// or an object of one of these names.
type event struct {
	Type string    `json:"type"`
	Time time.Time `json:"time"`
	Data struct {
		Status  kind.Status `json:"status"`
		Request struct {
			ProjectID string `json:"project_id"`
			Region    string `json:"region"`
			Check     *struct {
				VaultID            string `json:"vault_id"`
				DestinationVaultID string `json:"destination_vault_id"`
				DestinationRegion  string `json:"destination_region"`
			} `json:"check"`
		} `json:"request"`
		Replica *result.Replica `json:"replica"`
		Error   *result.Error   `json:"error"`
	} `json:"data"`

	// Of an SNS notification, an SQS message, an answer of ReceiveMessage, a Lambda
	// event and an EventBridge event.
	Message  string            `json:"Message"`
	Body     string            `json:"Body"`
	Messages []json.RawMessage `json:"Messages"`
	Detail   json.RawMessage   `json:"detail"`
}

// Read adds the results of a stream of JSON texts, one after the other or in lists.
// Events of other kinds are left out.
func (r *Report) Read(from io.Reader) error {
	d := json.NewDecoder(from)
	for {
		var raw json.RawMessage
		if err := d.Decode(&raw); err != nil {
			if errors.Is(err, io.EOF) {
				return nil
			}
			return fmt.Errorf("after %d events, at byte %d: %w", r.events, d.InputOffset(), err)
		}
		r.add(raw, 4)
	}
}

// add adds the result in a JSON text, which may be in so many envelopes.
func (r *Report) add(raw json.RawMessage, envelopes int) {
	if envelopes == 0 {
		return
	}
	var list []json.RawMessage
	if json.Unmarshal(raw, &list) == nil {
		for _, one := range list {
			r.add(one, envelopes-1)
		}
		return
	}
	var e event
	if err := json.Unmarshal(raw, &e); err != nil {
		return
	}
	switch {
	case len(e.Messages) > 0:
		for _, m := range e.Messages {
			r.add(m, envelopes-1)
		}
	case e.Message != "":
		r.add(json.RawMessage(e.Message), envelopes-1)
	case e.Body != "":
		r.add(json.RawMessage(e.Body), envelopes-1)
	case len(e.Detail) > 0:
		r.add(e.Detail, envelopes-1)
	default:
		r.events++
		r.keep(&e)
	}
}

// keep keeps an event if it is the newest of its vault and destination.
func (r *Report) keep(e *event) {
	asked := e.Data.Request.Check
	if asked == nil || asked.VaultID == "" || !slices.Contains(shown, e.Data.Status) {
		return
	}
	v := &Vault{
		VaultID: asked.VaultID, ProjectID: e.Data.Request.ProjectID, SourceRegion: e.Data.Request.Region,
		DestinationVaultID: asked.DestinationVaultID, DestinationRegion: asked.DestinationRegion,
		Status: e.Data.Status, Checked: e.Time, Replica: e.Data.Replica,
	}
	if err := e.Data.Error; err != nil {
		v.Kind, v.Message = err.Kind, err.Message
	}
	at := place{v.VaultID, v.DestinationVaultID, v.DestinationRegion}
	if known := r.newest[at]; known != nil && known.Checked.After(v.Checked) {
		return
	}
	if r.newest == nil {
		r.newest = map[place]*Vault{}
	}
	r.newest[at] = v
}

// shown are the statuses of checks, the worst first.
var shown = []kind.Status{kind.Aged, kind.Failed, kind.Refused, kind.Current}

// Vaults returns all vaults, the worst first: without a replica, then by how much of
// the allowed age the oldest replica has.
func (r *Report) Vaults() []*Vault {
	var all []*Vault
	for _, v := range r.newest {
		all = append(all, v)
	}
	slices.SortFunc(all, func(a, b *Vault) int {
		return cmp.Or(
			cmp.Compare(slices.Index(shown, a.Status), slices.Index(shown, b.Status)),
			cmp.Compare(b.share(), a.share()),
			cmp.Compare(a.VaultID, b.VaultID),
			cmp.Compare(a.DestinationVaultID, b.DestinationVaultID),
		)
	})
	return all
}

// share is the age of the oldest replica by the allowed one. Without a replica it is
// more than any.
func (v *Vault) share() float64 {
	switch {
	case v.Replica == nil:
		return 0
	case v.Kind == kind.NeverReplicated:
		return 1e9
	case v.Replica.AgeS == nil || v.Replica.MaxAgeS == 0:
		return 0
	}
	return float64(*v.Replica.AgeS) / float64(v.Replica.MaxAgeS)
}

// CSV writes one line for each vault, with a head.
func (r *Report) CSV(to io.Writer) error {
	w := csv.NewWriter(to)
	_ = w.Write([]string{
		"vault_id", "source_region", "project_id", "destination_vault_id", "destination_region", "status", "kind", "age_s", "max_age_s",
		"resources", "stale", "never", "worst_resource", "backups", "replicated", "copying", "failed", "checked_at", "message",
	})
	for _, v := range r.Vaults() {
		line := []string{v.VaultID, v.SourceRegion, v.ProjectID, v.DestinationVaultID, v.DestinationRegion, string(v.Status), string(v.Kind)}
		if p := v.Replica; p != nil {
			age, worst := "", ""
			if p.AgeS != nil {
				age = strconv.FormatInt(*p.AgeS, 10)
			}
			if p.Worst != nil {
				worst = cmp.Or(p.Worst.ResourceName, p.Worst.ResourceID)
			}
			line = append(line, age, strconv.FormatInt(p.MaxAgeS, 10), strconv.Itoa(p.Resources.Total), strconv.Itoa(p.Resources.Stale), strconv.Itoa(p.Resources.Never),
				worst, strconv.Itoa(p.Backups), strconv.Itoa(p.Replicated), strconv.Itoa(p.Copying), strconv.Itoa(p.Failed))
		} else {
			line = append(line, make([]string, 10)...)
		}
		line = append(line, v.Checked.UTC().Format(time.RFC3339), v.Message)
		for i, cell := range line {
			// A spreadsheet would take such a text for a formula.
			if cell != "" && strings.ContainsRune("=+-@\t\r", rune(cell[0])) {
				line[i] = "'" + cell
			}
		}
		_ = w.Write(line)
	}
	w.Flush()
	return w.Error()
}
