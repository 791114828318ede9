package cbrtest

import (
	"net/http"
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

// showVault is VaultGetResp of the CBR API reference, with the fields of recorded answers. It has no resources, as in the
// reference's example.
func (c *CBR) showVault(project, id string) (object, *refusal) {
	v, ok := c.vault(project, id)
	if !ok {
		return nil, &refusal{http.StatusNotFound, "BackupService.6105", "The vault does not exist."}
	}
	kind := kindOf(v)
	return object{"vault": object{
		"id":                      v.ID,
		"name":                    v.Name,
		"description":             nil,
		"project_id":              v.ProjectID,
		"enterprise_project_id":   v.EnterpriseProjectID,
		"provider_id":             kind.provider,
		"user_id":                 hexID("user", v.ProjectID),
		"created_at":              "2020-07-24T09:12:49.491874",
		"resources":               []object{},
		"tags":                    []object{},
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
		"billing": object{
			"allocated":        0,
			"charging_mode":    "post_paid",
			"cloud_type":       "public",
			"consistent_level": "crash_consistent",
			"frozen_scene":     nil,
			"is_multi_az":      false,
			"object_type":      v.ObjectType,
			"order_id":         nil,
			"product_id":       nil,
			"protect_type":     v.ProtectType,
			"size":             v.Size,
			"spec_code":        "vault." + v.ProtectType + "." + kind.spec + ".normal",
			"status":           v.Status,
			"storage_unit":     nil,
			"used":             c.used(v, c.now()),
		},
	}}, nil
}
