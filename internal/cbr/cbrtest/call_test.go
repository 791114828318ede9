package cbrtest

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestCalls(t *testing.T) {
	t.Parallel()
	var seen []Call
	s, now := newExample(t, WithObserver(func(c Call) { seen = append(seen, c) }))
	s.Script(SourceVault, Throttled(0))
	sent := body(t, fields{"replicate": exampleFields(nil)})
	for range 2 {
		s.send(t, http.MethodPost, replicatePath, Token, sent)
	}
	s.backups(t, "limit=1")

	kept := s.Calls()
	if diff := cmp.Diff(kept, seen[:2]); diff != "" || len(seen) != 3 {
		t.Errorf("kept and observed calls differ:\n%s", diff)
	}
	if got := seen[2]; got.Operation != ListBackups || got.Path != "/v3/"+SourceProject+"/backups?limit=1" {
		t.Errorf("observed as %s", got)
	}
	for i, want := range []Call{
		{Status: 429, Code: "APIG.0308", Fault: Throttled(0)},
		{Status: 200, Taken: true},
	} {
		got := kept[i]
		if got.Header.Get("X-Auth-Token") != Token {
			t.Errorf("header %v", got.Header)
		}
		want.Operation, want.Time, want.Method, want.Path = CopyCheckpoint, now.Now(), http.MethodPost, replicatePath
		want.Header, want.Body, want.Vault, want.RequestID = got.Header, sent, SourceVault, got.RequestID
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("call %d (-want +got):\n%s", i, diff)
		}
	}
	want := "POST " + replicatePath + " " + SourceVault + ": 429 Too Many Requests APIG.0308"
	if got := kept[0].String(); got != want {
		t.Errorf("String: %s, want %s", got, want)
	}
	if line := fmt.Sprintf("%v %+v", kept[1], kept); strings.Contains(line, Token) {
		t.Errorf("the token is printed: %s", line)
	}
}

func TestLookupCalls(t *testing.T) {
	t.Parallel()
	s, _ := newExample(t)
	s.Script(Lookups, Fault{}, Unavailable())
	mustCopy(t, s, 3)
	s.backups(t, "limit=1")
	s.send(t, http.MethodGet, backupsPath+"/"+oldest, Token, "")
	s.send(t, http.MethodGet, "/v3/unknown", Token, "")
	var got []string
	for _, call := range s.LookupCalls() {
		got = append(got, call.String())
	}
	want := []string{
		"GET " + backupsPath + "?limit=1 : 200 OK",
		"GET " + backupsPath + "/" + oldest + " : 503 Service Unavailable APIG.0613",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if peak := s.PeakInFlight(Lookups); peak != 1 {
		t.Errorf("peak %d, want 1", peak)
	}
}

// A vault is copied once, however many requests there are at once.
func TestOneVaultManyAtOnce(t *testing.T) {
	t.Parallel()
	s, _ := newExample(t)
	const clients = 16
	codes := make([]string, clients)
	var wg sync.WaitGroup
	for i := range clients {
		wg.Go(func() { codes[i] = s.replicate(t, nil).code() })
	}
	wg.Wait()
	count := map[string]int{}
	for _, code := range codes {
		count[code]++
	}
	if diff := cmp.Diff(map[string]int{"": 1, "BackupService.6130": clients - 1}, count); diff != "" {
		t.Errorf("codes (-want +got):\n%s", diff)
	}
}

func TestPeakInFlight(t *testing.T) {
	t.Parallel()
	// Every request waits until all have come, so the peak does not depend on chance.
	const vaults, each = 4, 2
	var arrived sync.WaitGroup
	arrived.Add(vaults * each)
	s, _ := newExample(t, WithObserver(func(Call) {
		arrived.Done()
		arrived.Wait()
	}))
	ids := s.AddVaults(SourceProject, vaults, 1)
	var wg sync.WaitGroup
	for _, id := range ids {
		for range each {
			wg.Go(func() { s.replicate(t, fields{"vault_id": id}) })
		}
	}
	wg.Wait()
	for _, id := range ids {
		if peak := s.PeakInFlight(id); peak != each {
			t.Errorf("%s: peak %d, want %d", id, peak, each)
		}
	}
	if peak := s.PeakInFlight(AnyVault); peak != vaults*each {
		t.Errorf("all: peak %d, want %d", peak, vaults*each)
	}
}

// A client may send its next request as soon as it has a byte of its answer, so a request does not count any more when its answer
// is sent.
func TestNotInFlightOnceAnswered(t *testing.T) {
	t.Parallel()
	s, _ := newExample(t)
	for range 2 {
		req := httptest.NewRequestWithContext(t.Context(), http.MethodPost, replicatePath, strings.NewReader(change(t, "auto_trigger", true)))
		s.ServeHTTP(&onHeader{ResponseWriter: httptest.NewRecorder(), do: func() {
			s.mu.Lock()
			defer s.mu.Unlock()
			if n := s.inFlight[SourceVault]; n != 0 {
				t.Errorf("%d in flight while an answer is sent, want 0", n)
			}
		}}, req)
	}
	if peak := s.PeakInFlight(SourceVault); peak != 1 {
		t.Errorf("peak %d, want 1", peak)
	}
	if peak := s.PeakInFlight("unknown"); peak != 0 {
		t.Errorf("unknown vault: peak %d, want 0", peak)
	}
}

// onHeader calls do before it sends a header.
type onHeader struct {
	http.ResponseWriter
	do func()
}

func (w *onHeader) WriteHeader(status int) {
	w.do()
	w.ResponseWriter.WriteHeader(status)
}

func TestLatency(t *testing.T) {
	t.Parallel()
	const latency = 30 * time.Millisecond
	s, _ := newExample(t, WithLatency(latency))
	begun := time.Now()
	s.replicate(t, nil)
	if took := time.Since(begun); took < latency {
		t.Errorf("answered after %s, want at least %s", took, latency)
	}
}

// The same calls get the same answers.
func TestDeterministic(t *testing.T) {
	t.Parallel()
	var runs [2][]string
	for i := range runs {
		s, _ := newExample(t)
		for _, id := range append(s.AddVaults(SourceProject, 3, 2), SourceVault, SourceVault) {
			r := s.replicate(t, fields{"vault_id": id})
			runs[i] = append(runs[i], string(r.raw), r.header.Get("X-Request-Id"), r.header.Get("Date"))
		}
		runs[i] = append(runs[i], string(s.backups(t, "show_replication=true").raw))
	}
	if diff := cmp.Diff(runs[0], runs[1]); diff != "" {
		t.Errorf("two runs differ:\n%s", diff)
	}
}
