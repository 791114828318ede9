package doctor_test

import (
	"context"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"cbr-replicator/internal/cbr/cbrtest"
)

// made makes a backup in the example's vault once so many requests for copies have been
// answered, as the user does who is asked for one.
func made(a *account, after int32) cbrtest.Option {
	var calls atomic.Int32
	return cbrtest.WithObserver(func(c cbrtest.Call) {
		if c.Operation == cbrtest.CopyCheckpoint {
			if calls.Add(1) == after {
				a.AddBackup(cbrtest.Backup{ID: other, VaultID: cbrtest.SourceVault})
			}
		}
	})
}

func TestAccept(t *testing.T) {
	t.Parallel()
	const copying = 500 * time.Millisecond
	quick := []string{"-every", "20ms", "-wait", "20s"}
	once := cbrtest.Refusal(http.StatusBadRequest, "BackupService.1009", "The vault has been replicated to the destination region.")
	for _, tt := range []struct {
		name    string
		options []cbrtest.Option
		backup  int32 // after which request there is a new backup; 0: never
		given   func(a account)
		env     func(a account) map[string]string
		in      string
		args    []string
		want    []string
		copies  int // requests for copies
		status  int
	}{
		{
			name: "each backup once", backup: 3, in: "yes\n", args: quick, options: []cbrtest.Option{cbrtest.WithCopyTime(copying)},
			want: []string{
				"ok       source vault", "This is no dry run.", "of vault 3b5816b5", "to vault 0ca3eb86", "Type yes to begin:",
				"1. The first request", "CBR answered 200: accepted, 3 backups to copy", "No backup had a replica there before",
				"2. The same request, at once", "CBR answered 400 BackupService.6130: The vault is being replicated. (InProgress,",
				"The copies have ended: 3 of 3 available backups have a replica.",
				"3. A request after the end, with nothing new", "CBR answered 400 BackupService.1009", "Now make a backup of the vault",
				"4. A request with a new backup in the vault", "CBR answered 200: accepted, 1 backup to copy", "What this settles:",
				"- Does a later request copy what is new", "yes: 3 backups had a replica there before, and the request copied the 1 backup that had none",
				"- What does CBR answer while a copy runs?", "400 BackupService.6130: The vault is being replicated.: handed back",
				"- What does CBR answer when every backup has its replica?", "400 BackupService.1009", "- Do lists show a copy within a minute?", "yes: the list showed them after at most",
			}, copies: 4,
		},
		{
			name: "the vault once", backup: 3, args: append(quick, "-yes"), options: []cbrtest.Option{cbrtest.WithCopyTime(copying)},
			given: func(a account) {
				a.Script(cbrtest.SourceVault, cbrtest.Fault{}, cbrtest.Fault{}, cbrtest.Fault{}, once)
			},
			want:   []string{"4. A request with a new backup in the vault", "CBR answered 400 BackupService.1009", "- Does a later request copy what is new", "it seems not: 400 BackupService.1009", "The function publishes such an answer as NotCovered"},
			copies: 4,
		},
		{
			name: "some have a replica already", args: append(quick, "-yes"), options: []cbrtest.Option{cbrtest.WithCopyTime(copying)},
			given:  func(a account) { a.AddRecord(cbrtest.ExampleBackups()[0], cbrtest.Record{}) },
			want:   []string{"1. The first request", "CBR answered 200: accepted, 2 backups", "yes: 1 backup had a replica there before, and the request copied the 2 backups that had none"},
			copies: 3,
		},
		{
			name: "all have a replica, and no new backup comes", args: []string{"-every", "10ms", "-wait", "100ms", "-yes"},
			given: func(a account) {
				for _, id := range cbrtest.ExampleBackups() {
					a.AddRecord(id, cbrtest.Record{})
				}
			},
			want:   []string{"1. The first request", "CBR answered 400 BackupService.1009", "Now make a backup", "There was no new backup within 100ms.", "open: no new backup came", "- What does CBR answer while", "open: it did not come to that", "- What does CBR answer when every", "400 BackupService.1009"},
			copies: 1,
		},
		{
			name: "copies that have ended at once", args: []string{"-every", "10ms", "-wait", "100ms", "-yes"}, options: []cbrtest.Option{cbrtest.WithCopyTime(0)},
			want:   []string{"2. The same request, at once", "The copies had ended already", "3. A request after the end", "- What does CBR answer while a copy runs?", "open: it did not come to that"},
			copies: 3,
		},
		{
			name: "copies that do not end in time", args: []string{"-every", "10ms", "-wait", "100ms", "-yes"}, options: []cbrtest.Option{cbrtest.WithCopyTime(time.Hour)},
			want:   []string{"0s: 3 of 3 backups have a copy, 3 on their way", "There was no end of the copies within 100ms.", "- Does a later request", "open: it did not come to that", "- What does CBR answer while a copy runs?", "400 BackupService.6130"},
			copies: 2,
		},
		{
			name: "records that do not show", args: []string{"-every", "10ms", "-wait", "100ms", "-yes"}, options: []cbrtest.Option{cbrtest.WithCopyTime(time.Hour), cbrtest.WithLateRecords(time.Hour)},
			want:   []string{"There was no end of the copies", "- What does CBR answer while a copy runs?", "400 BackupService.6130", "- Do lists show a copy within a minute?", "no: the list did not show them"},
			copies: 2,
		},
		{
			name: "one copy fails", args: append(quick, "-yes"), options: []cbrtest.Option{cbrtest.WithCopyTime(copying)},
			given: func(a account) {
				a.AddBackup(cbrtest.Backup{ID: empty, VaultID: cbrtest.SourceVault, CopyError: "BackupService.1006"})
			},
			want:   []string{"1. The first request", "The copy of backup 22222222-2222-4333-8444-555555555555 ended as fail: BackupService.1006", "3. A request after the end: 1 backup has no replica", "CBR answered 200: accepted, 1 backup", "yes: 3 backups had a replica there before, and the request copied the 1 backup that had none", "- What does CBR answer when every backup", "open: it did not come to that"},
			copies: 3,
		},
		{
			name: "a cloud that shows no records", args: append(quick, "-yes"), options: []cbrtest.Option{cbrtest.WithCopyTime(copying), cbrtest.WithFormat(cbrtest.Format{ShowReplication: "ignored"})},
			want:   []string{"warning  replication records", "1. The first request", "CBR answered 200", "2. The same request", "CBR answered 400 BackupService.6130", "The list shows no replication records", "- What does CBR answer while a copy runs?", "400 BackupService.6130"},
			copies: 2,
		},
		{
			name: "a copy runs already", args: []string{"-every", "10ms", "-wait", "100ms", "-yes"}, options: []cbrtest.Option{cbrtest.WithCopyTime(time.Hour)},
			given: func(a account) {
				a.Script(cbrtest.SourceVault, cbrtest.Refusal(400, "BackupService.6130", "The vault is being replicated."))
			},
			want:   []string{"1. The first request", "CBR answered 400 BackupService.6130", "- What does CBR answer while a copy runs?", "400 BackupService.6130: The vault is being replicated.: handed back, as the function expects. The copy was not asked for here"},
			copies: 1,
		},
		{name: "no is said", in: "y\n", args: quick, want: []string{"Type yes to begin:", "nothing was sent"}, status: 1},
		{name: "nobody is there", args: quick, want: []string{"Type yes to begin:", "nothing was sent"}, status: 1},
		{
			name: "it may not replicate", args: append(quick, "-yes"), given: func(a account) { a.Script(cbrtest.AnyVault, deniedByIAM) },
			want: []string{"1. The first request", "CBR answered 403", "What this settles:", "CBR refused the request (403: You are not authorized to perform the requested action.): give the user cbr:vaults:replicate"}, copies: 1, status: 1,
		},
		{
			name: "the vault is one of disks", in: "yes\n", args: append(quick, "-vault", disk),
			given: func(a account) {
				a.AddVault(cbrtest.Vault{ID: disk, ProjectID: cbrtest.SourceProject, ObjectType: "disk"})
			},
			want: []string{"problem  source vault         11111111-2222-4333-8444-555555555555", "nothing was sent:"}, status: 1,
		},
		{
			name: "the types are not known, and CBR refuses", args: append(quick, "-yes"),
			given: func(a account) {
				a.AddVault(cbrtest.Vault{ID: cbrtest.SourceVault, ProjectID: cbrtest.SourceProject, ObjectType: "disk"})
				a.Script(cbrtest.Vaults, deniedByIAM, deniedByIAM)
			},
			want: []string{"warning  cbr:vaults:list", "1. The first request", "CBR answered 400 BackupService.6122", "400 BackupService.6122: The resource type does not support replication.: the function would publish this as rejected (Rejected)"}, copies: 1, status: 1,
		},
		{
			name: "a clock that is off", in: "yes\n", args: quick, options: []cbrtest.Option{cbrtest.WithClock(func() time.Time { return time.Now().Add(20 * time.Minute) })},
			env:  func(a account) map[string]string { return a.env(a.withKey()) },
			want: []string{"problem  clock", "nothing was sent: 2 problems to be solved first"}, status: 1,
		},
		{
			name: "the vault has no backup", in: "yes\n", args: append(quick, "-vault", empty),
			given: func(a account) { a.AddVault(cbrtest.Vault{ID: empty, ProjectID: cbrtest.SourceProject}) },
			want:  []string{"problem  backups              without an available backup", "nothing was sent: 1 problem"}, status: 1,
		},
		{
			name: "no vault and no destination", in: "yes\n", args: quick, env: func(a account) map[string]string { return a.env(noDefault) },
			want: []string{"problem  request              HW_CBR_VAULT_ID says", "problem  request              HW_CBR_DESTINATION_REGION", "nothing was sent: 4 problems"}, status: 1,
		},
		{
			name: "an answer is lost", args: append(quick, "-yes"), given: func(a account) { a.Script(cbrtest.SourceVault, cbrtest.ResetAfter()) },
			want: []string{"1. The first request", "No answer: the answer was lost, CBR may have taken the request", "the answer was lost"}, copies: 1, status: 1,
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var a account
			options := tt.options
			if tt.backup > 0 {
				options = append(options, made(&a, tt.backup))
			}
			a = newAccount(t, options...)
			if tt.given != nil {
				tt.given(a)
			}
			env := a.env()
			if tt.env != nil {
				env = tt.env(a)
			}
			out, status := run(t, built.accept, env, tt.in, tt.args...)
			inOrder(t, out, tt.want)
			if status != tt.status {
				t.Errorf("exit status %d, want %d:\n%s", status, tt.status, out)
			}
			if n := len(a.Calls()); n != tt.copies {
				t.Errorf("%d requests for copies, want %d:\n%s", n, tt.copies, out)
			}
		})
	}
}

// TestAcceptIsInterrupted: it says what was settled until then, and that copies go on.
func TestAcceptIsInterrupted(t *testing.T) {
	t.Parallel()
	ctx, interrupt := context.WithCancel(t.Context())
	defer interrupt()
	var lists atomic.Int32
	a := newAccount(t, cbrtest.WithCopyTime(time.Hour), cbrtest.WithObserver(func(c cbrtest.Call) {
		if c.Operation == cbrtest.ListBackups && lists.Add(1) == 5 {
			interrupt()
		}
	}))
	out, status := runUntil(ctx, t, built.accept, a.env(), "", "-every", "20ms", "-yes")
	inOrder(t, out, []string{"2. The same request", "Stopped while waiting for the end of the copies. Copies go on.", "What this settles:", "400 BackupService.6130"})
	if status != 1 || len(a.Calls()) != 2 {
		t.Errorf("exit status %d, %d requests for copies, want 1 and 2:\n%s", status, len(a.Calls()), out)
	}
}
