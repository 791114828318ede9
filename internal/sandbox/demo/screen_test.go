package demo

import (
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"cbr-replicator/internal/sandbox"
)

// TestScreen: no row loses a word, and none is wider than the screen, except for one long word.
func TestScreen(t *testing.T) {
	t.Parallel()
	const vault = `"vault_id":"3b5816b5-f29c-4172-9d9a-76c719a659ce",`
	for _, tt := range []struct {
		name, line string
		want       []string
	}{
		{
			"a row that fits", `{` + vault + `"message":"retrying","kind":"Throttled","code":"APIG.0308","attempts":2,"wait_ms":2000}`,
			[]string{"  3b5816b5  try 2     Throttled APIG.0308                    again in 2.0 s"},
		},
		{
			"a row that is just too long", `{` + vault + `"message":"retrying","kind":"Unavailable","error":"no connection to CBR of the region","attempts":1,"wait_ms":200}`,
			[]string{
				"  3b5816b5  try 1     Unavailable no connection to CBR of the region",
				"                      again in 0.2 s",
			},
		},
		{
			"a row that is too long", `{` + vault + `"message":"delivery","status":"redelivered","kind":"Unavailable","attempts":3,"error":"the lookup of the replication records in the source region failed"}`,
			[]string{
				"  3b5816b5  try 3     Unavailable the lookup of the replication records in the",
				"                      source region failed: handed back",
			},
		},
		{
			"three lines, and a word that is too long", `{"message":"looked up","error":"` + strings.Repeat("a ", 29) + strings.Repeat("b", 70) + ` c"}`,
			[]string{
				"            looked up " + strings.TrimSpace(strings.Repeat("a ", 29)),
				"                      " + strings.Repeat("b", 70),
				"                      c",
			},
		},
		{
			"a retry of a call to the topic", `{"message":"retrying","kind":"PublishFailed","error":"InternalError: try again","results":2,"wait_ms":200}`,
			[]string{"            retrying  PublishFailed InternalError            again in 0.2 s"},
		},
	} {
		var out strings.Builder
		if _, err := newScreen(&out).Write([]byte(tt.line)); err != nil {
			t.Fatal(err)
		}
		got := strings.Split(strings.TrimSuffix(out.String(), "\n"), "\n")
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.name, diff)
		}
		for _, line := range got {
			if utf8.RuneCountInString(line) > columns && !strings.Contains(line, "bbb") {
				t.Errorf("%s: %d columns: %s", tt.name, utf8.RuneCountInString(line), line)
			}
		}
	}
}

// TestEnds: looks are not shown by their lines of the log, an end is shown once, with what is missing, and what is not there is a
// fault.
func TestEnds(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	s := &show{screen: newScreen(&out)}
	for _, line := range []string{
		`{"message":"delivery","status":"copying","kind":"Copying","vault_id":"3b5816b5-f29c-4172-9d9a-76c719a659ce"}`,
		`{"message":"delivery","status":"completed","vault_id":"3b5816b5-f29c-4172-9d9a-76c719a659ce"}`,
	} {
		if _, err := s.Write([]byte(line)); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.failures(); err != nil || out.Len() > 0 {
		t.Errorf("copies that go on, or are there: %v, shown as %q", err, out.String())
	}
	if _, err := s.Write([]byte(`{"message":"delivery","status":"partial","kind":"CopyIncomplete","vault_id":"3b5816b5-f29c-4172-9d9a-76c719a659ce"}`)); err != nil {
		t.Fatal(err)
	}
	if err := s.failures(); err == nil {
		t.Error("copies that are missing are no fault")
	}
	s.end(sandbox.Published{
		Attributes: map[string]string{"vault_id": "3b5816b5-f29c-4172-9d9a-76c719a659ce"},
		Message: `{"data":{"status":"partial","deliveries":3,"copies":{"total":2,"succeeded":1},"backups":[
			{"backup_id":"7558e1a3-7046-4787-95cd-14b0ad0642a8","status":"fail","fail_code":"BackupService.1006","fail_reason":"The copy failed."},
			{"backup_id":"6df2b54c-dd62-4059-a07c-1b8f24f2725d","status":"success"}]}}`,
	}, 8*time.Minute+10*time.Second)
	want := "  3b5816b5  => 8 min  partial, 1 of 2 copies are there       3 looks\n" +
		"  3b5816b5  missing   backup 7558e1a3: BackupService.1006 The copy failed.\n"
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
