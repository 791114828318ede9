package cbrtest_test

import (
	"fmt"
	"net/http"
	"strings"

	"cbr-replicator/internal/cbr/cbrtest"
)

func Example() {
	cbr := cbrtest.NewServer()
	defer cbr.Close()
	cbr.AddExample()
	cbr.Script(cbrtest.SourceVault, cbrtest.Unavailable(), cbrtest.ResetAfter())

	for range 3 {
		req, err := http.NewRequest(http.MethodPost, cbr.URL+"/v3/"+cbrtest.SourceProject+"/checkpoints/replicate", strings.NewReader(`{"replicate": {
			"vault_id": "`+cbrtest.SourceVault+`",
			"destination_vault_id": "`+cbrtest.DestinationVault+`",
			"destination_project_id": "`+cbrtest.DestinationProject+`",
			"destination_region": "`+cbrtest.DestinationRegion+`"
		}}`))
		if err != nil {
			fmt.Println(err)
			return
		}
		req.Header.Set("X-Auth-Token", cbrtest.Token)
		if resp, err := cbr.Client().Do(req); err == nil {
			_ = resp.Body.Close()
		}
	}
	for _, call := range cbr.Calls() {
		fmt.Println(call.Status, call.Code, call.Taken)
	}
	// Output:
	// 503 APIG.0613 false
	// 0  true
	// 400 BackupService.6130 false
}
