package redact_test

import (
	"encoding/base64"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"cbr-replicator/internal/redact"
)

// BenchmarkText: the tokens of a function for fifty projects, each of 4 kB, which begin
// with the same characters.
func BenchmarkText(b *testing.B) {
	random := rand.NewChaCha8([32]byte{})
	var r redact.Redactor
	for range 50 {
		token := make([]byte, 3<<10)
		_, _ = random.Read(token)
		r.Hide("MIIDkgYJKoZIhvcNAQcCoIIDgzCC" + base64.StdEncoding.EncodeToString(token))
	}
	for name, text := range map[string]string{
		"id":          "059f36b4-87a3-44ab-83d2-000000000001",
		"message":     "The vault is being replicated, try again later: operation replicate is not allowed in status locking",
		"replication": `{"backups":[` + strings.Repeat(`{"backup_id":"3fb02c15-4f0c-4a17-8f1e-76c719a659ce","replication_record_id":"0ca3eb86-8800-46da-9c37-9d657a825274"},`, 60) + `{}]}`,
		"page":        strings.Repeat(`<a href="/a%20b?c=1&amp;d=2">x</a>`+"\n", 1000),
		"backslashes": strings.Repeat(`\`, 64<<10),
		"percents":    strings.Repeat(`%25`, 20<<10),
		"references":  strings.Repeat(`&#38;amp;`, 7<<10),
	} {
		b.Run(fmt.Sprintf("%s of %d", name, len(text)), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				r.Text(text)
			}
		})
	}
}
