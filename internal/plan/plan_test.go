package plan_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"cbr-replicator/events"
	"cbr-replicator/internal/allow"
	"cbr-replicator/internal/cbr"
	"cbr-replicator/internal/cbr/cbrtest"
	"cbr-replicator/internal/delivery"
	"cbr-replicator/internal/huawei"
	"cbr-replicator/internal/kind"
	"cbr-replicator/internal/plan"
	"cbr-replicator/internal/redact"
	"cbr-replicator/internal/result"
	"cbr-replicator/internal/retry"
)

// vaults is a list of vaults. Before it is read, fail may return an error.
type vaults struct {
	all   []cbr.Vault
	fail  func(call int) error
	calls int
}

func (v *vaults) ListVaults(_ context.Context, src huawei.Scope, ids []string, each func(*cbr.Vault)) error {
	if src != (huawei.Scope{ProjectID: cbrtest.SourceProject, Region: cbrtest.SourceRegion}) {
		return fmt.Errorf("another project: %v", src)
	}
	v.calls++
	var err error
	if v.fail != nil {
		err = v.fail(v.calls)
	}
	for i := range v.all {
		if err != nil && i > 0 {
			break // a part of them was seen
		}
		if len(ids) == 0 || slices.Contains(ids, strings.ToLower(v.all[i].ID)) {
			copied := v.all[i]
			each(&copied)
		}
	}
	return err
}

// sender keeps what is sent.
type sender struct {
	most int
	err  error
	sent []plan.Message
}

func (s *sender) Most() int { return s.most }

func (s *sender) Send(_ context.Context, messages []plan.Message) error {
	s.sent = append(s.sent, messages...)
	return s.err
}

func id(n int) string { return fmt.Sprintf("00000000-0000-4000-8000-%012d", n) }

// vault returns a vault with backups and tags, which are keys and values in turn.
func vault(n int, tags ...string) cbr.Vault {
	v := cbr.Vault{ID: id(n), Name: fmt.Sprint("vault-", n), Backup: true}
	for pair := range slices.Chunk(tags, 2) {
		v.Tags = append(v.Tags, cbr.Tag{Key: pair[0], Value: pair[1]})
	}
	return v
}

func newAction(list *vaults, requests plan.Sender) *plan.Action {
	return &plan.Action{
		Vaults: list, Requests: requests,
		Allow:  &allow.List{Projects: []string{"*"}, Destinations: []allow.Destination{{Region: "*", ProjectID: "*"}}, Acceleration: true},
		Reads:  retry.Policy{Initial: time.Second, Max: time.Second, MaxAttempts: 3, MaxElapsed: time.Minute, Rand: func() float64 { return 0.5 }},
		Log:    slog.New(slog.DiscardHandler),
		Redact: &redact.Redactor{},
	}
}

// decoder is the function's own.
func decoder() *events.Decoder {
	return &events.Decoder{Redact: &redact.Redactor{}, MaxReceiveCount: 10, Defaults: events.Defaults{
		ProjectID: cbrtest.SourceProject, Region: cbrtest.SourceRegion, VaultID: cbrtest.SourceVault, DestinationVaultID: cbrtest.DestinationVault,
		DestinationProjectID: cbrtest.DestinationProject, DestinationRegion: cbrtest.DestinationRegion, MaxAge: 30 * time.Hour,
	}}
}

// request decodes the body of a message.
func request(t fataler, body string) delivery.Request {
	batch, err := decoder().Decode([]byte("["+body+"]"), delivery.Invocation{RequestID: "r", Began: time.Now()})
	if err != nil || batch.Deliveries[0].Err != nil {
		t.Fatalf("%s: %v, %v", body, err, batch.Deliveries[0].Err)
	}
	return batch.Deliveries[0].Request
}

// fataler is a *testing.T or a *rapid.T.
type fataler interface {
	Fatalf(format string, args ...any)
}

// carryOut carries out the plan of a body, as SQS delivers it.
func carryOut(t *testing.T, a *plan.Action, body string, change func(*delivery.Delivery)) delivery.Outcome {
	t.Helper()
	d := &delivery.Delivery{CorrelationID: "nightly", Request: request(t, body), Since: time.Now(), Queue: delivery.Queue{ARN: "arn", Receives: 1}}
	if change != nil {
		change(d)
	}
	return a.Open(delivery.Invocation{}).Do(t.Context(), d)
}

// names returns the last digits of the vaults that are planned, and why others are
// skipped.
func names(p *result.Plan) (planned []string, skipped map[string]string) {
	skipped = map[string]string{}
	for _, v := range p.Vaults {
		planned = append(planned, v.VaultID[35:]+">"+v.DestinationVaultID[:4])
	}
	for _, v := range p.Skipped {
		skipped[v.VaultID[35:]] = v.Reason
	}
	return planned, skipped
}

// TestSelect: which vaults are selected, where they are copied to, and what is skipped.
func TestSelect(t *testing.T) {
	t.Parallel()
	replicas := vault(5, "dr", "gold")
	replicas.Backup = false
	other := "ffff" + cbrtest.DestinationVault[4:]
	all := []cbr.Vault{
		vault(0, "dr", "gold"), vault(1, "dr", "silver", "team", "a"), vault(2, "dr", ""), vault(3, "team", "a", "dr-vault", strings.ToUpper(other)),
		vault(4, "DR", "gold", "dr-vault", "elsewhere"), replicas, vault(6, "dr", "bronze", "dr", "gold"), vault(7),
	}
	const noTag, noID = "it has no tag dr-vault", "its tag dr-vault is no vault id"
	for name, tt := range map[string]struct {
		choice  string
		want    []string
		seen    int
		skipped map[string]string
	}{
		"all":                  {`{}`, []string{"0>0ca3", "1>0ca3", "2>0ca3", "3>0ca3", "4>0ca3", "6>0ca3", "7>0ca3"}, 7, nil},
		"a value":              {`{"tags":[{"key":"dr","values":["gold"]}]}`, []string{"0>0ca3", "6>0ca3"}, 7, nil},
		"one of two values":    {`{"tags":[{"key":"dr","values":["gold","silver"]}]}`, []string{"0>0ca3", "1>0ca3", "6>0ca3"}, 7, nil},
		"the empty value":      {`{"tags":[{"key":"dr","values":[""]}]}`, []string{"2>0ca3"}, 7, nil},
		"any value":            {`{"tags":[{"key":"dr"}]}`, []string{"0>0ca3", "1>0ca3", "2>0ca3", "6>0ca3"}, 7, nil},
		"no values":            {`{"tags":[{"key":"dr","values":[]}]}`, []string{"0>0ca3", "1>0ca3", "2>0ca3", "6>0ca3"}, 7, nil},
		"every key":            {`{"tags":[{"key":"dr"},{"key":"team","values":["a","b"]}]}`, []string{"1>0ca3"}, 7, nil},
		"the same key twice":   {`{"tags":[{"key":"dr","values":["gold"]},{"key":"dr","values":["bronze"]}]}`, []string{"6>0ca3"}, 7, nil},
		"ids":                  {`{"vault_ids":["` + id(1) + `","` + id(7) + `"]}`, []string{"1>0ca3", "7>0ca3"}, 2, nil},
		"an id twice":          {`{"vault_ids":["` + id(1) + `","` + id(1) + `"]}`, []string{"1>0ca3"}, 1, nil},
		"an id that is not":    {`{"vault_ids":["` + id(1) + `","` + id(9) + `","` + id(9) + `"]}`, []string{"1>0ca3"}, 1, map[string]string{"9": "no vault with backups of the project has this id"}},
		"an id of replicas":    {`{"vault_ids":["` + id(5) + `","` + id(1) + `"]}`, []string{"1>0ca3"}, 1, map[string]string{"5": "no vault with backups of the project has this id"}},
		"destination by tag":   {`{"tags":[{"key":"team"}],"destination_vault_tag":"dr-vault"}`, []string{"3>ffff"}, 7, map[string]string{"1": noTag}},
		"a tag that is no id":  {`{"tags":[{"key":"dr-vault"}],"destination_vault_tag":"dr-vault"}`, []string{"3>ffff"}, 7, map[string]string{"4": noID}},
		"ids, and by tag":      {`{"vault_ids":["` + id(3) + `","` + id(4) + `","` + id(0) + `"],"destination_vault_tag":"dr-vault"}`, []string{"3>ffff"}, 3, map[string]string{"0": noTag, "4": noID}},
		"tags in another case": {`{"tags":[{"key":"DR"}]}`, []string{"4>0ca3"}, 7, nil},
	} {
		for _, action := range []string{"replicate", "check"} {
			t.Run(name+" "+action, func(t *testing.T) {
				t.Parallel()
				s := &sender{most: 10_000}
				o := carryOut(t, newAction(&vaults{all: all}, s), fmt.Sprintf(`{"select":%s,%q:{}}`, tt.choice, action), nil)
				if o.Err != nil || o.Success != kind.Planned {
					t.Fatalf("outcome %+v", o)
				}
				p := o.Data.Plan
				planned, skipped := names(p)
				if tt.skipped == nil {
					tt.skipped = map[string]string{}
				}
				if diff := cmp.Diff([]any{tt.want, tt.skipped}, []any{planned, skipped}); diff != "" {
					t.Errorf("planned, skipped (-want +got):\n%s", diff)
				}
				if p.Seen != tt.seen || p.Requests != len(tt.want) || p.Selected != len(tt.want)+len(tt.skipped) || len(s.sent) != len(tt.want) {
					t.Errorf("plan %+v, %d sent", p, len(s.sent))
				}
				for i, m := range s.sent {
					r := request(t, m.Body)
					if m.Group != r.Replicate.VaultID || m.Group != p.Vaults[i].VaultID || r.Replicate.DestinationVaultID != p.Vaults[i].DestinationVaultID ||
						r.Action != action || r.Select != nil || r.CorrelationID != "nightly" || strings.Contains(m.Body, "requested_at") != (action == "replicate") {
						t.Errorf("sent %s in %s", m.Body, m.Group)
					}
				}
			})
		}
	}
}

// TestNoRequest: a plan that ends without a request, and what is said of it.
func TestNoRequest(t *testing.T) {
	t.Parallel()
	throttled := &kind.Error{Kind: kind.Throttled, Message: "slow down"}
	many := make([]cbr.Vault, 10_001)
	for i := range many {
		many[i] = vault(i, "dr", "gold")
	}
	for name, tt := range map[string]struct {
		body    string
		list    vaults
		no      bool // queue
		most    int
		sendErr error
		denied  bool
		want    kind.Kind
		message string
		skipped int // in the result; -1: there is no plan in it
		sent    int
	}{
		"a misspelt tag":     {body: `{"select":{"tags":[{"key":"rd"}]}}`, list: vaults{all: many[:2]}, want: kind.NothingSelected, message: "none of 2 vaults with backups is selected"},
		"all skipped":        {body: `{"select":{"destination_vault_tag":"x"}}`, list: vaults{all: many[:2]}, want: kind.NothingSelected, message: "all 2 selected vaults were skipped, the first because of: it has no tag x", skipped: 2},
		"no vault":           {body: `{"select":{}}`, want: kind.NothingSelected},
		"a dry run of none":  {body: `{"select":{},"dry_run":true}`, want: kind.NothingSelected},
		"10,000":             {body: `{"select":{}}`, list: vaults{all: many[1:]}, sent: 10_000},
		"10,001":             {body: `{"select":{}}`, list: vaults{all: many}, want: kind.Rejected, message: "split it by tags"},
		"a dry run of them":  {body: `{"select":{},"dry_run":true}`, list: vaults{all: many}, want: kind.Rejected, message: "split it by tags"},
		"more than may be":   {body: `{"select":{}}`, list: vaults{all: many[:51]}, most: 50, want: kind.Rejected, message: "a plan takes 50"},
		"no queue":           {body: `{"select":{}}`, list: vaults{all: many[:2]}, no: true, want: kind.Misconfigured, message: "REQUEST_QUEUE_ARN", skipped: -1},
		"no queue, dry":      {body: `{"select":{},"dry_run":true}`, list: vaults{all: many[:2]}, no: true},
		"dry":                {body: `{"select":{},"dry_run":true}`, list: vaults{all: many[:2]}},
		"skipped, dry":       {body: `{"select":{"destination_vault_tag":"x"},"dry_run":true}`, list: vaults{all: many[:2]}, want: kind.NothingSelected, skipped: 2},
		"not allowed":        {body: `{"select":{}}`, list: vaults{all: many[:2]}, denied: true, want: kind.NothingSelected, message: "ALLOWED_DESTINATIONS", skipped: 2},
		"not sent":           {body: `{"select":{}}`, list: vaults{all: many[:2]}, sendErr: throttled, want: kind.Throttled, skipped: -1, sent: 2},
		"throttled for long": {body: `{"select":{}}`, list: vaults{all: many[:2], fail: func(int) error { return throttled }}, want: kind.Throttled, skipped: -1},
		"throttled once": {body: `{"select":{"tags":[{"key":"dr"}],"destination_vault_tag":"dr"}}`, list: vaults{all: many[:2], fail: func(call int) error {
			if call == 1 {
				return throttled
			}
			return nil
		}}, want: kind.NothingSelected, skipped: 2},
		"refused":    {body: `{"select":{}}`, list: vaults{all: many[:2], fail: func(int) error { return &kind.Error{Kind: kind.Unauthorized} }}, want: kind.Unauthorized, skipped: -1},
		"an odd id":  {body: `{"select":{}}`, list: vaults{all: []cbr.Vault{{ID: "0000", Backup: true}}}, want: kind.NothingSelected, message: "its id is not a UUID", skipped: 1},
		"no backups": {body: `{"select":{}}`, list: vaults{all: []cbr.Vault{{ID: id(1)}}}, want: kind.NothingSelected, message: "none of 0 vaults"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := &sender{most: 10_000, err: tt.sendErr}
				if tt.most > 0 {
					s.most = tt.most
				}
				a := newAction(&tt.list, s)
				if tt.no {
					a.Requests = nil
				}
				if tt.denied {
					a.Allow = &allow.List{Projects: []string{"*"}}
				}
				o := carryOut(t, a, tt.body, nil)
				if o.Err.Of() != tt.want || tt.want != "" && !strings.Contains(o.Err.Message, tt.message) || len(s.sent) != tt.sent {
					t.Errorf("error %v, %d sent; want %s, %d", o.Err, len(s.sent), tt.want, tt.sent)
				}
				p := o.Data.Plan
				if (p == nil) != (tt.skipped < 0) {
					t.Fatalf("plan %+v", p)
				}
				if p == nil {
					return
				}
				if len(p.Skipped) != tt.skipped || p.Selected != len(p.Vaults)+len(p.Skipped) || p.DryRun != strings.Contains(tt.body, "dry_run") {
					t.Errorf("plan %+v", p)
				}
				if requests := len(p.Vaults); p.Requests != requests && tt.want != kind.Rejected || tt.want == kind.Rejected && p.Requests != 0 {
					t.Errorf("%d requests, of %d vaults", p.Requests, requests)
				}
				skipped := 0
				for _, c := range o.Counts {
					if c.Name == "PlanSkipped" {
						skipped = c.Count
					}
				}
				if want := tt.skipped; p.DryRun && skipped != 0 || !p.DryRun && skipped != want {
					t.Errorf("metric PlanSkipped %d, with %d skipped", skipped, want)
				}
			})
		})
	}
}

// TestRequestedAt: the time that the requests of a plan have.
func TestRequestedAt(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		now := time.Now().UTC()
		ago := func(d time.Duration) time.Time { return now.Add(-d) }
		for name, tt := range map[string]struct {
			own    time.Time
			change func(*delivery.Delivery)
			want   time.Time
		}{
			"the plan's own":      {own: ago(20 * 24 * time.Hour), want: ago(20 * 24 * time.Hour)},
			"SQS's first receive": {change: func(d *delivery.Delivery) { d.Since = ago(100 * time.Hour) }, want: ago(100 * time.Hour)},
			"its fraction":        {change: func(d *delivery.Delivery) { d.Since = ago(1500 * time.Microsecond) }, want: ago(2 * time.Millisecond)},
			"the producer's":      {change: func(d *delivery.Delivery) { d.Queue, d.Claimed, d.Since = delivery.Queue{}, true, ago(15*time.Minute) }, want: ago(15 * time.Minute)},
			"the producer's, older": {change: func(d *delivery.Delivery) {
				d.Queue, d.Claimed, d.Since = delivery.Queue{}, true, ago(15*time.Minute+time.Second)
			}, want: now},
			"the producer's, to come":    {change: func(d *delivery.Delivery) { d.Queue, d.Claimed, d.Since = delivery.Queue{}, true, ago(-time.Hour) }, want: now},
			"a broker's, of hours ago":   {change: func(d *delivery.Delivery) { d.Queue, d.Since = delivery.Queue{}, ago(3*time.Hour) }, want: now},
			"a broker's, of minutes ago": {change: func(d *delivery.Delivery) { d.Queue, d.Since = delivery.Queue{}, ago(3*time.Minute) }, want: ago(3 * time.Minute)},
			"none":                       {change: func(d *delivery.Delivery) { d.Queue, d.Since = delivery.Queue{}, time.Time{} }, want: now},
		} {
			s := &sender{most: 10_000}
			o := carryOut(t, newAction(&vaults{all: []cbr.Vault{vault(1)}}, s), `{"select":{}}`, func(d *delivery.Delivery) {
				if tt.change != nil {
					tt.change(d)
				}
				d.Request.RequestedAt = tt.own
			})
			if o.Err != nil {
				t.Fatal(o.Err)
			}
			if got := request(t, s.sent[0].Body).RequestedAt; !got.Equal(tt.want) {
				t.Errorf("%s: %s, want %s", name, got, tt.want)
			}
		}
	})
}

// TestSentEqualsWrittenByHand: each message that a plan sends is accepted by the
// function's own decoder, and is the same request as one that a person writes for the
// vault. Carried out twice, a plan sends the same bodies.
func TestSentEqualsWrittenByHand(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 5).Draw(t, "vaults")
		list := &vaults{}
		for i := range n {
			v := vault(i)
			v.Name = rapid.String().Draw(t, "name")
			if rapid.Bool().Draw(t, "in capitals") {
				v.ID = strings.ToUpper(v.ID)
			}
			list.all = append(list.all, v)
		}
		action := rapid.SampledFrom([]string{"replicate", "check"}).Draw(t, "action")
		to := map[string]any{}
		for name, values := range map[string]*rapid.Generator[any]{
			"destination_vault_id":   rapid.SampledFrom([]any{id(77), strings.ToUpper(cbrtest.DestinationVault)}),
			"destination_project_id": rapid.SampledFrom([]any{strings.Repeat("aB", 16)}),
			"destination_region":     rapid.SampledFrom([]any{"eu-west-101"}),
			"auto_trigger":           rapid.SampledFrom([]any{true, false}),
			"enable_acceleration":    rapid.SampledFrom([]any{true, false}),
			"cross_account_urn":      rapid.Map(rapid.StringMatching(`[ -~]{1,512}`), func(s string) any { return s }),
			"max_age":                rapid.Map(rapid.StringMatching(`[1-9][0-9]{0,9}[smhd]`), func(s string) any { return s }),
		} {
			of := name == "max_age" && action == "check" || name != "max_age" && action == "replicate" || strings.HasPrefix(name, "destination")
			if of && rapid.Bool().Draw(t, name) {
				to[name] = values.Draw(t, name)
			}
		}
		body := map[string]any{"select": map[string]any{}, action: to}
		at := time.Now().Add(-time.Duration(rapid.IntRange(0, 1e15).Draw(t, "ago"))).UTC()
		if rapid.Bool().Draw(t, "at") {
			body["requested_at"] = at.Format(time.RFC3339Nano)
		}
		text, err := json.Marshal(body)
		if err != nil {
			t.Fatal(err)
		}
		d := &delivery.Delivery{
			CorrelationID: rapid.OneOf(rapid.StringMatching(`[!-~]{1,128}`), rapid.StringN(1, 200, -1)).Draw(t, "correlation"),
			Request:       request(t, string(text)), Since: at, Queue: delivery.Queue{ARN: "arn"},
		}
		s := &sender{most: 10_000}
		a := newAction(list, s)
		a.Allow.URNs = []string{}
		if urn := d.Request.Replicate.CrossAccountURN; urn != nil {
			a.Allow.URNs = append(a.Allow.URNs, *urn)
		}
		for range 2 {
			if o := a.Open(delivery.Invocation{}).Do(context.Background(), d); o.Err != nil {
				t.Fatal(o.Err)
			}
		}
		if len(s.sent) != 2*n || !slices.Equal(s.sent[:n], s.sent[n:]) {
			t.Fatalf("sent twice: %v", s.sent)
		}
		for i, m := range s.sent[:n] {
			got := request(t, m.Body)
			to["vault_id"] = list.all[i].ID
			delete(body, "select")
			byHand, err := json.Marshal(body)
			if err != nil {
				t.Fatal(err)
			}
			want := request(t, string(byHand))
			want.CorrelationID = got.CorrelationID
			if delivery.IsCorrelationID(d.CorrelationID) && got.CorrelationID != d.CorrelationID || !delivery.IsCorrelationID(got.CorrelationID) {
				t.Fatalf("correlation id %q of %q", got.CorrelationID, d.CorrelationID)
			}
			if action == "replicate" && want.RequestedAt.IsZero() {
				want.RequestedAt = result.Stamp(at)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Fatalf("%s (-by hand +sent):\n%s", m.Body, diff)
			}
		}
	})
}
