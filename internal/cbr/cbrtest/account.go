package cbrtest

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// The ids of CopyCheckpoint's example in the CBR API reference, and a token for it. [CBR.AddExample] makes an account of them.
const (
	SourceProject      = "f841e01fd2b14e7fa41b6ae7aa6b0594"
	SourceRegion       = "region1"
	SourceVault        = "3b5816b5-f29c-4172-9d9a-76c719a659ce"
	DestinationProject = "68589cac08274b82b4e254268a3862d8"
	DestinationRegion  = "region2"
	DestinationVault   = "0ca3eb86-8800-46da-9c37-9d657a825274"
	// VaultB and VaultC are other vaults that the samples in events/ name. No account has them unless they are added.
	VaultB = "5a1c0a1e-3f0b-4a58-8f2c-2b7a4f6d9e01"
	VaultC = "7c9e6679-7425-40de-944b-e07fc1f90ae7"
	// Token is valid for SourceProject.
	Token = "MIIDkgYJKoZIhvcNAQcCoIIDgzCC-not-a-real-token" //nolint:gosec // it says so itself
)

// A Vault holds backups, or copies of backups. Its fields are those of ShowVault's answer in the CBR API reference.
type Vault struct {
	ID          string
	ProjectID   string // gives the vault its region
	Name        string
	ProtectType string // backup (the default), replication or hybrid; only a replication vault can be a destination
	ObjectType  string // server (the default), disk or turbo; a disk vault cannot be copied from
	Status      string // available (the default), lock, frozen, deleting or error
	Size        int    // capacity in GB; 0 means 1,000
	Used        int    // in MB, without the copies made here

	EnterpriseProjectID string // empty: "0", the default project
	Tags                []Tag
}

// A Tag is a tag of a vault.
type Tag struct{ Key, Value string }

// A Backup is one backup in a source vault. Its fields are those of ShowBackup's answer in the CBR API reference.
type Backup struct {
	ID           string
	VaultID      string
	Name         string
	Status       string    // available (the default), protecting, deleting, restoring, error, waiting_protect, …
	Size         int       // in GB; 0 means 40
	NoSystemDisk bool      // such a backup is not copied
	CreatedAt    time.Time // the zero time means now
	CopyError    string    // its copies fail with this code; empty: they succeed
}

// A backup is a Backup with its replication records, oldest first.
type backup struct {
	Backup
	records []*record
}

// AddProject adds a project. Vaults in its region can be copied to all other projects' regions.
func (c *CBR) AddProject(id, region string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.regions[fold(id)] = region
}

// AddVault adds a vault, or replaces the one with its id. A vault whose project was not added cannot be found.
func (c *CBR) AddVault(v Vault) {
	v.ID, v.ProjectID = fold(v.ID), fold(v.ProjectID)
	v.Name = cmp.Or(v.Name, "vault-"+v.ID)
	v.ProtectType = cmp.Or(v.ProtectType, "backup")
	v.ObjectType = cmp.Or(v.ObjectType, "server")
	v.Status = cmp.Or(v.Status, "available")
	v.Size = cmp.Or(v.Size, 1000)
	v.EnterpriseProjectID = cmp.Or(v.EnterpriseProjectID, "0")
	c.mu.Lock()
	defer c.mu.Unlock()
	c.vaults[v.ID] = v
}

// AddBackup adds a backup to its vault. A backup whose vault was not added cannot be found.
func (c *CBR) AddBackup(b Backup) {
	b.ID, b.VaultID = fold(b.ID), fold(b.VaultID)
	b.Name = cmp.Or(b.Name, "backup-"+b.ID)
	b.Status = cmp.Or(b.Status, "available")
	b.Size = cmp.Or(b.Size, 40)
	if b.CreatedAt.IsZero() {
		b.CreatedAt = c.now()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	added := &backup{Backup: b}
	c.backups[b.VaultID] = append(c.backups[b.VaultID], added)
	c.byID[b.ID] = added
}

// RemoveVault deletes a vault with its backups. An unknown vault stays unknown.
func (c *CBR) RemoveVault(id string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	id = fold(id)
	for _, b := range c.backups[id] {
		delete(c.byID, b.ID)
	}
	delete(c.vaults, id)
	delete(c.backups, id)
}

// RemoveBackup removes a backup with its replication records, as its retention or a user does, and reports whether there was one.
// Its copies stay in the destination vault.
func (c *CBR) RemoveBackup(id string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	b, ok := c.byID[fold(id)]
	if ok {
		delete(c.byID, b.ID)
		c.backups[b.VaultID] = slices.DeleteFunc(c.backups[b.VaultID], func(o *backup) bool { return o == b })
	}
	return ok
}

// ExampleBackups returns the ids of the backups in [SourceVault], oldest first.
func ExampleBackups() []string {
	return []string{
		"7558e1a3-7046-4787-95cd-14b0ad0642a8",
		"6df2b54c-dd62-4059-a07c-1b8f24f2725d",
		"aa00034d-ef40-443d-ab7a-dc846d988cdf",
	}
}

// AddExample adds the account of CopyCheckpoint's example in the CBR API reference: [SourceVault] with the three backups of the
// example's answer, made one, two and three days ago, the empty [DestinationVault], and [Token].
func (c *CBR) AddExample() {
	c.AddProject(SourceProject, SourceRegion)
	c.AddProject(DestinationProject, DestinationRegion)
	c.AddToken(Token, SourceProject)
	c.AddVault(Vault{ID: SourceVault, ProjectID: SourceProject})
	c.AddVault(Vault{ID: DestinationVault, ProjectID: DestinationProject, ProtectType: "replication"})
	for i, id := range ExampleBackups() {
		c.AddBackup(Backup{ID: id, VaultID: SourceVault, CreatedAt: c.now().AddDate(0, 0, i-3)})
	}
}

// AddVaults adds n source vaults with so many backups each to the project, and returns the vaults' ids. The ids depend on the
// project and on the number of vaults that are there already.
func (c *CBR) AddVaults(projectID string, n, backups int) []string {
	c.mu.Lock()
	first := len(c.vaults)
	c.mu.Unlock()
	ids := make([]string, n)
	for i := range ids {
		ids[i] = uuid("vault", projectID, strconv.Itoa(first+i))
		c.AddVault(Vault{ID: ids[i], ProjectID: projectID})
		for j := range backups {
			c.AddBackup(Backup{ID: uuid("backup", ids[i], strconv.Itoa(j)), VaultID: ids[i]})
		}
	}
	return ids
}

// vault finds a vault in a project. It does not find another project's vault.
func (c *CBR) vault(project, id string) (Vault, bool) {
	v, ok := c.vaults[id]
	return v, ok && v.ProjectID == project
}

// fold returns an id in lower case, as ids are kept and compared. Inferred: CBR accepts ids in upper and lower case.
func fold(id string) string { return strings.ToLower(id) }

// allow reports whether the projects of a user or a key, nil for all, include one.
func allow(projects []string, project string) bool {
	return projects == nil || slices.ContainsFunc(projects, func(p string) bool { return fold(p) == project })
}

// hexID returns 32 hex digits that depend only on the parts.
func hexID(parts ...string) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%q", parts))
	return hex.EncodeToString(sum[:16])
}

// uuid returns a UUID that depends only on the parts, with the version and variant of a random one, as CBR's are.
func uuid(parts ...string) string {
	h := hexID(parts...)
	return h[:8] + "-" + h[8:12] + "-4" + h[13:16] + "-a" + h[17:20] + "-" + h[20:]
}
