package cbrtest

import "time"

// A Format is how lookups write fields that recorded answers and documents write in several ways. The zero Format is the one of
// the recorded answers.
type Format struct {
	// NoRecords is the replication_records of a backup that has none: "[]" (the default) or "null".
	NoRecords string
	// OldSpelling: the vault in a record's extra_info is named destinatio_vault_id, as in specifications before September 2025, in
	// place of destination_vault_id.
	OldSpelling bool
	// ShowReplication is how the parameter of that name is handled. It is followed (the default), or "ignored", so that no backup
	// has replication_records, or "refused", as by clouds whose API reference does not have it.
	ShowReplication string
	// Zone ends each time: "" (the default), "Z" or "+00:00".
	Zone string
}

// WithFormat sets how lookups write.
func WithFormat(format Format) Option {
	return func(c *CBR) { c.format = format }
}

// stamp writes a time in UTC with microseconds, or null for the zero time.
func (s Format) stamp(t time.Time) any {
	if t.IsZero() {
		return nil
	}
	return t.UTC().Format("2006-01-02T15:04:05.000000") + s.Zone
}

// add gives a backup its records.
func (s Format) add(backup object, records []object) {
	switch {
	case len(records) > 0:
		backup["replication_records"] = records
	case s.NoRecords == "null":
		backup["replication_records"] = nil
	default:
		backup["replication_records"] = []object{}
	}
}

// vaultName is the name of the destination vault's id in extra_info.
func (s Format) vaultName() string {
	if s.OldSpelling {
		return "destinatio_vault_id"
	}
	return "destination_vault_id"
}
