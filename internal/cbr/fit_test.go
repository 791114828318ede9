package cbr_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"cbr-replicator/internal/cbr"
)

// TestFit: with any list and any encoding, the text keeps to the limit. It has the
// beginning of the list, as much as fits, and says how long the list was.
func TestFit(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		names := rapid.SliceOfN(rapid.StringMatching(`[a"<\\]{0,40}`), 0, 60).Draw(t, "names")
		backups := make([]string, len(names))
		for i, name := range names {
			quoted, _ := json.Marshal(name)
			backups[i] = strings.Repeat(" ", i%3) + `{"id":` + string(quoted) + `}`
		}
		extra := strings.Repeat("x", rapid.IntRange(0, 300).Draw(t, "extra"))
		replication := json.RawMessage(`{"backups":[` + strings.Join(backups, ",") + `],"vault_id":"v","other":"` + extra + `"}`)
		inText := rapid.Bool().Draw(t, "in a string")
		encode := func(r json.RawMessage) ([]byte, error) {
			if !inText {
				return json.Marshal(map[string]json.RawMessage{"replication": r})
			}
			return json.Marshal(map[string]string{"body": `{"replication":` + string(r) + `}`})
		}
		uncut, _ := encode(replication)
		limit := rapid.IntRange(200, len(uncut)+200).Draw(t, "limit")
		text, err := cbr.Fit(replication, limit, encode)
		if err != nil {
			t.Fatal(err)
		}
		if len(text) > limit {
			t.Fatalf("%d bytes, at most %d are allowed", len(text), limit)
		}
		if len(uncut) <= limit {
			if string(text) != string(uncut) {
				t.Fatalf("%s, but %s fits", text, uncut)
			}
			return
		}
		if inText {
			var outer struct{ Body string }
			if err := json.Unmarshal(text, &outer); err != nil {
				t.Fatal(err)
			}
			text = []byte(outer.Body)
		}
		var got struct {
			Replication struct {
				Backups []struct{ ID string }
				Total   int    `json:"backups_total"`
				Vault   string `json:"vault_id"`
			}
		}
		if err := json.Unmarshal(text, &got); err != nil {
			t.Fatal(err)
		}
		r := got.Replication
		if r.Total != len(names) || r.Vault != "v" || r.Backups == nil || len(r.Backups) > len(names) {
			t.Fatalf("%s of %d backups", text, len(names))
		}
		for i, b := range r.Backups {
			if b.ID != names[i] {
				t.Fatalf("backup %d is %q, want %q", i, b.ID, names[i])
			}
		}
	})
}

// TestFitNothing: a replication without a list cannot be cut. An encoder's error is
// returned as it is.
func TestFitNothing(t *testing.T) {
	t.Parallel()
	encode := func(r json.RawMessage) ([]byte, error) { return fmt.Appendf(nil, "%0300d%s", 0, r), nil }
	for _, replication := range []string{``, `null`, `[]`, `5`, `{"backups":[{}]}`} {
		if _, err := cbr.Fit(json.RawMessage(replication), 200, encode); !errors.Is(err, cbr.ErrTooLong) {
			t.Errorf("%s: %v", replication, err)
		}
	}
	broken := errors.New("broken")
	if _, err := cbr.Fit(nil, 200, func(json.RawMessage) ([]byte, error) { return nil, broken }); !errors.Is(err, broken) {
		t.Errorf("error %v, want the encoder's", err)
	}
	if text, err := cbr.Fit(json.RawMessage(`{"backups":null,"new":"`+strings.Repeat("x", 300)+`"}`), 200, func(r json.RawMessage) ([]byte, error) { return r, nil }); err != nil || string(text) != `{"backups":[]}` {
		t.Errorf("%s, %v", text, err)
	}
}

// TestFitTwice: a list that was cut and is cut again still says how long it was.
func TestFitTwice(t *testing.T) {
	t.Parallel()
	text := []byte(`{"backups":[` + strings.TrimSuffix(strings.Repeat(`{"backup_id":"b"},`, 50), ",") + `],"vault_id":"v"}`)
	for _, limit := range []int{500, 200, 60} {
		var err error
		if text, err = cbr.Fit(text, limit, func(r json.RawMessage) ([]byte, error) { return r, nil }); err != nil {
			t.Fatal(err)
		}
		var got struct {
			Backups []struct{} `json:"backups"`
			Total   int        `json:"backups_total"`
		}
		if err := json.Unmarshal(text, &got); err != nil || len(text) > limit || got.Total != 50 || len(got.Backups) >= 50 {
			t.Errorf("%s, %v", text, err)
		}
	}
}
