package cbrtest

import "time"

// A Shape is how lookups write what recorded answers and documents write in more than one way. The zero Shape is that of the
// recorded answers.
type Shape struct {
	// NoRecords is the replication_records of a backup that has none: "[]" (the default) or "null".
	NoRecords string
	// OldSpelling has a record's extra_info name the vault destinatio_vault_id, as specifications before September 2025 do, in
	// place of destination_vault_id.
	OldSpelling bool
	// ShowReplication is what becomes of the parameter of that name: it is followed (the default), "ignored", so that no backup has
	// replication_records, or "refused", as on clouds whose API reference does not know it.
	ShowReplication string
	// Zone ends each time: "" (the default), "Z" or "+00:00".
	Zone string
}

// WithShape sets how lookups write.
func WithShape(shape Shape) Option {
	return func(c *CBR) { c.shape = shape }
}

// stamp writes a time: UTC, microseconds; null for none.
func (s Shape) stamp(t time.Time) any {
	if t.IsZero() {
		return nil
	}
	return t.UTC().Format("2006-01-02T15:04:05.000000") + s.Zone
}

// add gives a backup its records.
func (s Shape) add(backup object, records []object) {
	switch {
	case len(records) > 0:
		backup["replication_records"] = records
	case s.NoRecords == "null":
		backup["replication_records"] = nil
	default:
		backup["replication_records"] = []object{}
	}
}

// vaultName is what extra_info calls the destination's vault.
func (s Shape) vaultName() string {
	if s.OldSpelling {
		return "destinatio_vault_id"
	}
	return "destination_vault_id"
}
