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
	// EnterpriseProjectID is the enterprise project whose backups [Client.ListBackups]
	// asks for, or all_granted_eps. A user whose rights are limited to one may see no
	// backup without it. Empty: it is not sent.
	EnterpriseProjectID string
}

// NewClient returns a client that makes its calls with s. It sets the name, the
// version and the codes of s.
func NewClient(s huawei.Service) *Client {
	s.Name, s.Version, s.Codes = "CBR", "v3", codes
	return &Client{Service: s}
}

// Replicate asks CBR, once, to copy the backups of a vault that have no replica yet, or
// one backup (CBR API reference, CopyCheckpoint and CopyBackup). The error is a
// *kind.Error. CBR has no idempotency token: the error's kind says whether the call may
// be retried.
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
		answer, err = c.readAnswer(resp, raw, err, &r)
		return err
	})
	answer.Sent = sent
	return answer, err
}
