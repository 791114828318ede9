package kind

import (
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// TestTableIsDocumented holds the table of docs/failures.md to the real one.
func TestTableIsDocumented(t *testing.T) {
	t.Parallel()
	failures, err := os.ReadFile("../../docs/failures.md")
	if err != nil {
		t.Fatal(err)
	}
	row := regexp.MustCompile("(?m)^\\| `([A-Z][A-Za-z]+)` \\|(.*)\\|$")
	seen := map[Kind]bool{}
	for _, m := range row.FindAllStringSubmatch(string(failures), -1) {
		k := Kind(m[1])
		p, ok := table[k]
		if !ok {
			t.Errorf("failures.md has a kind %s", k)
			continue
		}
		seen[k] = true
		var cells []string
		for cell := range strings.SplitSeq(m[2], "|") {
			cells = append(cells, strings.TrimSpace(cell))
		}
		retried, delivery, status, published := cells[1], cells[2], cells[3], cells[4]
		if strings.HasPrefix(retried, "yes") != (p.Retry == Backoff) {
			t.Errorf("%s: retried in place: %q", k, retried)
		}
		if strings.HasPrefix(delivery, "handed back") != p.Redeliver {
			t.Errorf("%s: delivery: %q", k, delivery)
		}
		want := strconv.Itoa(p.HTTPStatus)
		if p.HTTPStatus == OwnAnswer {
			want = "CBR's"
		}
		if followed := k == Copying || k == CopyIncomplete || k == CopyFailed || k == NotFollowed; !strings.HasPrefix(status, want) && k != Blocked && !followed {
			t.Errorf("%s: HTTP: %q, want %s", k, status, want)
		}
		if p.Status != Unpublished && p.Status != InCopy && published != string(p.Status) {
			t.Errorf("%s: published: %q, want %s", k, published, p.Status)
		}
	}
	for k := range table {
		if !seen[k] && k != None {
			t.Errorf("failures.md lacks %s", k)
		}
	}
}
