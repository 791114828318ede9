package cbrtest

import (
	"cmp"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"time"
)

// A kind is what the CBR API reference has about one object type of vault.
type kind struct {
	provider string // provider_id
	resource string // resource_type
	spec     string // the middle of spec_code
}

// kindOf returns a vault's kind: a server's if the object type is unknown.
func kindOf(v Vault) kind {
	switch v.ObjectType {
	case "disk":
		return kind{"d1603440-187d-4516-af25-121250c7cc97", "OS::Cinder::Volume", "volume"}
	case "turbo":
		return kind{"3f3c3220-245c-4805-b811-758870015881", "OS::Sfs::Turbo", "turbo"}
	default:
		return kind{"0daac4c5-6707-4851-97ba-169e36266b66", "OS::Nova::Server", "server"}
	}
}

// used returns how many MB of the vault are used, with copies that wait or run. A copy that failed uses none.
func (c *CBR) used(v Vault, now time.Time) int {
	used := v.Used
	for _, r := range c.replicas[v.ID] {
		if r.holds(now) {
			used += r.backup.Size << 10
		}
	}
	return used
}

// listVaults pages through a project's vaults, newest first as in a recorded answer of the service. All were made at the same
// time here, so it is the order of their ids.
func (c *CBR) listVaults(project string, query url.Values) (object, *refusal) {
	for name := range query {
		switch name {
		case "limit", "offset", "id", "enterprise_project_id", "protect_type":
		default:
			return nil, notModelled("The query parameter " + name)
		}
	}
	limit, okLimit := number(query, "limit", maxLimit)
	offset, okOffset := number(query, "offset", 0)
	if !okLimit || limit < 1 || limit > maxLimit || !okOffset || offset < 0 {
		return nil, invalid("limit or offset is invalid.")
	}
	ids := map[string]bool{}
	for _, id := range query["id"] {
		ids[fold(id)] = true
	}
	var found []Vault
	for _, v := range c.vaults {
		if v.ProjectID == project && belongs(v, query.Get("enterprise_project_id")) && (len(ids) == 0 || ids[v.ID]) &&
			(!query.Has("protect_type") || query.Get("protect_type") == v.ProtectType) {
			found = append(found, v)
		}
	}
	slices.SortFunc(found, func(a, b Vault) int { return cmp.Compare(a.ID, b.ID) })
	page := []object{}
	for _, v := range found[min(offset, len(found)):min(offset+limit, len(found))] {
		page = append(page, c.wireVault(v))
	}
	// As in listBackups, it is inferred that count counts all pages together.
	return object{"vaults": page, "count": len(found), "offset": offset, "limit": limit}, nil
}

// showVault finds one vault.
func (c *CBR) showVault(project, id string) (object, *refusal) {
	v, ok := c.vault(project, id)
	if !ok {
		return nil, &refusal{http.StatusNotFound, "BackupService.6105", "The vault does not exist."}
	}
	return object{"vault": c.wireVault(v)}, nil
}

// showReplicationCapabilities answers for the project's region: all regions of other projects that were added are destinations.
func (c *CBR) showReplicationCapabilities(project string) object {
	home := c.regions[project]
	destinations := []string{}
	for _, region := range slices.Sorted(maps.Values(c.regions)) {
		if region != home && !slices.Contains(destinations, region) {
			destinations = append(destinations, region)
		}
	}
	return object{"regions": []object{{"name": home, "replication_destinations": destinations}}}
}

// wireVault is VaultGetResp of the CBR API reference, with the fields and the nulls of recorded answers. It has no resources, as
// in the reference's example.
func (c *CBR) wireVault(v Vault) object {
	kind := kindOf(v)
	tags := []object{}
	for _, t := range v.Tags {
		tags = append(tags, object{"key": t.Key, "value": t.Value})
	}
	return object{
		"id":                      v.ID,
		"name":                    v.Name,
		"description":             nil,
		"project_id":              v.ProjectID,
		"enterprise_project_id":   v.EnterpriseProjectID,
		"provider_id":             kind.provider,
		"user_id":                 hexID("user", v.ProjectID),
		"created_at":              "2020-07-24T09:12:49.491874",
		"resources":               []object{},
		"tags":                    tags,
		"bind_rules":              object{"tags": []object{}},
		"auto_bind":               false,
		"auto_expand":             false,
		"smn_notify":              true,
		"threshold":               80,
		"locked":                  false,
		"availability_zone":       "",
		"sys_lock_source_service": "",
		"cross_account":           false,
		"cross_account_urn":       "",
		"backup_name_prefix":      nil,
		"cbc_delete_count":        0,
		"demand_billing":          false,
		"frozen":                  v.Status == "frozen",
		"supplier":                "",
		"billing": object{
			"allocated":        0,
			"charging_mode":    "post_paid",
			"cloud_type":       "public",
			"consistent_level": "crash_consistent",
			"frozen_scene":     nil,
			"is_double_az":     false,
			"is_multi_az":      false,
			"object_type":      v.ObjectType,
			"order_id":         nil,
			"partner_bp_id":    nil,
			"product_id":       nil,
			"protect_type":     v.ProtectType,
			"size":             v.Size,
			"spec_code":        "vault." + v.ProtectType + "." + kind.spec + ".normal",
			"status":           v.Status,
			"storage_unit":     nil,
			"used":             c.used(v, c.now()),
		},
	}
}
