package cbr

import (
	"context"
	"net/http"

	"cbr-replicator/internal/huawei"
	"cbr-replicator/internal/jsonscan"
)

// ReplicationDestinations returns the regions that vaults of src's region can be
// replicated to (CBR API reference, ShowReplicationCapabilities). known is false if the
// answer does not speak of src's region. It needs the permission
// cbr:backups:queryReplicationCapability. The error is that of a lookup: see
// [Client.ListBackups].
func (c *Client) ReplicationDestinations(ctx context.Context, src huawei.Scope) (regions []string, known bool, err error) {
	sent, err := c.Call(ctx, src, http.MethodGet, "/replication-capabilities", nil, func(resp *http.Response) error {
		return c.readBody(resp, "the list of regions", func(r *jsonscan.Reader) error {
			for member := range r.Members {
				if string(member) != "regions" {
					continue
				}
				for range r.Elements {
					var name string
					var destinations []string
					members(r, func(member string) {
						switch member {
						case "name":
							name = text(r)
						case "replication_destinations":
							for range r.Elements {
								destinations = append(destinations, c.Redact.Text(text(r)))
							}
						}
					})
					if name == src.Region {
						regions, known = destinations, true
					}
				}
			}
			return nil
		})
	})
	if err != nil {
		return nil, false, c.listFault(sent, err)
	}
	return regions, known, nil
}
