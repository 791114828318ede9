package cbr

import (
	"encoding/json"
	"net/http"
	"regexp"
	"strings"

	"cbr-replicator/internal/huawei"
	"cbr-replicator/internal/jsonscan"
	"cbr-replicator/internal/kind"
)

// codes are those whose meaning does not follow from the HTTP status: some
// transient faults come as 400 and some final ones as 500 (CBR API reference,
// "Error Codes"; the OTC table of the same product).
var codes = huawei.Codes{Prefix: "BackupService.", Known: map[string]huawei.Meaning{
	"BackupService.0001": {Kind: kind.NothingToReplicate},                  // no resource is available for backup
	"BackupService.0002": {Kind: kind.InProgress, Statuses: []int{500}},    // resources are being backed up
	"BackupService.1002": {Kind: kind.Rejected},                            // type of backup cannot be replicated
	"BackupService.1003": {Kind: kind.Rejected},                            // the source is not an ECS
	"BackupService.1005": {Kind: kind.Rejected, Statuses: []int{400, 500}}, // the region does not support replication
	"BackupService.1009": {Kind: kind.AlreadyReplicated},                   // is being, or has been, replicated there
	"BackupService.1011": {Kind: kind.Rejected},                            // the project does not support replication
	"BackupService.1012": {Kind: kind.Rejected},                            // no more replicas allowed
	"BackupService.4005": {Kind: kind.Unavailable, Statuses: []int{500}},   // the destination vault could not be checked
	"BackupService.6105": {Kind: kind.Rejected, Statuses: []int{400, 404}}, // the vault does not exist
	"BackupService.6110": {Kind: kind.InProgress, Lasting: lasting},        // the vault cannot be updated, "Try again"
	"BackupService.6112": {Kind: kind.InProgress, Lasting: lasting},        // invalid vault status
	"BackupService.6118": {Kind: kind.Unavailable},                         // as 4005, but sent as 400
	"BackupService.6119": {Kind: kind.Rejected},                            // not a replication vault
	"BackupService.6120": {Kind: kind.Rejected},                            // the destination vault does not exist
	"BackupService.6122": {Kind: kind.Rejected},                            // resource type cannot be replicated
	"BackupService.6123": {Kind: kind.InProgress},                          // an expansion of the vault is in progress
	"BackupService.6125": {Kind: kind.InProgress},                          // a backup task is in progress
	"BackupService.6128": {Kind: kind.Rejected},                            // vault type cannot be replicated
	"BackupService.6129": {Kind: kind.Rejected},                            // the destination vault is full
	"BackupService.6130": {Kind: kind.InProgress},                          // the vault is being replicated
	"BackupService.6134": {Kind: kind.InProgress},                          // resources are being removed from the vault
	"BackupService.6200": {Kind: kind.Rejected, Statuses: []int{404}},      // the backup does not exist
	"BackupService.6203": {Kind: kind.InProgress},                          // performing backups
	"BackupService.6217": {Kind: kind.Rejected, Statuses: []int{404}},      // the restore point does not exist
	"BackupService.7302": {Kind: kind.InProgress, Lasting: lasting},        // backups are being synchronized
	"BackupService.8600": {Kind: kind.Rejected, Statuses: []int{403}},      // the account lacks real-name authentication
	"BackupService.9900": {Kind: kind.Rejected},                            // parameter verification failed
	"BackupService.9910": {Kind: kind.Unknown, Statuses: []int{500}},       // "unknown error", by name and by nature
	"BackupService.9998": {Kind: kind.Unauthorized, Statuses: []int{500}},  // authentication failed
}}

// A vault is available, lock, frozen, deleting or error (CBR API reference,
// ShowVault, billing.status). Waiting does not help with the last three. Where
// a text names what passes, too, or nothing, the request waits: to be told
// "rejected" for a vault that is being changed would lose it.
var (
	lastingState = regexp.MustCompile(`(?i)\b(?:frozen|deleting|deleted|arrears|overdue|expired|suspended)\b|(?:\b(?:is|in)|[=:"'(\[])\s*error\b`)
	passingState = regexp.MustCompile(`(?i)\b(?:lock|locked|locking|expanding|expanded|extending|resizing|changing|updating|creating|processing|removing|syncing|synchronized|synchronizing|replicating|restoring|in progress)\b`)
)

func lasting(message string) bool {
	return lastingState.MatchString(message) && !passingState.MatchString(message)
}

// judge reads CopyCheckpoint's answer. readErr is what went wrong while its
// body was read.
func (c *Client) judge(resp *http.Response, body []byte, readErr error, vaultID string) (Answer, error) {
	answer := Answer{Status: resp.StatusCode, RequestID: c.Redact.Text(resp.Header.Get("X-Request-Id"))}
	if readErr != nil || answer.Status < 200 || answer.Status > 299 {
		e := c.Fault(resp, body, readErr, "")
		answer.RequestID = e.RequestID
		return answer, e
	}
	replication, backups, missing := taken(body, vaultID)
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

// taken reads the body of a 2xx: the object replication, how many backups it
// lists, or what is missing for it to say that the request was taken.
func taken(body []byte, vaultID string) (replication json.RawMessage, backups int, missing string) {
	answer := jsonscan.New(body)
	for name := range answer.Members() {
		if string(name) == "replication" {
			replication = answer.Value()
		}
	}
	var vault string
	listed := false
	object := jsonscan.New(replication)
	for name := range object.Members() {
		switch string(name) {
		case "vault_id":
			object.Text(&vault)
		case "backups":
			backups, listed = 0, true
			for range object.Elements() {
				backups++
			}
		}
	}
	switch {
	case answer.End() != nil || replication == nil:
		return nil, 0, "the answer has no object replication"
	case object.End() != nil:
		return nil, 0, "the answer has no object replication of the form that is known: " + object.End().Error()
	case vault == "":
		return nil, 0, "the answer names no vault"
	case !strings.EqualFold(vault, vaultID):
		return nil, 0, "the answer speaks of another vault"
	case !listed:
		return nil, 0, "the answer has no list of backups"
	}
	return replication, backups, ""
}
