package redrive

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"cbr-replicator/internal/cbr/cbrtest"
	"cbr-replicator/internal/sandbox"
)

// TestRecords: each record is sent as it is, once, and what is none stays.
func TestRecords(t *testing.T) {
	t.Parallel()
	account := cbrtest.New()
	account.AddExample()
	topic, err := sandbox.NewSMNTopic("requests", account)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(topic.Close)
	folder := t.TempDir()
	record, err := os.ReadFile(filepath.Join("..", "..", "events", "functiongraph", "destination.json"))
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string][]byte{
		"a.json": record, "b.json": record, "c.json": []byte(`{"request_payload":{}}`), "d.json": []byte("text"), "note.txt": []byte("text"),
		"e.json": []byte(`{"request_payload":"` + strings.Repeat("x", 256<<10) + `"}`),
	} {
		if err := os.WriteFile(filepath.Join(folder, name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	env := map[string]string{"HW_SMN_ENDPOINT": topic.URL(), "HW_AUTH_TOKEN": cbrtest.Token}
	run := func(env map[string]string, urn string, dryRun bool) (string, error) {
		var out bytes.Buffer
		err := records(t.Context(), folder, urn, dryRun, func(name string) string { return env[name] }, &out)
		return out.String(), err
	}
	out, err := run(nil, "", true)
	if err == nil || !strings.Contains(out, "a.json would be sent\nb.json would be sent\nc.json stays: ") || len(topic.Messages()) != 0 {
		t.Errorf("dry run: %v\n%s", err, out)
	}
	for want, tt := range map[string]struct {
		env map[string]string
		urn string
	}{
		"-topic: expected urn:smn":  {env, "topic"},
		"HW_AUTH_TOKEN":             {map[string]string{"HW_SMN_ENDPOINT": topic.URL()}, topic.URN()},
		"HW_SMN_ENDPOINT: required": {map[string]string{"HW_CBR_ENDPOINT": "https://cbr.example.com", "HW_AUTH_TOKEN": cbrtest.Token}, topic.URN()},
		"HW_SMN_ENDPOINT or":        {map[string]string{"HW_SMN_ENDPOINT": "http://example.com", "HW_AUTH_TOKEN": cbrtest.Token}, topic.URN()},
	} {
		if out, err := run(tt.env, tt.urn, false); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s\n%s", err, want, out)
		}
	}
	out, err = run(map[string]string{"HW_SMN_ENDPOINT": topic.URL(), "HW_AUTH_TOKEN": "another"}, topic.URN(), false)
	if err == nil || !strings.Contains(out, "a.json stays: ") || strings.Contains(out, "another") {
		t.Errorf("a bad token: %v\n%s", err, out)
	}
	for range 2 {
		out, err = run(env, topic.URN(), false)
	}
	if err == nil || err.Error() != "3 of 3 records are left" || !strings.Contains(out, "e.json stays: a topic takes 262144 bytes") {
		t.Errorf("%v\n%s", err, out)
	}
	var sent []string
	for _, m := range topic.Messages() {
		sent = append(sent, m.Message)
	}
	if !slices.Equal(sent, []string{string(record), string(record)}) {
		t.Errorf("%d messages", len(sent))
	}
	left, _ := filepath.Glob(filepath.Join(folder, "*"))
	for i := range left {
		left[i] = filepath.Base(left[i])
	}
	if want := []string{"a.json.sent", "b.json.sent", "c.json", "d.json", "e.json", "note.txt"}; !slices.Equal(left, want) {
		t.Errorf("files %q", left)
	}
	if err := Run(t.Context(), []string{"-records", folder, "-topic", topic.URN(), "-queue", "q"}, &bytes.Buffer{}); err == nil || !strings.HasPrefix(err.Error(), "-records: expected -topic") {
		t.Errorf("with a queue: %v", err)
	}
}
