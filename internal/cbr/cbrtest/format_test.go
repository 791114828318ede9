package cbrtest

import (
	"strings"
	"testing"
)

func TestFormat(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		format        Format
		with, without string
	}{
		{Format{}, `"created_at":"2026-11-23T07:00:05.123456"`, `"replication_records":[]`},
		{Format{Zone: "Z"}, `"created_at":"2026-11-23T07:00:05.123456Z"`, `"replication_records":[]`},
		{Format{Zone: "+00:00"}, `"created_at":"2026-11-23T07:00:05.123456+00:00"`, `"replication_records":[]`},
		{Format{NoRecords: "null"}, `"destination_vault_id":"` + DestinationVault + `","fail_code"`, `"replication_records":null`},
		{Format{OldSpelling: true}, `"destinatio_vault_id":"` + DestinationVault + `","fail_code"`, `"replication_records":[]`},
	} {
		s, now := newExample(t, WithFormat(tt.format))
		const query = "show_replication=true"
		if got := string(s.backups(t, query).raw); !strings.Contains(got, tt.without) || tt.without == "" && strings.Contains(got, "replication_records") {
			t.Errorf("%+v: no %s in\n%s", tt.format, tt.without, got)
		}
		mustCopy(t, s, 3)
		now.advance(DefaultCopyTime)
		if got := string(s.backups(t, query).raw); !strings.Contains(got, tt.with) {
			t.Errorf("%+v: no %s in\n%s", tt.format, tt.with, got)
		}
	}
}
