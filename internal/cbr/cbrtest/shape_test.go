package cbrtest

import (
	"strings"
	"testing"
)

func TestShape(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		shape         Shape
		with, without string
	}{
		{Shape{}, `"created_at":"2026-11-23T07:00:05.123456"`, `"replication_records":[]`},
		{Shape{Zone: "Z"}, `"created_at":"2026-11-23T07:00:05.123456Z"`, `"replication_records":[]`},
		{Shape{Zone: "+00:00"}, `"created_at":"2026-11-23T07:00:05.123456+00:00"`, `"replication_records":[]`},
		{Shape{NoRecords: "null"}, `"destination_vault_id":"` + DestinationVault + `","fail_code"`, `"replication_records":null`},
		{Shape{OldSpelling: true}, `"destinatio_vault_id":"` + DestinationVault + `","fail_code"`, `"replication_records":[]`},
	} {
		s, now := newExample(t, WithShape(tt.shape))
		const query = "show_replication=true"
		if got := string(s.backups(t, query).raw); !strings.Contains(got, tt.without) || tt.without == "" && strings.Contains(got, "replication_records") {
			t.Errorf("%+v: no %s in\n%s", tt.shape, tt.without, got)
		}
		mustCopy(t, s, 3)
		now.advance(DefaultCopyTime)
		if got := string(s.backups(t, query).raw); !strings.Contains(got, tt.with) {
			t.Errorf("%+v: no %s in\n%s", tt.shape, tt.with, got)
		}
	}
}
