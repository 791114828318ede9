package cbr

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"

	"cbr-replicator/internal/huawei"
)

// maxBody bounds an answer's body, in bytes. Fifteen thousand backups, more than
// a vault holds, take under 2 MiB.
const maxBody = 8 << 20

// Client makes calls to CBR, each once. It is safe for concurrent use.
type Client struct {
	huawei.Service
	// EnterpriseProjectID, or all_granted_eps, is whose backups [Client.ListBackups]
	// may see, where it is set: a user who is scoped to one may see none without.
	EnterpriseProjectID string
}

// NewClient returns a client that makes its calls as s says, whose name and codes
// it sets.
func NewClient(s huawei.Service) *Client {
	s.Name, s.Codes = "CBR", codes
	return &Client{Service: s}
}

// Replicate asks CBR, once, to copy the backups of a vault that have no replica
// yet, or one backup (CBR API reference, CopyCheckpoint and CopyBackup). The error
// is a *kind.Error.
// CBR has no idempotency token: whether a call that failed may be made again
// is a property of the error's kind.
func (c *Client) Replicate(ctx context.Context, src huawei.Scope, r Replicate) (answer Answer, err error) {
	path, wire := "/checkpoints/replicate", r
	if r.BackupID != "" {
		path, wire.BackupID = "/backups/"+r.BackupID+"/replicate", ""
	}
	body, err := json.Marshal(struct {
		Replicate Replicate `json:"replicate"`
	}{wire})
	if err != nil {
		return Answer{}, fmt.Errorf("encode the replicate request: %w", err)
	}
	sent, err := c.Call(ctx, src, http.MethodPost, path, body, func(resp *http.Response) (err error) {
		limit := maxBody
		if resp.StatusCode > 299 {
			limit = huawei.MaxFault
		}
		raw, err := huawei.ReadAll(resp.Body, limit)
		answer, err = c.judge(resp, raw, err, &r)
		return err
	})
	answer.Sent = sent
	return answer, err
}
