// Command ogen is the client that ogen makes of docs/openapi.yaml, against `make
// serve`. The test makes its package api.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log"
	"os"
	"time"

	"ogen/api"
)

// signature is where a caller would sign.
type signature struct{}

func (signature) Sigv4(context.Context, api.OperationName) (api.Sigv4, error) {
	return api.Sigv4{APIKey: "a signature"}, nil
}

// call is what the test has all clients send.
type call struct {
	Project   string                          `json:"project_id"`
	Replicate api.ReplicationRequestReplicate `json:"replicate"`
}

func main() {
	log.SetFlags(0)
	if err := run(context.Background(), os.Args[1], os.Args[2]); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, address, text string) error {
	var c call
	if err := json.Unmarshal([]byte(text), &c); err != nil {
		return err
	}
	client, err := api.NewClient(address, signature{})
	if err != nil {
		return err
	}
	send := func(request api.ReplicationRequest, at api.OptString) (api.CopyCheckpointRes, error) {
		return client.CopyCheckpoint(ctx, &request, api.CopyCheckpointParams{ProjectID: c.Project, XRequestedAt: at})
	}
	request := api.ReplicationRequest{Replicate: api.NewOptReplicationRequestReplicate(c.Replicate)}
	at := api.NewOptString(time.Now().UTC().Format(time.RFC3339))
	for range 2 { // the second call starts nothing more
		answer, err := send(request, at)
		if err != nil {
			return err
		}
		good, ok := answer.(*api.AcceptedHeaders)
		if !ok {
			return fmt.Errorf("%#v", answer)
		}
		r := good.Response.Replication.Value
		if r.VaultID != c.Replicate.VaultID.Value || len(r.Backups) != 3 || r.Backups[0].ReplicationRecordID.Value == "" || good.XRequestID.Value == "" {
			return fmt.Errorf("%#v", good)
		}
	}

	answer, err := send(request, api.OptString{})
	if err != nil {
		return err
	}
	if busy, ok := answer.(*api.InProgressHeaders); !ok || busy.Response.ErrorCode != "BackupService.6130" || busy.RetryAfter == "" || busy.XRequestID.Value == "" {
		return fmt.Errorf("a busy vault: %#v", answer)
	}
	twice, wrong := request, request
	twice.RequestedAt = api.NewOptDateTime(time.Now().Add(-time.Hour))
	wrong.Replicate.Value.VaultID = api.NewOptString("no id")
	for _, bad := range []api.ReplicationRequest{twice, wrong} {
		answer, err := send(bad, at)
		if err != nil {
			return err
		}
		if refused, ok := answer.(*api.RefusedHeaders); !ok || refused.Response.ErrorCode != "InvalidEvent" || refused.XRequestID.Value == "" {
			return fmt.Errorf("no request: %#v", answer)
		}
	}
	return nil
}
