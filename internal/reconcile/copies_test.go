package reconcile_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"cbr-replicator/internal/cbr"
	"cbr-replicator/internal/huawei"
	"cbr-replicator/internal/kind"
	"cbr-replicator/internal/reconcile"
	"cbr-replicator/internal/result"
)

// lead is how far CBR's clock is ahead of ours here.
const lead = 5 * time.Hour

// copies looks what became of copies that were accepted some time ago. CBR's times
// are lead ahead.
func copies(t tester, backups []cbr.Backup, age time.Duration, replication string) reconcile.Copies {
	t.Helper()
	now := time.Now()
	lookups := reconcile.New(lists(func(_ context.Context, _ huawei.Scope, _ string, each func(*cbr.Backup)) (cbr.Clocks, error) {
		for _, b := range backups {
			each(&b)
		}
		return cbr.Clocks{Ours: now, Theirs: now.Add(lead), Newest: now.Add(lead)}, nil
	})).Open()
	at := now.Add(-age)
	c, err := lookups.Copies(t.Context(), source, &reconcile.Accepted{Replicate: request, Since: at.Add(-time.Second), At: at, Replication: json.RawMessage(replication)})
	if err != nil {
		t.Fatalf("%v", err)
	}
	return c
}

// copied is a backup with records that began some time ago.
func copied(id string, records ...cbr.ReplicationRecord) cbr.Backup {
	return cbr.Backup{ID: id, Available: true, ResourceID: "server-" + id, Records: records}
}

func began(id string, status cbr.RecordStatus, ago time.Duration) cbr.ReplicationRecord {
	r := record(id, status, time.Now().Add(lead-ago))
	if status == cbr.Replicated {
		r.DestinationBackupID = "replica-" + id
	}
	return r
}

// TestCopies is each state of a record, and each way to find one.
func TestCopies(t *testing.T) {
	t.Parallel()
	const two = `{"backups":[{"backup_id":"a","replication_record_id":"1"},{"backup_id":"b","replication_record_id":"2"}]}`
	const one = `{"backups":[{"backup_id":"a","replication_record_id":"1"}]}`
	elsewhere := func(r cbr.ReplicationRecord) cbr.ReplicationRecord {
		r.DestinationVaultID = "6b8ae1ae-5e58-44ba-b8a4-0bf6e6e4f7a1"
		return r
	}
	progress := func(r cbr.ReplicationRecord, percent int) cbr.ReplicationRecord {
		r.Progress = percent
		return r
	}
	undated := cbr.ReplicationRecord{ID: "1", Status: cbr.Failed, FailCode: "BackupService.6203", FailReason: "busy"}
	for name, tt := range map[string]struct {
		backups     func() []cbr.Backup
		age         time.Duration // 0: two hours
		replication string        // empty: one
		want        reconcile.Copies
		each        string // ids and states
	}{
		"success": {
			backups: func() []cbr.Backup { return []cbr.Backup{copied("a", began("1", cbr.Replicated, time.Hour))} },
			want:    reconcile.Copies{Count: result.Copies{Total: 1, Succeeded: 1}, There: 1}, each: "a/1 success replica-1",
		},
		"in another case": {
			backups:     func() []cbr.Backup { return []cbr.Backup{copied("A", began("R", cbr.Replicated, time.Hour))} },
			replication: `{"backups":[{"backup_id":"a","replication_record_id":"r"}]}`,
			want:        reconcile.Copies{Count: result.Copies{Total: 1, Succeeded: 1}, There: 1}, each: "A/R success replica-R",
		},
		"fail, never begun": {
			backups: func() []cbr.Backup { return []cbr.Backup{copied("a", undated)} },
			want:    reconcile.Copies{Count: result.Copies{Total: 1, Failed: 1}}, each: "a/1 fail BackupService.6203 busy",
		},
		"skip, and there": {
			backups: func() []cbr.Backup {
				return []cbr.Backup{copied("a", began("0", cbr.Replicated, 50*time.Hour), began("1", cbr.Skipped, time.Hour))}
			},
			want: reconcile.Copies{Count: result.Copies{Total: 1, Skipped: 1}, There: 1}, each: "a/1 skip replica-0",
		},
		"skip, and elsewhere": {
			backups: func() []cbr.Backup {
				return []cbr.Backup{copied("a", elsewhere(began("0", cbr.Replicated, 50*time.Hour)), began("1", cbr.Skipped, time.Hour))}
			},
			want: reconcile.Copies{Count: result.Copies{Total: 1, Skipped: 1}}, each: "a/1 skip",
		},
		"waits": {
			backups: func() []cbr.Backup {
				return []cbr.Backup{copied("a", cbr.ReplicationRecord{ID: "1", Status: cbr.Waiting})}
			},
			want: reconcile.Copies{Count: result.Copies{Total: 1}, Going: 1}, each: "a/1 waiting_replicate",
		},
		"runs": {
			backups: func() []cbr.Backup {
				return []cbr.Backup{copied("a", progress(began("1", cbr.Replicating, time.Hour), 75))}
			},
			want: reconcile.Copies{Count: result.Copies{Total: 1}, Going: 1, Promise: 20 * time.Minute}, each: "a/1 replicating",
		},
		"one runs for long, one does not say": {
			backups: func() []cbr.Backup {
				return []cbr.Backup{copied("a", progress(began("1", cbr.Replicating, time.Hour), 75)), copied("b", began("2", cbr.Replicating, time.Hour))}
			},
			replication: two,
			want:        reconcile.Copies{Count: result.Copies{Total: 2}, Going: 2}, each: "a/1 replicating, b/2 replicating",
		},
		"the last counts": {
			backups: func() []cbr.Backup {
				return []cbr.Backup{copied("a", progress(began("1", cbr.Replicating, time.Hour), 75)), copied("b", progress(began("2", cbr.Replicating, time.Hour), 50))}
			},
			replication: two,
			want:        reconcile.Copies{Count: result.Copies{Total: 2}, Going: 2, Promise: time.Hour}, each: "a/1 replicating, b/2 replicating",
		},
		"a state of tomorrow": {
			backups: func() []cbr.Backup { return []cbr.Backup{copied("a", began("1", "verifying", time.Hour))} },
			want:    reconcile.Copies{Count: result.Copies{Total: 1}, Going: 1}, each: "a/1 verifying",
		},
		"not there first": {
			backups: func() []cbr.Backup {
				return []cbr.Backup{copied("a", began("1", cbr.Replicated, time.Hour)), copied("b", began("2", cbr.Failed, time.Hour))}
			},
			replication: two,
			want:        reconcile.Copies{Count: result.Copies{Total: 2, Succeeded: 1, Failed: 1}, There: 1}, each: "b/2 fail, a/1 success replica-1",
		},
		"the backup is gone": {
			backups: func() []cbr.Backup { return []cbr.Backup{copied("b", began("2", cbr.Replicated, time.Hour))} },
			want:    reconcile.Copies{Count: result.Copies{Total: 1, Unknown: 1}}, each: "a/1 unknown",
		},
		"no record yet": {
			backups: func() []cbr.Backup { return []cbr.Backup{copied("a")} }, age: time.Hour - time.Second,
			want: reconcile.Copies{Count: result.Copies{Total: 1}, Going: 1},
		},
		"no record after an hour": {
			backups: func() []cbr.Backup { return []cbr.Backup{copied("a")} }, age: time.Hour,
			want: reconcile.Copies{Count: result.Copies{Total: 1, Unknown: 1}}, each: "a/1 unknown",
		},
		"another record, the newest": {
			backups: func() []cbr.Backup {
				return []cbr.Backup{copied("a", began("8", cbr.Replicated, time.Hour), began("9", cbr.Failed, 119*time.Minute))}
			},
			want: reconcile.Copies{Count: result.Copies{Total: 1, Succeeded: 1}, There: 1}, each: "a/8 success replica-8",
		},
		"another record, before the request": {
			backups: func() []cbr.Backup { return []cbr.Backup{copied("a", began("8", cbr.Replicated, 121*time.Minute))} },
			want:    reconcile.Copies{Count: result.Copies{Total: 1, Unknown: 1}}, each: "a/1 unknown",
		},
		"another record, to elsewhere": {
			backups: func() []cbr.Backup {
				return []cbr.Backup{copied("a", elsewhere(began("8", cbr.Replicated, time.Hour)))}
			},
			want: reconcile.Copies{Count: result.Copies{Total: 1, Unknown: 1}}, each: "a/1 unknown",
		},
		"a list that was cut": {
			backups: func() []cbr.Backup {
				return []cbr.Backup{
					copied("a", began("1", cbr.Replicated, time.Hour)), copied("b", began("2", cbr.Failed, time.Hour)),
					copied("c", elsewhere(began("3", cbr.Replicated, time.Hour))), copied("d", began("4", cbr.Replicated, 3*time.Hour)),
				}
			},
			replication: `{"backups":[{"backup_id":"a","replication_record_id":"1"}],"backups_total":3}`,
			want:        reconcile.Copies{Count: result.Copies{Total: 3, Succeeded: 1, Failed: 1, Unknown: 1}, There: 1}, each: "b/2 fail, a/1 success replica-1",
		},
		"a list that was cut, and copies of a later request": {
			backups: func() []cbr.Backup {
				return []cbr.Backup{copied("z", began("9", cbr.Failed, time.Minute)), copied("b", began("2", cbr.Replicated, time.Hour)), copied("a", began("1", cbr.Replicated, time.Hour))}
			},
			replication: `{"backups":[{"backup_id":"a","replication_record_id":"1"}],"backups_total":2}`,
			want:        reconcile.Copies{Count: result.Copies{Total: 2, Succeeded: 2}, There: 2}, each: "a/1 success replica-1, b/2 success replica-2",
		},
		"a list that was cut, not all there yet": {
			backups: func() []cbr.Backup { return nil }, age: time.Minute,
			replication: `{"vault_id":"v","backups_total":3}`,
			want:        reconcile.Copies{Count: result.Copies{Total: 3}, Going: 3},
		},
		"no list at all": {
			backups:     func() []cbr.Backup { return []cbr.Backup{copied("a", began("1", cbr.Replicated, time.Hour))} },
			replication: `null`,
			want:        reconcile.Copies{Count: result.Copies{Total: 1, Succeeded: 1}, There: 1}, each: "a/1 success replica-1",
		},
		"an empty vault": {
			backups: func() []cbr.Backup { return nil }, replication: two,
			want: reconcile.Copies{Count: result.Copies{Total: 2, Unknown: 2}}, each: "a/1 unknown, b/2 unknown",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				if tt.replication == "" {
					tt.replication = one
				}
				if tt.age == 0 {
					tt.age = 2 * time.Hour
				}
				got := copies(t, tt.backups(), tt.age, tt.replication)
				var each []string
				for _, c := range got.Each {
					each = append(each, strings.Join(strings.Fields(fmt.Sprintf("%s/%s %s %s %s %s", c.BackupID, c.ReplicationRecordID, c.Status, c.DestinationBackupID, c.FailCode, c.FailReason)), " "))
				}
				if diff := cmp.Diff(tt.each, strings.Join(each, ", ")); diff != "" {
					t.Errorf("each (-want +got):\n%s", diff)
				}
				got.Each = nil
				if diff := cmp.Diff(tt.want, got); diff != "" {
					t.Errorf("copies (-want +got):\n%s", diff)
				}
			})
		})
	}
}

// TestCopiesOfNoVault: an empty vault and none are told apart.
func TestCopiesOfNoVault(t *testing.T) {
	t.Parallel()
	lookups := reconcile.New(lists(func(context.Context, huawei.Scope, string, func(*cbr.Backup)) (cbr.Clocks, error) {
		return cbr.Clocks{}, &kind.Error{Kind: kind.Misconfigured, Message: "no vault", Cause: cbr.ErrNoVault}
	})).Open()
	if c, err := lookups.Copies(t.Context(), source, &reconcile.Accepted{Replicate: request}); err != nil || !c.VaultGone {
		t.Errorf("copies %+v, error %v", c, err)
	}
}

// TestCopiesAddUp: whatever CBR lists, each copy is in one count, and what is said
// to be there has a record that says so.
func TestCopiesAddUp(t *testing.T) {
	t.Parallel()
	states := []cbr.RecordStatus{cbr.Waiting, cbr.Replicating, cbr.Replicated, cbr.Failed, cbr.Skipped, "", "new"}
	rapid.Check(t, func(rt *rapid.T) {
		var backups []cbr.Backup
		var listed []map[string]string
		arrived := 0
		for i := range rapid.IntRange(0, 6).Draw(rt, "backups") {
			b := copied(fmt.Sprint("b", i))
			for j := range rapid.IntRange(0, 3).Draw(rt, "records") {
				r := began(fmt.Sprintf("r%d-%d", i, j), rapid.SampledFrom(states).Draw(rt, "state"), time.Duration(rapid.IntRange(-10, 300).Draw(rt, "ago"))*time.Minute)
				if rapid.Bool().Draw(rt, "undated") {
					r.CreatedAt = time.Time{}
				}
				b.Records = append(b.Records, r)
			}
			for _, r := range b.Records {
				if r.Status == cbr.Replicated {
					arrived++
					break
				}
			}
			if rapid.Bool().Draw(rt, "listed") {
				listed = append(listed, map[string]string{"backup_id": b.ID, "replication_record_id": fmt.Sprintf("r%d-0", i)})
			}
			if !rapid.Bool().Draw(rt, "deleted") {
				backups = append(backups, b)
			}
		}
		total := len(listed) + rapid.IntRange(0, 3).Draw(rt, "cut")
		replication, _ := json.Marshal(map[string]any{"backups": listed, "backups_total": total})
		c := copies(rt, backups, time.Duration(rapid.IntRange(0, 200).Draw(rt, "age"))*time.Minute, string(replication))
		n := c.Count
		if n.Total != n.Succeeded+n.Failed+n.Skipped+n.Unknown+c.Going || total > 0 && n.Total != total {
			rt.Errorf("of %d: %+v", total, c)
		}
		if c.There > arrived || c.There < n.Succeeded || c.There > n.Succeeded+n.Skipped {
			rt.Errorf("there %d, arrived %d: %+v", c.There, arrived, c)
		}
	})
}
