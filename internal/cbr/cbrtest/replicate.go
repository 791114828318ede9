package cbrtest

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"time"
)

// regionForm is destination_region's pattern in the CBR API reference.
var regionForm = regexp.MustCompile(`^[a-zA-Z0-9._\-]{1,255}$`)

// copyParam is CheckpointReplicateParam of the CBR API reference, or BackupReplicateReqBody, whose vault is that of the backup.
// enable_acceleration, cross_account_urn, name and description change nothing that is visible here.
type copyParam struct {
	vault, destinationVault, destinationProject, destinationRegion string

	autoTrigger bool
}

// invalid is the answer to a request that does not have its form. The code is documented for all operations. Inferred: an
// unknown field gets it.
func invalid(format string, args ...any) *refusal {
	return &refusal{http.StatusBadRequest, "BackupService.9900", "Parameter verification failed. " + fmt.Sprintf(format, args...)}
}

// nameForm is the form of CopyBackup's name in the CBR API reference, and textForm that of its description.
var (
	nameForm = regexp.MustCompile(`^[\x{4E00}-\x{9FA5}\x{f900}-\x{fa2d}a-zA-Z0-9_\-]{1,64}$`)
	textForm = regexp.MustCompile(`^[^<>]{0,255}$`)
)

// readCopyParam reads and checks the body of CopyCheckpoint, or of CopyBackup.
func readCopyParam(operation string, body []byte) (copyParam, *refusal) {
	var p copyParam
	name, description := "-", "" // absent is valid
	var root struct{ fields, replicate map[string]json.RawMessage }
	if err := json.Unmarshal(body, &root.fields); err != nil {
		return p, invalid("The body is not a JSON object.")
	}
	if err := json.Unmarshal(root.fields["replicate"], &root.replicate); err != nil || len(root.fields) != 1 {
		return p, invalid("The body must have one field, the object replicate.")
	}
	required := map[string]*string{
		"vault_id":               &p.vault,
		"destination_vault_id":   &p.destinationVault,
		"destination_project_id": &p.destinationProject,
		"destination_region":     &p.destinationRegion,
	}
	optional := map[string]any{
		"auto_trigger":        &p.autoTrigger,
		"enable_acceleration": new(bool),
		"cross_account_urn":   new(string),
	}
	if operation == CopyBackup {
		delete(required, "vault_id")
		delete(optional, "auto_trigger")
		optional["name"], optional["description"] = &name, &description
	}
	for _, name := range slices.Sorted(maps.Keys(root.replicate)) {
		value := root.replicate[name]
		target, known := optional[name]
		if text, ok := required[name]; ok {
			target, known = text, true
		}
		if !known {
			return p, invalid("replicate.%s is unknown.", name)
		}
		if err := json.Unmarshal(value, target); err != nil || string(value) == "null" {
			return p, invalid("replicate.%s has a wrong type.", name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(required)) {
		if *required[name] == "" {
			return p, invalid("replicate.%s is missing.", name)
		}
	}
	for _, id := range []*string{&p.vault, &p.destinationVault, &p.destinationProject} {
		*id = fold(*id)
	}
	for _, form := range []struct {
		name, value string
		form        *regexp.Regexp
	}{
		{"destination_region", p.destinationRegion, regionForm},
		{"name", name, nameForm},
		{"description", description, textForm},
	} {
		if !form.form.MatchString(form.value) {
			return p, invalid("replicate.%s is invalid.", form.name)
		}
	}
	return p, nil
}

// sourceVault reads the vault's id from any body.
func sourceVault(body []byte) string {
	var root struct {
		Replicate struct {
			VaultID string `json:"vault_id"`
		} `json:"replicate"`
	}
	_ = json.Unmarshal(body, &root) // the id stays empty if the body cannot be read
	return fold(root.Replicate.VaultID)
}

// copyCheckpoint starts copying a vault's backups that have no copy in the destination region yet.
//
// Codes, statuses and texts are those of the error code tables in the CBR API reference. If OTC's differ (1005 is 500 there),
// Huawei's are used. Inferred: the order of the checks, and which backups are copied: those that are available, hold a system
// disk, and have no copy in the region that runs or succeeded (CBR user guide, "Replicating a vault").
func (c *CBR) copyCheckpoint(project string, body []byte) (object, *refusal) {
	p, refused := readCopyParam(CopyCheckpoint, body)
	if refused != nil {
		return nil, refused
	}
	if refused := c.checkVaults(project, p); refused != nil {
		return nil, refused
	}

	now := c.now()
	var uncopied []*backup
	busy, eligible, need := false, 0, 0
	for _, b := range c.backups[p.vault] {
		busy = busy || b.has(func(r *record) bool { return r.running(now) })
		if b.Status != "available" || b.NoSystemDisk {
			continue
		}
		eligible++
		if !b.has(func(r *record) bool { return r.param.destinationRegion == p.destinationRegion && r.holds(now) }) {
			uncopied = append(uncopied, b)
			need += b.Size << 10
		}
	}
	destination := c.vaults[p.destinationVault]
	switch {
	case eligible == 0:
		return nil, nothing()
	case busy:
		return nil, inReplication()
	case len(uncopied) == 0:
		return nil, copied()
	// Inferred: it counts what is about to be copied.
	case c.used(destination, now)+need > destination.Size<<10:
		return nil, full()
	}

	queued := make([]object, len(uncopied))
	for i, b := range uncopied {
		queued[i] = object{"backup_id": b.ID, "replication_record_id": c.start(now, b, project, p).id}
	}
	return object{"replication": object{
		"backups":                queued,
		"destination_project_id": p.destinationProject,
		"destination_region":     p.destinationRegion,
		"destination_vault_id":   p.destinationVault,
		"project_id":             project,
		"provider_id":            kindOf(c.vaults[p.vault]).provider,
		"source_region":          c.regions[project],
		"vault_id":               p.vault,
	}}, nil
}

// copyBackup starts copying one backup.
//
// Codes, statuses and texts are those of the error code tables in the CBR API reference. Inferred: the order of the checks, that
// they are CopyCheckpoint's, and that a copy of another backup keeps the vault busy. A copy of this one, running or done, is what
// BackupService.1009 speaks of.
func (c *CBR) copyBackup(project, id string, body []byte) (object, *refusal) {
	p, refused := readCopyParam(CopyBackup, body)
	if refused != nil {
		return nil, refused
	}
	b, ok := c.byID[id]
	if ok {
		_, ok = c.vault(project, b.VaultID)
	}
	if !ok {
		return nil, noBackup()
	}
	p.vault = b.VaultID
	if refused := c.checkVaults(project, p); refused != nil {
		return nil, refused
	}
	now := c.now()
	running := func(r *record) bool { return r.running(now) }
	destination := c.vaults[p.destinationVault]
	switch {
	case b.Status != "available":
		return nil, nothing()
	case b.NoSystemDisk:
		return nil, &refusal{http.StatusBadRequest, "BackupService.1002", "Replication is not allowed for the current type of backups."}
	case b.has(func(r *record) bool { return r.param.destinationRegion == p.destinationRegion && r.holds(now) }):
		return nil, copied()
	case slices.ContainsFunc(c.backups[p.vault], func(b *backup) bool { return b.has(running) }):
		return nil, inReplication()
	case c.used(destination, now)+b.Size<<10 > destination.Size<<10:
		return nil, full()
	}
	return object{"replication": object{
		"backup_id":              b.ID,
		"destination_project_id": p.destinationProject,
		"destination_region":     p.destinationRegion,
		"destination_vault_id":   p.destinationVault,
		"project_id":             project,
		"provider_id":            kindOf(c.vaults[p.vault]).provider,
		"replication_record_id":  c.start(now, b, project, p).id,
		"source_region":          c.regions[project],
	}}, nil
}

// start queues a copy of the backup at a time.
func (c *CBR) start(now time.Time, b *backup, project string, p copyParam) *record {
	r := &record{param: p, project: project, region: c.regions[project], queued: now, takes: c.copyTime, visible: now.Add(c.late), end: c.copyEnds}
	c.addRecord(b, r)
	return r
}

func nothing() *refusal {
	return &refusal{http.StatusBadRequest, "BackupService.0001", "No resource is available for backup."}
}

func copied() *refusal {
	return &refusal{http.StatusBadRequest, "BackupService.1009", "The backup is being replicated or has been replicated to the destination region."}
}

func inReplication() *refusal {
	return &refusal{http.StatusBadRequest, "BackupService.6130", "The vault is being replicated."}
}

func full() *refusal {
	return &refusal{http.StatusBadRequest, "BackupService.6129", "The maximum capacity of the destination vault has been reached."}
}

func noBackup() *refusal {
	return &refusal{http.StatusNotFound, "BackupService.6200", "The backup does not exist."}
}

// checkVaults checks source and destination, but not the backups in them.
func (c *CBR) checkVaults(project string, p copyParam) *refusal {
	source, ok := c.vault(project, p.vault)
	switch {
	case !ok:
		return &refusal{http.StatusNotFound, "BackupService.6105", "The vault does not exist."}
	case source.Status != "available":
		return &refusal{http.StatusBadRequest, "BackupService.6112", "Invalid vault status."}
	case source.ObjectType == "disk":
		return &refusal{http.StatusBadRequest, "BackupService.6122", "The resource type does not support replication."}
	case source.ProtectType == "replication":
		return &refusal{http.StatusBadRequest, "BackupService.6128", "Replication is not allowed for the current type of vaults."}
	}
	// A region can be a destination if a project was added there and it is not the source's own. Inferred: a project of another
	// region than the one in the request counts as unknown.
	regions := slices.Collect(maps.Values(c.regions))
	if p.destinationRegion == c.regions[project] || !slices.Contains(regions, p.destinationRegion) {
		return &refusal{http.StatusBadRequest, "BackupService.1005", "The destination region does not support replication."}
	}
	if c.regions[p.destinationProject] != p.destinationRegion {
		return &refusal{http.StatusBadRequest, "BackupService.1011", "The destination project does not support replication."}
	}
	destination, ok := c.vault(p.destinationProject, p.destinationVault)
	switch {
	case !ok:
		return &refusal{http.StatusBadRequest, "BackupService.6120", "The destination vault does not exist."}
	case destination.ProtectType != "replication":
		return &refusal{http.StatusBadRequest, "BackupService.6119", "The destination vault does not support replication."}
	}
	return nil
}
