package cbrtest

import (
	"cmp"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"
)

// maxLimit is ListBackups' largest page, and its default.
const maxLimit = 1000

// listBackups pages through a project's backups, newest first, as in recorded answers of the service. In the real service
// replicas are in the destination vault; here only the replication records of their sources show them.
func (c *CBR) listBackups(project string, query url.Values) (object, *refusal) {
	for name := range query {
		switch name {
		case "vault_id", "status", "image_type", "show_replication", "limit", "offset", "enterprise_project_id":
		default:
			return nil, notModelled("The query parameter " + name)
		}
	}
	limit, okLimit := number(query, "limit", maxLimit)
	offset, okOffset := number(query, "offset", 0)
	records, err := strconv.ParseBool(cmp.Or(query.Get("show_replication"), "false"))
	if !okLimit || limit < 1 || limit > maxLimit || !okOffset || offset < 0 || err != nil {
		return nil, invalid("limit, offset or show_replication is invalid.")
	}

	switch {
	case c.format.ShowReplication == "refused" && query.Has("show_replication"):
		return nil, &refusal{http.StatusBadRequest, "BackupService.9900", "Parameter verification failed: show_replication."}
	case c.format.ShowReplication == "ignored":
		records = false
	}

	var found []*backup
	vaults := maps.Keys(c.backups)
	if query.Has("vault_id") {
		vaults = slices.Values([]string{fold(query.Get("vault_id"))})
	}
	for id := range vaults {
		v, ok := c.vault(project, id)
		if !ok || !belongs(v, query.Get("enterprise_project_id")) {
			continue
		}
		for _, b := range c.backups[id] {
			if !query.Has("status") || slices.Contains(query["status"], b.Status) {
				found = append(found, b)
			}
		}
	}
	if t := query.Get("image_type"); t != "" && t != "backup" {
		found = nil
	}
	slices.SortFunc(found, func(a, b *backup) int {
		return cmp.Or(b.CreatedAt.Compare(a.CreatedAt), cmp.Compare(a.ID, b.ID))
	})

	now := c.now()
	page := []object{}
	for _, b := range found[min(offset, len(found)):min(offset+limit, len(found))] {
		page = append(page, c.wireBackup(b, records, now))
	}
	// In the recorded answers, which have one page, count is the number of backups on it. Inferred from its name and from the
	// offset beside it: it counts all pages together.
	return object{"backups": page, "count": len(found), "offset": offset, "limit": limit}, nil
}

// belongs reports whether a vault is in the enterprise project, or in any that the caller may see: here these are all.
// Inferred: if none is named, all are searched too.
func belongs(v Vault, enterpriseProject string) bool {
	return enterpriseProject == "" || enterpriseProject == "all_granted_eps" || enterpriseProject == v.EnterpriseProjectID
}

// number reads an integer from the query.
func number(query url.Values, name string, otherwise int) (n int, ok bool) {
	if !query.Has(name) {
		return otherwise, true
	}
	n, err := strconv.Atoi(query.Get(name))
	return n, err == nil && n < 1<<31
}

// showBackup finds one backup. Inferred: it always has its replication records, since the operation has no show_replication.
func (c *CBR) showBackup(project, id string) (object, *refusal) {
	if b, ok := c.byID[id]; ok {
		if _, ok := c.vault(project, b.VaultID); ok {
			return object{"backup": c.wireBackup(b, true, c.now())}, nil
		}
	}
	return nil, noBackup()
}

// wireBackup is BackupResp of the CBR API reference, with the nulls of recorded answers. Each vault protects one resource.
func (c *CBR) wireBackup(b *backup, withRecords bool, now time.Time) object {
	v := c.vaults[b.VaultID]
	kind := kindOf(v)
	wire := object{
		"id":                    b.ID,
		"name":                  b.Name,
		"description":           "",
		"status":                b.Status,
		"image_type":            "backup",
		"checkpoint_id":         uuid("checkpoint", b.ID),
		"vault_id":              b.VaultID,
		"project_id":            v.ProjectID,
		"enterprise_project_id": v.EnterpriseProjectID,
		"provider_id":           kind.provider,
		"resource_id":           uuid("resource", b.VaultID),
		"resource_name":         "resource-of-" + v.Name,
		"resource_type":         kind.resource,
		"resource_size":         b.Size,
		"resource_az":           c.regions[v.ProjectID] + "a",
		"created_at":            c.format.stamp(b.CreatedAt),
		"protected_at":          c.format.stamp(b.CreatedAt),
		"updated_at":            c.format.stamp(b.CreatedAt),
		"expired_at":            nil,
		"parent_id":             nil,
		"children":              []object{},
		"incremental":           false,
		"version":               3,
		"extend_info": object{
			"auto_trigger":           false,
			"bootable":               nil,
			"contain_system_disk":    !b.NoSystemDisk,
			"encrypted":              false,
			"is_multi_az":            false,
			"os_images_data":         nil,
			"snapshot_id":            nil,
			"support_lld":            true,
			"supported_restore_mode": "backup",
			"system_disk":            false,
		},
	}
	if withRecords {
		var records []object
		for _, r := range b.records {
			if !now.Before(r.visible) {
				records = append(records, r.wire(now, c.format))
			}
		}
		c.format.add(wire, records)
	}
	return wire
}
