package cbr

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"unicode"

	"cbr-replicator/internal/huawei"
	"cbr-replicator/internal/jsonscan"
	"cbr-replicator/internal/kind"
)

// codes are CBR's error codes. Their kinds do not follow from the HTTP status: some
// transient faults come as 400 and some final ones as 500 (CBR API reference, "Error
// Codes"; the OTC table of the same product).
var codes = huawei.Codes{Prefix: "BackupService.", Known: []huawei.Meaning{
	{Code: "BackupService.0001", Kind: kind.NothingToReplicate},                  // no resource is available for backup
	{Code: "BackupService.0002", Kind: kind.InProgress, Statuses: []int{500}},    // resources are being backed up
	{Code: "BackupService.1002", Kind: kind.Rejected},                            // type of backup cannot be replicated
	{Code: "BackupService.1003", Kind: kind.Rejected},                            // the source is not an ECS
	{Code: "BackupService.1005", Kind: kind.Rejected, Statuses: []int{400, 500}}, // the region does not support replication
	{Code: "BackupService.1009", Kind: kind.AlreadyReplicated},                   // is being, or has been, replicated there
	{Code: "BackupService.1011", Kind: kind.Rejected},                            // the project does not support replication
	{Code: "BackupService.1012", Kind: kind.Rejected},                            // no more replicas allowed
	{Code: "BackupService.4005", Kind: kind.Unavailable, Statuses: []int{500}},   // the destination vault could not be checked
	{Code: "BackupService.6105", Kind: kind.Rejected, Statuses: []int{400, 404}}, // the vault does not exist
	{Code: "BackupService.6110", Kind: kind.InProgress, Lasting: lasting},        // the vault cannot be updated, "Try again"
	{Code: "BackupService.6112", Kind: kind.InProgress, Lasting: lasting},        // invalid vault status
	{Code: "BackupService.6118", Kind: kind.Unavailable},                         // as 4005, but sent as 400
	{Code: "BackupService.6119", Kind: kind.Rejected},                            // not a replication vault
	{Code: "BackupService.6120", Kind: kind.Rejected},                            // the destination vault does not exist
	{Code: "BackupService.6122", Kind: kind.Rejected},                            // resource type cannot be replicated
	{Code: "BackupService.6123", Kind: kind.InProgress},                          // an expansion of the vault is in progress
	{Code: "BackupService.6125", Kind: kind.InProgress},                          // a backup task is in progress
	{Code: "BackupService.6128", Kind: kind.Rejected},                            // vault type cannot be replicated
	{Code: "BackupService.6129", Kind: kind.Rejected},                            // the destination vault is full
	{Code: "BackupService.6130", Kind: kind.InProgress},                          // the vault is being replicated
	{Code: "BackupService.6134", Kind: kind.InProgress},                          // resources are being removed from the vault
	{Code: "BackupService.6200", Kind: kind.Rejected, Statuses: []int{404}},      // the backup does not exist
	{Code: "BackupService.6203", Kind: kind.InProgress},                          // performing backups
	{Code: "BackupService.6217", Kind: kind.Rejected, Statuses: []int{404}},      // the restore point does not exist
	{Code: "BackupService.7302", Kind: kind.InProgress, Lasting: lasting},        // backups are being synchronized
	{Code: "BackupService.8600", Kind: kind.Rejected, Statuses: []int{403}},      // the account lacks real-name authentication
	{Code: "BackupService.9900", Kind: kind.Rejected},                            // parameter verification failed
	{Code: "BackupService.9910", Kind: kind.Unknown, Statuses: []int{500}},       // "unknown error", by name and by nature
	{Code: "BackupService.9998", Kind: kind.Unauthorized, Statuses: []int{500}},  // authentication failed
}}

// A vault is available, lock, frozen, deleting or error (CBR API reference, ShowVault,
// billing.status). The last three do not pass by themselves. If a text names a state
// that passes, or no state, the request waits: "rejected" would lose a request for a
// vault that is just being changed.
var (
	lastingStates = []string{"frozen", "deleting", "deleted", "arrears", "overdue", "expired", "suspended"}
	passingStates = []string{
		"lock", "locked", "locking", "expanding", "expanded", "extending", "resizing", "changing", "updating", "creating", "processing",
		"removing", "syncing", "synchronized", "synchronizing", "replicating", "restoring", "progress",
	}
)

// lasting reports whether a message names a state that lasts, and none that passes.
// The word "error" is a state if it follows "is" or "in", or is a value.
func lasting(message string) bool {
	message = strings.ToLower(message)
	last, lasts := "", false
	for start := 0; start < len(message); {
		start += len(message[start:]) - len(strings.TrimLeftFunc(message[start:], notInWord))
		end := start + len(message[start:]) - len(strings.TrimLeftFunc(message[start:], inWord))
		word := message[start:end]
		switch {
		case slices.Contains(passingStates, word) && (word != "progress" || last == "in"):
			return false
		case slices.Contains(lastingStates, word), word == "error" && (last == "is" || last == "in" || isValue(message[:start])):
			lasts = true
		}
		last, start = word, end
	}
	return lasts
}

func inWord(c rune) bool    { return c == '_' || unicode.IsLetter(c) || unicode.IsDigit(c) }
func notInWord(c rune) bool { return !inWord(c) }

// isValue reports whether the word after text is a value: of a field, in quotes or in
// brackets.
func isValue(text string) bool {
	text = strings.TrimRight(text, " ")
	return text != "" && strings.ContainsRune(`=:"'([`, rune(text[len(text)-1]))
}

// readAnswer reads the answer to r. readErr is the error of reading its body.
func (c *Client) readAnswer(resp *http.Response, body []byte, readErr error, r *Replicate) (Answer, error) {
	answer := Answer{Status: resp.StatusCode, RequestID: c.Redact.Text(resp.Header.Get("X-Request-Id"))}
	if readErr != nil || answer.Status < 200 || answer.Status > 299 {
		e := c.Fault(resp, body, readErr, "")
		answer.RequestID = e.RequestID
		return answer, e
	}
	replication, backups, missing := readReplication(body, r)
	answer.Replication = c.Redact.JSON(replication)
	switch {
	case answer.Replication != nil && backups > 0:
		return answer, nil
	case answer.Replication != nil:
		return answer, &kind.Error{
			Kind: kind.NothingToReplicate, Message: "CBR found no backup to replicate",
			HTTPStatus: answer.Status, RequestID: answer.RequestID,
		}
	}
	e := c.Fault(resp, body, nil, missing)
	answer.RequestID = e.RequestID
	return answer, e
}

// readReplication reads the body of a 2xx: the object "replication" and how many backups
// it lists, one for one backup. If the body does not say that r was accepted, it returns
// what is missing.
func readReplication(body []byte, r *Replicate) (replication json.RawMessage, backups int, missing string) {
	answer := jsonscan.New(body)
	for name := range answer.Members {
		if string(name) == "replication" {
			replication = answer.Value()
		}
	}
	var vault, backup, record string
	listed := false
	object := jsonscan.New(replication)
	for name := range object.Members {
		switch string(name) {
		case "vault_id":
			object.Text(&vault)
		case "backup_id":
			object.Text(&backup)
		case "replication_record_id":
			object.Text(&record)
		case "backups":
			backups, listed = 0, true
			for range object.Elements {
				backups++
			}
		}
	}
	switch {
	case answer.End() != nil || replication == nil:
		return nil, 0, "the answer has no object replication"
	case object.End() != nil:
		return nil, 0, "the answer has no object replication of the form that is known: " + object.End().Error()
	case r.BackupID != "" && !strings.EqualFold(backup, r.BackupID):
		return nil, 0, "the answer names no backup, or another one"
	case r.BackupID != "" && record == "":
		return nil, 0, "the answer has no replication_record_id"
	case r.BackupID != "":
		return replication, 1, ""
	case vault == "":
		return nil, 0, "the answer names no vault"
	case !strings.EqualFold(vault, r.VaultID):
		return nil, 0, "the answer speaks of another vault"
	case !listed:
		return nil, 0, "the answer has no list of backups"
	}
	return replication, backups, ""
}
