// Package doctor has the two programs that look at a user's own account in Huawei Cloud
// with the variables of the function. "make doctor" only reads: it says, line by line,
// what is right and what must be corrected before the function is deployed. "make
// accept" replicates a vault, after it has asked, and says what CBR's answers settle of
// that which Huawei's documents leave open.
package doctor

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"

	"cbr-replicator/internal/allow"
	"cbr-replicator/internal/cbr"
	"cbr-replicator/internal/huawei"
	"cbr-replicator/internal/kind"
	"cbr-replicator/internal/redact"
	"cbr-replicator/internal/sandbox"
)

// Run is make doctor. Its error says how many problems there are.
func Run(ctx context.Context, args []string, out io.Writer) error {
	flags := flag.NewFlagSet("doctor", flag.ExitOnError)
	binary := flags.String("function", "", "the function's binary; it is built if there is none")
	_ = flags.Parse(args) // it exits
	x := newExamination(out)
	x.examine(ctx, *binary, environment())
	return x.end("Not tried: cbr:vaults:replicate, since that would start copies. make accept tries it on a vault of your choice.")
}

// environment returns the variables that the function would get.
func environment() map[string]string {
	env := sandbox.UserEnv(os.Environ())
	// Lambda sets this. Here it is the user's, even if there is none.
	env["AWS_REGION"] = os.Getenv("AWS_REGION")
	return env
}

// The words that lines begin with.
const (
	fine    = "ok"
	warning = "warning"
	problem = "problem"
)

// examination looks at an account. It prints a line for each thing that it looked at.
type examination struct {
	out                io.Writer
	hidden             *redact.Redactor
	warnings, problems int

	*settings
	cbr   *cbr.Client
	clock *clock

	// accepted: CBR has taken the credential. refused: there is no use in more calls.
	accepted, refused bool
	// vaults are those of the source project, nil if they could not be listed.
	vaults map[string]cbr.Vault
	// backups are those of the source vault, as far as one was looked at.
	backups []cbr.Backup
	// shows: its list shows replication records.
	shows bool
}

func newExamination(out io.Writer) *examination {
	return &examination{out: out, hidden: &redact.Redactor{}, clock: &clock{}}
}

// say prints a line. Nothing that is secret gets into it.
func (x *examination) say(level, subject, format string, args ...any) {
	switch level {
	case warning:
		x.warnings++
	case problem:
		x.problems++
	}
	fmt.Fprintf(x.out, "%-8s %-20s %s\n", level, subject, x.hidden.Text(fmt.Sprintf(format, args...)))
}

// end prints what is left to say, and returns an error if there are problems.
func (x *examination) end(rest string) error {
	fmt.Fprintf(x.out, "\n%s, %s.\n", count(x.problems, "problem"), count(x.warnings, "warning"))
	if x.problems > 0 {
		return fmt.Errorf("%s to be solved", count(x.problems, "problem"))
	}
	fmt.Fprintln(x.out, rest)
	return nil
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// examine looks at all there is.
func (x *examination) examine(ctx context.Context, binary string, env map[string]string) {
	if !x.configuration(ctx, binary, env) {
		return
	}
	x.allowed()
	x.sourceVaults(ctx)
	x.sourceBackups(ctx)
	if !x.accepted && !x.refused {
		x.say(problem, "credential", "no call was answered as it should be: has the owner of %s a part in project %s, and is that a project of %s?", x.credential(), x.source.ProjectID, x.source.Region)
	}
	x.time()
	x.destinations(ctx)
}

// configuration has the function itself read the variables.
func (x *examination) configuration(ctx context.Context, binary string, env map[string]string) bool {
	var err error
	x.settings, err = readSettings(env)
	x.settings.hide(x.hidden)
	problems, warnings, startErr := start(ctx, binary, env)
	switch {
	case startErr != nil:
		x.say(problem, "configuration", "%v", startErr)
		return false
	case len(problems) > 0:
		for _, text := range problems {
			x.say(problem, "configuration", "%s", text)
		}
		return false
	case err != nil:
		x.say(problem, "configuration", "%v", err)
		return false
	}
	for _, text := range warnings {
		x.say(warning, "configuration", "%s", text)
	}
	for _, v := range []struct{ name, value string }{{"HW_PROJECT_ID", x.source.ProjectID}, {"HW_REGION_NAME", x.source.Region}} {
		if v.value == "" {
			x.say(problem, "configuration", "%s: without it nothing can be looked at. Set it for this command: a project and region that requests will name", v.name)
		}
	}
	if x.fields.SecretID != "" && env["AWS_ACCESS_KEY_ID"] == "" {
		x.say(problem, "configuration", "AWS_ACCESS_KEY_ID: the secret of HW_AUTH_TOKEN_SECRET cannot be read without credentials of AWS in the environment (aws configure export-credentials --format env prints those of a profile)")
	}
	if x.problems > 0 {
		return false
	}
	x.say(fine, "configuration", "the function starts with these variables")
	x.cbr = x.settings.client(x.hidden, x.clock)
	return true
}

// allowed looks at the operator's lists.
func (x *examination) allowed() {
	open := 0
	if slices.Contains(x.allow.Projects, "*") {
		open++
		x.say(warning, "allow-lists", "ALLOWED_PROJECT_IDS is *: a request may name any source project that the credential may use")
	}
	for _, d := range x.allow.Destinations {
		if d.ProjectID == "*" {
			open++
			x.say(warning, "allow-lists", "ALLOWED_DESTINATIONS has %s/*: whoever may send a message can have backups copied to a project of another account. Name the projects", d.Region)
		}
	}
	to := x.to
	if to.DestinationRegion == "" || to.DestinationProjectID == "" {
		if open == 0 {
			x.say(fine, "allow-lists", "%s may be named by requests", count(len(x.allow.Destinations), "destination"))
		}
		return
	}
	if err := x.allow.Check(x.source, to); err != nil {
		x.say(problem, "allow-lists", "the configured defaults are not allowed: %s", kind.As(err).Message)
	} else {
		x.say(fine, "allow-lists", "the configured defaults are allowed")
	}
}

// sourceVaults lists the source project's vaults. It is the first call to CBR, so it
// shows if the credential is good.
func (x *examination) sourceVaults(ctx context.Context) {
	vaults := map[string]cbr.Vault{}
	err := x.cbr.ListVaults(ctx, x.source, nil, func(v *cbr.Vault) { vaults[strings.ToLower(v.ID)] = *v })
	switch x.judge(err) {
	case answered:
		x.vaults = vaults
		x.say(fine, "cbr:vaults:list", "%s of the project", count(len(vaults), "vault"))
		x.kinds()
	case denied:
		x.say(warning, "cbr:vaults:list", "not allowed (%s): plans by tags need it, and no vault was looked at", message(err))
	case failed:
		x.say(problem, "cbr:vaults:list", "%s", message(err))
	}
}

// kinds says what the vaults are, if no one of them is configured.
func (x *examination) kinds() {
	if x.to.VaultID != "" {
		return
	}
	good, disks := 0, 0
	for _, v := range x.vaults {
		switch {
		case v.ProtectType == "replication":
		case v.ObjectType == "disk":
			disks++
		default:
			good++
		}
	}
	switch {
	case good == 0:
		x.say(problem, "source vaults", "no vault of the project can be replicated (%s of disks, which CBR does not replicate). Is it the right project and region, and does HW_ENTERPRISE_PROJECT_ID let the credential see them?", count(disks, "vault"))
	case disks > 0:
		x.say(warning, "source vaults", "%s can be replicated. %s of disks cannot: a plan that selects it has a request that is rejected each time", count(good, "vault"), count(disks, "vault"))
	default:
		x.say(fine, "source vaults", "%s can be replicated", count(good, "vault"))
	}
}

// look is what a call shows of the account.
type look int

const (
	answered  look = iota // the answer that was asked for
	denied                // the credential is good, and may not do this
	failed                // something else is at fault
	untouched             // no call was made, or a line about the credential was printed
)

// judge says what a call shows. It prints the line about the credential, once.
func (x *examination) judge(err error) look {
	if x.refused {
		return untouched
	}
	e := kind.As(err)
	if e.Of() == kind.Unavailable && e.HTTPStatus == 0 && !x.accepted {
		x.refused = true
		x.say(problem, "CBR", "no answer in %s: %s", x.source.Region, message(err))
		return untouched
	}
	isDenied := errors.Is(err, cbr.ErrListRefused) || e != nil && e.HTTPStatus == http.StatusForbidden
	switch {
	case err != nil && (e.HTTPStatus == 0 && e.Kind != kind.OutOfTime && !x.accepted || e.Of() == kind.Unauthorized && !isDenied):
		// A refused credential is not tried again, since that may lock it.
		x.refused = true
		x.say(problem, "credential", "%s cannot be used: %s", x.credential(), message(err))
		return untouched
	case (err == nil || errors.Is(err, cbr.ErrListRefused)) && !x.accepted:
		x.accepted = true
		x.say(fine, "credential", "CBR in %s takes %s for project %s", x.source.Region, x.credential(), x.source.ProjectID)
	}
	switch {
	case err == nil:
		return answered
	case isDenied:
		return denied
	}
	return failed
}

// message is what an error says, with CBR's code.
func message(err error) string {
	e := kind.As(err)
	if e == nil {
		return ""
	}
	var parts []string
	if e.HTTPStatus != 0 {
		parts = append(parts, fmt.Sprint(e.HTTPStatus))
	}
	if e.Code != "" && e.Code != fmt.Sprint(e.HTTPStatus) {
		parts = append(parts, e.Code)
	}
	text := strings.Join(parts, " ")
	if text != "" && e.Message != "" {
		text += ": "
	}
	return text + e.Message
}

// sourceBackups looks at the configured vault, or at the first that has backups.
func (x *examination) sourceBackups(ctx context.Context) {
	const most = 5 // vaults that are looked at if none is configured
	ids := []string{x.to.VaultID}
	if x.to.VaultID == "" {
		ids = ids[:0]
		for id, v := range x.vaults {
			if v.ProtectType != "replication" && v.ObjectType != "disk" {
				ids = append(ids, id)
			}
		}
		slices.Sort(ids)
		ids = ids[:min(len(ids), most)]
	} else if x.vaults != nil {
		x.sourceVault()
	}
	if len(ids) == 0 && !x.refused {
		x.say(warning, "cbr:backups:list", "not tried: there is no vault to look at. Set HW_CBR_VAULT_ID for this command")
		return
	}
	for i, id := range ids {
		err := x.list(ctx, id)
		if errors.Is(err, cbr.ErrNoRecords) {
			x.judge(nil)
			x.say(fine, "cbr:backups:list", "allowed")
			x.say(warning, "replication records", "this cloud does not show them: nothing can be looked up. What is redelivered is sent again (unverified), copies cannot be followed, and replicas not be checked. See docs/guarantees.md, Limits")
			return
		}
		switch x.judge(err) {
		case denied:
			x.say(problem, "cbr:backups:list", "not allowed (%s): without it nothing is looked up, and requests that may have had their effect are never sent. Give it to the user in the source project", message(err))
			return
		case failed:
			x.say(problem, "cbr:backups:list", "%s", message(err))
			return
		case untouched:
			return
		}
		if len(x.backups) == 0 && i < len(ids)-1 {
			continue
		}
		x.say(fine, "cbr:backups:list", "allowed")
		x.records(id)
		return
	}
}

// sourceVault judges the configured vault by the list of vaults.
func (x *examination) sourceVault() {
	v, ok := x.vaults[x.to.VaultID]
	switch about := describe(&v); {
	case !ok:
		x.say(problem, "source vault", "%s is not in project %s of %s, or HW_ENTERPRISE_PROJECT_ID hides it", x.to.VaultID, x.source.ProjectID, x.source.Region)
	case v.ProtectType == "replication":
		x.say(problem, "source vault", "%s: a replica cannot be replicated again (BackupService.6128). Is it the destination vault?", about)
	case v.ObjectType == "disk":
		x.say(problem, "source vault", "%s: CBR does not replicate vaults of disks (BackupService.6122)", about)
	case v.Status == "frozen" || v.Status == "deleting" || v.Status == "error":
		x.say(problem, "source vault", "%s: CBR refuses to replicate it in this state (BackupService.6112)", about)
	case v.Status != "available" && v.Status != "":
		x.say(warning, "source vault", "%s: requests are handed back until it is available", about)
	default:
		x.say(fine, "source vault", "%s", about)
	}
}

// describe is a vault in a line.
func describe(v *cbr.Vault) string {
	text := fmt.Sprintf("%s (%s), type %s", v.ID, v.Name, v.ProtectType)
	if v.ObjectType != "" {
		text += " of " + v.ObjectType + "s"
	}
	if v.Status != "" {
		text += ", " + v.Status
	}
	return text
}

// list reads a vault's backups.
func (x *examination) list(ctx context.Context, vaultID string) error {
	x.backups = nil
	_, err := x.cbr.ListBackups(ctx, x.source, vaultID, func(b *cbr.Backup) { x.backups = append(x.backups, *b) })
	x.shows = err == nil && len(x.backups) > 0
	return err
}

// records says what the list of a vault shows.
func (x *examination) records(vaultID string) {
	available := x.available()
	switch {
	case len(x.backups) == 0:
		x.say(warning, "replication records", "vault %s has no backup, so that nothing shows if lists have them. Look again after its first backup", vaultID)
		return
	case available == 0:
		x.say(warning, "backups", "vault %s has %s, and none is available: there is nothing to replicate yet", vaultID, count(len(x.backups), "backup"))
	default:
		x.say(fine, "backups", "vault %s has %s, %d available", vaultID, count(len(x.backups), "backup"), available)
	}
	x.say(fine, "replication records", "lists show them")
}

func (x *examination) available() (n int) {
	for _, b := range x.backups {
		if b.Available {
			n++
		}
	}
	return n
}

// time compares the clocks.
func (x *examination) time() {
	const (
		signatures = 15 * time.Minute // how long a signature is valid (API Gateway user guide)
		much       = 2 * time.Minute
	)
	if !x.clock.known {
		x.say(warning, "clock", "no answer of Huawei Cloud had a Date")
		return
	}
	// A Date is cut to the second.
	off, where := x.clock.ahead.Abs().Round(10*time.Second), "ahead of"
	if x.clock.ahead < 0 {
		where = "behind"
	}
	switch {
	case off > signatures:
		x.say(problem, "clock", "Huawei Cloud's is %s %s this machine's: signatures are refused from 15 minutes on. Set this machine's clock. On Lambda it is AWS's that counts", off, where)
	case off > much:
		x.say(warning, "clock", "Huawei Cloud's is %s %s this machine's. The function compares the two, but a signature is valid for only 15 minutes", off, where)
	default:
		x.say(fine, "clock", "Huawei Cloud's and this machine's agree to %s", max(x.clock.ahead.Abs(), time.Second))
	}
}

// destinations looks at where copies go, as far as the credential may.
func (x *examination) destinations(ctx context.Context) {
	if x.refused || !x.accepted {
		return
	}
	places := x.places()
	if len(places) == 0 {
		x.say(warning, "destination", "not looked at, since none is named: set HW_CBR_DESTINATION_REGION, …_PROJECT_ID and …_VAULT_ID for this command")
		return
	}
	regions, known, err := x.cbr.ReplicationDestinations(ctx, x.source)
	if err != nil {
		x.say(fine, "destination regions", "not known (%s). This needs cbr:backups:queryReplicationCapability, which the function does not", message(err))
	}
	for _, to := range places {
		if known && !slices.Contains(regions, to.Region) {
			x.say(problem, "destination regions", "%s is not one that %s replicates to (BackupService.1005): %s", to.Region, x.source.Region, strings.Join(regions, ", "))
		}
		if to.Region == x.source.Region {
			x.say(problem, "destination", "%s is the source region: CBR replicates to another region only", to.Region)
			continue
		}
		x.destination(ctx, to)
	}
}

// places returns the configured destination, or those of the allow-list that are named
// in full.
func (x *examination) places() (places []huawei.Scope) {
	if x.to.DestinationRegion != "" && x.to.DestinationProjectID != "" {
		return []huawei.Scope{{Region: x.to.DestinationRegion, ProjectID: x.to.DestinationProjectID}}
	}
	for _, d := range x.allow.Destinations {
		if d != (allow.Destination{}) && d.Region != "*" && d.ProjectID != "*" {
			places = append(places, huawei.Scope{Region: d.Region, ProjectID: d.ProjectID})
		}
	}
	return places
}

// destination looks at a destination's vaults. That it cannot is no problem: the function
// never calls anything there.
func (x *examination) destination(ctx context.Context, at huawei.Scope) {
	vaults := map[string]cbr.Vault{}
	err := x.cbr.ListVaults(ctx, at, nil, func(v *cbr.Vault) { vaults[strings.ToLower(v.ID)] = *v })
	if err != nil {
		x.say(warning, "destination", "project %s of %s could not be looked at with this credential (%s). Look in the console: the destination vault must be of the type replication, for the same kind of resources, available, and have room",
			at.ProjectID, at.Region, message(err))
		return
	}
	if x.to.DestinationVaultID != "" {
		x.destinationVault(vaults, at)
		return
	}
	good := 0
	for _, v := range vaults {
		if v.ProtectType == "replication" {
			good++
		}
	}
	if good == 0 {
		x.say(problem, "destination", "project %s of %s has no vault of the type replication: make one there", at.ProjectID, at.Region)
		return
	}
	x.say(fine, "destination", "project %s of %s has %s of the type replication", at.ProjectID, at.Region, count(good, "vault"))
}

func (x *examination) destinationVault(vaults map[string]cbr.Vault, at huawei.Scope) {
	const full = 90 // percent
	v, ok := vaults[x.to.DestinationVaultID]
	source := x.vaults[x.to.VaultID]
	switch about := describe(&v); {
	case !ok:
		x.say(problem, "destination vault", "%s is not in project %s of %s (BackupService.6120), or HW_ENTERPRISE_PROJECT_ID hides it", x.to.DestinationVaultID, at.ProjectID, at.Region)
	case v.ProtectType != "replication":
		x.say(problem, "destination vault", "%s: only a vault of the type replication can be one (BackupService.6119)", about)
	case source.ObjectType != "" && v.ObjectType != "" && source.ObjectType != v.ObjectType:
		x.say(problem, "destination vault", "%s: the source vault is for %ss", about, source.ObjectType)
	case v.Status != "available" && v.Status != "":
		x.say(problem, "destination vault", "%s: it must be available", about)
	case v.Size > 0 && v.Used>>10 >= v.Size:
		x.say(problem, "destination vault", "%s: it is full (BackupService.6129): expand it, or delete replicas", about)
	case v.Size > 0 && v.Used/1024*100 >= v.Size*full:
		x.say(warning, "destination vault", "%s: %d of %d GB are used, and nobody deletes replicas of manual requests", about, v.Used>>10, v.Size)
	default:
		x.say(fine, "destination vault", "%s, %d of %d GB used", about, v.Used>>10, v.Size)
	}
}
