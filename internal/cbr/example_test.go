package cbr_test

import (
	"context"
	"fmt"
	"time"

	"cbr-replicator/internal/cbr"
	"cbr-replicator/internal/cbr/cbrtest"
	"cbr-replicator/internal/huawei"
	"cbr-replicator/internal/redact"
	"cbr-replicator/internal/token"
)

func ExampleClient_Replicate() {
	server := cbrtest.NewServer()
	defer server.Close()
	server.AddExample()

	endpoints, err := huawei.NewEndpoints("cbr", server.URL, "", cbrtest.SourceRegion)
	if err != nil {
		fmt.Println(err)
		return
	}
	hidden := new(redact.Redactor)
	client := cbr.NewClient(huawei.Service{
		HTTP:      huawei.NewHTTPClient(1),
		Endpoints: endpoints,
		Auth:      token.New(token.Config{Fields: token.Fields{Token: cbrtest.Token}, ProjectID: cbrtest.SourceProject, Redact: hidden, Now: time.Now}),
		Redact:    hidden,
		UserAgent: "cbr-replicator/example",
		Timeout:   30 * time.Second,
	})
	defer client.HTTP.CloseIdleConnections()

	for range 2 {
		answer, err := client.Replicate(context.Background(), source, replicate(cbrtest.SourceVault))
		fmt.Println(answer.Status, err)
	}
	// Output:
	// 200 <nil>
	// 400 InProgress BackupService.6130 The vault is being replicated.
}
