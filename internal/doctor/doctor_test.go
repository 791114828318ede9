package doctor_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"cbr-replicator/internal/cbr/cbrtest"
	_ "cbr-replicator/internal/doctor" // or go test would take a change of it for none
	"cbr-replicator/internal/sandbox"
)

// built are the programs, and the function that they start.
var built struct{ doctor, accept, function string }

func TestMain(m *testing.M) { os.Exit(build(m)) }

func build(m *testing.M) int {
	dir, err := os.MkdirTemp("", "doctor-")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	for pkg, path := range map[string]*string{"cmd/doctor": &built.doctor, "cmd/accept": &built.accept, "function": &built.function} {
		if *path, err = sandbox.Build(context.Background(), filepath.Join(dir, pkg), "cbr-replicator/"+pkg); err != nil {
			panic(err)
		}
	}
	return m.Run()
}

// run runs a program with an environment and an input. It returns what it printed and
// its exit status.
func run(t *testing.T, program string, env map[string]string, in string, args ...string) (out string, status int) {
	t.Helper()
	return runUntil(t.Context(), t, program, env, in, args...)
}

// runUntil is run, with an interrupt when ctx ends.
func runUntil(ctx context.Context, t *testing.T, program string, env map[string]string, in string, args ...string) (out string, status int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, append([]string{"-function", built.function}, args...)...)
	for name, value := range env {
		cmd.Env = append(cmd.Env, name+"="+value)
	}
	cmd.Stdin = strings.NewReader(in)
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 10 * time.Second
	var b bytes.Buffer
	cmd.Stdout, cmd.Stderr = &b, &b
	err := cmd.Run()
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) && !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	for _, secret := range []string{cbrtest.Token, password, secretKey} {
		if strings.Contains(b.String(), secret) {
			t.Errorf("a secret is shown:\n%s", b.String())
		}
	}
	return b.String(), cmd.ProcessState.ExitCode()
}

const (
	password  = "a-Password-of-example-1"
	accessKey = "AKEXAMPLE0000000000"
	secretKey = "SKEXAMPLE000000000000000000000000000000"
)

// account is the example's account behind an address for each region, so that both
// regions can be looked at.
type account struct {
	*cbrtest.Server
	front *httptest.Server
}

func newAccount(t *testing.T, options ...cbrtest.Option) account {
	t.Helper()
	a := account{Server: cbrtest.NewServer(options...)}
	t.Cleanup(a.Close)
	a.front = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, path, _ := strings.Cut(r.URL.Path[1:], "/")
		r.URL.Path = "/" + path
		a.ServeHTTP(w, r)
	}))
	t.Cleanup(a.front.Close)
	a.AddExample()
	a.AddUser(cbrtest.User{Domain: "example", Name: "replicator", Password: password})
	a.AddKey(cbrtest.Key{Access: accessKey, Secret: secretKey})
	return a
}

// env is the environment of a user that may see both regions, changed. A variable with
// an empty value is not set.
func (a account) env(changes ...map[string]string) map[string]string {
	env := cbrtest.Env(a.URL)
	maps.Copy(env, cbrtest.DestinationEnv())
	maps.Copy(env, map[string]string{
		"HW_CBR_VAULT_ID": cbrtest.SourceVault,
		"HW_CBR_ENDPOINT": a.front.URL + "/{region}",
		"HW_AUTH_TOKEN":   "", "HW_USER_NAME": "replicator", "HW_USER_PASSWORD": password, "HW_DOMAIN_NAME": "example",
	})
	for _, change := range changes {
		maps.Copy(env, change)
	}
	maps.DeleteFunc(env, func(_, value string) bool { return value == "" })
	return env
}

var (
	noUser    = map[string]string{"HW_USER_NAME": "", "HW_USER_PASSWORD": "", "HW_DOMAIN_NAME": ""}
	withToken = with(noUser, "HW_AUTH_TOKEN", cbrtest.Token)
	noDefault = map[string]string{"HW_CBR_VAULT_ID": "", "HW_CBR_DESTINATION_VAULT_ID": "", "HW_CBR_DESTINATION_PROJECT_ID": "", "HW_CBR_DESTINATION_REGION": ""}
)

func with(env map[string]string, pairs ...string) map[string]string {
	env = maps.Clone(env)
	for i := 0; i < len(pairs); i += 2 {
		env[pairs[i]] = pairs[i+1]
	}
	return env
}

// withKey is the environment of the access key, which signs for an address without a
// path: one region.
func (a account) withKey() map[string]string {
	return with(noUser, "HW_CBR_ENDPOINT", a.URL, "HW_ACCESS_KEY", accessKey, "HW_SECRET_KEY", secretKey)
}

var deniedByIAM = cbrtest.Raw(http.StatusForbidden, `{"error":{"code":403,"message":"You are not authorized to perform the requested action.","title":"Forbidden"}}`)

const (
	disk  = "11111111-2222-4333-8444-555555555555"
	empty = "22222222-2222-4333-8444-555555555555"
	other = "33333333-2222-4333-8444-555555555555"
)

func TestDoctor(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name    string
		options []cbrtest.Option
		given   func(a account)
		env     func(a account) map[string]string // nil: env()
		want    []string                          // the beginnings of lines, in order
		notWant string
		status  int
	}{
		{
			name: "all is well",
			want: []string{
				"ok       configuration        the function starts", "ok       allow-lists          the configured defaults",
				"ok       credential           CBR in region1 takes the user of HW_USER_NAME for project f841e01f", "ok       cbr:vaults:list      1 vault ",
				"ok       source vault         3b5816b5-f29c-4172-9d9a-76c719a659ce (vault-3b5816b5-f29c-4172-9d9a-76c719a659ce), type backup of servers, available",
				"ok       cbr:backups:list ", "ok       backups              vault 3b5816b5-f29c-4172-9d9a-76c719a659ce has 3 backups, 3 available", "ok       replication records",
				"ok       clock ", "ok       destination vault    0ca3eb86", "0 problems, 0 warnings.", "Not tried: cbr:vaults:replicate",
			},
		},
		{
			name: "a token, which sees one project",
			env:  func(a account) map[string]string { return a.env(withToken) },
			want: []string{"ok       credential           CBR in region1 takes the token", "warning  destination          project 68589cac08274b82b4e254268a3862d8 of region2 could not be looked at", "0 problems, 1 warning."},
		},
		{
			name: "an access key, and an endpoint for one region",
			env:  func(a account) map[string]string { return a.env(a.withKey()) },
			want: []string{"ok       credential           CBR in region1 takes the access key", "warning  destination          project 68589cac08274b82b4e254268a3862d8 of region2 could not be looked at with this credential (region: the configured endpoint serves region1 alone)"},
		},
		{
			name: "a user without a part in the destination",
			given: func(a account) {
				a.AddUser(cbrtest.User{Domain: "example", Name: "replicator", Password: password, Projects: []string{cbrtest.SourceProject}})
			},
			want: []string{"ok       credential ", "warning  destination          project 68589cac08274b82b4e254268a3862d8 of region2 could not be looked at", "0 problems, 1 warning."},
		},
		{
			name: "faults of the configuration, as the function says them",
			env: func(a account) map[string]string {
				return a.env(map[string]string{"HW_AUTH_TOKEN": cbrtest.Token, "CBR_TIMEOUT": "soon", "ALLOWED_DESTINATIONS": "here"})
			},
			want: []string{"problem  configuration        CBR_TIMEOUT: expected a positive duration", "problem  configuration        HW_AUTH_TOKEN, HW_USER_NAME: set one of them", "problem  configuration        ALLOWED_DESTINATIONS: entry 1 is not region/project_id", "3 problems"}, status: 1,
		},
		{
			name: "nothing says where to look",
			env: func(a account) map[string]string {
				return a.env(map[string]string{"HW_PROJECT_ID": "", "HW_REGION_NAME": "", "ALLOWED_PROJECT_IDS": "*"})
			},
			want: []string{"problem  configuration        HW_PROJECT_ID: without it", "problem  configuration        HW_REGION_NAME: without it"}, status: 1,
		},
		{
			name:  "a wrong password, tried once",
			given: func(a account) { a.ChangePassword("replicator", "another-password") },
			want:  []string{"problem  credential           the user of HW_USER_NAME cannot be used: 401: the login of the user of HW_USER_NAME was refused", "ok       clock", "1 problem, 0 warnings."}, notWant: "destination", status: 1,
		},
		{
			name:  "a wrong signature, tried once",
			given: func(a account) { a.AddKey(cbrtest.Key{Access: accessKey, Secret: "another-secret-key"}) },
			env:   func(a account) map[string]string { return a.env(a.withKey()) },
			want:  []string{"problem  credential           the access key of HW_ACCESS_KEY cannot be used: 401 APIGW.0301", "1 problem, 0 warnings."}, status: 1,
		},
		{
			name: "a token of another project",
			env: func(a account) map[string]string {
				return a.env(withToken, map[string]string{"HW_PROJECT_ID": "00000000000000000000000000000001"})
			},
			want: []string{"warning  cbr:vaults:list      not allowed (403 APIGW.0302", "problem  cbr:backups:list     not allowed", "problem  credential           no call was answered as it should be: has the owner of the token of HW_AUTH_TOKEN a part in project 00000000000000000000000000000001", "ok       clock", "2 problems, 1 warning."}, status: 1,
		},
		{
			name: "CBR is out of reach",
			env: func(a account) map[string]string {
				return a.env(withToken, map[string]string{"HW_CBR_ENDPOINT": "http://127.0.0.1:1"})
			},
			want: []string{"problem  CBR                  no answer in region1: no connection to CBR", "warning  clock                no answer", "1 problem, 1 warning."}, status: 1,
		},
		{
			name:    "a clock that is off by more than a signature lives",
			options: []cbrtest.Option{cbrtest.WithClock(func() time.Time { return time.Now().Add(-20 * time.Minute) })},
			env:     func(a account) map[string]string { return a.env(a.withKey()) },
			want:    []string{"problem  credential           the access key of HW_ACCESS_KEY cannot be used", "problem  clock                Huawei Cloud's is 20m0s behind this machine's", "2 problems"}, status: 1,
		},
		{
			name:    "a clock that is off",
			options: []cbrtest.Option{cbrtest.WithClock(func() time.Time { return time.Now().Add(5 * time.Minute) })},
			want:    []string{"ok       credential", "warning  clock                Huawei Cloud's is 5m0s ahead of this machine's", "0 problems, 1 warning."},
		},
		{
			name:    "a cloud that shows no records",
			options: []cbrtest.Option{cbrtest.WithFormat(cbrtest.Format{ShowReplication: "ignored"})},
			want:    []string{"ok       cbr:backups:list", "warning  replication records  this cloud does not show them", "0 problems, 1 warning."},
		},
		{
			name:    "a cloud that refuses to show records",
			options: []cbrtest.Option{cbrtest.WithFormat(cbrtest.Format{ShowReplication: "refused"})},
			want:    []string{"ok       cbr:backups:list", "warning  replication records  this cloud does not show them"},
		},
		{
			name:  "backups may not be listed",
			given: func(a account) { a.Script(cbrtest.Lookups, deniedByIAM) },
			want:  []string{"ok       credential", "problem  cbr:backups:list     not allowed (403: You are not authorized", "1 problem, 0 warnings."}, status: 1,
		},
		{
			name:  "vaults may not be listed",
			given: func(a account) { a.Script(cbrtest.Vaults, deniedByIAM) },
			want:  []string{"ok       credential", "warning  cbr:vaults:list      not allowed (403", "ok       cbr:backups:list", "0 problems, 1 warning."},
		},
		{
			name:  "a list that fails for a time",
			given: func(a account) { a.Script(cbrtest.Vaults, cbrtest.Throttled(0)) },
			want:  []string{"problem  cbr:vaults:list      429 APIG.0308", "ok       credential"}, status: 1,
		},
		{
			name: "an answer that repeats the credential",
			given: func(a account) {
				a.Script(cbrtest.Vaults, cbrtest.Refusal(http.StatusBadRequest, "BackupService.9900", "who is "+password+"?"))
			},
			want: []string{"problem  cbr:vaults:list      400 BackupService.9900: who is [redacted]?"}, status: 1,
		},
		{
			name: "the destination's region is none that can be",
			given: func(a account) {
				a.Script(cbrtest.Capabilities, cbrtest.Raw(200, `{"regions":[{"name":"region1","replication_destinations":["region3"]}]}`))
			},
			want: []string{"problem  destination regions  region2 is not one that region1 replicates to (BackupService.1005): region3"}, status: 1,
		},
		{
			name:  "the regions may not be asked for",
			given: func(a account) { a.Script(cbrtest.Capabilities, deniedByIAM) },
			want:  []string{"ok       destination regions  not known (403", "0 problems, 0 warnings."},
		},
		{
			name: "the source vault is not there",
			env:  func(a account) map[string]string { return a.env(map[string]string{"HW_CBR_VAULT_ID": other}) },
			want: []string{"problem  source vault         33333333-2222-4333-8444-555555555555 is not in project"}, status: 1,
		},
		{
			name: "the source vault is one of disks",
			given: func(a account) {
				a.AddVault(cbrtest.Vault{ID: disk, ProjectID: cbrtest.SourceProject, ObjectType: "disk"})
			},
			env:  func(a account) map[string]string { return a.env(map[string]string{"HW_CBR_VAULT_ID": disk}) },
			want: []string{"problem  source vault         11111111-2222-4333-8444-555555555555 (vault-11111111-2222-4333-8444-555555555555), type backup of disks, available: CBR does not replicate vaults of disks", "warning  replication records  vault 1111", "problem  destination vault    0ca3eb86-8800-46da-9c37-9d657a825274 (vault-0ca3eb86-8800-46da-9c37-9d657a825274), type replication of servers, available: the source vault is for disks"}, status: 1,
		},
		{
			name: "the source vault has replicas",
			given: func(a account) {
				a.AddVault(cbrtest.Vault{ID: other, ProjectID: cbrtest.SourceProject, ProtectType: "replication"})
			},
			env:  func(a account) map[string]string { return a.env(map[string]string{"HW_CBR_VAULT_ID": other}) },
			want: []string{"problem  source vault         33333333-2222-4333-8444-555555555555 (vault-33333333-2222-4333-8444-555555555555), type replication of servers, available: a replica cannot"}, status: 1,
		},
		{
			name: "the source vault is frozen",
			given: func(a account) {
				a.AddVault(cbrtest.Vault{ID: cbrtest.SourceVault, ProjectID: cbrtest.SourceProject, Status: "frozen"})
			},
			want: []string{"problem  source vault         3b5816b5-f29c-4172-9d9a-76c719a659ce (vault-3b5816b5-f29c-4172-9d9a-76c719a659ce), type backup of servers, frozen: CBR refuses"}, status: 1,
		},
		{
			name: "the source vault is locked, and its backup runs",
			given: func(a account) {
				a.AddVault(cbrtest.Vault{ID: empty, ProjectID: cbrtest.SourceProject, Status: "lock"})
				a.AddBackup(cbrtest.Backup{ID: other, VaultID: empty, Status: "protecting"})
			},
			env:  func(a account) map[string]string { return a.env(map[string]string{"HW_CBR_VAULT_ID": empty}) },
			want: []string{"warning  source vault         22222222-2222-4333-8444-555555555555 (vault-22222222-2222-4333-8444-555555555555), type backup of servers, lock: requests are handed back", "warning  backups              vault 22222222-2222-4333-8444-555555555555 has 1 backup, and none is available", "0 problems, 2 warnings."},
		},
		{
			name: "no defaults: all vaults, and the destinations of the allow-list",
			given: func(a account) {
				a.AddVault(cbrtest.Vault{ID: disk, ProjectID: cbrtest.SourceProject, ObjectType: "disk"})
				a.AddVault(cbrtest.Vault{ID: empty, ProjectID: cbrtest.SourceProject})
			},
			env:  func(a account) map[string]string { return a.env(noDefault) },
			want: []string{"ok       allow-lists          1 destination may be named", "ok       cbr:vaults:list      3 vaults", "warning  source vaults        2 vaults can be replicated. 1 vault of disks cannot", "ok       backups              vault 3b5816b5-f29c-4172-9d9a-76c719a659ce has 3 backups", "ok       destination          project 68589cac08274b82b4e254268a3862d8 of region2 has 1 vault of the type replication", "0 problems, 1 warning."},
		},
		{
			name: "no defaults, and no vault that can be replicated",
			given: func(a account) {
				a.AddVault(cbrtest.Vault{ID: cbrtest.SourceVault, ProjectID: cbrtest.SourceProject, ObjectType: "disk"})
				a.AddVault(cbrtest.Vault{ID: cbrtest.DestinationVault, ProjectID: cbrtest.DestinationProject})
			},
			env:  func(a account) map[string]string { return a.env(noDefault) },
			want: []string{"problem  source vaults        no vault of the project can be replicated (1 vault of disks", "warning  cbr:backups:list     not tried", "problem  destination          project 68589cac08274b82b4e254268a3862d8 of region2 has no vault of the type replication"}, status: 1,
		},
		{
			name: "lists that allow everything",
			env: func(a account) map[string]string {
				return a.env(noDefault, map[string]string{"ALLOWED_PROJECT_IDS": "*", "ALLOWED_DESTINATIONS": "region2/*"})
			},
			want: []string{"warning  allow-lists          ALLOWED_PROJECT_IDS is *", "warning  allow-lists          ALLOWED_DESTINATIONS has region2/*", "warning  destination          not looked at, since none is named", "0 problems, 3 warnings."},
		},
		{
			name: "the defaults are not allowed",
			env: func(a account) map[string]string {
				return a.env(map[string]string{"ALLOWED_DESTINATIONS": "region3/" + cbrtest.DestinationProject})
			},
			want: []string{"problem  allow-lists          the configured defaults are not allowed: replicate.destination_region with destination_project_id: not in ALLOWED_DESTINATIONS"}, status: 1,
		},
		{
			name: "the destination is the source's region",
			env: func(a account) map[string]string {
				return a.env(map[string]string{"HW_CBR_DESTINATION_REGION": cbrtest.SourceRegion, "ALLOWED_DESTINATIONS": "*/*"})
			},
			want: []string{"problem  destination          region1 is the source region"}, status: 1,
		},
		{
			name: "the destination vault is not there",
			env: func(a account) map[string]string {
				return a.env(map[string]string{"HW_CBR_DESTINATION_VAULT_ID": other})
			},
			want: []string{"problem  destination vault    33333333-2222-4333-8444-555555555555 is not in project 68589cac08274b82b4e254268a3862d8 of region2"}, status: 1,
		},
		{
			name: "the destination vault is one for backups",
			given: func(a account) {
				a.AddVault(cbrtest.Vault{ID: cbrtest.DestinationVault, ProjectID: cbrtest.DestinationProject})
			},
			want: []string{"problem  destination vault    0ca3eb86-8800-46da-9c37-9d657a825274 (vault-0ca3eb86-8800-46da-9c37-9d657a825274), type backup of servers, available: only a vault of the type replication"}, status: 1,
		},
		{
			name: "the destination vault is full",
			given: func(a account) {
				a.AddVault(cbrtest.Vault{ID: cbrtest.DestinationVault, ProjectID: cbrtest.DestinationProject, ProtectType: "replication", Size: 10, Used: 10 << 10})
			},
			want: []string{"problem  destination vault    0ca3eb86-8800-46da-9c37-9d657a825274 (vault-0ca3eb86-8800-46da-9c37-9d657a825274), type replication of servers, available: it is full"}, status: 1,
		},
		{
			name: "the destination vault is almost full",
			given: func(a account) {
				a.AddVault(cbrtest.Vault{ID: cbrtest.DestinationVault, ProjectID: cbrtest.DestinationProject, ProtectType: "replication", Size: 10, Used: 9 << 10})
			},
			want: []string{"warning  destination vault    0ca3eb86-8800-46da-9c37-9d657a825274 (vault-0ca3eb86-8800-46da-9c37-9d657a825274), type replication of servers, available: 9 of 10 GB are used"},
		},
		{
			name: "a secret, without credentials of AWS",
			env: func(a account) map[string]string {
				return a.env(noUser, map[string]string{"HW_AUTH_TOKEN_SECRET": "arn:aws:secretsmanager:eu-central-1:123456789012:secret:huawei-AbCdEf"})
			},
			want: []string{"problem  configuration        AWS_ACCESS_KEY_ID: the secret of HW_AUTH_TOKEN_SECRET cannot be read"}, status: 1,
		},
		{
			name: "a secret's name, without a region",
			env: func(a account) map[string]string {
				return a.env(noUser, map[string]string{"HW_AUTH_TOKEN_SECRET": "huawei"})
			},
			want: []string{"problem  configuration        HW_AUTH_TOKEN_SECRET: expected an ARN, since AWS_REGION is not set"}, status: 1,
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			a := newAccount(t, tt.options...)
			if tt.given != nil {
				tt.given(a)
			}
			env := a.env()
			if tt.env != nil {
				env = tt.env(a)
			}
			out, status := run(t, built.doctor, env, "")
			inOrder(t, out, tt.want)
			if tt.notWant != "" && strings.Contains(out, tt.notWant) {
				t.Errorf("%q is there:\n%s", tt.notWant, out)
			}
			if status != tt.status {
				t.Errorf("exit status %d, want %d:\n%s", status, tt.status, out)
			}
			if calls := a.Calls(); len(calls) > 0 {
				t.Errorf("it asked for copies: %v", calls)
			}
			failed := 0
			for _, login := range a.Logins() {
				if !login.OK && login.Project == cbrtest.SourceProject {
					failed++
				}
			}
			if failed > 1 || a.BadSignatures(accessKey) > 1 {
				t.Errorf("%d failed logins and %d bad signatures, want one at most", failed, a.BadSignatures(accessKey))
			}
		})
	}
}

// inOrder requires lines that begin so, in this order. Lines that are not wanted may be
// between them.
func inOrder(t *testing.T, out string, want []string) {
	t.Helper()
	lines := strings.Split(out, "\n")
	for _, w := range want {
		found := false
		for len(lines) > 0 && !found {
			found = strings.HasPrefix(strings.TrimLeft(lines[0], " "), w)
			lines = lines[1:]
		}
		if !found {
			t.Errorf("no line %q, or not in this order:\n%s", w, out)
			return
		}
	}
}

func TestDoctorReadsASecret(t *testing.T) {
	t.Parallel()
	a := newAccount(t)
	secrets, err := sandbox.NewSecrets()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(secrets.Close)
	secrets.Put("huawei", fmt.Sprintf(`{"HW_USER_NAME":"replicator","HW_USER_PASSWORD":%q,"HW_DOMAIN_NAME":"example"}`, password))
	env := a.env(noUser, map[string]string{
		"HW_AUTH_TOKEN_SECRET": "huawei", "AWS_REGION": sandbox.Region, "AWS_ENDPOINT_URL_SECRETS_MANAGER": secrets.URL(),
		"AWS_ACCESS_KEY_ID": "AKIAIOSFODNN7EXAMPLE", "AWS_SECRET_ACCESS_KEY": "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
	})
	out, status := run(t, built.doctor, env, "")
	inOrder(t, out, []string{"ok       credential           CBR in region1 takes the secret of HW_AUTH_TOKEN_SECRET", "ok       destination vault", "0 problems, 0 warnings."})
	if status != 0 {
		t.Errorf("exit status %d", status)
	}
	env["HW_AUTH_TOKEN_SECRET"] = "another"
	out, status = run(t, built.doctor, env, "")
	inOrder(t, out, []string{"problem  credential           the secret of HW_AUTH_TOKEN_SECRET cannot be used: the secret another cannot be read", "1 problem"})
	if status != 1 {
		t.Errorf("exit status %d, want 1", status)
	}
}
