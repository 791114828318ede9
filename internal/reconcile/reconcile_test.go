package reconcile_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"cbr-replicator/internal/cbr"
	"cbr-replicator/internal/cbr/cbrtest"
	"cbr-replicator/internal/huawei"
	"cbr-replicator/internal/kind"
	"cbr-replicator/internal/reconcile"
	"cbr-replicator/internal/redact"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var (
	source  = huawei.Scope{ProjectID: cbrtest.SourceProject, Region: cbrtest.SourceRegion}
	request = cbr.Replicate{
		VaultID:              cbrtest.SourceVault,
		DestinationVaultID:   cbrtest.DestinationVault,
		DestinationProjectID: cbrtest.DestinationProject,
		DestinationRegion:    cbrtest.DestinationRegion,
	}
)

// lists is a Lister.
type lists func(ctx context.Context, src huawei.Scope, vaultID string, each func(*cbr.Backup)) (cbr.Clocks, error)

// ShowBackup answers as ListBackups does.
func (f lists) ShowBackup(ctx context.Context, src huawei.Scope, backupID string, each func(*cbr.Backup)) (cbr.Clocks, error) {
	return f(ctx, src, backupID, each)
}

func (f lists) ListBackups(ctx context.Context, src huawei.Scope, vaultID string, each func(*cbr.Backup)) (cbr.Clocks, error) {
	return f(ctx, src, vaultID, each)
}

// now is this moment on two clocks that agree.
func now() cbr.Clocks { return cbr.Clocks{Ours: time.Now(), Theirs: time.Now()} }

// counted answers every lookup after a second and counts them.
func counted(calls *[]string) lists {
	return func(ctx context.Context, src huawei.Scope, vaultID string, _ func(*cbr.Backup)) (cbr.Clocks, error) {
		*calls = append(*calls, src.Region+" "+vaultID)
		time.Sleep(time.Second)
		return now(), nil
	}
}

func TestFindShares(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var calls []string
		finder := reconcile.New(counted(&calls))
		lookups := finder.Open()
		find := func(lookups *reconcile.Lookups, src huawei.Scope, vaultID string) {
			r := request
			r.VaultID = vaultID
			if f, err := lookups.Find(t.Context(), src, r, time.Now()); err != nil || f.Decision != reconcile.NotFound {
				t.Errorf("finding = %+v, error %v", f, err)
			}
		}
		want := func(what string, n int) {
			t.Helper()
			if len(calls) != n {
				t.Errorf("%s: lookups %q, want %d in all", what, calls, n)
			}
		}
		elsewhere := huawei.Scope{ProjectID: source.ProjectID, Region: "region9"}

		var group sync.WaitGroup
		for range 10 {
			group.Go(func() { find(lookups, source, request.VaultID) })
		}
		group.Wait()
		want("ten at once", 1)
		find(lookups, huawei.Scope{ProjectID: strings.ToUpper(source.ProjectID), Region: source.Region}, strings.ToUpper(request.VaultID))
		want("one after them, in capitals", 1)
		find(lookups, elsewhere, request.VaultID)
		want("in another region", 2)
		find(lookups, source, cbrtest.DestinationVault)
		want("another vault", 3)
		find(finder.Open(), source, request.VaultID)
		want("another invocation", 4)
		lookups.Sent(source, strings.ToUpper(request.VaultID))
		find(lookups, source, cbrtest.DestinationVault)
		find(lookups, elsewhere, request.VaultID)
		want("a call was made for another vault", 4)
		find(lookups, source, request.VaultID)
		want("a call was made", 5)
	})
}

// TestFindAfterACallMadeMeanwhile: a lookup that began before a call does not show
// the call's effect, even if it ends after it.
func TestFindAfterACallMadeMeanwhile(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var calls []string
		lookups := reconcile.New(counted(&calls)).Open()
		var group sync.WaitGroup
		defer group.Wait()
		group.Go(func() { lookups.Find(t.Context(), source, request, time.Now()) })
		synctest.Wait()
		lookups.Sent(source, request.VaultID)
		for range 2 {
			if _, err := lookups.Find(t.Context(), source, request, time.Now()); err != nil {
				t.Fatal(err)
			}
		}
		if len(calls) != 2 {
			t.Errorf("lookups %q, want 2", calls)
		}
	})
}

func TestFindTwoAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var running, peak int
		var mu sync.Mutex
		count := func(n int) {
			mu.Lock()
			defer mu.Unlock()
			running += n
			peak = max(peak, running)
		}
		finder := reconcile.New(lists(func(context.Context, huawei.Scope, string, func(*cbr.Backup)) (cbr.Clocks, error) {
			count(1)
			defer count(-1)
			time.Sleep(time.Second)
			return now(), nil
		}))
		began := time.Now()
		var group sync.WaitGroup
		for range 6 {
			group.Go(func() {
				if _, err := finder.Open().Find(t.Context(), source, request, began); err != nil {
					t.Error(err)
				}
			})
		}
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
		defer cancel()
		_, err := finder.Open().Find(ctx, source, request, began)
		if e := kind.As(err); e.Of() != kind.OutOfTime || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("error = %v with no slot in time, want an OutOfTime", err)
		}
		group.Wait()
		if peak != 2 || time.Since(began) != 3*time.Second {
			t.Errorf("%d at once, %v for six, want 2 and 3s", peak, time.Since(began))
		}
	})
}

// TestFindWaits: a caller that waits for another's lookup waits no longer than it has
// time. It does not wait for a lookup that panicked.
func TestFindWaits(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		calls := 0
		lookups := reconcile.New(lists(func(context.Context, huawei.Scope, string, func(*cbr.Backup)) (cbr.Clocks, error) {
			if calls++; calls == 1 {
				time.Sleep(time.Minute)
				panic("a bug")
			}
			return now(), nil
		})).Open()
		var group sync.WaitGroup
		group.Go(func() {
			defer func() {
				if recover() == nil {
					t.Error("the panic was swallowed")
				}
			}()
			lookups.Find(t.Context(), source, request, time.Now())
		})
		synctest.Wait()
		group.Go(func() {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			_, err := lookups.Find(ctx, source, request, time.Now())
			if e := kind.As(err); e.Of() != kind.OutOfTime {
				t.Errorf("error = %v, want an OutOfTime", err)
			}
		})
		group.Go(func() {
			_, err := lookups.Find(t.Context(), source, request, time.Now())
			if e := kind.As(err); e.Of() != kind.Internal || !strings.HasPrefix(e.Message, "the lookup failed: ") {
				t.Errorf("error = %v, want an Internal", err)
			}
		})
		group.Wait()
		for range 2 { // slots
			if f, err := lookups.Find(t.Context(), source, request, time.Now()); err != nil || f.Decision != reconcile.NotFound {
				t.Errorf("after the panic: %+v, error %v", f, err)
			}
			lookups.Sent(source, request.VaultID)
		}
	})
}

func TestFindFails(t *testing.T) {
	t.Parallel()
	refused := &kind.Error{Kind: kind.Unauthorized, Message: "not authorized", HTTPStatus: 403, Cause: cbr.ErrListRefused}
	var next error
	calls := 0
	finder := reconcile.New(lists(func(context.Context, huawei.Scope, string, func(*cbr.Backup)) (cbr.Clocks, error) {
		calls++
		return cbr.Clocks{}, next
	}))
	lookups := finder.Open()
	for _, tt := range []struct {
		err  error
		want string
	}{
		{&kind.Error{Kind: kind.Throttled, Code: "APIGW.0308", Message: "slow down"}, "Throttled APIGW.0308 the lookup failed: slow down"},
		{refused, "Unauthorized the lookup failed: not authorized"},
		{refused, "Unauthorized the lookup failed: not authorized"},
		{&kind.Error{Kind: kind.Misconfigured, Message: "no vault", Cause: cbr.ErrNoVault}, ""},
	} {
		next = tt.err
		f, err := lookups.Find(t.Context(), source, request, time.Now())
		if tt.want == "" {
			if diff := cmp.Diff(reconcile.Finding{Decision: reconcile.NotFound}, f); err != nil || diff != "" {
				t.Errorf("error %v, finding (-want +got):\n%s", err, diff)
			}
			continue
		}
		if err == nil || err.Error() != tt.want || f.Decision != reconcile.Undecided {
			t.Errorf("finding = %+v, error = %v, want %s", f, err, tt.want)
		}
		if errors.Is(err, cbr.ErrListRefused) != errors.Is(tt.err, refused) {
			t.Errorf("error = %#v", err)
		}
	}
	if calls != 4 {
		t.Errorf("%d lookups, want one each time, since a failed one is not kept", calls)
	}
	if refused.Message != "not authorized" {
		t.Errorf("the error was changed: %v", refused)
	}
}

// authorizer puts the example's token on each request.
type authorizer struct{}

func (authorizer) Authorize(req *http.Request, _ huawei.Scope) (huawei.Report, error) {
	req.Header.Set("X-Auth-Token", cbrtest.Token)
	return func(huawei.AuthResult) huawei.Advice { return huawei.Advice{} }, nil
}

// TestFindInCBR looks up a vault of several pages in the stand-in of CBR: the lookup
// rebuilds the answer that CBR gave.
func TestFindInCBR(t *testing.T) {
	t.Parallel()
	const backups = 2500
	server := cbrtest.NewServer(cbrtest.WithCopyTime(0))
	t.Cleanup(server.Close)
	server.AddExample()
	server.AddVault(cbrtest.Vault{ID: cbrtest.DestinationVault, ProjectID: cbrtest.DestinationProject, ProtectType: "replication", Size: 1 << 20})
	endpoints, err := huawei.NewEndpoints("cbr", server.URL, "", cbrtest.SourceRegion)
	if err != nil {
		t.Fatal(err)
	}
	client := cbr.NewClient(huawei.Service{HTTP: huawei.NewHTTPClient(1), Endpoints: endpoints, Auth: authorizer{}, Redact: new(redact.Redactor), Timeout: time.Minute})
	t.Cleanup(client.HTTP.CloseIdleConnections)
	r := request
	r.VaultID = server.AddVaults(cbrtest.SourceProject, 1, backups)[0]
	lookups := reconcile.New(client).Open()

	since := time.Now()
	f, err := lookups.Find(t.Context(), source, r, since)
	if err != nil {
		t.Fatal(err)
	}
	if n := len(f.Uncovered); n != reconcile.MaxUncovered {
		t.Errorf("%d uncovered backups are named", n)
	}
	f.Uncovered = nil
	if diff := cmp.Diff(reconcile.Finding{Decision: reconcile.NotFound, Coverage: reconcile.Coverage{Backups: backups}}, f); diff != "" {
		t.Errorf("before (-want +got):\n%s", diff)
	}
	answer, err := client.Replicate(t.Context(), source, r)
	if err != nil {
		t.Fatal(err)
	}
	lookups.Sent(source, r.VaultID)
	f, err = lookups.Find(t.Context(), source, r, since)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(replicationOf(t, answer.Replication), replicationOf(t, f.Replication)); diff != "" {
		t.Errorf("replication (-answer +found):\n%s", diff)
	}
	f.Replication = nil
	if diff := cmp.Diff(reconcile.Finding{Decision: reconcile.Found, Coverage: reconcile.Coverage{Backups: backups, Replicated: backups}}, f); diff != "" {
		t.Errorf("after (-want +got):\n%s", diff)
	}
}

// replicationOf reads all fields of an object "replication". Its backups become a map
// from each record to its backup.
func replicationOf(t tester, raw json.RawMessage) map[string]any {
	t.Helper()
	var fields map[string]any
	var list struct {
		Backups []map[string]string `json:"backups"`
	}
	if err := errors.Join(json.Unmarshal(raw, &fields), json.Unmarshal(raw, &list)); err != nil {
		t.Fatalf("%s: %v", raw, err)
	}
	records := map[string]string{}
	for _, b := range list.Backups {
		records[b["replication_record_id"]] = b["backup_id"]
	}
	if len(records) != len(list.Backups) {
		t.Errorf("a record is in it twice: %s", raw)
	}
	fields["backups"] = records
	return fields
}
